//! The vector arithmetic of [`simd`](super::simd), all of it safe: functions for a CPU feature, value
//! intrinsics, and loads and stores that are `simd`'s.
//!
//! A hop goes through in registers, from the filter to the fold, in parts of 16, 8 and 16 samples:
//! that is the same read backwards, so that the hop before meets it part by part. What is stored is
//! the fold, two distances at a time, sums and differences side by side: `[sum near, sum far,
//! difference near, difference far]`. One 64-bit broadcast of that meets one row of [`Twiddles`],
//! and one multiply-add per four tones (eight with AVX-512) yields real and imaginary parts in the
//! order in which [`Measures`] keeps them.

#[cfg(doc)]
use super::kernel::{self, Twiddles};
use super::kernel::{Decimator, HOP, HOPS_MAX, Measures, SILENT, SUM_SHIFT, TWIDDLES, Tail};
use super::simd::memory::{collect, load, load_half, load_row, quarter, store, store_half};
use super::taps::{by_1, by_2, by_3, by_6, round};
use std::arch::x86_64::*;

/// `N` samples of `from` beginning at `at`.
#[inline(always)]
pub(super) fn part<const N: usize>(from: &[i16], at: usize) -> &[i16; N] {
    from[at..]
        .first_chunk()
        .expect("callers stay within their arrays")
}

/// The same to write to.
#[inline(always)]
fn room<const N: usize>(to: &mut [i16], at: usize) -> &mut [i16; N] {
    to[at..]
        .first_chunk_mut()
        .expect("callers stay within their arrays")
}

/// 40 samples at 8 kHz.
#[derive(Clone, Copy)]
struct Hop {
    first: __m256i,
    middle: __m128i,
    last: __m256i,
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_hop(from: &[i16; HOP]) -> Hop {
    Hop {
        first: load(part(from, 0)),
        middle: load_half(part(from, 16)),
        last: load(part(from, 24)),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_hop(to: &mut [i16; HOP], hop: &Hop) {
    store(room::<16>(to, 0), hop.first);
    store_half(room::<8>(to, 16), hop.middle);
    store(room::<16>(to, 24), hop.last);
}

#[inline]
#[target_feature(enable = "avx2")]
fn nothing() -> Hop {
    load_hop(&[0; HOP])
}

/// Sums and differences of samples equally far from the centre of a window, in the order of
/// [`kernel::ROWS`].
pub(super) type Folded = [__m256i; 5];

/// What is left of a hop that has come in, before anything is summed across.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    folded: Folded,
    /// Of all, and high-passed.
    energies: [__m256i; 2],
}

#[inline]
#[target_feature(enable = "avx2")]
fn take_in(before: &Hop, now: &Hop) -> Taken {
    Taken {
        folded: fold(before, now),
        energies: energies(before, now),
    }
}

/// Energies, their roots, and tones unless no window is loud enough for any.
#[inline]
#[target_feature(enable = "avx2")]
fn sum<const HOPS: usize>(
    hops: &[Taken; HOPS],
    before: &mut u32,
    quiet: u32,
    tones: impl Fn(&[Taken; HOPS], &mut Measures),
    into: &mut Measures,
) {
    let total = |i: usize| {
        gather(four(hops, |hop| hop.energies[i]), |a, b| {
            _mm256_add_epi32(a, b)
        })
    };
    let (all, high) = (total(0), total(1));
    let both = _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(all, high),
        _mm256_permute2x128_si256::<0x31>(all, high),
    );
    let all = _mm256_castsi256_si128(both);
    store_half(&mut into.energy, all);
    let root = _mm256_sqrt_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32::<1>(both)));
    let root = _mm256_cvttps_epi32(_mm256_add_ps(root, _mm256_set1_ps(0.5)));
    let high = _mm_slli_epi32::<16>(_mm256_extracti128_si256::<1>(root));
    let roots = _mm_or_si128(_mm256_castsi256_si128(root), high);
    store_half(&mut into.roots, roots);

    // Mostly each hop is loud by itself, and then so is each window.
    let least = _mm_set1_epi32(quiet as i32);
    let louder = _mm_cmpeq_epi32(_mm_max_epu32(all, least), all);
    if HOPS == HOPS_MAX && _mm_movemask_epi8(louder) == 0xffff {
        tones(hops, into);
    } else {
        let loud = into.loud(HOPS, *before, quiet);
        if loud != [false; HOPS_MAX] {
            tones(hops, into);
            into.hush(HOPS, loud);
        }
    }
    *before = into.energy[HOPS - 1];
}

