//! Keys in call audio: a streaming DTMF detector, and the generator to test it with.
//!
//! ```text
//! samples → decimate to 8 kHz → 8 windowed tone sums + 2 energies, every 5 ms → judge → events
//!           kernel / simd       kernel / simd            (integers up to here)    digit
//! ```
//!
//! [`Detector`] hears one stream of PCM16 or G.711 at 8, 16, 24 or 48 kHz, in pieces of any length,
//! and reports key down and key up in stream time. It meets the receiver limits of ITU-T Q.24 and
//! ETSI ES 201 235-3 with margin and stays silent in speech; `tests/dtmf` prints the figures.
//!
//! # Contract
//!
//! - Pure: no clock, no allocation, no logging, no panic on any input.
//! - The same events, bit for bit, for every way to cut the stream, and for every vector width.
//! - One key down for each press, then one key up, never overlapping; a stream that ends in the
//!   middle of a press has no key up for it.
//! - At most [`STATE_BYTES`] for a stream, and one table of 1,280 bytes for all.
//!
//! # Where to read
//!
//! [`goertzel`] is the textbook and derives the block form from it. [`kernel`] is that form, plain:
//! the oracle. `simd` and `wide` (with the filters in `taps`, the tones in `bank`) are the same for wider
//! machines. `digit` has the debounce rule as a table (`trail` and `run` its memory, `bar` what is asked
//! first), `evidence` what a run amounts to, `limits` every threshold with its reason, `background` what hum
//! and noise excuse, told by the energies in `roots`. `record` keeps sums for a second look. [`tone`] is the generator.
//!
//! Not here: reading files and base64 (`audio`), what the digits mean (`gate`).

mod background;
#[cfg(target_arch = "x86_64")]
mod bank;
mod bar;
mod digit;
mod evidence;
pub mod goertzel;
pub mod kernel;
mod limits;
mod record;
mod roots;
mod run;
mod simd;
#[cfg(target_arch = "x86_64")]
mod taps;
pub mod tone;
mod trail;
#[cfg(target_arch = "x86_64")]
mod wide;

use crate::audio::SampleRate;
use crate::audio::g711::Law;
use digit::Judge;
use kernel::{Decimator, HOP, HOPS_MAX, Measures, TAPS_MAX, Tail, is_soft};
pub use record::{RECORD_BYTES, RECORD_HOPS, Record};
#[doc(hidden)]
pub use simd::Width;
use std::num::NonZeroU8;

/// The tones of ITU-T Q.23 in Hz: four rows, then four columns.
pub const FREQUENCIES_HZ: [f64; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

/// One of the sixteen keys. Its label is the caller's secret as soon as it is part of a code, so
/// there is no `Display`, and `Debug` does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(NonZeroU8);

/// The keypad of Q.23, row by row.
const KEYPAD: &[u8; 16] = b"123A456B789C*0#D";

impl Digit {
    /// All sixteen, row by row.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16).map(Self::nth)
    }

    /// Number `at` of all, which are counted from one so that an absent digit takes no room.
    const fn nth(at: u8) -> Self {
        Self(NonZeroU8::MIN.saturating_add(at))
    }

    /// Its place in [`KEYPAD`].
    const fn place(self) -> u8 {
        self.0.get() - 1
    }

    /// The key with this label; letters in either case.
    pub fn from_char(label: char) -> Option<Self> {
        let label = label.to_ascii_uppercase();
        KEYPAD
            .iter()
            .position(|&key| char::from(key) == label)
            .map(|at| Self::nth(at as u8))
    }

    /// The key's label.
    pub fn as_char(self) -> char {
        char::from(KEYPAD[usize::from(self.place())])
    }

    /// Its low and its high tone in Hz.
    pub fn frequencies_hz(self) -> [f64; 2] {
        [FREQUENCIES_HZ[self.row()], FREQUENCIES_HZ[self.column()]]
    }

    /// Index of the low tone in [`FREQUENCIES_HZ`].
    fn row(self) -> usize {
        usize::from(self.place() / 4)
    }

    /// Index of the high tone.
    fn column(self) -> usize {
        4 + usize::from(self.place() % 4)
    }
}

