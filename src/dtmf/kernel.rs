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
//! Samples at 8 kHz are a quarter of what they were, at most 8192, or [`OVERSHOOT`] times that after a
//! filter that rings: a sum of two of them fits 16 bits. With twiddles of at most [`TWIDDLE_ONE`] a
//! tone's sum is below `2 * 8192 * OVERSHOOT * 20 * TWIDDLE_ONE < 2^31`: no order of addition can
//! overflow, so every order gives the same integer. [`SUM_SHIFT`] brings that into 16 bits for good.

use super::FREQUENCIES_HZ;
use super::roots::Roots;
use crate::audio::SampleRate;
use std::f64::consts::TAU;
use std::sync::LazyLock;

/// Samples between two measurements: 5 ms at [`INNER_HZ`].
pub const HOP: usize = 40;
/// Samples under one measurement: 10 ms.
pub const WINDOW: usize = 2 * HOP;
/// The rate at which tones are measured, whatever the stream's.
pub const INNER_HZ: f64 = 8000.0;
/// Filtered sums, in which 1.0 is 2^15, become quarters of samples by this shift, rounded.
pub const INNER_SHIFT: u32 = 17;
/// The most that a filter makes of full scale: the sum of its taps' sizes.
pub const OVERSHOOT: f64 = 1.41;
/// A twiddle of 1.0. Over the 20 that 40 Hann weights add up to it keeps sums below 2^31.
pub const TWIDDLE_ONE: f64 = 4600.0;
/// Sums are divided by this power of two, rounded: |sum| < 2^31 becomes at most 2^15.
pub const SUM_SHIFT: u32 = 16;
/// `|z|` of a full-scale sine: a quarter of the peak, times half the 40 that the window adds up to.
pub const FULL_SCALE: f32 = (8192.0 * TWIDDLE_ONE * 20.0 / (1u64 << SUM_SHIFT) as f64) as f32;
/// Taps of the longest decimation filter.
pub const TAPS_MAX: usize = 32;
/// Most hops that are measured together: a frame of 20 ms. The wide kernels then load each row of
/// twiddles once for four windows, and the loads are what they wait for.
pub const HOPS_MAX: usize = 4;
/// A hop of the stream whose samples are all within this of zero is heard as zeros, which costs next
/// to nothing. 6 dB below the peak of the softest single tone that any setting looks for.
pub const SILENT: u16 = 40;

/// What the windows of one to [`HOPS_MAX`] hops say, oldest first. The rest is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Real and imaginary part of each tone about the window's centre, rows first; zero in a window
    /// that is too soft for a key.
    pub tones: [[[i16; 2]; 8]; HOPS_MAX],
    /// The largest `|z|²` of a row and of a column: below 2^31, as a full-scale sine is 11,500.
    pub loudest: [[i32; HOPS_MAX]; 2],
    /// Sum of `(x / 4)²` over the newest [`HOP`] samples: 40 * 8192² < 2^32 at full scale.
    pub energy: [u32; HOPS_MAX],
    /// The roots of that and of what is left of it when it has gone through a high-pass.
    pub roots: [Roots; HOPS_MAX],
}

impl Measures {
    /// Which of the first `hops` windows have an energy of `quiet` at least; `before` is that of the
    /// hop before the first.
    #[inline(always)]
    pub(super) fn loud(&self, hops: usize, before: u32, quiet: u32) -> [bool; HOPS_MAX] {
        let mut before = before;
        let mut loud = [false; HOPS_MAX];
        for (loud, &energy) in loud.iter_mut().zip(&self.energy).take(hops) {
            *loud = energy.saturating_add(before) >= quiet;
            before = energy;
        }
        loud
    }

    /// Takes the tones away from windows that are not loud.
    #[inline(always)]
    pub(super) fn hush(&mut self, hops: usize, loud: [bool; HOPS_MAX]) {
        for (hop, loud) in loud.into_iter().enumerate().take(hops) {
            if !loud {
                self.tones[hop] = [[0; 2]; 8];
                self.loudest[0][hop] = 0;
                self.loudest[1][hop] = 0;
            }
        }
    }
}

/// What a stream's arithmetic carries from one hop to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Samples at the stream's rate that the filter still needs.
    pub held: [i16; TAPS_MAX - 1],
    /// 8 kHz samples of the last hop, and its energy.
    pub hop: [i16; HOP],
    pub energy: u32,
}

impl Tail {
    /// Of a stream that begins now.
    pub const EMPTY: Self = Self {
        held: [0; TAPS_MAX - 1],
        hop: [0; HOP],
        energy: 0,
    };
}

