//! The parts that need raw bytes, from a strict echo to a server that breaks every rule.
//!
//! Owns what is written after an accepted request, the 101 included. Refuses to know JSON beyond
//! the fixed texts it sends. Time-based parts use tokio's clock.

use super::connection::{Ending, Violation};
use super::record::Recorder;
use super::request::Accepted;
use super::scenario::{Garbage, Scenario};
use super::wire::{Gone, READ, Wire};
use super::{Options, conversation, refusal::Refusal, refuse};
use crate::sim::frame::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};
use crate::sim::signal;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::io::Interest;
use tokio::time::{Instant, sleep, timeout_at};

/// Fragments of the second message of `sim-large`: 64 of 64 KiB.
const LARGE_FRAGMENTS: usize = 64;

/// Size of a message of `sim-flood`, and how much it sends in all.
const FLOOD: (usize, usize) = (1024, 64 << 20);

/// Messages of `sim-flood` in one write: 16 KiB, a TLS record's worth.
const FLOOD_BURST: usize = 16;

/// How much `sim-slow` reads, and how often.
const SLOW: (usize, Duration) = (1024, Duration::from_millis(50));

/// How often `sim-drip` writes a byte.
const DRIP: Duration = Duration::from_millis(200);

/// How often `sim-stall` looks whether its peer has gone, and how long it stays at the most.
const STALL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

/// Pings of `sim-ping`.
const PINGS: u8 = 3;

/// What `sim-early` and `sim-before` send as a frame.
const EARLY: &str = r#"{"type":"sim.early"}"#;

/// Plays the accepted connection to its end.
pub(super) async fn play(mut wire: Wire<'_>, accepted: &Accepted, options: &Options) {
    let opening = opening(accepted, wire.recorder);
    if !opening.is_empty() && wire.write(&opening).await.is_err() {
        return;
    }
    match accepted.scenario {
        Scenario::Conversation => conversation::play(wire, accepted, options).await,
        Scenario::Echo | Scenario::Early => echo(wire).await,
        Scenario::Sink => sink(wire).await,
        Scenario::Ping => ping(wire).await,
        Scenario::Large => large(wire).await,
        Scenario::Flood => flood(wire).await,
        Scenario::Slow => slow(wire).await,
        Scenario::Stall => stall(&wire).await,
        Scenario::Garbage(kind) => garbage(wire, kind).await,
        Scenario::Close(code) => wire.close(code, "sim").await,
        Scenario::Reset => {
            wire.recorder.ending(Ending::AsPlayed);
            // Dropping a socket without linger sends RST. A socket that refuses the option is
            // closed by FIN, which the test that waits for a reset will see.
            let _ = wire.stream.tcp().set_zero_linger();
        }
        Scenario::Eof => {
            wire.recorder.ending(Ending::AsPlayed);
            wire.finish().await;
        }
        Scenario::Refuse(status) => refuse(wire, &Refusal::played(status)).await,
        Scenario::Drip => drip(wire, &accepted.accept).await,
        Scenario::EndlessHead => endless_head(wire).await,
        Scenario::Hang | Scenario::Before | Scenario::BadAccept | Scenario::Extension => {
            vanish(wire).await;
        }
    }
}

