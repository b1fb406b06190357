//! What a caller dials, and in what time: the gate's grammar and its deadlines through a real call.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::acs::message::Manner;
use tonegate::sim::acs::record::Ending;
use tonegate::sim::acs::{Channel, Options, Pace};

use super::world::{ANI, Line, Phone, signed};

/// A line whose gate is for PSTN and has this beside.
async fn phone(gate: &str) -> Phone {
    Phone::with(Line {
        gate: format!("flow = \"pstn\", {gate}"),
        ..Line::default()
    })
    .await
}

/// A call in which this is dialled opens the gate, by a code of its own.
async fn opens(phone: &Phone, call: &str, code: &str, keys: &str, keying: Keying) {
    phone.stores(ANI, code).await;
    let ringing = phone
        .rings(&phone.dial(&signed(call)), Options::default())
        .await;
    ringing.dials(keys, &keying);
    // Long enough for a code that ends with a pause, and for a gate that hears no key going up.
    let pause = Duration::from_millis(1500);
    ringing.hand.pause(Talker::Caller, pause).unwrap();
    ringing.hand.hang_up_when_said();
    let record = ringing.ended().await;
    assert_eq!(
        (record.ending, record.violations),
        (Some(Ending::HungUp), vec![]),
        "{call}"
    );
}

#[tokio::test]
async fn a23_who_dials_nothing_is_closed_with_4408_also_where_nothing_comes() {
    let phone = phone("digits = 3, deadline = \"600ms\"").await;
    let paces = [Pace::RealTime, Pace::AtOnce].map(async |pace| {
        let call = signed(&format!("{pace:?}"));
        let options = Options {
            pace,
            ..Options::default()
        };
        let call = phone.rings(&phone.dial(&call), options).await;
        call.closed(4408, "gate_expired").await
    });
    join_all(paces).await;
    phone.gates("expired", 2).await;
    phone.ended("edge", "gate_expired", 2).await;
    assert_eq!(phone.world.upstream_total(), 0);
}

/// The time is that of the whole gate: digits do not make it longer.
#[tokio::test]
async fn a23_digits_do_not_put_the_deadline_off() {
    let phone = phone("digits = 9, deadline = \"1s\", between = \"900ms\"").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("1,2,3", &Keying::both());
    call.closed(4408, "gate_expired").await;
    phone.gates("expired", 1).await;
}

#[tokio::test]
async fn a23_a_code_ends_with_its_last_digit_a_pound_or_a_pause_and_a_star_clears_it() {
    let fixed = phone("digits = 3, attempts = 1").await;
    let upto = phone("max_digits = 8, attempts = 1, between = \"600ms\"").await;
    let both = Keying::both();
    let cases = [
        (&fixed, "823", "823"),
        (&fixed, "825", "99*825"),
        (&fixed, "826", "#826"),
        (&upto, "8245", "8245#"),
        (&upto, "82", "82"),
        (&upto, "8277", "999*9*8277#"),
    ];
    join_all(cases.map(async |(phone, code, keys)| opens(phone, code, code, keys, both).await))
        .await;
    fixed.gates("authorised", 3).await;
    upto.gates("authorised", 3).await;
}

#[tokio::test]
async fn a23_an_entry_that_is_too_short_or_too_long_or_has_letters_is_wrong() {
    let fixed = phone("digits = 4, attempts = 1, between = \"500ms\"").await;
    let upto = phone("max_digits = 4, attempts = 1, between = \"500ms\"").await;
    for (phone, code) in [(&fixed, "823"), (&upto, "8234")] {
        phone.stores(ANI, code).await;
    }
    let both = Keying::both();
    let calls = [
        (&fixed, "823#"),
        (&fixed, "823"),
        (&fixed, "82A3"),
        (&upto, "82345#"),
        (&upto, "8234B#"),
    ];
    let calls = calls
        .iter()
        .enumerate()
        .map(async |(number, (phone, keys))| {
            let call = signed(&format!("c{number}"));
            let call = phone.rings(&phone.dial(&call), Options::default()).await;
            call.dials(keys, &both);
            call.closed(4403, "code_wrong").await;
        });
    join_all(calls).await;
    assert_eq!(
        fixed.world.upstream_total() + upto.world.upstream_total(),
        0
    );
}

