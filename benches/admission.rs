//! What does it cost to decide: a refused credential and an admitted one, by kind, and a hostile
//! head in small pieces?
//!
//! `cargo bench --bench admission`. Keys of issuers come from a simulated issuer once; what is
//! measured is the decision alone, on one thread: no TLS, no store, no dial. A token that was seen
//! before is looked up, one that is first seen is verified. What is spent at the store (a ticket, ACS'
//! token of a call) is judged here and spent behind this. `loadtest/upgrades.py` measures whole upgrades.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tonegate::admission::media_url::{Signed, Signer};
use tonegate::admission::{Admission, Certificate, Denied, Grant, Now, Request, Told};
use tonegate::config::{Live, Settings};
use tonegate::ids::CallId;
use tonegate::listener::head;
use tonegate::metrics::Metrics;
use tonegate::secret::Digest;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{Issuer, Options};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const RESOURCE: &str = "22222222-3333-4444-5555-666666666666";
const TICKETS_FOR: &str = "wss://edge.example.com";
/// Of tickets and of media URLs.
const SECRET: &str = "a secret of the bench, and it is long enough";
const PHONE: usize = 1;

struct Bench {
    runtime: Runtime,
    admission: Arc<Admission>,
    live: Live,
    provider: Arc<Provider>,
}

impl Bench {
    fn new() -> Bench {
        let runtime = runtime();
        let authority = Authority::new("bench");
        let identity = authority.issue(&["localhost"]).expect("an identity");
        let own = identity.clone();
        let options = Options {
            identity: Some(identity),
            ..Options::loopback()
        };
        let issuer = runtime.block_on(Issuer::bind(options)).expect("a socket");
        let provider = issuer.provider();
        runtime.spawn(issuer.serve(Default::default()));
        let directory = std::env::temp_dir().join(format!("tonegate-bench-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory");
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("leaf.pem", &own.chain_pem),
            ("leaf.key", &own.key_pem),
        ] {
            std::fs::write(directory.join(name), text).expect("a file");
        }
        let settings = Settings::read_text("bench", &settings(&provider.base(), &directory));
        std::fs::remove_dir_all(directory).expect("a directory");
        let live = settings.unwrap_or_else(|error| panic!("{error}")).live;
        let metrics = Arc::new(Metrics::new());
        let admission = Arc::new(Admission::new(&live, &metrics).expect("an admission"));
        for keys in admission.issuer_keys() {
            runtime.spawn(async move { keys.run().await });
        }
        Bench {
            runtime,
            admission,
            live,
            provider,
        }
    }

    /// One decision; it never waits, as the keys are there.
    fn decide(&self, asks: &Asks<'_>) -> Result<Grant, Denied> {
        let mut request = http::Request::builder().uri(asks.target);
        for (name, value) in asks.headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let asked = Request {
            route: &self.live.routes[asks.route],
            head: &head,
            peer: [192, 0, 2, 1].into(),
            by_hop: asks.by_hop,
            certificate: asks.certificate,
            now: Now::read(),
        };
        let mut told = Told::nobody();
        self.runtime
            .block_on(self.admission.decide(asked, &mut told))
    }

    fn token(&self, algorithm: Algorithm, change: impl Fn(&mut Mint)) -> String {
        let mut mint = Mint::entra_v2(&self.provider.base(), TENANT, "api://edge");
        mint.algorithm = algorithm;
        change(&mut mint);
        format!("Bearer {}", self.provider.mint(&mint))
    }

    /// ACS' own, for the media socket of a call.
    fn of_acs(&self, id: u64) -> String {
        let mint = Mint::acs(RESOURCE).with("jti", json!(format!("call {id}")));
        format!("Bearer {}", self.provider.mint(&mint))
    }

    /// A media URL's path and query.
    fn media(&self, call: &str) -> String {
        let signer = Signer::new(self.live.calls.as_ref().expect("calls")).expect("a secret");
        let signed = Signed {
            ani: tonegate::ids::PhoneNumber::new("+15551234567"),
            ..Signed::of(CallId::new(call).expect("an id"))
        };
        let life = Duration::from_secs(3600);
        let url = signer.url(
            "wss://edge.example.com",
            "/acs/media/{call}",
            &signed,
            SystemTime::now(),
            life,
        );
        let url = url.expect("a URL");
        let (_, target) = url.expose().split_once("example.com").expect("an origin");
        target.to_owned()
    }
}

