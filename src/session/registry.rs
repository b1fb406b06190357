//! All running sessions of the process, so that an order reaches each on whichever thread it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use tokio::sync::Notify;

use crate::error::Reason;
use crate::ids::{CallId, SessionId};
use crate::relay::Order;

/// The sessions of the process, also those that are closing. An entry is made after a session
/// permit and goes before its connection's, so both bound it.
#[derive(Clone, Default)]
pub struct Registry(Arc<Shared>);

#[derive(Default)]
struct Shared {
    sessions: DashMap<SessionId, Arc<Order>>,
    /// Whose each call is, and whose turn that was.
    calls: DashMap<CallId, (SessionId, Turn)>,
    turns: AtomicU64,
    /// Set when all sessions were told to end: one that was on its way in ends at once too.
    closing: OnceLock<Reason>,
    emptied: Notify,
}

impl Registry {
    /// Enters a new session under its id.
    pub fn enter(&self, id: SessionId) -> Entry {
        let order = Arc::new(Order::default());
        self.0.sessions.insert(id, order.clone());
        if let Some(&reason) = self.0.closing.get() {
            order.end(reason);
        }
        Entry {
            id,
            order,
            call: None,
            registry: self.clone(),
        }
    }

    /// Ends the session that carries this call, if one of this process does.
    pub fn hang_up(&self, call: &CallId) -> bool {
        let shared = &self.0;
        let session = shared.calls.get(call).map(|whose| whose.0);
        let order = session.and_then(|id| shared.sessions.get(&id).map(|order| order.clone()));
        if let Some(order) = &order {
            order.end(Reason::HungUp);
        }
        order.is_some()
    }

    /// Ends one session, if this process has it.
    pub fn end(&self, session: SessionId, reason: Reason) -> bool {
        let order = self.0.sessions.get(&session).map(|order| order.clone());
        if let Some(order) = &order {
            order.end(reason);
        }
        order.is_some()
    }

    /// The turn of an upgrade that has just been let in.
    pub fn turn(&self) -> Turn {
        Turn(self.0.turns.fetch_add(1, Ordering::Relaxed))
    }

    pub fn len(&self) -> usize {
        self.0.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.sessions.is_empty()
    }

    /// Ends every session for `reason`, and those that are still to be entered.
    pub fn end_all(&self, reason: Reason) {
        // The first reason stays.
        let _ = self.0.closing.set(reason);
        // Collected first: a session that ends right away takes its entry out of the table.
        let orders: Vec<Arc<Order>> = self.0.sessions.iter().map(|e| e.value().clone()).collect();
        for order in orders {
            order.end(reason);
        }
    }

    /// Resolves when no session is left.
    pub async fn empty(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

/// The order in which upgrades were let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(u64);

/// A session's place in the registry; dropping it takes it out.
pub struct Entry {
    id: SessionId,
    order: Arc<Order>,
    call: Option<CallId>,
    registry: Registry,
}

impl Entry {
    /// The session carries this call from now on; another one that did is over, or this one, if the
    /// other's turn was later.
    pub fn of_call(mut self, call: &CallId, turn: Turn) -> Entry {
        let shared = &self.registry.0;
        let mut place = shared.calls.entry(call.clone()).or_insert((self.id, turn));
        let (holder, latest) = *place;
        self.call = Some(call.clone());
        let over = if latest > turn {
            self.id
        } else {
            *place = (self.id, turn);
            holder
        };
        drop(place);
        let first = holder == self.id && over == self.id && latest == turn;
        let order = shared.sessions.get(&over).map(|order| order.clone());
        if let Some(order) = order.filter(|_| !first) {
            order.end(Reason::Superseded);
        }
        self
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    pub fn order(&self) -> Arc<Order> {
        self.order.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.0.sessions.remove(&self.id);
        if let Some(call) = &self.call {
            let calls = &self.registry.0.calls;
            calls.remove_if(call, |_, (owner, _)| *owner == self.id);
        }
        if self.registry.is_empty() {
            self.registry.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    #[test]
    fn a_call_that_comes_again_ends_the_session_that_had_it() {
        let registry = Registry::default();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let call = CallId::new("7f0c").unwrap();
        let other = CallId::new("7f0d").unwrap();
        let enter = |call| {
            let turn = registry.turn();
            registry.enter(SessionId::random()).of_call(call, turn)
        };
        let (first, beside) = (enter(&call), enter(&other));
        let second = enter(&call);
        assert_eq!(first.order().poll(cx), Some(Reason::Superseded));
        assert_eq!(beside.order().poll(cx), None);
        // The old one goes later and takes nothing along.
        drop(first);
        let third = enter(&call);
        assert_eq!(second.order().poll(cx), Some(Reason::Superseded));
        assert_eq!(third.order().poll(cx), None);
        // One that was let in before the one that has the call, and comes after it, is over itself.
        let early = registry.turn();
        let fourth = enter(&call);
        assert_eq!(third.order().poll(cx), Some(Reason::Superseded));
        let late = registry.enter(SessionId::random()).of_call(&call, early);
        assert_eq!(late.order().poll(cx), Some(Reason::Superseded));
        assert_eq!(fourth.order().poll(cx), None);
        drop(late);
        assert_eq!(registry.0.calls.len(), 2);
        drop((second, third, fourth, beside));
        assert!(registry.0.calls.is_empty());
    }

    #[test]
    fn a06_a_call_that_is_over_ends_its_session_and_no_other() {
        let registry = Registry::default();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let [call, other] = ["7f0c", "7f0d"].map(|id| CallId::new(id).unwrap());
        assert!(!registry.hang_up(&call));
        let enter = |call| {
            let turn = registry.turn();
            registry.enter(SessionId::random()).of_call(call, turn)
        };
        let (first, beside) = (enter(&call), enter(&other));
        assert!(registry.hang_up(&call));
        assert_eq!(first.order().poll(cx), Some(Reason::HungUp));
        assert_eq!(beside.order().poll(cx), None);
    }

    #[test]
    fn a_session_that_comes_after_the_end_of_all_ends_too() {
        let registry = Registry::default();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let early = registry.enter(SessionId::random());
        assert_eq!(early.order().poll(cx), None);
        registry.end_all(Reason::Draining);
        let late = registry.enter(SessionId::random());
        assert_eq!(early.order().poll(cx), Some(Reason::Draining));
        assert_eq!(late.order().poll(cx), Some(Reason::Draining));
        assert_eq!(registry.len(), 2);
        drop((early, late));
        assert!(registry.is_empty());
    }
}
