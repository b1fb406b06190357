//! The case for a key: what the windows of a run say together, and the thresholds it is held
//! against. Pure arithmetic on a handful of numbers; time and state are [`digit`](super::digit)'s.
//!
//! Per interval between two neighbouring windows the product `z[n] * conj(z[n-1])` is summed for
//! each tone. One number gives three answers. Its angle is the phase advance in 5 ms, which
//! *measures* the frequency: 697 Hz 1.8 % sharp is 22.6 degrees ahead, 3 % is 37.6. Its size is the
//! tone's power, without the bias that noise adds to a sum of squares. And its size against the
//! sum of sizes says whether the tone kept its pitch and phase, which voices do not.

use super::background::Background;
use super::kernel::{FULL_SCALE, INNER_HZ};
use super::{FREQUENCIES_HZ, Quality, Setting};
use crate::audio::g711::FULL_SCALE_DBM0;
use std::f32::consts::TAU;

/// Energy a hop (as [`Measure::energy`](super::kernel::Measure) counts, samples quartered) of a
/// tone with `|z|² = 1`: `40 * (peak / 4)² / 2` with `peak = 32768 / FULL_SCALE`.
pub(super) const ENERGY_PER_POWER: f32 = 1.25 * (32_768.0 / FULL_SCALE) * (32_768.0 / FULL_SCALE);
/// Seconds between two windows.
const HOP_SECONDS: f32 = 0.005;

/// Least rest that can be told from none in 30 ms: two tones beat within the hops. 20 dB.
const REST_MIN: f32 = 0.01;

/// Part of a background louder than the key that must be heard under it: hum with harmonics swings by
/// 1.5 either way over 20 ms.
const STILL_THERE: f32 = 0.6;

/// A window is part of a run from this level on: 3 dB below the softest key, so that noise and
/// the edges of a key do not break it. In units of `|z|²`: `FULL_SCALE² * 10^((-43 - 3.14) / 10)`.
const WINDOW_POWER_MIN: [i32; 2] = [window_power(2.432e-5), window_power(6.109e-6)];

const fn window_power(ratio: f32) -> i32 {
    (FULL_SCALE * FULL_SCALE * ratio) as i32
}

/// Least power of a tone in a window of a run.
pub(super) const fn window_power_min(setting: Setting) -> i32 {
    match setting {
        Setting::Standard => WINDOW_POWER_MIN[0],
        Setting::Lenient => WINDOW_POWER_MIN[1],
    }
}

/// Every limit of the decision. Energies and frequencies are ratios, levels and twist dB,
/// durations milliseconds.
#[derive(Debug)]
pub(super) struct Limits {
    /// Softest tone. Q.24 has AT&T operate at -25 dBm and not at -55: halfway.
    pub(super) level_dbm0: f32,
    /// Most that the high tone may be below and above the low one, however clean. Q.24 (AT&T) asks
    /// for -8 and +4, Brazil for 9, Australia for 10.
    pub(super) twist_db: [f32; 2],
    /// Twist beyond this needs clean evidence: the mandatory -8 and +4, moved by 3.5 dB. An echo
    /// 10 dB down moves twist by up to 5.7 dB, but only from 20 ms on, half of the run.
    pub(super) twist_plain_db: [f32; 2],
    /// Most that a tone may be off. Q.24 has NTT operate at 1.8 % and not at 3.0 %. 15 dB of SNR
    /// spreads the measurement by 0.1 %: 1.8 and four times that.
    pub(super) deviation: f32,
    /// Deviation beyond this is doubtful: nothing asks for more than 1.8 %.
    pub(super) deviation_plain: f32,
    /// Telephones keep within this; energy that the tones do not explain is forgiven more freely.
    pub(super) deviation_typical: f32,
    /// Unexplained energy over that of the tones, for typical deviation and beyond. 12 dB of SNR is
    /// 0.063, an echo's step 0.1; spandsp's is 0.22.
    pub(super) rest: [f32; 2],
    /// Up to this, the evidence is clean: 11 dB.
    pub(super) rest_clean: f32,
    /// Times the background's least energy that may be under the key, for all and for high-passed
    /// energy. Hum with harmonics swings by 1.5 either way over 20 ms, noise by 1.2.
    pub(super) background: [f32; 2],
    /// Coherence: at least; at least when the background is drawn on; and of clean evidence. White
    /// noise at 12 dB leaves 0.99, 550 Hz as loud as the key 0.978; sung vowels reach 0.95.
    pub(super) coherence: f32,
    pub(super) coherence_drawn: f32,
    pub(super) coherence_clean: f32,
    /// Duration with clean evidence and with any other. Must be heard at 40 ms and not at 23 (Q.24);
    /// measured to 2 ms. Clean keys are reported early, doubtful ones as late as 40 ms allow.
    pub(super) duration_ms: [f32; 2],
}

