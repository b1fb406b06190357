//! A telephone line made of keys and disturbances, with the truth beside it.

use std::f64::consts::TAU;
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::dtmf::Digit;
use tonegate::dtmf::tone::{Tone, amplitude, to_pcm16};

/// SplitMix64: small, good enough, and the same everywhere.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn sign(&mut self) -> f64 {
        if self.next() & 1 == 0 { 1.0 } else { -1.0 }
    }

    pub(crate) fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// A key as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Press {
    pub(crate) tone: Tone,
    /// Seconds.
    pub(crate) start: f64,
    pub(crate) duration: f64,
    /// Must be reported; otherwise it must not.
    pub(crate) valid: bool,
    /// A hole in it may pass for its beginning.
    pub(crate) holed: bool,
}

/// The line being built.
pub(crate) struct Line {
    pub(crate) rate: SampleRate,
    pub(crate) wave: Vec<f64>,
    pub(crate) presses: Vec<Press>,
    pub(crate) rng: Rng,
    /// Where disturbances begin, in seconds.
    disturbed_from: f64,
}

/// What hum, DC and dial tone no louder than the keys need to be known: keys that come sooner after
/// they began are not promised. And what louder interference needs.
const KNOWN_AFTER: f64 = 0.2;
const LOUD_KNOWN_AFTER: f64 = 0.3;

impl Line {
    /// A line on which keys begin anywhere in the first second.
    pub(crate) fn new(rate: SampleRate, seed: u64) -> Self {
        let mut line = Self {
            rate,
            wave: Vec::new(),
            presses: Vec::new(),
            rng: Rng::new(seed),
            disturbed_from: 0.0,
        };
        let lead = line.rng.between(KNOWN_AFTER, 1.0);
        line.silence(lead);
        line
    }

    /// Keys begin at once.
    pub(crate) fn at_once(&mut self) {
        self.wave.clear();
        let lead = self.rng.between(0.0, 0.02);
        self.silence(lead);
    }

    /// Keys begin when even loud interference is known.
    pub(crate) fn patient(&mut self) {
        self.wave.clear();
        let lead = self.rng.between(LOUD_KNOWN_AFTER, 1.0);
        self.silence(lead);
    }

    /// Disturbances begin in the middle of silence, and keys soon after.
    pub(crate) fn late(&mut self) {
        self.late_by(KNOWN_AFTER);
    }

    /// The same, keys not sooner than `known_after`.
    pub(crate) fn late_by(&mut self, known_after: f64) {
        self.wave.clear();
        self.disturbed_from = self.rng.between(0.3, 0.7);
        let lead = self.disturbed_from + self.rng.between(known_after, 0.7);
        self.silence(lead);
    }

    fn disturbed(&mut self) -> impl Iterator<Item = (usize, &mut f64)> {
        let from = (self.disturbed_from * f64::from(self.rate.hz())) as usize;
        self.wave.iter_mut().enumerate().skip(from)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.wave.len() as f64 / f64::from(self.rate.hz())
    }

    pub(crate) fn silence(&mut self, seconds: f64) {
        let n = (seconds * f64::from(self.rate.hz())).round() as usize;
        self.wave.resize(self.wave.len() + n, 0.0);
    }

    /// Sends `tone`, then is silent for `pause`. Neither is tied to a sample.
    pub(crate) fn press(&mut self, tone: Tone, duration: f64, pause: f64, valid: bool) {
        let previous_end = self
            .presses
            .last()
            .map_or(0.0, |p| p.start + p.duration + pause);
        let start = self.seconds().max(previous_end);
        self.silence(start + duration + pause - self.seconds());
        tone.add_to(&mut self.wave, self.rate, start, duration);
        self.presses.push(Press {
            tone,
            start,
            duration,
            valid,
            holed: false,
        });
    }

    /// Silences the last press from `at` for `length` after its beginning.
    pub(crate) fn interrupt(&mut self, at: f64, length: f64) {
        let Some(press) = self.presses.last_mut() else {
            return;
        };
        press.holed = true;
        let start = press.start + at;
        let hz = f64::from(self.rate.hz());
        let range = (start * hz).ceil() as usize..((start + length) * hz).ceil() as usize;
        self.wave[range].fill(0.0);
    }

