//! The relay over in-memory pipes with time that only moves when nothing else can: any split of
//! any stream comes out as it went in, and a dropped session closes both sides.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{
    AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf, WriteHalf, duplex, split,
};
use tokio::sync::Mutex;
use tonegate::config::Dtmf;
use tonegate::error::{Reason, Side};
use tonegate::metrics::Flow;
use tonegate::relay::{Ending, Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{BINARY, CLOSE, CONTINUATION, Decoder, Frame, PING, PONG, Sender, TEXT};

fn terms(handle: &Arc<Handle>) -> Terms {
    Terms {
        patience: Patience {
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            session: Duration::from_secs(3600),
        },
        lease: Arc::new(Lease::until(None)),
        client_message_max: 1 << 20,
        upstream_message_max: 1 << 24,
        pace: Pace::default(),
        locked: None,
        dtmf: Dtmf::Off,
        handle: handle.clone(),
        flow: Flow::unread(),
    }
}

type Between = (
    DuplexStream,
    DuplexStream,
    Relay<DuplexStream, DuplexStream>,
    Arc<Handle>,
);

/// A relay between two pipes that hold `room` bytes each.
fn relay(room: usize, early: Bytes) -> Between {
    relay_between(room, room, early)
}

fn relay_between(client_room: usize, upstream_room: usize, early: Bytes) -> Between {
    let (client, client_end) = duplex(client_room);
    let (upstream, upstream_end) = duplex(upstream_room);
    let handle = Arc::new(Handle::default());
    let relay = Relay::new(
        Leg::plain(client_end, early),
        Leg::plain(upstream_end, Bytes::new()),
        terms(&handle),
    );
    (client, upstream, relay, handle)
}

/// One whose client may send only so much, and whose legs are pinged after so long a silence.
fn paced(room: usize, pace: Pace, ping: Duration) -> Between {
    let (client, client_end) = duplex(room);
    let (upstream, upstream_end) = duplex(room);
    let handle = Arc::new(Handle::default());
    let relay = Relay::new(
        Leg::plain(client_end, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
        Terms {
            pace,
            patience: Patience {
                ping,
                ..terms(&handle).patience
            },
            ..terms(&handle)
        },
    );
    (client, upstream, relay, handle)
}

/// Drives a relay and polls it also when nothing has happened, as a `select!` around it would: a
/// wake without a cause must change nothing.
async fn polled_without_cause(mut relay: Relay<DuplexStream, DuplexStream>) -> Ending {
    loop {
        tokio::select! {
            biased;
            ending = &mut relay => return ending,
            () = tokio::task::yield_now() => {}
        }
        // Without this the time that only moves when all are idle would stand still.
        if let Ok(ending) = tokio::time::timeout(Duration::from_millis(1), &mut relay).await {
            return ending;
        }
    }
}

/// Legal messages, some in fragments, some with pings between the fragments.
fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..140),
        (60_000usize..70_000).prop_map(|length| vec![3; length]),
    ];
    let message = proptest::collection::vec((payload, any::<bool>()), 1..4);
    proptest::collection::vec(message, 1..5).prop_map(|messages| {
        let mut frames = Vec::new();
        for fragments in messages {
            let last = fragments.len() - 1;
            for (i, (payload, ping)) in fragments.into_iter().enumerate() {
                let text = payload.len() % 2 == 0;
                frames.push(Frame {
                    fin: i == last,
                    opcode: match (i, text) {
                        (0, true) => TEXT,
                        (0, false) => BINARY,
                        (_, _) => CONTINUATION,
                    },
                    payload: payload.into(),
                });
                if ping {
                    frames.push(Frame::whole(PING, "between"));
                }
            }
        }
        frames
    })
}

fn wire(frames: &[Frame], mask: Option<[u8; 4]>) -> BytesMut {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame.encode(mask, &mut bytes);
    }
    bytes
}

/// Payload bytes of the data frames, which is what the tap counts.
fn data_bytes(frames: &[Frame]) -> u64 {
    let data = frames.iter().filter(|frame| frame.opcode != PING);
    data.map(|frame| frame.payload.len() as u64).sum()
}

