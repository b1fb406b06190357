//! The gate by a clock of its own: what callers dial, written as text, and what becomes of it.

mod chaos;
mod ears;
mod grammar;
mod merge;
mod model;
mod second;
mod secret;
mod time;

use std::time::Duration;

use super::last::{LONG_PRESS, PRESS};
use super::*;
use crate::config::{Ani, CodeLength, Dialled, Feeds};

/// A pause this long ends an entry.
const BETWEEN: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(30);
/// From key to key.
const PACE: Duration = Duration::from_millis(300);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(dialled: Dialled, length: CodeLength) -> config::Gate {
    config::Gate {
        dialled,
        length,
        feeds: Feeds {
            in_band: true,
            messages: true,
            callbacks: true,
        },
        deadline: DEADLINE,
        between: BETWEEN,
        attempts: 3,
        second_look: false,
        consume: true,
        prompts: config::Prompts::default(),
    }
}

/// Codes of three digits from a caller whose number signalling tells.
fn pstn() -> config::Gate {
    let ani = Ani::Signalling;
    settings(Dialled::Pstn { ani }, CodeLength::Fixed(3))
}

fn digit(label: char) -> Digit {
    Digit::from_char(label).expect("a key")
}

/// What it wants now, as text: `try 1 823`, `look`, `prompt`, `retry`, `goodbye`.
fn wants(gate: &mut Gate, at: Duration) -> Vec<String> {
    let mut wants = Vec::new();
    while let Some(want) = gate.poll(at) {
        wants.push(match want {
            Want::Try(entry) => {
                let ani = entry.ani().map_or("", |ani| ani.expose());
                format!("try {} {ani}{}", entry.number(), entry.code().expose())
            }
            Want::Look(_) => "look".to_owned(),
            Want::Say(Prompt::Prompt) => "prompt".to_owned(),
            Want::Say(Prompt::Retry) => "retry".to_owned(),
            Want::Say(Prompt::Goodbye) => "goodbye".to_owned(),
        });
        assert!(wants.len() < 100, "it never has enough");
    }
    wants
}

/// Dials at [`PACE`], and says when it is done.
fn dial(gate: &mut Gate, feed: Feed, keys: &str, mut at: Duration) -> Duration {
    for key in keys.chars() {
        assert_eq!(gate.press(feed, digit(key), at), Press::New, "{key}");
        at += PACE;
    }
    at
}
