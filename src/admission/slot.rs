//! How many sessions each key has, over all threads.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::Denied;
use crate::config::ApiKey;
use crate::error::Reason;
use crate::label::Label;

/// Sessions in use by key. Entries exist only while they are above zero, so the table is bounded
/// by the keys in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<DashMap<Label, usize>>);

/// One session of a key; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    key: Label,
}

impl Slots {
    /// Takes a slot; `None` if the key has no limit.
    pub(super) fn take(&self, key: &ApiKey) -> Result<Option<Slot>, Denied> {
        let Some(limit) = key.sessions else {
            return Ok(None);
        };
        let mut used = self.0.entry(key.name.clone()).or_insert(0);
        if *used >= limit {
            let empty = *used == 0;
            drop(used);
            if empty {
                self.0.remove_if(&key.name, |_, used| *used == 0);
            }
            return Err(Denied::new(
                Reason::Busy,
                "all sessions of this key are in use",
            ));
        }
        *used += 1;
        Ok(Some(Slot {
            slots: self.clone(),
            key: key.name.clone(),
        }))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.slots.0.entry(self.key.clone()) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Digest;

    #[test]
    fn counts_are_exact_over_many_threads_and_leave_nothing_behind() {
        let slots = Slots::default();
        let key = ApiKey {
            name: Label::new("k").unwrap(),
            digest: Digest::of("k"),
            models: Vec::new(),
            sessions: Some(10),
        };
        let held: Vec<Slot> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            drop(slots.take(&key));
                        }
                        (0..10)
                            .filter_map(|_| slots.take(&key).ok().flatten())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            takers
                .into_iter()
                .flat_map(|taker| taker.join().unwrap())
                .collect()
        });
        assert_eq!(held.len(), 10);
        assert!(slots.take(&key).is_err());
        drop(held);
        assert!(slots.0.is_empty());
    }

    #[test]
    fn a_limit_of_zero_admits_nobody() {
        let slots = Slots::default();
        let key = ApiKey {
            name: Label::new("k").unwrap(),
            digest: Digest::of("k"),
            models: Vec::new(),
            sessions: Some(0),
        };
        assert!(slots.take(&key).is_err());
        assert!(slots.0.is_empty());
    }
}
