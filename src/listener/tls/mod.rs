//! TLS towards clients: 1.2 and 1.3, `http/1.1` only, no early data.
//!
//! Where `client_roots` are set, clients are asked for a certificate. Who has none connects all the
//! same; one that does not lead to these roots ends the handshake. Whose it is, [`admission`] knows.
//!
//! Which certificate a client is shown, `shown` knows. Certificates change while this lives; so do
//! the roots of clients, with which all tickets of before are void.
//!
//! Not here: revocation. A certificate that should open nothing any more goes out of the settings.
//!
//! [`admission`]: crate::admission

mod shown;

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use webpki::EndEntityCert;

use self::shown::{Resolver, Shown};
use crate::admission::Certificate;
use crate::config::{Identity, ServerCertificate};
use crate::relay::Leg;
use crate::tls::{self, Stream};

/// Names of a certificate that are looked at. Public authorities sign for a hundred at the most.
const NAMES_MAX: usize = 100;

/// Why a certificate or its key cannot be used. Texts begin with the key of the settings.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{0} holds no certificates in PEM form")]
    Certificate(String),
    #[error("{0} holds no private key in PEM form")]
    Key(String),
    #[error("{0} is not the key of its certificate")]
    Mismatch(String),
    #[error("{0} names no host, so nobody would be shown it")]
    Nameless(String),
    #[error("{at} is for {name}, and so is {owner}")]
    Twice {
        at: String,
        name: String,
        owner: String,
    },
    #[error("server.tls.client_roots holds no certificates in PEM form")]
    ClientRoots,
    #[error("server.tls.client_roots cannot be used: {0}")]
    ClientVerifier(#[from] VerifierBuilderError),
    #[error("server.tls cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Does the handshakes of one listener. Cloning shares it.
#[derive(Clone)]
pub struct Acceptor {
    tls: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    /// Judges certificates of clients; `None`: they are not asked for any.
    clients: Option<Clients>,
}

/// Who judges certificates of clients, by which roots.
#[derive(Clone)]
struct Clients {
    pem: String,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// What follows an [`Acceptor`], ready to be put in its place.
pub struct Prepared {
    acceptor: Acceptor,
    shown: Arc<Shown>,
}

impl Prepared {
    /// The acceptor as it will be.
    pub fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    /// From now on handshakes show the new certificates.
    pub fn commit(self) {
        self.acceptor.resolver.put(self.shown);
    }
}

impl Acceptor {
    pub fn new(identity: &Identity, named: &[ServerCertificate]) -> Result<Acceptor, Unusable> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Shown::new(identity, named, &provider)?;
        let clients = Clients::of(identity, &provider)?;
        Acceptor::with(Arc::new(Resolver::new(shown)), clients, provider)
    }

    /// Prepares to show other certificates, and to believe other ones of clients. Nothing changes yet.
    /// Unless the roots of clients change, whoever was here before is resumed.
    pub fn prepare(
        &self,
        identity: &Identity,
        named: &[ServerCertificate],
    ) -> Result<Prepared, Unusable> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Arc::new(Shown::new(identity, named, &provider)?);
        let known = self.clients.as_ref().map(|clients| &clients.pem);
        let acceptor = if known == identity.client_roots.as_ref() {
            self.clone()
        } else {
            let clients = Clients::of(identity, &provider)?;
            Acceptor::with(self.resolver.clone(), clients, provider)?
        };
        Ok(Prepared { acceptor, shown })
    }

    fn with(
        resolver: Arc<Resolver>,
        clients: Option<Clients>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Acceptor, Unusable> {
        let verifier = clients.as_ref().map(|clients| clients.verifier.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(
                verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth),
            )
            .with_cert_resolver(resolver.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Stateless tickets: resumption costs no memory per client. One a handshake is enough
        // for clients that open one connection at a time.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Acceptor {
            tls: Arc::new(config),
            resolver,
            clients,
        })
    }

    /// The connection, and the certificate that its client has proved, if any.
    pub async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<(Stream<TcpStream>, Option<Certificate>)> {
        let stream = tls::accept(self.tls.clone(), self.clients.is_some(), socket).await?;
        let chain = stream.session().known().peer_certificates();
        let certificate = chain
            .map(|chain| self.certificate(chain, UnixTime::now()))
            .transpose()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((stream, certificate))
    }

    /// Verifies a chain, whether or not the handshake has done so: one that was resumed brings the
    /// chain of the first one in its ticket, and nobody has looked at it since.
    fn certificate(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Certificate, rustls::Error> {
        let (Some(clients), Some((leaf, rest))) = (&self.clients, chain.split_first()) else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        clients.verifier.verify_client_cert(leaf, rest, now)?;
        let parsed = EndEntityCert::try_from(leaf).map_err(|_| {
            rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding)
        })?;
        // A wildcard is no name that a server could have, and so is not taken for one.
        let is_name = |name: &&str| {
            let name = ServerName::try_from(*name);
            name.is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&name).is_ok())
        };
        let names = parsed.valid_dns_names().take(NAMES_MAX).filter(is_name);
        Ok(Certificate::new(leaf, names))
    }
}