/// The one setting for every call.
static STANDARD: Limits = Limits {
    level_dbm0: -40.0,
    twist_db: [-14.0, 10.0],
    twist_plain_db: [-12.2, 8.4],
    deviation: 0.022,
    deviation_plain: 0.020,
    deviation_typical: 0.011,
    rest: [0.15, 0.12],
    rest_clean: 0.08,
    background: [3.0, 1.8],
    coherence: 0.95,
    coherence_drawn: 0.97,
    coherence_clean: 0.97,
    duration_ms: [26.5, 33.0],
};

/// For audio in which a caller is known to have dialled, looked at a second time: what the standard
/// leaves out for the sake of speech is let in. It would hear keys in speech several times an hour.
static LENIENT: Limits = Limits {
    level_dbm0: -46.0,
    twist_db: [-16.0, 12.0],
    twist_plain_db: [-16.0, 12.0],
    deviation: 0.026,
    deviation_plain: 0.026,
    deviation_typical: 0.026,
    rest: [0.5, 0.5],
    rest_clean: 0.15,
    background: [4.0, 3.0],
    coherence: 0.85,
    coherence_drawn: 0.85,
    coherence_clean: 0.95,
    duration_ms: [26.0, 28.0],
};

impl Limits {
    pub(super) fn of(setting: Setting) -> &'static Self {
        match setting {
            Setting::Standard => &STANDARD,
            Setting::Lenient => &LENIENT,
        }
    }
}

/// Sums over the intervals of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// `z[n] * conj(z[n-1])` of low and high tone, and the sizes of those products.
    cross: [[f32; 2]; 2],
    size: [f32; 2],
    /// Energies as measured.
    energy: [f32; 2],
    /// How many intervals.
    pub(super) intervals: f32,
}

impl Sums {
    /// Adds the interval that ends with window `now`.
    pub(super) fn add(&mut self, now: [[i16; 2]; 2], before: [[i16; 2]; 2], energy: [f32; 2]) {
        for tone in 0..2 {
            let [a, b] = now[tone].map(f32::from);
            let [c, d] = before[tone].map(f32::from);
            self.cross[tone][0] += a * c + b * d;
            self.cross[tone][1] += b * c - a * d;
            self.size[tone] += ((a * a + b * b) * (c * c + d * d)).sqrt();
            self.energy[tone] += energy[tone];
        }
        self.intervals += 1.0;
    }
}

/// What a run amounts to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// `|z|` of each tone.
    pub(super) amplitude: [f32; 2],
    pub(super) quality: Quality,
    coherence: f32,
    /// Energy that is not the tones', over theirs: all, high-passed.
    rest: [f32; 2],
    /// The background's energy, over that of the tones.
    background: [f32; 2],
}

impl Evidence {
    /// Weighs `sums` of the tones at `indices` of [`FREQUENCIES_HZ`].
    pub(super) fn weigh(sums: &Sums, indices: [usize; 2], background: &Background) -> Self {
        let mut amplitude = [0.0; 2];
        let mut level_dbm0 = [0.0; 2];
        let mut deviation = [0.0; 2];
        let mut coherence = 1f32;
        let mut tones = [0.0; 2];
        for (i, index) in indices.into_iter().enumerate() {
            let hz = FREQUENCIES_HZ[index] as f32;
            let nominal = hz * HOP_SECONDS;
            let (sin, cos) = (TAU * (nominal - nominal.round())).sin_cos();
            let [x, y] = sums.cross[i];
            let ahead = (y * cos - x * sin).atan2(x * cos + y * sin);
            let off_hz = ahead / (TAU * HOP_SECONDS);
            let size = (x * x + y * y).sqrt();
            coherence = coherence.min(size / sums.size[i]);
            let power = size / sums.intervals;
            let energy = power / droop(off_hz) * ENERGY_PER_POWER;
            let gain = (TAU * (hz + off_hz) / INNER_HZ as f32).sin();
            tones[0] += energy;
            tones[1] += energy * gain * gain; // as Measure::high is filtered
            amplitude[i] = power.sqrt();
            deviation[i] = off_hz / hz;
            level_dbm0[i] = 10.0 * (power / (FULL_SCALE * FULL_SCALE)).log10() + FULL_SCALE_DBM0;
        }
        let rest = [0, 1].map(|i| sums.energy[i] / (sums.intervals * tones[i]) - 1.0);
        let snr_db = -10.0 * rest[0].max(REST_MIN).log10();
        let quality = Quality {
            level_dbm0,
            deviation,
            snr_db,
        };
        let background = background.under(tones);
        let background = [background[0] / tones[0], background[1] / tones[1]];
        Self {
            amplitude,
            quality,
            coherence,
            rest,
            background,
        }
    }

