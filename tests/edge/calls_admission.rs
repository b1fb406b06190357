//! Admission of calls: what ACS must show to stream one, and what must not do for it. The flows, the
//! store and the gate have tests of their own; here nothing but the `101`, or its lack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonegate::admission::media_url::{Signed, Signer};
use tonegate::config::{Calls, KnownBy, Spend};
use tonegate::ids::{CallId, ForeignId, PhoneNumber};
use tonegate::label::Label;
use tonegate::secret::Secret;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{Issuer, Options};

use crate::binary::{Served, run};
use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, request};

/// The immutable id of a resource of ACS.
const RESOURCE: &str = "22222222-3333-4444-5555-666666666666";
const SECRET: &str = "what signs the media URLs of this test";
const PREVIOUS: &str = "what signed the media URLs before that";
const CALL: &str = "7f0c-A_9";
const ANI: &str = "+15551234567";
const CONNECTION: &str = "08002580-0000-0000-0000-000000000001";
const CORRELATION: &str = "998a5fa2-0000-0000-0000-000000000002";

/// A route for each flow; the first is the one that asks for nothing but the call.
const ROUTES: &str = r#"
[calls]
secret   = "what signs the media URLs of this test"
previous = "what signed the media URLs before that"
known_by = "url"

[upstreams.orchestrator]
kind = "relay"
url = "UPSTREAM/voice-live/realtime?api-version=2026-07-15&model=sim-echo"
credential = { caller = true, key = "the-edges-own-key-9Zw" }
identity_headers = true
roots = "ca.pem"
"#;

struct Phoned {
    world: World,
    provider: Arc<Provider>,
    stop: CancellationToken,
}

impl Drop for Phoned {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn route(name: &str, flow: &str, upstream: &str) -> String {
    let models = match upstream {
        "voice" => "models = [\"sim-echo\"]",
        _ => "",
    };
    format!(
        "[[routes]]\nname = \"{name}\"\npaths = [\"/{name}/{{call}}\"]\nkind = \"acs-media\"\n\
         require = [\"phone\", \"call\"]\ngate = {{ {flow} }}\n{models}\n\
         upstreams = [\"{upstream}\"]\n"
    )
}

impl Phoned {
    async fn new() -> Phoned {
        let authority = Authority::new("test authority");
        let names = ["localhost", "127.0.0.1"];
        let issuer = Issuer::bind(Options {
            identity: Some(authority.issue(&names).unwrap()),
            ..Options::loopback()
        })
        .await
        .unwrap();
        let provider = issuer.provider();
        let stop = CancellationToken::new();
        tokio::spawn(issuer.serve(stop.clone()));
        let base = provider.base();
        let mut more = format!(
            "{ROUTES}[issuers.phone]\nkind = \"acs\"\naudience = [\"{RESOURCE}\"]\n\
             metadata = \"{base}/calling/.well-known/acsopenidconfiguration\"\n\
             roots = \"ca.pem\"\n"
        );
        for (name, flow, upstream) in [
            ("open", "flow = \"open\"", "voice"),
            ("verbatim", "flow = \"open\"", "orchestrator"),
            ("api", "flow = \"api\"", "voice"),
            ("sip-header", "flow = \"sip-header\"", "voice"),
            ("pstn", "flow = \"pstn\", digits = 6", "voice"),
        ] {
            more.push_str(&route(name, flow, upstream));
        }
        let wish = Wish {
            more,
            // Where there is a token to pass on it goes before the key.
            credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
            ..Wish::default()
        };
        let identity = authority.issue(&names).unwrap();
        let world = World::with_upstream_identity(wish, authority, identity).await;
        Phoned {
            world,
            provider,
            stop,
        }
    }

    /// A good token of ACS, changed; each is another one.
    fn token(&self, change: impl FnOnce(&mut Mint)) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut mint = Mint::acs(RESOURCE).with("jti", count);
        change(&mut mint);
        self.provider.mint(&mint)
    }

