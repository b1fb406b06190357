//! `gate = { … }`: what lets a call through, and the bounds of whoever dials a code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::route::At;
use crate::audio::wav::Wav;
use crate::config::file::Gate as Written;
use crate::config::{Ani, CODE_DIGITS, CodeLength, Dialled, Feeds, Flow, Gate, Prompts, Rate};

const HOUR: Duration = Duration::from_secs(3600);
/// Somebody who mistypes calls again once or twice; who guesses has 120 tries a day at a number.
const PER_ANI: Rate = Rate {
    count: 5,
    per: HOUR,
};
/// The mistakes of some thousand callers an hour.
const PER_ROUTE: Rate = Rate {
    count: 600,
    per: HOUR,
};
/// Where callers cannot be told apart nothing else bounds guesses beside the attempts of a call.
const PER_ROUTE_SHARED: Rate = Rate {
    count: 60,
    per: HOUR,
};
const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=10;
const DEADLINE: Duration = Duration::from_secs(30);
/// A caller who has said nothing for so long has gone.
const DEADLINE_MAX: Duration = Duration::from_secs(300);
const BETWEEN: Duration = Duration::from_secs(5);
/// Prompts stay in memory, and nobody listens to longer ones.
const PROMPT_MAX: Duration = Duration::from_secs(60);

/// The flow, or any where none is written as it must be, which is told.
pub(super) fn flow(at: &mut At<'_>, written: &Written) -> Flow {
    let dialled = match written.flow.as_deref() {
        Some("pstn") => Dialled::Pstn {
            ani: ani(at, written),
        },
        Some("sip") => Dialled::SipAlias,
        Some("sip-header") => {
            undialled(at, written, "sip-header");
            let consume = written.consume.unwrap_or(false);
            return Flow::SipHeader { consume };
        }
        Some("api") => {
            undialled(at, written, "api");
            let consume = written.consume.unwrap_or(false);
            return Flow::Api { consume };
        }
        Some("open") => {
            undialled(at, written, "open");
            if written.consume.is_some() {
                at.add("gate.consume", "has no use with flow = \"open\"");
            }
            return Flow::Open;
        }
        Some(other) => {
            let what =
                format!("{other:?} must be \"pstn\", \"sip\", \"sip-header\", \"api\" or \"open\"");
            at.add("gate.flow", what);
            return Flow::Open;
        }
        None => {
            at.add(
                "gate.flow",
                "missing; what lets a call through: a dialled code (\"pstn\", \"sip\"), a key that \
                 is looked up (\"sip-header\", \"api\"), or that the call is known (\"open\")",
            );
            return Flow::Open;
        }
    };
    if dialled == Dialled::SipAlias && written.ani.is_some() {
        at.add("gate.ani", "has a use with flow = \"pstn\" only");
    }
    let shared = dialled == (Dialled::Pstn { ani: Ani::Shared });
    if shared && written.attempts_per_ani.is_some() {
        at.add(
            "gate.attempts_per_ani",
            "has no use with ani = \"shared\": all callers have one number",
        );
    }
    Flow::Dialled(Arc::new(gate(at, written, dialled)))
}

/// Keys of flows in which a code is dialled.
fn undialled(at: &mut At<'_>, written: &Written, flow: &str) {
    for (key, is_written) in [
        ("digits", written.digits.is_some()),
        ("max_digits", written.max_digits.is_some()),
        ("deadline", written.deadline.is_some()),
        ("between", written.between.is_some()),
        ("attempts", written.attempts.is_some()),
        ("attempts_per_ani", written.attempts_per_ani.is_some()),
        ("attempts_per_route", written.attempts_per_route.is_some()),
        ("second_look", written.second_look.is_some()),
        ("ani", written.ani.is_some()),
        ("feeds", written.feeds.is_some()),
        ("prompt", written.prompt.is_some()),
        ("retry", written.retry.is_some()),
        ("goodbye", written.goodbye.is_some()),
    ] {
        if is_written {
            let what = format!("has no use with flow = {flow:?}: nothing is dialled");
            at.add(&format!("gate.{key}"), what);
        }
    }
}

fn ani(at: &mut At<'_>, written: &Written) -> Ani {
    match written.ani.as_deref() {
        None | Some("signalling") => Ani::Signalling,
        Some("shared") => Ani::Shared,
        Some("digits") => Ani::Digits,
        Some(other) => {
            at.add(
                "gate.ani",
                format!("{other:?} must be \"signalling\", \"shared\" or \"digits\""),
            );
            Ani::Signalling
        }
    }
}

