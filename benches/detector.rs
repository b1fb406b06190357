//! What does hearing cost? One stream, frames of 20 ms that are hot in cache, everything included:
//! decimation, tones, energies, decision, state. Every kernel this machine has, beside the textbook
//! recurrence that only computes eight powers.
//!
//! `cargo bench --bench detector` prints nanoseconds a sample: the median of rounds in which all
//! cases take turns, so that another program's load meets all alike, the least, and the ratio of the
//! recurrence to it. Instruction counts and spandsp are `benches/compare.sh`'s.
//!
//! Not here: batches of streams with the streams in the lanes. A frame is heard when it arrives, while
//! it is hot from the copy it came with; waiting for fifteen others would cost latency and sixteen
//! cold frames, to save what is a tenth of what receiving a frame costs.

mod works;

use std::hint::black_box;
use std::time::Instant;
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::dtmf::{Detector, FREQUENCIES_HZ, Setting, Width, goertzel};

use works::hear::{frame, hear, sounds};

/// Rounds, and times that a case hears its sound in each.
const ROUNDS: usize = 51;
const TIMES: usize = 4;

/// Hears a second of `audio`.
fn run(detector: &mut Detector, audio: &[i16], rate: SampleRate) {
    for _ in 0..rate.hz() as usize / audio.len() {
        hear(detector, audio, rate);
    }
}

/// Something to be timed: what it is, over how many samples, and what it took.
struct Case {
    name: String,
    rate: SampleRate,
    work: Box<dyn FnMut()>,
    nanoseconds: Vec<f64>,
}

impl Case {
    fn new(name: String, rate: SampleRate, work: impl FnMut() + 'static) -> Self {
        Self {
            name,
            rate,
            work: Box::new(work),
            nanoseconds: Vec::new(),
        }
    }

    fn time(&mut self) {
        // The others ran in between: once for the caches and the processor's guesses.
        (self.work)();
        let started = Instant::now();
        for _ in 0..TIMES {
            (self.work)();
        }
        let samples = TIMES as f64 * f64::from(self.rate.hz());
        self.nanoseconds
            .push(started.elapsed().as_nanos() as f64 / samples);
    }

    fn median(&mut self) -> f64 {
        self.nanoseconds.sort_by(f64::total_cmp);
        self.nanoseconds[self.nanoseconds.len() / 2]
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for rate in SampleRate::ALL {
        let frame = frame(rate);
        let [(_, noise), ..] = sounds(rate);
        cases.push(Case::new("recurrence".into(), rate, move || {
            for frame in (0..2).flat_map(|_| noise.chunks_exact(frame)) {
                for hz in FREQUENCIES_HZ {
                    black_box(goertzel::power(black_box(frame), hz, f64::from(rate.hz())));
                }
            }
        }));
        for &width in Width::available() {
            for (name, audio) in sounds(rate) {
                let mut detector = Detector::with_width(rate, Setting::Standard, width);
                let name = format!("{width:?} {name}");
                let work = move || {
                    run(&mut detector, &audio, rate);
                };
                cases.push(Case::new(name, rate, work));
            }
        }
    }
    let rate = SampleRate::Hz8000;
    let [(_, audio), ..] = sounds(rate);
    let octets: Vec<u8> = audio.into_iter().map(|x| Law::Mu.encode(x)).collect();
    let mut detector = Detector::new(rate, Setting::Standard);
    cases.push(Case::new("mu-law noise".into(), rate, move || {
        for frame in (0..2).flat_map(|_| octets.chunks_exact(160)) {
            detector.push_g711(Law::Mu, black_box(frame), |event| {
                black_box(event);
            });
        }
    }));
    cases
}

/// For callgrind: `TONEGATE_ONCE=16000:noise:20` hears that many seconds and ends. The difference of
/// two runs is the detector's alone.
fn once(spec: &str) -> Option<()> {
    let mut parts = spec.split(':');
    let rate = SampleRate::from_hz(parts.next()?.parse().ok()?)?;
    let name = parts.next()?;
    let seconds: usize = parts.next()?.parse().ok()?;
    let (_, audio) = sounds(rate).into_iter().find(|(sound, _)| *sound == name)?;
    let mut detector = Detector::new(rate, Setting::Standard);
    for _ in 0..seconds {
        run(&mut detector, &audio, rate);
    }
    Some(())
}

fn main() {
    if let Ok(spec) = std::env::var("TONEGATE_ONCE") {
        return once(&spec).expect("TONEGATE_ONCE is rate:sound:seconds");
    }
    let mut cases = cases();
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::time);
    }
    println!("   Hz  what                   ns/sample   least   recurrence/this");
    let mut recurrence = f64::NAN;
    for case in &mut cases {
        let median = case.median();
        if case.name == "recurrence" {
            recurrence = median;
        }
        println!(
            "{:>5}  {:<22} {:>9.3} {:>7.3} {:>10.1}",
            case.rate.hz(),
            case.name,
            median,
            case.nanoseconds[0],
            recurrence / median
        );
    }
}
