//! What the line sounds like without a key: the level of noise, hum and dial tone that a key may
//! stand on. It knows energies, not tones.
//!
//! A key's two tones must account for nearly all the energy that *came with them*. What was there
//! before is allowed for, but only if it is steady: noise, hum and dial tone are, speech is not.
//! Without the allowance keys under hum are lost; without the condition any vowel excuses itself.
//!
//! Memory is a list of minima. Each is the least energy of any 20 ms within one stretch of
//! [`BUCKET_LOOKS`]; seven stretches make 560 ms. Hops during a press are not looked at, so that a
//! train of keys leaves the background as it was.

/// Looks in one stretch, one each 10 ms: 80 ms.
const BUCKET_LOOKS: u8 = 8;
/// Finished stretches that are remembered.
const BUCKETS: usize = 7;
/// Finished stretches before anything is allowed for: the first syllable of a
/// call that starts in the middle of a word must not be taken for the background.
const KNOWN: usize = 2;
/// Steady: the loudest stretch has at most twice (3 dB) the energy of the softest. The least 20 ms
/// of 80 ms of Gaussian noise vary by less than 1.5 dB; syllables vary by 10 dB and more.
const STEADY: f32 = 2.0;

/// Energy of a hop: `[all, high-passed]`, as [`Measure`](super::kernel::Measure) has them.
pub(super) type Energies = [f32; 2];

/// Four hops: 20 ms.
const LOOK_HOPS: usize = 4;

/// The last 560 ms of quiet moments.
#[derive(Clone, Debug)]
pub(super) struct Background {
    /// Least root of a look in the stretch under way.
    now: [u16; 2],
    /// The minima before it, newest first. Only the first `filled` count.
    before: [[u16; 2]; BUCKETS],
    /// What [`Background::steady`] says, until the stretch under way is finished.
    steady: Energies,
    filled: u8,
    age: u8,
}

impl Background {
    pub(super) const fn new() -> Self {
        Self {
            now: [u16::MAX; 2],
            before: [[0; 2]; BUCKETS],
            steady: [0.0; 2],
            filled: 0,
            age: 0,
        }
    }

    /// Takes in 20 ms, given as [`Measure::roots`](super::kernel::Measure::roots) of its hops. Their
    /// mean is below the root of the mean, by 10 % at most under two beating tones;
    /// [`Limits`](super::evidence::Limits) allow for it.
    #[inline]
    pub(super) fn learn(&mut self, roots: [[u16; LOOK_HOPS]; 2]) {
        let quarter = |[a, b, c, d]: [u16; LOOK_HOPS]| {
            ((u32::from(a) + u32::from(b) + u32::from(c) + u32::from(d)) >> 2) as u16
        };
        let mean = [quarter(roots[0]), quarter(roots[1])];
        self.age += 1;
        self.now = [self.now[0].min(mean[0]), self.now[1].min(mean[1])];
        if self.age == BUCKET_LOOKS {
            self.finish();
        }
    }

    /// Ends the stretch under way and compares it with those before.
    #[inline(never)]
    fn finish(&mut self) {
        self.before.copy_within(..BUCKETS - 1, 1);
        self.before[0] = self.now;
        self.filled = (self.filled + 1).min(BUCKETS as u8);
        self.now = [u16::MAX; 2];
        self.age = 0;
        if usize::from(self.filled) < KNOWN {
            return;
        }
        let finished = &self.before[..usize::from(self.filled)];
        let square = |root: u16| 2.0 * f32::from(root) * f32::from(root);
        self.steady = [0, 1].map(|i| {
            let (low, top) = finished.iter().fold((u16::MAX, 0), |(low, top), roots| {
                (roots[i].min(low), roots[i].max(top))
            });
            if square(top) <= STEADY * square(low) {
                square(low)
            } else {
                0.0
            }
        });
    }

    /// Energy a hop of the background; zero where it is unknown or unsteady.
    pub(super) const fn steady(&self) -> Energies {
        self.steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_at_first_then_the_least_of_a_steady_line() {
        let mut background = Background::new();
        for look in 0..200u16 {
            let known = look >= 2 * u16::from(BUCKET_LOOKS);
            assert_eq!(background.steady()[0] > 0.0, known, "look {look}");
            background.learn([[100 + look % 5; 4], [8; 4]]);
        }
        let [all, high] = background.steady();
        assert!((20_000.0..20_600.0).contains(&all), "{all}");
        assert_eq!(high, 128.0);
    }

    #[test]
    fn syllables_are_no_background() {
        let mut background = Background::new();
        for look in 0..400 {
            let loud = look / 15 % 2 == 0;
            background.learn(if loud {
                [[220; 4], [95; 4]]
            } else {
                [[20; 4], [9; 4]]
            });
        }
        assert_eq!(background.steady(), [0.0; 2]);
    }
}
