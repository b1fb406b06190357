//! Certificates of clients: what is none of the listed ones, or the hop's, enters nowhere; who has
//! none is not disturbed.
//!
//! The edge asks for certificates of one authority, and its own comes from another. 127.0.0.2 is a
//! hop where there are hops.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::{TlsConnector, TlsStream};
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::secret::Digest;
use tonegate::sim::certificate::{Authority, Identity};
use tonegate::sim::stream::Stream;

use crate::binary::{Served, run};
use crate::harness::{Caller, KEY, Refused, Wish, World, read_answer, request, text, within};
use crate::hops::{HOP, HTTP, STRANGER};
use crate::tokens::{AUDIENCE, Issued};

type Headers<'a> = &'a [(&'a str, &'a str)];

const CERT: &str = "/cert?model=sim-echo";
const OTHER: &str = "/other?model=sim-echo";
const EITHER: &str = "/either?model=sim-echo";
const BOTH: &str = "/both?model=sim-echo";
const USERS: &str = "/ws?model=sim-echo";
const LAMBDA: &str = "lambda.example.com";
const FAILURES: &str = "tonegate_tls_handshake_failures_total";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Whoever is listed by a name, and what that opens.
const LISTED: &str = r#"
[[certificates]]
name = "lambda"
dns = "lambda.example.com"
routes = ["cert", "either", "both"]
"#;

const ROUTES: &str = r#"
[[routes]]
name = "cert"
paths = ["/cert"]
kind = "voice-live"
admit = ["certificate"]
models = ["sim-echo"]
upstreams = ["voice"]
[[routes]]
name = "other"
paths = ["/other"]
kind = "voice-live"
admit = ["certificate"]
models = ["sim-echo"]
upstreams = ["voice"]
[[routes]]
name = "either"
paths = ["/either"]
kind = "voice-live"
admit = ["certificate", "users", "key"]
models = ["sim-echo"]
upstreams = ["voice"]
[[routes]]
name = "both"
paths = ["/both"]
kind = "voice-live"
require = ["certificate", "users"]
models = ["sim-echo"]
upstreams = ["voice"]
"#;

/// Tokens enter by `browser`, certificates by the routes above.
struct Doors {
    issued: Issued,
    clients: Authority,
}

impl Doors {
    async fn usual() -> Doors {
        Doors::with("").await
    }

    /// `more` are other tables.
    async fn with(more: &str) -> Doors {
        let mut doors = Doors {
            issued: Issued::with(Wish::default(), AUDIENCE, "").await,
            clients: Authority::new("authority of clients"),
        };
        doors.serve(&doors.clients.pem(), &format!("{LISTED}{more}"));
        doors
    }

    /// An edge with these roots and certificates in the place of the one that was there.
    fn serve(&mut self, roots: &str, tables: &str) {
        let world = &mut self.issued.world;
        fs::write(world.folder.join("clients.pem"), roots).unwrap();
        let asks = "key = \"edge.key\", client_roots = \"clients.pem\" }";
        let text = world.settings.replacen("key = \"edge.key\" }", asks, 1);
        let file = world.folder.join("edge.toml");
        fs::write(&file, format!("{text}{ROUTES}{tables}")).unwrap();
        let edge = Edge::start(&Settings::read(&[file]).unwrap()).unwrap();
        world.port = edge.public().port();
        world.edge = Some(edge);
    }

    fn world(&self) -> &World {
        &self.issued.world
    }

