//! Speech that must not dial.
//!
//! Real speech from Debian's packages, which `make tools` installs (2.6 hours, six voices).
//! `TONEGATE_SPEECH` names other folders, separated by colons.

use crate::grade::listen;
use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use tonegate::audio::SampleRate;
use tonegate::audio::wav::Wav;
use tonegate::dtmf::{Event, Setting};

/// Every WAV file under `folder`, in a fixed order.
pub(crate) fn wav_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            wav_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "wav") {
            found.push(path);
        }
    }
}

/// Samples between the samples, so that a recording at 8 kHz is heard at another rate: a windowed sinc
/// of eight lobes on either side.
fn upsample(samples: &[i16], factor: usize) -> Vec<i16> {
    const LOBES: isize = 8;
    let phases: Vec<Vec<f64>> = (0..factor)
        .map(|phase| {
            let distance = |k: isize| k as f64 - phase as f64 / factor as f64;
            let sinc = |x: f64| {
                if x == 0.0 {
                    1.0
                } else {
                    (PI * x).sin() / (PI * x)
                }
            };
            let window = |x: f64| 0.5 + 0.5 * (PI * x / (LOBES + 1) as f64).cos();
            let weight = |k| sinc(distance(k)) * window(distance(k));
            (1 - LOBES..=LOBES).map(weight).collect()
        })
        .collect();
    let sample = |at: isize| {
        let found = usize::try_from(at).ok().and_then(|at| samples.get(at));
        f64::from(found.copied().unwrap_or(0))
    };
    let mut out = Vec::with_capacity(samples.len() * factor);
    for at in 0..samples.len() as isize {
        for phase in &phases {
            let taps = (at + 1 - LOBES..).zip(phase);
            let sum: f64 = taps.map(|(at, weight)| sample(at) * weight).sum();
            out.push(sum.round().clamp(-32_768.0, 32_767.0) as i16);
        }
    }
    out
}

/// Keys heard in a recording, told where.
fn false_keys(samples: &[i16], rate: SampleRate, path: &Path) -> u32 {
    let mut keys = 0;
    for event in listen(samples, rate, Setting::Standard) {
        if let Event::KeyDown { digit, start, .. } = event {
            let (key, at, hz) = (digit.as_char(), rate.millis(start), rate.hz());
            println!("false {key} at {at:.0} ms, {hz} Hz, in {}", path.display());
            keys += 1;
        }
    }
    keys
}

/// Each recording as it is, and once more at one of the other rates.
#[test]
fn speech_does_not_dial() {
    let folders =
        std::env::var("TONEGATE_SPEECH").unwrap_or_else(|_| "/usr/share/asterisk/sounds".into());
    let mut files = Vec::new();
    for folder in folders.split(':') {
        wav_files(Path::new(folder), &mut files);
    }
    let (mut seconds, mut keys, mut lenient) = (0.0, [0; 2], 0);
    for (n, path) in files.iter().enumerate() {
        let Ok(wav) = Wav::read(&std::fs::read(path).expect("listed a moment ago")) else {
            continue;
        };
        seconds += wav.samples.len() as f64 / f64::from(wav.rate.hz());
        keys[0] += false_keys(&wav.samples, wav.rate, path);
        if wav.rate == SampleRate::Hz8000 {
            let factor = [2, 3, 6][n % 3];
            let rate = SampleRate::from_hz(wav.rate.hz() * factor).expect("one of ours");
            keys[1] += false_keys(&upsample(&wav.samples, factor as usize), rate, path);
        }
        let again = listen(&wav.samples, wav.rate, Setting::Lenient);
        let down = |event: &&Event| matches!(event, Event::KeyDown { .. });
        lenient += again.iter().filter(down).count();
    }
    let hours = seconds / 3600.0;
    println!(
        "talk-off: {} false keys in {hours:.2} h of speech, {:.2} an hour; {} at other rates; lenient {lenient}",
        keys[0],
        f64::from(keys[0]) / hours,
        keys[1]
    );
    assert!(
        hours > 2.0 || std::env::var_os("TONEGATE_SPEECH").is_some(),
        "run `make tools`"
    );
    assert!(keys.into_iter().all(|keys| f64::from(keys) <= hours));
}
