//! `[upstreams]`: where each is, how its certificate is judged, how it is asked.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Problems;
use super::credential::credential;
use super::pacing::{cap, pacing};
use crate::config::bot::is_loopback;
use crate::config::env::Environment;
use crate::config::file::{self, File};
use crate::config::{ApiVersions, App, Identity, Kind, Service, Target, Upstream};
use crate::secret::Secret;

pub(super) fn upstreams(
    file: &File,
    variables: &Environment,
    problems: &mut Problems,
) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for (name, written) in &file.upstreams {
        let at = format!("upstreams.{name}");
        let Some(label) = problems.label(&at, name) else {
            continue;
        };
        let Some(kind) = kind(&at, written.kind.as_deref(), problems) else {
            continue;
        };
        let address = address(&at, written, kind, problems);
        let credential = credential(&at, written, kind, variables, problems);
        let roots = problems.roots(&at, written.roots.as_deref());
        let connect = written.connect.unwrap_or(Duration::from_secs(5));
        let total = written.total.unwrap_or(Duration::from_secs(10));
        // Applications may think for as long as they like; nobody waits for a 101 that long.
        let most = Duration::from_secs(if kind == Kind::Http { 600 } else { 60 });
        if connect > total || connect.is_zero() || total > most {
            let most = humantime::format_duration(most);
            let what =
                format!("connect must be more than 0, total at least that and at most {most}");
            problems.add(&at, what);
        }
        let Some(address) = address else {
            continue;
        };
        let service = match kind {
            Kind::VoiceLive => voice_live(&at, written, problems),
            Kind::Relay => relay(&at, written, &address.path, problems),
            Kind::Http => app(&at, written, &address.path, problems),
        };
        let client = client(&at, written, &address, problems);
        let (pacing, cap) = (
            pacing(&at, written, kind, problems),
            cap(&at, written, kind, problems),
        );
        let (Some(credential), Some(service), Some(roots)) = (credential, service, roots) else {
            continue;
        };
        upstreams.push(Upstream {
            name: label,
            host: address.host,
            port: address.port,
            roots: address.secure.then_some(roots),
            service,
            credential,
            client,
            connect,
            total,
            pacing,
            cap,
        });
    }
    upstreams
}

/// The edge's own certificate.
fn client(
    at: &str,
    written: &file::Upstream,
    address: &Address,
    problems: &mut Problems,
) -> Option<Identity> {
    let (certificate, key) = match (&written.certificate, &written.key) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) | (None, Some(_)) => {
            problems.add(at, "certificate and key belong together");
            return None;
        }
    };
    if !address.secure {
        problems.add(format!("{at}.certificate"), "has no use without TLS");
    }
    let chain_pem = problems.read(&format!("{at}.certificate"), certificate);
    let key_pem = problems.read(&format!("{at}.key"), key);
    chain_pem.zip(key_pem).map(|(chain_pem, key_pem)| Identity {
        chain_pem,
        key_pem: Secret::new(key_pem),
        client_roots: None,
    })
}

/// What is served.
fn kind(at: &str, written: Option<&str>, problems: &mut Problems) -> Option<Kind> {
    let all = [Kind::VoiceLive, Kind::Relay, Kind::Http];
    let kind = all.into_iter().find(|kind| Some(kind.word()) == written);
    if kind.is_none() {
        problems.add(
            format!("{at}.kind"),
            "must be \"voice-live\", \"relay\" or \"http\"",
        );
    }
    kind
}

fn voice_live(at: &str, written: &file::Upstream, problems: &mut Problems) -> Option<Service> {
    let of_relays = [
        ("model_parameter", written.model_parameter.is_some()),
        ("subprotocol", written.subprotocol.is_some()),
        ("headers", !written.headers.0.is_empty()),
        ("identity_headers", written.identity_headers),
    ];
    only_for(at, "relay", &of_relays, problems);
    let usual = written.api_version.as_deref().unwrap_or("2026-07-15");
    let web_rtc = written.web_rtc_api_version.as_deref();
    // The only one that served it in a test of August 2026.
    let web_rtc = web_rtc.unwrap_or("2026-01-01-preview");
    let web_socket = problems.label(&format!("{at}.api_version"), usual);
    let web_rtc = problems.label(&format!("{at}.web_rtc_api_version"), web_rtc);
    let (web_socket, web_rtc) = web_socket.zip(web_rtc)?;
    Some(Service::VoiceLive(ApiVersions {
        web_socket,
        web_rtc,
    }))
}

