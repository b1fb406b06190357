//! [`kernel`](super::kernel) for x86-64 with AVX2, and with AVX-512 VNNI: the same integers, more
//! at a time. Chosen once when a detector is made; other machines run the plain kernel.
//!
//! All three widths agree to the last bit because nothing here can round differently: products and
//! sums are exact in 32 bits (the bound is in [`kernel`](super::kernel)), so their order is free.
//!
//! `unsafe` lives here and nowhere else in the detector: calls that need a CPU feature, loads and
//! stores. The arithmetic is in `wide` and is safe.

#![allow(
    unsafe_code,
    reason = "CPU features; each block says what vouches for it"
)]

use super::Event;
use super::digit::Judge;
#[cfg(target_arch = "x86_64")]
use super::kernel::HOP;
use super::kernel::{self, Decimator, Measures, Tail};
#[cfg(target_arch = "x86_64")]
use super::{bank, wide};

/// Which kernel a detector runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// [`kernel`](super::kernel).
    Plain,
    /// 256 bits, AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits, AVX-512 F, BW and VNNI for the tones, all else as [`Width::Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Width {
    /// The fastest that this machine has.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Plain)
    }

    /// All that this machine can run, narrowest first.
    pub fn available() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            if !is_x86_feature_detected!("avx2") {
                return &[Self::Plain];
            }
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni");
            if wide {
                &[Self::Plain, Self::Avx2, Self::Avx512]
            } else {
                &[Self::Plain, Self::Avx2]
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        &[Self::Plain]
    }

    /// [`kernel::hear`] for the frame that comes next, a whole block of `judge`'s: nothing if nothing
    /// stands out in it, which `judge` then knows, else what [`Width::take`] is to see. If not `may_pass`,
    /// always that.
    #[inline(always)]
    pub(super) fn hear(
        self,
        filter: &Decimator,
        tail: &mut Tail,
        judge: &mut Judge,
        samples: &[i16],
        quiet: u32,
        may_pass: bool,
    ) -> Option<Measures> {
        match self {
            Self::Plain => {
                let mut measures = Measures::default();
                kernel::hear(filter, tail, samples, quiet, &mut measures);
                judge.learn();
                Some(measures)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => {
                // SAFETY: these variants are only made by `available`, which has seen AVX2, and for the
                // second AVX-512 F, BW and VNNI.
                // JUSTIFICATION: an eighth of the plain kernel's time.
                unsafe { hear(self, filter, tail, judge, samples, quiet, may_pass) }
            }
        }
    }

    /// [`Judge::take`], the same code compiled for this width: no float contracts, so it decides the same.
    #[inline(always)]
    pub(super) fn take(
        self,
        judge: &mut Judge,
        measures: &Measures,
        hops: usize,
        emit: &mut impl FnMut(Event),
    ) {
        match self {
            Self::Plain => judge.take(measures, hops, emit),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => {
                // SAFETY: as in `hear`.
                // JUSTIFICATION: 2 % of a frame's time.
                unsafe { take(judge, measures, hops, emit) }
            }
        }
    }

    /// [`kernel::decimate`], compiled for this width.
    pub(super) fn decimate(self, filter: &Decimator, input: &[i16], out: &mut [i16]) {
        match self {
            Self::Plain => kernel::decimate(filter, input, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => {
                // SAFETY: as in `hear`. JUSTIFICATION: a third of the plain kernel's time.
                unsafe { decimate(filter, input, out) }
            }
        }
    }

    /// [`kernel::measure`] of one hop that is filtered already.
    pub(super) fn measure(
        self,
        tail: &mut Tail,
        now: &[i16; kernel::HOP],
        quiet: u32,
        into: &mut Measures,
    ) {
        match self {
            Self::Plain => kernel::measure(tail, now, quiet, 0, into),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => {
                // SAFETY: as in `hear`. JUSTIFICATION: a quarter of the plain kernel's time.
                unsafe { measure(self, tail, now, quiet, into) }
            }
        }
    }
}

/// [`Judge::take`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn take(judge: &mut Judge, measures: &Measures, hops: usize, emit: &mut impl FnMut(Event)) {
    judge.take(measures, hops, emit);
}

