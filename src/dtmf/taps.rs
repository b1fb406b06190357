//! The decimation filters of [`wide`](super::wide): each makes eight samples at once.

use super::kernel::{BY_2, Decimator, HOPS_MAX, INNER_SHIFT, SILENT, TAPS_MAX, Tail};
use super::simd::memory::{load, load_half};
use super::wide::{Frame, SECOND, part};
use std::arch::x86_64::*;

/// As [`Tail`] has them.
type Held = [i16; TAPS_MAX - 1];

/// [`kernel::decimate`](super::kernel::decimate) of a frame, silent hops blank; nothing if all are and there
/// was nothing before. Afterwards `tail` holds what the next frame needs.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn decimate(filter: &Decimator, tail: &mut Tail, now: &[i16]) -> Option<Frame> {
    match filter.factor {
        1 => through::<0, 8, 40>(tail, now, |_, now| by_1(part(now, 0)), |from| by_1(from)),
        2 => through::<6, 22, 80>(
            tail,
            now,
            |held, now| first_by_2(held, now),
            |from| by_2(from),
        ),
        3 => {
            let taps = load(part(filter.taps, 0));
            let first = |held: &Held, now: &[i16]| by_3(taps, &joined::<13, 37>(held, now));
            through::<13, 37, 120>(tail, now, first, |from| by_3(taps, from))
        }
        _ => {
            let taps = [load(part(filter.taps, 0)), load(part(filter.taps, 16))];
            let first = |held: &Held, now: &[i16]| by_6(taps, &joined::<26, 74>(held, now));
            through::<26, 74, 240>(tail, now, first, |from| by_6(taps, from))
        }
    }
}

/// The same for hops of `WHOLE` samples and a filter whose `eight` makes as many of `SPAN`, the `first` of
/// which begin in `HISTORY` held ones. The compiler knows all lengths and then checks no bounds.
#[inline]
#[target_feature(enable = "avx2")]
fn through<const HISTORY: usize, const SPAN: usize, const WHOLE: usize>(
    tail: &mut Tail,
    now: &[i16],
    first: impl FnOnce(&Held, &[i16]) -> __m256i,
    eight: impl Fn(&[i16; SPAN]) -> __m256i,
) -> Option<Frame> {
    let step = const {
        assert!(5 * (SPAN - HISTORY) == WHOLE);
        SPAN - HISTORY
    };
    let now = &now[..HOPS_MAX * WHOLE];
    let silent = silent::<WHOLE>(now);
    if silent == [true; HOPS_MAX] && tail.hop.iter().fold(0, |all, x| all | x) == 0 {
        tail.held[..HISTORY].copy_from_slice(&now[now.len() - HISTORY..]);
        return None;
    }
    let later = |n: usize| eight(part(now, step * n - HISTORY));
    let mut frame = [[_mm256_setzero_si256(); 5]; 2];
    frame[0][0] = pack(first(&tail.held, now), later(1));
    for (at, vector) in frame.as_flattened_mut().iter_mut().enumerate().skip(1) {
        *vector = pack(later(2 * at), later(2 * at + 1));
    }
    tail.held[..HISTORY].copy_from_slice(&now[now.len() - HISTORY..]);
    if silent != [false; HOPS_MAX] {
        blank(&mut frame, silent);
    }
    Some(frame)
}

/// Which hops of a frame are.
#[inline]
#[target_feature(enable = "avx2")]
fn silent<const WHOLE: usize>(now: &[i16]) -> [bool; HOPS_MAX] {
    // In nearly every frame of speech, each hop is loud among its first samples. Sizes beyond a byte's
    // are packed as its most, but that of the least sample as zero: then it is looked at closely.
    let first = |hop: usize| _mm_abs_epi16(load_half(part(now, hop * WHOLE)));
    let (early, late) = (
        _mm_packus_epi16(first(0), first(1)),
        _mm_packus_epi16(first(2), first(3)),
    );
    let limit = _mm256_set1_epi8(SILENT as i8);
    let beyond = _mm256_subs_epu8(_mm256_set_m128i(late, early), limit);
    let none = _mm256_cmpeq_epi64(beyond, _mm256_setzero_si256());
    if _mm256_testz_si256(none, none) == 1 {
        return [false; HOPS_MAX];
    }
    let hop = |n: usize| is_silent(part::<WHOLE>(now, n * WHOLE));
    [hop(0), hop(1), hop(2), hop(3)]
}

