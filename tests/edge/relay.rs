//! Every byte arrives as it was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::sim::frame::{self, Frame};
use tonegate::sim::signal;

use crate::harness::{KEY, Wish, World, binary, read_answer, request, steady, text, within};
use crate::tape::Tape;

/// Frames of every kind, in an order that a client may send them in.
fn frames() -> Vec<Frame> {
    let part = |fin, opcode, payload: Vec<u8>| Frame {
        fin,
        opcode,
        payload: payload.into(),
    };
    vec![
        text("hello"),
        text(""),
        binary(vec![0, 255, 128, 7]),
        binary(Vec::new()),
        // 0xFF is never UTF-8: the proxies that this one replaces corrupt it.
        binary((0..=255).cycle().take(70_000).collect::<Vec<u8>>()),
        part(false, frame::TEXT, b"frag".to_vec()),
        part(false, frame::CONTINUATION, Vec::new()),
        part(true, frame::CONTINUATION, b"ment".to_vec()),
        part(false, frame::BINARY, vec![1; 125]),
        part(true, frame::CONTINUATION, vec![2; 126]),
        text(&"x".repeat(65_535)),
        text(&"y".repeat(65_536)),
    ]
}

#[tokio::test]
async fn b07_frames_of_every_kind_cross_unchanged_both_ways() {
    let world = World::unlocked().await;
    let mut caller = world.call("sim-echo").await;
    for sent in frames() {
        caller.send(sent.clone()).await;
        let got = caller.next().await.unwrap();
        assert_eq!((got.fin, got.opcode), (sent.fin, sent.opcode));
        assert!(got.payload == sent.payload, "payload changed");
    }
    let seen = world.upstream_saw(|seen| seen.received.text >= 5).await;
    assert_eq!(seen.received.binary, 4);
    assert_eq!(seen.received.continuation, 3);
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    caller.close(1000, "bye").await;
    assert_eq!(caller.closed().await, (Some(1000), "bye".to_owned()));
    world.settles().await;
}

