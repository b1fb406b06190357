//! An order from outside that ends a running session.

use std::sync::OnceLock;
use std::task::Context;

use futures_util::task::AtomicWaker;

use crate::error::Reason;

/// Given by whoever holds the session's registry entry, from any thread; obeyed at the session's
/// next turn. The first order counts.
#[derive(Debug, Default)]
pub struct Order {
    reason: OnceLock<Reason>,
    waker: AtomicWaker,
}

impl Order {
    /// Ends the session for `reason`. Whether that is the first order.
    pub fn end(&self, reason: Reason) -> bool {
        let first = self.reason.set(reason).is_ok();
        if first {
            self.waker.wake();
        }
        first
    }

    /// What was ordered; if nothing yet, the task is woken when something is.
    pub fn poll(&self, cx: &mut Context<'_>) -> Option<Reason> {
        self.waker.register(cx.waker());
        self.reason.get().copied()
    }
}