/// Writes in pieces of the given sizes, round and round.
async fn write_split(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    sizes: &[usize],
) {
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
        rest = more;
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_split_of_any_stream_comes_out_as_it_went_in(
        up in frames(),
        down in frames(),
        mask in any::<[u8; 4]>(),
        sizes in proptest::collection::vec(1usize..9000, 1..8),
        room in 1usize..20_000,
        early in any::<prop::sample::Index>(),
    ) {
        let data = (data_bytes(&up), data_bytes(&down));
        let (up, down) = (wire(&up, Some(mask)), wire(&down, None));
        // Some of the client's bytes were read together with its request.
        let early = early.index(up.len() + 1);
        run(async {
            let (client, upstream, relay, handle) = relay(room, Bytes::copy_from_slice(&up[..early]));
            let relay = tokio::spawn(polled_without_cause(relay));
            let (mut client_read, mut client_write) = tokio::io::split(client);
            let (mut upstream_read, mut upstream_write) = tokio::io::split(upstream);
            let mut got_up = vec![0; up.len()];
            let mut got_down = vec![0; down.len()];
            tokio::join!(
                write_split(&mut client_write, &up[early..], &sizes),
                write_split(&mut upstream_write, &down, &sizes),
                async { upstream_read.read_exact(&mut got_up).await.unwrap(); },
                async { client_read.read_exact(&mut got_down).await.unwrap(); },
            );
            assert!(got_up == up[..], "up differs");
            assert!(got_down == down[..], "down differs");
            handle.end(Reason::Draining);
            // Both are told, at a frame boundary, and nothing else comes.
            let mut rest = BytesMut::new();
            while client_read.read_buf(&mut rest).await.unwrap() > 0 {}
            let mut decoder = Decoder::new(Sender::Server, rest);
            let close = decoder.next_frame().unwrap().unwrap();
            assert_eq!(close.close_parts(), (Some(1001), "draining".to_owned()));
            assert_eq!(decoder.next_frame().unwrap(), None);
            let ending = relay.await.unwrap();
            assert_eq!((ending.by, ending.reason), (Side::Edge, Reason::Draining));
            assert_eq!((ending.up.bytes, ending.down.bytes), data);
        });
    }

    #[test]
    fn b20_a_paced_stream_comes_out_as_it_went_in_at_its_rate(
        up in frames(),
        mask in any::<[u8; 4]>(),
        sizes in proptest::collection::vec(1usize..9000, 1..8),
        room in 1usize..20_000,
        bytes in prop::option::of(1024u64..200_000),
        frames_per_second in prop::option::of(1u32..50),
    ) {
        let data = data_bytes(&up);
        let frames = up.len();
        let up = wire(&up, Some(mask));
        run(async {
            let pace = Pace { bytes_per_second: bytes, frames_per_second };
            // The upstream is silent: a ping of the edge's own would come between two frames, as it may.
            let never = Duration::from_secs(3600);
            let (mut client, mut upstream, relay, handle) = paced(room, pace, never);
            let relay = tokio::spawn(polled_without_cause(relay));
            let mut got = vec![0; up.len()];
            let begun = tokio::time::Instant::now();
            tokio::join!(
                write_split(&mut client, &up, &sizes),
                async { upstream.read_exact(&mut got).await.unwrap(); },
            );
            assert!(got == up[..], "it differs");
            // A second's worth goes at once, and the last read is not waited for.
            let took = begun.elapsed().as_secs_f64();
            let rates = [
                bytes.map(|rate| (up.len() as f64, rate as f64, 65_536.0)),
                frames_per_second.map(|rate| (frames as f64, f64::from(rate), frames as f64)),
            ];
            for (all, rate, read) in rates.into_iter().flatten() {
                assert!(took >= (all - read) / rate - 1.0, "{all} at {rate} in {took}");
                // Nor is anybody held up for longer than it takes.
                let slowest = up.len() as f64 / bytes.map_or(f64::MAX, |rate| rate as f64)
                    + frames as f64 / frames_per_second.map_or(f64::MAX, f64::from);
                assert!(took <= slowest + 1.0, "{took} of {slowest}");
            }
            handle.end(Reason::Draining);
            let (mut rest, mut told) = (Vec::new(), Vec::new());
            let (_, _) = tokio::join!(upstream.read_to_end(&mut rest), client.read_to_end(&mut told));
            drop((client, upstream));
            let ending = relay.await.unwrap();
            assert_eq!((ending.by, ending.reason), (Side::Edge, Reason::Draining));
            assert_eq!(ending.up.bytes, data);
        });
    }

    #[test]
    fn whatever_a_client_sends_the_upstream_sees_a_prefix_of_it_and_perhaps_a_close_frame(
        frames in frames(),
        mask in any::<[u8; 4]>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        sizes in proptest::collection::vec(1usize..5000, 1..5),
    ) {
        let mut sent = wire(&frames, Some(mask)).to_vec();
        for (at, byte) in &changes {
            // Half of the changes hit the first frames' headers.
            let most = if byte % 2 == 0 { sent.len() } else { sent.len().min(30) };
            sent[at.index(most)] ^= byte;
        }
        sent.truncate(cut.index(sent.len() + 1));
        run(async {
            let (client, mut upstream, relay, _order) = relay(64 * 1024, Bytes::new());
            let relay = tokio::spawn(relay);
            let (mut client_read, mut client_write) = tokio::io::split(client);
            let (mut seen, mut told) = (Vec::new(), Vec::new());
            tokio::join!(
                async {
                    let _ = write_all_split(&mut client_write, &sent, &sizes).await;
                    let _ = client_write.shutdown().await;
                },
                async { upstream.read_to_end(&mut seen).await.unwrap(); },
                async { client_read.read_to_end(&mut told).await.unwrap(); },
            );
            let common = sent.iter().zip(&seen).take_while(|(a, b)| a == b).count();
            // The close frame's first bytes may be those of what was sent by chance.
            let closes = |at: &usize| {
                let mut decoder = Decoder::new(Sender::Client, BytesMut::from(&seen[*at..]));
                let close = decoder.next_frame();
                matches!(close, Ok(Some(frame)) if frame.opcode == CLOSE)
                    && decoder.buffer().is_empty()
            };
            let last = (common.saturating_sub(131)..=common).rev().find(closes);
            assert!(seen.len() == common || last.is_some(), "{common} of {}", seen.len());
            let ending: Ending = relay.await.unwrap();
            let expected = [Reason::ClientLost, Reason::Protocol, Reason::TooLarge, Reason::ClientClosed];
            assert!(expected.contains(&ending.reason), "{ending:?}");
        });
    }
}

