//! Certificates (rows 26 and 27 of the threat model): the new one for new handshakes, old sessions live
//! on, and whoever asks for a name is shown the certificate for it.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio_rustls::{TlsConnector, TlsStream};
use tonegate::sim::certificate::Identity;
use tonegate::sim::stream::Stream;

use super::*;
use crate::harness::{KEY, read_answer, request, within};
use tokio::io::AsyncWriteExt as _;

/// A client that trusts the world's authority and keeps what it needs to come back.
fn client(operator: &Operator) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = operator.world.authority.pem();
    for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The certificate that a client which asks for `name` is shown, and how; it has talked over it.
async fn shown(operator: &Operator, client: &Arc<ClientConfig>, name: &str) -> (Vec<u8>, bool) {
    let tcp = operator.world.tcp("127.0.0.1").await;
    let to = name.to_owned().try_into().unwrap();
    let connect = TlsConnector::from(client.clone()).connect(to, tcp);
    let tls = within("a handshake", connect).await.unwrap();
    let (_, session) = tls.get_ref();
    let leaf = session.peer_certificates().unwrap()[0].to_vec();
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let mut io = Stream::Tls(Box::new(TlsStream::from(tls)));
    let asked = request(TARGET, &[("api-key", KEY)]);
    io.write_all(asked.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut caller = read_answer(io).await.ok().unwrap();
    talks(&mut caller, "shown").await;
    (leaf, resumed)
}

fn leaf(identity: &Identity) -> Vec<u8> {
    let mut chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    chain.next().unwrap().unwrap().to_vec()
}

fn put(operator: &Operator, name: &str, identity: &Identity) {
    let folder = &operator.world.folder;
    fs::write(folder.join(format!("{name}.pem")), &identity.chain_pem).unwrap();
    fs::write(folder.join(format!("{name}.key")), &identity.key_pem).unwrap();
}

#[tokio::test]
async fn s27_new_handshakes_see_the_new_certificate_and_old_sessions_live_on() {
    let operator = Operator::usual().await;
    let mut caller = operator.enters(KEY).await.unwrap();
    let client = client(&operator);
    let (first, _) = shown(&operator, &client, "localhost").await;
    let issue = |names: &[&str]| operator.world.authority.issue(names).unwrap();
    let new = issue(&["localhost", "127.0.0.1"]);
    put(&operator, "edge", &new);
    assert!(operator.reload().await.unwrap().is_new);
    // Whoever comes back with a ticket is resumed under the same configuration.
    assert!(shown(&operator, &client, "localhost").await.1);
    let stranger = self::client(&operator);
    let (second, resumed) = shown(&operator, &stranger, "localhost").await;
    assert!(!resumed && second == leaf(&new) && second != first);
    talks(&mut caller, "after the swap").await;
    operator.world.still_serves().await;
}

#[tokio::test]
async fn s27_a_certificate_whose_key_does_not_match_keeps_the_old_one() {
    let operator = Operator::usual().await;
    let mut caller = operator.enters(KEY).await.unwrap();
    let (first, _) = shown(&operator, &client(&operator), "localhost").await;
    let issue = |names: &[&str]| operator.world.authority.issue(names).unwrap();
    let names = ["localhost", "127.0.0.1"];
    let (one, two) = (issue(&names), issue(&names));
    let mixed = |chain: &str, key: &str| Identity {
        chain_pem: chain.to_owned(),
        key_pem: key.to_owned(),
    };
    for (identity, told) in [
        (
            mixed(&one.chain_pem, &two.key_pem),
            "server.tls.key is not the key",
        ),
        (mixed("", &one.key_pem), "server.tls.certificate holds no"),
        (
            mixed(&one.chain_pem[..200], &one.key_pem),
            "server.tls.certificate holds no",
        ),
        (
            mixed(&one.chain_pem, "-----BEGIN"),
            "server.tls.key holds no",
        ),
    ] {
        put(&operator, "edge", &identity);
        let refused = operator.reload().await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
        let (still, _) = shown(&operator, &client(&operator), "localhost").await;
        assert_eq!(still, first);
        talks(&mut caller, "unmoved").await;
    }
    assert_eq!(
        (operator.loads("unusable"), operator.loads("loaded")),
        (4, 0)
    );
    assert!(operator.says("tonegate_settings_in_force 0"));
    put(&operator, "edge", &one);
    assert!(operator.reload().await.unwrap().is_new);
    assert_eq!(
        shown(&operator, &client(&operator), "localhost").await.0,
        leaf(&one)
    );
}

#[tokio::test]
async fn b22_the_name_that_a_client_asks_for_chooses_the_certificate() {
    let operator = Operator::usual().await;
    let issue = |names: &[&str]| operator.world.authority.issue(names).unwrap();
    let (calls, wild) = (issue(&["calls.example.com"]), issue(&["*.example.com"]));
    put(&operator, "calls", &calls);
    put(&operator, "wild", &wild);
    let of = |name: &str| {
        format!(
            "[[server.certificates]]\nname = \"{name}\"\ncertificate = \"{name}.pem\"\n\
             key = \"{name}.key\"\n"
        )
    };
    let client = client(&operator);
    let (usual, _) = shown(&operator, &client, "localhost").await;
    operator.write(|text| format!("{text}\n{}{}", of("calls"), of("wild")));
    operator.reload().await.unwrap();
    for (name, expected) in [
        ("calls.example.com", &leaf(&calls)),
        ("other.example.com", &leaf(&wild)),
        ("127.0.0.1", &usual),
    ] {
        let stranger = self::client(&operator);
        let (found, _) = shown(&operator, &stranger, name).await;
        assert!(found == *expected, "{name}");
        // A ticket is for the name that it was given for.
        let (again, resumed) = shown(&operator, &stranger, name).await;
        assert!(resumed && again == *expected, "{name}");
    }
    // One of them is renewed, the others stay.
    let renewed = issue(&["calls.example.com"]);
    put(&operator, "calls", &renewed);
    operator.reload().await.unwrap();
    let (found, _) = shown(&operator, &self::client(&operator), "calls.example.com").await;
    assert_eq!(found, leaf(&renewed));
    let (found, _) = shown(&operator, &self::client(&operator), "other.example.com").await;
    assert_eq!(found, leaf(&wild));
    // Two for one name are a mistake, which changes nothing.
    put(
        &operator,
        "wild",
        &issue(&["*.example.com", "calls.example.com"]),
    );
    let refused = operator.reload().await.unwrap_err().to_string();
    assert!(
        refused.contains("server.certificates.wild.certificate"),
        "{refused}"
    );
    let (found, _) = shown(&operator, &self::client(&operator), "calls.example.com").await;
    assert_eq!(found, leaf(&renewed));
}
