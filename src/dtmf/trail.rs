//! From window to window: which pair stands out, whether it carries on a run, and the run's tones, which
//! [`evidence`](super::evidence) weighs. Whether a run is a key is for [`digit`](super::digit) to say.

use super::background::Background;
use super::evidence::{Evidence, Interval, NEIGHBOURS, Sums};
use super::kernel::power;
use super::limits::{Limits, Voice};
use super::roots::Roots;
use super::run::{NONE, PAIR_HYSTERESIS, Run, presence, root};

/// Windows that are remembered: 50 ms, the shortest key and an interruption.
pub(super) const MEMORY: usize = 10;
/// Windows before a run holds on to its pair; before it waits while another pair stands out; and
/// before it waits while none does, or its own is softer: an interruption after 15 ms.
const HOLD_PAIR: u16 = 3;
const HOLD_RUN: u16 = 4;
const HOLD_DIP: u16 = 2;
/// Windows that a run waits: 10 ms blank two windows and dim one on either side.
const WAIT_WINDOWS: u8 = 3;
/// Windows that a hole too short for one to be empty can have touched.
const HOLE_WINDOWS: usize = 2;
/// Intervals that must have been summed: 15 ms of phase.
const INTERVALS_MIN: f32 = 3.0;
/// Presence before the run up to which it began with its first window.
const BEGAN: f32 = 0.9;
/// Windows within which a key is heard, whatever the background: 45 ms. None that must be heard needs more
/// than eight.
const SOON_WINDOWS: u16 = 9;
/// Windows within which a key of which only some intervals are steady is heard.
const STEADY_WINDOWS: u16 = 8;
/// Part of a tone that its window lets through to the other's, from window to window: a Hann window's
/// side lobes, twice. The latter of [`NEIGHBOURS`].
const LEAK: [f32; 2] = [0.012, 0.03];

/// A run and what was heard in it.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    pub(super) run: Run,
    /// The run's tones in each window: a ring, of which `newest` is the place of the last window.
    tones: [[[i16; 2]; 2]; MEMORY],
    newest: u8,
    /// Bit `n`: `n` windows ago the run's pair stood out, undisturbed.
    fits: u16,
    /// The run took the place of one of a single window, before which there was nothing: half of a window
    /// names a neighbour as easily.
    sudden: bool,
}

impl Trail {
    pub(super) const EMPTY: Self = Self {
        run: Run::EMPTY,
        tones: [[[0; 2]; 2]; MEMORY],
        newest: 0,
        fits: 0,
        sudden: false,
    };

    /// Takes in window number `hop`: carries the run on, lets it wait, or begins another. `before` are
    /// the loudest powers of the window before.
    #[inline(never)]
    pub(super) fn track(
        &mut self,
        hop: u32,
        stands_out: bool,
        now: &[[i16; 2]; 8],
        before: [i32; 2],
    ) {
        let powers = now.map(power);
        let [row, column] = self.strongest(&powers);
        let amplitude = [powers[row], powers[column]].map(root);
        let pair = if stands_out {
            (row * 4 + column - 4) as u8
        } else {
            NONE
        };
        self.newest = if self.newest == 0 {
            MEMORY as u8
        } else {
            self.newest
        } - 1;
        self.tones[usize::from(self.newest)] = [now[row], now[column]];
        self.fits <<= 1;

        let own = pair == self.run.pair;
        let fits = own && pair != NONE && self.run.fits(amplitude);
        // A run that lasts is a key by now, or must be pure.
        let hole = if fits && self.run.windows <= SOON_WINDOWS {
            self.hole(amplitude)
        } else {
            0
        };
        let run = &mut self.run;
        let hold = if pair == NONE || (own && run.dips(amplitude)) {
            HOLD_DIP
        } else {
            HOLD_RUN
        };
        let overrun = pair != NONE && run.is_outdone(amplitude);
        if fits {
            // Half of this window may be interruption: then no interval begins or ends in it.
            if run.is_onset(amplitude) {
                self.fits = 0;
            }
            self.fits &= !hole;
            self.fits |= u16::from(run.is_whole(amplitude));
            run.windows = run.windows.saturating_add(1);
            run.waiting = 0;
            run.last = amplitude;
            run.peak = [run.peak[0].max(amplitude[0]), run.peak[1].max(amplitude[1])];
        } else if run.windows >= hold && run.waiting < WAIT_WINDOWS && !overrun {
            let amplitude = run.tones().map(|i| root(powers[i]));
            run.waiting += 1;
            run.partial += presence(amplitude, run.last.map(f32::from));
        } else if pair == NONE {
            *run = Run::EMPTY;
            self.fits = 0;
        } else {
            self.fits = 1;
            self.sudden = run.windows == 1 && presence(run.edge, amplitude.map(f32::from)) == 0.0;
            *run = Run {
                first_hop: hop,
                pair,
                windows: 1,
                edge: before.map(root),
                first: amplitude,
                last: amplitude,
                peak: amplitude,
                ..Run::EMPTY
            };
        }
    }

