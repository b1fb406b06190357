//! What of a client's request goes on: what it asks for and in which form, and nothing that says who
//! it is. That the edge says.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, request};

use super::scrub::Scrub;
use super::told::Whom;
use crate::admission;
use crate::bot::body::Denied;
use crate::bot::rewrite::{Names, Request, Rewrite};
use crate::config::rewrite as config;
use crate::config::{BotRoute, Http, Place, Route, RouteKind};
use crate::error::Reason;
use crate::listener::doors::Asked;
use crate::listener::refusal::Refusal;
use crate::upstream::pii_detector::Detector;

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        let refusal = Refusal::new(denied.reason, denied.detail);
        Refusal {
            status: denied.status.unwrap_or(refusal.status),
            ..refusal
        }
    }
}

/// What becomes of the requests of one route.
pub struct Inward {
    rewrite: Rewrite,
    names: Option<Names>,
    scrub: Option<Scrub>,
    /// Whether the edge itself speaks TLS with who connects.
    tls: bool,
}

/// A request as it goes on.
pub(super) struct Passed {
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Inward {
    /// `None`: nothing of the route's requests goes on.
    pub fn new(kind: &RouteKind, detectors: &[Arc<Detector>], tls: bool) -> Option<Inward> {
        let (inward, pii) = match (kind.http(), kind.bot()) {
            (Some(http), _) => (Inward::of_http(http, tls), &http.pii),
            (None, Some(bot)) => (Inward::of_bot(bot, tls), &bot.pii),
            (None, None) => return None,
        };
        let scrub = match pii {
            // Without its detector, nothing goes on.
            Some(pii) => Some(Scrub::new(pii, detectors)?),
            None => None,
        };
        Some(Inward { scrub, ..inward })
    }

    fn of_http(http: &Http, tls: bool) -> Inward {
        Inward {
            rewrite: Rewrite::new(&http.rewrite),
            names: http.names.as_ref().map(Names::new),
            scrub: None,
            tls,
        }
    }

    fn of_bot(bot: &BotRoute, tls: bool) -> Inward {
        Inward {
            rewrite: Rewrite::new(&config::Rewrite {
                fields: Vec::new(),
                pass: bot.pass.clone(),
            }),
            names: None,
            scrub: None,
            tls,
        }
    }

    /// Rewrites a request by what is known of who asks, and refuses one that is about somebody whom
    /// they may not see.
    pub(super) async fn pass(
        &self,
        (head, body): (&request::Parts, Bytes),
        route: &Route,
        whom: &Whom<'_>,
        asked: Asked<'_>,
    ) -> Result<Passed, Refusal> {
        let values = whom.values();
        let path = head.uri.path();
        let query = self.rewrite.query(&query(head, route), &values)?;
        let mut headers = self.rewrite.headers(&head.headers, &values)?;
        let body = self.rewrite.body(&head.headers, body, &values)?;
        if let Some(names) = &self.names {
            let about = names.find(&Request {
                path,
                query: &query,
                headers: &head.headers,
                body: &body,
            })?;
            if about.is_some_and(|id| !whom.may_see(id.as_str())) {
                let detail = "the request is about somebody whom the caller may not see";
                return Err(Refusal::new(Reason::Forbidden, detail));
            }
        }
        let body = match &self.scrub {
            Some(scrub) if !body.is_empty() => scrub.body(&head.headers, body).await?,
            Some(_) | None => body,
        };
        self.forwarded(head, asked, &mut headers);
        let target = match query.as_str() {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        Ok(Passed {
            target,
            headers,
            body,
        })
    }

    /// Where the request came from: whoever is behind the edge has no other way to know. A proxy in
    /// front that speaks HTTP is where TLS ends.
    fn forwarded(&self, head: &request::Parts, asked: Asked<'_>, headers: &mut HeaderMap) {
        let client = asked.peer.ip.to_canonical().to_string();
        let proto = match self.tls || asked.by_hop {
            true => HeaderValue::from_static("https"),
            false => HeaderValue::from_static("http"),
        };
        let told = [
            ("x-forwarded-for", HeaderValue::try_from(client).ok()),
            ("x-forwarded-proto", Some(proto)),
            ("x-forwarded-host", head.headers.get(header::HOST).cloned()),
        ];
        for (name, value) in told {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Path and query as they came, without the credentials that the edge took out of the query.
pub(in crate::listener) fn target(head: &request::Parts, route: &Route) -> String {
    let path = head.uri.path();
    match query(head, route).as_str() {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// The query without the credentials that the edge took out of it.
fn query(head: &request::Parts, route: &Route) -> String {
    let query = head.uri.query().unwrap_or_default();
    if !route.accept.contains(&Place::Query) {
        return query.to_owned();
    }
    let left = query
        .split('&')
        .filter(|pair| !admission::is_credential(pair));
    left.collect::<Vec<_>>().join("&")
}
