//! `[[routes]]`: paths, one admission decision each, and where they lead.

use std::collections::HashSet;
use std::fmt::Display;

use ipnet::{IpNet, Ipv4Net};

use super::Problems;
use super::enter::{accept, cookie, cookies, enter};
use crate::config::file::{self, File};
use crate::config::{
    ApiKey, Dtmf, Enter, Issuer, Pass, Refuse, Route, RouteLimits, Upstream, VOICE_LIVE_AUDIENCES,
    Way,
};
use crate::label::Label;

/// What routes may refer to.
pub(super) struct Known<'a> {
    pub(super) keys: &'a [ApiKey],
    pub(super) issuers: &'a [Issuer],
    pub(super) upstreams: &'a [Upstream],
}

/// One route while it is judged: what was written, and where that is.
pub(super) struct At<'a> {
    pub(super) written: &'a file::Route,
    problems: &'a mut Problems,
}

impl At<'_> {
    pub(super) fn add(&mut self, key: &str, what: impl Display) {
        self.problems
            .add(format!("routes.{}.{key}", self.written.name), what);
    }
}

pub(super) fn routes(file: &File, known: &Known<'_>, problems: &mut Problems) -> Vec<Route> {
    if file.routes.is_empty() {
        problems.add("routes", "there is none; add a [[routes]] table");
    }
    let mut routes: Vec<Route> = Vec::new();
    let mut taken = HashSet::new();
    for written in &file.routes {
        let name = format!("routes.{}", written.name);
        let Some(label) = problems.label(&name, &written.name) else {
            continue;
        };
        if routes.iter().any(|other| other.name == label) {
            problems.add(&name, "this name is taken by another route");
        }
        let mut at = At { written, problems };
        paths(&mut at, &mut taken);
        let route = route(&mut at, label, known);
        agents(&mut at, &route, known);
        callers(&mut at, &route, known);
        openable(&mut at, &route);
        cookies(&mut at, &route);
        routes.push(route);
    }
    routes
}

fn route(at: &mut At<'_>, name: Label, known: &Known<'_>) -> Route {
    let written = at.written;
    if written.kind.as_deref() != Some("voice-live") {
        at.add("kind", "must be \"voice-live\"");
    }
    if written.models.is_empty() && written.agents.is_empty() {
        at.add(
            "models",
            "missing; list the models that may be asked for, the default first",
        );
    }
    let label = |at: &mut At<'_>, key: &str, names: &[String]| {
        let place = format!("routes.{}.{key}", written.name);
        at.problems.labels(&place, names)
    };
    Route {
        enter: enter(at, known),
        accept: accept(at),
        cookie: cookie(at),
        origins: origins(at),
        without_origin: written.without_origin.unwrap_or(true),
        allow: networks(at, "allow", &written.allow),
        deny: networks(at, "deny", &written.deny),
        limits: limits(&written.limits),
        lock_models: written.lock_models.unwrap_or(true),
        dtmf: dtmf(at),
        subprotocols: subprotocols(at),
        refuse: refuse(at),
        upstreams: upstreams(at, known),
        models: label(at, "models", &written.models),
        agents: label(at, "agents", &written.agents),
        projects: label(at, "projects", &written.projects),
        pass: pass(at),
        identities: label(at, "identities", &written.identities),
        resources: label(at, "resources", &written.resources),
        api_versions: label(at, "api_versions", &written.api_versions),
        web_rtc: written.web_rtc,
        paths: written.paths.clone(),
        name,
    }
}

fn paths(at: &mut At<'_>, taken: &mut HashSet<String>) {
    let written = at.written;
    for path in &written.paths {
        if !path.starts_with('/') || !path.bytes().all(is_path_byte) {
            at.add(
                "paths",
                format!("{path:?} must begin with / and hold plain path characters"),
            );
        } else if matches!(path.as_str(), "/healthz" | "/readyz") {
            at.add("paths", format!("{path} is a probe of the edge"));
        } else if !taken.insert(path.clone()) {
            at.add("paths", format!("{path} is taken"));
        }
    }
    if written.paths.is_empty() {
        at.add("paths", "missing; for example [\"/ws\"]");
    }
}

/// Unreserved characters of RFC 3986, section 2.3, and the separator.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
}

fn networks(at: &mut At<'_>, key: &str, written: &[String]) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in written {
        let network: Result<IpNet, _> = text
            .parse()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        match network.map(canonical) {
            Ok(None) => at.add(
                key,
                format!("{text:?} is neither an IPv4 nor an IPv6 network"),
            ),
            Ok(Some(network)) if network.trunc() == network => networks.push(network),
            Ok(Some(network)) => at.add(
                key,
                format!(
                    "{text:?} has bits beyond its prefix; did you mean {}?",
                    network.trunc()
                ),
            ),
            Err(_) => at.add(
                key,
                format!("{text:?} must be a network such as \"10.0.0.0/8\""),
            ),
        }
    }
    networks
}

/// An IPv4 network that is written as IPv6 (RFC 4291, 2.5.5.2), as what it is: the addresses of
/// clients are compared so, too.
fn canonical(network: IpNet) -> Option<IpNet> {
    match network {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).ok().map(IpNet::V4),
            // Half of it is no IPv6.
            (Some(_), None) => None,
            (None, _) => Some(network),
        },
        IpNet::V4(_) => Some(network),
    }
}

fn limits(written: &file::RouteLimits) -> RouteLimits {
    RouteLimits {
        sessions: written.sessions,
        upgrades: written.upgrades,
        sessions_per_address: written.sessions_per_address,
        upgrades_per_address: written.upgrades_per_address,
        sessions_per_identity: written.sessions_per_identity,
        upgrades_per_identity: written.upgrades_per_identity,
    }
}

