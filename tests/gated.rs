//! The relay of a phone call over in-memory pipes: what a caller's frames, however they come, make
//! of the gate, of the upstream, and of the edge's memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, Empty, duplex};
use tokio::time::timeout;
use tonegate::audio::SampleRate;
use tonegate::audio::wav::Wav;
use tonegate::config::{
    Ani, Bridge, CodeLength, Dialled, Dtmf, Feeds, Gate, Prompts, VoiceSession,
};
use tonegate::dtmf::tone;
use tonegate::error::Reason;
use tonegate::gate::{Answer, State};
use tonegate::metrics::Flow;
use tonegate::relay::{Asked, CallTerms, Handle, Lease, Leg, Pace, Patience, Relay, Terms};
use tonegate::sim::frame::{BINARY, CLOSE, CONTINUATION, Decoder, Frame, PING, PONG, Sender, TEXT};

const RATE: SampleRate = SampleRate::Hz24000;
const METADATA: &str = r#"{"kind":"AudioMetadata","audioMetadata":{"encoding":"PCM","sampleRate":24000,"channels":1,"length":960}}"#;

fn terms() -> Terms {
    Terms {
        patience: Patience {
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            session: Duration::from_secs(3600),
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

fn gate(prompts: Prompts) -> Gate {
    Gate {
        dialled: Dialled::Pstn {
            ani: Ani::Signalling,
        },
        length: CodeLength::Fixed(3),
        feeds: Feeds {
            in_band: true,
            messages: true,
            callbacks: false,
        },
        deadline: Duration::from_secs(20),
        between: Duration::from_secs(5),
        attempts: 3,
        second_look: false,
        consume: true,
        prompts,
    }
}

fn call(gate: Option<Gate>, bridge: Bridge) -> CallTerms {
    CallTerms {
        gate: gate.map(Arc::new),
        bridge,
        ani: None,
    }
}

fn voice() -> Bridge {
    Bridge::VoiceLive(Arc::new(VoiceSession {
        session: serde_json::Map::new(),
        greet: false,
        mask_tones: false,
    }))
}

fn audio(samples: &[i16]) -> String {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let data = BASE64_STANDARD.encode(bytes);
    format!(r#"{{"kind":"AudioData","audioData":{{"data":"{data}","silent":false}}}}"#)
}

fn from_client(frames: &[Frame]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame.encode(Some([1, 2, 3, 4]), &mut bytes);
    }
    bytes
}

fn text(text: &str) -> Frame {
    Frame::whole(TEXT, text.to_owned())
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// Frames of `from`, until it has said nothing for a while.
async fn frames(from: &mut DuplexStream, sender: Sender) -> Vec<Frame> {
    let mut bytes = BytesMut::new();
    while let Ok(Ok(1..)) = timeout(Duration::from_millis(100), from.read_buf(&mut bytes)).await {}
    let mut decoder = Decoder::new(sender, bytes);
    std::iter::from_fn(|| decoder.next_frame().unwrap()).collect()
}

/// What the gate wants next, within ten seconds of the call.
async fn asked(relay: &mut Relay<DuplexStream, Empty>) -> Option<Asked> {
    timeout(Duration::from_secs(10), relay.asked())
        .await
        .unwrap()
}

#[test]
fn s17_pongs_that_a_client_does_not_take_do_not_pile_up() {
    run(async {
        let (mut client, edge) = duplex(1024);
        let (_upstream, service) = duplex(1 << 20);
        let nothing = Bytes::new();
        let relay = Relay::of_call(
            Leg::plain(edge, nothing.clone()),
            Leg::plain(service, nothing),
            call(None, voice()),
            terms(),
        );
        let relay = tokio::spawn(relay);
        let sent = 2000;
        for n in 0..sent {
            let ping = Frame::whole(PING, format!("{n:0125}"));
            client.write_all(&from_client(&[ping])).await.unwrap();
            // The edge has read it, and the client reads nothing.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let pongs = frames(&mut client, Sender::Server).await;
        assert!(pongs.iter().all(|frame| frame.opcode == PONG));
        assert!(pongs.len() < 20, "{} wait", pongs.len());
        let last = pongs.last().unwrap().payload.clone();
        assert_eq!(last, format!("{:0125}", sent - 1), "the latest is answered");
        relay.abort();
    });
}

#[test]
fn a33_nothing_goes_to_an_orchestrator_behind_the_callers_close_frame() {
    run(async {
        let (mut client, edge) = duplex(1 << 20);
        let (mut upstream, service) = duplex(1 << 20);
        let sent = [
            text(METADATA),
            text(&audio(&[0; 480])),
            Frame::close(1000, "bye"),
        ];
        client.write_all(&from_client(&sent)).await.unwrap();
        let nothing = Bytes::new();
        let relay = Relay::of_call(
            Leg::plain(edge, nothing.clone()),
            Leg::plain(service, nothing),
            call(None, Bridge::Verbatim),
            terms(),
        );
        let relay = tokio::spawn(relay);
        let seen = frames(&mut upstream, Sender::Client).await;
        assert!(seen == sent, "{} frames, or others", seen.len());
        // It answers, and the caller gets the answer.
        let mut answer = BytesMut::new();
        Frame::close(1000, "bye, too").encode(None, &mut answer);
        upstream.write_all(&answer).await.unwrap();
        let told = frames(&mut client, Sender::Server).await;
        assert_eq!((told.len(), told[0].opcode), (1, CLOSE));
        let ending = relay.await.unwrap();
        assert_eq!(ending.reason, Reason::ClientClosed);
    });
}

/// The last key's end and what the caller says then come in one message, as after a stall: none of
/// it goes on, for the key would be heard.
#[test]
fn a12_a_message_with_the_end_of_the_code_in_it_does_not_go_on() {
    run(async {
        let (mut client, edge) = duplex(1 << 20);
        let pace = tone::Pace {
            tone: 0.3,
            ..tone::Pace::default()
        };
        let code = tone::sequence("823", RATE, &pace).unwrap();
        // In the midst of the last key.
        let cut = code.len() - 24_000 / 10 * 3;
        let (first, rest) = code.split_at(cut);
        let before = [text(METADATA), text(&audio(first))];
        client.write_all(&from_client(&before)).await.unwrap();
        let leg = Leg::plain(edge, Bytes::new());
        let terms_of_call = call(Some(gate(Prompts::default())), voice());
        let mut relay = Relay::gated(leg, terms_of_call, terms());
        let Some(Asked::Try(entry)) = asked(&mut relay).await else {
            panic!("no code was heard");
        };
        assert_eq!(entry.code().expose(), "823");
        relay.answer(entry.number(), Answer::Opened);
        assert!(matches!(asked(&mut relay).await, Some(Asked::Dial)));
        let (mut upstream, service) = duplex(1 << 20);
        let relay = relay.connect(Leg::plain(service, Bytes::new()));
        let relay = tokio::spawn(relay);
        let silence = audio(&[0; 480]);
        let after = [text(&audio(rest)), text(&silence)];
        client.write_all(&from_client(&after)).await.unwrap();
        let mut seen = Vec::new();
        for said in ["session.created", "session.updated"] {
            let mut event = BytesMut::new();
            text(&format!(r#"{{"type":"{said}","session":{{}}}}"#)).encode(None, &mut event);
            upstream.write_all(&event).await.unwrap();
            seen.extend(frames(&mut upstream, Sender::Client).await);
        }
        let update = String::from_utf8(seen[0].payload.to_vec()).unwrap();
        assert!(update.contains("\"session.update\""), "{update}");
        let data = BASE64_STANDARD.encode([0; 960]);
        let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{data}"}}"#);
        assert!(seen[1..] == [text(&append)], "{} messages", seen.len());
        relay.abort();
    });
}

/// The store was asked and has not answered when the time is over; while the goodbye is said it is
/// not asked again, or a key would be consumed for a call that nobody lets through.
#[test]
fn a13_a_verdict_takes_back_what_the_store_was_to_be_asked() {
    run(async {
        let (mut client, edge) = duplex(1 << 20);
        let goodbye = Wav {
            rate: RATE,
            samples: vec![1; 24_000 * 5],
        };
        let prompts = Prompts {
            goodbye: Some(goodbye),
            ..Prompts::default()
        };
        let code = tone::sequence("823", RATE, &tone::Pace::default()).unwrap();
        let sent = [text(METADATA), text(&audio(&code))];
        client.write_all(&from_client(&sent)).await.unwrap();
        let leg = Leg::plain(edge, Bytes::new());
        let mut gate = gate(prompts);
        gate.deadline = Duration::from_secs(5);
        let mut relay = Relay::gated(leg, call(Some(gate), voice()), terms());
        assert!(matches!(asked(&mut relay).await, Some(Asked::Try(_))));
        relay.unanswered();
        assert!(matches!(asked(&mut relay).await, Some(Asked::Nothing)));
        assert!(asked(&mut relay).await.is_none(), "the goodbye is over");
        let ending = relay.await;
        assert_eq!(ending.reason, Reason::StoreUnavailable);
    });
}

/// ACS tells of a key also in a message, which may come after the audio was understood.
#[test]
fn a33_an_orchestrator_is_not_told_the_keys_of_the_code() {
    run(async {
        let (mut client, edge) = duplex(1 << 20);
        let code = tone::sequence("823", RATE, &tone::Pace::default()).unwrap();
        let before = [text(METADATA), text(&audio(&code))];
        client.write_all(&from_client(&before)).await.unwrap();
        let leg = Leg::plain(edge, Bytes::new());
        let terms_of_call = call(Some(gate(Prompts::default())), Bridge::Verbatim);
        let mut relay = Relay::gated(leg, terms_of_call, terms());
        let Some(Asked::Try(entry)) = asked(&mut relay).await else {
            panic!("no code was heard");
        };
        relay.answer(entry.number(), Answer::Opened);
        assert!(matches!(asked(&mut relay).await, Some(Asked::Dial)));
        let (mut upstream, service) = duplex(1 << 20);
        let relay = tokio::spawn(relay.connect(Leg::plain(service, Bytes::new())));
        let told = r#"{"kind":"DtmfData","dtmfData":{"data":"3"}}"#;
        let silence = audio(&[0; 480]);
        for n in 0..50 {
            let mut frames = vec![text(&silence)];
            if n == 10 {
                frames.push(text(told));
            }
            client.write_all(&from_client(&frames)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seen = frames(&mut upstream, Sender::Client).await;
        assert!(!seen.contains(&text(told)), "the last key was told");
        assert!(seen.len() > 20, "and the call goes on");
        // What the caller dials from then on is the orchestrator's.
        client.write_all(&from_client(&[text(told)])).await.unwrap();
        let seen = frames(&mut upstream, Sender::Client).await;
        assert!(seen == [text(told)]);
        relay.abort();
    });
}

/// What either side may say, and what it may not.
fn said() -> impl Strategy<Value = Frame> {
    let texts = prop_oneof![
        Just(METADATA.to_owned()),
        Just(METADATA.replace("24000", "16000")),
        Just(audio(&[0; 480])),
        Just(audio(
            &tone::sequence("823", RATE, &tone::Pace::default()).unwrap()
        )),
        "[0-9*#]".prop_map(|key| format!(r#"{{"kind":"DtmfData","dtmfData":{{"data":"{key}"}}}}"#)),
        Just(r#"{"type":"session.created","session":{}}"#.to_owned()),
        Just(r#"{"type":"session.updated","session":{}}"#.to_owned()),
        Just(r#"{"type":"input_audio_buffer.speech_started"}"#.to_owned()),
        Just(r#"{"type":"error","error":{"code":"x"}}"#.to_owned()),
        Just(format!(
            r#"{{"type":"response.audio.delta","response_id":"r","delta":"{}"}}"#,
            "AAAA".repeat(30_000)
        )),
        "[ -~]{0,40}",
    ];
    prop_oneof![
        40 => (texts, prop::bool::weighted(0.97)).prop_map(|(said, fin)| Frame {
            fin,
            opcode: TEXT,
            payload: said.into(),
        }),
        1 => any::<bool>().prop_map(|fin| Frame {
            fin,
            opcode: CONTINUATION,
            payload: Bytes::from_static(b"{}"),
        }),
        3 => Just(Frame::whole(PING, "p")),
        1 => Just(Frame::whole(PONG, "p")),
        3 => Just(Frame::close(1000, "bye")),
        1 => Just(Frame::whole(BINARY, "b")),
    ]
}

/// Milliseconds; without one what is said is read at once.
fn pause() -> impl Strategy<Value = u16> {
    prop_oneof![2 => Just(0u16), 1 => 1u16..400]
}

fn wire(said: &[(Frame, u16)], mask: Option<[u8; 4]>) -> Vec<(BytesMut, u16)> {
    let encode = |(frame, pause): &(Frame, u16)| {
        let mut bytes = BytesMut::new();
        frame.encode(mask, &mut bytes);
        (bytes, *pause)
    };
    said.iter().map(encode).collect()
}

/// Says all of it with pauses in between, whether anybody listens or not, and reads nothing for a
/// while.
async fn say(stream: DuplexStream, said: Vec<(BytesMut, u16)>, sender: Sender) -> BytesMut {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut heard = BytesMut::new();
    let talk = async move {
        for (bytes, pause) in said {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause.into())).await;
            }
        }
        write
    };
    let listen = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        while let Ok(1..) = read.read_buf(&mut heard).await {}
    };
    drop(tokio::join!(talk, listen));
    let mut decoder = Decoder::new(sender, heard.clone());
    let mut closed = false;
    // What the edge says is whole frames, and a close frame is the last of them.
    while let Some(frame) = decoder.next_frame().expect("frames by the book") {
        assert!(!closed, "something behind a close frame");
        closed = frame.opcode == CLOSE;
    }
    heard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn s16_whatever_is_said_the_call_ends_and_both_sides_hear_frames_by_the_book(
        up in proptest::collection::vec((said(), pause()), 0..20),
        down in proptest::collection::vec((said(), pause()), 0..20),
        gated in any::<bool>(),
        verbatim in any::<bool>(),
        room in 100usize..100_000,
        answer in 0u8..4,
    ) {
        run(async {
            let (client, edge) = duplex(room);
            let (upstream, service) = duplex(room);
            let mut terms = terms();
            terms.patience.session = Duration::from_secs(60);
            let bridge = if verbatim { Bridge::Verbatim } else { voice() };
            let gate = gated.then(|| gate(Prompts::default()));
            let call = call(gate, bridge);
            let leg = |io| Leg::plain(io, Bytes::new());
            let edge = async {
                if !gated {
                    return Relay::of_call(leg(edge), leg(service), call, terms).await;
                }
                let mut relay = Relay::gated(leg(edge), call, terms);
                loop {
                    match relay.asked().await {
                        Some(Asked::Try(entry)) => match answer {
                            0 => relay.unanswered(),
                            1 => relay.answer(entry.number(), Answer::Wrong),
                            _ => relay.answer(entry.number(), Answer::Opened),
                        },
                        Some(Asked::Dial) => return relay.connect(leg(service)).await,
                        Some(Asked::Nothing) => {}
                        None => return relay.await,
                    }
                }
            };
            let up = say(client, wire(&up, Some([1, 2, 3, 4])), Sender::Server);
            let down = say(upstream, wire(&down, None), Sender::Client);
            let all = async { tokio::join!(up, down, edge) };
            let (_, heard, ending) = timeout(Duration::from_secs(120), all).await.expect("an end");
            let told = ending.call.expect("a call's ending");
            if let Some(gate) = told.gate.filter(|gate| gate.state != State::Authorised) {
                assert_eq!(heard.len(), 0, "{:?}", gate.state);
            }
        });
    }
}