/// Writes in pieces, as far as the other end takes them.
async fn write_all_split(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    sizes: &[usize],
) -> std::io::Result<()> {
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        stream.write_all(piece).await?;
        rest = more;
    }
    Ok(())
}

#[test]
fn a_dropped_session_closes_both_sides() {
    run(async {
        let (mut client, mut upstream, relay, _order) = relay(1000, Bytes::new());
        let relay = tokio::spawn(relay);
        client
            .write_all(&wire(&[Frame::whole(TEXT, "hello")], Some([1; 4])))
            .await
            .unwrap();
        let mut got = [0; 11];
        upstream.read_exact(&mut got).await.unwrap();
        relay.abort();
        assert_eq!(client.read(&mut got).await.unwrap(), 0);
        assert_eq!(upstream.read(&mut got).await.unwrap(), 0);
    });
}

#[test]
fn an_ending_that_comes_at_once_is_told_twice_the_same() {
    run(async {
        let (client, upstream, mut relay, _order) = relay(1000, Bytes::new());
        // Both peers are gone, so that no goodbye is left when closing begins.
        drop((client, upstream));
        relay.until_closing().await;
        relay.until_closing().await;
        let ending = relay.await;
        assert_eq!(
            (ending.by, ending.reason),
            (Side::Client, Reason::ClientLost)
        );
    });
}

