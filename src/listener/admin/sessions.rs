//! `/sessions`: what runs and how the latest have ended; and an end by the operator.

use std::time::{Duration, SystemTime};

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{Body, document, ok, time, wrong};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::session::{End, Ended, Live, Registry};
use crate::tap::Counts;

/// Sessions of each kind in one answer: so many if nothing is said, and at the most.
const USUAL: usize = 100;
const MOST: usize = 10_000;

/// What is wanted of the list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Running ones, ended ones; `None`: both.
    ended: Option<bool>,
    route: Option<String>,
    subject: Option<String>,
    reason: Option<Reason>,
    limit: Option<usize>,
}

impl Wanted {
    /// The error names the parameter.
    fn read(query: &str) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let text = value.into_owned();
            let twice = match &*name {
                "state" => {
                    let ended = match text.as_str() {
                        "running" => false,
                        "ended" => true,
                        _ => return Err("state: must be running or ended".to_owned()),
                    };
                    wanted.ended.replace(ended).is_some()
                }
                "route" => wanted.route.replace(text).is_some(),
                "subject" => wanted.subject.replace(text).is_some(),
                "reason" => {
                    let reason = Reason::ALL.into_iter().find(|reason| reason.word() == text);
                    let reason = reason.ok_or("reason: must be a word of the table of endings")?;
                    wanted.reason.replace(reason).is_some()
                }
                "limit" => {
                    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    let limit = limit.ok_or(format!("limit: must be 1 to {MOST}"))?;
                    wanted.limit.replace(limit).is_some()
                }
                _ => {
                    let all = "state, route, subject, reason and limit";
                    return Err(format!("there are the parameters {all}"));
                }
            };
            if twice {
                return Err(format!("{name}: must stand once"));
            }
        }
        Ok(wanted)
    }

    fn takes(&self, live: &Live) -> bool {
        let is =
            |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|it| it == text);
        let subject = || live.holder.subject.to_string();
        is(&self.route, live.route.as_str())
            && (self.subject.is_none() || is(&self.subject, &subject()))
    }
}

pub(super) fn list(registry: &Registry, query: &str) -> Response<Body> {
    let wanted = match Wanted::read(query) {
        Ok(wanted) => wanted,
        Err(detail) => return wrong(StatusCode::BAD_REQUEST, detail),
    };
    let most = wanted.limit.unwrap_or(USUAL);
    let mut all = Vec::new();
    // What has ended for a reason does not run.
    if wanted.ended != Some(true) && wanted.reason.is_none() {
        let running = registry.running(|live| wanted.takes(live), most);
        all.extend(running.iter().map(live));
    }
    if wanted.ended != Some(false) {
        let reason = |ended: &Ended| {
            wanted
                .reason
                .is_none_or(|reason| reason == ended.end.reason)
        };
        let takes = |ended: &Ended| reason(ended) && wanted.takes(&ended.live);
        all.extend(registry.recent(takes, most).iter().map(ended));
    }
    ok(&json!({
        "sessions": all,
        "running": registry.len(),
        "forgotten": registry.forgotten(),
    }))
}

pub(super) fn one(registry: &Registry, id: SessionId) -> Response<Body> {
    let running = registry.live(id).as_ref().map(live);
    match running.or_else(|| registry.recent_of(id).as_ref().map(ended)) {
        Some(told) => ok(&told),
        None => unknown(),
    }
}

/// The session ends as one does that was taken back; whoever holds what opened it may open another.
pub(super) fn end(registry: &Registry, id: SessionId) -> Response<Body> {
    const REASON: Reason = Reason::Revoked;
    if registry.end(id, REASON) {
        tracing::info!(session = %id, reason = %REASON, "session ended by an operator");
        return document(
            StatusCode::ACCEPTED,
            &json!({"id": id.to_string(), "reason": REASON.word()}),
        );
    }
    match registry.recent_of(id) {
        Some(Ended { end, .. }) => {
            let detail = format!("it has ended already: {}, by the {}", end.reason, end.by);
            wrong(StatusCode::CONFLICT, detail)
        }
        None => unknown(),
    }
}

pub(super) fn unknown() -> Response<Body> {
    let detail = "no session of this edge has this id; another edge may have it";
    wrong(StatusCode::NOT_FOUND, detail)
}

/// A running session, as JSON has it.
pub(in crate::listener) fn live(live: &Live) -> Value {
    let state = match live.standing.closing {
        true => "closing",
        false => "running",
    };
    let lasts = SystemTime::now().duration_since(live.started);
    told(live, state, lasts.unwrap_or_default())
}

/// One that has ended.
pub(in crate::listener) fn ended(Ended { live, end }: &Ended) -> Value {
    let mut told = told(live, "ended", end.duration);
    told["end"] = self::ending(end);
    told
}

fn ending(end: &End) -> Value {
    let [client, upstream] = end.closes;
    json!({
        "at": time(end.at),
        "reason": end.reason.word(),
        "ended_by": end.by.word(),
        "client_close": client,
        "upstream_close": upstream,
    })
}

/// For whoever may see the session and not who else is beside it: an address says where somebody is.
pub(in crate::listener) fn without_peers(told: &mut Value) {
    for key in ["client", "certificate", "upstream"] {
        told[key] = Value::Null;
    }
}

fn told(live: &Live, state: &str, lasts: Duration) -> Value {
    let holder = &live.holder;
    let standing = &live.standing;
    json!({
        "id": live.id.to_string(),
        "state": state,
        "route": live.route.as_str(),
        "kind": live.kind,
        "subject": holder.subject.to_string(),
        "key": holder.key.as_ref().map(|name| name.as_str()),
        "certificate": holder.certificate.as_ref().map(|name| name.as_str()),
        "call": holder.call.as_ref().map(|call| call.as_str()),
        "client": live.client.to_string(),
        "upstream": live.upstream.as_ref().map(|name| name.as_str()),
        "gate": standing.gate.map(|gate| gate.word()),
        "keys": standing.keys,
        "since": time(live.started),
        "duration_ms": u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
        "lease_ends": live.lease.map(time),
        "up": crossed(&standing.up),
        "down": crossed(&standing.down),
        "end": null,
    })
}

fn crossed(counts: &Counts) -> Value {
    json!({
        "messages": counts.messages,
        "bytes": counts.bytes,
        "audio_messages": counts.audio_messages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c17_what_is_wanted_of_a_list_is_read_or_its_mistake_is_named() {
        let read = |query| Wanted::read(query);
        assert_eq!(read(""), Ok(Wanted::default()));
        let wanted = read("state=ended&route=a%20b&reason=hung_up&limit=7").unwrap();
        assert_eq!(
            (wanted.ended, wanted.route.as_deref()),
            (Some(true), Some("a b"))
        );
        assert_eq!(
            (wanted.reason, wanted.limit),
            (Some(Reason::HungUp), Some(7))
        );
        for (query, named) in [
            ("state=x", "state:"),
            ("reason=x", "reason:"),
            ("limit=0", "limit:"),
            ("limit=10001", "limit:"),
            ("limit=-1", "limit:"),
            ("route=a&route=b", "route:"),
            ("id=7", "parameters"),
            ("=", "parameters"),
        ] {
            let told = read(query).unwrap_err();
            assert!(told.contains(named), "{query}: {told}");
        }
    }
}
