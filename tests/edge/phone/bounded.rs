//! What a caller can make the edge do is bounded, and no other call pays for it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tonegate::audio::SampleRate;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::acs::{Options, Pace};
use tonegate::sim::frame::Frame;

use super::puppet::Puppet;
use super::world::{ANI, Phone, find, same, signed, speech};

const RATE: SampleRate = SampleRate::Hz24000;

fn at_once() -> Options {
    Options {
        pace: Pace::AtOnce,
        ..Options::default()
    }
}

#[tokio::test]
async fn a29_audio_faster_than_real_time_is_listened_to_within_bounds_and_counted() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let call = phone.rings(&phone.dial(&signed("c1")), at_once()).await;
    let began = Instant::now();
    // A minute at once, with the code at its end: nobody hears all of that.
    call.hand
        .pause(Talker::Caller, Duration::from_secs(60))
        .unwrap();
    call.dials("823", &Keying::tones());
    call.until("all of it", |record| record.keys() == 3).await;
    let unheard = || phone.dropped("unheard");
    assert_eq!(unheard(), 0, "it is told at the end");
    assert_eq!(phone.world.upstream_total(), 0);
    // The telephone's own events are heard all the same.
    call.dials("823", &Keying::messages());
    phone.world.upstream_saw(|_| true).await;
    call.hand.hang_up();
    call.ended().await;
    phone.ended("client", "client_closed", 1).await;
    // Five seconds at once, and two in each second since.
    let heard = 5 * 50 + (began.elapsed().as_secs() + 1) * 2 * 50;
    let all = 60 * 50;
    assert!(unheard() < all && unheard() + heard >= all, "{}", unheard());
}

/// What another call sends, however large, does not keep this one from its gate.
#[tokio::test]
async fn a29_messages_of_a_mebibyte_do_not_stall_other_calls() {
    let phone = Phone::usual().await;
    let dial = phone.dial(&signed("large"));
    let target = dial
        .url
        .split_once("localhost:")
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .1;
    let bearer = format!("Bearer {}", dial.token.unwrap());
    let header = [("Authorization", bearer.as_str())];
    let mut large = phone
        .world
        .ask(&format!("/{target}"), &header)
        .await
        .ok()
        .unwrap();
    let metadata = "{\"kind\":\"AudioMetadata\",\"audioMetadata\":{\"encoding\":\"PCM\",\"sampleRate\":24000,\"channels\":1}}";
    large.send(crate::harness::text(metadata)).await;
    let (before, after) = ("{\"kind\":\"AudioData\",\"audioData\":{\"data\":\"", "\"}}");
    let room = ((1 << 20) - before.len() - after.len()) / 4 * 4;
    let message = format!("{before}{}{after}", "AQID".repeat(room / 4));
    let frame = large.encode(&Frame::whole(tonegate::sim::frame::TEXT, message));
    let flood = async {
        for _ in 0..60 {
            large.send_raw(&frame).await;
        }
    };
    let began = Instant::now();
    let calls = async {
        let calls = join_all((0..6).map(async |number| {
            let code = format!("82{number}");
            phone.stores(ANI, &code).await;
            let call = signed(&format!("c{number}"));
            let call = phone.rings(&phone.dial(&call), Options::default()).await;
            call.dials(&code, &Keying::both());
            call
        }))
        .await;
        phone
            .eventually("six gates", |phone| phone.world.upstream_total() == 6)
            .await;
        let opened = Instant::now();
        for call in calls {
            call.hand.hang_up();
            call.ended().await;
        }
        opened
    };
    let (opened, flooded) = tokio::join!(calls, async {
        flood.await;
        Instant::now()
    });
    phone.gates("authorised", 6).await;
    println!(
        "six codes of 0.7 s had opened after {:?}, 60 MiB beside them were taken after {:?}",
        opened.duration_since(began),
        flooded.duration_since(began),
    );
    drop(large);
    phone.gates("left", 1).await;
    phone
        .eventually("unheard", |phone| phone.dropped("unheard") > 0)
        .await;
}

#[tokio::test]
async fn a29_a_message_above_the_limit_ends_its_call_with_1009() {
    let phone = Phone::usual().await;
    let call = phone.rings(&phone.dial(&signed("c1")), at_once()).await;
    call.hand.send(&"x".repeat((1 << 20) + 1)).unwrap();
    call.closed(1009, "too_large").await;
    phone.ended("client", "too_large", 1).await;
}

/// An upstream that takes its time to answer: what the caller says is held for two seconds at the
/// most, and of more the oldest goes.
#[tokio::test]
async fn a20_what_is_said_while_the_upstream_is_dialled_is_held_and_the_oldest_goes() {
    let runs = [false, true].map(async |verbatim| {
        let mut puppet = Puppet::reluctant().await;
        let line = if verbatim {
            puppet.orchestrator()
        } else {
            puppet.voice_live()
        };
        let phone = Phone::with(line).await;
        phone.stores(ANI, "823").await;
        let call = phone.rings(&phone.dial(&signed("c1")), at_once()).await;
        // An orchestrator gets messages too, so that what is heard alone waits for its message.
        let keying = if verbatim {
            Keying::both()
        } else {
            Keying::tones()
        };
        call.dials("823", &keying);
        // The gate lets media through with the end of the last key, which has been said by then.
        call.hand
            .pause(Talker::Caller, Duration::from_millis(200))
            .unwrap();
        puppet.dialled().await;
        // It does so a second after the last press at the latest, by the clock, while this caller's
        // audio knows no time.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let voice = speech(3.0, RATE);
        call.hand.say(Talker::Caller, &voice).unwrap();
        call.until("the voice", |record| {
            find(&voice, record.sent(Talker::Caller)).is_some()
        })
        .await;
        // Until the edge has heard it all.
        let sent = call.hand.look(|record| record.messages_sent);
        phone.heard(sent).await;
        puppet.answer();
        let mut peer = puppet.next().await;
        if !verbatim {
            peer.sets_up().await;
        }
        let mut heard = Vec::new();
        let kind = if verbatim {
            "AudioData"
        } else {
            "input_audio_buffer.append"
        };
        let last = &voice[voice.len() - 480..];
        while !heard.ends_with(last) {
            let event = peer.event().await;
            if event["type"] == kind || event["kind"] == kind {
                let text = event["audio"]
                    .as_str()
                    .or(event["audioData"]["data"].as_str());
                heard.extend(super::world::decoded(text.unwrap()));
            }
        }
        let what = format!("verbatim: {verbatim}");
        same(&what, &heard, &voice[voice.len() - 48_000..]);
        call.hand.hang_up();
        call.ended().await;
        phone.ended("client", "client_closed", 1).await;
        assert!(phone.dropped("late") >= 50, "{}", phone.dropped("late"));
    });
    join_all(runs).await;
}
