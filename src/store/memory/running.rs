//! Sessions that run, told in this process.

use std::time::Duration;

use super::Memory;
use crate::ids::SessionId;
use crate::store::Unavailable;
use crate::store::running::{Found, Running, Whose};

impl Memory {
    pub(in crate::store) fn tell_running(
        &self,
        sessions: &[Running],
        ttl: Duration,
    ) -> Result<(), Unavailable> {
        let mut state = self.state();
        for session in sessions {
            state.running.put(session.id, session.clone(), ttl)?;
        }
        Ok(())
    }

    pub(in crate::store) fn forget_running(&self, sessions: &[Running]) -> Result<(), Unavailable> {
        let mut state = self.state();
        for session in sessions {
            state.running.remove(&session.id);
        }
        Ok(())
    }

    pub(in crate::store) fn running(&self, id: SessionId) -> Result<Option<Running>, Unavailable> {
        Ok(self.state().running.get(&id).cloned())
    }

    /// All are gone through: they are this edge's own, which its permits bound.
    pub(in crate::store) fn running_of(
        &self,
        whose: Whose<'_>,
        most: usize,
    ) -> Result<Found, Unavailable> {
        let state = self.state();
        let mut all = state.running.values().filter(|session| session.is(whose));
        let sessions = all.by_ref().take(most).cloned().collect();
        Ok(Found {
            sessions,
            more: all.next().is_some(),
        })
    }
}
