//! Limits that edges count in their store together, and what each does when it cannot.
//!
//! What a request needs is first taken of this edge's own tables, which cost nothing and keep floods
//! from the store; then of the store, all at once or nothing. The places of a session are leases,
//! which one task keeps for all sessions of this edge, and gives back ([`Shares::run`]).
//!
//! While the store is away, what keeps strangers from guessing (`upgrades_per_address`) refuses, as
//! nobody could tell how often they asked elsewhere. All else is a matter of capacity: there each edge
//! admits its part, one of `replicas`, and as soon as the store is back it knows of them.

mod renew;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::limit::Limits;
use super::wish::Wish;
use super::{Admission, Denied, Grant};
use crate::config::{self, Route};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::metrics;
use crate::store::{Counter, Most, Store, Took};

/// Sessions that have ended and whose places are still to be given back. More are forgotten, and
/// their places end with their lease.
const GONE_MAX: usize = 65_536;

/// What is told where it cannot be known how often somebody asked.
const UNKNOWN: &str = "how often this address has asked cannot be known at present";

impl Admission {
    /// Counts limits together with all that ask this store, if the settings say so.
    pub fn sharing(self, store: &Arc<Store>) -> Admission {
        // Those of before count for this generation, too.
        if !self.usual.shared || self.shares.are_shared() {
            return self;
        }
        let alone = Shares::alone(self.limits.clone(), self.limits.metrics());
        Admission {
            shares: Arc::new(alone.with(store.clone(), &self.usual)),
            ..self
        }
    }

    /// Counts nothing with others any more: whoever explains a request uses up nothing.
    pub fn count_alone(&mut self) {
        self.shares = Arc::new(Shares::alone(self.limits.clone(), self.limits.metrics()));
    }

    /// Whether nobody enters by this route while the store is away.
    pub fn needs_store(&self, route: &Route) -> bool {
        self.shares.are_shared() && route.limits.upgrades_per_address.is_some()
    }

    /// Takes what a session needs of the limits that edges share, and of minutes; it is held with the
    /// grant. On routes of calls this goes beside the question whether the call may begin.
    pub async fn share(
        &self,
        grant: &Grant,
        session: SessionId,
    ) -> Result<Option<Reserved>, Denied> {
        self.shares.take(session, &grant.wishes).await
    }
}

/// What the sessions of this edge hold of limits. Shared by all threads.
pub struct Shares {
    limits: Arc<Limits>,
    /// `None`: this edge counts for itself.
    store: Option<Arc<Store>>,
    replicas: u32,
    lease: Duration,
    /// Bounded by the connections, as each has one request.
    places: Mutex<HashMap<SessionId, Place>>,
    gone: Mutex<Vec<Gone>>,
    /// Something is gone.
    left: Notify,
    /// What is gone is being said.
    saying: AtomicBool,
    /// Nothing of what is gone is left to be said.
    said: Notify,
    /// The store could not be asked when that was tried last.
    away: AtomicBool,
    metrics: metrics::Shared,
}

/// What a session holds.
struct Place {
    wishes: Arc<[Wish]>,
    /// It was let in: until then nothing is kept for it.
    entered: bool,
    /// Until when its minutes are counted.
    counted: Instant,
}

/// What a session has held.
struct Gone {
    session: SessionId,
    wishes: Arc<[Wish]>,
    /// How long it lasted since that was counted last.
    lasted: Duration,
    /// After that its places have ended by themselves.
    until: Instant,
}

/// The places of a session; dropping it gives them back.
pub struct Reserved {
    shares: Arc<Shares>,
    session: SessionId,
}

impl std::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reserved(_)")
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shares.let_go(self.session);
    }
}

impl Shares {
    /// Of an edge that counts for itself.
    pub(super) fn alone(limits: Arc<Limits>, metrics: metrics::Shared) -> Shares {
        let usual = config::Limits::default();
        Shares {
            limits,
            store: None,
            replicas: 1,
            lease: usual.lease,
            places: Mutex::default(),
            gone: Mutex::default(),
            left: Notify::new(),
            saying: AtomicBool::new(false),
            said: Notify::new(),
            away: AtomicBool::new(false),
            metrics,
        }
    }