#[test]
fn a_slow_reader_holds_one_read_at_the_most() {
    run(async {
        let (client, mut upstream, relay, _order) = relay(1000, Bytes::new());
        let relay = tokio::spawn(relay);
        let flood = wire(&[Frame::whole(BINARY, vec![0; 10_000_000])], None);
        // The client never reads: what the upstream can write is its pipe, one read of the relay
        // and the client's pipe.
        let mut written = 0;
        loop {
            let write = upstream.write(&flood[written..]);
            match tokio::time::timeout(Duration::from_secs(5), write).await {
                Ok(count) => written += count.unwrap(),
                Err(_) => break,
            }
        }
        assert!(written > 2000, "{written}");
        assert!(written <= 2000 + tonegate::relay::READ_BUFFER, "{written}");
        drop(client);
        relay.await.unwrap();
    });
}

#[test]
fn a_close_that_the_upstream_ignores_is_answered_after_a_second_and_gone_after_five() {
    run(async {
        let (mut client, upstream, mut relay, _order) = relay(1000, Bytes::new());
        let relay = tokio::spawn(async {
            relay.until_closing().await;
            (tokio::time::Instant::now(), relay.await)
        });
        let began = tokio::time::Instant::now();
        client
            .write_all(&wire(&[Frame::close(4000, "bye")], Some([9; 4])))
            .await
            .unwrap();
        let mut got = BytesMut::new();
        while client.read_buf(&mut got).await.unwrap() > 0 {}
        let mut decoder = Decoder::new(Sender::Server, got);
        let answer = decoder.next_frame().unwrap().unwrap();
        assert_eq!(answer.close_parts(), (Some(4000), String::new()));
        assert_eq!(began.elapsed().as_secs(), 1);
        // Neither side ends its half: the edge does not wait for ever.
        let (closing, ending) = relay.await.unwrap();
        assert_eq!(closing.duration_since(began).as_secs(), 0);
        assert_eq!(
            (ending.by, ending.reason),
            (Side::Client, Reason::ClientClosed)
        );
        assert_eq!(began.elapsed().as_secs(), 5);
        drop((client, upstream));
    });
}

/// A peer that says goodbye and then never stops sending.
struct Endless {
    first: BytesMut,
}

