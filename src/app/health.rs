//! Whether all threads that carry sessions make progress, for a supervisor that ends a process that
//! does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often each thread shows that it is not stuck. No session takes its thread for more than some
/// milliseconds.
const BEAT: Duration = Duration::from_millis(250);

/// One count for each worker.
pub struct Beats {
    counts: Vec<AtomicU64>,
    /// Nobody's sleep is disturbed while nobody looks.
    watched: CancellationToken,
}

impl Beats {
    pub(super) fn of(workers: usize) -> Beats {
        Beats {
            counts: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            watched: CancellationToken::new(),
        }
    }

    /// Beats for one worker on its own thread; never resolves.
    pub(super) async fn beat(&self, worker: usize) {
        self.watched.cancelled().await;
        loop {
            sleep(BEAT).await;
            self.counts[worker].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What each has come to.
    fn read(&self) -> Vec<u64> {
        let counts = self.counts.iter();
        counts.map(|beats| beats.load(Ordering::Relaxed)).collect()
    }

    /// Calls `well` again and again, as long as every worker has moved since the last time; never
    /// resolves. `every` is half of what the supervisor waits for.
    pub async fn watch(&self, every: Duration, mut well: impl FnMut()) {
        self.watched.cancel();
        let mut before = self.read();
        loop {
            // A beat fits in between in any case.
            sleep(every.max(2 * BEAT)).await;
            let now = self.read();
            let stuck = now
                .iter()
                .zip(&before)
                .filter(|(now, before)| now <= before);
            match stuck.count() {
                0 => well(),
                stuck => tracing::error!(stuck, "workers make no progress"),
            }
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn b18_a_supervisor_hears_nothing_while_one_worker_is_stuck() {
        let beats = Beats::of(2);
        let (said, every) = (Cell::new(0), Duration::from_secs(5));
        let watch = beats.watch(every, || said.set(said.get() + 1));
        let both = async { tokio::join!(beats.beat(0), beats.beat(1), watch) };
        let minute = Duration::from_secs(61);
        assert!(timeout(minute, both).await.is_err());
        assert_eq!(said.get(), 12);
        let watch = beats.watch(every, || said.set(said.get() + 1));
        let one = async { tokio::join!(beats.beat(0), watch) };
        assert!(timeout(minute, one).await.is_err());
        assert_eq!(said.get(), 12);
    }
}
