//! Orders, from the log in the store to the sessions of this process, and into the log.
//!
//! One future reads it twice a second. What it reads ends the sessions that it names, and stays in
//! force here whatever becomes of the store. Where the log is not the one that it was, or could not be
//! read for a while, all of it is read again, and it is given back what it has lost.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Registry;
use crate::admission::Revocations;
use crate::error::Reason;
use crate::metrics;
use crate::store::{
    Cursor, Lodged, ORDERS_MAX, Order, Ordered, RESTORED_MAX, Store, Target, Unavailable,
};

/// From one reading to the next. Twice that, and what the store takes to answer, is how long a session
/// may go on that was taken back: less than two seconds.
const READ_EVERY: Duration = Duration::from_millis(500);
/// The same until the first has been read, which newcomers wait for.
const READ_FIRST: Duration = Duration::from_millis(50);
/// Revocations that the store has not taken yet. What comes beyond stays in force here, and is counted.
const UNWRITTEN_MAX: usize = ORDERS_MAX;

/// What is ordered here and elsewhere.
pub struct Orders {
    store: Arc<Store>,
    registry: Registry,
    revocations: Revocations,
    metrics: metrics::Shared,
    unwritten: Mutex<HashMap<Target, SystemTime>>,
    /// There is something to write.
    wake: Notify,
}

/// What a revocation came to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Sessions of this process that it ends.
    pub ended: usize,
    /// Whether the other edges will read it. If not, this one goes on trying to write it.
    pub written: Result<Lodged, Unavailable>,
}

/// What became of one that was to be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifted {
    Done,
    /// Nothing of that name is taken back, as far as is known here.
    Unknown,
    /// The other edges would not read it, so nothing was lifted.
    NotWritten(Result<Lodged, Unavailable>),
}

/// What a part of the log comes to.
#[derive(Default)]
struct Net {
    revoked: HashMap<Target, SystemTime>,
    lifted: HashSet<Target>,
}

impl Net {
    fn add(&mut self, ordered: &Ordered) {
        match &ordered.order {
            Order::Revoke(target) => {
                let until = self.revoked.entry(target.clone()).or_insert(ordered.until);
                *until = ordered.until.max(*until);
            }
            Order::Lift(target) => {
                self.revoked.remove(target);
                self.lifted.insert(target.clone());
            }
            Order::Refresh { .. } | Order::End { .. } => {}
        }
    }
}

