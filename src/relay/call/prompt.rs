//! What a caller hears from the edge itself while the gate is pending.
//!
//! ACS is given a prompt as fast as it takes it and plays it by itself, so that what it has been
//! given and must not play any more needs a `StopAudio`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::bridge::Frame;
use crate::audio::wav::Wav;
use crate::config::Prompts;
use crate::gate::Prompt;
use crate::wire::acs::DATA_MAX;

/// Samples of one message: its base64 has no padding, and is as long as may be.
const PIECE: usize = DATA_MAX / 8 * 3;

/// Plays one prompt at a time.
#[derive(Default)]
pub(super) struct Speaker {
    /// The prompt, and how many of its samples ACS has been given.
    playing: Option<(Prompt, usize)>,
    /// ACS may still be playing.
    audible: bool,
    stop: bool,
}

/// The file of a prompt, if the settings have it.
pub(super) fn wav(prompts: &Prompts, prompt: Prompt) -> Option<&Wav> {
    match prompt {
        Prompt::Prompt => prompts.prompt.as_ref(),
        Prompt::Retry => prompts.retry.as_ref(),
        Prompt::Goodbye => prompts.goodbye.as_ref(),
    }
}

impl Speaker {
    /// Plays this, over what is being played.
    pub(super) fn say(&mut self, prompt: Prompt) {
        self.hush();
        self.playing = Some((prompt, 0));
    }

    /// Ends what is being played: the caller has begun to dial, or the agent is next.
    pub(super) fn hush(&mut self) {
        self.playing = None;
        self.stop |= std::mem::take(&mut self.audible);
    }

    /// Whether ACS is to get something.
    pub(super) fn waits(&self) -> bool {
        self.stop || self.playing.is_some()
    }

    /// What ACS is to get next.
    pub(super) fn next(&mut self, prompts: Option<&Prompts>) -> Option<Frame> {
        if std::mem::take(&mut self.stop) {
            return Some(Frame::StopAudio);
        }
        let (prompt, given) = self.playing.as_mut()?;
        let wav = prompts.and_then(|prompts| wav(prompts, *prompt));
        let rest = wav.and_then(|wav| wav.samples.get(*given..));
        let Some(samples) = rest.filter(|rest| !rest.is_empty()) else {
            self.playing = None;
            return None;
        };
        let samples = &samples[..samples.len().min(PIECE)];
        *given += samples.len();
        self.audible = true;
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        Some(Frame::Audio(Bytes::from(STANDARD.encode(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;

    fn prompts(samples: usize) -> Prompts {
        Prompts {
            prompt: Some(Wav {
                rate: SampleRate::Hz24000,
                samples: (0..samples).map(|n| n as i16).collect(),
            }),
            ..Prompts::default()
        }
    }

    fn samples(frame: Option<Frame>) -> Vec<i16> {
        let Some(Frame::Audio(text)) = frame else {
            panic!("no audio");
        };
        let bytes = STANDARD.decode(text).unwrap();
        let pairs = bytes.chunks(2);
        pairs
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn a_prompt_goes_out_whole_in_messages_that_acs_takes() {
        let prompts = prompts(2 * PIECE + 5);
        let mut speaker = Speaker::default();
        assert_eq!(speaker.next(Some(&prompts)), None);
        speaker.say(Prompt::Prompt);
        let mut heard = Vec::new();
        for length in [PIECE, PIECE, 5] {
            let piece = samples(speaker.next(Some(&prompts)));
            assert_eq!(piece.len(), length);
            heard.extend(piece);
        }
        assert_eq!(speaker.next(Some(&prompts)), None);
        assert_eq!(Some(heard), prompts.prompt.map(|wav| wav.samples));
    }

    #[test]
    fn what_acs_was_given_is_stopped_and_what_it_was_not_is_not() {
        let prompts = prompts(2 * PIECE);
        let mut speaker = Speaker::default();
        speaker.say(Prompt::Prompt);
        speaker.hush();
        assert_eq!(speaker.next(Some(&prompts)), None, "nothing was given");
        speaker.say(Prompt::Prompt);
        samples(speaker.next(Some(&prompts)));
        speaker.say(Prompt::Prompt);
        assert_eq!(speaker.next(Some(&prompts)), Some(Frame::StopAudio));
        assert_eq!(
            samples(speaker.next(Some(&prompts)))[0],
            0,
            "from its start"
        );
        speaker.hush();
        assert_eq!(speaker.next(None), Some(Frame::StopAudio));
        assert_eq!(speaker.next(None), None);
    }
}
