//! Long runs: streams, cuts and idle sessions, few of them in `make test` and all with `TONEGATE_SOAK=1`.

use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::BytesMut;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::sim::frame::{BINARY, Decoder, Frame, Sender};
use tonegate::ws::frame::HEADER_MAX;

use crate::child::Child;
use crate::harness::{Wish, World, request, text};
use crate::tape::Tape;

/// Whether everything is run in full.
pub fn is_on() -> bool {
    std::env::var("TONEGATE_SOAK").is_ok_and(|value| value != "0")
}

/// So many where there is little time, so many in full.
fn count(few: usize, all: usize) -> usize {
    if is_on() { all } else { few }
}

/// The same numbers at every run (xorshift64*, Vigna 2016).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % most
    }
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    digest.update(bytes);
    digest.finish().as_ref().to_vec()
}

/// Frames of a client, of sizes at random, and where each of them ends.
fn frames(chance: &mut Chance) -> (BytesMut, Vec<usize>) {
    let (mut wire, mut ends) = (BytesMut::new(), Vec::new());
    for i in 0..=chance.below(12) {
        let most = [10, 200, 3000, 70_000][chance.below(4)];
        let payload = vec![i as u8; chance.below(most)];
        let key = [chance.below(256) as u8, 2, 3, 4];
        Frame::whole(BINARY, payload).encode(Some(key), &mut wire);
        ends.push(wire.len());
    }
    (wire, ends)
}

/// Whatever the moment of a cut, the upstream has got every whole frame before it, and nothing else but the
/// edge's close frame.
#[tokio::test]
async fn s24_g4_cuts_at_random_lose_no_whole_frame_and_change_no_byte() {
    let mut tape = Tape::start().await;
    let world = tape.world().await;
    let mut chance = Chance(0x746F_6E65_6761_7465);
    for round in 0..count(100, 10_000) {
        let mut caller = world.call("sim-echo").await;
        let (wire, ends) = frames(&mut chance);
        let cut = chance.below(wire.len() + 1);
        let mut rest = &wire[..cut];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((1 + chance.below(20_000)).min(rest.len()));
            caller.send_raw(piece).await;
            rest = more;
        }
        caller.io.shutdown().await.unwrap();
        let seen = tape.bytes().await;
        let whole = ends
            .iter()
            .rev()
            .find(|&&end| end <= cut)
            .copied()
            .unwrap_or(0);
        assert!(seen.len() >= whole, "round {round}: a whole frame was lost");
        if cut > whole && seen.len() == cut {
            // Inside a frame, and nothing was invented to fill it.
            assert_eq!(digest(&seen), digest(&wire[..cut]), "round {round}");
            continue;
        }
        // Between two frames the upstream is told; of a frame whose header is not whole nothing went on.
        assert!(cut - whole < HEADER_MAX, "round {round}: a part was kept");
        assert_eq!(digest(&seen[..whole]), digest(&wire[..whole]));
        let mut decoder = Decoder::new(Sender::Client, BytesMut::from(&seen[whole..]));
        let close = decoder.next_frame().unwrap().unwrap();
        assert_eq!(close.close_parts().0, Some(1011), "round {round}");
        assert!(decoder.buffer().is_empty());
    }
    world.settles().await;
}

