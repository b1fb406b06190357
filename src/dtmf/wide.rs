//! The vector arithmetic of [`simd`](super::simd), all of it safe: functions for a CPU feature, value
//! intrinsics, and loads and stores that are `simd`'s. It hears frames: four hops at once, for which
//! each row of twiddles is loaded once.
//!
//! The frame's 160 samples at 8 kHz are ten vectors, and two hops five of them: the middle one has the
//! end of the first hop and the beginning of the second. In a vector the quarters stand in the order
//! 0 2 1 3, as packing leaves them. Read backwards they meet the hop before, vector by vector; what is
//! stored is that fold, two distances at a time, sums and differences side by side: `[sum near, sum far,
//! difference near, difference far]`. One 64-bit broadcast of that meets one row of [`Twiddles`], and one
//! multiply-add per four tones (eight with AVX-512) yields real and imaginary parts.
//!
//! What most frames of a call need is only that nothing in them stands out. That is seen here, in
//! registers; [`Measures`] are written when it is not so.

use super::bank::{Tones, loudest};
use super::bar::Bar;
use super::digit::Judge;
#[cfg(doc)]
use super::kernel::{self, Twiddles};
use super::kernel::{Decimator, HOP, HOPS_MAX, Measures, Tail};
use super::roots::Roots;
use super::simd::memory::{load, load_half, store, store_half};
use super::taps::decimate;
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

/// Two hops at 8 kHz: of the first, of both, of the second; and a frame.
pub(super) type Pair = [__m256i; 5];
pub(super) type Frame = [Pair; 2];
/// Quarters of a vector that change places, there and back.
const QUARTERS: i32 = 0xd8;
/// The middle quarters of a pair's vectors: in each half one of the first hop, one of the second.
pub(super) const SECOND: i32 = 0b1100_1100;

/// Sums and differences of samples equally far from the centre of a window, nearest first.
pub(super) type Folded = [__m256i; 5];

/// What the next two hops need of those before.
struct Before {
    /// The middle vector and the last two, backwards.
    middle: __m256i,
    third: __m256i,
    fourth: __m256i,
    /// The last, each pair of samples in the next one's place.
    late: __m256i,
}

impl Before {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(hop: &[i16; HOP]) -> Self {
        let order = |vector| _mm256_permute4x64_epi64::<QUARTERS>(vector);
        let middle = _mm256_castsi128_si256(load_half(part(hop, 0)));
        let fourth = order(load(part(hop, 24)));
        Self {
            // Only the second hop's quarters count.
            middle: backwards(_mm256_permute4x64_epi64::<0x50>(middle)),
            third: backwards(order(load(part(hop, 8)))),
            fourth: backwards(fourth),
            late: later(fourth),
        }
    }
}

/// A vector's samples in the opposite order.
#[inline]
#[target_feature(enable = "avx2")]
fn backwards(vector: __m256i) -> __m256i {
    let half = _mm_setr_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1);
    let halves = _mm256_shuffle_epi8(vector, _mm256_broadcastsi128_si256(half));
    _mm256_permute4x64_epi64::<0x4e>(halves)
}

/// Pairs of samples one place later, the last in the place of the first.
#[inline]
#[target_feature(enable = "avx2")]
fn later(vector: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(vector, _mm256_setr_epi32(7, 0, 5, 2, 1, 4, 3, 6))
}

/// Sums and differences of two vectors of samples, pairs of either side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn fold(after: __m256i, before: __m256i) -> [__m256i; 2] {
    let sum = _mm256_add_epi16(after, before);
    let rise = _mm256_sub_epi16(after, before);
    [
        _mm256_unpacklo_epi32(sum, rise),
        _mm256_unpackhi_epi32(sum, rise),
    ]
}

