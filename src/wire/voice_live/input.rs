//! What a session says of the audio of its client, flat as Voice Live has it, or nested as OpenAI.
//!
//! Read tolerantly: what is not there is not said, what is there and not understood makes the whole
//! not understood, for then nobody knows what the audio is.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// How a sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Sixteen bits, little-endian.
    Pcm16,
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
}

/// What was said; `None`: nothing of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    pub coding: Option<Coding>,
    /// Samples a second.
    pub rate: Option<u32>,
    /// 1, or 2 where the reference for echo cancellation comes with the microphone.
    pub channels: Option<u8>,
}

impl Input {
    /// Reads the object `session` of a message. `None`: it is not understood.
    pub fn read(session: &[u8]) -> Option<Input> {
        let session: Session = serde_json::from_slice(session).ok()?;
        let nested = session
            .audio
            .and_then(|audio| audio.input)
            .and_then(|input| input.format);
        let (name, rate) = match nested {
            Some(Format { name, rate }) => (name, rate),
            None => (None, None),
        };
        let coding = match name.or(session.input_audio_format).as_deref() {
            None => None,
            Some("pcm16" | "audio/pcm") => Some(Coding::Pcm16),
            Some("g711_ulaw" | "audio/pcmu") => Some(Coding::Ulaw),
            Some("g711_alaw" | "audio/pcma") => Some(Coding::Alaw),
            Some(_) => return None,
        };
        let echo = session.input_audio_echo_cancellation;
        Some(Input {
            coding,
            rate: rate.or(session.input_audio_sampling_rate),
            // Without cancellation, or without a word on it, there is no reference.
            channels: echo.map(|echo| echo.and_then(|echo| echo.channels).unwrap_or(1)),
        })
    }
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow)]
    input_audio_format: Option<Cow<'a, str>>,
    input_audio_sampling_rate: Option<u32>,
    #[serde(default, deserialize_with = "said")]
    input_audio_echo_cancellation: Option<Option<Echo>>,
    #[serde(borrow)]
    audio: Option<Audio<'a>>,
}

#[derive(Deserialize)]
struct Echo {
    channels: Option<u8>,
}

#[derive(Deserialize)]
struct Audio<'a> {
    #[serde(borrow)]
    input: Option<AudioInput<'a>>,
}

#[derive(Deserialize)]
struct AudioInput<'a> {
    #[serde(borrow)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, rename = "type")]
    name: Option<Cow<'a, str>>,
    rate: Option<u32>,
}

/// Tells `null`, which is said, from what is not there.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Echo>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(coding: Option<Coding>, rate: Option<u32>, channels: Option<u8>) -> Option<Input> {
        Some(Input {
            coding,
            rate,
            channels,
        })
    }

    #[test]
    fn reads_both_forms_and_says_nothing_of_what_is_not_there() {
        let (pcm16, ulaw, alaw) = (Some(Coding::Pcm16), Some(Coding::Ulaw), Some(Coding::Alaw));
        for (session, expected) in [
            ("{}", input(None, None, None)),
            (
                r#"{"voice":{"type":"x"},"tools":[]}"#,
                input(None, None, None),
            ),
            (
                r#"{"input_audio_format":null,"input_audio_sampling_rate":null}"#,
                input(None, None, None),
            ),
            (
                r#"{"input_audio_format":"pcm16","input_audio_sampling_rate":16000}"#,
                input(pcm16, Some(16_000), None),
            ),
            (
                r#"{"input_audio_format":"g711\u005fulaw"}"#,
                input(ulaw, None, None),
            ),
            (
                r#"{"input_audio_format":"g711_alaw"}"#,
                input(alaw, None, None),
            ),
            (
                r#"{"input_audio_echo_cancellation":{"type":"server_echo_cancellation","channels":2}}"#,
                input(None, None, Some(2)),
            ),
            (
                r#"{"input_audio_echo_cancellation":{"type":"server_echo_cancellation"}}"#,
                input(None, None, Some(1)),
            ),
            (
                r#"{"input_audio_echo_cancellation":null}"#,
                input(None, None, Some(1)),
            ),
            (
                r#"{"type":"realtime","audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"turn_detection":null},"output":{"format":{"type":"audio/pcmu"}}}}"#,
                input(pcm16, Some(24_000), None),
            ),
            (
                r#"{"audio":{"input":{"format":{"type":"audio/pcmu"}}}}"#,
                input(ulaw, None, None),
            ),
            (
                r#"{"audio":{"input":{"format":{"type":"audio/pcma"}}}}"#,
                input(alaw, None, None),
            ),
            (
                r#"{"audio":{"output":{"voice":"x"}}}"#,
                input(None, None, None),
            ),
        ] {
            assert_eq!(Input::read(session.as_bytes()), expected, "{session}");
        }
    }

    #[test]
    fn what_is_there_and_not_understood_makes_the_whole_not_understood() {
        for session in [
            "",
            "[]",
            "{",
            r#"{"input_audio_format":"opus"}"#,
            r#"{"input_audio_format":7}"#,
            r#"{"input_audio_format":"pcm16","input_audio_format":"g711_ulaw"}"#,
            r#"{"input_audio_sampling_rate":"24000"}"#,
            r#"{"input_audio_sampling_rate":-1}"#,
            r#"{"input_audio_echo_cancellation":{"channels":"2"}}"#,
            r#"{"audio":{"input":{"format":{"type":"audio/opus"}}}}"#,
        ] {
            assert_eq!(Input::read(session.as_bytes()), None, "{session}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            Input::read(&bytes);
        }
    }
}
