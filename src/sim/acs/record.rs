//! What is remembered of one call, for tests and for the printed line.
//!
//! Owns counting and the bounds on memory. Keys are counted, never told; audio is kept, never
//! printed.

use super::line::Talker;
use super::playback::KEPT_MAX;
use super::read::Violation;
use crate::sim::client::Timeline;
use serde_json::{Value, json};
use std::fmt;
use std::time::{Duration, Instant};

/// The most events and violations kept; what comes beyond is counted. Arbitrary: more than any
/// test makes happen.
pub const LIST_MAX: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first message was sent.
    Metadata,
    /// A frame in which a key begins was sent, whatever tells of it.
    Key,
    /// The first frame of something said was sent.
    Spoke,
    /// Audio came: the first, and the first after each stop and each key.
    Audio,
    /// `StopAudio` came.
    Stop {
        /// How much was dropped that had not been played.
        dropped: Duration,
    },
    /// The edge did what it must not.
    Wrong(Violation),
    /// The call's media ended.
    Ended(Ending),
}

/// How the media ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The caller hung up: our close frame was the first.
    HungUp,
    /// The caller vanished: no close frame, on purpose.
    Vanished,
    /// The edge's close frame was the first.
    Closed {
        /// Its code, if it had one.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The stream ended or failed without a close frame.
    Lost,
}

/// One call's media.
#[derive(Clone)]
pub struct Record {
    /// When dialling reached each step.
    pub dialled: Timeline,
    /// What happened, in order.
    pub events: Vec<(Instant, Event)>,
    /// Messages sent, of all kinds.
    pub messages_sent: u64,
    /// Messages received, of all kinds, unintelligible ones included.
    pub messages_received: u64,
    /// Pings received. Each was answered.
    pub pings: u64,
    /// Samples received, one message after the other, whether played or not.
    pub received: Vec<i16>,
    /// What the caller heard from the 101 to the end, silence included.
    pub heard: Vec<i16>,
    /// What the edge did wrong.
    pub violations: Vec<Violation>,
    /// The edge's close frame, also where it answers ours: code and reason.
    pub close: Option<(Option<u16>, String)>,
    /// How it ended; `None` while it lives.
    pub ending: Option<Ending>,
    /// Samples, events and violations that found no room above.
    pub left_out: u64,
    sent: [Vec<i16>; 2],
    expecting: bool,
}

impl Record {
    pub(super) fn new(dialled: Timeline) -> Self {
        Self {
            dialled,
            events: Vec::new(),
            messages_sent: 0,
            messages_received: 0,
            pings: 0,
            received: Vec::new(),
            heard: Vec::new(),
            violations: Vec::new(),
            close: None,
            ending: None,
            left_out: 0,
            sent: [Vec::new(), Vec::new()],
            expecting: true,
        }
    }

    /// The samples of all `AudioData` sent for a talker, in order, silence included. In a mixed
    /// call all is the caller's, the other being mixed in.
    #[must_use]
    pub fn sent(&self, talker: Talker) -> &[i16] {
        match talker {
            Talker::Caller => &self.sent[0],
            Talker::Other => &self.sent[1],
        }
    }

    /// How many keys were pressed.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.at(|event| *event == Event::Key).count()
    }

    /// When the last key was pressed.
    #[must_use]
    pub fn last_key(&self) -> Option<Instant> {
        self.at(|event| *event == Event::Key).last()
    }

    /// When audio first came.
    #[must_use]
    pub fn first_audio(&self) -> Option<Instant> {
        self.at(|event| *event == Event::Audio).next()
    }

    /// When audio came after the last key was pressed; without keys, when it first came.
    #[must_use]
    pub fn answered(&self) -> Option<Instant> {
        let is_key = |(_, event): &(Instant, Event)| *event == Event::Key;
        let from = self.events.iter().rposition(is_key).unwrap_or_default();
        let mut after = self.events[from..].iter();
        after
            .find(|(_, event)| *event == Event::Audio)
            .map(|(at, _)| *at)
    }

    /// When each `StopAudio` came.
    #[must_use]
    pub fn stops(&self) -> Vec<Instant> {
        self.at(|event| matches!(event, Event::Stop { .. }))
            .collect()
    }

    /// The whole call as one JSON object: counts and times, no key, no sample, no credential, and
    /// close reasons by length. Milliseconds count from when dialling began.
    #[must_use]
    pub fn summary(&self) -> Value {
        let ms = |at: Instant| at.duration_since(self.dialled.start).as_millis() as u64;
        let (ending, code) = match &self.ending {
            None => ("alive", None),
            Some(Ending::HungUp) => ("hung up", None),
            Some(Ending::Vanished) => ("vanished", None),
            Some(Ending::Lost) => ("lost", None),
            Some(Ending::Closed { code, .. }) => ("closed", *code),
        };
        json!({
            "upgrade_ms": ms(self.dialled.upgrade),
            "keys": self.keys(),
            "first_audio_ms": self.first_audio().map(ms),
            "stops_ms": self.stops().into_iter().map(ms).collect::<Vec<_>>(),
            "messages_sent": self.messages_sent,
            "messages_received": self.messages_received,
            "samples_received": self.received.len(),
            "pings": self.pings,
            "violations": self.violations.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>(),
            "ending": ending,
            "close_code": code,
            "close_reason_bytes": self.close.as_ref().map(|(_, reason)| reason.len()),
            "left_out": self.left_out,
        })
    }

    fn at(&self, wanted: impl Fn(&Event) -> bool) -> impl Iterator<Item = Instant> {
        let events = self.events.iter();
        events
            .filter(move |(_, event)| wanted(event))
            .map(|(at, _)| *at)
    }

    pub(super) fn happened(&mut self, at: Instant, event: Event) {
        if matches!(event, Event::Key | Event::Stop { .. }) {
            self.expecting = true;
        }
        // One place is the ending's.
        if self.events.len() < LIST_MAX - 1 {
            self.events.push((at, event));
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn violation(&mut self, at: Instant, violation: Violation) {
        self.happened(at, Event::Wrong(violation));
        if self.violations.len() < LIST_MAX {
            self.violations.push(violation);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn keep_sent(&mut self, talker: Talker, samples: &[i16]) {
        let kept = match talker {
            Talker::Caller => &mut self.sent[0],
            Talker::Other => &mut self.sent[1],
        };
        self.left_out += keep(kept, samples);
    }

    pub(super) fn audio(&mut self, at: Instant, samples: &[i16]) {
        if self.expecting && !samples.is_empty() {
            self.expecting = false;
            self.happened(at, Event::Audio);
        }
        self.left_out += keep(&mut self.received, samples);
    }

    /// Names the ending. The first name stays.
    pub(super) fn ended(&mut self, at: Instant, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending.clone());
            self.events.push((at, Event::Ended(ending)));
        }
    }
}

/// Keeps what there is room for; how much there was none for.
fn keep(kept: &mut Vec<i16>, samples: &[i16]) -> u64 {
    let room = KEPT_MAX - kept.len();
    let (fits, over) = samples.split_at(samples.len().min(room));
    kept.extend_from_slice(fits);
    over.len() as u64
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.summary(), formatter)
    }
}
