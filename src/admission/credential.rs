//! Where a credential may sit in a request, and what of it counts.
//!
//! Credentials are lifted out once; nothing after this sees them. What a hop says of the client is
//! one only where a hop brought the request and the route admits it, and the certificate of a connection
//! only where none did. One secret in two accepted places
//! is one credential; two different ones are a mistake or an attack, and refused, unless the route
//! requires a token and a key together.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use super::query::Query;
use super::ticket::Tickets;
use super::{Certificate, Denied, Request, call, easyauth, jwt};
use crate::config::{Enter, Place, Way};
use crate::error::Reason;
use crate::secret::{Digest, Secret};
use crate::ws::handshake;

/// What a request shows.
#[derive(Default)]
pub(super) struct Shown<'a> {
    /// From a place for bearer credentials: a token, or an API key all the same.
    pub(super) bearer: Option<Secret>,
    /// From a place for API keys.
    pub(super) key: Option<Secret>,
    /// In the TLS handshake, where the route admits certificates.
    pub(super) certificate: Option<&'a Certificate>,
    /// From a hop that is believed.
    pub(super) principal: Option<easyauth::Document>,
    /// On routes of calls: which one, and its secret.
    pub(super) call: Option<call::Shown>,
    /// From a place for bearer credentials, or for tickets alone.
    pub(super) ticket: Option<Secret>,
    /// Two that differ were shown where they are only observed: neither is looked at.
    pub(super) tickets_differ: bool,
    /// What tells a ticket from a token, on routes that take tickets.
    tickets: Option<&'a Tickets>,
    observes: bool,
}

impl Shown<'_> {
    /// For people: what was shown, not its text.
    pub(super) fn describe(&self) -> String {
        let shown: Vec<&str> = [
            self.bearer.as_ref().map(|_| "a bearer credential"),
            self.key.as_ref().map(|_| "a key"),
            self.certificate.map(|_| "a client certificate"),
            self.principal.as_ref().map(|_| "a principal of EasyAuth"),
            self.ticket.as_ref().map(|_| "a ticket"),
            self.call
                .as_ref()
                .and_then(|call| call.secret.as_ref())
                .map(|_| "a call's secret"),
        ]
        .into_iter()
        .flatten()
        .collect();
        match shown.as_slice() {
            [] => "none".to_owned(),
            shown => shown.join(" and "),
        }
    }

    /// Whether the request shows none.
    pub(super) fn is_nothing(&self) -> bool {
        let secret = self.bearer.is_some() || self.key.is_some();
        let proof = self.certificate.is_some() || self.principal.is_some();
        !secret && !proof && self.call.is_none()
    }

    fn add(&mut self, kind: Kind, secret: Secret) -> Result<(), Denied> {
        if let (Kind::Bearer, Some(tickets)) = (kind, self.tickets)
            && tickets.is_one(&secret)
        {
            return self.add_ticket(secret);
        }
        let place = match kind {
            Kind::Bearer => &mut self.bearer,
            Kind::Key => &mut self.key,
        };
        match place {
            Some(other) if !same(other, &secret) => {
                Err(bad("two different credentials were given"))
            }
            Some(_) => Ok(()),
            None => {
                *place = Some(secret);
                Ok(())
            }
        }
    }
}

impl Shown<'_> {
    fn add_ticket(&mut self, secret: Secret) -> Result<(), Denied> {
        match &self.ticket {
            Some(other) if same(other, &secret) => {}
            Some(_) if self.observes => self.tickets_differ = true,
            Some(_) => return Err(bad("two different tickets were given")),
            None => self.ticket = Some(secret),
        }
        Ok(())
    }
}

/// What a place is for.
#[derive(Clone, Copy)]
enum Kind {
    Bearer,
    Key,
}

/// Subprotocols that are no subprotocols: what carries a credential in its name. Browsers have no
/// other header to put one into.
const CARRIERS: [&str; 3] = [
    "openai-insecure-api-key.",
    "authorization.bearer.",
    "bearer.",
];

