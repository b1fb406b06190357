//! Throw-away certificates: an authority that lives as long as the process and what it issues.
//!
//! Owns key generation and the fields that strict verifiers ask for (OpenSSL's strict mode, which
//! Python 3.13 turns on, wants key identifiers and key usages). Refuses to know where a
//! certificate is used, and never writes one to disk.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

/// A private authority with an ECDSA P-256 key.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What one side of TLS presents: its chain and the key that goes with it, both as PEM.
///
/// It has no `Debug`, so that a key cannot be printed by accident.
#[derive(Clone)]
pub struct Identity {
    /// The leaf first, then the authority if there is one.
    pub chain_pem: String,
    /// PKCS #8.
    pub key_pem: String,
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name is neither an IP address nor an ASCII DNS name.
    #[error("a certificate name is neither an IP address nor an ASCII DNS name")]
    Name,
    /// Key generation or signing failed.
    #[error("a key could not be generated or used")]
    Key,
}

impl Authority {
    /// A fresh authority whose common name is `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2045, 1, 1));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .expect("the system's random source works, or nothing here does");
        let issuer = CertifiedIssuer::self_signed(params, key)
            .expect("constant parameters and a fresh P-256 key always sign");
        Self { issuer }
    }

    /// The authority's own certificate, for a client's list of roots.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server identity for these DNS names and IP addresses.
    pub fn issue(&self, names: &[&str]) -> Result<Identity, Error> {
        self.sign(leaf(names)?)
    }

    /// An identity that is right in all but its dates: it ended in 2001.
    pub fn issue_expired(&self, names: &[&str]) -> Result<Identity, Error> {
        let mut params = leaf(names)?;
        (params.not_before, params.not_after) =
            (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.sign(params)
    }

    /// One that is right until `end`.
    pub fn issue_until(&self, names: &[&str], end: SystemTime) -> Result<Identity, Error> {
        let mut params = leaf(names)?;
        end_at(&mut params, end);
        self.sign(params)
    }

    /// What a client presents, under these DNS names; it ends at `end`, or in 2045.
    pub fn issue_client(&self, names: &[&str], end: Option<SystemTime>) -> Result<Identity, Error> {
        let mut params = leaf(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(end) = end {
            end_at(&mut params, end);
        }
        self.sign(params)
    }

    /// An identity that is right in all but its name, which nobody dials.
    pub fn issue_wrong_name(&self) -> Result<Identity, Error> {
        self.issue(&["wrong-name.invalid"])
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Key)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|_| Error::Key)?;
        Ok(Identity {
            chain_pem: format!("{}{}", certificate.pem(), self.issuer.pem()),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Identity {
    /// An identity that vouches for itself: no authority stands behind it.
    pub fn self_signed(names: &[&str]) -> Result<Self, Error> {
        Self::vouching(leaf(names)?)
    }

    /// The same of what a client presents.
    pub fn self_signed_client(names: &[&str]) -> Result<Self, Error> {
        let mut params = leaf(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self::vouching(params)
    }

    fn vouching(mut params: CertificateParams) -> Result<Self, Error> {
        params.use_authority_key_identifier_extension = false;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Key)?;
        let certificate = params.self_signed(&key).map_err(|_| Error::Key)?;
        Ok(Self {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn end_at(params: &mut CertificateParams, end: SystemTime) {
    let since = end.duration_since(SystemTime::UNIX_EPOCH);
    // Certificates know whole seconds.
    let seconds = since.unwrap_or_default().as_secs();
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
}

fn leaf(names: &[&str]) -> Result<CertificateParams, Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let title = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names).map_err(|_| Error::Name)?;
    params.distinguished_name = common_name(&title);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2045, 1, 1));
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::stream;

    #[test]
    fn every_kind_of_identity_makes_a_server() {
        let authority = Authority::new("unit");
        let kinds = [
            authority.issue(&["localhost", "127.0.0.1", "::1"]),
            authority.issue_expired(&["localhost"]),
            authority.issue_wrong_name(),
            Identity::self_signed(&["localhost"]),
            authority.issue_client(&["localhost"], Some(SystemTime::now())),
            Identity::self_signed_client(&["localhost"]),
        ];
        assert_eq!(kinds.len(), 6);
        for kind in kinds {
            stream::acceptor(&kind.unwrap()).unwrap();
        }
        stream::connector(&authority.pem()).unwrap();
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_certificate_is_refused() {
        assert!(Authority::new("unit").issue(&["münchen"]).is_err());
    }
}