    fn lambda(&self) -> Identity {
        self.clients.issue_client(&[LAMBDA], None).unwrap()
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.issued.token(|_| {}))
    }

    fn client(&self, identity: Option<&Identity>) -> Client {
        self.client_of(identity, &VERSIONS)
    }

    fn client_of(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Client {
        let mut roots = RootCertStore::empty();
        let pem = self.world().authority.pem();
        for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                let chain = chain.map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Client(Arc::new(config))
    }

    /// Sends a request over `tcp`.
    async fn over(&self, tcp: TcpStream, client: &Client, request: &str) -> Asked {
        let name = "localhost".to_owned().try_into().unwrap();
        let connector = TlsConnector::from(client.0.clone());
        let tls = match within("a handshake", connector.connect(name, tcp)).await {
            Ok(tls) => tls,
            Err(_) => return Asked::Cut(None),
        };
        let kind = tls.get_ref().1.handshake_kind();
        let mut io = Stream::Tls(Box::new(TlsStream::from(tls)));
        // With TLS 1.3 the client is done before the edge has looked at its certificate.
        if !answers(&mut io, request).await {
            return Asked::Cut(kind);
        }
        match read_answer(io).await {
            Ok(caller) => Asked::Entered(Box::new(caller), kind),
            Err(refused) => Asked::Refused(refused, kind),
        }
    }

    async fn ask(&self, client: &Client, target: &str, headers: Headers<'_>) -> Asked {
        let tcp = self.world().tcp(STRANGER).await;
        self.over(tcp, client, &request(target, headers)).await
    }

    /// The status of the answer, 101 once the caller was served, 0 if there was none.
    async fn status(&self, client: &Client, target: &str, headers: Headers<'_>) -> u16 {
        self.ask(client, target, headers).await.status().await
    }
}

/// A client of TLS, which keeps its tickets.
struct Client(Arc<ClientConfig>);

/// What became of a request, and of the handshake before it.
enum Asked {
    Entered(Box<Caller>, Option<HandshakeKind>),
    Refused(Refused, Option<HandshakeKind>),
    /// The connection ended without an answer.
    Cut(Option<HandshakeKind>),
}

impl Asked {
    fn kind(&self) -> Option<HandshakeKind> {
        match self {
            Asked::Entered(_, kind) | Asked::Refused(_, kind) | Asked::Cut(kind) => *kind,
        }
    }

    async fn status(self) -> u16 {
        match self {
            Asked::Entered(mut caller, _) => {
                caller.send(text("in")).await;
                assert_eq!(caller.next().await, Some(text("in")));
                caller.close(1000, "").await;
                caller.closed().await;
                101
            }
            Asked::Refused(refused, _) => {
                let reason = refused.reason();
                refused.is(refused.status, &reason);
                refused.status
            }
            Asked::Cut(_) => 0,
        }
    }
}

/// Sends a request; whether anything comes back. The bytes of an answer stay where they are.
async fn answers(io: &mut Stream, request: &str) -> bool {
    let sent = async {
        io.write_all(request.as_bytes()).await?;
        io.flush().await
    };
    if within("sending", sent).await.is_err() {
        return false;
    }
    let Stream::Tls(tls) = io else {
        panic!("there is TLS");
    };
    let looked = within("an answer", tls.fill_buf()).await;
    looked.is_ok_and(|bytes| !bytes.is_empty())
}

/// The chain of one and the key of another.
fn mixed(chain: &Identity, key: &Identity) -> Identity {
    Identity {
        chain_pem: chain.chain_pem.clone(),
        key_pem: key.key_pem.clone(),
    }
}