/// Lifts out what the places that the route accepts hold.
pub(super) fn lift<'a>(
    asked: Request<'a>,
    query: &Query,
    tickets: Option<&'a Tickets>,
) -> Result<Shown<'a>, Denied> {
    let (route, headers) = (asked.route, &asked.head.headers);
    let mut shown = Shown {
        tickets: tickets.filter(|_| route.takes_tickets()),
        observes: route.tickets.observe,
        ..Shown::default()
    };
    if asked.by_hop && route.enter.ways().contains(&Way::EasyAuth) {
        shown.principal = easyauth::lift(headers)?;
    }
    if !asked.by_hop && route.enter.ways().contains(&Way::Certificate) {
        shown.certificate = asked.certificate;
    }
    if route.kind.phone().is_some() {
        shown.call = Some(call::lift(asked, query)?);
        // As the call's secret it sits in the media URL, the only place that is ours to fill.
        for ticket in &query.tickets {
            shown.add_ticket(ticket.clone())?;
        }
    }
    for place in &route.accept {
        match place {
            Place::Header => from_headers(headers, &mut shown)?,
            Place::Query => from_query(query, &mut shown)?,
            Place::Cookie => from_cookies(headers, &route.cookie, &mut shown)?,
            Place::Subprotocol => {
                for name in offered(headers)? {
                    let secret = CARRIERS
                        .iter()
                        .find_map(|carrier| name.strip_prefix(carrier));
                    if let Some(secret) = secret {
                        shown.add(Kind::Bearer, Secret::new(secret.to_owned()))?;
                    }
                }
            }
        }
    }
    let either = matches!(route.enter, Enter::Any(_)) && !shown.observes;
    if either && shown.ticket.is_some() && (shown.bearer.is_some() || shown.key.is_some()) {
        return Err(bad("two different credentials were given"));
    }
    let secret = |way: &&Way| matches!(way, Way::Key | Way::Issuer(_));
    let several =
        matches!(&route.enter, Enter::All(ways) if ways.iter().filter(secret).count() > 1);
    if let (Some(bearer), Some(key)) = (&shown.bearer, &shown.key) {
        if same(bearer, key) {
            if jwt::is_token(bearer) {
                shown.key = None;
            } else {
                shown.bearer = None;
            }
        } else if !several {
            return Err(bad("two different credentials were given"));
        }
    }
    Ok(shown)
}

fn from_headers(headers: &HeaderMap, shown: &mut Shown<'_>) -> Result<(), Denied> {
    if let Some(key) = single(
        headers,
        "api-key",
        "the header api-key stands twice or is not text",
    )? {
        shown.add(Kind::Key, Secret::new(key.to_owned()))?;
    }
    let authorization = single(
        headers,
        AUTHORIZATION.as_str(),
        "the header Authorization stands twice or is not text",
    )?;
    match authorization.and_then(bearer) {
        Some(secret) => shown.add(Kind::Bearer, secret),
        None => Ok(()),
    }
}

fn from_query(query: &Query, shown: &mut Shown<'_>) -> Result<(), Denied> {
    if let Some(key) = &query.key {
        shown.add(Kind::Key, key.clone())?;
    }
    if let Some(token) = &query.token {
        shown.add(Kind::Bearer, token.clone())?;
    }
    for ticket in &query.tickets {
        shown.add_ticket(ticket.clone())?;
    }
    let authorization = query.authorization.as_ref();
    match authorization.and_then(|text| bearer(text.expose())) {
        Some(secret) => shown.add(Kind::Bearer, secret),
        None => Ok(()),
    }
}

fn from_cookies(headers: &HeaderMap, name: &str, shown: &mut Shown<'_>) -> Result<(), Denied> {
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        let line = line
            .to_str()
            .map_err(|_| bad("the header Cookie is not text"))?;
        for pair in line.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else {
                continue;
            };
            if key == name && found.replace(value).is_some() {
                return Err(bad("the cookie with the credential stands twice"));
            }
        }
    }
    match found {
        Some(value) => shown.add(Kind::Bearer, Secret::new(value.to_owned())),
        None => Ok(()),
    }
}

/// `Bearer …`; other schemes are not for us and count as none.
fn bearer(text: &str) -> Option<Secret> {
    let (scheme, credential) = text.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(credential.to_owned()))
}

/// The subprotocol that the `101` names: the first one offered that the route speaks, and never one
/// that carries a credential. A browser whose offer is met with silence ends the connection, so
/// an offer without anything that is spoken here is refused.
pub fn subprotocol(headers: &HeaderMap, spoken: &[String]) -> Result<Option<HeaderValue>, Denied> {
    let offered = offered(headers)?;
    if offered.is_empty() {
        return Ok(None);
    }
    let carries = |name: &str| CARRIERS.iter().any(|carrier| name.starts_with(carrier));
    offered
        .iter()
        .filter(|name| !carries(name))
        .find(|name| spoken.iter().any(|spoken| spoken == **name))
        .and_then(|name| HeaderValue::from_str(name).ok())
        .map(Some)
        .ok_or(bad("none of the subprotocols offered is spoken here"))
}

fn offered(headers: &HeaderMap) -> Result<Vec<&str>, Denied> {
    handshake::offered(headers).ok_or(bad("Sec-WebSocket-Protocol is no list of different names"))
}

pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
    wrong: &'static str,
) -> Result<Option<&'a str>, Denied> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| bad(wrong)),
        (Some(_), Some(_)) => Err(bad(wrong)),
    }
}

fn same(a: &Secret, b: &Secret) -> bool {
    Digest::of(a.expose()).is(&Digest::of(b.expose()))
}

fn bad(detail: &'static str) -> Denied {
    Denied::new(Reason::BadRequest, detail)
}
