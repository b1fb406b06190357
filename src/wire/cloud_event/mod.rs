//! What Event Grid and Call Automation post: lists of events, in the schema of Event Grid or as
//! CloudEvents 1.0, one or many (PROTOCOLS 5.3 to 5.5).
//!
//! The reader is strict about what an event is (an id, a type, no member twice of those that it
//! asks for) and tolerant about everything else: members in any order, unknown members and types.
//! Data that is not what its type says is `None`, so that one odd event takes no others along.
//!
//! Nothing of a peer's text is formatted: numbers of callers and contexts of calls are no words for
//! a log.
//!
//! Not here: who may post, which events are too late or came before.

mod read;

use std::time::Duration;

pub use self::read::read;

use super::acs::Key;
use crate::ids::{ForeignId, PhoneNumber};
use crate::secret::Secret;

/// Events in one body: what Event Grid batches at the most.
pub const EVENTS_MAX: usize = 5000;

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: Secret,
    /// Who published it; with `id` it names the event.
    pub source: Secret,
    /// When it happened, as far as it says so: since the beginning of 1970, UTC.
    pub at: Option<Duration>,
    pub what: What,
}

/// What it is about.
#[derive(Clone, Debug)]
pub enum What {
    /// Event Grid asks whether its events are wanted: the code to say back.
    Validation(Option<Secret>),
    /// A telephone rings; `None`: without what it takes to answer it.
    Incoming(Option<Box<Incoming>>),
    /// What became of a call.
    Call(CallEvent),
    /// Nothing that matters here.
    Other,
}

/// A call that rings (PROTOCOLS 5.5).
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What answers it.
    pub context: Secret,
    /// Who calls, where the number is told and `rawId` says the same.
    pub from: Option<PhoneNumber>,
    pub to: Option<PhoneNumber>,
    pub correlation: Option<ForeignId>,
    /// Names and values in the call's SIP headers, as they came.
    sip_headers: Vec<(String, Secret)>,
}

impl Incoming {
    /// The id in the SIP header of this name, in any case. `None`: it is not there, there twice, or
    /// no id.
    pub fn sip(&self, name: &str) -> Option<ForeignId> {
        let mut values = self
            .sip_headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => ForeignId::new(value.expose()),
            _ => None,
        }
    }
}

/// An event of Call Automation (PROTOCOLS 5.3).
#[derive(Clone, Debug)]
pub struct CallEvent {
    pub kind: Kind,
    pub connection: Option<ForeignId>,
    pub correlation: Option<ForeignId>,
    /// `resultInformation`: ACS' numbers for what came of it.
    pub code: Option<u32>,
    pub sub_code: Option<u32>,
    /// `mediaStreamingStatusDetails`, in the words of metrics.
    pub media: Option<&'static str>,
    pub tone: Option<Tone>,
}

/// A key that the caller pressed. It cannot be formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// From 1 on.
    pub sequence: u32,
    pub key: Key,
}

/// Which event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Connected,
    Disconnected,
    AnswerFailed,
    CreateFailed,
    Participants,
    MediaStarted,
    MediaStopped,
    MediaFailed,
    Tone,
    ToneFailed,
    ToneStopped,
    Other,
}

impl Kind {
    /// For metrics.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Connected => "call_connected",
            Kind::Disconnected => "call_disconnected",
            Kind::AnswerFailed => "answer_failed",
            Kind::CreateFailed => "create_failed",
            Kind::Participants => "participants",
            Kind::MediaStarted => "media_started",
            Kind::MediaStopped => "media_stopped",
            Kind::MediaFailed => "media_failed",
            Kind::Tone => "tone",
            Kind::ToneFailed => "tone_failed",
            Kind::ToneStopped => "tone_stopped",
            Kind::Other => "other",
        }
    }

    /// By its type, behind `Microsoft.Communication.`.
    fn of(name: &str) -> Kind {
        match name {
            "CallConnected" => Kind::Connected,
            "CallDisconnected" => Kind::Disconnected,
            "AnswerFailed" => Kind::AnswerFailed,
            "CreateCallFailed" => Kind::CreateFailed,
            "ParticipantsUpdated" => Kind::Participants,
            "MediaStreamingStarted" => Kind::MediaStarted,
            "MediaStreamingStopped" => Kind::MediaStopped,
            "MediaStreamingFailed" => Kind::MediaFailed,
            "ContinuousDtmfRecognitionToneReceived" => Kind::Tone,
            "ContinuousDtmfRecognitionToneFailed" => Kind::ToneFailed,
            "ContinuousDtmfRecognitionStopped" | "ContinuousDtmfRecognitionToneStopped" => {
                Kind::ToneStopped
            }
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests;
