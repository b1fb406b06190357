//! Certificates of clients: whose a verified one is, and where that opens.
//!
//! Not here: whether it is good. The listener has verified its chain and that the client has the
//! key, or there is no [`Certificate`].

use super::Denied;
use crate::config::{self, Mark};
use crate::error::Reason;
use crate::label::Label;
use crate::secret::Digest;

/// What a client has proved in the TLS handshake: a leaf that leads to one of the roots.
pub struct Certificate {
    digest: Digest,
    /// Its dNSNames, in lower case.
    names: Vec<String>,
}

impl Certificate {
    /// `leaf` is its DER, `names` are the dNSNames in it. The caller must have verified both.
    pub fn new<'a>(leaf: &[u8], names: impl Iterator<Item = &'a str>) -> Certificate {
        Certificate {
            digest: Digest::of_bytes(leaf),
            names: names.map(str::to_ascii_lowercase).collect(),
        }
    }

    fn has(&self, mark: &Mark) -> bool {
        match mark {
            Mark::Sha256(digest) => self.digest.is(digest),
            Mark::Dns(name) => self.names.contains(name),
        }
    }
}

/// All certificates of the settings.
pub(super) struct Certificates(Vec<config::Certificate>);

impl Certificates {
    pub(super) fn new(certificates: &[config::Certificate]) -> Certificates {
        Certificates(certificates.to_vec())
    }

    /// The one that the client showed, if it opens `route`. Where it is several of them, the first
    /// that does.
    pub(super) fn find(
        &self,
        shown: &Certificate,
        route: &Label,
    ) -> Result<&config::Certificate, Denied> {
        let mut refusal = Denied::new(Reason::Unauthenticated, "the certificate is not known");
        for listed in self.0.iter().filter(|listed| shown.has(&listed.mark)) {
            if listed.routes.is_empty() || listed.routes.contains(route) {
                return Ok(listed);
            }
            refusal = Denied::new(
                Reason::Forbidden,
                "the certificate does not open this route",
            );
        }
        Err(refusal)
    }

    /// The one of this name, whose holder was admitted before, if it opens `route`.
    pub(super) fn named(
        &self,
        name: &Label,
        route: &Label,
    ) -> Result<&config::Certificate, Denied> {
        let gone = "the certificate that was shown for the ticket is known no more";
        let listed = self.0.iter().find(|listed| listed.name == *name);
        let listed = listed.ok_or(Denied::invalid_token(gone))?;
        if !listed.routes.is_empty() && !listed.routes.contains(route) {
            let detail = "the certificate does not open this route";
            return Err(Denied::new(Reason::Forbidden, detail));
        }
        Ok(listed)
    }
}

/// One identity, as limits count it: that of the name in the settings, so that a certificate which
/// is renewed is the same. No issuer of tokens may be called so.
pub(super) fn identity(certificate: &config::Certificate) -> Digest {
    Digest::of(&format!("certificate\0{}", certificate.name))
}

#[cfg(test)]
mod tests {
    use super::super::{Admission, Grant, Now, Request, Told};
    use super::*;
    use crate::config::{ApiKey, Enter, Live, Mark, Route, Settings, Way};
    use crate::metrics::Metrics;
    use std::sync::Arc;

    /// A route named `r`, with whatever ways the test puts there, and one that nobody enters.
    const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\
         [upstreams.v]\nkind = \"voice-live\"\nresource = \"res\"\ncredential = { key = \"k\" }\n\
         [[routes]]\nname = \"r\"\nkind = \"voice-live\"\npaths = [\"/ws\"]\n\
         admit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"v\"]\n\
         limits = { sessions_per_identity = 1 }\n";
    const LEAF: &[u8] = b"the DER of a leaf";

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    fn listed(name: &str, mark: Mark, routes: &[&str]) -> config::Certificate {
        config::Certificate {
            name: label(name),
            mark,
            routes: routes.iter().map(|name| label(name)).collect(),
        }
    }

    fn dns(name: &str) -> Mark {
        Mark::Dns(name.to_owned())
    }

    fn leaf() -> Mark {
        Mark::Sha256(Digest::of_bytes(LEAF))
    }

