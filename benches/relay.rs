//! How many messages a second cross a relay over in-memory pipes, by size?
//!
//! One direction, plain text on both legs: the relay's own work without a kernel or a cipher. And
//! what does it cost to listen for keys in appends of 20 ms at 24 kHz, noise being the dearest?

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tonegate::config::Dtmf;
use tonegate::metrics::Flow;
use tonegate::relay::{Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{Frame, TEXT};

/// Messages per round.
const MESSAGES: usize = 1000;

async fn forward(batch: &[u8], rounds: usize, dtmf: Dtmf) {
    let (mut client, client_end) = duplex(64 * 1024);
    let (mut upstream, upstream_end) = duplex(64 * 1024);
    let hour = Duration::from_secs(3600);
    let terms = Terms {
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
        dtmf,
        handle: Arc::new(Handle::default()),
        flow: Flow::unread(),
    };
    let relay = tokio::spawn(Relay::new(
        Leg::plain(client_end, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
        terms,
    ));
    let total = batch.len() * rounds;
    let writer = async {
        for _ in 0..rounds {
            if client.write_all(batch).await.is_err() {
                return;
            }
        }
    };
    let reader = async {
        let mut got = 0;
        let mut buffer = vec![0; 64 * 1024];
        while got < total {
            got += upstream.read(&mut buffer).await.unwrap_or(total);
        }
    };
    tokio::join!(writer, reader);
    relay.abort();
}

fn relay(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    let mut group = criterion.benchmark_group("relay");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for length in [100, 1360, 16_000] {
        let mut batch = BytesMut::new();
        for _ in 0..MESSAGES {
            Frame::whole(TEXT, vec![b'x'; length]).encode(Some([1, 2, 3, 4]), &mut batch);
        }
        group.bench_function(format!("{length} bytes"), |bench| {
            bench.iter(|| runtime.block_on(forward(&batch, 1, Dtmf::Off)));
        });
    }
    let batch = appends();
    for dtmf in [Dtmf::Off, Dtmf::Observe] {
        group.bench_function(format!("appends of 20 ms, dtmf {}", dtmf.word()), |bench| {
            bench.iter(|| runtime.block_on(forward(&batch, 1, dtmf)));
        });
    }
    group.finish();
}

/// White noise at half of full scale.
fn appends() -> BytesMut {
    let mut batch = BytesMut::new();
    let mut state = 1_u32;
    for _ in 0..MESSAGES {
        let mut audio = Vec::new();
        for _ in 0..480 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sample = (state >> 16) as u16 as i16 / 2;
            audio.extend_from_slice(&sample.to_le_bytes());
        }
        let audio = BASE64_STANDARD.encode(&audio);
        let message = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
        Frame::whole(TEXT, message).encode(Some([1, 2, 3, 4]), &mut batch);
    }
    batch
}

criterion_group!(benches, relay);
criterion_main!(benches);