/// [`kernel::is_silent`](super::kernel::is_silent).
#[inline]
#[target_feature(enable = "avx2")]
fn is_silent<const WHOLE: usize>(samples: &[i16; WHOLE]) -> bool {
    let limit = _mm256_set1_epi16(SILENT as i16);
    let beyond = |at| _mm256_subs_epu16(_mm256_abs_epi16(load(part(samples, at))), limit);
    // A hop at 8 kHz is no whole number of vectors.
    let mut all = beyond(WHOLE - 16);
    for at in (0..WHOLE - 16).step_by(16) {
        all = _mm256_or_si256(all, beyond(at));
    }
    _mm256_testz_si256(all, all) == 1
}

/// Blanks hops that are silent.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn blank(frame: &mut Frame, silent: [bool; HOPS_MAX]) {
    let nothing = _mm256_setzero_si256();
    for (pair, silent) in frame.iter_mut().zip(silent.as_chunks::<2>().0) {
        if silent[0] {
            (pair[0], pair[1]) = (nothing, nothing);
            pair[2] = _mm256_blend_epi32::<SECOND>(nothing, pair[2]);
        }
        if silent[1] {
            (pair[3], pair[4]) = (nothing, nothing);
            pair[2] = _mm256_blend_epi32::<SECOND>(pair[2], nothing);
        }
    }
}

/// Held samples and those that follow them.
#[inline(always)]
fn joined<const HISTORY: usize, const SPAN: usize>(held: &[i16], now: &[i16]) -> [i16; SPAN] {
    let mut joined = [0; SPAN];
    joined[..HISTORY].copy_from_slice(&held[..HISTORY]);
    joined[HISTORY..].copy_from_slice(&now[..SPAN - HISTORY]);
    joined
}

/// Two times eight sums as samples, their quarters in the order 0 2 1 3. The last bit is rounded off in 16 bits,
/// which is the same.
#[inline]
#[target_feature(enable = "avx2")]
fn pack(first: __m256i, second: __m256i) -> __m256i {
    let shift = |sums| _mm256_srai_epi32::<{ INNER_SHIFT as i32 - 1 }>(sums);
    let twice = _mm256_packs_epi32(shift(first), shift(second));
    _mm256_mulhrs_epi16(twice, _mm256_set1_epi16(1 << 14))
}

/// No filter.
#[inline]
#[target_feature(enable = "avx2")]
fn by_1(input: &[i16; 8]) -> __m256i {
    _mm256_slli_epi32::<15>(_mm256_cvtepi16_epi32(load_half(input)))
}

/// Two taps meet eight neighbouring pairs of samples.
#[inline]
#[target_feature(enable = "avx2")]
fn by_2(input: &[i16; 22]) -> __m256i {
    pairs_by_2([
        load(part(input, 0)),
        load(part(input, 2)),
        load(part(input, 4)),
        load(part(input, 6)),
    ])
}

/// The same for what begins in the samples before, in registers: to store and then load them would take
/// longer, as no load can have a part of what was stored just before.
#[inline]
#[target_feature(enable = "avx2")]
fn first_by_2(held: &Held, now: &[i16]) -> __m256i {
    let (held, now) = (load_half(part(held, 0)), load(part(now, 0)));
    let held = _mm256_castsi128_si256(_mm_slli_si128::<4>(held));
    let across = _mm256_permute2x128_si256::<0x20>(held, now);
    pairs_by_2([
        _mm256_alignr_epi8::<4>(now, across),
        _mm256_alignr_epi8::<8>(now, across),
        _mm256_alignr_epi8::<12>(now, across),
        now,
    ])
}

/// Samples beginning at 0, 2, 4 and 6, each with its two taps.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs_by_2(samples: [__m256i; 4]) -> __m256i {
    /// Two taps side by side.
    const PAIRS: [i32; 4] = {
        let mut pairs = [0; 4];
        let mut n = 0;
        while n < 4 {
            let [early, late] = [BY_2[2 * n], BY_2[2 * n + 1]];
            pairs[n] = (early as u16 as i32) | ((late as i32) << 16);
            n += 1;
        }
        pairs
    };
    let product = |n: usize| _mm256_madd_epi16(samples[n], _mm256_set1_epi32(PAIRS[n]));
    let add = |a, b| _mm256_add_epi32(a, b);
    let first = add(product(0), product(1));
    add(first, add(product(2), product(3)))
}

/// All taps meet the samples of one output; eight such are then added across.
#[inline]
#[target_feature(enable = "avx2")]
fn by_3(taps: __m256i, input: &[i16; 37]) -> __m256i {
    let output = |n: usize| _mm256_madd_epi16(load(part(input, 3 * n)), taps);
    across([0, 1, 2, 3, 4, 5, 6, 7].map(output))
}

/// The same with twice the taps.
#[inline]
#[target_feature(enable = "avx2")]
fn by_6([first, second]: [__m256i; 2], input: &[i16; 74]) -> __m256i {
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
