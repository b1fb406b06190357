//! The ear: tells speech from silence by loudness alone.
//!
//! Owns the two codecs' sample values and the windows. Refuses to know sessions: samples in, at
//! most one change per window out, positions in milliseconds of the whole stream.

/// Length of one window.
const WINDOW_MS: u64 = 10;

/// Mean magnitude above which a window counts as voice; about -36 dBFS. Comfort noise lies below,
/// a voice on a phone well above.
const LOUD: u64 = 500;

/// Voice must last this long before it is speech, so that a click is not.
const ONSET_MS: u64 = 60;

/// How bytes become samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Pcm16,
    Ulaw,
    Alaw,
}

/// What the ear noticed at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Started { at_ms: u64 },
    Stopped { at_ms: u64 },
}

/// State of one stream.
#[derive(Default)]
pub(super) struct Vad {
    position_ms: u64,
    sum: u64,
    samples: u64,
    loud_ms: u64,
    quiet_ms: u64,
    speaking: bool,
}

impl Coding {
    pub(super) fn bytes_per_sample(self) -> usize {
        match self {
            Self::Pcm16 => 2,
            Self::Ulaw | Self::Alaw => 1,
        }
    }

    fn magnitude(self, sample: &[u8]) -> u64 {
        match (self, sample) {
            (Self::Pcm16, &[low, high]) => i16::from_le_bytes([low, high]).unsigned_abs().into(),
            (Self::Ulaw, &[byte]) => ulaw_magnitude(byte).into(),
            (Self::Alaw, &[byte]) => alaw_magnitude(byte).into(),
            _ => 0,
        }
    }
}

impl Vad {
    /// Forgets a turn in progress, not the position.
    pub(super) fn reset(&mut self) {
        (self.loud_ms, self.quiet_ms, self.speaking) = (0, 0, false);
    }

    /// Takes samples up to the next change. Returns how many bytes were taken and the change.
    pub(super) fn listen(
        &mut self,
        audio: &[u8],
        coding: Coding,
        rate: u32,
        silence_ms: u64,
    ) -> (usize, Option<Heard>) {
        let width = coding.bytes_per_sample();
        let window = u64::from(rate) * WINDOW_MS / 1000;
        for (at, sample) in audio.chunks_exact(width).enumerate() {
            self.sum += coding.magnitude(sample);
            self.samples += 1;
            // The rate may change inside a window; then the window ends by the new one.
            if self.samples >= window {
                let loud = self.sum / self.samples > LOUD;
                (self.sum, self.samples) = (0, 0);
                self.position_ms += WINDOW_MS;
                if let Some(heard) = self.window(loud, silence_ms) {
                    return ((at + 1) * width, Some(heard));
                }
            }
        }
        (audio.len(), None)
    }

    fn window(&mut self, loud: bool, silence_ms: u64) -> Option<Heard> {
        if loud {
            (self.loud_ms, self.quiet_ms) = (self.loud_ms + WINDOW_MS, 0);
        } else {
            (self.loud_ms, self.quiet_ms) = (0, self.quiet_ms + WINDOW_MS);
        }
        if !self.speaking && self.loud_ms >= ONSET_MS {
            self.speaking = true;
            let at_ms = self.position_ms - self.loud_ms;
            return Some(Heard::Started { at_ms });
        }
        if self.speaking && self.quiet_ms >= silence_ms {
            self.speaking = false;
            let at_ms = self.position_ms - self.quiet_ms;
            return Some(Heard::Stopped { at_ms });
        }
        None
    }
}

/// ITU-T G.711, mu-law: bits inverted, three of segment, four of step, bias 33 at 14 bits.
fn ulaw_magnitude(byte: u8) -> u16 {
    let byte = !byte;
    let (segment, step) = ((byte >> 4) & 7, u16::from(byte & 15));
    (((step << 3) + 0x84) << segment) - 0x84
}

/// ITU-T G.711, A-law: every second bit inverted, no bias in the first segment.
fn alaw_magnitude(byte: u8) -> u16 {
    let byte = byte ^ 0x55;
    let (segment, step) = ((byte >> 4) & 7, u16::from(byte & 15) << 4);
    match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::signal;

    fn hear(audio: &[u8], chunk: usize) -> Vec<(usize, Heard)> {
        let (mut vad, mut heard, mut taken) = (Vad::default(), Vec::new(), 0);
        for piece in audio.chunks(chunk) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (used, change) = vad.listen(rest, Coding::Pcm16, 24_000, 300);
                taken += used;
                heard.extend(change.map(|change| (taken, change)));
                rest = &rest[used..];
            }
        }
        heard
    }

    #[test]
    fn a_turn_is_heard_alike_in_any_pieces() {
        let mut audio = signal::silence(0.2, 24_000);
        audio.extend(signal::speech(2.0, 24_000));
        audio.extend(signal::silence(1.0, 24_000));
        let whole = hear(&audio, audio.len());
        assert_eq!(whole.len(), 2, "one start and one stop: {whole:?}");
        let (_, Heard::Started { at_ms }) = whole[0] else {
            panic!("{whole:?}")
        };
        assert!((200..300).contains(&at_ms), "{at_ms}");
        let (_, Heard::Stopped { at_ms }) = whole[1] else {
            panic!("{whole:?}")
        };
        assert!((2_150..2_250).contains(&at_ms), "{at_ms}");
        for chunk in [2, 960, 962, 30_000] {
            assert_eq!(hear(&audio, chunk), whole, "in pieces of {chunk}");
        }
    }

    #[test]
    fn silence_and_clicks_are_not_speech() {
        assert_eq!(hear(&signal::silence(2.0, 24_000), 960), []);
        let mut click = signal::silence(0.2, 24_000);
        click.extend([0xff, 0x3f].repeat(240 * 5));
        click.extend(signal::silence(0.5, 24_000));
        assert_eq!(hear(&click, 960), []);
    }

    #[test]
    fn the_codecs_ends_are_the_standards() {
        assert_eq!(
            [0xff, 0x7f, 0x00, 0x80].map(ulaw_magnitude),
            [0, 0, 32_124, 32_124]
        );
        assert_eq!(
            [0xd5, 0x55, 0x2a, 0xaa].map(alaw_magnitude),
            [8, 8, 32_256, 32_256]
        );
    }
}
