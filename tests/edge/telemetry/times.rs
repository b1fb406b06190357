//! What is timed: first audio, interruptions, gaps, silence, legs that take nothing. The upstream says
//! back what it hears, so that a caller can have it say anything, at any time.

use std::time::Duration;

use tokio::time::sleep;
use tonegate::sim::acs::Options;

use crate::child::Child;
use crate::harness::{Caller, Wish, World, text, within};
use crate::phone::puppet::Puppet;
use crate::phone::world::{CONNECTION, CORRELATION, Line, Phone, signed};

const AUDIO: &str = r#"{"type":"response.audio.delta","delta":"AAAA"}"#;

/// Has the upstream say something, and hears it.
async fn says(caller: &mut Caller, message: &str) {
    caller.send(text(message)).await;
    assert_eq!(caller.next().await, Some(text(message)));
}

async fn event(caller: &mut Caller, kind: &str) {
    says(caller, &format!(r#"{{"type":"{kind}","event_id":"e"}}"#)).await;
}

/// How often, and how long in all.
fn told(world: &World, name: &str, labels: &str) -> (u64, f64) {
    let page = world.edge().metrics_page();
    let value = |what: &str| {
        let series = format!("tonegate_{name}_seconds_{what}{{{labels}}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(0.0, |value| value.parse().unwrap())
    };
    (value("count") as u64, value("sum"))
}

/// The same, once there are so many: what is heard of a peer is told a moment later.
async fn until(world: &World, name: &str, labels: &str, count: u64) -> f64 {
    within(name, async {
        loop {
            let (told, seconds) = told(world, name, labels);
            if told >= count {
                assert_eq!(told, count, "{name} {labels}");
                return seconds;
            }
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a40_a_conversation_is_timed_by_its_stages_and_its_end_says_so_in_the_log() {
    let mut world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    sleep(Duration::from_millis(60)).await;
    says(&mut caller, AUDIO).await;
    event(&mut caller, "response.done").await;
    let connected = r#"route="browser",stage="connected""#;
    let seconds = until(&world, "first_audio", connected, 1).await;
    assert!((0.06..5.0).contains(&seconds), "{seconds}");
    // A turn that the service ends, and one that the client commits.
    for end in [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.commit",
    ] {
        event(&mut caller, end).await;
        sleep(Duration::from_millis(50)).await;
        event(&mut caller, "response.created").await;
        says(&mut caller, AUDIO).await;
        event(&mut caller, "response.done").await;
    }
    let seconds = until(&world, "first_audio", r#"route="browser",stage="turn""#, 2).await;
    assert!((0.1..5.0).contains(&seconds), "{seconds}");
    // What is said ends some time after it was interrupted.
    says(&mut caller, AUDIO).await;
    event(&mut caller, "input_audio_buffer.speech_started").await;
    sleep(Duration::from_millis(50)).await;
    says(&mut caller, AUDIO).await;
    sleep(Duration::from_millis(300)).await;
    event(&mut caller, "response.done").await;
    let seconds = until(&world, "barge_in", r#"route="browser""#, 1).await;
    assert!((0.05..0.3).contains(&seconds), "{seconds}");
    // A gap in one answer.
    says(&mut caller, AUDIO).await;
    sleep(Duration::from_millis(230)).await;
    says(&mut caller, AUDIO).await;
    let seconds = until(
        &world,
        "audio_gap",
        r#"route="browser",direction="down""#,
        1,
    )
    .await;
    assert!((0.23..5.0).contains(&seconds), "{seconds}");
    assert_eq!(told(&world, "first_audio", connected).0, 1);
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;

    let child = Child::start(&mut world, "export TONEGATE_LOG=info");
    let mut caller = world.call("sim-echo").await;
    says(&mut caller, AUDIO).await;
    sleep(Duration::from_millis(230)).await;
    says(&mut caller, AUDIO).await;
    caller.close(1000, "").await;
    caller.closed().await;
    let ended = |line: &serde_json::Value| line["message"] == "session ended";
    within("the line", async {
        while child.logged(ended) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let line = child.lines(ended).remove(0);
    assert!(line["first_audio_ms"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["down_gap_ms"].as_f64().unwrap() >= 230.0, "{line}");
    assert!(line.get("silence_ms").is_none(), "{line}");
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32, "{line}");
}

#[tokio::test]
async fn a40_a_client_that_takes_nothing_is_told_by_its_side() {
    let world = World::usual().await;
    let mut caller = world.call("sim-flood").await;
    assert!(caller.next().await.is_some());
    // The sockets' buffers fill meanwhile.
    sleep(Duration::from_millis(600)).await;
    for _ in 0..20 {
        caller.next().await;
    }
    drop(caller);
    within("the session's end", async {
        while told(&world, "slow_consumer", r#"route="browser",side="client""#).0 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let upstream = told(
        &world,
        "slow_consumer",
        r#"route="browser",side="upstream""#,
    );
    assert_eq!(upstream.0, 0);
}

#[tokio::test]
async fn a40_a_call_is_timed_from_its_gate_and_its_silence_is_told() {
    let mut phone = Phone::with(Line {
        gate: "flow = \"pstn\", digits = 3, deadline = \"2300ms\"".to_owned(),
        ..Line::default()
    })
    .await;
    let call = phone
        .rings(&phone.dial(&signed("silent")), Options::default())
        .await;
    call.closed(4408, "gate_expired").await;
    let seconds = until(&phone.world, "caller_silence", r#"route="phone""#, 1).await;
    assert!((2.0..2.6).contains(&seconds), "{seconds}");
    // ACS' own names are in the line of its end.
    let child = phone.child();
    let call = phone
        .rings(&phone.dial(&signed("named")), Options::default())
        .await;
    call.hand.hang_up();
    call.ended().await;
    let ended = |line: &serde_json::Value| line["message"] == "session ended";
    within("the line", async {
        while child.logged(ended) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let line = child.lines(ended).remove(0);
    assert_eq!(line["connection"], CONNECTION, "{line}");
    assert_eq!(line["correlation"], CORRELATION, "{line}");
}

#[tokio::test]
async fn a40_a12_the_stop_of_a_call_is_timed_from_the_interruption() {
    let mut puppet = Puppet::start().await;
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        ..puppet.voice_live()
    })
    .await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    let delta = "AAAA".repeat(400);
    peer.say(r#"{"type":"input_audio_buffer.speech_stopped"}"#)
        .await;
    peer.delta("r1", &delta).await;
    call.until("audio", |record| !record.received.is_empty())
        .await;
    peer.say(r#"{"type":"input_audio_buffer.speech_started"}"#)
        .await;
    call.until("the stop", |record| record.stops().len() == 1)
        .await;
    let seconds = until(&phone.world, "barge_in", r#"route="phone""#, 1).await;
    assert!(seconds < 5.0, "{seconds}");
    for stage in ["connected", "turn"] {
        let labels = format!(r#"route="phone",stage="{stage}""#);
        until(&phone.world, "first_audio", &labels, 1).await;
    }
    call.hand.hang_up();
    call.ended().await;
}

#[tokio::test]
async fn a40_certificates_and_leases_are_on_the_page() {
    let world = World::with(Wish::default()).await;
    world
        .metrics_say("tonegate_leases_total{route=\"browser\",result=\"expired\"} 0")
        .await;
    within("the first upkeep", async {
        while world.count("tonegate_certificate_expiry_seconds{use=\"server\",name=\"server\"}")
            == 0
        {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // Those of tests end in 2045.
    let roots = "tonegate_certificate_expiry_seconds{use=\"upstream_roots\",name=\"voice\"}";
    assert!(world.count(roots) > 365 * 24 * 3600);
}
