//! A strict orchestrator that speaks ACS itself and says again what it hears: each AudioData of the
//! caller comes back at once as one to play. The stream begins with its metadata, and only messages
//! of ACS are taken.

use serde_json::Value;

use crate::{Result, texts};

const PLAY: &[u8] = br#"{"Kind":"AudioData","AudioData":{"Data":""#;
const PLAY_END: &[u8] = br#""},"StopAudio":null}"#;

/// What one connection has said so far.
#[derive(Default)]
pub struct Orchestrator {
    begun: bool,
}

impl Orchestrator {
    /// Takes all whole frames from `input` and adds the answers to `out`; the rest stays. False after a
    /// close.
    pub fn answer(&mut self, input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
        texts::answer(input, out, |text, out| self.hear(text, out))
    }

    fn hear(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let message: Value = serde_json::from_slice(text)?;
        let kind = message["kind"].as_str().ok_or("a message without a kind")?;
        match (kind, self.begun) {
            ("AudioMetadata", false) => self.begun = true,
            ("AudioData", true) => {
                let data = message["audioData"]["data"].as_str();
                let data = data.ok_or("AudioData without data")?;
                texts::say(out, [PLAY, data.as_bytes(), PLAY_END]);
            }
            ("DtmfData", true) => {}
            _ => return Err(format!("{kind} where it cannot stand").into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Header, TEXT};

    const METADATA: &str = r#"{"kind":"AudioMetadata","audioMetadata":{"sampleRate":24000}}"#;
    const AUDIO: &str = r#"{"kind":"AudioData","audioData":{"data":"AQID","silent":false}}"#;

    fn answers(texts: &[&str]) -> Result<Vec<u8>> {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for text in texts {
            frame::write(&mut input, TEXT, text.as_bytes(), Some([9, 8, 7, 6]));
        }
        assert!(Orchestrator::default().answer(&mut input, &mut out)?);
        assert!(input.is_empty());
        Ok(out)
    }

    #[test]
    fn what_the_caller_says_is_played_to_him() {
        let keys = r#"{"kind":"DtmfData","dtmfData":{"data":"8"}}"#;
        let out = answers(&[METADATA, keys, AUDIO]).expect("answers");
        let header = Header::parse(&out).expect("sound").expect("a frame");
        assert_eq!(header.frame(), out.len());
        let played: Value = serde_json::from_slice(&out[header.length..]).expect("JSON");
        assert_eq!(played["Kind"], "AudioData");
        assert_eq!(played["AudioData"]["Data"], "AQID");
    }

    #[test]
    fn what_acs_does_not_say_ends_the_connection() {
        let other = r#"{"type":"session.update"}"#;
        for texts in [
            &[AUDIO][..],
            &[METADATA, METADATA],
            &[METADATA, other],
            &[METADATA, "{"],
            &[METADATA, r#"{"kind":"AudioData","audioData":{}}"#],
        ] {
            assert!(answers(texts).is_err(), "{texts:?}");
        }
    }
}