fn subprotocols(at: &mut At<'_>) -> Vec<String> {
    let Some(written) = &at.written.subprotocols else {
        return vec!["realtime".to_owned()];
    };
    for name in written {
        // A token of RFC 9110, as far as subprotocols in use go.
        let fits = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+'));
        if !fits {
            at.add(
                "subprotocols",
                format!("{name:?} must be letters, digits and - . _ +"),
            );
        }
    }
    written.clone()
}

fn refuse(at: &mut At<'_>) -> Refuse {
    match at.written.refuse.as_deref() {
        None | Some("status") => Refuse::Status,
        Some("close") => Refuse::Close,
        Some(other) => {
            at.add(
                "refuse",
                format!("{other:?} must be \"status\" or \"close\""),
            );
            Refuse::Status
        }
    }
}

fn dtmf(at: &mut At<'_>) -> Dtmf {
    match at.written.dtmf.as_deref() {
        None | Some("off") => Dtmf::Off,
        Some("observe") => Dtmf::Observe,
        Some(other) => {
            at.add("dtmf", format!("{other:?} must be \"off\" or \"observe\""));
            Dtmf::Off
        }
    }
}

fn upstreams(at: &mut At<'_>, known: &Known<'_>) -> Vec<Label> {
    let written = at.written;
    if written.upstreams.is_empty() {
        at.add("upstreams", "missing; name at least one of [upstreams]");
    }
    let mut names = Vec::new();
    for name in &written.upstreams {
        match known.upstreams.iter().find(|u| u.name.as_str() == name) {
            Some(upstream) => names.push(upstream.name.clone()),
            None => at.add("upstreams", format!("there is no usable upstream {name:?}")),
        }
    }
    names
}

fn pass(at: &mut At<'_>) -> Vec<Pass> {
    let mut pass = Vec::new();
    for name in &at.written.pass {
        match name.as_str() {
            "conversation-id" => pass.push(Pass::Conversation),
            "agent-version" => pass.push(Pass::Version),
            other => at.add(
                "pass",
                format!("{other:?} must be \"conversation-id\" or \"agent-version\""),
            ),
        }
    }
    pass
}

/// Agents take tokens only, and an agent is found in a project.
fn agents(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    if route.agents.is_empty() {
        if !route.projects.is_empty() {
            at.add("projects", "has no use without agents");
        }
        return;
    }
    if route.projects.is_empty() {
        at.add("projects", "missing; agents are found in a project");
    }
    let without = known
        .upstreams
        .iter()
        .find(|u| route.upstreams.contains(&u.name) && !u.credential.caller);
    if let Some(upstream) = without {
        at.add(
            "agents",
            format!(
                "Voice Live takes no key for agents; set credential = {{ caller = true }} for \
                 the upstream {}",
                upstream.name
            ),
        );
    }
}

/// A route that nobody can enter was meant for somebody.
fn openable(at: &mut At<'_>, route: &Route) {
    let anyone = route.enter.ways().contains(&Way::Anyone);
    if route.accept.is_empty() && !anyone {
        at.add(
            "accept",
            "names no place for a credential, so nobody could enter",
        );
    }
    if !route.without_origin && route.origins.is_empty() {
        at.add(
            "origins",
            "missing; with without_origin = false and no origins nobody could enter",
        );
    }
    let tokens = route
        .enter
        .ways()
        .iter()
        .any(|way| matches!(way, Way::Issuer(_)));
    if !route.agents.is_empty() && !tokens {
        at.add(
            "agents",
            "are asked with the caller's token, but admit names no issuer",
        );
    }
}

/// Where nothing but the caller's token can be shown upstream, every way in must bring one that
/// Voice Live takes.
fn callers(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let takes = |name: &Label| {
        let issuer = known.issuers.iter().find(|issuer| issuer.name == *name);
        issuer.is_some_and(|issuer| {
            let ours = |audience: &String| VOICE_LIVE_AUDIENCES.contains(&audience.as_str());
            issuer.audience.iter().all(ours)
        })
    };
    let brings = |way: &Way| matches!(way, Way::Issuer(name) if takes(name));
    let ways = route.enter.ways();
    let enough = match route.enter {
        Enter::Any(_) => ways.iter().all(brings),
        Enter::All(_) => ways.iter().any(brings),
    };
    let only = known.upstreams.iter().find(|upstream| {
        let credential = &upstream.credential;
        route.upstreams.contains(&upstream.name) && credential.caller && credential.key.is_none()
    });
    if let (Some(upstream), false) = (only, enough || ways.is_empty()) {
        at.add(
            "upstreams",
            format!(
                "{} is shown the caller's own token and nothing else, so callers may enter with \
                 a token only, of an issuer whose audience is {} or {}",
                upstream.name, VOICE_LIVE_AUDIENCES[0], VOICE_LIVE_AUDIENCES[2]
            ),
        );
    }
}

/// Origins as RFC 6454, section 6.2 serialises them, which is how browsers send them. Upper case,
/// a default port and a slash at the end are forgiven in the settings; in a request they are not.
fn origins(at: &mut At<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for origin in &at.written.origins {
        match serialise(origin) {
            Some(origin) => origins.push(origin),
            None => at.add(
                "origins",
                format!(
                    "{origin:?} must be an origin such as \"https://app.example.com\", without \
                     a path"
                ),
            ),
        }
    }
    origins
}

fn serialise(origin: &str) -> Option<String> {
    let origin = origin
        .strip_suffix('/')
        .unwrap_or(origin)
        .to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://")?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let rest = rest.strip_suffix(default).unwrap_or(rest);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    let fits = !rest.is_empty() && rest.bytes().all(plain);
    fits.then(|| format!("{scheme}://{rest}"))
}
