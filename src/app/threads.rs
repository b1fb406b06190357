//! Threads with a runtime of their own.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::Counter;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch;
use crate::panics::GivenUp;

#[derive(Default)]
pub(super) struct Threads {
    all: Vec<JoinHandle<()>>,
    /// Counts those that have not ended: a join alone could not be given up.
    pub(super) running: TaskTracker,
    /// Something without which the edge is none has panicked for good.
    broken: CancellationToken,
}

impl Threads {
    /// Runs a future to its end on a thread and a runtime of its own. Without any one of these threads
    /// there is no edge: whoever was told something else than that by it, or panics itself, ends all.
    pub(super) fn spawn<F>(
        &mut self,
        name: String,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = Result<(), GivenUp>>,
    {
        self.spawn_worker(name, None, work)
    }

    /// The same for a thread that carries sessions and lets what comes for them gather for `batch`; how
    /// often it did is counted.
    pub(super) fn spawn_worker<F>(
        &mut self,
        name: String,
        batch: Option<(Duration, Counter)>,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = Result<(), GivenUp>>,
    {
        let mut builder = runtime::Builder::new_current_thread();
        if let Some((batch, waits)) = batch {
            builder.on_thread_park(move || {
                if batch::is_worth_it(batch) {
                    waits.increment(1);
                    std::thread::sleep(batch);
                }
            });
        }
        let runtime = builder
            .enable_all()
            // Name look-ups, two of a name where the resolver hangs, and the token file of a service account:
            // names that hang leave room for those that do not. They go when they have nothing to do.
            .max_blocking_threads(16)
            .build()?;
        let (running, broken) = (self.running.token(), self.broken.clone());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let _running = running;
            // Nothing of it is used again but to be dropped.
            let run = AssertUnwindSafe(|| runtime.block_on(work()));
            if !matches!(panic::catch_unwind(run), Ok(Ok(()))) {
                broken.cancel();
            }
            runtime.shutdown_background();
        })?;
        self.all.push(thread);
        Ok(())
    }

    /// Resolves when one of them has ended as none may.
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Those that hang are left to the end of the process.
    pub(super) fn join(&mut self) {
        if self.running.is_empty() {
            for thread in self.all.drain(..) {
                // A thread that panicked has said so on its own.
                let _ = thread.join();
            }
        }
    }
}
