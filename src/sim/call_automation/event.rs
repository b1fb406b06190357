//! The events that are posted to a call's callback URL: CloudEvents 1.0 with ACS' data.
//!
//! Owns their shape. Refuses to know when each goes.

use super::connection::Connection;
use crate::dtmf::Digit;
use crate::sim::acs::guid;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// What every type begins with.
pub const PREFIX: &str = "Microsoft.Communication.";

/// The version of the interface that events are written in.
const VERSION: &str = "2026-03-12";

/// An event of a call, and the name of its type without the prefix.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) event: Value,
}

/// An event of this kind. `more` are members of its data besides the ids.
pub(super) fn told(
    connection: &Connection,
    kind: &'static str,
    context: Option<&str>,
    more: Value,
) -> Told {
    let mut data = Map::new();
    let mut set = |name: &str, value: Value| data.insert(name.to_owned(), value);
    set("version", json!(VERSION));
    set("callConnectionId", json!(connection.id));
    set("serverCallId", json!(connection.parties.server_call));
    set("correlationId", json!(connection.parties.correlation));
    if let Some(context) = context.or(connection.context.as_deref()) {
        set("operationContext", json!(context));
    }
    if let Value::Object(more) = more {
        data.extend(more);
    }
    let source = format!("calling/callConnections/{}", connection.id);
    let event = json!({
        "id": guid(),
        "source": source,
        "type": format!("{PREFIX}{kind}"),
        "data": data,
        "time": now(),
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "subject": source,
    });
    Told { kind, event }
}

/// `resultInformation` of an event.
pub(super) fn result(code: u16, sub_code: u32, message: &str) -> Value {
    json!({"resultInformation": {"code": code, "subCode": sub_code, "message": message}})
}

/// What an event about the media stream says besides.
pub(super) fn streaming(status: &str, details: &str, mut result: Value) -> Value {
    result["mediaStreamingUpdate"] = json!({
        "contentType": "audio",
        "mediaStreamingStatus": status,
        "mediaStreamingStatusDetails": details,
    });
    result
}

/// Why a stream failed whose upgrade was answered with this status. Which of the documented words
/// ACS uses for which is not documented.
pub(super) fn failure(status: Option<u16>) -> &'static str {
    match status {
        Some(400) => "badRequest",
        Some(401) => "authenticationFailure",
        Some(403) => "forbidden",
        Some(429) => "tooManyRequests",
        Some(504) => "serviceTimeout",
        Some(_) | None => "initialWebSocketConnectionFailed",
    }
}

/// ACS' word for a key.
#[must_use]
pub fn word(digit: Digit) -> &'static str {
    match digit.as_char() {
        '0' => "zero",
        '1' => "one",
        '2' => "two",
        '3' => "three",
        '4' => "four",
        '5' => "five",
        '6' => "six",
        '7' => "seven",
        '8' => "eight",
        '9' => "nine",
        'A' => "a",
        'B' => "b",
        'C' => "c",
        'D' => "d",
        '*' => "asterisk",
        _ => "pound",
    }
}

/// The time in the form of RFC 3339, to the millisecond.
pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
