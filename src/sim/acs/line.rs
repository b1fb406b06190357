//! What is said on the line, cut into the 20 ms that each message carries.
//!
//! Owns a queue for each talker: sound, keys, and the messages that tell of keys. Refuses to know
//! JSON and clocks: whoever takes the next 20 ms decides when that is.

use crate::audio::SampleRate;
use crate::dtmf::Digit;
use crate::dtmf::tone::{self, NotAKey, Tone};
use std::collections::VecDeque;
use std::time::Duration;

/// Audio of one message.
pub const FRAME: Duration = Duration::from_millis(20);

/// The most that waits to be said by one talker: ten minutes, longer than any test listens.
pub const FRAMES_MAX: usize = 10 * 60 * 50;

/// Silence before the first key. It ends inside a frame, as a finger knows nothing of frames.
const LEAD_SECONDS: f64 = 0.107;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talker {
    /// Whoever called.
    Caller,
    /// Someone else in the call.
    Other,
}

/// How much of a key's tone is in the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All of it.
    Whole,
    /// The first so much, before a gateway mutes it.
    First(Duration),
    /// Nothing: the gateway muted it.
    Nothing,
}

/// How keys reach the edge, and how they are pressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keying {
    /// The tone in the audio.
    pub tone: Heard,
    /// A `DtmfData` message, so many frames after the one in which the tone begins; negative is
    /// before.
    pub message: Option<i32>,
    /// Length, level and twist of tones.
    pub pace: tone::Pace,
}

/// Why something is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    /// A character is neither a key nor a `,`.
    #[error(transparent)]
    NotAKey(#[from] NotAKey),
    /// Ten minutes wait already.
    #[error("more than ten minutes wait to be said")]
    Full,
}

/// 20 ms of one talker.
#[derive(Clone, Default)]
pub(super) struct Frame {
    /// A frame's samples, or none: silence.
    pub(super) samples: Vec<i16>,
    pub(super) begins: Option<Begins>,
    /// Keys that `DtmfData` messages tell before this frame.
    pub(super) told: Vec<Digit>,
}

/// What begins in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    Key,
    Speech,
}

/// What waits to be said.
pub(super) struct Line {
    rate: SampleRate,
    caller: VecDeque<Frame>,
    other: VecDeque<Frame>,
}

impl Keying {
    /// In the audio alone, as a line without telephone events has them.
    #[must_use]
    pub fn tones() -> Self {
        Self {
            tone: Heard::Whole,
            message: None,
            // 750 ms for a comma, as Amazon Connect dials.
            pace: tone::Pace {
                pause: 0.75,
                ..tone::Pace::default()
            },
        }
    }

    /// In `DtmfData` alone: the gateway took the tone out of the audio.
    #[must_use]
    pub fn messages() -> Self {
        Self {
            tone: Heard::Nothing,
            message: Some(0),
            ..Self::tones()
        }
    }

    /// In both, the message 60 ms after the tone began: one press that is told twice.
    #[must_use]
    pub fn both() -> Self {
        Self {
            message: Some(3),
            ..Self::tones()
        }
    }
}

impl Line {
    pub(super) fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            caller: VecDeque::new(),
            other: VecDeque::new(),
        }
    }

    /// Samples of a frame.
    pub(super) fn frame(&self) -> usize {
        self.rate.samples_in(FRAME) as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.caller.is_empty() && self.other.is_empty()
    }

    /// The next 20 ms of the caller and of the other; silence of whom nothing waits.
    pub(super) fn next(&mut self) -> [Frame; 2] {
        [&mut self.caller, &mut self.other].map(|track| track.pop_front().unwrap_or_default())
    }

    /// Puts samples behind what waits. The last frame is filled up with zeros.
    pub(super) fn say(&mut self, talker: Talker, samples: &[i16]) -> Result<(), Unsaid> {
        let size = self.frame();
        let mut frames = cut(samples, size);
        if let Some(first) = frames.first_mut() {
            first.begins = Some(Begins::Speech);
        }
        self.put(talker, frames)
    }

    /// Says nothing for so long, rounded up to frames.
    pub(super) fn pause(&mut self, talker: Talker, length: Duration) -> Result<(), Unsaid> {
        let frames = length.as_nanos().div_ceil(FRAME.as_nanos());
        let frames = usize::try_from(frames).map_err(|_| Unsaid::Full)?;
        if frames > FRAMES_MAX {
            return Err(Unsaid::Full);
        }
        self.put(talker, vec![Frame::default(); frames])
    }

    /// The caller, or the other, presses keys; a `,` is a pause. A gap of silence comes first.
    pub(super) fn press(
        &mut self,
        talker: Talker,
        keys: &str,
        keying: &Keying,
    ) -> Result<(), Unsaid> {
        let hz = f64::from(self.rate.hz());
        let pace = &keying.pace;
        let mut presses = Vec::new();
        let mut end = LEAD_SECONDS;
        for key in keys.chars() {
            if key == ',' {
                end += pace.pause;
            } else {
                let digit = Digit::from_char(key).ok_or(NotAKey(key))?;
                presses.push((digit, end));
                end += pace.tone + pace.gap;
            }
            if end > FRAME.as_secs_f64() * FRAMES_MAX as f64 {
                return Err(Unsaid::Full);
            }
        }
        let mut line = vec![0.0; (end * hz).ceil() as usize];
        let length = match keying.tone {
            Heard::Whole => pace.tone,
            Heard::First(part) => part.as_secs_f64().min(pace.tone),
            Heard::Nothing => 0.0,
        };
        for &(digit, start) in &presses {
            let tone = Tone::new(digit, pace.level_dbm0).twist(pace.twist_db);
            tone.add_to(&mut line, self.rate, start, length);
        }
        let size = self.frame();
        let mut frames = cut(&tone::to_pcm16(&line), size);
        for (digit, start) in presses {
            let at = (start / FRAME.as_secs_f64()) as usize;
            frames[at].begins = Some(Begins::Key);
            if let Some(after) = keying.message {
                let at = at.saturating_add_signed(after as isize);
                if at >= FRAMES_MAX {
                    return Err(Unsaid::Full);
                }
                frames.resize(frames.len().max(at + 1), Frame::default());
                frames[at].told.push(digit);
            }
        }
        self.put(talker, frames)
    }

    fn put(&mut self, talker: Talker, frames: Vec<Frame>) -> Result<(), Unsaid> {
        let track = match talker {
            Talker::Caller => &mut self.caller,
            Talker::Other => &mut self.other,
        };
        if track.len() + frames.len() > FRAMES_MAX {
            return Err(Unsaid::Full);
        }
        track.extend(frames);
        Ok(())
    }
}

