//! Keys replaced by silence, before the model hears them.
//!
//! A key is known to be one some 30 to 45 ms after its tone began, so audio waits for [`DELAY`]
//! before it goes on: what the detector has decided by then can still be taken out, from its very
//! first sample. Messages go on as they came; only those with a key in them are decoded and encoded
//! anew, sample for sample as long as they were. What cannot be listened to goes nowhere.
//!
//! Samples are counted from the first message; the detector hears each exactly once, in order.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::audio::{self, Error, SampleRate};
use crate::dtmf::{Detector, Event, Setting};

/// How long audio waits: three messages of 20 ms. The detector decides within 50 ms of a tone's
/// beginning in 99 of 100 presses, from audio that has all been heard here when it does.
pub const DELAY: Duration = Duration::from_millis(60);
/// What goes before a key's beginning, which is told to 2 ms.
const BEFORE: Duration = Duration::from_millis(3);
/// What goes behind its end, which is told to 8 ms at the worst; and an echo of the key, which the
/// detector counts to it, begins within 24.
const BEHIND: Duration = Duration::from_millis(25);
/// Stretches of silence that are kept track of. The audio that waits has room for three keys; one
/// message may be longer, and then what lies between the last ones goes too.
const STRETCHES_MAX: usize = 32;
/// Most events of one message that are told. They are counted all the same.
const EVENTS_MAX: usize = 32;
/// Base64 characters decoded at once, which hold whole samples.
const PIECE: usize = 2048;
/// Empty buffers that are kept for what comes: as many as wait at once in messages of 20 ms.
const SPARES: usize = 4;
/// A buffer that grew beyond a message of 40 ms at 24 kHz is not kept.
const SPARE_BYTES: usize = 4096;

/// Audio on its way through.
#[derive(Debug)]
pub(super) struct Tones {
    detector: Detector,
    rate: SampleRate,
    /// Samples that the detector has heard.
    heard: u64,
    waiting: VecDeque<Waiting>,
    spares: Vec<Vec<u8>>,
    keys: Keys,
}

/// What is known of the keys in it.
#[derive(Debug, Default)]
struct Keys {
    stretches: VecDeque<Stretch>,
    /// Of the latest message.
    events: Vec<Event>,
    /// The first sample that has not gone on.
    gone: u64,
    masked: u64,
    masked_late: u64,
}

/// The base64 of one message, and which samples it holds.
#[derive(Debug)]
struct Waiting {
    text: Vec<u8>,
    start: u64,
    end: u64,
}

/// Samples that are to be silent. Without an end the key is still down.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: u64,
    end: Option<u64>,
}

impl Tones {
    pub(super) fn new(rate: SampleRate) -> Tones {
        Tones {
            detector: Detector::new(rate, Setting::Standard),
            rate,
            heard: 0,
            waiting: VecDeque::new(),
            spares: Vec::new(),
            keys: Keys::default(),
        }
    }

    /// Keys of the latest message.
    pub(super) fn events(&self) -> &[Event] {
        &self.keys.events
    }

    /// A message begins.
    pub(super) fn forget(&mut self) {
        self.keys.events.clear();
    }

