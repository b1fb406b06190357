//! A strict Voice Live whose answer is what it heard: each append comes back at once as a delta with
//! the same text in it. It takes no message but what a bridge has to say.

use serde_json::{Value, json};

use crate::frame::{self, TEXT};
use crate::{Result, texts};

const APPEND: &[u8] = br#"{"type":"input_audio_buffer.append","audio":""#;
const APPEND_END: &[u8] = br#""}"#;
const DELTA: &[u8] = br#"{"type":"response.audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":""#;
const CREATED: &[u8] = br#"{"type":"session.created","event_id":"event_0","session":{"id":"sess_1","input_audio_format":"pcm16","output_audio_format":"pcm16"}}"#;

/// What it says first.
pub fn greet(out: &mut Vec<u8>) {
    frame::write(out, TEXT, CREATED, None);
}

/// Takes all whole frames from `input` and adds the answers to `out`; the rest stays. False after a
/// close.
pub fn answer(input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
    texts::answer(input, out, hear)
}

fn hear(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if let Some(audio) = text.strip_prefix(APPEND) {
        let audio = audio.strip_suffix(APPEND_END).ok_or("a broken append")?;
        texts::say(out, [DELTA, audio, APPEND_END]);
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
    use crate::frame::Header;

    const MASK: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    fn answers(text: &str) -> Result<Value> {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        frame::write(&mut input, TEXT, text.as_bytes(), MASK);
        assert!(answer(&mut input, &mut out)?);
        assert!(input.is_empty());
        let header = Header::parse(&out)?.ok_or("no frame")?;
        assert_eq!((header.first, header.frame()), (texts::FIN_TEXT, out.len()));
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
    }
}
