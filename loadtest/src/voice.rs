//! A strict Voice Live whose answer is what it heard: each append comes back at once as a delta with
//! the same text in it. It takes no message but what a bridge has to say.

use serde_json::{Value, json};

use crate::Result;
use crate::frame::{self, CLOSE, Header, PING, PONG, TEXT};

const APPEND: &[u8] = br#"{"type":"input_audio_buffer.append","audio":""#;
const APPEND_END: &[u8] = br#""}"#;
const DELTA: &[u8] = br#"{"type":"response.audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":""#;
const CREATED: &[u8] = br#"{"type":"session.created","event_id":"event_0","session":{"id":"sess_1","input_audio_format":"pcm16","output_audio_format":"pcm16"}}"#;
const FIN_TEXT: u8 = 0x80 | TEXT;

/// What it says first.
pub fn greet(out: &mut Vec<u8>) {
    frame::write(out, TEXT, CREATED, None);
}

/// Takes all whole frames from `input` and adds the answers to `out`; the rest stays. False after a
/// close.
pub fn answer(input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
    let mut at = 0;
    let mut open = true;
    while open {
        let Some(header) = Header::parse(&input[at..])? else {
            break;
        };
        if input.len() - at < header.frame() {
            break;
        }
        let mask = header.mask.ok_or("an unmasked frame from a client")?;
        let payload = &mut input[at + header.length..at + header.frame()];
        frame::apply(mask, payload);
        match (header.first, header.opcode()) {
            (FIN_TEXT, _) => hear(payload, out)?,
            (_, PING) => frame::write(out, PONG, payload, None),
            (_, PONG) => {}
            (_, CLOSE) => {
                frame::write(out, CLOSE, payload, None);
                open = false;
            }
            (first, _) => return Err(format!("unexpected frame {first:#04x}").into()),
        }
        at += header.frame();
    }
    input.drain(..at);
    Ok(open)
}

fn hear(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if let Some(audio) = text.strip_prefix(APPEND) {
        let audio = audio.strip_suffix(APPEND_END).ok_or("a broken append")?;
        let length = DELTA.len() + audio.len() + APPEND_END.len();
        frame::write_header(out, FIN_TEXT, length, None);
        out.extend([DELTA, audio, APPEND_END].into_iter().flatten());
        return Ok(());
    }
    let mut event: Value = serde_json::from_slice(text)?;
    match event["type"].as_str() {
        Some("session.update") => {
            let session = event["session"].take();
            let updated = json!({"type": "session.updated", "session": session}).to_string();
            frame::write(out, TEXT, updated.as_bytes(), None);
            Ok(())
        }
        Some("response.create") => Ok(()),
        Some(_) | None => Err("a message that no bridge has to say".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    fn answers(text: &str) -> Result<Value> {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        frame::write(&mut input, TEXT, text.as_bytes(), MASK);
        assert!(answer(&mut input, &mut out)?);
        assert!(input.is_empty());
        let header = Header::parse(&out)?.ok_or("no frame")?;
        assert_eq!((header.first, header.frame()), (FIN_TEXT, out.len()));
        Ok(serde_json::from_slice(&out[header.length..])?)
    }

    #[test]
    fn what_is_said_comes_back_as_a_delta() {
        let delta = answers(r#"{"type":"input_audio_buffer.append","audio":"AQID"}"#);
        let delta = delta.expect("an answer");
        assert_eq!(delta["type"], "response.audio.delta");
        assert_eq!(delta["delta"], "AQID");
        let updated = answers(r#"{"type":"session.update","session":{"a":1}}"#).expect("one");
        assert_eq!(updated["session"]["a"], 1);
    }

    #[test]
    fn what_no_bridge_says_ends_the_connection() {
        for text in [
            "",
            "{}",
            r#"{"type":"x"}"#,
            r#"{"type":"input_audio_buffer.append","audio":"AA"#,
        ] {
            assert!(answers(text).is_err(), "{text}");
        }
        let mut input = Vec::new();
        frame::write(&mut input, 2, b"binary", MASK);
        assert!(answer(&mut input, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_part_of_a_frame_waits_and_a_close_is_answered() {
        let mut whole = Vec::new();
        frame::write(&mut whole, CLOSE, &[3, 232], MASK);
        let (mut input, mut out) = (whole[..5].to_vec(), Vec::new());
        assert!(answer(&mut input, &mut out).expect("sound") && out.is_empty());
        input.extend_from_slice(&whole[5..]);
        assert!(!answer(&mut input, &mut out).expect("sound"));
        assert_eq!(out, [0x88, 2, 3, 232]);
    }
}
