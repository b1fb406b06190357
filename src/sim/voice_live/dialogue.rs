//! The conversation as a pure state: client events in, service events out.
//!
//! Owns the input buffer, turns and the order of events (the Voice Live wire, 2026-07-15). Refuses
//! to know sockets and clocks: time is an argument, and audio goes out only as fast as it is asked
//! for, which is what bounds it.

use super::pace::Pace;
use super::reply::Reply;
use super::service::Service;
use super::settings::{Fault, Settings};
use super::vad::{Heard, Vad};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Audio that one append may carry, by Microsoft's reference.
const APPEND_MAX: usize = 15 << 20;

/// Audio that may wait for a commit: eleven minutes at 24 kHz, of our own choosing.
const BUFFER_MAX: usize = 32 << 20;

/// Client events that exist and that this simulator does not play.
const NOT_SIMULATED: [&str; 13] = [
    "session.avatar.connect",
    "input_audio.turn.start",
    "input_audio.turn.append",
    "input_audio.turn.end",
    "input_audio.turn.cancel",
    "input_audio.clear",
    "output_audio_buffer.clear",
    "mcp_approval_response",
    "input_text.delta",
    "input_text.done",
    "rtc.call.sdp.create",
    "transcription_session.update",
    "conversation.item.retrieve",
];

/// An event to be sent.
pub(super) struct Outgoing {
    pub(super) text: String,
    /// The audio inside, decoded.
    pub(super) audio: Vec<u8>,
    /// The code, when it is an `error` event.
    pub(super) error: Option<&'static str>,
}

/// One session.
pub(super) struct Dialogue {
    service: Service,
    settings: Settings,
    vad: Vad,
    /// Audio since the last commit or clear.
    buffer: Vec<u8>,
    /// Committed audio that no reply has taken yet.
    unanswered: Vec<u8>,
    /// A turn ended while a reply was under way and wants its own.
    owed: bool,
    turn: Option<String>,
    last_item: Option<String>,
    reply: Option<Reply>,
    outbox: VecDeque<Outgoing>,
    ids: u64,
    pace: Option<Pace>,
}

impl Dialogue {
    /// A session that has `session.created` to say.
    pub(super) fn new(
        service: Service,
        connection: u64,
        model: &str,
        strict_pacing: Option<Instant>,
    ) -> Self {
        let mut dialogue = Self {
            service,
            settings: Settings::new(&format!("sess_{connection}"), model),
            vad: Vad::default(),
            buffer: Vec::new(),
            unanswered: Vec::new(),
            owed: false,
            turn: None,
            last_item: None,
            reply: None,
            outbox: VecDeque::new(),
            ids: 0,
            pace: strict_pacing.map(Pace::new),
        };
        let session = service.show(dialogue.settings.show());
        dialogue.say("session.created", json!({ "session": session }));
        dialogue
    }

    /// Events that wait to be sent, a reply's audio aside.
    pub(super) fn backlog(&self) -> usize {
        self.outbox.len()
    }

    /// The next event to send.
    pub(super) fn next_event(&mut self) -> Option<Outgoing> {
        if let Some(event) = self.outbox.pop_front() {
            return Some(event);
        }
        let mut reply = self.reply.take()?;
        if let Some(audio) = reply.next_piece() {
            let (kind, event) = reply.delta(&audio);
            let text = self.word(kind, event);
            self.reply = Some(reply);
            return Some(Outgoing {
                text,
                audio,
                error: None,
            });
        }
        for (kind, event) in reply.end("completed", None) {
            self.say(kind, event);
        }
        if std::mem::take(&mut self.owed) {
            self.begin_reply();
        }
        self.outbox.pop_front()
    }

