//! Each part of the service has its observable effect.

use super::*;

#[tokio::test]
async fn echo_keeps_opcode_fin_fragmentation_and_payload() {
    for stage in [Stage::plain().await, Stage::tls().await] {
        let mut raw = stage.raw("sim-echo").await;
        let part = |fin, opcode, payload: &'static [u8]| Frame {
            fin,
            opcode,
            payload: payload.into(),
        };
        let frames = [
            part(true, frame::TEXT, b"whole"),
            part(true, frame::BINARY, b""),
            part(false, frame::TEXT, b"\xff not UTF-8"),
            part(true, frame::PING, b"in between"),
            part(false, frame::CONTINUATION, b""),
            part(true, frame::CONTINUATION, b"end"),
            Frame::whole(frame::BINARY, vec![7; 70_000]),
            part(true, frame::PONG, b"unasked"),
        ];
        raw.send(&frames).await;
        for sent in &frames[..7] {
            let mut expected = sent.clone();
            if sent.opcode == frame::PING {
                expected.opcode = frame::PONG;
            }
            assert_eq!(raw.next().await, Ok(Some(expected)));
        }
        raw.send(&[Frame::close(4321, "bye")]).await;
        assert_eq!(raw.next().await, Ok(Some(Frame::close(4321, "bye"))));
        assert_eq!(raw.next().await, Ok(None));
        drop(raw);
        let seen = stage.ended().await;
        assert_eq!(
            (
                seen.received.text,
                seen.received.binary,
                seen.received.continuation
            ),
            (2, 2, 2)
        );
        assert_eq!((seen.sent.pong, seen.pongs), (1, vec![b"unasked".to_vec()]));
        assert_eq!(seen.close_received, Some((Some(4321), "bye".into())));
        assert_eq!(seen.ending, Some(Ending::ClosedByClient));
        stage.end().await;
    }
}

#[tokio::test]
async fn echo_answers_a_broken_frame_with_1002() {
    let stage = Stage::plain().await;
    for (bytes, broken) in [
        (&[0x81, 0x01, b'a'][..], Broken::Mask),
        (&[0xc1, 0x80, 0, 0, 0, 0], Broken::ReservedBit),
        (&[0x80, 0x80, 0, 0, 0, 0], Broken::Order),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], Broken::Close),
    ] {
        let mut raw = stage.raw("sim-echo").await;
        raw.write(bytes).await;
        let close = raw.next().await.unwrap().unwrap();
        assert_eq!(close.close_parts().0, Some(1002));
        assert_eq!(raw.next().await, Ok(None));
        drop(raw);
        let seen = stage.ended().await;
        assert_eq!(seen.violations, [Violation::Frame(broken)]);
        assert_eq!(seen.ending, Some(Ending::ClientBroke));
    }
    stage.end().await;
}