/// The decimation filter of a rate: at most 0.25 dB from unity up to 1633 Hz and at least 49 dB
/// against whatever folds onto a tone; its delay is the same for all tones, to a third of a sample.
#[derive(Debug)]
pub struct Decimator {
    /// Input samples an output sample.
    pub factor: usize,
    /// Coefficients, 1.0 = 2^15; they add up to that, or to a little more, so that tones keep their level.
    pub taps: &'static [i16],
    /// Where among the taps an output sample sits.
    pub centre: f32,
}

impl Decimator {
    /// The filter for `rate`.
    pub fn of(rate: SampleRate) -> &'static Self {
        match rate {
            SampleRate::Hz8000 => &WHOLE,
            SampleRate::Hz16000 => &HALF,
            SampleRate::Hz24000 => &THIRD,
            SampleRate::Hz48000 => &SIXTH,
        }
    }

    /// Where output sample 0 sits in the stream, in input samples: the filter looks back.
    pub fn delay(&self) -> f32 {
        self.centre + 1.0 - self.factor as f32
    }

    /// Samples of the stream before hop number `hop`.
    pub fn samples_before(&self, hop: u32) -> u64 {
        u64::from(hop) * (HOP * self.factor) as u64
    }

    /// Samples that must be kept from before for the next output.
    pub fn history(&self) -> usize {
        self.taps.len() - self.factor
    }
}

/// A tap of 1.0 does not fit; nothing reads it, as 8 kHz is only quartered.
static WHOLE: Decimator = Decimator {
    factor: 1,
    taps: &[i16::MAX],
    centre: 0.0,
};
/// At 16 kHz. Not symmetric: so eight taps do what takes ten that are, and leave as much of what is above the
/// tones. Tones keep their level to 0.06 dB and are delayed by 1.23 to 1.49 samples.
pub(super) const BY_2: [i16; 8] = [721, 1118, -2299, -4049, 4812, 15505, 13378, 4221];
static HALF: Decimator = Decimator {
    factor: 2,
    taps: &BY_2,
    centre: 5.7,
};
static THIRD: Decimator = Decimator {
    factor: 3,
    taps: &[
        183, 258, -284, -1329, -1347, 1440, 6603, 10860, 10860, 6603, 1440, -1347, -1329, -284,
        258, 183,
    ],
    centre: 7.5,
};
static SIXTH: Decimator = Decimator {
    factor: 6,
    taps: &[
        75, 112, 137, 96, -39, -269, -542, -756, -776, -473, 227, 1302, 2620, 3957, 5049, 5664,
        5664, 5049, 3957, 2620, 1302, 227, -473, -776, -756, -542, -269, -39, 96, 137, 112, 75,
    ],
    centre: 15.5,
};

/// Windowed twiddles as the wide kernels read them: one row for two distances from the centre,
/// nearest first; in it for each tone `[cos near, cos far, -sin near, -sin far]`.
#[repr(align(64))]
pub struct Twiddles(pub [[[i16; 4]; 8]; ROWS]);

/// Two distances each.
pub(super) const ROWS: usize = HOP / 2;

/// The tones in the order of a row: packing two vectors of sums then puts them in theirs.
const ORDER: [usize; 8] = [0, 1, 4, 5, 2, 3, 6, 7];

/// Built once: 20 rows of 64 bytes, 1,280 bytes for all rates together.
pub static TWIDDLES: LazyLock<Twiddles> = LazyLock::new(|| {
    let mut rows = [[[0; 4]; 8]; ROWS];
    for (pair, row) in rows.iter_mut().enumerate() {
        for (weights, tone) in row.iter_mut().zip(ORDER) {
            for far in 0..2 {
                let distance = (2 * pair + far) as f64 + 0.5;
                let hann = 0.5 + 0.5 * (TAU * distance / WINDOW as f64).cos();
                let angle = TAU * FREQUENCIES_HZ[tone] / INNER_HZ * distance;
                weights[far] = (TWIDDLE_ONE * hann * angle.cos()).round() as i16;
                weights[2 + far] = (-TWIDDLE_ONE * hann * angle.sin()).round() as i16;
            }
        }
    }
    Twiddles(rows)
});

/// Whether each sample is within [`SILENT`].
#[inline(always)]
pub fn is_soft(samples: &[i16]) -> bool {
    let sizes = samples.iter().map(|x| x.unsigned_abs());
    sizes.fold(0, u16::max) <= SILENT
}

