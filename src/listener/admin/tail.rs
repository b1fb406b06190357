//! `/sessions/{id}/tail`: what crosses a session as it crosses, a JSON line each: kinds, lengths and
//! times, never what was said.
//!
//! | `event` | says |
//! | --- | --- |
//! | `begin` | the session as it stands; the first line |
//! | `message` | `direction`, `type`, `bytes`, and `gap_ms` since the one before |
//! | `keys` | how many keys there were by now |
//! | `gate` | its new `state` |
//! | `lost` | so many `lines` went before they were taken |
//! | `alive` | nothing for [`QUIET`] |
//! | `ended` | `reason` and `ended_by`; the last line, unless the reader is cut off |

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answer::{Body, respond, wrong};
use super::sessions;
use crate::ids::SessionId;
use crate::listener::doors::Doors;
use crate::listener::pulse::Pulse;
use crate::metrics;
use crate::relay::{Line, News, Seen};
use crate::session::{Live, TAILS_MAX, Tail, TooMany};

/// Whoever is told nothing else for so long is told that.
const QUIET: Duration = Duration::from_secs(10);
/// A reader that takes nothing for so long is cut off.
const UNTAKEN: Duration = Duration::from_secs(60);

pub(super) fn answer(doors: &Doors, id: SessionId) -> Response<Body> {
    // In this order: what comes after it was described is seen.
    let tail = doors.registry.tail(id, 0);
    let (live, tail) = match (doors.registry.live(id), tail) {
        (Some(live), Some(Ok(tail))) => (live, tail),
        (Some(_), Some(Err(TooMany))) => {
            doors.metrics.limit_hit("tails");
            let detail = format!("{TAILS_MAX} look on already; end one of them");
            return wrong(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        _ => return sessions::unknown(),
    };
    let lines = lines(live, tail, (doors.metrics.clone(), true));
    let body = Body::Lines(Box::pin(lines), Pulse::new(UNTAKEN));
    respond(StatusCode::OK, "application/x-ndjson", body)
}

/// The lines, in pieces as they come.
pub(in crate::listener) fn lines(
    live: Live,
    tail: Tail,
    (metrics, shows_peers): (metrics::Shared, bool),
) -> impl stream::Stream<Item = Bytes> + Send {
    let mut begin = begin(&live);
    if !shows_peers {
        sessions::without_peers(&mut begin);
    }
    let begin = format!("{begin}\n");
    stream::unfold((Some(begin), tail), move |(begin, mut tail)| {
        let metrics = metrics.clone();
        async move {
            if let Some(begin) = begin {
                return Some((begin.into(), (None, tail)));
            }
            let text = match timeout(QUIET, tail.next()).await {
                Ok(Some(news)) => {
                    if news.lost > 0 {
                        metrics.limit_hit("tail_lines");
                    }
                    written(&news)
                }
                Ok(None) => return None,
                Err(_) => format!("{}\n", json!({"event": "alive"})),
            };
            Some((text.into(), (None, tail)))
        }
    })
}

fn begin(live: &Live) -> Value {
    let mut begin = sessions::live(live);
    begin["event"] = json!("begin");
    begin
}

fn written(news: &News) -> String {
    let lost = (news.lost > 0).then(|| json!({"event": "lost", "lines": news.lost}));
    let all = lost.into_iter().chain(news.lines.iter().map(line));
    all.map(|line| format!("{line}\n")).collect()
}

fn line(line: &Line) -> Value {
    let mut told = match line.seen {
        Seen::Message {
            direction,
            kind,
            bytes,
            gap,
        } => json!({
            "event": "message",
            "direction": direction.word(),
            "type": kind,
            "bytes": bytes,
            "gap_ms": gap.map(milliseconds),
        }),
        Seen::Keys(count) => json!({"event": "keys", "count": count}),
        Seen::Missed(lines) => json!({"event": "lost", "lines": lines}),
        Seen::Gate(state) => json!({"event": "gate", "state": state.word()}),
        Seen::Ended { by, reason } => json!({
            "event": "ended",
            "reason": reason.word(),
            "ended_by": by.word(),
        }),
    };
    told["at_ms"] = json!(milliseconds(line.at));
    told
}

/// With three decimals at the most, as logs show them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