impl Clients {
    /// `None`: the settings name no roots.
    fn of(
        identity: &Identity,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Clients>, Unusable> {
        let Some(pem) = &identity.client_roots else {
            return Ok(None);
        };
        Ok(Some(Clients {
            pem: pem.clone(),
            verifier: verifier(pem, provider.clone())?,
        }))
    }
}

fn verifier(
    pem: &str,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(root.map_err(|_| Unusable::ClientRoots)?)?;
    }
    if roots.is_empty() {
        return Err(Unusable::ClientRoots);
    }
    Ok(
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()?,
    )
}

/// Takes a connection apart for the relay.
pub fn leg(stream: Stream<TcpStream>, early: bytes::Bytes) -> Leg<TcpStream> {
    Leg::tls(stream.into_parts(), early)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::sim::certificate::{self, Authority};
    use std::time::Duration;

    fn acceptor(client_roots: Option<String>) -> Result<Acceptor, Unusable> {
        let own = Authority::new("unit").issue(&["localhost"]).unwrap();
        let own = Identity {
            chain_pem: own.chain_pem,
            key_pem: Secret::new(own.key_pem),
            client_roots,
        };
        Acceptor::new(&own, &[])
    }

    fn chain(identity: &certificate::Identity) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
        chain.map(Result::unwrap).collect()
    }

    #[test]
    fn a10_roots_that_are_none_do_not_start() {
        for roots in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            let refused = acceptor(Some(roots.to_owned())).map(drop).unwrap_err();
            assert!(refused.to_string().contains("client_roots"), "{refused}");
        }
        let key = Authority::new("unit").issue(&["x"]).unwrap().key_pem;
        assert!(acceptor(Some(key)).is_err(), "a key is no certificate");
        assert!(acceptor(Some(Authority::new("unit").pem())).is_ok());
    }

    #[test]
    fn a10_a_chain_is_judged_by_the_time_at_hand_whatever_it_was_before() {
        let authority = Authority::new("clients");
        let acceptor = acceptor(Some(authority.pem())).unwrap();
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let end = std::time::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let client = authority.issue_client(&["a.example"], Some(end)).unwrap();
        let chain = chain(&client);
        assert!(acceptor.certificate(&chain, at(2_000_000_000)).is_ok());
        for (chain, time) in [
            (&chain[..], 2_000_000_001),
            (&chain[..], 1_000_000_000),
            (&chain[1..], 1_900_000_000),
            (&[], 1_900_000_000),
        ] {
            assert!(acceptor.certificate(chain, at(time)).is_err(), "{time}");
        }
        // Where no certificate is asked for, none is believed.
        let none = self::acceptor(None).unwrap();
        assert!(none.certificate(&chain, at(1_900_000_000)).is_err());
    }
}
