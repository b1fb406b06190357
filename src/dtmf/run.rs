//! A candidate and a key that is down: what [`digit`](super::digit) remembers of each, in as few
//! bytes as will do, since every stream of every call has one of both.

use super::Digit;

/// No pair.
pub(super) const NONE: u8 = 0xff;
/// A run keeps its pair against a neighbour with less than 2.2 dB more power. 1.8 % off, a row
/// differs from its neighbour by 1.6 dB or more in the right direction already.
pub(super) const PAIR_HYSTERESIS: f32 = 0.6;
/// Amplitudes of neighbouring windows of one press, of the loudest and the last: see [`Run::fits`].
const FITS_ABOVE: f32 = 0.5;
const FITS_BELOW: f32 = 2.0;
/// After a hole, against the loudest.
const REGAINED: f32 = 1.2;
/// And against the loudest again: what ran before was noise; and what may still be all tone, if but one of
/// the two is that soft: interference at 550 Hz takes 3 dB off a row, and gives as much.
const OUTDONE: f32 = 1.5;
const WHOLE: f32 = 0.6;
/// The same of both tones together, in a window between louder ones: holes do that, disturbances seldom.
const HOLE: f32 = 0.85;
/// Windows that an interruption near the beginning can have touched.
const ONSET_WINDOWS: u16 = 3;
const ONSET: f32 = 0.8;
/// And of neighbours that are level.
const LEVEL: f32 = 0.8;
/// Amplitude against the run's from which a window counts as part of it, and as all of it: straight
/// in between and symmetric about one half, where an edge sits on a window's centre, so that edges stay
/// unbiased; and deaf to an echo 10 dB down.
const PRESENT: [f32; 2] = [0.25, 0.75];
/// Windows are 10 ms long: only two after the last that is half there can hold some of the end.
const TAIL_WINDOWS: u32 = 2;
/// A key that is down may fade: windows that are nearly all there move its level by this part of the
/// difference. That follows 20 dB in 150 ms; an edge moves it in one window at most.
const FADE: f32 = 0.25;
const FADE_PRESENT: f32 = 0.9;

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
                let [a, last, peak] = [amplitude[i], self.last[i], self.peak[i]].map(f32::from);
                a > FITS_ABOVE * peak && a < (FITS_BELOW * last).max(REGAINED * peak)
            })
    }

    /// Softer than fits, in either tone.
    pub(super) fn dips(&self, amplitude: [u16; 2]) -> bool {
        self.is_below(FITS_ABOVE, amplitude)
    }

    /// All of the window is tone: it is near the loudest, or as the one before, after the step that an
    /// echo makes. What ends an interruption is often as the one that began it, and no more whole.
    pub(super) fn is_whole(&self, amplitude: [u16; 2]) -> bool {
        let near = (0..2).all(|i| {
            let (now, last) = (f32::from(amplitude[i]), f32::from(self.last[i]));
            now >= LEVEL * last && last >= LEVEL * now
        });
        (near && self.waiting == 0) || !self.is_below(WHOLE, amplitude)
    }

    /// Half as loud again as anything in the run: the key, and what ran before was noise.
    pub(super) fn is_outdone(&self, amplitude: [u16; 2]) -> bool {
        (0..2).all(|i| f32::from(amplitude[i]) > OUTDONE * f32::from(self.peak[i]))
    }

    /// The run has only just begun, and this is so much louder that the windows before were half empty.
    pub(super) fn is_onset(&self, amplitude: [u16; 2]) -> bool {
        let louder = |i: usize| ONSET * f32::from(amplitude[i]) > f32::from(self.peak[i]);
        self.windows <= ONSET_WINDOWS && (0..2).all(louder)
    }

    /// Places of its tones among the eight.
    pub(super) fn tones(&self) -> [usize; 2] {
        [usize::from(self.pair / 4), 4 + usize::from(self.pair % 4)]
    }

    /// Both tones are softer together, as in a hole.
    pub(super) fn is_dim(&self, amplitude: [u16; 2]) -> bool {
        (0..2).all(|i| f32::from(amplitude[i]) <= WHOLE * f32::from(self.peak[i]))
    }

    /// Whether an `earlier` window was softer in both tones than what came before and than what comes now.
    pub(super) fn is_hole(&self, earlier: [u16; 2], now: [u16; 2]) -> bool {
        (0..2).all(|i| f32::from(earlier[i]) < HOLE * f32::from(now[i].min(self.peak[i])))
    }

    fn is_below(&self, part: f32, amplitude: [u16; 2]) -> bool {
        (0..2).any(|i| f32::from(amplitude[i]) <= part * f32::from(self.peak[i]))
    }
}

/// The last key that was reported: down, or lately up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) start: u64,
    /// The last window with the key in it.
    pub(super) last_hop: u32,
    pub(super) digit: Digit,
    pub(super) is_down: bool,
    /// Follows a key that fades.
    pub(super) amplitude: [f32; 2],
    /// Absence since `last_hop`, in windows.
    pub(super) absent: f32,
    /// Presence at and after `last_hop`, in windows.
    pub(super) tail: f32,
}

impl Key {
    /// Hears window number `hop`, in which the key's tones have these powers and the loudest of their
    /// groups those.
    pub(super) fn follow(&mut self, hop: u32, powers: [i32; 2], loudest: [i32; 2]) {
        let amplitude = powers.map(root);
        // A neighbour that is louder is another key, whose window leaks into this one's.
        let outdone = (0..2).any(|i| (powers[i] as f32) < PAIR_HYSTERESIS * loudest[i] as f32);
        let present = if outdone {
            0.0
        } else {
            presence(amplitude, self.amplitude)
        };
        if present >= 0.5 {
            self.last_hop = hop;
            self.absent = 0.0;
            self.tail = present;
        } else {
            self.absent += 1.0 - present;
            if hop - self.last_hop <= TAIL_WINDOWS {
                self.tail += present;
            }
        }
        if present >= FADE_PRESENT {
            for (mine, now) in self.amplitude.iter_mut().zip(amplitude) {
                *mine += FADE * (f32::from(now) - *mine);
            }
        }
    }
}

/// How much of the pair is there, as [`PRESENT`] has it.
pub(super) fn presence(amplitude: [u16; 2], of: [f32; 2]) -> f32 {
    let part = (f32::from(amplitude[0]) / of[0]).min(f32::from(amplitude[1]) / of[1]);
    let [none, all] = PRESENT;
    ((part - none) / (all - none)).clamp(0.0, 1.0)
}

/// Amplitude; `|z|` is below 2^15.5.
pub(super) fn root(power: i32) -> u16 {
    (power as f32).sqrt() as u16
}
