//! How a session with Voice Live begins: what is waited for, and the audio that waits meanwhile.
//!
//! | phase | what comes | then |
//! |---|---|---|
//! | waiting | `session.created`, and the format from ACS, in any order | `session.update` is due |
//! | asked | `session.updated` | open: the greeting is due, then what was held, then audio as it comes |
//! | before open | `error` | the session is refused (that is the bridge's to say) |
//!
//! An answer that contradicts what was asked for is a mismatch: the model would hear speech at the
//! wrong speed.

use std::collections::VecDeque;
use std::time::Duration;

use super::Fault;
use crate::audio::SampleRate;
use crate::wire::voice_live::{Coding, Input, Pcm16};

/// Audio that waits for the session at the most; of more, the oldest goes.
pub const HELD_MAX: Duration = Duration::from_secs(2);
/// The same in bytes: twice what two seconds take at 24 kHz in messages of 20 ms.
pub const HELD_BYTES_MAX: usize = 256 * 1024;
/// What a message that is held takes beside its text.
const HELD_OVERHEAD: usize = 64;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// `session.update` with this format.
    Update(Pcm16),
    /// The greeting, what is held, and from now on audio as it comes.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting {
        created: bool,
        format: Option<Pcm16>,
    },
    Asked(Pcm16),
    Open,
}

/// The start of one session.
#[derive(Debug)]
pub(super) struct Start {
    phase: Phase,
    held: VecDeque<Held>,
    bytes: usize,
    samples: u64,
}

/// The base64 of one message.
#[derive(Debug)]
struct Held {
    text: Vec<u8>,
    samples: u64,
}

impl Held {
    fn bytes(&self) -> usize {
        self.text.len() + HELD_OVERHEAD
    }
}

