//! How many sessions each key, route, address and identity has, over all threads.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// What is in use, by whom. Entries exist only while they are above zero, so the table is bounded
/// by what is in use, and that by the permits of connections and sessions.
#[derive(Debug)]
pub struct Slots<W: Eq + Hash>(Arc<DashMap<W, usize>>);

/// One of somebody's; dropping it gives it back.
#[derive(Debug)]
pub struct Slot<W: Eq + Hash> {
    slots: Slots<W>,
    who: Option<W>,
}

impl<W: Eq + Hash> Clone for Slots<W> {
    fn clone(&self) -> Slots<W> {
        Slots(self.0.clone())
    }
}

impl<W: Eq + Hash> Default for Slots<W> {
    fn default() -> Slots<W> {
        Slots(Arc::default())
    }
}

impl<W: Eq + Hash + Clone> Slots<W> {
    /// Takes a slot of `who`; `None` if `limit` are taken already.
    pub fn take(&self, who: W, limit: usize) -> Option<Slot<W>> {
        match self.0.entry(who.clone()) {
            Entry::Occupied(mut used) if *used.get() < limit => *used.get_mut() += 1,
            Entry::Vacant(free) if limit > 0 => drop(free.insert(1)),
            Entry::Occupied(_) | Entry::Vacant(_) => return None,
        }
        Some(Slot {
            slots: self.clone(),
            who: Some(who),
        })
    }

    /// How many of `who`'s are taken.
    pub fn taken(&self, who: &W) -> usize {
        self.0.get(who).map_or(0, |used| *used)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<W: Eq + Hash> Drop for Slot<W> {
    fn drop(&mut self) {
        let Some(who) = self.who.take() else { return };
        if let Entry::Occupied(mut used) = self.slots.0.entry(who) {
            *used.get_mut() -= 1;
            if *used.get() == 0 {
                used.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_over_many_threads_and_leave_nothing_behind() {
        let slots = Slots::default();
        let held: Vec<Slot<u8>> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            drop(slots.take(7, 10));
                        }
                        (0..10)
                            .filter_map(|_| slots.take(7, 10))
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
        assert!(slots.take(7, 10).is_none());
        assert!(slots.take(8, 1).is_some());
        drop(held);
        assert!(slots.is_empty());
    }

    #[test]
    fn a_limit_of_zero_admits_nobody() {
        let slots = Slots::default();
        assert!(slots.take("k", 0).is_none());
        assert!(slots.is_empty());
    }
}