/// Folds two hops, each with the one before it.
#[inline]
#[target_feature(enable = "avx2")]
fn fold_pair(before: &mut Before, pair: &Pair, folded: &mut [Folded]) {
    let [first, second, middle, third, fourth] = *pair;
    let (first_back, second_back) = (backwards(first), backwards(second));
    let middle_back = backwards(middle);
    let [one, other] = folded else { return };
    [one[0], one[1]] = fold(first, before.fourth);
    [one[2], one[3]] = fold(second, before.third);
    let middle_before = _mm256_blend_epi32::<SECOND>(before.middle, middle_back);
    [one[4], other[0]] = fold(middle, middle_before);
    [other[1], other[2]] = fold(third, second_back);
    [other[3], other[4]] = fold(fourth, first_back);
    before.middle = middle_back;
    before.third = backwards(third);
    before.fourth = backwards(fourth);
}

/// Energy of two hops' samples, as a sum yet to be added across: in each half, places by turns of the first
/// and of the second hop. Lanes wrap as the plain sums do.
#[inline]
#[target_feature(enable = "avx2")]
fn energy(pair: &Pair) -> __m256i {
    let square = |vector| _mm256_madd_epi16(vector, vector);
    let [first, second, middle, third, fourth] = *pair;
    let add = |a, b| _mm256_add_epi32(a, b);
    let own = both(
        add(square(first), square(second)),
        add(square(third), square(fourth)),
        add,
    );
    // The middle has its two hops in neighbouring places instead.
    add(own, _mm256_shuffle_epi32::<QUARTERS>(square(middle)))
}

/// The samples' rise over two samples, halved; `last` is the vector before, [`later`].
#[inline]
#[target_feature(enable = "avx2")]
fn rises(last: &mut __m256i, pair: &Pair) -> Pair {
    let mut rise = |vector| {
        let late = later(vector);
        let earlier = _mm256_blend_epi32::<1>(late, *last);
        *last = late;
        _mm256_srai_epi16::<1>(_mm256_sub_epi16(vector, earlier))
    };
    let [first, second, middle, third, fourth] = *pair;
    [
        rise(first),
        rise(second),
        rise(middle),
        rise(third),
        rise(fourth),
    ]
}

/// Two vectors become one: places by turns are what `with` makes of the halves' halves of either.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn both(a: __m256i, b: __m256i, with: impl Fn(__m256i, __m256i) -> __m256i) -> __m256i {
    with(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b))
}

/// The same once more: in either half, each of four has one place.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn four(a: __m256i, b: __m256i, with: impl Fn(__m256i, __m256i) -> __m256i) -> __m256i {
    with(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
}

/// Energies of four hops from those of two and two.
#[inline]
#[target_feature(enable = "avx2")]
fn all(early: __m256i, late: __m256i) -> __m128i {
    let halves = four(early, late, |a, b| _mm256_add_epi32(a, b));
    _mm_add_epi32(
        _mm256_castsi256_si128(halves),
        _mm256_extracti128_si256::<1>(halves),
    )
}

/// Roots of four hops' energies, as numbers: all, then high.
struct Energies(__m256);

impl Energies {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(all: __m128i, high: __m128i) -> Self {
        let sums = _mm256_set_m128i(high, all);
        let root = _mm256_sqrt_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32::<1>(sums)));
        let root = _mm256_add_ps(root, _mm256_set1_ps(0.5));
        Self(_mm256_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(root))
    }

    /// As [`Roots`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn packed(&self) -> __m128i {
        let roots = _mm256_cvttps_epi32(self.0);
        let high = _mm_slli_epi32::<16>(_mm256_extracti128_si256::<1>(roots));
        _mm_or_si128(_mm256_castsi256_si128(roots), high)
    }
}

/// Which windows have an energy of `quiet` at least, if the hop before had `before`.
#[inline]
#[target_feature(enable = "avx2")]
fn loud(energy: __m128i, before: u32, quiet: u32) -> __m128i {
    let earlier = _mm_alignr_epi8::<12>(energy, _mm_set1_epi32(before as i32));
    let quiet = _mm_set1_epi32(quiet as i32);
    let needed = _mm_sub_epi32(quiet, _mm_min_epu32(earlier, quiet));
    _mm_cmpeq_epi32(_mm_max_epu32(energy, needed), energy)
}