impl Start {
    pub(super) fn new() -> Start {
        Start {
            phase: Phase::Waiting {
                created: false,
                format: None,
            },
            held: VecDeque::new(),
            bytes: 0,
            samples: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// ACS has said what its audio is, for the first time.
    pub(super) fn format(&mut self, format: Pcm16) -> Due {
        match self.phase {
            Phase::Waiting { created, .. } => self.wait(created, Some(format)),
            Phase::Asked(_) | Phase::Open => Due::Nothing,
        }
    }

    /// The service has a session.
    pub(super) fn created(&mut self) -> Due {
        match self.phase {
            Phase::Waiting { format, .. } => self.wait(true, format),
            Phase::Asked(_) | Phase::Open => Due::Nothing,
        }
    }

    fn wait(&mut self, created: bool, format: Option<Pcm16>) -> Due {
        if let (true, Some(format)) = (created, format) {
            self.phase = Phase::Asked(format);
            return Due::Update(format);
        }
        self.phase = Phase::Waiting { created, format };
        Due::Nothing
    }

    /// The service has changed its session: to what was asked for, if it was asked.
    pub(super) fn updated(&mut self, session: Option<&[u8]>) -> Result<Due, Fault> {
        let Phase::Asked(format) = self.phase else {
            return Ok(Due::Nothing);
        };
        let said = session.and_then(Input::read).unwrap_or_default();
        let rate = match format {
            Pcm16::Hz16000 => 16_000,
            Pcm16::Hz24000 => 24_000,
        };
        let fits = said.coding.is_none_or(|coding| coding == Coding::Pcm16)
            && said.rate.is_none_or(|said| said == rate)
            && said.channels.is_none_or(|channels| channels == 1);
        if !fits {
            return Err(Fault::Mismatch);
        }
        self.phase = Phase::Open;
        Ok(Due::Open)
    }

    /// Keeps the base64 of one message until the session is open; returns how many older ones, or
    /// this one itself, went for it.
    pub(super) fn hold(&mut self, text: &[u8], rate: SampleRate) -> u64 {
        let held = Held {
            samples: samples(text),
            text: text.to_vec(),
        };
        self.bytes += held.bytes();
        self.samples += held.samples;
        self.held.push_back(held);
        let samples_max = rate.samples_in(HELD_MAX);
        let mut dropped = 0;
        while self.bytes > HELD_BYTES_MAX || self.samples > samples_max {
            if self.take().is_none() {
                break;
            }
            dropped += 1;
        }
        dropped
    }

    /// The oldest that is held.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let Some(held) = self.held.pop_front() else {
            self.held = VecDeque::new();
            return None;
        };
        self.bytes -= held.bytes();
        self.samples -= held.samples;
        Some(held.text)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Samples in base64 of PCM16.
fn samples(text: &[u8]) -> u64 {
    let padding = text.iter().rev().take_while(|&&b| b == b'=').count();
    (text.len() - padding) as u64 * 3 / 4 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_when_both_have_spoken_and_opens_when_answered() {
        for created_first in [true, false] {
            let mut start = Start::new();
            assert_eq!(start.updated(None), Ok(Due::Nothing));
            let due = if created_first {
                assert_eq!(start.created(), Due::Nothing);
                assert_eq!(start.created(), Due::Nothing);
                start.format(Pcm16::Hz16000)
            } else {
                assert_eq!(start.format(Pcm16::Hz16000), Due::Nothing);
                start.created()
            };
            assert_eq!(due, Due::Update(Pcm16::Hz16000));
            assert!(!start.is_open());
            assert_eq!(start.created(), Due::Nothing);
            assert_eq!(start.format(Pcm16::Hz24000), Due::Nothing);
            let session = br#"{"input_audio_format":"pcm16","input_audio_sampling_rate":16000}"#;
            assert_eq!(start.updated(Some(session)), Ok(Due::Open));
            assert!(start.is_open());
            assert_eq!(start.updated(Some(b"{}")), Ok(Due::Nothing));
        }
    }

    #[test]
    fn an_answer_that_contradicts_is_a_mismatch() {
        for (session, opens) in [
            (&br#"{}"#[..], true),
            (br#"{"input_audio_sampling_rate":24000}"#, true),
            (br#"{"input_audio_sampling_rate":16000}"#, false),
            (br#"{"input_audio_format":"g711_ulaw"}"#, false),
            (
                br#"{"input_audio_echo_cancellation":{"channels":2}}"#,
                false,
            ),
            // Not understood is not said.
            (br#"{"input_audio_sampling_rate":"?"}"#, true),
        ] {
            let mut start = Start::new();
            start.created();
            start.format(Pcm16::Hz24000);
            assert_eq!(start.updated(Some(session)).is_ok(), opens);
            assert_eq!(start.is_open(), opens);
        }
    }

    #[test]
    fn holds_two_seconds_and_drops_the_oldest() {
        for (rate, chars, frames) in [
            (SampleRate::Hz24000, 1280, 100),
            (SampleRate::Hz16000, 856, 100),
        ] {
            let frame = |n: usize| {
                let mut text = format!("{n:04}").into_bytes();
                text.resize(chars, b'A');
                if rate == SampleRate::Hz16000 {
                    text[chars - 2..].fill(b'=');
                }
                text
            };
            let mut start = Start::new();
            let dropped: u64 = (0..frames + 7).map(|n| start.hold(&frame(n), rate)).sum();
            assert_eq!(dropped, 7);
            for n in 7..frames + 7 {
                assert_eq!(start.take(), Some(frame(n)));
            }
            assert_eq!((start.take(), start.bytes(), start.samples), (None, 0, 0));
        }
    }

    #[test]
    fn many_small_messages_are_bounded_by_their_bytes_and_one_too_long_goes_itself() {
        let mut start = Start::new();
        let mut dropped = 0;
        for _ in 0..10_000 {
            dropped += start.hold(b"AAA=", SampleRate::Hz24000);
        }
        assert!(start.bytes() <= HELD_BYTES_MAX && dropped > 0);
        let kept = start.held.len() as u64;
        assert_eq!(kept + dropped, 10_000);
        let long = vec![b'A'; 200_000];
        assert_eq!(start.hold(&long, SampleRate::Hz24000), kept + 1);
        assert_eq!((start.bytes(), start.samples), (0, 0));
    }
}
