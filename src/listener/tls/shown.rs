//! Which certificate a client is shown: the one for the name that it asks for (RFC 6066, section 3), or
//! else the usual one. All of them change at once, under a configuration that stays, so that whoever
//! comes back with a ticket of before is resumed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::Unusable;
use crate::config::{Identity, ServerCertificate};
use crate::label::Label;
use crate::secret::Secret;

/// All certificates, by the names in them.
#[derive(Debug)]
pub(super) struct Shown {
    usual: Arc<CertifiedKey>,
    /// Lower case; of `*.example.com` what stands behind the asterisk.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wild: HashMap<String, Arc<CertifiedKey>>,
}

impl Shown {
    /// Reads all of them. A key that is another certificate's is found here.
    pub(super) fn new(
        usual: &Identity,
        named: &[ServerCertificate],
        provider: &CryptoProvider,
    ) -> Result<Shown, Unusable> {
        let at = |key: &str| format!("server.tls.{key}");
        let (usual, _) = certified((&usual.chain_pem, &usual.key_pem), provider, at)?;
        let mut shown = Shown {
            usual: Arc::new(usual),
            exact: HashMap::new(),
            wild: HashMap::new(),
        };
        let mut owners: HashMap<String, &Label> = HashMap::new();
        for one in named {
            let at = |key: &str| format!("server.certificates.{}.{key}", one.name);
            let (key, names) = certified((&one.chain_pem, &one.key_pem), provider, at)?;
            if names.is_empty() {
                return Err(Unusable::Nameless(at("certificate")));
            }
            let key = Arc::new(key);
            for name in names {
                match owners.entry(name.clone()) {
                    Entry::Occupied(owner) if *owner.get() == &one.name => continue,
                    Entry::Occupied(owner) => {
                        let (at, owner) = (at("certificate"), owner.get().to_string());
                        return Err(Unusable::Twice { at, name, owner });
                    }
                    Entry::Vacant(free) => drop(free.insert(&one.name)),
                }
                match name.strip_prefix("*.") {
                    Some(below) => shown.wild.insert(below.to_owned(), key.clone()),
                    None => shown.exact.insert(name, key.clone()),
                };
            }
        }
        Ok(shown)
    }

    /// The certificate for a name. A wildcard stands for one label (RFC 9525, section 6.3), and goes
    /// behind whoever names the host itself.
    fn of(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name else {
            return &self.usual;
        };
        let name = name.to_ascii_lowercase();
        let wild = || {
            let (_, below) = name.split_once('.')?;
            self.wild.get(below)
        };
        let found = self.exact.get(&name).or_else(wild);
        found.unwrap_or(&self.usual)
    }
}

/// A chain with the key that belongs to it, and the names of hosts in its first certificate.
fn certified(
    (chain, key): (&str, &Secret),
    provider: &CryptoProvider,
    at: impl Fn(&str) -> String,
) -> Result<(CertifiedKey, Vec<String>), Unusable> {
    let none = || Unusable::Certificate(at("certificate"));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| none())?;
    let leaf = chain.first().ok_or_else(none)?;
    let parsed = EndEntityCert::try_from(leaf).map_err(|_| none())?;
    let names = parsed.valid_dns_names();
    let names = names.take(super::NAMES_MAX).map(str::to_ascii_lowercase);
    let names: Vec<String> = names.collect();
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
    let key = key.map_err(|_| Unusable::Key(at("key")))?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| Unusable::Key(at("key")))?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|_| Unusable::Mismatch(at("key")))?;
    Ok((certified, names))
}

/// What rustls asks in each handshake.
#[derive(Debug)]
pub(super) struct Resolver(ArcSwap<Shown>);

impl Resolver {
    pub(super) fn new(shown: Shown) -> Resolver {
        Resolver(ArcSwap::from_pointee(shown))
    }

