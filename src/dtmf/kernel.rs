//! The block arithmetic, plain: decimation to 8 kHz, eight windowed tone sums and two energies,
//! all in integers. It is the oracle for `simd` and what runs where there is no AVX2.
//! It knows samples and sums; levels, keys and time are `digit`'s.
//!
//! # The signal that is measured
//!
//! Every rate is brought to 8 kHz *inside the detector* by a short linear-phase filter that computes
//! only the samples it keeps; the call's own audio is never resampled. So one table, one block of
//! [`HOP`] = 40 samples (5 ms) and one set of thresholds serve all four rates, and 48 kHz costs
//! hardly more a second than 8.
//!
//! # The window
//!
//! Each 5 ms a Hann window over the last 10 ms ([`WINDOW`] = 80 samples) is multiplied with eight
//! complex tones. Hann because
//! - neighbours at half-window spacing add up to exactly one, so that the sum of the amplitudes,
//!   times 5 ms, *is* the duration of a tone: that measures 23 ms against 40 with no finer blocks;
//! - row and column tones are at least 268 Hz apart, 2.7 bins, where Hann leaks below -31 dB: the
//!   two tones do not disturb each other, at any twist of the standards;
//! - dial tone (440 Hz) and hum are 2.6 and 6 bins below 697 Hz: -33 and -60 dB.
//!
//! # Scale
//!
//! Samples are halved before the fold so that a sum of two fits 16 bits. With twiddles of at most
//! [`TWIDDLE_ONE`], one sum is at most `2 * 16384 * 20 * 3000 < 2^31`: no order of addition can
//! overflow, so every order gives the same integer. [`SUM_SHIFT`] brings that into 16 bits for good.

use super::FREQUENCIES_HZ;
use crate::audio::SampleRate;
use std::f64::consts::TAU;
use std::sync::LazyLock;

/// Samples between two measurements: 5 ms at [`INNER_HZ`].
pub const HOP: usize = 40;
/// Samples under one measurement: 10 ms.
pub const WINDOW: usize = 2 * HOP;
/// The rate at which tones are measured, whatever the stream's.
pub const INNER_HZ: f64 = 8000.0;
/// A twiddle of 1.0. Over the 20 that 40 Hann weights add up to it keeps sums below 2^31.
pub const TWIDDLE_ONE: f64 = 3000.0;
/// Sums are divided by this power of two, rounded: |sum| < 2^31 becomes at most 2^15.
pub const SUM_SHIFT: u32 = 16;
/// `|z|` of a full-scale sine: half the peak, times half the 40 that the window adds up to.
pub const FULL_SCALE: f32 = (16_384.0 * TWIDDLE_ONE * 20.0 / (1u64 << SUM_SHIFT) as f64) as f32;
/// Taps of the longest decimation filter.
pub const TAPS_MAX: usize = 32;

/// What one window says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Real and imaginary part of each tone about the window's centre, rows first.
    pub tones: [[i16; 2]; 8],
    /// `|z|²` of each; below 2^31, as a full-scale sine is 15,000.
    pub powers: [i32; 8],
    /// The largest power of a row and of a column.
    pub loudest: [i32; 2],
    /// Sum of `(x / 4)²` over the newest [`HOP`] samples. At most 40 * 8192² < 2^32.
    pub energy: u32,
    /// The same of `x[n] / 8 - x[n-2] / 8`: a high-pass with gain `sin²(2 pi f / 8000)`, -28 dB at
    /// 50 Hz, -9 at 440, -6 at 697, -2 at 1209, so that hum does not drown what it is to show.
    pub high: u32,
    /// Square roots of half of either, rounded: they fit 16 bits, and half a unit is 1 % of the
    /// least that is not silence. IEEE roots are exact, hence the same everywhere.
    pub roots: [u16; 2],
}

/// The decimation filter of a rate: linear phase, least maximum error, unity at DC, at most 0.25 dB
/// of droop up to 1633 Hz and at least 49 dB against whatever folds onto a tone.
#[derive(Debug)]
pub struct Decimator {
    /// Input samples an output sample.
    pub factor: usize,
    /// Coefficients, 1.0 = 2^15; they add up to exactly that.
    pub taps: &'static [i16],
}

impl Decimator {
    /// The filter for `rate`.
    pub fn of(rate: SampleRate) -> &'static Self {
        match rate {
            SampleRate::Hz8000 => &BY_1,
            SampleRate::Hz16000 => &BY_2,
            SampleRate::Hz24000 => &BY_3,
            SampleRate::Hz48000 => &BY_6,
        }
    }

    /// Where output sample 0 sits in the stream, in input samples: the filter looks back.
    pub fn delay(&self) -> f32 {
        (self.taps.len() + 1) as f32 / 2.0 - self.factor as f32
    }

    /// Samples that must be kept from before for the next output.
    pub fn history(&self) -> usize {
        self.taps.len() - self.factor
    }
}