/// [`wide::hear`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hear(
    width: Width,
    filter: &Decimator,
    tail: &mut Tail,
    judge: &mut Judge,
    samples: &[i16],
    quiet: u32,
    may_pass: bool,
) -> Option<Measures> {
    let tones = |hops: &_| tones(width, hops);
    wide::hear(filter, tail, judge, samples, quiet, may_pass, tones)
}

/// [`kernel::decimate`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn decimate(filter: &Decimator, input: &[i16], out: &mut [i16]) {
    kernel::decimate(filter, input, out);
}

/// [`wide::measure`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn measure(width: Width, tail: &mut Tail, now: &[i16; HOP], quiet: u32, into: &mut Measures) {
    wide::measure(tail, now, quiet, |hops| tones(width, hops), into);
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn tones(width: Width, hops: &[wide::Folded; kernel::HOPS_MAX]) -> bank::Tones {
    match width {
        // SAFETY: this variant is only made by `available`, which has seen AVX-512 F, BW and VNNI.
        // JUSTIFICATION: half as many instructions.
        Width::Avx512 => unsafe { bank::tones_512(hops) },
        Width::Avx2 | Width::Plain => bank::tones_256(hops),
    }
}

/// Loads and stores: an array's bytes, whatever its alignment.
#[cfg(target_arch = "x86_64")]
pub(super) mod memory {
    use crate::dtmf::roots::Roots;
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn load(from: &[i16; 16]) -> __m256i {
        // SAFETY: 16 samples are 32 readable bytes; the load asks for no alignment.
        // JUSTIFICATION: there is no safe load of a vector from an array.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn load_half(from: &[i16; 8]) -> __m128i {
        // SAFETY: 8 samples are 16 readable bytes; the load asks for no alignment.
        // JUSTIFICATION: there is no safe load of a vector from an array.
        unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
    }

