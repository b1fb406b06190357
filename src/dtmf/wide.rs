//! The vector arithmetic of [`simd`](super::simd), all of it safe: functions for a CPU feature, value
//! intrinsics, and loads and stores that are `simd`'s.
//!
//! How the window is laid out: folded samples are stored two distances at a time, sums and
//! differences side by side, `[sum near, sum far, difference near, difference far]`. One 64-bit
//! broadcast of that meets one row of [`Twiddles`], and one multiply-add per four tones (eight with
//! AVX-512) yields real and imaginary parts in the order in which [`Measure`] keeps them.

#[cfg(doc)]
use super::kernel;
use super::kernel::{Decimator, HOP, Measure, SUM_SHIFT, TAPS_MAX, Twiddles};
use super::simd::Line;
use super::simd::memory::{load, load_half, load_row, store, store_half};
use std::arch::x86_64::*;

/// `N` samples of `from` beginning at `at`.
#[inline(always)]
fn part<const N: usize>(from: &[i16], at: usize) -> &[i16; N] {
    from[at..]
        .first_chunk()
        .expect("callers stay within their arrays")
}

/// A hop in registers: what was just stored is not loaded again, as a load that spans two recent
/// stores waits for both to leave the pipeline, and with them for the whole hop before.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    first: __m256i,
    second: __m256i,
    third: __m128i,
}

/// A hop that was stored some time ago.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_hop(now: &[i16; HOP]) -> Hop {
    Hop {
        first: load(part(now, 0)),
        second: load(part(now, 16)),
        third: load_half(part(now, 32)),
    }
}

/// Filters a hop. Each rate has lengths that the compiler knows: it then checks no bounds.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn filter_hop(filter: &Decimator, line: &mut Line<'_>, now: &[i16]) -> Hop {
    let hop = match filter.factor {
        1 => load_hop(part(now, 0)),
        2 => {
            let now: &[i16; 2 * HOP] = part(now, 0);
            let taps = pairs(part(filter.taps, 0));
            let held = load_half(part(line.held, 0));
            line.held[..8].copy_from_slice(&now[2 * HOP - 8..]);
            let eight = |n: usize| match n {
                0 => by_2_first(&taps, held, part(now, 0)),
                n => by_2(&taps, part(now, 16 * n - 8)),
            };
            finish([eight(0), eight(1), eight(2), eight(3), eight(4)])
        }
        3 => {
            let taps = part(filter.taps, 0);
            let now = part::<{ 3 * HOP }>(now, 0);
            finish(eights::<13, 37>(line.held, now, |from| by_3(taps, from)))
        }
        _ => {
            let taps = part(filter.taps, 0);
            let now = part::<{ 6 * HOP }>(now, 0);
            finish(eights::<26, 74>(line.held, now, |from| by_6(taps, from)))
        }
    };
    let (sixteens, rest) = line.now.as_chunks_mut::<16>();
    if let ([first, second], Some(third)) = (sixteens, rest.first_chunk_mut()) {
        store(first, hop.first);
        store(second, hop.second);
        store_half(third, hop.third);
    }
    hop
}

/// The sums of a hop, eight at a time, each from `SPAN` of the input, of which the first begin in
/// the `HISTORY` held samples; then holds the last `HISTORY` of `now`.
#[inline]
#[target_feature(enable = "avx2")]
fn eights<const HISTORY: usize, const SPAN: usize>(
    held: &mut [i16; TAPS_MAX - 1],
    now: &[i16],
    sums: impl Fn(&[i16; SPAN]) -> __m256i,
) -> [__m256i; 5] {
    let step = SPAN - HISTORY;
    let mut first = [0; SPAN];
    first[..HISTORY].copy_from_slice(&held[..HISTORY]);
    first[HISTORY..].copy_from_slice(&now[..step]);
    held[..HISTORY].copy_from_slice(&now[5 * step - HISTORY..5 * step]);
    let later = |n: usize| sums(part(now, step * n - HISTORY));
    [sums(&first), later(1), later(2), later(3), later(4)]
}

/// Rounds 40 sums to samples.
#[inline]
#[target_feature(enable = "avx2")]
fn finish(sums: [__m256i; 5]) -> Hop {
    let half = _mm256_set1_epi32(1 << 14);
    let [a, b, c, d, e] = sums.map(|x| _mm256_srai_epi32::<15>(_mm256_add_epi32(x, half)));
    let pack = |x, y| _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(x, y));
    Hop {
        first: pack(a, b),
        second: pack(c, d),
        third: _mm256_castsi256_si128(pack(e, e)),
    }
}