/// What is written at once on accepting: nothing, a 101, or a 101 and the first message in one
/// write, so that they share a TLS record.
fn opening(accepted: &Accepted, recorder: &Recorder) -> BytesMut {
    let mut bytes = BytesMut::new();
    let chosen = accepted.subprotocol;
    let chosen = chosen.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
    let switch = switching(&accepted.accept, chosen.as_deref().unwrap_or(""));
    let frame = |text: String| {
        recorder.sent(TEXT, text.len());
        Frame::whole(TEXT, text)
    };
    match accepted.scenario {
        Scenario::Refuse(_) | Scenario::Drip | Scenario::EndlessHead | Scenario::Hang => {}
        Scenario::Echo
        | Scenario::Sink
        | Scenario::Ping
        | Scenario::Large
        | Scenario::Flood
        | Scenario::Slow
        | Scenario::Stall
        | Scenario::Garbage(_) => bytes.extend_from_slice(switch.as_bytes()),
        Scenario::Conversation | Scenario::Close(_) | Scenario::Reset | Scenario::Eof => {
            let created = conversation::session_created(recorder.id(), accepted);
            bytes.extend_from_slice(switch.as_bytes());
            frame(created).encode(None, &mut bytes);
        }
        Scenario::Early => {
            bytes.extend_from_slice(switch.as_bytes());
            frame(EARLY.to_owned()).encode(None, &mut bytes);
        }
        Scenario::Before => {
            frame(EARLY.to_owned()).encode(None, &mut bytes);
            bytes.extend_from_slice(switch.as_bytes());
        }
        Scenario::BadAccept => {
            let wrong = switching("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "");
            bytes.extend_from_slice(wrong.as_bytes());
        }
        Scenario::Extension => {
            let claim = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            bytes.extend_from_slice(switching(&accepted.accept, claim).as_bytes());
        }
    }
    bytes
}

/// The head of a 101; `extra` is further header lines.
fn switching(accept: &str, extra: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\napim-request-id: sim\r\n{extra}\r\n"
    )
}

/// Waits for the client to go, answering nothing.
async fn vanish(mut wire: Wire<'_>) {
    wire.recorder.ending(Ending::AsPlayed);
    wire.stream.drain(STALL.1).await;
}

/// Everything comes back as it came, a ping as a pong, a close as itself.
async fn echo(mut wire: Wire<'_>) {
    loop {
        loop {
            match wire.arrived() {
                Ok(Some(frame)) if frame.opcode == CLOSE => {
                    wire.answer_control(&frame);
                    return flush_and_finish(wire).await;
                }
                Ok(Some(frame)) if frame.opcode < CLOSE => wire.queue(&frame),
                Ok(Some(frame)) => wire.answer_control(&frame),
                Ok(None) => break,
                Err(_) => return flush_and_finish(wire).await,
            }
        }
        if wire.flush().await.is_err() || wire.read(2 * READ).await.is_err() {
            return;
        }
    }
}

/// Sends what is queued, a close frame last, and ends.
async fn flush_and_finish(mut wire: Wire<'_>) {
    if wire.flush().await.is_ok() {
        wire.finish().await;
    }
}

async fn sink(mut wire: Wire<'_>) {
    loop {
        match wire.next().await {
            Ok(frame) if frame.opcode == CLOSE => return wire.finish().await,
            Ok(_) => {}
            Err(Gone::Broke(_)) => return wire.finish().await,
            Err(Gone::Lost(_)) => return,
        }
    }
}

/// The 101 in single bytes.
async fn drip(mut wire: Wire<'_>, accept: &str) {
    for byte in switching(accept, "").as_bytes() {
        if wire.write(&[*byte]).await.is_err() {
            return;
        }
        sleep(DRIP).await;
    }
    echo(wire).await;
}

async fn slow(mut wire: Wire<'_>) {
    loop {
        match wire.arrived() {
            Ok(Some(frame)) => {
                wire.answer_control(&frame);
                if wire.flush().await.is_err() {
                    return;
                }
                if frame.opcode == CLOSE {
                    return wire.finish().await;
                }
            }
            Ok(None) => {
                sleep(SLOW.1).await;
                if wire.read(SLOW.0).await.is_err() {
                    return;
                }
            }
            Err(_) => return flush_and_finish(wire).await,
        }
    }
}

/// Never reads. Looks at the socket's readiness alone, so that a peer that has gone is noticed and
/// its descriptor does not stay.
async fn stall(wire: &Wire<'_>) {
    let end = Instant::now() + STALL.1;
    while Instant::now() < end {
        let ready = wire
            .stream
            .tcp()
            .ready(Interest::READABLE | Interest::ERROR);
        let gone = match timeout_at(end, ready).await {
            Ok(Ok(ready)) => ready.is_read_closed() || ready.is_error(),
            Ok(Err(_)) | Err(_) => true,
        };
        if gone {
            break;
        }
        sleep(STALL.0).await;
    }
    wire.recorder.ending(Ending::AsPlayed);
}