    /// Asks with these lines beside the ids of the call; the status of the answer.
    async fn ask(&self, target: &str, headers: &[(&str, &str)]) -> u16 {
        let mut all = ids();
        all.extend(headers);
        self.ask_bare(target, &all).await
    }

    async fn ask_bare(&self, target: &str, headers: &[(&str, &str)]) -> u16 {
        match self.world.ask(target, headers).await {
            Ok(_) => 101,
            Err(refused) => {
                for (_, value) in headers {
                    let token = value.trim_start_matches("Bearer ");
                    assert!(token.len() < 100 || !refused.body.contains(token));
                }
                let secret = target.split("s=").nth(1).filter(|secret| secret.len() > 10);
                let secret = secret.unwrap_or("no secret");
                assert!(!refused.body.contains(secret) && !refused.head.contains(secret));
                assert!(!refused.body.contains(ANI));
                refused.is(refused.status, &refused.reason());
                refused.status
            }
        }
    }

    /// Asks for a target with a good token.
    async fn ask_with_token(&self, target: &str) -> u16 {
        let bearer = format!("Bearer {}", self.token(|_| {}));
        self.ask(target, &[("Authorization", &bearer)]).await
    }
}

fn ids() -> Vec<(&'static str, &'static str)> {
    vec![
        ("x-ms-call-connection-id", CONNECTION),
        ("x-ms-call-correlation-id", CORRELATION),
    ]
}

fn signer(secrets: &[&str]) -> Signer {
    let secrets = secrets.iter().map(|text| Secret::new((*text).to_owned()));
    Signer::new(&Calls {
        secrets: secrets.collect(),
        known_by: KnownBy::Url,
        spend: Spend::Token,
        resume: Duration::ZERO,
    })
    .unwrap()
}

/// The secret of a call that says all there is.
fn secret(change: impl FnOnce(&mut Signed)) -> String {
    let mut signed = Signed {
        ani: PhoneNumber::new(ANI),
        sip: ForeignId::new("abc-xyz-123"),
        connection: ForeignId::new(CONNECTION),
        ..Signed::of(CallId::new(CALL).unwrap())
    };
    change(&mut signed);
    let signer = signer(&[SECRET]);
    let token = signer.token(&signed, SystemTime::now(), Duration::from_secs(600));
    token.unwrap().expose().to_owned()
}