fn relay(
    at: &str,
    written: &file::Upstream,
    path: &str,
    problems: &mut Problems,
) -> Option<Service> {
    let of_voice_live = [
        ("resource", written.resource.is_some()),
        ("web_rtc_api_version", written.web_rtc_api_version.is_some()),
    ];
    only_for(at, "voice-live", &of_voice_live, problems);
    let mut label = |key: &str, text: &str| problems.label(&format!("{at}.{key}"), text);
    let model_parameter = written.model_parameter.as_deref().unwrap_or("model");
    let model_parameter = label("model_parameter", model_parameter)?;
    if is_credential(model_parameter.as_str()) || model_parameter.as_str() == "api-version" {
        let what = "must be a name of its own, such as \"model\" or \"deployment\"";
        problems.add(format!("{at}.model_parameter"), what);
    }
    let mut label = |key: &str, text: &str| problems.label(&format!("{at}.{key}"), text);
    let api_version = match &written.api_version {
        Some(version) => Some(label("api_version", version)?),
        None => None,
    };
    if let Some(name) = written.subprotocol.as_deref()
        && !is_subprotocol(name)
    {
        let what = format!("{name:?} must be letters, digits and - . _ +");
        problems.add(format!("{at}.subprotocol"), what);
    }
    Some(Service::Relay(Target {
        path: path.to_owned(),
        model_parameter,
        api_version,
        subprotocol: written.subprotocol.clone(),
        headers: headers(at, written, problems),
        identity_headers: written.identity_headers,
    }))
}

fn app(at: &str, written: &file::Upstream, path: &str, problems: &mut Problems) -> Option<Service> {
    for (key, is_written) in [
        ("resource", written.resource.is_some()),
        ("api_version", written.api_version.is_some()),
        ("web_rtc_api_version", written.web_rtc_api_version.is_some()),
        ("model_parameter", written.model_parameter.is_some()),
        ("subprotocol", written.subprotocol.is_some()),
    ] {
        if is_written {
            let what = "has no use with kind = \"http\"";
            problems.add(format!("{at}.{key}"), what);
        }
    }
    Some(Service::Http(App {
        base: path.trim_end_matches('/').to_owned(),
        headers: headers(at, written, problems),
        identity_headers: written.identity_headers,
    }))
}

fn only_for(at: &str, kind: &str, written: &[(&str, bool)], problems: &mut Problems) {
    for (key, _) in written.iter().filter(|(_, is_written)| *is_written) {
        let what = format!("has a use with kind = \"{kind}\" only");
        problems.add(format!("{at}.{key}"), what);
    }
}

/// A subprotocol: a token (RFC 9110, 5.6.2), as far as those in use go.
pub(super) fn is_subprotocol(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+');
    !name.is_empty() && name.bytes().all(fits)
}

/// Fixed headers. Those that make the request what it is, or carry a credential, are the edge's.
fn headers(
    at: &str,
    written: &file::Upstream,
    problems: &mut Problems,
) -> Vec<(HeaderName, HeaderValue)> {
    const OWN: [&str; 11] = [
        "host",
        "connection",
        "upgrade",
        "user-agent",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "authorization",
        "api-key",
        "cookie",
    ];
    let mut headers = Vec::new();
    for (name, value) in &written.headers.0 {
        let at = format!("{at}.headers.{name}");
        let lower = name.to_ascii_lowercase();
        let own = OWN.contains(&lower.as_str())
            || ["sec-websocket-", "x-tonegate-", "proxy-"]
                .iter()
                .any(|start| lower.starts_with(start));
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            _ if own => problems.add(at, "is written by the edge itself"),
            (Ok(name), Ok(mut value)) => {
                // Keys of gateways stand in such headers.
                value.set_sensitive(true);
                headers.push((name, value));
            }
            _ => problems.add(at, "is not a header"),
        }
    }
    headers
}

