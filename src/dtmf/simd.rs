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

use super::kernel::{self, Decimator, HOP, Measure, TAPS_MAX, TWIDDLES};
#[cfg(target_arch = "x86_64")]
use super::wide;

/// Which kernel a detector runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// [`kernel`](super::kernel).
    Plain,
    /// 256 bits, AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits, AVX-512 F, BW and VNNI; decimation and energies as [`Width::Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Width {
    /// The widest this machine has.
    pub(super) fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Plain)
    }

    /// All that this machine can run, narrowest first.
    pub(super) fn available() -> &'static [Self] {
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

    /// A whole hop: `now` goes through the filter into the line's newer hop, what the next hop needs
    /// of it into `held`, and both hops are measured as [`kernel::measure`] does. A window whose
    /// energy is below `quiet` has no tones; only the plain kernel goes the long way there.
    #[inline(always)]
    pub(super) fn hop(
        self,
        filter: &Decimator,
        line: Line<'_>,
        now: &[i16],
        quiet: u32,
    ) -> Measure {
        match self {
            Self::Plain => {
                let history = filter.history();
                let mut input = [0; TAPS_MAX - 1 + 6 * HOP];
                let input = &mut input[..history + now.len()];
                input[..history].copy_from_slice(&line.held[..history]);
                input[history..].copy_from_slice(now);
                kernel::decimate(filter, input, line.now);
                line.held[..history].copy_from_slice(&input[now.len()..]);
                let measure = kernel::measure(&TWIDDLES, line.before, line.now);
                if measure.energy.saturating_add(line.energy) < quiet {
                    let Measure {
                        energy,
                        high,
                        roots,
                        ..
                    } = measure;
                    return Measure {
                        energy,
                        high,
                        roots,
                        ..Measure::default()
                    };
                }
                measure
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => {
                // SAFETY: these variants are only made by `available`, which has seen AVX2, and for
                // the second AVX-512 F, BW and VNNI.
                // JUSTIFICATION: some 400 instructions a hop against 5,000.
                unsafe { hop(self, filter, line, now, quiet) }
            }
        }
    }
}

/// What a hop reads and writes of a detector.
pub(super) struct Line<'a> {
    /// Samples that the filter still needs.
    pub(super) held: &'a mut [i16; TAPS_MAX - 1],
    /// 8 kHz samples of the last hop.
    pub(super) before: &'a [i16; HOP],
    /// Room for those of this one.
    pub(super) now: &'a mut [i16; HOP],
    /// Energy of the last hop.
    pub(super) energy: u32,
}

/// [`Width::hop`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hop(width: Width, filter: &Decimator, mut line: Line<'_>, now: &[i16], quiet: u32) -> Measure {
    let hop = wide::filter_hop(filter, &mut line, now);
    let mut measure = wide::energies(line.before, &hop);
    if measure.energy.saturating_add(line.energy) >= quiet {
        if width == Width::Avx512 {
            // SAFETY: this variant is only made by `available`, which has seen AVX-512 F, BW, VNNI.
            // JUSTIFICATION: 40 instructions where AVX2 has 100.
            unsafe { wide::tones_512(line.before, &hop, &TWIDDLES, &mut measure) }
        } else {
            wide::tones_256(line.before, &hop, &TWIDDLES, &mut measure);
        }
    }
    measure
}

/// Loads and stores: an array's bytes, whatever its alignment.
#[cfg(target_arch = "x86_64")]
pub(super) mod memory {
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
    // SAFETY: two integers. JUSTIFICATION: as above.
    unsafe impl Bits for [i16; 2] {}

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
    pub(in super::super) fn store_half(to: &mut [i16; 8], vector: __m128i) {
        // SAFETY: 8 samples are 16 writable bytes; the store asks for no alignment.
        // JUSTIFICATION: there is no safe store of a vector to an array.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), vector) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::SampleRate;
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
        fn a_hop_at_any_alignment_is_the_same(
            input in samples(6 * HOP + 8),
            held in samples(TAPS_MAX - 1),
            before in samples(HOP),
            rate in 0usize..4,
            skew in 0usize..8,
            energy in 0u32..60_000,
            loud in any::<bool>(),
        ) {
            let filter = Decimator::of(SampleRate::ALL[rate]);
            // The softer half is about where silence begins.
            let soften = |x: i16| if loud { x } else { x >> 9 };
            let input: Vec<i16> = input.into_iter().map(soften).collect();
            let before: Vec<i16> = before.into_iter().map(soften).collect();
            let now = &input[skew..][..HOP * filter.factor];
            let held: [i16; TAPS_MAX - 1] = held.try_into().expect("of that length");
            let before: [i16; HOP] = before.try_into().expect("of that length");
            let run = |width: Width| {
                let (mut held, mut out) = (held, [0; HOP]);
                let line =
                    Line { held: &mut held, before: &before, now: &mut out, energy };
                let measure = width.hop(filter, line, now, 54_720);
                (measure, held, out)
            };
            let plain = run(Width::Plain);
            for &width in wide() {
                prop_assert_eq!(run(width), plain);
            }
        }
    }
}