fn gate(at: &mut At<'_>, written: &Written, dialled: Dialled) -> Gate {
    let deadline = written.deadline.unwrap_or(DEADLINE);
    let between = written.between.unwrap_or(BETWEEN.min(deadline));
    if deadline.is_zero() || deadline > DEADLINE_MAX {
        at.add("gate.deadline", "must be more than 0 and at most 5m");
    }
    if between.is_zero() || between > deadline {
        at.add("gate.between", "must be more than 0 and at most deadline");
    }
    let attempts = written.attempts.unwrap_or(3);
    if !ATTEMPTS.contains(&attempts) {
        at.add("gate.attempts", "must be 1 to 10");
    }
    Gate {
        dialled,
        length: length(at, written),
        feeds: feeds(at, written),
        deadline,
        between,
        attempts,
        second_look: written.second_look.unwrap_or(true),
        consume: written.consume.unwrap_or(true),
        prompts: Prompts {
            prompt: wav(at, "gate.prompt", written.prompt.as_ref()),
            retry: wav(at, "gate.retry", written.retry.as_ref()),
            goodbye: wav(at, "gate.goodbye", written.goodbye.as_ref()),
        },
    }
}

fn length(at: &mut At<'_>, written: &Written) -> CodeLength {
    let (key, digits, length) = match (written.digits, written.max_digits) {
        (Some(digits), None) => ("gate.digits", digits, CodeLength::Fixed(digits)),
        (None, Some(digits)) => ("gate.max_digits", digits, CodeLength::UpTo(digits)),
        (None, None) => {
            at.add(
                "gate.digits",
                "missing; digits = 6 for codes of one length, or max_digits = 8 for codes that \
                 end with # or a pause",
            );
            return CodeLength::Fixed(*CODE_DIGITS.end());
        }
        (Some(digits), Some(_)) => {
            at.add(
                "gate.max_digits",
                "digits and max_digits exclude each other",
            );
            ("gate.digits", digits, CodeLength::Fixed(digits))
        }
    };
    if !CODE_DIGITS.contains(&digits) {
        let what = format!("must be {} to {}", CODE_DIGITS.start(), CODE_DIGITS.end());
        at.add(key, what);
    }
    length
}

/// Tones in the audio and messages beside it, which both come with the call itself.
fn feeds(at: &mut At<'_>, written: &Written) -> Feeds {
    let Some(names) = &written.feeds else {
        return Feeds {
            in_band: true,
            messages: true,
            callbacks: false,
        };
    };
    let mut feeds = Feeds {
        in_band: false,
        messages: false,
        callbacks: false,
    };
    if names.is_empty() {
        at.add("gate.feeds", "names none, so no digit could be heard");
    }
    for name in names {
        let feed = match name.as_str() {
            "in_band" => &mut feeds.in_band,
            "messages" => &mut feeds.messages,
            "callbacks" => &mut feeds.callbacks,
            other => {
                let what = format!("{other:?} must be \"in_band\", \"messages\" or \"callbacks\"");
                at.add("gate.feeds", what);
                continue;
            }
        };
        if std::mem::replace(feed, true) {
            at.add("gate.feeds", format!("{name:?} stands twice"));
        }
    }
    feeds
}

fn wav(at: &mut At<'_>, key: &str, path: Option<&PathBuf>) -> Option<Wav> {
    let file = at.file(key, path?)?;
    let wav = match Wav::read(&file) {
        Ok(wav) => wav,
        Err(error) => {
            at.add(key, error);
            return None;
        }
    };
    let samples = wav.samples.len() as u64;
    if samples == 0 || samples > wav.rate.samples_in(PROMPT_MAX) {
        at.add(key, "must hold some audio, and at most 60s of it");
    }
    Some(wav)
}

/// How many attempts may fail where nothing else is written: of a caller, of all.
pub(super) fn rates(flow: &Flow) -> (Option<Rate>, Option<Rate>) {
    match flow {
        Flow::Dialled(gate) => match gate.dialled {
            Dialled::Pstn { ani: Ani::Shared } => (None, Some(PER_ROUTE_SHARED)),
            Dialled::Pstn {
                ani: Ani::Signalling | Ani::Digits,
            }
            | Dialled::SipAlias => (Some(PER_ANI), Some(PER_ROUTE)),
        },
        Flow::Open | Flow::Api { .. } | Flow::SipHeader { .. } => (None, None),
    }
}
