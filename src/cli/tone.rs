//! `tonegate tone`: a recording of keys, for tests of anything that listens.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::audio::SampleRate;
use crate::audio::wav::Wav;
use crate::dtmf::tone::{Pace, sequence};

#[derive(Args)]
pub(super) struct Flags {
    /// Keys to dial: 0-9 A-D * #, and a comma for a pause of two seconds
    keys: String,
    /// Sample rate in Hz: 8000, 16000, 24000 or 48000
    #[arg(long, default_value_t = 16_000, value_name = "HZ")]
    rate: u32,
    /// WAV file to write; - is standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let rate = SampleRate::from_hz(flags.rate)
        .ok_or_else(|| anyhow!("the rate must be 8000, 16000, 24000 or 48000"))?;
    let samples = sequence(&flags.keys, rate, &Pace::default())?;
    let file = Wav { rate, samples }.write();
    if flags.output == Path::new("-") {
        let mut out = std::io::stdout().lock();
        out.write_all(&file)?;
        return Ok(out.flush()?);
    }
    std::fs::write(&flags.output, file)
        .with_context(|| format!("cannot write {}", flags.output.display()))
}
