//! A lock on the models, over in-memory pipes: what is allowed comes out as it went in, however it
//! is cut, and of what is not no byte comes out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tonegate::config::Dtmf;
use tonegate::error::{Reason, Side};
use tonegate::label::Label;
use tonegate::metrics::Flow;
use tonegate::relay::{Ending, Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{BINARY, CLOSE, CONTINUATION, Decoder, Frame, PING, PONG, Sender, TEXT};

const KEY: [u8; 4] = [0x21, 0xF2, 0x03, 0x74];

type Locked = (
    DuplexStream,
    DuplexStream,
    tokio::task::JoinHandle<Ending>,
    Arc<Handle>,
);

/// A relay that lets a client name `gpt-4o` and nothing else.
fn locked(room: usize) -> Locked {
    let (client, client_end) = duplex(room);
    let (upstream, upstream_end) = duplex(room);
    let handle = Arc::new(Handle::default());
    let terms = Terms {
        patience: Patience {
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            session: Duration::from_secs(3600),
        },
        lease: Arc::new(Lease::until(None)),
        client_message_max: 1 << 20,
        upstream_message_max: 1 << 24,
        pace: Pace::default(),
        locked: Some(Arc::from([Label::new("gpt-4o").unwrap()])),
        dtmf: Dtmf::Off,
        handle: handle.clone(),
        flow: Flow::unread(),
    };
    let relay = Relay::new(
        Leg::plain(client_end, Bytes::new()),
        Leg::plain(upstream_end, Bytes::new()),
        terms,
    );
    (client, upstream, tokio::spawn(relay), handle)
}

/// Cuts a message into fragments, with pings between some of them.
fn fragments(opcode: u8, message: &[u8], cuts: &[prop::sample::Index], pings: bool) -> Vec<Frame> {
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.index(message.len() + 1))
        .collect();
    at.sort_unstable();
    at.push(message.len());
    let (mut frames, mut from) = (Vec::new(), 0);
    for (i, &to) in at.iter().enumerate() {
        frames.push(Frame {
            fin: i + 1 == at.len(),
            opcode: if i == 0 { opcode } else { CONTINUATION },
            payload: Bytes::copy_from_slice(&message[from..to]),
        });
        if pings && i + 1 < at.len() {
            frames.push(Frame::whole(PING, "between"));
        }
        from = to;
    }
    frames
}

fn wire(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame.encode(Some(KEY), &mut bytes);
    }
    bytes.to_vec()
}

/// Messages that a client may send: JSON with and without a model, other text, media.
fn allowed() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        "[a-k ]{0,200}".prop_map(|text| (TEXT, text.into_bytes())),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|media| (BINARY, media)),
        // Samples that begin like JSON, and have what could stand for a letter.
        (
            prop::sample::select(b"{[/".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..300)
        )
            .prop_map(|(first, samples)| (
                BINARY,
                [&[first, 0xff, b'\\', b':'], &samples[..]].concat()
            )),
        "[A-Za-z0-9+/]{0,3000}".prop_map(|audio| {
            let text = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
            (TEXT, text.into_bytes())
        }),
        "[ -~]{0,100}".prop_map(|voice| {
            let session = serde_json::json!({"voice": voice, "model": "gpt-4o"});
            let text = serde_json::json!({"type": "session.update", "session": session});
            (TEXT, text.to_string().into_bytes())
        }),
        (60_000usize..150_000).prop_map(|length| (TEXT, vec![b'a'; length])),
    ]
    .prop_filter("media that is no text", |(opcode, message)| {
        *opcode == TEXT || std::str::from_utf8(message).is_err() || !message.contains(&b':')
    })
}

fn stream() -> impl Strategy<Value = Vec<Frame>> {
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..4);
    proptest::collection::vec((allowed(), cuts, any::<bool>()), 0..5).prop_map(|messages| {
        messages
            .into_iter()
            .flat_map(|((opcode, message), cuts, pings)| fragments(opcode, &message, &cuts, pings))
            .collect()
    })
}

