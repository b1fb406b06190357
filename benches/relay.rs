//! How many messages a second cross a relay over in-memory pipes, by size and direction, one a wake and
//! as many as a pipe holds? And what does it cost to listen for keys in appends of 20 ms at 24 kHz,
//! noise being the dearest?
//!
//! Plain text on both legs: the relay's own work, and that of the pipes, without a kernel or a cipher.

mod works;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tonegate::config::Dtmf;

use works::carry::{Rig, runtime};
use works::message::{KEY, PLAIN, appends, stream, text};

/// Messages of a round.
const MESSAGES: usize = 200;

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// A round: each of the batches, and what it became, awaited before the next one is sent.
fn cross(runtime: &Runtime, rig: &mut Rig, way: Way, batches: &[bytes::BytesMut]) {
    runtime.block_on(async {
        for batch in batches {
            match way {
                Way::Up => rig.up(batch, batch.len()).await,
                Way::Down => rig.down(batch, batch.len()).await,
            }
        }
    });
}

fn forwarded(criterion: &mut Criterion) {
    let runtime = runtime();
    for (name, way, key) in [("relay/up", Way::Up, KEY), ("relay/down", Way::Down, PLAIN)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(MESSAGES as u64));
        for length in [125, 1360, 16_000] {
            let message = text(length);
            let one = [stream(std::iter::once(message.as_str()), key)];
            let all = [stream(std::iter::repeat_n(message.as_str(), MESSAGES), key)];
            for (name, batches, rounds) in [("one a wake", one, MESSAGES), ("in a burst", all, 1)] {
                let mut rig = runtime.block_on(Rig::forwarded(Dtmf::Off));
                group.bench_function(format!("{length} bytes, {name}"), |bench| {
                    bench.iter(|| {
                        for _ in 0..rounds {
                            cross(&runtime, &mut rig, way, &batches);
                        }
                    });
                });
            }
        }
        group.finish();
    }
}

fn observed(criterion: &mut Criterion) {
    let runtime = runtime();
    let appends = appends(MESSAGES);
    let one = |append: &String| stream(std::iter::once(append.as_str()), KEY);
    let single: Vec<_> = appends.iter().map(one).collect();
    let all = vec![stream(appends.iter().map(String::as_str), KEY)];
    let mut group = criterion.benchmark_group("relay/appends of 20 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (way, batches) in [("one a wake", single), ("in a burst", all)] {
        for dtmf in [Dtmf::Off, Dtmf::Observe] {
            let mut rig = runtime.block_on(Rig::forwarded(dtmf));
            group.bench_function(format!("dtmf {}, {way}", dtmf.word()), |bench| {
                bench.iter(|| cross(&runtime, &mut rig, Way::Up, &batches));
            });
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = works::brief(); targets = forwarded, observed }
criterion_main!(benches);
