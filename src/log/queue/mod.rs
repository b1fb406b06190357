//! From whoever tells something to the thread that writes it: a bounded queue of lines.
//!
//! To wake a thread costs both sides more than a line does. So whoever brings a line wakes the writer only
//! from its sleep, and it sleeps only when nothing has come for [`PAUSE`]: a burst of lines, and a busy
//! edge, costs one wake in that time.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
            out,
            scrubbed,
        }
    }

    /// `done` is dropped when what was pushed before is written.
    pub(super) fn flush(&self, done: SyncSender<()>) {
        self.shared.lock().flushes.push(done);
        self.shared.wake.notify_one();
    }

    fn push(&self, line: &[u8]) {
        let mut guard = self.shared.lock();
        let waiting = &mut *guard;
        let Batch { bytes, ends } = &mut waiting.batch;
        if ends.len() >= self.lines || bytes.len() + line.len() > BYTES {
            drop(guard);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        bytes.extend_from_slice(line);
        ends.push(bytes.len());
        let wake = std::mem::take(&mut waiting.asleep) || ends.len() == self.lines / 2;
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
    out: W,
    scrubbed: Scrubbed,
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

    /// Lines come in peace, unless somebody waits for them or they are many.
    fn pause(&self) {
        let waiting = self.shared.lock();
        let may_wait = |waiting: &mut Waiting| {
            waiting.flushes.is_empty() && waiting.batch.ends.len() < LINES / 2
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
            std::mem::take(&mut waiting.flushes)
        };
        self.write();
        self.batch.clear();
        drop(self.out.flush());
        drop(flushes);
    }

    /// A log that cannot be written has nowhere to complain.
    fn write(&mut self) {
        let mut chunk = Vec::with_capacity(WRITE);
        let mut from = 0;
        for end in &self.batch.ends {
            let line = self.scrubbed.of(&self.batch.bytes[from..*end]);
            from = *end;
            if chunk.len() + line.len() > WRITE {
                drop(self.out.write_all(&chunk));
                chunk.clear();
            }
            chunk.extend_from_slice(&line);
        }
        drop(self.out.write_all(&chunk));
    }
}

impl Batch {
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
        }
    }
}

/// One line being formatted; it is queued when it is done.
pub(super) struct Pending<'a> {
    queue: &'a Queue,
    text: Vec<u8>,
}

impl Write for Pending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Usually it comes whole.
        if self.text.is_empty() && bytes.ends_with(b"\n") {
            self.queue.push(bytes);
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
            self.queue.push(&self.text);
        }
    }
}

#[cfg(test)]
mod tests;
