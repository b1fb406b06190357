//! What does it cost to follow frame boundaries, with and without the tap that looks at them?
//!
//! One MiB of client frames per round, in chunks as a read gives them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tonegate::tap::Tap;
use tonegate::ws::Role;
use tonegate::ws::scan::{Found, Scanner};

/// A read of the relay.
const CHUNK: usize = 64 * 1024;

/// About one MiB of masked text frames with payloads of this length.
fn stream(length: usize) -> Vec<u8> {
    let mut payload = br#"{"type":"input_audio_buffer.append","audio":""#.to_vec();
    payload.resize(length.max(payload.len()), b'A');
    let frame = tonegate::sim::frame::Frame::whole(tonegate::sim::frame::TEXT, payload);
    let mut wire = bytes::BytesMut::new();
    while wire.len() < 1 << 20 {
        frame.encode(Some([0x12, 0x34, 0x56, 0x78]), &mut wire);
    }
    wire.to_vec()
}

fn follow(stream: &[u8], mut tap: Option<&mut Tap>) -> usize {
    let mut scanner = Scanner::new(Role::Client, 1 << 20);
    let mut frames = 0;
    for chunk in stream.chunks(CHUNK) {
        let mut at = 0;
        while let Ok(Some(step)) = scanner.next(&chunk[at..]) {
            match (&step.found, &mut tap) {
                (Found::Data(header), Some(tap)) => tap.frame(header),
                (Found::Payload, Some(tap)) => tap.payload(&chunk[at..at + step.taken]),
                _ => {}
            }
            frames += usize::from(matches!(step.found, Found::Data(_)));
            at += step.taken;
        }
    }
    frames
}

fn scan(criterion: &mut Criterion) {
    for length in [100, 1360, 16_000] {
        let stream = stream(length);
        let mut group = criterion.benchmark_group(format!("scan/{length}"));
        group.throughput(Throughput::Elements(follow(&stream, None) as u64));
        group.bench_function("headers", |bench| {
            bench.iter(|| follow(black_box(&stream), None));
        });
        group.bench_function("headers and tap", |bench| {
            let mut tap = Tap::default();
            bench.iter(|| follow(black_box(&stream), Some(&mut tap)));
        });
        group.finish();
    }
}

criterion_group!(benches, scan);
criterion_main!(benches);
