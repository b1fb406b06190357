//! Threads with a runtime of their own.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime;
use tokio_util::task::TaskTracker;

#[derive(Default)]
pub(super) struct Threads {
    all: Vec<JoinHandle<()>>,
    /// Counts those that have not ended: a join alone could not be given up.
    pub(super) running: TaskTracker,
}

impl Threads {
    /// Runs a future to its end on a thread and a runtime of its own.
    pub(super) fn spawn<F>(
        &mut self,
        name: String,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()>,
    {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            // Name look-ups, and the token file of a service account.
            .max_blocking_threads(4)
            .build()?;
        let running = self.running.token();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let _running = running;
            runtime.block_on(work());
            runtime.shutdown_background();
        })?;
        self.all.push(thread);
        Ok(())
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
