//! Which models a message of the client names: in itself, in its `session`, in its `response`.
//!
//! This is what a lock on the model rests on, so it reads as tolerant readers do: keys in any case,
//! with any escapes, twice in one object. What cannot be read and may name a model counts as
//! naming another one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Whether a message names a model that `allows` does not know.
///
/// Models that serve a detail, such as that of a transcription deeper inside a session, are not
/// meant.
pub fn names_other(message: &[u8], allows: &dyn Fn(&str) -> bool) -> bool {
    if !may_name(message) {
        return false;
    }
    let mut reader = serde_json::Deserializer::from_slice(message);
    let root = Object {
        allows,
        inner: &["session", "response"],
    };
    (&mut reader).deserialize_any(root).is_err() || reader.end().is_err()
}

/// Without these five letters, or a backslash that could stand for one of them, nothing names a
/// model, whoever reads it. Base64 has no backslash.
fn may_name(message: &[u8]) -> bool {
    let letters = || {
        memchr::memchr2_iter(b'm', b'M', message).any(|at| {
            message[at..]
                .get(..5)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"model"))
        })
    };
    memchr::memchr(b'\\', message).is_some() || letters()
}

/// An object whose `model` is looked at, and those of its members that are named.
#[derive(Clone, Copy)]
struct Object<'a> {
    allows: &'a dyn Fn(&str) -> bool,
    inner: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or nothing")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            if key.eq_ignore_ascii_case("model") {
                match members.next_value::<Option<String>>()? {
                    Some(model) if !(self.allows)(&model) => {
                        return Err(A::Error::custom("another model"));
                    }
                    Some(_) | None => {}
                }
            } else if self.inner.iter().any(|name| key.eq_ignore_ascii_case(name)) {
                let inner: &[&str] = &[];
                members.next_value_seed(Object { inner, ..self })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stops(message: &str) -> bool {
        names_other(message.as_bytes(), &|model| model == "gpt-4o")
    }

    #[test]
    fn b04_a_model_off_the_list_is_seen_however_it_is_written() {
        let other = [
            r#"{"type":"session.update","session":{"model":"gpt-5"}}"#,
            r#"{"type":"session.update","model":"gpt-5"}"#,
            r#"{"session":{"type":"realtime","model":"gpt-5"},"type":"session.update"}"#,
            r#"{"type":"response.create","response":{"model":"gpt-5"}}"#,
            r#"{"type":"session.update","session":{"\u006dodel":"gpt-5"}}"#,
            r#"{"type":"session.update","\u0073ession":{"mod\u0065l":"gpt-5"}}"#,
            r#"{"session":{"model":"gpt-4o","model":"gpt-5"}}"#,
            r#"{"session":{"model":"gpt-4o"},"session":{"model":"gpt-5"}}"#,
            r#"{"Session":{"MODEL":"gpt-5"}}"#,
            r#"{"session":{"model":"gpt-4o "}}"#,
            r#"{"session":{"model":"GPT-4o"}}"#,
            r#"{"session":{"model":["gpt-5"]}}"#,
            r#"{"session":{"model":{"name":"gpt-5"}}}"#,
            r#"{"session":{"model":5}}"#,
            r#"{"session":[{"model":"gpt-5"}]}"#,
            // What only a lenient reader reads.
            r#"{"session":{"model":"gpt-5"},}"#,
            r#"{'session':{'model':'gpt-5'}}"#,
            r#"{session:{model:"gpt-5"}}"#,
            "{\"session\":{\"model\":\"gpt-5\"}}{}",
            "\u{feff}{\"session\":{\"model\":\"gpt-5\"}}",
        ];
        for message in other {
            assert!(stops(message), "{message}");
        }
        assert!(names_other(b"{\"model\":\"\xff\"}", &|_| true));
    }

    #[test]
    fn what_names_no_other_model_passes() {
        let fine = [
            "",
            "hello",
            "[1,2",
            r#"{"type":"input_audio_buffer.append","audio":"AAAAmode1AAAA"}"#,
            r#"{"type":"session.update","session":{"model":"gpt-4o","voice":"a\"b"}}"#,
            r#"{"type":"session.update","session":{"model":null}}"#,
            r#"{"type":"session.update","session":{"input_audio_transcription":{"model":"whisper-1"}}}"#,
            r#"{"session":{"audio":{"input":{"transcription":{"model":"whisper-1"}}}}}"#,
            r#"{"session":null,"model":"gpt-4o"}"#,
            r#"{"type":"conversation.item.create","item":{"content":[{"text":"which model?"}]}}"#,
        ];
        for message in fine {
            assert!(!stops(message), "{message}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_a_planted_model_is_always_seen(
            before in "[ -~]{0,40}", deep in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            names_other(&deep, &|_| true);
            let text = serde_json::json!({"x": before, "session": {"y": before, "model": "gpt-5"}});
            prop_assert!(stops(&text.to_string()));
        }
    }
}
