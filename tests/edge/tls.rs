//! What TLS the listener speaks (row 26 of the threat model).

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tonegate::sim::stream::Stream;

use crate::child::Child;
use crate::harness::{KEY, World, read_answer, request, text, within};

fn config(
    world: &World,
    versions: &[&'static SupportedProtocolVersion],
    provider: CryptoProvider,
    alpn: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = world.authority.pem();
    for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

async fn connect(
    world: &World,
    config: &Arc<ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let name = "localhost".to_owned().try_into().unwrap();
    let connector = TlsConnector::from(config.clone());
    within("a handshake", connector.connect(name, tcp)).await
}

/// Talks over a connection, so that it is proved to work and has read its tickets.
async fn talk(tls: tokio_rustls::client::TlsStream<TcpStream>) {
    let mut io = Stream::Tls(Box::new(TlsStream::from(tls)));
    let bytes = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    io.write_all(bytes.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut caller = read_answer(io).await.ok().unwrap();
    caller.send(text("over TLS")).await;
    assert_eq!(caller.next().await, Some(text("over TLS")));
    caller.close(1000, "").await;
    caller.closed().await;
}

#[tokio::test]
async fn s26_both_versions_work_with_forward_secrecy_and_aead_only() {
    let world = World::usual().await;
    for version in [&TLS12, &TLS13] {
        let config = config(
            &world,
            &[version],
            aws_lc_rs::default_provider(),
            &["http/1.1"],
        );
        let tls = connect(&world, &Arc::new(config)).await.unwrap();
        let (_, session) = tls.get_ref();
        assert_eq!(session.protocol_version(), Some(version.version));
        let suite = format!("{:?}", session.negotiated_cipher_suite().unwrap().suite());
        assert!(
            suite.starts_with("TLS13_") || suite.starts_with("TLS_ECDHE_"),
            "{suite}"
        );
        assert!(
            suite.contains("GCM") || suite.contains("CHACHA20"),
            "{suite}"
        );
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        talk(tls).await;
    }
    world.settles().await;
}

#[tokio::test]
async fn s26_the_hybrid_group_is_agreed_on_and_the_classical_one_still_works() {
    let world = World::usual().await;
    let hybrid = aws_lc_rs::default_provider();
    let classical = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    for (provider, expected) in [(hybrid, "X25519MLKEM768"), (classical, "X25519")] {
        let config = config(&world, &[&TLS13], provider, &[]);
        let tls = connect(&world, &Arc::new(config)).await.unwrap();
        let group = tls.get_ref().1.negotiated_key_exchange_group().unwrap();
        assert_eq!(format!("{:?}", group.name()), expected);
        talk(tls).await;
    }
    world.settles().await;
}

#[tokio::test]
async fn s26_a_returning_client_is_resumed_and_sends_no_early_data() {
    let world = World::usual().await;
    for version in [&TLS12, &TLS13] {
        let mut config = config(
            &world,
            &[version],
            aws_lc_rs::default_provider(),
            &["http/1.1"],
        );
        config.enable_early_data = true;
        let config = Arc::new(config);
        let mut resumed = 0;
        for round in 0..4 {
            let tls = connect(&world, &config).await.unwrap();
            let session = tls.get_ref().1;
            match session.handshake_kind() {
                Some(HandshakeKind::Resumed) => resumed += 1,
                kind => assert_eq!(round, 0, "{version:?} round {round}: {kind:?}"),
            }
            assert!(!session.is_early_data_accepted());
            talk(tls).await;
        }
        assert_eq!(resumed, 3, "{version:?}");
    }
    world.settles().await;
}

#[tokio::test]
async fn s26_only_http_1_1_is_spoken() {
    let world = World::usual().await;
    let with = |alpn: &[&str]| {
        Arc::new(config(
            &world,
            &[&TLS13],
            aws_lc_rs::default_provider(),
            alpn,
        ))
    };
    let refused = connect(&world, &with(&["h2"]))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let tls = connect(&world, &with(alpn)).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        talk(tls).await;
    }
    // A client that says nothing means HTTP/1.1.
    let tls = connect(&world, &with(&[])).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), None);
    talk(tls).await;
    world.settles().await;
}

/// A ClientHello of before TLS 1.3, as rustls will not send one.
fn old_hello(version: [u8; 2]) -> Vec<u8> {
    let extensions: &[u8] = &[
        0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17, // groups: X25519, P-256
        0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, // points: uncompressed
        0x00, 0x0d, 0x00, 0x06, 0x00, 0x04, 0x04, 0x03, 0x08, 0x04, // ECDSA P-256, RSA-PSS
        0x00, 0x17, 0x00, 0x00, // extended master secret
    ];
    let suites: &[u8] = &[0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f];
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend((suites.len() as u16).to_be_bytes());
    body.extend(suites);
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![0x16, 0x03, 0x01];
    hello.extend((body.len() as u16 + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

#[tokio::test]
async fn s26_older_versions_are_refused_by_an_alert() {
    let world = World::usual().await;
    let mut refused = 0;
    for (version, is_spoken) in [
        ([3, 0], false),
        ([3, 1], false),
        ([3, 2], false),
        ([3, 3], true),
    ] {
        let mut tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        tcp.write_all(&old_hello(version)).await.unwrap();
        let mut record = [0; 7];
        within("an answer", tcp.read_exact(&mut record))
            .await
            .unwrap();
        if is_spoken {
            // The same bytes with the right version get a ServerHello.
            assert_eq!((record[0], record[5]), (0x16, 0x02), "{record:?}");
            continue;
        }
        // A fatal alert: protocol_version.
        assert_eq!(
            (record[0], record[5], record[6]),
            (0x15, 2, 70),
            "{record:?}"
        );
        assert_eq!(
            within("the end", tcp.read(&mut record)).await.unwrap_or(0),
            0
        );
        refused += 1;
    }
    assert_eq!(refused, 3);
    world
        .metrics_say("tonegate_tls_handshake_failures_total 4")
        .await;
    world.still_serves().await;
    world.settles().await;
}

#[tokio::test]
async fn s22_a_client_whose_first_message_does_not_end_is_closed_and_counted() {
    let mut world = World::usual().await;
    let child = Child::start(&mut world, "true");
    let mut tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    // A ClientHello of 60,000 bytes, as it says, in records of 1,000.
    let mut record = vec![0x16, 3, 1, 0x03, 0xe8, 1, 0, 0xea, 0x60];
    let mut taken = 0;
    while taken < 60_000 {
        record.resize(1005, 0);
        if tcp.write_all(&record).await.is_err() {
            break;
        }
        taken += record.len();
        record = vec![0x16, 3, 3, 0x03, 0xe8];
    }
    let mut said = Vec::new();
    let end = within("its end", tcp.read_to_end(&mut said)).await;
    assert!(
        end.is_err() || said.is_empty() || said[0] == 0x15,
        "{said:?}"
    );
    child
        .metrics_say("tonegate_tls_handshake_failures_total 1")
        .await;
    child
        .metrics_say("tonegate_limit_hits_total{limit=\"tls_message\"} 1")
        .await;
    world.still_serves().await;
}