    /// The last press grows softer, to `db` after `seconds`, and stays so.
    pub(crate) fn fade(&mut self, db: f64, seconds: f64) {
        let hz = f64::from(self.rate.hz());
        let start = (self.presses.last().map_or(0.0, |press| press.start) * hz) as usize;
        for (n, x) in self.wave[start..].iter_mut().enumerate() {
            let done = (n as f64 / hz / seconds).min(1.0);
            *x *= 10f64.powf(db * done / 20.0);
        }
    }

    /// White noise whose power in 0..4 kHz is that of a sine at `level_dbm0`.
    pub(crate) fn noise(&mut self, level_dbm0: f64) {
        let in_band = amplitude(level_dbm0) / 2f64.sqrt();
        let rms = in_band * (f64::from(self.rate.hz()) / 8000.0).sqrt();
        let mut rng = Rng::new(self.rng.next());
        for (_, x) in self.disturbed() {
            *x += rms * rng.gaussian();
        }
    }

    /// A steady sine.
    pub(crate) fn sine(&mut self, hz: f64, level_dbm0: f64) {
        let phase = self.rng.unit();
        let peak = amplitude(level_dbm0);
        let step = hz / f64::from(self.rate.hz());
        for (n, x) in self.disturbed() {
            *x += peak * (TAU * (step * n as f64 + phase)).sin();
        }
    }

    /// Impulses of 1 ms at `level_dbm0`, so many a second, as exchanges make them.
    pub(crate) fn clicks(&mut self, level_dbm0: f64, a_second: f64) {
        let length = self.rate.hz() as usize / 1000;
        for _ in 0..(self.seconds() * a_second) as usize {
            let at = self.rng.below(self.wave.len() - length);
            let sign = self.rng.sign();
            for x in &mut self.wave[at..at + length] {
                *x += sign * amplitude(level_dbm0);
            }
        }
    }

    /// A voice that glides: eight harmonics of 100 to 200 Hz, at `level_dbm0` in all.
    pub(crate) fn voice(&mut self, level_dbm0: f64) {
        let peak = amplitude(level_dbm0 - 9.0);
        let step = 1.0 / f64::from(self.rate.hz());
        let mut phase = 0.0;
        for (n, x) in self.disturbed() {
            let seconds = n as f64 * step;
            let pitch = 150.0 + 50.0 * (TAU * 0.7 * seconds).sin();
            phase += pitch * step;
            let harmonics = (1..=8).map(|k| (TAU * phase * f64::from(k)).sin());
            let syllable = (TAU * 2.0 * seconds).sin().max(0.0);
            *x += peak * syllable * harmonics.sum::<f64>();
        }
    }

    /// Through an adaptive differential coder with four bits a sample and back, in the manner of G.726.
    pub(crate) fn adpcm(&mut self) {
        let (mut step, mut value) = (16.0f64, 0.0f64);
        for x in &mut self.wave {
            let code = ((*x - value) / step * 4.0).round().clamp(-7.0, 7.0);
            value = (value + code * step / 4.0).clamp(-32_768.0, 32_767.0);
            let scale = if code.abs() < 4.0 {
                0.91
            } else {
                1.2f64.powf(code.abs() - 3.0)
            };
            step = (step * scale).clamp(16.0, 32_767.0);
            *x = value;
        }
    }

    pub(crate) fn offset(&mut self, dc: f64) {
        for (_, x) in self.disturbed() {
            *x += dc;
        }
    }

    /// One reflection, `level_db` against the direct sound.
    pub(crate) fn echo(&mut self, delay: f64, level_db: f64) {
        let gain = 10f64.powf(level_db / 20.0);
        let shift = (delay * f64::from(self.rate.hz())).round() as usize;
        let direct = self.wave.clone();
        for n in shift..direct.len() {
            self.wave[n] += gain * direct[n - shift];
        }
    }

    pub(crate) fn finish(mut self, law: Option<Law>) -> (Vec<i16>, Vec<Press>, SampleRate) {
        self.silence(0.1);
        let mut samples = to_pcm16(&self.wave);
        if let Some(law) = law {
            for sample in &mut samples {
                *sample = law.decode(law.encode(*sample));
            }
        }
        (samples, self.presses, self.rate)
    }

    /// All sixteen keys in random order.
    pub(crate) fn shuffled(&mut self) -> Vec<Digit> {
        let mut digits: Vec<Digit> = Digit::all().collect();
        for i in (1..digits.len()).rev() {
            digits.swap(i, self.rng.below(i + 1));
        }
        digits
    }
}
