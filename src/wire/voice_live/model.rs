//! Which models a message of the client names: in itself, in its `session`, in its `response`.
//!
//! This is what a lock on the model rests on, so it reads as tolerant readers do: keys in any case,
//! with any escapes, twice in one object. What cannot be read and may name a model counts as
//! naming another one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Whether a message names a model that `allows` does not know. `media` says that it came as a
/// binary message: then it is looked at only if it may be JSON all the same.
///
/// Models that serve a detail, such as that of a transcription deeper inside a session, are not
/// meant.
pub fn names_other(message: &[u8], media: bool, allows: &dyn Fn(&str) -> bool) -> bool {
    let text = decode(message);
    if (media && !begins_like_json(&text)) || !may_name(&text, media) {
        return false;
    }
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let root = Object {
        allows,
        inner: &["session", "response"],
    };
    (&mut reader).deserialize_any(root).is_err() || reader.end().is_err()
}

/// The message as a reader would have it that tells encodings by the first bytes (RFC 4627, 3), as
/// Python's does: UTF-16 and UTF-32 leave zeros between ASCII, and a byte order mark is no text.
fn decode(message: &[u8]) -> Cow<'_, [u8]> {
    let units = |size: usize, of: fn(&[u8]) -> u32| -> Cow<'_, [u8]> {
        let text: String = message
            .chunks_exact(size)
            .map(|unit| char::from_u32(of(unit)).unwrap_or(char::REPLACEMENT_CHARACTER))
            .filter(|&c| c != '\u{feff}')
            .collect();
        Cow::Owned(text.into_bytes())
    };
    let big_16: fn(&[u8]) -> u32 = |u| u32::from(u16::from_be_bytes([u[0], u[1]]));
    let little_16: fn(&[u8]) -> u32 = |u| u32::from(u16::from_le_bytes([u[0], u[1]]));
    let big_32: fn(&[u8]) -> u32 = |u| u32::from_be_bytes([u[0], u[1], u[2], u[3]]);
    let little_32: fn(&[u8]) -> u32 = |u| u32::from_le_bytes([u[0], u[1], u[2], u[3]]);
    match message {
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, _, ..] => units(4, big_32),
        [0xff, 0xfe, 0, 0, ..] | [_, 0, 0, 0, ..] => units(4, little_32),
        [0xfe, 0xff, ..] | [0, _, ..] => units(2, big_16),
        [0xff, 0xfe, ..] | [_, 0, ..] => units(2, little_16),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        _ => Cow::Borrowed(message),
    }
}

/// An object, a list of them, or a comment, which lenient readers skip.
fn begins_like_json(text: &[u8]) -> bool {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'[' | b'/'))
}

/// Without a colon, and before it these five letters or a backslash that could stand for one of them,
/// nothing names a model, whoever reads it. Base64 has neither colon nor backslash: of an append whose
/// audio stands last, only what is before the audio is searched.
///
/// Samples have every byte sooner or later: in media, a lone backslash counts only in what is text
/// from end to end.
fn may_name(message: &[u8], media: bool) -> bool {
    let Some(colon) = memchr::memrchr(b':', message) else {
        return false;
    };
    let names = &message[..colon];
    let letters = || {
        begins_a_model(names)
            && names
                .array_windows::<5>()
                .any(|word| word.eq_ignore_ascii_case(b"model"))
    };
    // As JSON spells such a letter: all of them are U+004X or U+006X.
    let spelled = || {
        [&b"\\u004"[..], b"\\u006"]
            .iter()
            .any(|escape| memchr::memmem::find(names, escape).is_some())
    };
    let backslash = memchr::memchr(b'\\', names).is_some();
    letters() || (backslash && (!media || spelled() || is_text(message)))
}

/// Whether `mod` in any case is in it. Audio has an `m` in each thirty-two characters; in a loop without a
/// shortcut, of which the compiler makes vectors, that costs nothing.
fn begins_a_model(text: &[u8]) -> bool {
    let found = text.array_windows::<3>().fold(0, |found, &[m, o, d]| {
        let is = (m | 0x20 == b'm') & (o | 0x20 == b'o') & (d | 0x20 == b'd');
        found | u8::from(is)
    });
    found != 0
}

