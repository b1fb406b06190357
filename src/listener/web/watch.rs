//! Sessions as they go on and how they ended, for whoever may see them: what the operator's listener
//! tells of all, on a route of kind `sessions`.
//!
//! ```text
//! GET /sessions/ended       the latest that have ended at this edge, the last one first
//! GET /sessions/{id}/tail   what crosses one that runs here, a JSON line each
//! ```
//!
//! Kinds, lengths and times, never what was said; of keys how many, never which. Whose a session was that
//! has ended is known by its subject alone: who may see those of a team sees its own here.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use http::{HeaderValue, Response, StatusCode, header, request};
use serde_json::json;
use tokio::time::sleep;

use super::caller::Caller;
use super::sessions::{said, unknown};
use crate::admission::Grant;
use crate::config::See;
use crate::error::Reason;
use crate::ids::SessionId;
use crate::listener::admin;
use crate::listener::body::{Body, Lines};
use crate::listener::doors::{Asked, Doors, Open};
use crate::listener::pulse::Pulse;
use crate::listener::refusal::Refusal;
use crate::session::{Ended, TooMany};
use crate::telephony::Reply;

/// The last segment of the path that tells of those that have ended: no session has it for its id.
const ENDED: &str = "ended";
/// Sessions in one answer.
const ENDED_MAX: usize = 50;
/// Who looks on is admitted anew after this: what let them in may have been taken back.
const TAIL_MAX: Duration = Duration::from_secs(5 * 60);
/// A reader that takes nothing for so long is cut off.
const UNTAKEN: Duration = Duration::from_secs(60);

/// What is asked, beside what [`super::sessions`] answers.
#[derive(Clone, Copy)]
pub(super) enum Watch {
    Ended,
    Tail(SessionId),
}

impl Watch {
    /// `None`: something else is asked.
    pub(super) fn of(open: &Open, head: &request::Parts) -> Option<Watch> {
        let path = head.uri.path();
        let item = open.route.item(path)?;
        if open.route.tailed(path).is_some() {
            // What is no id is one of no session.
            return SessionId::from_hex(item.as_str()).map(Watch::Tail);
        }
        let asks = open.route.refreshed(path).is_none() && item.as_str() == ENDED;
        (asks && head.method == http::Method::GET).then_some(Watch::Ended)
    }
}

/// Answers somebody who was let in.
pub(super) async fn answer(
    doors: &Doors,
    see: See,
    asked: Asked<'_>,
    (watch, grant): (Watch, Grant),
) -> Result<Response<Body>, Refusal> {
    let caller = Caller::of(doors, see, &grant).await?;
    match watch {
        Watch::Ended => {
            let reply = caller.ended(doors);
            Ok(super::response(reply).map(Body::from))
        }
        Watch::Tail(id) => {
            caller.find(doors, id).await?;
            let lines = look_on(doors, (id, caller.sees_all()), grant)?;
            asked.decision.answered_about(StatusCode::OK, id);
            Ok(lines)
        }
    }
}

/// Places to look on that are left to operators.
const TAILS_LEFT: usize = 4;

impl Caller<'_> {
    fn ended(&self, doors: &Doors) -> Reply {
        let may_see = |ended: &Ended| {
            let subject = &ended.live.holder.subject;
            self.sees_all() || self.is(&subject.digest())
        };
        let all = doors.registry.recent(may_see, ENDED_MAX);
        let all = all.iter().map(|ended| {
            let mut told = admin::sessions::ended(ended);
            if !self.sees_all() {
                admin::sessions::without_peers(&mut told);
            }
            told["own"] = json!(self.is(&ended.live.holder.subject.digest()));
            told
        });
        let told = json!({ "ended": all.collect::<Vec<_>>() });
        said(StatusCode::OK, told)
    }
}

/// The lines of a session that runs here.
fn look_on(
    doors: &Doors,
    (id, shows_peers): (SessionId, bool),
    grant: Grant,
) -> Result<Response<Body>, Refusal> {
    // In this order: what comes after it was described is seen.
    let tail = doors.registry.tail(id, TAILS_LEFT).ok_or_else(unknown)?;
    let live = doors.registry.live(id).ok_or_else(unknown)?;
    let tail = tail.map_err(|TooMany| {
        doors.metrics.limit_hit("tails");
        Refusal::new(Reason::Busy, "too many people look on at sessions")
    })?;
    let left = grant.ends().first().map(|end| {
        let left = end.duration_since(SystemTime::now());
        left.unwrap_or_default()
    });
    let longest = TAIL_MAX.min(left.unwrap_or(TAIL_MAX));
    let lines = admin::tail::lines(live, tail, (doors.metrics.clone(), shows_peers));
    let lines = Lines {
        lines: Box::pin(lines.take_until(sleep(longest))),
        pulse: Pulse::new(UNTAKEN),
        _grant: grant,
    };
    let mut response = Response::new(Body::Lines(Box::new(lines)));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/x-ndjson");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
