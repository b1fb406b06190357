//! What does hearing cost? One stream, frames of 20 ms that are hot in cache, everything included:
//! decimation, tones, energies, decision, state. Beside it silence, keys, and the textbook
//! recurrence that only computes eight powers.
//!
//! `cargo bench --bench detector`. Divide by the frame's samples for the cost of a sample; the
//! instruction counts and the comparison with spandsp are `benches/compare.sh`'s.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use std::hint::black_box;
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::dtmf::tone::{Pace, sequence};
use tonegate::dtmf::{Detector, FREQUENCIES_HZ, Setting, goertzel};

/// One second each of: white noise at -20 dBm0, never silent and never a key; the same under
/// pulses at 120 Hz, a hard case, as every window has a pair that stands out; silence; five keys.
fn sounds(rate: SampleRate) -> [(&'static str, Vec<i16>); 4] {
    let hz = rate.hz() as usize;
    let mut state = 1u32;
    let noise: Vec<i16> = (0..hz)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 20) as i32 - 2048) as i16
        })
        .collect();
    let pulse = |n: usize| {
        if n % (hz / 120) < hz / 600 {
            6000
        } else {
            -1500
        }
    };
    let pulses = noise
        .iter()
        .enumerate()
        .map(|(n, x)| x + pulse(n))
        .collect();
    let mut keys = sequence("1590D", rate, &Pace::default()).expect("only keys");
    keys.truncate(hz);
    [
        ("noise", noise),
        ("pulses", pulses),
        ("silence", vec![0; hz]),
        ("keys", keys),
    ]
}

fn run(detector: &mut Detector, audio: &[i16], frame: usize) -> usize {
    let mut events = 0;
    for frame in audio.chunks_exact(frame) {
        detector.push(black_box(frame), |event| {
            black_box(event);
            events += 1;
        });
    }
    events
}

fn detector(c: &mut Criterion) {
    for rate in SampleRate::ALL {
        let frame = rate.hz() as usize / 50;
        let mut group = c.benchmark_group("detector");
        for (name, audio) in &sounds(rate) {
            group.throughput(Throughput::Elements(audio.len() as u64));
            let id = BenchmarkId::new(*name, rate.hz());
            group.bench_with_input(id, audio, |bencher, audio| {
                let mut detector = Detector::new(rate, Setting::Standard);
                bencher.iter(|| run(&mut detector, audio, frame));
            });
        }
    }
}

fn g711(c: &mut Criterion) {
    let [(_, audio), ..] = sounds(SampleRate::Hz8000);
    let audio: Vec<u8> = audio
        .into_iter()
        .map(|sample| Law::Mu.encode(sample))
        .collect();
    let mut group = c.benchmark_group("detector");
    group.throughput(Throughput::Elements(audio.len() as u64));
    group.bench_function("mu-law/8000", |bencher| {
        let mut detector = Detector::new(SampleRate::Hz8000, Setting::Standard);
        bencher.iter(|| {
            for frame in audio.chunks_exact(160) {
                detector.push_g711(Law::Mu, black_box(frame), |event| {
                    black_box(event);
                });
            }
        });
    });
}

fn recurrence(c: &mut Criterion) {
    let rate = SampleRate::Hz16000;
    let [(_, audio), ..] = sounds(rate);
    let mut group = c.benchmark_group("recurrence");
    group.throughput(Throughput::Elements(audio.len() as u64));
    group.bench_function("eight powers/16000", |bencher| {
        bencher.iter(|| {
            let mut sum = 0.0;
            for frame in audio.chunks_exact(320) {
                for hz in FREQUENCIES_HZ {
                    sum += goertzel::power(black_box(frame), hz, f64::from(rate.hz()));
                }
            }
            sum
        });
    });
}

/// For callgrind, which would drown in criterion's own work: `TONEGATE_ONCE=16000:speech:20` hears
/// that many seconds and ends. The difference of two runs is the detector's alone.
fn once(spec: &str) -> Option<()> {
    let mut parts = spec.split(':');
    let rate = SampleRate::from_hz(parts.next()?.parse().ok()?)?;
    let name = parts.next()?;
    let seconds: usize = parts.next()?.parse().ok()?;
    let (_, audio) = sounds(rate).into_iter().find(|(sound, _)| *sound == name)?;
    let mut detector = Detector::new(rate, Setting::Standard);
    for _ in 0..seconds {
        run(&mut detector, &audio, rate.hz() as usize / 50);
    }
    Some(())
}

criterion_group!(benches, detector, g711, recurrence);

fn main() {
    if let Ok(spec) = std::env::var("TONEGATE_ONCE") {
        return once(&spec).expect("TONEGATE_ONCE is rate:sound:seconds");
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
