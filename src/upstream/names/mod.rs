//! The addresses of one host, asked of the system's resolver and kept for a moment.
//!
//! The resolver blocks a thread, so a look-up costs two switches of threads and some reads of files: more
//! than the rest of a dial to a host nearby. What it said is believed for [`FRESH`], and one look-up serves
//! all who ask at the same time. After that dials go on with what is known while it is asked again behind
//! the scenes; what could not be confirmed for [`STALE_MAX`] is forgotten, and dials fail then. Who finds
//! nobody at addresses that were kept asks anew before it gives up ([`Names::anew`]).
//!
//! A look-up that hangs, as one does whose server is lost in the network, holds nobody for long: after
//! [`PATIENCE`] whoever waits has the resolver asked once more, which may find another server, and after as
//! long again goes on with what was known, or is told that the resolver does not answer.
//!
//! One host has one entry, of [`ADDRESSES_MAX`] addresses, and [`ASKING_MAX`] look-ups at a time. An address
//! that is written as one is never asked for.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// As Envoy's strict DNS asks again: short enough for records that move with a failover (Azure's live for
/// ten seconds and more), long enough that a thousand dials are one look-up.
const FRESH: Duration = Duration::from_secs(5);
/// A resolver that is away for so long is not waited for at once; a name that has moved is not followed
/// for longer than that.
const STALE_MAX: Duration = Duration::from_secs(30);
/// Between two look-ups behind the scenes of a name that the resolver does not know just now.
const RETRY: Duration = Duration::from_secs(1);
/// How long one look-up is waited for: longer than a resolver takes that is well, and no longer than half of
/// what a dial has (10 s); libc's gives a server five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Look-ups of a name at a time: one, and one more where it hangs. Each has a thread of those that its worker
/// has for such things.
const ASKING_MAX: u8 = 2;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What there is at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Arc<[SocketAddr]>,
    /// It was not asked for this time.
    pub(super) kept: bool,
}

/// The text is for the log.
pub(super) type Unknown = &'static str;

const UNKNOWN: Unknown = "the name does not resolve";
const SILENT: Unknown = "the name does not resolve: the resolver does not answer";

/// How a name is looked up; it may block.
pub(super) type Resolve = dyn Fn(&str, u16) -> Option<Vec<SocketAddr>> + Send + Sync;

/// A name, or an address, with a port.
pub(super) struct Names {
    place: Place,
}

enum Place {
    Address(Arc<[SocketAddr]>),
    Name(Box<Name>),
}

struct Name {
    name: Arc<str>,
    port: u16,
    resolve: Arc<Resolve>,
    known: watch::Sender<Known>,
}

#[derive(Default)]
struct Known {
    /// What the resolver said last, and when it was asked.
    found: Option<(Arc<[SocketAddr]>, Instant)>,
    /// When it was asked last, whatever it said.
    asked: Option<Instant>,
    /// Look-ups that run.
    asking: u8,
    /// Look-ups that have ended.
    rounds: u64,
    /// The last of them found nothing.
    failed: bool,
    /// Nobody was at what was found: it is used only where the resolver knows nothing newer.
    doubted: bool,
}

impl Names {
    pub(super) fn new(name: &str, port: u16) -> Names {
        let resolve = |name: &str, port| Some((name, port).to_socket_addrs().ok()?.collect());
        Names::by(name, port, Arc::new(resolve))
    }

    pub(super) fn by(name: &str, port: u16, resolve: Arc<Resolve>) -> Names {
        let place = match name.parse::<IpAddr>() {
            Ok(address) => Place::Address([SocketAddr::new(address, port)].into()),
            Err(_) => Place::Name(Box::new(Name {
                name: name.into(),
                port,
                resolve,
                known: watch::Sender::default(),
            })),
        };
        Names { place }
    }

    /// The addresses to try, in their order: those that are kept, or else those that the resolver says.
    ///
    /// Cancel-safe: a look-up goes on for the others.
    pub(super) async fn get(&self) -> Result<Found, Unknown> {
        let name = match &self.place {
            Place::Address(address) => return Ok(kept(address)),
            Place::Name(name) => name,
        };
        let now = Instant::now();
        let (found, due) = name.known.borrow().standing(now);
        if due {
            name.ask(now);
        }
        match found {
            Some(found) => Ok(kept(&found)),
            None => name.wait().await,
        }
    }

    /// Whoever has tried what was kept, in vain, is told what the resolver says now; `None`: the same.
    pub(super) async fn anew(&self, tried: &Found) -> Option<Found> {
        let name = match &self.place {
            Place::Name(name) if tried.kept => name,
            Place::Address(_) | Place::Name(_) => return None,
        };
        name.doubt(&tried.addresses);
        let found = self.get().await.ok()?;
        // In another order they are the same.
        let is_new = |address| !tried.addresses.contains(address);
        found.addresses.iter().any(is_new).then_some(found)
    }
}

