//! The task that keeps the places of all sessions of this edge, and gives back those of such as ended.
//!
//! It is the only one that writes what was taken, so that what it keeps and what it gives back come in
//! order. Minutes whose answer was lost are taken for counted: a server that was slow has read them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::{Gone, Shares, lock};
use crate::admission::wish::Wish;
use crate::ids::SessionId;
use crate::store::{Counter, Most, Store, Unavailable, Use};

/// Places are kept so many times in a lease.
const TIMES: u32 = 3;
/// What could not be given back is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Sessions that one command names.
const SESSIONS_MAX: usize = 500;
/// Commands at a time, so that sessions that begin find room beside them.
const AT_ONCE: usize = 64;

/// What a store is to be told of one counter.
struct Due {
    counter: Counter,
    name: &'static str,
    sessions: Vec<SessionId>,
    lasted: Duration,
}

/// By the name of the counter.
type All = HashMap<Arc<str>, Due>;

impl Shares {
    /// Keeps what sessions hold, for ever. `end` ends a session whose minutes are used up.
    pub async fn run(&self, end: impl Fn(SessionId)) {
        // Minutes that the store was not told yet; bounded by whom this edge remembers.
        let mut owed = All::new();
        let mut next = Instant::now() + self.lease / TIMES;
        loop {
            let again = match lock(&self.gone).is_empty() {
                true => next,
                false => next.min(Instant::now() + AGAIN),
            };
            tokio::select! {
                () = sleep_until(again) => {}
                () = self.left.notified() => {}
            }
            self.give_back(&mut owed).await;
            if Instant::now() >= next {
                next = Instant::now() + self.lease / TIMES;
                self.renew(&mut owed, &end).await;
            }
        }
    }

    /// Resolves when the store has been told of all sessions that ended.
    pub async fn settled(&self) {
        loop {
            let said = self.said.notified();
            let is_said = !self.saying.load(Ordering::SeqCst);
            if lock(&self.gone).is_empty() && is_said {
                return;
            }
            said.await;
        }
    }

    /// Gives back what sessions have held that are gone.
    async fn give_back(&self, owed: &mut All) {
        let Some(store) = &self.store else { return };
        if lock(&self.gone).is_empty() || !store.is_up() {
            let now = Instant::now();
            lock(&self.gone).retain(|gone| gone.until > now || gone.owes());
            return;
        }
        self.saying.store(true, Ordering::SeqCst);
        let mut gone = std::mem::take(&mut *lock(&self.gone));
        let mut all = All::new();
        for one in &mut gone {
            for wish in one.wishes.iter() {
                match wish.most {
                    Most::Sessions(_) => add(&mut all, wish, Some(one.session), Duration::ZERO),
                    Most::Minutes(_) => add(owed, wish, None, one.lasted),
                    Most::Rate(_) => {}
                }
            }
            one.lasted = Duration::ZERO;
        }
        let all: Vec<Due> = all.into_values().collect();
        let mut is_done = true;
        for some in all.chunks(AT_ONCE) {
            let each = some.iter().flat_map(|due| {
                let parts = due.sessions.chunks(SESSIONS_MAX);
                parts.map(|part| store.free(&due.counter, part))
            });
            is_done &= join_all(each).await.iter().all(Result::is_ok);
        }
        if !is_done {
            let now = Instant::now();
            gone.retain(|one| one.until > now);
            lock(&self.gone).append(&mut gone);
        }
        self.pay(store, owed).await;
        self.saying.store(false, Ordering::SeqCst);
        self.said.notify_waiters();
    }

    /// Tells of the minutes of sessions that are gone. Whether these are all is for those to hear that
    /// go on.
    async fn pay(&self, store: &Store, owed: &mut All) {
        let debts: Vec<Due> = owed.drain().map(|(_, due)| due).collect();
        let debts: Vec<Due> = debts.into_iter().filter(Due::matters).collect();
        for some in debts.chunks(AT_ONCE) {
            let each = some.iter().map(|due| self.keep(store, due));
            for (due, kept) in some.iter().zip(join_all(each).await) {
                if !matches!(kept, Ok(_) | Err(Unavailable::Timeout)) {
                    owe(owed, due);
                }
            }
        }
    }

