//! `[upstreams]`: where each is, how its certificate is judged, what it is told.

use std::time::Duration;

use super::Problems;
use crate::config::file::{self, File};
use crate::config::{ApiVersions, Credential, Upstream};
use crate::secret::Secret;

pub(super) fn upstreams(file: &File, problems: &mut Problems) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for (name, written) in &file.upstreams {
        let at = format!("upstreams.{name}");
        let Some(label) = problems.label(&at, name) else {
            continue;
        };
        if written.kind.as_deref() != Some("voice-live") {
            problems.add(format!("{at}.kind"), "must be \"voice-live\"");
        }
        let address = address(&at, written, problems);
        let credential = credential(&at, written, problems);
        let api_versions = api_versions(&at, written, problems);
        let roots = problems.roots(&at, written.roots.as_deref());
        let connect = written.connect.unwrap_or(Duration::from_secs(5));
        let total = written.total.unwrap_or(Duration::from_secs(10));
        if connect > total || connect.is_zero() || total > Duration::from_secs(60) {
            problems.add(
                &at,
                "connect must be more than 0, total at least that and at most 60s",
            );
        }
        let (Some((secure, host, port)), Some(credential), Some(api_versions), Some(roots)) =
            (address, credential, api_versions, roots)
        else {
            continue;
        };
        upstreams.push(Upstream {
            name: label,
            host,
            port,
            roots: secure.then_some(roots),
            api_versions,
            credential,
            connect,
            total,
        });
    }
    upstreams
}

fn api_versions(
    at: &str,
    written: &file::Upstream,
    problems: &mut Problems,
) -> Option<ApiVersions> {
    let usual = written.api_version.as_deref().unwrap_or("2026-07-15");
    let web_rtc = written.web_rtc_api_version.as_deref();
    // The only one that served it in a test of August 2026.
    let web_rtc = web_rtc.unwrap_or("2026-01-01-preview");
    let web_socket = problems.label(&format!("{at}.api_version"), usual);
    let web_rtc = problems.label(&format!("{at}.web_rtc_api_version"), web_rtc);
    let (web_socket, web_rtc) = web_socket.zip(web_rtc)?;
    Some(ApiVersions {
        web_socket,
        web_rtc,
    })
}

fn credential(at: &str, written: &file::Upstream, problems: &mut Problems) -> Option<Credential> {
    let at = format!("{at}.credential");
    let empty = "set key = \"${NAME}\", key_file = \"…\" or caller = true";
    let Some(written) = &written.credential else {
        problems.add(&at, empty);
        return None;
    };
    let text = match (&written.key, &written.key_file) {
        (Some(key), None) => Some(key.clone()),
        (None, Some(path)) => {
            let text = problems.read(&at, path)?;
            Some(text.trim_end().to_owned())
        }
        (None, None) if written.caller => None,
        (None, None) => {
            problems.add(&at, empty);
            return None;
        }
        (Some(_), Some(_)) => {
            problems.add(&at, "key and key_file exclude each other");
            return None;
        }
    };
    let sendable =
        |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.as_ref().is_some_and(|text| !sendable(text)) {
        problems.add(
            &at,
            "the key must be visible ASCII characters and not empty",
        );
        return None;
    }
    Some(Credential {
        caller: written.caller,
        key: text.map(Secret::new),
    })
}

/// Whether TLS is wanted, the host and the port; from a resource name or from a URL.
fn address(
    at: &str,
    written: &file::Upstream,
    problems: &mut Problems,
) -> Option<(bool, String, u16)> {
    match (&written.resource, &written.url) {
        (Some(resource), None) => {
            let fits = (2..=64).contains(&resource.len())
                && resource
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !fits {
                problems.add(
                    format!("{at}.resource"),
                    "must be the name of an Azure resource: letters, digits and hyphens",
                );
                return None;
            }
            Some((true, format!("{resource}.services.ai.azure.com"), 443))
        }
        (None, Some(url)) => {
            let address = parse_url(url);
            match &address {
                Err(problem) => problems.add(format!("{at}.url"), problem),
                Ok((false, host, _)) if !is_loopback(host) && !written.plain_text => problems.add(
                    format!("{at}.url"),
                    "is plain text and not loopback; use wss://, or write plain_text = true",
                ),
                Ok(_) => {}
            }
            address.ok()
        }
        (None, None) => {
            problems.add(at, "set resource = \"…\" (or url = \"wss://host:port\")");
            None
        }
        (Some(_), Some(_)) => {
            problems.add(at, "resource and url exclude each other");
            None
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// A scheme, a host and a port, nothing else: the path and the query are the edge's to build.
fn parse_url(text: &str) -> Result<(bool, String, u16), &'static str> {
    const SHAPE: &str = "must be wss://host or wss://host:port, without a path";
    let uri: http::Uri = text.parse().map_err(|_| SHAPE)?;
    let secure = match uri.scheme_str() {
        Some("wss") => true,
        Some("ws") => false,
        _ => return Err(SHAPE),
    };
    let bare = uri.path() == "/" && uri.query().is_none() && !text.contains('@');
    let authority = uri.authority().filter(|_| bare).ok_or(SHAPE)?;
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let port = authority
        .port_u16()
        .unwrap_or(if secure { 443 } else { 80 });
    Ok((secure, host.to_owned(), port))
}
