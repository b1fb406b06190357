//! Sessions that have ended, for as long as there is room: what an operator asks first is why one did.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::Live;
use crate::error::{Reason, Side};
use crate::ids::SessionId;
use crate::relay::Ending;

/// Most that are kept: some 400 bytes each, and minutes of a busy edge.
pub const RECENT_MAX: usize = 1000;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub by: Side,
    pub reason: Reason,
    pub at: SystemTime,
    /// Without the goodbye.
    pub duration: Duration,
    /// Codes in the close frames of the client and of the upstream.
    pub closes: [Option<u16>; 2],
}

impl End {
    pub(super) fn of(ending: &Ending, duration: Duration) -> End {
        End {
            by: ending.by,
            reason: ending.reason,
            at: SystemTime::now(),
            duration,
            closes: [ending.client_close, ending.upstream_close],
        }
    }

    /// Of a session that did not come to its own end.
    pub(super) fn cut(duration: Duration) -> End {
        End {
            by: Side::Edge,
            reason: Reason::Internal,
            at: SystemTime::now(),
            duration,
            closes: [None; 2],
        }
    }
}

/// A session that ran here.
#[derive(Clone, Debug)]
pub struct Ended {
    /// As it was last shown.
    pub live: Live,
    pub end: End,
}

/// The latest that have ended.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    ended: VecDeque<Ended>,
    forgotten: u64,
}

impl Recent {
    pub(super) fn add(&self, ended: Ended) {
        let mut kept = self.lock();
        if kept.ended.len() == RECENT_MAX {
            kept.ended.pop_front();
            kept.forgotten += 1;
        }
        kept.ended.push_back(ended);
    }

    /// Those for which `pick` says so, the latest first, `most` of them.
    pub(super) fn list(&self, pick: impl Fn(&Ended) -> bool, most: usize) -> Vec<Ended> {
        let kept = self.lock();
        let picked = kept.ended.iter().rev().filter(|ended| pick(ended));
        picked.take(most).cloned().collect()
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Ended> {
        let kept = self.lock();
        kept.ended
            .iter()
            .rev()
            .find(|ended| ended.live.id == id)
            .cloned()
    }

    /// How many have ended that are not known any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
