//! Who asks without a credential where the edge runs with `--insecure-dev`: the developer whom the
//! command line names, and only on routes to private applications.
//!
//! The settings have been judged: nobody but this machine can connect, and no proxy is believed. Yet a
//! tunnel or a page of another site on this machine's browser brings requests of others, so those that
//! say so are the developer's not. A credential that is shown is judged as ever.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA};
use http::request;

use super::bot::Vouched;
use super::credential::Shown;
use super::{Denied, Request};
use crate::config::{self, Connector, IssuerKind, Live, Route, Way};
use crate::error::Reason;
use crate::label::Label;

/// The developer, and the bots whose activities may come unsigned.
pub(super) struct Developer {
    pub(super) who: config::Developer,
    bots: HashMap<Label, Arc<Connector>>,
}

impl Developer {
    /// `None`: whoever shows nothing is nobody.
    pub(super) fn of(live: &Live) -> Option<Developer> {
        let who = live.developer.clone()?;
        let bots = live.issuers.iter().filter_map(|issuer| match &issuer.kind {
            IssuerKind::Bot { connector, .. } => Some((issuer.name.clone(), connector.clone())),
            IssuerKind::BotTenant { .. }
            | IssuerKind::Entra { .. }
            | IssuerKind::Oidc { .. }
            | IssuerKind::Acs { .. }
            | IssuerKind::EventGrid { .. } => None,
        });
        Some(Developer {
            who,
            bots: bots.collect(),
        })
    }

    /// Whether it is the developer who asks; `false`: a credential decides.
    pub(super) fn asks(&self, asked: Request<'_>, shown: &Shown<'_>) -> Result<bool, Denied> {
        if !asked.route.kind.is_for_developers() || !shown.is_nothing() {
            return Ok(false);
        }
        // One in a place that the route does not look at is a mistake to be told.
        let headers = &asked.head.headers;
        if headers.contains_key(AUTHORIZATION) || headers.contains_key("api-key") {
            return Ok(false);
        }
        if asked.by_hop || !asked.peer.to_canonical().is_loopback() || !is_local(asked.head) {
            let detail = "whoever asks by a proxy, under another name or from a page of another site \
                          is not the developer";
            return Err(Denied::new(Reason::Unauthenticated, detail));
        }
        Ok(true)
    }

    /// What stands for the connector's token on a bot's route.
    pub(super) fn vouches(&self, route: &Route) -> Option<Arc<Vouched>> {
        let rules = route.enter.ways().iter().find_map(|way| match way {
            Way::Issuer(name) => self.bots.get(name),
            Way::Key | Way::Certificate | Way::EasyAuth | Way::Call | Way::Ticket | Way::Anyone => {
                None
            }
        })?;
        Some(Arc::new(Vouched::by_developer(rules, &self.who)))
    }
}

/// Headers of proxies and tunnels.
const BROUGHT: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "x-original-host",
    "x-client-ip",
];

/// Whether a request was made to this machine by name, by nobody for somebody else. A page whose origin
/// the route lists has been let in by that.
fn is_local(head: &request::Parts) -> bool {
    let headers = &head.headers;
    let brought = is_brought(head);
    let here = names_here(head);
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let own_page = matches!(site, None | Some(b"none" | b"same-origin"));
    !brought && here && (own_page || headers.contains_key(ORIGIN))
}

/// Whether somebody has brought a request for somebody else, and says so.
pub fn is_brought(head: &request::Parts) -> bool {
    let headers = &head.headers;
    headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || BROUGHT.iter().any(|name| headers.contains_key(*name))
}

/// Whether a request names this machine as what it is for. A page whose name leads here (DNS rebinding)
/// names itself.
pub fn names_here(head: &request::Parts) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let target = head.uri.host();
    host.is_some_and(|host| is_here(without_port(host))) && target.is_none_or(is_here)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

fn is_here(name: &str) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip: Result<IpAddr, _> = bare.unwrap_or(name).parse();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(lines: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().uri("/api/chat");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        is_local(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn c27_only_what_was_asked_of_this_machine_by_itself_is_local() {
        for host in [
            "localhost",
            "LOCALHOST:3978",
            "127.0.0.1:8443",
            "[::1]:8443",
            "[::1]",
        ] {
            assert!(local(&[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "192.0.2.7:8443",
            "0.0.0.0",
            "localhost:80:80",
        ] {
            assert!(!local(&[("host", host)]), "{host}");
        }
        assert!(!local(&[]));
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-host", "a.devtunnels.ms"),
            ("x-original-host", "a.ngrok.app"),
            ("x-real-ip", "203.0.113.9"),
            ("x-client-ip", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
            ("via", "1.1 proxy"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!local(&[("host", "localhost"), (name, value)]), "{name}");
        }
        for site in ["none", "same-origin"] {
            assert!(local(&[("host", "localhost"), ("sec-fetch-site", site)]));
        }
        let page = [
            ("host", "localhost"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://localhost:5173"),
        ];
        assert!(local(&page));
    }
}
