//! spandsp's receiver of tones as a second ear: it shares nothing with ours.

use std::fs;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tonegate::audio::SampleRate;
use tonegate::audio::wav::Wav;

use crate::harness::{folder, within};
use crate::program::tool;

/// How many keys spandsp hears.
pub async fn keys_heard(samples: &[i16], rate: SampleRate) -> u64 {
    // It hears 8 kHz only. Tones end at 1,633 Hz, so that a mean over the step is filter enough.
    let step = rate.hz() as usize / 8000;
    let mean =
        |few: &[i16]| (few.iter().map(|&s| i32::from(s)).sum::<i32>() / few.len() as i32) as i16;
    let mut samples: Vec<i16> = samples.chunks(step).map(mean).collect();
    // A key that the end cuts off is reported once there is silence.
    samples.resize(samples.len() + 800, 0);
    let folder = folder();
    let file = folder.join("heard.wav");
    let wav = Wav {
        rate: SampleRate::Hz8000,
        samples,
    };
    fs::write(&file, wav.write()).unwrap();
    let mut child = Command::new(tool("bin/spandsp"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = format!("{}\n", file.display());
    input.write_all(line.as_bytes()).await.unwrap();
    drop(input);
    let output = within("spandsp", child.wait_with_output()).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let count = told
        .strip_prefix("spandsp, speech: ")
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_else(|| panic!("spandsp said {told:?}"));
    count.parse().unwrap()
}