async fn write_split(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &[u8],
    sizes: &[usize],
) {
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        // A session that has ended takes no more.
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
        rest = more;
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

const OTHERS: [&str; 4] = [
    r#"{"type":"session.update","session":{"model":"gpt-5"}}"#,
    r#"{"type":"session.update","session":{"mod\u0065l":"gpt-5","voice":"v"}}"#,
    r#"{"type":"session.update","model":"gpt-5"}"#,
    r#"{"session":{"model":"gpt-4o","model":"gpt-5"}}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_allowed_comes_out_as_it_went_in(
        frames in stream(),
        sizes in proptest::collection::vec(1usize..9000, 1..6),
        room in 1usize..20_000,
    ) {
        let sent = wire(&frames);
        run(async {
            let (client, upstream, relay, handle) = locked(room);
            let (_read, mut write) = tokio::io::split(client);
            let (mut read, _write) = tokio::io::split(upstream);
            let mut got = vec![0; sent.len()];
            tokio::join!(
                write_split(&mut write, &sent, &sizes),
                async { read.read_exact(&mut got).await.unwrap(); },
            );
            // Pings do not wait for the rest of a message; all else is in order.
            let split = |bytes: &[u8]| {
                let mut decoder = Decoder::new(Sender::Client, BytesMut::from(bytes));
                let mut frames = Vec::new();
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame);
                }
                frames.into_iter().partition::<Vec<_>, _>(|frame| frame.opcode < CLOSE)
            };
            assert!(split(&got) == split(&sent), "the stream differs");
            handle.end(Reason::Draining);
            let mut rest = BytesMut::new();
            while read.read_buf(&mut rest).await.unwrap() > 0 {}
            let close = Decoder::new(Sender::Client, rest).next_frame().unwrap().unwrap();
            assert_eq!(close.close_parts().0, Some(1001));
            drop((_read, write, _write));
            let ending = relay.await.unwrap();
            let messages = frames.iter().filter(|f| f.fin && f.opcode < CLOSE).count();
            assert_eq!(ending.up.messages, messages as u64);
        });
    }

    #[test]
    fn b04_of_a_message_that_names_another_model_no_byte_comes_out(
        before in stream(),
        other in prop::sample::select(OTHERS.to_vec()),
        binary in any::<bool>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        pings in any::<bool>(),
        sizes in proptest::collection::vec(1usize..3000, 1..6),
        room in 50usize..20_000,
    ) {
        let good = wire(&before);
        let opcode = if binary { BINARY } else { TEXT };
        let bad = wire(&fragments(opcode, other.as_bytes(), &cuts, pings));
        let after = wire(&[Frame::whole(TEXT, "after")]);
        let sent = [&good[..], &bad, &after].concat();
        run(async {
            let (client, mut upstream, relay, _order) = locked(room);
            let (mut client_read, mut client_write) = tokio::io::split(client);
            let mut got = Vec::new();
            let mut told = Vec::new();
            tokio::join!(
                write_split(&mut client_write, &sent, &sizes),
                async { upstream.read_to_end(&mut got).await.unwrap(); },
                async { client_read.read_to_end(&mut told).await.unwrap(); },
            );
            let read = |bytes: &[u8], sender| {
                let mut decoder = Decoder::new(sender, BytesMut::from(bytes));
                let (mut data, mut close) = (Vec::new(), None);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    assert_eq!(close, None, "something follows the close frame");
                    match frame.opcode {
                        CLOSE => close = Some(frame.close_parts()),
                        PING => {}
                        _ => data.push(frame),
                    }
                }
                (data, close)
            };
            let forbidden = Some((Some(1008), "forbidden".to_owned()));
            let (expected, _) = read(&good, Sender::Client);
            assert_eq!(read(&got, Sender::Client), (expected, forbidden.clone()));
            assert_eq!(read(&told, Sender::Server), (Vec::new(), forbidden));
            drop((client_read, client_write, upstream));
            let ending = relay.await.unwrap();
            assert_eq!((ending.by, ending.reason), (Side::Client, Reason::Forbidden));
        });
    }
}

#[test]
fn a_pong_inside_a_message_does_not_wait_for_its_end() {
    run(async {
        let (mut client, mut upstream, _relay, _order) = locked(4096);
        let begun = Frame {
            fin: false,
            ..Frame::whole(TEXT, "half a mess")
        };
        let pong = Frame::whole(PONG, "for the upstream");
        let sent = wire(&[begun, pong.clone()]);
        client.write_all(&sent).await.unwrap();
        let expected = wire(&[pong]);
        let mut got = vec![0; expected.len()];
        upstream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected);
    });
}

#[test]
fn a_close_inside_a_message_ends_the_stream_and_takes_the_message_with_it() {
    run(async {
        let (mut client, mut upstream, relay, _order) = locked(4096);
        let begun = Frame {
            fin: false,
            ..Frame::whole(TEXT, "half a mess")
        };
        let sent = wire(&[
            Frame::whole(TEXT, "whole"),
            begun,
            Frame::close(4000, "bye"),
        ]);
        client.write_all(&sent).await.unwrap();
        let expected = wire(&[Frame::whole(TEXT, "whole"), Frame::close(4000, "bye")]);
        let mut got = vec![0; expected.len()];
        upstream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected);
        drop((client, upstream));
        let ending = relay.await.unwrap();
        assert_eq!((ending.client_close, ending.up.messages), (Some(4000), 1));
    });
}

#[test]
fn s17_a_message_in_tiny_fragments_is_not_collected_without_end() {
    run(async {
        let (client, upstream, relay, _order) = locked(64 * 1024);
        let (mut client_read, mut client_write) = tokio::io::split(client);
        let flood = async {
            let first = wire(&[Frame {
                fin: false,
                ..Frame::whole(TEXT, "x")
            }]);
            client_write.write_all(&first).await.unwrap();
            let more: Vec<u8> = (0..1000)
                .flat_map(|_| {
                    wire(&[Frame {
                        fin: false,
                        ..Frame::whole(CONTINUATION, "")
                    }])
                })
                .collect();
            // Twice the longest message and a read: beyond that it is not kept.
            let mut sent = 0;
            while sent < 3 << 20 {
                client_write.write_all(&more).await.unwrap();
                sent += more.len();
            }
            client_write.shutdown().await.unwrap();
        };
        let mut told = Vec::new();
        let hear = async {
            let _ = client_read.read_to_end(&mut told).await;
        };
        tokio::join!(flood, hear);
        let close = Decoder::new(Sender::Server, BytesMut::from(&told[..])).next_frame();
        assert_eq!(close.unwrap().unwrap().close_parts().0, Some(1009));
        drop((upstream, client_read, client_write));
        let ending = relay.await.unwrap();
        assert_eq!((ending.by, ending.reason), (Side::Client, Reason::TooLarge));
    });
}
