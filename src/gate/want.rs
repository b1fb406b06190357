//! What is said between the gate and its owner: closed sets.

use super::entry::Entry;
use super::replay::Look;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Pending,
    Authorised,
    Rejected,
    Expired,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [
        State::Pending,
        State::Authorised,
        State::Rejected,
        State::Expired,
    ];

    /// The word used in logs, metrics and the admin view.
    pub const fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Authorised => "authorised",
            State::Rejected => "rejected",
            State::Expired => "expired",
        }
    }
}

/// What the gate wants.
#[derive(Debug)]
pub enum Want {
    /// To have this entry tried at the store, and the [`Answer`]. A store that fails gives no answer.
    Try(Entry),
    /// To have the audio looked at once more, and what was [`Found`](super::Found).
    Look(Look),
    /// To have this played, if the settings have it.
    Say(Prompt),
}

/// What a caller may hear; the files are those of [`Prompts`](crate::config::Prompts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// At first.
    Prompt,
    /// After a failed attempt that was not the last.
    Retry,
    /// With a verdict that ends the call.
    Goodbye,
}

/// What the store says to a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key was there.
    Opened,
    /// It was not.
    Wrong,
    /// The caller has failed too often, in whatever calls.
    LockedOut,
}
