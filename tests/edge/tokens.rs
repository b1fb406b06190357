//! Tokens, through real sockets and from a simulated issuer: what must not enter, in every place
//! that may hold a token, and what may.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{Issuer, Options};

use crate::harness::{KEY, Wish, World, text};

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";
pub const AUDIENCE: &str = "api://media-edge";
/// What Voice Live takes.
pub const VOICE_LIVE: &str = "https://ai.azure.com";
const TARGET: &str = "/ws?model=sim-echo";

/// Places of a token that the battery tries.
const PLACES: usize = 7;

/// Where a cookie enters, from a known page only.
const PAGE: &str = r#"
[[routes]]
name = "page"
paths = ["/page"]
kind = "voice-live"
admit = ["users"]
accept = ["cookie"]
origins = ["https://app.example.com"]
without_origin = false
models = ["sim-echo"]
upstreams = ["voice"]
"#;

/// A world whose route admits tokens of a simulated issuer.
pub struct Issued {
    pub world: World,
    pub provider: Arc<Provider>,
    stop: CancellationToken,
}

impl Drop for Issued {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Issued {
    pub async fn usual() -> Issued {
        Issued::with(Wish::default(), AUDIENCE, "").await
    }

    /// `more` are lines of the issuer's table; `ISSUER` is where the issuer is. A wish whose `admit` is the usual one gets tokens,
    /// too.
    pub async fn with(mut wish: Wish, audience: &str, more: &str) -> Issued {
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
        if wish.admit == Wish::default().admit {
            wish.admit = "\"key\", \"users\"".to_owned();
            wish.accept = "\"header\", \"query\", \"subprotocol\"".to_owned();
            wish.more.push_str(PAGE);
        }
        wish.more.push_str(&format!(
            "[issuers.users]\nkind = \"entra\"\nauthority = \"{}\"\ntenants = [\"{TENANT}\"]\n\
             audience = [\"{audience}\"]\nroots = \"ca.pem\"\n{}\n",
            provider.base(),
            more.replace("ISSUER", &provider.base()),
        ));
        let identity = authority.issue(&names).unwrap();
        let world = World::with_upstream_identity(wish, authority, identity).await;
        Issued {
            world,
            provider,
            stop,
        }
    }

    /// A good token, changed.
    pub fn token(&self, change: impl FnOnce(&mut Mint)) -> String {
        let mut mint = Mint::entra_v2(&self.provider.base(), TENANT, AUDIENCE);
        change(&mut mint);
        self.provider.mint(&mint)
    }

    /// Asks with a token in each place; the statuses of the answers, 101 for an admission.
    async fn in_every_place(&self, token: &str) -> Vec<u16> {
        let bearer = format!("Bearer {token}");
        let carriers = ["authorization.bearer", "bearer", "openai-insecure-api-key"];
        let [full, short, openai] = carriers.map(|name| format!("realtime, {name}.{token}"));
        let name = "Sec-WebSocket-Protocol";
        let cookie = format!("tonegate={token}");
        let page = ("Origin", "https://app.example.com");
        let places: [(String, Vec<(&str, &str)>); PLACES] = [
            (TARGET.to_owned(), vec![("Authorization", &bearer)]),
            (format!("{TARGET}&token={token}"), Vec::new()),
            (format!("{TARGET}&authorization=Bearer+{token}"), Vec::new()),
            (TARGET.to_owned(), vec![(name, &full)]),
            (TARGET.to_owned(), vec![(name, &short)]),
            (TARGET.to_owned(), vec![(name, &openai)]),
            (
                "/page?model=sim-echo".to_owned(),
                vec![("Cookie", &cookie), page],
            ),
        ];
        let mut statuses = Vec::new();
        for (target, headers) in &places {
            statuses.push(match self.world.ask(target, headers).await {
                Ok(mut caller) => {
                    caller.send(text("in")).await;
                    assert_eq!(caller.next().await, Some(text("in")));
                    caller.close(1000, "").await;
                    caller.closed().await;
                    101
                }
                Err(refused) => {
                    assert!(!refused.head.contains(token) && !refused.body.contains(token));
                    refused.status
                }
            });
        }
        statuses
    }

