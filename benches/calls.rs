//! What does a message of a phone call cost a relay, beside the same bytes forwarded? And what does
//! listening cost while the gate is shut, noise being the dearest?
//!
//! One direction at a time over in-memory pipes, plain text on both legs: the relay's own work without
//! a kernel or a cipher. Up: AudioData of 20 ms at 24 kHz. Down: deltas of 200 ms.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonegate::config::{
    Ani, Bridge, CodeLength, Dialled, Dtmf, Feeds, Gate, Prompts, VoiceSession,
};
use tonegate::ids::PhoneNumber;
use tonegate::metrics::Flow;
use tonegate::relay::{CallTerms, Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{Decoder, Frame, PING, Sender, TEXT};

/// Messages of a round: of audio that may be heard at once.
const MESSAGES: usize = 200;
const PIPE: usize = 64 * 1024;
const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);
const ANI: &str = "+15551234567";
/// Nothing ends by itself, however far the clock is put forward.
const FOREVER: Duration = Duration::from_secs(1 << 30);

fn terms() -> Terms {
    Terms {
        patience: Patience {
            ping: FOREVER,
            idle: FOREVER,
            session: FOREVER,
        },
        lease: Arc::new(Lease::until(None)),
        client_message_max: 1 << 20,
        upstream_message_max: 1 << 24,
        pace: Pace::default(),
        locked: None,
        dtmf: Dtmf::Off,
        handle: Arc::new(Handle::default()),
        flow: Flow::unread(),
    }
}

fn call_terms(gate: Option<Gate>, mask_tones: bool) -> CallTerms {
    CallTerms {
        gate: gate.map(Arc::new),
        bridge: Bridge::VoiceLive(Arc::new(VoiceSession {
            session: serde_json::Map::new(),
            greet: false,
            mask_tones,
        })),
        ani: PhoneNumber::new(ANI),
    }
}

fn gate() -> Gate {
    Gate {
        dialled: Dialled::Pstn {
            ani: Ani::Signalling,
        },
        length: CodeLength::Fixed(6),
        feeds: Feeds {
            in_band: true,
            messages: true,
            callbacks: false,
        },
        deadline: FOREVER,
        between: FOREVER,
        attempts: 3,
        second_look: true,
        consume: true,
        prompts: Prompts::default(),
    }
}

/// Base64 of white noise at half of full scale.
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

fn audio_data() -> String {
    format!(
        r#"{{"kind":"AudioData","audioData":{{"timestamp":"2026-05-04T10:00:00.020Z","participantRawID":"4:{ANI}","data":"{}","silent":false}}}}"#,
        noise(480)
    )
}

fn delta() -> String {
    format!(
        r#"{{"type":"response.audio.delta","event_id":"event_BJHsM2F9","response_id":"resp_BJHsLZ2D","item_id":"item_BJHsL7fT","output_index":0,"content_index":0,"delta":"{}"}}"#,
        noise(4800)
    )
}

fn frame(text: &str, key: Option<[u8; 4]>) -> BytesMut {
    let mut wire = BytesMut::new();
    Frame::whole(TEXT, text.to_owned()).encode(key, &mut wire);
    wire
}

