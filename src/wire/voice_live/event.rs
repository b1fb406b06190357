//! What the service says, as far as a bridge has to know it: one whole message at a time.
//!
//! Keys are exact, in any order, escaped or not. A member that is asked for and there twice makes
//! the message unreadable, for readers disagree on which one counts.

use std::fmt;

use super::super::json::{Raw, Reader, Unreadable, once};

/// A message of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// `session.created`.
    SessionCreated,
    /// `session.updated`, with the object `session` as it lies, if it has one.
    SessionUpdated { session: Option<Object<'a>> },
    /// `response.audio.delta`, or `response.output_audio.delta` as OpenAI's GA version has it.
    AudioDelta {
        /// Base64 of audio in the session's output format.
        delta: Raw<'a>,
        response: Option<Raw<'a>>,
    },
    /// `input_audio_buffer.speech_started`: the caller speaks.
    SpeechStarted,
    /// `input_audio_buffer.speech_stopped`: the caller has spoken.
    SpeechStopped,
    /// `response.created`.
    ResponseCreated { response: Option<Raw<'a>> },
    /// `response.done`, whatever became of it.
    ResponseDone { response: Option<Raw<'a>> },
    /// `error`.
    Error(Failure),
    /// Anything else.
    Other,
}

/// An object as it lies in the message; it may tell of the caller, so that `Debug` does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Object<'a>(pub &'a [u8]);

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} bytes)", self.0.len())
    }
}

/// What may be told of an error: never its message, which may quote anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// `error.type`, such as `invalid_request_error`.
    pub kind: Option<Word>,
    /// `error.code`.
    pub code: Option<Word>,
}

/// One to [`Word::MAX`] of the characters `a-z A-Z 0-9 _ - .`: fit for a log field, whoever sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word {
    text: [u8; Word::MAX],
    length: u8,
}

impl Word {
    /// Longer than any type or code that the service documents.
    pub const MAX: usize = 48;

    fn new(raw: Raw<'_>) -> Option<Word> {
        let name = raw.unescape()?;
        let is_fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > Word::MAX || !name.iter().all(is_fine) {
            return None;
        }
        let mut text = [0; Word::MAX];
        text[..name.len()].copy_from_slice(&name);
        Some(Word {
            text,
            length: name.len() as u8,
        })
    }

    pub fn as_str(&self) -> &str {
        // All of it is ASCII.
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The members of a message that are of use.
enum Member {
    Type,
    Delta,
    ResponseId,
    Response,
    Session,
    Error,
    Other,
}

impl Member {
    fn of(name: &[u8]) -> Member {
        match name {
            b"type" => Member::Type,
            b"delta" => Member::Delta,
            b"response_id" => Member::ResponseId,
            b"response" => Member::Response,
            b"session" => Member::Session,
            b"error" => Member::Error,
            _ => Member::Other,
        }
    }
}

/// What they say.
#[derive(Default)]
struct Said<'a> {
    kind: Option<Raw<'a>>,
    delta: Option<Option<Raw<'a>>>,
    response_id: Option<Option<Raw<'a>>>,
    response: Option<&'a [u8]>,
    session: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
}

impl<'a> Event<'a> {
    /// Reads one message.
    ///
    /// ```
    /// use tonegate::wire::voice_live::Event;
    ///
    /// let text = br#"{"type":"response.audio.delta","response_id":"r1","delta":"AAAA"}"#;
    /// let Ok(Event::AudioDelta { delta, .. }) = Event::read(text) else { panic!() };
    /// assert_eq!(delta.text(), b"AAAA");
    /// ```
    pub fn read(text: &'a [u8]) -> Result<Event<'a>, Unreadable> {
        let mut reader = Reader::new(text);
        let mut said = Said::default();
        reader.members(|reader, key| match key.named(Member::of)? {
            Member::Type => once(&mut said.kind, reader.string()?),
            Member::Delta => once(&mut said.delta, reader.string_or_skip()?),
            Member::ResponseId => once(&mut said.response_id, reader.string_or_skip()?),
            Member::Response => once(&mut said.response, reader.value()?),
            Member::Session => once(&mut said.session, reader.value()?),
            Member::Error => once(&mut said.error, reader.value()?),
            Member::Other => reader.skip(),
        })?;
        reader.end()?;
        said.event()
    }
}

impl<'a> Said<'a> {
    /// Only the type says which members count.
    fn event(self) -> Result<Event<'a>, Unreadable> {
        let name = self.kind.ok_or(Unreadable)?.unescape().ok_or(Unreadable)?;
        Ok(match name.as_ref() {
            b"response.audio.delta" | b"response.output_audio.delta" => Event::AudioDelta {
                delta: self.delta.flatten().ok_or(Unreadable)?,
                response: self.response_id.flatten(),
            },
            b"input_audio_buffer.speech_started" => Event::SpeechStarted,
            b"input_audio_buffer.speech_stopped" => Event::SpeechStopped,
            b"response.created" => Event::ResponseCreated {
                response: id(self.response)?,
            },
            b"response.done" => Event::ResponseDone {
                response: id(self.response)?,
            },
            b"session.created" => Event::SessionCreated,
            b"session.updated" => Event::SessionUpdated {
                session: self.session.filter(is_object).map(Object),
            },
            b"error" => Event::Error(failure(self.error)?),
            _ => Event::Other,
        })
    }
}

fn is_object(value: &&[u8]) -> bool {
    value.starts_with(b"{")
}

/// The `id` of an object `response`, if it has one.
fn id(response: Option<&[u8]>) -> Result<Option<Raw<'_>>, Unreadable> {
    let Some(response) = response.filter(is_object) else {
        return Ok(None);
    };
    let mut id = None;
    Reader::new(response).members(|reader, key| {
        if key.is(b"id") {
            return once(&mut id, reader.string_or_skip()?);
        }
        reader.skip()
    })?;
    Ok(id.flatten())
}

