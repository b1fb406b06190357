//! Two edges and one Redis: calls that move, callers who guess, callers who race.

use futures_util::future::join_all;
use tonegate::sim::acs;
use tonegate::sim::acs::Dial;
use tonegate::sim::client::Error;

use super::redis::{
    Caller, Redis, another, at_once, count, dial, dial_route, eventually, gates, is_up, opens,
    patient, phone, press, rings,
};
use super::world::{Line, Phone, Ringing};
use crate::child::Child;
use crate::harness::within;

/// Settings of a gate beside the usual ones, with a name of its own for all that is written.
fn line(gate: &str, prefix: &str) -> Line {
    Line {
        gate: format!("flow = \"pstn\", digits = 3, {gate}"),
        store: format!("timeout = \"1500ms\"\nprefix = \"{prefix}\""),
        ..Line::default()
    }
}

fn own_prefix() -> String {
    format!("two-{}:", tonegate::ids::SessionId::random())
}

async fn moves(redis: Redis) {
    let phone = phone(&redis, patient()).await;
    let other = another(&phone);
    is_up(&other).await;
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let first = rings(&phone, phone.world.port, &caller).await;
    press(&first, "823");
    opens(&phone, 1).await;
    phone.world.upstream_saw(|_| true).await;
    let second = rings(&phone, other.public().port(), &caller).await;
    // The upstream was dialled before the 101.
    assert_eq!(phone.world.upstream_total(), 2);
    first.closed(4409, "superseded").await;
    assert_eq!(gates(&other, "authorised"), 0);
    let ended = "{route=\"phone\",by=\"edge\",reason=\"superseded\"} 1";
    phone
        .world
        .metrics_say(&format!("tonegate_sessions_ended_total{ended}"))
        .await;
    let looked = "tonegate_store_operations_total{operation=\"look\",result=\"ok\"}";
    assert!(count(phone.world.edge(), looked) > 0);
    assert!(second.hand.look(|record| record.ending.is_none()));
    second.hand.hang_up();
    assert_eq!(second.ended().await.violations, []);
}

#[tokio::test]
async fn a25_a_call_that_dials_another_edge_goes_on_there_without_a_code() {
    moves(Redis::single()).await;
}

#[tokio::test]
async fn a25_a_call_that_dials_another_edge_of_a_cluster_goes_on_there_without_a_code() {
    moves(Redis::cluster()).await;
}

/// What is not open yet does not open by moving, and tries are the call's, not the socket's.
#[tokio::test]
async fn a25_a_call_that_moves_before_its_code_has_the_tries_that_are_left() {
    let redis = Redis::single();
    let phone = phone(&redis, patient()).await;
    let other = another(&phone);
    is_up(&other).await;
    let caller = Caller::new();
    let first = rings(&phone, phone.world.port, &caller).await;
    press(&first, "824825");
    let tried = async || redis.tell(&["HLEN", &caller.tries()]) == "2";
    eventually("two tries", tried).await;
    let second = rings(&phone, other.public().port(), &caller).await;
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    // What was taken over may not try any more.
    press(&first, "823");
    first.closed(4409, "superseded").await;
    assert!(redis.has(&caller.pstn("823")));
    press(&second, "826823");
    second.closed(4403, "locked_out").await;
    assert!(redis.has(&caller.pstn("823")));
    assert_eq!(redis.tell(&["HLEN", &caller.tries()]), "3");
    assert_eq!(phone.world.upstream_total(), 0);
}

/// Calls so many callers at once, in turn at each port.
async fn all_ring(phone: &Phone, ports: &[u16], callers: &[Caller]) -> Vec<Ringing> {
    let ports = ports.iter().cycle();
    let calls = callers.iter().zip(ports);
    join_all(calls.map(|(caller, port)| rings(phone, *port, caller))).await
}

/// The words that calls were closed with, and how often.
async fn closed(calls: Vec<Ringing>) -> [usize; 2] {
    let ended = join_all(calls.into_iter().map(Ringing::ended)).await;
    let mut counts = [0; 2];
    for record in ended {
        let (code, reason) = record.close.unwrap();
        assert_eq!(code, Some(4403), "{reason}");
        counts[usize::from(reason == "locked_out")] += 1;
    }
    counts
}

/// Two processes, and nothing between them but Redis.
async fn processes(phone: &mut Phone) -> [(Child, u16); 2] {
    let mut start = || {
        let child = Child::start(&mut phone.world, "true");
        (child, phone.world.port)
    };
    let both = [start(), start()];
    for (child, _) in &both {
        child.metrics_say("tonegate_store_up 1").await;
    }
    both
}

