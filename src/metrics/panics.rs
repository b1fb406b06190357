//! Counts panics by what they ended.

use metrics::Counter;

use super::name::PANICS;
use super::{Metrics, word};

/// What a panic ends; the closed list of the label `where`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A client's connection, before its request is looked at or after it is answered.
    Connection,
    /// A request before the `101`, or one that is answered.
    Request,
    /// A session.
    Session,
    /// What is done behind a request or a session, and nobody waits for.
    Background,
    /// A request of the operator.
    Admin,
    /// What accepts connections, or keeps something going for as long as the edge lives.
    Upkeep,
}

impl Work {
    const ALL: [Work; 6] = [
        Work::Connection,
        Work::Request,
        Work::Session,
        Work::Background,
        Work::Admin,
        Work::Upkeep,
    ];

    fn word(self) -> &'static str {
        match self {
            Work::Connection => "connection",
            Work::Request => "request",
            Work::Session => "session",
            Work::Background => "background",
            Work::Admin => "admin",
            Work::Upkeep => "upkeep",
        }
    }
}

impl Metrics {
    /// Counts a panic.
    pub fn panicked(&self, what: Work) {
        self.add(PANICS, vec![word("where", what.word())], 1);
    }
}

/// The counter for whoever has only counters. To be called where a recorder is.
pub(super) fn counter(what: Work) -> Counter {
    metrics::counter!(PANICS, vec![word("where", what.word())])
}

/// Shows all of them as zero from the start: of a counter that begins with one panic nobody could tell
/// that it has grown. To be called where a recorder is.
pub(super) fn expect() {
    for what in Work::ALL {
        counter(what).absolute(0);
    }
}