/// [`kernel::is_silent`] of a hop.
#[inline]
#[target_feature(enable = "avx2")]
fn is_silent(samples: &[i16]) -> bool {
    let limit = _mm256_set1_epi16(SILENT as i16);
    let beyond = |at| _mm256_subs_epu16(_mm256_abs_epi16(load(part(samples, at))), limit);
    let soft = |beyond| _mm256_testz_si256(beyond, beyond) == 1;
    // The first few decide for nearly every hop of speech.
    if !soft(beyond(0)) {
        return false;
    }
    let mut all = beyond(samples.len() - 16);
    for at in (16..samples.len() - 16).step_by(16) {
        all = _mm256_or_si256(all, beyond(at));
    }
    soft(all)
}

/// [`kernel::hear`] for `HOPS` hops.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn hear<const HOPS: usize>(
    filter: &Decimator,
    tail: &mut Tail,
    now: &[i16],
    quiet: u32,
    tones: impl Fn(&[Taken; HOPS], &mut Measures),
    into: &mut Measures,
) {
    match filter.factor {
        1 => through::<HOPS, 0, 8, 40>(tail, now, quiet, |from| by_1(from), tones, into),
        2 => through::<HOPS, 8, 24, 80>(tail, now, quiet, |from| by_2(from), tones, into),
        3 => {
            let taps = load(part(filter.taps, 0));
            through::<HOPS, 13, 37, 120>(tail, now, quiet, |from| by_3(taps, from), tones, into);
        }
        _ => {
            let taps = [load(part(filter.taps, 0)), load(part(filter.taps, 16))];
            through::<HOPS, 26, 74, 240>(tail, now, quiet, |from| by_6(taps, from), tones, into);
        }
    }
}

/// The same for a filter whose `eight` makes as many of `SPAN` samples, of which the first begin in
/// `HISTORY` held ones. The compiler knows all lengths and then checks no bounds.
#[inline]
#[target_feature(enable = "avx2")]
fn through<const HOPS: usize, const HISTORY: usize, const SPAN: usize, const WHOLE: usize>(
    tail: &mut Tail,
    now: &[i16],
    quiet: u32,
    eight: impl Fn(&[i16; SPAN]) -> __m256i,
    tones: impl Fn(&[Taken; HOPS], &mut Measures),
    into: &mut Measures,
) {
    let step = const {
        assert!(5 * (SPAN - HISTORY) == WHOLE);
        SPAN - HISTORY
    };
    let now = &now[..HOPS * WHOLE];
    let mut first = [0; SPAN];
    first[..HISTORY].copy_from_slice(&tail.held[..HISTORY]);
    first[HISTORY..].copy_from_slice(&now[..step]);
    tail.held[..HISTORY].copy_from_slice(&now[now.len() - HISTORY..]);

    let mut silent = [false; HOPS];
    for (at, silent) in silent.iter_mut().enumerate() {
        *silent = is_silent(part::<WHOLE>(now, at * WHOLE));
    }
    let filtered = |at: usize| {
        let all: &[i16; WHOLE] = part(now, at * WHOLE);
        let first = match at {
            0 => &first,
            at => part(now, at * WHOLE - HISTORY),
        };
        let later = |n: usize| eight(part(all, step * n - HISTORY));
        let middle = later(2);
        Hop {
            first: round(eight(first), later(1)),
            middle: _mm256_castsi256_si128(round(middle, middle)),
            last: round(later(3), later(4)),
        }
    };
    if silent == [true; HOPS] && tail.hop.iter().fold(0, |all, x| all | x) == 0 {
        tail.energy = 0;
        return;
    }
    let mut before = load_hop(&tail.hop);
    let take = |at: usize| {
        let hop = if silent[at] { nothing() } else { filtered(at) };
        let taken = take_in(&before, &hop);
        before = hop;
        taken
    };
    collect(take, |taken| {
        sum(taken, &mut tail.energy, quiet, tones, into)
    });
    store_hop(&mut tail.hop, &before);
}

/// [`kernel::measure`] of one hop that is filtered already.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn measure(
    tail: &mut Tail,
    now: &[i16; HOP],
    quiet: u32,
    tones: impl Fn(&[Taken; 1], &mut Measures),
    into: &mut Measures,
) {
    let taken = [take_in(&load_hop(&tail.hop), &load_hop(now))];
    tail.hop = *now;
    sum(&taken, &mut tail.energy, quiet, tones, into);
}