fn target(route: &str, secret: &str) -> String {
    format!("/{route}/{CALL}?s={secret}")
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Tokens that are not those of ACS for this resource, each with what is wrong with it.
fn bad_tokens(phoned: &Phoned) -> Vec<(&'static str, String)> {
    let claim = |name: &'static str, value: Value| phoned.token(|mint| mint.claims[name] = value);
    let signed = |algorithm| phoned.token(|mint| mint.algorithm = algorithm);
    let header = |header: Value| phoned.token(|mint| mint.header = header);
    let without =
        |name: &str| phoned.token(|mint| drop(mint.claims.as_object_mut().unwrap().remove(name)));
    let issuer = "https://acscallautomation.communication.azure.com";
    let pem = phoned.provider.public_pem().into_bytes();
    let good = phoned.token(|_| {});
    let parts: Vec<&str> = good.split('.').collect();
    let other = claim("aud", json!("somebody-else"));
    let spliced = other.split('.').nth(1).unwrap();
    vec![
        ("malformed", "eyJ.eyJ.eyJ".to_owned()),
        ("no token at all", "not-a-token".to_owned()),
        ("expired", claim("exp", json!(now() - 61))),
        ("no expiry", without("exp")),
        ("an expiry that is text", claim("exp", json!("9999999999"))),
        ("not yet valid", claim("nbf", json!(now() + 120))),
        (
            "another issuer",
            claim("iss", json!("https://evil.example")),
        ),
        (
            "an issuer with a slash",
            claim("iss", json!(format!("{issuer}/"))),
        ),
        ("a list of issuers", claim("iss", json!([issuer]))),
        ("no issuer", without("iss")),
        (
            "another resource",
            claim("aud", json!("33333333-3333-4444-5555-666666666666")),
        ),
        ("a list of nobody", claim("aud", json!([]))),
        ("no audience", without("aud")),
        ("alg none", signed(Algorithm::None)),
        (
            "HS256 with the public key",
            signed(Algorithm::Hs256 { secret: pem }),
        ),
        (
            "HS256 with our own secret",
            signed(Algorithm::Hs256 {
                secret: SECRET.into(),
            }),
        ),
        ("RS384", signed(Algorithm::Rs384)),
        ("PS256", signed(Algorithm::Ps256)),
        ("ES256", signed(Algorithm::Es256)),
        (
            "a stranger's signature",
            phoned.token(|mint| mint.key = KeyChoice::Unpublished),
        ),
        ("an unknown key", header(json!({"kid": "nobody's"}))),
        ("no key's name", header(json!({"kid": null}))),
        ("a critical extension", header(json!({"crit": ["exp"]}))),
        (
            "claims of another",
            format!("{}.{spliced}.{}", parts[0], parts[2]),
        ),
        ("a call's secret", secret(|_| {})),
        ("an API key", KEY.to_owned()),
    ]
}

#[tokio::test]
async fn a07_without_the_token_of_acs_there_is_no_101() {
    let phoned = Phoned::new().await;
    let url = target("open", &secret(|_| {}));
    let tokens = bad_tokens(&phoned);
    assert!(tokens.len() > 20);
    for (what, token) in &tokens {
        let bearer = format!("Bearer {token}");
        let status = phoned.ask(&url, &[("Authorization", &bearer)]).await;
        assert_eq!(status, 401, "{what}");
    }
    // A good one where none belongs is none.
    let good = phoned.token(|_| {});
    let bearer = format!("Bearer {good}");
    let carrier = format!("authorization.bearer.{good}");
    let cookie = format!("tonegate={good}");
    let basic = format!("Basic {good}");
    for (what, target, header) in [
        ("nothing", url.clone(), ("X-Nothing", "x")),
        (
            "in the query",
            format!("{url}&token={good}"),
            ("X-Nothing", "x"),
        ),
        (
            "in the query by its header's name",
            format!("{url}&authorization=Bearer+{good}"),
            ("X-Nothing", "x"),
        ),
        ("in a cookie", url.clone(), ("Cookie", cookie.as_str())),
        (
            "by another scheme",
            url.clone(),
            ("Authorization", basic.as_str()),
        ),
        (
            "in another header",
            url.clone(),
            ("X-Authorization", bearer.as_str()),
        ),
        ("as a key", url.clone(), ("api-key", good.as_str())),
    ] {
        assert_eq!(phoned.ask(&target, &[header]).await, 401, "{what}");
    }
    let offered = [("Sec-WebSocket-Protocol", carrier.as_str())];
    let status = phoned.ask(&url, &offered).await;
    assert_eq!(status, 400, "in a subprotocol, and none is spoken");
    let twice = [
        ("Authorization", bearer.as_str()),
        ("Authorization", &bearer),
    ];
    assert_eq!(phoned.ask(&url, &twice).await, 400);
    let other = phoned.token(|_| {});
    let two = [("Authorization", bearer.as_str()), ("api-key", &other)];
    assert_eq!(phoned.ask(&url, &two).await, 400);
    assert_eq!(phoned.world.upstream_total(), 0, "something was dialled");
    assert_eq!(phoned.ask(&url, &[("Authorization", &bearer)]).await, 101);
}

/// Secrets of calls that are not this call's, with the status that each is worth.
fn bad_secrets(phoned: &Phoned) -> Vec<(&'static str, String, u16)> {
    let good = secret(|_| {});
    let parts: Vec<&str> = good.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let claims = String::from_utf8(claims).unwrap();
    let tampered = |from: &str, to: &str| {
        let changed = claims.replace(from, to);
        assert_ne!(changed, claims);
        format!(
            "{}.{}.{}",
            parts[0],
            URL_SAFE_NO_PAD.encode(changed),
            parts[2]
        )
    };
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let call = || Signed::of(CallId::new(CALL).unwrap());
    let made = |by: &str, at, life| {
        let token = signer(&[by]).token(&call(), at, Duration::from_secs(life));
        token.unwrap().expose().to_owned()
    };
    vec![
        ("empty", String::new(), 401),
        ("malformed", "a.b.c".to_owned(), 401),
        ("no JWS", "secret".to_owned(), 401),
        ("cut", good[..good.len() - 1].to_owned(), 401),
        ("unsigned", format!("{}.{}.", parts[0], parts[1]), 401),
        ("expired", made(SECRET, hour_ago, 3599), 401),
        (
            "a stranger's",
            made(
                "what a stranger signs media URLs with",
                SystemTime::now(),
                60,
            ),
            401,
        ),
        ("another number", tampered(ANI, "+15551234568"), 401),
        ("a longer life", tampered("\"exp\":", "\"exp\":9"), 401),
        ("another call, touched in", tampered(CALL, "7f0c-A_8"), 401),
        ("the token of ACS", phoned.token(|_| {}), 401),
        (
            "another call's",
            secret(|signed| signed.call = CallId::new("7f0c-A_8").unwrap()),
            403,
        ),
        (
            "another case of it",
            secret(|signed| signed.call = CallId::new(&CALL.to_lowercase()).unwrap()),
            403,
        ),
        (
            "another connection's",
            secret(|signed| signed.connection = ForeignId::new("other")),
            403,
        ),
        (
            "another route's",
            secret(|signed| signed.route = Label::new("pstn")),
            403,
        ),
    ]
}

#[tokio::test]
async fn a43_without_the_calls_own_secret_there_is_no_101() {
    let phoned = Phoned::new().await;
    let bad = bad_secrets(&phoned);
    for (what, secret, status) in &bad {
        let asked = phoned.ask_with_token(&target("open", secret)).await;
        assert_eq!(asked, *status, "{what}");
    }
    let none = phoned.ask_with_token(&format!("/open/{CALL}")).await;
    assert_eq!(none, 401);
    let good = secret(|_| {});
    for name in ["S", "secret", "token", "s[]"] {
        let url = format!("/open/{CALL}?{name}={good}");
        assert_eq!(phoned.ask_with_token(&url).await, 401, "{name}");
    }
    let other = secret(|signed| signed.ani = None);
    let two = format!("{}&s={other}", target("open", &good));
    assert_eq!(phoned.ask_with_token(&two).await, 400);
    let empty = format!("{}&s=", target("open", &good));
    assert_eq!(phoned.ask_with_token(&empty).await, 400);
    // The call of the path is the one that counts: the same secret opens no other.
    let elsewhere = format!("/open/other?s={good}");
    assert_eq!(phoned.ask_with_token(&elsewhere).await, 403);
    assert_eq!(phoned.world.upstream_total(), 0, "something was dialled");
    // One secret that stands twice is one.
    let twice = format!("{}&s={good}", target("open", &good));
    assert_eq!(phoned.ask_with_token(&twice).await, 101);
}

#[tokio::test]
async fn a43_a_url_of_the_previous_secret_is_good_while_that_is_listed() {
    let phoned = Phoned::new().await;
    let signed = Signed {
        route: Label::new("open"),
        ..Signed::of(CallId::new(CALL).unwrap())
    };
    let now = SystemTime::now();
    let old = signer(&[PREVIOUS]).token(&signed, now, Duration::from_secs(60));
    let url = target("open", old.unwrap().expose());
    assert_eq!(phoned.ask_with_token(&url).await, 101);
}

#[tokio::test]
async fn a01_paths_that_name_no_call_are_nobodys() {
    let phoned = Phoned::new().await;
    let secret = secret(|_| {});
    let long = "x".repeat(65);
    let mut asked = 0;
    for path in [
        "/open",
        "/open/",
        "/open/a.b",
        "/open/a:b",
        "/open/a%20b",
        "/open/%37f0c-A_9",
        "/open/7f0c-A_9/",
        "/open/x/7f0c-A_9",
        "/open//7f0c-A_9",
        "//open/7f0c-A_9",
        "/OPEN/7f0c-A_9",
        "/open/{call}",
        "/open/..",
        "/nowhere/7f0c-A_9",
        &format!("/open/{long}"),
    ] {
        let status = phoned.ask_with_token(&format!("{path}?s={secret}")).await;
        // What is no path at all the head's judge refuses.
        let wanted = if path.contains('{') {
            [400, 404]
        } else {
            [404, 404]
        };
        assert!(wanted.contains(&status), "{path}: {status}");
        asked += 1;
    }
    assert_eq!(asked, 15);
    assert_eq!(phoned.world.upstream_total(), 0);
}

#[tokio::test]
async fn a34_the_ids_of_a_call_stand_once_and_are_ids() {
    let phoned = Phoned::new().await;
    let unbound = target("open", &secret(|signed| signed.connection = None));
    let long = "x".repeat(129);
    for name in ["x-ms-call-connection-id", "x-ms-call-correlation-id"] {
        for values in [
            vec![CONNECTION, CONNECTION],
            vec![CONNECTION, "other"],
            vec![""],
            vec!["a:b"],
            vec!["a b"],
            vec!["*"],
            vec!["a,b"],
            vec!["caf\u{e9}"],
            vec![&long],
        ] {
            let bearer = format!("Bearer {}", phoned.token(|_| {}));
            let mut headers = vec![("Authorization", bearer.as_str())];
            headers.extend(values.iter().map(|value| (name, *value)));
            let status = phoned.ask_bare(&unbound, &headers).await;
            assert_eq!(status, 400, "{name}: {values:?}");
        }
    }
    assert_eq!(phoned.world.upstream_total(), 0);
    // Where nothing hangs on them they may be missing; where a URL is bound to one it may not.
    let bearer = format!("Bearer {}", phoned.token(|_| {}));
    let bound = target("open", &secret(|_| {}));
    let header = [("Authorization", bearer.as_str())];
    assert_eq!(phoned.ask_bare(&bound, &header).await, 403);
    assert_eq!(phoned.ask_bare(&unbound, &header).await, 101);
}

#[tokio::test]
async fn a02_each_flow_is_refused_what_it_cannot_do_without() {
    let phoned = Phoned::new().await;
    let bearer = || format!("Bearer {}", phoned.token(|_| {}));
    let nameless = secret(|signed| {
        signed.ani = None;
        signed.sip = None;
        signed.connection = None;
    });
    for (route, status) in [("api", 400), ("sip-header", 403), ("pstn", 403)] {
        let token = bearer();
        let header = [("Authorization", token.as_str())];
        let asked = phoned.ask_bare(&target(route, &nameless), &header).await;
        assert_eq!(asked, status, "{route}");
    }
    assert_eq!(phoned.world.upstream_total(), 0);
}

#[tokio::test]
async fn s07_no_web_page_streams_a_call_and_no_call_enters_elsewhere() {
    let phoned = Phoned::new().await;
    let url = target("open", &secret(|_| {}));
    let bearer = format!("Bearer {}", phoned.token(|_| {}));
    let page = [
        ("Authorization", bearer.as_str()),
        ("Origin", "https://app.example.com"),
    ];
    assert_eq!(phoned.ask(&url, &page).await, 403);
    let elsewhere = format!("/ws?model=sim-echo&s={}", secret(|_| {}));
    let header = [("Authorization", bearer.as_str())];
    assert_eq!(phoned.ask(&elsewhere, &header).await, 401);
    // Nor does whoever may enter elsewhere.
    assert_eq!(phoned.ask(&url, &[("api-key", KEY)]).await, 401);
    assert_eq!(phoned.world.upstream_total(), 0);
}

#[tokio::test]
async fn a26_an_admitted_call_is_dialled_for_and_what_acs_showed_stays_here() {
    let phoned = Phoned::new().await;
    for route in ["open", "verbatim"] {
        let token = phoned.token(|_| {});
        // A call that came by one route does not come by another.
        let call = format!("{CALL}-{route}");
        let secret = secret(|signed| signed.call = CallId::new(&call).unwrap());
        let bearer = format!("Bearer {token}");
        let mut headers = ids();
        headers.push(("Authorization", &bearer));
        let target = format!("/{route}/{call}?s={secret}");
        let asked = phoned.world.ask(&target, &headers).await;
        let caller = asked.unwrap_or_else(|refused| panic!("{route}: {}", refused.body));
        let dialled = phoned.world.upstream_saw(|seen| seen.scenario.is_some());
        let seen = dialled.await;
        let told = format!("{} {:?}", seen.target, seen.headers);
        for kept in [token.as_str(), &secret, ANI, CONNECTION] {
            assert!(!told.contains(kept), "{route}: {told}");
        }
        assert_eq!(seen.header("authorization").count(), 0, "{route}");
        let key: Vec<&str> = seen.header("api-key").collect();
        assert_eq!(key, [UPSTREAM_KEY], "{route}");
        if route == "verbatim" {
            let told = |name: &str| seen.header(name).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(told("x-tonegate-way"), ["phone"]);
            assert_eq!(told("x-tonegate-subject"), [call]);
        }
        drop(caller);
    }
}

#[tokio::test]
async fn s36_no_log_line_and_no_metric_holds_a_secret_or_a_number() {
    let phoned = Phoned::new().await;
    let world = &phoned.world;
    let mut served = Served::start(world, "tonegate=debug").await;
    let good = secret(|_| {});
    let other = secret(|signed| signed.call = CallId::new("other").unwrap());
    let number = secret(|signed| signed.connection = ForeignId::new("other"));
    let foreign = phoned.token(|mint| mint.claims["aud"] = json!("somebody-else"));
    let tokens: Vec<String> = (0..4).map(|_| phoned.token(|_| {})).collect();
    let mut shown = vec![good.clone(), other.clone(), number.clone(), foreign.clone()];
    shown.extend(tokens.iter().cloned());
    let cases = [
        (&other, &tokens[0], "forbidden"),
        (&number, &tokens[1], "forbidden"),
        (&tokens[2], &tokens[2], "unauthenticated"),
        (&good, &foreign, "unauthenticated"),
    ];
    for (secret, token, reason) in cases {
        let bearer = format!("Bearer {token}");
        let mut headers = ids();
        headers.push(("Authorization", &bearer));
        let asked = request(&target("open", secret), &headers);
        let io = served.send(world, asked.as_bytes()).await;
        let line = served
            .until(|line| line["message"] == "request refused")
            .await;
        assert_eq!(
            (&line["reason"], &line["route"]),
            (&json!(reason), &json!("open"))
        );
        drop(io);
    }
    let bearer = format!("Bearer {}", tokens[3]);
    let mut headers = ids();
    headers.push(("Authorization", &bearer));
    let asked = request(&target("open", &good), &headers);
    let io = served.send(world, asked.as_bytes()).await;
    let answered = crate::harness::read_answer(io).await;
    drop(answered.unwrap_or_else(|refused| panic!("{}", refused.body)));
    let line = served
        .until(|line| line["message"] == "session ended")
        .await;
    assert_eq!(line["subject"], format!("phone:{CALL}"));
    let page = served.metrics_page().await;
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    for text in [printed, page] {
        for kept in &shown {
            // Neither whole nor in parts.
            assert!(!kept.split('.').any(|part| text.contains(part)), "{text}");
        }
        assert!(!text.contains(ANI) && !text.contains(SECRET), "{text}");
    }
}

#[tokio::test]
async fn explain_tells_of_a_call_what_the_edge_would_do() {
    let phoned = Phoned::new().await;
    let world = &phoned.world;
    let config = world.folder.join("edge.toml").display().to_string();
    let token = phoned.token(|_| {});
    let bearer = format!("Authorization: Bearer {token}");
    let connection = format!("x-ms-call-connection-id: {CONNECTION}");
    let explain = async |url: &str| {
        let args = [
            "explain",
            "--config",
            &config,
            url,
            "-H",
            &bearer,
            "-H",
            &connection,
        ];
        run(&args).await
    };
    let good = secret(|_| {});
    let (code, out, err) = explain(&target("open", &good)).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for said in [
        "route       open",
        "a bearer credential and a call's secret",
        &format!("identity    phone:{CALL}"),
        &format!("{CALL}, its signed URL says a number, a SIP id, its connection"),
        CONNECTION,
    ] {
        assert!(out.contains(said), "{said} is not in:\n{out}");
    }
    assert!(!out.contains(ANI) && !out.contains(&good) && !out.contains(&token));
    for (what, secret, status) in bad_secrets(&phoned) {
        let (code, out, err) = explain(&target("open", &secret)).await;
        assert_eq!(code, 1, "{what}: {out}");
        assert!(err.contains(&format!("status {status}")), "{what}: {err}");
        let check = if status == 401 {
            "NO  identity"
        } else {
            "NO  call"
        };
        assert!(out.contains(check), "{what}: {out}");
    }
    assert_eq!(world.upstream_total(), 0, "something was dialled");
}

#[tokio::test]
async fn token_mint_prints_a_media_url_that_the_edge_takes() {
    let phoned = Phoned::new().await;
    let world = &phoned.world;
    let config = world.folder.join("edge.toml").display().to_string();
    let mint = ["token", "mint", "--config", &config, "--call", CALL];
    let base = format!("wss://localhost:{}", world.port);
    let more = [
        "--base",
        &base,
        "--route",
        "pstn",
        "--ani",
        ANI,
        "--expires",
        "90s",
    ];
    let (code, out, err) = run(&[&mint[..], &more].concat()).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let url = out.trim_end();
    let target = url.strip_prefix(&base).unwrap();
    assert!(target.starts_with(&format!("/pstn/{CALL}?s=")), "{url}");
    let claims = target.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        (&claims["ani"], &claims["route"]),
        (&json!(ANI), &json!("pstn"))
    );
    let left = claims["exp"].as_u64().unwrap() - now();
    assert!((80..=90).contains(&left), "{left}");
    // It is for that route only.
    let elsewhere = target.replace("/pstn/", "/open/");
    assert_eq!(phoned.ask_with_token(&elsewhere).await, 403);
    let (_, out, _) = run(&[&mint[..], &["--route", "open", "--base", &base]].concat()).await;
    let target = out.trim_end().strip_prefix(&base).unwrap();
    assert_eq!(phoned.ask_with_token(target).await, 101);
    for (more, code, said) in [
        (&[][..], 1, "--route"),
        (&["--route", "browser"], 1, "no such route"),
        // What the edge would not take is not signed.
        (&["--route", "pstn"], 1, "--ani"),
        (&["--route", "sip-header"], 1, "--sip"),
        (&["--route", "open", "--base", "https://x"], 1, "wss://"),
        (&["--route", "open", "--expires", "25h"], 1, "24 hours"),
        (&["--ani", "15551234567"], 2, "+15551234567"),
        (&["--sip", "a:b"], 2, "letters"),
        (
            &["--issuer", "https://localhost:1"],
            2,
            "cannot be used with",
        ),
    ] {
        let (exit, out, err) = run(&[&mint[..], more].concat()).await;
        assert_eq!((exit, out.as_str()), (code, ""), "{more:?}: {err}");
        assert!(err.contains(said), "{more:?}: {err}");
    }
    let (code, _, err) = run(&["token", "mint", "--ani", ANI]).await;
    assert!(code == 2 && err.contains("--call"), "{err}");
}