    async fn enters(&self, token: &str) {
        assert_eq!(self.in_every_place(token).await, [101; PLACES]);
    }

    async fn is_refused(&self, what: &str, token: &str, status: u16) {
        let dialled = self.world.upstream_total();
        assert_eq!(self.in_every_place(token).await, [status; PLACES], "{what}");
        assert_eq!(
            self.world.upstream_total(),
            dialled,
            "{what} was dialled for"
        );
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Claims that are nearly right.
fn claims(base: &str) -> Vec<(&'static str, &'static str, Value)> {
    let iss = format!("{base}/{TENANT}/v2.0");
    vec![
        ("another issuer", "iss", json!("https://evil.example/v2.0")),
        ("an issuer with a slash", "iss", json!(format!("{iss}/"))),
        ("an issuer in capitals", "iss", json!(iss.to_uppercase())),
        ("a list of issuers", "iss", json!([iss])),
        (
            "the issuer of another tenant",
            "iss",
            json!(format!("{base}/{OTHER_TENANT}/v2.0")),
        ),
        ("another audience", "aud", json!("api://other")),
        ("a longer audience", "aud", json!(format!("{AUDIENCE}/x"))),
        (
            "an audience in capitals",
            "aud",
            json!(AUDIENCE.to_uppercase()),
        ),
        ("an empty list of audiences", "aud", json!([])),
        ("an audience that is a number", "aud", json!(7)),
        ("expired", "exp", json!(now() - 61)),
        (
            "an expiry that is text",
            "exp",
            json!((now() + 600).to_string()),
        ),
        ("an expiry that is no date", "exp", json!(-5)),
        ("a start in the future", "nbf", json!(now() + 120)),
        ("a start that is text", "nbf", json!("0")),
        ("another tenant", "tid", json!(OTHER_TENANT)),
        (
            "the tenant of personal accounts",
            "tid",
            json!("9188040d-6c67-4c5b-b112-36a304b66dad"),
        ),
        ("the other version", "ver", json!("1.0")),
        ("a version that is a number", "ver", json!(2)),
        ("a subject that is empty", "oid", json!("")),
        ("a subject that is a list", "oid", json!(["a"])),
    ]
}

#[tokio::test]
async fn s09_claims_that_are_nearly_right_do_not_enter() {
    let issued = Issued::usual().await;
    let claims = claims(&issued.provider.base());
    for (what, name, value) in claims {
        let token = issued.token(|mint| mint.claims[name] = value);
        issued.is_refused(what, &token, 401).await;
    }
    for name in ["iss", "aud", "exp", "tid", "ver"] {
        let token = issued.token(|mint| {
            mint.claims.as_object_mut().unwrap().remove(name);
        });
        issued.is_refused(name, &token, 401).await;
    }
    let nobody = issued.token(|mint| {
        let claims = mint.claims.as_object_mut().unwrap();
        claims.remove("oid");
        claims.remove("sub");
    });
    issued.is_refused("nobody's", &nobody, 401).await;
    issued.enters(&issued.token(|_| {})).await;
    let refused = |route| {
        let labels = format!("route=\"{route}\",result=\"unauthenticated\"");
        issued
            .world
            .count(&format!("tonegate_requests_total{{{labels}}}"))
    };
    let tokens = 21 + 5 + 1;
    assert_eq!(refused("browser"), (PLACES as u64 - 1) * tokens);
    assert_eq!(refused("page"), tokens);
    issued.world.settles().await;
}

/// Good claims signed with a stranger's key, which the token brings along in every way there is.
fn with_a_key_of_their_own(issued: &Issued) -> Vec<(&'static str, String)> {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{self, KeyPair as _};
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = key.public_key();
    let n = part(public.modulus().big_endian_without_leading_zero());
    let e = part(public.exponent().big_endian_without_leading_zero());
    let own = json!({"kty": "RSA", "kid": "own", "use": "sig", "alg": "RS256", "n": n, "e": e});
    let der: PublicKeyX509Der<'_> = public.as_der().unwrap();
    let certificate = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let claims = Mint::entra_v2(&issued.provider.base(), TENANT, AUDIENCE).claims;
    let kid = issued.provider.kid();
    let random = aws_lc_rs::rand::SystemRandom::new();
    [
        ("a stranger's key inside", json!({"kid": "own", "jwk": own})),
        (
            "the same under the issuer's name",
            json!({"kid": kid, "jwk": own}),
        ),
        (
            "a stranger's certificate inside",
            json!({"kid": "own", "x5c": [certificate]}),
        ),
    ]
    .map(|(what, mut header)| {
        header["alg"] = json!("RS256");
        let head = part(header.to_string().as_bytes());
        let message = format!("{head}.{}", part(claims.to_string().as_bytes()));
        let mut signed = vec![0; key.public_modulus_len()];
        let bytes = message.as_bytes();
        key.sign(&signature::RSA_PKCS1_SHA256, &random, bytes, &mut signed)
            .unwrap();
        (what, format!("{message}.{}", part(&signed)))
    })
    .into()
}

/// Tokens that are signed with something else than the issuer's key and algorithm.
fn forged(issued: &Issued) -> Vec<(&'static str, String)> {
    let pem = issued.provider.public_pem().into_bytes();
    let keys = issued.provider.keys_document();
    let moduli = keys["keys"].as_array().unwrap().iter();
    let modulus = moduli.filter_map(|key| key["n"].as_str()).next().unwrap();
    let secret = |secret: &[u8]| Algorithm::Hs256 {
        secret: secret.to_vec(),
    };
    let signed = |algorithm| issued.token(|mint| mint.algorithm = algorithm);
    let mut forged = vec![
        ("alg none", signed(Algorithm::None)),
        ("HS256 with the public key", signed(secret(&pem))),
        ("HS256 with its modulus", signed(secret(modulus.as_bytes()))),
        ("HS256 with nothing", signed(secret(b""))),
        ("RS384, not the issuer's", signed(Algorithm::Rs384)),
        ("PS256, not the issuer's", signed(Algorithm::Ps256)),
        ("ES256, not the issuer's", signed(Algorithm::Es256)),
        ("EdDSA, not the issuer's", signed(Algorithm::EdDsa)),
    ];
    let evil = issued.provider.base();
    forged.extend(with_a_key_of_their_own(issued));
    for (what, header) in [
        ("somebody else's key", json!({})),
        (
            "somebody else's key inside",
            json!({"jwk": keys["keys"][0]}),
        ),
        (
            "a place for keys inside",
            json!({"jku": format!("{evil}/evil/keys")}),
        ),
        (
            "a certificate's place inside",
            json!({"x5u": format!("{evil}/evil/x5u")}),
        ),
        ("a certificate inside", json!({"x5c": ["MIIB"]})),
    ] {
        let planted = issued.token(|mint| {
            mint.key = KeyChoice::Unpublished;
            mint.header = header;
        });
        forged.push((what, planted));
    }
    forged
}

#[tokio::test]
async fn s08_signatures_and_headers_that_are_not_the_issuers_do_not_enter() {
    let issued = Issued::usual().await;
    for (what, token) in forged(&issued) {
        issued.is_refused(what, &token, 401).await;
    }
    for (what, header) in [
        ("a path for a key's name", json!({"kid": "../../dev/null"})),
        ("no key's name", json!({"kid": null})),
        ("a key's name that is a number", json!({"kid": 7})),
        (
            "J2: a critical extension",
            json!({"crit": ["exp"], "exp": 1}),
        ),
        ("J2: an empty list of those", json!({"crit": []})),
        ("a token for logging out", json!({"typ": "logout+jwt"})),
        ("an encrypted one", json!({"enc": "A128GCM"})),
        ("a compressed one", json!({"zip": "DEF"})),
        ("an algorithm in small letters", json!({"alg": "rs256"})),
    ] {
        let token = issued.token(|mint| mint.header = header);
        issued.is_refused(what, &token, 401).await;
    }
    // No address in a token was ever asked.
    assert_eq!(issued.provider.others(), Vec::<String>::new());
    issued.enters(&issued.token(|_| {})).await;
    issued.world.settles().await;
}

#[tokio::test]
async fn s08_what_was_changed_after_it_was_signed_does_not_enter() {
    let issued = Issued::usual().await;
    let good = issued.token(|_| {});
    let other = issued.token(|mint| mint.claims["oid"] = json!("somebody-else"));
    let parts = |token: &str| -> Vec<String> { token.split('.').map(str::to_owned).collect() };
    let (a, b) = (parts(&good), parts(&other));
    let cut = &good[..good.len() - 2];
    let cases = [
        (
            "the claims of another",
            format!("{}.{}.{}", a[0], b[1], a[2]),
        ),
        (
            "the signature of another",
            format!("{}.{}.{}", a[0], a[1], b[2]),
        ),
        ("no signature", format!("{}.{}.", a[0], a[1])),
        ("a shorter signature", cut.to_owned()),
        ("one part more", format!("{good}.x")),
        ("one part less", format!("{}.{}", a[0], a[1])),
        ("empty parts", "..".to_owned()),
        ("no base64", "a$.b$.c$".replace('$', "-_-")),
        ("garbage", "eyJ.eyJ.eyJ".to_owned()),
        ("a padded one", format!("{good}%3D").replace("%3D", "_")),
        ("JSON itself", "eyJhbGciOiJSUzI1NiJ9.e30.e30".to_owned()),
    ];
    for (what, token) in &cases {
        issued.is_refused(what, token, 401).await;
    }
    let large = issued.token(|mint| mint.claims["groups"] = json!("g".repeat(13_000)));
    assert!(large.len() > 16 * 1024, "{}", large.len());
    let bearer = format!("Bearer {large}");
    let refused = issued
        .world
        .refused(TARGET, &[("Authorization", &bearer)])
        .await;
    refused.is(401, "unauthenticated");
    let most = issued.token(|mint| mint.claims["groups"] = json!("g".repeat(9_000)));
    issued.enters(&most).await;
    issued.world.settles().await;
}

#[tokio::test]
async fn b05_both_versions_of_a_token_enter_and_the_log_names_the_subject() {
    let issued = Issued::usual().await;
    issued.enters(&issued.token(|_| {})).await;
    let v1 = issued.provider.mint(&Mint::entra_v1(TENANT, AUDIENCE));
    issued.enters(&v1).await;
    let several = issued.token(|mint| mint.claims["aud"] = json!(["api://x", AUDIENCE]));
    issued.enters(&several).await;
    // A key enters the same route as before.
    issued.world.still_serves().await;
    let counts = issued.provider.counts();
    assert_eq!(
        (counts.metadata, counts.keys),
        (1, 1),
        "keys are fetched once"
    );
}

#[tokio::test]
async fn an_oidc_provider_with_keys_of_other_kinds() {
    let issued = Issued::usual().await;
    let base = issued.provider.base();
    let wish = Wish {
        admit: "\"partner\"".to_owned(),
        more: format!(
            "[issuers.partner]\nkind = \"oidc\"\nissuer = \"{base}\"\naudience = [\"edge\"]\n\
             algorithms = [\"ES256\", \"EdDSA\"]\nroots = \"{}\"\n",
            issued.world.folder.join("ca.pem").display()
        ),
        ..Wish::default()
    };
    let world = World::with(wish).await;
    for (algorithm, enters) in [
        (Algorithm::Es256, true),
        (Algorithm::EdDsa, true),
        (Algorithm::Rs256, false),
    ] {
        let mut mint = Mint::oidc(&base, "edge");
        mint.algorithm = algorithm;
        let bearer = format!("Bearer {}", issued.provider.mint(&mint));
        let asked = world.ask(TARGET, &[("Authorization", &bearer)]).await;
        assert_eq!(asked.is_ok(), enters, "{:?}", mint.algorithm.name());
    }
    // Nothing for a signature: zero and zero fit every message where that is not looked at.
    let mut mint = Mint::oidc(&base, "edge");
    mint.algorithm = Algorithm::Es256;
    let token = issued.provider.mint(&mint);
    let (message, _) = token.rsplit_once('.').unwrap();
    let bearer = format!("Bearer {message}.{}", "A".repeat(86));
    let refused = world.refused(TARGET, &[("Authorization", &bearer)]).await;
    refused.is(401, "unauthenticated");
    // A token of another issuer of the same keys is none of this one's.
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let refused = world.refused(TARGET, &[("Authorization", &bearer)]).await;
    refused.is(401, "unauthenticated");
}

#[tokio::test]
async fn s09_a_good_token_without_the_right_scope_role_or_application_is_forbidden() {
    let more = "scopes = [\"voice\"]\nroles = [\"Caller\"]\nclients = [\"app-1\"]";
    let issued = Issued::with(Wish::default(), AUDIENCE, more).await;
    let token = |scp: Value, roles: Value, azp: Value| {
        issued.token(|mint| {
            mint.claims["scp"] = scp;
            mint.claims["roles"] = roles;
            mint.claims["azp"] = azp;
        })
    };
    let none = Value::Array(Vec::new());
    for (scp, roles) in [
        (json!("voice"), none.clone()),
        (json!("x voice y"), none.clone()),
        (json!(""), json!(["Caller"])),
    ] {
        let good = token(scp, roles, json!("app-1"));
        issued.enters(&good).await;
    }
    for (what, bad) in [
        ("no scope", token(json!(""), none.clone(), json!("app-1"))),
        (
            "another scope",
            token(json!("voices"), none.clone(), json!("app-1")),
        ),
        (
            "another role",
            token(json!("x"), json!(["caller"]), json!("app-1")),
        ),
        (
            "another application",
            token(json!("voice"), none.clone(), json!("app-2")),
        ),
    ] {
        issued.is_refused(what, &bad, 403).await;
    }
    let bearer = format!("Bearer {}", token(json!(""), none, json!("app-1")));
    let refused = issued
        .world
        .refused(TARGET, &[("Authorization", &bearer)])
        .await;
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_scope"), "{challenge}");
}

#[tokio::test]
async fn all_that_is_required_must_be_shown() {
    let wish = Wish {
        admit: "]\nrequire = [\"key\", \"users\"".to_owned(),
        ..Wish::default()
    };
    let issued = Issued::with(wish, AUDIENCE, "").await;
    let good = format!("Bearer {}", issued.token(|_| {}));
    let bad = format!(
        "Bearer {}",
        issued.token(|mint| mint.claims["exp"] = json!(1))
    );
    let cases: [(&[(&str, &str)], u16); 6] = [
        (&[("api-key", KEY), ("Authorization", &good)], 101),
        (&[("Authorization", &good)], 401),
        (&[("api-key", KEY)], 401),
        (&[("api-key", "wrong"), ("Authorization", &good)], 401),
        (&[("api-key", KEY), ("Authorization", &bad)], 401),
        (&[], 401),
    ];
    for (headers, status) in cases {
        let got = match issued.world.ask(TARGET, headers).await {
            Ok(_) => 101,
            Err(refused) => refused.status,
        };
        assert_eq!(got, status, "{headers:?}");
    }
    assert_eq!(issued.world.upstream_total(), 1);
}

#[tokio::test]
async fn s11_a_token_and_another_credential_are_ambiguous() {
    let issued = Issued::usual().await;
    let good = issued.token(|_| {});
    let other = issued.token(|mint| mint.claims["oid"] = json!("somebody-else"));
    let bearer = format!("Bearer {good}");
    let twice = format!("{TARGET}&token={other}");
    let cases: [(&str, &[(&str, &str)]); 3] = [
        (TARGET, &[("Authorization", &bearer), ("api-key", KEY)]),
        (&twice, &[("Authorization", &bearer)]),
        (
            TARGET,
            &[("Authorization", &bearer), ("Authorization", &bearer)],
        ),
    ];
    for (target, headers) in cases {
        issued
            .world
            .refused(target, headers)
            .await
            .is(400, "bad_request");
    }
    // The same one in two places is one.
    let once = format!("{TARGET}&token={good}");
    let caller = issued.world.ask(&once, &[("Authorization", &bearer)]).await;
    assert!(caller.is_ok());
}

#[tokio::test]
async fn s41_b14_a_session_ends_with_the_token_it_was_opened_with() {
    let issued = Issued::with(Wish::default(), AUDIENCE, "leeway = \"0s\"").await;
    let token = issued.token(|mint| mint.claims["exp"] = json!(now() + 3));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let mut caller = issued.world.ask(TARGET, &headers).await.unwrap();
    caller.send(text("while it lasts")).await;
    assert_eq!(caller.next().await, Some(text("while it lasts")));
    assert_eq!(
        caller.closed().await,
        (Some(4440), "lease_expired".to_owned())
    );
    let seen = issued
        .world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.close_received.unwrap().0, Some(4440));
    // And it opens no other one, remembered or not.
    let refused = issued.world.refused(TARGET, &headers).await;
    refused.is(401, "unauthenticated");
    issued.world.settles().await;
}

#[tokio::test]
async fn s12_a_token_is_no_key_and_a_key_is_no_token() {
    let issued = Issued::usual().await;
    let token = issued.token(|_| {});
    let refused = issued.world.refused(TARGET, &[("api-key", &token)]).await;
    refused.is(401, "unauthenticated");
    let wish = Wish {
        admit: "\"users\"".to_owned(),
        ..Wish::default()
    };
    let tokens_only = Issued::with(wish, AUDIENCE, "").await;
    let bearer = format!("Bearer {KEY}");
    for headers in [[("api-key", KEY)], [("Authorization", &bearer)]] {
        let refused = tokens_only.world.refused(TARGET, &headers).await;
        refused.is(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_that_never_ends_enters_and_harms_nobody() {
    let issued = Issued::usual().await;
    let token = issued.token(|mint| mint.claims["exp"] = json!(i64::MAX));
    issued.enters(&token).await;
    issued.world.settles().await;
}

#[tokio::test]
async fn s09_a_bare_token_of_a_tenant_is_forbidden_unless_voice_live_judges_it() {
    let bare = |mint: &mut Mint| {
        let claims = mint.claims.as_object_mut().unwrap();
        claims.remove("scp");
        claims.remove("roles");
    };
    let issued = Issued::usual().await;
    let token = issued.token(bare);
    issued.is_refused("a bare token", &token, 403).await;
    let issued = Issued::with(Wish::default(), VOICE_LIVE, "").await;
    let token = issued.token(|mint| {
        bare(mint);
        mint.claims["aud"] = json!(VOICE_LIVE);
    });
    issued.enters(&token).await;
}

#[tokio::test]
async fn two_issuers_of_one_tenant_are_told_apart_by_what_they_demand() {
    let issued = Issued::usual().await;
    let table = |name: &str| {
        format!(
            "[issuers.{name}]\nkind = \"entra\"\nauthority = \"{}\"\ntenants = [\"{TENANT}\"]\n\
             audience = [\"api://{name}\"]\nroots = \"{}\"\n",
            issued.provider.base(),
            issued.world.folder.join("ca.pem").display()
        )
    };
    let wish = Wish {
        admit: "\"first\", \"second\"".to_owned(),
        more: table("first") + &table("second"),
        ..Wish::default()
    };
    let world = World::with(wish).await;
    for (audience, enters) in [
        ("api://first", true),
        ("api://second", true),
        ("api://x", false),
    ] {
        let token = issued.token(|mint| mint.claims["aud"] = json!(audience));
        let bearer = format!("Bearer {token}");
        let asked = world.ask(TARGET, &[("Authorization", &bearer)]).await;
        assert_eq!(asked.is_ok(), enters, "{audience}");
    }
}
