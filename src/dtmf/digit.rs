//! The decision: when a key is down, when it is up, and which. It sees one [`Measure`] each 5 ms
//! and keeps the last [`MEMORY`]; what the windows of a run say together is weighed in
//! [`evidence`](super::evidence), what may lie beneath them in [`background`](super::background).
//!
//! # The debounce rule
//!
//! A *run* is a succession of windows in which the same row and column stand out at a steady level.
//! *Presence* of a window is its amplitude against the run's, 0 at a quarter and 1 at three
//! quarters; with Hann windows its sum times 5 ms is the tone's duration.
//!
//! | state | window | then |
//! |---|---|---|
//! | nothing | a pair stands out | a run begins |
//! | run | same pair, level within 6 dB | it grows; duration counts on |
//! | run, 4 windows or more | anything else, at most 3 windows | it waits: an interruption of 10 ms is bridged before the decision too |
//! | run | anything else | it is dropped, the new pair (if any) begins one |
//! | run | 27 ms and clean, or 33 ms and good enough | **key down** |
//! | run | same key as the last, begun less than 24 ms after its end | never reported: its echo, or the same press |
//! | down | the pair at half its amplitude or more | stays down |
//! | down | absence adds up to 22 ms | **key up**: interruptions of 20 ms are bridged (ETSI), pauses of 30 ms separate (NTT) |
//! | down | another key is decided | **key up**, then its **key down** |

use super::background::Background;
use super::evidence::{ENERGY_PER_POWER, Evidence, Limits, Sums};
use super::kernel::{Decimator, FULL_SCALE, HOP, Measure};
use super::run::{Down, NONE, Run, presence};
use super::{Digit, Event, Setting};
use crate::audio::SampleRate;

/// Windows that are remembered: 50 ms, the shortest key and an interruption.
const MEMORY: usize = 10;
/// Time from window to window.
const HOP_MS: f64 = 5.0;
/// Half a window's weight reaches this far beyond its centre (the Hann window's area to the right).
const HALF_WINDOW_MS: f64 = 2.5;
/// A window is part of a run from this level on: 3 dB below the softest key, so that noise and
/// the edges of a key do not break it. In units of `|z|²`: `FULL_SCALE² * 10^((-43 - 3.14) / 10)`.
const WINDOW_POWER_MIN: [i32; 2] = [window_power(2.432e-5), window_power(6.109e-6)];
/// Twist of a window: wider than a key's, since one window is noisy. -15 and +13 dB.
const WINDOW_TWIST: [f32; 2] = [0.03, 20.0];
/// The pair's part of a window's energy above the background; a third tone as loud passes.
const WINDOW_PURITY: f32 = 0.4;
/// Two tones of equal level, beating, reach twice their mean energy, over 10 ms and above the
/// 20 ms minimum four times: nothing is decided on one window under dial tone.
const WINDOW_BACKGROUND: f32 = 4.0;
/// White noise has twice the energy that is left of it by the high-pass. What is beyond that is low:
/// hum and dial tone. Noise needs no allowance here, as at 0 dB a pair still is half of the energy.
const WHITE_OVER_HIGH: f32 = 2.0;
/// A run keeps its pair against a neighbour with less than 2.2 dB more power. 1.8 % off, a row
/// differs from its neighbour by 1.6 dB or more in the right direction already.
const PAIR_HYSTERESIS: f32 = 0.6;
/// Windows before a run holds on to its pair, and before it waits for one.
const HOLD_PAIR: u16 = 3;
const HOLD_RUN: u16 = 4;
/// Windows that a run waits: 10 ms blank two windows and dim one on either side.
const WAIT_WINDOWS: u8 = 3;
/// Intervals that must have been summed: 15 ms of phase.
const INTERVALS_MIN: f32 = 3.0;
/// Windows before a run is weighed at all: 5 span 20 ms between the outer centres.
const WEIGH_WINDOWS: u16 = 5;
/// Absence that ends a key, between the 20 ms that must be bridged and the 30 that must separate,
/// nearer the lower since noise and echo fill pauses.
const END_MS: f32 = 22.0;
/// A run of the same key that begins earlier after its end is the same press.
const SAME_PRESS_MS: f64 = 24.0;

const fn window_power(ratio: f32) -> i32 {
    (FULL_SCALE * FULL_SCALE * ratio) as i32
}

/// One stream's decision.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    /// The tones of the run's windows, newest first.
    tones: [[[i16; 2]; 2]; MEMORY],
    /// Roots of the energies, as [`Measure::roots`].
    energy: [[u16; MEMORY]; 2],
    /// The pair that stood out in each of the run's windows.
    pair: [u8; MEMORY],
    /// The last window's loudest row and column.
    loudest: [i32; 2],
    rate: SampleRate,
    setting: Setting,
    hop: u32,
    background: Background,
    run: Run,
    down: Option<Down>,
    /// The last key that went up, and when, in milliseconds.
    last: Option<(Digit, f32)>,
}