/// One press that two feeds tell counts once; two presses are two, also of one key.
#[tokio::test]
async fn a22_33_stays_33_and_a_key_told_twice_is_one() {
    let phone = phone("digits = 4, attempts = 1").await;
    let late = Keying {
        message: Some(12),
        ..Keying::both()
    };
    let early = Keying {
        message: Some(-3),
        ..Keying::both()
    };
    // Fast, so that a message comes when the next equal key is down already.
    let fast = Keying {
        pace: tonegate::dtmf::tone::Pace {
            tone: 0.05,
            gap: 0.05,
            ..Keying::both().pace
        },
        message: Some(6),
        ..Keying::both()
    };
    let cases = [
        ("3333", Keying::both()),
        ("8833", late),
        ("3388", early),
        ("3383", fast),
        ("8388", Keying::tones()),
        ("8338", Keying::messages()),
    ];
    let calls = cases.iter().enumerate();
    join_all(calls.map(async |(number, (code, keying))| {
        opens(&phone, &format!("c{number}"), code, code, *keying).await;
    }))
    .await;
    phone.gates("authorised", 6).await;
    for feed in ["in_band", "message"] {
        // Five calls of four; what tells of the last key behind the verdict counts no more.
        let series = format!("tonegate_gate_digits_total{{route=\"phone\",feed=\"{feed}\"}}");
        let count = phone.world.count(&series);
        assert!((15..=20).contains(&count), "{feed}: {count}");
    }
}

#[tokio::test]
async fn a23_after_two_wrong_codes_the_right_one_opens_and_after_three_nothing_does() {
    let phone = phone("digits = 3, attempts_per_ani = \"99/h\"").await;
    let opens = opens(&phone, "c1", "823", "111,222,823", Keying::both());
    let closes = async {
        phone.stores(ANI, "444").await;
        let call = phone
            .rings(&phone.dial(&signed("c2")), Options::default())
            .await;
        call.dials("111222333444", &Keying::messages());
        call.closed(4403, "code_wrong").await;
    };
    tokio::join!(opens, closes);
    phone.gates("authorised", 1).await;
    phone.gates("rejected", 1).await;
    assert_eq!(phone.world.upstream_total(), 1);
}

/// Tones of the other end, and of whoever is in the call too, dial nothing.
#[tokio::test]
async fn s33_keys_of_others_dial_nothing() {
    let phone = phone("digits = 3, attempts = 1, deadline = \"2500ms\"").await;
    phone.stores(ANI, "823").await;
    let options = Options {
        channel: Channel::Unmixed,
        ..Options::default()
    };
    let call = phone.rings(&phone.dial(&signed("c1")), options).await;
    call.hand
        .press_as(Talker::Other, "823", &Keying::tones())
        .unwrap();
    call.closed(4408, "gate_expired").await;
    assert_eq!(phone.world.upstream_total(), 0);
    let series = "tonegate_gate_digits_total{route=\"phone\",feed=\"in_band\"}";
    assert_eq!(phone.world.count(series), 0);
}

/// What signalling said and what the stream says must agree.
#[tokio::test]
async fn s33_a_stream_of_another_number_dials_nothing() {
    let phone = phone("digits = 3, attempts = 1, deadline = \"1500ms\"").await;
    let other = "+15557654321";
    for number in [ANI, other] {
        phone.stores(number, "823").await;
    }
    let calls = [Channel::Mixed { named: true }, Channel::Unmixed].map(async |channel| {
        let options = Options {
            ani: other.to_owned(),
            channel,
            manner: Manner {
                told_by: true,
                ..Manner::default()
            },
            ..Options::default()
        };
        let call = signed(&format!("{}", channel == Channel::Unmixed));
        let call = phone.rings(&phone.dial(&call), options).await;
        call.dials("823", &Keying::both());
        call.closed(4408, "gate_expired").await;
    });
    join_all(calls).await;
    assert_eq!(phone.world.upstream_total(), 0);
}

/// A voice for some seconds opens nothing and uses up no attempt.
#[tokio::test]
async fn s33_speech_dials_nothing() {
    let phone = phone("digits = 3, attempts = 1").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let rate = Options::default().rate;
    call.hand
        .say(Talker::Caller, &super::world::speech(3.0, rate))
        .unwrap();
    call.hand.hang_up_when_said();
    call.ended().await;
    phone.gates("left", 1).await;
    let page = phone.world.edge().metrics_page();
    assert!(
        !page.contains("tonegate_gate_digits_total{route=\"phone\",feed=\"in_band\"} "),
        "{page}"
    );
}
