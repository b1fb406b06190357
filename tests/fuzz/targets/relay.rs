//! The whole relay over in-memory pipes, both ways: what is legal comes out as it went in, however it is cut,
//! and of what follows, whole frames until it is not legal any more and nothing of what is not.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, split};
use tonegate::config::Dtmf;
use tonegate::metrics::Flow;
use tonegate::relay::{Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{BINARY, CLOSE, CONTINUATION, Decoder, Frame, PING, PONG, Sender, TEXT};

const MESSAGE_MAX: u64 = 1 << 16;
const MASK: [u8; 4] = [0x21, 0xF2, 0x03, 0x74];

/// Two bytes of room, two of cut, one of which side goes wrong; then frames, each of three bytes: what it is,
/// and how long. Behind a byte of `0xFF` stands what that side sends at last.
pub fn run(data: &[u8]) {
    let Some((head, rest)) = data.split_at_checked(5) else {
        return;
    };
    let room = 1 + usize::from(u16::from_le_bytes([head[0], head[1]])) % 20_000;
    let cut = 1 + usize::from(u16::from_le_bytes([head[2], head[3]])) % 9000;
    let wrong = if head[4] & 1 == 0 {
        Sender::Client
    } else {
        Sender::Server
    };
    let mut script = Script::default();
    let mut rest = rest;
    while let Some((op, more)) = rest.split_at_checked(3) {
        if op[0] == 0xFF {
            break;
        }
        script.add(op);
        rest = more;
    }
    let tail = rest.strip_prefix(&[0xFF]).unwrap_or_default();
    // A long stream byte by byte is no news, and takes seconds.
    let least = script
        .sides
        .iter()
        .map(|side| side.wire.len())
        .sum::<usize>()
        / 300;
    let (room, cut) = (room.max(least), cut.max(least));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(play(&script, (wrong, tail), room, cut));
}

/// Legal frames of both sides, as they are sent.
#[derive(Default)]
struct Script {
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    wire: BytesMut,
    inside: bool,
    length: u64,
    masked: bool,
}

impl Script {
    fn add(&mut self, op: &[u8]) {
        let masked = op[0] & 1 == 0;
        let side = &mut self.sides[usize::from(!masked)];
        side.masked = masked;
        side.add(op);
    }

    fn of(&self, sender: Sender) -> &Side {
        &self.sides[usize::from(sender == Sender::Server)]
    }
}

impl Side {
    fn add(&mut self, op: &[u8]) {
        let length = usize::from(u16::from_le_bytes([op[1], op[2]]));
        let fin = op[0] & 2 != 0;
        let (opcode, length) = match (op[0] >> 2) % 4 {
            0 => (PING, length % 126),
            1 => (PONG, length % 126),
            kind if self.inside => (CONTINUATION, length + usize::from(kind == 2)),
            2 => (TEXT, length),
            _ => (BINARY, length),
        };
        let is_control = opcode == PING || opcode == PONG;
        if !is_control {
            let whole = self.length + length as u64;
            // One that is too long is for the tail.
            if whole > MESSAGE_MAX {
                return;
            }
            self.length = if fin { 0 } else { whole };
            self.inside = !fin;
        }
        let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let frame = Frame {
            fin: fin || is_control,
            opcode,
            payload: Bytes::from(payload),
        };
        frame.encode(self.masked.then_some(MASK), &mut self.wire);
    }
}

fn relay(
    io: (tokio::io::DuplexStream, tokio::io::DuplexStream),
) -> Relay<tokio::io::DuplexStream, tokio::io::DuplexStream> {
    let terms = Terms {
        patience: Patience {
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            session: Duration::from_secs(3600),
        },
        lease: Arc::new(Lease::until(None)),
        client_message_max: MESSAGE_MAX,
        upstream_message_max: MESSAGE_MAX,
        pace: Pace::default(),
        locked: None,
        dtmf: Dtmf::Observe,
        handle: Arc::new(Handle::default()),
        flow: Flow::unread(),
    };
    Relay::new(
        Leg::plain(io.0, Bytes::new()),
        Leg::plain(io.1, Bytes::new()),
        terms,
    )
}

async fn play(script: &Script, (wrong, tail): (Sender, &[u8]), room: usize, cut: usize) {
    let (client, client_end) = duplex(room);
    let (upstream, upstream_end) = duplex(room);
    let relay = tokio::spawn(relay((client_end, upstream_end)));
    let (mut client_read, mut client_write) = split(client);
    let (mut upstream_read, mut upstream_write) = split(upstream);
    let (up, down) = (
        &script.of(Sender::Client).wire,
        &script.of(Sender::Server).wire,
    );
    let (mut got_up, mut got_down) = (vec![0; up.len()], vec![0; down.len()]);
    let (_, _, one, other) = tokio::join!(
        write(&mut client_write, up, cut),
        write(&mut upstream_write, down, cut),
        upstream_read.read_exact(&mut got_up),
        client_read.read_exact(&mut got_down),
    );
    assert!(
        one.is_ok() && other.is_ok(),
        "what is legal ended the session"
    );
    assert!(got_up == up[..], "up differs");
    assert!(got_down == down[..], "down differs");
    let (mut seen_up, mut seen_down) = (Vec::new(), Vec::new());
    let last = async {
        let (to, bytes): (&mut (dyn AsyncWrite + Unpin), _) = match wrong {
            Sender::Client => (&mut client_write, tail),
            Sender::Server => (&mut upstream_write, tail),
        };
        write(to, bytes, cut).await;
        let _ = to.shutdown().await;
    };
    let (_, _, ()) = tokio::join!(
        read(&mut upstream_read, &mut seen_up),
        read(&mut client_read, &mut seen_down),
        last
    );
    drop((client_read, client_write, upstream_read, upstream_write));
    relay.await.expect("no panic");
    let (there, back) = match wrong {
        Sender::Client => (seen_up, seen_down),
        Sender::Server => (seen_down, seen_up),
    };
    judge(script, wrong, tail, &there);
    is_close_or_nothing(&back, wrong);
}

fn other_side(side: Sender) -> Sender {
    match side {
        Sender::Client => Sender::Server,
        Sender::Server => Sender::Client,
    }
}

async fn write(to: &mut (dyn AsyncWrite + Unpin), bytes: &[u8], cut: usize) {
    for piece in bytes.chunks(cut) {
        if to.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn read(from: &mut (dyn AsyncRead + Unpin), into: &mut Vec<u8>) {
    let _ = from.read_to_end(into).await;
}

/// What came out of the last that a side sent.
fn judge(script: &Script, sender: Sender, tail: &[u8], seen: &[u8]) {
    let side = script.of(sender);
    let legal = Legal::of(tail, sender, side.inside, side.length);
    let common = tail.iter().zip(seen).take_while(|(a, b)| a == b).count();
    assert!(
        common >= legal.whole.min(tail.len()),
        "{common}: a whole frame was lost of {}",
        legal.whole
    );
    // Behind a prefix of it there may be a close frame of the edge's own, whose first bytes may be those of
    // what was sent by chance.
    let closes = |at: &usize| {
        let mut decoder = Decoder::new(sender, BytesMut::from(&seen[*at..]));
        matches!(decoder.next_frame(), Ok(Some(frame)) if frame.opcode == CLOSE)
            && decoder.buffer().is_empty()
    };
    let from = (legal.whole.min(common)..=common).rev().find(closes);
    let crossed = if seen.len() == common {
        common
    } else {
        from.unwrap_or(usize::MAX)
    };
    assert!(
        crossed != usize::MAX,
        "{} bytes of which {common} were sent",
        seen.len()
    );
    if legal.bad {
        assert_eq!(
            crossed, legal.whole,
            "of a frame that is not legal something crossed"
        );
    }
}

/// How much of what a side sends are whole frames that are legal.
struct Legal {
    whole: usize,
    /// The next one is known to be not.
    bad: bool,
}

impl Legal {
    fn of(bytes: &[u8], sender: Sender, inside: bool, length: u64) -> Legal {
        let mut legal = Legal {
            whole: 0,
            bad: false,
        };
        let (mut inside, mut message) = (inside, length);
        loop {
            let rest = &bytes[legal.whole..];
            let [first, second, ..] = *rest else {
                return legal;
            };
            let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
            let masked = second & 0x80 != 0;
            let is_control = opcode >= 8;
            legal.bad = first & 0x70 != 0
                || masked != (sender == Sender::Client)
                || !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10)
                || (is_control && (!fin || second & 0x7F > 125))
                || (!is_control && (opcode == CONTINUATION) != inside);
            if legal.bad {
                return legal;
            }
            let (extra, size) = match second & 0x7F {
                126 => (
                    2,
                    rest.get(2..4)
                        .map(|b| u64::from(u16::from_be_bytes([b[0], b[1]]))),
                ),
                127 => (
                    8,
                    rest.get(2..10)
                        .map(|b| u64::from_be_bytes(b.try_into().expect("eight"))),
                ),
                short => (0, Some(u64::from(short))),
            };
            let Some(size) = size else {
                return legal;
            };
            let minimal = match extra {
                2 => size > 125,
                8 => size > 0xFFFF && size >> 63 == 0,
                _ => true,
            };
            let fits = is_control || message + size <= MESSAGE_MAX;
            if !minimal || !fits {
                // Told as soon as the header is whole; whether a mask belongs to that is not said here.
                return legal;
            }
            let head = 2 + extra + if masked { 4 } else { 0 };
            let end = head + size as usize;
            if rest.len() < end {
                return legal;
            }
            if opcode == CLOSE {
                // Nothing crosses behind one; whether it is a good one is not judged here.
                return legal;
            }
            if !is_control {
                message = if fin { 0 } else { message + size };
                inside = !fin;
            }
            legal.whole += end;
        }
    }
}

/// The side that went wrong is told by one close frame, or not at all.
fn is_close_or_nothing(bytes: &[u8], told: Sender) {
    if bytes.is_empty() {
        return;
    }
    let mut decoder = Decoder::new(other_side(told), BytesMut::from(bytes));
    let close = decoder.next_frame();
    assert!(
        matches!(&close, Ok(Some(frame)) if frame.opcode == CLOSE),
        "{close:?}"
    );
    assert!(
        decoder.buffer().is_empty(),
        "something behind the close frame"
    );
}
