//! A page for people: to talk on a route, to see what becomes of it, and which sessions there are.
//!
//! Plain HTML, CSS and JavaScript, which lie beside this and are in the binary. Nothing is asked of
//! anybody else: not by the page, which its policy forbids, and not for the page. It has no secrets;
//! what somebody types into it stays in its memory and is shown to the routes that it uses, which admit
//! as they admit anybody.
//!
//! ```text
//! GET /page          the document
//! GET /page/edge     what the page may use, and the table of endings
//! GET /page/{part}   scripts, the style, the icon
//! ```

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::config::{Enter, Live, Page as Uses, Place, Route, RouteKind, Way};
use crate::error::Reason;
use crate::label::Label;

/// What a browser may do for the page. Scripts and styles come from here, never from within the
/// document; no other page may frame it; no form goes anywhere; no script makes markup of a text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'";

/// What is said with every part.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("microphone=(self), camera=(), geolocation=()"),
    ),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Parts that are the same wherever the page lies, by their names below its path. A name is no file's:
/// below a path lie ids, which have no dots.
const PARTS: [(&str, &str, &[u8]); 12] = [
    (
        "style",
        "text/css; charset=utf-8",
        include_bytes!("page.css"),
    ),
    ("icon", "image/svg+xml", include_bytes!("icon.svg")),
    ("main", SCRIPT, include_bytes!("main.js")),
    ("dom", SCRIPT, include_bytes!("dom.js")),
    ("audio", SCRIPT, include_bytes!("audio.js")),
    ("talk", SCRIPT, include_bytes!("talk.js")),
    ("phone", SCRIPT, include_bytes!("phone.js")),
    ("timeline", SCRIPT, include_bytes!("timeline.js")),
    ("sessions", SCRIPT, include_bytes!("sessions.js")),
    ("resample", SCRIPT, include_bytes!("resample.js")),
    ("microphone", SCRIPT, include_bytes!("microphone.js")),
    ("speaker", SCRIPT, include_bytes!("speaker.js")),
];

const DOCUMENT: &str = include_str!("page.html");
/// Stands in the document for the path that it lies at.
const BASE: &str = "{{base}}";

/// What a route of kind `page` answers with.
pub struct Page {
    /// The document, by path: it names its parts by theirs.
    documents: HashMap<String, Part>,
    parts: HashMap<&'static str, Part>,
}

struct Part {
    kind: &'static str,
    body: Bytes,
    /// Changes with the body, and with nothing else.
    tag: HeaderValue,
}

impl Page {
    /// `None`: it is another kind of route.
    pub(super) fn of(route: &Route, live: &Live) -> Option<Page> {
        let RouteKind::Page(uses) = &route.kind else {
            return None;
        };
        let document = |path: &String| {
            let text = DOCUMENT.replace(BASE, path.trim_end_matches('/'));
            (path.clone(), Part::new("text/html; charset=utf-8", text))
        };
        let mut parts: HashMap<_, _> = PARTS
            .into_iter()
            .map(|(name, kind, body)| (name, Part::new(kind, body)))
            .collect();
        let edge = tell(uses, live).to_string();
        parts.insert("edge", Part::new("application/json", edge));
        Some(Page {
            documents: route.paths.iter().map(document).collect(),
            parts,
        })
    }

    /// The part that somebody asks for who was let in.
    pub(super) fn answer(
        &self,
        route: &Route,
        head: &request::Parts,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let path = head.uri.path();
        let part = match route.item(path) {
            Some(name) => self.parts.get(name.as_str()),
            None => self.documents.get(path),
        };
        let none = Refusal::new(Reason::NotFound, "the page has no such part");
        Ok(part.ok_or(none)?.answer(head))
    }
}

