//! What `session.update` may say, and what of it changes how audio is heard.
//!
//! Owns the names and legal values of session fields. An update is taken whole or not at all.
//! Refuses to know events: a fault is returned, and `dialogue` words it.

use super::vad::Coding;
use serde_json::{Map, Value, json};

/// Fields a client may set, as Microsoft's SDK names them.
const FIELDS: [&str; 22] = [
    "model",
    "modalities",
    "animation",
    "voice",
    "instructions",
    "input_audio_sampling_rate",
    "input_audio_format",
    "output_audio_format",
    "turn_detection",
    "input_audio_noise_reduction",
    "input_audio_echo_cancellation",
    "avatar",
    "input_audio_transcription",
    "output_audio_timestamp_types",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "temperature",
    "max_response_output_tokens",
    "reasoning_effort",
    "interim_response",
    "include",
];

const MODALITIES: [&str; 4] = ["text", "audio", "animation", "avatar"];

const OUTPUT_FORMATS: [&str; 7] = [
    "pcm16",
    "pcm16_8000hz",
    "pcm16_16000hz",
    "pcm16-8000hz",
    "pcm16-16000hz",
    "g711_ulaw",
    "g711_alaw",
];

const DETECTORS: [&str; 5] = [
    "server_vad",
    "azure_semantic_vad",
    "azure_semantic_vad_en",
    "azure_semantic_vad_multilingual",
    "semantic_vad",
];

/// Silence that ends a turn unless the session says otherwise, and what it may say.
const SILENCE_MS: (u64, std::ops::RangeInclusive<u64>) = (300, 10..=10_000);

/// Why a client event is answered by an `error` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    pub(super) param: Option<String>,
}

/// How turns are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detection {
    pub(super) silence_ms: u64,
    pub(super) create_response: bool,
    pub(super) interrupt_response: bool,
}

/// The session as it stands.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) coding: Coding,
    pub(super) rate: u32,
    /// `None` when the client says itself where a turn ends.
    pub(super) detection: Option<Detection>,
    fields: Map<String, Value>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: &'static str, param: &str) -> Self {
        Self {
            code,
            message,
            param: (!param.is_empty()).then(|| param.to_owned()),
        }
    }

    fn value(field: &str) -> Self {
        let param = format!("session.{field}");
        Self::new(
            "invalid_value",
            "this value is not one the field takes",
            &param,
        )
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            silence_ms: SILENCE_MS.0,
            create_response: true,
            interrupt_response: true,
        }
    }
}

impl Settings {
    /// A session before any update: pcm16 at 24 kHz, turns found by the service.
    pub(super) fn new(id: &str, model: &str) -> Self {
        let fields = json!({
            "id": id,
            "object": "realtime.session",
            "model": model,
            "modalities": ["text", "audio"],
            "voice": { "type": "azure-standard", "name": "en-US-Ava:DragonHDLatestNeural" },
            "input_audio_format": "pcm16",
            "input_audio_sampling_rate": 24_000,
            "output_audio_format": "pcm16",
            "turn_detection": { "type": "server_vad", "silence_duration_ms": SILENCE_MS.0 },
            "tools": [],
        });
        Self {
            coding: Coding::Pcm16,
            rate: 24_000,
            detection: Some(Detection::default()),
            fields: fields.as_object().cloned().unwrap_or_default(),
        }
    }

