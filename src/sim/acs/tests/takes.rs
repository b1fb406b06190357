//! What the caller takes, and what it does not.

use super::*;
use crate::sim::acs::read::{MESSAGE_MAX, Violation};
use crate::sim::acs::record::{Ending, Event};
use futures_util::SinkExt;

fn audio(samples: &[i16]) -> Message {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let data = STANDARD.encode(bytes);
    Message::text(format!(
        r#"{{"Kind":"AudioData","AudioData":{{"Data":"{data}"}},"StopAudio":null}}"#
    ))
}

fn stop() -> Message {
    Message::text(r#"{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}"#)
}

#[tokio::test]
async fn a01_audio_is_played_in_order_and_a_stop_drops_the_rest() {
    let (call, mut edge) = stands(at_once()).await;
    let hand = call.hand();
    let played = async {
        assert_eq!(edge.message().await.unwrap()["kind"], "AudioMetadata");
        // A minute at once, then a stop, then a little.
        for at in 0..60 {
            edge.socket.send(audio(&[at; 15_000])).await.unwrap();
        }
        edge.socket.send(stop()).await.unwrap();
        edge.socket.send(audio(&[100; 240])).await.unwrap();
        within(hand.until(|record| record.messages_received == 62)).await;
        hand.hang_up();
        assert!(edge.messages().await.is_empty());
    };
    let (record, ()) = tokio::join!(within(call.run()), played);
    let expected: Vec<i16> = (0..60)
        .flat_map(|at| [at; 15_000])
        .chain([100; 240])
        .collect();
    assert!(record.received == expected);
    let events: Vec<&Event> = record.events.iter().map(|(_, event)| event).collect();
    let [
        Event::Metadata,
        Event::Audio,
        Event::Stop { dropped },
        Event::Audio,
        Event::Ended(end),
    ] = events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*end, Ending::HungUp);
    // 37.5 s were not played in the time that a test takes; all that was is what was heard.
    assert!(*dropped > Duration::from_secs(1), "{dropped:?}");
    let voiced = record
        .heard
        .iter()
        .filter(|&&sample| (1..60).contains(&sample))
        .count();
    let dropped = (dropped.as_secs_f64() * 24_000.0).round() as usize;
    let zeros = 15_000.min(15_000 * 60 - dropped);
    assert_eq!(voiced + zeros + dropped, 15_000 * 60);
    assert!(record.first_audio().unwrap() <= record.stops()[0]);
    assert_eq!(record.close, Some((Some(1000), String::new())));
    assert!(record.violations.is_empty());
}

#[tokio::test]
async fn pings_are_answered_in_the_middle_of_a_call() {
    let (call, mut edge) = stands(at_once()).await;
    let hand = call.hand();
    let asked = async {
        edge.message().await.unwrap();
        edge.socket
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        let pong = within(edge.socket.next()).await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
        hand.hang_up();
        edge.messages().await;
    };
    let (record, ()) = tokio::join!(within(call.run()), asked);
    assert_eq!((record.pings, record.violations.len()), (1, 0));
}

#[tokio::test]
async fn a01_what_acs_would_not_expect_is_written_down() {
    let (call, mut edge) = stands(at_once()).await;
    let hand = call.hand();
    let long = format!(
        r#"{{"Kind":"AudioData","AudioData":{{"Data":"{}"}}}}"#,
        "AAAA".repeat(MESSAGE_MAX / 4)
    );
    let cases = [
        (Message::binary(vec![1, 2]), Violation::Binary),
        (Message::Pong("unasked".into()), Violation::Pong),
        (Message::text(long), Violation::TooLarge),
        (Message::text("{"), Violation::Json),
        (
            Message::text(r#"{"Kind":"Transcription"}"#),
            Violation::Kind,
        ),
        (
            Message::text(r#"{"Kind":"AudioData"}"#),
            Violation::AudioData,
        ),
    ];
    let expected: Vec<Violation> = cases.iter().map(|(_, violation)| *violation).collect();
    let sent = async {
        edge.message().await.unwrap();
        for (message, _) in cases {
            edge.socket.send(message).await.unwrap();
        }
        within(hand.until(|record| record.violations.len() == 6)).await;
        hand.hang_up();
        edge.messages().await;
    };
    let (record, ()) = tokio::join!(within(call.run()), sent);
    assert_eq!(record.violations, expected);
    // The call goes on, and what can be understood is.
    assert_eq!(record.ending, Some(Ending::HungUp));
    assert_eq!(record.received.len(), MESSAGE_MAX / 4 * 3 / 2);
    assert_eq!(record.messages_received, 5);
    assert_eq!(record.summary()["violations"][0], "Binary");
}
