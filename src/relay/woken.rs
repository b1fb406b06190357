//! How often the sessions of a thread are woken, for who decides how closely frames come.

use std::cell::Cell;

thread_local! {
    static WOKEN: Cell<u32> = const { Cell::new(0) };
}

/// A session of this thread was woken.
pub(super) fn count() {
    WOKEN.set(WOKEN.get().saturating_add(1));
}

/// How often that was since it was last asked on this thread.
pub fn take_woken() -> u32 {
    WOKEN.take()
}
