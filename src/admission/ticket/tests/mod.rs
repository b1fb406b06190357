//! Tickets that must open nothing, and those that open what they are for, by a clock of the test's choice.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::admission::{Admission, Denied, Grant, Now, Request, Told};
use crate::config::{Live, Route, Settings};
use crate::error::Reason;
use crate::metrics::Metrics;
use crate::secret::{Digest, Secret};

use super::*;

mod bound;
mod issued;
mod settings;

const NOW: u64 = 1_800_000_000;
const AUDIENCE: &str = "wss://edge.example.com";
const SECRET: &str = "a secret of tickets, and it is long enough";
const OTHER: &str = "another secret of tickets, long enough too";
const PAGE: &str = "https://app.example.com";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Signed by hand: what is tested is not what has made it.
fn signed_with(secret: &str, header: &Value, claims: &Value) -> Secret {
    let text = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, text.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
    Secret::new(format!("{text}.{signature}"))
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "one"})
}

fn claims() -> Value {
    json!({"aud": AUDIENCE, "iat": NOW, "exp": NOW + 30, "jti": "j-1"})
}

fn signed(claims: &Value) -> Secret {
    signed_with(SECRET, &header(), claims)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Settings with these keys of tickets, and these routes behind one of kind `voice-live`.
fn live(keys: &str, browser: &str, more: &str) -> Live {
    // Keys of the desk, where there is one.
    let [kiosk, other] = match more.contains("desk") {
        true => ["routes = [\"browser\", \"desk\"]", "routes = [\"desk\"]"],
        false => ["", ""],
    };
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\
         [tickets]\naudience = \"{AUDIENCE}\"\n{keys}\n\
         [[keys]]\nname = \"kiosk\"\nsha256 = \"{}\"\n{kiosk}\n\
         models = [\"gpt-4o\", \"gpt-realtime\"]\n\
         [[keys]]\nname = \"other\"\nsha256 = \"{}\"\n{other}\n\
         [upstreams.voice]\nkind = \"voice-live\"\nresource = \"my-resource\"\n\
         credential = {{ managed_identity = true }}\n\
         [[routes]]\nname = \"browser\"\nkind = \"voice-live\"\npaths = [\"/ws\"]\n\
         models = [\"gpt-realtime\", \"gpt-4o\", \"gpt-5\"]\nagents = [\"guide\", \"clerk\"]\n\
         projects = [\"p\"]\n\
         origins = [\"{PAGE}\", \"https://b.example.com\"]\nupstreams = [\"voice\"]\n{browser}\n{more}\n",
        Digest::of("k-1").to_hex(),
        Digest::of("k-2").to_hex(),
    );
    Settings::read_text("edge.toml", &text)
        .unwrap_or_else(|error| panic!("{error}"))
        .live
}

const ONE: &str = "[[tickets.keys]]\nid = \"one\"\nalgorithm = \"HS256\"\n\
     secret = \"a secret of tickets, and it is long enough\"\n";
const TWO: &str = "[[tickets.keys]]\nid = \"two\"\nalgorithm = \"HS256\"\n\
     secret = \"another secret of tickets, long enough too\"\n";
const TICKETS: &str = "admit = [\"ticket\", \"key\"]\naccept = [\"header\", \"query\"]";

fn tickets(keys: &str) -> Tickets {
    Tickets::new(live(keys, TICKETS, "").tickets.as_ref().unwrap())
}

fn refused(tickets: &Tickets, ticket: &Secret, now: u64) -> Flaw {
    match tickets.verify(ticket, at(now)) {
        Ok(_) => panic!("it is good"),
        Err(flaw) => flaw,
    }
}

/// Headers that no ticket has.
fn bad_headers() -> Vec<Value> {
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        header
    };
    let mut nameless = header();
    nameless.as_object_mut().unwrap().remove("kid");
    vec![
        with("alg", json!("none")),
        with("alg", json!("None")),
        with("alg", json!("HS384")),
        with("alg", json!("HS512")),
        with("alg", json!("RS256")),
        with("alg", json!("ES256")),
        with("alg", json!("hs256")),
        with("alg", json!(null)),
        with("alg", json!(["HS256"])),
        with("kid", json!("two")),
        with("kid", json!("")),
        with("kid", json!("ONE")),
        with("kid", json!("one ")),
        with("kid", json!("one\u{0}")),
        with("kid", json!("../../dev/null")),
        with("kid", json!("' OR 1=1 --")),
        with("kid", json!(1)),
        with("kid", json!(["one"])),
        with("typ", json!("at+jwt")),
        with("typ", json!("logout+jwt")),
        with("typ", json!(7)),
        with("crit", json!(["exp"])),
        with("crit", json!([])),
        with("zip", json!("DEF")),
        with("enc", json!("A256GCM")),
        nameless,
        json!([]),
    ]
}