/// A tap of 1.0 does not fit; nothing reads it, as 8 kHz is copied.
static BY_1: Decimator = Decimator {
    factor: 1,
    taps: &[i16::MAX],
};
static BY_2: Decimator = Decimator {
    factor: 2,
    taps: &[473, -641, -2580, 3578, 15554, 15554, 3578, -2580, -641, 473],
};
static BY_3: Decimator = Decimator {
    factor: 3,
    taps: &[
        183, 258, -284, -1329, -1347, 1440, 6603, 10860, 10860, 6603, 1440, -1347, -1329, -284,
        258, 183,
    ],
};
static BY_6: Decimator = Decimator {
    factor: 6,
    taps: &[
        75, 112, 137, 96, -39, -269, -542, -756, -776, -473, 227, 1302, 2620, 3957, 5049, 5664,
        5664, 5049, 3957, 2620, 1302, 227, -473, -776, -756, -542, -269, -39, 96, 137, 112, 75,
    ],
};

/// Windowed twiddles as the wide kernels read them: one row for two distances from the centre,
/// in it for each tone `[cos near, cos far, -sin near, -sin far]`.
pub type Twiddles = [[[i16; 4]; 8]; HOP / 2];

/// Which pair of distances a row is for, nearest first: row `r` has distances `2 * ROWS[r]` and one
/// more. It is the order in which the unpack instructions of AVX2 leave folded samples.
pub const ROWS: [usize; HOP / 2] = [
    0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 16, 17, 18, 19,
];

/// Built once: 20 rows of 64 bytes, 1,280 bytes for all rates together.
pub static TWIDDLES: LazyLock<Twiddles> = LazyLock::new(|| {
    let mut rows = [[[0; 4]; 8]; HOP / 2];
    for (row, pair) in rows.iter_mut().zip(ROWS) {
        for (tone, hz) in row.iter_mut().zip(FREQUENCIES_HZ) {
            for far in 0..2 {
                let distance = (2 * pair + far) as f64 + 0.5;
                let hann = 0.5 + 0.5 * (TAU * distance / WINDOW as f64).cos();
                let angle = TAU * hz / INNER_HZ * distance;
                tone[far] = (TWIDDLE_ONE * hann * angle.cos()).round() as i16;
                tone[2 + far] = (-TWIDDLE_ONE * hann * angle.sin()).round() as i16;
            }
        }
    }
    rows
});

