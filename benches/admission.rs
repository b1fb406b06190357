//! What does it cost to decide: a refused credential and an admitted one, by kind, and a hostile
//! head in small pieces?
//!
//! `cargo bench --bench admission`. Keys of issuers come from a simulated issuer once; what is
//! measured is the decision alone, on one thread.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tonegate::admission::{Admission, Denied, Grant, Now, Request, Told};
use tonegate::config::{Live, Settings};
use tonegate::listener::head;
use tonegate::metrics::Metrics;
use tonegate::secret::Digest;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{Issuer, Options};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

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
        let options = Options {
            identity: Some(identity),
            ..Options::loopback()
        };
        let issuer = runtime.block_on(Issuer::bind(options)).expect("a socket");
        let provider = issuer.provider();
        runtime.spawn(issuer.serve(Default::default()));
        let roots = std::env::temp_dir().join(format!("tonegate-bench-{}.pem", std::process::id()));
        std::fs::write(&roots, authority.pem()).expect("a file");
        let settings = Settings::read_text("bench", &settings(&provider.base(), &roots));
        let live = settings.expect("good settings").live;
        std::fs::remove_file(roots).expect("a file");
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
    fn decide(&self, headers: &[(&str, &str)]) -> Result<Grant, Denied> {
        let mut request = http::Request::builder().uri("/ws?model=gpt-realtime");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let asked = Request {
            route: &self.live.routes[0],
            head: &head,
            peer: [192, 0, 2, 1].into(),
            by_hop: false,
            certificate: None,
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
}

/// What waits in the background moves while a decision is driven, and at no other time.
fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

fn settings(base: &str, roots: &std::path::Path) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\
         [[keys]]\nname = \"k\"\nsha256 = \"{}\"\n\
         [issuers.users]\nkind = \"entra\"\nauthority = \"{base}\"\ntenants = [\"{TENANT}\"]\n\
         audience = [\"api://edge\"]\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n\
         roots = \"{}\"\n\
         [upstreams.v]\nkind = \"voice-live\"\nresource = \"res\"\ncredential = {{ key = \"k\" }}\n\
         [[routes]]\nname = \"r\"\npaths = [\"/ws\"]\nkind = \"voice-live\"\n\
         admit = [\"users\", \"key\"]\nmodels = [\"gpt-realtime\"]\nupstreams = [\"v\"]\n\
         limits = {{ sessions = 100000, sessions_per_address = 100000, upgrades = \"1000000/s\" }}\n",
        Digest::of("the-key").to_hex(),
        roots.display(),
    )
}

fn decisions(c: &mut Criterion) {
    let bench = Bench::new();
    let good = bench.token(Algorithm::Rs256, |_| {});
    // The first one waits for the keys.
    assert!(bench.decide(&[("authorization", &good)]).is_ok());
    let mut group = c.benchmark_group("decide");
    group.measurement_time(Duration::from_secs(3));
    let fixed = [
        ("admitted, key", "api-key", "the-key".to_owned(), true),
        (
            "admitted, RS256 token seen before",
            "authorization",
            good.clone(),
            true,
        ),
        ("refused, no credential", "accept", "*/*".to_owned(), false),
        ("refused, wrong key", "api-key", "x".repeat(40), false),
        (
            "refused, garbage",
            "authorization",
            "Bearer a.b.c".to_owned(),
            false,
        ),
        (
            "refused, expired",
            "authorization",
            bench.token(Algorithm::Rs256, |mint| mint.claims["exp"] = json!(1)),
            false,
        ),
        (
            "refused, alg none",
            "authorization",
            bench.token(Algorithm::None, |_| {}),
            false,
        ),
        (
            "refused, bad signature",
            "authorization",
            bench.token(Algorithm::Rs256, |mint| mint.key = KeyChoice::Unpublished),
            false,
        ),
    ];
    for (name, header, value, enters) in &fixed {
        let decided = bench.decide(&[(header, value)]);
        assert_eq!(decided.is_ok(), *enters, "{name}");
        group.bench_function(*name, |b| {
            b.iter(|| black_box(bench.decide(&[(header, value)])).is_ok());
        });
    }
    for (name, algorithm) in [
        ("admitted, RS256 token first seen", Algorithm::Rs256),
        ("admitted, ES256 token first seen", Algorithm::Es256),
        ("admitted, EdDSA token first seen", Algorithm::EdDsa),
    ] {
        let serial = std::cell::Cell::new(0u64);
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    serial.set(serial.get() + 1);
                    let id = json!(format!("{name} {}", serial.get()));
                    bench.token(algorithm.clone(), |mint| mint.claims["jti"] = id.clone())
                },
                |token| assert!(bench.decide(&[("authorization", &token)]).is_ok()),
                criterion::BatchSize::SmallInput,
            );
        });
    }
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
