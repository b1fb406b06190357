//! Whether a call that rings is one to answer, and what is known of it then. Pure: time is an
//! argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Dropped;
use crate::config::Flow;
use crate::secret::Digest;
use crate::store::Facts;
use crate::wire::cloud_event::{Event, Incoming};

/// A telephone rings for some 30 s; whoever answers later answers nobody.
const RINGS: Duration = Duration::from_secs(30);
/// How far the publisher's clock may be ahead. Less, with the above, than an event is known to have
/// been taken.
const AHEAD: Duration = Duration::from_secs(300);

/// What an event is known by, whoever brings it.
pub(super) fn name(event: &Event) -> Digest {
    Digest::of(&format!("{}\0{}", event.source.expose(), event.id.expose()))
}

/// What is to be noted of a call that is to be answered.
pub(super) fn judge(
    event: &Event,
    incoming: &Incoming,
    sip_header: Option<&str>,
    flow: &Flow,
    now: SystemTime,
) -> Result<Facts, Dropped> {
    let at = event.at.and_then(|at| UNIX_EPOCH.checked_add(at));
    let rings = match at.map(|at| now.duration_since(at)) {
        Some(Ok(age)) => age <= RINGS,
        Some(Err(ahead)) => ahead.duration() <= AHEAD,
        // Nobody can tell that it is new.
        None => false,
    };
    if !rings {
        return Err(Dropped::Late);
    }
    let facts = Facts {
        ani: incoming.from.clone(),
        sip: sip_header.and_then(|name| incoming.sip(name)),
        connection: None,
        correlation: incoming.correlation.clone(),
    };
    if flow.needs_ani() && facts.ani.is_none() {
        return Err(Dropped::Withheld);
    }
    if flow.needs_sip() && facts.sip.is_none() {
        return Err(Dropped::NoSipId);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ForeignId, PhoneNumber};
    use crate::wire::cloud_event::{self, What};
    use serde_json::{Value, json};

    const AT: &str = "2026-05-04T10:00:00Z";

    fn event(change: impl Fn(&mut Value)) -> Event {
        let mut event = json!({
            "specversion": "1.0", "id": "e", "source": "s", "time": AT,
            "type": "Microsoft.Communication.IncomingCall",
            "data": {
                "from": {"rawId": "4:+15551234567", "phoneNumber": {"value": "+15551234567"}},
                "incomingCallContext": "c", "correlationId": "k",
                "customContext": {"sipHeaders": {"X-MS-Custom-id": "abc-1"}},
            },
        });
        change(&mut event);
        cloud_event::read(event.to_string().as_bytes())
            .unwrap()
            .remove(0)
    }

    fn judged(event: &Event, flow: &Flow, after: i64) -> Result<Facts, Dropped> {
        let at = humantime::parse_rfc3339(AT).unwrap();
        let by = Duration::from_secs(after.unsigned_abs());
        let now = if after < 0 { at - by } else { at + by };
        let What::Incoming(Some(incoming)) = &event.what else {
            panic!("{event:?}");
        };
        judge(event, incoming, Some("x-ms-custom-id"), flow, now)
    }

    #[test]
    fn a03_a_call_is_answered_while_it_rings() {
        let event = event(|_| {});
        for (after, rings) in [
            (0, true),
            (30, true),
            (31, false),
            (-300, true),
            (-301, false),
        ] {
            let judged = judged(&event, &Flow::Open, after);
            assert_eq!(judged.is_ok(), rings, "{after}");
        }
        for time in [json!("soon"), Value::Null] {
            let undated = self::event(|event| event["time"] = time.clone());
            assert_eq!(judged(&undated, &Flow::Open, 0), Err(Dropped::Late));
        }
    }

    #[test]
    fn a08_what_signalling_says_is_noted_and_what_a_flow_needs_must_be_there() {
        let good = event(|_| {});
        let facts = judged(&good, &Flow::SipHeader { consume: true }, 1).unwrap();
        assert_eq!(facts.ani, PhoneNumber::new("+15551234567"));
        assert_eq!(facts.sip, ForeignId::new("abc-1"));
        assert_eq!(facts.correlation, ForeignId::new("k"));
        let bare = event(|event| event["data"]["customContext"] = Value::Null);
        let sip = Flow::SipHeader { consume: true };
        assert_eq!(judged(&bare, &sip, 1), Err(Dropped::NoSipId));
        let withheld = event(|event| event["data"]["from"]["rawId"] = json!("4:anonymous"));
        // Nothing that opens these is built of the number.
        for flow in [Flow::Open, sip, Flow::Api { consume: true }] {
            assert!(judged(&withheld, &flow, 1).is_ok());
        }
    }

    #[test]
    fn a03_an_event_is_named_by_its_source_and_its_id() {
        let named = |id: &str, source: &str| {
            name(&event(|event| {
                event["id"] = json!(id);
                event["source"] = json!(source);
            }))
        };
        assert!(named("a", "b").is(&named("a", "b")));
        assert!(!named("a", "b").is(&named("b", "a")));
        assert!(!named("a", "b").is(&named("a", "c")));
        assert!(!named("ab", "c").is(&named("a", "bc")));
    }
}
