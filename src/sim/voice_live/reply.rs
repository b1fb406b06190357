//! One response: the committed turn, spoken back in pieces.
//!
//! Owns the pieces' sizes and the shape of a response's events. Refuses to know when a response
//! begins or is cancelled.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Piece sizes in bytes, in turn: 6400 to 40000 base64 characters, the range the service uses.
/// All but the last piece are multiples of three, so that only the last is padded.
const PIECES: [usize; 6] = [4_800, 9_600, 30_000, 14_400, 7_200, 24_000];

/// What the service "said", for transcripts.
const TRANSCRIPT: &str = "what you said";

type Event = (&'static str, Value);

pub(super) struct Reply {
    response: String,
    item: String,
    audio: Vec<u8>,
    at: usize,
    pieces: usize,
}

impl Reply {
    pub(super) fn new(response: String, item: String, audio: Vec<u8>) -> Self {
        Self {
            response,
            item,
            audio,
            at: 0,
            pieces: 0,
        }
    }

    pub(super) fn item(&self) -> &str {
        &self.item
    }

    /// The events before the audio.
    pub(super) fn begin(&self) -> Vec<Event> {
        let response = self.response("in_progress", Value::Null, json!([]));
        vec![
            ("response.created", json!({ "response": response })),
            (
                "response.output_item.added",
                json!({
                    "response_id": self.response, "output_index": 0,
                    "item": self.message("in_progress", json!([])),
                }),
            ),
            (
                "response.content_part.added",
                self.part(json!({ "part": self.content("") })),
            ),
            (
                "response.audio_transcript.delta",
                self.part(json!({ "delta": TRANSCRIPT })),
            ),
        ]
    }

    /// The next piece of audio, until there is none.
    pub(super) fn next_piece(&mut self) -> Option<Vec<u8>> {
        let rest = &self.audio[self.at..];
        let size = PIECES[self.pieces % PIECES.len()].min(rest.len());
        let piece = rest[..size].to_vec();
        self.at += size;
        self.pieces += 1;
        (size > 0).then_some(piece)
    }

    pub(super) fn delta(&self, audio: &[u8]) -> Event {
        let delta = json!({ "delta": STANDARD.encode(audio) });
        ("response.audio.delta", self.part(delta))
    }

    /// The events after the audio. A cancelled response says so at once, with the reason.
    pub(super) fn end(&self, status: &'static str, why: Option<&'static str>) -> Vec<Event> {
        if let Some(why) = why {
            let details = json!({ "type": status, "reason": why });
            let output = json!([self.message("incomplete", json!([]))]);
            let response = self.response(status, details, output);
            return vec![("response.done", json!({ "response": response }))];
        }
        let item = self.message("completed", json!([self.content(TRANSCRIPT)]));
        let response = self.response(status, Value::Null, json!([item]));
        vec![
            ("response.audio.done", self.part(json!({}))),
            (
                "response.audio_transcript.done",
                self.part(json!({ "transcript": TRANSCRIPT })),
            ),
            (
                "response.content_part.done",
                self.part(json!({ "part": self.content(TRANSCRIPT) })),
            ),
            (
                "response.output_item.done",
                json!({ "response_id": self.response, "output_index": 0, "item": item }),
            ),
            ("response.done", json!({ "response": response })),
        ]
    }

    fn response(&self, status: &str, details: Value, output: Value) -> Value {
        let tokens = self.audio.len() / 4_800;
        json!({
            "id": self.response, "object": "realtime.response", "status": status,
            "status_details": details, "output": output, "modalities": ["text", "audio"],
            "usage": {
                "total_tokens": 2 * tokens, "input_tokens": tokens, "output_tokens": tokens,
                "input_token_details": {
                    "cached_tokens": 0, "text_tokens": 0, "audio_tokens": tokens,
                    "cached_tokens_details": { "text_tokens": 0, "audio_tokens": 0 },
                },
                "output_token_details": { "text_tokens": 0, "audio_tokens": tokens },
            },
        })
    }

    fn message(&self, status: &str, content: Value) -> Value {
        json!({
            "id": self.item, "object": "realtime.item", "type": "message", "status": status,
            "role": "assistant", "content": content,
        })
    }

    fn content(&self, transcript: &str) -> Value {
        json!({ "type": "audio", "transcript": transcript })
    }

    /// The fields that place an event inside the response, and `more`.
    fn part(&self, more: Value) -> Value {
        let mut event = json!({
            "response_id": self.response, "item_id": self.item,
            "output_index": 0, "content_index": 0,
        });
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_and_their_text_stays_in_range() {
        let audio: Vec<u8> = (0..200_000).map(|at| (at % 241) as u8).collect();
        let mut reply = Reply::new("r".into(), "i".into(), audio.clone());
        let (mut spoken, mut lengths) = (Vec::new(), Vec::new());
        while let Some(piece) = reply.next_piece() {
            let (_, event) = reply.delta(&piece);
            lengths.push(event["delta"].as_str().unwrap().len());
            spoken.extend(piece);
        }
        assert_eq!(spoken, audio);
        lengths.pop();
        assert_eq!(lengths.iter().min(), Some(&6_400));
        assert_eq!(lengths.iter().max(), Some(&40_000));
        assert!(
            Reply::new("r".into(), "i".into(), Vec::new())
                .next_piece()
                .is_none()
        );
    }
}
