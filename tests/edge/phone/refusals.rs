//! What does not enter, what is not opened, and what neither uses up.

use std::time::{Duration, SystemTime};

use tonegate::admission::media_url::Signed;
use tonegate::ids::{CallId, PhoneNumber, SessionId};
use tonegate::label::Label;
use tonegate::secret::Digest;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Dial, Options};
use tonegate::store::{Attempt, Enter, Facts, Needs, Tried};

use super::world::{ANI, CONNECTION, Line, Phone, id, signed};
use crate::harness::UPSTREAM_KEY;

#[tokio::test]
async fn a07_a_token_is_spent_at_its_first_101_for_any_call() {
    let phone = Phone::usual().await;
    let first = phone.dial(&signed("c1"));
    let call = phone.rings(&first, Options::default()).await;
    assert_eq!(
        phone.refused(&first).await,
        (401, "unauthenticated".to_owned())
    );
    let elsewhere = Dial {
        url: phone.url(&signed("c2")),
        ..first.clone()
    };
    assert_eq!(phone.refused(&elsewhere).await.0, 401);
    // The call that has it is not touched, and stays spent when it has gone.
    assert_eq!(call.hand.look(|record| record.ending.clone()), None);
    call.hand.hang_up();
    call.ended().await;
    assert_eq!(phone.refused(&elsewhere).await.0, 401);
    assert_eq!(phone.world.upstream_total(), 0);
    // A token of its own enters.
    let call = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    call.hand.hang_up();
    call.ended().await;
}

/// Where ACS' tokens of one moment may be alike: one is good for each call once.
#[tokio::test]
async fn a07_a_token_may_be_spent_once_for_each_call() {
    let phone = Phone::with(Line {
        calls: "spend = \"call\"".to_owned(),
        ..Line::default()
    })
    .await;
    let first = phone.dial(&signed("c1"));
    let other = Dial {
        url: phone.url(&signed("c2")),
        ..first.clone()
    };
    let calls = [&first, &other].map(async |dial| phone.rings(dial, Options::default()).await);
    let calls = futures_util::future::join_all(calls).await;
    for dial in [&first, &other] {
        assert_eq!(phone.refused(dial).await.0, 401);
    }
    for call in calls {
        call.hand.hang_up();
        call.ended().await;
    }
}

#[tokio::test]
async fn a26_the_secret_of_another_call_and_another_connection_do_not_enter() {
    let phone = Phone::with(Line {
        known_by: "record",
        ..Line::default()
    })
    .await;
    let facts = Facts {
        ani: signed("c1").ani,
        connection: Some(id(CONNECTION)),
        ..Facts::default()
    };
    for call in ["c1", "c2"] {
        phone.notes(call, &facts).await;
    }
    let of_other = phone.url(&signed("c2"));
    let (_, secret) = of_other.split_once('?').unwrap();
    let own = phone.dial(&signed("c1"));
    let (path, _) = own.url.split_once('?').unwrap();
    let mixed = Dial {
        url: format!("{path}?{secret}"),
        ..own.clone()
    };
    assert_eq!(phone.refused(&mixed).await, (403, "forbidden".to_owned()));
    let other = "08002580-0000-0000-0000-000000000002";
    let elsewhere = Dial {
        connection_id: Some(other.to_owned()),
        ..own.clone()
    };
    assert_eq!(phone.refused(&elsewhere).await.0, 403);
    let bound = Signed {
        connection: Some(id(other)),
        ..signed("c1")
    };
    let by_url = Dial {
        url: phone.url(&bound),
        connection_id: Some(other.to_owned()),
        ..own.clone()
    };
    assert_eq!(phone.refused(&by_url).await.0, 403);
    // None of it spent the token.
    let call = phone.rings(&own, Options::default()).await;
    call.hand.hang_up();
    call.ended().await;
    assert_eq!(phone.world.upstream_total(), 0);
}

#[tokio::test]
async fn a27_a_key_that_has_expired_opens_nothing() {
    let phone = Phone::with(Line {
        gate: "flow = \"pstn\", digits = 3, attempts = 1".to_owned(),
        ..Line::default()
    })
    .await;
    let store = phone.world.edge().store();
    let ani = signed("c1").ani.unwrap();
    let brief = store.keys().pstn(&ani, "823").unwrap();
    store
        .put_key(&brief, Duration::from_millis(300))
        .await
        .unwrap();
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    // The last key comes half a second after the beginning.
    call.dials("823", &Keying::both());
    call.closed(4403, "code_wrong").await;
    assert_eq!(phone.world.upstream_total(), 0);
}

