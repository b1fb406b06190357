//! The hand on the telephone: keys, words and the hook, from outside the running call.
//!
//! Owns what both directions and whoever watches share. Refuses to know the socket. Nothing here
//! waits for the wire: what is asked for is done with the next frame.

use super::Options;
use super::line::{Keying, Line, Talker, Unsaid};
use super::playback::Playback;
use super::record::Record;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The most texts that wait to be sent as they are.
pub const TEXTS_MAX: usize = 1024;

/// How the caller goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// With a close frame, now.
    HangUp,
    /// With a close frame, once nothing waits to be said.
    WhenSaid,
    /// Without one, now.
    Vanish,
}

/// What a call's parts share.
pub(super) struct Shared {
    pub(super) options: Options,
    state: Mutex<State>,
    /// Something to send came up.
    pub(super) work: Notify,
    changes: watch::Sender<u64>,
}

pub(super) struct State {
    pub(super) line: Line,
    pub(super) texts: VecDeque<String>,
    pub(super) leave: Option<Leave>,
    pub(super) playback: Playback,
    pub(super) record: Record,
}

/// A hold on a call. Clones hold the same call.
#[derive(Clone)]
pub struct Hand {
    shared: Arc<Shared>,
}

impl Shared {
    pub(super) fn new(options: Options, record: Record) -> Self {
        let state = State {
            line: Line::new(options.rate),
            texts: VecDeque::new(),
            leave: None,
            playback: Playback::new(options.rate),
            record,
        };
        Self {
            options,
            state: Mutex::new(state),
            work: Notify::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// A panic elsewhere leaves a record that is still worth reading.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is remembered and tells whoever waits.
    pub(super) fn note(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The record as it is when all is over.
    pub(super) fn finished(&self) -> Record {
        self.lock().record.clone()
    }

    fn ask<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let asked = change(&mut self.lock());
        self.work.notify_one();
        asked
    }
}

impl State {
    /// Whether a caller that is not paced has something to do.
    pub(super) fn waits(&self) -> bool {
        !self.line.is_empty() || !self.texts.is_empty() || self.leave.is_some()
    }

    /// Plays until `now`, which is the end, and keeps what was heard.
    pub(super) fn played(&mut self, now: Instant) {
        let (heard, left_out) = self.playback.finish(now - self.record.dialled.upgrade);
        self.record.heard = heard;
        self.record.left_out += left_out;
    }
}

impl Hand {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The caller presses keys behind what waits to be said: `0`-`9`, `A`-`D`, `*`, `#`, and `,`
    /// for a pause.
    pub fn press(&self, keys: &str, keying: &Keying) -> Result<(), Unsaid> {
        self.press_as(Talker::Caller, keys, keying)
    }

    /// Someone presses keys. The messages of another than the caller name that one, where they
    /// name anyone.
    pub fn press_as(&self, talker: Talker, keys: &str, keying: &Keying) -> Result<(), Unsaid> {
        self.shared
            .ask(|state| state.line.press(talker, keys, keying))
    }

    /// Someone says these samples, at the call's rate, behind what waits.
    pub fn say(&self, talker: Talker, samples: &[i16]) -> Result<(), Unsaid> {
        self.shared.ask(|state| state.line.say(talker, samples))
    }

    /// Someone says nothing for so long, rounded up to 20 ms.
    pub fn pause(&self, talker: Talker, length: Duration) -> Result<(), Unsaid> {
        self.shared.ask(|state| state.line.pause(talker, length))
    }

    /// Sends a text as it is, before the next frame.
    pub fn send(&self, text: &str) -> Result<(), Unsaid> {
        self.shared.ask(|state| {
            if state.texts.len() == TEXTS_MAX {
                return Err(Unsaid::Full);
            }
            state.texts.push_back(text.to_owned());
            Ok(())
        })
    }

    /// Ends the call now, with close code 1000: what ACS sends is not documented.
    pub fn hang_up(&self) {
        self.shared.ask(|state| state.leave = Some(Leave::HangUp));
    }

    /// Ends the call as soon as all is said that waits.
    pub fn hang_up_when_said(&self) {
        self.shared.ask(|state| state.leave = Some(Leave::WhenSaid));
    }

    /// Ends the stream without a close frame, as a crash would.
    pub fn vanish(&self) {
        self.shared.ask(|state| state.leave = Some(Leave::Vanish));
    }

    /// Whether both hold the same call.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Looks at what happened so far. `heard` is filled in only at the end.
    pub fn look<T>(&self, at: impl FnOnce(&Record) -> T) -> T {
        at(&self.shared.lock().record)
    }

    /// Waits until `holds` is true of what happened. The caller sets the deadline.
    pub async fn until(&self, holds: impl Fn(&Record) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        while !self.look(&holds) {
            changes
                .changed()
                .await
                .expect("the call owns the sender, and we hold the call");
        }
    }
}
