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

use super::bar::Bar;
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
const QUICK_LOOKS: u16 = 3;
/// Quickly steady: successive looks are within 1.7 dB, as roots 39 to 32. The beats of dial tone, 1.8 to a
/// look, leave 1.5 of that. Hum at 60 Hz with two harmonics as loud, 1.2 periods to a look, swings by
/// 2 dB and often has to wait for the slow way.
const QUICK_STEADY: [u32; 2] = [39, 32];
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

/// The last 360 ms of quiet moments.
#[derive(Clone, Debug)]
pub(super) struct Background {
    /// Of all and of the high-passed energy.
    seen: [Seen; 2],
    /// Looks in the stretch under way, and stretches finished, as far as it matters how many.
    age: u8,
    stretches: u8,
    /// What was found slowly; nothing where nothing was. And what is low of it.
    slow: Roots,
    slow_low: f32,
    /// What [`Background::excuse`] says.
    excuse: f32,
}

/// What looks leave of one energy. What is not the same in every look is chosen without a branch: noise
/// would have half of them guessed wrong.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Least and most of the last looks that were alike, and their number as far as it matters.
    low: u16,
    top: u16,
    looks: u16,
    /// The least of the stretch under way, and of each finished one, newest first.
    now: u16,
    least: [u16; STRETCHES],
}

impl Seen {
    const NOTHING: Self = Self {
        low: 0,
        top: 0,
        looks: 0,
        now: u16::MAX,
        least: [0; STRETCHES],
    };

    #[inline(always)]
    fn look(&mut self, mean: u16) {
        let (low, top) = (self.low.min(mean), self.top.max(mean));
        let level = QUICK_STEADY[1] * u32::from(top) <= QUICK_STEADY[0] * u32::from(low);
        self.low = select_unpredictable(level, low, mean);
        self.top = select_unpredictable(level, top, mean);
        self.looks = select_unpredictable(level, QUICK_LOOKS.min(self.looks + 1), 1);
        self.now = self.now.min(mean);
    }

    /// Ends a stretch. Returns the least of all stretches if they differ by little; those that are not there
    /// yet are as the first.
    #[inline(always)]
    fn finish(&mut self, is_first: bool) -> Option<u16> {
        if is_first {
            self.least = [self.now; STRETCHES];
        } else {
            // All move on: in a ring, the processor would have to guess which load meets the store.
            self.least.copy_within(..STRETCHES - 1, 1);
            self.least[0] = self.now;
        }
        self.now = u16::MAX;
        let low = self.least.into_iter().fold(u16::MAX, u16::min);
        let top = self.least.into_iter().fold(0, u16::max);
        let square = |root: u16| f32::from(root) * f32::from(root);
        (square(top) <= STEADY * square(low)).then_some(low)
    }
}

impl Background {
    pub(super) const fn new() -> Self {
        Self {
            seen: [Seen::NOTHING; 2],
            age: 0,
            stretches: 0,
            slow: Roots::NONE,
            slow_low: 0.0,
            excuse: 0.0,
        }
    }

    /// Takes in 20 ms, given as its hops. The mean of their roots is below the root of the mean, by
    /// 10 % at most under two beating tones; [`Limits`](super::limits::Limits) allow for it.
    #[inline(always)]
    pub(super) fn look(&mut self, hops: [Roots; 4]) {
        let [all, high] = Roots::mean(hops).parts();
        self.seen[0].look(all);
        self.seen[1].look(high);
        self.age += 1;
        if self.age == STRETCH_LOOKS {
            self.finish();
        }
        let low = self.slow_low.max(low(self.quick()));
        self.excuse = Bar::PURITY * 2.0 * WINDOW_SWING * low;
    }

    /// What was found quickly; nothing where nothing was.
    #[inline(always)]
    fn quick(&self) -> Roots {
        let [all, high] = &self.seen;
        let known = (all.looks == QUICK_LOOKS) & (high.looks == QUICK_LOOKS);
        select_unpredictable(known, Roots::new(all.low, high.low), Roots::NONE)
    }

    /// Ends the stretch under way: what is steady in it and those before is known slowly, if there are enough.
    #[inline(always)]
    fn finish(&mut self) {
        let is_first = self.stretches == 0;
        self.age = 0;
        self.stretches = KNOWN.min(self.stretches + 1);
        let all = self.seen[0].finish(is_first);
        let high = self.seen[1].finish(is_first);
        if self.stretches == KNOWN {
            self.slow = Roots::new(all.unwrap_or(0), high.unwrap_or(0));
        }
        self.slow_low = low(self.slow);
    }

    /// What a window's pair need not account for, as it is there without it.
    #[inline(always)]
    pub(super) const fn excuse(&self) -> f32 {
        self.excuse
    }

    /// Energy a hop of the background under a pair that has these energies itself; zero where it is
    /// unknown or unsteady. What was found quickly is newer, but only good for what is low.
    pub(super) fn under(&self, tones: Energies) -> Energies {
        let quick = self.quick().squares();
        if quick[0] > 0.0 && quick[1] <= QUICK_HIGH * tones[1] {
            quick
        } else {
            self.slow.squares()
        }
    }
}

/// What is low of an energy.
#[inline(always)]
fn low(roots: Roots) -> f32 {
    let [all, high] = roots.squares();
    (all - WHITE_OVER_HIGH * high).max(0.0)
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