    /// Takes one text message. Returns the audio that was appended.
    pub(super) fn receive(&mut self, text: &str, now: Instant) -> Vec<u8> {
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            let fault = Fault::new("invalid_json", "the message is not JSON", "");
            self.fault(&fault, None);
            return Vec::new();
        };
        let taken = self.take(&event, now);
        taken.unwrap_or_else(|fault| {
            self.fault(&fault, event.get("event_id").and_then(Value::as_str));
            Vec::new()
        })
    }

    /// Answers a binary message, which the service does not know.
    pub(super) fn refuse_binary(&mut self) {
        let fault = Fault::new("invalid_message", "binary messages are not taken", "");
        self.fault(&fault, None);
    }

    fn take(&mut self, event: &Value, now: Instant) -> Result<Vec<u8>, Fault> {
        let Some(kind) = event.get("type").and_then(Value::as_str) else {
            return Err(Fault::new("missing_type", "the event has no type", "type"));
        };
        match kind {
            "input_audio_buffer.append" => return self.append(event, now),
            "session.update" => {
                let session = event.get("session").unwrap_or(&Value::Null);
                let session = self.service.read(session)?;
                self.settings.update(&session)?;
                let session = self.service.show(self.settings.show());
                self.say("session.updated", json!({ "session": session }));
            }
            "input_audio_buffer.commit" if self.buffer.is_empty() => {
                let message = "nothing was appended since the last commit";
                return Err(Fault::new("input_audio_buffer_commit_empty", message, ""));
            }
            "input_audio_buffer.commit" => self.commit(),
            "input_audio_buffer.clear" => {
                self.buffer.clear();
                self.vad.reset();
                self.turn = None;
                self.say("input_audio_buffer.cleared", json!({}));
            }
            "response.create" if self.reply.is_some() => {
                let message = "a response is in progress";
                let code = "conversation_already_has_active_response";
                return Err(Fault::new(code, message, ""));
            }
            "response.create" => self.begin_reply(),
            "response.cancel" if self.reply.is_none() => {
                let message = "no response is in progress";
                return Err(Fault::new("response_cancel_not_active", message, ""));
            }
            "response.cancel" => self.cancel_reply("client_cancelled"),
            "conversation.item.create" => self.create_item(event)?,
            "conversation.item.truncate" | "conversation.item.delete" => {
                self.change_item(kind, event)?;
            }
            known if NOT_SIMULATED.contains(&known) => {
                let message = "a known event that this simulator does not play";
                return Err(Fault::new("not_simulated", message, "type"));
            }
            _ => return Err(Fault::new("unknown_event", "unknown event type", "type")),
        }
        Ok(Vec::new())
    }

    fn append(&mut self, event: &Value, now: Instant) -> Result<Vec<u8>, Fault> {
        let fault = |code, message| Fault::new(code, message, "audio");
        let Some(audio) = event.get("audio").and_then(Value::as_str) else {
            return Err(fault("missing_audio", "audio must be a string"));
        };
        let audio = STANDARD
            .decode(audio)
            .map_err(|_| fault("invalid_audio", "audio is not padded standard base64"))?;
        if audio.len() % self.settings.coding.bytes_per_sample() != 0 {
            return Err(fault("invalid_audio", "audio ends inside a sample"));
        }
        if audio.len() > APPEND_MAX {
            return Err(fault("audio_too_large", "more than 15 MiB in one append"));
        }
        if self.buffer.len() + self.unanswered.len() + audio.len() > BUFFER_MAX {
            return Err(fault("input_audio_buffer_full", "commit or clear first"));
        }
        let samples = audio.len() / self.settings.coding.bytes_per_sample();
        let length = Duration::from_secs_f64(samples as f64 / f64::from(self.settings.rate));
        if self
            .pace
            .as_mut()
            .is_some_and(|pace| pace.exceeded(length, now))
        {
            let message = "audio comes more than twice as fast as its declared rate";
            return Err(fault("audio_rate_mismatch", message));
        }
        let Some(detection) = self.settings.detection else {
            self.buffer.extend_from_slice(&audio);
            return Ok(audio);
        };
        let (coding, rate) = (self.settings.coding, self.settings.rate);
        let mut rest = &audio[..];
        while !rest.is_empty() {
            let (used, heard) = self.vad.listen(rest, coding, rate, detection.silence_ms);
            self.buffer.extend_from_slice(&rest[..used]);
            rest = &rest[used..];
            match heard {
                None => {}
                Some(Heard::Started { at_ms }) => self.turn_started(at_ms),
                Some(Heard::Stopped { at_ms }) => self.turn_stopped(at_ms),
            }
        }
        Ok(audio)
    }

    fn turn_started(&mut self, at_ms: u64) {
        let item = self.id("item");
        self.say(
            "input_audio_buffer.speech_started",
            json!({ "audio_start_ms": at_ms, "item_id": item }),
        );
        self.turn = Some(item);
        let interrupts = self
            .settings
            .detection
            .is_some_and(|how| how.interrupt_response);
        if interrupts && self.reply.is_some() {
            self.cancel_reply("turn_detected");
        }
    }

    fn turn_stopped(&mut self, at_ms: u64) {
        self.say(
            "input_audio_buffer.speech_stopped",
            json!({ "audio_end_ms": at_ms, "item_id": self.turn }),
        );
        self.commit();
        if self
            .settings
            .detection
            .is_some_and(|how| how.create_response)
        {
            if self.reply.is_some() {
                self.owed = true;
            } else {
                self.begin_reply();
            }
        }
    }

    fn commit(&mut self) {
        self.unanswered.append(&mut self.buffer);
        self.vad.reset();
        let item = self.turn.take().unwrap_or_else(|| self.id("item"));
        let previous = self.last_item.replace(item.clone());
        self.say(
            "input_audio_buffer.committed",
            json!({ "previous_item_id": previous, "item_id": item }),
        );
        let item = json!({
            "id": item, "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{ "type": "input_audio", "transcript": null }],
        });
        self.say(
            "conversation.item.created",
            json!({ "previous_item_id": previous, "item": item }),
        );
    }

    fn create_item(&mut self, event: &Value) -> Result<(), Fault> {
        let Some(Value::Object(item)) = event.get("item") else {
            return Err(Fault::new(
                "invalid_value",
                "item must be an object",
                "item",
            ));
        };
        let mut item = item.clone();
        let id = match item.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => self.id("item"),
        };
        item.insert("id".into(), id.clone().into());
        item.insert("object".into(), "realtime.item".into());
        let previous = self.last_item.replace(id);
        self.say(
            "conversation.item.created",
            json!({ "previous_item_id": previous, "item": item }),
        );
        Ok(())
    }

    fn change_item(&mut self, kind: &str, event: &Value) -> Result<(), Fault> {
        let Some(id) = event.get("item_id").and_then(Value::as_str) else {
            return Err(Fault::new(
                "invalid_value",
                "item_id must be a string",
                "item_id",
            ));
        };
        if kind == "conversation.item.delete" {
            self.say("conversation.item.deleted", json!({ "item_id": id }));
            return Ok(());
        }
        let number = |name| event.get(name).and_then(Value::as_u64).unwrap_or(0);
        let truncated = json!({
            "item_id": id, "content_index": number("content_index"),
            "audio_end_ms": number("audio_end_ms"),
        });
        self.say("conversation.item.truncated", truncated);
        Ok(())
    }

    fn begin_reply(&mut self) {
        let audio = std::mem::take(&mut self.unanswered);
        let reply = Reply::new(self.id("resp"), self.id("item"), audio);
        for (kind, event) in reply.begin() {
            self.say(kind, event);
        }
        self.last_item = Some(reply.item().to_owned());
        self.reply = Some(reply);
    }

    /// Ends the reply where it stands; what was not sent of it is lost, as with the service.
    fn cancel_reply(&mut self, why: &'static str) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        self.owed = false;
        for (kind, event) in reply.end("cancelled", Some(why)) {
            self.say(kind, event);
        }
    }

    fn fault(&mut self, fault: &Fault, event_id: Option<&str>) {
        let error = json!({ "error": {
            "type": "invalid_request_error", "code": fault.code, "message": fault.message,
            "param": fault.param, "event_id": event_id,
        }});
        let text = self.word("error", error);
        self.outbox.push_back(Outgoing {
            text,
            audio: Vec::new(),
            error: Some(fault.code),
        });
    }

    fn say(&mut self, kind: &str, event: Value) {
        let text = self.word(kind, event);
        self.outbox.push_back(Outgoing {
            text,
            audio: Vec::new(),
            error: None,
        });
    }

    /// The event as text, `type` and `event_id` first, as the service writes them.
    fn word(&mut self, kind: &str, mut event: Value) -> String {
        let id = self.id("event");
        let kind = self.service.word(kind, &mut event);
        let rest = event.to_string();
        let rest = rest.trim_start_matches('{');
        let comma = if rest == "}" { "" } else { "," };
        format!(r#"{{"type":"{kind}","event_id":"{id}"{comma}{rest}"#)
    }

    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}_{}", self.ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::signal;

    fn append(audio: &[u8]) -> String {
        json!({ "audio": STANDARD.encode(audio), "type": "input_audio_buffer.append" }).to_string()
    }

    /// Everything that is to be said: the types in order, the audio, the error codes.
    fn hear(dialogue: &mut Dialogue) -> (Vec<String>, Vec<u8>, Vec<&'static str>) {
        let (mut kinds, mut audio, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(event) = dialogue.next_event() {
            let parsed: Value = serde_json::from_str(&event.text).unwrap();
            kinds.push(parsed["type"].as_str().unwrap().to_owned());
            audio.extend(event.audio);
            errors.extend(event.error);
        }
        (kinds, audio, errors)
    }

    #[test]
    fn a_turn_is_answered_by_itself_in_the_services_order() {
        let now = Instant::now();
        let mut dialogue = Dialogue::new(Service::VoiceLive, 1, "m", None);
        let mut said = signal::speech(2.0, 24_000);
        said.extend(signal::silence(0.5, 24_000));
        for piece in said.chunks(960) {
            assert_eq!(dialogue.receive(&append(piece), now), piece);
        }
        let (mut kinds, audio, errors) = hear(&mut dialogue);
        assert_eq!(errors, [""; 0]);
        assert!(
            said.starts_with(&audio) && audio.len() >= 96_000,
            "{}",
            audio.len()
        );
        kinds.dedup();
        assert_eq!(
            kinds,
            [
                "session.created",
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.created",
                "response.created",
                "response.output_item.added",
                "response.content_part.added",
                "response.audio_transcript.delta",
                "response.audio.delta",
                "response.audio.done",
                "response.audio_transcript.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.done",
            ]
        );
    }

    #[test]
    fn without_detection_the_client_ends_its_turn() {
        let now = Instant::now();
        let mut dialogue = Dialogue::new(Service::VoiceLive, 1, "m", None);
        let quiet = signal::silence(0.1, 24_000);
        for text in [
            r#"{"type":"session.update","session":{"turn_detection":null}}"#,
            r#"{"type":"input_audio_buffer.commit"}"#,
            &append(&quiet),
            r#"{"type":"input_audio_buffer.clear"}"#,
            &append(&quiet),
            r#"{"type":"input_audio_buffer.commit"}"#,
            r#"{"type":"response.create"}"#,
        ] {
            dialogue.receive(text, now);
        }
        let (_, audio, errors) = hear(&mut dialogue);
        assert_eq!(audio, quiet);
        assert_eq!(errors, ["input_audio_buffer_commit_empty"]);
    }

    #[test]
    fn speech_during_a_reply_cancels_it() {
        let now = Instant::now();
        let mut dialogue = Dialogue::new(Service::VoiceLive, 1, "m", None);
        let mut said = signal::speech(2.0, 24_000);
        said.extend(signal::silence(0.4, 24_000));
        dialogue.receive(&append(&said), now);
        while dialogue
            .next_event()
            .is_some_and(|event| event.audio.is_empty())
        {}
        dialogue.receive(&append(&signal::speech(0.5, 24_000)), now);
        let mut statuses = Vec::new();
        while let Some(event) = dialogue.next_event() {
            assert!(event.audio.is_empty(), "audio after the cancel");
            let parsed: Value = serde_json::from_str(&event.text).unwrap();
            statuses.extend(parsed["response"]["status"].as_str().map(str::to_owned));
        }
        assert_eq!(statuses, ["cancelled"]);
    }

    #[test]
    fn faults_are_error_events_that_echo_the_event_id() {
        let odd = append(&[1, 2, 3]);
        let cases = [
            ("{", "invalid_json"),
            ("{}", "missing_type"),
            (r#"{"type":"input_audio_buffer.append"}"#, "missing_audio"),
            (
                r#"{"type":"input_audio_buffer.append","audio":"AA"}"#,
                "invalid_audio",
            ),
            (odd.as_str(), "invalid_audio"),
            (
                r#"{"type":"response.cancel"}"#,
                "response_cancel_not_active",
            ),
            (r#"{"type":"conversation.item.create"}"#, "invalid_value"),
            (r#"{"type":"session.avatar.connect"}"#, "not_simulated"),
            (r#"{"type":"nonsense","event_id":"e7"}"#, "unknown_event"),
        ];
        let mut dialogue = Dialogue::new(Service::VoiceLive, 1, "m", None);
        dialogue.next_event().unwrap();
        for (text, code) in cases {
            assert!(dialogue.receive(text, Instant::now()).is_empty());
            let event = dialogue.next_event().unwrap();
            assert_eq!(event.error, Some(code), "{text}");
            let id = text.contains("e7").then_some(r#""event_id":"e7""#);
            assert!(event.text.contains(id.unwrap_or("")), "{}", event.text);
        }
    }

    #[test]
    fn audio_that_outruns_its_declared_rate_is_told() {
        let start = Instant::now();
        let mut dialogue = Dialogue::new(Service::VoiceLive, 1, "m", Some(start));
        let second = append(&signal::silence(1.0, 24_000));
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, error) in [
            (0, false),
            (0, false),
            (999, true),
            (1000, false),
            (1001, false),
        ] {
            dialogue.receive(&second, at(ms));
            let (_, _, errors) = hear(&mut dialogue);
            assert_eq!(!errors.is_empty(), error, "at {ms}");
        }
    }
}
