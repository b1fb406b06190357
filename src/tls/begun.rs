//! How much of a record or of a message may have begun, and how often that was not enough.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer::READ_BUFFER;

/// Most that a session keeps of what cannot be used yet, where the peer may show certificates: a message of
/// a handshake may be longer than a record. It leaves room in the read buffer for what completes it.
pub(super) const BEGUN_MAX: usize = READ_BUFFER - 16 * 1024;

/// The same where it may not. The longest record of TLS 1.2 with its header (RFC 5246, 6.2.3), which is over
/// before the next one can begin, and longer than any message that such a client has to say. What is kept is
/// copied with every segment that comes, and nobody knows yet who sends them.
pub(super) const BEGUN_MAX_OF_STRANGERS: usize = 5 + 16 * 1024 + 2048;

/// Sessions of this process that failed since more than that had begun. One figure for all: a session has no
/// room for what it would count with.
static TOO_LONG: AtomicU64 = AtomicU64::new(0);

/// Sessions that failed so far since a message of theirs was too long to be kept.
pub fn too_long() -> u64 {
    TOO_LONG.load(Ordering::Relaxed)
}

/// One more.
pub(super) fn count_too_long() {
    TOO_LONG.fetch_add(1, Ordering::Relaxed);
}