/// Each two taps in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(taps: &[i16; 10]) -> [__m256i; 5] {
    [0, 2, 4, 6, 8].map(|at| {
        let both = i32::from(taps[at] as u16) | (i32::from(taps[at + 1]) << 16);
        _mm256_set1_epi32(both)
    })
}

/// Two taps meet eight neighbouring pairs of samples.
#[inline]
#[target_feature(enable = "avx2")]
fn by_2(taps: &[__m256i; 5], input: &[i16; 24]) -> __m256i {
    let mut sums = _mm256_setzero_si256();
    for (pair, &taps) in taps.iter().enumerate() {
        let samples = load(part(input, 2 * pair));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(samples, taps));
    }
    sums
}

/// The first eight, whose taps meet the 8 held samples too.
#[inline]
#[target_feature(enable = "avx2")]
fn by_2_first(taps: &[__m256i; 5], held: __m128i, now: &[i16; 16]) -> __m256i {
    let later = load(now);
    let early = _mm256_set_m128i(_mm256_castsi256_si128(later), held);
    let samples = [
        early,
        _mm256_alignr_epi8::<4>(later, early),
        _mm256_alignr_epi8::<8>(later, early),
        _mm256_alignr_epi8::<12>(later, early),
        later,
    ];
    let mut sums = _mm256_setzero_si256();
    for (samples, &taps) in samples.into_iter().zip(taps) {
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(samples, taps));
    }
    sums
}

/// All taps meet the samples of one output; eight such are then added across.
#[inline]
#[target_feature(enable = "avx2")]
fn by_3(taps: &[i16; 16], input: &[i16; 37]) -> __m256i {
    let taps = load(taps);
    let output = |n: usize| _mm256_madd_epi16(load(part(input, 3 * n)), taps);
    across([0, 1, 2, 3, 4, 5, 6, 7].map(output))
}

