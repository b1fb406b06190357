//! Sessions that another cloud hands over: their keys, whose they are, and what became of them.
//!
//! The key is one as any other writer's, and its value names the contact; so whoever opens a call by
//! it learns in the same answer for which contact. All else is in a record beside it, in another slot
//! of a cluster: it is written first, for a moment, and stays when the key is there. A key that was
//! used is never written again by the same request.

use std::time::{Duration, SystemTime};

use super::{Engine, SessionKey, Store, Unavailable};
use crate::error::{Reason, Side};
use crate::ids::{CallId, ContactId, ForeignId, SessionId};
use crate::label::Label;
use crate::secret::{Digest, Secret};

/// How long a session may be on its way into the store. Three questions, each with its timeout.
pub(super) const BOOKING: Duration = Duration::from_secs(5);

/// A session as it is to be written.
#[derive(Clone, Copy)]
pub struct HandOver<'a> {
    pub contact: &'a ContactId,
    /// The route that it came by, which knows whom to tell what becomes of it.
    pub route: &'a Label,
    /// Whose it is; to all others it does not exist, but its id is taken.
    pub writer: Digest,
    /// Of what was asked for, so that the same request is known when it comes again.
    pub content: Digest,
    pub key: &'a SessionKey,
    /// The code in the key, where the edge drew it.
    pub drawn: Option<&'a Secret>,
    /// A JSON object that is kept with it.
    pub context: Option<&'a str>,
    pub expires: SystemTime,
    pub ttl: Duration,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum HandedOver {
    New,
    /// It was written before, and this is what was said then.
    Same {
        drawn: Option<Secret>,
        expires: SystemTime,
    },
    /// It was written before, and otherwise, or by somebody else.
    Conflict,
    /// Its key is there already, and somebody else's.
    Taken,
    /// The same request is on its way.
    Busy,
}

/// What is known of a session.
pub struct Handed {
    pub writer: Digest,
    pub expires: SystemTime,
    pub context: Option<String>,
    pub outcome: Outcome,
    pub(super) key: String,
}

/// What became of it, so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Waiting,
    /// Its key has ended, and opened nothing.
    Expired,
    Opened(Opened),
    Ended(Opened, Ended),
}

/// The call that it has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub call: CallId,
    pub connection: Option<ForeignId>,
    pub correlation: Option<ForeignId>,
    pub at: SystemTime,
}

/// How the call's session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: SystemTime,
    pub by: Side,
    pub reason: Reason,
    pub lasted: Duration,
}

/// What became of a session that its writer takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBack {
    Done,
    /// A call was opened by it.
    Open,
    Unknown,
}

/// A call was opened for a contact.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    pub contact: &'a ContactId,
    /// What it was opened by; `None`: a verdict that still held.
    pub key: Option<&'a SessionKey>,
    pub call: &'a CallId,
    pub owner: SessionId,
    pub connection: Option<&'a ForeignId>,
    pub correlation: Option<&'a ForeignId>,
    pub at: SystemTime,
    /// As long as the call can last.
    pub keep: Duration,
}

/// What it is to the record of the contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// There is none, or it is of another key: somebody else has written this key.
    Unknown,
    /// Another socket of the same call; whose route that is.
    Again(Label),
    New(Label),
}

/// The session of such a call has ended.
#[derive(Clone, Copy, Debug)]
pub struct Over<'a> {
    pub contact: &'a ContactId,
    pub owner: SessionId,
    pub ended: &'a Ended,
}

/// The value of a contact's session key.
pub(super) fn value(contact: &ContactId) -> String {
    format!("{{\"session\":\"{contact}\"}}")
}

impl Store {
    /// Writes a session with its key, once.
    pub async fn hand_over(&self, session: &HandOver<'_>) -> Result<HandedOver, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.hand_over(session),
                Engine::Redis(redis) => Box::pin(redis.hand_over(session, &self.keys)).await,
            }
        };
        self.count("hand_over", work).await
    }

    /// What is known of a session, if it is known.
    pub async fn handed(&self, contact: &ContactId) -> Result<Option<Handed>, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.handed(contact),
                Engine::Redis(redis) => Box::pin(redis.handed(contact, &self.keys)).await,
            }
        };
        self.count("handed", work).await
    }

    /// Takes a session back that has opened nothing.
    pub async fn take_back(
        &self,
        contact: &ContactId,
        writer: Digest,
    ) -> Result<TakenBack, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.take_back(contact, writer),
                Engine::Redis(redis) => {
                    Box::pin(redis.take_back(contact, writer, &self.keys)).await
                }
            }
        };
        self.count("take_back", work).await
    }

    /// Spends a token of whoever asks, for the first that shows it; asked again by the same it is
    /// still spent by that. Until `expires` nobody else can.
    pub async fn spend(
        &self,
        token: &Digest,
        by: SessionId,
        expires: SystemTime,
    ) -> Result<bool, Unavailable> {
        let left = super::spent_for(expires);
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.spend(token, by, left),
                Engine::Redis(redis) => Box::pin(redis.spend(token, by, left, &self.keys)).await,
            }
        };
        self.count("spend", work).await
    }

    /// Gives a token back that this session has spent, and no other: nothing came of it.
    pub async fn unspend(&self, token: &Digest, by: SessionId) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => {
                    memory.unspend(token, by);
                    Ok(())
                }
                Engine::Redis(redis) => Box::pin(redis.unspend(token, by, &self.keys)).await,
            }
        };
        self.count("unspend", work).await
    }

    /// Writes down that a call was opened.
    pub async fn note_begun(&self, begun: &Begun<'_>) -> Result<Noted, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.note_begun(begun),
                Engine::Redis(redis) => Box::pin(redis.note_begun(begun, &self.keys)).await,
            }
        };
        self.count("note_begun", work).await
    }

    /// Writes down that its session has ended, unless another one has the call; whether it did.
    pub async fn note_over(&self, over: &Over<'_>) -> Result<bool, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.note_over(over),
                Engine::Redis(redis) => Box::pin(redis.note_over(over, &self.keys)).await,
            }
        };
        self.count("note_over", work).await
    }
}