/// Whether these samples of the stream, a hop, count as silence.
#[inline(always)]
pub fn is_silent(samples: &[i16]) -> bool {
    // The first few decide for nearly every hop of speech.
    is_soft(&samples[..16]) && is_soft(samples)
}

/// A frame of the stream, [`HOPS_MAX`] hops: filtered and measured. `into` is all zero.
pub fn hear(filter: &Decimator, tail: &mut Tail, samples: &[i16], quiet: u32, into: &mut Measures) {
    let whole = HOP * filter.factor;
    for (at, samples) in samples.chunks_exact(whole).enumerate() {
        let history = filter.history();
        let mut input = [0; TAPS_MAX - 1 + 6 * HOP];
        let input = &mut input[..history + whole];
        input[..history].copy_from_slice(&tail.held[..history]);
        input[history..].copy_from_slice(samples);
        tail.held[..history].copy_from_slice(&input[whole..]);
        let mut hop = [0; HOP];
        if !is_silent(samples) {
            decimate(filter, input, &mut hop);
        }
        measure(tail, &hop, quiet, at, into);
    }
}

/// Fills `out` with quarters of every `factor`th filtered sample; `input` starts with the history.
///
/// Here and below, all is inlined, so that `simd` compiles it for wider machines too, and loops have fixed
/// lengths and multiply 16 bits to 32, two products to a sum: compilers know that as one instruction (SSE2
/// has it), which takes two fifths off the time.
#[inline(always)]
pub fn decimate(filter: &Decimator, input: &[i16], out: &mut [i16]) {
    match filter.factor {
        1 => {
            for (out, &x) in out.iter_mut().zip(input) {
                *out = round(i32::from(x) << 15);
            }
        }
        2 => each_output::<8>(filter, input, out),
        3 => each_output::<16>(filter, input, out),
        _ => each_output::<32>(filter, input, out),
    }
}

/// The same for a filter of `TAPS`.
#[inline(always)]
fn each_output<const TAPS: usize>(filter: &Decimator, input: &[i16], out: &mut [i16]) {
    let taps: &[i16; TAPS] = filter.taps.try_into().expect("a filter has its taps");
    for (n, out) in out.iter_mut().enumerate() {
        let from: &[i16; TAPS] = input[n * filter.factor..]
            .first_chunk()
            .expect("callers bring all that the outputs need");
        let mut sum = 0;
        for (&x, &h) in from.iter().zip(taps) {
            sum += i32::from(x) * i32::from(h);
        }
        *out = round(sum);
    }
}

/// A filtered sum as a sample.
#[inline(always)]
fn round(sum: i32) -> i16 {
    ((sum + (1 << (INNER_SHIFT - 1))) >> INNER_SHIFT) as i16
}

/// Tones and energies of the window that the tail's hop and this one make, into place `at`.
#[inline(always)]
pub fn measure(tail: &mut Tail, now: &[i16; HOP], quiet: u32, at: usize, into: &mut Measures) {
    let (energy, high) = energies(&tail.hop, now);
    into.energy[at] = energy;
    into.roots[at] = Roots::of(energy, high);
    if energy.saturating_add(tail.energy) >= quiet {
        let tones = tones(&TWIDDLES, &tail.hop, now);
        into.tones[at] = tones;
        let most = |tones: &[[i16; 2]]| tones.iter().copied().map(power).fold(0, i32::max);
        into.loudest[0][at] = most(&tones[..4]);
        into.loudest[1][at] = most(&tones[4..]);
    }
    tail.hop = *now;
    tail.energy = energy;
}

/// The tones of the window that two hops make.
#[inline(always)]
pub fn tones(twiddles: &Twiddles, before: &[i16; HOP], now: &[i16; HOP]) -> [[i16; 2]; 8] {
    let mut sums = [0i32; 16];
    for (pair, row) in twiddles.0.iter().enumerate() {
        let (near, far) = (2 * pair, 2 * pair + 1);
        let (after, earlier) = (
            [now[near], now[far]],
            [before[HOP - 1 - near], before[HOP - 1 - far]],
        );
        let quad = [
            after[0] + earlier[0],
            after[1] + earlier[1],
            after[0] - earlier[0],
            after[1] - earlier[1],
        ];
        let samples = [quad; 8];
        let (samples, row) = (samples.as_flattened(), row.as_flattened());
        for (at, sum) in sums.iter_mut().enumerate() {
            let times = |i: usize| i32::from(samples[i]) * i32::from(row[i]);
            *sum += times(2 * at) + times(2 * at + 1);
        }
    }
    let round = |sum: i32| ((sum + (1 << (SUM_SHIFT - 1))) >> SUM_SHIFT) as i16;
    let mut tones = [[0; 2]; 8];
    for (place, tone) in ORDER.into_iter().enumerate() {
        tones[tone] = [round(sums[2 * place]), round(sums[2 * place + 1])];
    }
    tones
}

