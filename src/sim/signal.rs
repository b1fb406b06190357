//! Something to say: pcm16 audio that a voice detector takes for speech, and a long text.
//!
//! Owns deterministic generators, so that a run can be repeated byte for byte. Refuses to know
//! who hears it. It is no test of recognition: nobody will understand it.

use std::f64::consts::TAU;

use crate::audio::SampleRate;
use crate::dtmf::tone::{self, NotAKey};

/// The pitch of the voice in hertz, and how far it glides: enough that no two syllables are alike.
const PITCH: (f64, f64) = (120.0, 25.0);

/// Syllables a second.
const SYLLABLES: f64 = 4.0;

/// pcm16 little-endian mono of a voice-like sound: eight falling harmonics of a gliding pitch,
/// swelling four times a second, never silent, with a little noise so that no stretch repeats.
#[must_use]
pub fn speech(seconds: f64, rate: u32) -> Vec<u8> {
    let rate = f64::from(rate);
    let samples = (seconds * rate) as usize;
    let mut pcm = Vec::with_capacity(samples * 2);
    let (mut phase, mut noise) = (0.0_f64, 0x2545_f491_u32);
    for at in 0..samples {
        let time = at as f64 / rate;
        phase += TAU * (PITCH.0 + PITCH.1 * (TAU * 0.7 * time).sin()) / rate;
        let voice: f64 = (1..=8)
            .map(|harmonic| (phase * f64::from(harmonic)).sin() / f64::from(harmonic))
            .sum();
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hiss = f64::from(noise >> 16) / 65_536.0 - 0.5;
        let swell = 0.55 - 0.45 * (TAU * SYLLABLES * time).cos();
        let sample = 5_000.0 * swell * voice + 400.0 * hiss;
        pcm.extend_from_slice(&(sample as i16).to_le_bytes());
    }
    pcm
}

/// pcm16 of a telephone whose `keys` are pressed: 100 ms each, and as long between them.
pub fn keys(keys: &str, rate: SampleRate) -> Result<Vec<u8>, NotAKey> {
    let samples = tone::sequence(keys, rate, &tone::Pace::default())?;
    Ok(samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect())
}

/// pcm16 silence.
#[must_use]
pub fn silence(seconds: f64, rate: u32) -> Vec<u8> {
    vec![0; (seconds * f64::from(rate)) as usize * 2]
}

/// Size of [`large_text`]: above every buffer on the way, below every bound.
pub const LARGE: usize = 4 << 20;

/// The text of `sim-large`: JSON of exactly [`LARGE`] bytes, no two KiB of which are alike.
#[must_use]
pub fn large_text() -> String {
    let (head, tail) = (r#"{"type":"sim.large","data":""#, r#""}"#);
    let mut text = String::with_capacity(LARGE);
    text.push_str(head);
    let mut state = 1_u32;
    while text.len() < LARGE - tail.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push(char::from(b'a' + (state >> 24) as u8 % 26));
    }
    text.push_str(tail);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_repeats_exactly_and_never_clips() {
        let said = speech(1.0, 24_000);
        assert_eq!(said.len(), 48_000);
        assert_eq!(said, speech(1.0, 24_000));
        let peak = said
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs())
            .max();
        assert!((8_000..30_000).contains(&peak.unwrap()), "{peak:?}");
        assert_eq!(silence(0.5, 8_000), vec![0; 8_000]);
    }
}