#[tokio::test]
async fn a29_a_locked_out_number_opens_nothing_and_the_right_code_is_not_used_up() {
    let phone = Phone::with(Line {
        gate: "flow = \"pstn\", digits = 3, attempts = 2, attempts_per_ani = \"3/h\"".to_owned(),
        ..Line::default()
    })
    .await;
    phone.stores(ANI, "823").await;
    let messages = Keying::messages();
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    call.dials("111,222", &messages);
    call.closed(4403, "code_wrong").await;
    let call = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    call.dials("333,823", &messages);
    call.closed(4403, "locked_out").await;
    let call = phone
        .rings(&phone.dial(&signed("c3")), Options::default())
        .await;
    call.dials("823", &messages);
    call.closed(4403, "locked_out").await;
    phone.ended("client", "locked_out", 2).await;
    assert_eq!(phone.world.upstream_total(), 0);
    // Another caller is not locked out, and the key of the first is still there.
    let other = "+15557654321";
    phone.stores(other, "823").await;
    let url = Signed {
        ani: PhoneNumber::new(other),
        ..signed("c4")
    };
    let options = Options {
        ani: other.to_owned(),
        ..Options::default()
    };
    let call = phone.rings(&phone.dial(&url), options).await;
    call.dials("823", &messages);
    phone
        .upstream_got(Duration::from_millis(20), Options::default().rate)
        .await;
    call.hand.hang_up();
    call.ended().await;
    is_there(&phone, "823").await;
}

/// The key of the usual caller's code opens a call still.
async fn is_there(phone: &Phone, code: &str) {
    let store = phone.world.edge().store();
    let key = store.keys().pstn(&signed("c1").ani.unwrap(), code).unwrap();
    let (call, owner) = (CallId::new("asks").unwrap(), SessionId::random());
    let enter = Enter {
        call: &call,
        owner,
        token: Digest::of("of this test"),
        token_expires: SystemTime::now() + Duration::from_secs(60),
        connection: None,
        correlation: None,
        route: &Label::new("phone").unwrap(),
        signed: Some(&Facts::default()),
        binding: None,
        makes: true,
        needs: Needs::Dialled,
    };
    store.enter(&enter).await.unwrap();
    let attempt = Attempt {
        call: &call,
        owner,
        number: 1,
        ani: None,
        key: &key,
        consume: false,
        per_call: 1,
        per_ani: None,
        per_route: None,
        shared_ani: false,
    };
    assert_eq!(store.try_code(&attempt).await, Ok(Tried::Opened(None)));
}

#[tokio::test]
async fn a07_a_dial_that_is_refused_gives_the_token_back() {
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        model: "sim-refuse-500",
        ..Line::default()
    })
    .await;
    let dial = phone.dial(&signed("c1"));
    let refused = (502, "upstream_refused".to_owned());
    assert_eq!(phone.refused(&dial).await, refused);
    assert_eq!(
        phone.refused(&dial).await,
        refused,
        "the token was spent for nothing"
    );
    assert_eq!(phone.world.upstream_total(), 2);
}

/// Whoever waits for a turn to connect has entered already, and may go.
#[tokio::test]
async fn a07_u8_a_call_that_goes_while_it_waits_for_its_turn_gives_the_token_back() {
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        upstream: "target",
        more: format!(
            "[upstreams.target]\nkind = \"voice-live\"\nurl = \"UPSTREAM\"\nroots = \"ca.pem\"\n\
             credential = {{ key = \"{UPSTREAM_KEY}\" }}\nconnects = \"1/6s\"\nqueue_wait = \"15s\"\n"
        ),
        ..Line::default()
    })
    .await;
    let first = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let dial = phone.dial(&signed("c2"));
    let queue = "tonegate_upstream_queue{upstream=\"target\"}";
    let waits = format!("{queue} 1");
    tokio::select! {
        _ = phone.refused(&dial) => panic!("it did not wait"),
        () = phone.world.metrics_say(&waits) => {}
    }
    phone.world.metrics_say(&format!("{queue} 0")).await;
    let given = "tonegate_store_operations_total{operation=\"give_back\",result=\"ok\"} 1";
    phone.world.metrics_say(given).await;
    let again = phone.rings(&dial, Options::default()).await;
    for call in [first, again] {
        call.hand.hang_up();
        call.ended().await;
    }
}
