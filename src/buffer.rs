//! The buffers of a thread, lent to whichever connection is moving bytes right now.
//!
//! A session owns no buffer while it is idle. All connections of a thread read into the same memory,
//! one after the other, and borrow a [`Queue`] only while bytes wait in it.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Bytes taken from a socket in one read. Four full TLS records: a larger one costs more cache
/// than it saves calls, and it also bounds what a session can have waiting for a slow peer.
pub const READ_BUFFER: usize = 64 * 1024;

/// Room of a spare queue: one read, and what records of the other side's TLS version, pings and
/// headers add to it.
const QUEUE: usize = READ_BUFFER + 4 * 1024;

/// Spare queues kept per thread; beyond that they are freed.
const SPARES: usize = 4;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
    static SPARE: RefCell<Vec<Queue>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with the thread's read buffer, of [`READ_BUFFER`] bytes. What is in it is of no meaning.
pub fn with_read_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    READ.with_borrow_mut(|buffer| work(buffer))
}

/// An empty queue with room for what one read gives.
pub fn take_queue() -> Queue {
    SPARE
        .with_borrow_mut(|spares| spares.pop())
        .unwrap_or_else(|| Queue::with_room(QUEUE))
}

/// Gives back a queue. One that grew beyond twice its room, or has less, is freed.
pub fn give_queue(mut queue: Queue) {
    queue.advance(queue.len());
    let whole = (QUEUE..=2 * QUEUE).contains(&queue.memory.len());
    SPARE.with_borrow_mut(|spares| {
        if whole && spares.len() < SPARES {
            spares.push(queue);
        }
    });
}

/// Bytes that wait, in order. Memory is zeroed when it is taken from the allocator and never again,
/// so that whoever encrypts into a queue writes each byte once.
#[derive(Debug, Default)]
pub struct Queue {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Queue {
    fn with_room(count: usize) -> Queue {
        Queue {
            memory: vec![0; count],
            ..Queue::default()
        }
    }

    /// At least `count` bytes behind those that wait, to be written to; [`filled`](Self::filled)
    /// says how many have been.
    pub fn room(&mut self, count: usize) -> &mut [u8] {
        if self.memory.len() - self.end < count {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.memory.len() - self.end < count {
                let more = (self.end + count).max(2 * self.memory.len());
                self.memory.resize(more, 0);
            }
        }
        &mut self.memory[self.end..]
    }

    /// The first `count` bytes of the room wait from now on.
    pub fn filled(&mut self, count: usize) {
        debug_assert!(count <= self.memory.len() - self.end);
        self.end += count;
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Takes bytes from the front, all of them if there are fewer.
    pub fn advance(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// For a queue that has to wait, who knows how long: if it has room for much more than waits
    /// in it, that goes back to the thread, and the bytes get memory of their own.
    pub fn settle(&mut self) {
        if self.len() < self.memory.len() / 2 {
            let own = Queue {
                memory: self.to_vec(),
                start: 0,
                end: self.len(),
            };
            give_queue(std::mem::replace(self, own));
        }
    }
}

impl Deref for Queue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
}

impl DerefMut for Queue {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_queue_gives_what_it_took_in_order(
            steps in prop::collection::vec((0usize..300, 0usize..300, any::<bool>()), 0..60),
            room in 0usize..200,
        ) {
            let mut queue = Queue::with_room(room);
            let (mut put, mut taken) = (0u8, 0u8);
            for (more, fewer, settle) in steps {
                let bytes: Vec<u8> = (0..more).map(|i| put.wrapping_add(i as u8)).collect();
                put = put.wrapping_add(more as u8);
                queue.extend_from_slice(&bytes);
                let fewer = fewer.min(queue.len());
                for byte in &queue[..fewer] {
                    prop_assert_eq!(*byte, taken);
                    taken = taken.wrapping_add(1);
                }
                queue.advance(fewer);
                if settle {
                    queue.settle();
                }
                prop_assert_eq!(queue.len() % 256, usize::from(put.wrapping_sub(taken)));
            }
        }
    }

    #[test]
    fn a_queue_that_waits_keeps_no_more_than_what_waits_in_it() {
        let mut queue = take_queue();
        queue.extend_from_slice(b"some");
        queue.settle();
        assert_eq!((&queue[..], queue.memory.len()), (&b"some"[..], 4));
        assert_eq!(SPARE.with_borrow(Vec::len), 1, "its room went back");
        give_queue(queue);
        assert_eq!(SPARE.with_borrow(Vec::len), 1, "four bytes are no spare");
        let mut queue = take_queue();
        queue.extend_from_slice(&[1; QUEUE]);
        queue.settle();
        assert_eq!((queue.len(), queue.memory.len()), (QUEUE, QUEUE));
        queue.room(QUEUE + 1);
        give_queue(queue);
        assert_eq!(SPARE.with_borrow(Vec::len), 0, "one that grew is freed");
    }
}
