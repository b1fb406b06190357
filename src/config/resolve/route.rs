//! `[[routes]]`: paths, one admission decision each, and where they lead.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::Path;

use super::enter::{accept, cookie, cookies, enter};
use super::network::networks;
use super::origin::origins;
use super::reach::{agents, callers, openable};
use super::upstream::is_subprotocol;
use super::{Problems, gateway, phone, relay, session_api, sessions, ticket, web};
use crate::config::file::{self, File};
use crate::config::{
    ApiKey, Dtmf, Hops, Issuer, Kind, Pass, Refuse, Route, RouteKind, RouteLimits, Upstream,
};
use crate::config::{BELOW, CALL, JWKS};
use crate::label::Label;

/// What routes may refer to.
pub(super) struct Known<'a> {
    /// As it was written: what is in it and not below has been told as wrong.
    pub(super) file: &'a File,
    pub(super) hops: Option<&'a Hops>,
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

    /// Those of the names that fit the grammar of labels.
    pub(super) fn labels(&mut self, key: &str, names: &[String]) -> Vec<Label> {
        let place = format!("routes.{}.{key}", self.written.name);
        self.problems.labels(&place, names)
    }

    /// The bytes of a file.
    pub(super) fn file(&mut self, key: &str, path: &Path) -> Option<Vec<u8>> {
        let place = format!("routes.{}.{key}", self.written.name);
        self.problems.bytes(&place, path)
    }
}

pub(super) fn routes(file: &File, known: &Known<'_>, problems: &mut Problems) -> Vec<Route> {
    if file.routes.is_empty() {
        problems.add("routes", "there is none; add a [[routes]] table");
    }
    let mut routes: Vec<Route> = Vec::new();
    let mut taken = Taken::default();
    for written in &file.routes {
        let name = format!("routes.{}", written.name);
        let Some(label) = problems.label(&name, &written.name) else {
            continue;
        };
        if routes.iter().any(|other| other.name == label) {
            problems.add(&name, "this name is taken by another route");
        }
        let mut at = At { written, problems };
        let Some(kind) = phone::kind(&mut at, known) else {
            continue;
        };
        paths(&mut at, &kind, &mut taken, known);
        let route = route(&mut at, label, kind, known);
        relay::check(&mut at, &route, known);
        phone::check(&mut at, &route, known);
        web::check(&mut at, &route, known);
        gateway::check(&mut at, &route, known);
        session_api::check(&mut at, &route, known);
        ticket::check(&mut at, &route, known);
        sessions::check(&mut at, &route, known);
        super::limits::check(&mut at, &route);
        agents(&mut at, &route, known);
        callers(&mut at, &route, known);
        openable(&mut at, &route);
        cookies(&mut at, &route);
        routes.push(route);
    }
    routes
}

fn route(at: &mut At<'_>, name: Label, kind: RouteKind, known: &Known<'_>) -> Route {
    let written = at.written;
    let to_voice_live = kind.upstream() == Some(Kind::VoiceLive);
    if to_voice_live && written.models.is_empty() && written.agents.is_empty() {
        at.add(
            "models",
            "missing; list the models that may be asked for, the default first",
        );
    }
    let upstreams = match kind.is_answered() {
        true => Vec::new(),
        false => upstreams(at, known),
    };
    let own = |name: &Label| {
        let upstream = known
            .upstreams
            .iter()
            .find(|upstream| upstream.name == *name);
        upstream.is_some_and(|upstream| upstream.credential.identity.is_some())
    };
    let nets = |at: &mut At<'_>, key: &str, texts: &[String]| {
        networks(
            &format!("routes.{}.{key}", written.name),
            texts,
            at.problems,
        )
    };
    Route {
        own_token: upstreams.iter().all(own),
        agent_first: agent_first(at),
        enter: enter(at, known),
        accept: accept(at),
        cookie: cookie(at),
        origins: origins(at),
        without_origin: written.without_origin.unwrap_or(true),
        allow: nets(at, "allow", &written.allow),
        deny: nets(at, "deny", &written.deny),
        limits: limits(at),
        // Where no model is named there is nothing to hold messages for, and no message of ACS
        // names one.
        lock_models: kind.phone().is_none()
            && !kind.has_bodies()
            && written
                .lock_models
                .unwrap_or(to_voice_live || !written.models.is_empty()),
        parameters: relay::parameters(at),
        dtmf: dtmf(at),
        dial_early: written.dial_early,
        subprotocols: match kind.phone().is_some() || kind.is_answered() {
            true => Vec::new(),
            // What an application speaks the edge does not know.
            false if kind.http().is_some() && written.subprotocols.is_none() => Vec::new(),
            false => subprotocols(at),
        },
        refuse: refuse(at),
        upstreams,
        models: at.labels("models", &written.models),
        agents: at.labels("agents", &written.agents),
        projects: at.labels("projects", &written.projects),
        pass: pass(at),
        identities: at.labels("identities", &written.identities),
        resources: at.labels("resources", &written.resources),
        api_versions: at.labels("api_versions", &written.api_versions),
        web_rtc: written.web_rtc,
        tickets: ticket::of_route(at),
        paths: written.paths.clone(),
        name,
        kind,
    }
}

