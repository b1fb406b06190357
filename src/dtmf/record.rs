//! What a detector has measured lately, to be judged once more with another setting: the sums of
//! each hop, not the audio, so that a second look costs no filter and no tone.
//!
//! [`Detector::push_recorded`](super::Detector::push_recorded) fills a record while it listens; a
//! detector without one pays nothing. The sums are those of the laxest setting, which hears the
//! softest windows; a stricter one gets its own by taking tones away, to the bit as it would have
//! measured them.

use zeroize::Zeroize as _;

use super::digit::Judge;
use super::kernel::{Decimator, HOPS_MAX, Measures, power};
use super::roots::Roots;
use super::{Event, Setting};
use crate::audio::SampleRate;

/// Most hops that are kept: 10 s.
pub const RECORD_HOPS: usize = 2000;
/// Most that a record may take, its few numbers aside: 40 bytes a hop.
pub const RECORD_BYTES: usize = 80_000;
const _: () = assert!(RECORD_HOPS * (size_of::<Tones>() + size_of::<Energies>()) <= RECORD_BYTES);
/// Whole blocks, or the oldest would not begin one.
const _: () = assert!(RECORD_HOPS.is_multiple_of(HOPS_MAX));

/// As [`Measures::tones`] has them.
type Tones = [[i16; 2]; 8];
/// [`Measures::energy`] and the bits of [`Measures::roots`].
type Energies = [u32; 2];

/// The last [`RECORD_HOPS`] hops of one stream: two rings, allocated at once and wiped in the end, as
/// the sums tell which keys were pressed.
pub struct Record {
    tones: Box<[Tones]>,
    energies: Box<[Energies]>,
    /// Hops that are there, and the stream's number of the next one.
    len: usize,
    next: u32,
}

impl Record {
    /// An empty one.
    pub fn new() -> Record {
        Record {
            tones: vec![[[0; 2]; 8]; RECORD_HOPS].into_boxed_slice(),
            energies: vec![[0; 2]; RECORD_HOPS].into_boxed_slice(),
            len: 0,
            next: 0,
        }
    }

    /// Hears what is there with `setting`, as a detector would that begins with the first hop of it;
    /// calls `emit` for each event, in order. Positions are those of the recorded stream.
    pub fn judge(&self, rate: SampleRate, setting: Setting, mut emit: impl FnMut(Event)) {
        let mut judge = Judge::resume(rate, setting, self.first());
        let quiet = judge.quiet();
        let mut before = 0;
        let mut hop = self.first();
        while hop != self.next {
            // Whole blocks where the stream had them.
            let left = (self.next - hop) as usize;
            let count = if hop.is_multiple_of(HOPS_MAX as u32) && left >= HOPS_MAX {
                HOPS_MAX
            } else {
                1
            };
            let mut measures = self.measures(hop, count);
            let loud = measures.loud(count, before, quiet);
            measures.hush(count, loud);
            before = measures.energy[count - 1];
            judge.step(&measures, count, &mut emit);
            hop += count as u32;
        }
    }

    /// Sample of the stream where the record begins.
    pub fn begins(&self, rate: SampleRate) -> u64 {
        Decimator::of(rate).samples_before(self.first())
    }

    /// Takes in `count` hops, the first of which has number `hop` of its stream. What does not follow
    /// the last one begins a new record.
    pub(super) fn add(&mut self, hop: u32, measures: &Measures, count: usize) {
        if hop != self.next {
            (self.len, self.next) = (0, hop);
        }
        for at in 0..count {
            let place = self.next as usize % RECORD_HOPS;
            self.tones[place] = measures.tones[at];
            self.energies[place] = [measures.energy[at], measures.roots[at].bits()];
            self.next = self.next.wrapping_add(1);
            self.len = RECORD_HOPS.min(self.len + 1);
        }
    }

    fn first(&self) -> u32 {
        self.next.wrapping_sub(self.len as u32)
    }

    /// `count` hops from number `hop` on.
    fn measures(&self, hop: u32, count: usize) -> Measures {
        let mut measures = Measures::default();
        for at in 0..count {
            let place = (hop as usize + at) % RECORD_HOPS;
            let tones = &self.tones[place];
            let [energy, roots] = self.energies[place];
            measures.tones[at] = *tones;
            measures.energy[at] = energy;
            measures.roots[at] = Roots::from_bits(roots);
            let most = |tones: &[[i16; 2]]| tones.iter().copied().map(power).fold(0, i32::max);
            measures.loudest[0][at] = most(&tones[..4]);
            measures.loudest[1][at] = most(&tones[4..]);
        }
        measures
    }
}

impl Default for Record {
    fn default() -> Record {
        Record::new()
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record(_)")
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.tones.zeroize();
        self.energies.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tone::{Tone, to_pcm16};
    use super::super::{Detector, Digit, Width};
    use super::*;
    use proptest::prelude::*;

    /// Keys at any level the settings differ on, noise and silence, as `seed` decides.
    fn audio(rate: SampleRate, seed: u64, parts: usize) -> Vec<i16> {
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut line = Vec::new();
        for _ in 0..parts {
            let start = line.len();
            line.resize(
                start + rate.hz() as usize / 9 + (random() % 97) as usize,
                0.0,
            );
            let part = &mut line[start..];
            match random() % 5 {
                0 => part
                    .iter_mut()
                    .for_each(|x| *x = (random() % 2001) as f64 - 1000.0),
                1 => part
                    .iter_mut()
                    .for_each(|x| *x = (random() % 61) as f64 - 30.0),
                _ => {
                    let key = Digit::nth((random() % 16) as u8);
                    let level = -10.0 - (random() % 40) as f64;
                    let tone = Tone {
                        deviation: [(random() % 50) as f64 / 2000.0; 2],
                        ..Tone::new(key, level).twist((random() % 14) as f64 - 7.0)
                    };
                    tone.add_to(part, rate, 0.01, 0.07);
                }
            }
        }
        to_pcm16(&line)
    }

    fn heard(detector: &mut Detector, pieces: &[&[i16]], record: &mut Record) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in pieces {
            detector.push_recorded(piece, record, |event| events.push(event));
        }
        events
    }

