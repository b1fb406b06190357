//! One call, as its connection is seen by the service.
//!
//! Owns its ids and its state: connecting, connected, gone; the media stream; who is listened to for
//! tones. Refuses to know sockets: the `story` moves it.

use super::manner::{Begins, Delivery, First, Manner, Outcome};
use crate::audio::SampleRate;
use crate::sim::acs::hand::Hand;
use crate::sim::acs::record::Record;
use crate::sim::acs::{Channel, guid};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Which side made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It rang, and was answered.
    Answered,
    /// It was made by request.
    Created,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    Connected,
    Gone,
}

/// Where its media goes, and how.
#[derive(Clone)]
pub(super) struct Media {
    pub(super) id: String,
    pub(super) url: String,
    /// Whether it is dialled when the call connects.
    pub(super) at_once: bool,
    pub(super) rate: SampleRate,
    pub(super) channel: Channel,
    /// Whether keys are told on it.
    pub(super) tones: bool,
}

/// What a call is made of.
pub(super) struct Parties {
    pub(super) server_call: String,
    pub(super) correlation: String,
    /// The other end, as `CommunicationIdentifierModel`.
    pub(super) far: Value,
    /// Its number, E.164; empty where it is withheld.
    pub(super) ani: String,
}

/// A call.
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) parties: Parties,
    pub(super) origin: Origin,
    pub(super) callback: String,
    pub(super) context: Option<String>,
    pub(super) media: Option<Media>,
    pub(super) begins: Begins,
    pub(super) first: First,
    pub(super) outcome: Outcome,
    pub(super) delivery: Delivery,
    /// Callbacks of a call go one after the other.
    pub(super) posting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

/// What changes.
pub(super) struct State {
    pub(super) phase: Phase,
    /// The running media stream.
    pub(super) hand: Option<Hand>,
    /// Whether a media stream is being dialled.
    pub(super) dialling: bool,
    /// Whether the end of the running stream was asked for, so that whoever asked tells of it.
    pub(super) stopping: bool,
    /// The media stream that ended last.
    pub(super) last: Option<Record>,
    /// Whether tones are told by callback.
    pub(super) listens: bool,
    /// How many tones were told by callback.
    pub(super) tones: u64,
    /// The beginning of the call is over: what was to be dialled was taken or refused.
    pub(super) settled: bool,
}

impl Connection {
    pub(super) fn new(origin: Origin, parties: Parties, body: &Value, manner: &Manner) -> Self {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Self {
            id: guid(),
            parties,
            origin,
            callback: text("callbackUri").unwrap_or_default(),
            context: text("operationContext"),
            media: Media::of(&body["mediaStreamingOptions"]),
            begins: manner.begins,
            first: manner.first,
            outcome: match origin {
                Origin::Answered => manner.answering,
                Origin::Created => manner.calling,
            },
            delivery: manner.delivery,
            posting: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                phase: Phase::Connecting,
                hand: None,
                dialling: false,
                stopping: false,
                last: None,
                listens: false,
                tones: 0,
                settled: false,
            }),
            changes: watch::Sender::new(0),
        }
    }

    /// Looks at the state, or changes it, and wakes whoever waits.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// Waits until `holds` is true of the state. The caller sets the deadline.
    pub(super) async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        while !holds(&self.lock()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `CallConnectionProperties` of Microsoft's specification.
    pub(super) fn properties(&self) -> Value {
        let (phase, streams) = self.with(|state| (state.phase, state.hand.is_some()));
        let phase = match phase {
            Phase::Connecting => "connecting",
            Phase::Connected => "connected",
            Phase::Gone => "disconnected",
        };
        let mut properties = Map::new();
        let mut set = |name: &str, value: Value| properties.insert(name.to_owned(), value);
        set("callConnectionId", json!(self.id));
        set("serverCallId", json!(self.parties.server_call));
        set("targets", json!([self.parties.far]));
        set("callConnectionState", json!(phase));
        set("callbackUri", json!(self.callback));
        set("correlationId", json!(self.parties.correlation));
        if let Some(media) = &self.media {
            let state = if streams { "active" } else { "inactive" };
            let subscription =
                json!({"id": media.id, "state": state, "subscribedContentTypes": ["audio"]});
            set("mediaStreamingSubscription", subscription);
        }
        Value::Object(properties)
    }

    /// Whether an identifier of a request means the other end.
    pub(super) fn is_far(&self, identifier: &Value) -> bool {
        identifier["rawId"] == self.parties.far["rawId"]
    }
}

impl Media {
    fn of(options: &Value) -> Option<Self> {
        let url = options["transportUrl"].as_str()?.to_owned();
        let rate = match options["audioFormat"].as_str() {
            Some("pcm24KMono") => SampleRate::Hz24000,
            // ACS' default.
            Some(_) | None => SampleRate::Hz16000,
        };
        let channel = match options["audioChannelType"].as_str() {
            Some("unmixed") => Channel::Unmixed,
            Some(_) | None => Channel::Mixed { named: true },
        };
        let flag = |name: &str| options[name] == true;
        Some(Self {
            id: guid(),
            url,
            at_once: flag("startMediaStreaming"),
            rate,
            channel,
            tones: flag("enableDtmfTones"),
        })
    }
}
