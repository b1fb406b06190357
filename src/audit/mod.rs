//! The audit: one record for each thing that was decided, kept apart from the log.
//!
//! A request on a route that is no upgrade, an upgrade, the gate of a call, the end of a session: each
//! has exactly one record ([`Entry`] says what stands in it), a line of JSON in a file or on standard
//! output. Probes have none, and neither has what is on no route: a path that no route has, a head that
//! cannot be read. Strangers make those as often as they like, nothing is decided about anybody, and a
//! counter tells them (`tonegate_requests_total` with route `none`).
//!
//! # Nothing is dropped
//!
//! A thread of its own writes; nobody else waits for a disk. Whoever is about to decide asks for a
//! [`Place`] first. There is none while [`queue`](config::Audit::queue) records or more wait to be
//! written, or while writing fails; the work is then refused before it is begun, which is counted. A
//! place that was given is always good: a session takes those for its gate and its end when it opens, so
//! it is harmed by no disk. What waits is bounded by the queue, and by the places that were given
//! before it was full: three for each connection at the most.
//!
//! What waits is in memory: an orderly end writes it, `kill -9` loses it.
//!
//! # The chain
//!
//! With `chain`, each line holds the SHA-256 of the one before, over rotation and restart, so that no
//! line can be changed, taken out or put in without changing every line behind it. Whoever may write
//! the whole file may do that; it shows against a digest that was kept elsewhere, such as those that the
//! log tells when the edge starts, ends, and begins another file. `verify` checks both.
//!
//! It stands a row above [`config`] and [`metrics`], as it is set by the one and counted
//! by the other.
//!
//! Not here: who decides (`listener`, `session`), and who was recognised (`admission`).

mod line;
mod method;
mod record;
mod schema;
mod trail;
mod verify;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::time::Duration;

pub use self::method::method;
pub use self::record::{
    Asked, Call, Client, Closed, Credential, Decision, Entry, Event, Known, Message, Rule, Session,
    Verdict, Who,
};
pub use self::schema::{FIELDS, Field};
pub use self::verify::{Broken, Noted, Verified, verify};

use self::trail::Trail;
use self::writer::{Item, Sink, Writer};
use crate::config::{self, AuditTo};
use crate::metrics;

/// Who ends waits so long for a disk, or for whoever reads standard output.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

/// Why there can be no audit.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("audit.path: the file cannot be used: {0}")]
    File(io::Error),
    #[error("audit.path: another process writes this file")]
    Taken,
    #[error("audit.path: this is no file of an audit, and nothing is appended to it")]
    Foreign,
    #[error("audit.path: must be a file, and its folder must exist")]
    NoFile,
    #[error("audit: standard output cannot be used: {0}")]
    Stdout(io::Error),
    #[error("audit: a thread cannot start: {0}")]
    Thread(io::Error),
}

/// Whether [`Audit::open`] would succeed, as far as that can be told without changing anything.
pub fn check(settings: Option<&config::Audit>) -> Result<(), Unusable> {
    match settings.map(|settings| &settings.to) {
        Some(AuditTo::File(file)) => trail::check(file),
        Some(AuditTo::Stdout) | None => Ok(()),
    }
}

/// Nothing more can be recorded, so nothing may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The audit of a process. Without `[audit]` there is none, and it costs nothing.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Shared>>);

struct Shared {
    /// Bounded by places; see above.
    items: Sender<Item>,
    state: Arc<State>,
    queue: usize,
    refused: ::metrics::Counter,
}

/// What the writer tells.
#[derive(Default)]
struct State {
    /// Records that are not written yet.
    waiting: AtomicUsize,
    /// Writing fails, and is tried again.
    failing: AtomicBool,
}

impl Audit {
    /// None.
    pub fn off() -> Audit {
        Audit(None)
    }

    /// Opens where the records go, if they go anywhere, and starts the thread that writes them.
    pub fn open(
        settings: Option<&config::Audit>,
        metrics: &metrics::Shared,
    ) -> Result<Audit, Unusable> {
        let Some(settings) = settings else {
            return Ok(Audit::off());
        };
        let (sink, from, torn) = match &settings.to {
            AuditTo::Stdout => (Sink::stdout().map_err(Unusable::Stdout)?, None, None),
            AuditTo::File(file) => {
                let (trail, found) = Trail::open(file)?;
                (Sink::File(trail), found.last, found.torn)
            }
        };
        let audit = Audit::into(sink, from, settings, metrics)?;
        if let Some(torn) = torn {
            tracing::warn!(
                bytes = torn.bytes,
                "the audit ended inside a record; that was closed off"
            );
            let entry = Entry::repaired(torn.bytes, &line::hex(&torn.digest));
            Place(audit.0.clone()).record(|| entry);
        }
        Ok(audit)
    }

    /// Starts the thread that writes to `sink`, on from the record of this number and digest.
    fn into(
        sink: Sink,
        from: Option<(u64, [u8; 32])>,
        settings: &config::Audit,
        metrics: &metrics::Shared,
    ) -> Result<Audit, Unusable> {
        let (items, queue) = channel();
        let counters = metrics.audit();
        let shared = Arc::new(Shared {
            items,
            state: Arc::default(),
            queue: settings.queue,
            refused: counters.refused,
        });
        let writer = Writer {
            queue,
            sink,
            last: from.unwrap_or((0, line::NOTHING)),
            chain: settings.chain,
            sync: settings.sync,
            unsynced: None,
            state: shared.state.clone(),
            owners: Arc::downgrade(&shared),
            metrics: metrics.clone(),
            errors: counters.errors,
        };
        writer.tell("audit opened");
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(Unusable::Thread)?;
        Ok(Audit(Some(shared)))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether something may be decided.
    pub fn takes(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| shared.takes())
    }

    /// A place for one record; to be had before anything is done about which there will be one.
    pub fn reserve(&self) -> Result<Place, Full> {
        match &self.0 {
            Some(shared) if !shared.takes() => {
                shared.refused.increment(1);
                Err(Full)
            }
            Some(shared) => Ok(Place(Some(shared.clone()))),
            None => Ok(Place(None)),
        }
    }

    /// Waits until what was recorded is written, for some seconds at the most; whether it is.
    pub fn flush(&self) -> bool {
        let Some(shared) = &self.0 else {
            return true;
        };
        let (done, written) = sync_channel(1);
        shared.send(Item::Flush(done));
        let flushed = written.recv_timeout(FLUSH_WAIT).is_ok();
        if !flushed {
            let records = shared.state.waiting.load(Ordering::Relaxed);
            tracing::error!(records, "audit records are not written");
        }
        flushed
    }
}

impl Shared {
    fn takes(&self) -> bool {
        !self.state.failing.load(Ordering::Relaxed)
            && self.state.waiting.load(Ordering::Relaxed) < self.queue
    }

    fn send(&self, item: Item) {
        if self.items.send(item).is_err() {
            tracing::error!("an audit record is lost: its thread has ended");
        }
    }
}

/// Room for one record. Dropping it gives it up.
#[must_use = "what was decided must be recorded"]
pub struct Place(Option<Arc<Shared>>);

impl Place {
    /// Hands the record over; without an audit nothing is said.
    pub fn record(self, say: impl FnOnce() -> Entry) {
        if let Some(shared) = self.0 {
            shared.state.waiting.fetch_add(1, Ordering::Relaxed);
            shared.send(Item::Entry(say()));
        }
    }
}

#[cfg(test)]
mod tests;
