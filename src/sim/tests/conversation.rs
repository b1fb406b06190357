//! Whole conversations, and what the record keeps of them.

use super::*;

#[tokio::test]
async fn a_conversation_over_tls_returns_what_was_said() {
    let stage = Stage::tls().await;
    let (mut client, timeline) = stage.model("gpt-realtime").await.unwrap();
    let steps = [
        Some(timeline.start),
        Some(timeline.tcp),
        timeline.tls,
        Some(timeline.upgrade),
    ];
    assert!(steps.is_sorted() && timeline.tls.is_some());
    let security = client.security().unwrap().clone();
    assert_eq!(security.version, "TLSv1_3");
    assert_eq!(security.group.as_deref(), Some("X25519MLKEM768"));
    let first = soon(client.converse(2.0)).await.unwrap();
    assert!(first.audio_received >= 96_000 && first.audio_received <= first.audio_sent);
    assert!(first.spoke <= first.first_audio && first.first_audio <= first.done);
    let second = soon(client.converse(1.0)).await.unwrap();
    assert_eq!(second.messages_sent, 75);
    soon(client.socket().close(None)).await.unwrap();
    while soon(client.socket().next()).await.is_some() {}
    drop(client);
    let seen = stage.ended().await;
    assert_eq!(seen.violations, []);
    assert_eq!(seen.errors, [""; 0]);
    assert_eq!(
        seen.appended.bytes as usize,
        first.audio_sent + second.audio_sent
    );
    let replied = first.audio_received + second.audio_received;
    assert_eq!(seen.replied.bytes as usize, replied);
    assert_eq!(seen.ending, Some(Ending::ClosedByClient));
    assert_eq!(seen.scenario, Some(Scenario::Conversation));
    assert_eq!(seen.security.as_ref().unwrap().version, security.version);
    assert_eq!(seen.header("API-KEY").collect::<Vec<_>>(), [KEY]);
    assert!(
        !format!("{seen:?}").contains(KEY),
        "a secret in the printed form"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_turn_at_real_pace_is_no_rate_mismatch() {
    let options = Options {
        strict_pacing: true,
        ..Options::loopback()
    };
    let stage = Stage::with(options).await;
    let mut client = stage.open("m").await;
    client.set_pace(Pace::RealTime);
    soon(client.converse(0.5)).await.unwrap();
    client.set_pace(Pace::AtOnce);
    let hurried = soon(client.converse(5.0)).await;
    assert!(matches!(hurried, Err(Error::Service { code }) if code == "audio_rate_mismatch"));
    stage.end().await;
}

#[tokio::test]
async fn faults_are_events_and_leave_the_socket_open() {
    let stage = Stage::plain().await;
    let mut client = stage.open("m").await;
    assert_eq!(
        soon(client.event()).await.unwrap()["type"],
        "session.created"
    );
    let update = json!({
        "type": "session.update", "event_id": "e1", "session": { "input_audio_format": "mp3" },
    });
    client.say(&update).await.unwrap();
    let error = soon(client.event()).await.unwrap();
    assert_eq!(error["error"]["event_id"], "e1");
    assert_eq!(error["error"]["param"], "session.input_audio_format");
    client
        .socket()
        .send(Message::binary(vec![1]))
        .await
        .unwrap();
    assert_eq!(
        soon(client.event()).await.unwrap()["error"]["code"],
        "invalid_message"
    );
    client
        .say(&json!({ "type": "response.create" }))
        .await
        .unwrap();
    assert_eq!(
        soon(client.event()).await.unwrap()["type"],
        "response.created"
    );
    drop(client);
    let seen = stage.ended().await;
    assert_eq!(seen.violations, [Violation::Binary]);
    assert_eq!(seen.errors, ["invalid_value", "invalid_message"]);
    assert_eq!(seen.ending, Some(Ending::ClientGone));
    stage.end().await;
}

#[tokio::test]
async fn updates_and_the_beginning_of_the_audio_are_kept_as_they_came() {
    let stage = Stage::with(Options {
        keep_audio: 6,
        ..Options::loopback()
    })
    .await;
    let mut client = stage.open("m").await;
    let append = |audio: &str| json!({ "type": "input_audio_buffer.append", "audio": audio });
    let update = json!({ "type": "session.update", "session": { "temperature": 0.5 } });
    let refused = json!({ "type": "session.update", "session": { "vioce": "x" } });
    for event in [
        &update,
        &append("AAECAw=="),
        &refused,
        &append("BAUGBw=="),
        // Says the word and is none.
        &json!({ "type": "nonsense", "text": "session.update" }),
    ] {
        client.say(event).await.unwrap();
    }
    drop(client);
    let seen = stage.ended().await;
    let updates: Vec<_> = seen.updates.iter().map(|u| (u.after, &u.event)).collect();
    assert_eq!(updates, [(0, &update), (4, &refused)]);
    assert_eq!(seen.appended.bytes, 8);
    assert_eq!(stage.record.audio(seen.id), [0, 1, 2, 3, 4, 5]);
    assert_eq!(stage.record.audio(seen.id + 1), [0; 0]);
    stage.end().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_a_conversation() {
    let stage = Stage::plain().await;
    let mut raw = stage.raw("m").await;
    raw.send(&[Frame::whole(frame::TEXT, vec![0xff])]).await;
    let mut last = None;
    while let Some(frame) = raw.next().await.unwrap() {
        last = Some(frame);
    }
    assert_eq!(last.unwrap().close_parts().0, Some(1007));
    drop(raw);
    let seen = stage.ended().await;
    assert_eq!(seen.violations, [Violation::Message]);
    assert_eq!(seen.ending, Some(Ending::ClientBroke));
    stage.end().await;
}

#[tokio::test]
async fn a_subscriber_is_told_of_each_end_once() {
    let stage = Stage::plain().await;
    let mut ends = stage.record.subscribe();
    for id in 1..=3 {
        drop(stage.open("sim-sink").await);
        let end = soon(ends.recv()).await.unwrap();
        assert_eq!((end.id, end.ending), (id, Some(Ending::ClientGone)));
    }
    assert_eq!(stage.record.totals().total, 3);
    assert!(ends.try_recv().is_err());
    stage.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_listen_is_not_heard_without_end() {
    let stage = Stage::plain().await;
    let mut client = stage.open("m").await;
    let unknown = Message::text(r#"{"type":"nonsense"}"#);
    // Each message is answered by an error event ten times its size; unread, they must fill the
    // sockets and then stop the service from hearing more.
    let sending = async {
        for _ in 0..4_000_000 {
            client.socket().feed(unknown.clone()).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(3), sending).await.is_err());
    let heard = stage.record.last().unwrap();
    assert!(heard.received.text < heard.sent.text + 300, "{heard:?}");
    client.socket().get_ref().tcp().set_zero_linger().unwrap();
    drop(client);
    assert_eq!(stage.ended().await.ending, Some(Ending::ClientGone));
    stage.end().await;
}
