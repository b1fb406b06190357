//! Calls that the edge made, kept in this process.

use super::{Call, Memory, Written};
use crate::ids::CallId;
use crate::secret::Digest;
use crate::store::made::{Bind, Made};
use crate::store::{Facts, Keys, Unavailable};

impl Call {
    /// What its media URL must be bound to.
    pub(super) fn binding(&self) -> Option<Digest> {
        self.made.map(|made| made.binding)
    }
}

impl Memory {
    pub(in crate::store) fn make_call(
        &self,
        call: &CallId,
        facts: &Facts,
        made: &Made,
    ) -> Result<(), Unavailable> {
        let record = super::Call {
            facts: facts.clone(),
            made: Some(*made),
            ..super::Call::default()
        };
        self.state()
            .calls
            .put(call.clone(), record, self.policy.ttl)
    }

    pub(in crate::store) fn bind_call(
        &self,
        bind: &Bind<'_>,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let mut state = self.state();
        let ttl = self.policy.ttl;
        let known = state.calls.get_mut(bind.call);
        let Some(known) = known.filter(|known| known.binding() == Some(bind.binding)) else {
            return Ok(false);
        };
        let mut record = known.clone();
        record.facts.connection = Some(bind.connection.clone());
        if let Some(correlation) = bind.correlation {
            record.facts.correlation = Some(correlation.clone());
        }
        let key = keys.api(bind.connection).expose().to_owned();
        let written = Written {
            binding: Some(bind.binding),
            contact: None,
        };
        state.keys.put(key, written, ttl)?;
        state.calls.put(bind.call.clone(), record, ttl)?;
        Ok(true)
    }

    pub(in crate::store) fn connect_call(&self, call: &CallId) -> Result<(), Unavailable> {
        let mut state = self.state();
        if let Some(known) = state.calls.get_mut(call)
            && known.made.is_some()
        {
            known.connected = true;
            state.calls.keep(call, self.policy.ttl);
        }
        Ok(())
    }
}
