//! The second look (A24): clips whose keys the standard setting misses, heard by the gate's ears and
//! opened by its record; and what speech before and behind the keys does to it.

use crate::line::Rng;
use crate::stream::allocations;
use crate::talkoff::wav_files;
use std::path::Path;
use std::time::Duration;
use tonegate::audio::SampleRate;
use tonegate::audio::wav::Wav;
use tonegate::config::{Ani, CodeLength, Dialled, Feeds, Gate as Settings, Prompts};
use tonegate::dtmf::tone::{Pace, Tone, amplitude, sequence, to_pcm16};
use tonegate::dtmf::{Detector, Digit, RECORD_BYTES, RECORD_HOPS, Record, Setting};
use tonegate::gate::{Answer, Ears, Feed, Gate, Heard, Look, State, Want};

const CODE: &str = "8239";
const ENDED: &str = "8239#";

fn settings(second_look: bool) -> Settings {
    Settings {
        dialled: Dialled::Pstn {
            ani: Ani::Signalling,
        },
        length: CodeLength::Fixed(4),
        feeds: Feeds {
            in_band: true,
            messages: false,
            callbacks: false,
        },
        deadline: Duration::from_secs(30),
        between: Duration::from_secs(4),
        attempts: 3,
        second_look,
        consume: true,
        prompts: Prompts::default(),
    }
}

/// What became of a call.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Keys that the ears heard at once, looks that were asked for, codes that were tried.
    heard: usize,
    looks: Vec<Look>,
    tried: Vec<String>,
    failed: u32,
    opened: bool,
}

/// A call in frames of 20 ms, whose store knows [`CODE`].
fn call(audio: &[i16], rate: SampleRate, second_look: bool) -> Outcome {
    let mut gate = Gate::new(&settings(second_look));
    let mut ears = Ears::new(rate, None, second_look);
    let mut outcome = Outcome::default();
    let mut now = Duration::ZERO;
    for frame in audio.chunks(rate.hz() as usize / 50) {
        now += Duration::from_millis(20);
        ears.hear(None, frame, now, |event| match event {
            Heard::Down { digit, at } => {
                outcome.heard += 1;
                gate.press(Feed::InBand, digit, at);
            }
            Heard::Up { at } => gate.release(at),
        });
        while let Some(want) = gate.poll(now) {
            match want {
                Want::Try(entry) => {
                    let code = entry.code().expose().to_owned();
                    let answer = if code == CODE {
                        Answer::Opened
                    } else {
                        Answer::Wrong
                    };
                    outcome.tried.push(code);
                    gate.answer(entry.number(), answer, now);
                }
                Want::Look(look) => {
                    outcome.looks.push(look);
                    gate.look_again(&ears.look_again(look), now);
                }
                Want::Say(_) => {}
            }
        }
    }
    outcome.failed = gate.failed();
    outcome.opened = gate.state() == State::Authorised;
    outcome
}

/// What is wrong with a key, just outside of what the standard setting hears.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Soft,
    LowTwist,
    HighTwist,
    Sharp,
    Flat,
}

const FAULTS: [Fault; 5] = [
    Fault::Soft,
    Fault::LowTwist,
    Fault::HighTwist,
    Fault::Sharp,
    Fault::Flat,
];

impl Fault {
    fn of(self, digit: Digit) -> Tone {
        let tone = Tone::new(digit, -12.0);
        match self {
            Self::Soft => Tone::new(digit, -43.0),
            Self::LowTwist => tone.twist(-15.0),
            Self::HighTwist => tone.twist(11.2),
            Self::Sharp => Tone {
                deviation: [0.0242; 2],
                ..tone
            },
            Self::Flat => Tone {
                deviation: [-0.0242; 2],
                ..tone
            },
        }
    }
}

/// The keys, of which number `faulty` has a fault, over soft noise.
fn clip(keys: &str, rate: SampleRate, fault: Option<(usize, Fault)>, rng: &mut Rng) -> Vec<i16> {
    let hz = f64::from(rate.hz());
    let mut line: Vec<f64> = (0..(3.5 * hz) as usize)
        .map(|_| amplitude(-62.0) * rng.gaussian())
        .collect();
    let mut at = rng.between(0.5, 0.8);
    for (n, key) in keys.chars().enumerate() {
        let digit = Digit::from_char(key).expect("a key");
        let tone = match fault {
            Some((faulty, fault)) if faulty == n => fault.of(digit),
            Some(_) | None => Tone::new(digit, -12.0),
        };
        let phase = [rng.unit(), rng.unit()];
        Tone { phase, ..tone }.add_to(&mut line, rate, at, 0.09);
        at += rng.between(0.2, 0.4);
    }
    to_pcm16(&line)
}