#[tokio::test]
async fn a10_s12_a_certificate_that_does_not_verify_ends_the_handshake() {
    let doors = Doors::usual().await;
    let stranger = Authority::new("authority of clients");
    let ended = SystemTime::now() - Duration::from_secs(5);
    let cases = [
        ("another authority", stranger.issue_client(&[LAMBDA], None)),
        (
            "the edge's own authority",
            doors.world().authority.issue_client(&[LAMBDA], None),
        ),
        (
            "expired",
            doors.clients.issue_client(&[LAMBDA], Some(ended)),
        ),
        ("expired long ago", doors.clients.issue_expired(&[LAMBDA])),
        ("for servers only", doors.clients.issue(&[LAMBDA])),
        ("self-signed", Identity::self_signed_client(&[LAMBDA])),
    ];
    let mut failures = 0;
    for (what, identity) in cases {
        let identity = identity.unwrap();
        for version in VERSIONS {
            let client = doors.client_of(Some(&identity), &[version]);
            // Not even where none is needed, and none would be enough.
            for (target, key) in [(CERT, "none"), (USERS, KEY)] {
                let status = doors.status(&client, target, &[("api-key", key)]).await;
                assert_eq!(status, 0, "{what}, {version:?}, {target}");
                failures += 1;
            }
        }
    }
    // Somebody else's certificate is of no use without its key.
    let lambda = doors.lambda();
    let thief = mixed(&lambda, &doors.lambda());
    for version in VERSIONS {
        let client = doors.client_of(Some(&lambda), &[version]);
        assert_eq!(doors.status(&client, CERT, &[]).await, 101);
        let mut config = (*doors.client_of(None, &[version]).0).clone();
        config.client_auth_cert_resolver = Arc::new(Thief::new(&thief));
        let client = Client(Arc::new(config));
        assert_eq!(doors.status(&client, CERT, &[]).await, 0, "{version:?}");
        failures += 1;
    }
    assert_eq!(failures, 26);
    let line = format!("{FAILURES} {failures}");
    doors.world().metrics_say(&line).await;
    assert_eq!(doors.world().upstream_total(), 2);
    doors.world().still_serves().await;
}

/// Shows a chain that its key does not belong to, which rustls itself would not.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);

impl Thief {
    fn new(identity: &Identity) -> Thief {
        let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        Thief(Arc::new(rustls::sign::CertifiedKey::new(chain, key)))
    }
}

impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a10_s12_what_is_not_listed_or_listed_for_another_route_stays_outside() {
    let doors = Doors::usual().await;
    let world = doors.world();
    let issue = |names: &[&str]| doors.clients.issue_client(names, None).unwrap();
    let nearly = [
        issue(&["other.example.com"]),
        issue(&["*.example.com"]),
        issue(&["lambda.example.com.evil.example"]),
        issue(&["x.lambda.example.com"]),
        issue(&["example.com", "127.0.0.1"]),
    ];
    for identity in &nearly {
        let client = doors.client(Some(identity));
        for target in [CERT, BOTH, EITHER] {
            assert_eq!(doors.status(&client, target, &[]).await, 401, "{target}");
        }
    }
    // No certificate, and what else might be shown.
    let nobody = doors.client(None);
    let bearer = doors.bearer();
    for headers in [
        &[][..],
        &[("api-key", KEY)],
        &[("Authorization", &bearer)],
        &[("X-Forwarded-Client-Cert", "By=lambda.example.com")],
        &[("X-ARR-ClientCert", "lambda")],
        &[("X-SSL-Client-S-DN", "CN=lambda.example.com")],
    ] {
        assert_eq!(
            doors.status(&nobody, CERT, headers).await,
            401,
            "{headers:?}"
        );
    }
    let lambda = doors.client(Some(&doors.lambda()));
    let Asked::Refused(refused, _) = doors.ask(&lambda, OTHER, &[]).await else {
        panic!("a certificate opened a route that it is not listed for");
    };
    refused.is(403, "forbidden");
    assert_eq!(world.upstream_total(), 0);
    assert_eq!(doors.status(&lambda, CERT, &[]).await, 101);
    let names = issue(&["first.example", "LAMBDA.example.com", "last.example"]);
    let client = doors.client(Some(&names));
    assert_eq!(doors.status(&client, CERT, &[]).await, 101);
    assert_eq!(world.count(FAILURES), 0);
}

