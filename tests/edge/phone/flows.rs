//! The flows: what opens each, and what does not.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::admission::media_url::Signed;
use tonegate::ids::{CallId, PhoneNumber};
use tonegate::sim::acs::line::{Heard, Keying, Talker};
use tonegate::sim::acs::{Channel, Options};
use tonegate::store::{Facts, SessionKey};

use super::world::{ANI, CONNECTION, Line, Phone, id, signed};
use crate::harness::within;

const HOUR: Duration = Duration::from_secs(3600);

/// A route whose gate is this.
fn gate(gate: &str) -> Line {
    Line {
        gate: gate.to_owned(),
        ..Line::default()
    }
}

/// A route of calls that somebody must have written down.
fn noted(gate_of: &str) -> Line {
    Line {
        known_by: "record",
        ..gate(gate_of)
    }
}

async fn stores(phone: &Phone, key: &SessionKey) {
    phone.world.edge().store().put_key(key, HOUR).await.unwrap();
}

/// Keys as gateways tell of them.
fn keyings() -> [(&'static str, Keying); 6] {
    let both = Keying::both();
    let late = Some(15);
    let leak = Heard::First(Duration::from_millis(15));
    [
        ("tones alone", Keying::tones()),
        ("messages alone", Keying::messages()),
        ("both", both),
        (
            "both, the message first",
            Keying {
                message: Some(-4),
                ..both
            },
        ),
        (
            "both, the message at the key's end",
            Keying {
                message: late,
                ..both
            },
        ),
        (
            "messages, and what leaked of tones",
            Keying {
                tone: leak,
                ..Keying::messages()
            },
        ),
    ]
}

#[tokio::test]
async fn a12_a22_the_right_code_opens_the_gate_however_it_is_told() {
    let phone = Phone::usual().await;
    let channels = [
        Channel::Mixed { named: true },
        Channel::Mixed { named: false },
        Channel::Unmixed,
    ];
    let mut cases = Vec::new();
    for (what, keying) in keyings() {
        for channel in channels {
            cases.push((format!("{what}, {channel:?}"), keying, channel));
        }
    }
    let calls = cases
        .iter()
        .enumerate()
        .map(async |(number, (what, keying, channel))| {
            // Each its own, as a code opens once.
            let code = format!("{:03}", 330 + number);
            phone.stores(ANI, &code).await;
            let options = Options {
                channel: *channel,
                ..Options::default()
            };
            let call = phone
                .rings(&phone.dial(&signed(&format!("c{number}"))), options)
                .await;
            call.dials(&code, keying);
            call.hand
                .pause(Talker::Caller, Duration::from_secs(2))
                .unwrap();
            call.hand.hang_up_when_said();
            let record = call.ended().await;
            assert_eq!((record.keys(), record.violations), (3, vec![]), "{what}");
        });
    join_all(calls).await;
    assert_eq!(cases.len(), 18);
    phone.gates("authorised", 18).await;
    phone.ended("client", "client_closed", 18).await;
    assert_eq!(phone.world.upstream_total(), 18);
}

#[tokio::test]
async fn a12_a_wrong_code_closes_with_4403_and_nothing_is_dialled() {
    let phone = Phone::usual().await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("824,825,826", &Keying::both());
    let record = call.closed(4403, "code_wrong").await;
    assert!(record.received.is_empty(), "something was played");
    assert_eq!(phone.world.upstream_total(), 0);
    phone.gates("rejected", 1).await;
    phone.ended("client", "code_wrong", 1).await;
}

#[tokio::test]
async fn a13_a_dialled_alias_opens_by_the_sip_key() {
    let phone = Phone::with(gate("flow = \"sip\", max_digits = 8")).await;
    let alias = phone.world.edge().store().keys().sip(&id("40917"));
    stores(&phone, &alias).await;
    // Who calls does not matter: nobody has said.
    let unnamed = || Signed::of(CallId::new("c1").unwrap());
    let call = phone
        .rings(&phone.dial(&unnamed()), Options::default())
        .await;
    call.dials("40918#,40917#", &Keying::both());
    phone
        .upstream_got(Duration::from_millis(100), Options::default().rate)
        .await;
    call.hand.hang_up();
    call.ended().await;
    phone.gates("authorised", 1).await;
}

#[tokio::test]
async fn a13_a_sip_id_of_signalling_decides_at_the_upgrade() {
    let phone = Phone::with(gate("flow = \"sip-header\"")).await;
    let sip = |call: &str, sip: &str| Signed {
        sip: Some(id(sip)),
        ..Signed::of(CallId::new(call).unwrap())
    };
    let refused = phone.refused(&phone.dial(&sip("c1", "abc-xyz-123"))).await;
    assert_eq!(refused, (403, "forbidden".to_owned()));
    assert_eq!(phone.world.upstream_total(), 0);
    stores(
        &phone,
        &phone.world.edge().store().keys().sip(&id("abc-xyz-123")),
    )
    .await;
    let other = phone.refused(&phone.dial(&sip("c2", "ABC-xyz-123"))).await;
    assert_eq!(other.0, 403);
    let call = phone
        .rings(&phone.dial(&sip("c1", "abc-xyz-123")), Options::default())
        .await;
    // It was dialled before the 101, and no gate was asked.
    assert_eq!(phone.world.upstream_total(), 1);
    call.hand.hang_up();
    call.ended().await;
    phone.ended("client", "client_closed", 1).await;
    assert!(
        !phone
            .world
            .edge()
            .metrics_page()
            .contains("tonegate_gates_total{")
    );
}

#[tokio::test]
async fn a14_the_key_of_the_connection_decides_at_the_upgrade() {
    let phone = Phone::with(gate("flow = \"api\", consume = true")).await;
    let dial = |call: &str| phone.dial(&Signed::of(CallId::new(call).unwrap()));
    assert_eq!(
        phone.refused(&dial("c1")).await,
        (403, "forbidden".to_owned())
    );
    let key = phone.world.edge().store().keys().api(&id(CONNECTION));
    assert_eq!(key.expose(), format!("acs:call_connection_id:{CONNECTION}"));
    stores(&phone, &key).await;
    let other = tonegate::sim::acs::Dial {
        connection_id: Some("08002580-0000-0000-0000-000000000002".to_owned()),
        ..dial("c2")
    };
    assert_eq!(phone.refused(&other).await.0, 403);
    assert_eq!(phone.world.upstream_total(), 0);
    let call = phone.rings(&dial("c1"), Options::default()).await;
    phone
        .upstream_got(Duration::from_millis(100), Options::default().rate)
        .await;
    // It was consumed: another call of the connection finds nothing.
    assert_eq!(phone.refused(&dial("c3")).await.0, 403);
    call.hand.hang_up();
    call.ended().await;
    assert_eq!(phone.world.upstream_total(), 1);
}

#[tokio::test]
async fn a02_an_open_route_asks_for_the_call_and_nothing_more() {
    let phone = Phone::with(gate("flow = \"open\"")).await;
    let unnamed = Signed::of(CallId::new("c1").unwrap());
    let call = phone.rings(&phone.dial(&unnamed), Options::default()).await;
    phone
        .upstream_got(Duration::from_millis(100), Options::default().rate)
        .await;
    call.hand.hang_up();
    call.ended().await;
    phone.ended("client", "client_closed", 1).await;
}

/// The secret is needed to enter, and not to stay.
#[tokio::test]
async fn a43_a_call_outlives_the_secret_of_its_url() {
    let phone = Phone::with(gate("flow = \"open\"")).await;
    let brief = phone.brief_url(&signed("c1"), Duration::from_secs(1));
    let dial = |url: &str| tonegate::sim::acs::Dial {
        url: url.to_owned(),
        ..phone.dial(&signed("c1"))
    };
    let call = phone.rings(&dial(&brief), Options::default()).await;
    phone
        .upstream_got(Duration::from_millis(2100), Options::default().rate)
        .await;
    assert_eq!(phone.refused(&dial(&brief)).await.0, 401);
    assert_eq!(call.hand.look(|record| record.ending.clone()), None);
    call.hand.hang_up();
    call.ended().await;
}

/// Whoever answered the call may be slower than ACS.
#[tokio::test]
async fn a26_a_socket_that_comes_before_its_record_waits_and_an_unknown_call_is_403() {
    let phone = Phone::with(noted("flow = \"pstn\", digits = 3")).await;
    let unknown = phone.refused(&phone.dial(&signed("nobody"))).await;
    assert_eq!(unknown, (403, "forbidden".to_owned()));
    phone.stores(ANI, "823").await;
    // Its URL says nothing; the record says who calls.
    let dial = phone.dial(&Signed::of(CallId::new("c1").unwrap()));
    let noted = async {
        // The store has been asked, and did not know.
        let asked = || {
            phone
                .world
                .count("tonegate_store_operations_total{operation=\"enter\",result=\"ok\"}")
        };
        let before = asked();
        within("a question", async {
            while asked() == before {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let facts = Facts {
            ani: PhoneNumber::new(ANI),
            ..Facts::default()
        };
        phone.notes("c1", &facts).await;
    };
    let (call, ()) = tokio::join!(phone.rings(&dial, Options::default()), noted);
    call.dials("823", &Keying::both());
    phone
        .upstream_got(Duration::from_millis(100), Options::default().rate)
        .await;
    call.hand.hang_up();
    call.ended().await;
    phone.gates("authorised", 1).await;
}

#[tokio::test]
async fn a12_a_withheld_number_is_refused_and_the_token_given_back() {
    let phone = Phone::with(noted("flow = \"pstn\", digits = 3")).await;
    phone.notes("c1", &Facts::default()).await;
    let dial = phone.dial(&Signed::of(CallId::new("c1").unwrap()));
    assert_eq!(phone.refused(&dial).await, (403, "forbidden".to_owned()));
    // Now somebody says who calls, and the same token is good.
    let facts = Facts {
        ani: PhoneNumber::new(ANI),
        ..Facts::default()
    };
    phone.notes("c1", &facts).await;
    let call = phone.rings(&dial, Options::default()).await;
    call.hand.hang_up();
    call.ended().await;
    phone.gates("left", 1).await;
    assert_eq!(phone.world.upstream_total(), 0);
}

#[tokio::test]
async fn a23_where_the_caller_dials_the_number_it_is_part_of_the_entry() {
    let phone = Phone::with(gate("flow = \"pstn\", digits = 3, ani = \"digits\"")).await;
    phone.stores("+15557654321", "823").await;
    let unnamed = || Signed::of(CallId::new("c1").unwrap());
    let call = phone
        .rings(&phone.dial(&unnamed()), Options::default())
        .await;
    let fast = Keying {
        pace: tonegate::dtmf::tone::Pace {
            tone: 0.06,
            gap: 0.06,
            ..Keying::both().pace
        },
        message: Some(1),
        ..Keying::both()
    };
    // Another's number with this code, then the right one with it.
    call.dials("15551234567#823,15557654321#823", &fast);
    phone
        .upstream_got(Duration::from_millis(100), Options::default().rate)
        .await;
    call.hand.hang_up();
    call.ended().await;
    phone.gates("authorised", 1).await;
}

/// A trunk that shows one number for all: whoever mistypes locks out nobody who types right.
#[tokio::test]
async fn a29_where_all_share_a_number_failures_count_by_key() {
    let wrong = "flow = \"pstn\", digits = 3, ani = \"shared\", attempts = 1";
    let phone = Phone::with(gate(wrong)).await;
    phone.stores(ANI, "823").await;
    // More than the usual five an hour of one number.
    let calls = (0..7).map(async |number| {
        let call = signed(&format!("w{number}"));
        let call = phone.rings(&phone.dial(&call), Options::default()).await;
        call.dials("111", &Keying::messages());
        call.closed(4403, "code_wrong").await;
    });
    join_all(calls).await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("823", &Keying::messages());
    phone
        .upstream_got(Duration::from_millis(20), Options::default().rate)
        .await;
    call.hand.hang_up();
    call.ended().await;
    phone.gates("authorised", 1).await;
    phone.gates("rejected", 7).await;
}
