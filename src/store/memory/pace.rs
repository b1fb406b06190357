//! Turns, kept in this process.

use std::time::Duration;

use tokio::time::Instant;

use super::Memory;
use crate::store::Unavailable;
use crate::store::pace::{Became, Paced, TakeTurn, Turn};

/// The turns of one quota.
#[derive(Default)]
pub(super) struct Turns {
    /// With the time at which each is over.
    out: Vec<(Turn, Instant)>,
    shut: Option<Instant>,
}

impl Turns {
    fn set(&mut self, turn: Turn, over: Instant) {
        match self.out.iter_mut().find(|(known, _)| *known == turn) {
            Some(known) => known.1 = over,
            None => self.out.push((turn, over)),
        }
    }

    fn take(&mut self, asked: &TakeTurn<'_>, now: Instant) -> Paced {
        for (turn, left) in asked.told {
            self.set(*turn, now + *left);
        }
        self.out.retain(|(_, over)| *over > now);
        let out = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
        let known = self.out.iter().any(|(turn, _)| *turn == asked.turn);
        let shut = self.shut.map(|until| until.saturating_duration_since(now));
        let shut = shut.unwrap_or_default();
        if known || (shut.is_zero() && out < asked.count) {
            self.set(asked.turn, now + asked.lasts);
            let out = out + u32::from(!known);
            return Paced::Taken { out };
        }
        let mut free_in: Vec<_> = self.out.iter().map(|(_, over)| *over - now).collect();
        free_in.sort_unstable();
        free_in.truncate(asked.forecast);
        Paced::Wait { out, free_in, shut }
    }
}

impl Memory {
    pub(in crate::store) fn take_turn(&self, asked: &TakeTurn<'_>) -> Result<Paced, Unavailable> {
        let mut state = self.state();
        let name = asked.quota.to_owned();
        let mut turns = state.turns.take(&name).unwrap_or_default();
        let paced = turns.take(asked, Instant::now());
        state.turns.put(name, turns, Duration::MAX)?;
        Ok(paced)
    }

    pub(in crate::store) fn note_turn(
        &self,
        quota: &str,
        turn: Turn,
        became: Became,
    ) -> Result<(), Unavailable> {
        let mut state = self.state();
        let name = quota.to_owned();
        let mut turns = state.turns.take(&name).unwrap_or_default();
        let (counts, shut) = became.lasts();
        let now = Instant::now();
        turns.set(turn, now + counts);
        if !shut.is_zero() {
            turns.shut = turns.shut.max(Some(now + shut));
        }
        state.turns.put(name, turns, Duration::MAX)
    }
}
