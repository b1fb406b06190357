//! What a chain of certificates is worth, and what exactly is wrong with one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::tls::{Unusable, certificate, server_verifier};
use crate::config::{Identity, Roots};

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It vouches for itself.
    SelfSigned,
    /// It leads to none of the roots, and nothing came with it that it could lead by.
    Alone,
    /// It leads to none of the roots, with all that came with it.
    Issuer,
    /// It ended, then.
    Ended(Option<SystemTime>),
    NotYet,
    /// It is for another name.
    Name,
    Other,
}

/// What a chain is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// When its first certificate ends, where that can be read.
    pub ends: Option<SystemTime>,
    /// Certificates in it, without the root if that is left out.
    pub length: usize,
    /// `None`: it leads to the roots, is good now and for the name.
    pub flaw: Option<Flaw>,
}

/// Judges a chain in PEM as a client would that dials `name` and trusts `roots`; `None`: it is none.
pub fn judge(pem: &str, name: &str, roots: &Roots) -> Option<Judged> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok()?;
    let (leaf, rest) = chain.split_first()?;
    let flaw = match (ServerName::try_from(name.to_owned()), Recorder::new(roots)) {
        (Err(_), _) => Some(Flaw::Name),
        (_, Err(_)) => Some(Flaw::Other),
        (Ok(name), Ok(recorder)) => {
            match recorder.verify_server_cert(leaf, rest, &name, &[], UnixTime::now()) {
                Ok(_) => None,
                Err(Error::InvalidCertificate(what)) => Some(recorder.flaw(&what)),
                Err(_) => Some(Flaw::Other),
            }
        }
    };
    Some(Judged {
        ends: ends(&chain),
        length: chain.len(),
        flaw,
    })
}

/// When the first of a chain ends.
///
/// Nobody needs to read the certificate for it: whoever verifies it for a day long past its end is told.
pub fn ends(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    let leaf = chain.first()?;
    let one_day = UnixTime::since_unix_epoch(Duration::from_secs(LONG_PAST));
    let anybody = ServerName::try_from("tonegate.invalid").ok()?;
    let verified = trusting(leaf)?.verify_server_cert(leaf, &[], &anybody, &[], one_day);
    match verified {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(UNIX_EPOCH + Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

/// The first day of the year 9999, which RFC 5280 has for what never ends.
const LONG_PAST: u64 = 253_370_764_800;

fn trusting(root: &CertificateDer<'_>) -> Option<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    store.add(root.clone().into_owned()).ok()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
    built.ok()
}

/// Verifies as the edge does, and remembers what it was shown.
#[derive(Debug)]
pub(super) struct Recorder {
    inner: Arc<dyn ServerCertVerifier>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Recorder {
    pub(super) fn new(roots: &Roots) -> Result<Recorder, Unusable> {
        Ok(Recorder {
            inner: server_verifier(roots)?,
            chain: Mutex::default(),
        })
    }

    pub(super) fn client_config(
        self: &Arc<Recorder>,
        client: Option<&Identity>,
    ) -> Result<ClientConfig, Unusable> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        if let Some(identity) = client {
            config.client_auth_cert_resolver = certificate(identity)?;
        }
        Ok(config)
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = self.chain.lock();
        chain.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an error of the verifier means for the chain that it was shown.
    pub(super) fn flaw(&self, error: &CertificateError) -> Flaw {
        use CertificateError as It;
        let chain = self.chain();
        if matches!(error, It::Expired | It::ExpiredContext { .. }) {
            return Flaw::Ended(ends(&chain));
        }
        if matches!(error, It::NotValidYet | It::NotValidYetContext { .. }) {
            return Flaw::NotYet;
        }
        if matches!(
            error,
            It::NotValidForName | It::NotValidForNameContext { .. }
        ) {
            return Flaw::Name;
        }
        if *error != It::UnknownIssuer {
            return Flaw::Other;
        }
        match &chain[..] {
            [leaf, ..] if vouches_for_itself(leaf) => Flaw::SelfSigned,
            [_] => Flaw::Alone,
            _ => Flaw::Issuer,
        }
    }
}

/// Where it is its own root, it leads to it.
fn vouches_for_itself(leaf: &CertificateDer<'_>) -> bool {
    let anybody = ServerName::try_from("tonegate.invalid");
    let (Some(verifier), Ok(anybody)) = (trusting(leaf), anybody) else {
        return false;
    };
    let verified = verifier.verify_server_cert(leaf, &[], &anybody, &[], UnixTime::now());
    !matches!(
        verified,
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    )
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(leaf).chain(rest);
        let all = all.map(|one| one.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = all;
        self.inner.verify_server_cert(leaf, rest, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::certificate::{self, Authority};

    fn judged(chain: &str, roots: &Authority) -> Judged {
        judge(chain, "localhost", &Roots::Pem(roots.pem())).unwrap()
    }

    #[test]
    fn each_flaw_of_a_chain_has_its_own_word() {
        let (authority, other) = (Authority::new("one"), Authority::new("another"));
        let good = authority.issue(&["localhost"]).unwrap().chain_pem;
        let flaw = |chain: &str, roots| judged(chain, roots).flaw;
        // 2045-01-01, as the simulator makes them.
        let end = UNIX_EPOCH + Duration::from_secs(2_366_841_600);
        let found = judged(&good, &authority);
        assert_eq!((found.ends, found.length, found.flaw), (Some(end), 2, None));
        assert_eq!(flaw(&good, &other), Some(Flaw::Issuer));
        let alone = leaf_alone(&good);
        assert_eq!(flaw(&alone, &other), Some(Flaw::Alone));
        assert_eq!(judged(&alone, &authority).length, 1);
        assert_eq!(flaw(&alone, &authority), None);
        let expired = authority.issue_expired(&["localhost"]).unwrap().chain_pem;
        let end = UNIX_EPOCH + Duration::from_secs(978_307_200);
        assert_eq!(flaw(&expired, &authority), Some(Flaw::Ended(Some(end))));
        let wrong = authority.issue_wrong_name().unwrap().chain_pem;
        assert_eq!(flaw(&wrong, &authority), Some(Flaw::Name));
        let own = certificate::Identity::self_signed(&["localhost"]).unwrap();
        assert_eq!(flaw(&own.chain_pem, &authority), Some(Flaw::SelfSigned));
        assert_eq!(judge("", "localhost", &Roots::System), None);
    }

    fn leaf_alone(chain: &str) -> String {
        let end = "-----END CERTIFICATE-----\n";
        let (leaf, _) = chain.split_once(end).unwrap();
        format!("{leaf}{end}")
    }
}
