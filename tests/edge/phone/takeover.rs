//! A second socket of one call: it takes over, and what was decided stays decided.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::sim::acs::Options;
use tonegate::sim::acs::line::{Keying, Talker};

use super::world::{ANI, Line, Phone, find, signed, speech};

const RATE: tonegate::audio::SampleRate = tonegate::audio::SampleRate::Hz24000;

/// Glances of sessions at what the store knows of their calls.
const GLANCES: &str = "tonegate_store_operations_total{operation=\"glance\",result=\"ok\"}";

async fn with_resume(resume: &str) -> Phone {
    Phone::with(Line {
        gate: "flow = \"pstn\", digits = 3, deadline = \"1500ms\"".to_owned(),
        calls: format!("resume = \"{resume}\""),
        ..Line::default()
    })
    .await
}

#[tokio::test]
async fn a25_a_second_socket_of_a_pending_call_takes_over_and_is_pending() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let first = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    first.dials("82", &Keying::both());
    first.until("two keys", |record| record.keys() == 2).await;
    let second = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    first.closed(4409, "superseded").await;
    // It was told by the second, and did not find it out by looking some seconds later.
    assert_eq!(phone.world.count(GLANCES), 0);
    phone.ended("edge", "superseded", 1).await;
    phone.gates("left", 1).await;
    assert_eq!(phone.world.upstream_total(), 0);
    // Its entry begins anew.
    second.dials("823", &Keying::both());
    phone.upstream_got(Duration::from_millis(100), RATE).await;
    second.hand.hang_up();
    second.ended().await;
    phone.gates("authorised", 1).await;
    assert_eq!(phone.world.upstream_total(), 1);
}

#[tokio::test]
async fn a25_a_second_socket_of_an_authorised_call_takes_over_and_needs_no_code() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let first = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    first.dials("823", &Keying::both());
    let old = phone.upstream_got(Duration::from_millis(100), RATE).await;
    let second = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    first.closed(4409, "superseded").await;
    // It was told by the second, and did not find it out by looking some seconds later.
    assert_eq!(phone.world.count(GLANCES), 0);
    // The upstream of the first is told too, and the second has one of its own.
    let voice = speech(0.3, RATE);
    second.hand.say(Talker::Caller, &voice).unwrap();
    let new = phone
        .world
        .upstream_saw(|seen| find(&voice, &phone.audio(seen)).is_some())
        .await;
    assert_ne!(new.id, old.id);
    let told = || {
        let all = phone.world.record.connections();
        let seen = all
            .iter()
            .find(|seen| seen.id == old.id)
            .unwrap()
            .close_received
            .clone();
        seen == Some((Some(4409), "superseded".to_owned()))
    };
    crate::harness::within("the old upstream", phone.world.record.until(|_| told())).await;
    second.hand.hang_up();
    second.ended().await;
    phone.gates("authorised", 1).await;
    phone.ended("edge", "superseded", 1).await;
    assert_eq!(phone.world.upstream_total(), 2);
}

/// It is of the call, not of whoever knows its number: another connection takes nothing over.
#[tokio::test]
async fn a26_another_connection_takes_nothing_over() {
    let phone = Phone::usual().await;
    let first = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let mut other = phone.dial(&signed("c1"));
    other.connection_id = Some("08002580-0000-0000-0000-00000000ffff".to_owned());
    assert_eq!(phone.refused(&other).await, (403, "forbidden".to_owned()));
    assert_eq!(first.hand.look(|record| record.ending.clone()), None);
    first.hand.hang_up();
    first.ended().await;
}

#[tokio::test]
async fn a25_a_call_that_was_lost_comes_back_without_a_code_while_the_window_is_open() {
    let runs = [false, true].map(async |hangs_up| {
        let phone = with_resume("20s").await;
        phone.stores(ANI, "823").await;
        let first = phone
            .rings(&phone.dial(&signed("c1")), Options::default())
            .await;
        first.dials("823", &Keying::both());
        phone.upstream_got(Duration::from_millis(100), RATE).await;
        if hangs_up {
            first.hand.hang_up();
        } else {
            first.hand.vanish();
        }
        first.ended().await;
        let left = "tonegate_store_operations_total{operation=\"leave\",result=\"ok\"} 1";
        phone.world.metrics_say(left).await;
        let second = phone
            .rings(&phone.dial(&signed("c1")), Options::default())
            .await;
        let voice = speech(0.3, RATE);
        second.hand.say(Talker::Caller, &voice).unwrap();
        phone
            .world
            .upstream_saw(|seen| find(&voice, &phone.audio(seen)).is_some())
            .await;
        second.hand.hang_up();
        second.ended().await;
        assert_eq!(phone.world.upstream_total(), 2);
        phone.gates("authorised", 1).await;
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a25_behind_the_window_a_call_must_be_opened_anew() {
    let phone = with_resume("200ms").await;
    phone.stores(ANI, "823").await;
    let first = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    first.dials("823", &Keying::both());
    phone.upstream_got(Duration::from_millis(100), RATE).await;
    first.hand.vanish();
    first.ended().await;
    let left = "tonegate_store_operations_total{operation=\"leave\",result=\"ok\"} 1";
    phone.world.metrics_say(left).await;
    // The window is a time, so time has to pass.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    second.closed(4408, "gate_expired").await;
    assert_eq!(phone.world.upstream_total(), 1);
    phone.gates("expired", 1).await;
}

/// A second socket that finds no upstream has taken nothing over.
#[tokio::test]
async fn a25_a_second_socket_whose_upstream_cannot_be_had_leaves_the_first_alone() {
    let mut puppet = super::puppet::Puppet::reluctant().await;
    let mut line = puppet.voice_live();
    line.gate = "flow = \"open\"".to_owned();
    line.more
        .push_str("connect = \"400ms\"\ntotal = \"500ms\"\n");
    let phone = Phone::with(line).await;
    puppet.answer();
    let dial = phone.dial(&signed("c1"));
    let first = phone.rings(&dial, Options::default()).await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    let refused = phone.refused(&phone.dial(&signed("c1"))).await;
    assert_eq!(refused, (504, "upstream_timeout".to_owned()));
    // It asks every second and a half whether the call is still its own.
    phone
        .eventually("a glance", |phone| phone.world.count(GLANCES) > 0)
        .await;
    peer.delta("r1", "AAECAw==").await;
    first
        .until("audio", |record| record.received.len() == 2)
        .await;
    first.hand.hang_up();
    first.ended().await;
}
