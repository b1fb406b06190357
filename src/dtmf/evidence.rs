//! The case for a key: what the windows of a run say together, held against
//! [`limits`](super::limits). Pure arithmetic on a handful of numbers; time and state are [`digit`](super::digit)'s.
//!
//! Per interval between two neighbouring windows the product `z[n] * conj(z[n-1])` is summed for
//! each tone. One number gives three answers. Its angle is the phase advance in 5 ms, which
//! *measures* the frequency: 697 Hz 1.8 % sharp is 22.6 degrees ahead, 3 % is 37.6. Its size is the
//! tone's power, without the bias that noise adds to a sum of squares. And its size against the
//! sum of sizes says whether the tone kept its pitch and phase, which voices do not.

use super::background::Background;
use super::kernel::{FULL_SCALE, INNER_HZ};
use super::limits::{Limits, Pure};
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

/// A background with less energy than this part of the tones' is none.
const NONE: f32 = 0.005;
/// One that is loud; and how much more of all than of high-passed energy a low one has: noise has the
/// same.
const LOUD: f32 = 0.3;
const LOW: f32 = 1.8;

/// 941 and 1209 Hz, 2.7 bins apart; all others are 3.6 and more.
pub(super) const NEIGHBOURS: [usize; 2] = [3, 4];

/// A level is kept if it changes by less than this from window to window: 0.7 dB.
const KEPT: f32 = 0.08;

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

/// Sums over the intervals of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// `z[n] * conj(z[n-1])` of low and high tone, and the sizes of those products.
    cross: [[f32; 2]; 2],
    size: [f32; 2],
    /// Energies as measured.
    energy: [f32; 2],
    /// How many intervals, and in how many of them each tone kept its level.
    pub(super) intervals: f32,
    kept: [f32; 2],
}

/// Two neighbouring windows of a run and what lies between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// The tones.
    pub(super) now: [[i16; 2]; 2],
    pub(super) before: [[i16; 2]; 2],
    /// Energies as measured.
    pub(super) energy: [f32; 2],
    /// What leaks from one tone into the other's window.
    pub(super) leak: f32,
}

impl Interval {
    /// Whether each tone has the same level in both windows.
    fn kept(&self) -> [bool; 2] {
        let amplitude = |z: [i16; 2]| {
            (f32::from(z[0]) * f32::from(z[0]) + f32::from(z[1]) * f32::from(z[1])).sqrt()
        };
        let (now, before) = (self.now.map(amplitude), self.before.map(amplitude));
        std::array::from_fn(|i| {
            (now[i] - before[i]).abs() <= KEPT * before[i] + self.leak * before[1 - i]
        })
    }

    /// Whether both have.
    pub(super) fn is_steady(&self) -> bool {
        self.kept() == [true; 2]
    }
}

impl Sums {
    pub(super) fn add(&mut self, interval: &Interval) {
        for (tone, kept) in interval.kept().into_iter().enumerate() {
            let [a, b] = interval.now[tone].map(f32::from);
            let [c, d] = interval.before[tone].map(f32::from);
            self.cross[tone][0] += a * c + b * d;
            self.cross[tone][1] += b * c - a * d;
            self.size[tone] += ((a * a + b * b) * (c * c + d * d)).sqrt();
            self.energy[tone] += interval.energy[tone];
            self.kept[tone] += f32::from(u8::from(kept));
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
    /// Part of the intervals in which each tone kept its level.
    steady: [f32; 2],
    /// The tones are those that are nearest to each other.
    are_neighbours: bool,
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
            steady: sums.kept.map(|kept| kept / sums.intervals),
            are_neighbours: indices == NEIGHBOURS,
        }
    }

