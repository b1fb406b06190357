//! What events bring, kept in this process.

use std::time::Duration;

use super::Memory;
use crate::ids::{CallId, SessionId};
use crate::secret::Digest;
use crate::store::Unavailable;
use crate::store::events::{CLAIM, Kept, TONES, TONES_MAX, Tones};
use crate::store::made::{CallEnded, Known};

impl Memory {
    pub(in crate::store) fn claim(
        &self,
        event: &Digest,
        by: SessionId,
    ) -> Result<bool, Unavailable> {
        let mut state = self.state();
        if let Some(before) = state.claims.get(event) {
            return Ok(*before == by);
        }
        state.claims.put(*event, by, CLAIM)?;
        Ok(true)
    }

    pub(in crate::store) fn unclaim(
        &self,
        event: &Digest,
        by: SessionId,
    ) -> Result<(), Unavailable> {
        let mut state = self.state();
        if state.claims.get(event) == Some(&by) {
            state.claims.remove(event);
        }
        Ok(())
    }

    pub(in crate::store) fn known(&self, call: &CallId) -> Result<Option<Known>, Unavailable> {
        let state = self.state();
        Ok(state.calls.get(call).map(|call| Known {
            facts: call.facts.clone(),
            made: call.made,
            connected: call.connected,
            ended: call.ended,
        }))
    }

    pub(in crate::store) fn end_call(
        &self,
        call: &CallId,
        ended: CallEnded,
    ) -> Result<bool, Unavailable> {
        let mut state = self.state();
        let Some(known) = state.calls.get_mut(call) else {
            return Ok(false);
        };
        if known.ended.is_none_or(|before| before.code.is_none()) {
            known.ended = Some(ended);
        }
        state.live.remove(call);
        state.calls.keep(call, self.policy.ttl);
        Ok(true)
    }

    pub(in crate::store) fn add_tones(
        &self,
        call: &CallId,
        tones: &[(u32, char)],
    ) -> Result<Kept, Unavailable> {
        let mut state = self.state();
        if state.calls.get(call).is_none() {
            return Ok(Kept::Unknown);
        }
        let mut kept = state.tones.get(call).cloned().unwrap_or_default();
        let mut full = false;
        for &(sequence, key) in tones {
            if kept.contains_key(&sequence) {
                continue;
            }
            if kept.len() >= TONES_MAX {
                full = true;
            } else {
                kept.insert(sequence, key);
            }
        }
        let ttl: Duration = self.policy.ttl.min(TONES);
        state.tones.put(call.clone(), kept, ttl)?;
        Ok(if full { Kept::Full } else { Kept::All })
    }

    pub(in crate::store) fn tones(
        &self,
        call: &CallId,
        owner: SessionId,
        heard: Option<u32>,
    ) -> Result<Tones, Unavailable> {
        let mut state = self.state();
        let Some(known) = state.calls.get_mut(call) else {
            return Ok(Tones::NotOurs);
        };
        if known.owner != Some(owner) {
            return Ok(Tones::NotOurs);
        }
        known.heard = known.heard.max(heard.unwrap_or(0));
        let (heard, ended) = (known.heard, known.ended);
        if ended.is_some() {
            return Ok(Tones::Ended);
        }
        let tones = state.tones.get(call);
        let new = tones.into_iter().flatten().map(|(&at, &key)| (at, key));
        Ok(Tones::Told {
            heard,
            tones: new.filter(|&(at, _)| at > heard).collect(),
        })
    }
}