/// `|z|²`.
#[inline(always)]
pub fn power(z: [i16; 2]) -> i32 {
    let [re, im] = z.map(i32::from);
    re * re + im * im
}

/// The two energies of the newer hop.
#[inline(always)]
fn energies(before: &[i16; HOP], now: &[i16; HOP]) -> (u32, u32) {
    let mut late = [0; HOP];
    late[..2].copy_from_slice(&before[HOP - 2..]);
    late[2..].copy_from_slice(&now[..HOP - 2]);
    let (mut energy, mut high) = (0u32, 0u32);
    for (&sample, &late) in now.iter().zip(&late) {
        let rise = i32::from((sample - late) >> 1);
        energy = energy.wrapping_add((i32::from(sample) * i32::from(sample)) as u32);
        high = high.wrapping_add((rise * rise) as u32);
    }
    (energy, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::goertzel;

    /// Rounded twiddles against the recurrence in double precision: half a unit
    /// of the result, and the rounding of 80 twiddles, is below 3 units of 11,500.
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
                (state >> 16) as i16 >> 2
            });
            let (before, now) = halves(&window);
            let tones = tones(&TWIDDLES, before, now);
            for (tone, hz) in tones.into_iter().zip(FREQUENCIES_HZ) {
                let hann = |n: usize| 0.5 - 0.5 * (TAU * (n as f64 + 0.5) / WINDOW as f64).cos();
                let exact = goertzel::tone(&window, hz, INNER_HZ, hann);
                let scale = f64::from(FULL_SCALE) / (8192.0 * 20.0);
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
        // The worst for each tone's real and imaginary part: the most that a filter lets through, with
        // the twiddle's sign. Summed in 64 bits, so that it does not matter how this was built.
        let most = (8192.0 * OVERSHOOT) as i64;
        let mut seen = 0;
        for tone in 0..8 {
            for part in [0, 1, 2, 3].as_chunks::<2>().0 {
                let weights = TWIDDLES.0.iter().flat_map(|row| part.map(|i| row[tone][i]));
                let sum: i64 = weights.map(|w| 2 * most * i64::from(w).abs()).sum();
                let rounded = sum + (1 << (SUM_SHIFT - 1));
                assert!(rounded <= i64::from(i32::MAX), "{tone}: {rounded}");
                assert!(rounded >> SUM_SHIFT <= i64::from(i16::MAX));
                seen += 1;
            }
        }
        assert_eq!(seen, 16);
        for rate in SampleRate::ALL {
            let taps = Decimator::of(rate).taps.iter();
            let gain = taps.map(|&h| f64::from(h).abs()).sum::<f64>() / 32_768.0;
            assert!(gain < OVERSHOOT, "{rate:?}: {gain}");
        }
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
            // Its answer to a tone, and where that sits among the taps.
            let answer = |hz: f64| {
                let w = TAU * hz / f64::from(rate.hz());
                let (mut sum, mut place) = ([0.0; 2], [0.0; 2]);
                for (n, &h) in filter.taps.iter().enumerate() {
                    let (n, (sin, cos)) = (n as f64, (w * n as f64).sin_cos());
                    for (i, part) in [cos, sin].into_iter().enumerate() {
                        sum[i] += f64::from(h) / 32_768.0 * part;
                        place[i] += f64::from(h) / 32_768.0 * part * n;
                    }
                }
                let power = sum[0] * sum[0] + sum[1] * sum[1];
                let place = (place[0] * sum[0] + place[1] * sum[1]) / power;
                (10.0 * power.log10(), place)
            };
            let gain_db = |hz: f64| answer(hz).0;
            let steady = filter.taps.iter().map(|&h| i32::from(h)).sum::<i32>();
            assert!((32_768..33_500).contains(&steady), "{rate:?}: {steady}");
            for hz in (650..=1700).step_by(10).map(f64::from) {
                assert!(gain_db(hz).abs() < 0.26, "{rate:?} {hz}: {}", gain_db(hz));
                let late = answer(hz).1 - f64::from(filter.centre);
                assert!(late.abs() < 0.25, "{rate:?} {hz}: {late}");
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