    /// Of one that counts with others.
    pub(super) fn with(self, store: Arc<Store>, settings: &config::Limits) -> Shares {
        Shares {
            store: Some(store),
            replicas: settings.replicas,
            lease: settings.lease,
            ..self
        }
    }

    pub(super) fn are_shared(&self) -> bool {
        self.store.is_some()
    }

    /// Counts that an address has asked. Whoever may be guessing is not let in uncounted.
    pub(super) async fn count_address(&self, wish: Option<Wish>) -> Result<(), Denied> {
        let (Some(store), Some(wish)) = (&self.store, wish) else {
            return Ok(());
        };
        let counters = [wish.counter()];
        let took = store.take(SessionId::random(), &counters, self.lease).await;
        self.note(took.is_ok());
        match took {
            Ok(Took::All) => Ok(()),
            Ok(Took::NoMore { wait, .. }) => Err(self.limits.no_more(&wish, wait)),
            Err(_) => {
                self.metrics.limit_hit("shared");
                Err(Denied::new(Reason::StoreUnavailable, UNKNOWN))
            }
        }
    }

    /// Takes all that a session needs, whose slots of this edge are taken already. What it gives is
    /// held for as long as that lives; whoever gives up on the way has taken nothing.
    pub(super) async fn take(
        self: &Arc<Self>,
        session: SessionId,
        wishes: &[Wish],
    ) -> Result<Option<Reserved>, Denied> {
        let lasts = |wish: &Wish| matches!(wish.most, Most::Minutes(_));
        if wishes.is_empty() || (self.store.is_none() && !wishes.iter().any(lasts)) {
            return Ok(None);
        }
        let held = self.hold(session, wishes);
        if let Some(store) = &self.store {
            let counters: Vec<Counter> = wishes.iter().map(Wish::counter).collect();
            let took = store.take(session, &counters, self.lease).await;
            self.note(took.is_ok());
            match took {
                Ok(Took::All) => {}
                Ok(Took::NoMore { which, wait }) => {
                    lock(&self.places).remove(&session);
                    return Err(match wishes.get(which) {
                        Some(wish) => self.limits.no_more(wish, wait),
                        None => Denied::new(Reason::Internal, "there is no such limit"),
                    });
                }
                Err(_) => {
                    self.metrics.limit_hit("shared");
                    let now = Instant::now().into_std();
                    self.limits.of_share(wishes, self.replicas, now)?;
                }
            }
        }
        if let Some(place) = lock(&self.places).get_mut(&session) {
            place.entered = true;
            place.counted = Instant::now();
        }
        Ok(Some(held))
    }

    fn hold(self: &Arc<Self>, session: SessionId, wishes: &[Wish]) -> Reserved {
        let place = Place {
            wishes: wishes.into(),
            entered: false,
            counted: Instant::now(),
        };
        lock(&self.places).insert(session, place);
        Reserved {
            shares: self.clone(),
            session,
        }
    }

    fn let_go(&self, session: SessionId) {
        // Whoever was refused has nothing to give back.
        let Some(place) = lock(&self.places).remove(&session) else {
            return;
        };
        let now = Instant::now();
        let lasted = match place.entered {
            true => now - place.counted,
            false => Duration::ZERO,
        };
        for wish in place.wishes.iter() {
            self.limits.lasted(wish, lasted, now.into_std());
        }
        if self.store.is_none() {
            return;
        }
        let mut gone = lock(&self.gone);
        if gone.len() >= GONE_MAX {
            self.metrics.limit_hit("shared_gone");
            return;
        }
        gone.push(Gone {
            session,
            wishes: place.wishes,
            lasted,
            until: now + self.lease,
        });
        drop(gone);
        self.left.notify_one();
    }

    /// Says once that the store is away, and once that it is not.
    fn note(&self, answered: bool) {
        if self.away.swap(!answered, Ordering::Relaxed) != answered {
            return;
        }
        match answered {
            true => tracing::info!("shared limits are counted together again"),
            false => tracing::warn!(
                replicas = self.replicas,
                "the store is away: this edge admits its share of limits, and nobody where \
                 upgrades_per_address is shared"
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and whatever is in there is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
