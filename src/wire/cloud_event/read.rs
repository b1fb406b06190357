//! The reader: one pass over one whole body.

use std::time::{Duration, UNIX_EPOCH};

use super::{CallEvent, EVENTS_MAX, Event, Incoming, Kind, Tone, What};
use crate::ids::{ForeignId, PhoneNumber};
use crate::secret::Secret;
use crate::wire::acs::Key;
use crate::wire::json::{Raw, Reader, Unreadable, once};

/// Ids, sources and names of types: Event Grid's are GUIDs and resource paths.
pub(super) const NAME_MAX: usize = 512;
/// `incomingCallContext` has some 2 KiB.
pub(super) const CONTEXT_MAX: usize = 32 * 1024;
/// ACS passes five headers of its own on, and `User-to-User`.
const HEADERS_MAX: usize = 32;
/// Their names and values (64 and 256 characters are documented).
const HEADER_MAX: usize = 1024;

/// Why media streaming is as it is (`mediaStreamingStatusDetails`), and the words of metrics.
const DETAILS: [(&str, &str); 15] = [
    ("subscriptionStarted", "subscription_started"),
    ("streamConnectionReestablished", "connection_reestablished"),
    ("streamConnectionUnsuccessful", "connection_unsuccessful"),
    ("streamUrlMissing", "url_missing"),
    ("serviceShutdown", "service_shutdown"),
    ("streamConnectionInterrupted", "connection_interrupted"),
    ("speechServicesConnectionError", "speech_services"),
    ("subscriptionStopped", "subscription_stopped"),
    ("unspecifiedError", "unspecified"),
    ("authenticationFailure", "authentication_failure"),
    ("badRequest", "bad_request"),
    ("tooManyRequests", "too_many_requests"),
    ("forbidden", "forbidden"),
    ("serviceTimeout", "service_timeout"),
    (
        "initialWebSocketConnectionFailed",
        "initial_connection_failed",
    ),
];

/// Reads a body: one event, or a list of 1 to [`EVENTS_MAX`].
///
/// ```
/// use tonegate::wire::cloud_event::{self, What};
///
/// let text = br#"{"specversion":"1.0","id":"1","source":"s","type":"a.b","data":{}}"#;
/// let events = cloud_event::read(text).unwrap();
/// assert!(matches!(events[0].what, What::Other));
/// ```
pub fn read(text: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let mut reader = Reader::new(text);
    let mut events = Vec::new();
    if reader.peek() == Some(b'[') {
        reader.items(|reader| {
            if events.len() == EVENTS_MAX {
                return Err(Unreadable);
            }
            events.push(event(reader)?);
            Ok(())
        })?;
    } else {
        events.push(event(&mut reader)?);
    }
    reader.end()?;
    (!events.is_empty()).then_some(events).ok_or(Unreadable)
}

fn event(reader: &mut Reader<'_>) -> Result<Event, Unreadable> {
    let (mut id, mut source, mut topic, mut version) = (None, None, None, None);
    let (mut cloud, mut grid, mut time, mut event_time) = (None, None, None, None);
    let mut data = None;
    reader.members(|reader, key| {
        let key = name(key)?;
        match key.as_str() {
            "id" => once(&mut id, name(reader.string()?)?),
            "source" => once(&mut source, name(reader.string()?)?),
            "topic" => once(&mut topic, reader.string_or_skip()?),
            "specversion" => once(&mut version, name(reader.string()?)?),
            "type" => once(&mut cloud, name(reader.string()?)?),
            "eventType" => once(&mut grid, name(reader.string()?)?),
            "time" => once(&mut time, reader.string_or_skip()?),
            "eventTime" => once(&mut event_time, reader.string_or_skip()?),
            "data" => once(&mut data, reader.value()?),
            _ => reader.skip(),
        }
    })?;
    // Which of the two schemas it is decides what counts; one that is both is read differently by
    // different readers.
    let (kind, time, source) = match (cloud, grid) {
        (Some(kind), None) if version.as_deref() == Some("1.0") => {
            (kind, time.flatten(), source.ok_or(Unreadable)?)
        }
        (None, Some(kind)) if version.is_none() => {
            let topic = topic.flatten().map(name).transpose()?;
            (kind, event_time.flatten(), topic.unwrap_or_default())
        }
        _ => return Err(Unreadable),
    };
    let id = id.filter(|id| !id.is_empty()).ok_or(Unreadable)?;
    Ok(Event {
        id: Secret::new(id),
        source: Secret::new(source),
        at: time.and_then(moment),
        what: what(&kind, data.unwrap_or_default()),
    })
}

