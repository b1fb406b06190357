//! The edge as ACS finds it: its public address dialled from here, through whatever stands in front.
//!
//! Nobody is let in: what is shown is no token. Where the edge runs on this machine, its admin listener
//! tells what arrived of a request that has a word of its own (`listener::witness`).

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::Value;
use tokio::time::Instant;

use super::Asked;
use super::reach::{millis, of_fault, until};
use super::report::{Finding, Group};
use super::witness::{Admin, Told};
use crate::admission::media_url::{Signed, Signer};
use crate::config::{CALL, CALL_SECRET, Enter, Live, Refuse, Roots, Route, RouteKind, Way};
use crate::ids::{CallId, SessionId, random_guid};
use crate::listener::witness::WATCHED;
use crate::upstream::look::{self, Answered, Fault, Place};

/// One dial with its answer.
pub(super) const WAIT: Duration = Duration::from_secs(10);
/// Through a balancer a request may reach another edge than this machine's; so often it is tried.
const TRIES: usize = 6;
/// The signed media URL that doctor dials is good for so long; it opens nothing without a token.
const LIFE: Duration = Duration::from_secs(60);
/// What is shown as a token, and is none: it has no dots, so nobody looks for its key.
const NO_TOKEN: &str = "Bearer tonegate-doctor";

/// The public address.
#[derive(Clone, Debug)]
pub(super) struct Public {
    pub(super) place: Place,
    /// What stands before a route's path, without a slash at its end.
    prefix: String,
}

