//! What the edge itself says to a caller: when, whole, and instead of what.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tonegate::audio::SampleRate;
use tonegate::audio::wav::Wav;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Options, Pace};

use super::world::{ANI, Line, Phone, find, same, signed, speech};
use crate::harness::folder;

const RATE: SampleRate = SampleRate::Hz24000;

/// The files of a test.
struct Said {
    folder: PathBuf,
    prompt: Vec<i16>,
    retry: Vec<i16>,
    goodbye: Vec<i16>,
}

impl Drop for Said {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Said {
    fn new(rate: SampleRate) -> Said {
        let folder = folder();
        let whole = speech(4.0, rate);
        // Three stretches of one voice, none of which is in another.
        let cut = |from: f64, to: f64| {
            let at = |seconds: f64| (seconds * f64::from(rate.hz())) as usize;
            whole[at(from)..at(to)].to_vec()
        };
        // The first takes more than one message.
        let said = Said {
            prompt: cut(0.0, 1.7),
            retry: cut(1.8, 2.3),
            goodbye: cut(2.5, 3.1),
            folder,
        };
        for (name, samples) in [
            ("prompt", &said.prompt),
            ("retry", &said.retry),
            ("goodbye", &said.goodbye),
        ] {
            let wav = Wav {
                rate,
                samples: samples.clone(),
            };
            fs::write(said.folder.join(format!("{name}.wav")), wav.write()).unwrap();
        }
        said
    }

    fn line(&self, gate: &str) -> Line {
        let file = |name: &str| {
            let path = self.folder.join(format!("{name}.wav"));
            format!("{name} = \"{}\"", path.display())
        };
        Line {
            gate: format!(
                "flow = \"pstn\", digits = 3, {gate}, {}, {}, {}",
                file("prompt"),
                file("retry"),
                file("goodbye")
            ),
            ..Line::default()
        }
    }

    /// Without what a clock of another machine may cut off.
    fn most_of_goodbye(&self) -> &[i16] {
        &self.goodbye[..self.goodbye.len() - RATE.samples_in(Duration::from_millis(100)) as usize]
    }
}

#[tokio::test]
async fn a20_a_caller_hears_the_prompt_the_retry_and_the_goodbye_before_the_close() {
    let said = Said::new(RATE);
    let phone = Phone::with(said.line("attempts = 2")).await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.until("the prompt", |record| record.received == said.prompt)
        .await;
    call.dials("111", &Keying::messages());
    let twice = [&said.prompt[..], &said.retry].concat();
    call.until("the retry", |record| record.received == twice)
        .await;
    call.dials("222", &Keying::messages());
    let record = call.closed(4403, "code_wrong").await;
    let all = [twice, said.goodbye.clone()].concat();
    same("all", &record.received, &all);
    // What was still being said was stopped for it.
    assert_eq!(record.stops().len(), 2);
    assert!(find(&said.prompt[..480], &record.heard).is_some());
    assert!(find(&said.retry[..480], &record.heard).is_some());
    assert!(
        find(said.most_of_goodbye(), &record.heard).is_some(),
        "it was cut short"
    );
    assert_eq!(phone.world.upstream_total(), 0);
}

/// Also where no frame comes that could wake anybody.
#[tokio::test]
async fn a20_the_goodbye_of_a_gate_that_expires_is_heard_by_a_silent_caller() {
    let said = Said::new(RATE);
    let phone = Phone::with(said.line("deadline = \"500ms\"")).await;
    let options = Options {
        pace: Pace::AtOnce,
        ..Options::default()
    };
    let call = phone.rings(&phone.dial(&signed("c1")), options).await;
    let record = call.closed(4408, "gate_expired").await;
    let all = [&said.prompt[..], &said.goodbye].concat();
    same("all", &record.received, &all);
    assert!(
        find(said.most_of_goodbye(), &record.heard).is_some(),
        "it was cut short"
    );
}

#[tokio::test]
async fn a20_a_prompt_of_another_rate_is_counted_and_the_gate_works_without_it() {
    let said = Said::new(SampleRate::Hz16000);
    let phone = Phone::with(said.line("attempts = 2")).await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("111,823", &Keying::messages());
    phone.upstream_got(Duration::from_millis(100), RATE).await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert!(record.received.is_empty() && record.stops().is_empty());
    phone.gates("authorised", 1).await;
    // The prompt and the retry, which count when the call has ended.
    phone
        .eventually("two prompts", |phone| phone.dropped("prompt") == 2)
        .await;
}

/// A prompt is no reason to hear nothing: who knows the code dials into it.
#[tokio::test]
async fn a20_keys_are_heard_while_a_prompt_plays() {
    let said = Said::new(RATE);
    let phone = Phone::with(said.line("attempts = 1")).await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("823", &Keying::tones());
    phone.upstream_got(Duration::from_millis(100), RATE).await;
    call.hand.hang_up();
    let record = call.ended().await;
    same("the prompt", &record.received, &said.prompt);
    phone.gates("authorised", 1).await;
}
