//! A store that pauses, stops, dies and comes back: nothing is let through that it has not said, what
//! runs goes on, and no edge has to be restarted.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tonegate::sim::acs;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::certificate::Authority;
use tonegate::sim::client::{Error, Refused};

use super::redis::{
    Caller, PASSWORD, Redis, another, at_once, count, dial, dial_route, dials, eventually, is_up,
    opens, phone, press, probes, rings, speaking,
};
use super::server::{Server, acl_line};
use super::world::{Line, Phone};
use crate::binary::Served;
use crate::harness::{Wish, World, within};

const TRY_TIMEOUTS: &str =
    r#"tonegate_store_operations_total{operation="try_code",result="timeout"}"#;

#[tokio::test]
async fn a25_a_store_that_pauses_for_two_seconds_while_the_caller_dials_still_authorises() {
    let redis = Redis::own();
    let phone = phone(&redis, Line::default()).await;
    let edge = phone.world.edge();
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let call = rings(&phone, phone.world.port, &caller).await;
    redis.tell(&["CLIENT", "PAUSE", "2000"]);
    press(&call, "823");
    eventually("an unanswered try", async || count(edge, TRY_TIMEOUTS) > 0).await;
    assert_eq!(phone.world.upstream_total(), 0);
    opens(&phone, 1).await;
    phone.world.upstream_saw(|_| true).await;
    // However often it was asked, it was one try, and the key went with it.
    assert_eq!(redis.tell(&["HLEN", &caller.tries()]), "1");
    assert!(!redis.has(&caller.pstn("823")));
    call.hand.hang_up();
    assert_eq!(call.ended().await.violations, []);
}

#[tokio::test]
async fn a25_a_store_that_does_not_answer_before_the_gates_deadline_closes_with_1013() {
    let redis = Redis::own();
    let gate = "flow = \"pstn\", digits = 3, deadline = \"3s\"".to_owned();
    let phone = phone(
        &redis,
        Line {
            gate,
            ..Line::default()
        },
    )
    .await;
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let call = rings(&phone, phone.world.port, &caller).await;
    redis.server().signal("-STOP");
    press(&call, "823");
    call.closed(1013, "store_unavailable").await;
    assert_eq!(phone.world.upstream_total(), 0);
    assert!(count(phone.world.edge(), TRY_TIMEOUTS) > 0);
    redis.server().signal("-CONT");
    // Nobody who had no code gets through for that.
    is_up(phone.world.edge()).await;
    let other = Caller::new();
    dials(&phone, &other, "823824825")
        .await
        .closed(4403, "code_wrong")
        .await;
    assert_eq!(phone.world.upstream_total(), 0);
}

