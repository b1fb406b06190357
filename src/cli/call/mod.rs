//! `tonegate call`: a telephone, with Azure Communication Services played.

mod flags;
mod steps;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::time::sleep;

pub(super) use self::flags::Flags;
use self::steps::{CODE_WRONG, GATE_EXPIRED, Step, step, word};
use super::demo::Show;
use super::serve::signalled;
use crate::audio::wav::Wav;
use crate::sim::acs::Call;
use crate::sim::acs::hand::Hand;
use crate::sim::acs::line::Talker;
use crate::sim::acs::record::{Ending, Record};
use crate::sim::client::Error;

/// Silence between the keys and what is said: the edge forwards from the last key's end, or a
/// second after it.
const BEFORE_SPEECH: Duration = Duration::from_millis(1_500);

/// How far into an answer a caller breaks in.
const BEFORE_BARGE_IN: Duration = Duration::from_millis(500);

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let show = Show::new(flags.json, "call");
    let called = runtime.block_on(call(flags, &show));
    show.verdict(called.is_ok());
    std::io::stdout().flush()?;
    called
}

/// Calls, and tells each step as it happens. An error if the call did not go through.
async fn call(flags: &Flags, show: &Show) -> anyhow::Result<()> {
    flags.judge()?;
    let options = flags.options();
    let speech = flags.speech(options.rate)?;
    let dial = flags.dial(show).await?;
    let call = match Call::dial(&dial, options.clone()).await {
        Ok(call) => call,
        Err(error) => {
            show.failed("101", &refusal(&error));
            bail!("the call did not go through: {error}");
        }
    };
    let hand = call.hand();
    let dialled = hand.look(|record| record.dialled);
    if let Some((security, secured)) = call.security().zip(dialled.tls) {
        let group = security.group.as_deref().unwrap_or("resumed");
        let detail = format!("{}, {}, {group}", security.version, security.cipher);
        show.passed("TLS", secured, &detail);
    }
    show.passed("101", dialled.upgrade, "the media stream was let in");
    if !flags.digits.is_empty() {
        hand.press(&flags.digits, &flags.by.keying())?;
        hand.pause(Talker::Caller, BEFORE_SPEECH)?;
    }
    hand.say(Talker::Caller, &speech)?;
    let record = follow(call, &hand, flags, &speech, show).await?;
    if let Some(path) = &flags.play_into {
        let (rate, samples) = (options.rate, record.heard.clone());
        std::fs::write(path, Wav { rate, samples }.write())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    verdict(&record, flags.keys())
}

/// Runs the call until it ends, hangs up when its time is over or on a signal.
async fn follow(
    call: Call,
    hand: &Hand,
    flags: &Flags,
    speech: &[i16],
    show: &Show,
) -> anyhow::Result<Record> {
    let mut running = std::pin::pin!(call.run());
    let mut over = std::pin::pin!(sleep(Duration::from_secs(flags.seconds.into())));
    let mut signal = std::pin::pin!(signalled());
    let (mut told, mut left, mut broke_in) = (0, false, false);
    loop {
        // Cancelled, `until` has forgotten nothing; the others live as long as the loop.
        let ended = tokio::select! {
            record = &mut running => Some(record),
            () = hand.until(|record| record.events.len() > told) => None,
            () = &mut over, if !left => {
                left = true;
                hand.hang_up();
                None
            }
            _ = &mut signal, if !left => {
                left = true;
                hand.hang_up();
                None
            }
        };
        let tell = |record: &Record| {
            for at in told..record.events.len() {
                let Step { name, ok, detail } = step(record, at, flags);
                if ok {
                    show.passed(name, record.events[at].0, &detail);
                } else {
                    show.failed(name, &detail);
                }
            }
            let all_keys = record.keys() == flags.keys();
            (record.events.len(), all_keys && record.answered().is_some())
        };
        let (seen, answered) = match &ended {
            Some(record) => tell(record),
            None => hand.look(tell),
        };
        told = seen;
        if let Some(record) = ended {
            return Ok(record);
        }
        if flags.barge_in && answered && !broke_in {
            broke_in = true;
            hand.pause(Talker::Caller, BEFORE_BARGE_IN)?;
            hand.say(Talker::Caller, speech)?;
        }
    }
}

/// Whether the call went through: audio came back after the last key, nothing was wrong.
fn verdict(record: &Record, keys: usize) -> anyhow::Result<()> {
    if let Some(Ending::Closed {
        code: Some(code @ (CODE_WRONG | GATE_EXPIRED)),
        reason,
    }) = &record.ending
    {
        bail!(
            "the call did not go through: the gate closed it with {code}{}",
            word(reason)
        );
    }
    let pressed = record.keys();
    ensure!(
        pressed == keys,
        "the call did not go through: it ended after {pressed} of {keys} keys"
    );
    ensure!(
        record.answered().is_some(),
        "the call did not go through: no audio came back{}",
        // What the caller cannot see from here, but may have brought about.
        if keys > 0 {
            "; a gate that allows more attempts waits on after a wrong code"
        } else {
            ""
        }
    );
    ensure!(
        record.ending != Some(Ending::Lost),
        "the call ended without a close frame"
    );
    let wrong = record.violations.len();
    ensure!(wrong == 0, "the edge broke the protocol {wrong} times");
    Ok(())
}

/// Why there was no 101. What the edge says of it is the other side's text, so it is shown quoted.
fn refusal(error: &Error) -> String {
    let Error::Refused(refused) = error else {
        return error.to_string();
    };
    let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap_or_default();
    let told = |name: &str| problem[name].as_str().map(|text| format!(", {text:?}"));
    let [title, detail] = ["title", "detail"].map(|name| told(name).unwrap_or_default());
    format!("{error}{title}{detail}")
}

#[cfg(test)]
mod tests;