impl Orders {
    pub fn new(
        store: &Arc<Store>,
        registry: &Registry,
        revocations: &Revocations,
        metrics: &metrics::Shared,
    ) -> Orders {
        Orders {
            store: store.clone(),
            registry: registry.clone(),
            revocations: revocations.clone(),
            metrics: metrics.clone(),
            unwritten: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// All that is taken back.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Takes something back until `until`: here at once, elsewhere when it is read.
    pub async fn revoke(&self, target: Target, until: SystemTime) -> Revoked {
        let ended = self.take_back(&target, until);
        let order = Order::Revoke(target.clone());
        let written = self.store.write_order(&order, until).await;
        if written != Ok(Lodged::Written) {
            self.write_later(target, until);
        }
        Revoked { ended, written }
    }

    /// Lets in again who was shut out, everywhere or nowhere.
    pub async fn lift(&self, target: Target) -> Lifted {
        let Some(until) = self.revocations.until(&target) else {
            return Lifted::Unknown;
        };
        let order = Order::Lift(target.clone());
        let written = self.store.write_order(&order, until).await;
        if written != Ok(Lodged::Written) {
            return Lifted::NotWritten(written);
        }
        self.let_in(&target);
        Lifted::Done
    }

    /// Reads and writes for ever.
    pub async fn run(&self) {
        // From where to read on; `None`: from the beginning.
        let mut place = None;
        loop {
            let begun = Instant::now();
            place = match place {
                Some(place) => self.read_on(place).await,
                None => self.read_all().await,
            };
            if place.is_some() {
                self.revocations.was_read(begun);
            }
            self.write_rest().await;
            self.show();
            let pause = match self.revocations.age(Instant::now()) {
                Some(_) => READ_EVERY,
                None => READ_FIRST,
            };
            let _ = timeout(pause, self.wake.notified()).await;
        }
    }

    /// Resolves when the store has taken all that it was to have.
    pub async fn settled(&self) {
        while !self.unwritten().is_empty() {
            sleep(READ_FIRST).await;
        }
    }

    /// Where it came to; `None`: the log is not the one that it was, or cannot be read.
    async fn read_on(&self, mut place: Cursor) -> Option<Cursor> {
        loop {
            let page = self.store.orders(place).await.ok()?;
            if page.last < place {
                tracing::warn!("the store has lost orders; all that it has are read again");
                return None;
            }
            self.tell_malformed(page.malformed);
            self.obey(&page.orders).then_some(())?;
            place = page.read_to;
            if !page.more {
                return Some(place);
            }
        }
    }

    /// The same from the beginning.
    async fn read_all(&self) -> Option<Cursor> {
        let (mut all, mut place, mut malformed) = (Vec::new(), Cursor::START, 0);
        loop {
            let page = self.store.orders(place).await.ok()?;
            place = page.read_to;
            malformed += page.malformed;
            all.extend(page.orders);
            if !page.more {
                break;
            }
            if all.len() > 2 * ORDERS_MAX {
                self.metrics.limit_hit("orders");
                return None;
            }
        }
        self.tell_malformed(malformed);
        // Whole, so that nobody is shut out by what stands there and was lifted.
        self.obey(&all).then_some(())?;
        let mut there = Net::default();
        all.iter().for_each(|ordered| there.add(ordered));
        for (target, until) in self.revocations.list() {
            let known = there.revoked.get(&target);
            if known.is_none_or(|known| *known < until) {
                self.write_later(target, until);
            }
        }
        Some(place)
    }

    fn tell_malformed(&self, malformed: usize) {
        if malformed > 0 {
            self.metrics.orders("malformed", malformed);
            tracing::warn!(
                entries = malformed,
                "the log of orders holds what are no orders"
            );
        }
    }

    /// Does what the orders say. Whether there was room for all of them.
    fn obey(&self, orders: &[Ordered]) -> bool {
        let mut net = Net::default();
        for ordered in orders {
            net.add(ordered);
            let done = match ordered.order {
                Order::End { session } => self.registry.end(session, Reason::Revoked),
                Order::Refresh {
                    session,
                    end,
                    credential,
                } => self.registry.put_off(session, (credential, end)),
                Order::Revoke(_) | Order::Lift(_) => false,
            };
            if done {
                self.metrics.orders(ordered.order.kind(), 1);
            }
        }
        for target in &net.lifted {
            if !net.revoked.contains_key(target) {
                self.let_in(target);
            }
        }
        let mut has_room = true;
        for (target, until) in net.revoked {
            has_room &= self.keep(&target, until).is_some();
        }
        self.end_revoked();
        has_room
    }

    /// Takes something back here. How many sessions that ends.
    fn take_back(&self, target: &Target, until: SystemTime) -> usize {
        self.keep(target, until);
        self.end_revoked()
    }

    /// Notes that something is taken back, and with a session what was shown for it: whoever owns the
    /// session knows that. `None`: there is no room.
    fn keep(&self, target: &Target, until: SystemTime) -> Option<()> {
        let Ok(is_new) = self.revocations.add(target.clone(), until) else {
            self.metrics.limit_hit("revocations");
            return None;
        };
        if !is_new {
            return Some(());
        }
        self.metrics.orders(target.kind(), 1);
        tracing::info!(kind = target.kind(), "taken back");
        let Target::Session(session) = target else {
            return Some(());
        };
        let mut has_room = true;
        for shown in self.registry.shown_for(*session) {
            self.write_later(shown.clone(), until);
            has_room &= self.keep(&shown, until).is_some();
        }
        has_room.then_some(())
    }

    fn let_in(&self, target: &Target) {
        self.unwritten().remove(target);
        if self.revocations.lift(target).is_some() {
            self.metrics.orders("lift", 1);
            tracing::info!(kind = target.kind(), "lifted");
        }
    }

    fn end_revoked(&self) -> usize {
        let ended = self.registry.end_revoked();
        if ended > 0 {
            tracing::info!(sessions = ended, "sessions end that were taken back");
        }
        ended
    }

    fn write_later(&self, target: Target, until: SystemTime) {
        let mut unwritten = self.unwritten();
        if unwritten.len() >= UNWRITTEN_MAX && !unwritten.contains_key(&target) {
            self.metrics.limit_hit("orders");
            return;
        }
        unwritten.insert(target, until);
        drop(unwritten);
        self.wake.notify_one();
    }

    /// Gives the store what it has not taken yet.
    async fn write_rest(&self) {
        loop {
            let now = SystemTime::now();
            let some: Vec<(Target, SystemTime)> = {
                let mut unwritten = self.unwritten();
                unwritten.retain(|_, until| *until > now);
                let some = unwritten.iter().take(RESTORED_MAX);
                some.map(|(target, until)| (target.clone(), *until))
                    .collect()
            };
            if some.is_empty() || self.store.restore(&some).await != Ok(Lodged::Written) {
                return;
            }
            let mut unwritten = self.unwritten();
            for (target, until) in some {
                if unwritten.get(&target) == Some(&until) {
                    unwritten.remove(&target);
                }
            }
        }
    }

    fn show(&self) {
        let in_force = self.revocations.list().len();
        let age = self.revocations.age(Instant::now());
        self.metrics.show_revocations(in_force, age);
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<Target, SystemTime>> {
        // Nothing panics while it is held.
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