/// [`Bar::surplus`] of four windows at once, and whether in any a pair stands out.
#[inline]
#[target_feature(enable = "avx2")]
fn stands_out(bar: &Bar, loudest: __m256i, energies: &Energies) -> bool {
    let (rows, columns) = (
        _mm256_castsi256_si128(loudest),
        _mm256_extracti128_si256::<1>(loudest),
    );
    let powers = _mm256_cvtepi32_ps(loudest);
    let (row, column) = (
        _mm256_castps256_ps128(powers),
        _mm256_extractf128_ps::<1>(powers),
    );
    let times = |a, factor| _mm_mul_ps(a, _mm_set1_ps(factor));

    let roots = _mm256_castps256_ps128(energies.0);
    let squares = _mm_mul_ps(_mm_add_ps(roots, roots), roots);
    let earlier = _mm_alignr_epi8::<12>(
        _mm_castps_si128(squares),
        _mm_castps_si128(_mm_set1_ps(bar.earlier)),
    );
    let energy = _mm_add_ps(squares, _mm_castsi128_ps(earlier));
    let tones = times(_mm_add_ps(row, column), Bar::ENERGY);
    let surplus = _mm_sub_ps(tones, times(energy, Bar::PURITY));
    let above = _mm_cmpge_ps(
        _mm_add_ps(surplus, _mm_set1_ps(bar.excuse)),
        _mm_setzero_ps(),
    );
    let [low, high] = Bar::TWIST;
    let twist = _mm_and_ps(
        _mm_cmpge_ps(column, times(row, low)),
        _mm_cmple_ps(column, times(row, high)),
    );
    let soft = _mm_cmpgt_epi32(_mm_set1_epi32(bar.floor), _mm_min_epi32(rows, columns));
    let pair = _mm_andnot_ps(_mm_castsi128_ps(soft), _mm_and_ps(above, twist));
    _mm_movemask_ps(pair) != 0
}

/// [`kernel::hear`] for the frame that comes next, a whole block of `judge`'s, which learns first. Nothing if
/// the block has passed, as it may if `may_pass`; else what was measured.
///
/// Sums come first, then what needs none of them, then what is asked of them: a sum takes some fifty cycles
/// to be known, in which the processor has the rest to do.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn hear(
    filter: &Decimator,
    tail: &mut Tail,
    judge: &mut Judge,
    samples: &[i16],
    quiet: u32,
    may_pass: bool,
    tones: impl Fn(&[Folded; HOPS_MAX]) -> Tones,
) -> Option<Measures> {
    let Some(frame) = decimate(filter, tail, samples) else {
        tail.energy = 0;
        judge.learn();
        if !may_pass || judge.bar().is_none() {
            return Some(Measures::default());
        }
        judge.pass([Roots::NONE; HOPS_MAX], [0; 2]);
        return None;
    };
    let mut before = Before::of(&tail.hop);
    let mut folded = [[_mm256_setzero_si256(); 5]; HOPS_MAX];
    let (early, late) = folded.split_at_mut(2);
    fold_pair(&mut before, &frame[0], early);
    fold_pair(&mut before, &frame[1], late);
    let [early, late] = &frame;
    let energy = all(energy(early), energy(late));
    let before_all = tail.energy;
    let loud = loud(energy, before_all, quiet);
    tail.energy = _mm_extract_epi32::<3>(energy) as u32;
    let mut packed = [_mm256_setzero_si256(); HOPS_MAX];
    if _mm_movemask_epi8(loud) != 0 {
        packed = tones(&folded);
    }
    let (early_rises, late_rises) = (
        rises(&mut before.late, early),
        rises(&mut before.late, late),
    );
    let high = all(self::energy(&early_rises), self::energy(&late_rises));
    let energies = Energies::of(energy, high);
    keep_hop(&mut tail.hop, late);
    judge.learn();
    let loudest = _mm256_and_si256(loudest(&packed), _mm256_broadcastsi128_si256(loud));
    let mut roots = [Roots::NONE; HOPS_MAX];
    store_half(&mut roots, energies.packed());
    if may_pass
        && let Some(bar) = judge.bar()
        && !stands_out(&bar, loudest, &energies)
    {
        let last = _mm256_shuffle_epi32::<0xff>(loudest);
        let last = [
            _mm256_extract_epi32::<0>(last),
            _mm256_extract_epi32::<4>(last),
        ];
        judge.pass(roots, last);
        return None;
    }
    let mut measures = Measures {
        roots,
        ..Measures::default()
    };
    for (tones, packed) in measures.tones.iter_mut().zip(packed) {
        store(tones, packed);
    }
    store(&mut measures.loudest, loudest);
    store_half(&mut measures.energy, energy);
    measures.hush(HOPS_MAX, measures.loud(HOPS_MAX, before_all, quiet));
    Some(measures)
}