    /// Keys so far, and those whose beginning had gone on before they were known.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.keys.masked, self.keys.masked_late)
    }

    /// The base64 of the next message; `go_on` gets that of those that have waited long enough.
    pub(super) fn push(&mut self, text: &[u8], go_on: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        let start = self.heard;
        let heard = self.hear(text);
        if heard.is_ok() {
            let mut kept = self.spares.pop().unwrap_or_default();
            kept.extend_from_slice(text);
            self.waiting.push_back(Waiting {
                text: kept,
                start,
                end: self.heard,
            });
        }
        self.let_go(go_on);
        heard
    }

    /// Shows the message to the detector. What was heard of a broken one counts as passed time.
    fn hear(&mut self, text: &[u8]) -> Result<(), Error> {
        let mut samples = [0; PIECE / 4 * 3 / 2];
        let mut pieces = text.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            let samples = audio::pcm16_from_base64(piece, &mut samples)?;
            if pieces.peek().is_some() && samples.len() != PIECE / 4 * 3 / 2 {
                return Err(Error::Base64); // padding in the middle of the text
            }
            let (keys, rate) = (&mut self.keys, self.rate);
            self.detector.push(samples, |event| keys.note(event, rate));
            self.heard += samples.len() as u64;
        }
        Ok(())
    }

    fn let_go(&mut self, go_on: &mut impl FnMut(&[u8])) {
        let delay = self.rate.samples_in(DELAY);
        while let Some(mut message) = self.waiting.pop_front_if(|m| m.end + delay <= self.heard) {
            self.keys.gone = message.end;
            if self.keys.silence(&mut message).is_some() {
                go_on(&message.text);
            }
            if self.spares.len() < SPARES && message.text.capacity() <= SPARE_BYTES {
                message.text.clear();
                self.spares.push(message.text);
            }
        }
        self.keys.pass();
    }
}