    fn judged(record: &Record, rate: SampleRate, setting: Setting) -> Vec<Event> {
        let mut events = Vec::new();
        record.judge(rate, setting, |event| events.push(event));
        events
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a24_the_record_says_what_the_stream_said(
            seed in any::<u64>(),
            rate in proptest::sample::select(SampleRate::ALL.to_vec()),
            cut in 1usize..2000,
            whole in any::<bool>(),
        ) {
            let audio = audio(rate, seed, 12);
            let frame = rate.hz() as usize / 50;
            let pieces: Vec<&[i16]> = audio.chunks(if whole { frame } else { cut }).collect();
            for setting in [Setting::Standard, Setting::Lenient] {
                let mut plain = Vec::new();
                Detector::new(rate, setting).push(&audio, |event| plain.push(event));
                for &width in Width::available() {
                    let mut detector = Detector::with_width(rate, setting, width);
                    let mut record = Record::new();
                    // Recording changes nothing of what is heard,
                    prop_assert_eq!(&heard(&mut detector, &pieces, &mut record), &plain);
                    // and what was heard by either setting can be had again.
                    prop_assert_eq!(&judged(&record, rate, setting), &plain);
                    let other = if setting == Setting::Standard { Setting::Lenient } else { Setting::Standard };
                    let mut again = Vec::new();
                    Detector::new(rate, other).push(&audio, |event| again.push(event));
                    prop_assert_eq!(&judged(&record, rate, other), &again);
                }
            }
        }
    }

    #[test]
    fn a24_the_settings_differ_on_that_audio() {
        let mut counts = [0; 2];
        for seed in 1..30 {
            let rate = SampleRate::Hz16000;
            let mut record = Record::new();
            let mut detector = Detector::new(rate, Setting::Standard);
            counts[0] += heard(&mut detector, &[&audio(rate, seed * 7919, 12)], &mut record).len();
            counts[1] += judged(&record, rate, Setting::Lenient).len();
        }
        assert!(counts[0] > 100 && counts[1] > counts[0] + 40, "{counts:?}");
    }

    /// A key that goes on too softly for the standard setting, and not for the other: windows whose tones
    /// only the other may see.
    #[test]
    fn a24_softer_windows_do_not_reach_a_stricter_setting() {
        let mut seen = 0;
        for rate in SampleRate::ALL {
            for (drop, key) in (2..14).zip(Digit::all()) {
                let mut line = vec![0.0; rate.hz() as usize / 2];
                Tone::new(key, -39.0).add_to(&mut line, rate, 0.1, 0.08);
                Tone::new(key, -39.0 - f64::from(drop)).add_to(&mut line, rate, 0.18, 0.1);
                let audio = to_pcm16(&line);
                let mut plain = Vec::new();
                Detector::new(rate, Setting::Standard).push(&audio, |event| plain.push(event));
                for frame in [rate.hz() as usize / 50, 77] {
                    let pieces: Vec<&[i16]> = audio.chunks(frame).collect();
                    let mut record = Record::new();
                    let mut detector = Detector::new(rate, Setting::Standard);
                    assert_eq!(heard(&mut detector, &pieces, &mut record), plain);
                    assert_eq!(judged(&record, rate, Setting::Standard), plain);
                }
                seen += plain.len();
            }
        }
        assert_eq!(seen, 4 * 12 * 2);
    }

    #[test]
    fn a24_a_record_keeps_the_last_ten_seconds() {
        let rate = SampleRate::Hz8000;
        let key = |digit| {
            let mut line = vec![0.0; 8000];
            let digit = Digit::from_char(digit).expect("a key");
            Tone::new(digit, -10.0).add_to(&mut line, rate, 0.5, 0.1);
            to_pcm16(&line)
        };
        let (one, other) = (key('1'), key('2'));
        let mut record = Record::new();
        let mut detector = Detector::new(rate, Setting::Standard);
        let mut audio = one.clone();
        (0..10).for_each(|_| audio.extend(&other));
        heard(&mut detector, &[&audio], &mut record);
        let starts: Vec<(char, u64)> = judged(&record, rate, Setting::Standard)
            .into_iter()
            .filter_map(|event| match event {
                Event::KeyDown { digit, start, .. } => Some((digit.as_char(), start / 8000)),
                Event::KeyUp { .. } => None,
            })
            .collect();
        let expected: Vec<(char, u64)> = (1..11).map(|second| ('2', second)).collect();
        assert_eq!(starts, expected);
        assert_eq!(record.begins(rate), 8000);
        assert_eq!(record.tones.len(), RECORD_HOPS);
        // A stream that went on without the record begins a new one.
        detector.push(&one, |_| {});
        heard(&mut detector, &[&one], &mut record);
        assert_eq!(record.begins(rate), 12 * 8000);
        assert_eq!(judged(&record, rate, Setting::Standard).len(), 2);
        assert_eq!(format!("{record:?}"), "Record(_)");
    }
}
