use proptest::prelude::*;
use serde_json::{Value, json};

use super::read::{CONTEXT_MAX, NAME_MAX};
use super::*;

const TIME: &str = "2026-05-04T10:00:00Z";

fn since(time: &str) -> Option<Duration> {
    let at = humantime::parse_rfc3339(time).unwrap();
    at.duration_since(std::time::UNIX_EPOCH).ok()
}

fn grid(kind: &str, data: Value) -> Value {
    json!({
        "id": "e-1", "topic": "/subscriptions/x", "subject": "s", "eventType": kind,
        "eventTime": TIME, "dataVersion": "1.0", "metadataVersion": "1", "data": data,
    })
}

fn cloud(kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/subscriptions/x", "type": kind,
        "time": TIME, "datacontenttype": "application/json", "data": data,
    })
}

/// The example of PROTOCOLS 5.5.
fn ringing() -> Value {
    json!({
        "to": {"kind": "phoneNumber", "rawId": "4:+15550001111", "phoneNumber": {"value": "+15550001111"}},
        "from": {"kind": "phoneNumber", "rawId": "4:+15552223333", "phoneNumber": {"value": "+15552223333"}},
        "serverCallId": "aHR0cHM6", "callerDisplayName": "", "incomingCallContext": "eyJhbGciOi",
        "customContext": {"sipHeaders": {"User-to-User": "abc", "X-MS-Custom-session": "xyz"}, "voipHeaders": {}},
        "correlationId": "3c2f",
    })
}

