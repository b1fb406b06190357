//! TLS towards clients: 1.2 and 1.3, `http/1.1` only, no early data.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Identity;
use crate::relay::Leg;

/// Why the certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("server.tls.certificate holds no certificates in PEM form")]
    Certificate,
    #[error("server.tls.key holds no private key in PEM form")]
    Key,
    #[error("server.tls cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Does the handshakes of one listener. Cloning shares it.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    pub fn new(identity: &Identity) -> Result<Acceptor, Unusable> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| Unusable::Certificate)?;
        if chain.is_empty() {
            return Err(Unusable::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes())
            .map_err(|_| Unusable::Key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        // with_single_cert refuses a key that does not belong to the certificate.
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Stateless tickets: resumption costs no memory per client. One a handshake is enough
        // for clients that open one connection at a time.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }

    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(socket).await
    }
}

/// Takes a connection apart for the relay.
pub fn leg(stream: TlsStream<TcpStream>, early: bytes::Bytes) -> Leg<TcpStream> {
    let (io, session) = stream.into_inner();
    Leg::tls(io, session.into(), early)
}