/// Refused, with everything that was answered and how long that took.
async fn turned_away(phone: &Phone, dial: &acs::Dial) -> (Refused, Duration) {
    let asked = Instant::now();
    match within("an answer", acs::Call::dial(dial, at_once())).await {
        Err(Error::Refused(refused)) => (*refused, asked.elapsed()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("let in; {}", phone.world.edge().metrics_page()),
    }
}

fn is_unavailable(refused: &Refused) {
    let text = String::from_utf8_lossy(&refused.body);
    assert_eq!(refused.status, 503, "{text}");
    assert!(text.contains("\"reason\":\"store_unavailable\""), "{text}");
    let later = |(name, value): &(String, String)| {
        name.eq_ignore_ascii_case("retry-after") && value.parse::<u32>().unwrap() > 0
    };
    assert!(refused.headers.iter().any(later), "no Retry-After");
}

#[tokio::test]
async fn s31_a_store_that_is_frozen_before_the_upgrade_is_a_503_in_time_and_spends_no_token() {
    let redis = Redis::own();
    let phone = phone(&redis, Line::default()).await;
    redis.server().signal("-STOP");
    let caller = Caller::new();
    let again = dial(&phone, phone.world.port, &caller);
    let mut dials = vec![again.clone()];
    dials.extend(["api", "sip"].map(|route| dial_route(&phone, route, &Caller::new())));
    for dial in &dials {
        let (refused, took) = turned_away(&phone, dial).await;
        is_unavailable(&refused);
        // Two seconds, and what a busy machine adds.
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
    redis.server().signal("-CONT");
    is_up(phone.world.edge()).await;
    // There was no 101, so the token is good, although the server has read what it was asked by now.
    let given = r#"tonegate_store_operations_total{operation="give_back",result="ok"}"#;
    eventually("the token's return", async || {
        count(phone.world.edge(), given) > 0
    })
    .await;
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let call = phone.rings(&again, at_once()).await;
    press(&call, "823");
    opens(&phone, 1).await;
}

#[tokio::test]
async fn s31_a39_a_killed_store_ends_no_call_lets_none_in_and_is_found_again() {
    let redis = Redis::own();
    let phone = phone(&redis, Line::default()).await;
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let first = dial(&phone, phone.world.port, &caller);
    let talking = phone.rings(&first, speaking(&caller)).await;
    talking.hand.press("823", &Keying::messages()).unwrap();
    let appended = async || {
        phone
            .world
            .upstream_saw(|seen| seen.appended.bytes > 0)
            .await
    };
    appended().await;
    let ready = [(200, "ready".to_owned()), (200, "ready".to_owned())];
    assert_eq!(probes(&phone, "/readyz").await, ready);
    redis.server().kill();
    phone.world.metrics_say("tonegate_store_up 0").await;
    let away = [(503, "store".to_owned()), (503, "store".to_owned())];
    assert_eq!(probes(&phone, "/readyz").await, away);
    let alive = [(200, "ok".to_owned()), (200, "ok".to_owned())];
    assert_eq!(probes(&phone, "/healthz").await, alive);
    let new = Caller::new();
    let (refused, took) = turned_away(&phone, &dial(&phone, phone.world.port, &new)).await;
    is_unavailable(&refused);
    assert!(took < Duration::from_secs(4), "{took:?}");
    // An edge that starts now waits for it.
    let late = another(&phone);
    // Who was talking talks on, and who needs no store is served.
    let before = appended().await.appended.bytes;
    let louder = |seen: &tonegate::sim::voice_live::connection::Connection| {
        seen.appended.bytes > before + 20_000
    };
    phone.world.upstream_saw(louder).await;
    assert!(talking.hand.look(|record| record.ending.is_none()));
    redis.server().restart();
    phone.world.metrics_say("tonegate_store_up 1").await;
    assert_eq!(probes(&phone, "/readyz").await, ready);
    is_up(&late).await;
    redis.tell(&["SET", &new.pstn("823"), "1", "EX", "3600"]);
    let call = dials(&phone, &new, "823").await;
    opens(&phone, 2).await;
    call.hand.hang_up();
    // It came back empty, and with the verdict is lost what was taken back.
    talking.closed(4441, "revoked").await;
}

#[tokio::test]
async fn s31_a35_who_has_no_calls_misses_the_store_only_for_what_was_taken_back() {
    let redis = Redis::own();
    let phone = phone(&redis, Line::default()).await;
    crate::revoke::ready(phone.world.edge().admin()).await;
    redis.server().kill();
    phone.world.metrics_say("tonegate_store_up 0").await;
    // It is known as it was half a minute ago.
    phone.world.still_serves().await;
    let without = World::with(Wish {
        more: format!("[store]\n{}\n", redis.lines()),
        ..Wish::default()
    })
    .await;
    without.metrics_say("tonegate_store_up 0").await;
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let ready = without.refused_bytes(request).await;
    let told = (ready.status, ready.body.as_str());
    assert_eq!(told, (503, "revocations\n"));
    let refused = without.try_call("sim-echo").await.err().unwrap();
    refused.is(503, "store_unavailable");
    redis.server().restart();
    without.metrics_say("tonegate_ready 1").await;
    without.still_serves().await;
}

/// What stands in the log of an edge with these lines of `[store]`, up to the one that tells why.
async fn starts_without(store: String, why: &str, canary: &str) {
    let phone = Phone::with(Line {
        store,
        ..Line::default()
    })
    .await;
    let mut served = Served::start(&phone.world, "trace").await;
    let line = served
        .until(|line| line["message"] == "the store is not reached")
        .await;
    assert_eq!(line["error"], why, "{line}");
    assert_eq!(line["level"], "WARN", "{line}");
    let page = served.metrics_page().await;
    for line in ["tonegate_store_up 0", "tonegate_ready 0"] {
        assert!(page.lines().any(|l| l == line), "{line}");
    }
    let probe = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let io = served.send(&phone.world, probe).await;
    let ready = crate::harness::read_answer(io).await.map(drop).unwrap_err();
    assert_eq!((ready.status, ready.body.as_str()), (503, "store\n"));
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    assert!(!printed.contains(canary), "{printed}");
}

#[tokio::test]
async fn a17_a_wrong_password_is_a_line_that_says_so_and_an_edge_that_is_not_ready() {
    let redis = Redis::tls();
    let wrong = redis.lines().replace(PASSWORD, "CANARY-of-the-password");
    starts_without(wrong, "it refuses the credential", "CANARY").await;
}

#[tokio::test]
async fn a17_a_wrong_authority_is_a_line_that_says_so_and_an_edge_that_is_not_ready() {
    let redis = Redis::tls();
    let others = Server::tls(&Authority::new("Other"), &acl_line());
    let file = |server: &Server| server.roots().unwrap().display().to_string();
    let wrong = redis.lines().replace(&file(redis.server()), &file(&others));
    assert_ne!(wrong, redis.lines());
    starts_without(wrong, "its certificate is not valid for us", PASSWORD).await;
}