/// A request, as far as it decides.
#[derive(Clone, Copy)]
struct Asks<'a> {
    /// Of the settings' routes.
    route: usize,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    by_hop: bool,
    certificate: Option<&'a Certificate>,
}

impl<'a> Asks<'a> {
    fn with(headers: &'a [(&'a str, &'a str)]) -> Asks<'a> {
        Asks {
            route: 0,
            target: "/ws?model=gpt-realtime",
            headers,
            by_hop: false,
            certificate: None,
        }
    }
}

/// A ticket, signed by hand: what makes it is not what is measured.
fn ticket(id: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a time").as_secs();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "one"});
    let claims = json!({"aud": TICKETS_FOR, "iat": now, "exp": now + 50, "jti": format!("t{id}"), "sub": "u"});
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("Bearer {text}.{signature}")
}

/// As App Service tells of a person whom it has signed in.
fn principal() -> String {
    let claim = |typ: &str, val: &str| json!({"typ": typ, "val": val});
    let claims = [
        claim(
            "http://schemas.microsoft.com/identity/claims/objectidentifier",
            RESOURCE,
        ),
        claim(
            "http://schemas.microsoft.com/identity/claims/tenantid",
            TENANT,
        ),
        claim("name", "A Person"),
        claim("preferred_username", "person@example.com"),
    ];
    STANDARD.encode(json!({"auth_typ": "aad", "claims": claims}).to_string())
}

/// What waits in the background moves while a decision is driven, and at no other time.
fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

fn settings(base: &str, directory: &std::path::Path) -> String {
    let (key, directory) = (Digest::of("the-key").to_hex(), directory.display());
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        tls = {{ certificate = "{directory}/leaf.pem", key = "{directory}/leaf.key", client_roots = "{directory}/ca.pem" }}
        [hops]
        networks = ["192.0.2.0/24"]
        speak = "http"
        [[keys]]
        name = "k"
        sha256 = "{key}"
        [[certificates]]
        name = "c"
        dns = "client.example.com"
        [tickets]
        audience = "{TICKETS_FOR}"
        [[tickets.keys]]
        id = "one"
        algorithm = "HS256"
        secret = "{SECRET}"
        [calls]
        secret = "{SECRET}"
        known_by = "url"
        [issuers.users]
        kind = "entra"
        authority = "{base}"
        tenants = ["{TENANT}"]
        audience = ["api://edge"]
        algorithms = ["RS256", "ES256", "EdDSA"]
        roots = "{directory}/ca.pem"
        [issuers.phone]
        kind = "acs"
        audience = ["{RESOURCE}"]
        metadata = "{base}/calling/.well-known/acsopenidconfiguration"
        roots = "{directory}/ca.pem"
        [upstreams.v]
        kind = "voice-live"
        resource = "res"
        credential = {{ key = "k" }}
        [[routes]]
        name = "r"
        paths = ["/ws"]
        kind = "voice-live"
        admit = ["users", "key", "ticket", "certificate", "easyauth"]
        models = ["gpt-realtime"]
        upstreams = ["v"]
        limits = {{ sessions = 100000, sessions_per_address = 100000, upgrades = "1000000/s" }}
        [[routes]]
        name = "phone"
        paths = ["/acs/media/{{call}}"]
        kind = "acs-media"
        require = ["phone", "call"]
        gate = {{ flow = "pstn", digits = 6 }}
        models = ["gpt-realtime"]
        upstreams = ["v"]
        limits = {{ sessions = 100000, sessions_per_address = 100000, upgrades = "1000000/s" }}
        "#
    )
}

fn decisions(c: &mut Criterion) {
    let bench = Bench::new();
    refused(c, &bench);
    seen_before(c, &bench);
    first_seen(c, &bench);
}

/// Times what is asked again and again, if it comes to what it should.
fn again(c: &mut Criterion, bench: &Bench, name: &str, asks: &Asks<'_>, enters: bool) {
    let decided = bench.decide(asks).map(drop);
    assert_eq!(decided.is_ok(), enters, "{name}: {decided:?}");
    let mut group = c.benchmark_group("decide");
    group.measurement_time(Duration::from_secs(3));
    group.bench_function(name, |b| {
        b.iter(|| black_box(bench.decide(asks)).is_ok());
    });
}