impl std::fmt::Debug for Digit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digit(_)")
    }
}

/// How strictly to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The standards' box, quiet in speech: for every call.
    Standard,
    /// Softer, more distorted and further off keys too. Only for the gate's second look at audio in
    /// which a caller is known to have dialled; it mistakes speech for keys far more often.
    Lenient,
}

/// What was measured of a key, over its first 30 to 50 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Levels of the low and the high tone in dBm0, a full-scale sine being +3.14; to 0.3 dB on a
    /// clean line.
    pub level_dbm0: [f32; 2],
    /// Deviations of the low and the high tone from nominal as a ratio: 0.01 is 1 % sharp.
    pub deviation: [f32; 2],
    /// Power of the tones over that of everything else up to 4 kHz, in dB and at most 20: a rough
    /// figure from a few hops. Above 10 it only says that there is little else.
    pub snr_db: f32,
}

impl Quality {
    /// Level of the high tone over that of the low one, dB (Q.24's sign: -8 to +4 is the box).
    pub fn twist_db(&self) -> f32 {
        self.level_dbm0[1] - self.level_dbm0[0]
    }
}

/// What the detector heard. All positions are samples from the start of the stream, at its own
/// rate; [`SampleRate::millis`] turns them into time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A key went down and is one beyond doubt.
    KeyDown {
        /// Which key.
        digit: Digit,
        /// Where its tone began; to 2 ms.
        start: u64,
        /// Samples that had been heard when it was decided: a multiple of 5 ms.
        decided: u64,
        /// What was measured of it.
        quality: Quality,
    },
    /// The key that was down went up.
    KeyUp {
        /// Which key.
        digit: Digit,
        /// Where its tone began: ties this event to its [`Event::KeyDown`].
        start: u64,
        /// Where its tone ended; to 3 ms, and to 8 where another key follows within 20 ms.
        end: u64,
        /// Samples that had been heard when it was decided.
        decided: u64,
    },
}

/// Most that one stream's detector may take.
pub const STATE_BYTES: usize = 512;
const _: () = assert!(size_of::<Detector>() <= STATE_BYTES);
const _: () = assert!(size_of::<kernel::Twiddles>() <= 8 * 1024);

/// Finds keys in one stream.
///
/// ```
/// use tonegate::audio::SampleRate;
/// use tonegate::dtmf::{Detector, Event, Setting, tone};
///
/// let rate = SampleRate::Hz16000;
/// let audio = tone::sequence("42#", rate, &tone::Pace::default())?;
/// let mut detector = Detector::new(rate, Setting::Standard);
/// let mut heard = String::new();
/// for frame in audio.chunks(320) {
///     detector.push(frame, |event| {
///         if let Event::KeyDown { digit, .. } = event {
///             heard.push(digit.as_char());
///         }
///     });
/// }
/// assert_eq!(heard, "42#");
/// # Ok::<(), tone::NotAKey>(())
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    tail: Tail,
    /// 8 kHz samples of a hop that comes in pieces: the first `filled`.
    pieces: [i16; HOP],
    filled: u8,
    /// How much of the tail's held samples is there: at a hop's start exactly the filter's history.
    held_len: u8,
    /// The pieces are not all silent.
    loud: bool,
    width: Width,
    judge: Judge,
}

impl Detector {
    /// A detector for a stream that begins now.
    pub fn new(rate: SampleRate, setting: Setting) -> Self {
        Self::with_width(rate, setting, Width::best())
    }

    /// The same with a kernel of one's own choice, for tests and benches: all hear the same.
    #[doc(hidden)]
    pub fn with_width(rate: SampleRate, setting: Setting, width: Width) -> Self {
        Self {
            tail: Tail::EMPTY,
            pieces: [0; HOP],
            filled: 0,
            held_len: Decimator::of(rate).history() as u8,
            loud: false,
            width,
            judge: Judge::new(rate, setting),
        }
    }

