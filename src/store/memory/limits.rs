//! What is counted together, in this process.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Memory, State};
use crate::ids::SessionId;
use crate::store::Unavailable;
use crate::store::limits::{Counter, Most, Took, Use, minutes};

/// How much there is of one thing.
pub(super) enum Counted {
    /// When the bucket of a rate is empty.
    Rate(Instant),
    /// Until when each session has its place.
    Sessions(HashMap<SessionId, Instant>),
    /// How long sessions have lasted.
    Minutes(Duration),
}

impl Memory {
    pub(in crate::store) fn take(
        &self,
        session: SessionId,
        counters: &[Counter],
        lease: Duration,
    ) -> Result<Took, Unavailable> {
        let mut state = self.state();
        let now = Instant::now();
        for (which, counter) in counters.iter().enumerate() {
            state.counted.room(&counter.name)?;
            if let Some(wait) = state.lacks(counter, session, now) {
                return Ok(Took::NoMore { which, wait });
            }
        }
        for counter in counters {
            match counter.most {
                Most::Rate(rate) => {
                    let from = match state.counted.get(&counter.name) {
                        Some(Counted::Rate(empty)) => (*empty).max(now),
                        _ => now,
                    };
                    let next = from + rate.per / rate.count;
                    let counted = Counted::Rate(next);
                    let name = counter.name.clone();
                    state.counted.put(name, counted, next - now)?;
                }
                Most::Sessions(_) => state.place(counter, &[session], now, lease)?,
                Most::Minutes(_) => {}
            }
        }
        Ok(Took::All)
    }

    pub(in crate::store) fn keep(
        &self,
        used: Use<'_>,
        lease: Duration,
    ) -> Result<bool, Unavailable> {
        let mut state = self.state();
        let Use {
            counter,
            sessions,
            lasted,
        } = used;
        match counter.most {
            Most::Rate(_) => Ok(false),
            Most::Sessions(_) => {
                state.place(counter, sessions, Instant::now(), lease)?;
                Ok(false)
            }
            Most::Minutes(rate) => {
                let all = match state.counted.get_mut(&counter.name) {
                    Some(Counted::Minutes(all)) => {
                        *all += lasted;
                        *all
                    }
                    _ => {
                        let counted = Counted::Minutes(lasted);
                        state.counted.put(counter.name.clone(), counted, rate.per)?;
                        lasted
                    }
                };
                Ok(all >= minutes(rate))
            }
        }
    }

    pub(in crate::store) fn free(
        &self,
        counter: &Counter,
        sessions: &[SessionId],
    ) -> Result<(), Unavailable> {
        let mut state = self.state();
        if let Some(Counted::Sessions(places)) = state.counted.get_mut(&counter.name) {
            for session in sessions {
                places.remove(session);
            }
        }
        Ok(())
    }
}

impl State {
    /// Until when there is no more of it, if there is none.
    fn lacks(
        &mut self,
        counter: &Counter,
        session: SessionId,
        now: Instant,
    ) -> Option<Option<Duration>> {
        match (counter.most, self.counted.get_mut(&counter.name)) {
            (Most::Rate(rate), Some(Counted::Rate(empty))) => {
                let next = (*empty).max(now) + rate.per / rate.count;
                (next > now + rate.per).then(|| Some(next - now - rate.per))
            }
            (Most::Sessions(most), Some(Counted::Sessions(places))) => {
                places.retain(|_, ends| *ends > now);
                (places.len() >= most && !places.contains_key(&session)).then_some(None)
            }
            (Most::Sessions(most), _) => (most == 0).then_some(None),
            (Most::Minutes(rate), Some(Counted::Minutes(all))) if *all >= minutes(rate) => {
                let ends = self
                    .counted
                    .entries
                    .get(&counter.name)
                    .map(|(_, ends)| *ends);
                Some(ends.map(|ends| ends - now))
            }
            (Most::Rate(_) | Most::Minutes(_), _) => None,
        }
    }

    fn place(
        &mut self,
        counter: &Counter,
        sessions: &[SessionId],
        now: Instant,
        lease: Duration,
    ) -> Result<(), Unavailable> {
        let mut places = match self.counted.get_mut(&counter.name) {
            Some(Counted::Sessions(places)) => std::mem::take(places),
            _ => HashMap::new(),
        };
        places.extend(sessions.iter().map(|session| (*session, now + lease)));
        let counted = Counted::Sessions(places);
        self.counted.put(counter.name.clone(), counted, lease)
    }
}
