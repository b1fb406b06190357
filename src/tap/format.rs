//! How the audio of a client is written, as far as the detector hears it.

use crate::audio::SampleRate;
use crate::audio::g711::Law;
use crate::wire::voice_live::{Coding, Input};

/// What one sample of the microphone looks like, and how many there are in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    coding: Coding,
    rate: SampleRate,
    /// Two where each sample of the microphone is followed by one of the reference for echo
    /// cancellation.
    stereo: bool,
}

/// How to get at the microphone's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Mono,
    /// The microphone first, then the reference.
    Stereo,
    G711(Law),
}

impl Format {
    /// What a session begins with.
    pub(super) const FIRST: Format = Format {
        coding: Coding::Pcm16,
        rate: SampleRate::Hz24000,
        stereo: false,
    };

    /// What `said` makes of `before`; `None` if nobody knows. What is not said stays as it was,
    /// where that fits, and where nothing was known before, the coding must be said.
    pub(super) fn after(before: Option<Format>, said: &Input) -> Option<Format> {
        let coding = said.coding.or(before.map(|before| before.coding))?;
        let kept = before.filter(|before| is_g711(before.coding) == is_g711(coding));
        let rate = match (said.rate, kept) {
            (Some(hz), _) => SampleRate::from_hz(hz)?,
            (None, Some(kept)) => kept.rate,
            (None, None) if is_g711(coding) => SampleRate::Hz8000,
            (None, None) => SampleRate::Hz24000,
        };
        let stereo = match said.channels {
            Some(1) => false,
            Some(2) => true,
            Some(_) => return None,
            None => before.is_some_and(|before| before.stereo),
        };
        // G.711 is a telephone's: 8 kHz, and nobody says how a reference would lie in it.
        let fits = !is_g711(coding) || (rate == SampleRate::Hz8000 && !stereo);
        fits.then_some(Format {
            coding,
            rate,
            stereo,
        })
    }

    pub(super) fn rate(self) -> SampleRate {
        self.rate
    }

    pub(super) fn layout(self) -> Layout {
        match self.coding {
            Coding::Pcm16 if self.stereo => Layout::Stereo,
            Coding::Pcm16 => Layout::Mono,
            Coding::Ulaw => Layout::G711(Law::Mu),
            Coding::Alaw => Layout::G711(Law::A),
        }
    }
}

impl Layout {
    /// Bytes from one sample of the microphone to the next.
    pub(super) fn width(self) -> usize {
        match self {
            Layout::Mono => 2,
            Layout::Stereo => 4,
            Layout::G711(_) => 1,
        }
    }

    /// The samples of the microphone in `bytes`, which must be a multiple of [`Layout::width`].
    pub(super) fn samples(self, bytes: &[u8], out: &mut [i16]) {
        match self {
            Layout::Mono => {
                for (sample, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *sample = i16::from_le_bytes(*pair);
                }
            }
            Layout::Stereo => {
                for (sample, &[low, high, _, _]) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *sample = i16::from_le_bytes([low, high]);
                }
            }
            Layout::G711(law) => {
                let table = law.table();
                for (sample, &octet) in out.iter_mut().zip(bytes) {
                    *sample = table[usize::from(octet)];
                }
            }
        }
    }
}

fn is_g711(coding: Coding) -> bool {
    matches!(coding, Coding::Ulaw | Coding::Alaw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(coding: Coding, rate: SampleRate, stereo: bool) -> Option<Format> {
        Some(Format {
            coding,
            rate,
            stereo,
        })
    }

    #[test]
    fn what_is_not_said_stays_where_it_fits() {
        let (pcm, ulaw, alaw) = (Coding::Pcm16, Coding::Ulaw, Coding::Alaw);
        let first = Some(Format::FIRST);
        let stereo = format(pcm, SampleRate::Hz16000, true);
        let phone = format(ulaw, SampleRate::Hz8000, false);
        let slow = format(pcm, SampleRate::Hz8000, false);
        for (before, coding, rate, channels, after) in [
            (first, None, None, None, first),
            (first, None, Some(16_000), Some(2), stereo),
            (stereo, Some(pcm), None, None, stereo),
            (
                stereo,
                None,
                None,
                Some(1),
                format(pcm, SampleRate::Hz16000, false),
            ),
            (first, Some(ulaw), None, None, phone),
            (first, Some(ulaw), Some(8000), None, phone),
            (
                phone,
                Some(alaw),
                None,
                None,
                format(alaw, SampleRate::Hz8000, false),
            ),
            (phone, Some(pcm), None, None, first),
            (phone, Some(pcm), Some(8000), None, slow),
            (slow, Some(ulaw), None, None, phone),
            (None, Some(pcm), None, None, first),
            // Nobody knows.
            (None, None, Some(24_000), Some(1), None),
            (first, None, Some(44_100), None, None),
            (first, Some(ulaw), Some(16_000), None, None),
            (phone, None, Some(24_000), None, None),
            (stereo, Some(ulaw), None, None, None),
            (first, None, None, Some(0), None),
            (first, None, None, Some(3), None),
        ] {
            let said = Input {
                coding,
                rate,
                channels,
            };
            assert_eq!(Format::after(before, &said), after, "{before:?} {said:?}");
        }
    }

    #[test]
    fn the_microphone_is_the_first_of_two_channels() {
        let mut out = [0; 2];
        Layout::Stereo.samples(&[1, 0, 9, 9, 2, 1, 9, 9], &mut out);
        assert_eq!(out, [1, 258]);
        Layout::Mono.samples(&[1, 0, 2, 0xff], &mut out);
        assert_eq!(out, [1, -254]);
        Layout::G711(Law::A).samples(&[0xd5, 0x2a], &mut out);
        assert_eq!(out, [8, -32_256]);
    }
}
