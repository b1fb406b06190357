//! Verdicts that are taken back while the call goes on, by a plain command of whoever may write there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::redis::{
    Caller, Redis, at_once, dial_route, eventually, opens, patient, phone, press, rings,
};
use super::server::Server;
use super::world::{Phone, Ringing};

/// Two seconds, and some for a machine that is busy.
const SOON: Duration = Duration::from_secs(5);

/// A call that got through by the key of its connection.
async fn talks(phone: &Phone, redis: &Redis, caller: &Caller, number: u64) -> Ringing {
    let api = format!("acs:call_connection_id:{}", caller.connection);
    redis.tell(&["SET", &api, "1", "EX", "3600"]);
    let dial = dial_route(phone, "api", caller);
    let call = phone.rings(&dial, at_once()).await;
    opens(phone, number).await;
    call
}

async fn deleted(redis: Redis) {
    let phone = phone(&redis, patient()).await;
    let (one, other) = (Caller::new(), Caller::new());
    let call = talks(&phone, &redis, &one, 1).await;
    let beside = talks(&phone, &redis, &other, 2).await;
    assert_eq!(redis.tell(&["DEL", &one.live()]), "1");
    let begun = Instant::now();
    call.closed(4441, "revoked").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let told = phone.world.upstream_saw(|_| true).await;
    assert!(told.close_received.is_none(), "it is the other one's");
    let ended = phone.world.record.connections().into_iter();
    let codes: Vec<_> = ended.filter_map(|seen| seen.close_received).collect();
    assert_eq!(codes, [(Some(4441), "revoked".to_owned())]);
    let series = "{route=\"api\",by=\"edge\",reason=\"revoked\"} 1";
    let series = format!("tonegate_sessions_ended_total{series}");
    phone.world.metrics_say(&series).await;
    // It opens nothing any more, and the other call goes on.
    assert!(!redis.has(&one.live()));
    assert!(beside.hand.look(|record| record.ending.is_none()));
    // To forget a call ends it, too.
    let record = format!("call:{{{}}}", other.call());
    assert_eq!(redis.tell(&["DEL", &record]), "1");
    beside.closed(4441, "revoked").await;
}

#[tokio::test]
async fn a35_a_call_whose_verdict_is_deleted_ends_within_two_seconds() {
    deleted(Redis::single()).await;
}

#[tokio::test]
async fn a35_a_call_whose_verdict_is_deleted_ends_within_two_seconds_in_a_cluster() {
    deleted(Redis::cluster()).await;
}

#[tokio::test]
async fn a35_a_call_that_is_forgotten_while_its_gate_is_shut_ends() {
    let redis = Redis::single();
    let phone = phone(&redis, patient()).await;
    let caller = Caller::new();
    let call = rings(&phone, phone.world.port, &caller).await;
    press(&call, "8");
    let record = format!("call:{{{}}}", caller.call());
    assert_eq!(redis.tell(&["DEL", &record]), "1");
    call.closed(4441, "revoked").await;
    assert_eq!(phone.world.upstream_total(), 0);
}

/// What it was told to take back is lost with the verdicts.
#[tokio::test]
async fn a35_a_store_that_comes_back_empty_ends_the_calls_and_one_that_kept_all_ends_none() {
    for (kept, arguments) in [
        (
            true,
            &["--appendonly", "yes", "--appendfsync", "always"][..],
        ),
        (false, &[][..]),
    ] {
        let redis = Redis::Single(Arc::new(Server::plain(arguments)));
        let phone = phone(&redis, patient()).await;
        let caller = Caller::new();
        let call = talks(&phone, &redis, &caller, 1).await;
        redis.server().kill();
        phone.world.metrics_say("tonegate_store_up 0").await;
        assert!(call.hand.look(|record| record.ending.is_none()));
        redis.server().restart();
        phone.world.metrics_say("tonegate_store_up 1").await;
        if !kept {
            call.closed(4441, "revoked").await;
            continue;
        }
        // Two glances that found it.
        let glances = "tonegate_store_operations_total{operation=\"glance\",result=\"ok\"}";
        let before = phone.world.count(glances);
        let glanced = async || phone.world.count(glances) >= before + 2;
        eventually("two glances", glanced).await;
        assert!(call.hand.look(|record| record.ending.is_none()));
        call.hand.hang_up();
        call.ended().await;
    }
}
