//! A hundred calls that ask together whether they are still their own: who is taken over or taken back
//! ends, in time and by the right name, and nobody else does.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{StreamExt as _, iter};
use tonegate::sim::acs::Dial;

use super::redis::{Caller, Redis, another, at_once, count, dial_route, eventually, is_up, phone};
use super::redis::{opens, patient};
use super::world::{Phone, Ringing};

const CALLS: usize = 100;
/// Two seconds, and some for a machine that is busy.
const SOON: Duration = Duration::from_secs(5);
const GLANCES: &str = r#"tonegate_store_operations_total{operation="glance",result="ok"}"#;
const LATE: &str = r#"tonegate_store_operations_total{operation="glance",result="timeout"}"#;

/// Whom ACS dials for this caller at the edge of this port.
fn api(phone: &Phone, port: u16, caller: &Caller) -> Dial {
    let dial = dial_route(phone, "api", caller);
    let own = format!(":{}/", phone.world.port);
    Dial {
        url: dial.url.replace(&own, &format!(":{port}/")),
        ..dial
    }
}

/// Calls that got through, each by the key of its connection.
async fn hundred_talk(phone: &Phone, redis: &Redis) -> Vec<(Caller, Ringing)> {
    let callers = (0..CALLS).map(|_| async {
        let caller = Caller::new();
        let key = format!("acs:call_connection_id:{}", caller.connection);
        redis.tell(&["SET", &key, "1", "EX", "3600"]);
        let dial = api(phone, phone.world.port, &caller);
        let call = phone.rings(&dial, at_once()).await;
        (caller, call)
    });
    let calls = iter(callers).buffered(20).collect().await;
    opens(phone, CALLS as u64).await;
    calls
}

fn ended(calls: &[(Caller, Ringing)]) -> usize {
    let has_ended = |call: &&(Caller, Ringing)| call.1.hand.look(|record| record.ending.is_some());
    calls.iter().filter(has_ended).count()
}

/// Waits until every call has been asked for twice and more.
async fn are_asked_for(phone: &Phone) {
    let before = count(phone.world.edge(), GLANCES);
    let wanted = before + 2 * CALLS as u64;
    eventually("two glances of each", async || {
        count(phone.world.edge(), GLANCES) >= wanted
    })
    .await;
}

async fn taken_over_or_back(redis: Redis) {
    let phone = phone(&redis, patient()).await;
    let other = another(&phone);
    is_up(&other).await;
    let mut calls = hundred_talk(&phone, &redis).await;
    are_asked_for(&phone).await;
    assert_eq!(ended(&calls), 0);
    let (revoked, moved) = (calls.split_off(CALLS - 10), calls.split_off(CALLS - 20));
    let mut elsewhere = Vec::new();
    let mut ends = Vec::new();
    for ((back, call), (over, taken)) in revoked.into_iter().zip(moved) {
        assert_eq!(redis.tell(&["DEL", &back.live()]), "1");
        let begun = Instant::now();
        ends.push((begun, call, 4441, "revoked"));
        let dial = api(&phone, other.public().port(), &over);
        elsewhere.push((over, phone.rings(&dial, at_once()).await));
        ends.push((Instant::now(), taken, 4409, "superseded"));
    }
    join_all(
        ends.into_iter()
            .map(|(begun, call, code, reason)| async move {
                call.closed(code, reason).await;
                assert!(begun.elapsed() < SOON, "{reason}: {:?}", begun.elapsed());
            }),
    )
    .await;
    are_asked_for(&phone).await;
    assert_eq!((ended(&calls), ended(&elsewhere)), (0, 0));
    for (reason, number) in [("revoked", 10), ("superseded", 10)] {
        let series = format!("{{route=\"api\",by=\"edge\",reason=\"{reason}\"}} {number}");
        let series = format!("tonegate_sessions_ended_total{series}");
        phone.world.metrics_say(&series).await;
    }
    for (_, call) in calls.into_iter().chain(elsewhere) {
        call.hand.hang_up();
        assert_eq!(call.ended().await.violations, []);
    }
}

#[tokio::test]
async fn a35_of_a_hundred_calls_those_end_that_are_taken_over_or_back_and_no_other() {
    taken_over_or_back(Redis::single()).await;
}

#[tokio::test]
async fn a35_of_a_hundred_calls_in_a_cluster_those_end_that_are_taken_over_or_back_and_no_other() {
    taken_over_or_back(Redis::cluster()).await;
}

/// How many scripts a server has run that it was asked for.
fn scripts(redis: &Redis) -> u64 {
    let told = redis.tell(&["INFO", "commandstats"]);
    let line = told
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
    calls.unwrap().parse().unwrap()
}

/// A store that does not answer ends none of them; what was taken back by then ends when it does.
#[tokio::test]
async fn a35_a_hundred_calls_ask_with_few_commands_and_outlast_a_store_that_is_frozen() {
    let redis = Redis::own();
    let phone = phone(&redis, Default::default()).await;
    let edge = phone.world.edge();
    let mut calls = hundred_talk(&phone, &redis).await;
    let before = (scripts(&redis), count(edge, GLANCES));
    are_asked_for(&phone).await;
    let asked = scripts(&redis) - before.0;
    let glances = count(edge, GLANCES) - before.1;
    assert!(3 * asked < glances, "{asked} commands for {glances}");
    let (back, call) = calls.pop().unwrap();
    assert_eq!(redis.tell(&["DEL", &back.live()]), "1");
    redis.server().signal("-STOP");
    eventually("unanswered glances", async || count(edge, LATE) >= 50).await;
    assert_eq!(ended(&calls), 0);
    redis.server().signal("-CONT");
    call.closed(4441, "revoked").await;
    are_asked_for(&phone).await;
    assert_eq!(ended(&calls), 0);
    for (_, call) in calls {
        call.hand.hang_up();
        assert_eq!(call.ended().await.violations, []);
    }
}
