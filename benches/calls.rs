//! What does a message of a phone call cost a relay, beside the same bytes forwarded? And what does
//! listening cost while the gate is shut, noise being the dearest?
//!
//! One direction at a time over in-memory pipes, plain text on both legs: the relay's own work without
//! a kernel or a cipher. Up: AudioData of 20 ms at 24 kHz. Down: deltas of 200 ms.

mod works;

use std::time::Duration;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;
use tonegate::config::Dtmf;
use tonegate::sim::frame::{Frame, PING};

use works::carry::{Rig, runtime, send};
use works::message::{
    KEY, PLAIN, SAMPLES_UP, append, audio_data, base64, delta, frame, noise, play,
};

/// Messages of a round: of audio that may be heard at once.
const MESSAGES: usize = 200;

/// Rounds, each after the relay's clock has been put forward by what its audio lasts: a caller is not
/// heard much faster than that. What they would have taken had each been as fast as the fastest: the
/// others measure what else the machine does.
fn measure(runtime: &Runtime, times: u64, mut work: impl AsyncFnMut()) -> Duration {
    let mut fastest = Duration::MAX;
    runtime.block_on(async {
        for _ in 0..times {
            tokio::time::advance(Duration::from_millis(20 * MESSAGES as u64)).await;
            let begun = std::time::Instant::now();
            work().await;
            fastest = fastest.min(begun.elapsed());
        }
    });
    fastest.mul_f64(times as f64)
}

/// Up: forwarded, bridged, and listened to.
fn up(criterion: &mut Criterion, runtime: &Runtime) {
    let said = frame(&audio_data(), KEY).repeat(MESSAGES);
    let append = append(&base64(noise().take(SAMPLES_UP)));
    let appends = frame(&append, KEY).len() * MESSAGES;
    let mut group = criterion.benchmark_group("call/up 20 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let rigs = [
        (
            "forwarded",
            said.len(),
            runtime.block_on(Rig::forwarded(Dtmf::Off)),
        ),
        ("bridged", appends, runtime.block_on(Rig::bridged(false))),
        (
            "bridged, tones masked",
            appends,
            runtime.block_on(Rig::bridged(true)),
        ),
    ];
    for (name, expected, mut rig) in rigs {
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                measure(runtime, times, async || {
                    rig.up(&said, expected).await;
                })
            });
        });
    }
    let mut rig = runtime.block_on(Rig::gated());
    let mut said = BytesMut::from(&said[..]);
    // The answer to a ping tells that all was heard.
    Frame::whole(PING, "").encode(KEY, &mut said);
    group.bench_function("listened to, gate pending", |bench| {
        bench.iter_custom(|times| {
            measure(runtime, times, async || {
                send(&mut rig.client, &said).await;
                let mut pong = [0; 2];
                let read = rig.client.read_exact(&mut pong).await;
                read.expect("the relay runs");
            })
        });
    });
    group.finish();
}

/// Down: forwarded and bridged.
fn down(criterion: &mut Criterion, runtime: &Runtime) {
    let said = frame(&delta(), PLAIN).repeat(MESSAGES);
    let plays = frame(&play(), PLAIN).len() * MESSAGES;
    let mut group = criterion.benchmark_group("call/down 200 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let rigs = [
        (
            "forwarded",
            said.len(),
            runtime.block_on(Rig::forwarded(Dtmf::Off)),
        ),
        ("bridged", plays, runtime.block_on(Rig::bridged(false))),
    ];
    for (name, expected, mut rig) in rigs {
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                measure(runtime, times, async || {
                    rig.down(&said, expected).await;
                })
            });
        });
    }
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let runtime = runtime();
    up(criterion, &runtime);
    down(criterion, &runtime);
}

criterion_group! { name = benches; config = works::brief(); targets = calls }
criterion_main!(benches);
