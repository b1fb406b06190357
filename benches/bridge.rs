//! How many messages a second does the bridge translate, each way, beside a translation that decodes
//! the JSON and the base64 and encodes both anew, as the public samples do?
//!
//! Up: frames of 20 ms at 24 kHz as ACS sends them, from masked bytes as they were read to masked
//! bytes as they are written. Down: deltas of 200 ms. One thread, no socket, no cipher.

use std::sync::Arc;

use std::hint::black_box;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tonegate::config::VoiceSession;
use tonegate::relay::bridge::Bridge;
use tonegate::relay::message::{Assembler, Text};
use tonegate::sim::frame::{Frame, TEXT};
use tonegate::wire::{acs, voice_live};
use tonegate::ws::Role;
use tonegate::ws::scan::{Found, Scanner};

/// Messages per round, and bytes of a read.
const MESSAGES: usize = 500;
const CHUNK: usize = 64 * 1024;
const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Base64 of white noise, so many samples of it.
fn noise(samples: usize) -> String {
    let mut state = 1_u32;
    let mut audio = Vec::new();
    for _ in 0..samples {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sample = (state >> 16) as u16 as i16 / 2;
        audio.extend_from_slice(&sample.to_le_bytes());
    }
    BASE64_STANDARD.encode(audio)
}

fn frame_of_acs() -> String {
    format!(
        r#"{{"kind":"AudioData","audioData":{{"timestamp":"2026-05-04T10:00:00.020Z","participantRawID":"4:+15551234567","data":"{}","silent":false}}}}"#,
        noise(480)
    )
}

fn delta() -> String {
    format!(
        r#"{{"type":"response.audio.delta","event_id":"event_BJHsM2F9","response_id":"resp_BJHsLZ2D","item_id":"item_BJHsL7fT","output_index":0,"content_index":0,"delta":"{}"}}"#,
        noise(4800)
    )
}

/// A stream of one message many times.
fn stream(message: &str, key: Option<[u8; 4]>) -> Vec<u8> {
    let mut wire = bytes::BytesMut::new();
    for _ in 0..MESSAGES {
        Frame::whole(TEXT, message.as_bytes().to_vec()).encode(key, &mut wire);
    }
    wire.to_vec()
}

/// Hands every message of the stream to `hear`.
fn read(stream: &[u8], role: Role, mut hear: impl FnMut(&Text<'_>)) {
    let mut scanner = Scanner::new(role, 1 << 20);
    let mut assembler = Assembler::new(1 << 20);
    for chunk in stream.chunks(CHUNK) {
        let mut at = 0;
        while let Ok(Some(step)) = scanner.next(&chunk[at..]) {
            let bytes = &chunk[at..at + step.taken];
            at += step.taken;
            let _ = match &step.found {
                Found::Data(header) => assembler.frame(header, |text| hear(&text)),
                Found::Payload => assembler.payload(bytes, |text| hear(&text)),
                Found::Control(_) => Ok(None),
            };
        }
    }
}

/// A bridge whose session is set up.
fn open(mask_tones: bool) -> Bridge {
    let mut bridge = Bridge::new(&Arc::new(VoiceSession {
        session: serde_json::Map::new(),
        greet: false,
        mask_tones,
    }));
    let metadata = br#"{"kind":"AudioMetadata","audioMetadata":{"encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;
    let mut out = Vec::new();
    if let Ok(message) = acs::read(metadata) {
        let _ = bridge.client(&message, |_| true, || KEY, &mut out);
    }
    for text in [
        &br#"{"type":"session.created"}"#[..],
        br#"{"type":"session.updated"}"#,
    ] {
        let _ = bridge.upstream(&Text::Here(text), || KEY, &mut out);
    }
    assert!(bridge.is_open());
    bridge
}

fn up(bridge: &mut Bridge, stream: &[u8], out: &mut Vec<u8>) {
    out.clear();
    read(stream, Role::Client, |text| {
        if let Ok(message) = acs::read(text.as_bytes()) {
            let is_caller = |who: acs::Raw<'_>| who.is(b"4:+15551234567");
            let _ = bridge.client(&message, is_caller, || KEY, out);
        }
    });
}

fn down(bridge: &mut Bridge, stream: &[u8], out: &mut Vec<u8>) {
    out.clear();
    read(stream, Role::Server, |text| {
        let _ = bridge.upstream(text, || KEY, out);
        while let Some(frame) = bridge.next_frame() {
            frame.write(out);
        }
    });
}

/// Decodes JSON and base64, encodes both.
fn naive(stream: &[u8], role: Role, out: &mut bytes::BytesMut) {
    out.clear();
    read(stream, role, |text| {
        let Ok(message) = serde_json::from_slice::<Value>(text.as_bytes()) else {
            return;
        };
        let (data, key) = match role {
            Role::Client => (&message["audioData"]["data"], Some(KEY)),
            Role::Server => (&message["delta"], None),
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

fn bridge(criterion: &mut Criterion) {
    let message = frame_of_acs();
    let mut group = criterion.benchmark_group("bridge/read");
    group.bench_function("AudioData of 20 ms", |bench| {
        bench.iter(|| acs::read(black_box(message.as_bytes())));
    });
    let delta = delta();
    group.bench_function("delta of 200 ms", |bench| {
        bench.iter(|| voice_live::Event::read(black_box(delta.as_bytes())));
    });
    group.finish();

    for (name, message, role, key) in [
        ("bridge/up 20 ms", message, Role::Client, Some(KEY)),
        ("bridge/down 200 ms", delta, Role::Server, None),
    ] {
        let stream = stream(&message, key);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(MESSAGES as u64));
        let mut out = Vec::new();
        match role {
            Role::Client => {
                for (name, mask_tones) in [("spliced", false), ("spliced, tones masked", true)] {
                    let mut bridge = open(mask_tones);
                    group.bench_function(name, |bench| {
                        bench.iter(|| up(&mut bridge, black_box(&stream), &mut out));
                    });
                    assert!(bridge.counts().up.audio > 0 && bridge.counts().up.dropped == 0);
                }
            }
            Role::Server => {
                let mut bridge = open(false);
                group.bench_function("spliced", |bench| {
                    bench.iter(|| down(&mut bridge, black_box(&stream), &mut out));
                });
                assert!(bridge.counts().down.audio > 0);
            }
        }
        let mut out = bytes::BytesMut::new();
        group.bench_function("decoded and encoded", |bench| {
            bench.iter(|| naive(black_box(&stream), role, &mut out));
        });
        group.finish();
    }
}

criterion_group!(benches, bridge);
criterion_main!(benches);
