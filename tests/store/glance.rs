//! Sessions that ask at a glance whether their calls are what they were: over all engines what that says,
//! and over Redis what it costs, what it leaves alone, and that one call's trouble is no other's.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tonegate::config::{Layout, Redis};
use tonegate::sim::certificate::Authority;
use tonegate::store::{CallEnded, Needs, Still, Store, Tried, Unavailable};

use crate::server::{Cluster, Monitor, Server, acl_line};
use crate::under::{Call, HOUR, Running, Under, at, eventually, lines, secured, settings};

/// Of calls that a store is asked about at one time.
async fn glances(store: &Store, calls: &[Call]) -> Vec<Result<bool, Unavailable>> {
    join_all(calls.iter().map(|call| store.glance(&call.id, call.owner))).await
}

async fn is_unchanged(store: &Store, call: &Call) -> bool {
    store.glance(&call.id, call.owner).await.unwrap()
}

/// Calls that got through.
async fn open(store: &Store, count: usize) -> Vec<Call> {
    let open = async || {
        let call = Call::new();
        call.note(store).await;
        let entered = call.enter(store, Needs::Nothing).await;
        assert_eq!(entered, call.authorised(false));
        call
    };
    join_all((0..count).map(|_| open())).await
}

fn record(call: &Call) -> String {
    format!("call:{{{}}}", call.id)
}

fn live(call: &Call) -> String {
    format!("live:{{{}}}", call.id)
}

pub(crate) async fn a35_a_glance_says_no_of_all_that_is_not_what_it_was(under: Under) {
    let (store, other) = (under.store(), under.other());
    // Nobody knows it, or knows whose it is.
    let unknown = Call::new();
    assert!(!is_unchanged(store, &unknown).await);
    unknown.note(store).await;
    assert!(!is_unchanged(store, &unknown).await);
    // It is over before its gate has opened.
    let over = Call::dialled(store).await;
    let ended = CallEnded::default();
    assert!(other.end_call(&over.id, ended).await.unwrap());
    assert!(!is_unchanged(store, &over).await);
    // Its gate is shut, and then open; to others it is nothing.
    let first = Call::dialled(store).await;
    assert!(is_unchanged(other, &first).await);
    let key = first.key(store, "823");
    store.put_key(&key, HOUR).await.unwrap();
    let tried = store.try_code(&first.attempt(&key, 1)).await.unwrap();
    assert_eq!(tried, Tried::Opened(None));
    assert!(is_unchanged(store, &first).await);
    let second = first.again();
    assert!(!is_unchanged(store, &second).await);
    // It was taken over, and given back.
    let entered = second.enter(other, Needs::Dialled).await;
    assert_eq!(entered, first.authorised(true));
    assert!(!is_unchanged(store, &first).await);
    assert!(is_unchanged(store, &second).await);
    let back = second.given_back(second.owner);
    other.give_back(&back).await.unwrap();
    assert!(is_unchanged(store, &first).await);
    assert!(!is_unchanged(store, &second).await);
    // It is over.
    assert!(
        other
            .end_call(&first.id, CallEnded::default())
            .await
            .unwrap()
    );
    assert!(!is_unchanged(store, &first).await);
    let looked = store.look(&first.id, first.owner).await;
    assert_eq!(looked, Ok(Still::Ended));
}