impl Keys {
    fn note(&mut self, event: Event, rate: SampleRate) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
        match event {
            Event::KeyDown { start, .. } => {
                self.masked += 1;
                self.masked_late += u64::from(start < self.gone);
                if self.stretches.len() == STRETCHES_MAX
                    && let Some(last) = self.stretches.back_mut()
                {
                    last.end = None;
                    return;
                }
                self.stretches.push_back(Stretch {
                    start: start.saturating_sub(rate.samples_in(BEFORE)),
                    end: None,
                });
            }
            Event::KeyUp { end, .. } => {
                if let Some(last) = self.stretches.back_mut() {
                    last.end = Some(end + rate.samples_in(BEHIND));
                }
            }
        }
    }

    /// Forgets what lies behind what has gone on.
    fn pass(&mut self) {
        let gone = self.gone;
        let is_past = |stretch: &mut Stretch| stretch.end.is_some_and(|end| end <= gone);
        while self.stretches.pop_front_if(is_past).is_some() {}
    }

    /// Replaces what is to be silent of a message. `None`: it cannot be done, so that the message
    /// goes nowhere; it was decoded once, and its length does not change.
    fn silence(&self, message: &mut Waiting) -> Option<()> {
        let mut samples = None;
        for stretch in &self.stretches {
            let from = stretch.start.max(message.start);
            let to = stretch.end.unwrap_or(u64::MAX).min(message.end);
            if from >= to {
                continue;
            }
            let samples = match &mut samples {
                Some(samples) => samples,
                none => none.insert(BASE64_STANDARD.decode(&message.text).ok()?),
            };
            let place = |at: u64| (at - message.start) as usize * 2;
            samples.get_mut(place(from)..place(to))?.fill(0);
        }
        if let Some(samples) = samples {
            let written = BASE64_STANDARD.encode_slice(samples, &mut message.text);
            return (written.ok()? == message.text.len()).then_some(());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::{Digit, tone};
    use proptest::prelude::*;

    const RATES: [SampleRate; 2] = [SampleRate::Hz16000, SampleRate::Hz24000];

    fn encode(samples: &[i16]) -> String {
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        BASE64_STANDARD.encode(bytes)
    }

    fn decode(text: &[u8]) -> Vec<i16> {
        let bytes = BASE64_STANDARD.decode(text).unwrap();
        let pairs = bytes.as_chunks::<2>().0;
        pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
    }

    /// What goes on of `line` in messages of these lengths, and then enough silence.
    fn mask(tones: &mut Tones, line: &[i16], lengths: &[usize]) -> Vec<i16> {
        let mut out = Vec::new();
        let delay = tones.rate.samples_in(DELAY) as usize;
        let longest = *lengths.iter().max().unwrap();
        let line = [line, &vec![0; delay + longest]].concat();
        let (mut rest, mut lengths) = (&line[..], lengths.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
            rest = later;
            tones.forget();
            let mut go_on = |text: &[u8]| out.extend(decode(text));
            tones.push(encode(now).as_bytes(), &mut go_on).unwrap();
            let waits = tones.heard as usize - out.len();
            assert!(waits < delay + longest);
        }
        out
    }

    /// White noise of this peak.
    fn noise(length: usize, peak: f64, seed: u64) -> Vec<f64> {
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * peak
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn no_sample_of_a_key_goes_on_and_every_other_one_does_as_it_was() {
        let mut presses = 0u32;
        for rate in RATES {
            let at = |seconds: f64| (seconds * f64::from(rate.hz())) as usize;
            for digit in Digit::all() {
                for (n, level) in [-5.0, -12.0, -20.0].into_iter().enumerate() {
                    // Off the grid of messages and hops, and another place for each.
                    let start = 0.2123 + 0.0037 * f64::from(presses % 17);
                    let (length, peak) = (0.05 + 0.03 * n as f64, 30.0);
                    let mut line = noise(at(0.8), peak, u64::from(presses));
                    let tone = tone::Tone::new(digit, level);
                    tone.add_to(&mut line, rate, start, length);
                    let line = tone::to_pcm16(&line);
                    let mut tones = Tones::new(rate);
                    let out = mask(&mut tones, &line, &[at(0.02)]);
                    assert_eq!(tones.counts(), (1, 0), "{digit:?} {level}");
                    let (from, to) = (at(start), at(start + length));
                    let silent = out[from + 1..to].iter().all(|&s| s == 0);
                    assert!(silent, "{} at {level}", digit.as_char());
                    assert_eq!(out[..from - at(0.012)], line[..from - at(0.012)]);
                    let behind = to + at(0.040);
                    assert_eq!(out[behind..line.len()], line[behind..]);
                    // Not even the laxer setting hears a key in what went on.
                    let mut heard = 0;
                    Detector::new(rate, Setting::Lenient).push(&out, |_| heard += 1);
                    assert_eq!(heard, 0);
                    presses += 1;
                }
            }
        }
        assert_eq!(presses, 2 * 16 * 3);
    }

    #[test]
    fn a_key_is_decided_before_its_first_sample_has_gone_on() {
        let (mut latest, mut presses) = (0.0f64, 0);
        for rate in SampleRate::ALL {
            let at = |seconds: f64| (seconds * f64::from(rate.hz())) as usize;
            for digit in Digit::all() {
                for (level, peak) in [(-3.0, 30.0), (-10.0, 500.0), (-20.0, 300.0)] {
                    for offset in 0..5 {
                        let start = 0.2 + 0.0011 * f64::from(offset);
                        let mut line = noise(at(0.5), peak, presses + 1);
                        let tone = tone::Tone::new(digit, level).twist(-3.0);
                        tone.add_to(&mut line, rate, start, 0.1);
                        let line = tone::to_pcm16(&line);
                        Detector::new(rate, Setting::Standard).push(&line, |event| {
                            if let Event::KeyDown { start, decided, .. } = event {
                                latest = latest.max(rate.millis(decided - start));
                                presses += 1;
                            }
                        });
                    }
                }
            }
        }
        assert_eq!(presses, 4 * 16 * 3 * 5);
        let most = (DELAY - BEFORE).as_secs_f64() * 1000.0;
        assert!(latest <= most, "{latest} of {most} ms");
        println!("decided {latest:.1} ms after the beginning at the latest");
    }

    #[test]
    fn several_keys_and_one_that_never_ends() {
        let rate = SampleRate::Hz24000;
        let pace = tone::Pace {
            tone: 0.06,
            gap: 0.06,
            ..tone::Pace::default()
        };
        let line = tone::sequence("823#A", rate, &pace).unwrap();
        let mut tones = Tones::new(rate);
        let out = mask(&mut tones, &line, &[480]);
        assert_eq!(tones.counts(), (5, 0));
        assert!(out[..line.len()].iter().all(|&s| s == 0));
        let mut held = vec![0.0; 48_000];
        let tone = tone::Tone::new(Digit::from_char('5').unwrap(), -10.0);
        tone.add_to(&mut held, rate, 0.3, 60.0);
        let mut tones = Tones::new(rate);
        let mut out = Vec::new();
        for frame in tone::to_pcm16(&held).chunks(480) {
            let mut go_on = |text: &[u8]| out.extend(decode(text));
            tones.push(encode(frame).as_bytes(), &mut go_on).unwrap();
        }
        assert!(out.len() > 46_000 && out.iter().all(|&s| s == 0));
    }

    #[test]
    fn one_long_message_full_of_keys_is_masked_within_bounds() {
        let rate = SampleRate::Hz16000;
        let pace = tone::Pace {
            tone: 0.05,
            gap: 0.05,
            ..tone::Pace::default()
        };
        let line = tone::sequence(&"159D".repeat(20), rate, &pace).unwrap();
        let mut tones = Tones::new(rate);
        let out = mask(&mut tones, &line, &[line.len()]);
        assert_eq!(tones.counts(), (80, 0));
        assert!(out[..line.len()].iter().all(|&s| s == 0));
        assert!(tones.keys.stretches.len() <= STRETCHES_MAX);
        assert!(
            tones
                .spares
                .iter()
                .all(|spare| spare.capacity() <= SPARE_BYTES)
        );
    }

    #[test]
    fn what_cannot_be_heard_goes_nowhere_and_moves_nothing() {
        let rate = SampleRate::Hz24000;
        let key = tone::sequence("7", rate, &tone::Pace::default()).unwrap();
        let mut tones = Tones::new(rate);
        let mut out = Vec::new();
        let mut go_on = |text: &[u8]| out.extend(decode(text));
        for (n, frame) in key.chunks(480).chain([&[0; 480][..]; 8]).enumerate() {
            if n == 3 {
                for broken in ["AAA", "AAAAA===", "AA==AAAA", "AA?A", "AAAAAA=="] {
                    let long = "AAAA".repeat(600) + broken;
                    let error = broken != "AAAAAA==";
                    assert_eq!(tones.push(broken.as_bytes(), &mut go_on).is_err(), error);
                    assert_eq!(tones.push(long.as_bytes(), &mut go_on).is_err(), error);
                }
            }
            tones.push(encode(frame).as_bytes(), &mut go_on).unwrap();
        }
        assert_eq!(tones.counts(), (1, 0));
        assert!(out.iter().all(|&s| s == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn speech_goes_on_sample_for_sample_whatever_the_message_length(
            seed in any::<u64>(),
            lengths in proptest::collection::vec(1usize..1500, 1..8),
            rate in proptest::sample::select(RATES.to_vec()),
            press in proptest::option::of(0usize..16),
        ) {
            let at = |seconds: f64| (seconds * f64::from(rate.hz())) as usize;
            let mut line = noise(at(0.7), 60.0, seed);
            if let Some(press) = press {
                let digit = Digit::all().nth(press).unwrap();
                tone::Tone::new(digit, -10.0).add_to(&mut line, rate, 0.25, 0.1);
            }
            let line = tone::to_pcm16(&line);
            let mut tones = Tones::new(rate);
            let out = mask(&mut tones, &line, &lengths);
            prop_assert!(out.len() >= line.len());
            let (from, to) = match press {
                Some(_) => (at(0.25), at(0.35)),
                None => (line.len(), line.len()),
            };
            prop_assert_eq!(tones.counts(), (u64::from(press.is_some()), 0));
            prop_assert!(out[from..to].iter().all(|&s| s == 0));
            let before = from.saturating_sub(at(0.012));
            prop_assert_eq!(&out[..before], &line[..before]);
            let behind = (to + at(0.04)).min(line.len());
            prop_assert_eq!(&out[behind..line.len()], &line[behind..]);
        }

        #[test]
        fn never_panics(text in "[A-Za-z0-9+/]{0,30}={0,3}|[ -~]{0,20}", rate in proptest::sample::select(RATES.to_vec())) {
            let mut tones = Tones::new(rate);
            for _ in 0..3 {
                let _ = tones.push(text.as_bytes(), &mut |_| {});
            }
        }
    }
}
