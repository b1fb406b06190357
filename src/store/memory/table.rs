//! Tables whose entries end, with room for so many.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::Unavailable;

/// Nothing in a process is kept for longer, and no clock runs over.
const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// A table that is full of what has not ended is not gone through more often.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Entries that end.
pub(super) struct Table<K, V> {
    pub(super) entries: HashMap<K, (V, Instant)>,
    most: usize,
    /// When what has ended was last cleared away in vain.
    full: Option<Instant>,
}

impl<K: Eq + Hash, V> Table<K, V> {
    pub(super) fn new(most: usize) -> Table<K, V> {
        Table {
            entries: HashMap::new(),
            most,
            full: None,
        }
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (value, ends) = self.entries.get(key)?;
        (*ends > Instant::now()).then_some(value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (value, ends) = self.entries.get_mut(key)?;
        (*ends > Instant::now()).then_some(value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        let now = Instant::now();
        let there = self.entries.values().filter(move |(_, ends)| *ends > now);
        there.map(|(value, _)| value)
    }

    /// Makes sure that an entry can be put.
    pub(super) fn room(&mut self, key: &K) -> Result<(), Unavailable> {
        if self.entries.len() < self.most || self.entries.contains_key(key) {
            return Ok(());
        }
        let now = Instant::now();
        if self.full.is_some_and(|full| now < full + SWEEP_PAUSE) {
            return Err(Unavailable::Full);
        }
        self.entries.retain(|_, (_, ends)| *ends > now);
        if self.entries.len() < self.most {
            return Ok(());
        }
        self.full = Some(now);
        Err(Unavailable::Full)
    }

    pub(super) fn put(&mut self, key: K, value: V, ttl: Duration) -> Result<(), Unavailable> {
        self.room(&key)?;
        let ends = Instant::now() + ttl.min(TTL_MAX);
        self.entries.insert(key, (value, ends));
        Ok(())
    }

    /// Gives an entry another end.
    pub(super) fn keep(&mut self, key: &K, ttl: Duration) {
        let now = Instant::now();
        if let Some((_, ends)) = self.entries.get_mut(key)
            && *ends > now
        {
            *ends = now + ttl.min(TTL_MAX);
        }
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        let (value, ends) = self.entries.remove(key)?;
        (ends > Instant::now()).then_some(value)
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.remove(key);
    }
}
