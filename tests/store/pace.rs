//! Turns to connect to an upstream, whatever keeps them.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::config::{self, Layout};
use tonegate::ids::SessionId;
use tonegate::store::{Became, Paced, Store, TakeTurn, Turn};

use crate::server::{Cluster, Server};
use crate::under::{HOUR, Running, Under, at, eventually, prefixed, settings};

/// A quota that no other test has.
fn quota() -> String {
    format!("{}.example.com:443", SessionId::random())
}

fn ask(quota: &str, count: u32, turn: Turn) -> TakeTurn<'_> {
    TakeTurn {
        quota,
        count,
        turn,
        lasts: HOUR,
        told: &[],
        forecast: 10,
    }
}

async fn take(store: &Store, quota: &str, count: u32) -> Option<Turn> {
    let turn = Turn::random();
    let paced = store.take_turn(&ask(quota, count, turn)).await.unwrap();
    matches!(paced, Paced::Taken { .. }).then_some(turn)
}

pub(crate) async fn u8_turns_are_of_all_edges_together_and_free_when_they_are_over(under: Under) {
    let (one, other) = (under.store(), under.other());
    let quota = quota();
    let first = take(one, &quota, 3).await.unwrap();
    assert!(take(other, &quota, 3).await.is_some());
    let last = ask(&quota, 3, Turn::random());
    let taken = Paced::Taken { out: 3 };
    assert_eq!(one.take_turn(&last).await.unwrap(), taken);
    // The same again is the same turn, whichever edge asks.
    assert_eq!(other.take_turn(&last).await.unwrap(), taken);
    for store in [one, other] {
        let asked = TakeTurn {
            forecast: 2,
            ..ask(&quota, 3, Turn::random())
        };
        let Paced::Wait { out, free_in, shut } = store.take_turn(&asked).await.unwrap() else {
            panic!("a fourth");
        };
        assert_eq!((out, free_in.len(), shut), (3, 2, Duration::ZERO));
        let near = HOUR - Duration::from_secs(60)..=HOUR;
        assert!(
            free_in.iter().all(|wait| near.contains(wait)),
            "{free_in:?}"
        );
        assert!(free_in.is_sorted());
    }
    // It was never used: somebody else has it at once.
    other
        .note_turn(&quota, first, Became::Nothing)
        .await
        .unwrap();
    let next = take(one, &quota, 3).await.unwrap();
    assert!(take(other, &quota, 3).await.is_none());
    // It was, and counts for so long.
    let short = Became::Counted(Duration::from_millis(200));
    one.note_turn(&quota, next, short).await.unwrap();
    eventually("the end of a turn", async || take(other, &quota, 3).await).await;
    assert!(take(one, &quota, 3).await.is_none());
    // Another quota is another matter.
    assert!(take(one, &self::quota(), 1).await.is_some());
}

pub(crate) async fn u8_of_thirty_who_race_for_ten_turns_ten_have_one(under: Under) {
    let quota = quota();
    let (one, other) = (under.store(), under.other());
    let asked = (0..30).map(|i| take(if i % 2 == 0 { one } else { other }, &quota, 10));
    let taken = join_all(asked).await;
    assert_eq!(taken.iter().flatten().count(), 10);
}

pub(crate) async fn u8_what_was_taken_while_the_store_was_away_counts_first(under: Under) {
    let (quota, store) = (quota(), under.store());
    let alone = [Turn::random(), Turn::random()];
    let short = Duration::from_millis(300);
    let told = [(alone[0], HOUR), (alone[1], short)];
    let asked = TakeTurn {
        told: &told,
        ..ask(&quota, 2, Turn::random())
    };
    let Paced::Wait { out, free_in, .. } = store.take_turn(&asked).await.unwrap() else {
        panic!("they do not count");
    };
    assert_eq!(out, 2);
    assert!(free_in[0] <= short && free_in[1] > short, "{free_in:?}");
    eventually("the end of the short one", async || {
        take(under.other(), &quota, 2).await
    })
    .await;
    assert!(take(store, &quota, 2).await.is_none());
}

pub(crate) async fn u8_a_quota_that_is_shut_has_no_turn_for_any_edge(under: Under) {
    let quota = quota();
    let (one, other) = (under.store(), under.other());
    let turn = take(one, &quota, 30).await.unwrap();
    let counts = HOUR;
    let throttled = |shut| Became::Throttled { counts, shut };
    let long = Duration::from_millis(1500);
    one.note_turn(&quota, turn, throttled(long)).await.unwrap();
    // Another 429 that says less makes it no shorter.
    let short = Duration::from_millis(1);
    other
        .note_turn(&quota, turn, throttled(short))
        .await
        .unwrap();
    let asked = ask(&quota, 30, Turn::random());
    let Paced::Wait { out, free_in, shut } = other.take_turn(&asked).await.unwrap() else {
        panic!("it is not shut");
    };
    assert_eq!((out, free_in.len()), (1, 1));
    assert!(shut > Duration::ZERO && shut <= long, "{shut:?}");
    eventually("that it is open", async || take(other, &quota, 30).await).await;
}

/// What another program sees.
#[tokio::test]
async fn u8_turns_lie_in_one_slot_and_have_an_end() {
    let (server, cluster) = (Server::plain(&[]), Cluster::start());
    let of_cluster = settings(at(Layout::Cluster, &[&cluster.nodes[0]]));
    let single: config::Store = settings(at(Layout::Single, &[&server]));
    for (cli, settings) in [(&server, single), (&cluster.nodes[0], of_cluster)] {
        let running = Running::up(&prefixed(&settings, "e:")).await;
        let store = &*running.store;
        let turn = take(store, "voice.example.com:443", 30).await.unwrap();
        let name = "e:pace:{voice.example.com:443}";
        let left = |name: &str| -> i64 { cli.tell(&["PTTL", name]).parse().unwrap() };
        assert!((1..=3_600_000).contains(&left(name)), "{}", left(name));
        let became = Became::Throttled {
            counts: Duration::from_secs(60),
            shut: Duration::from_secs(7),
        };
        store
            .note_turn("voice.example.com:443", turn, became)
            .await
            .unwrap();
        assert!((1..=60_000).contains(&left(name)), "{}", left(name));
        let shut = left(&format!("{name}:shut"));
        assert!((1..=7_000).contains(&shut), "{shut}");
        assert_eq!(cli.tell(&["ZCARD", name]), "1");
    }
}
