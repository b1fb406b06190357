//! The thread that writes: in order, whole, and again until it has worked.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ::metrics::Counter;

use super::line;
use super::record::{Decision, Entry};
use super::trail::{Found, Torn, Trail};
use super::{Shared, State};
use crate::config::AuditSync;
use crate::metrics;

/// Bytes behind which no record is added to what is written at once: with one more it is still shorter
/// than the smallest file may be.
const BATCH: usize = 32 * 1024;
/// How long a record may be in the kernel's hands only, with `sync = "second"`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Until what failed is tried again; and what would have to wait.
const AGAIN: Duration = Duration::from_millis(250);
const BUSY: Duration = Duration::from_millis(5);

/// What the thread is given.
pub(super) enum Item {
    Entry(Entry),
    /// To be answered when everything before it is on disk.
    Flush(SyncSender<()>),
    /// Another process is to write as well, or not any more; to be answered with whether it may.
    Share(bool, SyncSender<bool>),
}

/// What is done when everything before it is written.
enum Then {
    Flush(SyncSender<()>),
    Share(bool, SyncSender<bool>),
}

/// Where records go.
pub(super) enum Sink {
    File(Trail),
    /// Standard output; without the buffer that the library has for it, as what is in there is neither
    /// written nor refused.
    Stream(File),
}

impl Sink {
    pub(super) fn stdout() -> io::Result<Sink> {
        let owned = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Sink::Stream(File::from(owned)))
    }

    /// Makes room for so many bytes; true if another file has been begun for them.
    fn make_room(&mut self, bytes: usize) -> io::Result<bool> {
        match self {
            Sink::File(trail) => trail.make_room(bytes as u64),
            Sink::Stream(_) => Ok(false),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Sink::File(trail) => trail.write(bytes)?,
            Sink::Stream(stream) => stream.write(bytes)?,
        };
        match written {
            0 => Err(ErrorKind::WriteZero.into()),
            some => Ok(some),
        }
    }

    /// What another process has written since the last time, if one may have.
    fn begin_turn(&mut self) -> io::Result<Option<Found>> {
        match self {
            Sink::File(trail) => trail.begin_turn(),
            Sink::Stream(_) => Ok(None),
        }
    }

    fn end_turn(&mut self) -> io::Result<()> {
        match self {
            Sink::File(trail) => trail.end_turn(),
            Sink::Stream(_) => Ok(()),
        }
    }

    /// A stream is one of each process.
    fn share(&mut self, shared: bool) -> io::Result<()> {
        match self {
            Sink::File(trail) => trail.share(shared),
            Sink::Stream(_) => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self {
            Sink::File(trail) => trail.sync(),
            // A pipe has nothing to sync, and whose file it may be is not known.
            Sink::Stream(_) => Ok(()),
        }
    }
}

pub(super) struct Writer {
    pub(super) queue: Receiver<Item>,
    pub(super) sink: Sink,
    /// Number and digest of the last record.
    pub(super) last: (u64, [u8; 32]),
    pub(super) chain: bool,
    pub(super) sync: AuditSync,
    /// Since when something may not be on disk that should be.
    pub(super) unsynced: Option<Instant>,
    pub(super) state: Arc<State>,
    /// Whoever may still record something.
    pub(super) owners: Weak<Shared>,
    pub(super) metrics: metrics::Shared,
    pub(super) errors: Counter,
}

/// Writing fails, and nobody is left for whom it would have to be tried again.
#[derive(Debug)]
pub(super) struct GivenUp;

impl Writer {
    /// Writes until nobody is left.
    pub(super) fn run(mut self) {
        if self.serve().is_err() {
            let records = self.state.waiting.load(Ordering::Relaxed);
            tracing::error!(records, "audit records are lost");
        }
    }

    fn serve(&mut self) -> Result<(), GivenUp> {
        loop {
            let item = match self.unsynced {
                None => self.queue.recv().map_err(RecvTimeoutError::from),
                Some(since) => {
                    let left = SYNC_EVERY.saturating_sub(since.elapsed());
                    self.queue.recv_timeout(left)
                }
            };
            let then = match item {
                Ok(first) => self.turn(first)?,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            };
            let is_due = |since: Instant| since.elapsed() >= SYNC_EVERY;
            if then.is_some() || self.unsynced.is_some_and(is_due) {
                self.sync()?;
            }
            // Who asked may have given up.
            match then {
                Some(Then::Flush(done)) => {
                    self.tell("audit written");
                    let _ = done.try_send(());
                }
                Some(Then::Share(shared, done)) => {
                    let may = self.sink.share(shared);
                    if let Err(error) = &may {
                        tracing::error!(%error, "the audit cannot be shared");
                    }
                    let _ = done.try_send(may.is_ok());
                }
                None => {}
            }
        }
    }

