//! `tonegate dtmf`: the keys that were pressed in recordings, one JSON line each.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use serde::Serialize;

use crate::audio::wav::Wav;
use crate::audio::{SampleRate, pcm16_from_bytes};
use crate::dtmf::{Detector, Event, Quality, Setting};

#[derive(Args)]
pub(super) struct Flags {
    /// WAV files, PCM16 mono at 8, 16, 24 or 48 kHz; - reads raw PCM16 from standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Sample rate of raw input in Hz
    #[arg(long, value_name = "HZ")]
    rate: Option<u32>,
    /// Add level, twist, deviation and signal-to-noise ratio of each key
    #[arg(long)]
    explain: bool,
    /// As it is without: a JSON line for each key
    #[arg(long)]
    json: bool,
}

/// As media arrives in a call.
const FRAME: Duration = Duration::from_millis(20);
/// Silence after a recording: 60 ms, in which any key goes up.
const SILENT_FRAMES: usize = 3;
/// Most raw audio that is read: three hours at 48 kHz.
const RAW_MAX: u64 = 3 * 3600 * 48_000 * 2;

/// One key press. Times are from the start of the file.
#[derive(Serialize)]
struct Press<'a> {
    file: &'a str,
    digit: char,
    start_ms: f64,
    /// The end of the file at the latest.
    end_ms: f64,
    /// The end of the 20 ms frame in which the key was first reported; past the end of the file if
    /// only the silence after it made sure.
    decided_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    explained: Option<Explained>,
}

#[derive(Serialize)]
struct Explained {
    low_dbm0: f64,
    high_dbm0: f64,
    twist_db: f64,
    low_deviation_percent: f64,
    high_deviation_percent: f64,
    snr_db: f64,
}

impl Explained {
    fn of(quality: &Quality) -> Explained {
        let percent = |ratio: f32| hundredths(f64::from(ratio) * 100.0);
        Explained {
            low_dbm0: hundredths(f64::from(quality.level_dbm0[0])),
            high_dbm0: hundredths(f64::from(quality.level_dbm0[1])),
            twist_db: hundredths(f64::from(quality.twist_db())),
            low_deviation_percent: percent(quality.deviation[0]),
            high_deviation_percent: percent(quality.deviation[1]),
            snr_db: hundredths(f64::from(quality.snr_db)),
        }
    }
}

/// Rounded for reading; never -0.0.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}

/// A file that cannot be read is told, and does not keep the others from being heard.
pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let raw = flags.files.iter().any(|path| path == Path::new("-"));
    ensure!(
        raw || flags.rate.is_none(),
        "--rate is for raw input from -; a WAV file says its own rate"
    );
    let mut out = std::io::stdout().lock();
    let mut bad = 0;
    for path in &flags.files {
        let name = path.display().to_string();
        let wav = match read(path, flags.rate) {
            Ok(wav) => wav,
            Err(error) => {
                eprintln!("tonegate: {name}: {error:#}");
                bad += 1;
                continue;
            }
        };
        for press in presses(&name, &wav, flags.explain) {
            serde_json::to_writer(&mut out, &press)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    let all = flags.files.len();
    ensure!(bad == 0, "{bad} of {all} could not be read");
    Ok(())
}

fn read(path: &Path, rate: Option<u32>) -> anyhow::Result<Wav> {
    if path != Path::new("-") {
        let mut file = Vec::new();
        File::open(path)?.read_to_end(&mut file)?;
        return Ok(Wav::read(&file)?);
    }
    let rate = rate.context("raw input needs --rate")?;
    let rate =
        SampleRate::from_hz(rate).ok_or(anyhow!("the rate must be 8000, 16000, 24000 or 48000"))?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(RAW_MAX + 1)
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= RAW_MAX,
        "more than three hours of audio"
    );
    let mut samples = vec![0; bytes.len() / 2];
    pcm16_from_bytes(&bytes, &mut samples)?;
    Ok(Wav { rate, samples })
}

/// Feeds a recording in frames, as a call would, and then silence until a key that is still down is up.
fn presses<'a>(file: &'a str, wav: &Wav, explain: bool) -> Vec<Press<'a>> {
    let rate = wav.rate;
    let end_ms = hundredths(rate.millis(wav.samples.len() as u64));
    let frame = rate.samples_in(FRAME) as usize;
    let silence = vec![0; frame * SILENT_FRAMES];
    let mut detector = Detector::new(rate, Setting::Standard);
    let mut presses: Vec<Press<'a>> = Vec::new();
    let mut heard = 0;
    for samples in wav.samples.chunks(frame).chain(silence.chunks(frame)) {
        heard += samples.len() as u64;
        detector.push(samples, |event| match event {
            Event::KeyDown {
                digit,
                start,
                quality,
                ..
            } => presses.push(Press {
                file,
                digit: digit.as_char(),
                start_ms: hundredths(rate.millis(start)),
                end_ms,
                decided_ms: hundredths(rate.millis(heard)),
                explained: explain.then(|| Explained::of(&quality)),
            }),
            Event::KeyUp { end, .. } => {
                if let Some(press) = presses.last_mut() {
                    press.end_ms = hundredths(rate.millis(end)).min(end_ms);
                }
            }
        });
    }
    presses
}