impl Part {
    fn new(kind: &'static str, body: impl Into<Bytes>) -> Part {
        let body = body.into();
        let hash = digest(&SHA256, &body);
        let hash: String = hash.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let tag = HeaderValue::try_from(format!("\"{hash}\""));
        Part {
            kind,
            body,
            // Hex digits between quotes are a header's value.
            tag: tag.unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    /// The part, or word that the browser has it. hyper leaves out the body where the method is `HEAD`.
    fn answer(&self, head: &request::Parts) -> Response<Full<Bytes>> {
        let mut response = match self.is_known(head) {
            true => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            false => Response::new(Full::from(self.body.clone())),
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::ETAG, self.tag.clone());
        // Kept, and asked about each time: after an update no part is of another version.
        let asked = HeaderValue::from_static("private, no-cache");
        headers.insert(header::CACHE_CONTROL, asked);
        response
    }

    fn is_known(&self, head: &request::Parts) -> bool {
        let tags = head.headers.get_all(header::IF_NONE_MATCH).iter();
        let mut tags = tags.filter_map(|tags| tags.to_str().ok());
        let ours = self.tag.to_str().unwrap_or_default();
        tags.any(|tags| {
            let mut tags = tags.split(',').map(str::trim);
            tags.any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == ours)
        })
    }
}

/// What the page may use, in the order of the settings, and how sessions end.
fn tell(uses: &Uses, live: &Live) -> Value {
    let opened = |name: &Label| live.routes.iter().find(|route| route.name == *name);
    let opened: Vec<&Route> = uses.opens.iter().filter_map(opened).collect();
    let sessions = |route: &&&Route| matches!(route.kind, RouteKind::Sessions(_));
    let spoken = opened.iter().filter(|route| !sessions(route));
    let path = |route: &Route| route.paths.first().cloned().unwrap_or_default();
    let endings = Reason::ALL.map(|reason| {
        let row = reason.row();
        json!({ "word": row.word, "status": row.status, "close": row.close, "title": row.title })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "routes": spoken.map(|route| json!({
            "name": route.name.as_str(),
            "kind": route.kind.word(),
            "path": path(route),
            "models": route.models.iter().map(|model| model.as_str()).collect::<Vec<_>>(),
            "subprotocols": route.subprotocols,
            "key": key(route),
        })).collect::<Vec<_>>(),
        "sessions": opened.iter().find(sessions).map(|route| json!({
            "path": path(route),
            "key": wants_secret(&route.enter).then_some("header"),
        })),
        "endings": endings.to_vec(),
    })
}

/// Where the page may put a key or a token when it opens a WebSocket; empty: it needs none. A header
/// stays out of more logs than an address does.
fn key(route: &Route) -> Vec<&'static str> {
    // A carrier alone is no subprotocol that can be agreed on.
    let agreed = !route.subprotocols.is_empty();
    let usable = |place: &Place| match place {
        Place::Subprotocol => agreed,
        Place::Query => true,
        Place::Header | Place::Cookie => false,
    };
    if !wants_secret(&route.enter) {
        return Vec::new();
    }
    let places = route.accept.iter().filter(|place| usable(place));
    places.map(|place| place.word()).collect()
}

fn wants_secret(enter: &Enter) -> bool {
    let secret = |way: &Way| matches!(way, Way::Key | Way::Issuer(_));
    match enter {
        Enter::Any(ways) => ways.iter().any(secret) && !ways.contains(&Way::Anyone),
        Enter::All(ways) => ways.iter().any(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_and_its_scripts_name_parts_that_there_are() {
        let names: Vec<&str> = PARTS
            .iter()
            .map(|(name, ..)| *name)
            .chain(["edge"])
            .collect();
        let mut found = 0;
        for text in DOCUMENT.split("{{base}}/").skip(1) {
            let name = text.split('"').next().unwrap();
            assert!(names.contains(&name), "{name}");
            found += 1;
        }
        assert!(found >= 3);
        for (_, kind, body) in PARTS.iter().filter(|part| part.1 == SCRIPT) {
            let text = std::str::from_utf8(body).unwrap();
            for part in text.split("from \"./").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(names.contains(&name), "{kind} {name}");
                found += 1;
            }
        }
        assert!(found > 8, "the scripts import nothing");
    }

    #[test]
    fn nothing_in_the_page_needs_more_than_its_policy_gives() {
        for (name, _, body) in PARTS {
            let text = std::str::from_utf8(body).unwrap();
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "localStorage",
                "sessionStorage",
                "indexedDB",
                "document.cookie",
                "https://",
                "http://",
            ] {
                // A name, which nobody asks for.
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
        for word in ["style=", "onclick=", "<style", "javascript:", "://"] {
            assert!(!DOCUMENT.contains(word), "{word}");
        }
        let inline = DOCUMENT.split("<script").skip(1);
        let all: Vec<&str> = inline.collect();
        assert!(!all.is_empty());
        for script in all {
            assert!(script.contains("></script>") && script.contains(" src="));
        }
    }
}
