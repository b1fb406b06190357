//! What the caller sends.

use super::*;
use crate::audio::SampleRate;
use crate::dtmf::{Detector, Event, Setting};
use crate::sim::acs::hand::Shared;
use crate::sim::acs::line::{Keying, Talker};
use crate::sim::acs::media::speak;
use crate::sim::acs::message::{Manner, Silent, Writer};
use crate::sim::acs::record::{self, Record};
use crate::sim::acs::{Channel, OTHER, Opening, guid};
use crate::sim::client::Timeline;
use futures_util::sink;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

/// What a call sends that does `what` and hangs up when all is said, and what it remembers.
async fn sent(options: Options, what: impl FnOnce(&Call)) -> (Vec<Value>, Record) {
    let (call, mut accepted) = stands(options).await;
    what(&call);
    call.hand().hang_up_when_said();
    let (messages, record) = tokio::join!(accepted.messages(), within(call.run()));
    assert_eq!(record.messages_sent, messages.len() as u64);
    assert!(record.violations.is_empty());
    (messages, record)
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|m| m["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a01_it_dials_as_acs_does() {
    let (call, accepted) = stands(at_once()).await;
    let request = &accepted.request;
    assert_eq!(request.uri(), "/acs/media/7f0c?cid=ab%2B12&sig=x");
    let header = |name: &str| {
        let values: Vec<_> = request.headers().get_all(name).iter().collect();
        values
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(header("authorization"), ["Bearer a.b.c"]);
    let ids = [
        "08002580-0000-0000-0000-000000000001",
        "998a5fa2-0000-0000-0000-000000000002",
    ];
    assert_eq!(header("x-ms-call-connection-id"), [ids[0]]);
    assert_eq!(header("x-ms-call-correlation-id"), [ids[1]]);
    assert!(header("sec-websocket-protocol").is_empty());
    assert!(header("sec-websocket-extensions").is_empty());
    assert!(header("origin").is_empty() && header("cookie").is_empty());
    assert!(call.security().is_none());
}

#[tokio::test]
async fn a01_metadata_comes_first_then_frames_of_20_ms_on_the_clock() {
    for (rate, bytes) in [(SampleRate::Hz16000, 640), (SampleRate::Hz24000, 960)] {
        let speech: Vec<i16> = (0..i16::try_from(bytes).unwrap() * 2).collect();
        let options = Options { rate, ..at_once() };
        let (messages, record) = sent(options, |call| {
            let hand = call.hand();
            hand.say(Talker::Caller, &speech).unwrap();
            hand.pause(Talker::Caller, Duration::from_millis(40))
                .unwrap();
        })
        .await;
        assert_eq!(kinds(&messages)[..2], ["AudioMetadata", "AudioData"]);
        assert_eq!(messages.len(), 7);
        let metadata = &messages[0]["audioMetadata"];
        assert_eq!(metadata["sampleRate"], rate.hz());
        assert_eq!(metadata["length"], bytes);
        let mut all = Vec::new();
        let mut last = None;
        for (at, message) in messages[1..].iter().enumerate() {
            assert_eq!(message.as_object().unwrap().len(), 2);
            let audio = &message["audioData"];
            assert_eq!(audio.as_object().unwrap().len(), 4);
            assert_eq!(audio["participantRawID"], "4:+15551234567");
            assert_eq!(audio["silent"], at >= 4);
            let written = audio["timestamp"].as_str().unwrap();
            assert_eq!((written.len(), &written[23..]), (24, "Z"));
            let time = humantime::parse_rfc3339(written).unwrap();
            if let Some(last) = last.replace(time) {
                assert_eq!(
                    time.duration_since(last).unwrap(),
                    Duration::from_millis(20)
                );
            }
            all.extend(samples(message));
        }
        assert_eq!(all.len(), bytes / 2 * 6);
        assert_eq!(all[..speech.len()], speech);
        assert_eq!(record.sent(Talker::Caller), all);
        assert!(record.sent(Talker::Other).is_empty());
        let events: Vec<_> = record.events.into_iter().map(|(_, event)| event).collect();
        use record::{Ending, Event};
        let ended = Event::Ended(Ending::HungUp);
        assert_eq!(events, [Event::Metadata, Event::Spoke, ended]);
    }
}

#[tokio::test]
async fn a01_a_mixed_call_is_one_stream_that_may_go_without_a_name() {
    let options = Options {
        channel: Channel::Mixed { named: false },
        manner: Manner {
            silent: Silent::Missing,
            ..Manner::default()
        },
        ..at_once()
    };
    let (messages, _) = sent(options, |call| {
        let hand = call.hand();
        hand.say(Talker::Caller, &[30_000; 480]).unwrap();
        hand.say(Talker::Other, &[10_000; 960]).unwrap();
    })
    .await;
    assert_eq!(messages.len(), 3);
    for (message, mixed) in messages[1..].iter().zip([32_767, 10_000]) {
        assert_eq!(samples(message), [mixed; 480]);
        let names: Vec<_> = message["audioData"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["data", "timestamp"]);
    }
}

#[tokio::test]
async fn a01_an_unmixed_call_interleaves_two_talkers() {
    let options = Options {
        channel: Channel::Unmixed,
        ..at_once()
    };
    let (messages, record) = sent(options, |call| {
        let hand = call.hand();
        hand.press("5", &Keying::tones()).unwrap();
        hand.say(Talker::Other, &[7; 480]).unwrap();
    })
    .await;
    let who: Vec<_> = messages[1..]
        .iter()
        .map(|message| message["audioData"]["participantRawID"].as_str().unwrap())
        .collect();
    // 307 ms, rounded up.
    assert_eq!(who.len(), 32);
    let caller = "4:+15551234567";
    let expected = [caller, OTHER, OTHER, caller].repeat(8);
    assert_eq!(who, expected);
    let of = |name: &str| -> Vec<i16> {
        let pairs = messages[1..].iter().zip(&who);
        pairs
            .filter(|(_, who)| **who == name)
            .flat_map(|(message, _)| samples(message))
            .collect()
    };
    assert_eq!(record.sent(Talker::Caller), of(caller));
    assert_eq!(record.sent(Talker::Other), of(OTHER));
    assert_eq!(
        record.sent(Talker::Other)[..481],
        [&[7; 480][..], &[0]].concat()
    );
    // Both messages of a frame are of one time.
    for pair in messages[1..].chunks(2) {
        assert_eq!(
            pair[0]["audioData"]["timestamp"],
            pair[1]["audioData"]["timestamp"]
        );
    }
    assert_eq!(heard(&messages, caller), "5");
    assert_eq!(heard(&messages, OTHER), "");
}

/// Keys that the product's detector finds in the frames of a participant.
fn heard(messages: &[Value], who: &str) -> String {
    let mut detector = Detector::new(SampleRate::Hz24000, Setting::Standard);
    let mut keys = String::new();
    let mut listen = |samples: &[i16]| {
        detector.push(samples, |event| {
            if let Event::KeyDown { digit, .. } = event {
                keys.push(digit.as_char());
            }
        });
    };
    for message in messages {
        if message["audioData"]["participantRawID"] == who {
            listen(&samples(message));
        }
    }
    listen(&[0; 2_400]);
    keys
}

#[tokio::test]
async fn a22_keys_are_sent_as_tones_as_messages_or_as_both() {
    let caller = "4:+15551234567";
    for (keying, tones, told) in [
        (Keying::tones(), "823#", ""),
        (Keying::messages(), "", "823#"),
        (Keying::both(), "823#", "823#"),
    ] {
        let (messages, record) = sent(at_once(), |call| {
            call.hand().press("823#", &keying).unwrap();
        })
        .await;
        assert_eq!(heard(&messages, caller), tones);
        let is_key = |message: &&Value| message["kind"] == "DtmfData";
        let in_messages: String = messages
            .iter()
            .filter(is_key)
            .map(|message| message["dtmfData"]["data"].as_str().unwrap())
            .collect();
        assert_eq!(in_messages, told);
        assert_eq!(record.keys(), 4);
        if let Some(first) = messages.iter().position(|message| is_key(&message)) {
            // The tone begins in the frame behind metadata and five others.
            let late = usize::try_from(keying.message.unwrap()).unwrap();
            assert_eq!(first, 6 + late);
        }
    }
}

#[tokio::test]
async fn a01_unknown_kinds_raw_texts_and_other_openings_are_sent_as_told() {
    let options = Options {
        opening: Opening::Instead(r#"{"kind":"AudioMetadata","x":1}"#.into()),
        manner: Manner {
            unknown_every: Some(2),
            ..Manner::default()
        },
        ..at_once()
    };
    let (messages, _) = sent(options, |call| {
        let hand = call.hand();
        hand.send(r#"{"kind":"Raw"}"#).unwrap();
        hand.say(Talker::Caller, &[1; 480 * 3]).unwrap();
    })
    .await;
    let expected = [
        "AudioMetadata",
        "Raw",
        "MarkData",
        "AudioData",
        "AudioData",
        "DtmfMetadata",
        "AudioData",
    ];
    assert_eq!(kinds(&messages), expected);
    assert_eq!(messages[0]["x"], 1);
    let missing = Options {
        opening: Opening::Missing,
        ..at_once()
    };
    let (messages, _) = sent(missing, |call| {
        call.hand().say(Talker::Caller, &[1]).unwrap();
    })
    .await;
    assert_eq!(kinds(&messages), ["AudioData"]);
}

#[tokio::test(start_paused = true)]
async fn frames_keep_their_schedule_and_catch_up_after_a_stall_no_more_than_needed() {
    let now = Instant::now();
    let dialled = Timeline {
        start: now,
        tcp: now,
        tls: None,
        upgrade: now,
    };
    let shared = Shared::new(Options::default(), Record::new(dialled));
    let times = Arc::new(Mutex::new(Vec::new()));
    let start = tokio::time::Instant::now();
    let wire = sink::unfold(0, |count, _: Message| {
        let times = Arc::clone(&times);
        async move {
            times.lock().unwrap().push(start.elapsed().as_millis());
            // The wire takes nothing for 110 ms after the metadata and five frames.
            if count == 5 {
                tokio::time::sleep(Duration::from_millis(110)).await;
            }
            Ok(count + 1)
        }
    });
    let writer = Writer::new(Manner::default(), guid(), SystemTime::UNIX_EPOCH);
    let speaking = speak(Box::pin(wire), writer, &shared);
    let stopped = timeout(Duration::from_millis(295), speaking).await;
    assert!(
        stopped.is_err(),
        "a caller with nothing to say sends silence"
    );
    let expected = [
        0, 0, 20, 40, 60, 80, 190, 190, 190, 190, 190, 200, 220, 240, 260, 280,
    ];
    assert_eq!(*times.lock().unwrap(), expected);
}