pub(crate) async fn a35_a_verdict_that_is_no_more_is_seen_at_a_glance_and_its_call_s_alone(
    under: Under,
) {
    let store = under.store();
    let calls = open(store, 100).await;
    let all = glances(under.other(), &calls).await;
    assert!(all.iter().all(|told| *told == Ok(true)), "{all:?}");
    // To the store a verdict that is taken back is one that ended.
    let taken_back = |i: usize| i % 7 == 3;
    for (_, call) in calls.iter().enumerate().filter(|(i, _)| taken_back(*i)) {
        let short = Duration::from_millis(1);
        store.leave(&call.id, call.owner, short).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Each has its own answer, also the latest of them.
    for (i, told) in glances(store, &calls).await.into_iter().enumerate() {
        assert_eq!(told, Ok(!taken_back(i)), "{i}");
    }
}

/// What clients sent, without what was asked before a server knew a script.
fn asked(monitors: Vec<Monitor<'_>>) -> Vec<String> {
    monitors.into_iter().flat_map(Monitor::end).collect()
}

#[tokio::test]
async fn a35_a_hundred_glances_are_two_commands_and_put_no_end_off() {
    let server = Server::plain(&[]);
    let running = Running::up(&settings(at(Layout::Single, &[&server]))).await;
    let store = &*running.store;
    let calls = open(store, 100).await;
    // The first time the script is sent by its text.
    assert!(is_unchanged(store, &calls[0]).await);
    let monitor = server.listen();
    let told = glances(store, &calls).await;
    assert!(told.iter().all(|told| *told == Ok(true)), "{told:?}");
    let heard = monitor.end();
    assert_eq!(heard.len(), 2, "{heard:#?}");
    let keys = |line: &String| line.matches("\"live:{").count();
    let keys: Vec<usize> = heard.iter().map(keys).collect();
    assert_eq!(keys, [64, 36]);
    assert!(heard.iter().all(|line| line.contains("\"EVALSHA\"")));
    for key in [live(&calls[5]), record(&calls[5])] {
        server.tell(&["PEXPIRE", &key, "3500000"]);
        assert!(is_unchanged(store, &calls[5]).await);
        let left: u64 = server.tell(&["PTTL", &key]).parse().unwrap();
        assert!(left <= 3_500_000, "{key}: {left}");
    }
    let page = running.metrics.render();
    let counted = "tonegate_store_operations_total{operation=\"glance\",result=\"ok\"} 103";
    assert!(page.contains(counted), "{page}");
}

/// No two calls lie in one slot, and each node is asked for its own.
#[tokio::test]
async fn a35_a_hundred_glances_at_a_cluster_are_a_command_each_at_the_node_that_has_the_call() {
    let cluster = Cluster::start();
    let running = Running::up(&settings(at(Layout::Cluster, &[&cluster.nodes[0]]))).await;
    let store = &*running.store;
    let calls = open(store, 100).await;
    glances(store, &calls).await;
    let monitors: Vec<_> = cluster.nodes.iter().map(Server::listen).collect();
    let told = glances(store, &calls).await;
    assert!(told.iter().all(|told| *told == Ok(true)), "{told:?}");
    let heard = asked(monitors);
    assert_eq!(heard.len(), 100, "{heard:#?}");
    for call in &calls {
        let name = live(call);
        let found = heard.iter().filter(|line| line.contains(&name)).count();
        assert_eq!(found, 1, "{name}");
    }
}

/// What is of another type, has no end or ends soon makes a session look, which finds out or mends it.
#[tokio::test]
async fn a35_a_record_that_cannot_be_read_or_ends_soon_is_looked_at_and_says_nothing_of_others() {
    let server = Server::plain(&[]);
    let running = Running::up(&settings(at(Layout::Single, &[&server]))).await;
    let store = &*running.store;
    let calls = open(store, 7).await;
    let (broken, spoilt) = (record(&calls[1]), live(&calls[2]));
    server.tell(&["SET", &broken, "x", "EX", "3600"]);
    server.tell(&["DEL", &spoilt]);
    server.tell(&["PEXPIRE", &live(&calls[3]), "2600000"]);
    server.tell(&["PEXPIRE", &record(&calls[4]), "2600000"]);
    server.tell(&["PERSIST", &live(&calls[5])]);
    let wanted = [true, false, false, false, false, false, true].map(Ok);
    assert_eq!(glances(store, &calls).await, wanted);
    let looked = join_all(calls.iter().map(|call| store.look(&call.id, call.owner))).await;
    let mut still = vec![Ok(Still::Ours); 7];
    still[1] = Err(Unavailable::Refused);
    still[2] = Ok(Still::Gone);
    assert_eq!(looked, still);
    for key in [live(&calls[3]), record(&calls[4]), live(&calls[5])] {
        let left: i64 = server.tell(&["PTTL", &key]).parse().unwrap();
        assert!((3_500_000..=3_600_000).contains(&left), "{key}: {left}");
    }
    let wanted = [true, false, false, true, true, true, true].map(Ok);
    assert_eq!(glances(store, &calls).await, wanted);
}

/// Whoever asks waits for itself, and there is no answer that says that something changed.
#[tokio::test]
async fn s31_a_server_that_is_frozen_or_away_has_no_answer_for_any_of_a_hundred_and_then_has_all() {
    let server = Server::plain(&["--appendonly", "yes", "--appendfsync", "always"]);
    let patience = Duration::from_millis(300);
    let running = Running::up(&settings(Redis {
        timeout: patience,
        ..at(Layout::Single, &[&server])
    }))
    .await;
    let store = &*running.store;
    let calls = open(store, 100).await;
    server.signal("-STOP");
    let begun = Instant::now();
    let told = glances(store, &calls).await;
    let took = begun.elapsed();
    let late = |told: &Result<bool, Unavailable>| *told == Err(Unavailable::Timeout);
    assert!(told.iter().all(late), "{told:?}");
    // The window, its patience, and what a busy machine adds; all of them wait at one time.
    assert!(took >= patience && took < 5 * patience, "{took:?}");
    server.signal("-CONT");
    let all = async || {
        let told = glances(store, &calls).await;
        let known = |told: &Result<bool, Unavailable>| *told != Ok(false);
        assert!(told.iter().all(known), "{told:?}");
        told.iter().all(Result::is_ok).then_some(())
    };
    eventually("a hundred answers", all).await;
    server.kill();
    eventually("that it is seen", async || (!store.is_up()).then_some(())).await;
    let told = glances(store, &calls).await;
    let away = |told: &Result<bool, Unavailable>| *told == Err(Unavailable::Unreachable);
    assert!(told.iter().all(away), "{told:?}");
    // It knows the calls, and its scripts no more.
    server.restart();
    eventually("a hundred answers", all).await;
    assert!(!lines().contains("panic"), "{}", lines());
}

/// It has what it had when it was demoted, and would say of it what it said before.
#[tokio::test]
async fn s31_a_server_that_was_demoted_keeps_no_call() {
    let server = Server::plain(&[]);
    let running = Running::up(&settings(at(Layout::Single, &[&server]))).await;
    let store = &*running.store;
    let calls = open(store, 3).await;
    assert_eq!(glances(store, &calls).await, [Ok(true); 3]);
    // Of nobody: what it knows stays.
    server.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    for _ in 0..3 {
        let told = glances(store, &calls).await;
        assert!(told.iter().all(Result::is_err), "{told:?}");
    }
    server.tell(&["REPLICAOF", "NO", "ONE"]);
    eventually("the calls again", async || {
        let told = glances(store, &calls).await;
        told.iter().all(|told| *told == Ok(true)).then_some(())
    })
    .await;
}

/// A session that leaves late in the life of its record leaves a record that lasts as its verdict does.
#[tokio::test]
async fn a25_what_is_known_of_a_call_lasts_as_long_as_it_may_come_back() {
    let server = Server::plain(&[]);
    let running = Running::up(&settings(at(Layout::Single, &[&server]))).await;
    let calls = open(&running.store, 2).await;
    let resume = Duration::from_secs(100);
    for (call, before) in calls.iter().zip([88_000, 3_000_000]) {
        let key = record(call);
        server.tell(&["PEXPIRE", &key, &before.to_string()]);
        let left = running.store.leave(&call.id, call.owner, resume).await;
        assert_eq!(left, Ok(()));
        let left: i64 = server.tell(&["PTTL", &key]).parse().unwrap();
        let wanted = before.max(100_000);
        assert!((wanted - 5000..=wanted).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn s31_calls_of_a_frozen_node_have_no_answer_and_those_of_the_others_have_theirs_in_time() {
    let cluster = Cluster::start();
    let nodes = &cluster.nodes;
    let patience = Duration::from_millis(600);
    let running = Running::up(&settings(Redis {
        timeout: patience,
        ..at(Layout::Cluster, &[&nodes[0]])
    }))
    .await;
    let store = &*running.store;
    let calls = open(store, 60).await;
    let slot = |call: &Call| {
        let slot = nodes[0].tell(&["CLUSTER", "KEYSLOT", call.id.as_str()]);
        slot.parse::<u16>().unwrap()
    };
    let frozen: Vec<bool> = calls.iter().map(|call| slot(call) > 10922).collect();
    assert!(frozen.contains(&true) && frozen.contains(&false));
    glances(store, &calls).await;
    nodes[2].signal("-STOP");
    let asks = calls.iter().map(async |call| {
        let begun = Instant::now();
        let told = store.glance(&call.id, call.owner).await;
        (told, begun.elapsed())
    });
    let told = join_all(asks).await;
    nodes[2].signal("-CONT");
    for ((told, took), frozen) in told.into_iter().zip(frozen) {
        let wanted = match frozen {
            true => Err(Unavailable::Timeout),
            false => Ok(true),
        };
        assert_eq!(told, wanted);
        assert!(frozen || took < patience, "{took:?}");
    }
}

/// Sessions ask on the threads of the workers, and may end while they do.
#[tokio::test]
async fn a35_sessions_that_end_while_they_ask_take_no_answer_from_those_that_stay() {
    let server = Server::plain(&[]);
    let running = Running::up(&settings(at(Layout::Single, &[&server]))).await;
    let calls = open(&running.store, 100).await;
    let asks: Vec<_> = calls
        .iter()
        .map(|call| {
            let (store, id, owner) = (running.store.clone(), call.id.clone(), call.owner);
            tokio::spawn(async move { store.glance(&id, owner).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for ask in asks.iter().step_by(2) {
        ask.abort();
    }
    for (i, ask) in asks.into_iter().enumerate() {
        match i % 2 {
            0 => assert!(ask.await.unwrap_err().is_cancelled()),
            _ => assert_eq!(ask.await.unwrap(), Ok(true), "{i}"),
        }
    }
    // Those that left did so for good: nothing that was still to be asked keeps their verdicts.
    let left = &calls[0];
    let leave = Duration::from_secs(30);
    let left_so = running.store.leave(&left.id, left.owner, leave).await;
    assert_eq!(left_so, Ok(()));
    // A verdict that is to end soon is not what it was.
    assert!(!is_unchanged(&running.store, left).await);
    let ends: i64 = server.tell(&["PTTL", &live(left)]).parse().unwrap();
    assert!((1..=30_000).contains(&ends), "{ends}");
}

#[tokio::test]
async fn s29_the_user_of_the_readme_may_glance() {
    let authority = Authority::new("Redis");
    let server = Server::tls(&authority, &acl_line());
    let running = Running::up(&settings(secured(&server, &authority.pem()))).await;
    let calls = open(&running.store, 3).await;
    assert_eq!(glances(&running.store, &calls).await, [Ok(true); 3]);
    assert_eq!(server.tell(&["ACL", "LOG"]), "", "something was refused");
}
