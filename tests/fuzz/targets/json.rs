//! Messages of ACS and of Voice Live, read by our own reader: where a plain JSON parser understands a message,
//! it says the same, and nothing that is told lies outside of what came.

use serde_json::{Map, Value};
use tonegate::wire::acs::{self, Message};
use tonegate::wire::voice_live::{self, Event, names_other};

/// The first byte says whose message the rest is.
pub fn run(data: &[u8]) {
    let Some((whose, text)) = data.split_first() else {
        return;
    };
    match whose % 3 {
        0 => of_acs(text),
        1 => of_voice_live(text),
        _ => of_a_client(text),
    }
}

/// The message, if it is an object in which no name stands twice, in whatever case.
fn plain(text: &[u8]) -> Option<Map<String, Value>> {
    let Value::Object(object) = serde_json::from_slice(text).ok()? else {
        return None;
    };
    is_plain(&object, text.iter().filter(|&&byte| byte == b':').count()).then_some(object)
}

/// Serde keeps the last of two members; that there were no two shows by the colons.
fn is_plain(object: &Map<String, Value>, colons: usize) -> bool {
    fn count(value: &Value) -> usize {
        match value {
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| 1 + name.matches(':').count() + count(value))
                .sum(),
            Value::Array(items) => items.iter().map(count).sum(),
            Value::String(text) => text.matches(':').count(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
    fn cases(object: &Map<String, Value>) -> bool {
        let mut names: Vec<String> = object
            .keys()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        names.sort_unstable();
        names.windows(2).all(|two| two[0] != two[1])
    }
    let inner = object.values().filter_map(Value::as_object);
    cases(object)
        && inner.into_iter().all(cases)
        && object
            .iter()
            .map(|(n, v)| 1 + n.matches(':').count() + count(v))
            .sum::<usize>()
            == colons
}

fn any<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut found = object
        .iter()
        .filter(|(of, _)| of.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

fn of_acs(text: &[u8]) {
    let _ = acs::peek(text);
    let read = acs::read(text);
    if let Ok(Message::Audio(audio)) = &read {
        inside(text, audio.data.text());
    }
    let Some(object) = plain(text) else {
        return;
    };
    let kind = any(&object, "kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let data = any(&object, "audioData").and_then(Value::as_object);
    let data = data
        .and_then(|data| any(data, "data"))
        .and_then(Value::as_str);
    match read {
        Ok(Message::Audio(audio)) => {
            assert!(kind.eq_ignore_ascii_case("AudioData"), "{kind}");
            let unescaped = audio.data.unescape().expect("serde could");
            // What is not there is silence.
            assert_eq!(&*unescaped, data.unwrap_or_default().as_bytes());
        }
        Ok(Message::Dtmf(_)) => assert!(kind.eq_ignore_ascii_case("DtmfData"), "{kind}"),
        Ok(Message::Metadata(_)) => assert!(kind.eq_ignore_ascii_case("AudioMetadata"), "{kind}"),
        Ok(Message::StopAudio) => assert!(kind.eq_ignore_ascii_case("StopAudio"), "{kind}"),
        Ok(Message::Unknown) => assert!(
            !["AudioData", "DtmfData"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known)),
            "{kind}"
        ),
        Err(_) => {}
    }
}

fn of_voice_live(text: &[u8]) {
    let _ = voice_live::peek(text);
    let read = Event::read(text);
    if let Ok(Event::AudioDelta { delta, .. }) = &read {
        inside(text, delta.text());
    }
    if let Ok(Event::SessionUpdated {
        session: Some(session),
    }) = &read
    {
        inside(text, session.0);
        let _ = voice_live::Input::read(session.0);
    }
    let Some(object) = plain(text) else {
        return;
    };
    let kind = object
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match read {
        Ok(Event::AudioDelta { delta, .. }) => {
            assert!(["response.audio.delta", "response.output_audio.delta"].contains(&kind));
            let unescaped = delta.unescape().expect("serde could");
            assert_eq!(
                Some(&*unescaped),
                object["delta"].as_str().map(str::as_bytes)
            );
        }
        Ok(Event::SessionCreated) => assert_eq!(kind, "session.created"),
        Ok(Event::SessionUpdated { session }) => {
            assert_eq!(kind, "session.updated");
            let said =
                session.map(|session| serde_json::from_slice::<Value>(session.0).expect("JSON"));
            assert_eq!(
                said.as_ref(),
                object.get("session").filter(|said| said.is_object())
            );
        }
        Ok(Event::SpeechStarted) => assert_eq!(kind, "input_audio_buffer.speech_started"),
        Ok(Event::SpeechStopped) => assert_eq!(kind, "input_audio_buffer.speech_stopped"),
        Ok(Event::ResponseCreated { .. }) => assert_eq!(kind, "response.created"),
        Ok(Event::ResponseDone { .. }) => assert_eq!(kind, "response.done"),
        Ok(Event::Error(_)) => assert_eq!(kind, "error"),
        Ok(Event::Other) => assert_ne!(kind, "response.audio.delta"),
        Err(_) => {}
    }
}

/// A lock on models lets none through that is not allowed, by any reader's leave.
fn of_a_client(text: &[u8]) {
    let allows = |name: &str| name == "gpt-4o";
    let names = [false, true].map(|media| names_other(text, media, &allows));
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    let inner = ["session", "response"].map(|name| any(&object, name).and_then(Value::as_object));
    let objects = [Some(&object)].into_iter().chain(inner).flatten();
    let mut models = objects.filter_map(|object| any(object, "model"));
    if models.any(|model| model.as_str().is_some_and(|model| !allows(model))) {
        assert!(names[0], "a text that names another model goes on");
        assert!(
            names[1],
            "a binary message that names another model goes on"
        );
    }
}

fn inside(text: &[u8], part: &[u8]) {
    let (from, at) = (text.as_ptr() as usize, part.as_ptr() as usize);
    assert!(part.is_empty() || (at >= from && at + part.len() <= from + text.len()));
}