#[tokio::test]
async fn close_codes_legal_or_not_arrive() {
    let stage = Stage::plain().await;
    let cases = [
        ("close-1000", 1000, true),
        ("close-4403", 4403, true),
        ("close-1011", 1011, true),
        ("close-raw-1005", 1005, false),
        ("close-raw-1006", 1006, false),
        ("close-raw-1015", 1015, false),
        ("close-raw-999", 999, false),
        ("close-raw-5000", 5000, false),
    ];
    for (name, code, legal) in cases {
        let mut client = stage.open(&format!("sim-{name}")).await;
        assert_eq!(
            soon(client.event()).await.unwrap()["type"],
            "session.created"
        );
        let end = soon(client.socket().next()).await.unwrap();
        match end {
            Ok(Message::Close(Some(close))) if legal => {
                assert_eq!(
                    (u16::from(close.code), close.reason.as_str()),
                    (code, "sim")
                );
            }
            // Tungstenite replaces a code that may not be sent by 1002, or refuses the frame.
            Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1002, "{name}"),
            Err(tungstenite::Error::Protocol(_)) if !legal => {}
            other => panic!("{name}: {other:?}"),
        }
        while let Some(Ok(_)) = soon(client.socket().next()).await {}
        drop(client);
        let seen = stage.ended().await;
        assert_eq!(seen.close_sent, Some((Some(code), "sim".into())));
        assert_eq!(seen.ending, Some(Ending::ClosedByService), "{name}");
        assert_eq!(
            seen.close_received.is_some(),
            legal || seen.received.close > 0
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn garbage_of_each_kind_is_refused_by_the_client() {
    let stage = Stage::plain().await;
    for kind in ["opcode", "masked", "rsv", "length"] {
        let mut client = stage.open(&format!("sim-garbage-{kind}")).await;
        let judged = soon(client.socket().next()).await;
        assert!(matches!(judged, Some(Err(_))), "{kind}: {judged:?}");
        drop(client);
        assert_eq!(stage.ended().await.ending, Some(Ending::AsPlayed));
    }
    stage.end().await;
}

#[tokio::test]
async fn an_early_message_shares_the_record_of_the_101() {
    for stage in [Stage::plain().await, Stage::tls().await] {
        let mut client = stage.open("sim-early").await;
        assert_eq!(soon(client.event()).await.unwrap()["type"], "sim.early");
        client.say(&json!({ "type": "back" })).await.unwrap();
        assert_eq!(soon(client.event()).await.unwrap()["type"], "back");
        drop(client);
        stage.ended().await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_reset_and_an_end_without_close_look_different() {
    let stage = Stage::plain().await;
    let mut reset = stage.open("sim-reset").await;
    assert_eq!(
        soon(reset.event()).await.unwrap()["type"],
        "session.created"
    );
    let end = soon(reset.socket().next()).await;
    assert!(
        matches!(end, Some(Err(tungstenite::Error::Io(_)))),
        "{end:?}"
    );
    assert_eq!(stage.ended().await.ending, Some(Ending::AsPlayed));
    let mut eof = stage.open("sim-eof").await;
    assert_eq!(soon(eof.event()).await.unwrap()["type"], "session.created");
    let end = soon(eof.socket().next()).await;
    assert!(
        matches!(end, Some(Err(tungstenite::Error::Protocol(_)))),
        "{end:?}"
    );
    drop(eof);
    assert_eq!(stage.ended().await.ending, Some(Ending::AsPlayed));
    stage.end().await;
}

#[tokio::test]
async fn large_messages_arrive_and_sizes_come_back() {
    let stage = Stage::tls().await;
    let mut client = stage.open("sim-large").await;
    let text = signal::large_text();
    for _ in 0..2 {
        let message = soon(client.socket().next()).await.unwrap().unwrap();
        assert_eq!(message.to_text().unwrap().len(), signal::LARGE);
        assert!(message.to_text().unwrap() == text, "another text");
    }
    client
        .socket()
        .send(Message::binary(vec![0; 300_000]))
        .await
        .unwrap();
    let size = soon(client.event()).await.unwrap();
    assert_eq!(
        (&size["opcode"], &size["bytes"]),
        (&json!(2), &json!(300_000))
    );
    drop(client);
    let seen = stage.ended().await;
    assert_eq!((seen.sent.text, seen.sent.continuation), (3, 63));
    stage.end().await;
}

#[tokio::test]
async fn a_flood_ends_when_it_is_closed() {
    let stage = Stage::plain().await;
    let mut client = stage.open("sim-flood").await;
    for _ in 0..1000 {
        let message = soon(client.socket().next()).await.unwrap().unwrap();
        assert_eq!(message.len(), 1024);
    }
    client.socket().close(None).await.unwrap();
    let mut messages = 0;
    while let Some(Ok(_)) = soon(client.socket().next()).await {
        messages += 1;
    }
    assert!(messages < 64 << 10, "the flood went on to its end");
    drop(client);
    assert_eq!(stage.ended().await.ending, Some(Ending::ClosedByClient));
    stage.end().await;
}

#[tokio::test]
async fn pings_are_answered_with_their_own_bytes() {
    let stage = Stage::plain().await;
    let mut client = stage.open("sim-ping").await;
    while let Some(Ok(_)) = soon(client.socket().next()).await {}
    drop(client);
    let seen = stage.ended().await;
    let pongs: Vec<Vec<u8>> = (0..3)
        .map(|number| vec![b's', b'i', b'm', number])
        .collect();
    assert_eq!((seen.pongs, seen.violations), (pongs, vec![]));
    assert_eq!(seen.close_received, Some((Some(1000), "sim".into())));
    stage.end().await;
}

#[tokio::test]
async fn sink_and_slow_count_all_and_close() {
    let stage = Stage::plain().await;
    for (model, messages) in [("sim-sink", 1000_u64), ("sim-slow", 10)] {
        let mut client = stage.open(model).await;
        for _ in 0..messages {
            client
                .socket()
                .send(Message::text("a".repeat(400)))
                .await
                .unwrap();
        }
        client.socket().close(None).await.unwrap();
        while let Some(Ok(_)) = soon(client.socket().next()).await {}
        drop(client);
        let seen = stage.ended().await;
        assert_eq!(
            (seen.received.text, seen.received.close),
            (messages, 1),
            "{model}"
        );
        assert_eq!(seen.ending, Some(Ending::ClosedByClient), "{model}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_stalled_service_fills_up_and_notices_a_reset() {
    let stage = Stage::plain().await;
    let mut client = stage.open("sim-stall").await;
    let chunk = Message::binary(vec![0; 1 << 20]);
    let stuck = async {
        for _ in 0..64 {
            client.socket().send(chunk.clone()).await.unwrap();
        }
    };
    assert!(
        timeout(Duration::from_millis(500), stuck).await.is_err(),
        "64 MiB went through"
    );
    // Without a reset the end of the stream would wait behind what was not read.
    client.socket().get_ref().tcp().set_zero_linger().unwrap();
    drop(client);
    let seen = stage.ended().await;
    assert_eq!(
        (seen.received.binary, seen.ending),
        (0, Some(Ending::AsPlayed))
    );
    stage.end().await;
}

#[tokio::test]
async fn what_never_answers_ends_at_shutdown() {
    let stage = Stage::plain().await;
    for model in ["sim-hang", "sim-drip"] {
        let url = format!("{}?{VERSION}&model={model}", stage.base);
        let dialled = timeout(Duration::from_millis(300), Client::connect(&url, &[], None)).await;
        assert!(dialled.is_err(), "{model} answered");
    }
    let open = stage.open("sim-sink").await;
    stage.end().await;
    drop(open);
}
