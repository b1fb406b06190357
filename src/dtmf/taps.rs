//! The decimation filters of [`wide`](super::wide): each makes eight samples at once.

use super::kernel::{BY_2, INNER_SHIFT};
use super::simd::memory::{load, load_half};
use super::wide::part;
use std::arch::x86_64::*;

/// Two times eight sums as samples.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn round(first: __m256i, second: __m256i) -> __m256i {
    let half = _mm256_set1_epi32(1 << (INNER_SHIFT - 1));
    let shift = |sums| _mm256_srai_epi32::<{ INNER_SHIFT as i32 }>(_mm256_add_epi32(sums, half));
    _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(shift(first), shift(second)))
}

/// No filter.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_1(input: &[i16; 8]) -> __m256i {
    _mm256_slli_epi32::<15>(_mm256_cvtepi16_epi32(load_half(input)))
}

/// Two taps meet eight neighbouring pairs of samples.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_2(input: &[i16; 24]) -> __m256i {
    /// Two taps side by side.
    const PAIRS: [i32; 5] = {
        let mut pairs = [0; 5];
        let mut n = 0;
        while n < 5 {
            let [early, late] = [BY_2[2 * n], BY_2[2 * n + 1]];
            pairs[n] = (early as u16 as i32) | ((late as i32) << 16);
            n += 1;
        }
        pairs
    };
    let product = |n: usize| {
        let taps = _mm256_set1_epi32(PAIRS[n]);
        _mm256_madd_epi16(load(part(input, 2 * n)), taps)
    };
    let add = |a, b| _mm256_add_epi32(a, b);
    let first = add(product(0), product(1));
    add(add(first, add(product(2), product(3))), product(4))
}

/// All taps meet the samples of one output; eight such are then added across.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_3(taps: __m256i, input: &[i16; 37]) -> __m256i {
    let output = |n: usize| _mm256_madd_epi16(load(part(input, 3 * n)), taps);
    across([0, 1, 2, 3, 4, 5, 6, 7].map(output))
}

/// The same with twice the taps.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_6([first, second]: [__m256i; 2], input: &[i16; 74]) -> __m256i {
    let output = |n: usize| {
        let early = _mm256_madd_epi16(load(part(input, 6 * n)), first);
        let late = _mm256_madd_epi16(load(part(input, 6 * n + 16)), second);
        _mm256_add_epi32(early, late)
    };
    across([0, 1, 2, 3, 4, 5, 6, 7].map(output))
}

/// The sum of each vector's lanes, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn across(v: [__m256i; 8]) -> __m256i {
    let four = |a, b, c, d| _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let (low, high) = (four(v[0], v[1], v[2], v[3]), four(v[4], v[5], v[6], v[7]));
    _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(low, high),
        _mm256_permute2x128_si256::<0x31>(low, high),
    )
}
