//! What events bring that all replicas must know: which were taken before, which keys callers
//! pressed, and that a call is over.

use std::time::Duration;

use super::made::{CallEnded, Known};
use super::{Engine, Store, Unavailable};
use crate::ids::{CallId, SessionId};
use crate::secret::Digest;

/// How long it is known that an event was taken. Later ones of the same id are dropped for their
/// age: 30 s, and however far the clocks of publishers may be ahead.
pub(super) const CLAIM: Duration = Duration::from_secs(600);
/// How long a key that was pressed is kept: as long as gates wait at the most.
pub(super) const TONES: Duration = Duration::from_secs(120);
/// Keys of one call that are kept: a caller who dials 50 digits and starts over has room.
pub(super) const TONES_MAX: usize = 128;

/// What became of keys that were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    All,
    /// Not all of them: a call has 128 at the most.
    Full,
    /// Nobody knows the call.
    Unknown,
}

/// The keys of a call that its session has not taken yet.
#[derive(Clone, PartialEq, Eq)]
pub enum Tones {
    Told {
        /// The last one that this session, or one before it, has taken.
        heard: u32,
        /// Those behind it with their places, in any order.
        tones: Vec<(u32, char)>,
    },
    /// The call is over.
    Ended,
    /// The call is forgotten or another session's.
    NotOurs,
}

/// Keys are not printed.
impl std::fmt::Debug for Tones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tones::Told { tones, .. } => write!(f, "Tones({})", tones.len()),
            Tones::Ended => f.write_str("Tones(ended)"),
            Tones::NotOurs => f.write_str("Tones(not ours)"),
        }
    }
}

impl Store {
    /// Takes an event for whoever asks first, in all replicas; asked again by the same it is still
    /// taken.
    pub async fn claim(&self, event: &Digest, by: SessionId) -> Result<bool, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.claim(event, by),
                Engine::Redis(redis) => Box::pin(redis.claim(event, by, &self.keys)).await,
            }
        };
        self.count("claim", work).await
    }

    /// Nothing came of the event: whoever brings it again may take it.
    pub async fn unclaim(&self, event: &Digest, by: SessionId) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.unclaim(event, by),
                Engine::Redis(redis) => Box::pin(redis.unclaim(event, by, &self.keys)).await,
            }
        };
        self.count("unclaim", work).await
    }

    /// What is known of a call, if it is known.
    pub async fn known(&self, call: &CallId) -> Result<Option<Known>, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.known(call),
                Engine::Redis(redis) => Box::pin(redis.known(call, &self.keys)).await,
            }
        };
        self.count("known", work).await
    }

    /// The call is over: its verdict goes, no session begins for it, and whoever carries it is told.
    /// Whether it was known. Of several the first counts that tells numbers.
    pub async fn end_call(&self, call: &CallId, ended: CallEnded) -> Result<bool, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.end_call(call, ended),
                Engine::Redis(redis) => Box::pin(redis.end_call(call, ended, &self.keys)).await,
            }
        };
        self.count("end_call", work).await
    }

    /// Keeps keys with their places for the call's session, each once.
    pub async fn add_tones(
        &self,
        call: &CallId,
        tones: &[(u32, char)],
    ) -> Result<Kept, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.add_tones(call, tones),
                Engine::Redis(redis) => Box::pin(redis.add_tones(call, tones, &self.keys)).await,
            }
        };
        self.count("add_tones", work).await
    }

    /// The keys behind those that were taken; `heard` is the last one that this session has taken,
    /// and `None` where it does not know yet.
    pub async fn tones(
        &self,
        call: &CallId,
        owner: SessionId,
        heard: Option<u32>,
    ) -> Result<Tones, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.tones(call, owner, heard),
                Engine::Redis(redis) => Box::pin(redis.tones(call, owner, heard, &self.keys)).await,
            }
        };
        self.count("tones", work).await
    }
}
