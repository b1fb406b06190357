//! A session's own place in the registry, for as long as it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Arrival, Registry, Seat};
use crate::error::Reason;
use crate::ids::{CallId, SessionId};
use crate::label::Label;
use crate::relay::{Handle, Seen};
use crate::session::lease::Leased;
use crate::session::live::Begun;
use crate::session::recent::{End, Ended};

/// A session's place in the registry; dropping it takes it out.
pub struct Entry {
    id: SessionId,
    handle: Arc<Handle>,
    call: Option<CallId>,
    registry: Registry,
}

impl Entry {
    pub(super) fn new(id: SessionId, handle: Arc<Handle>, registry: &Registry) -> Entry {
        Entry {
            id,
            handle,
            call: None,
            registry: registry.clone(),
        }
    }

    /// The session carries this call from now on; another one that did is over, or this one, if the
    /// other's arrival was later.
    pub fn of_call(mut self, call: &CallId, arrival: Arrival) -> Entry {
        let shared = &self.registry.0;
        let mut place = shared
            .calls
            .entry(call.clone())
            .or_insert((self.id, arrival));
        let (holder, latest) = *place;
        self.call = Some(call.clone());
        let over = if latest > arrival {
            self.id
        } else {
            *place = (self.id, arrival);
            holder
        };
        drop(place);
        let first = holder == self.id && over == self.id && latest == arrival;
        if !first {
            self.registry.end(over, Reason::Superseded);
        }
        self
    }

    /// Whoever may is told of the session from now on.
    pub fn leased(self, leased: Leased) -> Entry {
        self.change(|seat| seat.leased = Some(leased));
        self
    }

    /// The session begins: so it is shown from now on.
    pub(in crate::session) fn begun(&self, begun: Begun) {
        self.change(|seat| seat.begun = Some(begun));
    }

    /// It goes to this upstream.
    pub(in crate::session) fn connected(&self, upstream: &Label) {
        self.change(|seat| {
            if let Some(begun) = &mut seat.begun {
                begun.upstream = Some(upstream.clone());
            }
        });
    }

    /// It has ended so: whoever looks on is told, and it stays known for a while.
    pub(in crate::session) fn ended(&self, end: End) {
        let shared = &self.registry.0;
        let live = shared
            .sessions
            .get(&self.id)
            .and_then(|seat| seat.live(self.id));
        let seen = Seen::Ended {
            by: end.by,
            reason: end.reason,
        };
        // Whoever hears of the end finds it among those that have ended.
        if let Some(live) = live {
            shared.recent.add(Ended { live, end });
        }
        self.handle.tell(seen);
    }

    fn change(&self, change: impl FnOnce(&mut Seat)) {
        if let Some(mut seat) = self.registry.0.sessions.get_mut(&self.id) {
            change(&mut seat);
        }
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    pub fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.0.sessions.remove(&self.id);
        self.handle.close_tail();
        self.registry.0.departed.fetch_add(1, Ordering::Relaxed);
        if let Some(call) = &self.call {
            let calls = &self.registry.0.calls;
            calls.remove_if(call, |_, (owner, _)| *owner == self.id);
        }
        if self.registry.is_empty() {
            self.registry.0.emptied.notify_waiters();
        }
    }
}