    /// The session as events show it.
    pub(super) fn show(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// Takes the `session` object of an update, whole or not at all.
    pub(super) fn update(&mut self, session: &Value) -> Result<(), Fault> {
        let Some(changes) = session.as_object() else {
            return Err(Fault::new(
                "invalid_value",
                "session must be an object",
                "session",
            ));
        };
        let mut next = self.clone();
        for (name, value) in changes {
            if name != "metadata" && !FIELDS.contains(&name.as_str()) {
                let param = format!("session.{name}");
                return Err(Fault::new(
                    "unknown_parameter",
                    "unknown session field",
                    &param,
                ));
            }
            check(name, value)?;
            next.fields.insert(name.clone(), value.clone());
        }
        next.hear(changes)?;
        *self = next;
        Ok(())
    }

    /// Derives what the ear needs from the fields.
    fn hear(&mut self, changes: &Map<String, Value>) -> Result<(), Fault> {
        if let Some(format) = changes.get("input_audio_format") {
            self.coding = match format.as_str() {
                Some("pcm16") => Coding::Pcm16,
                Some("g711_ulaw") => Coding::Ulaw,
                Some("g711_alaw") => Coding::Alaw,
                Some(_) | None => return Err(Fault::value("input_audio_format")),
            };
            if !changes.contains_key("input_audio_sampling_rate") {
                let rate = if self.coding == Coding::Pcm16 {
                    24_000
                } else {
                    8_000
                };
                self.fields
                    .insert("input_audio_sampling_rate".into(), rate.into());
            }
        }
        let rate = self
            .fields
            .get("input_audio_sampling_rate")
            .and_then(Value::as_u64);
        self.rate = match (self.coding, rate) {
            (Coding::Pcm16, Some(16_000)) => 16_000,
            (Coding::Pcm16, Some(24_000)) => 24_000,
            (_, Some(8_000)) => 8_000,
            (_, _) => return Err(Fault::value("input_audio_sampling_rate")),
        };
        if let Some(detection) = changes.get("turn_detection") {
            self.detection = detect(detection)?;
        }
        Ok(())
    }
}

/// The fields whose values are a closed list.
fn check(name: &str, value: &Value) -> Result<(), Fault> {
    let legal = match name {
        "output_audio_format" => value
            .as_str()
            .is_some_and(|text| OUTPUT_FORMATS.contains(&text)),
        "modalities" => value.as_array().is_some_and(|list| {
            let known = |one: &Value| one.as_str().is_some_and(|text| MODALITIES.contains(&text));
            !list.is_empty() && list.iter().all(known)
        }),
        "voice" => value.is_string() || value.is_object(),
        "instructions" | "model" => value.is_string(),
        "temperature" => value.is_number(),
        "tools" => value.is_array(),
        _ => true,
    };
    legal.then_some(()).ok_or_else(|| Fault::value(name))
}

fn detect(value: &Value) -> Result<Option<Detection>, Fault> {
    if value.is_null() {
        return Ok(None);
    }
    let kind = value.get("type").and_then(Value::as_str);
    if !kind.is_some_and(|kind| DETECTORS.contains(&kind)) {
        return Err(Fault::value("turn_detection.type"));
    }
    let mut detection = Detection::default();
    // The SDKs write unset fields as null.
    let given = |name| value.get(name).filter(|value| !value.is_null());
    if let Some(silence) = given("silence_duration_ms") {
        detection.silence_ms = silence
            .as_u64()
            .filter(|silence| SILENCE_MS.1.contains(silence))
            .ok_or_else(|| Fault::value("turn_detection.silence_duration_ms"))?;
    }
    for (name, flag) in [
        ("create_response", &mut detection.create_response),
        ("interrupt_response", &mut detection.interrupt_response),
    ] {
        if let Some(wanted) = given(name) {
            *flag = wanted
                .as_bool()
                .ok_or_else(|| Fault::value(&format!("turn_detection.{name}")))?;
        }
    }
    Ok(Some(detection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_taken_whole_or_not_at_all() {
        let mut settings = Settings::new("s", "m");
        let good = json!({ "input_audio_sampling_rate": 16_000, "turn_detection": null });
        settings.update(&good).unwrap();
        assert_eq!((settings.rate, settings.detection), (16_000, None));
        let half = json!({ "input_audio_sampling_rate": 8_000, "output_audio_format": "mp3" });
        assert_eq!(
            settings.update(&half),
            Err(Fault::value("output_audio_format"))
        );
        assert_eq!(settings.rate, 16_000);
    }

    #[test]
    fn a_rate_must_fit_its_format() {
        let cases = [
            (json!({ "input_audio_format": "g711_ulaw" }), Some(8_000)),
            (
                json!({ "input_audio_format": "g711_alaw", "input_audio_sampling_rate": 8000 }),
                Some(8_000),
            ),
            (
                json!({ "input_audio_format": "g711_alaw", "input_audio_sampling_rate": 24000 }),
                None,
            ),
            (json!({ "input_audio_sampling_rate": 44_100 }), None),
            (json!({ "input_audio_sampling_rate": "24000" }), None),
            (json!({ "input_audio_format": "opus" }), None),
        ];
        for (update, rate) in cases {
            let mut settings = Settings::new("s", "m");
            let taken = settings.update(&update).is_ok().then_some(settings.rate);
            assert_eq!(taken, rate, "{update}");
        }
    }

    #[test]
    fn faults_name_their_field() {
        let cases = [
            (json!([]), "session"),
            (json!({ "vioce": "x" }), "session.vioce"),
            (json!({ "modalities": ["smell"] }), "session.modalities"),
            (
                json!({ "turn_detection": { "type": "psychic" } }),
                "session.turn_detection.type",
            ),
            (
                json!({ "turn_detection": { "type": "server_vad", "silence_duration_ms": -1 } }),
                "session.turn_detection.silence_duration_ms",
            ),
        ];
        for (update, param) in cases {
            let fault = Settings::new("s", "m").update(&update).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(param));
        }
    }
}
