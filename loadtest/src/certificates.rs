//! A certificate authority and one leaf for localhost, ECDSA P-256, made anew for each run.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::Result;

pub fn write(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    authority
        .distinguished_name
        .push(DnType::CommonName, "tonegate-load authority");
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let leaf_key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()])?
        .signed_by(&leaf_key, &issuer)?;

    fs::write(directory.join("ca.pem"), issuer.pem())?;
    fs::write(directory.join("leaf.pem"), leaf.pem())?;
    fs::write(directory.join("leaf.key"), leaf_key.serialize_pem())?;
    Ok(())
}