fn refused(c: &mut Criterion, bench: &Bench) {
    let expired = bench.token(Algorithm::Rs256, |mint| mint.claims["exp"] = json!(1));
    let unsigned = bench.token(Algorithm::None, |_| {});
    let foreign = bench.token(Algorithm::Rs256, |mint| mint.key = KeyChoice::Unpublished);
    let long = "x".repeat(40);
    for (name, header) in [
        ("refused, no credential", ("accept", "*/*")),
        ("refused, wrong key", ("api-key", long.as_str())),
        ("refused, garbage", ("authorization", "Bearer a.b.c")),
        ("refused, expired", ("authorization", &expired)),
        ("refused, alg none", ("authorization", &unsigned)),
        ("refused, bad signature", ("authorization", &foreign)),
    ] {
        again(c, bench, name, &Asks::with(&[header]), false);
    }
}

/// Credentials that may be shown again.
fn seen_before(c: &mut Criterion, bench: &Bench) {
    let key = [("api-key", "the-key")];
    again(c, bench, "admitted, key", &Asks::with(&key), true);
    for (name, algorithm) in [
        ("admitted, RS256 token seen before", Algorithm::Rs256),
        ("admitted, ES256 token seen before", Algorithm::Es256),
        ("admitted, EdDSA token seen before", Algorithm::EdDsa),
    ] {
        let token = bench.token(algorithm, |_| {});
        again(
            c,
            bench,
            name,
            &Asks::with(&[("authorization", &token)]),
            true,
        );
    }
    let certificate = Certificate::new(b"a leaf", ["client.example.com"].into_iter());
    let asks = Asks {
        certificate: Some(&certificate),
        ..Asks::with(&[])
    };
    again(c, bench, "admitted, client certificate", &asks, true);
    let principal = principal();
    let headers = [
        ("x-ms-client-principal", principal.as_str()),
        ("x-ms-client-principal-id", RESOURCE),
    ];
    let asks = Asks {
        by_hop: true,
        ..Asks::with(&headers)
    };
    again(c, bench, "admitted, easyauth", &asks, true);
}

/// Credentials that nobody has shown before.
fn first_seen(c: &mut Criterion, bench: &Bench) {
    let serial = std::cell::Cell::new(0u64);
    let next = || serial.replace(serial.get() + 1);
    let token = |algorithm: Algorithm| {
        let id = json!(format!("first {}", next()));
        bench.token(algorithm, |mint| mint.claims["jti"] = id.clone())
    };
    let mut group = c.benchmark_group("decide");
    group.measurement_time(Duration::from_secs(3));
    let mut one = |name: &str, make: &dyn Fn() -> String| {
        group.bench_function(name, |b| {
            b.iter_batched(
                make,
                |shown| {
                    let headers = [("authorization", shown.as_str())];
                    assert!(bench.decide(&Asks::with(&headers)).is_ok(), "{name}");
                },
                BatchSize::SmallInput,
            );
        });
    };
    one("admitted, RS256 token first seen", &|| {
        token(Algorithm::Rs256)
    });
    one("admitted, ES256 token first seen", &|| {
        token(Algorithm::Es256)
    });
    one("admitted, EdDSA token first seen", &|| {
        token(Algorithm::EdDsa)
    });
    one("admitted, HS256 ticket", &|| ticket(next()));
    let call = "admitted, media URL and ACS token first seen";
    group.bench_function(call, |b| {
        b.iter_batched(
            || {
                (
                    bench.of_acs(next()),
                    bench.media(&format!("call-{}", next())),
                )
            },
            |(token, target)| {
                let headers = [("authorization", token.as_str())];
                let asks = Asks {
                    route: PHONE,
                    target: &target,
                    ..Asks::with(&headers)
                };
                assert!(bench.decide(&asks).is_ok(), "{call}");
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// A client that sends 100 bytes at a time.
struct Pieces<'a>(&'a [u8]);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = self.0.len().min(100).min(out.remaining());
        let (piece, rest) = self.0.split_at(count);
        out.put_slice(piece);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

/// A head of 400 kB that comes in pieces of 100 bytes: it is refused at 32 KiB.
fn hostile_head(c: &mut Criterion) {
    let runtime = runtime();
    let filler = format!("X-Filler: {}\r\n", "y".repeat(80));
    let head = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{}", filler.repeat(4300));
    assert!(head.len() > 390_000);
    c.bench_function("head of 400 kB in pieces of 100 bytes", |b| {
        b.iter(|| {
            let pieces = Pieces(head.as_bytes());
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let (_, read) = runtime.block_on(head::read(pieces, deadline));
            assert!(read.is_err());
        });
    });
}

criterion_group!(benches, decisions, hostile_head);
criterion_main!(benches);
