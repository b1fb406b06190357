//! Per forwarded frame the edge allocates nothing: a counting allocator watches a running relay.
//!
//! Between plain-text legs the count is zero. With TLS, rustls allocates two times for a record that
//! crosses: the plain text of the one that came, and the one that goes. The relay adds nothing to
//! that, so frames that share a record are free.
//! What a phone call allocates is in `calls`.
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    reason = "a counting allocator is unsafe by nature, and a test that cannot go on must fail"
)]

mod calls;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonegate::audio::SampleRate;
use tonegate::config::Dtmf;
use tonegate::dtmf::tone;
use tonegate::label::Label;
use tonegate::metrics::{Flow, Metrics};
use tonegate::relay::{Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::certificate::Authority;
use tonegate::sim::frame::{BINARY, Frame, TEXT};
use tonegate::sim::stream;
use tonegate::tls::{Stream, accept, connect};

/// Counts what this thread allocates; each test has its thread, and the relay runs on it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn note() {
    // A thread that is ending has no counter any more, and nobody asks.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

/// Bytes were taken, or given back where `more` is negative.
fn hold(more: i64) {
    let _ = HELD.try_with(|held| held.set(held.get() + more));
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        hold(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        hold(size as i64 - layout.size() as i64);
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Bytes of this thread that were not given back.
fn held() -> i64 {
    HELD.with(Cell::get)
}

fn terms() -> Terms {
    let hour = Duration::from_secs(3600);
    Terms {
        patience: Patience {
            ping: hour,
            idle: hour,
            session: hour,
        },
        lease: Arc::new(Lease::until(None)),
        client_message_max: 1 << 20,
        upstream_message_max: 1 << 24,
        pace: Pace::default(),
        locked: None,
        dtmf: Dtmf::Off,
        handle: Arc::new(Handle::default()),
        flow: Flow::unread(),
    }
}

fn message(length: usize, mask: Option<[u8; 4]>) -> BytesMut {
    let mut wire = BytesMut::new();
    Frame::whole(BINARY, vec![b'x'; length]).encode(mask, &mut wire);
    wire
}

/// Sends messages up and down through a plain relay, one after the other and over again; what the
/// second half allocates.
async fn plain(terms: Terms, up: &[BytesMut], down: &[BytesMut], rounds: usize) -> u64 {
    let (mut client, client_end) = UnixStream::pair().unwrap();
    let (mut upstream, upstream_end) = UnixStream::pair().unwrap();
    let relay = Relay::new(
        Leg::plain(client_end, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
        terms,
    );
    let relay = tokio::spawn(relay);
    let mut got = vec![0; 64 * 1024];
    let mut before = 0;
    for (round, (up, down)) in up.iter().cycle().zip(down.iter().cycle()).enumerate() {
        if round == rounds / 2 {
            before = count();
        }
        if round == rounds {
            break;
        }
        client.write_all(up).await.unwrap();
        upstream.read_exact(&mut got[..up.len()]).await.unwrap();
        assert!(got[..up.len()] == up[..]);
        upstream.write_all(down).await.unwrap();
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
        let (up, down) = (message(length, Some([1, 2, 3, 4])), message(length, None));
        let allocations = plain(terms(), &[up], &[down], 200).await;
        assert_eq!(allocations, 0, "messages of {length} bytes");
    }
}

/// A whole message of this text.
fn said(text: String, mask: Option<[u8; 4]>) -> BytesMut {
    let mut wire = BytesMut::new();
    Frame::whole(TEXT, text).encode(mask, &mut wire);
    wire
}

#[tokio::test]
async fn b06_nor_does_one_with_keys_on_a_route_that_observes_them() {
    let metrics = Metrics::new();
    let route = Label::new("r").unwrap();
    let audio = tone::sequence("42#", SampleRate::Hz24000, &tone::Pace::default()).unwrap();
    let appends: Vec<BytesMut> = audio
        .chunks(480)
        .enumerate()
        .map(|(i, samples)| {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let audio = BASE64_STANDARD.encode(bytes);
            let text = if i % 2 == 0 {
                format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#)
            } else {
                format!(r#"{{"audio": "{audio}", "type": "input_audio_buffer.append"}}"#)
            };
            said(text, Some([1, 2, 3, 4]))
        })
        .collect();
    let delta = BASE64_STANDARD.encode(vec![7; 12_000]);
    let delta = format!(r#"{{"type":"response.audio.delta","delta":"{delta}"}}"#);
    let terms = Terms {
        dtmf: Dtmf::Observe,
        flow: metrics.route(&route).flow,
        ..terms()
    };
    // Three keys in each pass.
    let rounds = 10 * appends.len();
    let allocations = plain(terms, &appends, &[said(delta, None)], rounds).await;
    assert_eq!(allocations, 0);
    let counted = r#"tonegate_dtmf_keys_total{route="r"} 30"#;
    assert!(metrics.render().lines().any(|line| line == counted));
}

/// A TLS session over a pipe, both ends.
async fn session() -> (Stream<UnixStream>, Stream<UnixStream>) {
    let authority = Authority::new("test authority");
    let acceptor = stream::acceptor(&authority.issue(&["localhost"]).unwrap()).unwrap();
    let connector = stream::connector(&authority.pem()).unwrap();
    let (dials, accepts) = UnixStream::pair().unwrap();
    let name = "localhost".try_into().unwrap();
    let (dialled, accepted) = tokio::join!(
        connect(connector.config().clone(), name, dials),
        accept(acceptor.config().clone(), false, accepts)
    );
    let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    // With this the tickets are read, which come before it.
    accepted.write_all(b"x").await.unwrap();
    accepted.flush().await.unwrap();
    dialled.read_exact(&mut [0]).await.unwrap();
    (dialled, accepted)
}

/// What a future has allocated, and nothing of what else its thread did.
#[derive(Default)]
struct Taken {
    count: AtomicU64,
    held: AtomicI64,
}

struct Watched<F> {
    future: F,
    taken: Arc<Taken>,
}

impl<F: Future + Unpin> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let before = (count(), held());
        let polled = Pin::new(&mut self.future).poll(cx);
        let taken = &self.taken;
        taken.count.fetch_add(count() - before.0, Ordering::Relaxed);
        taken.held.fetch_add(held() - before.1, Ordering::Relaxed);
        polled
    }
}

/// Records each way, of which as many before are not counted.
const RECORDS: usize = 100;

/// Sends `frames` messages of `length` bytes in one record, up and down and over again, through a
/// relay between two TLS sessions; what it allocates.
async fn relayed(frames: usize, length: usize) -> u64 {
    let (mut client, client_end) = session().await;
    let (upstream_end, mut upstream) = session().await;
    let client_leg = Leg::tls(client_end.into_parts(), Bytes::new());
    let upstream_leg = Leg::tls(upstream_end.into_parts(), Bytes::new());
    let taken = Arc::new(Taken::default());
    let relay = tokio::spawn(Watched {
        future: Relay::new(client_leg, upstream_leg, terms()),
        taken: taken.clone(),
    });
    let up = message(length, Some([1, 2, 3, 4])).repeat(frames);
    let down = message(length, None).repeat(frames);
    let mut got = vec![0; up.len().max(down.len())];
    let mut before = 0;
    for record in 0..2 * RECORDS {
        if record == RECORDS {
            before = taken.count.load(Ordering::Relaxed);
        }
        client.write_all(&up).await.unwrap();
        client.flush().await.unwrap();
        upstream.read_exact(&mut got[..up.len()]).await.unwrap();
        assert!(got[..up.len()] == up[..]);
        upstream.write_all(&down).await.unwrap();
        upstream.flush().await.unwrap();
        client.read_exact(&mut got[..down.len()]).await.unwrap();
        assert!(got[..down.len()] == down[..]);
    }
    relay.abort();
    taken.count.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn between_tls_sessions_only_rustls_allocates_and_only_for_records() {
    let records = 2 * RECORDS as u64;
    // Frames of so many bytes in one record.
    for (frames, length) in [
        (1, 0),
        (1, 1000),
        (100, 20),
        (1, 14_500),
        (16, 900),
        (100, 140),
    ] {
        let relayed = relayed(frames, length).await;
        assert_eq!(relayed, 2 * records, "{frames} frames of {length} bytes");
    }
}

#[test]
fn the_counter_counts() {
    let before = (count(), held());
    let some = std::hint::black_box(vec![1u8; 100]);
    assert_eq!((count() - before.0, held() - before.1), (1, 100));
    drop(some);
    assert_eq!((count() - before.0, held()), (1, before.1));
}
