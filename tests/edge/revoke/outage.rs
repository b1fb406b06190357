//! Redis is frozen, killed, empty: what was taken back stays so, and what could not be told is told
//! later.

use std::time::{Duration, Instant};

use serde_json::json;

use super::world::{Pair, Person, is_closed, is_served, post, ready};
use crate::harness::{Caller, Wish, within};
use crate::phone::redis::{count, eventually};
use crate::phone::server::Server;

fn bearer(person: &Person) -> (&str, &str) {
    ("Authorization", &person.bearer)
}

/// Waits until the first edge has given the store what it had not taken.
async fn is_written(pair: &Pair, subject: &str) {
    within("an order in the log", async {
        while !pair
            .redis
            .tell(&["XRANGE", "orders:log", "-", "+"])
            .contains(subject)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a35_s31_what_is_ordered_while_redis_is_frozen_holds_here_at_once_and_elsewhere_after_that()
{
    let mut pair = Pair::usual().await;
    let (anna, bob) = (pair.person(), pair.person());
    let (here, there) = (
        pair.enters(0, bearer(&anna)).await,
        pair.enters(1, bearer(&anna)).await,
    );
    let mut stays = pair.enters(1, bearer(&bob)).await;
    pair.redis.signal("-STOP");
    let since = Instant::now();
    let (answer, told) = pair
        .orders(0, "/revoke", &json!({"subject": anna.subject}))
        .await;
    assert_eq!((answer, &told["written"]), (503, &json!(false)), "{told}");
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.ends_with("only this edge knows, and goes on trying to tell the others"),
        "{detail}"
    );
    assert_eq!(told["ended_here"], 1);
    is_closed(here, since).await;
    pair.is_refused(0, bearer(&anna), 403, "revoked").await;
    // What cannot be told everywhere is not lifted anywhere.
    let (answer, _) = pair
        .orders(0, "/lift", &json!({"subject": anna.subject}))
        .await;
    assert_eq!(answer, 503);
    pair.is_refused(0, bearer(&anna), 403, "revoked").await;
    pair.redis.signal("-CONT");
    is_written(&pair, &anna.subject).await;
    is_closed(there, Instant::now()).await;
    pair.is_refused(1, bearer(&anna), 403, "revoked").await;
    is_served(&mut stays).await;
}

#[tokio::test]
async fn a35_s31_what_was_taken_back_outlives_a_redis_that_comes_back_empty() {
    let mut pair = Pair::usual().await;
    let (anna, bob, carl) = (pair.person(), pair.person(), pair.person());
    let order = json!({"subject": anna.subject});
    assert_eq!(pair.orders(0, "/revoke", &order).await.0, 200);
    pair.read().await;
    let there = pair.enters(1, bearer(&bob)).await;
    let mut stays = pair.enters(1, bearer(&carl)).await;
    pair.redis.kill();
    let order = json!({"subject": bob.subject});
    let (answer, told) = pair.orders(0, "/revoke", &order).await;
    assert_eq!((answer, &told["written"]), (503, &json!(false)), "{told}");
    pair.is_refused(1, bearer(&anna), 403, "revoked").await;
    pair.redis.restart();
    is_written(&pair, &bob.subject).await;
    is_closed(there, Instant::now()).await;
    is_served(&mut stays).await;
    // Whoever starts now knows both: the log was given back what it had lost, once.
    is_written(&pair, &anna.subject).await;
    let third = pair.another();
    ready(third.admin()).await;
    pair.issued.world.port = third.public().port();
    for person in [&anna, &bob] {
        let refused = pair
            .issued
            .world
            .ask(super::world::ECHO, &[bearer(person)])
            .await;
        refused.err().expect("let in").is(403, "revoked");
    }
    drop(pair.enters(0, bearer(&carl)).await);
    pair.read().await;
    let log = pair.redis.tell(&["XRANGE", "orders:log", "-", "+"]);
    for person in [&anna, &bob] {
        assert_eq!(log.matches(&person.subject).count(), 1, "{log}");
    }
}

/// Somebody who is taken back at a server that is gone before either edge hears of it. An edge that has
/// just read by chance makes another try; it reads twice a second, so that a few are enough.
async fn is_not_heard(pair: &mut Pair) -> (Person, [Caller; 2]) {
    let heard = |pair: &Pair, edge: usize| {
        count(
            pair.edges()[edge],
            "tonegate_orders_total{kind=\"subject\"}",
        )
    };
    for _ in 0..10 {
        let anna = pair.person();
        let mut ends = [
            pair.enters(0, bearer(&anna)).await,
            pair.enters(1, bearer(&anna)).await,
        ];
        let before = [0, 1].map(|edge| heard(pair, edge));
        let order = ["kind", "subject", "value", &anna.subject];
        let add = ["XADD", "orders:log", "*"];
        pair.redis.tell(&[&add[..], &order[..]].concat());
        pair.redis.kill();
        // Then they have all that it has sent.
        let are_cut_off = async || pair.edges().iter().all(|edge| !edge.store().is_up());
        eventually("the loss of the store", are_cut_off).await;
        if [0, 1].map(|edge| heard(pair, edge)) == before {
            for caller in &mut ends {
                is_served(caller).await;
            }
            return (anna, ends);
        }
        pair.redis.restart();
        pair.read().await;
    }
    panic!("each time an edge heard of it");
}

#[tokio::test]
async fn a35_s31_an_edge_that_was_cut_off_reads_what_it_missed_from_a_redis_that_kept_it() {
    let redis = Server::plain(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut pair = Pair::with(redis, Wish::default(), "").await;
    let (anna, ends) = is_not_heard(&mut pair).await;
    pair.redis.restart();
    pair.read().await;
    for mut caller in ends {
        assert_eq!(caller.closed().await, (Some(4441), "revoked".to_owned()));
    }
    for edge in [0, 1] {
        pair.is_refused(edge, bearer(&anna), 403, "revoked").await;
    }
}

#[tokio::test]
async fn a35_s31_who_cannot_know_what_was_taken_back_lets_nobody_in_and_ends_nothing() {
    let stale = "revocations_stale = \"2s\"";
    let mut pair = Pair::with(Server::plain(&[]), Wish::default(), stale).await;
    let anna = pair.person();
    let mut stays = pair.enters(0, bearer(&anna)).await;
    pair.redis.signal("-STOP");
    // As long as it may be late it lets in.
    drop(pair.enters(1, bearer(&anna)).await);
    let admin = pair.edges()[0].admin();
    within("staleness", async {
        while crate::metrics::get(admin, "/readyz").await.unwrap().1 != "revocations\n" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for header in [bearer(&anna), ("api-key", crate::harness::KEY)] {
        pair.is_refused(0, header, 503, "store_unavailable").await;
    }
    // Strangers are strangers all the same.
    pair.is_refused(0, ("api-key", "wrong"), 401, "unauthenticated")
        .await;
    is_served(&mut stays).await;
    pair.redis.signal("-CONT");
    ready(admin).await;
    drop(pair.enters(0, bearer(&anna)).await);
    is_served(&mut stays).await;
}

#[tokio::test]
async fn a35_s31_an_edge_that_never_read_what_was_taken_back_is_not_ready() {
    let redis = Server::plain(&[]);
    redis.tell(&["SET", "orders:log", "no log"]);
    let more = format!("[store]\nurl = \"redis://127.0.0.1:{}\"\n", redis.port);
    let wish = Wish {
        more,
        ..Wish::default()
    };
    let world = crate::harness::World::with(wish).await;
    world.metrics_say("tonegate_store_up 1").await;
    let refused = world.try_call("sim-echo").await.err().expect("let in");
    refused.is(503, "store_unavailable");
    let admin = world.edge().admin();
    let (status, text) = crate::metrics::get(admin, "/readyz").await.unwrap();
    assert_eq!((status, text.as_str()), (503, "revocations\n"));
    // Somebody clears that up.
    redis.tell(&["DEL", "orders:log"]);
    ready(admin).await;
    world.still_serves().await;
    let (answer, _) = post(admin, "/revoke", &json!({"key": "tester"})).await;
    assert_eq!(answer, 200);
    let refused = world.try_call("sim-echo").await.err().expect("let in");
    refused.is(403, "revoked");
}
