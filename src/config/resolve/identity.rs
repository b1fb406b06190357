//! `server.tls` and `[[server.certificates]]`: what the edge shows clients.

use std::path::{Path, PathBuf};

use super::{Problems, certificate};
use crate::config::file::File;
use crate::config::{Identity, ServerCertificate};
use crate::secret::Secret;

/// Certificates beside the usual one. A thousand hosts behind one edge are more than anybody has, and
/// a file that names more was not written by hand.
const CERTIFICATES_MAX: usize = 1000;

/// The usual certificate, if the edge speaks TLS, and those that are shown to who asks for their names.
pub(super) fn identities(
    file: &File,
    problems: &mut Problems,
) -> (Option<Identity>, Vec<ServerCertificate>) {
    let server = &file.server;
    let named = named(file, problems);
    let Some(tls) = &server.tls else {
        let beyond = server.listen.filter(|listen| !listen.ip().is_loopback());
        if beyond.is_some() && !server.plain_text {
            problems.add(
                "server.tls",
                "missing, and the address is not loopback; set tls = { certificate = \
                 \"…\", key = \"…\" }, or plain_text = true if something in front \
                 terminates TLS",
            );
        }
        return (None, named);
    };
    let chain_pem = pem("server.tls.certificate", tls.certificate.as_ref(), problems);
    let key_pem = pem("server.tls.key", tls.key.as_ref(), problems);
    let client_roots = certificate::client_roots(file, problems);
    let identity = chain_pem.zip(key_pem).map(|(chain_pem, key_pem)| Identity {
        chain_pem,
        key_pem: Secret::new(key_pem),
        client_roots,
    });
    (identity, named)
}

fn pem(at: &str, path: Option<&PathBuf>, problems: &mut Problems) -> Option<String> {
    let Some(path) = path else {
        problems.add(at, "missing; a PEM file");
        return None;
    };
    problems.read(at, Path::new(path))
}

fn named(file: &File, problems: &mut Problems) -> Vec<ServerCertificate> {
    let written = &file.server.certificates;
    if !written.is_empty() && file.server.tls.is_none() {
        problems.add(
            "server.certificates",
            "have no use without server.tls, whose certificate is for whoever names no host",
        );
    }
    if written.len() > CERTIFICATES_MAX {
        let what = format!("must be at most {CERTIFICATES_MAX}");
        problems.add("server.certificates", what);
    }
    let mut named: Vec<ServerCertificate> = Vec::new();
    for written in written.iter().take(CERTIFICATES_MAX) {
        let at = format!("server.certificates.{}", written.name);
        let name = problems.label(&at, &written.name);
        if written.name == "default" {
            problems.add(&at, "is what the certificate of server.tls is called");
        }
        if named
            .iter()
            .any(|other| other.name.as_str() == written.name)
        {
            problems.add(&at, "this name is taken by another certificate");
        }
        let certificate = format!("{at}.certificate");
        let chain_pem = pem(&certificate, written.certificate.as_ref(), problems);
        let key_pem = pem(&format!("{at}.key"), written.key.as_ref(), problems);
        if let (Some(name), Some(chain_pem), Some(key_pem)) = (name, chain_pem, key_pem) {
            named.push(ServerCertificate {
                name,
                chain_pem,
                key_pem: Secret::new(key_pem),
            });
        }
    }
    named
}
