//! A hop's two energies as one word: what the decision remembers of each hop, and compares. Whoever
//! looks at them does so for every frame of every call, so nothing here branches.

/// Square roots of half a hop's energy, `all` of it and `high`: the same sum over
/// `(x[n] - x[n-2]) / 8`, a high-pass with gain `sin²(2 pi f / 8000)`, -28 dB at 50 Hz, -9 at 440, -6
/// at 697, -2 at 1209, so that hum does not drown what it is to show. Rounded, either fits 16 bits,
/// and half a unit is 1 % of the least that is not silence. IEEE roots are exact, hence the same
/// everywhere. In one word, since it is written and read as one: `high` above `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Roots(u32);

impl Roots {
    /// Of nothing.
    pub const NONE: Self = Self(0);

    /// Of these sums.
    pub(super) fn of(all: u32, high: u32) -> Self {
        let root = |sum: u32| (((sum >> 1) as f32).sqrt() + 0.5) as u32;
        Self(root(all) | (root(high) << 16))
    }

    /// Of these two roots.
    #[inline(always)]
    pub(super) const fn new(all: u16, high: u16) -> Self {
        Self(all as u32 | ((high as u32) << 16))
    }

    /// As one word, to be kept.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// What was kept.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// `[all, high]`.
    #[inline(always)]
    pub const fn parts(self) -> [u16; 2] {
        [self.0 as u16, (self.0 >> 16) as u16]
    }

    /// The mean of each.
    #[inline(always)]
    pub(super) fn mean(of: [Self; 4]) -> Self {
        let (mut all, mut high) = (0, 0);
        for roots in of {
            all += roots.0 & 0xffff;
            high += roots.0 >> 16;
        }
        Self(all >> 2 | (high >> 2) << 16)
    }

    /// The energies of which these are the roots.
    #[inline(always)]
    pub fn squares(self) -> [f32; 2] {
        let [all, high] = self.parts();
        let (all, high) = (f32::from(all), f32::from(high));
        [2.0 * all * all, 2.0 * high * high]
    }
}