/// [`kernel::measure`] of one hop that is filtered already: a frame of which the rest is nothing.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn measure(
    tail: &mut Tail,
    now: &[i16; HOP],
    quiet: u32,
    tones: impl Fn(&[Folded; HOPS_MAX]) -> Tones,
    into: &mut Measures,
) {
    let order = |vector| _mm256_permute4x64_epi64::<QUARTERS>(vector);
    let nothing = _mm256_setzero_si256();
    let pair = [
        order(load(part(now, 0))),
        order(load(part(now, 16))),
        order(_mm256_zextsi128_si256(load_half(part(now, 32)))),
        nothing,
        nothing,
    ];
    let mut before = Before::of(&tail.hop);
    let mut folded = [[nothing; 5]; HOPS_MAX];
    fold_pair(&mut before, &pair, &mut folded[..2]);
    let all_energy = all(energy(&pair), nothing);
    let high = all(energy(&rises(&mut before.late, &pair)), nothing);
    let roots = Energies::of(all_energy, high).packed();
    into.energy[0] = _mm_extract_epi32::<0>(all_energy) as u32;
    into.roots[0] = Roots::from_bits(_mm_extract_epi32::<0>(roots) as u32);
    if into.energy[0].saturating_add(tail.energy) >= quiet {
        let packed = tones(&folded);
        let loudest = loudest(&packed);
        store(&mut into.tones[0], packed[0]);
        into.loudest[0][0] = _mm256_extract_epi32::<0>(loudest);
        into.loudest[1][0] = _mm256_extract_epi32::<4>(loudest);
    }
    tail.hop = *now;
    tail.energy = into.energy[0];
}

/// The last hop, as the plain kernel keeps it.
#[inline]
#[target_feature(enable = "avx2")]
fn keep_hop(hop: &mut [i16; HOP], pair: &Pair) {
    let order = |vector| _mm256_permute4x64_epi64::<QUARTERS>(vector);
    let first = _mm256_permute4x64_epi64::<0x0d>(pair[2]);
    store_half(room::<8>(hop, 0), _mm256_castsi256_si128(first));
    store(room::<16>(hop, 8), order(pair[3]));
    store(room::<16>(hop, 24), order(pair[4]));
}

/// [`stands_out`] of windows with these loudest powers and roots of all energy.
#[cfg(test)]
#[target_feature(enable = "avx2")]
pub(super) fn stand_out(
    bar: &Bar,
    [rows, columns]: [[i32; HOPS_MAX]; 2],
    roots: [u16; HOPS_MAX],
) -> bool {
    let [a, b, c, d] = rows;
    let [e, f, g, h] = columns;
    let loudest = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
    let [a, b, c, d] = roots.map(f32::from);
    stands_out(
        bar,
        loudest,
        &Energies(_mm256_setr_ps(a, b, c, d, 0.0, 0.0, 0.0, 0.0)),
    )
}
