//! The textbook recurrence (Goertzel 1958), kept as the reference that everybody knows.
//!
//! # From the recurrence to the block form
//!
//! For a tone at `w` radians a sample the recurrence `s[n] = x[n] + 2 cos(w) s[n-1] - s[n-2]` is a
//! filter with poles at `exp(±jw)`. After `N` samples `s[N-1] - exp(-jw) s[N-2]` has one of the
//! poles cancelled; what is left is the other pole's impulse response, summed over the block:
//!
//! ```text
//! s[N-1] - exp(-jw) s[N-2]  =  sum over n of x[n] exp(jw (N-1-n))
//!                           =  exp(jw (N-1)) * sum over n of x[n] exp(-jwn)
//! ```
//!
//! The last sum is a dot product of the block with a fixed row of numbers. So the recurrence and
//! the dot product are the same filter bank; the recurrence only trades the table for a chain of
//! dependent multiplications. The block form in [`kernel`](super::kernel) uses the dot product, with
//! the rows rounded to integers, for four reasons: it has no chain, so it runs as wide as the
//! machine; integers make every width agree to the last bit; a window can be multiplied into the
//! rows for nothing; and it keeps the phase, whose advance from block to block *measures* the
//! frequency, which the power alone cannot.
//!
//! The two agree within 3 units of the kernel, in which a full-scale sine has 11,500
//! ([`FULL_SCALE`](super::kernel::FULL_SCALE)): half a unit is the result's own rounding, the rest that
//! of 80 twiddles. The recurrence alone rounds differently from machine to machine.
//!
//! Counting from the block's centre instead of its start only rotates the result. It makes the
//! cosine row even and the sine row odd, so that the block can be folded about its centre first,
//! which halves the products.

use std::f64::consts::TAU;

/// `sum x[n] exp(-jw (n - centre))` by the recurrence, centre `(N - 1) / 2`: real and imaginary part.
///
/// `window` is applied to each sample first; `|_| 1.0` is the plain Goertzel filter.
pub fn tone(samples: &[i16], hz: f64, rate_hz: f64, window: impl Fn(usize) -> f64) -> [f64; 2] {
    let w = TAU * hz / rate_hz;
    let coefficient = 2.0 * w.cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let s0 = f64::from(sample) * window(n) + coefficient * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    // s1 - exp(-jw) s2, then turned back from the last sample to the centre.
    let (re, im) = (s1 - w.cos() * s2, w.sin() * s2);
    let back = w * (samples.len().saturating_sub(1)) as f64 / 2.0;
    [
        re * back.cos() + im * back.sin(),
        im * back.cos() - re * back.sin(),
    ]
}

/// The power that the classic detectors compare: `s1² + s2² - 2 cos(w) s1 s2`.
pub fn power(samples: &[i16], hz: f64, rate_hz: f64) -> f64 {
    let [re, im] = tone(samples, hz, rate_hz, |_| 1.0);
    re * re + im * im
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recurrence_is_the_dot_product() {
        let block: Vec<i16> = (0..205)
            .map(|n| ((n * n * 37) % 20_011 - 10_000) as i16)
            .collect();
        let mut seen = 0;
        for hz in super::super::FREQUENCIES_HZ {
            let w = TAU * hz / 8000.0;
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &x) in block.iter().enumerate() {
                let angle = w * (n as f64 - 102.0);
                re += f64::from(x) * angle.cos();
                im -= f64::from(x) * angle.sin();
            }
            let [got_re, got_im] = tone(&block, hz, 8000.0, |_| 1.0);
            assert!(
                (got_re - re).abs() < 1e-4 && (got_im - im).abs() < 1e-4,
                "{hz}"
            );
            assert!((power(&block, hz, 8000.0) - (re * re + im * im)).abs() < 1.0);
            seen += 1;
        }
        assert_eq!(seen, 8);
    }
}
