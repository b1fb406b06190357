//! Floods and random bytes of clients that were admitted.

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;
use tonegate::sim::frame::{self, Frame};

use crate::harness::{Wish, World, steady, text};

const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A small generator: what fails is told by its seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound) as usize
    }

    /// Whole frames, frames with a wrong bit, and plain noise.
    fn stream(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + self.below(6) {
            let mut frame = BytesMut::new();
            let opcode = [0, 1, 1, 2, 2, 9, 10, 8][self.below(8)];
            let size = [0, 1, 60, 125, 126, 3000][self.below(6)];
            let payload: Vec<u8> = (0..size).map(|_| self.next() as u8).collect();
            Frame::whole(opcode, payload).encode(Some(KEY), &mut frame);
            match self.below(4) {
                0 => {
                    let at = self.below(frame.len().min(14) as u64);
                    frame[at] ^= 1 << self.below(8);
                }
                1 => frame.truncate(self.below(frame.len() as u64 + 1)),
                2 => frame
                    .iter_mut()
                    .take(10)
                    .for_each(|byte| *byte = self.next() as u8),
                _ => {}
            }
            bytes.extend_from_slice(&frame);
        }
        bytes
    }
}

#[tokio::test]
async fn s16_random_bytes_harm_nobody() {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut noise = Noise(seed);
    for (tls, count) in [(false, 300), (true, 60)] {
        let world = World::with(Wish {
            tls,
            ..Wish::default()
        })
        .await;
        let mut neighbour = world.call("sim-echo").await;
        for round in 0..count {
            let mut caller = world.call("sim-sink").await;
            for piece in noise.stream().chunks(1 + noise.below(4000)) {
                // The edge may have had enough.
                let _ = caller.io.write_all(piece).await;
                let _ = caller.io.flush().await;
            }
            drop(caller);
            let said = text(&format!("{round}"));
            neighbour.send(said.clone()).await;
            assert_eq!(neighbour.next().await, Some(said), "seed {seed}");
        }
        // What got upstream kept the rules, whatever was sent.
        for seen in world.record.connections() {
            assert!(
                seen.violations.is_empty(),
                "seed {seed}: {:?}",
                seen.violations
            );
        }
        neighbour.close(1000, "").await;
        neighbour.closed().await;
        drop(neighbour);
        world.settles().await;
        world.still_serves().await;
    }
}

#[tokio::test]
async fn s17_a_client_that_only_pings_costs_no_more_than_its_answers() {
    let world = World::usual().await;
    let mut neighbour = world.call("sim-echo").await;
    let caller = world.call("sim-echo").await;
    let (_held, mut write) = tokio::io::split(caller.io);
    let mut pings = BytesMut::new();
    for _ in 0..1000 {
        Frame::whole(frame::PING, vec![b'p'; 100]).encode(Some(KEY), &mut pings);
    }
    // Nobody reads the answers: the flood stops by itself.
    let flood = tokio::spawn(async move { while write.write_all(&pings).await.is_ok() {} });
    let seen = || world.record.connections()[1].received.ping;
    let stopped_at = steady("the flood", seen).await;
    assert!(
        stopped_at > 0 && stopped_at * 106 < 32 << 20,
        "{stopped_at} pings"
    );
    neighbour.send(text("not disturbed")).await;
    assert_eq!(neighbour.next().await, Some(text("not disturbed")));
    flood.abort();
}
