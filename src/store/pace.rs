//! Turns to connect to an upstream, of which there are so many in any window.
//!
//! A *turn* is one new connection that an upstream may be asked for. It counts from the moment at which
//! it is taken until a whole window after the connection was answered, so whenever in between the
//! upstream counted it, its own window never holds more than there are turns:
//!
//! Of the connections that it counts in a window of length `per`, the turn of each was taken before the
//! last of them was counted, and is not over before the first one leaves the window, which is later. So
//! there was a moment at which all of them were taken, and there are only so many at a time.
//!
//! Nobody knows beforehand when a connection will be answered; until that is told a turn is taken to
//! last as long as it may at the most. The clock is the store's own: those of edges may differ.

use std::time::Duration;

use super::{Engine, Store, Unavailable};
use crate::ids::SessionId;

/// The most turns that an edge tells the store of with one question: what it took meanwhile.
pub const TURNS_TOLD: usize = 128;

/// A turn's name. It is the same when it is asked for again, which takes no second one.
pub type Turn = SessionId;

/// Somebody wants a turn.
#[derive(Clone, Copy, Debug)]
pub struct TakeTurn<'a> {
    /// Whose turns they are.
    pub quota: &'a str,
    /// How many there are at a time.
    pub count: u32,
    pub turn: Turn,
    /// How long it may last if nothing more is heard of it.
    pub lasts: Duration,
    /// Turns that were taken while the store was away, and how long they still last.
    pub told: &'a [(Turn, Duration)],
    /// Of how many turns that come free is told when none is.
    pub forecast: usize,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paced {
    Taken {
        /// Turns that are out, this one among them.
        out: u32,
    },
    /// None is free.
    Wait {
        out: u32,
        /// In how long the next ones come free at the latest, soonest first.
        free_in: Vec<Duration>,
        /// So long nobody gets one, for the upstream has said so.
        shut: Duration,
    },
}

/// What is known of a turn that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The connection was answered, or the request for it may have been read: it counts for so long.
    Counted(Duration),
    /// The same, and the upstream wants no other for so long.
    Throttled { counts: Duration, shut: Duration },
    /// Nothing was asked of the upstream: the turn is free again.
    Nothing,
}

impl Became {
    /// How long the turn still counts, and how long all are shut.
    pub(super) fn lasts(self) -> (Duration, Duration) {
        match self {
            Became::Counted(counts) => (counts, Duration::ZERO),
            Became::Throttled { counts, shut } => (counts, shut),
            Became::Nothing => (Duration::ZERO, Duration::ZERO),
        }
    }
}

impl Store {
    /// Takes a turn, if one is free.
    pub async fn take_turn(&self, asked: &TakeTurn<'_>) -> Result<Paced, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.take_turn(asked),
                Engine::Redis(redis) => Box::pin(redis.take_turn(asked, &self.keys)).await,
            }
        };
        self.count("take_turn", work).await
    }

    /// Says what became of a turn.
    pub async fn note_turn(
        &self,
        quota: &str,
        turn: Turn,
        became: Became,
    ) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.note_turn(quota, turn, became),
                Engine::Redis(redis) => {
                    Box::pin(redis.note_turn(quota, turn, became, &self.keys)).await
                }
            }
        };
        self.count("note_turn", work).await
    }
}
