//! How calls end, and what each side is told: behind the gate, before it, and between.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::record::Ending;
use tonegate::sim::acs::{Options, Pace};

use super::puppet::{Peer, Puppet};
use super::world::{ANI, Line, Phone, Ringing, signed};
use crate::harness::{UPSTREAM_KEY, within};
use crate::heard;

/// It was said that this upstream failed, and why.
async fn warned(upstream: &str, reason: &str) {
    let is_said = || {
        heard::warned(|line| {
            line["message"] == "upstream failed"
                && line["upstream"] == upstream
                && line["reason"] == reason
        })
    };
    within("a warning", async {
        while !is_said() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn open(line: Line) -> Line {
    Line {
        gate: "flow = \"open\"".to_owned(),
        ..line
    }
}

/// A call that has dialled its code; the gate opens a moment later.
async fn dialled(phone: &Phone, call: &str, code: &str) -> Ringing {
    phone.stores(ANI, code).await;
    let call = phone
        .rings(&phone.dial(&signed(call)), Options::default())
        .await;
    call.dials(code, &Keying::both());
    call
}

async fn through(line: Line, puppet: &mut Puppet) -> (Phone, Ringing, Peer) {
    let phone = Phone::with(line).await;
    let call = dialled(&phone, "c1", "823").await;
    let mut peer = puppet.next().await;
    peer.sets_up().await;
    (phone, call, peer)
}

#[tokio::test]
async fn a28_a_caller_who_hangs_up_ends_the_upstream_with_1000() {
    let mut puppet = Puppet::start().await;
    let (phone, call, mut peer) = through(puppet.voice_live(), &mut puppet).await;
    call.hand.hang_up();
    assert_eq!(peer.closed().await, (1000, String::new()));
    let record = call.ended().await;
    assert_eq!(record.ending, Some(Ending::HungUp));
    assert_eq!(
        record.close.unwrap().0,
        Some(1000),
        "the answer to our close"
    );
    phone.ended("client", "client_closed", 1).await;
}

#[tokio::test]
async fn a28_an_upstream_that_closes_ends_the_call_with_its_own_code_behind_what_it_said() {
    let mut puppet = Puppet::start().await;
    let (phone, call, mut peer) = through(puppet.voice_live(), &mut puppet).await;
    for _ in 0..20 {
        peer.delta("r1", "AAECAw==").await;
    }
    peer.close(4001, "the agent is done").await;
    let record = call.closed(4001, "the agent is done").await;
    assert_eq!(record.received, [256, 770].repeat(20));
    phone.ended("upstream", "upstream_closed", 1).await;
    // Also where it does so before its session is set up.
    let call = dialled(&phone, "c2", "824").await;
    let mut peer = puppet.next().await;
    peer.close(4002, "").await;
    call.closed(4002, "").await;
}

#[tokio::test]
async fn a28_an_upstream_that_vanishes_ends_the_call_with_1011() {
    let mut puppet = Puppet::start().await;
    let (phone, call, peer) = through(puppet.voice_live(), &mut puppet).await;
    drop(peer);
    call.closed(1011, "upstream_closed").await;
    phone.ended("upstream", "upstream_closed", 1).await;
}

/// It spoke before it was gone: binary is nothing that Voice Live says.
#[tokio::test]
async fn a28_an_upstream_that_sends_binary_ends_the_call_with_1003() {
    let mut puppet = Puppet::start().await;
    let (phone, call, mut peer) = through(puppet.voice_live(), &mut puppet).await;
    peer.say_binary(b"audio").await;
    call.closed(1003, "format_mismatch").await;
    phone.ended("upstream", "format_mismatch", 1).await;
}

#[tokio::test]
async fn a12_an_upstream_that_cannot_serve_a_caller_who_may_go_through_is_told_by_its_word() {
    heard::listen();
    let runs = [
        ("sim-refuse-500", 1011, "upstream_refused"),
        ("sim-refuse-401", 1011, "upstream_unauthorized"),
        ("sim-refuse-429", 1013, "upstream_busy"),
        ("sim-bad-accept", 1011, "upstream_refused"),
        ("", 1011, "upstream_unreachable"),
    ]
    .map(async |(model, code, reason)| {
        let phone = Phone::with(Line {
            model: if model.is_empty() {
                "gpt-realtime"
            } else {
                model
            },
            upstream: "unable",
            more: format!(
                "[upstreams.unable]\nkind = \"voice-live\"\nurl = \"UPSTREAM\"\n\
                 credential = {{ key = \"{UPSTREAM_KEY}\" }}\nroots = \"ca.pem\"\n"
            ),
            ..Line::default()
        })
        .await;
        if model.is_empty() {
            phone.world.stop_upstream().await;
        }
        let call = dialled(&phone, "c1", "823").await;
        call.closed(code, reason).await;
        phone.ended("upstream", reason, 1).await;
        phone.gates("authorised", 1).await;
        let dials =
            format!("tonegate_upstream_dials_total{{upstream=\"unable\",result=\"{reason}\"}} 1");
        phone.world.metrics_say(&dials).await;
        warned("unable", reason).await;
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a20_a_call_that_goes_while_it_is_pending_dials_nothing() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("82", &Keying::both());
    call.until("two keys", |record| record.keys() == 2).await;
    call.hand.vanish();
    call.ended().await;
    phone.ended("client", "client_lost", 1).await;
    let call = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    call.hand.hang_up();
    let record = call.ended().await;
    assert_eq!(record.close.unwrap().0, Some(1000));
    phone.gates("left", 2).await;
    assert_eq!(phone.world.upstream_total(), 0);
    phone
        .world
        .metrics_say("tonegate_sessions{route=\"phone\"} 0")
        .await;
}

#[tokio::test]
async fn a28_an_edge_that_stops_tells_calls_before_and_behind_the_gate() {
    let mut puppet = Puppet::start().await;
    let (mut phone, behind, mut peer) = through(puppet.voice_live(), &mut puppet).await;
    let before = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    before
        .until("a frame", |record| record.messages_sent > 1)
        .await;
    drop(phone.world.edge.take());
    before.closed(1001, "draining").await;
    behind.closed(1001, "draining").await;
    assert_eq!(peer.closed().await, (1001, "draining".to_owned()));
}

#[tokio::test]
async fn a28_no_call_lasts_longer_than_it_may_before_and_behind_the_gate() {
    let limits = "session = \"900ms\"".to_owned();
    let phone = Phone::with(Line {
        limits: limits.clone(),
        ..Line::default()
    })
    .await;
    let before = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    before.closed(4450, "max_duration").await;
    phone.gates("left", 1).await;
    assert_eq!(phone.world.upstream_total(), 0);
    let mut puppet = Puppet::start().await;
    let line = Line {
        limits,
        ..open(puppet.voice_live())
    };
    let phone = Phone::with(line).await;
    let options = Options {
        pace: Pace::AtOnce,
        ..Options::default()
    };
    let call = phone.rings(&phone.dial(&signed("c1")), options).await;
    let mut peer = puppet.next().await;
    call.closed(4450, "max_duration").await;
    assert_eq!(peer.closed().await, (4450, "max_duration".to_owned()));
    phone.ended("edge", "max_duration", 1).await;
}

/// Where nothing crosses a call is idle, but one whose caller only listens is not.
#[tokio::test]
async fn a28_a_pending_call_ends_by_its_gate_and_a_silent_one_is_idle() {
    let limits = "idle = \"400ms\"".to_owned();
    let phone = Phone::with(Line {
        limits,
        ..open(Line::default())
    })
    .await;
    let options = Options {
        pace: Pace::AtOnce,
        ..Options::default()
    };
    let silent = phone.rings(&phone.dial(&signed("c1")), options).await;
    silent.closed(1001, "idle").await;
    let speaks = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(speaks.hand.look(|record| record.ending.clone()), None);
    speaks.hand.hang_up();
    speaks.ended().await;
    phone.ended("edge", "idle", 1).await;
}
