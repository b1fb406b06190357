//! How many messages a second does the bridge translate, each way, beside a translation that decodes
//! the JSON and the base64 and encodes both anew, as the public samples do?
//!
//! Up: frames of 20 ms at 24 kHz as ACS sends them, from masked bytes as they were read to masked
//! bytes as they are written. Down: deltas of 200 ms. One thread, no socket, no cipher.

mod works;

use std::hint::black_box;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tonegate::sim::frame::{Frame, TEXT};
use tonegate::wire::{acs, voice_live};
use tonegate::ws::Role;

use works::message::{KEY, PLAIN, audio_data, delta, interrupted_answers, stream};
use works::translate::{down, interrupted, messages, open, up};

/// Messages of a round.
const MESSAGES: usize = 500;

/// Decodes JSON and base64, encodes both.
fn naive(stream: &[u8], role: Role, out: &mut bytes::BytesMut) {
    out.clear();
    messages(stream, role, |text| {
        let Ok(message) = serde_json::from_slice::<Value>(text.as_bytes()) else {
            return;
        };
        let (data, key) = match role {
            Role::Client => (&message["audioData"]["data"], KEY),
            Role::Server => (&message["delta"], PLAIN),
        };
        let Ok(audio) = BASE64_STANDARD.decode(data.as_str().unwrap_or_default()) else {
            return;
        };
        let data = BASE64_STANDARD.encode(audio);
        let message = match role {
            Role::Client => json!({"type": "input_audio_buffer.append", "audio": data}),
            Role::Server => {
                json!({"Kind": "AudioData", "AudioData": {"Data": data}, "StopAudio": null})
            }
        };
        Frame::whole(TEXT, message.to_string().into_bytes()).encode(key, out);
    });
}

fn read(criterion: &mut Criterion) {
    let (message, delta) = (audio_data(), delta());
    let mut group = criterion.benchmark_group("bridge/read");
    group.throughput(Throughput::Elements(1));
    group.bench_function("AudioData of 20 ms", |bench| {
        bench.iter(|| acs::read(black_box(message.as_bytes())));
    });
    group.bench_function("delta of 200 ms", |bench| {
        bench.iter(|| voice_live::Event::read(black_box(delta.as_bytes())));
    });
    group.finish();
}

fn upwards(criterion: &mut Criterion) {
    let message = audio_data();
    let stream = stream(std::iter::repeat_n(message.as_str(), MESSAGES), KEY);
    let mut group = criterion.benchmark_group("bridge/up 20 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mut out = Vec::new();
    for (name, mask_tones) in [("spliced", false), ("spliced, tones masked", true)] {
        let mut bridge = open(mask_tones);
        up(&mut bridge, &stream, &mut out);
        assert!(bridge.counts().up.audio > 0 && bridge.counts().up.dropped == 0);
        group.bench_function(name, |bench| {
            bench.iter(|| up(&mut bridge, black_box(&stream), &mut out));
        });
    }
    let mut out = bytes::BytesMut::new();
    group.bench_function("decoded and encoded", |bench| {
        bench.iter(|| naive(black_box(&stream), Role::Client, &mut out));
    });
    group.finish();
}

fn downwards(criterion: &mut Criterion) {
    let message = delta();
    let stream = stream(std::iter::repeat_n(message.as_str(), MESSAGES), PLAIN);
    let mut group = criterion.benchmark_group("bridge/down 200 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mut out = Vec::new();
    let mut bridge = open(false);
    down(&mut bridge, &stream, &mut out);
    assert!(bridge.counts().down.audio > 0);
    group.bench_function("spliced", |bench| {
        bench.iter(|| down(&mut bridge, black_box(&stream), &mut out));
    });
    let mut out = bytes::BytesMut::new();
    group.bench_function("decoded and encoded", |bench| {
        bench.iter(|| naive(black_box(&stream), Role::Server, &mut out));
    });
    group.finish();
}

fn interruptions(criterion: &mut Criterion) {
    let messages = interrupted_answers();
    let stream = stream(messages.iter().map(String::as_str), PLAIN);
    let mut group = criterion.benchmark_group("bridge/answers interrupted");
    group.throughput(Throughput::Elements(messages.len() as u64));
    let (mut bridge, mut out) = (open(false), Vec::new());
    interrupted(&mut bridge, &stream, &mut out);
    let counts = bridge.counts().down;
    assert!(counts.interrupted > 0 && counts.dropped == counts.audio);
    group.bench_function("spliced", |bench| {
        bench.iter(|| interrupted(&mut bridge, black_box(&stream), &mut out));
    });
    group.finish();
}

criterion_group! { name = benches; config = works::brief(); targets = read, upwards, downwards, interruptions }
criterion_main!(benches);
