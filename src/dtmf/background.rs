//! What the line sounds like without a key: the level of noise, hum and dial tone that a key may
//! stand on. It knows energies, not tones.
//!
//! A key's two tones must account for nearly all the energy that *came with them*. What was there
//! before is allowed for, but only if it is steady: noise, hum and dial tone are, speech is not.
//! Without the allowance keys under hum are lost; without the condition any vowel excuses itself.
//!
//! There are two ways to be steady. The slow one stands noise: the least 20 ms of each of the last
//! stretches of [`STRETCH_LOOKS`] differ by little. The quick one knows a hum or dial tone soon after
//! it began: a few successive looks hardly differ at all. Hops during a press are not looked at, so
//! that a train of keys leaves the background as it was.

use super::digit::WINDOW_PURITY;
use super::roots::Roots;
use std::hint::select_unpredictable;

/// Looks in one stretch, one each 20 ms: 60 ms.
const STRETCH_LOOKS: u8 = 3;
/// Finished stretches that are remembered: 360 ms.
const STRETCHES: usize = 6;
/// Finished stretches before the slow way allows for anything: the first syllable of a call that
/// starts in the middle of a word must not be taken for the background.
const KNOWN: u8 = 2;
/// Slowly steady: the loudest stretch has at most twice (3 dB) the energy of the softest. The least
/// 20 ms of 60 ms of Gaussian noise vary by less than 1.5 dB; syllables vary by 10 dB and more.
const STEADY: f32 = 2.0;
/// Looks before the quick way allows for anything: 60 ms.
const QUICK_LOOKS: u8 = 3;
/// Quickly steady: successive looks are within 1.5 dB, as roots 19 to 16. The beats of dial tone, 1.8 to a
/// look, leave 0.9 of that. Hum at 60 Hz with two harmonics as loud, 1.2 periods to a look, swings by
/// 2 dB and often has to wait for the slow way.
const QUICK_STEADY: [u32; 2] = [19, 16];
/// Most that a quickly found background may have, of the pair's high-passed energy: hum 14 dB above
/// the pair has a tenth, dial tone as loud as the pair a quarter. Vowels that keep level for 60 ms and
/// have a pair among their harmonics all have more than 0.8 in 8 hours of speech.
const QUICK_HIGH: f32 = 0.35;
/// White noise has twice the energy that is left of it by the high-pass. What is beyond that is low:
/// hum and dial tone. Noise needs no excuse, as at 0 dB a pair still is half of the energy.
const WHITE_OVER_HIGH: f32 = 2.0;
/// Two tones of equal level, beating, reach twice their mean energy, over 10 ms and above the
/// 20 ms minimum four times: no window is left out under dial tone.
const WINDOW_SWING: f32 = 4.0;

/// Energy of a hop: `[all, high-passed]`, as [`Roots`] has them.
pub(super) type Energies = [f32; 2];

/// The last 360 ms of quiet moments. Both energies go side by side, as [`Roots`], and what is not the
/// same in every look is chosen without a branch: noise would have half of them guessed wrong.
#[derive(Clone, Debug)]
pub(super) struct Background {
    /// The least of each finished stretch, newest first, and of the one under way.
    least: [Roots; STRETCHES],
    now: Roots,
    /// Least and most of the last looks that were alike, and their number as far as it matters.
    low: Roots,
    top: Roots,
    looks: [u8; 2],
    /// Looks in the stretch under way, and stretches finished, as far as it matters how many.
    age: u8,
    stretches: u8,
    /// What was found slowly and quickly; nothing where nothing was.
    slow: Roots,
    quick: Roots,
    /// What [`Background::excuse`] says.
    excuse: f32,
}

impl Background {
    pub(super) const fn new() -> Self {
        Self {
            least: [Roots::NONE; STRETCHES],
            now: Roots::MOST,
            low: Roots::NONE,
            top: Roots::NONE,
            looks: [0; 2],
            age: 0,
            stretches: 0,
            slow: Roots::NONE,
            quick: Roots::NONE,
            excuse: 0.0,
        }
    }

