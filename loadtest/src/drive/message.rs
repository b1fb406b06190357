//! What the callers say: an append as the SDKs write it, of a chosen size, with the connection and
//! the message number in it. Two messages of a run are never equal.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Result;

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
    /// A recording in base64, cut into messages; it begins again when it has ended.
    pieces: Option<Arc<Vec<Vec<u8>>>>,
}

impl Message {
    /// The audio is noise: it must not compress, be found silent, or sound like a digit.
    pub fn new(connection: usize, size: usize) -> Message {
        let mut text = format!("{BEFORE}{connection:06}-{:010}{BETWEEN}", 0).into_bytes();
        let room = room(size);
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
        Message { text, pieces: None }
    }

    /// The audio is that of a recording from now on.
    pub fn says(mut self, recording: &Recording) -> Message {
        self.pieces = Some(recording.0.clone());
        self
    }

    /// The text of message `number`.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        let digits = format!("{number:010}");
        let end = BEFORE.len() + ID;
        self.text[end - digits.len()..end].copy_from_slice(digits.as_bytes());
        if let Some(pieces) = &self.pieces {
            let piece = &pieces[(number % pieces.len() as u64) as usize];
            let start = end + BETWEEN.len();
            self.text[start..start + piece.len()].copy_from_slice(piece);
        }
        &self.text
    }
}

/// Bytes of audio in a message of `size`.
fn room(size: usize) -> usize {
    (size - BEFORE.len() - ID - BETWEEN.len() - AFTER.len()) / 4 * 3
}

/// A recording cut into what messages of one size hold.
pub struct Recording(Arc<Vec<Vec<u8>>>);

impl Recording {
    /// Takes the PCM16 of a WAV file, as `tonegate tone` writes it. What does not fill a last
    /// message is left out.
    pub fn new(wav: &[u8], size: usize) -> Result<Recording> {
        let pcm = samples(wav).ok_or("not a WAV file with samples")?;
        let pieces: Vec<Vec<u8>> = pcm
            .chunks_exact(room(size))
            .map(|piece| STANDARD.encode(piece).into_bytes())
            .collect();
        if pieces.is_empty() || !room(size).is_multiple_of(2) {
            return Err(
                "the recording must fill a message, and a message hold whole samples".into(),
            );
        }
        Ok(Recording(Arc::new(pieces)))
    }
}

/// What is in the `data` chunk.
fn samples(wav: &[u8]) -> Option<&[u8]> {
    let mut rest = wav.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    loop {
        let (head, body) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes(head[4..].try_into().ok()?) as usize;
        let length = length.min(body.len());
        if head.starts_with(b"data") {
            return Some(&body[..length]);
        }
        rest = body.get(length + length % 2..)?;
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
    fn a_recording_is_said_piece_by_piece_and_again() {
        let pcm: Vec<u8> = (0..4000_u32)
            .flat_map(|n| (n as u16).to_le_bytes())
            .collect();
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0ab".to_vec();
        wav.extend(b"data");
        wav.extend((pcm.len() as u32).to_le_bytes());
        wav.extend(&pcm);
        let recording = Recording::new(&wav, 1360).expect("a recording");
        let mut message = Message::new(7, 1360).says(&recording);
        let pieces = recording.0.len() as u64;
        let mut said = Vec::new();
        for number in 0..pieces + 1 {
            let text = message.numbered(number);
            assert_eq!(text.len(), 1360);
            let json: serde_json::Value = serde_json::from_slice(text).expect("JSON");
            let audio = STANDARD.decode(json["audio"].as_str().expect("text"));
            said.push(audio.expect("base64"));
        }
        assert_eq!(said.pop(), said.first().cloned());
        let said = said.concat();
        assert!(
            pcm.starts_with(&said) && said.len() > 7000,
            "{}",
            said.len()
        );
        assert!(Recording::new(b"RIFF", 1360).is_err());
        assert!(Recording::new(&wav[..60], 1360).is_err());
    }

    #[test]
    fn no_two_are_equal() {
        let mut one = Message::new(1, 200);
        let mut other = Message::new(2, 200);
        assert_ne!(one.numbered(0), other.numbered(0));
        assert_ne!(one.clone().numbered(1), one.numbered(2));
    }
}
