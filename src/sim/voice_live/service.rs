//! Which realtime service is played: where it is, what its URL may say, where its key goes, and how
//! its events are worded.
//!
//! The conversation is the same for all; OpenAI's names for events and for the session differ since
//! its general availability. Refuses to know sockets and the state of a conversation.

use super::settings::Fault;
use serde_json::{Map, Value, json};

/// The service that is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    #[default]
    VoiceLive,
    /// `/v1/realtime`, key in `Authorization`.
    OpenAi,
    /// `/openai/v1/realtime`, and `/openai/realtime` with a deployment; key in `api-key`.
    AzureOpenAi,
}

/// Fields of a session that a client may set, as OpenAI's SDK names them.
const FIELDS: [&str; 12] = [
    "type",
    "audio",
    "include",
    "instructions",
    "max_output_tokens",
    "model",
    "output_modalities",
    "prompt",
    "tool_choice",
    "tools",
    "tracing",
    "truncation",
];

impl Service {
    pub(super) fn paths(self) -> &'static [&'static str] {
        match self {
            // With media in the WebSocket, and the control channel of WebRTC.
            Self::VoiceLive => &["/voice-live/realtime", "/voice-live/realtime/calls"],
            Self::OpenAi => &["/v1/realtime"],
            Self::AzureOpenAi => &["/openai/v1/realtime", "/openai/realtime"],
        }
    }

    /// Parameters that carry no secret. `x-ms-client-sdk` is what Microsoft's Python SDK adds.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::VoiceLive => &[
                "api-version",
                "model",
                "agent-name",
                "agent-project-name",
                "agent-version",
                "agent-id",
                "agent-authentication-identity-client-id",
                "conversation-id",
                "foundry-resource-override",
                "client-request-id",
                "x-ms-client-sdk",
            ],
            Self::OpenAi => &["model", "call_id", "intent"],
            Self::AzureOpenAi => &["model", "call_id", "intent", "api-version", "deployment"],
        }
    }

    /// Whether the path is asked for with an `api-version`.
    pub(super) fn has_versions(self, path: &str) -> bool {
        match self {
            Self::VoiceLive => true,
            Self::OpenAi => false,
            Self::AzureOpenAi => path == "/openai/realtime",
        }
    }

    /// The parameter that names the model.
    pub(super) fn model_parameter(self, path: &str) -> &'static str {
        match self {
            Self::AzureOpenAi if path == "/openai/realtime" => "deployment",
            Self::VoiceLive | Self::OpenAi | Self::AzureOpenAi => "model",
        }
    }

    /// Whether its key goes in `api-key`; else it is a bearer.
    pub(super) fn takes_api_key(self) -> bool {
        self != Self::OpenAi
    }

    /// The subprotocol that it agrees on, of those that are offered.
    pub(super) fn choose<'a>(self, offered: impl Iterator<Item = &'a str>) -> Option<&'static str> {
        let mut names = offered.flat_map(|line| line.split(',')).map(str::trim);
        let knows = self != Self::VoiceLive && names.any(|name| name == "realtime");
        knows.then_some("realtime")
    }

    /// An event as this service words it.
    pub(super) fn word<'a>(self, kind: &'a str, event: &mut Value) -> std::borrow::Cow<'a, str> {
        if self == Self::VoiceLive {
            return kind.into();
        }
        name_output(event);
        for (old, new) in [
            (
                "response.audio_transcript.",
                "response.output_audio_transcript.",
            ),
            ("response.audio.", "response.output_audio."),
            ("response.text.", "response.output_text."),
        ] {
            if let Some(rest) = kind.strip_prefix(old) {
                return format!("{new}{rest}").into();
            }
        }
        kind.into()
    }

    /// A session as this service shows it.
    pub(super) fn show(self, session: Value) -> Value {
        if self == Self::VoiceLive {
            return session;
        }
        let of = |name: &str| session.get(name).cloned().unwrap_or(Value::Null);
        let format = |written: &Value| match written.as_str() {
            Some("g711_ulaw") => json!({ "type": "audio/pcmu" }),
            Some("g711_alaw") => json!({ "type": "audio/pcma" }),
            _ => json!({ "type": "audio/pcm", "rate": 24_000 }),
        };
        json!({
            "type": "realtime",
            "object": "realtime.session",
            "id": of("id"),
            "model": of("model"),
            "output_modalities": ["audio"],
            "instructions": of("instructions"),
            "tools": of("tools"),
            "audio": {
                "input": {
                    "format": format(&of("input_audio_format")),
                    "turn_detection": of("turn_detection"),
                },
                "output": { "format": format(&of("output_audio_format")), "voice": "alloy" },
            },
        })
    }

    /// What a client wants of its session, in the flat form of Voice Live.
    pub(super) fn read(self, session: &Value) -> Result<Value, Fault> {
        if self == Self::VoiceLive {
            return Ok(session.clone());
        }
        let given = session.as_object().cloned().unwrap_or_default();
        if given.get("type").and_then(Value::as_str) != Some("realtime") {
            let message = "session.type must be realtime";
            return Err(Fault::new(
                "missing_required_parameter",
                message,
                "session.type",
            ));
        }
        if let Some(name) = given.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let param = format!("session.{name}");
            return Err(Fault::new(
                "unknown_parameter",
                "unknown session field",
                &param,
            ));
        }
        let mut flat = Map::new();
        for name in ["instructions", "model", "tools"] {
            if let Some(value) = given.get(name) {
                flat.insert(name.to_owned(), value.clone());
            }
        }
        let audio = given.get("audio").unwrap_or(&Value::Null);
        if let Some(detection) = audio.pointer("/input/turn_detection") {
            flat.insert("turn_detection".to_owned(), detection.clone());
        }
        for (at, name) in [
            ("/input/format", "input_audio_format"),
            ("/output/format", "output_audio_format"),
        ] {
            if let Some(format) = audio.pointer(at) {
                flat.insert(name.to_owned(), read_format(format, name)?.into());
            }
        }
        Ok(Value::Object(flat))
    }
}