    struct Door {
        admission: Admission,
        route: Route,
    }

    impl Door {
        fn new(enter: Enter, certificates: Vec<config::Certificate>) -> Door {
            let live = Settings::read_text("edge.toml", SETTINGS).unwrap().live;
            let live = Live {
                identity: None,
                server_certificates: Vec::new(),
                certificates,
                keys: vec![ApiKey {
                    name: label("kiosk"),
                    digest: Digest::of("k-1"),
                    routes: Vec::new(),
                    models: Vec::new(),
                    agents: Vec::new(),
                    sessions: None,
                    upgrades: None,
                    expires: None,
                    minutes: None,
                }],
                ..live
            };
            let admission = Admission::new(&live, &Arc::new(Metrics::new())).unwrap();
            let mut route = live.routes[0].clone();
            route.enter = enter;
            Door { admission, route }
        }

        fn ask(
            &self,
            key: Option<&str>,
            certificate: Option<&Certificate>,
            by_hop: bool,
        ) -> Result<Grant, (Reason, &'static str)> {
            let mut request = http::Request::builder().uri("/ws");
            if let Some(key) = key {
                request = request.header("api-key", key);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let asked = Request {
                route: &self.route,
                head: &head,
                peer: "203.0.113.9".parse().unwrap(),
                by_hop,
                certificate,
                now: Now::read(),
            };
            let mut told = Told::nobody();
            let decision = std::pin::pin!(self.admission.decide(asked, &mut told));
            let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
            match decision.poll(cx) {
                std::task::Poll::Ready(decided) => decided.map_err(|no| (no.reason, no.detail)),
                std::task::Poll::Pending => panic!("waits for something"),
            }
        }

        fn who(&self, key: Option<&str>, certificate: Option<&Certificate>) -> Result<String, u16> {
            let decided = self.ask(key, certificate, false);
            let status = |(reason, _): (Reason, _)| reason.row().status.unwrap();
            decided
                .map(|grant| grant.subject().to_string())
                .map_err(status)
        }
    }

    fn showing(names: &[&str]) -> Certificate {
        Certificate::new(LEAF, names.iter().copied())
    }

    #[test]
    fn a10_only_the_very_leaf_and_the_very_name_are_known() {
        let other = Certificate::new(b"the DER of another", ["a.example"].into_iter());
        for (mark, shown, known) in [
            (leaf(), &showing(&[]), true),
            (leaf(), &other, false),
            (dns("a.example"), &other, true),
            (
                dns("a.example"),
                &showing(&["b.example", "A.Example"]),
                true,
            ),
            (dns("a.example"), &showing(&["*.example"]), false),
            (dns("a.example"), &showing(&["x.a.example"]), false),
            (dns("a.example"), &showing(&["a.example.evil"]), false),
            (dns("a.example"), &showing(&["example"]), false),
            (dns("a.example"), &showing(&[]), false),
        ] {
            let certificates = Certificates::new(&[listed("c", mark.clone(), &[])]);
            let found = certificates.find(shown, &label("r"));
            assert_eq!(found.is_ok(), known, "{mark:?}");
            let unknown = found.err().map(|denied| denied.reason);
            assert!(unknown.is_none_or(|reason| reason == Reason::Unauthenticated));
        }
    }

    #[test]
    fn a10_of_several_that_it_is_the_first_that_opens_the_route_counts() {
        let certificates = Certificates::new(&[
            listed("elsewhere", leaf(), &["s"]),
            listed("first", dns("a.example"), &["r"]),
            listed("second", dns("b.example"), &[]),
        ]);
        let shown = showing(&["b.example", "a.example"]);
        let name = |route: &str| certificates.find(&shown, &label(route)).map(|c| &c.name);
        assert_eq!(name("r"), Ok(&label("first")));
        assert_eq!(name("s"), Ok(&label("elsewhere")));
        assert_eq!(name("t"), Ok(&label("second")));
        let only = showing(&["a.example"]);
        let refused = certificates.find(&only, &label("t")).err().unwrap();
        assert_eq!(refused.reason, Reason::Forbidden);
    }

