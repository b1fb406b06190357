//! What all edges of one store count together: how often, how many at a time, how many minutes.
//!
//! Whoever wants a session asks for all that it needs at once and gets all of it or nothing. A place
//! among the sessions is a lease: it ends by itself unless its edge keeps it, so that an edge that
//! died holds nothing for long. Time is the server's, as the clocks of edges differ.
//!
//! What is asked again after a lost answer finds its places as its own. A turn of a rate may then be
//! counted twice, which is on the strict side.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Store, Unavailable};
use crate::config::Rate;
use crate::ids::SessionId;

/// One thing that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its part of the key: labels, and digests of whatever is no label.
    pub name: Arc<str>,
    pub most: Most,
}

/// How much of it there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// So many at once, then one each `per / count`.
    Rate(Rate),
    /// Sessions at a time.
    Sessions(usize),
    /// Minutes that sessions last, `count` in a window of `per` that begins with the first.
    Minutes(Rate),
}

/// Time of so many minutes.
pub fn minutes(rate: Rate) -> Duration {
    Duration::from_secs(60) * rate.count
}

/// What became of asking for some of several things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    All,
    /// Nothing was taken, as there is no more of the one at this place of the list; for a rate and for
    /// minutes there is when this has passed.
    NoMore {
        which: usize,
        wait: Option<Duration>,
    },
}

/// What goes on being used of one counter.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    pub counter: &'a Counter,
    /// Whose places are kept, those that the store does not know among them: a session that was let in
    /// while it was away counts from now on, also where that makes one too many.
    pub sessions: &'a [SessionId],
    /// Time that is added to minutes.
    pub lasted: Duration,
}

impl Store {
    /// Takes one of each for a session, or nothing. Places are good for `lease`.
    pub async fn take(
        &self,
        session: SessionId,
        counters: &[Counter],
        lease: Duration,
    ) -> Result<Took, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.take(session, counters, lease),
                Engine::Redis(redis) => {
                    Box::pin(redis.take(session, counters, lease, &self.keys)).await
                }
            }
        };
        self.count("take", work).await
    }

    /// Keeps places for another `lease`, or adds to minutes; whether all of these are used up now.
    pub async fn keep(&self, used: Use<'_>, lease: Duration) -> Result<bool, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.keep(used, lease),
                Engine::Redis(redis) => Box::pin(redis.keep(used, lease, &self.keys)).await,
            }
        };
        self.count("keep", work).await
    }

    /// Gives places back. Those that are nobody's any more are none.
    pub async fn free(&self, counter: &Counter, sessions: &[SessionId]) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.free(counter, sessions),
                Engine::Redis(redis) => Box::pin(redis.free(counter, sessions, &self.keys)).await,
            }
        };
        self.count("free", work).await
    }
}