    /// A row of twiddles.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn load_row(from: &[[i16; 4]; 8]) -> __m512i {
        // SAFETY: a row is 64 readable bytes; the load asks for no alignment.
        // JUSTIFICATION: there is no safe load of a vector from an array.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    /// One of the 64-bit parts of vectors, out of memory: a broadcast then is a load.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn quarter(from: &[__m256i; 5], at: usize) -> i64 {
        let parts: *const [i64; 20] = std::ptr::from_ref(from).cast();
        // SAFETY: five vectors are twenty readable i64, aligned for them; the index is checked.
        // JUSTIFICATION: the safe extract wants a constant index, and goes through a shuffle.
        unsafe { (*parts)[at] }
    }

    /// Integers and arrays of them.
    ///
    /// # Safety
    ///
    /// Any bytes are a value.
    pub(in super::super) unsafe trait Bits: Copy {}
    // SAFETY: an integer. JUSTIFICATION: one store for all things that are stored.
    unsafe impl Bits for i64 {}
    // SAFETY: an integer. JUSTIFICATION: as above.
    unsafe impl Bits for i32 {}
    // SAFETY: an integer. JUSTIFICATION: as above.
    unsafe impl Bits for i16 {}
    // SAFETY: an integer. JUSTIFICATION: as above.
    unsafe impl Bits for u32 {}
    // SAFETY: two integers. JUSTIFICATION: as above.
    unsafe impl Bits for [i16; 2] {}
    // SAFETY: four integers. JUSTIFICATION: as above.
    unsafe impl Bits for [i32; 4] {}
    // SAFETY: an integer. JUSTIFICATION: as above.
    unsafe impl Bits for Roots {}

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn store<T: Bits, const N: usize>(to: &mut [T; N], vector: __m256i) {
        const { assert!(size_of::<[T; N]>() == 32) };
        // SAFETY: `to` is 32 writable bytes, as just asserted, and any bytes are a value of `T`;
        // the store asks for no alignment.
        // JUSTIFICATION: there is no safe store of a vector to an array.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn store_half<T: Bits, const N: usize>(to: &mut [T; N], vector: __m128i) {
        const { assert!(size_of::<[T; N]>() == 16) };
        // SAFETY: `to` is 16 writable bytes, as just asserted, and any bytes are a value of `T`;
        // the store asks for no alignment.
        // JUSTIFICATION: there is no safe store of a vector to an array.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), vector) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;
    use crate::dtmf::Setting;
    use crate::dtmf::bar::Bar;
    use crate::dtmf::kernel::{HOPS_MAX, TAPS_MAX};
    use proptest::prelude::*;

    /// Any samples, and with them the extremes, in blocks long enough to matter.
    fn samples(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<i16>> {
        let sample =
            prop_oneof![4 => any::<i16>(), 1 => Just(i16::MIN), 1 => Just(i16::MAX), 1 => Just(0)];
        proptest::collection::vec(sample, len)
    }

    fn wide() -> &'static [Width] {
        &Width::available()[1..]
    }

    #[test]
    fn says_which_widths_this_machine_can_test() {
        println!("widths: {:?}", Width::available());
        assert_eq!(Width::available()[0], Width::Plain);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn hops_at_any_alignment_are_the_same(
            input in samples(HOPS_MAX * 6 * HOP + 8),
            held in samples(TAPS_MAX - 1),
            before in samples(HOP),
            rate in 0usize..4,
            skew in 0usize..8,
            energy in 0u32..60_000,
            volume in proptest::collection::vec(0usize..4, HOPS_MAX + 1),
        ) {
            let filter = Decimator::of(SampleRate::ALL[rate]);
            // Loud, about where quiet begins, silent, and nothing at all: each hop as it comes.
            let soften = |x: i16, hop: usize| x.checked_shr([0, 7, 10, 15][volume[hop]]).unwrap_or(0);
            let whole = HOP * filter.factor;
            let input: Vec<i16> = (0..input.len())
                .map(|n| soften(input[n], (n.saturating_sub(skew) / whole).min(HOPS_MAX - 1)))
                .collect();
            let before: Vec<i16> = before.into_iter().map(|x| soften(x, HOPS_MAX)).collect();
            let now = &input[skew..][..whole * HOPS_MAX];
            let tail = Tail {
                held: held.try_into().expect("of that length"),
                hop: before.try_into().expect("of that length"),
                energy,
            };
            let run = |width: Width| {
                let mut tail = tail.clone();
                let mut judge = Judge::new(SampleRate::ALL[rate], Setting::Standard);
                let measures = width.hear(filter, &mut tail, &mut judge, now, 54_720, false);
                (measures, tail)
            };
            let plain = run(Width::Plain);
            for &width in wide() {
                prop_assert_eq!(run(width), plain.clone());
            }
        }

        /// About where a pair just stands out: powers and energy that differ by little from what the bar asks.
        #[test]
        fn the_bar_is_the_same_four_at_a_time(
            energy in proptest::collection::vec(1u16..3000, HOPS_MAX + 1),
            share in proptest::collection::vec(
                prop_oneof![0.0f32..1.0, 0.0289f32..0.0293, 0.9522f32..0.9526], HOPS_MAX),
            part in proptest::collection::vec(0.9f32..1.02, HOPS_MAX),
            excuse in prop_oneof![Just(0.0f32), 0.0f32..1e6],
            floor in prop_oneof![(Just(false), 1i32..5000), (Just(true), -1i32..2)],
        ) {
            let square = |root: u16| 2.0 * f32::from(root) * f32::from(root);
            let (mut rows, mut columns) = ([0; HOPS_MAX], [0; HOPS_MAX]);
            let window = |at: usize| square(energy[at + 1]) + square(energy[at]);
            for at in 0..HOPS_MAX {
                let tones = part[at] * (Bar::PURITY * window(at) - excuse).max(0.0) / Bar::ENERGY;
                rows[at] = (tones * (1.0 - share[at])) as i32;
                columns[at] = (tones * share[at]) as i32;
            }
            let (near, floor) = floor;
            let floor = if near { floor + *rows.iter().max().expect("four") } else { floor };
            let bar = Bar { floor, excuse, earlier: square(energy[0]) };
            let any = (0..HOPS_MAX).any(|at| {
                bar.is_met(Bar::surplus(floor, [rows[at], columns[at]], window(at)))
            });
            let roots = std::array::from_fn(|at| energy[at + 1]);
            if !wide().is_empty() {
                // SAFETY: there is a width beyond the plain one, hence AVX2.
                // JUSTIFICATION: the function under test.
                let found = unsafe { wide::stand_out(&bar, [rows, columns], roots) };
                prop_assert_eq!(found, any);
            }
        }
    }
}
