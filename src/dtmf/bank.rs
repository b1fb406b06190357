//! The filter bank of [`wide`](super::wide): rows of twiddles meet folded samples, which is half of a frame's
//! time.

#[cfg(doc)]
use super::kernel;
use super::kernel::{HOPS_MAX, ROWS, SUM_SHIFT, TWIDDLES};
use super::simd::memory::{load, load_row, quarter};
use super::wide::{Folded, both, four, part};
use std::arch::x86_64::*;

/// What the tones of a frame's windows are, packed as [`Measures`](super::kernel::Measures) have them.
pub(super) type Tones = [__m256i; HOPS_MAX];

/// [`kernel::tones`] of each hop. Not inlined: the loop wants all registers.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub(super) fn tones_256(hops: &[Folded; HOPS_MAX]) -> Tones {
    let half = _mm256_set1_epi32(1 << (SUM_SHIFT - 1));
    let mut sums = [[half; 2]; HOPS_MAX];
    const { assert!(ROWS.is_multiple_of(2)) };
    // Two rows at a time, or the counting would be a seventh of it.
    for (at, rows) in TWIDDLES.0.as_chunks::<2>().0.iter().enumerate() {
        for (n, row) in rows.iter().enumerate() {
            let row = row.as_flattened();
            let (low, high) = (load(part(row, 0)), load(part(row, 16)));
            for (sums, hop) in sums.iter_mut().zip(hops) {
                let samples = _mm256_set1_epi64x(quarter(hop, 2 * at + n));
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(samples, low));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(samples, high));
            }
        }
    }
    let shift = |sums| _mm256_srai_epi32::<{ SUM_SHIFT as i32 }>(sums);
    let pack = |[low, high]: [__m256i; 2]| _mm256_packs_epi32(shift(low), shift(high));
    [pack(sums[0]), pack(sums[1]), pack(sums[2]), pack(sums[3])]
}

/// The same, eight tones in one register.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
pub(super) fn tones_512(hops: &[Folded; HOPS_MAX]) -> Tones {
    let mut sums = [_mm512_set1_epi32(1 << (SUM_SHIFT - 1)); HOPS_MAX];
    for (at, row) in TWIDDLES.0.iter().enumerate() {
        let row = load_row(row);
        for (sum, hop) in sums.iter_mut().zip(hops) {
            let samples = _mm512_set1_epi64(quarter(hop, at));
            *sum = _mm512_dpwssd_epi32(*sum, samples, row);
        }
    }
    let pack = |sum| {
        let sum = _mm512_srai_epi32::<SUM_SHIFT>(sum);
        _mm256_packs_epi32(
            _mm512_castsi512_si256(sum),
            _mm512_extracti64x4_epi64::<1>(sum),
        )
    };
    [pack(sums[0]), pack(sums[1]), pack(sums[2]), pack(sums[3])]
}

/// The largest power of each window's rows, and of its columns.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn loudest(tones: &Tones) -> __m256i {
    let power = |hop: usize| _mm256_madd_epi16(tones[hop], tones[hop]);
    let most = |a, b| _mm256_max_epi32(a, b);
    let (early, late) = (
        both(power(0), power(1), most),
        both(power(2), power(3), most),
    );
    four(early, late, most)
}