#[tokio::test]
async fn a10_a_digest_is_one_certificate_and_none_that_follows_it() {
    let mut doors = Doors::usual().await;
    let listed = doors.clients.issue_client(&["sbc"], None).unwrap();
    let leaf = CertificateDer::from_pem_slice(listed.chain_pem.as_bytes()).unwrap();
    let hex = Digest::of_bytes(&leaf).to_hex();
    let table = format!("{LISTED}[[certificates]]\nname = \"sbc\"\nsha256 = \"{hex}\"\n");
    doors.serve(&doors.clients.pem(), &table);
    let again = doors.clients.issue_client(&["sbc"], None).unwrap();
    let renewed = doors.client(Some(&again));
    assert_eq!(doors.status(&renewed, CERT, &[]).await, 401);
    let listed = doors.client(Some(&listed));
    for (target, status) in [(CERT, 101), (OTHER, 101), (BOTH, 401)] {
        assert_eq!(doors.status(&listed, target, &[]).await, status, "{target}");
    }
}

#[tokio::test]
async fn a10_any_of_and_all_of_a_certificate_and_a_token() {
    let doors = Doors::usual().await;
    let world = doors.world();
    let bearer = doors.bearer();
    let stale = doors.issued.token(|mint| mint.claims["exp"] = 1.into());
    let stale = format!("Bearer {stale}");
    let (token, stale) = (
        [("Authorization", bearer.as_str())],
        [("Authorization", stale.as_str())],
    );
    let nobody = doors.client(None);
    let lambda = doors.client(Some(&doors.lambda()));
    let other = doors.clients.issue_client(&["other"], None).unwrap();
    let other = doors.client(Some(&other));
    let key = [("api-key", KEY)];
    let cases: [(&Client, &str, Headers<'_>, u16); 14] = [
        (&nobody, BOTH, &[], 401),
        (&nobody, BOTH, &token, 401),
        (&lambda, BOTH, &[], 401),
        (&lambda, BOTH, &stale, 401),
        (&lambda, BOTH, &key, 401),
        (&other, BOTH, &token, 401),
        (&nobody, EITHER, &[], 401),
        (&other, EITHER, &[], 401),
        // What is shown in the request must be good, whatever the handshake has proved.
        (&lambda, EITHER, &stale, 401),
        (&lambda, EITHER, &[("api-key", "wrong")], 401),
        (&lambda, BOTH, &token, 101),
        (&lambda, EITHER, &[], 101),
        (&nobody, EITHER, &token, 101),
        (&other, EITHER, &key, 101),
    ];
    let mut entered = 0;
    for (at, (client, target, headers, status)) in cases.into_iter().enumerate() {
        assert_eq!(doors.status(client, target, headers).await, status, "{at}");
        entered += u64::from(status == 101);
        assert_eq!(world.upstream_total(), entered, "{at}");
    }
    assert_eq!(world.count(FAILURES), 0);
}

#[tokio::test]
async fn a10_who_has_no_certificate_is_not_disturbed_on_other_routes() {
    let doors = Doors::usual().await;
    let bearer = doors.bearer();
    let page = ("Origin", "https://app.example.com");
    for version in VERSIONS {
        let browser = doors.client_of(None, &[version]);
        for headers in [
            &[("Authorization", bearer.as_str()), page][..],
            &[("api-key", KEY)],
        ] {
            assert_eq!(doors.status(&browser, USERS, headers).await, 101);
        }
        // With one that is not listed, or that is, neither.
        for name in ["other", LAMBDA] {
            let identity = doors.clients.issue_client(&[name], None).unwrap();
            let client = doors.client_of(Some(&identity), &[version]);
            assert_eq!(doors.status(&client, USERS, &[("api-key", KEY)]).await, 101);
            assert_eq!(doors.status(&client, USERS, &[]).await, 401);
        }
    }
    assert_eq!(doors.world().count(FAILURES), 0);
    doors.world().still_serves().await;
}

#[tokio::test]
async fn a10_s14_a_hop_that_speaks_http_does_not_lend_its_certificate() {
    let doors = Doors::with(HTTP).await;
    let world = doors.world();
    let lambda = doors.client(Some(&doors.lambda()));
    let bearer = doors.bearer();
    let token = ("Authorization", bearer.as_str());
    let named = ("X-Forwarded-For", "203.0.113.9");
    let headers: [Headers<'_>; 3] = [&[], &[named], &[named, token]];
    for headers in headers {
        for target in [CERT, BOTH] {
            let tcp = world.tcp(HOP).await;
            let asked = doors.over(tcp, &lambda, &request(target, headers)).await;
            let Asked::Refused(refused, _) = asked else {
                panic!("{target}: a client entered with the certificate of its hop");
            };
            refused.is(401, "unauthenticated");
            assert!(refused.body.contains("hop"), "{}", refused.body);
        }
    }
    assert_eq!(world.upstream_total(), 0);
    // Its own client enters by what it shows itself; and who is no hop by the certificate.
    let tcp = world.tcp(HOP).await;
    let asked = doors
        .over(tcp, &lambda, &request(EITHER, &[named, token]))
        .await;
    assert_eq!(asked.status().await, 101);
    assert_eq!(doors.status(&lambda, CERT, &[named]).await, 101);
}

#[tokio::test]
async fn a10_with_the_proxy_protocol_the_certificate_is_the_clients() {
    let hops = "[hops]\nnetworks = [\"127.0.0.2\"]\nspeak = \"proxy\"\n";
    let doors = Doors::with(hops).await;
    let other = doors.clients.issue_client(&["other"], None).unwrap();
    for (identity, status) in [(None, 401), (Some(other), 401), (Some(doors.lambda()), 101)] {
        let client = doors.client(identity.as_ref());
        let mut tcp = doors.world().tcp(HOP).await;
        let header = b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n";
        tcp.write_all(header).await.unwrap();
        let asked = doors.over(tcp, &client, &request(CERT, &[])).await;
        assert_eq!(asked.status().await, status);
    }
}

#[tokio::test]
async fn a10_s26_a_resumed_session_is_judged_by_its_certificate_again() {
    let doors = Doors::usual().await;
    for version in VERSIONS {
        let mut resumed = 0;
        let lambda = doors.client_of(Some(&doors.lambda()), &[version]);
        let nobody = doors.client_of(None, &[version]);
        for (client, target, status) in [
            (&lambda, CERT, 101),
            (&lambda, CERT, 101),
            (&lambda, OTHER, 403),
            (&nobody, CERT, 401),
            (&nobody, CERT, 401),
        ] {
            let asked = doors.ask(client, target, &[]).await;
            resumed += usize::from(asked.kind() == Some(HandshakeKind::Resumed));
            assert_eq!(asked.status().await, status, "{version:?} {target}");
        }
        assert_eq!(resumed, 3, "{version:?}");
    }
    assert_eq!(doors.world().count(FAILURES), 0);
}

#[tokio::test]
async fn a10_s26_no_ticket_brings_back_a_certificate_that_has_expired() {
    let doors = Doors::usual().await;
    let end = SystemTime::now() + Duration::from_secs(3);
    let short = doors.clients.issue_client(&[LAMBDA], Some(end)).unwrap();
    let mut failures = 0;
    let clients = VERSIONS.map(|version| doors.client_of(Some(&short), &[version]));
    for client in &clients {
        assert_eq!(doors.status(client, CERT, &[]).await, 101);
    }
    for client in &clients {
        let mut resumed = 0;
        let cut = loop {
            let asked = doors.ask(client, CERT, &[]).await;
            let kind = asked.kind();
            match asked.status().await {
                101 => assert_eq!(kind, Some(HandshakeKind::Resumed)),
                status => break (status, kind),
            }
            resumed += 1;
            assert!(SystemTime::now() < end + Duration::from_secs(3));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // The ticket was taken, and the certificate in it was not.
        assert_eq!(cut, (0, Some(HandshakeKind::Resumed)));
        // Certificates end with a second, whose fraction is still theirs.
        assert!(SystemTime::now() > end - Duration::from_secs(1));
        failures += 1;
        // The second of them finds its time over at once.
        assert!(resumed > 0 || failures > 1);
        assert_eq!(doors.status(client, CERT, &[]).await, 0);
        failures += 1;
    }
    let line = format!("{FAILURES} {failures}");
    doors.world().metrics_say(&line).await;
    // Who renews it gets in again.
    let lambda = doors.client(Some(&doors.lambda()));
    assert_eq!(doors.status(&lambda, CERT, &[]).await, 101);
}

#[tokio::test]
async fn a10_s26_no_ticket_brings_back_a_certificate_that_is_no_longer_listed_or_trusted() {
    let mut doors = Doors::usual().await;
    let roots = doors.clients.pem();
    let clients: Vec<_> = VERSIONS
        .into_iter()
        .map(|version| doors.client_of(Some(&doors.lambda()), &[version]))
        .collect();
    for client in &clients {
        assert_eq!(doors.status(client, CERT, &[]).await, 101);
    }
    doors.serve(&roots, &LISTED.replace("lambda", "renamed"));
    for client in &clients {
        assert_eq!(doors.status(client, CERT, &[]).await, 401);
    }
    doors.serve(&roots, LISTED);
    for client in &clients {
        assert_eq!(doors.status(client, CERT, &[]).await, 101);
    }
    doors.serve(&Authority::new("authority of clients").pem(), LISTED);
    for client in &clients {
        assert_eq!(doors.status(client, CERT, &[]).await, 0);
    }
    doors.world().metrics_say(&format!("{FAILURES} 2")).await;
}

#[tokio::test]
async fn a10_the_log_names_the_certificate_as_the_settings_do_and_explain_has_none() {
    let doors = Doors::usual().await;
    let mut served = Served::start(doors.world(), "tonegate=info").await;
    let tcp = TcpStream::connect(("127.0.0.1", served.port())).await;
    let lambda = doors.client(Some(&doors.lambda()));
    let asked = doors.over(tcp.unwrap(), &lambda, &request(CERT, &[])).await;
    assert_eq!(asked.status().await, 101);
    let line = served.until(|line| line["route"] == "cert").await;
    assert_eq!(line["subject"], "certificate:lambda");
    served.end(Signal::TERM).await;
    let config = doors.world().folder.join("edge.toml");
    let config = config.display().to_string();
    for (target, refused) in [(CERT, true), (EITHER, false)] {
        let key = format!("api-key: {KEY}");
        let args = ["explain", "--config", &config, target, "-H", &key];
        let (code, out, err) = run(&args).await;
        assert_eq!(code, i32::from(refused), "{out}{err}");
        assert!(out.contains("no TLS here"), "{out}");
        assert_eq!(err.contains("status 401"), refused, "{err}");
    }
}

/// What a route of events needs, to which its own requests are posted.
const EVENTS: &str = r#"
[calls]
secret = "a secret of media URLs, long enough"
[acs]
endpoint = "https://x.communication.azure.com"
key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
callbacks = "https://edge.example.com"
media = "wss://edge.example.com"
[[routes]]
name = "phone"
paths = ["/acs/media/{call}"]
kind = "acs-media"
require = ["phone", "call"]
models = ["sim-echo"]
upstreams = ["voice"]
gate = { flow = "open" }
[[routes]]
name = "callbacks"
paths = ["/acs/callbacks/{call}"]
kind = "acs-callback"
admit = ["phone"]
[[routes]]
name = "events"
paths = ["/events"]
kind = "event-grid"
admit = ["certificate"]
"#;

#[tokio::test]
async fn a10_what_is_posted_enters_by_a_certificate_as_an_upgrade_does() {
    let mut doors = Doors::usual().await;
    let base = doors.issued.provider.base();
    let phone = format!(
        "[issuers.phone]\nkind = \"acs\"\naudience = [\"a\"]\nroots = \"ca.pem\"\n\
         metadata = \"{base}/calling/.well-known/acsopenidconfiguration\"\n"
    );
    let listed = LISTED.replace("\"cert\"", "\"cert\", \"events\"");
    doors.serve(&doors.clients.pem(), &format!("{listed}{EVENTS}{phone}"));
    let body = "[{\"id\": \"1\", \"subject\": \"\", \"eventTime\": \"2026-05-04T10:00:00Z\", \
                \"eventType\": \"Microsoft.EventGrid.SubscriptionValidationEvent\", \
                \"data\": {\"validationCode\": \"512d38b6\"}, \"dataVersion\": \"2\"}]";
    let post = format!(
        "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         api-key: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let other = doors.clients.issue_client(&["other"], None).unwrap();
    for (identity, status) in [(None, 401), (Some(other), 401), (Some(doors.lambda()), 200)] {
        let client = doors.client(identity.as_ref());
        let tcp = doors.world().tcp(STRANGER).await;
        let Asked::Refused(answer, _) = doors.over(tcp, &client, &post).await else {
            panic!("no answer");
        };
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.body.contains("512d38b6"), status == 200);
    }
}

/// Whether a program is on this machine; where it is not, rustls alone is the client.
async fn is_there(program: &str) -> bool {
    let mut asked = Command::new(program);
    let asked = asked.arg("version").stdout(Stdio::null());
    asked.stderr(Stdio::null()).status().await.is_ok()
}

#[tokio::test]
async fn a10_openssl_enters_with_its_certificate_and_by_its_ticket() {
    let doors = Doors::usual().await;
    if !is_there("openssl").await {
        return;
    }
    let (folder, world) = (&doors.world().folder, doors.world());
    let lambda = doors.lambda();
    fs::write(folder.join("client.pem"), &lambda.chain_pem).unwrap();
    fs::write(folder.join("client.key"), &lambda.key_pem).unwrap();
    let stranger = Authority::new("x").issue_client(&[LAMBDA], None).unwrap();
    fs::write(folder.join("wrong.pem"), &stranger.chain_pem).unwrap();
    fs::write(folder.join("wrong.key"), &stranger.key_pem).unwrap();
    let with = ["-cert", "client.pem", "-key", "client.key"];
    let wrong = ["-cert", "wrong.pem", "-key", "wrong.key"];
    for version in ["-tls1_2", "-tls1_3"] {
        let say = async |more: &[&str]| {
            let mut openssl = Command::new("openssl");
            openssl
                .current_dir(folder)
                .args(["s_client", "-ign_eof", "-CAfile", "ca.pem", version])
                .args(["-servername", "localhost", "-connect"])
                .arg(format!("127.0.0.1:{}", world.port))
                .args(more);
            talk(openssl, &request(CERT, &[])).await
        };
        let none = say(&[]).await;
        assert!(none.contains("\nHTTP/1.1 401 "), "{none}");
        // The names of the roots are told, so that a client knows which one to show.
        assert!(none.contains("authority of clients"), "{none}");
        let cut = say(&wrong).await;
        assert!(!cut.contains("HTTP/1.1"), "{cut}");
        let first = [&with[..], &["-sess_out", "ticket"]].concat();
        let first = say(&first).await;
        assert!(
            first.contains("HTTP/1.1 101 ") && first.contains("New, TLSv1."),
            "{first}"
        );
        let again = [&with[..], &["-sess_in", "ticket"]].concat();
        let again = say(&again).await;
        assert!(
            again.contains("HTTP/1.1 101 ") && again.contains("Reused, TLSv1."),
            "{again}"
        );
    }
}

/// Lets a program send a request; what it prints up to the end of the answer's head, or its own.
async fn talk(mut program: Command, request: &str) -> String {
    let piped = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // Where the handshake failed there is nobody to write to.
    let _ = stdin.write_all(request.as_bytes()).await;
    let mut printed = Vec::new();
    within("a program", async {
        loop {
            let read = stdout.read_buf(&mut printed).await.unwrap();
            let text = String::from_utf8_lossy(&printed);
            let answered = text.split_once("\nHTTP/1.1 ");
            if read == 0 || answered.is_some_and(|(_, rest)| rest.contains("\r\n\r\n")) {
                return;
            }
        }
    })
    .await;
    child.kill().await.unwrap();
    String::from_utf8_lossy(&printed).into_owned()
}
