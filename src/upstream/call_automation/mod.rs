//! The client of Call Automation, the interface of Azure Communication Services (ACS) that controls
//! calls: answers them, makes them, ends them, turns media and tones on and off.
//!
//! One operation is one or more requests, each on a connection of its own, within one deadline:
//! what may pass is asked again, and where that must not happen twice all requests of an operation
//! carry the same id. Redirects are not followed. What the service says in its errors is not told.
//!
//! Not here: callbacks and events, which ACS sends us, and the URLs that it is given for them.

mod body;
mod failure;
mod perform;
mod sign;

use std::sync::Arc;

use bytes::Bytes;

use self::perform::Operation;
use self::sign::Key;
use super::Unusable;
use super::again::Turns;
use super::host::Host;
use super::identity::Identity;
use crate::config::{Acs, AcsCredential, Streaming};
use crate::ids::{CallId, ForeignId, PhoneNumber};
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;
use crate::secret::Secret;

pub use self::failure::{Failure, Kind};

/// An incoming call that is to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `incomingCallContext` of the event, as it came.
    pub context: &'a str,
    /// Our own name for it; callbacks bring it back as `operationContext`.
    pub call: &'a CallId,
    /// Where ACS dials for the media; it holds the call's secret.
    pub media_url: &'a Secret,
    /// Where ACS posts what becomes of the call.
    pub callback_url: &'a str,
    pub streaming: Streaming,
}

/// A call that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    /// Whom to call.
    pub target: &'a PhoneNumber,
    /// The number of the resource that is shown.
    pub source: &'a PhoneNumber,
    pub call: &'a CallId,
    pub media_url: &'a Secret,
    pub callback_url: &'a str,
    pub streaming: Streaming,
}

/// Whose tones are meant.
#[derive(Clone, Copy, Debug)]
pub enum Participant<'a> {
    Phone(&'a PhoneNumber),
    /// As ACS itself names one: `rawId`.
    Raw(&'a str),
}

/// What an answered or created call is known by at ACS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    pub connection: ForeignId,
    pub server_call: Option<String>,
    pub correlation: Option<ForeignId>,
}

/// One resource of ACS whose calls the edge controls.
pub struct CallAutomation {
    settings: Acs,
    host: Host,
    credential: Credential,
    turns: Turns,
    /// For warnings that an operation failed.
    warnings: Throttle,
    metrics: metrics::Shared,
}

enum Credential {
    Key(Box<Key>),
    Identity(Arc<Identity>),
}

/// Operations at a time: each has a socket. A burst of calls that end together waits its turn, as
/// many as that; more are not done, and counted.
const PLACES: usize = 4096;
const SLOTS: usize = 256;
/// The name in the metrics of tokens, and in what cannot be used.
const NAME: &str = "acs";

impl CallAutomation {
    /// Prepares to ask: roots loaded, key decoded. Whoever owns it must run its identity.
    pub fn new(settings: Acs, metrics: metrics::Shared) -> Result<CallAutomation, Unusable> {
        let name = Label::new(NAME).expect("it fits the grammar");
        let credential = match &settings.credential {
            AcsCredential::Key(key) => {
                Credential::Key(Box::new(Key::new(key).ok_or(Unusable::Credential(name))?))
            }
            AcsCredential::Identity(identity) => {
                let identity = Identity::new(name, identity.clone(), metrics.clone())?;
                Credential::Identity(Arc::new(identity))
            }
        };
        Ok(CallAutomation {
            host: Host::new(&settings.host, settings.port, settings.roots.as_ref())?,
            credential,
            turns: Turns::new(SLOTS, PLACES),
            warnings: Throttle::default(),
            settings,
            metrics,
        })
    }

    /// The edge's own identity, if it has one here; whoever owns this must run it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        match &self.credential {
            Credential::Identity(identity) => Some(identity.clone()),
            Credential::Key(_) => None,
        }
    }

    /// Answers an incoming call.
    pub async fn answer(&self, answer: &Answer<'_>) -> Result<Connected, Failure> {
        let path = "/calling/callConnections:answer";
        let said = self.perform(Operation::Answer, path, body::answer(answer));
        connected(said.await)
    }

    /// Makes a call. It is connected when a callback says so.
    pub async fn create(&self, create: &Create<'_>) -> Result<Connected, Failure> {
        let path = "/calling/callConnections";
        let said = self.perform(Operation::Create, path, body::create(create));
        connected(said.await)
    }

    /// Ends a call for everyone. One that has ended already is done.
    pub async fn hang_up(&self, connection: &ForeignId) -> Result<(), Failure> {
        let path = action(connection, "terminate");
        let said = self.perform(Operation::HangUp, &path, Bytes::new()).await;
        said.map(drop)
    }

    /// Has ACS dial the media URL that the call was answered or made with.
    pub async fn start_media(&self, connection: &ForeignId, call: &CallId) -> Result<(), Failure> {
        let path = action(connection, "startMediaStreaming");
        let said = self.perform(Operation::StartMedia, &path, body::media(call));
        said.await.map(drop)
    }

    /// Has ACS stop streaming. The call goes on.
    pub async fn stop_media(&self, connection: &ForeignId, call: &CallId) -> Result<(), Failure> {
        let path = action(connection, "stopMediaStreaming");
        let said = self.perform(Operation::StopMedia, &path, body::media(call));
        said.await.map(drop)
    }

    /// Has ACS call back with each tone that a participant dials.
    pub async fn start_dtmf(
        &self,
        connection: &ForeignId,
        call: &CallId,
        participant: &Participant<'_>,
    ) -> Result<(), Failure> {
        let path = action(connection, "startContinuousDtmfRecognition");
        let body = body::dtmf(call, participant);
        let said = self.perform(Operation::StartDtmf, &path, body).await;
        said.map(drop)
    }

    /// No more tones.
    pub async fn stop_dtmf(
        &self,
        connection: &ForeignId,
        call: &CallId,
        participant: &Participant<'_>,
    ) -> Result<(), Failure> {
        let path = action(connection, "stopContinuousDtmfRecognition");
        let body = body::dtmf(call, participant);
        let said = self.perform(Operation::StopDtmf, &path, body).await;
        said.map(drop)
    }

    /// What media streaming calls are answered and made with, where nothing else is asked for.
    pub fn streaming(&self) -> Streaming {
        self.settings.streaming
    }

    /// What callback URLs begin with, without a slash at the end.
    pub fn callbacks(&self) -> Option<&str> {
        self.settings.callbacks.as_deref()
    }

    /// What media URLs begin with, without a slash at the end.
    pub fn media(&self) -> Option<&str> {
        self.settings.media.as_deref()
    }
}

fn connected(said: Result<Bytes, Failure>) -> Result<Connected, Failure> {
    let unread = Failure::new(Kind::Malformed, "the answer names no call");
    body::connected(&said?).ok_or(unread)
}

/// The path of an action on a call. Connection ids hold nothing that a path would have to escape.
fn action(connection: &ForeignId, action: &str) -> String {
    format!("/calling/callConnections/{connection}:{action}")
}
