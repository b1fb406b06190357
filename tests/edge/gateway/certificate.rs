//! An application that takes the edge's own certificate and nobody else's.

use std::fs;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::sim::certificate::{Authority, Identity};

use super::app::{App, ask, before};

/// Serves whoever shows a certificate of `clients`.
fn acceptor(own: &Identity, clients: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let chain = CertificateDer::pem_slice_iter(own.chain_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

const OWN: &str = "certificate = \"own.pem\"\nkey = \"own.key\"\n";

#[tokio::test]
async fn c07_an_application_serves_the_edges_certificate_and_no_other() {
    let (edges, others) = (Authority::new("edges"), Authority::new("others"));
    let own = edges.issue(&["localhost", "127.0.0.1"]).unwrap();
    let (app, address) = App::start(Some(acceptor(&own, &edges))).await;
    let mut world = before(address, "", "").await;
    fs::write(world.folder.join("app.pem"), edges.pem()).unwrap();
    let port = address.port();
    let plain = format!("url = \"http://127.0.0.1:{port}/app\"\n");
    let secure = format!("url = \"https://127.0.0.1:{port}/app\"\nroots = \"app.pem\"\n{OWN}");
    world.settings = world.settings.replace(&plain, &secure);
    assert!(world.settings.contains(OWN));
    for (client, status) in [
        (Some(edges.issue_client(&["edge"], None).unwrap()), 200),
        (Some(others.issue_client(&["edge"], None).unwrap()), 502),
        (None, 502),
    ] {
        let settings = match &client {
            Some(identity) => {
                fs::write(world.folder.join("own.pem"), &identity.chain_pem).unwrap();
                fs::write(world.folder.join("own.key"), &identity.key_pem).unwrap();
                world.settings.clone()
            }
            None => world.settings.replace(OWN, ""),
        };
        let path = world.folder.join("edge.toml");
        fs::write(&path, settings).unwrap();
        let edge = Edge::start(&Settings::read(&[path]).unwrap()).unwrap();
        world.port = edge.public().port();
        world.edge = Some(edge);
        let answer = ask(&world, "GET /api/cases", "", b"").await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(app.seen().len(), 1);
}