    /// Writes what there is in one turn, where another process may write, too.
    fn turn(&mut self, first: Item) -> Result<Option<Then>, GivenUp> {
        let mut found = None;
        self.persist(|sink| {
            found = sink.begin_turn()?;
            Ok(())
        })?;
        let mut torn = None;
        if let Some(found) = found {
            self.last = found.last.unwrap_or(self.last);
            torn = found.torn;
        }
        let taken = self.take(first, torn);
        self.persist(Sink::end_turn)?;
        taken
    }

    /// Writes what there is, a batch at the most, up to what is to be done behind it.
    fn take(&mut self, first: Item, torn: Option<Torn>) -> Result<Option<Then>, GivenUp> {
        let (mut batch, mut entries, mut then) = (Vec::new(), Vec::new(), None);
        let (mut last, mut waited) = (self.last, 0);
        let mut item = Some(first);
        if let Some(torn) = torn {
            torn.tell();
            self.add(torn.entry(), (&mut last, &mut batch, &mut entries));
        }
        while let Some(next) = item {
            match next {
                Item::Entry(entry) => {
                    self.add(entry, (&mut last, &mut batch, &mut entries));
                    waited += 1;
                }
                Item::Flush(done) => {
                    then = Some(Then::Flush(done));
                    break;
                }
                Item::Share(shared, done) => {
                    then = Some(Then::Share(shared, done));
                    break;
                }
            }
            item = match batch.len() < BATCH {
                true => self.queue.try_recv().ok(),
                false => None,
            };
        }
        if !batch.is_empty() {
            self.write(&batch)?;
            self.last = last;
            match self.sync {
                AuditSync::Batch => self.persist(|sink| sink.sync())?,
                AuditSync::Second => {
                    self.unsynced.get_or_insert(Instant::now());
                }
                AuditSync::Never => {}
            }
            for entry in &entries {
                let decision = entry.decision.map_or("none", Decision::word);
                self.metrics.audited(entry.event.word(), decision);
            }
            self.state.waiting.fetch_sub(waited, Ordering::Relaxed);
        }
        Ok(then)
    }

    /// Puts a record behind the last one.
    fn add(
        &self,
        entry: Entry,
        (last, batch, entries): (&mut (u64, [u8; 32]), &mut Vec<u8>, &mut Vec<Entry>),
    ) {
        let prev = self.chain.then_some(&last.1);
        let line = line::line(last.0 + 1, prev, &entry.rest);
        *last = (last.0 + 1, line::digest(&line));
        batch.extend_from_slice(&line);
        batch.push(b'\n');
        entries.push(entry);
    }

    fn write(&mut self, batch: &[u8]) -> Result<(), GivenUp> {
        let mut begun = false;
        self.persist(|sink| {
            begun |= sink.make_room(batch.len())?;
            Ok(())
        })?;
        if begun {
            self.tell("audit goes on in another file");
        }
        // What of it is written is written: after a failure the rest follows.
        let mut at = 0;
        self.persist(|sink| {
            while at < batch.len() {
                at += sink.write(&batch[at..])?;
            }
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<(), GivenUp> {
        if self.unsynced.take().is_some() {
            self.persist(|sink| sink.sync())?;
        }
        Ok(())
    }

    /// Does it again until it has worked.
    fn persist(
        &mut self,
        mut step: impl FnMut(&mut Sink) -> io::Result<()>,
    ) -> Result<(), GivenUp> {
        loop {
            let Err(error) = step(&mut self.sink) else {
                if self.state.failing.swap(false, Ordering::Relaxed) {
                    tracing::warn!("audit records can be written again");
                }
                return Ok(());
            };
            if error.kind() == ErrorKind::Interrupted {
                continue;
            }
            // Somebody made the stream one that does not wait; whoever reads it is slow, no more.
            if error.kind() == ErrorKind::WouldBlock {
                std::thread::sleep(BUSY);
            } else {
                self.errors.increment(1);
                if !self.state.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "audit records cannot be written");
                }
                std::thread::sleep(AGAIN);
            }
            if self.owners.strong_count() == 0 {
                return Err(GivenUp);
            }
        }
    }

    /// Tells the log how far the records go, which is kept elsewhere.
    pub(super) fn tell(&self, what: &'static str) {
        let digest = self.chain.then(|| line::hex(&self.last.1));
        tracing::info!(seq = self.last.0, sha256 = digest, "{what}");
    }
}

impl Drop for Writer {
    /// Nothing is decided any more, should the thread have ended before its time.
    fn drop(&mut self) {
        self.state.failing.store(true, Ordering::Relaxed);
    }
}