/// A running relay, and its two peers.
struct Rig {
    client: DuplexStream,
    upstream: DuplexStream,
    relay: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Rig {
    fn new(start: impl FnOnce(Leg<DuplexStream>, Leg<DuplexStream>) -> JoinHandle<()>) -> Rig {
        let (client, client_end) = duplex(PIPE);
        let (upstream, upstream_end) = duplex(PIPE);
        let legs = [client_end, upstream_end].map(|end| Leg::plain(end, Bytes::new()));
        let [client_leg, upstream_leg] = legs;
        Rig {
            client,
            upstream,
            relay: start(client_leg, upstream_leg),
        }
    }

    fn forwarded() -> Rig {
        Rig::new(|client, upstream| {
            let relay = Relay::new(client, upstream, terms());
            tokio::spawn(async { _ = relay.await })
        })
    }

    /// Its session with Voice Live is set up.
    async fn bridged(mask_tones: bool) -> Rig {
        let mut rig = Rig::new(|client, upstream| {
            let relay = Relay::of_call(client, upstream, call_terms(None, mask_tones), terms());
            tokio::spawn(async { _ = relay.await })
        });
        rig.says_format().await;
        for text in [
            r#"{"type":"session.created"}"#,
            r#"{"type":"session.updated"}"#,
        ] {
            send(&mut rig.upstream, &frame(text, None)).await;
        }
        // Where tones are masked three messages stay behind, and do so from now on.
        for _ in 0..if mask_tones { 4 } else { 1 } {
            send(&mut rig.client, &frame(&audio_data(), KEY)).await;
        }
        let mut decoder = Decoder::new(Sender::Client, BytesMut::new());
        let mut heard = Vec::new();
        while heard.len() < 2 {
            match decoder.next_frame().expect("it is a frame") {
                Some(frame) => heard.push(frame.payload),
                None => {
                    let read = rig.upstream.read_buf(decoder.buffer()).await;
                    assert!(read.is_ok_and(|read| read > 0), "the call has ended");
                }
            }
        }
        for (heard, kind) in heard
            .iter()
            .zip(["session.update", "input_audio_buffer.append"])
        {
            let heard: serde_json::Value = serde_json::from_slice(heard).expect("it is JSON");
            assert_eq!(heard["type"], kind);
        }
        rig
    }

    /// The gate is pending.
    async fn gated() -> Rig {
        let mut rig = Rig::new(|client, _| {
            let mut relay = Relay::gated(client, call_terms(Some(gate()), false), terms());
            tokio::spawn(async move { while relay.asked().await.is_some() {} })
        });
        rig.says_format().await;
        rig
    }

    async fn says_format(&mut self) {
        let metadata = r#"{"kind":"AudioMetadata","audioMetadata":{"encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;
        send(&mut self.client, &frame(metadata, KEY)).await;
    }
}

async fn send(pipe: &mut DuplexStream, bytes: &[u8]) {
    pipe.write_all(bytes).await.expect("the relay runs");
}

/// One round: all of `batch`, until so many bytes have come out.
async fn round(from: &mut DuplexStream, to: &mut DuplexStream, batch: &[u8], expected: usize) {
    let mut buffer = [0; PIPE];
    let reader = async {
        let mut got = 0;
        while got < expected {
            let read = to.read(&mut buffer).await.expect("the relay runs");
            assert!(read > 0, "the relay has ended");
            got += read;
        }
        assert_eq!(got, expected);
    };
    tokio::join!(send(from, batch), reader);
}

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
    let append = format!(
        r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#,
        noise(480)
    );
    let appends = frame(&append, KEY).len() * MESSAGES;
    let mut group = criterion.benchmark_group("call/up 20 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let rigs = [
        (
            "forwarded",
            said.len(),
            runtime.block_on(async { Rig::forwarded() }),
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
                    round(&mut rig.client, &mut rig.upstream, &said, expected).await;
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
    let said = frame(&delta(), None).repeat(MESSAGES);
    let plays = format!(
        r#"{{"Kind":"AudioData","AudioData":{{"Data":"{}"}},"StopAudio":null}}"#,
        noise(4800)
    );
    let plays = frame(&plays, None).len() * MESSAGES;
    let mut group = criterion.benchmark_group("call/down 200 ms");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let rigs = [
        (
            "forwarded",
            said.len(),
            runtime.block_on(async { Rig::forwarded() }),
        ),
        ("bridged", plays, runtime.block_on(Rig::bridged(false))),
    ];
    for (name, expected, mut rig) in rigs {
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| {
                measure(runtime, times, async || {
                    round(&mut rig.upstream, &mut rig.client, &said, expected).await;
                })
            });
        });
    }
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    up(criterion, &runtime);
    down(criterion, &runtime);
}

criterion_group!(benches, calls);
criterion_main!(benches);
