//! The generator: keys as a telephone, a bad line or a test procedure would send them. Tests, the
//! simulators, the load test and the command line use it; the detector never does.

use super::Digit;
use crate::audio::SampleRate;
use crate::audio::g711::FULL_SCALE_DBM0;
use std::f64::consts::TAU;

/// One key as sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// Which key.
    pub digit: Digit,
    /// Level of the low and of the high tone, dBm0.
    pub level_dbm0: [f64; 2],
    /// Deviation of the low and of the high tone as a ratio: 0.015 is 1.5 % sharp.
    pub deviation: [f64; 2],
    /// Phase of the low and of the high tone where the tone begins, in turns.
    pub phase: [f64; 2],
}

impl Tone {
    /// `digit` with both tones at `level_dbm0`, exact frequencies, starting at zero.
    pub fn new(digit: Digit, level_dbm0: f64) -> Self {
        Self {
            digit,
            level_dbm0: [level_dbm0; 2],
            deviation: [0.0; 2],
            phase: [0.0; 2],
        }
    }

    /// The high tone `twist_db` above the low one, the louder of the two as loud as before.
    pub fn twist(mut self, twist_db: f64) -> Self {
        let loud = self.level_dbm0[0].max(self.level_dbm0[1]);
        self.level_dbm0 = [loud - twist_db.max(0.0), loud + twist_db.min(0.0)];
        self
    }

    /// The tone's value `seconds` after it began, in PCM16 units, not yet rounded.
    pub fn at(&self, seconds: f64) -> f64 {
        let hz = self.digit.frequencies_hz();
        (0..2)
            .map(|i| {
                let turns = hz[i] * (1.0 + self.deviation[i]) * seconds + self.phase[i];
                amplitude(self.level_dbm0[i]) * (TAU * turns).sin()
            })
            .sum()
    }

    /// Adds the tone to `line` from `start` for `duration`, both in seconds and not tied to samples.
    pub fn add_to(&self, line: &mut [f64], rate: SampleRate, start: f64, duration: f64) {
        let hz = f64::from(rate.hz());
        let first = (start * hz).ceil().max(0.0) as usize;
        let end = ((start + duration) * hz).ceil().max(0.0) as usize;
        for n in first..end.min(line.len()) {
            line[n] += self.at(n as f64 / hz - start);
        }
    }
}

/// Peak of a sine at `level_dbm0`, in PCM16 units.
pub fn amplitude(level_dbm0: f64) -> f64 {
    32_767.0 * 10f64.powf((level_dbm0 - f64::from(FULL_SCALE_DBM0)) / 20.0)
}

/// Rounds a line to PCM16; what is too loud is clipped, as a converter would.
pub fn to_pcm16(line: &[f64]) -> Vec<i16> {
    line.iter()
        .map(|x| x.round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

/// How a sequence is dialled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Length of each tone, seconds.
    pub tone: f64,
    /// Silence after each tone, seconds.
    pub gap: f64,
    /// Silence that a `,` stands for, seconds.
    pub pause: f64,
    /// Level of each tone, dBm0.
    pub level_dbm0: f64,
    /// High tone over low tone, dB.
    pub twist_db: f64,
}

impl Default for Pace {
    /// 100 ms tones and gaps at -10 dBm0 a tone, two seconds for a comma as modems have it.
    fn default() -> Self {
        Self {
            tone: 0.1,
            gap: 0.1,
            pause: 2.0,
            level_dbm0: -10.0,
            twist_db: 0.0,
        }
    }
}

/// A character that is neither a key nor a `,`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: {0:?}")]
pub struct NotAKey(pub char);

/// Dials `keys`: a gap of silence first, then each tone with its gap; `,` is a pause.
pub fn sequence(keys: &str, rate: SampleRate, pace: &Pace) -> Result<Vec<i16>, NotAKey> {
    let hz = f64::from(rate.hz());
    let mut line = vec![0.0; (pace.gap * hz) as usize];
    for key in keys.chars() {
        let start = line.len();
        if key == ',' {
            line.resize(start + (pace.pause * hz) as usize, 0.0);
            continue;
        }
        let digit = Digit::from_char(key).ok_or(NotAKey(key))?;
        line.resize(start + ((pace.tone + pace.gap) * hz) as usize, 0.0);
        let tone = Tone::new(digit, pace.level_dbm0).twist(pace.twist_db);
        tone.add_to(&mut line[start..], rate, 0.0, pace.tone);
    }
    Ok(to_pcm16(&line))
}
