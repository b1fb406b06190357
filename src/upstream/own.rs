//! Believes a server that shows one certificate, whatever that leads to and whomever it names: that of the
//! edge's own settings, for who asks the edge where it listens, which no certificate names.
//!
//! That the server has the key is proved by the handshake, as ever. When the certificate ends does not
//! matter: whoever asks wants to know how the edge is.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::tls::Unusable;

#[derive(Debug)]
struct Own {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

/// How the edge is a client of TLS where the first certificate of this chain must be shown.
pub(super) fn client_config(chain_pem: &str) -> Result<ClientConfig, Unusable> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_slice(chain_pem.as_bytes());
    let own = Own {
        certificate: certificate.map_err(|_| Unusable::Certificate)?,
        provider: provider.clone(),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(own))
        .with_no_client_auth())
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::certificate::{Authority, Identity};
    use crate::sim::stream;
    use crate::tls;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use tokio::io::duplex;

    type Version = &'static rustls::SupportedProtocolVersion;

    /// Whether who wants the one is content with who shows the other, whatever the name.
    async fn believed(wanted: &Identity, shown: &Identity) -> bool {
        let server = stream::acceptor(shown).unwrap().config().clone();
        is_believed(wanted, server).await
    }

    /// The same of a server that does not look whether its key is that of its certificate.
    async fn by(version: Version, wanted: &Identity, shown: &Identity) -> bool {
        let chain = CertificateDer::pem_slice_iter(shown.chain_pem.as_bytes());
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(shown.key_pem.as_bytes()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let shows = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let server = ServerConfig::builder_with_protocol_versions(&[version])
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shows));
        is_believed(wanted, Arc::new(server)).await
    }

    async fn is_believed(wanted: &Identity, server: Arc<ServerConfig>) -> bool {
        let config = Arc::new(client_config(&wanted.chain_pem).unwrap());
        let (near, far) = duplex(10_000);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let (asked, _) = tokio::join!(
            tls::connect(config, name, near),
            tls::accept(server, false, far)
        );
        asked.is_ok()
    }

    #[tokio::test]
    async fn c17_s26_one_certificate_is_believed_and_no_other_of_the_same_authority_and_name() {
        let authority = Authority::new("unit");
        let own = authority.issue(&["voice.example"]).unwrap();
        let other = authority.issue(&["voice.example"]).unwrap();
        assert!(believed(&own, &own).await);
        assert!(!believed(&own, &other).await);
        // Who has seen the certificate has no key for it.
        let stolen = Identity {
            chain_pem: own.chain_pem.clone(),
            key_pem: other.key_pem.clone(),
        };
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            assert!(by(version, &own, &own).await);
            assert!(!by(version, &own, &stolen).await);
        }
        assert!(client_config("no certificate").is_err());
    }
}