/// One session, both ways at once, frames of sizes at random: what comes back is what was sent.
#[tokio::test]
async fn g4_a_long_stream_both_ways_has_equal_digests() {
    // Half of it each way: 16 GiB in full.
    let most: u64 = count(16 << 20, 8 << 30) as u64;
    let world = World::unlocked().await;
    let caller = world.call("sim-echo").await;
    let (mut read, mut write) = tokio::io::split(caller.io);
    let begun = Instant::now();
    let writer = tokio::spawn(async move {
        let mut chance = Chance(0x6469_6765_7374);
        let noise: Vec<u8> = (0..200_000).map(|_| chance.below(256) as u8).collect();
        let (mut sent, mut digest) = (0, Context::new(&SHA256));
        let mut wire = BytesMut::new();
        while sent < most {
            let most_of_it = [100, 2000, 20_000, 150_000][chance.below(4)];
            let length = chance.below(most_of_it);
            let from = chance.below(noise.len() - length);
            let payload = noise[from..from + length].to_vec();
            digest.update(&payload);
            sent += length as u64;
            wire.clear();
            Frame::whole(BINARY, payload).encode(Some([5, 6, 7, 8]), &mut wire);
            write.write_all(&wire).await.unwrap();
        }
        write.flush().await.unwrap();
        (write, sent, digest.finish())
    });
    let (mut got, mut digest) = (0, Context::new(&SHA256));
    let mut decoder = Decoder::new(Sender::Server, BytesMut::new());
    while got < most {
        match decoder.next_frame().unwrap() {
            Some(frame) => {
                assert_eq!(frame.opcode, BINARY);
                digest.update(&frame.payload);
                got += frame.payload.len() as u64;
            }
            None => assert!(read.read_buf(decoder.buffer()).await.unwrap() > 0),
        }
    }
    let (write, sent, expected) = writer.await.unwrap();
    assert_eq!(got, sent);
    assert_eq!(digest.finish().as_ref(), expected.as_ref(), "it differs");
    let rate = (2 * got) as f64 / begun.elapsed().as_secs_f64() / f64::from(1 << 20);
    println!("{} MiB both ways, {rate:.0} MiB/s", (2 * got) >> 20);
    drop((read, write));
    world.settles().await;
}

/// The client's and the upstream's end of each session are this process'.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Sessions that say nothing cost little, are not lost, and give everything back.
#[tokio::test]
async fn g8_idle_sessions_cost_a_few_kilobytes_and_all_of_them_live_on() {
    let sessions = count(200, 9000);
    allow_descriptors();
    let mut world = World::with(Wish {
        limits: "sessions = 9100\nconnections = 9200\nunadmitted = 200\n\
                 unadmitted_per_address = 200\nping = \"120s\""
            .to_owned(),
        route: "limits = { sessions_per_address = 10000, sessions = 10000 }".to_owned(),
        ..Wish::default()
    })
    .await;
    let child = Child::start(&mut world, "true");
    for _ in 0..20 {
        world.still_serves().await;
    }
    child.metrics_say("tonegate_connections 0").await;
    let (descriptors, before) = (child.descriptors(), child.memory());
    let mut callers = Vec::new();
    for i in 0..sessions {
        // Addresses of loopback, as one alone has ports for so many and no more.
        let tcp = world.tcp(&format!("127.0.1.{}", 1 + i % 8)).await;
        let mut io = world.over(tcp).await;
        let asked = request("/ws?model=sim-echo", &[("api-key", crate::harness::KEY)]);
        io.write_all(asked.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        let caller = crate::harness::read_answer(io).await;
        callers.push(caller.unwrap_or_else(|refused| panic!("{i}: {}", refused.body)));
    }
    child
        .metrics_say(&format!(
            "tonegate_sessions{{route=\"browser\"}} {sessions}"
        ))
        .await;
    let each = child.memory().saturating_sub(before) / sessions;
    println!("{sessions} idle sessions, {each} bytes each");
    // What was promised as the first stop: 48 KiB. Of few sessions the kernel's pages of 2 MiB cannot be
    // told, nor what all of them share.
    assert!(
        each < (48 << 10) + (12 << 20) / sessions,
        "{each} bytes for each of {sessions}"
    );
    for caller in &mut callers {
        caller.send(text("still here")).await;
    }
    for caller in &mut callers {
        loop {
            let frame = caller.next().await.expect("it lives");
            if frame == text("still here") {
                break;
            }
        }
    }
    drop(callers);
    child.metrics_say("tonegate_connections 0").await;
    child
        .until("descriptors", |child| child.descriptors() <= descriptors)
        .await;
    world.still_serves().await;
}