#[tokio::test]
async fn plain_text_on_loopback_carries_the_same_frames() {
    let world = World::with(Wish {
        tls: false,
        route: "lock_models = false".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    for sent in frames() {
        caller.send(sent.clone()).await;
        assert!(caller.next().await.unwrap() == sent);
    }
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
}

#[tokio::test]
async fn frames_written_byte_by_byte_or_all_at_once_are_the_same_frames() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    let mut all = Vec::new();
    let sent: Vec<Frame> = frames()
        .into_iter()
        .filter(|f| f.payload.len() < 200)
        .collect();
    for frame in &sent {
        all.extend_from_slice(&caller.encode(frame));
    }
    for byte in &all {
        caller.io.write_all(&[*byte]).await.unwrap();
        caller.io.flush().await.unwrap();
    }
    caller.send_raw(&all).await;
    for _ in 0..2 {
        for frame in &sent {
            assert_eq!(caller.next().await.as_ref(), Some(frame));
        }
    }
}

#[tokio::test]
async fn frames_of_sessions_that_a_worker_lets_gather_cross_unchanged_and_in_order() {
    let world = World::with(Wish {
        server: "batch = \"2ms\"\ngrace = \"0s\"".to_owned(),
        workers: 1,
        route: "lock_models = false".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut callers = Vec::new();
    for _ in 0..16 {
        callers.push(world.call("sim-echo").await);
    }
    // All of a round fits into the sockets' buffers.
    let short: Vec<Frame> = frames()
        .into_iter()
        .filter(|f| f.payload.len() < 200)
        .collect();
    for round in 0..8 {
        for (n, caller) in callers.iter_mut().enumerate() {
            for sent in &short {
                caller.send(sent.clone()).await;
            }
            caller.send(text(&format!("{round} of {n}"))).await;
        }
        for (n, caller) in callers.iter_mut().enumerate() {
            for sent in &short {
                assert_eq!(caller.next().await.as_ref(), Some(sent));
            }
            let last = caller.next().await;
            assert_eq!(last, Some(text(&format!("{round} of {n}"))));
        }
    }
    assert!(world.count("tonegate_batch_waits_total") > 0);
    for mut caller in callers {
        caller.close(1000, "bye").await;
        assert_eq!(caller.closed().await, (Some(1000), "bye".to_owned()));
    }
    world.settles().await;
}

#[tokio::test]
async fn b22_frames_that_come_with_the_request_arrive() {
    let world = World::usual().await;
    for early in [1, 40] {
        let mut bytes = request("/ws?model=sim-echo", &[("api-key", KEY)]).into_bytes();
        let frames: Vec<Frame> = (0..early).map(|i| text(&format!("early {i}"))).collect();
        for frame in &frames {
            let mut wire = bytes::BytesMut::new();
            frame.encode(Some([9, 8, 7, 6]), &mut wire);
            bytes.extend_from_slice(&wire);
        }
        let mut caller = world.send_request(&bytes).await.unwrap();
        for frame in &frames {
            assert_eq!(caller.next().await.as_ref(), Some(frame));
        }
    }
}

#[tokio::test]
async fn b22_frames_sent_before_the_101_arrive() {
    let world = World::usual().await;
    let mut io = world.connect().await;
    let bytes = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let mut wire = bytes::BytesMut::new();
    text("impatient").encode(Some([9, 8, 7, 6]), &mut wire);
    // In pieces: half the frame with the request, half of it while the upstream is dialled.
    io.write_all(&[bytes.as_bytes(), &wire[..7]].concat())
        .await
        .unwrap();
    io.flush().await.unwrap();
    io.write_all(&wire[7..]).await.unwrap();
    let mut caller = read_answer(io).await.unwrap();
    assert_eq!(caller.next().await, Some(text("impatient")));
}

#[tokio::test]
async fn b22_more_frames_than_are_kept_before_the_101_arrive() {
    let mut tape = Tape::reluctant().await;
    let world = tape.world().await;
    let mut io = world.connect().await;
    let asked = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    io.write_all(asked.as_bytes()).await.unwrap();
    let mut frames = bytes::BytesMut::new();
    for i in 0..16 {
        binary(vec![i; 1 << 20]).encode(Some([9, 8, 7, i]), &mut frames);
    }
    let (read, mut write) = tokio::io::split(io);
    let written = Arc::new(AtomicUsize::new(0));
    let (count, early) = (written.clone(), frames.clone());
    let writing = tokio::spawn(async move {
        for piece in early.chunks(16 * 1024) {
            write.write_all(piece).await.unwrap();
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
        write
    });
    // All that fits is on its way: the edge has stopped reading, and waits for its upstream.
    let held = steady("the client", || written.load(Ordering::Relaxed)).await;
    assert!(held > 64 * 1024 && held < frames.len(), "{held}");
    tape.answer();
    let io = read.unsplit(within("the frames", writing).await.unwrap());
    let mut caller = read_answer(io).await.unwrap();
    let close = caller.encode(&Frame::close(1000, ""));
    caller.send_raw(&close).await;
    assert!(tape.bytes().await == [frames, close].concat());
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn b22_a_frame_in_the_segment_of_the_upstreams_101_arrives() {
    let world = World::usual().await;
    for _ in 0..20 {
        let mut caller = world.call("sim-early").await;
        assert_eq!(caller.next().await, Some(text(r#"{"type":"sim.early"}"#)));
        caller.send(text("then echo")).await;
        assert_eq!(caller.next().await, Some(text("then echo")));
    }
}

#[tokio::test]
async fn four_mebibyte_messages_of_the_upstream_cross_whole_and_in_fragments() {
    let world = World::usual().await;
    let mut caller = world.call("sim-large").await;
    let whole = caller.next().await.unwrap();
    assert!(whole.fin && whole.payload == signal::large_text().as_bytes());
    let mut pieces = Vec::new();
    let mut fragments = 0;
    loop {
        let piece = caller.next().await.unwrap();
        pieces.extend_from_slice(&piece.payload);
        fragments += 1;
        if piece.fin {
            break;
        }
    }
    assert_eq!(fragments, 64);
    assert!(pieces == signal::large_text().as_bytes());
}

#[tokio::test]
async fn pings_of_either_side_reach_the_other_and_their_answers_come_back() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    caller.send(Frame::whole(frame::PING, "mine")).await;
    assert_eq!(caller.next().await, Some(Frame::whole(frame::PONG, "mine")));
    let mut caller = world.call("sim-ping").await;
    let mut answered = 0;
    loop {
        let frame = caller.next().await.unwrap();
        match frame.opcode {
            frame::PING => {
                answered += 1;
                caller.send(Frame::whole(frame::PONG, frame.payload)).await;
            }
            frame::CLOSE => break,
            _ => {}
        }
    }
    assert!(answered > 0);
    let seen = world.upstream_saw(|seen| seen.close_sent.is_some()).await;
    assert_eq!(seen.pongs.len(), answered);
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
}

#[tokio::test]
async fn a_message_may_pause_anywhere_while_the_other_direction_goes_on() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    let long = caller.encode(&text(&"z".repeat(100_000)));
    caller.send_raw(&long[..50_000]).await;
    // The echo has the first half only and cannot answer; a ping is answered inside the pause
    // only after the frame, so what is proved here is that nothing is lost.
    caller.send_raw(&long[50_000..]).await;
    caller.send(text("after")).await;
    assert_eq!(caller.next().await.unwrap().payload.len(), 100_000);
    assert_eq!(caller.next().await, Some(text("after")));
}

#[tokio::test]
async fn a_conversation_is_answered_with_its_own_audio() {
    use tonegate::sim::client::Client;
    let world = World::usual().await;
    let url = format!("wss://localhost:{}/ws?model=gpt-realtime", world.port);
    let roots = world.authority.pem();
    let (mut client, _) = Client::connect(&url, &[("api-key", KEY)], Some(&roots))
        .await
        .unwrap();
    let turn = client.converse(0.5).await.unwrap();
    assert!(turn.audio_received >= 24_000);
    let said = turn.messages_sent;
    let up = format!("tonegate_messages_total{{route=\"browser\",direction=\"up\"}} {said}");
    world.metrics_say(&up).await;
    let audio = said - 1; // all but session.update
    let up = format!("tonegate_audio_messages_total{{route=\"browser\",direction=\"up\"}} {audio}");
    world.metrics_say(&up).await;
}

#[tokio::test]
async fn forty_megabytes_each_way_cross_without_a_changed_byte() {
    let world = World::usual().await;
    let caller = world.call("sim-echo").await;
    let (mut read, mut write) = tokio::io::split(caller.io);
    let payload: Vec<u8> = (0..200_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let rounds = 200usize;
    let (key, sent) = ([5, 6, 7, 8], payload.clone());
    let writer = tokio::spawn(async move {
        let mut wire = bytes::BytesMut::new();
        Frame::whole(frame::BINARY, sent).encode(Some(key), &mut wire);
        for _ in 0..rounds {
            write.write_all(&wire).await.unwrap();
        }
        // Without this the last records may stay in the caller's own TLS session.
        write.flush().await.unwrap();
        write
    });
    let mut decoder = frame::Decoder::new(frame::Sender::Server, bytes::BytesMut::new());
    let mut got = 0;
    while got < rounds {
        match decoder.next_frame().unwrap() {
            Some(frame) => {
                assert_eq!(frame.opcode, frame::BINARY, "message {got}");
                assert!(frame.payload == payload, "message {got} changed");
                got += 1;
            }
            None => {
                assert!(read.read_buf(decoder.buffer()).await.unwrap() > 0);
            }
        }
    }
    drop(writer.await.unwrap());
}