#[test]
fn a32_s08_headers_and_signatures_of_others_open_nothing() {
    let tickets = tickets(&format!("{ONE}{TWO}"));
    assert!(tickets.verify(&signed(&claims()), at(NOW)).is_ok());
    for header in bad_headers() {
        let flaw = refused(&tickets, &signed_with(SECRET, &header, &claims()), NOW);
        assert_eq!(flaw.outcome, Outcome::Invalid, "{header}");
        assert_eq!(flaw.denied().reason, Reason::Unauthenticated);
    }
    // What a ticket says of keys elsewhere is not looked at: it is good by the settings' key or not.
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(OTHER)});
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/keys")),
        ("x5c", json!(["AAAA"])),
    ] {
        let mut header = header();
        header[name] = value;
        let forged = signed_with(OTHER, &header, &claims());
        assert_eq!(
            refused(&tickets, &forged, NOW).outcome,
            Outcome::Invalid,
            "{name}"
        );
    }
    let good = signed(&claims());
    let (rest, signature) = good.expose().rsplit_once('.').unwrap();
    let (head, body) = rest.split_once('.').unwrap();
    let changed = encode(&with("route", json!("browser")));
    for text in [
        String::new(),
        "..".to_owned(),
        rest.to_owned(),
        format!("{rest}."),
        format!("{rest}.{signature}."),
        format!("{rest}.{}", &signature[1..]),
        format!("{rest}.{signature}="),
        format!("{head}.{changed}.{signature}"),
        format!("{}.{body}.{signature}", encode(&json!({"alg": "none"}))),
        format!("{}.{body}.", encode(&json!({"alg": "none", "kid": "one"}))),
    ] {
        let flaw = refused(&tickets, &Secret::new(text.clone()), NOW);
        assert_eq!(flaw.outcome, Outcome::Invalid, "{text}");
    }
    let long = with("more", json!("x".repeat(TICKET_MAX)));
    assert!(
        refused(&tickets, &signed(&long), NOW)
            .detail
            .contains("4 KiB")
    );
}

/// Claims that no ticket makes.
fn bad_claims() -> Vec<Value> {
    vec![
        without("aud"),
        without("iat"),
        without("exp"),
        without("jti"),
        with("aud", json!("wss://edge.example.com/")),
        with("aud", json!("WSS://edge.example.com")),
        with("aud", json!("wss://edge.example.co")),
        with("aud", json!("tonegate:media-url")),
        with("aud", json!([AUDIENCE])),
        with("aud", json!(null)),
        with("exp", json!((NOW + 30).to_string())),
        with("exp", json!(null)),
        with("exp", json!(-1)),
        with("exp", json!(1e300)),
        with("exp", json!(NOW + 61)),
        with("exp", json!(NOW)),
        with("exp", json!(NOW - 1)),
        with("iat", json!(NOW.to_string())),
        with("iat", json!(NOW - 31)),
        with("iat", json!(NOW + 6)),
        with("nbf", json!(NOW + 6)),
        with("nbf", json!("0")),
        with("nbf", json!(null)),
        with("jti", json!("")),
        with("jti", json!(7)),
        with("jti", json!(null)),
        with("jti", json!("j".repeat(NAME_MAX + 1))),
        with("sub", json!("")),
        with("sub", json!("s".repeat(NAME_MAX + 1))),
        with("sub", json!(null)),
        with("sub", json!(["a"])),
        with("tid", json!("a tenant, and nobody in it")),
        with("origin", json!(null)),
        with("origin", json!([PAGE])),
        with("route", json!(1)),
        with("model", json!(null)),
        with("call", json!({})),
        with("session_exp", json!("never")),
        with("session_exp", json!(null)),
        with("caller", json!(null)),
        with("caller", json!("kiosk")),
        with("caller", json!({"way": "key", "name": "kiosk"})),
        json!([]),
        json!("text"),
    ]
}