    /// The duration in milliseconds from which this is a key, if it is one at all.
    pub(super) fn needs_ms(&self, limits: &Limits) -> Option<f32> {
        let deviation = self.deviation();
        let plain = deviation <= limits.deviation_plain && self.is_within(limits.twist_plain_db);
        let clean =
            self.coherence >= limits.coherence_clean && self.most_rest() <= limits.rest_clean;

        let rest_max = limits.rest[usize::from(deviation > limits.deviation_typical)];
        let coherence_min = if self.most_rest() > limits.rest[0] {
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
            && self.is_within(limits.twist_db)
            && deviation <= limits.deviation
            && (plain || clean)
            && self.coherence >= coherence_min
            && explained
            && self.is_no_voice(limits);
        accepted.then_some(limits.duration_ms[usize::from(!(plain && clean))])
    }

    /// Whether the tones do what those of keys do, as [`Voice`](super::limits::Voice) has it.
    fn is_no_voice(&self, limits: &Limits) -> bool {
        let voice = &limits.voice;
        let deviation = self.deviation();
        let within = |[coherence, most]: [f32; 2]| self.coherence >= coherence && deviation <= most;
        let legal = self.is_within(voice.twist_db);
        let exact = legal && voice.exact.into_iter().any(within);
        let kept = |i: usize| self.steady[i] >= voice.steady || self.is_disturbed(i);
        let stray = deviation > voice.stray
            && (self.coherence < voice.coherence_stray
                || deviation > voice.stray_twisted && !self.is_within(voice.twist_stray_db));
        let fits_background = if self.background[0] >= LOUD {
            legal
                && self.steady[1] >= voice.steady_over_loud
                && (deviation <= limits.deviation_typical || voice.loud.into_iter().any(within))
        } else {
            // At 8 dB of twist, noise spoils of the softer tone as much as it has of the energy.
            let spoilt = self.background[0];
            self.coherence >= voice.coherence[usize::from(self.are_neighbours)] - spoilt
                && (self.has_background() || self.both_deviations() <= voice.stray_both)
        };
        (exact || kept(0) && kept(1)) && fits_background && !stray
    }

    /// Whether this would do for a key about which there are doubts.
    pub(super) fn is_pure(&self, pure: &Pure) -> bool {
        self.coherence >= pure.coherence
            && self.most_rest() <= pure.rest
            && self.both_deviations() <= pure.deviation
    }

    /// Whether there is anything under the key.
    pub(super) fn has_background(&self) -> bool {
        self.background[0] >= NONE
    }

    /// Whether a background is there that moves the level of a tone: for the high one, noise.
    fn is_disturbed(&self, tone: usize) -> bool {
        let reaches = tone == 0 || self.background[0] < LOW * self.background[1];
        self.background[tone] >= NONE && reaches
    }

    /// The larger of both tones.
    fn deviation(&self) -> f32 {
        let [low, high] = self.quality.deviation.map(f32::abs);
        low.max(high)
    }

    /// The root of the squares of both.
    fn both_deviations(&self) -> f32 {
        let [low, high] = self.quality.deviation;
        (low * low + high * high).sqrt()
    }

    /// Of all and of high-passed energy, the larger.
    fn most_rest(&self) -> f32 {
        self.rest[0].max(self.rest[1])
    }

    fn is_within(&self, [low, high]: [f32; 2]) -> bool {
        let twist = self.quality.twist_db();
        twist >= low && twist <= high
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
                sums.add(&Interval {
                    now,
                    before,
                    energy: [energy, filtered],
                    leak: 0.0,
                });
            }
            Evidence::weigh(&sums, [0, 4], &Background::new())
        };
        let clean = sums(0.0);
        let limits = Limits::of(Setting::Standard);
        assert_eq!(
            clean.needs_ms(limits),
            Some(limits.duration_ms[0]),
            "{clean:?}"
        );
        let stray = sums(TAU * HOP_SECONDS * 697.0 * 0.03);
        assert!((stray.quality.deviation[0] - 0.03).abs() < 0.001);
        assert_eq!(stray.needs_ms(limits), None);
    }
    /// What is weighed in the tests below, as it differs from a clean pair.
    #[derive(Clone, Copy)]
    struct Pair {
        deviation: [f32; 2],
        twist_db: f32,
        coherence: f32,
        background: [f32; 2],
        steady: [f32; 2],
    }

    const PAIR: Pair = Pair {
        deviation: [0.01, -0.01],
        twist_db: 0.0,
        coherence: 0.99,
        background: [0.0; 2],
        steady: [1.0; 2],
    };

    fn is_key(pair: Pair) -> bool {
        let evidence = Evidence {
            amplitude: [1500.0; 2],
            quality: Quality {
                level_dbm0: [-10.0, -10.0 + pair.twist_db],
                deviation: pair.deviation,
                snr_db: 20.0,
            },
            coherence: pair.coherence,
            rest: pair.background,
            background: pair.background,
            steady: pair.steady,
            are_neighbours: false,
        };
        evidence.needs_ms(Limits::of(Setting::Standard)).is_some()
    }

    const DIAL_TONE: [f32; 2] = [0.5, 0.15];
    const NOISE: [f32; 2] = [0.06, 0.05];
    const UNSTEADY: [f32; 2] = [1.0, 0.25];

    /// What it is, and whether it is a key.
    const PAIRS: &[(&str, Pair, bool)] = &[
        ("a clean pair", PAIR, true),
        (
            "a level that moves",
            Pair {
                steady: UNSTEADY,
                ..PAIR
            },
            false,
        ),
        (
            "the same in noise",
            Pair {
                steady: UNSTEADY,
                background: NOISE,
                ..PAIR
            },
            true,
        ),
        (
            "the same, exact",
            Pair {
                steady: UNSTEADY,
                coherence: 0.996,
                deviation: [0.005; 2],
                ..PAIR
            },
            true,
        ),
        (
            "the same, exact but twisted",
            Pair {
                steady: UNSTEADY,
                coherence: 0.996,
                deviation: [0.005; 2],
                twist_db: -11.0,
                ..PAIR
            },
            false,
        ),
        (
            "a low tone that moves",
            Pair {
                steady: [0.25, 1.0],
                ..PAIR
            },
            false,
        ),
        (
            "the same over dial tone",
            Pair {
                steady: [0.25, 1.0],
                coherence: 0.995,
                background: DIAL_TONE,
                ..PAIR
            },
            true,
        ),
        (
            "a high tone that moves over dial tone",
            Pair {
                steady: [1.0, 0.5],
                coherence: 0.995,
                background: DIAL_TONE,
                ..PAIR
            },
            false,
        ),
        (
            "a pitch that moves",
            Pair {
                coherence: 0.975,
                ..PAIR
            },
            false,
        ),
        (
            "the same in noise",
            Pair {
                coherence: 0.975,
                background: NOISE,
                ..PAIR
            },
            true,
        ),
        (
            "the same in noise that is too soft for it",
            Pair {
                coherence: 0.975,
                background: [0.012, 0.01],
                ..PAIR
            },
            false,
        ),
        (
            "both off by 1.8 %",
            Pair {
                deviation: [0.018, -0.018],
                ..PAIR
            },
            true,
        ),
        (
            "the same with twist",
            Pair {
                deviation: [0.018, -0.018],
                twist_db: -8.0,
                ..PAIR
            },
            false,
        ),
        (
            "1.5 % with twist",
            Pair {
                deviation: [0.015, -0.015],
                twist_db: -8.0,
                ..PAIR
            },
            true,
        ),
        (
            "both off by 2.1 %",
            Pair {
                deviation: [0.021, -0.021],
                ..PAIR
            },
            false,
        ),
        (
            "the same in noise, which adds to it",
            Pair {
                deviation: [0.021, -0.021],
                coherence: 0.992,
                background: NOISE,
                ..PAIR
            },
            true,
        ),
        (
            "1.5 % over dial tone",
            Pair {
                deviation: [0.015, -0.015],
                coherence: 0.995,
                background: DIAL_TONE,
                ..PAIR
            },
            true,
        ),
        (
            "1.8 % over dial tone",
            Pair {
                deviation: [0.018, -0.018],
                coherence: 0.999,
                background: DIAL_TONE,
                ..PAIR
            },
            true,
        ),
        (
            "1.8 % and a pitch that moves a little over dial tone",
            Pair {
                deviation: [0.018, -0.018],
                coherence: 0.995,
                background: DIAL_TONE,
                ..PAIR
            },
            false,
        ),
        (
            "1.2 % and a pitch that moves over dial tone",
            Pair {
                deviation: [0.012, -0.012],
                coherence: 0.99,
                background: DIAL_TONE,
                ..PAIR
            },
            false,
        ),
        (
            "1 % and a pitch that moves over dial tone",
            Pair {
                coherence: 0.98,
                background: DIAL_TONE,
                ..PAIR
            },
            true,
        ),
        (
            "1.8 % with a pitch that moves",
            Pair {
                deviation: [0.018, 0.0],
                coherence: 0.985,
                ..PAIR
            },
            false,
        ),
    ];

    #[test]
    fn what_a_voice_does_is_no_key() {
        for &(what, pair, expected) in PAIRS {
            assert_eq!(is_key(pair), expected, "{what}");
        }
    }
}