impl tokio::io::AsyncRead for Endless {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        out: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.first.is_empty() {
            let room = out.remaining();
            out.initialize_unfilled_to(room);
            out.advance(room);
        } else {
            out.put_slice(&self.first);
            self.first.clear();
        }
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Endless {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// Real time here: a peer that is always ready leaves no moment in which paused time could move.
#[tokio::test]
async fn a_peer_that_never_stops_sending_does_not_outlive_its_close() {
    let first = wire(&[Frame::close(1000, "")], Some([9; 4]));
    let (_upstream, upstream_end) = duplex(1000);
    let relay = Relay::new(
        Leg::plain(Endless { first }, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
        terms(&Arc::default()),
    );
    let ending = tokio::time::timeout(Duration::from_secs(15), relay).await;
    assert_eq!(ending.unwrap().reason, Reason::ClientClosed);
}

/// One end of a session as a test plays it: who it is, and its pipe.
struct Peer {
    sender: Sender,
    read: tokio::io::ReadHalf<DuplexStream>,
    decoder: Decoder,
    write: Arc<Mutex<WriteHalf<DuplexStream>>>,
}

impl Peer {
    fn new(sender: Sender, pipe: DuplexStream) -> Peer {
        let (read, write) = split(pipe);
        let other = match sender {
            Sender::Client => Sender::Server,
            Sender::Server => Sender::Client,
        };
        Peer {
            sender,
            read,
            decoder: Decoder::new(other, BytesMut::new()),
            write: Arc::new(Mutex::new(write)),
        }
    }

    fn side(&self) -> (Side, Reason) {
        match self.sender {
            Sender::Client => (Side::Client, Reason::ClientLost),
            Sender::Server => (Side::Upstream, Reason::UpstreamClosed),
        }
    }

    fn mask(&self) -> Option<[u8; 4]> {
        (self.sender == Sender::Client).then_some([1, 2, 3, 4])
    }

    /// Says these messages in a task of its own, each after a pause, until nobody takes them.
    fn say(&self, pause: Duration, messages: impl Iterator<Item = Frame> + Send + 'static) {
        let (write, mask) = (self.write.clone(), self.mask());
        tokio::spawn(async move {
            for message in messages {
                tokio::time::sleep(pause).await;
                let bytes = wire(&[message], mask);
                if write.lock().await.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Reads so many bytes each second, or all that is there, and answers every ping, until a close
    /// frame or `bytes` of data have come.
    async fn listen(&mut self, pace: Option<usize>, bytes: usize) -> Option<Frame> {
        let (mut data, mut room) = (0, vec![0; pace.unwrap_or(64 * 1024)]);
        while data < bytes {
            if pace.is_some() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let count = self.read.read(&mut room).await.unwrap();
            assert!(count > 0, "the end came before a close frame");
            self.decoder.buffer().extend_from_slice(&room[..count]);
            while let Some(frame) = self.decoder.next_frame().unwrap() {
                match frame.opcode {
                    CLOSE => return Some(frame),
                    PING => self.send(Frame::whole(PONG, frame.payload)).await,
                    _ => data += frame.payload.len(),
                }
            }
        }
        None
    }

    /// The next frame; nothing is answered.
    async fn next(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let count = self.read.read_buf(self.decoder.buffer()).await.unwrap();
            assert!(count > 0, "the end came before a frame");
        }
    }

    async fn send(&self, frame: Frame) {
        let bytes = wire(&[frame], self.mask());
        self.write.lock().await.write_all(&bytes).await.unwrap();
    }
}

/// A relay between a peer of this kind, whose pipe holds little, and one whose pipe holds what the
/// relay reads at once.
fn two_peers(slow: Sender) -> (Peer, Peer, Relay<DuplexStream, DuplexStream>) {
    const ROOMS: (usize, usize) = (1000, 64 * 1024);
    let (client_room, upstream_room) = match slow {
        Sender::Client => ROOMS,
        Sender::Server => (ROOMS.1, ROOMS.0),
    };
    let (client, upstream, relay, _order) = relay_between(client_room, upstream_room, Bytes::new());
    let client = Peer::new(Sender::Client, client);
    let upstream = Peer::new(Sender::Server, upstream);
    match slow {
        Sender::Client => (client, upstream, relay),
        Sender::Server => (upstream, client, relay),
    }
}

#[test]
fn a_slow_peer_lives_on_and_so_does_the_fast_one_that_is_held_back() {
    // What the relay reads at once takes the slow peer three pings' time.
    const PACE: usize = 1000;
    for (slow, size) in [
        (Sender::Client, 300_000),
        (Sender::Client, 50_000),
        (Sender::Server, 300_000),
        (Sender::Server, 50_000),
    ] {
        run(async {
            let (mut slow, mut fast, relay) = two_peers(slow);
            let relay = tokio::spawn(relay);
            let count = 300_000 / size;
            let message = Frame::whole(BINARY, vec![7; size]);
            fast.say(Duration::ZERO, std::iter::repeat_n(message, count));
            let fast = tokio::spawn(async move { fast.listen(None, usize::MAX).await });
            assert_eq!(slow.listen(Some(PACE), count * size).await, None);
            slow.send(Frame::close(1000, "at last")).await;
            let close = fast.await.unwrap().unwrap();
            assert_eq!(close.close_parts(), (Some(1000), "at last".to_owned()));
            let ending = relay.await.unwrap();
            assert_eq!(ending.by, slow.side().0);
            let closed = [Reason::ClientClosed, Reason::UpstreamClosed];
            assert!(closed.contains(&ending.reason), "{ending:?}");
        });
    }
}

#[test]
fn a_stuck_peer_is_lost_and_the_fast_one_that_is_held_back_is_told_so() {
    // Between two frames, and inside one, where no ping can be sent.
    for size in [20_000, 1 << 20] {
        for (stuck, talks) in [
            (Sender::Client, false),
            (Sender::Client, true),
            (Sender::Server, false),
            (Sender::Server, true),
        ] {
            run(async {
                let (stuck, mut fast, relay) = two_peers(stuck);
                let relay = tokio::spawn(relay);
                let began = tokio::time::Instant::now();
                let message = Frame::whole(BINARY, vec![7; size]);
                // Without a pause the time that only moves when all are idle would stand still.
                fast.say(Duration::from_millis(100), std::iter::repeat(message));
                if talks {
                    let message = Frame::whole(TEXT, "hello");
                    stuck.say(Duration::from_secs(1), std::iter::repeat(message));
                }
                let close = fast.listen(None, usize::MAX).await.unwrap();
                let (by, reason) = stuck.side();
                assert_eq!(
                    close.close_parts(),
                    (Some(1011), reason.word().to_owned()),
                    "{size} {talks}"
                );
                assert_eq!(began.elapsed().as_secs(), 60);
                let ending = relay.await.unwrap();
                assert_eq!((ending.by, ending.reason), (by, reason));
            });
        }
    }
}

#[test]
fn a_direction_that_stands_still_does_not_hold_the_other_one() {
    for kind in [Sender::Client, Sender::Server] {
        run(async {
            let (deaf, mut flooding, relay) = two_peers(kind);
            let relay = tokio::spawn(relay);
            let flood = Frame::whole(BINARY, vec![7; 10_000]);
            flooding.say(Duration::ZERO, std::iter::repeat(flood));
            // Until nothing of the flood moves any more.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let pipes_and_read = 1000 + 2 * 64 * 1024;
            let sizes = [0, 5, 125, 126, 65_535, 65_536, pipes_and_read];
            for size in sizes {
                let said = Frame::whole(BINARY, vec![size as u8; size]);
                let (_, heard) = tokio::join!(deaf.send(said.clone()), flooding.next());
                assert!(heard == said, "{size} bytes changed or lost");
            }
            relay.abort();
        });
    }
}

#[test]
fn late_answers_to_pings_of_the_edge_go_no_further() {
    for kind in [Sender::Client, Sender::Server] {
        run(async {
            let (mut late, mut other, relay) = two_peers(kind);
            let relay = tokio::spawn(relay);
            // The other one answers its own pings all the while, and keeps all that crosses.
            let (crossed, mut crosses) = tokio::sync::mpsc::unbounded_channel();
            let other = tokio::spawn(async move {
                loop {
                    let frame = other.next().await;
                    match frame.opcode {
                        PING => other.send(Frame::whole(PONG, frame.payload)).await,
                        _ => crossed.send(frame).unwrap(),
                    }
                }
            });
            let mut pings = Vec::new();
            for said in ["not an answer", "nor this"] {
                let ping = late.next().await;
                assert_eq!(ping.opcode, PING);
                pings.push(ping.payload);
                late.send(Frame::whole(TEXT, said)).await;
            }
            assert_ne!(pings[0], pings[1]);
            let mut never_asked = pings[1].to_vec();
            *never_asked.last_mut().unwrap() += 1;
            let mut of_another_edge = pings[0].to_vec();
            of_another_edge[8] ^= 1;
            let mut longer = pings[0].to_vec();
            longer.push(0);
            // Answers in any order and more than once, among pongs that are for the other leg.
            let others = [b"mine".to_vec(), never_asked, of_another_edge, longer];
            for pong in &others {
                for ping in [&pings[1], &pings[0]] {
                    late.send(Frame::whole(PONG, ping.clone())).await;
                }
                late.send(Frame::whole(PONG, pong.clone())).await;
            }
            for said in ["not an answer", "nor this"] {
                assert_eq!(crosses.recv().await, Some(Frame::whole(TEXT, said)));
            }
            for pong in others {
                assert_eq!(crosses.recv().await, Some(Frame::whole(PONG, pong)));
            }
            other.abort();
            relay.abort();
        });
    }
}

/// A pause that is over while nothing can be read wakes nobody again and again, and the clock goes on.
#[test]
fn b20_a_paced_client_before_an_upstream_that_takes_nothing_ends_in_time() {
    run(async {
        let pace = Pace {
            bytes_per_second: Some(1024),
            frames_per_second: None,
        };
        let (mut client, upstream, relay, _order) = paced(5000, pace, Duration::from_secs(20));
        let relay = tokio::spawn(relay);
        let frames = [Frame::whole(BINARY, vec![7; 20_000])];
        let bytes = wire(&frames, Some([1, 2, 3, 4]));
        let begun = tokio::time::Instant::now();
        let writing = tokio::spawn(async move {
            let _ = client.write_all(&bytes).await;
            client
        });
        let ending = relay.await.unwrap();
        assert_eq!(
            (ending.by, ending.reason),
            (Side::Upstream, Reason::UpstreamClosed)
        );
        assert!(begun.elapsed() < Duration::from_secs(120));
        drop((writing.await.unwrap(), upstream));
    });
}

/// A socket whose reads panic after so many; what is written to it goes on.
struct Panics {
    io: DuplexStream,
    reads: usize,
    writes: bool,
}

impl tokio::io::AsyncRead for Panics {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            assert!(self.reads > 0, "a mistake of ours");
            self.reads -= 1;
        }
        polled
    }
}

impl tokio::io::AsyncWrite for Panics {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        assert!(!self.writes, "a mistake of ours");
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What the client and the upstream get of a session whose client's socket panics at its second read,
/// after `first` has crossed, and how it ended.
async fn panics_behind(first: &[u8], writes: bool) -> (Vec<u8>, Vec<u8>, Ending) {
    let (mut client, client_end) = duplex(1 << 16);
    let (mut upstream, upstream_end) = duplex(1 << 16);
    let handle = Arc::new(Handle::default());
    let io = Panics {
        io: client_end,
        reads: 1,
        writes,
    };
    let legs = (
        Leg::plain(io, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
    );
    let relay = tokio::spawn(Relay::new(legs.0, legs.1, terms(&handle)));
    client.write_all(first).await.unwrap();
    let mut crossed = vec![0; first.len()];
    upstream.read_exact(&mut crossed).await.unwrap();
    assert!(crossed == first);
    client.write_all(b"and this panics").await.unwrap();
    let (mut told, mut seen) = (Vec::new(), Vec::new());
    let (_, _) = tokio::join!(
        client.read_to_end(&mut told),
        upstream.read_to_end(&mut seen)
    );
    drop((client, upstream));
    (told, seen, relay.await.unwrap())
}

/// The close frame that `bytes` are.
fn only_close(sender: Sender, bytes: &[u8]) -> (Option<u16>, String) {
    let mut decoder = Decoder::new(sender, BytesMut::from(bytes));
    let close = decoder.next_frame().unwrap().unwrap();
    assert_eq!(close.opcode, CLOSE);
    assert!(decoder.buffer().is_empty());
    close.close_parts()
}

#[test]
fn b16_a_panic_in_the_midst_of_a_session_is_told_to_both_sides_between_two_frames() {
    run(async {
        let whole = wire(&[Frame::whole(TEXT, "whole")], Some([1; 4]));
        let (told, seen, ending) = panics_behind(&whole, false).await;
        assert_eq!((ending.by, ending.reason), (Side::Edge, Reason::Internal));
        assert_eq!(ending.up.messages, 1);
        let internal = (Some(1011), "internal".to_owned());
        assert_eq!(only_close(Sender::Server, &told), internal);
        assert_eq!(only_close(Sender::Client, &seen), internal);
    });
}

#[test]
fn b16_a_panic_behind_half_a_frame_invents_nothing_to_fill_it() {
    run(async {
        let half = wire(&[Frame::whole(TEXT, "half a frame")], Some([1; 4]));
        let (told, seen, ending) = panics_behind(&half[..9], false).await;
        assert_eq!((ending.by, ending.reason), (Side::Edge, Reason::Internal));
        assert_eq!(only_close(Sender::Server, &told).0, Some(1011));
        // The upstream stands inside the frame: its connection ends.
        assert_eq!(seen, b"");
    });
}

#[test]
fn b16_a_second_panic_ends_the_session_without_a_word() {
    run(async {
        let whole = wire(&[Frame::whole(TEXT, "whole")], Some([1; 4]));
        let begun = tokio::time::Instant::now();
        let (told, seen, ending) = panics_behind(&whole, true).await;
        assert_eq!((ending.by, ending.reason), (Side::Edge, Reason::Internal));
        assert_eq!((&told[..], &seen[..]), (&b""[..], &b""[..]));
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "nobody is waited for"
        );
    });
}
