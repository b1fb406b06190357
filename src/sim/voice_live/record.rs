//! What the simulated service remembers of each connection, for tests and for the printed line.
//!
//! Owns counting, digests and the bounds on memory. Refuses to judge: a violation is decided where
//! it is seen. What is kept of one connection is [`Connection`].

use super::connection::{Connection, Ending, Update, Violation};
use super::scenario::Scenario;
use crate::sim::head::Head;
use crate::sim::stream::Security;
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, watch};

/// How many connections are kept, the oldest forgotten first. Arbitrary: more than any test opens,
/// and at a few kilobytes each small enough for a long load test.
pub const CONNECTIONS_MAX: usize = 1024;

/// How many ended connections a slow subscriber may lag behind before it loses the oldest.
pub const LAG_MAX: usize = 1024;

/// How many violations, error codes and pongs are kept of one connection; the rest is counted.
const LIST_MAX: usize = 32;

/// Everything the service saw. Shared by the server and whoever watches it.
pub struct Record {
    kept: Mutex<VecDeque<Arc<Mutex<Live>>>>,
    ended: broadcast::Sender<Connection>,
    totals: watch::Sender<Totals>,
    /// Bytes of appended audio that are kept of a connection.
    keep_audio: usize,
}

/// Counters over all connections, also those no longer kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections open now.
    pub open: u64,
    /// Connections ever accepted.
    pub total: u64,
    /// Changes so far, of which waiters are told.
    changes: u64,
}

struct Live {
    connection: Connection,
    /// The beginning of the appended audio.
    kept: Vec<u8>,
    appended: Context,
    replied: Context,
}

/// The pen of one connection. Dropping it ends the connection's entry.
pub(super) struct Recorder {
    entry: Arc<Mutex<Live>>,
    record: Arc<Record>,
}

impl Record {
    pub(super) fn new(keep_audio: usize) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(VecDeque::new()),
            ended: broadcast::Sender::new(LAG_MAX),
            totals: watch::Sender::new(Totals::default()),
            keep_audio,
        })
    }

    /// Open and total connections.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    /// The connections still kept, oldest first, also those that live.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        lock(&self.kept)
            .iter()
            .map(|entry| lock(entry).snapshot())
            .collect()
    }

    /// The youngest connection.
    #[must_use]
    pub fn last(&self) -> Option<Connection> {
        lock(&self.kept).back().map(|entry| lock(entry).snapshot())
    }

    /// The audio that a connection has appended, as far as it is kept.
    #[must_use]
    pub fn audio(&self, id: u64) -> Vec<u8> {
        let kept = lock(&self.kept);
        let of = |entry: &Arc<Mutex<Live>>| {
            let live = lock(entry);
            (live.connection.id == id).then(|| live.kept.clone())
        };
        kept.iter().find_map(of).unwrap_or_default()
    }

    /// Every connection that ends from now on. A subscriber that lags loses the oldest and is told
    /// how many.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Connection> {
        self.ended.subscribe()
    }

    /// Waits until `holds` is true of the record. The caller sets the deadline.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.totals.subscribe();
        while !holds(self) {
            changes
                .changed()
                .await
                .expect("the record owns the sender, and we borrow the record");
        }
    }

    pub(super) fn open(self: &Arc<Self>, peer: SocketAddr) -> Recorder {
        let mut id = 0;
        self.totals.send_modify(|totals| {
            totals.open += 1;
            totals.total += 1;
            id = totals.total;
        });
        let entry = Arc::new(Mutex::new(Live {
            connection: Connection::new(id, peer),
            kept: Vec::new(),
            appended: Context::new(&SHA256),
            replied: Context::new(&SHA256),
        }));
        let mut kept = lock(&self.kept);
        if kept.len() == CONNECTIONS_MAX {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&entry));
        Recorder {
            entry,
            record: Arc::clone(self),
        }
    }
}

impl Recorder {
    pub(super) fn id(&self) -> u64 {
        lock(&self.entry).connection.id
    }

    pub(super) fn secured(&self, security: Option<Security>) {
        self.update(|live| live.connection.security = security);
    }

    pub(super) fn requested(&self, head: &Head, target: &str, query: &[(String, String)]) {
        self.update(|live| {
            live.connection.target = target.to_owned();
            live.connection.query = query.to_vec();
            live.connection.headers.clone_from(&head.headers);
        });
    }

    pub(super) fn playing(&self, scenario: Scenario) {
        self.update(|live| live.connection.scenario = Some(scenario));
    }

    pub(super) fn violation(&self, violation: Violation) {
        self.update(|live| {
            live.connection.violations_total += 1;
            push(&mut live.connection.violations, violation);
        });
    }

    pub(super) fn received(&self, opcode: u8, bytes: usize) {
        self.update(|live| live.connection.received.add(opcode, bytes));
    }

    pub(super) fn sent(&self, opcode: u8, bytes: usize) {
        self.update(|live| live.connection.sent.add(opcode, bytes));
    }

    pub(super) fn appended(&self, audio: &[u8]) {
        let most = self.record.keep_audio;
        self.update(|live| {
            live.connection.appended.bytes += audio.len() as u64;
            live.appended.update(audio);
            let room = most - live.kept.len();
            live.kept.extend_from_slice(&audio[..audio.len().min(room)]);
        });
    }

    pub(super) fn updated(&self, event: Value) {
        self.update(|live| {
            let after = live.connection.appended.bytes;
            push(&mut live.connection.updates, Update { after, event });
        });
    }

    pub(super) fn replied(&self, audio: &[u8]) {
        self.update(|live| {
            live.connection.replied.bytes += audio.len() as u64;
            live.replied.update(audio);
        });
    }

    pub(super) fn error(&self, code: &'static str) {
        self.update(|live| push(&mut live.connection.errors, code));
    }

    pub(super) fn pong(&self, payload: &[u8]) {
        self.update(|live| push(&mut live.connection.pongs, payload.to_vec()));
    }

    pub(super) fn close_received(&self, code: Option<u16>, reason: &str) {
        self.update(|live| {
            live.connection.close_received = Some((code, reason.to_owned()));
            live.connection.ending.get_or_insert(Ending::ClosedByClient);
        });
    }

    pub(super) fn close_sent(&self, code: Option<u16>, reason: &str) {
        self.update(|live| {
            live.connection.close_sent = Some((code, reason.to_owned()));
            live.connection
                .ending
                .get_or_insert(Ending::ClosedByService);
        });
    }

    /// Names the ending. The first name stays.
    pub(super) fn ending(&self, ending: Ending) {
        self.update(|live| {
            live.connection.ending.get_or_insert(ending);
        });
    }

    fn update(&self, change: impl FnOnce(&mut Live)) {
        change(&mut lock(&self.entry));
        self.record.totals.send_modify(|totals| totals.changes += 1);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let ended = {
            let mut live = lock(&self.entry);
            live.connection.ending.get_or_insert(Ending::Shutdown);
            live.snapshot()
        };
        // Nobody listening is not an error.
        let _ = self.record.ended.send(ended);
        self.record.totals.send_modify(|totals| totals.open -= 1);
    }
}

impl Live {
    fn snapshot(&self) -> Connection {
        let mut connection = self.connection.clone();
        connection.appended.sha256 = hexadecimal(&self.appended);
        connection.replied.sha256 = hexadecimal(&self.replied);
        connection
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < LIST_MAX {
        list.push(item);
    }
}

fn hexadecimal(context: &Context) -> String {
    let digest = context.clone().finish();
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A panic elsewhere leaves counters that are still worth reading.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