async fn garbage(mut wire: Wire<'_>, kind: Garbage) {
    let bytes: &[u8] = match kind {
        Garbage::Opcode => &[0x83, 0x03, b's', b'i', b'm'],
        Garbage::Masked => &[0x81, 0x83, 0, 0, 0, 0, b's', b'i', b'm'],
        Garbage::ReservedBit => &[0xc1, 0x03, b's', b'i', b'm'],
        Garbage::Length => &[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 3, b's', b'i', b'm'],
    };
    if wire.write(bytes).await.is_ok() {
        vanish(wire).await;
    }
}

async fn endless_head(mut wire: Wire<'_>) {
    let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    let line = format!("X-Filler: {}\r\n", "a".repeat(1000));
    for _ in 0..FLOOD.1 / line.len() {
        bytes.extend_from_slice(line.as_bytes());
        if wire.write(&bytes).await.is_err() {
            break;
        }
        bytes.clear();
    }
    vanish(wire).await;
}

/// Pings one after the other; each pong must carry its ping's payload. A pong nobody asked for is
/// legal (RFC 6455, section 5.5.3) but then our own is still awaited.
async fn ping(mut wire: Wire<'_>) {
    for number in 0..PINGS {
        let payload = vec![b's', b'i', b'm', number];
        if wire
            .send(&Frame::whole(PING, payload.clone()))
            .await
            .is_err()
        {
            return;
        }
        loop {
            match wire.next().await {
                Ok(frame) if frame.opcode == PONG && frame.payload == payload => break,
                Ok(frame) if frame.opcode == PONG => wire.recorder.violation(Violation::Pong),
                Ok(frame) if frame.opcode == CLOSE => return wire.finish().await,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
    wire.close(1000, "sim").await;
}

/// Two large messages, then sizes. A message's fragments are added up.
async fn large(mut wire: Wire<'_>) {
    let text = Bytes::from(signal::large_text());
    let whole = wire.send(&Frame::whole(TEXT, text.clone())).await;
    if whole.is_err() {
        return;
    }
    let size = text.len() / LARGE_FRAGMENTS;
    for at in 0..LARGE_FRAGMENTS {
        let fragment = Frame {
            fin: at + 1 == LARGE_FRAGMENTS,
            opcode: if at == 0 { TEXT } else { CONTINUATION },
            payload: text.slice(at * size..(at + 1) * size),
        };
        if wire.send(&fragment).await.is_err() {
            return;
        }
    }
    let (mut opcode, mut size) = (TEXT, 0);
    loop {
        let frame = match wire.next().await {
            Ok(frame) if frame.opcode == CLOSE => return wire.finish().await,
            Ok(frame) if frame.opcode > CLOSE => continue,
            Ok(frame) => frame,
            Err(_) => return,
        };
        if matches!(frame.opcode, TEXT | BINARY) {
            (opcode, size) = (frame.opcode, 0);
        }
        size += frame.payload.len();
        if frame.fin {
            let told = format!(r#"{{"type":"sim.size","opcode":{opcode},"bytes":{size}}}"#);
            if wire.send(&Frame::whole(TEXT, told)).await.is_err() {
                return;
            }
        }
    }
}

/// Writes without waiting for anyone, looking between bursts at what has come meanwhile.
async fn flood(mut wire: Wire<'_>) {
    let message = Frame::whole(TEXT, vec![b'a'; FLOOD.0]);
    for _ in 0..FLOOD.1 / FLOOD.0 / FLOOD_BURST {
        // Reading is cancel-safe: bytes are in the buffer or still in the socket.
        if let Some(Err(_)) = wire.read(READ).now_or_never() {
            return;
        }
        loop {
            match wire.arrived() {
                Ok(Some(frame)) => {
                    wire.answer_control(&frame);
                    if frame.opcode == CLOSE {
                        return flush_and_finish(wire).await;
                    }
                }
                Ok(None) => break,
                Err(_) => return flush_and_finish(wire).await,
            }
        }
        for _ in 0..FLOOD_BURST {
            wire.queue(&message);
        }
        if wire.flush().await.is_err() {
            return;
        }
    }
    wire.close(1000, "sim").await;
}