impl Judge {
    pub(super) const fn new(rate: SampleRate, setting: Setting) -> Self {
        Self {
            tones: [[[0; 2]; 2]; MEMORY],
            energy: [[0; MEMORY]; 2],
            pair: [NONE; MEMORY],
            loudest: [0; 2],
            rate,
            setting,
            hop: 0,
            background: Background::new(),
            run: Run::EMPTY,
            down: None,
            last: None,
        }
    }

    /// Energy below which a window (two hops) counts as silence, without tones: 3.8 dB less than a
    /// steady pair has whose tones are just loud enough for a window.
    pub(super) fn quiet(&self) -> u32 {
        10 * self.power_min() as u32
    }

    /// Least power of a tone in a window of a run.
    fn power_min(&self) -> i32 {
        match self.setting {
            Setting::Standard => WINDOW_POWER_MIN[0],
            Setting::Lenient => WINDOW_POWER_MIN[1],
        }
    }

    /// Takes the next window.
    #[inline(always)]
    pub(super) fn step(&mut self, measure: &Measure, emit: &mut impl FnMut(Event)) {
        self.hop += 1;
        let stands_out = self.stands_out(measure);
        for (roots, root) in self.energy.iter_mut().zip(measure.roots) {
            roots.copy_within(..MEMORY - 1, 1);
            roots[0] = root;
        }

        let was_down = self.down.is_some();
        if was_down {
            self.follow(measure, emit);
        }
        if stands_out || self.run.windows > 0 {
            self.track(stands_out, measure);
            if stands_out && self.run.waiting == 0 && self.run.windows >= WEIGH_WINDOWS {
                self.weigh(emit);
            }
        }
        if !was_down && self.run.windows < 2 {
            self.learn();
        }
        self.loudest = measure.loudest;
    }

    /// Whether a window has a pair in it at all: loud enough, and most of what came on top.
    #[inline]
    fn stands_out(&self, measure: &Measure) -> bool {
        let [row, column] = measure.loudest;
        let floor = self.power_min();
        if row < floor || column < floor {
            return false;
        }
        let (row, column) = (row as f32, column as f32);
        if column < WINDOW_TWIST[0] * row || column > WINDOW_TWIST[1] * row {
            return false;
        }
        let tones = 2.0 * ENERGY_PER_POWER * (row + column);
        let energy = measure.energy as f32 + square(self.energy[0][0]);
        let [all, high] = self.background.steady();
        let low = (all - WHITE_OVER_HIGH * high).max(0.0);
        let background = 2.0 * WINDOW_BACKGROUND * low;
        tones >= WINDOW_PURITY * (energy - background)
    }

    /// The loudest row and column; a run's own pair if they are close.
    fn strongest(&self, powers: &[i32; 8]) -> [usize; 2] {
        let louder = |best: usize, i: usize| if powers[i] > powers[best] { i } else { best };
        let mut best = [(1..4).fold(0, louder), (5..8).fold(4, louder)];
        if self.run.windows >= HOLD_PAIR {
            let own = [
                usize::from(self.run.pair / 4),
                4 + usize::from(self.run.pair % 4),
            ];
            for i in 0..2 {
                if powers[own[i]] as f32 >= PAIR_HYSTERESIS * powers[best[i]] as f32 {
                    best[i] = own[i];
                }
            }
        }
        best
    }

    /// Watches the key that is down go up.
    #[inline(never)]
    fn follow(&mut self, measure: &Measure, emit: &mut impl FnMut(Event)) {
        let Some(down) = &mut self.down else { return };
        let tones = [down.digit.row(), down.digit.column()];
        let presence = presence(tones.map(|i| root(measure.powers[i])), down.amplitude);
        if presence >= 0.5 {
            down.last_hop = self.hop;
            down.absent = 0.0;
            down.tail = presence;
        } else {
            down.absent += 1.0 - presence;
            if self.hop - down.last_hop <= 2 {
                down.tail += presence;
            }
        }
        if down.absent * HOP_MS as f32 >= END_MS {
            self.release(emit);
        }
    }

    /// Key up.
    #[inline(never)]
    fn release(&mut self, emit: &mut impl FnMut(Event)) {
        let Some(down) = self.down.take() else { return };
        let end_ms = self.centre_ms(down.last_hop) - HALF_WINDOW_MS + HOP_MS * f64::from(down.tail);
        self.last = Some((down.digit, end_ms as f32));
        let end = self.sample(end_ms).max(down.start);
        emit(Event::KeyUp {
            digit: down.digit,
            start: down.start,
            end,
            decided: self.heard(),
        });
    }

