//! What does it cost to follow frame boundaries? The tap that looks at the frames is `tap`'s question.
//!
//! A frame of a client is masked, one of a service is not; a read brings one, or as many as it holds.

mod works;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tonegate::ws::Role;

use works::follow::{READ, follow};
use works::message::{KEY, PLAIN, stream, text};

/// Bytes of a round, about.
const ROUND: usize = 1 << 20;

fn scan(criterion: &mut Criterion) {
    for (name, role, key) in [
        ("scan/masked", Role::Client, KEY),
        ("scan/unmasked", Role::Server, PLAIN),
    ] {
        let mut group = criterion.benchmark_group(name);
        for length in [5, 125, 1360, 16_000] {
            let message = if length == 5 {
                "hello".into()
            } else {
                text(length)
            };
            let stream = stream(std::iter::repeat_n(message.as_str(), ROUND / length), key);
            let frames = follow(&stream, READ, role, None);
            assert_eq!(frames, ROUND / length);
            group.throughput(Throughput::Elements(frames as u64));
            for (read, name) in [
                (stream.len() / frames, "one a read"),
                (READ, "64 KiB a read"),
            ] {
                group.bench_function(format!("{length} bytes, {name}"), |bench| {
                    bench.iter(|| follow(black_box(&stream), read, role, None));
                });
            }
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = works::brief(); targets = scan }
criterion_main!(benches);
