//! A running relay between two in-memory pipes, plain text on both legs: its own work without a kernel
//! or a cipher.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tonegate::config::{Ani, Bridge, CodeLength, Dialled, Dtmf, Feeds, Gate, Prompts};
use tonegate::ids::PhoneNumber;
use tonegate::metrics::Flow;
use tonegate::relay::{CallTerms, Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{Decoder, Sender};

use super::message::{ANI, KEY, METADATA, PLAIN, audio_data, frame};
use super::translate::voice_session;

pub(crate) const PIPE: usize = 64 * 1024;
/// Nothing ends by itself, however far the clock is put forward.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// One thread, whose clock stands still until it is put forward.
pub(crate) fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime")
}

fn terms(dtmf: Dtmf) -> Terms {
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
        dtmf,
        handle: Arc::new(Handle::default()),
        flow: Flow::unread(),
    }
}

fn call_terms(gate: Option<Gate>, mask_tones: bool) -> CallTerms {
    CallTerms {
        gate: gate.map(Arc::new),
        bridge: Bridge::VoiceLive(voice_session(mask_tones)),
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

/// A running relay, and its two peers.
pub(crate) struct Rig {
    pub(crate) client: DuplexStream,
    pub(crate) upstream: DuplexStream,
    /// Peers read into this.
    buffer: Box<[u8]>,
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
            buffer: vec![0; PIPE].into(),
            relay: start(client_leg, upstream_leg),
        }
    }

    /// Frames go on as they come.
    pub(crate) async fn forwarded(dtmf: Dtmf) -> Rig {
        Rig::new(|client, upstream| {
            let relay = Relay::new(client, upstream, terms(dtmf));
            tokio::spawn(async { _ = relay.await })
        })
    }

    /// A phone call whose session with Voice Live is set up.
    pub(crate) async fn bridged(mask_tones: bool) -> Rig {
        let mut rig = Rig::new(|client, upstream| {
            let relay = Relay::of_call(
                client,
                upstream,
                call_terms(None, mask_tones),
                terms(Dtmf::Off),
            );
            tokio::spawn(async { _ = relay.await })
        });
        send(&mut rig.client, &frame(METADATA, KEY)).await;
        for text in [
            r#"{"type":"session.created"}"#,
            r#"{"type":"session.updated"}"#,
        ] {
            send(&mut rig.upstream, &frame(text, PLAIN)).await;
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

    /// A phone call whose gate is pending.
    pub(crate) async fn gated() -> Rig {
        let mut rig = Rig::new(|client, _| {
            let terms = terms(Dtmf::Off);
            let mut relay = Relay::gated(client, call_terms(Some(gate()), false), terms);
            tokio::spawn(async move { while relay.asked().await.is_some() {} })
        });
        send(&mut rig.client, &frame(METADATA, KEY)).await;
        rig
    }

    /// All of `batch`, until so many bytes have come out at the upstream.
    pub(crate) async fn up(&mut self, batch: &[u8], expected: usize) {
        cross(
            [&mut self.client, &mut self.upstream],
            batch,
            expected,
            &mut self.buffer,
        )
        .await;
    }

    /// The same to the client.
    pub(crate) async fn down(&mut self, batch: &[u8], expected: usize) {
        cross(
            [&mut self.upstream, &mut self.client],
            batch,
            expected,
            &mut self.buffer,
        )
        .await;
    }
}

pub(crate) async fn send(pipe: &mut DuplexStream, bytes: &[u8]) {
    pipe.write_all(bytes).await.expect("the relay runs");
}

async fn cross(
    [from, to]: [&mut DuplexStream; 2],
    batch: &[u8],
    expected: usize,
    buffer: &mut [u8],
) {
    let reader = async {
        let mut got = 0;
        while got < expected {
            let read = to.read(buffer).await.expect("the relay runs");
            assert!(read > 0, "the relay has ended");
            got += read;
        }
        assert_eq!(got, expected);
    };
    tokio::join!(send(from, batch), reader);
}