/// UTF-8 without control characters or signs that a character could not be decoded.
fn is_text(message: &[u8]) -> bool {
    let is_fine =
        |c: char| (!c.is_control() || c.is_ascii_whitespace()) && c != char::REPLACEMENT_CHARACTER;
    std::str::from_utf8(message).is_ok_and(|text| text.chars().all(is_fine))
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
        names_other(message.as_bytes(), false, &|model| model == "gpt-4o")
    }

    fn stops_binary(message: &[u8]) -> bool {
        names_other(message, true, &|model| model == "gpt-4o")
    }

    #[test]
    fn b04_json_in_a_binary_message_or_another_encoding_is_read_all_the_same() {
        let other = r#"{"session":{"model":"gpt-5"}}"#;
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        let deep = |text: &str| -> Vec<u8> {
            text.chars()
                .flat_map(|c| (c as u32).to_le_bytes())
                .collect()
        };
        let marked = format!("\u{feff}{other}");
        let readings = [
            other.as_bytes().to_vec(),
            marked.as_bytes().to_vec(),
            format!(" /* */ {other}").into_bytes(),
            format!("[{other}]").into_bytes(),
            br#"{"session":{"mod\u0065l":"gpt-5"}}"#.to_vec(),
            br#"{"session":{"mo\del":"gpt-5"}}"#.to_vec(),
            // What a reader makes of it that replaces what is no UTF-8.
            b"{\"model\":\"gpt-5\",\"a\":\"\xff\"}".to_vec(),
            b"{\"mod\\u0065l\":\"gpt-5\",\"a\":\"\xff\"}".to_vec(),
            wide(other, u16::to_le_bytes),
            wide(other, u16::to_be_bytes),
            wide(&marked, u16::to_le_bytes),
            wide(&marked, u16::to_be_bytes),
            deep(other),
            deep(&marked),
        ];
        for message in &readings {
            assert!(stops_binary(message), "{message:?}");
            assert!(
                names_other(message, false, &|model| model == "gpt-4o"),
                "{message:?}"
            );
        }
        let allowed = r#"{"session":{"model":"gpt-4o"}}"#;
        assert!(!stops_binary(allowed.as_bytes()));
        assert!(!stops_binary(&wide(allowed, u16::to_le_bytes)));
    }

    #[test]
    fn media_is_no_json() {
        // Quiet and loud samples, and every byte there is.
        let quiet: Vec<u8> = (0..4000i16).flat_map(|n| (n % 130).to_le_bytes()).collect();
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for media in [&b"x \\ model"[..], &quiet, &bytes, &bytes[1..], b"", b"/\\"] {
            assert!(!stops_binary(media));
        }
        // A frame of samples may begin like JSON.
        for first in 0..=255 {
            let mut media = bytes[usize::from(first)..].to_vec();
            assert_eq!(media[0], first);
            assert!(!stops_binary(&media), "{first}");
            media.insert(1, 0);
            assert!(!stops_binary(&media), "{first} and silence");
        }
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
            r#"[{"session":{"model":"gpt-5"}}]"#,
        ];
        for message in other {
            assert!(stops(message), "{message}");
        }
        assert!(names_other(b"{\"model\":\"\xff\"}", false, &|_| true));
    }

    #[test]
    fn b04_a_name_counts_wherever_its_colon_is_and_audio_is_never_one() {
        let audio = "mModMODmodel".repeat(100);
        for message in [
            format!(r#"{{"audio":"{audio}","session":{{"model":"gpt-5"}}}}"#),
            format!(r#"{{"session":{{"model" /* : */ : "gpt-5"}},"audio":"{audio}"}}"#),
            format!(r#"{{"session":{{"MODEL":"gpt-5"}},"audio":"{audio}"}}"#),
            format!(r#"{{"audio":"{audio}","session":{{"\u004dodel":"gpt-5"}}}}"#),
            format!("{{'model':'gpt-5','audio':'{audio}'}}"),
        ] {
            assert!(stops(&message), "{message}");
        }
        // Behind the last colon there is no name: not even looked at, it need not be JSON.
        for message in [
            format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#),
            format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}\u006d"#),
            audio.clone(),
        ] {
            assert!(!may_name(message.as_bytes(), false), "{message}");
            assert!(!stops(&message), "{message}");
        }
    }

    #[test]
    fn b04_the_first_letters_are_found_at_every_place() {
        for at in 0..100 {
            let mut text = vec![b'm'; 103];
            assert!(!begins_a_model(&text));
            text[at..at + 3].copy_from_slice(b"mOd");
            assert!(begins_a_model(&text), "{at}");
            assert!(!begins_a_model(&text[at + 1..]), "{at}");
        }
        assert!(!begins_a_model(b"mo") && !begins_a_model(b""));
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
            names_other(&deep, false, &|_| true);
            names_other(&deep, true, &|_| true);
            let text = serde_json::json!({"x": before, "session": {"y": before, "model": "gpt-5"}});
            prop_assert!(stops(&text.to_string()));
        }
    }
}
