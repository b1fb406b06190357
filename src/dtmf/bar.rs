//! What a window is held against before anybody looks at it: whether it can have a pair that stands out.

use super::evidence::ENERGY_PER_POWER;

/// What the windows of a block are held against. This is all that is asked of most windows of a call, so
/// `wide` asks it in its own way, to the same bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// Least power of a row and of a column.
    pub(super) floor: i32,
    /// What the pair need not account for, as the background says.
    pub(super) excuse: f32,
    /// Energy of the hop before the first.
    pub(super) earlier: f32,
}

impl Bar {
    /// A window's energy for the powers of its tones.
    pub(super) const ENERGY: f32 = 2.0 * ENERGY_PER_POWER;
    /// The pair's part of a window's energy above the background; a third tone as loud passes.
    pub(super) const PURITY: f32 = 0.4;
    /// Twist of a window: wider than a key's, since one window is noisy. -15 and +13 dB.
    pub(super) const TWIST: [f32; 2] = [0.03, 20.0];

    /// How much more than the part of a window's energy that a pair must have its loudest pair has;
    /// below everything if that cannot be a pair. Without a branch.
    #[inline(always)]
    pub(super) fn surplus(floor: i32, [row, column]: [i32; 2], energy: f32) -> f32 {
        let (low, high) = (row as f32, column as f32);
        let surplus = Self::ENERGY * (low + high) - Self::PURITY * energy;
        let pair = (row >= floor)
            & (column >= floor)
            & (high >= Self::TWIST[0] * low)
            & (high <= Self::TWIST[1] * low);
        if pair { surplus } else { f32::MIN }
    }

    /// Whether a pair stands out in a window with this surplus.
    #[inline(always)]
    pub(super) fn is_met(&self, surplus: f32) -> bool {
        surplus + self.excuse >= 0.0
    }
}
