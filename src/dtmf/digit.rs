//! The decision: when a key is down, when it is up, and which. It sees one window of [`Measures`] each
//! 5 ms; [`trail`](super::trail) makes runs of them. [`evidence`](super::evidence) weighs a run's windows
//! against [`limits`](super::limits), [`background`](super::background) knows what may lie beneath.
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
//! | run, 2 windows or more | nothing, or the pair dips; at most 3 windows | it waits: an interruption of 10 ms is bridged before the decision too |
//! | run, 4 windows or more | another pair; at most 3 windows | it waits |
//! | run, 2 windows or more | half empty, its pair nearly the loudest | the same pair: half a window names a neighbour as easily |
//! | run | anything else | it is dropped, the new pair (if any) begins one |
//! | run | 26.5 ms and clean, or 33 ms and good enough | **key down** |
//! | run | same key as the last, begun less than 24 ms after its end | never reported, and the key's end moves on unless that is 14 dB softer: its echo, or the same press |
//! | down | the pair, the loudest of its groups, at half its amplitude or more | stays down; its amplitude follows a fade |
//! | down | absence adds up to 22 ms | **key up**: interruptions of 20 ms are bridged (ETSI), pauses of 30 ms separate (NTT) |
//! | down | another key is decided | **key up**, then its **key down** |

use super::background::Background;
use super::bar::Bar;
use super::evidence::window_power_min;
use super::kernel::{Decimator, HOPS_MAX, Measures, power};
use super::limits::Limits;
use super::roots::Roots;
use super::run::{Key, presence};
use super::trail::Trail;
use super::{Digit, Event, Setting};
use crate::audio::SampleRate;

/// Hops in a block, after which the background is looked at: 20 ms, the usual frame.
const BLOCK: usize = HOPS_MAX;
/// Blocks of which the energies are remembered: enough for what a [`Trail`] remembers, and a power of
/// two.
const BLOCKS: usize = 4;
/// Time from window to window.
const HOP_MS: f64 = 5.0;
/// Half a window's weight reaches this far beyond its centre (the Hann window's area to the right).
const HALF_WINDOW_MS: f64 = 2.5;
/// Windows before a run is weighed at all: 5 span 20 ms between the outer centres.
const WEIGH_WINDOWS: u16 = 5;
/// Idle hops in a pause of 40 ms: a key is up 25 ms after its end, and a run has two windows 5 ms
/// after the next one's beginning.
const PAUSE_HOPS: usize = 3;
/// Absence that ends a key, between the 20 ms that must be bridged and the 30 that must separate,
/// nearer the lower since noise and echo fill pauses.
const END_MS: f32 = 22.0;
/// A run of the same key that begins earlier after its end is the same press.
const SAME_PRESS_MS: f64 = 24.0;
/// Amplitude, against the key's, of what may still be its press or an echo: -14 dB.
const ECHO: f32 = 0.2;

/// One stream's decision.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    /// The energies of each hop: a ring of blocks, turned by `hop`.
    energy: [[Roots; BLOCK]; BLOCKS],
    /// The last window's loudest row and column.
    loudest: [i32; 2],
    rate: SampleRate,
    setting: Setting,
    /// Hops so far, and since there was a key or what might have become one.
    hop: u32,
    idle: u8,
    background: Background,
    trail: Trail,
    key: Option<Key>,
}

impl Judge {
    pub(super) const fn new(rate: SampleRate, setting: Setting) -> Self {
        Self {
            energy: [[Roots::NONE; BLOCK]; BLOCKS],
            loudest: [0; 2],
            rate,
            setting,
            hop: 0,
            idle: 0,
            background: Background::new(),
            trail: Trail::EMPTY,
            key: None,
        }
    }

    /// One that begins with hop number `hop` of the stream.
    pub(super) const fn resume(rate: SampleRate, setting: Setting, hop: u32) -> Self {
        let mut judge = Self::new(rate, setting);
        judge.hop = hop;
        judge
    }

    /// Hops of the stream so far.
    pub(super) const fn hop(&self) -> u32 {
        self.hop
    }

    /// Whether the next hop is the first of a block.
    #[inline(always)]
    pub(super) const fn begins_block(&self) -> bool {
        self.hop.is_multiple_of(BLOCK as u32)
    }

    /// Of the stream.
    pub(super) const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Energy below which a window (two hops) counts as silence, without tones: 3.8 dB less than a
    /// steady pair has whose tones are just loud enough for a window.
    pub(super) fn quiet(&self) -> u32 {
        Self::quiet_of(self.setting)
    }

    /// The same of a setting.
    pub(super) fn quiet_of(setting: Setting) -> u32 {
        10 * window_power_min(setting) as u32
    }