    /// From the next handshake on these are shown.
    pub(super) fn put(&self, shown: Arc<Shown>) {
        self.0.store(shown);
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().of(hello.server_name()).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::certificate::{self, Authority};
    use rustls::crypto::aws_lc_rs;

    fn identity(of: &certificate::Identity) -> Identity {
        Identity {
            chain_pem: of.chain_pem.clone(),
            key_pem: Secret::new(of.key_pem.clone()),
            client_roots: None,
        }
    }

    fn named(name: &str, of: &certificate::Identity) -> ServerCertificate {
        ServerCertificate {
            name: Label::new(name).unwrap(),
            chain_pem: of.chain_pem.clone(),
            key_pem: Secret::new(of.key_pem.clone()),
        }
    }

    fn shown(usual: &Identity, named: &[ServerCertificate]) -> Result<Shown, String> {
        let shown = Shown::new(usual, named, &aws_lc_rs::default_provider());
        shown.map_err(|unusable| unusable.to_string())
    }

    #[test]
    fn s27_a_key_of_another_certificate_is_refused_and_told_by_its_setting() {
        let authority = Authority::new("unit");
        let (one, two) = (
            authority.issue(&["a.example"]),
            authority.issue(&["b.example"]),
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        let mixed = certificate::Identity {
            chain_pem: one.chain_pem.clone(),
            key_pem: two.key_pem.clone(),
        };
        let told = shown(&identity(&mixed), &[]).unwrap_err();
        assert!(told.starts_with("server.tls.key is not"), "{told}");
        let told = shown(&identity(&one), &[named("b", &mixed)]).unwrap_err();
        assert!(
            told.starts_with("server.certificates.b.key is not"),
            "{told}"
        );
        for (chain, key, at) in [
            (
                "",
                &*two.key_pem,
                "server.certificates.b.certificate holds no",
            ),
            (
                &*two.key_pem,
                &*two.key_pem,
                "server.certificates.b.certificate holds no",
            ),
            (&*two.chain_pem, "", "server.certificates.b.key holds no"),
            (
                &*two.chain_pem,
                &*two.chain_pem,
                "server.certificates.b.key holds no",
            ),
        ] {
            let broken = certificate::Identity {
                chain_pem: chain.to_owned(),
                key_pem: key.to_owned(),
            };
            let told = shown(&identity(&one), &[named("b", &broken)]).unwrap_err();
            assert!(told.starts_with(at), "{at}: {told}");
        }
        assert!(shown(&identity(&one), &[named("b", &two)]).is_ok());
    }

    #[test]
    fn b22_no_two_certificates_are_for_one_name_and_none_is_for_nobody() {
        let authority = Authority::new("unit");
        let usual = identity(&authority.issue(&["a.example"]).unwrap());
        let one = authority.issue(&["b.example", "c.example"]).unwrap();
        let two = authority.issue(&["C.example"]).unwrap();
        let told = shown(&usual, &[named("one", &one), named("two", &two)]).unwrap_err();
        assert!(told.contains("server.certificates.two"), "{told}");
        assert!(told.contains("c.example, and so is one"), "{told}");
        let nobody = authority.issue(&["127.0.0.1"]).unwrap();
        let told = shown(&usual, &[named("ip", &nobody)]).unwrap_err();
        assert!(told.contains("server.certificates.ip"), "{told}");
        // The usual one is for whoever is nobody else's, whatever names it has.
        let own = authority.issue(&["a.example"]).unwrap();
        assert!(shown(&usual, &[named("own", &own)]).is_ok());
    }

    #[test]
    fn b22_the_name_chooses_and_a_wildcard_is_one_label() {
        let authority = Authority::new("unit");
        let issue = |names: &[&str]| authority.issue(names).unwrap();
        let usual = identity(&issue(&["usual.example"]));
        let (wild, exact) = (issue(&["*.b.example"]), issue(&["x.b.example"]));
        let shown = shown(&usual, &[named("wild", &wild), named("exact", &exact)]).unwrap();
        let leaf = |pem: &str| {
            let mut chain = CertificateDer::pem_slice_iter(pem.as_bytes());
            chain.next().unwrap().unwrap()
        };
        for (name, of) in [
            (None, &*usual.chain_pem),
            (Some("usual.example"), &*usual.chain_pem),
            (Some("x.b.example"), &*exact.chain_pem),
            (Some("X.B.Example"), &*exact.chain_pem),
            (Some("y.b.example"), &*wild.chain_pem),
            (Some("b.example"), &*usual.chain_pem),
            (Some("z.y.b.example"), &*usual.chain_pem),
            (Some("nowhere"), &*usual.chain_pem),
        ] {
            assert_eq!(shown.of(name).cert[0], leaf(of), "{name:?}");
        }
    }
}
