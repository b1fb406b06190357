//! The buffers of a thread, lent to whichever session is moving bytes right now.
//!
//! A session owns no buffer while it is idle. All sessions of a thread read into the same memory,
//! one after the other, and a plain-text leg borrows a queue only while bytes wait in it.

use std::cell::RefCell;

use bytes::BytesMut;

/// Bytes taken from a socket in one read. Four full TLS records: a larger one costs more cache
/// than it saves calls, and it also bounds what a session can have waiting for a slow peer.
pub const READ_BUFFER: usize = 64 * 1024;

/// Spare queues kept per thread; beyond that they are freed.
const SPARES: usize = 4;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with the thread's read buffer.
pub(super) fn with_read_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    READ.with_borrow_mut(|buffer| work(buffer))
}

/// An empty queue with room for what one read gives.
pub(super) fn take_queue() -> BytesMut {
    SPARE
        .with_borrow_mut(|spares| spares.pop())
        .unwrap_or_else(|| BytesMut::with_capacity(READ_BUFFER))
}

/// Gives back a queue that has been emptied. One that grew beyond its room is freed.
pub(super) fn give_queue(mut queue: BytesMut) {
    queue.clear();
    // What was taken from the front comes back as room, since nobody else holds the memory.
    let whole = queue.try_reclaim(READ_BUFFER) && queue.capacity() <= 2 * READ_BUFFER;
    SPARE.with_borrow_mut(|spares| {
        if whole && spares.len() < SPARES {
            spares.push(queue);
        }
    });
}