    /// Hears the next samples, however many; calls `emit` for each event, in order.
    pub fn push(&mut self, samples: &[i16], mut emit: impl FnMut(Event)) {
        self.listen(samples, None, &mut emit);
    }

    /// The same, and what is measured goes into `record`.
    pub fn push_recorded(
        &mut self,
        samples: &[i16],
        record: &mut Record,
        mut emit: impl FnMut(Event),
    ) {
        self.listen(samples, Some(record), &mut emit);
    }

    /// Inlined, so that who records nothing asks for no record.
    #[inline(always)]
    fn listen(
        &mut self,
        mut samples: &[i16],
        mut record: Option<&mut Record>,
        emit: &mut impl FnMut(Event),
    ) {
        let filter = Decimator::of(self.judge.rate());
        let whole = HOPS_MAX * HOP * filter.factor;
        let own = self.judge.quiet();
        // A record is for any setting.
        let quiet = if record.is_some() {
            own.min(Judge::quiet_of(Setting::Lenient))
        } else {
            own
        };
        while !samples.is_empty() {
            let aligned = usize::from(self.held_len) == filter.history() && self.filled == 0;
            if aligned && samples.len() >= whole && self.judge.begins_block() {
                let (now, later) = samples.split_at(whole);
                samples = later;
                let (before, may_pass) = (self.tail.energy, record.is_none());
                let heard = self.width.hear(
                    filter,
                    &mut self.tail,
                    &mut self.judge,
                    now,
                    quiet,
                    may_pass,
                );
                let Some(mut measures) = heard else { continue };
                if let Some(record) = &mut record {
                    record.add(self.judge.hop(), &measures, HOPS_MAX);
                    measures.hush(HOPS_MAX, measures.loud(HOPS_MAX, before, own));
                }
                self.width.take(&mut self.judge, &measures, HOPS_MAX, emit);
                continue;
            }
            samples = self.fill(filter, samples);
            if usize::from(self.filled) == HOP {
                if !self.loud {
                    self.pieces = [0; HOP];
                }
                let mut measures = Measures::default();
                let before = self.tail.energy;
                self.width
                    .measure(&mut self.tail, &self.pieces, quiet, &mut measures);
                if let Some(record) = &mut record {
                    record.add(self.judge.hop(), &measures, 1);
                    measures.hush(1, measures.loud(1, before, own));
                }
                self.judge.step(&measures, 1, emit);
                (self.filled, self.loud) = (0, false);
            }
        }
    }

    /// Hears the next G.711 octets.
    pub fn push_g711(&mut self, law: Law, octets: &[u8], mut emit: impl FnMut(Event)) {
        let table = law.table();
        let mut samples = [0; 160]; // 20 ms at 8 kHz
        for piece in octets.chunks(samples.len()) {
            for (sample, &octet) in samples.iter_mut().zip(piece) {
                *sample = table[usize::from(octet)];
            }
            self.push(&samples[..piece.len()], &mut emit);
        }
    }

