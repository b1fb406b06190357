//! From whoever tells something to the thread that writes it: a bounded queue of lines.
//!
//! To wake a thread costs both sides more than a line does. So whoever brings a line wakes the writer only
//! from its sleep, and it sleeps only when nothing has come for [`PAUSE`]: a burst of lines, and a busy
//! edge, costs one wake in that time. An error waits for no pause: it may be the last that is heard of the
//! process.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::Scrubbed;

/// Lines that may wait: some seconds of a busy edge; and their bytes. As much again is being written.
const LINES: usize = 8192;
const BYTES: usize = 8 << 20;
/// Between two looks for lines. Nobody who reads a log minds.
const PAUSE: Duration = Duration::from_millis(10);
/// What a burst has left in the buffers is given back if it is more than that.
const KEPT: usize = 256 * 1024;
/// A pipe takes so much whole (`PIPE_BUF`), so that the lines of two processes which share it, as in a
/// handover, do not mix.
const WRITE: usize = 4096;

/// Brings lines. Cloning shares it.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    /// Most lines that wait.
    lines: usize,
    dropped: &'static AtomicU64,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    /// Whoever waits until all before is written.
    flushes: Vec<SyncSender<()>>,
    /// The writer sleeps until somebody wakes it.
    asleep: bool,
    /// What waits is to be written at once.
    urgent: bool,
}

/// Lines as they lie, and where each ends.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Queue {
    /// Lines that do not fit are counted in `dropped`.
    pub(super) fn new(dropped: &'static AtomicU64) -> Queue {
        Queue {
            shared: Arc::default(),
            lines: LINES,
            dropped,
        }
    }

    /// What writes the lines; there is one.
    pub(super) fn writer<W: Write>(&self, out: W, scrubbed: Scrubbed) -> Writer<W> {
        Writer {
            shared: self.shared.clone(),
            batch: Batch::default(),
            piece: Batch::default(),
            cut: false,
            out,
            scrubbed,
            dropped: self.dropped,
        }
    }

    /// `done` is dropped when what was pushed before is written.
    pub(super) fn flush(&self, done: SyncSender<()>) {
        self.shared.lock().flushes.push(done);
        self.shared.wake.notify_one();
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut guard = self.shared.lock();
        let waiting = &mut *guard;
        let Batch { bytes, ends } = &waiting.batch;
        if ends.len() >= self.lines || bytes.len() + line.len() > BYTES {
            drop(guard);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.batch.push(line);
        waiting.urgent |= urgent;
        let wake = std::mem::take(&mut waiting.asleep) || urgent;
        let wake = wake || waiting.batch.ends.len() == self.lines / 2;
        drop(guard);
        if wake {
            self.shared.wake.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines from the queue, and writes what of them may be written.
pub(super) struct Writer<W> {
    shared: Arc<Shared>,
    batch: Batch,
    /// What is written with one call.
    piece: Batch,
    /// The last line that was written has no end.
    cut: bool,
    out: W,
    scrubbed: Scrubbed,
    dropped: &'static AtomicU64,
}

impl<W: Write> Writer<W> {
    /// Writes for as long as the process lives.
    pub(super) fn run(mut self) {
        loop {
            self.sleep();
            self.turn();
            self.pause();
        }
    }

    /// Until there is something to do.
    fn sleep(&self) {
        let waiting = self.shared.lock();
        let has_nothing = |waiting: &mut Waiting| {
            waiting.asleep = waiting.batch.ends.is_empty() && waiting.flushes.is_empty();
            waiting.asleep
        };
        drop(self.shared.wake.wait_while(waiting, has_nothing));
    }

    /// Lines come in peace, unless somebody waits for them, or they are many, or one is an error.
    fn pause(&self) {
        let waiting = self.shared.lock();
        let may_wait = |waiting: &mut Waiting| {
            let many = waiting.batch.ends.len() >= LINES / 2;
            waiting.flushes.is_empty() && !many && !waiting.urgent
        };
        drop(
            self.shared
                .wake
                .wait_timeout_while(waiting, PAUSE, may_wait),
        );
    }

    /// Writes what waits.
    fn turn(&mut self) {
        let flushes = {
            let mut waiting = self.shared.lock();
            std::mem::swap(&mut waiting.batch, &mut self.batch);
            waiting.urgent = false;
            std::mem::take(&mut waiting.flushes)
        };
        self.write();
        self.batch.clear();
        drop(self.out.flush());
        drop(flushes);
    }

    /// Line by line into pieces that a pipe takes whole.
    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let mut from = 0;
        for end in &batch.ends {
            let line = self.scrubbed.of(&batch.bytes[from..*end]);
            from = *end;
            if self.piece.bytes.len() + line.len() > WRITE {
                put(&mut self.out, &mut self.piece, &mut self.cut, self.dropped);
            }
            if !line.is_empty() {
                self.piece.push(&line);
            }
        }
        put(&mut self.out, &mut self.piece, &mut self.cut, self.dropped);
        self.batch = batch;
    }
}

/// Writes a piece. A log that cannot be written has nowhere to complain: lines that are not written whole are
/// counted. What comes after half a line begins a new one.
fn put(out: &mut impl Write, piece: &mut Batch, cut: &mut bool, dropped: &AtomicU64) {
    if piece.ends.is_empty() {
        return;
    }
    if *cut {
        *cut = write(out, b"\n") == 0;
    }
    let written = if *cut { 0 } else { write(out, &piece.bytes) };
    let whole = piece.ends.partition_point(|end| *end <= written);
    let lost = piece.ends.len() - whole;
    dropped.fetch_add(lost as u64, Ordering::Relaxed);
    let last_end = whole.checked_sub(1).map_or(0, |last| piece.ends[last]);
    *cut |= written > last_end;
    piece.clear();
}

/// How many bytes of these could be written.
fn write(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

impl Batch {
    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.clear();
        self.ends.shrink_to(KEPT / size_of::<usize>());
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Pending<'a>;

    fn make_writer(&'a self) -> Pending<'a> {
        Pending {
            queue: self,
            text: Vec::new(),
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Pending<'a> {
        let mut pending = self.make_writer();
        pending.urgent = *about.level() == Level::ERROR;
        pending
    }
}

/// One line being formatted; it is queued when it is done.
pub(super) struct Pending<'a> {
    queue: &'a Queue,
    text: Vec<u8>,
    urgent: bool,
}

impl Write for Pending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Usually it comes whole.
        if self.text.is_empty() && bytes.ends_with(b"\n") {
            self.queue.push(bytes, self.urgent);
        } else {
            self.text.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.queue.push(&self.text, self.urgent);
        }
    }
}

#[cfg(test)]
mod tests;
