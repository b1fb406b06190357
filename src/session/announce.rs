//! Tells all edges of the sessions of this one, so that whoever may see them is told of them anywhere.
//!
//! One future looks once a second at what runs: what is new or has another lease is told then, the rest
//! in turns, long before what was told of it ends. A session that ends is told as gone; of an edge that
//! dies the records end by themselves. Nobody waits for it, and a store that is away is told later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Registry;
use crate::ids::SessionId;
use crate::log::Throttle;
use crate::store::{Running, Store, Unavailable};

/// How soon a session is told of.
const LOOK: Duration = Duration::from_secs(1);
/// How long it is known by one telling, and after how long it is told again: two may be lost.
const KNOWN: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(10);
/// Sessions of one telling, which has the time that one question to the store has.
const AT_ONCE: usize = 100;

/// Tells of the sessions of one edge.
pub struct Announcer {
    registry: Registry,
    store: Arc<Store>,
    /// What the store knows, and since when: as many as have a session permit.
    known: Mutex<HashMap<SessionId, (Running, Instant)>>,
    warnings: Throttle,
}

impl Announcer {
    pub fn new(registry: &Registry, store: &Arc<Store>) -> Announcer {
        Announcer {
            registry: registry.clone(),
            store: store.clone(),
            known: Mutex::default(),
            warnings: Throttle::default(),
        }
    }

    /// Tells, for as long as the edge lives.
    pub async fn run(&self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if !self.store.is_up() {
                continue;
            }
            if let Err(error) = self.look().await
                && let Some(left_out) = self.warnings.pass(Moment::now())
            {
                tracing::warn!(%error, left_out, "the store was not told which sessions run");
            }
        }
    }

    /// Tells that nothing runs here any more; to be asked when that is so.
    pub async fn take_leave(&self) {
        // What is not told so ends by itself.
        if let Err(error) = self.forget(&self.gone()).await {
            tracing::debug!(%error, "the store was not told that all sessions have ended");
        }
    }

    /// Whether a session that the store may still tell of ran here and has ended.
    pub fn is_over(&self, id: SessionId) -> bool {
        self.known().contains_key(&id) && !self.registry.has(id)
    }

    async fn look(&self) -> Result<(), Unavailable> {
        for some in self.due().chunks(AT_ONCE) {
            self.store.tell_running(some, KNOWN).await?;
            let now = Instant::now();
            let mut known = self.known();
            known.extend(some.iter().map(|told| (told.id, (told.clone(), now))));
        }
        self.forget(&self.gone()).await
    }

    /// What is to be told.
    fn due(&self) -> Vec<Running> {
        let (known, now) = (self.known(), Instant::now());
        self.registry.told(|id, leased| match known.get(&id) {
            Some((told, since)) => now >= *since + AGAIN || leased.differs(told),
            None => true,
        })
    }

    /// What was told, and runs no more.
    fn gone(&self) -> Vec<Running> {
        let known = self.known();
        let gone = known
            .values()
            .filter(|(told, _)| !self.registry.has(told.id));
        gone.map(|(told, _)| told.clone()).collect()
    }

    async fn forget(&self, gone: &[Running]) -> Result<(), Unavailable> {
        for some in gone.chunks(AT_ONCE) {
            self.store.forget_running(some).await?;
            let mut known = self.known();
            for told in some {
                known.remove(&told.id);
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SessionId, (Running, Instant)>> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