    /// The slower way, for pieces that are not whole hops: filters what the hop under way still needs
    /// of `samples` and returns the rest.
    fn fill<'a>(&mut self, filter: &Decimator, samples: &'a [i16]) -> &'a [i16] {
        let (at, held) = (usize::from(self.filled), usize::from(self.held_len));
        // Held samples beyond the filter's history already count towards the next output.
        let needed = (HOP - at) * filter.factor + filter.history() - held;
        let (now, later) = samples.split_at(needed.min(samples.len()));
        self.loud = self.loud || !is_soft(now);
        let have = held + now.len();
        let mut input = [0; TAPS_MAX - 1 + 6 * HOP];
        input[..held].copy_from_slice(&self.tail.held[..held]);
        input[held..have].copy_from_slice(now);
        let made = (have - filter.history()) / filter.factor;
        self.width
            .decimate(filter, &input[..have], &mut self.pieces[at..at + made]);
        let used = made * filter.factor;
        self.tail.held[..have - used].copy_from_slice(&input[used..have]);
        self.held_len = (have - used) as u8;
        self.filled += made as u8;
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys, noise, silence and clipping, in an order that `seed` decides.
    fn audio(rate: SampleRate, seed: u64) -> Vec<i16> {
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut line = Vec::new();
        for _ in 0..6 {
            let start = line.len();
            line.resize(
                start + rate.hz() as usize / 12 + (random() % 97) as usize,
                0.0,
            );
            match random() % 4 {
                0 => line[start..]
                    .iter_mut()
                    .for_each(|x| *x = (random() % 4001) as f64 - 2000.0),
                1 => line[start..]
                    .iter_mut()
                    .for_each(|x| *x = (random() % 61) as f64 - 30.0),
                kind => {
                    let key = Digit::nth((random() % 16) as u8);
                    let level = if kind == 2 { -3.0 } else { -34.0 };
                    tone::Tone::new(key, level).add_to(&mut line[start..], rate, 0.01, 0.05);
                }
            }
        }
        tone::to_pcm16(&line)
    }

    fn events(detector: &mut Detector, pieces: &[&[i16]]) -> Vec<Event> {
        let mut events = Vec::new();
        pieces
            .iter()
            .for_each(|piece| detector.push(piece, |event| events.push(event)));
        events
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn every_width_and_every_split_hear_the_same(
            seed in any::<u64>(),
            rate in proptest::sample::select(SampleRate::ALL.to_vec()),
            cuts in proptest::collection::vec(0usize..700, 1..40),
            lenient in any::<bool>(),
        ) {
            let setting = if lenient { Setting::Lenient } else { Setting::Standard };
            let audio = audio(rate, seed);
            let whole = events(&mut Detector::with_width(rate, setting, Width::Plain), &[&audio]);
            let mut pieces = Vec::new();
            let mut rest = &audio[..];
            for cut in cuts.into_iter().cycle().take(4000) {
                let (piece, later) = rest.split_at((cut + 1).min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            pieces.push(rest);
            for &width in Width::available() {
                let mut one = Detector::with_width(rate, setting, width);
                prop_assert_eq!(&events(&mut one, &[&audio]), &whole, "{:?}", width);
                let mut cut = Detector::with_width(rate, setting, width);
                prop_assert_eq!(&events(&mut cut, &pieces), &whole, "{:?} in pieces", width);
                // The whole state, not only what became of it.
                prop_assert_eq!(one.tail.hop, cut.tail.hop);
                prop_assert_eq!(one.tail.energy, cut.tail.energy);
                prop_assert_eq!(format!("{:?}", one.judge), format!("{:?}", cut.judge));
            }
        }

        #[test]
        fn nothing_panics_on_full_scale_rubbish(
            samples in proptest::collection::vec(
                prop_oneof![Just(i16::MIN), Just(i16::MAX), any::<i16>()], 0..3000),
            rate in proptest::sample::select(SampleRate::ALL.to_vec()),
        ) {
            for &width in Width::available() {
                let mut detector = Detector::with_width(rate, Setting::Lenient, width);
                events(&mut detector, &[&samples, &samples]);
            }
        }
    }

    #[test]
    fn the_generated_audio_has_keys_in_it() {
        let heard: usize = (1..40)
            .map(|seed| {
                let rate = SampleRate::Hz16000;
                let mut detector = Detector::new(rate, Setting::Standard);
                events(&mut detector, &[&audio(rate, seed * 7919)]).len()
            })
            .sum();
        assert!(
            heard > 40,
            "{heard} events: the properties above would compare nothing"
        );
    }

    #[test]
    fn a_digit_is_its_label_and_debug_does_not_tell() {
        let mut seen = 0;
        for digit in Digit::all() {
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
            assert_eq!(format!("{digit:?}"), "Digit(_)");
            seen += 1;
        }
        assert_eq!(seen, 16);
        assert_eq!(Digit::from_char('d').map(Digit::as_char), Some('D'));
        assert_eq!(Digit::from_char(','), None);
        assert_eq!(
            Digit::from_char('8').map(Digit::frequencies_hz),
            Some([852.0, 1336.0])
        );
    }
}