/// The same with twice the taps.
#[inline]
#[target_feature(enable = "avx2")]
fn by_6(taps: &[i16; 32], input: &[i16; 74]) -> __m256i {
    let (first, second) = (load(part(taps, 0)), load(part(taps, 16)));
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

/// [`kernel::energies`]. Each lane adds at most 5 squares of pairs below 2^27: no overflow.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn energies(before: &[i16; HOP], now: &Hop) -> Measure {
    // Each vector's samples as they were two samples earlier: its own, moved up by two, after the
    // last two of the one before.
    let last = _mm256_set_m128i(load_half(part(before, 32)), _mm_setzero_si128());
    let up = |vector, before| {
        let across = _mm256_permute2x128_si256::<0x21>(before, vector);
        _mm256_alignr_epi8::<12>(vector, across)
    };
    let (mut energy, mut high) = (_mm_setzero_si128(), _mm_setzero_si128());
    for (now, before) in [(now.first, last), (now.second, now.first)] {
        let quarter = _mm256_srai_epi16::<2>(now);
        let before = _mm256_srai_epi16::<3>(up(now, before));
        let rise = _mm256_sub_epi16(_mm256_srai_epi16::<3>(now), before);
        energy = _mm_add_epi32(energy, both_halves(_mm256_madd_epi16(quarter, quarter)));
        high = _mm_add_epi32(high, both_halves(_mm256_madd_epi16(rise, rise)));
    }
    let (now, last) = (now.third, _mm256_extracti128_si256::<1>(now.second));
    let quarter = _mm_srai_epi16::<2>(now);
    let before = _mm_srai_epi16::<3>(_mm_alignr_epi8::<12>(now, last));
    let rise = _mm_sub_epi16(_mm_srai_epi16::<3>(now), before);
    energy = _mm_add_epi32(energy, _mm_madd_epi16(quarter, quarter));
    high = _mm_add_epi32(high, _mm_madd_epi16(rise, rise));
    let both = _mm_hadd_epi32(energy, high);
    let both = _mm_hadd_epi32(both, both);
    let root = _mm_sqrt_ps(_mm_cvtepi32_ps(_mm_srli_epi32::<1>(both)));
    let root = _mm_cvttps_epi32(_mm_add_ps(root, _mm_set1_ps(0.5)));
    Measure {
        energy: _mm_cvtsi128_si32(both) as u32,
        high: _mm_extract_epi32::<1>(both) as u32,
        roots: [
            _mm_cvtsi128_si32(root) as u16,
            _mm_extract_epi32::<1>(root) as u16,
        ],
        ..Measure::default()
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_halves(vector: __m256i) -> __m128i {
    _mm_add_epi32(
        _mm256_castsi256_si128(vector),
        _mm256_extracti128_si256::<1>(vector),
    )
}

/// Sums and differences of samples equally far from the centre, in the order of [`kernel::ROWS`].
#[inline]
#[target_feature(enable = "avx2")]
fn fold(before: &[i16; HOP], now: &Hop) -> [[i64; 4]; 5] {
    let mut folded = [[0; 4]; 5];
    let backwards = _mm_setr_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1);
    let backwards = _mm256_broadcastsi128_si256(backwards);
    for (group, after) in [now.first, now.second].into_iter().enumerate() {
        let before = load(part(before, HOP - 16 - 16 * group));
        let before = _mm256_permute4x64_epi64::<0x4e>(_mm256_shuffle_epi8(before, backwards));
        let (after, before) = (
            _mm256_srai_epi16::<1>(after),
            _mm256_srai_epi16::<1>(before),
        );
        let (sum, rise) = (
            _mm256_add_epi16(after, before),
            _mm256_sub_epi16(after, before),
        );
        store(&mut folded[2 * group], _mm256_unpacklo_epi32(sum, rise));
        store(&mut folded[2 * group + 1], _mm256_unpackhi_epi32(sum, rise));
    }
    let after = _mm_srai_epi16::<1>(now.third);
    let before = load_half(part(before, 0));
    let before = _mm_shuffle_epi8(before, _mm256_castsi256_si128(backwards));
    let before = _mm_srai_epi16::<1>(before);
    let (sum, rise) = (_mm_add_epi16(after, before), _mm_sub_epi16(after, before));
    let (low, high) = (_mm_unpacklo_epi32(sum, rise), _mm_unpackhi_epi32(sum, rise));
    store(&mut folded[4], _mm256_set_m128i(high, low));
    folded
}

/// The tones and powers of [`kernel::measure`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn tones_256(before: &[i16; HOP], now: &Hop, twiddles: &Twiddles, into: &mut Measure) {
    let folded = fold(before, now);
    let half = _mm256_set1_epi32(1 << (SUM_SHIFT - 1));
    let (mut low, mut high) = (half, half);
    for (&samples, row) in folded.as_flattened().iter().zip(twiddles) {
        let samples = _mm256_set1_epi64x(samples);
        let row = row.as_flattened();
        low = _mm256_add_epi32(low, _mm256_madd_epi16(samples, load(part(row, 0))));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(samples, load(part(row, 16))));
    }
    let shift = |sums| _mm256_srai_epi32::<{ SUM_SHIFT as i32 }>(sums);
    let packed = _mm256_packs_epi32(shift(low), shift(high));
    finish_tones(_mm256_permute4x64_epi64::<0xd8>(packed), into);
}

/// The same, eight tones in one register.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
pub(super) fn tones_512(before: &[i16; HOP], now: &Hop, twiddles: &Twiddles, into: &mut Measure) {
    let folded = fold(before, now);
    let mut sums = _mm512_set1_epi32(1 << (SUM_SHIFT - 1));
    for (&samples, row) in folded.as_flattened().iter().zip(twiddles) {
        sums = _mm512_dpwssd_epi32(sums, _mm512_set1_epi64(samples), load_row(row));
    }
    finish_tones(
        _mm512_cvtepi32_epi16(_mm512_srai_epi32::<SUM_SHIFT>(sums)),
        into,
    );
}

/// Stores tones and powers.
#[inline]
#[target_feature(enable = "avx2")]
fn finish_tones(packed: __m256i, into: &mut Measure) {
    store(&mut into.tones, packed);
    let powers = _mm256_madd_epi16(packed, packed);
    store(&mut into.powers, powers);
    let most = _mm256_max_epi32(powers, _mm256_shuffle_epi32::<0x4e>(powers));
    let most = _mm256_max_epi32(most, _mm256_shuffle_epi32::<0xb1>(most));
    into.loudest = [
        _mm256_extract_epi32::<0>(most),
        _mm256_extract_epi32::<4>(most),
    ];
}
