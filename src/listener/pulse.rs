//! Whether a client still takes the answer of an application.
//!
//! hyper asks a body for more only while the client takes what there is, and then nobody looks at the
//! body's own clock. So the connection has one beside it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// By when the body of an answer must be asked for more; shared by the body and its connection.
#[derive(Clone)]
pub(super) struct Pulse {
    idle: Duration,
    by: Arc<Mutex<Instant>>,
}

impl Pulse {
    pub(super) fn new(idle: Duration) -> Pulse {
        Pulse {
            idle,
            by: Arc::new(Mutex::new(Instant::now() + idle)),
        }
    }

    /// The body was asked for more.
    pub(super) fn beat(&self) {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.idle;
    }

    /// Resolves when it was not for too long.
    pub(super) async fn stops(&self) {
        loop {
            let by = *self.by.lock().unwrap_or_else(PoisonError::into_inner);
            if Instant::now() >= by {
                return;
            }
            sleep_until(by).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c07_it_stops_when_it_was_silent_for_so_long() {
        let pulse = Pulse::new(Duration::from_secs(10));
        let begun = Instant::now();
        let other = pulse.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(9)).await;
            other.beat();
        });
        pulse.stops().await;
        assert_eq!(begun.elapsed().as_secs(), 19);
    }
}