impl Public {
    /// Reads `wss://host[:port][/path]`.
    pub(super) fn read(text: &str, roots: &Roots) -> Option<Public> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return None,
        };
        if text.contains('@') || uri.query().is_some() {
            return None;
        }
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let usual = if secure { 443 } else { 80 };
        Some(Public {
            place: Place {
                host: host.to_owned(),
                port: uri.port_u16().unwrap_or(usual),
                roots: secure.then(|| roots.clone()),
                client: None,
                http: true,
            },
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// A route that asks everybody for something, and the path of nobody's call on it.
pub(super) struct Door<'a> {
    route: &'a Route,
    pub(super) target: String,
    call: bool,
}

impl<'a> Door<'a> {
    /// Routes of calls first: they are what ACS dials.
    pub(super) fn find(public: &Public, live: &'a Live) -> Option<Door<'a>> {
        let fits = |route: &&Route| {
            let speaks = matches!(
                route.kind,
                RouteKind::VoiceLive | RouteKind::Relay | RouteKind::AcsMedia(_)
            );
            let asks = !route.enter.ways().contains(&Way::Anyone);
            speaks && asks && route.refuse == Refuse::Status
        };
        let mut routes = live.routes.iter().filter(fits);
        let of_calls = |route: &&Route| matches!(route.kind, RouteKind::AcsMedia(_));
        let route = routes.clone().find(of_calls).or_else(|| routes.next())?;
        let path = route.paths.first()?;
        let call = CallId::new(&format!("doctor-{}", SessionId::random()))?;
        let secret = secret(route, live, &call);
        let path = match path.strip_suffix(CALL) {
            Some(folder) => format!("{folder}/{call}"),
            None => path.clone(),
        };
        let query = match &secret {
            Some(secret) => format!("{CALL_SECRET}={secret}"),
            None => format!("doctor={}", SessionId::random()),
        };
        Some(Door {
            route,
            target: format!("{}{path}?{query}", public.prefix),
            call: secret.is_some(),
        })
    }

    /// Whether the answer says if a token arrived: without one it is another.
    fn tells(&self) -> bool {
        let ways = self.route.enter.ways();
        let by_token = ways.iter().any(|way| matches!(way, Way::Issuer(_)));
        by_token && (self.call || !ways.contains(&Way::Call))
    }

    /// As ACS sends them, or a page's client.
    fn headers(&self, token: bool) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        if let (Some(origin), false) = (self.route.origins.first(), self.route.without_origin) {
            headers.extend(HeaderValue::try_from(origin).map(|origin| (header::ORIGIN, origin)));
        }
        if token {
            let none = HeaderValue::from_static(NO_TOKEN);
            headers.push((header::AUTHORIZATION, none));
            for name in ["x-ms-call-connection-id", "x-ms-call-correlation-id"] {
                let value = HeaderValue::try_from(random_guid());
                headers.extend(value.map(|value| (HeaderName::from_static(name), value)));
            }
        }
        headers
    }
}

/// A media URL's secret for nobody's call, where a token is asked for beside it.
fn secret(route: &Route, live: &Live, call: &CallId) -> Option<String> {
    let Enter::All(ways) = &route.enter else {
        return None;
    };
    let by_token = ways.iter().any(|way| matches!(way, Way::Issuer(_)));
    if !by_token || !ways.contains(&Way::Call) {
        return None;
    }
    let signer = Signer::new(live.calls.as_ref()?)?;
    let signed = Signed {
        route: Some(route.name.clone()),
        ..Signed::of(call.clone())
    };
    let token = signer.token(&signed, SystemTime::now(), LIFE).ok()?;
    Some(token.expose().to_owned())
}

pub(super) async fn check(asked: &Asked) -> Vec<Finding> {
    let Some(public) = &asked.public else {
        let why = "give --public-url wss://…, or media in [acs]: then it is dialled as ACS does";
        return vec![Finding::skipped(Group::Public, "public url", why)];
    };
    let place = &public.place;
    let at = format!("{}:{}", place.host, place.port);
    let seen = look::look(place, Instant::now() + WAIT).await;
    let seen = match seen {
        Ok(seen) => seen,
        Err(fault) => {
            let told = of_fault(&fault, &place.host, "--public-url");
            return vec![Finding::fail(Group::Public, at, told)];
        }
    };
    let chain = match &seen.tls {
        Some(tls) => format!(
            "TLS {} in {}, {} certificates, {}",
            tls.version,
            millis(tls.took),
            tls.sent,
            until(tls.ends, SystemTime::now())
        ),
        None => "plain text".to_owned(),
    };
    let mut findings = vec![match &seen.tls {
        Some(_) => Finding::ok(Group::Public, at, chain),
        None => {
            let fix = "Use wss://: ACS and browsers dial nothing else.";
            let told = ("It is plain text, with every token in clear.", fix);
            Finding::warn(Group::Public, at, told)
        }
    }];
    let Some(door) = Door::find(public, &asked.settings.live) else {
        let why = "no route answers upgrades that show nothing with a status";
        findings.push(Finding::skipped(Group::Public, "refusals", why));
        return findings;
    };
    findings.extend(refusals(place, &door).await);
    findings.push(arrives(place, &door, asked.admin.as_ref()).await);
    findings
}

/// What the edge says to an upgrade without a token, and to one with what is none.
async fn refusals(place: &Place, door: &Door<'_>) -> Vec<Finding> {
    let route = &door.route.name;
    let about = format!("no token, route {route}");
    let without = ask(place, door, &door.headers(false)).await;
    let without = match without {
        Ok(answered) => answered,
        Err(fault) => {
            let told = of_fault(&fault, &place.host, "--public-url");
            return vec![Finding::fail(Group::Public, about, told)];
        }
    };
    let verdict = verdict(&without);
    let mut findings = vec![match &verdict {
        Verdict::Asks => Finding::ok(Group::Public, about, "401, from this edge itself"),
        Verdict::Other(told) => Finding::fail(Group::Public, about, told.clone()),
    }];
    let about = format!("a bad token, route {route}");
    if matches!(verdict, Verdict::Other(_)) {
        let why = "see above";
        findings.push(Finding::skipped(Group::Public, about, why));
        return findings;
    }
    if !door.tells() {
        let why = "the route takes no tokens of an issuer";
        findings.push(Finding::skipped(Group::Public, about, why));
        return findings;
    }
    findings.push(match ask(place, door, &door.headers(true)).await {
        Err(fault) => {
            let told = of_fault(&fault, &place.host, "--public-url");
            Finding::fail(Group::Public, about, told)
        }
        Ok(with) => match self::verdict(&with) {
            Verdict::Asks if challenge(&with).contains("error=\"invalid_token\"") => Finding::ok(
                Group::Public,
                about,
                "401 invalid_token: Authorization arrives",
            ),
            Verdict::Asks if says(&with).contains("secret") => {
                Finding::fail(Group::Public, about, stripped("The query"))
            }
            Verdict::Asks => Finding::fail(Group::Public, about, stripped("Authorization")),
            Verdict::Other(told) => Finding::fail(Group::Public, about, told),
        },
    });
    findings
}

fn stripped(what: &str) -> (String, String) {
    (
        format!("{what} does not arrive: something in front of the edge takes it away."),
        "Have that proxy pass it on as it is (nginx: proxy_set_header, and no auth_request; Azure: no \
         authentication of the platform on this path)."
            .to_owned(),
    )
}

async fn ask(
    place: &Place,
    door: &Door<'_>,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<Answered, Fault> {
    look::upgrade(place, &door.target, headers, Instant::now() + WAIT).await
}

/// What an answer is.
enum Verdict {
    /// This edge wants a credential.
    Asks,
    /// Anything else, and what to do.
    Other((String, String)),
}

fn challenge(answered: &Answered) -> &str {
    let value = answered.headers.get(header::WWW_AUTHENTICATE);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The problem document of an edge; `None`: it is something else's answer.
fn reason(answered: &Answered) -> Option<String> {
    let kind = answered.headers.get(header::CONTENT_TYPE)?;
    if kind != "application/problem+json" {
        return None;
    }
    let document: Value = serde_json::from_slice::<Value>(&answered.body).ok()?;
    let says = document["status"] == answered.status.as_u16() && document["title"].is_string();
    says.then(|| document["reason"].as_str().map(str::to_owned))?
}

/// The sentence of an edge's problem document: one of the edge's own.
fn says(answered: &Answered) -> String {
    let document: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
    document["detail"].as_str().unwrap_or("").to_owned()
}

fn verdict(answered: &Answered) -> Verdict {
    let status = answered.status;
    let number = status.as_u16();
    let told = |text: String, fix: &str| Verdict::Other((text, fix.to_owned()));
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return told(
            "An upgrade without a credential is let in.".to_owned(),
            "Look who answers there: this edge's route asks everybody for a credential.",
        );
    }
    let Some(reason) = reason(answered) else {
        return told(
            format!("Something else than this edge answers there, with {number}."),
            "Have DNS and the proxies in front lead this path to the edge, and let none of them ask for \
             a credential of its own.",
        );
    };
    let reason: String = reason
        .chars()
        .filter(|c| c.is_ascii_lowercase() || *c == '_')
        .collect();
    match (status, reason.as_str()) {
        (StatusCode::UNAUTHORIZED, _)
            if challenge(answered).starts_with("Bearer realm=\"tonegate\"") =>
        {
            Verdict::Asks
        }
        (StatusCode::NOT_FOUND, _) => told(
            "An edge answers there and has no route of this path (404).".to_owned(),
            "Have the proxy in front pass the path on as it is, or correct the path of --public-url.",
        ),
        (StatusCode::BAD_REQUEST | StatusCode::UPGRADE_REQUIRED, _) => told(
            format!("The edge answers, and what arrives there is no WebSocket upgrade ({number})."),
            "Have the proxy in front speak HTTP/1.1 to the edge and pass Upgrade and Connection on \
             (nginx: proxy_http_version 1.1, proxy_set_header Upgrade and Connection).",
        ),
        (StatusCode::FORBIDDEN, _) => told(
            "The edge refuses this machine before it asks for a credential (403).".to_owned(),
            "Look at allow, deny and origins of the route, or run doctor from where clients are.",
        ),
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, reason) => told(
            format!("The edge takes nobody now ({number} {reason})."),
            "See /readyz of its admin address; try again when it is ready.",
        ),
        (_, reason) => told(
            format!("The edge answers {number} {reason} instead of 401."),
            "Run `tonegate explain` with this path: it says which check refuses it.",
        ),
    }
}

