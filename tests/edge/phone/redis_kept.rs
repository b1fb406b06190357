//! How long what the edge writes is kept: read back with another program, at each step of a call.

use super::redis::{
    Caller, Redis, another, at_once, dial, dial_route, eventually, is_up, opens, phone, press,
    rings,
};
use super::world::Line;

/// The setting of these tests: not the default, so that it is seen to be obeyed.
const TTL: i64 = 1_200_000;
/// Tokens of the simulated ACS live for an hour or a day; nothing outlives that.
const DAY: i64 = 25 * 3600 * 1000;

/// All that was written has an end, and what belongs to calls has that of the settings. How many
/// there are.
fn all_end(redis: &Redis, prefix: &str) -> usize {
    let ends = redis.ends(prefix);
    for (key, left) in &ends {
        let name = &key[prefix.len()..];
        let most = match name.split(':').next().unwrap() {
            "call" | "live" | "tries" => TTL,
            "used" => 60_000,
            "fails" => 3_600_000,
            "spent" => DAY,
            _ => panic!("who wrote {key}?"),
        };
        assert!((1..=most).contains(left), "{key} ends in {left} ms");
    }
    ends.len()
}

fn left(redis: &Redis, key: &str) -> i64 {
    redis.tell(&["PTTL", key]).parse().unwrap()
}

async fn everything_ends(redis: Redis) {
    let prefix = format!("kept-{}:", tonegate::ids::SessionId::random());
    let line = Line {
        store: format!("ttl = \"20m\"\nprefix = \"{prefix}\"\ntimeout = \"1500ms\""),
        calls: "resume = \"90s\"".to_owned(),
        ..Line::default()
    };
    let phone = phone(&redis, line).await;
    let caller = Caller::new();
    let key = format!("{prefix}{}", caller.pstn("823"));
    let live = format!("{prefix}{}", caller.live());
    let call = rings(&phone, phone.world.port, &caller).await;
    // The record of the call, and its token.
    assert_eq!(all_end(&redis, &prefix), 2);
    press(&call, "824");
    let tries = format!("{prefix}{}", caller.tries());
    eventually("a failed try", async || redis.has(&tries)).await;
    // And the tries, the caller's failures, the route's.
    let route = format!("{prefix}fails:route:phone");
    eventually("a failure that counts", async || redis.has(&route)).await;
    assert_eq!(all_end(&redis, &prefix), 5);
    redis.tell(&["SET", &key, "1", "EX", "3600"]);
    press(&call, "823");
    opens(&phone, 1).await;
    all_end(&redis, &prefix);
    assert!((TTL - 60_000..=TTL).contains(&left(&redis, &live)));
    // Another edge takes it over: the record and the verdict begin anew.
    let record = format!("{prefix}call:{{{}}}", caller.call());
    for key in [&live, &record] {
        redis.tell(&["PEXPIRE", key, "300000"]);
    }
    let other = another(&phone);
    is_up(&other).await;
    let second = rings(&phone, other.public().port(), &caller).await;
    all_end(&redis, &prefix);
    for key in [&live, &record] {
        assert!((TTL - 60_000..=TTL).contains(&left(&redis, key)), "{key}");
    }
    call.closed(4409, "superseded").await;
    // The end of what was taken over has changed nothing.
    assert!(left(&redis, &live) > 90_000);
    second.hand.hang_up();
    second.ended().await;
    eventually("the resume window", async || left(&redis, &live) <= 90_000).await;
    all_end(&redis, &prefix);
    assert!((30_000..=90_000).contains(&left(&redis, &live)));
}

#[tokio::test]
async fn a27_everything_that_a_call_writes_ends_on_one_server() {
    everything_ends(Redis::single()).await;
}

#[tokio::test]
async fn a27_everything_that_a_call_writes_ends_in_a_cluster() {
    everything_ends(Redis::cluster()).await;
}

/// An hour where nothing else is written; and while a call runs it is kept, look by look.
#[tokio::test]
async fn a27_a_call_that_runs_is_kept_for_an_hour_from_each_look() {
    let redis = Redis::single();
    let phone = phone(&redis, Line::default()).await;
    let caller = Caller::new();
    let api = format!("acs:call_connection_id:{}", caller.connection);
    redis.tell(&["SET", &api, "1", "EX", "3600"]);
    let call = phone
        .rings(&dial_route(&phone, "api", &caller), at_once())
        .await;
    let record = format!("call:{{{}}}", caller.call());
    let hour = 3_540_000..=3_600_000;
    for key in [caller.live(), record.clone()] {
        assert!(hour.contains(&left(&redis, &key)), "{key}");
        redis.tell(&["PEXPIRE", &key, "30000"]);
    }
    for key in [caller.live(), record] {
        let kept = async || hour.contains(&left(&redis, &key));
        eventually("the next look", kept).await;
    }
    call.hand.hang_up();
    call.ended().await;
}

/// A verdict that was revoked is none for who dials again.
#[tokio::test]
async fn a25_a_verdict_holds_inside_the_resume_window_and_not_after_it() {
    let redis = Redis::single();
    let line = Line {
        gate: "flow = \"pstn\", digits = 3, attempts = 2".to_owned(),
        calls: "resume = \"2s\"".to_owned(),
        ..super::redis::patient()
    };
    let phone = phone(&redis, line).await;
    let other = another(&phone);
    is_up(&other).await;
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let first = rings(&phone, phone.world.port, &caller).await;
    press(&first, "823");
    opens(&phone, 1).await;
    phone.world.upstream_saw(|_| true).await;
    first.hand.vanish();
    first.ended().await;
    // Inside, at another edge, without a code: the upstream is dialled before the 101.
    let second = rings(&phone, other.public().port(), &caller).await;
    assert_eq!(phone.world.upstream_total(), 2);
    assert_eq!(super::redis::gates(&other, "authorised"), 0);
    second.hand.hang_up();
    second.ended().await;
    let over = async || !redis.has(&caller.live());
    eventually("the end of the window", over).await;
    // After it, the gate is shut again; the key was used, and one of two tries.
    let third = phone
        .rings(&dial(&phone, phone.world.port, &caller), at_once())
        .await;
    assert_eq!(phone.world.upstream_total(), 2);
    press(&third, "823823");
    let record = third.ended().await;
    let closed = record.close.map(|(code, _)| code);
    assert_eq!(closed, Some(Some(4403)));
    assert_eq!(phone.world.upstream_total(), 2);
}