#[test]
fn a24_what_the_strict_look_misses_the_second_finds_in_the_same_attempt() {
    let mut rng = Rng::new(24);
    let mut seen = 0;
    for rate in SampleRate::ALL {
        let good = call(&clip(ENDED, rate, None, &mut rng), rate, true);
        assert_eq!((good.heard, good.looks.len(), good.opened), (5, 0, true));
        for fault in FAULTS {
            // First, middle and last digit.
            for faulty in 0..4 {
                let clip = clip(ENDED, rate, Some((faulty, fault)), &mut rng);
                let strict = call(&clip, rate, false);
                assert_eq!(strict.heard, 4, "{rate:?} {fault:?} {faulty}");
                assert_eq!((strict.tried.len(), strict.failed), (0, 1));
                assert!(!strict.opened);

                let again = call(&clip, rate, true);
                assert_eq!(again.tried, [CODE], "{rate:?} {fault:?} {faulty}");
                assert_eq!((again.looks.len(), again.failed), (1, 0));
                assert!(again.opened);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 4 * 5 * 4);
}

#[test]
fn a24_without_a_hash_the_pause_is_looked_at_too() {
    let rate = SampleRate::Hz16000;
    let mut rng = Rng::new(7);
    for faulty in 0..4 {
        let mut audio = clip(CODE, rate, Some((faulty, Fault::Soft)), &mut rng);
        let quiet = audio.len();
        audio.resize(quiet + 5 * 16_000, 0);
        let outcome = call(&audio, rate, true);
        assert_eq!((outcome.heard, outcome.looks.len()), (3, 1), "{faulty}");
        assert_eq!(
            (outcome.tried.as_slice(), outcome.opened),
            ([CODE.to_owned()].as_slice(), true)
        );
    }
}

/// Speech before the keys and behind them: the second look hears more of it than the first, but no key
/// outside of the time it was asked for, and what it hears inside opens nothing.
#[test]
fn a24_speech_around_an_entry_opens_nothing() {
    let mut files = Vec::new();
    wav_files(Path::new("/usr/share/asterisk/sounds"), &mut files);
    let speech: Vec<i16> = files
        .iter()
        .filter_map(|path| Wav::read(&std::fs::read(path).ok()?).ok())
        .filter(|wav| wav.rate == SampleRate::Hz8000)
        .flat_map(|wav| wav.samples)
        .take(8000 * 3600)
        .collect();
    assert!(speech.len() > 8000 * 1800, "run `make tools`");
    let rate = SampleRate::Hz8000;
    let (mut looks, mut found, mut inside) = (0, 0, 0);
    for (n, piece) in speech.chunks_exact(8000 * 8).enumerate() {
        let mut rng = Rng::new(n as u64);
        let keys = clip(ENDED, rate, Some((1, Fault::Soft)), &mut rng);
        // The soft key is left out: only speech could stand in for it.
        let pace = Pace::default();
        let short = sequence("839#", rate, &pace).expect("only keys");
        for (keys, is_short) in [(&keys, false), (&short, true)] {
            let audio: Vec<i16> = piece[..8000 * 4]
                .iter()
                .chain(keys)
                .chain(&piece[8000 * 4..])
                .copied()
                .collect();
            let outcome = call(&audio, rate, true);
            looks += outcome.looks.len();
            found += usize::from(!is_short && outcome.opened);
            // A key that speech added has made a code of the right length, and a wrong one at that.
            inside += usize::from(is_short && !outcome.tried.is_empty());
            assert!(!(is_short && outcome.opened));
        }
    }
    let calls = speech.len() / (8000 * 8);
    println!(
        "second look: {looks} looks between speech, {found} of {calls} codes found, {inside} of {calls} short entries filled up by speech"
    );
    assert!(looks >= 2 * calls * 9 / 10 && found * 10 >= 9 * calls);
    assert!(inside * 20 <= calls);
}

#[test]
fn a24_a_record_is_bounded_and_costs_no_allocation_while_it_listens() {
    const { assert!(RECORD_BYTES <= 80_000 && RECORD_HOPS == 2000) };
    let rate = SampleRate::Hz24000;
    let audio = sequence("147*2580369#ABCD", rate, &Pace::default()).expect("only keys");
    let mut heard = 0;
    let mut record = None;
    // Two rings, at once.
    assert_eq!(allocations(|| record = Some(Record::new())), 2);
    let mut record = record.expect("made a line ago");
    let mut detector = Detector::new(rate, Setting::Standard);
    let counted = allocations(|| {
        for _ in 0..5 {
            for frame in audio.chunks(333) {
                detector.push_recorded(frame, &mut record, |_| heard += 1);
            }
        }
        record.judge(rate, Setting::Lenient, |_| heard += 1);
    });
    assert_eq!(counted, 0);
    assert!(heard > 5 * 32);

    let mut ears = Ears::new(rate, None, true);
    ears.hear(Some("4:+1"), &audio[..480], Duration::ZERO, |_| {});
    ears.hear(Some("8:agent"), &audio[..480], Duration::ZERO, |_| {});
    let mut now = Duration::ZERO;
    let mut heard = 0;
    let counted = allocations(|| {
        for frame in audio.chunks(480) {
            now += Duration::from_millis(20);
            ears.hear(Some("4:+1"), frame, now, |_| heard += 1);
            ears.hear(Some("8:agent"), frame, now, |_| heard += 1);
        }
    });
    assert_eq!((counted, heard), (0, 32));
}