/// Four vectors become one: lane `i` of either half is what `both` makes of the half of vector `i`.
#[inline]
#[target_feature(enable = "avx2")]
fn gather(v: [__m256i; HOPS_MAX], both: impl Fn(__m256i, __m256i) -> __m256i) -> __m256i {
    let two = |a, b| both(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (low, high) = (two(v[0], v[1]), two(v[2], v[3]));
    both(
        _mm256_unpacklo_epi64(low, high),
        _mm256_unpackhi_epi64(low, high),
    )
}

/// What `of` finds in each of the hops, with zeros for those that are not there.
#[inline]
#[target_feature(enable = "avx2")]
fn four<T, const HOPS: usize>(hops: &[T; HOPS], of: impl Fn(&T) -> __m256i) -> [__m256i; HOPS_MAX] {
    let mut all = [_mm256_setzero_si256(); HOPS_MAX];
    for (all, hop) in all.iter_mut().zip(hops) {
        *all = of(hop);
    }
    all
}

/// Samples' energy, and that of their rise over two samples, both as sums yet to be added across.
/// Each lane adds at most 3 squares of pairs below 2^28: no overflow.
#[inline]
#[target_feature(enable = "avx2")]
fn energies(before: &Hop, now: &Hop) -> [__m256i; 2] {
    // A part's samples as they were two samples earlier: its own, moved up by two, after the last two
    // of the part before.
    let up = |part, before| {
        let across = _mm256_permute2x128_si256::<0x21>(before, part);
        _mm256_alignr_epi8::<12>(part, across)
    };
    let up_half = |part, before| _mm_alignr_epi8::<12>(part, _mm256_extracti128_si256::<1>(before));
    let middle = _mm256_set_m128i(now.middle, now.middle);
    let square = |part| _mm256_madd_epi16(part, part);
    let rise = |part, before| square(_mm256_srai_epi16::<1>(_mm256_sub_epi16(part, before)));
    let half = |part| _mm256_zextsi128_si256(part);
    let three = |a, b, c| _mm256_add_epi32(_mm256_add_epi32(a, b), c);
    [
        three(
            square(now.first),
            square(now.last),
            square(half(now.middle)),
        ),
        three(
            rise(now.first, up(now.first, before.last)),
            rise(now.last, up(now.last, middle)),
            rise(half(now.middle), half(up_half(now.middle, now.first))),
        ),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn fold(before: &Hop, now: &Hop) -> Folded {
    let backwards = _mm_setr_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1);
    let both = _mm256_broadcastsi128_si256(backwards);
    let outer = |after, before| {
        let before = _mm256_permute4x64_epi64::<0x4e>(_mm256_shuffle_epi8(before, both));
        let sum = _mm256_add_epi16(after, before);
        let rise = _mm256_sub_epi16(after, before);
        [
            _mm256_unpacklo_epi32(sum, rise),
            _mm256_unpackhi_epi32(sum, rise),
        ]
    };
    let [first, second] = outer(now.first, before.last);
    let [fourth, fifth] = outer(now.last, before.first);
    let (after, before) = (now.middle, _mm_shuffle_epi8(before.middle, backwards));
    let (sum, rise) = (_mm_add_epi16(after, before), _mm_sub_epi16(after, before));
    let (low, high) = (_mm_unpacklo_epi32(sum, rise), _mm_unpackhi_epi32(sum, rise));
    [first, second, _mm256_set_m128i(high, low), fourth, fifth]
}

/// Stores tones, and the largest power of either group.
#[inline]
#[target_feature(enable = "avx2")]
fn finish<const HOPS: usize>(packed: [__m256i; HOPS], into: &mut Measures) {
    for (tones, packed) in into.tones.iter_mut().zip(packed) {
        store(tones, packed);
    }
    let powers = four(&packed, |&packed| _mm256_madd_epi16(packed, packed));
    let loudest = gather(powers, |a, b| _mm256_max_epi32(a, b));
    store(&mut into.loudest, loudest);
}

/// [`kernel::tones`] of each hop, and the loudest.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn tones_256<const HOPS: usize>(hops: &[Taken; HOPS], into: &mut Measures) {
    let half = _mm256_set1_epi32(1 << (SUM_SHIFT - 1));
    let mut sums = [[half; 2]; HOPS];
    for (at, row) in TWIDDLES.iter().enumerate() {
        let row = row.as_flattened();
        let (low, high) = (load(part(row, 0)), load(part(row, 16)));
        for (sums, hop) in sums.iter_mut().zip(hops) {
            let samples = _mm256_set1_epi64x(quarter(&hop.folded, at));
            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(samples, low));
            sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(samples, high));
        }
    }
    let shift = |sums| _mm256_srai_epi32::<{ SUM_SHIFT as i32 }>(sums);
    let packed = sums.map(|[low, high]| {
        _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(shift(low), shift(high)))
    });
    finish(packed, into);
}

/// The same, eight tones in one register.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
pub(super) fn tones_512<const HOPS: usize>(hops: &[Taken; HOPS], into: &mut Measures) {
    let mut sums = [_mm512_set1_epi32(1 << (SUM_SHIFT - 1)); HOPS];
    for (at, row) in TWIDDLES.iter().enumerate() {
        let row = load_row(row);
        for (sum, hop) in sums.iter_mut().zip(hops) {
            let samples = _mm512_set1_epi64(quarter(&hop.folded, at));
            *sum = _mm512_dpwssd_epi32(*sum, samples, row);
        }
    }
    let packed = sums.map(|sum| _mm512_cvtepi32_epi16(_mm512_srai_epi32::<SUM_SHIFT>(sum)));
    finish(packed, into);
}