    /// Takes the next windows, `count` of them.
    #[inline(always)]
    pub(super) fn step(&mut self, measures: &Measures, count: usize, emit: &mut impl FnMut(Event)) {
        if self.begins_block() {
            self.learn();
        }
        self.take(measures, count, emit);
    }

    /// The same when [`Judge::learn`] has been seen to.
    #[inline(always)]
    pub(super) fn take(&mut self, measures: &Measures, count: usize, emit: &mut impl FnMut(Event)) {
        let windows = self.surplus(measures);
        if count == BLOCK
            && let Some(bar) = self.bar()
            && !windows.into_iter().any(|surplus| bar.is_met(surplus))
        {
            let [rows, columns] = &measures.loudest;
            self.pass(measures.roots, [rows[BLOCK - 1], columns[BLOCK - 1]]);
        } else {
            self.windows(measures, &windows[..count], emit);
        }
    }

    /// What the next block's windows are held against, if a whole block comes next and nothing is going on.
    #[inline(always)]
    pub(super) fn bar(&self) -> Option<Bar> {
        (self.begins_block() && !self.is_busy()).then(|| Bar {
            floor: window_power_min(self.setting),
            excuse: self.background.excuse(),
            earlier: self.energy_of(0).squares()[0],
        })
    }

    /// Takes a whole block in which nothing meets the bar, as in most of a call. Of its last window,
    /// `loudest` are the row and the column.
    #[inline(always)]
    pub(super) fn pass(&mut self, roots: [Roots; BLOCK], loudest: [i32; 2]) {
        self.hop += BLOCK as u32;
        self.idle = self.idle.saturating_add(BLOCK as u8);
        *self.block(0) = roots;
        self.loudest = loudest;
    }

    #[inline(never)]
    fn windows(&mut self, measures: &Measures, surplus: &[f32], emit: &mut impl FnMut(Event)) {
        for (at, &surplus) in surplus.iter().enumerate() {
            self.window(measures, at, surplus, emit);
        }
        self.loudest = measures.loudest.map(|tones| tones[surplus.len() - 1]);
    }

    #[inline(never)]
    fn window(
        &mut self,
        measures: &Measures,
        at: usize,
        surplus: f32,
        emit: &mut impl FnMut(Event),
    ) {
        self.hop += 1;
        let place = (self.hop as usize - 1) % BLOCK;
        self.block(0)[place] = measures.roots[at];
        let stands_out = surplus + self.background.excuse() >= 0.0;
        if stands_out || self.is_busy() {
            self.attend(stands_out, measures, at, emit);
        }
        let idle = !self.is_down() && self.trail.run.windows < 2;
        if !idle && usize::from(self.idle) >= PAUSE_HOPS && usize::from(self.idle) < 2 * BLOCK {
            // A short pause ends. It had no block to itself, but the 20 ms before the edge's window.
            let hops = [4, 5, 6, 7].map(|back| self.energy_of(back));
            self.background.look(hops);
        }
        self.idle = if idle { self.idle.saturating_add(1) } else { 0 };
    }

    /// Whether a key is down or a run is under way.
    #[inline(always)]
    fn is_busy(&self) -> bool {
        (self.trail.run.windows > 0) | self.is_down()
    }

    #[inline(always)]
    fn is_down(&self) -> bool {
        self.key.is_some_and(|key| key.is_down)
    }

    /// As a block begins, shows the background the block before the last, which may hold an onset, unless in
    /// either a key was there or what may become one.
    #[inline(always)]
    pub(super) fn learn(&mut self) {
        if usize::from(self.idle) >= 2 * BLOCK {
            let before = *self.block(1);
            self.background.look(before);
        }
    }

    /// Energies of the block that the last hop is in, or of one before it.
    #[inline(always)]
    fn block(&mut self, back: usize) -> &mut [Roots; BLOCK] {
        let at = (self.hop.wrapping_sub(1) as usize / BLOCK).wrapping_sub(back);
        &mut self.energy[at % BLOCKS]
    }

    /// The energies of the hop `back` hops ago.
    #[inline(always)]
    fn energy_of(&self, back: u32) -> Roots {
        let at = self.hop.wrapping_sub(1 + back) as usize;
        self.energy[at / BLOCK % BLOCKS][at % BLOCK]
    }

    /// [`Bar::surplus`] of each window.
    #[inline(always)]
    fn surplus(&self, measures: &Measures) -> [f32; HOPS_MAX] {
        let floor = window_power_min(self.setting);
        let [rows, columns] = &measures.loudest;
        let [first, second, third, _] = measures.roots;
        let earlier = [self.energy_of(0), first, second, third];
        std::array::from_fn(|at| {
            let energy = measures.roots[at].squares()[0] + earlier[at].squares()[0];
            Bar::surplus(floor, [rows[at], columns[at]], energy)
        })
    }