    /// The duration in milliseconds from which this is a key, if it is one at all.
    pub(super) fn needs_ms(&self, limits: &Limits) -> Option<f32> {
        let twist = self.quality.twist_db();
        let within = |[low, high]: [f32; 2]| twist >= low && twist <= high;
        let deviation = self.quality.deviation[0]
            .abs()
            .max(self.quality.deviation[1].abs());
        let plain = deviation <= limits.deviation_plain && within(limits.twist_plain_db);
        let clean = self.coherence >= limits.coherence_clean
            && self.rest[0].max(self.rest[1]) <= limits.rest_clean;

        let rest_max = limits.rest[usize::from(deviation > limits.deviation_typical)];
        let drawn = self.rest[0].max(self.rest[1]) > limits.rest[0];
        let coherence_min = if drawn {
            limits.coherence_drawn
        } else {
            limits.coherence
        };
        let explained = (0..2).all(|i| {
            let (rest, background) = (self.rest[i], self.background[i]);
            // A background louder than the key cannot have gone away just while it lasted.
            let still_there = background <= 1.0 || rest >= STILL_THERE * background;
            still_there && rest <= rest_max + limits.background[i] * background
        });
        let accepted = self
            .quality
            .level_dbm0
            .iter()
            .all(|&db| db >= limits.level_dbm0)
            && within(limits.twist_db)
            && deviation <= limits.deviation
            && (plain || clean)
            && self.coherence >= coherence_min
            && explained;
        accepted.then_some(limits.duration_ms[usize::from(!(plain && clean))])
    }
}

/// What a Hann window of 10 ms takes off the power of a tone `off_hz` from its bin: its transform
/// is `sinc(x) / (1 - x²)` with `x` in bins of 100 Hz, squared and expanded to the fourth power.
fn droop(off_hz: f32) -> f32 {
    let x = off_hz / 100.0;
    let amplitude = 1.0 - 0.645 * x * x + 0.16 * x * x * x * x;
    amplitude * amplitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn droop_is_the_window_s() {
        let mut seen = 0;
        for off in [5.0f32, 12.5, 20.0, 30.0, 45.0] {
            let x = std::f32::consts::PI * off / 100.0;
            let exact = x.sin() / x / (1.0 - (off / 100.0) * (off / 100.0));
            assert!((droop(off) - exact * exact).abs() < 0.005, "{off}");
            seen += 1;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn a_clean_pair_is_accepted_early_and_a_stray_one_never() {
        // Two windows of a full-scale / 10 pair, the low tone `turns` ahead of nominal.
        let sums = |ahead: f32| {
            let mut sums = Sums::default();
            let z = |angle: f32| [(1500.0 * angle.cos()) as i16, (1500.0 * angle.sin()) as i16];
            let high = |hz: f64| TAU * ((hz as f32) * HOP_SECONDS);
            let before = [z(0.3), z(1.0)];
            let now = [z(0.3 + high(697.0) + ahead), z(1.0 + high(1209.0))];
            let energy = 2.0 * 1500.0 * 1500.0 * ENERGY_PER_POWER;
            let gain = |hz: f64| (high(hz) / 40.0).sin().powi(2) / 2.0;
            let filtered = energy * (gain(697.0) + gain(1209.0));
            for _ in 0..5 {
                sums.add(now, before, [energy, filtered]);
            }
            Evidence::weigh(&sums, [0, 4], &Background::new())
        };
        let clean = sums(0.0);
        assert_eq!(
            clean.needs_ms(&STANDARD),
            Some(STANDARD.duration_ms[0]),
            "{clean:?}"
        );
        let stray = sums(TAU * HOP_SECONDS * 697.0 * 0.03);
        assert!((stray.quality.deviation[0] - 0.03).abs() < 0.001);
        assert_eq!(stray.needs_ms(&STANDARD), None);
    }
}