#[test]
fn a32_s09_claims_that_are_nearly_right_open_nothing() {
    let tickets = tickets(ONE);
    let good = [
        claims(),
        with("sub", json!("u-1")),
        with("iat", json!(NOW as f64 + 0.5)),
        with("exp", json!(NOW + 60)),
        with("nbf", json!(NOW)),
        with("unknown", json!({"a": [1]})),
        with("jti", json!("j".repeat(NAME_MAX))),
    ];
    for claims in good {
        assert!(
            tickets.verify(&signed(&claims), at(NOW)).is_ok(),
            "{claims}"
        );
    }
    for claims in bad_claims() {
        let claims = if claims["iat"] == NOW - 31 {
            let mut claims = claims;
            claims["exp"] = json!(NOW + 30);
            claims
        } else {
            claims
        };
        let flaw = refused(&tickets, &signed(&claims), NOW);
        assert_eq!(flaw.outcome, Outcome::Invalid, "{claims}");
    }
    // A claim that stands twice.
    let twice = claims()
        .to_string()
        .replacen('{', "{\"route\":\"a\",\"route\":\"browser\",", 1);
    let text = format!("{}.{}", encode(&header()), URL_SAFE_NO_PAD.encode(twice));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    let twice = Secret::new(format!("{text}.{signature}"));
    assert!(refused(&tickets, &twice, NOW).detail.contains("twice"));
}

#[test]
fn a32_u9_a_ticket_ends_with_its_seconds() {
    let tickets = tickets(ONE);
    let good = |claims: &Value, now| tickets.verify(&signed(claims), at(now)).is_ok();
    let ticket = claims();
    // iat is NOW and exp is NOW + 30; clocks may be 5 s apart.
    for (now, is_good) in [
        (NOW - 6, false),
        (NOW - 5, true),
        (NOW + 34, true),
        (NOW + 35, false),
        (NOW + 3600, false),
        (0, false),
    ] {
        assert_eq!(good(&ticket, now), is_good, "{now}");
    }
    let flaw = refused(&tickets, &signed(&ticket), NOW + 35);
    assert_eq!(flaw.outcome, Outcome::Expired);
    let remembered = tickets.verify(&signed(&ticket), at(NOW)).ok().unwrap();
    assert_eq!(remembered.ends, at(NOW + 35));
    // The session's end is another matter.
    let session = with("session_exp", json!(NOW + 20));
    assert!(good(&session, NOW + 19));
    assert_eq!(
        refused(&tickets, &signed(&session), NOW + 20).outcome,
        Outcome::Expired
    );
    let verified = tickets.verify(&signed(&session), at(NOW)).ok().unwrap();
    assert_eq!(verified.session_ends(), Some(at(NOW + 20)));
}

#[test]
fn a32_two_keys_are_good_while_they_are_changed_and_each_for_its_own() {
    let [both, one] = [tickets(&format!("{ONE}{TWO}")), tickets(ONE)];
    let two = json!({"alg": "HS256", "kid": "two"});
    assert!(both.verify(&signed(&claims()), at(NOW)).is_ok());
    let new = signed_with(OTHER, &two, &claims());
    assert!(both.verify(&new, at(NOW)).is_ok());
    assert!(one.verify(&new, at(NOW)).is_err());
    // Without a name it is the only key, not any.
    let nameless = json!({"alg": "HS256"});
    assert!(
        one.verify(&signed_with(SECRET, &nameless, &claims()), at(NOW))
            .is_ok()
    );
    assert!(
        one.verify(&signed_with(OTHER, &nameless, &claims()), at(NOW))
            .is_err()
    );
    assert!(
        both.verify(&signed_with(SECRET, &nameless, &claims()), at(NOW))
            .is_err()
    );
    // One jti of two keys are two tickets; another spelling of one ticket is the same.
    let name = |ticket: &Secret| both.verify(ticket, at(NOW)).ok().unwrap().name;
    let again = signed(&with("unknown", json!(1)));
    assert!(name(&signed(&claims())).is(&name(&again)));
    assert!(!name(&signed(&claims())).is(&name(&new)));
    assert!(!name(&again).is(&name(&signed(&with("jti", json!("j-2"))))));
}

#[test]
fn a32_tickets_and_tokens_are_told_apart_by_whom_they_are_for() {
    let tickets = tickets(ONE);
    let is = |claims: &Value| tickets.is_one(&signed(claims));
    assert!(is(&claims()) && is(&with("exp", json!("odd"))));
    assert!(!is(&with("aud", json!("api://edge"))));
    assert!(!is(&with("aud", json!([AUDIENCE]))));
    assert!(!is(&without("aud")));
    for text in ["", "k-1", "a.b.c", "..", "a.b"] {
        assert!(!tickets.is_one(&Secret::new(text.to_owned())), "{text}");
    }
}