fn read_format(format: &Value, name: &str) -> Result<&'static str, Fault> {
    let kind = format.get("type").and_then(Value::as_str);
    let rate = format.get("rate").and_then(Value::as_u64);
    match (kind, rate) {
        (Some("audio/pcm"), Some(24_000)) => Ok("pcm16"),
        (Some("audio/pcmu"), None | Some(8_000)) => Ok("g711_ulaw"),
        (Some("audio/pcma"), None | Some(8_000)) => Ok("g711_alaw"),
        _ => {
            let param = format!("session.audio: {name}");
            Err(Fault::new(
                "invalid_value",
                "this format is not taken",
                &param,
            ))
        }
    }
}

/// Parts that a response puts out are named so.
fn name_output(event: &mut Value) {
    match event {
        Value::Object(fields) => {
            if fields.get("type").and_then(Value::as_str) == Some("audio") {
                fields.insert("type".to_owned(), "output_audio".into());
            }
            fields.values_mut().for_each(name_output);
        }
        Value::Array(items) => items.iter_mut().for_each(name_output),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_names_its_events_otherwise() {
        let mut event = json!({ "part": { "type": "audio" } });
        let word = |kind, event: &mut Value| Service::OpenAi.word(kind, event).into_owned();
        let kind = word("response.content_part.added", &mut event);
        assert_eq!(kind, "response.content_part.added");
        assert_eq!(event["part"]["type"], "output_audio");
        let kind = word("response.audio.delta", &mut event);
        assert_eq!(kind, "response.output_audio.delta");
        let kind = word("response.audio_transcript.done", &mut event);
        assert_eq!(kind, "response.output_audio_transcript.done");
        assert_eq!(
            Service::VoiceLive.word("response.audio.delta", &mut event),
            "response.audio.delta"
        );
    }

    #[test]
    fn openais_session_is_nested_and_says_what_it_is() {
        let good = json!({ "type": "realtime", "audio": { "input": {
            "format": { "type": "audio/pcmu" }, "turn_detection": null } } });
        let flat = Service::OpenAi.read(&good).unwrap();
        assert_eq!(
            flat,
            json!({ "input_audio_format": "g711_ulaw", "turn_detection": null })
        );
        for bad in [
            json!({ "audio": {} }),
            json!({ "type": "realtime", "voice": "alloy" }),
            json!({ "type": "realtime", "audio": { "input": { "format": { "type": "audio/pcm", "rate": 16000 } } } }),
        ] {
            assert!(Service::OpenAi.read(&bad).is_err(), "{bad}");
        }
    }
}
