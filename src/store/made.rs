//! Calls that the edge made for somebody: whose they are, what they are bound to, how they go.
//!
//! A call that rings is known by what signalling said of it. One that is made is known before there
//! is a connection, so its record is written first, with a *binding*: a digest of whoever had it made,
//! and of chance. The media URL says it, too, and when ACS has named the connection so does the value
//! of its session key. A socket is let in where all of them agree, and not before the connection is
//! known: until then the call is unknown, which a socket waits for.
//!
//! A session key that others wrote has another value, which says nothing and opens what it names.

use std::time::{Duration, SystemTime};

use super::{Engine, Facts, Store, Unavailable};
use crate::ids::{CallId, ForeignId};
use crate::secret::Digest;

/// What stands before a binding in the value of a session key. The scripts say the same.
pub(super) const BOUND: &str = "tonegate:call:";

/// Whose a call is that the edge made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Of whoever had it made.
    pub creator: Digest,
    pub binding: Digest,
    pub at: SystemTime,
}

/// The connection of a call that was made.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    pub call: &'a CallId,
    pub binding: Digest,
    pub connection: &'a ForeignId,
    pub correlation: Option<&'a ForeignId>,
}

/// All that is known of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub facts: Facts,
    /// `None`: it rang.
    pub made: Option<Made>,
    /// ACS has said that whom the edge called is there.
    pub connected: bool,
    pub ended: Option<CallEnded>,
}

/// ACS' numbers for how a call ended, where it told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallEnded {
    pub code: Option<u32>,
    pub sub_code: Option<u32>,
}

impl Store {
    /// Begins the record of a call that is to be made. Nobody gets in by it yet.
    pub async fn make_call(
        &self,
        call: &CallId,
        facts: &Facts,
        made: &Made,
    ) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.make_call(call, facts, made),
                Engine::Redis(redis) => {
                    Box::pin(redis.make_call(call, facts, made, &self.keys)).await
                }
            }
        };
        self.count("make_call", work).await
    }

    /// Writes the session key of the connection, and then into the record which one it is: from now
    /// on media gets in. `false`: there is no such call.
    pub async fn bind_call(&self, bind: &Bind<'_>) -> Result<bool, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.bind_call(bind, &self.keys),
                Engine::Redis(redis) => Box::pin(redis.bind_call(bind, &self.keys)).await,
            }
        };
        self.count("bind_call", work).await
    }

    /// Notes of a call that was made that whom it called is there.
    pub async fn connect_call(&self, call: &CallId) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.connect_call(call),
                Engine::Redis(redis) => Box::pin(redis.connect_call(call, &self.keys)).await,
            }
        };
        self.count("connect_call", work).await
    }
}

/// Milliseconds since 1970, as a record has it.
pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// The time that a record has.
pub(super) fn time(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