/// Paths that are taken, and what stands before `/{call}` in those of calls.
#[derive(Default)]
struct Taken {
    whole: HashSet<String>,
    calls: HashSet<String>,
}

impl Taken {
    /// Whether nobody had it: not this path, nor calls where it lies.
    fn whole(&mut self, path: &str) -> bool {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        !self.calls.contains(folder) && self.whole.insert(path.to_owned())
    }

    /// Whether no path lies there.
    fn calls(&mut self, folder: &str) -> bool {
        let inside = |path: &String| {
            path.rsplit_once('/')
                .is_some_and(|(lies, _)| lies == folder)
        };
        !self.whole.iter().any(inside) && self.calls.insert(folder.to_owned())
    }
}

fn paths(at: &mut At<'_>, kind: &RouteKind, taken: &mut Taken, known: &Known<'_>) {
    let written = at.written;
    for path in &written.paths {
        let calls = kind.is_by_call();
        let folder = path.strip_suffix(CALL).filter(|_| calls);
        let below = path
            .strip_suffix(BELOW)
            .filter(|_| matches!(kind, RouteKind::Http(_)));
        let plain = match below {
            Some("") => "/",
            Some(below) => below,
            None => folder.unwrap_or(path),
        };
        if calls && folder.is_none_or(str::is_empty) {
            let what = format!("{path:?} must end in {CALL}, such as \"/acs/media{CALL}\"");
            at.add("paths", what);
        } else if !plain.starts_with('/') || !plain.bytes().all(is_path_byte) {
            at.add(
                "paths",
                format!("{path:?} must begin with / and hold plain path characters"),
            );
        } else if matches!(path.as_str(), "/healthz" | "/readyz") {
            at.add("paths", format!("{path} is a probe of the edge"));
        } else if path == JWKS && known.file.assertion.is_some() {
            at.add("paths", format!("{path} has the keys of [assertion]"));
        } else if !match folder {
            Some(folder) => taken.calls(folder),
            None => taken.whole(path) && (!kind.has_items() || taken.calls(path)),
        } {
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

fn limits(at: &mut At<'_>) -> RouteLimits {
    let written = &at.written.limits;
    for (key, duration) in [("idle", written.idle), ("session", written.session)] {
        if duration.is_some_and(|duration| !super::is_bound(duration)) {
            at.add(&format!("limits.{key}"), super::BOUND);
        }
    }
    let sizes = [written.client_message, written.upstream_message];
    if sizes.iter().flatten().any(|size| size.0 == 0) {
        at.add("limits", "message sizes must not be 0");
    }
    RouteLimits {
        sessions: written.sessions,
        upgrades: written.upgrades,
        sessions_per_address: written.sessions_per_address,
        upgrades_per_address: written.upgrades_per_address,
        sessions_per_identity: written.sessions_per_identity,
        upgrades_per_identity: written.upgrades_per_identity,
        client_message: written.client_message.map(|size| size.0),
        upstream_message: written.upstream_message.map(|size| size.0),
        idle: written.idle,
        session: written.session,
        sessions_per_tenant: written.sessions_per_tenant,
        upgrades_per_tenant: written.upgrades_per_tenant,
        minutes: written.minutes,
        minutes_per_address: written.minutes_per_address,
        minutes_per_identity: written.minutes_per_identity,
        minutes_per_tenant: written.minutes_per_tenant,
        bytes_per_second: written.bytes_per_second.map(|size| size.0),
        frames_per_second: written.frames_per_second,
    }
}

fn subprotocols(at: &mut At<'_>) -> Vec<String> {
    let Some(written) = &at.written.subprotocols else {
        return vec!["realtime".to_owned()];
    };
    for name in written.iter().filter(|name| !is_subprotocol(name)) {
        at.add(
            "subprotocols",
            format!("{name:?} must be letters, digits and - . _ +"),
        );
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
            // What is wrong with it has been told.
            None if known.file.upstreams.contains_key(name) => {}
            None => {
                let nearest = nearest(name, known.file.upstreams.keys());
                at.add(
                    "upstreams",
                    format!("there is no upstream {name:?}{nearest}"),
                );
            }
        }
    }
    names
}

/// A question after the name that was perhaps meant.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> String {
    let likeness = |other: &String| strsim::jaro_winkler(name, other);
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let close = best.filter(|best| likeness(best) > 0.7);
    close.map_or_else(String::new, |best| format!("; did you mean {best:?}?"))
}

fn agent_first(at: &mut At<'_>) -> bool {
    let both = !at.written.models.is_empty() && !at.written.agents.is_empty();
    match at.written.default.as_deref() {
        None => false,
        Some("model" | "agent") if !both => {
            at.add("default", "has a use where there are models and agents");
            false
        }
        Some(word @ ("model" | "agent")) => word == "agent",
        Some(other) => {
            at.add(
                "default",
                format!("{other:?} must be \"model\" or \"agent\""),
            );
            false
        }
    }
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
