//! Per forwarded frame the edge allocates nothing: a counting allocator watches a running relay.
//!
//! Between plain-text legs the count is zero. With TLS, rustls allocates for each record it decrypts
//! and each it encrypts; the relay adds nothing to that, so frames that share a record are free.
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    reason = "a counting allocator is unsafe by nature, and a test that cannot go on must fail"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonegate::error::Reason;
use tonegate::metrics::Flow;
use tonegate::relay::{Leg, Order, Patience, Relay, Terms};
use tonegate::sim::frame::{BINARY, Frame};

/// Counts what this thread allocates; each test has its thread, and the relay runs on it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    // A thread that is ending has no counter any more, and nobody asks.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() -> u64 {
    COUNT.with(Cell::get)
}

fn terms() -> Terms {
    let hour = Duration::from_secs(3600);
    Terms {
        patience: Patience {
            ping: hour,
            idle: hour,
            session: hour,
            session_end: Reason::MaxDuration,
        },
        client_message_max: 1 << 20,
        upstream_message_max: 1 << 24,
        locked: None,
        order: Arc::new(Order::default()),
        flow: Flow::unread(),
    }
}

fn message(length: usize, mask: Option<[u8; 4]>) -> BytesMut {
    let mut wire = BytesMut::new();
    Frame::whole(BINARY, vec![b'x'; length]).encode(mask, &mut wire);
    wire
}

/// Sends `rounds` messages up and down through a plain relay; allocations of the last half.
async fn plain(length: usize, rounds: usize) -> u64 {
    let (mut client, client_end) = UnixStream::pair().unwrap();
    let (mut upstream, upstream_end) = UnixStream::pair().unwrap();
    let relay = Relay::new(
        Leg::plain(client_end, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
        terms(),
    );
    let relay = tokio::spawn(relay);
    let (up, down) = (message(length, Some([1, 2, 3, 4])), message(length, None));
    let mut got = vec![0; up.len().max(down.len())];
    let mut before = 0;
    for round in 0..rounds {
        if round == rounds / 2 {
            before = count();
        }
        client.write_all(&up).await.unwrap();
        upstream.read_exact(&mut got[..up.len()]).await.unwrap();
        assert!(got[..up.len()] == up[..]);
        upstream.write_all(&down).await.unwrap();
        client.read_exact(&mut got[..down.len()]).await.unwrap();
        assert!(got[..down.len()] == down[..]);
    }
    let after = count();
    relay.abort();
    after - before
}

#[tokio::test]
async fn a_forwarded_frame_allocates_nothing() {
    for length in [0, 5, 1000, 30_000] {
        let allocations = plain(length, 200).await;
        assert_eq!(allocations, 0, "messages of {length} bytes");
    }
}

#[test]
fn the_counter_counts() {
    let before = count();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(count() - before, 1);
}
