//! What a bridge says to the service.

use serde_json::{Map, Value, json};

/// What stands before the base64 of audio for the model.
pub const APPEND_PREFIX: &[u8] = br#"{"type":"input_audio_buffer.append","audio":""#;
/// What stands behind it.
pub const APPEND_SUFFIX: &[u8] = br#""}"#;
/// The agent is to speak.
pub const RESPONSE_CREATE: &[u8] = br#"{"type":"response.create"}"#;

/// How the audio of a session is written, both ways: PCM16, little-endian, mono.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pcm16 {
    Hz16000,
    Hz24000,
}

/// `session.update` from the operator's `session`, with the formats of the call.
///
/// Formats follow from the call, and nobody knows them before it is there: whatever the operator
/// says of them is overridden, here and not at start-up, for what fits one call contradicts the next.
/// That is `input_audio_format`, `input_audio_sampling_rate` and `output_audio_format`; the `format`
/// inside `audio.input` and `audio.output`, OpenAI's names for them, which go away; and more than one
/// channel in `input_audio_echo_cancellation`, since a call has no reference beside the microphone.
pub fn session_update(session: &Map<String, Value>, format: Pcm16) -> Vec<u8> {
    let mut session = session.clone();
    let (rate, output) = match format {
        Pcm16::Hz16000 => (16_000, "pcm16_16000hz"),
        Pcm16::Hz24000 => (24_000, "pcm16"),
    };
    session.insert("input_audio_format".to_owned(), json!("pcm16"));
    session.insert("input_audio_sampling_rate".to_owned(), json!(rate));
    session.insert("output_audio_format".to_owned(), json!(output));
    let inside = |member: Option<&mut Value>, name: &str| {
        if let Some(Value::Object(member)) = member {
            member.remove(name);
        }
    };
    inside(session.get_mut("input_audio_echo_cancellation"), "channels");
    if let Some(audio) = session.get_mut("audio") {
        inside(audio.get_mut("input"), "format");
        inside(audio.get_mut("output"), "format");
    }
    json!({"type": "session.update", "session": session})
        .to_string()
        .into_bytes()
}

/// Whether a session so configured cuts the agent short when the caller speaks, as it does unless
/// `turn_detection.interrupt_response` says no.
pub fn interrupts(session: &Map<String, Value>) -> bool {
    let detection = session.get("turn_detection");
    detection.and_then(|d| d.get("interrupt_response")) != Some(&Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::voice_live::{Coding, Finder, Input, Message, Part};

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!() };
        map
    }

    #[test]
    fn formats_follow_from_the_call_whatever_the_operator_says() {
        let session = object(json!({
            "instructions": "Be brief.", "voice": {"type": "azure-standard", "name": "x"},
            "input_audio_format": "g711_ulaw", "output_audio_format": "pcm16",
            "input_audio_sampling_rate": 8000,
            "input_audio_echo_cancellation": {"type": "server_echo_cancellation", "channels": 2},
            "audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": null},
                      "output": {"format": {"type": "audio/pcmu"}, "voice": "y"}},
        }));
        for (format, rate, output) in [
            (Pcm16::Hz16000, 16_000, "pcm16_16000hz"),
            (Pcm16::Hz24000, 24_000, "pcm16"),
        ] {
            let text = session_update(&session, format);
            let message: Value = serde_json::from_slice(&text).unwrap();
            let expected = json!({
                "type": "session.update", "session": {
                    "instructions": "Be brief.", "voice": {"type": "azure-standard", "name": "x"},
                    "input_audio_format": "pcm16", "input_audio_sampling_rate": rate,
                    "output_audio_format": output,
                    "input_audio_echo_cancellation": {"type": "server_echo_cancellation"},
                    "audio": {"input": {"turn_detection": null}, "output": {"voice": "y"}},
                },
            });
            assert_eq!(message, expected);
            // As our own ear reads it.
            let (mut finder, mut rest, mut said) = (Finder::default(), &text[..], Vec::new());
            while let Some(part) = finder.next(&mut rest) {
                if let Part::Session(piece) = part {
                    said.extend_from_slice(piece);
                }
            }
            assert_eq!(finder.end(), Some(Message::Update));
            let input = Input::read(&said).unwrap();
            assert_eq!(
                (input.coding, input.rate),
                (Some(Coding::Pcm16), Some(rate))
            );
            assert_eq!(input.channels, Some(1));
        }
        let plain = session_update(&Map::new(), Pcm16::Hz24000);
        let expected = r#"{"session":{"input_audio_format":"pcm16","input_audio_sampling_rate":24000,"output_audio_format":"pcm16"},"type":"session.update"}"#;
        let (plain, expected): (Value, Value) = (
            serde_json::from_slice(&plain).unwrap(),
            serde_json::from_str(expected).unwrap(),
        );
        assert_eq!(plain, expected);
    }

    #[test]
    fn the_constants_are_what_the_protocol_says() {
        let append = [APPEND_PREFIX, b"AAAA", APPEND_SUFFIX].concat();
        assert_eq!(
            append,
            br#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#
        );
        assert_eq!(APPEND_PREFIX.len() + APPEND_SUFFIX.len(), 47);
        let create: Value = serde_json::from_slice(RESPONSE_CREATE).unwrap();
        assert_eq!(create, json!({"type": "response.create"}));
    }

    #[test]
    fn only_a_plain_no_keeps_the_agent_talking() {
        for (detection, expected) in [
            (json!({"interrupt_response": false}), false),
            (json!({"interrupt_response": true}), true),
            (json!({"type": "azure_semantic_vad"}), true),
            (json!(null), true),
        ] {
            let session = object(json!({"turn_detection": detection}));
            assert_eq!(interrupts(&session), expected);
        }
        assert!(interrupts(&Map::new()));
    }
}