    #[test]
    fn a10_any_of_and_all_of_take_a_certificate_as_any_other_way() {
        let known = || vec![listed("lambda", dns("a.example"), &[])];
        let (good, bad) = (showing(&["a.example"]), showing(&["b.example"]));
        let (lambda, kiosk) = (Ok("certificate:lambda".to_owned()), Ok("kiosk".to_owned()));
        let only = Door::new(Enter::Any(vec![Way::Certificate]), known());
        assert_eq!(only.who(None, None), Err(401));
        assert_eq!(only.who(Some("k-1"), None), Err(401));
        assert_eq!(only.who(None, Some(&bad)), Err(401));
        assert_eq!(only.who(None, Some(&good)), lambda);
        let either = Door::new(Enter::Any(vec![Way::Certificate, Way::Key]), known());
        assert_eq!(either.who(None, None), Err(401));
        // A key that is shown is what counts, and must be good.
        assert_eq!(either.who(Some("wrong"), Some(&good)), Err(401));
        assert_eq!(either.who(Some("k-1"), Some(&bad)), kiosk);
        assert_eq!(either.who(Some("k-1"), Some(&good)), kiosk);
        assert_eq!(either.who(None, Some(&good)), lambda);
        let both = Door::new(Enter::All(vec![Way::Certificate, Way::Key]), known());
        assert_eq!(both.who(None, Some(&good)), Err(401));
        assert_eq!(both.who(Some("k-1"), None), Err(401));
        assert_eq!(both.who(Some("k-1"), Some(&bad)), Err(401));
        assert_eq!(both.who(Some("wrong"), Some(&good)), Err(401));
        assert_eq!(both.who(Some("k-1"), Some(&good)), kiosk);
        // Who shows one that is not known is not let in as somebody else.
        let anyone = Door::new(Enter::Any(vec![Way::Certificate, Way::Anyone]), known());
        assert_eq!(anyone.who(None, Some(&bad)), Err(401));
        assert_eq!(anyone.who(None, Some(&good)), lambda);
        assert_eq!(anyone.who(None, None), Ok("anyone".to_owned()));
        // Where none is asked for, none is looked at.
        let keys = Door::new(Enter::Any(vec![Way::Key]), known());
        assert_eq!(keys.who(Some("k-1"), Some(&bad)), kiosk);
        assert_eq!(keys.who(None, Some(&good)), Err(401));
    }

    #[test]
    fn a10_behind_a_hop_that_speaks_http_it_is_the_hops_and_does_not_count() {
        let known = || vec![listed("lambda", dns("a.example"), &[])];
        let good = showing(&["a.example"]);
        for enter in [
            Enter::Any(vec![Way::Certificate]),
            Enter::All(vec![Way::Certificate]),
        ] {
            let door = Door::new(enter, known());
            let (reason, detail) = door.ask(None, Some(&good), true).err().unwrap();
            assert_eq!(reason, Reason::Unauthenticated);
            assert!(detail.contains("hop"), "{detail}");
            assert!(door.ask(None, Some(&good), false).is_ok());
        }
        let anyone = Door::new(Enter::Any(vec![Way::Certificate, Way::Anyone]), known());
        let grant = anyone.ask(None, Some(&good), true).unwrap();
        assert_eq!(grant.subject().to_string(), "anyone");
    }

    #[test]
    fn a10_a_renewed_certificate_is_the_same_identity_and_another_is_another() {
        let known = vec![
            listed("lambda", dns("a.example"), &[]),
            listed("sbc", dns("b.example"), &[]),
        ];
        let door = Door::new(Enter::Any(vec![Way::Certificate]), known);
        let of = |der: &'static [u8], name| Certificate::new(der, [name].into_iter());
        let first = door.ask(None, Some(&of(b"1", "a.example")), false).unwrap();
        let renewed = door.ask(None, Some(&of(b"2", "a.example")), false);
        assert_eq!(renewed.err().map(|(reason, _)| reason), Some(Reason::Busy));
        let other = door.ask(None, Some(&of(b"3", "b.example")), false);
        assert!(other.is_ok());
        drop(first);
        assert!(door.ask(None, Some(&of(b"2", "a.example")), false).is_ok());
    }
}
