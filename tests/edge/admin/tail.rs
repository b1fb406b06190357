//! Looking on: kinds, lengths and times, never what was said; and nobody who looks on holds anybody up.

use std::time::Duration;

use serde_json::Value;
use tonegate::dtmf::tone;
use tonegate::sim::acs::Options;
use tonegate::sim::acs::line::{Keying, Talker};

use super::world::{HERE, Tail, ask, get, open, shown};
use crate::harness::{World, binary, text, within};
use crate::phone::world::{ANI, Phone, signed};

/// What nobody who looks on may see, in whatever a peer writes.
const CANARY: &str = "s3cret-canary";

async fn first(admin: std::net::SocketAddr) -> Value {
    let list = get(admin, "/sessions?state=running").await.json();
    list["sessions"][0].clone()
}

#[tokio::test]
async fn c17_s36_whoever_looks_on_sees_kinds_lengths_and_gaps_and_no_content() {
    let world = World::unlocked().await;
    let admin = world.edge().admin();
    let (mut caller, id) = shown(&world, "sim-echo").await;
    let mut tail = Tail::of(admin, &id).await;
    let mut seen = String::new();
    let (begin, line) = tail.next().await;
    seen.push_str(&line);
    assert_eq!(
        (&begin["event"], &begin["id"], &begin["state"]),
        (&"begin".into(), &id.clone().into(), &"running".into())
    );
    let messages = [
        (
            format!(
                "{{\"type\":\"session.update\",\"session\":{{\"instructions\":\"{CANARY}\"}}}}"
            ),
            "session.update",
        ),
        (
            format!("{{\"audio\": \"{CANARY}\", \"type\": \"input_audio_buffer.append\"}}"),
            "input_audio_buffer.append",
        ),
        (format!("{{\"type\":\"{CANARY}\"}}"), "other"),
        (format!("{{\"kind\":\"{CANARY}\",\"{CANARY}\":7}}"), "other"),
        (CANARY.to_owned(), "other"),
    ];
    for (message, kind) in &messages {
        caller.send(text(message)).await;
        assert_eq!(caller.next().await, Some(text(message)));
        for direction in ["up", "down"] {
            let (told, line) = tail.next().await;
            seen.push_str(&line);
            assert_eq!(
                (&told["event"], &told["direction"]),
                (&"message".into(), &direction.into())
            );
            assert_eq!(
                (&told["type"], &told["bytes"]),
                (&(*kind).into(), &message.len().into())
            );
            assert!(told["at_ms"].as_f64().unwrap() > 0.0);
        }
    }
    caller.send(binary(vec![7; 640])).await;
    caller.next().await.unwrap();
    let (told, line) = tail.next().await;
    seen.push_str(&line);
    assert_eq!(
        (&told["type"], &told["bytes"]),
        (&"binary".into(), &640.into())
    );
    assert!(told["gap_ms"].as_f64().unwrap() >= 0.0);
    caller.close(1000, CANARY).await;
    caller.closed().await;
    let rest = tail.until(|told| told["event"] == "ended").await;
    let ended = rest.last().unwrap();
    assert_eq!(
        (&ended["reason"], &ended["ended_by"]),
        (&"client_closed".into(), &"client".into())
    );
    tail.ends().await;
    seen.push_str(&format!("{rest:?}"));
    assert!(!seen.contains(CANARY), "{seen}");
}

/// Times may hold any digits; whatever else is told holds no number of the caller and no code.
fn tells_no_number(all: &[Value], code: &str) {
    for told in all {
        let mut told = told.clone();
        for name in [
            "at_ms",
            "gap_ms",
            "bytes",
            "client",
            "since",
            "id",
            "duration_ms",
            "lease_ends",
            "up",
            "down",
        ] {
            told.as_object_mut().unwrap().remove(name);
        }
        let told = told.to_string();
        assert!(!told.contains(code) && !told.contains(&ANI[1..]), "{told}");
    }
}

