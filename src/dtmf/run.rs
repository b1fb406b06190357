//! A candidate and a key that is down: what [`digit`](super::digit) remembers of each, in as few
//! bytes as will do, since every stream of every call has one of both.

use super::Digit;

/// No pair.
pub(super) const NONE: u8 = 0xff;

/// Windows of one pair, so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) first_hop: u32,
    pub(super) pair: u8,
    /// Windows of waiting since the last one that fitted.
    pub(super) waiting: u8,
    /// Windows that fitted.
    pub(super) windows: u16,
    /// Presence of windows that only half fitted.
    pub(super) partial: f32,
    /// Amplitudes of the window before the first, the first, the last, and the largest.
    pub(super) edge: [u16; 2],
    pub(super) first: [u16; 2],
    pub(super) last: [u16; 2],
    pub(super) peak: [u16; 2],
}

impl Run {
    pub(super) const EMPTY: Self = Self {
        first_hop: 0,
        pair: NONE,
        waiting: 0,
        windows: 0,
        partial: 0.0,
        edge: [0; 2],
        first: [0; 2],
        last: [0; 2],
        peak: [0; 2],
    };

    /// At most 6 dB below the loudest window and above the last: also through a step that an
    /// echo 6 dB down makes.
    pub(super) fn fits(&self, amplitude: [u16; 2]) -> bool {
        self.windows == 1
            || (0..2).all(|i| {
                let a = f32::from(amplitude[i]);
                a > 0.5 * f32::from(self.peak[i]) && a < 2.0 * f32::from(self.last[i])
            })
    }
}

/// The key that is down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Down {
    pub(super) start: u64,
    /// The last window with the key in it.
    pub(super) last_hop: u32,
    pub(super) digit: Digit,
    pub(super) amplitude: [f32; 2],
    /// Absence since then, in windows.
    pub(super) absent: f32,
    /// Presence at and after `last_hop`, in windows.
    pub(super) tail: f32,
}

/// How much of the pair is there: 0 at a quarter of its amplitude, 1 at three quarters, straight in
/// between. Symmetric about one half, where an edge sits on a window's centre, so that edges stay
/// unbiased; and deaf to an echo 10 dB down.
pub(super) fn presence(amplitude: [u16; 2], of: [f32; 2]) -> f32 {
    let part = (f32::from(amplitude[0]) / of[0]).min(f32::from(amplitude[1]) / of[1]);
    (2.0 * (part - 0.25)).clamp(0.0, 1.0)
}
