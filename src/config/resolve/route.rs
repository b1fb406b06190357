//! `[[routes]]`: paths, one admission decision each, and where they lead.

use std::collections::HashSet;

use super::{Problems, models};
use crate::config::file::{self, File};
use crate::config::{Admit, ApiKey, Place, Route, Upstream};
use crate::label::Label;

pub(super) fn routes(
    file: &File,
    keys: &[ApiKey],
    upstreams: &[Upstream],
    problems: &mut Problems,
) -> Vec<Route> {
    if file.routes.is_empty() {
        problems.add("routes", "there is none; add a [[routes]] table");
    }
    let mut routes: Vec<Route> = Vec::new();
    let mut taken = HashSet::new();
    for written in &file.routes {
        let at = format!("routes.{}", written.name);
        let Some(name) = problems.label(&at, &written.name) else {
            continue;
        };
        if routes.iter().any(|other| other.name == name) {
            problems.add(&at, "this name is taken by another route");
        }
        for path in &written.paths {
            if !path.starts_with('/') || !path.bytes().all(is_path_byte) {
                problems.add(
                    format!("{at}.paths"),
                    format!("{path:?} must begin with / and hold plain path characters"),
                );
            } else if matches!(path.as_str(), "/healthz" | "/readyz") {
                problems.add(
                    format!("{at}.paths"),
                    format!("{path} is a probe of the edge"),
                );
            } else if !taken.insert(path.clone()) {
                problems.add(format!("{at}.paths"), format!("{path} is taken"));
            }
        }
        if written.paths.is_empty() {
            problems.add(format!("{at}.paths"), "missing; for example [\"/ws\"]");
        }
        if written.kind.as_deref() != Some("voice-live") {
            problems.add(format!("{at}.kind"), "must be \"voice-live\"");
        }
        let models = models(&at, &written.models, problems);
        if models.is_empty() {
            problems.add(
                format!("{at}.models"),
                "missing; list the models that may be asked for, the default first",
            );
        }
        routes.push(Route {
            admit: admit(&at, written, keys, problems),
            accept: accept(&at, written, problems),
            origins: origins(&at, written, problems),
            upstreams: upstreams_of(&at, written, upstreams, problems),
            name,
            paths: written.paths.clone(),
            models,
        });
    }
    routes
}

/// Unreserved characters of RFC 3986, section 2.3, and the separator.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
}

fn admit(at: &str, written: &file::Route, keys: &[ApiKey], problems: &mut Problems) -> Vec<Admit> {
    let at = format!("{at}.admit");
    if written.admit.is_empty() {
        problems.add(
            &at,
            "the route has no admission decision; set admit = [\"key\"], or admit = \
             [\"anyone\"] to let everybody in",
        );
    }
    let mut ways = Vec::new();
    for way in &written.admit {
        match way.as_str() {
            "key" if keys.is_empty() => {
                problems.add(&at, "asks for a key, but there are no [[keys]]");
            }
            "key" => ways.push(Admit::Key),
            "anyone" => ways.push(Admit::Anyone),
            other => problems.add(&at, format!("{other:?} must be \"key\" or \"anyone\"")),
        }
    }
    ways
}

fn accept(at: &str, written: &file::Route, problems: &mut Problems) -> Vec<Place> {
    let Some(places) = &written.accept else {
        return vec![Place::Header];
    };
    let mut accept = Vec::new();
    for place in places {
        match place.as_str() {
            "header" => accept.push(Place::Header),
            "query" => accept.push(Place::Query),
            other => problems.add(
                format!("{at}.accept"),
                format!("{other:?} must be \"header\" or \"query\""),
            ),
        }
    }
    accept
}

fn upstreams_of(
    at: &str,
    written: &file::Route,
    upstreams: &[Upstream],
    problems: &mut Problems,
) -> Vec<Label> {
    let at = format!("{at}.upstreams");
    if written.upstreams.is_empty() {
        problems.add(&at, "missing; name at least one of [upstreams]");
    }
    let mut names = Vec::new();
    for name in &written.upstreams {
        match upstreams.iter().find(|u| u.name.as_str() == name) {
            Some(upstream) => names.push(upstream.name.clone()),
            None => problems.add(&at, format!("there is no usable upstream {name:?}")),
        }
    }
    names
}

/// Origins as RFC 6454, section 6.2 serialises them, which is how browsers send them.
fn origins(at: &str, written: &file::Route, problems: &mut Problems) -> Vec<String> {
    for origin in &written.origins {
        let fits = origin.split_once("://").is_some_and(|(scheme, rest)| {
            let known = matches!(scheme, "http" | "https");
            let host = rest
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b));
            known && host && !rest.is_empty()
        });
        if !fits {
            problems.add(
                format!("{at}.origins"),
                format!(
                    "{origin:?} must be written as browsers send it: \"https://app.example.com\", \
                     in lower case, without a path or a slash at the end"
                ),
            );
        }
    }
    written.origins.clone()
}
