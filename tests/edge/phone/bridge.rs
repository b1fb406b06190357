//! The bridge: what ACS says arrives at Voice Live sample for sample, and back; what neither
//! understands harms nobody; what they disagree on ends the call.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;
use tonegate::audio::SampleRate;
use tonegate::dtmf::Setting;
use tonegate::sim::acs::line::{FRAME, Keying, Talker};
use tonegate::sim::acs::message::{Manner, Silent};
use tonegate::sim::acs::{Channel, Opening, Options, Pace};
use tonegate::sim::frame::{CONTINUATION, Frame, PING, PONG, TEXT};

use super::puppet::Puppet;
use super::world::{Line, Phone, Ringing, find, keys_in, pcm, same, signed, speech};
use crate::harness::{binary, steady};

fn open(line: Line) -> Line {
    Line {
        gate: "flow = \"open\"".to_owned(),
        ..line
    }
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

fn base64(samples: &[i16]) -> String {
    STANDARD.encode(bytes(samples))
}

fn at_once(rate: SampleRate) -> Options {
    Options {
        rate,
        pace: Pace::AtOnce,
        ..Options::default()
    }
}

/// Everything that a serializer of .NET is free to do, at once.
fn every_manner(silent: Silent) -> Manner {
    Manner {
        escape_plus: true,
        escape_slash: true,
        silent,
        told_by: true,
        unknown_every: Some(7),
        ..Manner::default()
    }
}

#[tokio::test]
async fn a12_every_sample_arrives_as_it_was_said_both_ways() {
    let plain = Manner {
        reorder: false,
        ..Manner::default()
    };
    let runs = [
        (SampleRate::Hz24000, plain),
        (SampleRate::Hz16000, plain),
        (SampleRate::Hz24000, every_manner(Silent::Missing)),
        (SampleRate::Hz16000, every_manner(Silent::Always)),
    ]
    .map(async |(rate, manner)| {
        let phone = Phone::with(open(Line::default())).await;
        let options = Options {
            manner,
            ..at_once(rate)
        };
        let call = phone.rings(&phone.dial(&signed("c1")), options).await;
        phone.is_set_up(&call, rate).await;
        let voice = speech(1.5, rate);
        call.hand.say(Talker::Caller, &voice).unwrap();
        // The service answers a turn with the turn.
        call.hand
            .pause(Talker::Caller, Duration::from_secs(1))
            .unwrap();
        call.until("an answer", |record| record.received.len() >= voice.len())
            .await;
        let received = || call.hand.look(|record| record.received.len());
        steady("the whole answer", received).await;
        let seen = phone.world.record.last().unwrap();
        assert_eq!(seen.replied.bytes as usize, 2 * received());
        call.hand.hang_up();
        let record = call.ended().await;
        assert_eq!(record.violations, [], "{rate:?} {manner:?}");
        let sent = record.sent(Talker::Caller);
        same("to the upstream", &phone.audio(&seen), sent);
        assert_eq!(seen.appended.sha256, digest(sent));
        assert_eq!(seen.replied.sha256, digest(&record.received));
        assert!(find(&voice, &record.received).is_some());
        // What nobody knows was counted, and nothing else was dropped.
        let frames = sent.len() / rate.samples_in(FRAME) as usize;
        let unknown = manner
            .unknown_every
            .map_or(0, |every| frames.div_ceil(every as usize));
        phone.ended("client", "client_closed", 1).await;
        assert_eq!(phone.dropped("unknown"), unknown as u64);
        for kind in [
            "unreadable",
            "other_participant",
            "late",
            "pending",
            "unheard",
        ] {
            assert_eq!(phone.dropped(kind), 0, "{kind}");
        }
    });
    join_all(runs).await;
}

fn digest(samples: &[i16]) -> String {
    // The simulator's digest is SHA-256 of the bytes; so is ours.
    let hex = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes(samples));
    hex.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn a12_the_session_is_set_up_before_any_audio_as_the_operator_and_the_call_say() {
    let runs = [
        (SampleRate::Hz24000, 24_000, "pcm16"),
        (SampleRate::Hz16000, 16_000, "pcm16_16000hz"),
    ]
    .map(async |(rate, hz, output)| {
        let phone = Phone::with(open(Line {
            route: "session = { instructions = \"Be brief: \\\"yes\\\".\", temperature = 0.6 }"
                .to_owned(),
            ..Line::default()
        }))
        .await;
        let call = phone.rings(&phone.dial(&signed("c1")), at_once(rate)).await;
        call.hand.say(Talker::Caller, &speech(0.5, rate)).unwrap();
        let seen = phone.upstream_got(Duration::from_millis(500), rate).await;
        call.hand.hang_up();
        call.ended().await;
        let [update] = &seen.updates[..] else {
            panic!("{:?}", seen.updates);
        };
        assert_eq!(update.after, 0, "audio came first");
        let session = json!({
            "instructions": "Be brief: \"yes\".", "temperature": 0.6,
            "input_audio_format": "pcm16", "input_audio_sampling_rate": hz,
            "output_audio_format": output,
        });
        assert_eq!(update.event["session"], session);
        assert_eq!((seen.violations, seen.errors), (vec![], vec![]));
    });
    join_all(runs).await;
}

/// A call through the gate of a puppet, up to where its session is set up.
async fn bridged(
    line: Line,
    puppet: &mut Puppet,
    options: Options,
) -> (Phone, Ringing, super::puppet::Peer) {
    let phone = Phone::with(open(line)).await;
    let call = phone.rings(&phone.dial(&signed("c1")), options).await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    (phone, call, peer)
}

#[tokio::test]
async fn a12_the_agent_greets_where_it_is_told_to_and_before_any_audio() {
    for greet in [true, false] {
        let mut puppet = Puppet::start().await;
        let line = Line {
            route: format!("greet = {greet}"),
            ..puppet.voice_live()
        };
        let (_phone, call, mut peer) = bridged(line, &mut puppet, Options::default()).await;
        let first = peer.event().await;
        if greet {
            assert_eq!(first, json!({"type": "response.create"}));
            assert_eq!(peer.event().await["type"], "input_audio_buffer.append");
        } else {
            assert_eq!(first["type"], "input_audio_buffer.append");
        }
        call.hand.hang_up();
        call.ended().await;
    }
}

/// Audio is held, not sent, while the service sets its session up.
#[tokio::test]
async fn a12_no_audio_goes_before_the_service_has_agreed() {
    let mut puppet = Puppet::start().await;
    let phone = Phone::with(open(puppet.voice_live())).await;
    let rate = SampleRate::Hz24000;
    let call = phone.rings(&phone.dial(&signed("c1")), at_once(rate)).await;
    let mut peer = puppet.next().await;
    let voice = speech(0.2, rate);
    call.hand.say(Talker::Caller, &voice).unwrap();
    call.until("the voice", |record| {
        record.sent(Talker::Caller).len() == voice.len()
    })
    .await;
    peer.say(r#"{"type":"session.created","session":{}}"#).await;
    let update = peer.event().await;
    assert_eq!(update["type"], "session.update");
    peer.say(r#"{"type":"session.updated","session":{}}"#).await;
    let mut heard = Vec::new();
    while heard.len() < voice.len() {
        let append = peer.event().await;
        assert_eq!(append["type"], "input_audio_buffer.append");
        heard.extend(pcm(&STANDARD
            .decode(append["audio"].as_str().unwrap())
            .unwrap()));
    }
    same("what was held", &heard, &voice);
    call.hand.hang_up();
    call.ended().await;
}

#[tokio::test]
async fn a12_what_the_service_says_with_escapes_is_played_and_long_answers_are_split() {
    let mut puppet = Puppet::start().await;
    let (_phone, call, mut peer) =
        bridged(puppet.voice_live(), &mut puppet, Options::default()).await;
    // Bytes whose base64 is full of + and /.
    let escaped: Vec<i16> = [-1025, -16_385, -1, -4162].repeat(300);
    let text = base64(&escaped).replace('/', "\\/").replace('+', "\\u002B");
    assert!(text.contains("\\/") && text.contains("\\u002B"));
    peer.say(&format!(
        "{{\"delta\":\"{text}\",\"response_id\":\"r1\",\"type\":\"response.audio.delta\"}}"
    ))
    .await;
    // Three seconds in one piece: 192,000 characters.
    let long = speech(3.0, SampleRate::Hz24000);
    peer.delta("r1", &base64(&long)).await;
    let all = [escaped, long].concat();
    call.until("all of it", |record| record.received.len() >= all.len())
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    // The simulated ACS complains of messages above 64 KiB, and of base64 cut inside a sample.
    assert_eq!(record.violations, []);
    same("what was played", &record.received, &all);
    assert!(record.messages_received >= 4);
}

#[tokio::test]
async fn a12_of_two_talkers_only_the_caller_goes_on() {
    let phone = Phone::with(open(Line::default())).await;
    let rate = SampleRate::Hz24000;
    let options = Options {
        channel: Channel::Unmixed,
        ..at_once(rate)
    };
    let call = phone.rings(&phone.dial(&signed("c1")), options).await;
    let voice = speech(1.0, rate);
    let other: Vec<i16> = voice.iter().rev().copied().collect();
    call.hand.say(Talker::Other, &other).unwrap();
    call.hand.say(Talker::Caller, &voice).unwrap();
    let seen = phone.upstream_got(Duration::from_secs(1), rate).await;
    call.hand.hang_up();
    let record = call.ended().await;
    let heard = phone.audio(&phone.world.record.last().unwrap());
    same("of the caller", &heard, record.sent(Talker::Caller));
    assert!(find(&other[..480], &heard).is_none());
    assert!(record.sent(Talker::Other).iter().any(|sample| *sample != 0));
    assert_eq!(seen.violations, []);
    phone.ended("client", "client_closed", 1).await;
    assert!(phone.dropped("other_participant") >= 50);
}

#[tokio::test]
async fn a12_masked_keys_are_silence_and_speech_is_as_it_was() {
    let runs = [SampleRate::Hz24000, SampleRate::Hz16000].map(async |rate| {
        let phone = Phone::with(open(Line {
            route: "mask_tones = true".to_owned(),
            ..Line::default()
        }))
        .await;
        let call = phone.rings(&phone.dial(&signed("c1")), at_once(rate)).await;
        phone.is_set_up(&call, rate).await;
        let voice = speech(0.6, rate);
        call.hand.say(Talker::Caller, &voice).unwrap();
        call.dials("59#", &Keying::tones());
        call.hand.say(Talker::Caller, &voice).unwrap();
        call.hand
            .pause(Talker::Caller, Duration::from_millis(400))
            .unwrap();
        let frame = rate.samples_in(FRAME) as usize;
        let said = 5 * frame + voice.len();
        let keys = (0.707 * f64::from(rate.hz())).ceil() as usize;
        let keys = keys.next_multiple_of(frame);
        // The last 60 ms wait for what comes behind them.
        let all = (2 * said + keys + 10 * frame) as u64;
        let seen = phone
            .world
            .upstream_saw(|seen| seen.appended.bytes >= 2 * all)
            .await;
        call.hand.hang_up();
        let record = call.ended().await;
        let (heard, sent) = (phone.audio(&seen), record.sent(Talker::Caller));
        assert_eq!(
            keys_in(sent, rate, Setting::Standard),
            "59#",
            "the test is deaf"
        );
        assert_eq!(keys_in(&heard, rate, Setting::Standard), "");
        same("before the keys", &heard[..said], &sent[..said]);
        let second = said + keys;
        let behind = second..second + voice.len();
        same("behind them", &heard[behind.clone()], &sent[behind]);
        assert!(
            heard[said..second].iter().all(|sample| *sample == 0),
            "some of a key is left"
        );
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a33_audio_that_is_none_of_voice_lives_ends_the_call_with_1003() {
    let told = |rate: u32, channels: u32, encoding: &str| {
        json!({"kind": "AudioMetadata", "audioMetadata": {
            "subscriptionId": "s", "encoding": encoding, "sampleRate": rate,
            "channels": channels, "length": 640,
        }})
        .to_string()
    };
    let runs = ["flow = \"open\"", "flow = \"pstn\", digits = 3"].map(async |gate| {
        let phone = Phone::with(Line {
            gate: gate.to_owned(),
            ..Line::default()
        })
        .await;
        let wrong = [
            told(8000, 1, "PCM"),
            told(24_000, 2, "PCM"),
            told(24_000, 1, "OPUS"),
        ];
        for (number, text) in wrong.iter().enumerate() {
            let options = Options {
                opening: Opening::Instead(text.clone()),
                ..Options::default()
            };
            let call = phone.dial(&signed(&format!("c{number}")));
            let call = phone.rings(&call, options).await;
            call.closed(1003, "format_mismatch").await;
        }
        // The same again changes nothing; another one does.
        let call = phone
            .rings(&phone.dial(&signed("c9")), Options::default())
            .await;
        call.hand.send(&told(24_000, 1, "PCM")).unwrap();
        call.until("some frames", |record| record.messages_sent > 4)
            .await;
        assert_eq!(call.hand.look(|record| record.ending.clone()), None);
        call.hand.send(&told(16_000, 1, "PCM")).unwrap();
        call.closed(1003, "format_mismatch").await;
        phone.ended("client", "format_mismatch", 4).await;
        let dialled = if gate.contains("open") { 4 } else { 0 };
        assert_eq!(phone.world.upstream_total(), dialled, "{gate}");
    });
    join_all(runs).await;
}

/// A caller that speaks frame by frame.
async fn raw(phone: &Phone, call: &str) -> crate::harness::Caller {
    let dial = phone.dial(&signed(call));
    let target = dial
        .url
        .split_once("localhost:")
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .1;
    let bearer = format!("Bearer {}", dial.token.unwrap());
    let headers = [("Authorization", bearer.as_str())];
    phone
        .world
        .ask(&format!("/{target}"), &headers)
        .await
        .unwrap_or_else(|r| panic!("{}", r.body))
}

#[tokio::test]
async fn a12_a_binary_message_of_acs_ends_the_call_with_1003() {
    for gate in ["flow = \"open\"", "flow = \"pstn\", digits = 3"] {
        let phone = Phone::with(Line {
            gate: gate.to_owned(),
            ..Line::default()
        })
        .await;
        let mut caller = raw(&phone, "c1").await;
        caller.send(binary(vec![0; 640])).await;
        let closed = (Some(1003), "format_mismatch".to_owned());
        assert_eq!(caller.closed().await, closed, "{gate}");
        phone.ended("client", "format_mismatch", 1).await;
    }
}

#[tokio::test]
async fn a12_messages_in_fragments_with_a_ping_between_are_heard_whole() {
    let phone = Phone::with(open(Line::default())).await;
    let mut caller = raw(&phone, "c1").await;
    let metadata = r#"{"kind":"AudioMetadata","audioMetadata":{"encoding":"PCM","sampleRate":16000,"channels":1}}"#;
    caller.send(Frame::whole(TEXT, metadata)).await;
    let voice = speech(0.02, SampleRate::Hz16000);
    let audio = format!(
        r#"{{"audioData":{{"data":"{}","silent":false}},"kind":"AudioData"}}"#,
        base64(&voice)
    );
    let piece = |opcode, fin, range: std::ops::Range<usize>| Frame {
        fin,
        ..Frame::whole(opcode, audio[range].to_owned())
    };
    let (one, two) = (40, audio.len() - 7);
    caller.send(piece(TEXT, false, 0..one)).await;
    caller.send(Frame::whole(PING, "still there?")).await;
    let pong = caller.next().await.unwrap();
    assert_eq!(
        (pong.opcode, &pong.payload[..]),
        (PONG, &b"still there?"[..])
    );
    caller.send(piece(CONTINUATION, false, one..two)).await;
    assert!(phone.audio(&phone.world.record.last().unwrap()).is_empty());
    caller
        .send(piece(CONTINUATION, true, two..audio.len()))
        .await;
    let seen = phone
        .upstream_got(Duration::from_millis(20), SampleRate::Hz16000)
        .await;
    same("in fragments", &phone.audio(&seen), &voice);
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await.0, Some(1000));
}

#[tokio::test]
async fn a12_a_service_that_refuses_the_session_ends_the_call_with_1011() {
    let error = json!({"type": "error", "error": {
        "type": "invalid_request_error", "code": "invalid_value", "message": "canary",
    }});
    let mut puppet = Puppet::start().await;
    let phone = Phone::with(open(puppet.voice_live())).await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let mut peer = puppet.next().await;
    peer.say(r#"{"type":"session.created","session":{}}"#).await;
    peer.event().await;
    peer.say(&error.to_string()).await;
    call.closed(1011, "upstream_refused").await;
    assert_eq!(peer.closed().await, (1011, "upstream_refused".to_owned()));
    phone.ended("upstream", "upstream_refused", 1).await;
    // It expects another rate than the call has.
    let call = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    let mut peer = puppet.next().await;
    peer.say(r#"{"type":"session.created","session":{}}"#).await;
    peer.event().await;
    let other = json!({"type": "session.updated", "session": {"input_audio_sampling_rate": 16000}});
    peer.say(&other.to_string()).await;
    call.closed(1003, "format_mismatch").await;
    phone.ended("upstream", "format_mismatch", 1).await;
    // Once it is set up an error is told and the call goes on.
    let call = phone
        .rings(&phone.dial(&signed("c3")), Options::default())
        .await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    peer.say(&error.to_string()).await;
    peer.say("no JSON at all").await;
    peer.say(r#"{"type":"response.some_day.delta","delta":[{"audio":"AAAA"}]}"#)
        .await;
    peer.delta("r1", "AAECAw==").await;
    call.until("audio", |record| record.received.len() == 2)
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(
        (record.violations, record.received),
        (vec![], vec![256, 770])
    );
    phone.ended("client", "client_closed", 1).await;
    assert_eq!(phone.dropped("unreadable"), 1);
}

/// What is no message, and what is nearly one, is counted and ends nothing.
#[tokio::test]
async fn a01_garbage_of_acs_is_counted_and_the_call_goes_on() {
    let phone = Phone::with(open(Line::default())).await;
    let rate = SampleRate::Hz24000;
    let call = phone.rings(&phone.dial(&signed("c1")), at_once(rate)).await;
    let unreadable = [
        "",
        "x",
        "[]",
        "{\"kind\":\"AudioData\"",
        "{\"kind\":\"AudioData\",\"audioData\":{\"data\":7}}",
        "{\"kind\":\"AudioData\",\"audioData\":{\"data\":\"A\\\"B\"}}",
    ];
    for text in unreadable {
        call.hand.send(text).unwrap();
    }
    let unknown = [
        "{}",
        "{\"kind\":\"MarkData\",\"markData\":{}}",
        "{\"kind\":7}",
    ];
    for text in unknown {
        call.hand.send(text).unwrap();
    }
    call.hand.say(Talker::Caller, &speech(0.2, rate)).unwrap();
    let seen = phone.upstream_got(Duration::from_millis(200), rate).await;
    assert_eq!((seen.violations, seen.errors), (vec![], vec![]));
    call.hand.hang_up();
    let record = call.ended().await;
    let heard = phone.audio(&phone.world.record.last().unwrap());
    same("beside garbage", &heard, record.sent(Talker::Caller));
    phone.ended("client", "client_closed", 1).await;
    let counted = phone.dropped("unreadable") + phone.dropped("unknown");
    assert_eq!(counted, (unreadable.len() + unknown.len()) as u64);
}