async fn guesses(redis: Redis) {
    let prefix = own_prefix();
    let line = line(
        "attempts_per_ani = \"5/h\", attempts_per_route = \"20/h\"",
        &prefix,
    );
    let mut phone = phone(&redis, line).await;
    let both = processes(&mut phone).await;
    let ports = [both[0].1, both[1].1];
    // One caller in many calls.
    let one = Caller::new();
    let right = format!("{prefix}{}", one.pstn("999"));
    redis.tell(&["SET", &right, "1", "EX", "3600"]);
    let callers: Vec<Caller> = (0..8).map(|_| Caller::of(&one.ani)).collect();
    let calls = all_ring(&phone, &ports, &callers).await;
    for call in &calls {
        press(call, "123124125");
    }
    let [_, locked] = closed(calls).await;
    // Five failures fill at most one call of three; whoever had less was locked out.
    assert!(locked >= 7, "{locked}");
    let fails = format!("{prefix}fails:ani:{}", one.ani);
    assert_eq!(redis.tell(&["SCARD", &fails]), "5");
    // The right code now, at either of them: it is not even looked up.
    let callers: Vec<Caller> = (0..2).map(|_| Caller::of(&one.ani)).collect();
    let calls = all_ring(&phone, &ports, &callers).await;
    for call in &calls {
        press(call, "999");
    }
    assert_eq!(closed(calls).await, [0, 2]);
    assert!(redis.has(&right), "consumed by whoever was locked out");
    // Many callers, each with little.
    let callers: Vec<Caller> = (0..12).map(|_| Caller::new()).collect();
    let calls = all_ring(&phone, &ports, &callers).await;
    for call in &calls {
        press(call, "123124125");
    }
    closed(calls).await;
    let fails = format!("{prefix}fails:route:phone");
    assert_eq!(redis.tell(&["SCARD", &fails]), "20");
    let last = Caller::new();
    let right = format!("{prefix}{}", last.pstn("999"));
    redis.tell(&["SET", &right, "1", "EX", "3600"]);
    let call = rings(&phone, ports[0], &last).await;
    press(&call, "999");
    call.closed(4403, "locked_out").await;
    assert!(redis.has(&right));
    assert_eq!(phone.world.upstream_total(), 0);
}

#[tokio::test]
async fn a29_guesses_at_two_processes_stay_under_the_caps() {
    guesses(Redis::single()).await;
}

#[tokio::test]
async fn a29_guesses_at_two_processes_stay_under_the_caps_in_a_cluster() {
    guesses(Redis::cluster()).await;
}

#[tokio::test]
async fn a29_a_lock_ends_with_its_window_and_the_code_is_still_there() {
    for redis in [Redis::single(), Redis::cluster()] {
        let prefix = own_prefix();
        let phone = phone(&redis, line("attempts_per_ani = \"3/2s\"", &prefix)).await;
        let other = another(&phone);
        is_up(&other).await;
        let caller = Caller::new();
        let key = format!("{prefix}{}", caller.pstn("823"));
        redis.tell(&["SET", &key, "1", "EX", "3600"]);
        let again = || Caller::of(&caller.ani);
        // Both are there before the window begins.
        let second = rings(&phone, other.public().port(), &again()).await;
        let first = rings(&phone, phone.world.port, &caller).await;
        press(&first, "824825826");
        first.closed(4403, "code_wrong").await;
        press(&second, "823");
        second.closed(4403, "locked_out").await;
        assert!(redis.has(&key));
        let fails = format!("{prefix}fails:ani:{}", caller.ani);
        eventually("the window's end", async || !redis.has(&fails)).await;
        let third = rings(&phone, other.public().port(), &again()).await;
        press(&third, "823");
        opens(&phone, 1).await;
        assert!(!redis.has(&key));
    }
}

/// A trunk that shows one number for all: its callers do not lock each other out, and a code that
/// was guessed at too often is locked, whoever has it.
#[tokio::test]
async fn a29_where_callers_share_a_number_failures_count_by_route() {
    let redis = Redis::single();
    let prefix = own_prefix();
    let line = line("ani = \"shared\", attempts_per_route = \"4/h\"", &prefix);
    let phone = phone(&redis, line).await;
    let other = another(&phone);
    is_up(&other).await;
    let ports = [phone.world.port, other.public().port()];
    let trunk = Caller::new();
    let good = format!("{prefix}{}", trunk.pstn("823"));
    redis.tell(&["SET", &good, "1", "EX", "3600"]);
    let three: Vec<Caller> = (0..3).map(|_| Caller::of(&trunk.ani)).collect();
    let calls = all_ring(&phone, &ports, &three).await;
    press(&calls[0], "111222333");
    let mut calls = calls.into_iter();
    calls.next().unwrap().closed(4403, "code_wrong").await;
    let (second, third) = (calls.next().unwrap(), calls.next().unwrap());
    press(&second, "823");
    opens(&phone, 1).await;
    press(&third, "444555");
    third.closed(4403, "locked_out").await;
    assert_eq!(
        redis.tell(&["SCARD", &format!("{prefix}fails:route:phone")]),
        "4"
    );
    assert!(!redis.has(&format!("{prefix}fails:ani:{}", trunk.ani)));
}