fn what(kind: &str, data: &[u8]) -> What {
    if kind == "Microsoft.EventGrid.SubscriptionValidationEvent" {
        return What::Validation(validation(data).ok().flatten());
    }
    match kind.strip_prefix("Microsoft.Communication.") {
        Some("IncomingCall") => What::Incoming(incoming(data).ok().flatten().map(Box::new)),
        Some(name) => {
            let kind = Kind::of(name);
            What::Call(call(kind, data).unwrap_or(CallEvent {
                kind,
                connection: None,
                correlation: None,
                code: None,
                sub_code: None,
                media: None,
                tone: None,
            }))
        }
        None => What::Other,
    }
}

fn validation(data: &[u8]) -> Result<Option<Secret>, Unreadable> {
    let mut code = None;
    whole(data, |reader, key| match key {
        "validationCode" => once(&mut code, name(reader.string()?)?),
        _ => reader.skip(),
    })?;
    let code = code.filter(|code| !code.is_empty());
    Ok(code.map(Secret::new))
}

fn incoming(data: &[u8]) -> Result<Option<Incoming>, Unreadable> {
    let (mut context, mut from, mut to, mut correlation) = (None, None, None, None);
    let mut headers = None;
    whole(data, |reader, key| match key {
        "incomingCallContext" => once(&mut context, text(reader.string()?, CONTEXT_MAX)?),
        "from" => once(&mut from, number(reader)?),
        "to" => once(&mut to, number(reader)?),
        "correlationId" => once(&mut correlation, foreign(reader)?),
        "customContext" => once(&mut headers, sip_headers(reader)?),
        _ => reader.skip(),
    })?;
    let context = context.filter(|context| !context.is_empty());
    Ok(context.map(|context| Incoming {
        context: Secret::new(context),
        from: from.flatten(),
        to: to.flatten(),
        correlation: correlation.flatten(),
        sip_headers: headers.unwrap_or_default(),
    }))
}

/// The number of a participant, where it has one: `phoneNumber.value`, which `rawId` must agree with.
fn number(reader: &mut Reader<'_>) -> Result<Option<PhoneNumber>, Unreadable> {
    if reader.peek() != Some(b'{') {
        return reader.skip().map(|()| None);
    }
    let (mut raw, mut number) = (None, None);
    reader.members(|reader, key| {
        if key.is(b"rawId") {
            once(&mut raw, reader.string_or_skip()?)
        } else if key.is(b"phoneNumber") {
            once(&mut number, value(reader)?)
        } else {
            reader.skip()
        }
    })?;
    let number = number.flatten().and_then(|number| {
        let number = number.unescape()?;
        PhoneNumber::new(std::str::from_utf8(&number).ok()?)
    });
    Ok(number.filter(|number| {
        let raw = raw.flatten().and_then(|raw| raw.unescape());
        let raw = raw.as_deref().and_then(|raw| raw.strip_prefix(b"4:"));
        raw == Some(number.expose().as_bytes())
    }))
}

/// `{"value": "…"}`.
fn value<'a>(reader: &mut Reader<'a>) -> Result<Option<Raw<'a>>, Unreadable> {
    if reader.peek() != Some(b'{') {
        return reader.skip().map(|()| None);
    }
    let mut value = None;
    reader.members(|reader, key| match key.is(b"value") {
        true => once(&mut value, reader.string_or_skip()?),
        false => reader.skip(),
    })?;
    Ok(value.flatten())
}

/// `{"sipHeaders": {…}}`; those beyond [`HEADERS_MAX`] make the event unreadable.
fn sip_headers(reader: &mut Reader<'_>) -> Result<Vec<(String, Secret)>, Unreadable> {
    let mut headers = Vec::new();
    if reader.peek() != Some(b'{') {
        return reader.skip().map(|()| headers);
    }
    let mut seen = None;
    reader.members(|reader, key| {
        if !key.is(b"sipHeaders") {
            return reader.skip();
        }
        once(&mut seen, ())?;
        if reader.peek() != Some(b'{') {
            return reader.skip();
        }
        reader.members(|reader, key| {
            let key = text(key, HEADER_MAX)?;
            let value = reader.string_or_skip()?;
            if headers.len() == HEADERS_MAX {
                return Err(Unreadable);
            }
            if let Some(value) = value {
                headers.push((key, Secret::new(text(value, HEADER_MAX)?)));
            }
            Ok(())
        })
    })?;
    Ok(headers)
}