fn failure(error: Option<&[u8]>) -> Result<Failure, Unreadable> {
    let Some(error) = error.filter(is_object) else {
        return Ok(Failure::default());
    };
    let (mut kind, mut code) = (None, None);
    Reader::new(error).members(|reader, key| {
        if key.is(b"type") {
            return once(&mut kind, reader.string_or_skip()?);
        }
        if key.is(b"code") {
            return once(&mut code, reader.string_or_skip()?);
        }
        reader.skip()
    })?;
    Ok(Failure {
        kind: kind.flatten().and_then(Word::new),
        code: code.flatten().and_then(Word::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(text: &str) -> Event<'_> {
        Event::read(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn reads_the_shapes_of_the_protocol_in_any_order() {
        for text in [
            r#"{"type":"response.audio.delta","event_id":"e9","response_id":"r1","item_id":"i1","output_index":0,"content_index":0,"delta":"AAAA"}"#,
            r#"{"delta":"AAAA","response_id":"r1","type":"response.output_audio.delta"}"#,
            r#"{"\u0064elta":"AAAA","response_i\u0064":"r1","item":{"delta":"no","type":"x"},"type":"response.audio\u002edelta"}"#,
        ] {
            let Event::AudioDelta { delta, response } = event(text) else {
                panic!("{text}");
            };
            assert_eq!(delta.text(), b"AAAA");
            assert!(response.unwrap().is(b"r1"));
        }
        let speech =
            r#"{"type":"input_audio_buffer.speech_started","audio_start_ms":5,"item_id":"i"}"#;
        assert_eq!(event(speech), Event::SpeechStarted);
        for text in [
            r#"{"type":"response.created","response":{"object":"x","output":[{"id":"no"}],"id":"r1"}}"#,
            r#"{"response":{"id":"r1","status":"cancelled"},"type":"response.created"}"#,
        ] {
            let Event::ResponseCreated { response } = event(text) else {
                panic!("{text}");
            };
            assert!(response.unwrap().is(b"r1"));
        }
        for text in [
            r#"{"type":"response.done","response":{"id":7}}"#,
            r#"{"type":"response.done","response":"r1"}"#,
            r#"{"type":"response.done"}"#,
        ] {
            assert_eq!(event(text), Event::ResponseDone { response: None });
        }
        assert_eq!(
            event(r#"{"type":"session.created"}"#),
            Event::SessionCreated
        );
        let updated = event(r#"{"type":"session.updated","session":{"id":"s"}}"#);
        let session = Some(Object(br#"{"id":"s"}"#));
        assert_eq!(updated, Event::SessionUpdated { session });
        assert!(!format!("{updated:?}").contains("id"));
        for text in [
            r#"{"type":"response.audio_transcript.delta","delta":"hi"}"#,
            r#"{"type":"response.audio.done","response":{"id":"r"}}"#,
            r#"{"type":"","error":7}"#,
        ] {
            assert_eq!(event(text), Event::Other);
        }
    }

    #[test]
    fn an_error_is_told_by_words_of_a_closed_character_set_only() {
        let told = |text: &str| {
            let Event::Error(failure) = event(text) else {
                panic!("{text}");
            };
            let word = |w: Option<Word>| w.map(|w| w.as_str().to_owned());
            (word(failure.kind), word(failure.code))
        };
        let text = r#"{"type":"error","event_id":"e2","error":{"type":"invalid_request_error","code":"bad_field","message":"secret","param":"session.voice","event_id":"e1"}}"#;
        let fine = (
            Some("invalid_request_error".into()),
            Some("bad_field".into()),
        );
        assert_eq!(told(text), fine);
        assert!(!format!("{:?}", event(text)).contains("secret"));
        let long = "a".repeat(Word::MAX + 1);
        for bad in ["a b", "a\\nb", "", "\u{e9}", &long] {
            let text = format!(r#"{{"error":{{"code":"{bad}","type":null}},"type":"error"}}"#);
            assert_eq!(told(&text), (None, None), "{text}");
        }
        let whole = "a".repeat(Word::MAX);
        let text = format!(r#"{{"type":"error","error":{{"code":"{whole}"}}}}"#);
        assert_eq!(told(&text), (None, Some(whole)));
        for text in [r#"{"type":"error"}"#, r#"{"type":"error","error":"x"}"#] {
            assert_eq!(told(text), (None, None), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_or_says_a_thing_twice_is_unreadable() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"response.audio.delta"}"#,
            r#"{"type":"response.audio.delta","delta":7}"#,
            r#"{"type":"response.audio.delta","delta":"AA","d\u0065lta":"BB"}"#,
            r#"{"type":"response.audio.delta","delta":"AA""#,
            r#"{"type":"response.audio.delta","delta":"AA"}x"#,
            r#"{"type":"error","type":"session.created"}"#,
            r#"{"type":"response.done","response":{"id":"a","id":"b"}}"#,
            r#"{"type":"response.done","response":{"id" "b"}}"#,
            r#"{"type":"error","error":{"code":"a","code":"b"}}"#,
        ] {
            assert_eq!(Event::read(text.as_bytes()), Err(Unreadable), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_wrote(
            delta in "[ -~\u{e9}]{0,40}",
            id in proptest::option::of("\\PC{0,12}"),
            noise in "\\PC{0,10}",
            kind in proptest::sample::select(vec!["response.audio.delta", "response.created", "response.done"]),
        ) {
            let message = serde_json::json!({
                "a": {"response_id": noise, "delta": [noise]}, "delta": delta, "response_id": id,
                "response": {"id": id, "output": [{"id": noise}]}, "z": noise, "type": kind,
            });
            let text = message.to_string();
            let ours = Event::read(text.as_bytes()).unwrap();
            let same = |ours: Option<Raw<'_>>| {
                ours.map(|id| id.unescape().unwrap().into_owned()) == id.clone().map(String::into_bytes)
            };
            if let Event::AudioDelta { delta: ours, response } = ours {
                prop_assert_eq!(kind, "response.audio.delta");
                prop_assert!(ours.is(delta.as_bytes()) && same(response));
            } else if let Event::ResponseCreated { response } = ours {
                prop_assert!(kind == "response.created" && same(response));
            } else if let Event::ResponseDone { response } = ours {
                prop_assert!(kind == "response.done" && same(response));
            } else {
                prop_assert!(false, "{:?}", ours);
            }
        }

        #[test]
        fn never_panics(
            bytes in "[{}\\[\\]\",:\\\\ typedlarsonc1u0.]{0,80}",
            start in proptest::sample::select(vec!["", "{\"type\":\"error\",\"error\":{\"", "{\"type\":\"response.done\",\"response\":{"]),
        ) {
            let _ = Event::read((start.to_owned() + &bytes).as_bytes());
        }
    }
}
