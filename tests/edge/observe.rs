//! A route that observes keys: they are heard in whatever format the session agrees on, counted and
//! never told, and what crosses is the same.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::Signal;
use serde_json::Value;
use tonegate::audio::SampleRate;
use tonegate::audio::g711::Law;
use tonegate::dtmf::tone;
use tonegate::sim::frame::{self, Frame};

use crate::binary::Served;
use crate::harness::{Caller, KEY, Wish, World, binary, read_answer, request, text, within};

async fn world(locked: bool) -> World {
    World::with(Wish {
        route: format!("dtmf = \"observe\"\nlock_models = {locked}"),
        ..Wish::default()
    })
    .await
}

fn dialled(keys: &str, rate: SampleRate) -> Vec<i16> {
    tone::sequence(keys, rate, &tone::Pace::default()).unwrap()
}

fn pcm16(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

/// 20 ms as the SDK for Node writes it, or the one for Python.
fn append(audio: &[u8], python: bool) -> String {
    let audio = BASE64_STANDARD.encode(audio);
    if python {
        format!(r#"{{"audio": "{audio}", "type": "input_audio_buffer.append"}}"#)
    } else {
        format!(r#"{{"type":"input_audio_buffer.append","event_id":"e1","audio":"{audio}"}}"#)
    }
}

/// What a caller appended, for comparison.
struct Spoken {
    bytes: u64,
    digest: Context,
}

/// Speaks in appends of so many bytes: whole, in fragments, and in fragments with a ping between.
async fn speak(caller: &mut Caller, spoken: &mut Spoken, audio: &[u8], size: usize) {
    for (i, piece) in audio.chunks(size).enumerate() {
        spoken.bytes += piece.len() as u64;
        spoken.digest.update(piece);
        let message = append(piece, i % 2 == 0);
        if i % 3 == 0 {
            caller.send(text(&message)).await;
            continue;
        }
        let (first, second) = message.split_at(7 * i % message.len());
        let part = |fin, opcode, payload: &str| Frame {
            fin,
            opcode,
            payload: payload.to_owned().into(),
        };
        caller.send(part(false, frame::TEXT, first)).await;
        if i % 3 == 2 {
            caller.send(Frame::whole(frame::PING, "p")).await;
        }
        caller.send(part(true, frame::CONTINUATION, second)).await;
    }
}

async fn update(caller: &mut Caller, session: &str) {
    let message = format!(r#"{{"type":"session.update","session":{session}}}"#);
    caller.send(text(&message)).await;
}

/// Reads on until the service says this.
async fn until(caller: &mut Caller, kind: &str) {
    loop {
        let frame = caller.next().await.unwrap();
        if frame.opcode == frame::TEXT {
            let event: Value = serde_json::from_slice(&frame.payload).unwrap();
            if event["type"] == kind {
                return;
            }
            assert_ne!(event["type"], "error", "{event}");
        }
    }
}

#[tokio::test]
async fn b06_keys_are_counted_through_every_format_and_the_audio_crosses_unchanged() {
    for locked in [true, false] {
        let world = world(locked).await;
        let mut caller = world.call("gpt-realtime").await;
        let mut spoken = Spoken {
            bytes: 0,
            digest: Context::new(&SHA256),
        };
        // No turns: nobody is to answer.
        update(&mut caller, r#"{"turn_detection":null}"#).await;
        let fast = pcm16(&dialled("123", SampleRate::Hz24000));
        speak(&mut caller, &mut spoken, &fast, 960).await;
        // Spoken before the service has answered.
        update(&mut caller, r#"{"input_audio_sampling_rate":16000}"#).await;
        let slow = pcm16(&dialled("45", SampleRate::Hz16000));
        speak(&mut caller, &mut spoken, &slow, 640).await;
        until(&mut caller, "session.updated").await;
        until(&mut caller, "session.updated").await;
        speak(&mut caller, &mut spoken, &slow, 640).await;
        // A binary message is nothing that the service knows.
        caller.send(binary(append(&slow, false))).await;
        until(&mut caller, "error").await;
        update(&mut caller, r#"{"input_audio_format":"g711_ulaw"}"#).await;
        let octets = dialled("678#", SampleRate::Hz8000);
        let octets: Vec<u8> = octets.iter().map(|&s| Law::Mu.encode(s)).collect();
        speak(&mut caller, &mut spoken, &octets, 160).await;
        let echo = r#"{"input_audio_format":"pcm16","input_audio_echo_cancellation":
            {"type":"server_echo_cancellation","reference_source":"client","channels":2}}"#;
        update(&mut caller, echo).await;
        // The reference dials, too, and is not meant.
        let (near, far) = ("9*0", "11111");
        let near = dialled(near, SampleRate::Hz24000);
        let mut far = dialled(far, SampleRate::Hz24000);
        far.truncate(near.len());
        let both: Vec<i16> = near.iter().zip(far).flat_map(|(n, f)| [*n, f]).collect();
        speak(&mut caller, &mut spoken, &pcm16(&both), 1920).await;
        caller.close(1000, "").await;
        caller.closed().await;
        world
            .metrics_say("tonegate_dtmf_keys_total{route=\"browser\"} 14")
            .await;
        world
            .metrics_say("tonegate_dtmf_unheard_messages_total{route=\"browser\"} 0")
            .await;
        world.settles().await;
        let seen = world.upstream_saw(|seen| seen.ending.is_some()).await;
        let digest = spoken.digest.finish();
        let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            (seen.appended.bytes, seen.appended.sha256),
            (spoken.bytes, hex)
        );
    }
}

#[tokio::test]
async fn b06_what_the_service_makes_of_an_update_wins_over_what_was_asked() {
    let world = world(true).await;
    let mut caller = world.call("gpt-realtime").await;
    let mut spoken = Spoken {
        bytes: 0,
        digest: Context::new(&SHA256),
    };
    // The service refuses all of this, so the first format stays.
    let refused =
        r#"{"turn_detection":null,"input_audio_sampling_rate":16000,"output_audio_format":"mp3"}"#;
    update(&mut caller, refused).await;
    let answer = loop {
        let event: Value = serde_json::from_slice(&caller.next().await.unwrap().payload).unwrap();
        if event["type"] == "error" {
            break event;
        }
    };
    assert_eq!(answer["error"]["param"], "session.output_audio_format");
    let fast = pcm16(&dialled("58", SampleRate::Hz24000));
    speak(&mut caller, &mut spoken, &fast, 960).await;
    // This one takes a format without a rate for its first rate; the edge would have kept 16 kHz.
    update(&mut caller, r#"{"input_audio_sampling_rate":16000}"#).await;
    update(&mut caller, r#"{"input_audio_format":"pcm16"}"#).await;
    until(&mut caller, "session.updated").await;
    until(&mut caller, "session.updated").await;
    speak(&mut caller, &mut spoken, &fast, 960).await;
    caller.close(1000, "").await;
    caller.closed().await;
    world
        .metrics_say("tonegate_dtmf_keys_total{route=\"browser\"} 4")
        .await;
}

#[tokio::test]
async fn a_route_that_does_not_say_so_hears_nothing() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    let audio = pcm16(&dialled("12", SampleRate::Hz24000));
    for piece in audio.chunks(960) {
        let message = text(&append(piece, false));
        caller.send(message.clone()).await;
        assert_eq!(caller.next().await, Some(message));
    }
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
    assert_eq!(
        world.count("tonegate_dtmf_keys_total{route=\"browser\"}"),
        0
    );
}

/// Dials in a session of its own.
async fn dial(world: &World, served: &mut Served, keys: &str) {
    let asked = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let io = served.send(world, asked.as_bytes()).await;
    let mut caller = within("an answer", read_answer(io)).await.unwrap();
    let audio = pcm16(&dialled(keys, SampleRate::Hz24000));
    for (i, piece) in audio.chunks(960).enumerate() {
        let message = text(&append(piece, i % 2 == 0));
        caller.send(message.clone()).await;
        assert_eq!(caller.next().await, Some(message));
    }
    // What cannot be heard is a number, too.
    let broken = r#"{"type":"input_audio_buffer.append","audio":"canary"}"#;
    caller.send(text(broken)).await;
    assert_eq!(caller.next().await, Some(text(broken)));
    caller.close(1000, "").await;
    caller.closed().await;
    let ended = |line: &Value| line["message"] == "session ended";
    assert_eq!(served.until(ended).await["up_dtmf_keys"], 6);
}

/// What the edge said from the start of each session to its end, without what is another in
/// every session.
fn sessions(printed: &str) -> Vec<Vec<Value>> {
    let mut sessions = Vec::new();
    let mut lines = Vec::new();
    for line in printed.lines() {
        let Ok(mut line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let started = line["message"] == "session started";
        let ended = line["message"] == "session ended";
        for field in [
            "timestamp",
            "session",
            "client",
            "upgrade_ms",
            "dial_ms",
            "duration_ms",
            "trace_id",
            "first_audio_ms",
        ] {
            line.as_object_mut().unwrap().remove(field);
        }
        if started || !lines.is_empty() {
            lines.push(line);
        }
        if ended {
            sessions.push(std::mem::take(&mut lines));
        }
    }
    sessions
}

#[tokio::test]
async fn g15_digits_are_nowhere_and_their_number_is_in_log_and_metric() {
    let world = world(true).await;
    let mut served = Served::start(&world, "tonegate=trace").await;
    let codes = ["7391*5", "A0D#C8"];
    for code in codes {
        dial(&world, &mut served, code).await;
    }
    let page = served.metrics_page().await;
    for line in [
        "tonegate_dtmf_keys_total{route=\"browser\"} 12",
        "tonegate_dtmf_unheard_messages_total{route=\"browser\"} 2",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
    }
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    // Whatever was dialled, the same is told.
    let sessions = sessions(&printed);
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0], sessions[1]);
    for text in [printed, page] {
        assert!(
            !text.contains("canary") && !text.contains("Digit"),
            "{text}"
        );
        assert!(!codes.iter().any(|code| text.contains(code)), "{text}");
    }
}