fn call(kind: Kind, data: &[u8]) -> Result<CallEvent, Unreadable> {
    let (mut connection, mut correlation, mut result) = (None, None, None);
    let (mut media, mut sequence, mut tone) = (None, None, None);
    whole(data, |reader, key| match key {
        "callConnectionId" => once(&mut connection, foreign(reader)?),
        "correlationId" => once(&mut correlation, foreign(reader)?),
        "resultInformation" => once(&mut result, codes(reader)?),
        "mediaStreamingUpdate" => once(&mut media, detail(reader)?),
        "sequenceId" => once(&mut sequence, whole_number(reader)?),
        "tone" => once(&mut tone, reader.string_or_skip()?),
        _ => reader.skip(),
    })?;
    let key = tone.flatten().and_then(|tone| tone.unescape());
    let key = key.and_then(|name| Key::named(&name));
    let sequence = sequence.flatten().filter(|&sequence| sequence > 0);
    let (code, sub_code) = result.unwrap_or_default();
    Ok(CallEvent {
        kind,
        connection: connection.flatten(),
        correlation: correlation.flatten(),
        code,
        sub_code,
        media: media.flatten(),
        tone: sequence
            .zip(key)
            .map(|(sequence, key)| Tone { sequence, key }),
    })
}

type Codes = (Option<u32>, Option<u32>);

/// `{"code": 200, "subCode": 0, …}`.
fn codes(reader: &mut Reader<'_>) -> Result<Codes, Unreadable> {
    if reader.peek() != Some(b'{') {
        return reader.skip().map(|()| (None, None));
    }
    let (mut code, mut sub_code) = (None, None);
    reader.members(|reader, key| {
        if key.is(b"code") {
            once(&mut code, whole_number(reader)?)
        } else if key.is(b"subCode") {
            once(&mut sub_code, whole_number(reader)?)
        } else {
            reader.skip()
        }
    })?;
    Ok((code.flatten(), sub_code.flatten()))
}

/// `{"mediaStreamingStatusDetails": "…", …}`; a word that is not known is `other`.
fn detail(reader: &mut Reader<'_>) -> Result<Option<&'static str>, Unreadable> {
    if reader.peek() != Some(b'{') {
        return reader.skip().map(|()| None);
    }
    let mut said = None;
    reader.members(|reader, key| match key.is(b"mediaStreamingStatusDetails") {
        true => once(&mut said, reader.string_or_skip()?),
        false => reader.skip(),
    })?;
    Ok(said.flatten().map(|said| {
        let known = DETAILS
            .iter()
            .find(|(name, _)| said.is_in_any_case(name.as_bytes()));
        known.map_or("other", |&(_, word)| word)
    }))
}

fn whole_number(reader: &mut Reader<'_>) -> Result<Option<u32>, Unreadable> {
    let text = reader.scalar_or_skip()?;
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    Ok(text.and_then(|text| text.parse().ok()))
}

fn foreign(reader: &mut Reader<'_>) -> Result<Option<ForeignId>, Unreadable> {
    let id = reader.string_or_skip()?.and_then(|id| id.unescape());
    let id = id.as_deref().and_then(|id| std::str::from_utf8(id).ok());
    Ok(id.and_then(ForeignId::new))
}

/// Reads the members of an event's data, which is one object.
fn whole<'a>(
    data: &'a [u8],
    mut each: impl FnMut(&mut Reader<'a>, &str) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut reader = Reader::new(data);
    reader.members(|reader, key| each(reader, &name(key)?))?;
    reader.end()
}

fn name(raw: Raw<'_>) -> Result<String, Unreadable> {
    text(raw, NAME_MAX)
}

/// A text of so many bytes at the most, without control characters.
fn text(raw: Raw<'_>, most: usize) -> Result<String, Unreadable> {
    let text = raw.unescape().ok_or(Unreadable)?;
    let fits = text.len() <= most && text.iter().all(|&byte| byte >= b' ' && byte != 0x7f);
    let text = fits.then_some(text).ok_or(Unreadable)?;
    String::from_utf8(text.into_owned()).map_err(|_| Unreadable)
}

/// A moment as RFC 3339 writes it: publishers write `Z`, or an offset.
fn moment(raw: Raw<'_>) -> Option<Duration> {
    let text = text(raw, 64).ok()?;
    let utc = |text: &str| {
        let at = humantime::parse_rfc3339(text).ok()?;
        at.duration_since(UNIX_EPOCH).ok()
    };
    if let Some(at) = utc(&text) {
        return Some(at);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, rest) = offset.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let part = |text: &str, below: u64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.filter(|&number: &u64| number < below)
    };
    let offset = Duration::from_secs(3600 * part(hours, 24)? + 60 * part(minutes, 60)?);
    let at = utc(&format!("{local}Z"))?;
    match sign {
        "+" => at.checked_sub(offset),
        "-" => at.checked_add(offset),
        _ => None,
    }
}
