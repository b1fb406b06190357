//! The timeline in words: what each event of a call means to whoever called.
//!
//! Owns the sentences. Refuses to judge the call as a whole, and to print.

use std::time::Instant;

use super::Flags;
use crate::sim::acs::record::{Ending, Event, Record};

/// Close codes of the gate.
pub(super) const CODE_WRONG: u16 = 4403;
pub(super) const GATE_EXPIRED: u16 = 4408;

/// One line of the timeline.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) detail: String,
}

/// What event number `at` means to whoever called.
pub(super) fn step(record: &Record, at: usize, flags: &Flags) -> Step {
    let before = &record.events[..at];
    let (name, ok, detail) = match &record.events[at].1 {
        Event::Metadata => {
            let channel = if flags.unmixed { "unmixed" } else { "mixed" };
            let detail = format!("AudioMetadata sent: PCM, {} Hz, {channel}", flags.rate.hz());
            ("metadata", true, detail)
        }
        Event::Key => {
            let nth = count_keys(before) + 1;
            let by = flags.by.words();
            (
                "key",
                true,
                format!("{nth} of {} pressed, {by}", flags.keys()),
            )
        }
        Event::Spoke => ("speech", true, "the caller begins to speak".to_owned()),
        Event::Audio => audio(record, at, flags.keys()),
        Event::Stop { dropped } => {
            let since = since(record, at, |event| *event == Event::Spoke);
            let after = since.map_or_else(String::new, |ms| format!(" {ms} ms after speech"));
            if dropped.is_zero() {
                // The service tells of each turn so, whether it speaks or not.
                let detail = format!("StopAudio{after}: nothing was being played");
                ("stop", true, detail)
            } else {
                let dropped = dropped.as_millis();
                let detail = format!("StopAudio{after}: {dropped} ms of audio dropped unplayed");
                ("barge-in", true, detail)
            }
        }
        Event::Wrong(violation) => {
            let detail = format!("the edge sent what ACS does not expect: {violation:?}");
            ("protocol", false, detail)
        }
        Event::Ended(ending) => ended(ending),
    };
    Step { name, ok, detail }
}

/// A gate cannot be seen from here. What comes behind the last key tells that it opened, unless it
/// is its prompt.
fn audio(record: &Record, at: usize, keys: usize) -> (&'static str, bool, String) {
    let before = &record.events[..at];
    if count_keys(before) < keys {
        let detail = "audio before the last key: a prompt, or there is no gate".to_owned();
        return ("audio", true, detail);
    }
    let last_key = before.iter().rposition(|(_, event)| *event == Event::Key);
    let mut behind = before[last_key.unwrap_or_default()..].iter();
    if behind.any(|(_, event)| *event == Event::Audio) {
        return ("audio", true, "audio again after StopAudio".to_owned());
    }
    let after = |event: &Event| since(record, at, |other| other == event);
    let detail = match (after(&Event::Key), after(&Event::Spoke)) {
        (Some(key), spoke) => {
            // Words before the last key were not for the agent.
            let spoke = spoke.filter(|spoke| *spoke <= key);
            let spoke = spoke.map_or_else(String::new, |ms| format!(", {ms} ms after speech"));
            format!("{key} ms after the last key{spoke}: behind the gate, or its prompt")
        }
        (None, Some(ms)) => format!("the answer begins {ms} ms after speech"),
        (None, None) => "the agent speaks first".to_owned(),
    };
    ("first audio", true, detail)
}

fn ended(ending: &Ending) -> (&'static str, bool, String) {
    match ending {
        Ending::HungUp => ("end", true, "the caller hung up".to_owned()),
        Ending::Vanished => ("end", true, "the caller vanished".to_owned()),
        Ending::Closed {
            code: Some(CODE_WRONG),
            reason,
        } => {
            let what = match reason.as_str() {
                "code_wrong" => "the code was wrong, and no attempt is left",
                "locked_out" => {
                    "too many codes were wrong, of this number (attempts_per_ani) or of all callers (attempts_per_route)"
                }
                _ => "a wrong code, or too many of them",
            };
            let detail = format!("closed with {CODE_WRONG}{}: {what}", word(reason));
            ("gate", false, detail)
        }
        Ending::Closed {
            code: Some(GATE_EXPIRED),
            reason,
        } => {
            let detail = format!(
                "closed with {GATE_EXPIRED}{}: no code in time",
                word(reason)
            );
            ("gate", false, detail)
        }
        Ending::Closed { code, reason } => {
            let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
            let detail = format!("closed by the edge with {code} {reason:?}");
            ("end", true, detail)
        }
        Ending::Lost => {
            let detail = "the stream ended without a close frame".to_owned();
            ("end", false, detail)
        }
    }
}

/// The reason of a close frame as the word that it is, or, as it is the other side's, not at all.
pub(super) fn word(reason: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if reason.is_empty() || !reason.bytes().all(is_word) {
        return String::new();
    }
    format!(" {reason}")
}

fn count_keys(events: &[(Instant, Event)]) -> usize {
    let keys = events.iter().filter(|(_, event)| *event == Event::Key);
    keys.count()
}

/// Milliseconds from the last such event before number `at` to that one.
fn since(record: &Record, at: usize, wanted: impl Fn(&Event) -> bool) -> Option<u128> {
    let (when, _) = record.events[at];
    let mut before = record.events[..at].iter();
    let (then, _) = before.rfind(|(_, event)| wanted(event))?;
    Some(when.duration_since(*then).as_millis())
}