    /// Carries the run on, lets it wait, or begins another.
    #[inline(never)]
    fn track(&mut self, stands_out: bool, measure: &Measure) {
        let [row, column] = self.strongest(&measure.powers);
        let amplitude = [measure.powers[row], measure.powers[column]].map(root);
        let pair = if stands_out {
            (row * 4 + column - 4) as u8
        } else {
            NONE
        };
        self.tones.copy_within(..MEMORY - 1, 1);
        self.tones[0] = [measure.tones[row], measure.tones[column]];
        self.pair.copy_within(..MEMORY - 1, 1);
        self.pair[0] = pair;

        let run = &mut self.run;
        let hold = if pair == NONE { 2 } else { HOLD_RUN };
        // Half as loud again as anything in the run: the key, and what ran before was noise.
        let overrun =
            pair != NONE && (0..2).all(|i| f32::from(amplitude[i]) > 1.5 * f32::from(run.peak[i]));
        if pair != NONE && pair == run.pair && run.fits(amplitude) {
            if run.waiting > 0 {
                // Half of this window may be interruption: no interval begins or ends in it.
                self.pair[0] = NONE;
            }
            run.windows = run.windows.saturating_add(1);
            run.waiting = 0;
            run.last = amplitude;
            run.peak = [run.peak[0].max(amplitude[0]), run.peak[1].max(amplitude[1])];
        } else if run.windows >= hold && run.waiting < WAIT_WINDOWS && !overrun {
            let own = [usize::from(run.pair / 4), 4 + usize::from(run.pair % 4)];
            let amplitude = own.map(|i| root(measure.powers[i]));
            run.waiting += 1;
            run.partial += presence(amplitude, run.last.map(f32::from));
            self.pair[0] = NONE;
            self.pair[1] = NONE;
        } else if pair == NONE {
            *run = Run::EMPTY;
        } else {
            *run = Run {
                first_hop: self.hop,
                pair,
                windows: 1,
                edge: self.loudest.map(root),
                first: amplitude,
                last: amplitude,
                peak: amplitude,
                ..Run::EMPTY
            };
        }
    }

    /// Decides whether the run is a key by now.
    #[inline(never)]
    fn weigh(&mut self, emit: &mut impl FnMut(Event)) {
        let run = &self.run;
        let digit = Digit(run.pair);
        if self.down.is_some_and(|down| down.digit == digit) {
            return;
        }
        let sums = self.sums();
        if sums.intervals < INTERVALS_MIN {
            return;
        }
        let limits = Limits::of(self.setting);
        let tones = [digit.row(), digit.column()];
        let evidence = Evidence::weigh(&sums, tones, self.background.steady());
        let Some(needs_ms) = evidence.needs_ms(limits) else {
            return;
        };

        let [edge, first, last] = [run.edge, run.first, run.last]
            .map(|amplitude| presence(amplitude, evidence.amplitude));
        let windows = edge + first + f32::from(run.windows - 2) + run.partial + last;
        if windows * (HOP_MS as f32) < needs_ms {
            return;
        }
        let start_ms =
            self.centre_ms(run.first_hop) + HALF_WINDOW_MS - HOP_MS * f64::from(edge + first);
        let same_press = self.last.is_some_and(|(last, end_ms)| {
            last == digit && start_ms < f64::from(end_ms) + SAME_PRESS_MS
        });
        if same_press {
            return;
        }
        self.release(emit);
        let start = self.sample(start_ms);
        self.down = Some(Down {
            start,
            last_hop: self.hop,
            digit,
            amplitude: evidence.amplitude,
            absent: 0.0,
            tail: last,
        });
        emit(Event::KeyDown {
            digit,
            start,
            decided: self.heard(),
            quality: evidence.quality,
        });
    }

    /// Sums over the run's intervals within memory. The first window may have caught only the end
    /// of the onset, so the first interval is left out.
    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        let reach = (self.hop - self.run.first_hop)
            .saturating_sub(1)
            .min(MEMORY as u32 - 1) as usize;
        for back in 0..reach {
            if self.pair[back] == self.run.pair && self.pair[back + 1] == self.run.pair {
                let energy = [0, 1].map(|i| square(self.energy[i][back]));
                sums.add(self.tones[back], self.tones[back + 1], energy);
            }
        }
        sums
    }

    /// Shows the background, every second time, the 20 ms that ended two windows ago: the newest
    /// may hold an onset.
    fn learn(&mut self) {
        if self.hop >= 7 && self.hop.is_multiple_of(2) {
            let [all, high] = &self.energy;
            self.background.learn([
                [all[2], all[3], all[4], all[5]],
                [high[2], high[3], high[4], high[5]],
            ]);
        }
    }

    /// Centre of a window in stream time.
    fn centre_ms(&self, hop: u32) -> f64 {
        let delay = f64::from(Decimator::of(self.rate).delay());
        (f64::from(hop) - 1.0) * HOP_MS - delay * 1000.0 / f64::from(self.rate.hz())
    }

    /// The nearest sample of the stream.
    fn sample(&self, ms: f64) -> u64 {
        (ms * f64::from(self.rate.hz()) / 1000.0).round().max(0.0) as u64
    }

    /// Samples heard so far.
    fn heard(&self) -> u64 {
        u64::from(self.hop) * (HOP * Decimator::of(self.rate).factor) as u64
    }
}

/// The energy of which [`Measure::roots`] holds the root.
fn square(root: u16) -> f32 {
    2.0 * f32::from(root) * f32::from(root)
}

/// Amplitude; `|z|` is below 2^15.5.
fn root(power: i32) -> u16 {
    (power as f32).sqrt() as u16
}
