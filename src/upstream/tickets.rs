//! Tickets for TLS 1.3 sessions with one host, each of which may be used once.
//!
//! rustls' own cache keeps eight of a host. So many are used up before the first is replaced, where calls
//! begin at once: the server sends new ones only when it is heard, after a handshake.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Kept at a time: as many dials can be on their way at once. A ticket has some KiB, with the chain of
/// certificates that it stands for.
const TICKETS_MAX: usize = 256;

/// Tickets that this process has thrown away unused. One figure for all hosts: whoever dials has no other name
/// for them than that of the upstream, or of what it dials for.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Tickets thrown away so far, as a host had as many as are kept.
pub fn tickets_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Of one host: names are not looked at, except by what keeps the rest.
pub(super) struct Tickets {
    /// Oldest first.
    tickets: Mutex<VecDeque<Tls13ClientSessionValue>>,
    /// A session of TLS 1.2, which may be used many times, and which group the host likes.
    rest: ClientSessionMemoryCache,
}

impl Tickets {
    pub(super) fn new() -> Tickets {
        Tickets {
            tickets: Mutex::default(),
            rest: ClientSessionMemoryCache::new(1),
        }
    }

    fn tickets(&self) -> MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without what is kept: whoever has it can be the edge.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.rest.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.rest.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.rest.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.rest.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.rest.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.tickets();
        if tickets.len() == TICKETS_MAX {
            tickets.pop_front();
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets().pop_back()
    }
}
