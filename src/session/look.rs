//! Looking at sessions: those that run, those that have ended, and one as it goes on.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Ended, Live, Registry};
use crate::ids::SessionId;
use crate::relay::{News, Tailing};

/// People who look on at a time, over all sessions: each makes the sessions' threads write lines.
pub const TAILS_MAX: usize = 16;

/// [`TAILS_MAX`] look on already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Somebody who looks on at one session; dropping it looks away.
#[derive(Debug)]
pub struct Tail {
    tailing: Tailing,
    _permit: OwnedSemaphorePermit,
}

impl Tail {
    /// Waits until there is something new; `None` when the session is over and all was read. Whoever
    /// is slow holds nobody up, and loses the oldest lines. Cancel-safe.
    pub async fn next(&mut self) -> Option<News> {
        self.tailing.next().await
    }
}

impl Registry {
    /// Sessions that run here and for which `pick` says so, the latest first, `most` of them. Those
    /// whose upgrade is not done are not among them.
    pub fn running(&self, pick: impl Fn(&Live) -> bool, most: usize) -> Vec<Live> {
        let mut all: Vec<Live> = self.all_live().into_iter().filter(pick).collect();
        all.sort_by_key(|live| std::cmp::Reverse(live.started));
        all.truncate(most);
        all
    }

    /// Those that have ended here, of the latest [`RECENT_MAX`](super::RECENT_MAX).
    pub fn recent(&self, pick: impl Fn(&Ended) -> bool, most: usize) -> Vec<Ended> {
        self.ended().list(pick, most)
    }

    /// How many have ended that [`recent`](Registry::recent) does not know any more.
    pub fn forgotten(&self) -> u64 {
        self.ended().forgotten()
    }

    /// One that has ended.
    pub fn recent_of(&self, id: SessionId) -> Option<Ended> {
        self.ended().find(id)
    }

    /// Looks on at a session as messages cross; `None`: it does not run here.
    /// So many places are left to others.
    pub fn tail(&self, id: SessionId, leaving: usize) -> Option<Result<Tail, TooMany>> {
        let handle = self.handle(id)?;
        let tails = self.tails();
        let permit = match tails.available_permits() > leaving {
            true => Arc::clone(tails).try_acquire_owned().ok(),
            false => None,
        };
        Some(match permit {
            Some(permit) => Ok(Tail {
                tailing: handle.tail(),
                _permit: permit,
            }),
            None => Err(TooMany),
        })
    }
}