fn kept(addresses: &Arc<[SocketAddr]>) -> Found {
    Found {
        addresses: addresses.clone(),
        kept: true,
    }
}

impl Known {
    /// What may be used, and whether the resolver should be asked.
    fn standing(&self, now: Instant) -> (Option<Arc<[SocketAddr]>>, bool) {
        let age = |since| now.saturating_duration_since(since);
        let found = self.found.as_ref();
        let found = found.filter(|(_, since)| age(*since) < STALE_MAX);
        let is_retry = self.asked.is_none_or(|asked| age(asked) >= RETRY);
        let is_due = match found {
            None => true,
            Some(_) if self.doubted => is_retry,
            Some((_, since)) => age(*since) >= FRESH && is_retry,
        };
        let addresses = found.filter(|_| !self.doubted);
        let addresses = addresses.map(|(addresses, _)| addresses.clone());
        (addresses, is_due && self.may_ask(now))
    }

    /// Whether one more look-up may begin: none runs, or the only one hangs, or began before what was found
    /// was doubted.
    fn may_ask(&self, now: Instant) -> bool {
        let hangs = |asked| now.saturating_duration_since(asked) >= PATIENCE;
        match self.asking {
            0 => true,
            asking => asking < ASKING_MAX && self.asked.is_none_or(hangs),
        }
    }

    /// What the resolver said before, while that lasts.
    fn stale(&self) -> Option<&Arc<[SocketAddr]>> {
        let (addresses, since) = self.found.as_ref()?;
        (since.elapsed() < STALE_MAX).then_some(addresses)
    }
}

impl Name {
    /// Begins a look-up, unless one runs that does not hang.
    fn ask(&self, now: Instant) {
        let begins = self.known.send_if_modified(|known| {
            let begins = known.may_ask(now);
            if begins {
                known.asking += 1;
                known.asked = Some(now);
            }
            begins
        });
        if !begins {
            return;
        }
        let answer = Answer {
            known: self.known.clone(),
            asked: now,
            found: None,
        };
        let (name, port, resolve) = (self.name.clone(), self.port, self.resolve.clone());
        tokio::task::spawn_blocking(move || {
            let mut answer = answer;
            let found = resolve(&name, port).filter(|found| !found.is_empty());
            answer.found = found.map(|mut found| {
                found.truncate(ADDRESSES_MAX);
                (found.into(), now)
            });
        });
    }

    /// Waits for a look-up that runs, and hears what it said; where it hangs, for another one, and then no
    /// longer.
    async fn wait(&self) -> Result<Found, Unknown> {
        let mut known = self.known.subscribe();
        let round = known.borrow().rounds;
        // What was begun before this looked may have ended by now.
        let ended = |known: &Known| known.rounds != round || known.asking == 0;
        if timeout(PATIENCE, known.wait_for(ended)).await.is_err() {
            self.ask(Instant::now());
            let ended = timeout(PATIENCE, known.wait_for(ended)).await;
            if ended.is_err() {
                let known = self.known.borrow();
                return known.stale().map(kept).ok_or(SILENT);
            }
        }
        let known = known.borrow();
        // While the resolver is away what it said before is better than nothing, for as long as it lasts.
        match &known.found {
            Some((addresses, since)) if !known.failed && since.elapsed() < STALE_MAX => Ok(Found {
                addresses: addresses.clone(),
                kept: false,
            }),
            Some(_) | None => known.stale().map(kept).ok_or(UNKNOWN),
        }
    }

    /// Nobody is at these addresses: the resolver is asked at once, and then no more often than of others.
    fn doubt(&self, tried: &Arc<[SocketAddr]>) {
        self.known.send_if_modified(|known| {
            // Somebody else may have asked since.
            let found = known.found.as_ref();
            if !known.doubted && found.is_some_and(|(found, _)| Arc::ptr_eq(found, tried)) {
                (known.doubted, known.asked) = (true, None);
            }
            false
        });
    }
}

/// What a look-up came to; it ends also where the resolver panics, or is never asked.
struct Answer {
    known: watch::Sender<Known>,
    asked: Instant,
    found: Option<(Arc<[SocketAddr]>, Instant)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let found = self.found.take();
        self.known.send_modify(|known| {
            known.asking -= 1;
            // One that hung may come behind one that was begun later, and says nothing new then: who waits goes
            // on to wait.
            let last = known.found.as_ref().map(|(_, since)| *since);
            if last.is_some_and(|last| last > self.asked) {
                return;
            }
            known.rounds += 1;
            known.failed = found.is_none();
            if found.is_some() {
                known.found = found;
                known.doubted = false;
            }
        });
    }
}

#[cfg(test)]
mod tests;