    /// Keeps the places of all sessions, and counts how long these have lasted.
    async fn renew(&self, owed: &mut All, end: &impl Fn(SessionId)) {
        let now = Instant::now();
        let mut all = All::new();
        let mut over: Vec<(SessionId, &'static str)> = Vec::new();
        let is_up = self.store.as_ref().is_some_and(|store| store.is_up());
        let held = self.all_held(now);
        for (session, wishes, lasted) in &held {
            for wish in wishes.iter() {
                add(&mut all, wish, Some(*session), *lasted);
                self.limits.lasted(wish, *lasted, now.into_std());
            }
        }
        // Where edges count together, the part of this one says nothing.
        for (session, wishes, _) in held.iter().filter(|_| !is_up) {
            let is_used_up =
                |wish: &&Wish| self.limits.is_used_up(wish, self.replicas, now.into_std());
            over.extend(
                wishes
                    .iter()
                    .find(is_used_up)
                    .map(|wish| (*session, wish.name)),
            );
        }
        for (name, due) in owed.drain() {
            match all.entry(name) {
                Entry::Occupied(mut known) => known.get_mut().lasted += due.lasted,
                Entry::Vacant(free) => drop(free.insert(due)),
            }
        }
        if let Some(store) = &self.store {
            let all: Vec<Due> = all.into_values().filter(Due::matters).collect();
            for some in all.chunks(AT_ONCE) {
                let each = some.iter().map(|due| self.keep(store, due));
                for (due, kept) in some.iter().zip(join_all(each).await) {
                    match kept {
                        Ok(true) => over.extend(due.sessions.iter().map(|s| (*s, due.name))),
                        Ok(false) | Err(Unavailable::Timeout) => {}
                        Err(_) => owe(owed, due),
                    }
                }
            }
        }
        for (session, name) in over {
            self.metrics.limit_hit(name);
            end(session);
        }
    }

    /// What each session holds, and how long it has lasted since that was counted last.
    fn all_held(&self, now: Instant) -> Vec<(SessionId, Arc<[Wish]>, Duration)> {
        let mut places = lock(&self.places);
        let entered = places.iter_mut().filter(|(_, place)| place.entered);
        let held = entered.map(|(session, place)| {
            let lasted = now - place.counted;
            place.counted = now;
            (*session, place.wishes.clone(), lasted)
        });
        held.collect()
    }

    /// Whether its minutes are used up.
    async fn keep(&self, store: &Store, due: &Due) -> Result<bool, Unavailable> {
        if let Most::Minutes(_) = due.counter.most {
            let used = Use {
                counter: &due.counter,
                sessions: &[],
                lasted: due.lasted,
            };
            return store.keep(used, self.lease).await;
        }
        for sessions in due.sessions.chunks(SESSIONS_MAX) {
            let used = Use {
                counter: &due.counter,
                sessions,
                lasted: Duration::ZERO,
            };
            store.keep(used, self.lease).await?;
        }
        Ok(false)
    }
}

impl Gone {
    /// Its minutes are not counted yet.
    fn owes(&self) -> bool {
        let lasts = |wish: &Wish| matches!(wish.most, Most::Minutes(_));
        !self.lasted.is_zero() && self.wishes.iter().any(lasts)
    }
}

impl Due {
    /// Whether there is anything to tell: turns are not kept.
    fn matters(&self) -> bool {
        match self.counter.most {
            Most::Rate(_) => false,
            Most::Sessions(_) => !self.sessions.is_empty(),
            Most::Minutes(_) => !self.lasted.is_zero(),
        }
    }
}

fn add(all: &mut All, wish: &Wish, session: Option<SessionId>, lasted: Duration) {
    if matches!(wish.most, Most::Rate(_)) {
        return;
    }
    let counter = wish.counter();
    let due = all.entry(counter.name.clone()).or_insert_with(|| Due {
        counter,
        name: wish.name,
        sessions: Vec::new(),
        lasted: Duration::ZERO,
    });
    due.sessions.extend(session);
    due.lasted += lasted;
}

/// Minutes that were not counted are told the next time.
fn owe(owed: &mut All, due: &Due) {
    if let Most::Minutes(_) = due.counter.most {
        let debt = Due {
            counter: due.counter.clone(),
            name: due.name,
            sessions: Vec::new(),
            lasted: due.lasted,
        };
        owed.insert(due.counter.name.clone(), debt);
    }
}