/// Where an upstream is.
struct Address {
    secure: bool,
    host: String,
    port: u16,
    /// Path and query, where they are the operator's to say.
    path: String,
}

/// From a resource name or from a URL.
fn address(
    at: &str,
    written: &file::Upstream,
    kind: Kind,
    problems: &mut Problems,
) -> Option<Address> {
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
            Some(Address {
                secure: true,
                host: format!("{resource}.services.ai.azure.com"),
                port: 443,
                path: String::new(),
            })
        }
        (None, Some(url)) => {
            let address = match parse_url(url, kind) {
                Ok(address) => address,
                Err(problem) => {
                    problems.add(format!("{at}.url"), problem);
                    return None;
                }
            };
            if !address.secure && !is_loopback(&address.host) && !written.plain_text {
                let scheme = if kind == Kind::Http { "https" } else { "wss" };
                let what = format!(
                    "is plain text and not loopback; use {scheme}://, or write plain_text = true"
                );
                problems.add(format!("{at}.url"), what);
            }
            Some(address)
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

/// A scheme, a host and a port; the path and the query of Voice Live are the edge's to build, those
/// of a relay are fixed here.
fn parse_url(text: &str, kind: Kind) -> Result<Address, &'static str> {
    let shape = match kind {
        Kind::VoiceLive => "must be wss://host or wss://host:port, without a path",
        Kind::Relay => "must be wss://host[:port][/path][?fixed=query]",
        Kind::Http => "must be https://host[:port][/path], without a query",
    };
    let uri: http::Uri = text.parse().map_err(|_| shape)?;
    let secure = match (kind, uri.scheme_str()) {
        (Kind::VoiceLive | Kind::Relay, Some("wss")) | (Kind::Http, Some("https")) => true,
        (Kind::VoiceLive | Kind::Relay, Some("ws")) | (Kind::Http, Some("http")) => false,
        _ => return Err(shape),
    };
    let bare = uri.path() == "/" && uri.query().is_none();
    let may = match kind {
        Kind::VoiceLive => bare,
        Kind::Relay => true,
        Kind::Http => uri.query().is_none(),
    };
    let fits = may && !text.contains(['@', '#']);
    let authority = uri.authority().filter(|_| fits).ok_or(shape)?;
    if uri.query().is_some_and(holds_credential) {
        return Err("holds a credential in its query; credentials go in headers");
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let usual = if secure { 443 } else { 80 };
    let port = port(authority, usual).ok_or("has a port that is none")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Address {
        secure,
        host: host.to_owned(),
        port,
        path: format!("{slash}{path}"),
    })
}

/// The port, or the usual one where none is written; `None` if what is written is none.
pub(super) fn port(authority: &http::uri::Authority, usual: u16) -> Option<u16> {
    let written = authority.as_str().len() > authority.host().len();
    authority.port_u16().or((!written).then_some(usual))
}

/// URLs end up in logs of servers and proxies.
fn holds_credential(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_credential(&name))
}

/// Whether a parameter of this name carries a secret.
pub(super) fn is_credential(name: &str) -> bool {
    const WHOLE: [&str; 7] = [
        "authorization",
        "key",
        "code",
        "sig",
        "auth",
        "pwd",
        "credential",
    ];
    const PART: [&str; 6] = [
        "token",
        "secret",
        "password",
        "signature",
        "apikey",
        "subscriptionkey",
    ];
    let name = name.to_ascii_lowercase();
    let bare = name.replace(['-', '_', '.'], "");
    WHOLE.contains(&name.as_str()) || PART.iter().any(|part| bare.contains(part))
}

/// Whether the fixed part of a relay's query has a parameter of this name, in whatever case.
pub(super) fn is_fixed(target: &Target, name: &str) -> bool {
    let query = target.path.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).any(|(fixed, _)| fixed.eq_ignore_ascii_case(name))
}