    /// Which of the last windows, as [`Trail::fits`] has them, a hole touched that ends with one of this
    /// `amplitude`: two that are alike might pass for a step.
    fn hole(&self, amplitude: [u16; 2]) -> u16 {
        let touched = |back: &usize| {
            let earlier = self.tones[self.place(*back)].map(|z| root(power(z)));
            self.run.is_hole(earlier, amplitude)
        };
        (1..=HOLE_WINDOWS)
            .take_while(touched)
            .fold(0, |bits, back| bits | 1 << back)
    }

    /// The loudest row and column; a run's own pair if they are close, once it is settled, or sooner
    /// where a hole spreads what there is.
    fn strongest(&self, powers: &[i32; 8]) -> [usize; 2] {
        let louder = |best: usize, i: usize| if powers[i] > powers[best] { i } else { best };
        let mut best = [(1..4).fold(0, louder), (5..8).fold(4, louder)];
        if self.run.windows < HOLD_DIP {
            return best;
        }
        let own = self.run.tones();
        if self.run.windows >= HOLD_PAIR || self.run.is_dim(own.map(|i| root(powers[i]))) {
            for i in 0..2 {
                if powers[own[i]] as f32 >= PAIR_HYSTERESIS * powers[best[i]] as f32 {
                    best[i] = own[i];
                }
            }
        }
        best
    }

    /// What the run says by now, and the duration in milliseconds that it needs then. If all of it is no
    /// key, the intervals in which nothing changes may be: those before and after an echo's step.
    pub(super) fn evidence(
        &self,
        hop: u32,
        energy_of: impl Fn(u32) -> Roots,
        background: &Background,
        limits: &Limits,
    ) -> Option<(Evidence, f32)> {
        [false, true].into_iter().find_map(|only_steady| {
            let sums = self.sums(hop, only_steady, &energy_of);
            if sums.intervals < INTERVALS_MIN {
                return None;
            }
            let evidence = Evidence::weigh(&sums, self.run.tones(), background);
            if !self.is_believed(&evidence, only_steady, &limits.voice) {
                return None;
            }
            Some((evidence, evidence.needs_ms(limits)?))
        })
    }

    /// Before keys there is silence or a background, they are heard soon, and they are steady: any other must
    /// be beyond doubt.
    fn is_believed(&self, evidence: &Evidence, only_steady: bool, voice: &Voice) -> bool {
        let began = self.sudden || presence(self.run.edge, evidence.amplitude) <= BEGAN;
        let sets_in = began || evidence.has_background();
        if self.run.windows > SOON_WINDOWS || !sets_in {
            evidence.is_pure(&voice.pure)
        } else if only_steady {
            self.run.windows <= STEADY_WINDOWS && evidence.is_pure(&voice.pure_steady)
        } else {
            true
        }
    }

    /// Sums over the run's intervals within memory. The first window may have caught only the end
    /// of the onset, so the first interval is left out. `energy_of` knows the energies of the hop so many
    /// hops ago.
    fn sums(&self, hop: u32, only_steady: bool, energy_of: impl Fn(u32) -> Roots) -> Sums {
        let leak = LEAK[usize::from(self.run.tones() == NEIGHBOURS)];
        let mut sums = Sums::default();
        let reach = (hop - self.run.first_hop)
            .saturating_sub(1)
            .min(MEMORY as u32 - 1) as usize;
        for back in 0..reach {
            if self.fits >> back & 3 == 3 {
                let interval = Interval {
                    now: self.tones[self.place(back)],
                    before: self.tones[self.place(back + 1)],
                    energy: energy_of(back as u32).squares(),
                    leak,
                };
                if !only_steady || interval.is_steady() {
                    sums.add(&interval);
                }
            }
        }
        sums
    }

    /// Place in the rings of the window before the last by `back`.
    #[inline(always)]
    fn place(&self, back: usize) -> usize {
        let at = usize::from(self.newest) + back;
        if at >= MEMORY { at - MEMORY } else { at }
    }
}