fn one(value: &Value) -> Event {
    let mut events = read(value.to_string().as_bytes()).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn incoming_of(value: &Value) -> Incoming {
    let What::Incoming(Some(incoming)) = one(value).what else {
        panic!("{value}");
    };
    *incoming
}

fn call_of(name: &str, data: Value) -> CallEvent {
    let kind = format!("Microsoft.Communication.{name}");
    let What::Call(event) = one(&json!([cloud(&kind, data)])).what else {
        panic!("{name}");
    };
    event
}

#[test]
fn a03_a_ringing_call_is_read_in_both_schemas() {
    const KIND: &str = "Microsoft.Communication.IncomingCall";
    for event in [
        json!([grid(KIND, ringing())]),
        cloud(KIND, ringing()),
        json!([cloud(KIND, ringing())]),
    ] {
        let read = one(&event);
        assert_eq!(
            (read.id.expose(), read.source.expose()),
            ("e-1", "/subscriptions/x")
        );
        assert_eq!(read.at, since(TIME));
        let incoming = incoming_of(&event);
        assert_eq!(incoming.from, PhoneNumber::new("+15552223333"));
        assert_eq!(incoming.to, PhoneNumber::new("+15550001111"));
        assert_eq!(incoming.context.expose(), "eyJhbGciOi");
        assert_eq!(incoming.correlation, ForeignId::new("3c2f"));
        assert_eq!(incoming.sip("x-ms-custom-SESSION"), ForeignId::new("xyz"));
        assert_eq!(incoming.sip("X-MS-Custom-other"), None);
        let told = format!("{read:?}");
        assert!(
            !told.contains("555") && !told.contains("eyJ") && !told.contains("xyz"),
            "{told}"
        );
    }
}

#[test]
fn a08_a_number_that_is_withheld_odd_or_contradicted_is_none() {
    let from = |from: Value| {
        let mut data = ringing();
        data["from"] = from;
        incoming_of(&cloud("Microsoft.Communication.IncomingCall", data)).from
    };
    for odd in [
        json!({"kind": "unknown", "rawId": "4:anonymous"}),
        json!({"rawId": "4:anonymous", "phoneNumber": {"value": "anonymous"}}),
        json!({"rawId": "4:+15552223333"}),
        json!({"phoneNumber": {"value": "+15552223333"}}),
        json!({"rawId": "4:+15552223334", "phoneNumber": {"value": "+15552223333"}}),
        json!({"rawId": "4:15552223333", "phoneNumber": {"value": "15552223333"}}),
        json!({"rawId": "8:acs:x", "communicationUser": {"id": "8:acs:x"}}),
        json!({"rawId": 4, "phoneNumber": "+15552223333"}),
        json!("4:+15552223333"),
        Value::Null,
    ] {
        assert_eq!(from(odd.clone()), None, "{odd}");
    }
}

#[test]
fn a13_a_sip_header_that_is_there_twice_or_no_id_is_none() {
    let sip = |headers: &str| {
        let text = cloud("Microsoft.Communication.IncomingCall", ringing()).to_string();
        let headers_of = r#"{"User-to-User":"abc","X-MS-Custom-session":"xyz"}"#;
        assert!(text.contains(headers_of));
        let text = text.replace(headers_of, headers);
        let What::Incoming(Some(incoming)) = read(text.as_bytes()).unwrap().remove(0).what else {
            panic!("{headers}");
        };
        incoming.sip("X-Id")
    };
    assert_eq!(sip(r#"{"x-id":"a-1"}"#), ForeignId::new("a-1"));
    for odd in [
        r#"{"X-Id":"a","x-id":"a"}"#,
        r#"{"X-Id":"a:b"}"#,
        r#"{"X-Id":7}"#,
        r#"[]"#,
        r#"{}"#,
    ] {
        assert_eq!(sip(odd), None, "{odd}");
    }
}

#[test]
fn a03_a_call_without_its_context_cannot_be_answered_but_is_an_event() {
    for data in [
        json!({}),
        json!([]),
        json!({"incomingCallContext": ""}),
        json!({"incomingCallContext": 7}),
        json!({"incomingCallContext": "x".repeat(CONTEXT_MAX + 1)}),
        json!({"incomingCallContext": "a\nb"}),
    ] {
        let event = one(&json!([grid(
            "Microsoft.Communication.IncomingCall",
            data.clone()
        )]));
        assert!(matches!(event.what, What::Incoming(None)), "{data}");
    }
    // Twice there: readers disagree on which one answers the call.
    let text = cloud("Microsoft.Communication.IncomingCall", ringing()).to_string();
    let twice = text.replacen(
        r#""correlationId""#,
        r#""incomingCallContext":"x","correlationId""#,
        1,
    );
    assert!(matches!(
        read(twice.as_bytes()).unwrap()[0].what,
        What::Incoming(None)
    ));
}

#[test]
fn a04_the_code_of_a_validation_is_found() {
    let event = one(&json!([grid(
        "Microsoft.EventGrid.SubscriptionValidationEvent",
        json!({"validationCode": "512d38b6", "validationUrl": "https://x"}),
    )]));
    let What::Validation(Some(code)) = event.what else {
        panic!("{event:?}");
    };
    assert_eq!(code.expose(), "512d38b6");
}

#[test]
fn a06_events_of_a_call_are_read() {
    let data = json!({
        "callConnectionId": "0800", "correlationId": "9", "operationContext": "7f0c",
        "resultInformation": {"code": 400, "subCode": 8581, "message": "m"},
        "mediaStreamingUpdate": {"contentType": "Audio", "mediaStreamingStatus": "mediaStreamingFailed",
            "mediaStreamingStatusDetails": "initialWebSocketConnectionFailed"},
    });
    let failed = call_of("MediaStreamingFailed", data);
    assert_eq!(failed.kind, Kind::MediaFailed);
    assert_eq!((failed.code, failed.sub_code), (Some(400), Some(8581)));
    assert_eq!(failed.media, Some("initial_connection_failed"));
    assert_eq!(failed.connection, ForeignId::new("0800"));
    let strange = json!({"mediaStreamingUpdate": {"mediaStreamingStatusDetails": "new-word"}});
    assert_eq!(
        call_of("MediaStreamingFailed", strange).media,
        Some("other")
    );
    assert_eq!(call_of("CallTransferAccepted", json!({})).kind, Kind::Other);
}

#[test]
fn a06_a_tone_has_a_place_and_a_key_or_is_none() {
    let tone = |data: Value| call_of("ContinuousDtmfRecognitionToneReceived", data).tone;
    for (word, key) in [
        ("eight", '8'),
        ("pound", '#'),
        ("asterisk", '*'),
        ("a", 'A'),
        ("8", '8'),
    ] {
        let tone = tone(json!({"sequenceId": 3, "tone": word})).unwrap();
        assert_eq!((tone.sequence, tone.key.as_char()), (3, key));
        assert!(!format!("{tone:?}").contains(key));
    }
    for odd in [
        json!({"sequenceId": 0, "tone": "one"}),
        json!({"sequenceId": -1, "tone": "one"}),
        json!({"sequenceId": "1", "tone": "one"}),
        json!({"sequenceId": 1, "tone": "eleven"}),
        json!({"sequenceId": 1}),
        json!({"tone": "one"}),
        json!([]),
    ] {
        assert_eq!(tone(odd.clone()), None, "{odd}");
    }
}

#[test]
fn a03_what_is_no_event_is_refused_as_a_whole() {
    let good = cloud("a.b", json!({}));
    let without = |key: &str| {
        let mut event = good.clone();
        event.as_object_mut().unwrap().remove(key).unwrap();
        event.to_string()
    };
    let with = |key: &str, value: Value| {
        let mut event = good.clone();
        event[key] = value;
        event.to_string()
    };
    let text = good.to_string();
    for bad in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        "[7]".to_owned(),
        format!("[{text}"),
        format!("[{text},]"),
        format!("{text} x"),
        without("id"),
        without("type"),
        without("source"),
        without("specversion"),
        with("specversion", json!("0.3")),
        with("eventType", json!("a.b")),
        with("id", json!("")),
        with("id", json!(7)),
        with("id", json!("x".repeat(NAME_MAX + 1))),
        with("type", json!("a\nb")),
        text.replacen('{', r#"{"id":"e-2","#, 1),
        text.replacen('{', r#"{"i\u0064":"e-2","#, 1),
        text.replacen('{', r#"{"data":{},"#, 1),
    ] {
        assert!(read(bad.as_bytes()).is_err(), "{bad}");
    }
    // What nobody asks for may be as it likes.
    assert!(read(with("traceparent", json!([{}])).as_bytes()).is_ok());
}

#[test]
fn a03_a_batch_has_five_thousand_events_at_the_most() {
    let batch = |count: usize| vec![cloud("a.b", json!({})).to_string(); count].join(",");
    let read = |count| read(format!("[{}]", batch(count)).as_bytes());
    assert_eq!(read(EVENTS_MAX).unwrap().len(), EVENTS_MAX);
    assert!(read(EVENTS_MAX + 1).is_err());
}

#[test]
fn a03_times_with_and_without_an_offset() {
    let at = |time: &str| {
        let mut event = cloud("a.b", json!({}));
        event["time"] = json!(time);
        one(&event).at
    };
    let ten = since(TIME);
    assert!(ten.is_some());
    for same in [
        TIME,
        "2026-05-04T10:00:00.0000000Z",
        "2026-05-04T12:30:00+02:30",
        "2026-05-04T09:00:00-01:00",
    ] {
        assert_eq!(at(same), ten, "{same}");
    }
    for none in [
        "",
        "now",
        "2026-05-04",
        "2026-05-04T10:00:00",
        "2026-05-04T10:00:00+2:30",
        "2026-05-04T10:00:00+99:00",
        "é+02:30",
    ] {
        assert_eq!(at(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_good_event_that_is_cut_or_changed_never_panics(
        at in 0..2000usize, byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let text = json!([grid("Microsoft.Communication.IncomingCall", ringing())]).to_string();
        let mut text = text.into_bytes();
        let at = at % text.len();
        if cut {
            text.truncate(at);
            prop_assert!(read(&text).is_err());
        } else {
            text[at] = byte;
            let _ = read(&text);
        }
    }
}