#[tokio::test]
async fn c17_s36_a_phone_call_shows_its_gate_and_how_many_keys_and_never_which() {
    let phone = Phone::usual().await;
    let admin = phone.world.edge().admin();
    phone.stores(ANI, "941").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    phone.heard(1).await;
    let shown = first(admin).await;
    assert_eq!(
        (&shown["gate"], &shown["kind"]),
        (&"pending".into(), &"acs-media".into())
    );
    assert_eq!(
        (&shown["upstream"], &shown["call"]),
        (&Value::Null, &"c1".into())
    );
    let mut tail = Tail::of(admin, shown["id"].as_str().unwrap()).await;
    call.dials("941", &Keying::both());
    call.hand
        .pause(Talker::Caller, Duration::from_secs(1))
        .unwrap();
    let mut all = tail
        .until(|told| told["event"] == "gate" && told["state"] == "authorised")
        .await;
    all.extend(tail.until(|told| told["type"] == "session.updated").await);
    let counts: Vec<u64> = all
        .iter()
        .filter(|told| told["event"] == "keys")
        .map(|told| told["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts.last(), Some(&3), "{counts:?}");
    assert!(counts.is_sorted());
    assert!(
        all.iter()
            .any(|told| told["type"] == "AudioData" && told["direction"] == "up")
    );
    call.hand.hang_up_when_said();
    call.ended().await;
    all.extend(tail.until(|told| told["event"] == "ended").await);
    tail.ends().await;
    let keyed: Vec<_> = all
        .iter()
        .filter(|told| told["type"] == "DtmfData")
        .collect();
    assert_eq!(keyed.len(), 3);
    // Its length could tell which key it was.
    assert!(
        keyed.iter().all(|told| told["bytes"].is_null()),
        "{keyed:?}"
    );
    tells_no_number(&all, "941");
    let shown = get(admin, "/sessions?state=ended").await.json()["sessions"][0].clone();
    assert_eq!(
        (&shown["gate"], &shown["keys"], &shown["upstream"]),
        (&"authorised".into(), &3.into(), &"voice".into())
    );
    assert!(!shown.to_string().contains(&ANI[1..]), "{shown}");
}

#[tokio::test]
async fn c17_keys_of_an_observed_client_are_counted_for_whoever_looks_on() {
    use base64::Engine as _;
    let world = World::with(crate::harness::Wish {
        route: "dtmf = \"observe\"\nlock_models = false".to_owned(),
        ..crate::harness::Wish::default()
    })
    .await;
    let (mut caller, id) = shown(&world, "sim-sink").await;
    let mut tail = Tail::of(world.edge().admin(), &id).await;
    let samples = tone::sequence(
        "7*",
        tonegate::audio::SampleRate::Hz24000,
        &tone::Pace::default(),
    )
    .unwrap();
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    for piece in bytes.chunks(960) {
        let audio = base64::prelude::BASE64_STANDARD.encode(piece);
        let message = format!("{{\"type\":\"input_audio_buffer.append\",\"audio\":\"{audio}\"}}");
        caller.send(text(&message)).await;
    }
    let all = tail
        .until(|told| told["event"] == "keys" && told["count"] == 2)
        .await;
    assert!(
        all.iter()
            .any(|told| told["type"] == "input_audio_buffer.append")
    );
    assert!(!all.iter().any(|told| told.to_string().contains('*')));
}

#[tokio::test]
async fn c17_a_reader_that_takes_nothing_holds_no_session_up_and_loses_the_oldest() {
    let world = World::unlocked().await;
    let admin = world.edge().admin();
    let (mut caller, id) = shown(&world, "sim-echo").await;
    // It asks, and reads no more.
    let slow = open(admin, &id).await;
    slow.readable().await.unwrap();
    // More lines than the kernel keeps for it, and the ring. Few enough at a time that each is told of,
    // also where one read takes them all.
    let message = "{\"type\":\"input_audio_buffer.append\"}";
    let burst: Vec<u8> = (0..250)
        .flat_map(|_| caller.encode(&text(message)).to_vec())
        .collect();
    let limit = "tonegate_limit_hits_total{limit=\"tail_lines\"}";
    for _ in 0..100 {
        caller.send_raw(&burst).await;
        for _ in 0..250 {
            assert_eq!(caller.next().await, Some(text(message)));
        }
    }
    // Now it reads, and is told how much it has lost.
    let mut tail = tokio::io::BufReader::new(slow);
    let lost = async {
        use tokio::io::AsyncBufReadExt as _;
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                tail.read_line(&mut line).await.unwrap() > 0,
                "the tail ended"
            );
            if line.contains("\"lost\"") {
                return serde_json::from_str::<Value>(&line).unwrap();
            }
        }
    };
    let lost = within("what was lost", lost).await;
    assert!(lost["lines"].as_u64().unwrap() > 0, "{lost}");
    // It was the ring that lost them: what goes by untold in one read has a time.
    assert!(lost["at_ms"].is_null(), "{lost}");
    assert!(world.count(limit) > 0);
    drop(tail);
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await.0, Some(1000));
    world.settles().await;
}

#[tokio::test]
async fn c17_so_many_look_on_at_a_time_and_whoever_goes_makes_room() {
    let world = World::unlocked().await;
    let admin = world.edge().admin();
    let (_caller, id) = shown(&world, "sim-echo").await;
    let mut tails = Vec::new();
    for _ in 0..tonegate::session::TAILS_MAX {
        let mut tail = Tail::of(admin, &id).await;
        tail.next().await;
        tails.push(tail);
    }
    let line = format!("GET /sessions/{id}/tail");
    let told = ask(admin, &line, &[HERE], "").await;
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.detail().contains("16"), "{told:?}");
    assert_eq!(world.count("tonegate_limit_hits_total{limit=\"tails\"}"), 1);
    drop(tails.pop());
    within("room", async {
        loop {
            let mut io = tokio::io::BufReader::new(open(admin, &id).await);
            let mut first = String::new();
            use tokio::io::AsyncBufReadExt as _;
            io.read_line(&mut first).await.unwrap();
            if first.contains("200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
