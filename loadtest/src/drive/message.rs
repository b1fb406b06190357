//! What the callers say: an append as the SDKs write it, of a chosen size, with the connection and
//! the message number in it. Two messages of a run are never equal.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEFORE: &str = r#"{"type":"input_audio_buffer.append","event_id":""#;
const BETWEEN: &str = r#"","audio":""#;
const AFTER: &str = r#""}"#;
/// `000123-0000004567`: connection and number.
const ID: usize = 17;

/// A message shorter than this has no room for audio.
pub const SIZE_MIN: u64 = 128;

#[derive(Clone)]
pub struct Message {
    text: Vec<u8>,
}

impl Message {
    /// The audio is noise: it must not compress, be found silent, or sound like a digit.
    pub fn new(connection: usize, size: usize) -> Message {
        let mut text = format!("{BEFORE}{connection:06}-{:010}{BETWEEN}", 0).into_bytes();
        let room = (size - text.len() - AFTER.len()) / 4 * 3;
        let mut state = connection as u32;
        let noise: Vec<u8> = (0..room)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        text.extend_from_slice(STANDARD.encode(noise).as_bytes());
        text.extend_from_slice(AFTER.as_bytes());
        // Base64 comes in fours: the rest is white space, which JSON allows.
        text.resize(size, b' ');
        Message { text }
    }

    /// The text of message `number`.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        let digits = format!("{number:010}");
        let end = BEFORE.len() + ID;
        self.text[end - digits.len()..end].copy_from_slice(digits.as_bytes());
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_size_and_are_json() {
        for size in [SIZE_MIN as usize, 1023, 1024, 65_536] {
            let mut message = Message::new(7, size);
            let text = message.numbered(42);
            assert_eq!(text.len(), size);
            let json: serde_json::Value = serde_json::from_slice(text).expect("JSON");
            assert_eq!(json["event_id"], "000007-0000000042");
            let audio = STANDARD
                .decode(json["audio"].as_str().expect("text"))
                .expect("base64");
            assert!(audio.len() * 4 / 3 > size - SIZE_MIN as usize);
        }
    }

    #[test]
    fn no_two_are_equal() {
        let mut one = Message::new(1, 200);
        let mut other = Message::new(2, 200);
        assert_ne!(one.numbered(0), other.numbered(0));
        assert_ne!(one.clone().numbered(1), one.numbered(2));
    }
}
