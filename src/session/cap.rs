//! The longest session of the upstream's own: told of a while before, and ended before theirs.
//!
//! An upstream that ends a session itself does so when it likes and with whatever code it has. It counts
//! from its own `101` or a little before, and the edge from the beginning of its dial. Nothing is sent
//! to either side beforehand: frames are theirs.

use std::convert::Infallible;

use tokio::time::{Instant, sleep_until};

use super::Session;
use crate::config::SessionCap;
use crate::error::Reason;
use crate::relay::Handle;

/// When what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cap {
    notice: Instant,
    ends: Instant,
}

impl Cap {
    /// Of a session whose upstream was dialled at `begun`.
    pub(super) fn new(begun: Instant, cap: SessionCap) -> Cap {
        let (ends, notice) = cap.ends();
        Cap {
            notice: begun + notice,
            ends: begun + ends,
        }
    }
}

impl Session {
    /// Tells that the upstream's end is near, and ends the session before it.
    pub(super) async fn keep_cap(&self, handle: &Handle) -> Infallible {
        let Some(cap) = self.cap else {
            return std::future::pending().await;
        };
        sleep_until(cap.notice).await;
        if let Some(upstream) = &self.upstream_name {
            self.metrics.session_near_cap(&self.route, upstream);
        }
        tracing::info!(
            session = %self.id,
            route = %self.route,
            call = self.call.as_ref().map(|call| tracing::field::display(&call.calling.call)),
            upstream = self.upstream_name.as_ref().map(tracing::field::display),
            left_s = (cap.ends - Instant::now()).as_secs(),
            "session near its upstream's longest"
        );
        sleep_until(cap.ends).await;
        handle.end(Reason::MaxDuration);
        std::future::pending().await
    }
}
