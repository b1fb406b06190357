//! TLS towards an upstream: the certificate is verified before anything is sent.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;

use super::assertion::Nth;
use super::own;
use super::tickets::Tickets;
use crate::config::{Identity, Roots};
use crate::label::Label;
use crate::tls;

/// Why an upstream cannot be prepared. Told at start-up.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the credential of the upstream {0} cannot stand in a header")]
    Credential(Label),
    #[error(
        "{0}: must be one private key, PKCS#8 in PEM: of P-256, Ed25519, or RSA of 2048 bits or more"
    )]
    Key(Nth),
    #[error("{0}: is a key that stands there already")]
    SameKey(Nth),
    #[error("{0:?} is not a name that a certificate can have")]
    Host(String),
    #[error("the roots are not certificates in PEM form")]
    Roots,
    #[error("certificate and key are no certificate with its key in PEM form")]
    Certificate,
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the roots cannot be used: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// Connects to one host. Sessions are resumed from its own cache.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    pub(super) fn new(
        host: &str,
        roots: &Roots,
        client: Option<&Identity>,
    ) -> Result<Connector, Unusable> {
        let mut config = client_config(roots)?;
        if let Some(identity) = client {
            config.client_auth_cert_resolver = certificate(identity)?;
        }
        Connector::with(host, config)
    }

    /// To who shows the first certificate of this chain, and to nobody else.
    pub(super) fn own(host: &str, chain_pem: &str) -> Result<Connector, Unusable> {
        Connector::with(host, own::client_config(chain_pem)?)
    }

    fn with(host: &str, mut config: ClientConfig) -> Result<Connector, Unusable> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| Unusable::Host(host.to_owned()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::store(Arc::new(Tickets::new()));
        Ok(Connector {
            config: Arc::new(config),
            name,
        })
    }

    /// The error is a fixed text: what a peer put into its certificate is not for the log.
    pub(super) async fn connect(
        &self,
        socket: TcpStream,
    ) -> Result<tls::Stream<TcpStream>, &'static str> {
        tls::connect(self.config.clone(), self.name.clone(), socket)
            .await
            .map_err(|error| match tls_error(&error) {
                // What only `own` says.
                Some(rustls::Error::InvalidCertificate(
                    rustls::CertificateError::ApplicationVerificationFailure,
                )) => "it shows another certificate than the settings have: it has not taken them, or is another",
                Some(rustls::Error::InvalidCertificate(_)) => "its certificate is not valid for us",
                Some(_) => "the TLS handshake failed",
                None => "the connection ended in the TLS handshake",
            })
    }
}

/// How the edge is a client of TLS: 1.2 and 1.3, and the certificate must lead to `roots`.
pub fn client_config(roots: &Roots) -> Result<ClientConfig, Unusable> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    Ok(match roots {
        Roots::System => builder.with_platform_verifier()?.with_no_client_auth(),
        Roots::Pem(pem) => builder
            .with_webpki_verifier(verifier(pem, provider)?)
            .with_no_client_auth(),
    })
}

/// What judges a server's certificate by itself, as [`client_config`] has it judged.
pub(super) fn server_verifier(roots: &Roots) -> Result<Arc<dyn ServerCertVerifier>, Unusable> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(match roots {
        Roots::System => Arc::new(rustls_platform_verifier::Verifier::new(provider)?),
        Roots::Pem(pem) => verifier(pem, provider)?,
    })
}

/// The edge's own certificate, for whoever asks for one.
pub(super) fn certificate(identity: &Identity) -> Result<Arc<SingleCertAndKey>, Unusable> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes()).collect();
    let chain = chain.map_err(|_| Unusable::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes())
        .map_err(|_| Unusable::Certificate)?;
    if chain.is_empty() {
        return Err(Unusable::Certificate);
    }
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

fn verifier(
    pem: &str,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Unusable> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        store.add(certificate.map_err(|_| Unusable::Roots)?)?;
    }
    if store.is_empty() {
        return Err(Unusable::Roots);
    }
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build()?)
}

fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::certificate::Authority;
    use crate::sim::stream;
    use crate::upstream::tickets_dropped;
    use rustls::HandshakeKind;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn of_a_thousand_dials_only_the_first_at_a_time_shake_hands_in_full() {
        const AT_A_TIME: usize = 100;
        let authority = Authority::new("unit");
        let identity = authority.issue(&["localhost"]).unwrap();
        let server = stream::acceptor(&identity).unwrap().config().clone();
        let roots = Roots::Pem(authority.pem());
        let connector = Connector::new("localhost", &roots, None).unwrap();
        let (mut full, dropped) = (0, tickets_dropped());
        for _ in 0..10 {
            // Tickets come after the handshake, so nobody has one of those who dial now.
            let mut dialled = Vec::new();
            for _ in 0..AT_A_TIME {
                let (near, far) = duplex(10_000);
                let (config, name) = (connector.config.clone(), connector.name.clone());
                let (ours, theirs) = tokio::join!(
                    tls::connect(config, name, near),
                    tls::accept(server.clone(), false, far)
                );
                dialled.push((ours.unwrap(), theirs.unwrap()));
            }
            for (mut ours, mut theirs) in dialled {
                theirs.write_all(b"x").await.unwrap();
                theirs.flush().await.unwrap();
                ours.read_exact(&mut [0]).await.unwrap();
                match ours.session().known().handshake_kind().unwrap() {
                    HandshakeKind::Resumed => {}
                    HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => full += 1,
                }
            }
        }
        assert_eq!(full, AT_A_TIME);
        // Each handshake brought two and took one.
        assert!(tickets_dropped() > dropped);
    }
}
