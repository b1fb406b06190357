//! What happened, for tests and for the printed lines.
//!
//! Owns the closed list of happenings and the bound on memory. No digit, no token, no number of a
//! telephone and no URL is in it; request bodies are kept apart, for tests, and are not printed.

use super::credential::Shown;
use super::request::Operation;
use super::schema::Fault;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

/// The most happenings kept, the oldest forgotten first. Arbitrary: more than a test makes.
pub const LIST_MAX: usize = 4096;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sound request was answered, or was to be.
    Asked(Asked),
    /// A request broke a rule, and was refused with this status.
    Wrong(u16, Violation),
    /// An event was delivered to a webhook: its status, or nothing came.
    Rang(Option<u16>),
    /// A call came up: its connection's id.
    Began(String),
    /// The media stream was accepted.
    MediaAccepted(String),
    /// The media stream was refused: the status, where there was one.
    MediaRefused(String, Option<u16>),
    /// The media stream ended.
    MediaEnded(String),
    /// A callback was posted.
    Posted(Posted),
    /// A call ended.
    Ended(String),
}

/// A sound request.
#[derive(Clone, PartialEq)]
pub struct Asked {
    /// What was asked for.
    pub operation: Operation,
    /// What it was answered with; 0 where the answer was lost on purpose.
    pub status: u16,
    /// `Repeatability-Request-ID`.
    pub request_id: Option<String>,
    /// Whether it was the repetition of an earlier one, whose answer it got.
    pub repeated: bool,
    /// Who asked.
    pub shown: Shown,
    /// The call's connection id, where one is in the path.
    pub connection: Option<String>,
    /// The body, null where there was none.
    pub body: Value,
}

impl Eq for Asked {}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("operation", &self.operation)
            .field("status", &self.status)
            .field("repeated", &self.repeated)
            .field("shown", &self.shown)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// A callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The call's connection id.
    pub connection: String,
    /// The type of each event in it, without `Microsoft.Communication.`.
    pub kinds: Vec<&'static str>,
    /// What it was answered with, if it was.
    pub status: Option<u16>,
}

/// A rule that a request broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Nothing is at the path.
    Path,
    /// Something is there, for other methods.
    Method,
    /// `Host` is not where the simulator listens.
    Host,
    /// `api-version` is missing, repeated or unknown, or another parameter stands in the query.
    Query(&'static str),
    /// The credential, and why.
    Credential(&'static str),
    /// A repeatability header is missing beside the other, or has another form.
    Repeatability(&'static str),
    /// The content type, or a body where none may be.
    Content(&'static str),
    /// The body.
    Body(Fault),
    /// No call, or no longer one, or none that this can be asked of now.
    State(&'static str),
}

/// Everything so far.
#[derive(Clone, Default)]
pub struct Record {
    events: VecDeque<(Instant, Event)>,
    /// Happenings that were forgotten.
    pub left_out: u64,
}

impl Record {
    /// What happened, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    /// The same with its time.
    pub fn timed(&self) -> impl DoubleEndedIterator<Item = &(Instant, Event)> {
        self.events.iter()
    }

    /// Sound requests for this.
    pub fn asked(&self, operation: Operation) -> impl DoubleEndedIterator<Item = &Asked> {
        self.events().filter_map(move |event| {
            let Event::Asked(asked) = event else {
                return None;
            };
            (asked.operation == operation).then_some(asked)
        })
    }

    /// Rules that were broken.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let wrong = self.events().filter_map(|event| {
            let Event::Wrong(_, violation) = event else {
                return None;
            };
            Some(violation.clone())
        });
        wrong.collect()
    }

    /// Callbacks with an event of this type.
    pub fn posted<'a>(&'a self, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Posted> {
        self.events().filter_map(move |event| {
            let Event::Posted(posted) = event else {
                return None;
            };
            posted.kinds.contains(&kind).then_some(posted)
        })
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() == LIST_MAX {
            self.events.pop_front();
            self.left_out += 1;
        }
        self.events.push_back((Instant::now(), event));
    }

    /// How many happened, forgotten ones included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.left_out + self.events.len() as u64
    }

    /// The happening of this number, counted from 0, if it is not forgotten or to come.
    #[must_use]
    pub fn nth(&self, number: u64) -> Option<&Event> {
        let at = number.checked_sub(self.left_out)?;
        self.events
            .get(usize::try_from(at).ok()?)
            .map(|(_, event)| event)
    }
}

impl Event {
    /// One JSON object for a printed line.
    #[must_use]
    pub fn line(&self) -> Value {
        match self {
            Self::Asked(asked) => json!({
                "event": "asked",
                "operation": asked.operation.name(),
                "status": asked.status,
                "repeated": asked.repeated,
                "credential": format!("{:?}", asked.shown),
                "connection": asked.connection,
            }),
            Self::Wrong(status, violation) => {
                json!({"event": "wrong", "status": status, "rule": format!("{violation:?}")})
            }
            Self::Rang(status) => json!({"event": "rang", "status": status}),
            Self::Began(id) => json!({"event": "began", "connection": id}),
            Self::MediaAccepted(id) => json!({"event": "media accepted", "connection": id}),
            Self::MediaRefused(id, status) => {
                json!({"event": "media refused", "connection": id, "status": status})
            }
            Self::MediaEnded(id) => json!({"event": "media ended", "connection": id}),
            Self::Posted(posted) => json!({
                "event": "callback",
                "types": posted.kinds,
                "status": posted.status,
                "connection": posted.connection,
            }),
            Self::Ended(id) => json!({"event": "ended", "connection": id}),
        }
    }
}
