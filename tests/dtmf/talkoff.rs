//! Speech that must not dial.
//!
//! Real speech from Debian's packages, which `make tools` installs (131 minutes, five voices).
//! `TONEGATE_SPEECH` names other folders, separated by colons.

use crate::grade::listen;
use std::path::{Path, PathBuf};
use tonegate::audio::wav::Wav;
use tonegate::dtmf::{Event, Setting};

/// Every WAV file under `folder`, in a fixed order.
fn wav_files(folder: &Path, found: &mut Vec<PathBuf>) {
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

#[test]
fn speech_does_not_dial() {
    let folders =
        std::env::var("TONEGATE_SPEECH").unwrap_or_else(|_| "/usr/share/asterisk/sounds".into());
    let (mut all_seconds, mut all_false) = (0.0, 0);
    for folder in folders.split(':') {
        let mut files = Vec::new();
        wav_files(Path::new(folder), &mut files);
        let (mut seconds, mut accepted, mut lenient) = (0.0, 0, 0);
        for path in &files {
            let Ok(wav) = Wav::read(&std::fs::read(path).expect("listed a moment ago")) else {
                continue;
            };
            seconds += wav.samples.len() as f64 / f64::from(wav.rate.hz());
            for event in listen(&wav.samples, wav.rate, Setting::Standard) {
                if let Event::KeyDown { digit, start, .. } = event {
                    let at = wav.rate.millis(start);
                    println!(
                        "false {} at {at:.0} ms in {}",
                        digit.as_char(),
                        path.display()
                    );
                    accepted += 1;
                }
            }
            let again = listen(&wav.samples, wav.rate, Setting::Lenient);
            lenient += again
                .iter()
                .filter(|e| matches!(e, Event::KeyDown { .. }))
                .count();
        }
        println!(
            "{folder}: {} files, {:.2} h, {accepted} false keys, {lenient} lenient",
            files.len(),
            seconds / 3600.0
        );
        all_seconds += seconds;
        all_false += accepted;
    }
    let hours = all_seconds / 3600.0;
    println!("talk-off: {all_false} false keys in {hours:.2} h of speech");
    assert!(
        hours > 2.0 || std::env::var_os("TONEGATE_SPEECH").is_some(),
        "run `make tools`"
    );
    // At most one an hour, and one more so that a short set is not judged by luck.
    assert!(f64::from(all_false) <= hours + 1.0);
}