/// Fills `out` with every `factor`th filtered sample; `input` starts with the history.
pub fn decimate(filter: &Decimator, input: &[i16], out: &mut [i16]) {
    if filter.factor == 1 {
        return out.copy_from_slice(input);
    }
    for (n, out) in out.iter_mut().enumerate() {
        let from = &input[n * filter.factor..][..filter.taps.len()];
        let sum: i32 = from
            .iter()
            .zip(filter.taps)
            .map(|(&x, &h)| i32::from(x) * i32::from(h))
            .sum();
        *out = ((sum + (1 << 14)) >> 15).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
}

/// Tones and energies of the window that two hops make.
pub fn measure(twiddles: &Twiddles, before: &[i16; HOP], now: &[i16; HOP]) -> Measure {
    let mut sums = [[0i32; 2]; 8];
    for (row, pair) in twiddles.iter().zip(ROWS) {
        for far in 0..2 {
            let distance = 2 * pair + far;
            let after = i32::from(now[distance] >> 1);
            let earlier = i32::from(before[HOP - 1 - distance] >> 1);
            for (sum, twiddle) in sums.iter_mut().zip(row) {
                sum[0] += (after + earlier) * i32::from(twiddle[far]);
                sum[1] += (after - earlier) * i32::from(twiddle[2 + far]);
            }
        }
    }
    let (energy, high) = energies(before, now);
    let round = |sum: i32| ((sum + (1 << (SUM_SHIFT - 1))) >> SUM_SHIFT) as i16;
    let tones = sums.map(|sum| sum.map(round));
    let powers = tones.map(power);
    let most = |powers: &[i32]| powers.iter().copied().fold(0, i32::max);
    let loudest = [most(&powers[..4]), most(&powers[4..])];
    let roots = [energy, high]
        .map(|sum| ((sum >> 1) as f32).sqrt() + 0.5)
        .map(|root| root as u16);
    Measure {
        tones,
        powers,
        loudest,
        energy,
        high,
        roots,
    }
}

/// `|z|²`.
pub fn power(z: [i16; 2]) -> i32 {
    let [re, im] = z.map(i32::from);
    re * re + im * im
}

/// The two energies of the newer hop.
fn energies(before: &[i16; HOP], now: &[i16; HOP]) -> (u32, u32) {
    let (mut energy, mut high) = (0u32, 0u32);
    let mut last = [before[HOP - 2], before[HOP - 1]];
    for &sample in now {
        let quarter = i32::from(sample >> 2);
        let rise = i32::from(sample >> 3) - i32::from(last[0] >> 3);
        energy += (quarter * quarter) as u32;
        high += (rise * rise) as u32;
        last = [last[1], sample];
    }
    (energy, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::goertzel;

    /// Rounded twiddles and halved samples against the recurrence in double precision: half a unit
    /// of the result, and the rounding of 80 twiddles and samples, is below 3 units of 15,000.
    const TOLERANCE: f64 = 3.0;

    fn halves(window: &[i16; WINDOW]) -> (&[i16; HOP], &[i16; HOP]) {
        let [before, now] = window.as_chunks::<HOP>().0 else {
            unreachable!("two hops")
        };
        (before, now)
    }

    #[test]
    fn a_window_is_the_windowed_recurrence() {
        let mut worst = 0f64;
        let mut seen = 0;
        for seed in 1..50u32 {
            let mut state = seed;
            let window: [i16; WINDOW] = std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i16
            });
            let (before, now) = halves(&window);
            let measure = measure(&TWIDDLES, before, now);
            for (tone, hz) in measure.tones.into_iter().zip(FREQUENCIES_HZ) {
                let hann = |n: usize| 0.5 - 0.5 * (TAU * (n as f64 + 0.5) / WINDOW as f64).cos();
                let exact = goertzel::tone(&window, hz, INNER_HZ, hann);
                let scale = f64::from(FULL_SCALE) / (32_768.0 * 20.0);
                for i in 0..2 {
                    worst = worst.max((f64::from(tone[i]) - exact[i] * scale).abs());
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 49 * 8);
        assert!(worst < TOLERANCE, "{worst}");
    }

    #[test]
    fn no_input_overflows() {
        // The worst for each tone's real and imaginary part: full scale with the twiddle's sign.
        let mut seen = 0;
        for tone in 0..8 {
            for part in [0, 2] {
                let mut window = [0i16; WINDOW];
                for (row, pair) in TWIDDLES.iter().zip(ROWS) {
                    for far in 0..2 {
                        let up = row[tone][part + far] >= 0;
                        let (after, before) = (HOP + 2 * pair + far, HOP - 1 - 2 * pair - far);
                        window[after] = if up { i16::MAX } else { i16::MIN };
                        window[before] = if up == (part == 0) {
                            i16::MAX
                        } else {
                            i16::MIN
                        };
                    }
                }
                let (before, now) = halves(&window);
                let measure = measure(&TWIDDLES, before, now); // overflow panics in a test build
                let got = measure.tones[tone][part / 2];
                assert!((17_000..20_000).contains(&got), "{tone} {part}: {got}");
                seen += 1;
            }
        }
        assert_eq!(seen, 16);
    }

    #[test]
    fn filters_keep_the_tones_and_drop_what_folds_onto_them() {
        let mut seen = 0;
        for rate in [
            SampleRate::Hz16000,
            SampleRate::Hz24000,
            SampleRate::Hz48000,
        ] {
            let filter = Decimator::of(rate);
            let centre = (filter.taps.len() as f64 - 1.0) / 2.0;
            let gain_db = |hz: f64| {
                let w = TAU * hz / f64::from(rate.hz());
                let taps = filter.taps.iter().enumerate();
                let sum: f64 = taps
                    .map(|(n, &h)| f64::from(h) * (w * (n as f64 - centre)).cos())
                    .sum();
                20.0 * (sum.abs() / 32_768.0).log10()
            };
            assert_eq!(
                filter.taps.iter().map(|&h| i32::from(h)).sum::<i32>(),
                32_768
            );
            for hz in (650..=1700).step_by(10).map(f64::from) {
                assert!(gain_db(hz).abs() < 0.26, "{rate:?} {hz}: {}", gain_db(hz));
                for image in [
                    8000.0 - hz,
                    8000.0 + hz,
                    16_000.0 - hz,
                    16_000.0 + hz,
                    24_000.0 - hz,
                ] {
                    if image <= f64::from(rate.hz()) / 2.0 {
                        assert!(
                            gain_db(image) < -49.0,
                            "{rate:?} {image}: {}",
                            gain_db(image)
                        );
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 300);
    }
}
