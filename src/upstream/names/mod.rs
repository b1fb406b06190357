//! The addresses of one host, asked of the system's resolver and kept for a moment.
//!
//! The resolver blocks a thread, so a look-up costs two switches of threads and some reads of files: more
//! than the rest of a dial to a host nearby. What it said is believed for [`FRESH`], and one look-up serves
//! all who ask at the same time. After that dials go on with what is known while it is asked again behind
//! the scenes; what could not be confirmed for [`STALE_MAX`] is forgotten, and dials fail then. Who finds
//! nobody at addresses that were kept asks anew before it gives up ([`Names::anew`]).
//!
//! One host has one entry, of [`ADDRESSES_MAX`] addresses, and one look-up at a time. An address that is
//! written as one is never asked for.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// As Envoy's strict DNS asks again: short enough for records that move with a failover (Azure's live for
/// ten seconds and more), long enough that a thousand dials are one look-up.
const FRESH: Duration = Duration::from_secs(5);
/// A resolver that is away for so long is not waited for at once; a name that has moved is not followed
/// for longer than that.
const STALE_MAX: Duration = Duration::from_secs(30);
/// Between two look-ups behind the scenes of a name that the resolver does not know just now.
const RETRY: Duration = Duration::from_secs(1);
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
    /// A look-up runs.
    asking: bool,
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
        (addresses, is_due && !self.asking)
    }
}

impl Name {
    /// Begins a look-up, unless one runs.
    fn ask(&self, now: Instant) {
        let begins = self.known.send_if_modified(|known| {
            let begins = !known.asking;
            if begins {
                (known.asking, known.asked) = (true, Some(now));
            }
            begins
        });
        if !begins {
            return;
        }
        let answer = Answer {
            known: self.known.clone(),
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

    /// Waits for the look-up that runs, and hears what it said.
    async fn wait(&self) -> Result<Found, Unknown> {
        let mut known = self.known.subscribe();
        let round = known.borrow().rounds;
        // What was begun before this looked may have ended by now.
        let ended = |known: &Known| known.rounds != round || !known.asking;
        let known = known.wait_for(ended).await.map_err(|_| UNKNOWN)?;
        // While the resolver is away what it said before is better than nothing, for as long as it lasts.
        match &known.found {
            Some((addresses, since)) if !known.failed || since.elapsed() < STALE_MAX => Ok(Found {
                addresses: addresses.clone(),
                kept: known.failed,
            }),
            Some(_) | None => Err(UNKNOWN),
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
    found: Option<(Arc<[SocketAddr]>, Instant)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let found = self.found.take();
        self.known.send_modify(|known| {
            known.asking = false;
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