fn cut(samples: &[i16], size: usize) -> Vec<Frame> {
    let whole = |piece: &[i16]| {
        let mut samples = piece.to_vec();
        samples.resize(size, 0);
        Frame {
            samples,
            ..Frame::default()
        }
    };
    samples.chunks(size).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::{Detector, Event, Setting};

    fn all(line: &mut Line) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !line.is_empty() {
            let [caller, _] = line.next();
            frames.push(caller);
        }
        frames
    }

    fn heard(frames: &[Frame], rate: SampleRate) -> String {
        let mut detector = Detector::new(rate, Setting::Standard);
        let mut keys = String::new();
        let silence = vec![0; rate.samples_in(FRAME) as usize];
        let quiet = Frame::default();
        for frame in frames.iter().chain(std::iter::repeat_n(&quiet, 5)) {
            let samples = match &frame.samples[..] {
                [] => &silence[..],
                samples => samples,
            };
            detector.push(samples, |event| {
                if let Event::KeyDown { digit, .. } = event {
                    keys.push(digit.as_char());
                }
            });
        }
        keys
    }

    fn told(frames: &[Frame]) -> String {
        let told = frames.iter().flat_map(|frame| &frame.told);
        told.map(|digit| digit.as_char()).collect()
    }

    #[test]
    fn a22_keys_are_in_the_audio_in_messages_or_in_both() {
        let leak = Keying {
            tone: Heard::First(Duration::from_millis(15)),
            ..Keying::messages()
        };
        let mut seen = 0;
        for rate in [SampleRate::Hz16000, SampleRate::Hz24000] {
            for (keying, in_audio, in_messages) in [
                (Keying::tones(), "82,33#".replace(',', ""), ""),
                (Keying::messages(), String::new(), "8233#"),
                (leak, String::new(), "8233#"),
                (Keying::both(), "8233#".into(), "8233#"),
            ] {
                let mut line = Line::new(rate);
                line.press(Talker::Caller, "82,33#", &keying).unwrap();
                let frames = all(&mut line);
                assert_eq!(heard(&frames, rate), in_audio);
                assert_eq!(told(&frames), in_messages);
                let pressed = frames.iter().filter(|f| f.begins == Some(Begins::Key));
                assert_eq!(pressed.count(), 5);
                // 107 ms, five keys of 200 ms, 750 ms, rounded up.
                assert_eq!(frames.len(), 93);
                seen += 1;
            }
        }
        assert_eq!(seen, 8);
    }

    #[test]
    fn a_message_may_come_before_the_tone_and_after_the_last_frame() {
        for (after, expected) in [(-2, 3), (0, 5), (4, 9), (-90, 0), (90, 95)] {
            let keying = Keying {
                message: Some(after),
                ..Keying::tones()
            };
            let mut line = Line::new(SampleRate::Hz16000);
            line.press(Talker::Caller, "7", &keying).unwrap();
            let frames = all(&mut line);
            assert_eq!(
                frames.iter().position(|f| !f.told.is_empty()),
                Some(expected)
            );
            assert_eq!(frames[5].begins, Some(Begins::Key));
        }
    }

    #[test]
    fn talkers_have_queues_of_their_own_and_they_are_bounded() {
        let mut line = Line::new(SampleRate::Hz16000);
        line.say(Talker::Caller, &[1; 321]).unwrap();
        line.say(Talker::Other, &[2; 320]).unwrap();
        let [caller, other] = line.next();
        assert_eq!((caller.samples[319], other.samples[319]), (1, 2));
        assert_eq!(caller.begins, Some(Begins::Speech));
        let [caller, other] = line.next();
        assert_eq!(caller.samples[..2], [1, 0]);
        assert_eq!((caller.begins, caller.samples.len()), (None, 320));
        assert!(other.samples.is_empty() && line.is_empty());
        let most = FRAME * FRAMES_MAX as u32;
        line.pause(Talker::Caller, most).unwrap();
        assert_eq!(line.say(Talker::Caller, &[1]), Err(Unsaid::Full));
        assert_eq!(line.pause(Talker::Other, most + FRAME), Err(Unsaid::Full));
        let key = line.press(Talker::Caller, "1x", &Keying::tones());
        assert_eq!(key, Err(Unsaid::NotAKey(NotAKey('x'))));
    }
}
