//! The caller interrupts: what ACS has not played is stopped, and nothing of that answer follows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tonegate::audio::SampleRate;
use tonegate::sim::acs::line::Talker;
use tonegate::sim::acs::record::Event;
use tonegate::sim::acs::{Options, Pace};

use super::puppet::{Peer, Puppet};
use super::world::{Line, Phone, Ringing, same, signed, speech};

const RATE: SampleRate = SampleRate::Hz24000;

/// Samples that are of this answer and of no other.
fn answer(of: i16, length: usize) -> Vec<i16> {
    vec![of; length]
}

fn base64(samples: &[i16]) -> String {
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}

async fn started(route: &str, puppet: &mut Puppet) -> (Phone, Ringing, Peer) {
    let line = Line {
        gate: "flow = \"open\"".to_owned(),
        route: route.to_owned(),
        ..puppet.voice_live()
    };
    let phone = Phone::with(line).await;
    let options = Options {
        pace: Pace::AtOnce,
        ..Options::default()
    };
    let call = phone.rings(&phone.dial(&signed("c1")), options).await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    (phone, call, peer)
}

async fn event(peer: &mut Peer, kind: &str, response: &str) {
    let event = json!({"type": kind, "response": {"id": response, "status": "cancelled"}});
    peer.say(&event.to_string()).await;
}

async fn speech_started(peer: &mut Peer) {
    let event = json!({
        "type": "input_audio_buffer.speech_started", "audio_start_ms": 900, "item_id": "i",
    });
    peer.say(&event.to_string()).await;
}

#[tokio::test]
async fn a12_an_interruption_stops_what_plays_and_the_rest_of_that_answer_never_comes() {
    let mut puppet = Puppet::start().await;
    let (phone, call, mut peer) = started("", &mut puppet).await;
    event(&mut peer, "response.created", "r1").await;
    for _ in 0..5 {
        peer.delta("r1", &base64(&answer(1, 24_000))).await;
    }
    call.until("the first answer", |record| {
        record.received.len() == 120_000
    })
    .await;
    speech_started(&mut peer).await;
    // What the service had under way.
    peer.delta("r1", &base64(&answer(2, 2400))).await;
    peer.delta("r1", &base64(&answer(2, 2400))).await;
    event(&mut peer, "response.done", "r1").await;
    peer.delta("r1", &base64(&answer(2, 2400))).await;
    event(&mut peer, "response.created", "r2").await;
    peer.delta("r2", &base64(&answer(3, 4800))).await;
    call.until("the second answer", |record| {
        record.received.len() >= 124_800
    })
    .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(record.violations, []);
    let expected = [answer(1, 120_000), answer(3, 4800)].concat();
    same("all", &record.received, &expected);
    let told: Vec<_> = record.events.iter().map(|(_, event)| event).collect();
    let audio = told
        .iter()
        .rposition(|event| **event == Event::Audio)
        .unwrap();
    let stop = told
        .iter()
        .position(|event| matches!(event, Event::Stop { .. }))
        .unwrap();
    assert!(stop < audio, "{told:?}");
    assert_eq!(record.stops().len(), 1);
    phone.ended("client", "client_closed", 1).await;
    assert_eq!(phone.dropped("cancelled"), 3);
}

/// All in one write: what waits for ACS goes no further either.
#[tokio::test]
async fn a12_what_waits_for_acs_is_dropped_and_stop_audio_comes_before_the_next_answer() {
    let mut puppet = Puppet::start().await;
    let (phone, call, mut peer) = started("", &mut puppet).await;
    for _ in 0..4 {
        for _ in 0..20 {
            peer.delta("r1", &base64(&answer(1, 24_000))).await;
        }
        speech_started(&mut peer).await;
        event(&mut peer, "response.done", "r1").await;
    }
    peer.delta("r2", &base64(&answer(3, 480))).await;
    let end = |received: &[i16]| received.ends_with(&answer(3, 480));
    call.until("the last answer", |record| end(&record.received))
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(record.violations, []);
    // What is not sent yet needs no stop of its own.
    assert!((1..=4).contains(&record.stops().len()));
    let of_first = record
        .received
        .iter()
        .filter(|sample| **sample == 1)
        .count();
    assert_eq!(record.received.len(), of_first + 480);
    // What came after the first interruption had its name.
    assert!(of_first <= 20 * 24_000, "{of_first}");
    phone.ended("client", "client_closed", 1).await;
    assert!(phone.dropped("cancelled") >= 60);
}

#[tokio::test]
async fn a12_where_the_service_is_told_not_to_interrupt_nothing_is_stopped() {
    let mut puppet = Puppet::start().await;
    let route =
        "session = { turn_detection = { type = \"server_vad\", interrupt_response = false } }";
    let (_phone, call, mut peer) = started(route, &mut puppet).await;
    peer.delta("r1", &base64(&answer(1, 480))).await;
    speech_started(&mut peer).await;
    peer.delta("r1", &base64(&answer(2, 480))).await;
    call.until("both", |record| record.received.len() == 960)
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(record.received, [answer(1, 480), answer(2, 480)].concat());
    assert!(record.stops().is_empty());
}

/// The whole way, in real time: how long it takes is told, not judged.
#[tokio::test]
async fn a12_a_caller_who_speaks_into_an_answer_is_heard_and_the_answer_stops() {
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        ..Line::default()
    })
    .await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.hand.say(Talker::Caller, &speech(1.5, RATE)).unwrap();
    call.until("an answer", |record| !record.received.is_empty())
        .await;
    call.hand.say(Talker::Caller, &speech(0.5, RATE)).unwrap();
    // The first words, before any answer, were an interruption of nothing.
    call.until("two stops", |record| record.stops().len() == 2)
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(record.violations, []);
    let mut spoke = record
        .events
        .iter()
        .filter(|(_, event)| *event == Event::Spoke);
    let spoke = spoke.next_back().unwrap().0;
    let dropped = record.events.iter().filter_map(|(_, event)| {
        if let Event::Stop { dropped } = event {
            Some(*dropped)
        } else {
            None
        }
    });
    let dropped: Vec<_> = dropped.collect();
    let after = record.stops()[1].duration_since(spoke);
    println!(
        "interrupted {after:?} after the first frame; {:?} were not played",
        dropped[1]
    );
    assert!(dropped[0].is_zero() && !dropped[1].is_zero(), "{dropped:?}");
}
