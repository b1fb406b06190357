//! When the certificates of the settings end, for the metric: an edge whose certificate has ended serves
//! nobody, and it is known long before.
//!
//! Not here: the system's roots, and the certificates that peers show.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::config::{Engine, Identity, Live, Roots, Store};
use crate::label::Label;
use crate::metrics::Metrics;

/// No certificate lasts until then: the year 9999 is the last that one can name.
const NEVER: Duration = Duration::from_secs(400_000_000_000);

/// The first to end of the certificates that serve for one thing.
struct Ends {
    /// `server`, `client`, `client_roots`, `upstream_roots`.
    of: &'static str,
    name: Label,
    /// Seconds since 1970.
    at: u64,
}

/// The ends of all certificates of the settings.
pub struct Expiries(Vec<Ends>);

impl Expiries {
    /// Of the edge's own, and of those whom it connects to. Whether they can be used is for others to
    /// say.
    pub fn of(identity: Option<&Identity>, live: &Live, store: &Store) -> Expiries {
        let mut all = Expiries(Vec::new());
        if let Some(identity) = identity {
            let server = known("server");
            all.add("server", &server, &identity.chain_pem);
            if let Some(roots) = &identity.client_roots {
                all.add("client_roots", &server, roots);
            }
        }
        for named in &live.server_certificates {
            all.add("server", &named.name, &named.chain_pem);
        }
        if let Some(Roots::Pem(roots)) = live.acs.as_ref().and_then(|acs| acs.roots.as_ref()) {
            all.add("upstream_roots", &known("acs"), roots);
        }
        if let Engine::Redis(redis) = &store.engine
            && let Some(Roots::Pem(roots)) = &redis.roots
        {
            all.add("upstream_roots", &known("store"), roots);
        }
        for upstream in &live.upstreams {
            if let Some(identity) = &upstream.client {
                all.add("client", &upstream.name, &identity.chain_pem);
            }
            if let Some(Roots::Pem(roots)) = &upstream.roots {
                all.add("upstream_roots", &upstream.name, roots);
            }
        }
        all
    }

    /// Adds what is in a PEM file: a chain is good until the first of it ends.
    pub fn add(&mut self, of: &'static str, name: &Label, pem: &str) {
        let all = CertificateDer::pem_slice_iter(pem.as_bytes());
        let first = all.flatten().filter_map(|der| not_after(&der)).min();
        self.0.extend(first.map(|at| Ends {
            of,
            name: name.clone(),
            at,
        }));
    }

    /// Shows how long each has left.
    pub fn show(&self, metrics: &Metrics, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        for ends in &self.0 {
            // Far below what a float counts in whole seconds.
            let left = ends.at as f64 - now.as_secs() as f64;
            metrics.show_certificate(ends.of, &ends.name, left);
        }
    }
}

fn known(name: &str) -> Label {
    Label::new(name).expect("it fits the grammar")
}

/// The last second in which a certificate is good. It is asked whether it is good when none is, and the
/// answer says when that one was; nothing else of it is looked at before.
fn not_after(der: &CertificateDer<'_>) -> Option<u64> {
    let certificate = EndEntityCert::try_from(der).ok()?;
    let never = UnixTime::since_unix_epoch(NEVER);
    let usage = KeyUsage::server_auth();
    let judged = certificate.verify_for_usage(&[], &[], &[], never, usage, None, None);
    let webpki::Error::CertExpired { not_after, .. } = judged.err()? else {
        return None;
    };
    Some(not_after.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::certificate::Authority;

    fn shown(page: &str) -> Vec<(&str, f64)> {
        let lines = page.lines();
        let ours =
            lines.filter_map(|line| line.strip_prefix("tonegate_certificate_expiry_seconds"));
        let pairs = ours.filter_map(|line| line.split_once("} "));
        pairs
            .map(|(labels, value)| (labels, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a40_the_first_of_a_chain_to_end_is_told_also_of_roots_and_once_it_has_ended() {
        let authority = Authority::new("test");
        // The authority's own ends in 2045.
        let end = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let leaf = authority.issue_client(&["a"], Some(end)).unwrap();
        let mut all = Expiries(Vec::new());
        let name = Label::new("voice").unwrap();
        all.add("client", &name, &leaf.chain_pem);
        all.add("upstream_roots", &name, &authority.pem());
        all.add("server", &name, "none at all");
        let metrics = Metrics::new();
        let day = Duration::from_secs(86_400);
        for (now, left) in [(end - day, 86_400.0), (end + day, -86_400.0)] {
            all.show(&metrics, now);
            let page = metrics.render();
            let shown = shown(&page);
            let client = ("{use=\"client\",name=\"voice\"", left);
            assert!(shown.contains(&client), "{page}");
            let (2, Some((_, roots))) = (shown.len(), shown.iter().find(|s| s.0 != client.0))
            else {
                panic!("{page}");
            };
            // 1 January 2045.
            let since = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(*roots, (2_366_841_600 - since) as f64);
        }
    }
}