/// Whether all that ACS sends reaches the edge.
async fn arrives(place: &Place, door: &Door<'_>, admin: Option<&Admin>) -> Finding {
    let about = "what arrives";
    let skipped = |why: &str| Finding::skipped(Group::Public, about, why);
    let Some(admin) = admin else {
        return skipped("the settings name no port of the admin listener; give --admin");
    };
    let word = match admin.word(Duration::ZERO).await {
        Ok(word) => word,
        Err(why) => return skipped(&why),
    };
    let mut headers = door.headers(true);
    headers.extend(super::witness::header(&word));
    let mut told = None;
    for _ in 0..TRIES {
        if ask(place, door, &headers).await.is_err() {
            break;
        }
        told = admin.told(&word).await;
        if told.is_some() {
            break;
        }
    }
    let Some(told) = told else {
        let text = "The edge of this machine saw none of these requests: others answer at the public \
                    address.";
        let fix = "If several edges share the address, run doctor on each, a few times; else correct \
                   DNS, or the proxies in front.";
        return Finding::warn(Group::Public, about, (text, fix));
    };
    let lost = lost(&told, door, &headers);
    if lost.is_empty() {
        let text = "Authorization, both x-ms-call headers and the query, unchanged";
        return Finding::ok(Group::Public, about, text);
    }
    Finding::fail(Group::Public, about, stripped(&lost.join(", ")))
}

/// What is not there as it was sent.
fn lost(told: &Told, door: &Door<'_>, sent: &[(HeaderName, HeaderValue)]) -> Vec<String> {
    let mut lost = Vec::new();
    for (name, value) in sent.iter().filter(|(name, _)| WATCHED.contains(name)) {
        if !told.has(name.as_str(), value.as_bytes()) {
            lost.push(name.to_string());
        }
    }
    let query = door.target.split_once('?').map_or("", |(_, query)| query);
    if !told.has_query(query) {
        lost.push("the query".to_owned());
    }
    lost
}