    /// A window in which something is going on.
    #[inline(never)]
    fn attend(
        &mut self,
        stands_out: bool,
        measures: &Measures,
        at: usize,
        emit: &mut impl FnMut(Event),
    ) {
        let now = &measures.tones[at];
        if self.is_down() {
            self.follow(now, emit);
        }
        if stands_out || self.trail.run.windows > 0 {
            let before = match at {
                0 => self.loudest,
                at => measures.loudest.map(|tones| tones[at - 1]),
            };
            self.trail.track(self.hop, stands_out, now, before);
            if !stands_out || self.trail.run.waiting > 0 || self.trail.run.windows < 2 {
                return;
            }
            if self.is_same_press(self.trail.run.peak.map(f32::from)) {
                self.prolong();
            } else if self.trail.run.windows >= WEIGH_WINDOWS {
                self.weigh(emit);
            }
        }
    }

    /// Watches the key that is down go up.
    #[inline(never)]
    fn follow(&mut self, now: &[[i16; 2]; 8], emit: &mut impl FnMut(Event)) {
        let Some(key) = &mut self.key else { return };
        let powers = [key.digit.row(), key.digit.column()].map(|i| power(now[i]));
        let most = |tones: &[[i16; 2]]| tones.iter().copied().map(power).fold(0, i32::max);
        key.follow(self.hop, powers, [most(&now[..4]), most(&now[4..])]);
        if key.absent * HOP_MS as f32 >= END_MS {
            self.release(u64::MAX, emit);
        }
    }

    /// Where the key's tone ended, in stream time.
    fn end_ms(&self, key: &Key) -> f64 {
        self.centre_ms(key.last_hop) - HALF_WINDOW_MS + HOP_MS * f64::from(key.tail)
    }

    /// Key up, at `most` if it is not known to have ended sooner.
    #[inline(never)]
    fn release(&mut self, most: u64, emit: &mut impl FnMut(Event)) {
        let Some(key) = self.key.filter(|key| key.is_down) else {
            return;
        };
        self.key = Some(Key {
            is_down: false,
            ..key
        });
        emit(Event::KeyUp {
            digit: key.digit,
            start: key.start,
            end: self.sample(self.end_ms(&key)).min(most).max(key.start),
            decided: self.heard(),
        });
    }

    /// Whether the run, whose tones have that `amplitude`, only carries on the key that just went up.
    fn is_same_press(&self, amplitude: [f32; 2]) -> bool {
        self.key.is_some_and(|key| {
            !key.is_down
                && key.digit == Digit::nth(self.trail.run.pair)
                && self.run_start_ms(amplitude) < self.end_ms(&key) + SAME_PRESS_MS
        })
    }

    /// The key that went up is still being pressed: whatever comes after has to wait for its end, which
    /// is half a window after the last that is all tone at the soonest. Noise in the pause is no press.
    fn prolong(&mut self) {
        let peak = self.trail.run.peak.map(f32::from);
        let is_heard = |key: &Key| (0..2).all(|i| peak[i] >= ECHO * key.amplitude[i]);
        if let Some(key) = self.key.as_mut().filter(|key| is_heard(key)) {
            key.last_hop = self.hop;
            key.tail = 1.5;
        }
    }

    /// Where the run's tone began, in stream time.
    fn run_start_ms(&self, amplitude: [f32; 2]) -> f64 {
        let early =
            [self.trail.run.edge, self.trail.run.first].map(|a| f64::from(presence(a, amplitude)));
        self.centre_ms(self.trail.run.first_hop) + HALF_WINDOW_MS - HOP_MS * (early[0] + early[1])
    }

    /// Decides whether the run is a key by now.
    #[inline(never)]
    fn weigh(&mut self, emit: &mut impl FnMut(Event)) {
        let run = &self.trail.run;
        let digit = Digit::nth(run.pair);
        if self
            .key
            .is_some_and(|key| key.is_down && key.digit == digit)
        {
            return;
        }
        let limits = Limits::of(self.setting);
        let energy_of = |back| self.energy_of(back);
        let found = self
            .trail
            .evidence(self.hop, energy_of, &self.background, limits);
        let Some((evidence, needs_ms)) = found else {
            return;
        };
        let [edge, first, last] = [run.edge, run.first, run.last]
            .map(|amplitude| presence(amplitude, evidence.amplitude));
        let windows = edge + first + f32::from(run.windows - 2) + run.partial + last;
        if windows * (HOP_MS as f32) < needs_ms {
            return;
        }
        let start = self.sample(self.run_start_ms(evidence.amplitude));
        self.release(start, emit);
        self.key = Some(Key {
            start,
            last_hop: self.hop,
            digit,
            is_down: true,
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
        Decimator::of(self.rate).samples_before(self.hop)
    }
}