async fn race_for_a_code(redis: Redis) {
    let prefix = own_prefix();
    let line = line("attempts = 1, attempts_per_ani = \"1000/h\"", &prefix);
    let phone = phone(&redis, line).await;
    let (edge, other) = (phone.world.edge(), another(&phone));
    is_up(&other).await;
    let one = Caller::new();
    let key = format!("{prefix}{}", one.pstn("823"));
    redis.tell(&["SET", &key, "1", "EX", "3600"]);
    let callers: Vec<Caller> = (0..30).map(|_| Caller::of(&one.ani)).collect();
    let ports = [phone.world.port, other.public().port()];
    let calls = all_ring(&phone, &ports, &callers).await;
    for call in &calls {
        press(call, "823");
    }
    opens(&phone, 1).await;
    let ended = |call: &&Ringing| call.hand.look(|record| record.ending.is_some());
    let decided = async || calls.iter().filter(ended).count() == 29;
    eventually("twenty-nine refusals", decided).await;
    let winner = calls.iter().position(|call| !ended(&call)).unwrap();
    calls[winner].hand.hang_up();
    let records = join_all(calls.into_iter().map(Ringing::ended)).await;
    for (i, record) in records.iter().enumerate() {
        let code = record.close.as_ref().and_then(|(code, _)| *code);
        assert_eq!(code, Some(if i == winner { 1000 } else { 4403 }));
    }
    let count = |result| gates(edge, result) + gates(&other, result);
    let counted = async || count("authorised") + count("rejected") == 30;
    eventually("thirty verdicts", counted).await;
    assert_eq!((count("authorised"), count("rejected")), (1, 29));
    assert!(!redis.has(&key));
    let opened = redis.ends(&format!("{prefix}live:"));
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(phone.world.upstream_total(), 1);
}

#[tokio::test]
async fn s28_thirty_callers_with_one_code_are_one_who_gets_through() {
    race_for_a_code(Redis::single()).await;
}

#[tokio::test]
async fn s28_thirty_callers_with_one_code_are_one_who_gets_through_in_a_cluster() {
    race_for_a_code(Redis::cluster()).await;
}

/// How upgrades were answered.
async fn answers(dials: Vec<Dial>) -> (Vec<acs::Call>, Vec<u16>) {
    let asked = dials.iter().map(|dial| acs::Call::dial(dial, at_once()));
    let answers = within("all answers", join_all(asked)).await;
    let (mut calls, mut refused) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(call) => calls.push(call),
            Err(Error::Refused(answer)) => refused.push(answer.status),
            Err(other) => panic!("{other}"),
        }
    }
    (calls, refused)
}

async fn race_with_a_token(redis: Redis) {
    let phone = phone(&redis, patient()).await;
    let other = another(&phone);
    is_up(&other).await;
    let ports = [phone.world.port, other.public().port()];
    let token = phone.token();
    let of_30 = |route: &str| -> Vec<Dial> {
        let ports = ports.iter().cycle().take(30);
        let dial = ports.map(|port| {
            let dial = dial(&phone, *port, &Caller::new());
            let url = dial.url.replace("/acs/media/", &format!("/{route}/"));
            Dial {
                url,
                token: Some(token.clone()),
                ..dial
            }
        });
        dial.collect()
    };
    // A refusal for want of a key spends nothing.
    let (calls, refused) = answers(of_30("api")).await;
    assert_eq!((calls.len(), refused.len()), (0, 30));
    assert!(
        refused.iter().all(|status| [401, 403].contains(status)),
        "{refused:?}"
    );
    let (calls, refused) = answers(of_30("acs/media")).await;
    assert_eq!((calls.len(), refused), (1, vec![401; 29]));
}

#[tokio::test]
async fn s28_thirty_upgrades_with_one_token_are_one_101() {
    race_with_a_token(Redis::single()).await;
}

#[tokio::test]
async fn s28_thirty_upgrades_with_one_token_are_one_101_in_a_cluster() {
    race_with_a_token(Redis::cluster()).await;
}

/// Thirty calls of one connection whose key is good once.
#[tokio::test]
async fn s28_thirty_upgrades_with_one_key_are_one_101() {
    for redis in [Redis::single(), Redis::cluster()] {
        let phone = phone(&redis, patient()).await;
        let one = Caller::new();
        let key = format!("acs:call_connection_id:{}", one.connection);
        redis.tell(&["SET", &key, "1", "EX", "60"]);
        let dials = (0..30).map(|_| {
            let caller = Caller {
                connection: one.connection.clone(),
                ..Caller::new()
            };
            dial_route(&phone, "api", &caller)
        });
        let (calls, refused) = answers(dials.collect()).await;
        assert_eq!((calls.len(), refused), (1, vec![403; 29]));
        assert_eq!(phone.world.upstream_total(), 1);
        assert!(!redis.has(&key));
    }
}