    /// Takes in 20 ms, given as its hops. The mean of their roots is below the root of the mean, by
    /// 10 % at most under two beating tones; [`Limits`](super::evidence::Limits) allow for it.
    #[inline(always)]
    pub(super) fn look(&mut self, hops: [Roots; 4]) {
        let mean = Roots::mean(hops);
        self.now = self.now.min(mean);
        let (low, top) = (self.low.min(mean), self.top.max(mean));
        let level = |i: usize| {
            let (low, top) = (u32::from(low.parts()[i]), u32::from(top.parts()[i]));
            QUICK_STEADY[1] * top <= QUICK_STEADY[0] * low
        };
        let level = [level(0), level(1)];
        self.low = low.or(level, mean);
        self.top = top.or(level, mean);
        for (looks, level) in self.looks.iter_mut().zip(level) {
            *looks = select_unpredictable(level, QUICK_LOOKS.min(*looks + 1), 1);
        }
        let known = (self.looks[0] == QUICK_LOOKS) & (self.looks[1] == QUICK_LOOKS);
        self.quick = select_unpredictable(known, self.low, Roots::NONE);
        self.age += 1;
        if self.age == STRETCH_LOOKS {
            self.finish();
        }
        let low = |roots: Roots| {
            let [all, high] = roots.squares();
            (all - WHITE_OVER_HIGH * high).max(0.0)
        };
        self.excuse = WINDOW_PURITY * 2.0 * WINDOW_SWING * low(self.slow).max(low(self.quick));
    }

    /// Ends the stretch under way. The slow way then knows the least of all stretches if they differ by
    /// little; those that are not there yet are as the first.
    #[inline(always)]
    fn finish(&mut self) {
        // All move on: in a ring, the processor would have to guess which load meets the store.
        let mut least = [self.now; STRETCHES];
        if self.stretches > 0 {
            least[1..].copy_from_slice(&self.least[..STRETCHES - 1]);
        }
        self.least = least;
        self.now = Roots::MOST;
        self.age = 0;
        self.stretches = KNOWN.min(self.stretches + 1);
        let low = least.into_iter().fold(Roots::MOST, Roots::min);
        let top = least.into_iter().fold(Roots::NONE, Roots::max);
        let (low_energy, top_energy) = (low.squares(), top.squares());
        let known = self.stretches == KNOWN;
        let steady = [0, 1].map(|i| known & (top_energy[i] <= STEADY * low_energy[i]));
        self.slow = low.or(steady, Roots::NONE);
    }

    /// What a window's pair need not account for, as it is there without it.
    #[inline(always)]
    pub(super) const fn excuse(&self) -> f32 {
        self.excuse
    }

    /// Energy a hop of the background under a pair that has these energies itself; zero where it is
    /// unknown or unsteady. What was found quickly is newer, but only good for what is low.
    pub(super) fn under(&self, tones: Energies) -> Energies {
        let quick = self.quick.squares();
        if quick[0] > 0.0 && quick[1] <= QUICK_HIGH * tones[1] {
            quick
        } else {
            self.slow.squares()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The background under a pair much louder than it.
    fn known(background: &Background) -> Energies {
        background.under([1e9; 2])
    }

    #[test]
    fn noise_is_known_slowly_as_the_least_of_its_stretches() {
        let mut background = Background::new();
        for look in 0..200u16 {
            let expected = look >= u16::from(KNOWN * STRETCH_LOOKS);
            assert_eq!(known(&background)[0] > 0.0, expected, "look {look}");
            // Neighbours differ by 2.3 dB, the least of four by less.
            background.look([Roots::new(100 + 30 * (look % 2), 8 + 3 * (look % 2)); 4]);
        }
        assert_eq!(known(&background), [20_000.0, 128.0]);
    }

    #[test]
    fn hum_is_known_quickly_and_a_break_is_noticed_at_once() {
        let mut background = Background::new();
        for look in 0..100 {
            let root = if look < 50 { 10 } else { 300 + look % 3 };
            background.look([Roots::new(root, 8); 4]);
            let expected = match look {
                0..2 => [0.0, 0.0],
                2..50 => [200.0, 128.0],
                50..52 => [200.0, 128.0], // the slow way still has this
                _ => [180_000.0, 128.0],
            };
            assert_eq!(known(&background), expected, "look {look}");
        }
        // Where the pair has little more in the high part, it might be a vowel: then only slowly.
        for _ in 0..3 {
            background.look([Roots::new(200, 8); 4]);
        }
        assert_eq!(background.under([1e9, 129.0 / QUICK_HIGH])[0], 80_000.0);
        assert_eq!(background.under([1e9, 127.0 / QUICK_HIGH])[0], 0.0);
    }

    #[test]
    fn syllables_are_no_background() {
        let mut background = Background::new();
        for look in 0..400u16 {
            // A swell by 20 dB and back in 300 ms, nowhere level.
            let up = i32::from((look % 15).min(14 - look % 15));
            let root = (30.0 * 1.4f32.powi(up)) as u16;
            background.look([Roots::new(root, root / 3); 4]);
            assert_eq!(known(&background), [0.0; 2], "look {look}");
        }
    }
}
