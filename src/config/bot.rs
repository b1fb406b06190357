//! `[bot]`: who the bot is to Azure Bot Service, and where its messages may go.

use std::time::Duration;

use super::{ManagedIdentity, Roots};
use crate::ids::EntraId;

/// `[bot]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bot {
    /// The id of its registration: whom tokens of the connector are for.
    pub app_id: EntraId,
    /// The tenant of its registration; `None`: of any, as registrations before 2025-07-31 could be.
    pub tenant: Option<EntraId>,
    /// Who gives tokens for the connector.
    pub identity: ManagedIdentity,
    /// What a `serviceUrl` may begin with. Whatever else one names is not asked, whoever wrote it.
    pub services: Vec<ServiceOrigin>,
    /// How long it is kept where to write to somebody, from the last time that they were heard; zero:
    /// it is not.
    pub keep: Duration,
    pub roots: Roots,
    /// One request, from its connection to its answer.
    pub timeout: Duration,
    /// One message with all its requests and what lies between them.
    pub total: Duration,
}

impl Bot {
    /// Whether messages may go to this `serviceUrl`.
    pub fn serves(&self, service_url: &str) -> bool {
        ServiceOrigin::of(service_url).is_some_and(|(origin, _)| self.services.contains(&origin))
    }
}

/// Scheme, host and port of a service, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceOrigin {
    /// `https`; else `http`, which only loopback may have.
    pub secure: bool,
    /// Lower case, without brackets.
    pub host: String,
    pub port: u16,
}

impl ServiceOrigin {
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether a host is this machine, by name or by number.
pub(super) fn is_loopback(host: &str) -> bool {
    let ip = host.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Longest `serviceUrl`; those of Teams have some 40 characters.
const URL_MAX: usize = 512;

impl ServiceOrigin {
    /// Takes a `serviceUrl` apart: its origin, and its path without a slash at the end. What one of
    /// Microsoft's never holds makes it none: a user, a query, a fragment, escapes, steps upwards.
    pub fn of(url: &str) -> Option<(ServiceOrigin, String)> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b);
        if url.len() > URL_MAX || !url.bytes().all(plain) {
            return None;
        }
        let uri: http::Uri = url.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host)?.strip_prefix(':') {
            Some(written) => written.parse().ok()?,
            None if secure => 443,
            None => 80,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let path = uri.path().strip_suffix('/').unwrap_or(uri.path());
        let odd = |step: &str| matches!(step, "" | "." | "..");
        if host.is_empty() || host.ends_with('.') || path.split('/').skip(1).any(odd) {
            return None;
        }
        let origin = ServiceOrigin {
            secure,
            host: host.to_ascii_lowercase(),
            port,
        };
        Some((origin, path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c03_a_service_url_is_its_origin_and_a_plain_path_or_none() {
        let of = |url: &str| ServiceOrigin::of(url).map(|(at, path)| (at.host, at.port, path));
        let teams = "smba.trafficmanager.net";
        for (url, host, port, path) in [
            ("https://smba.trafficmanager.net/amer/", teams, 443, "/amer"),
            ("https://SMBA.TrafficManager.net", teams, 443, ""),
            ("https://smba.trafficmanager.net:443/", teams, 443, ""),
            ("https://[::1]:8443/a/b", "::1", 8443, "/a/b"),
            ("http://127.0.0.1/teams", "127.0.0.1", 80, "/teams"),
        ] {
            assert_eq!(
                of(url),
                Some((host.to_owned(), port, path.to_owned())),
                "{url}"
            );
        }
        for url in [
            "",
            "smba.trafficmanager.net",
            "//smba.trafficmanager.net/",
            "ftp://smba.trafficmanager.net/",
            "https:///amer/",
            "https://@smba.trafficmanager.net/",
            "https://smba.trafficmanager.net@evil.example/",
            "https://smba.trafficmanager.net:/",
            "https://smba.trafficmanager.net:99999/",
            "https://smba.trafficmanager.net./",
            "https://smba.trafficmanager.net/?a=b",
            "https://smba.trafficmanager.net/#a",
            "https://smba.trafficmanager.net/..",
            "https://smba.trafficmanager.net/a/../b",
            "https://smba.trafficmanager.net//evil.example/",
            "https://smba.trafficmanager.net/%2e%2e/",
            "https://smba.trafficmanager.net\\@evil.example/",
            "https://smba.trafficmanager.net/\r\nx: y",
            "https://sm\u{ff42}a.trafficmanager.net/",
        ] {
            assert_eq!(of(url), None, "{url:?}");
        }
        let long = format!("https://smba.trafficmanager.net/{}", "a".repeat(URL_MAX));
        assert_eq!(of(&long), None);
    }
}
