//! What edges count together: rates, sessions at a time, minutes.

use std::time::Duration;

use futures_util::future::join_all;
use tonegate::config::Rate;
use tonegate::ids::SessionId;
use tonegate::store::{Counter, Most, Took, Use};

use crate::suite::on_every_engine;
use crate::under::{Under, eventually};

on_every_engine!(
    a43_of_thirty_takers_at_two_edges_as_many_enter_as_may,
    a43_of_thirty_who_need_several_things_no_more_enter_than_may,
    a43_what_is_refused_has_taken_nothing,
    a43_a_place_is_its_sessions_until_it_is_given_back_or_its_lease_ends,
    a43_a_place_that_is_kept_outlives_its_lease_and_an_unknown_one_counts,
    a43_a_rate_is_one_for_all_edges_and_says_when_its_next_turn_is,
    a43_minutes_are_used_up_together_until_their_window_ends,
);

const LEASE: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

fn counter(most: Most) -> Counter {
    Counter {
        name: format!("test:{}", SessionId::random()).into(),
        most,
    }
}

fn rate(count: u32, per: Duration) -> Most {
    Most::Rate(Rate { count, per })
}

async fn a43_of_thirty_takers_at_two_edges_as_many_enter_as_may(under: Under) {
    for most in [Most::Sessions(5), rate(5, Duration::from_secs(3600))] {
        let one = [counter(most)];
        let stores = [under.store(), under.other()];
        let takers = stores.iter().cycle().take(30);
        let takers = takers.map(|store| store.take(SessionId::random(), &one, LEASE));
        let took = join_all(takers).await;
        let all = took.iter().filter(|took| **took == Ok(Took::All)).count();
        assert_eq!(all, 5, "{took:?}");
        assert!(took.iter().all(Result::is_ok));
    }
}

async fn a43_of_thirty_who_need_several_things_no_more_enter_than_may(under: Under) {
    let counters = [
        counter(rate(1000, MINUTE)),
        counter(Most::Sessions(5)),
        counter(Most::Sessions(9)),
    ];
    let stores = [under.store(), under.other()];
    let takers = stores.iter().cycle().take(30);
    let takers = takers.map(|store| store.take(SessionId::random(), &counters, LEASE));
    let took = join_all(takers).await;
    let all = took.iter().filter(|took| **took == Ok(Took::All)).count();
    let no_more = Ok(Took::NoMore {
        which: 1,
        wait: None,
    });
    // In a cluster the slots are asked one by one, so that two who meet may both be refused; no more than
    // five ever enter.
    assert!(all <= 5 && took.iter().all(Result::is_ok), "{took:?}");
    eventually("five", async || {
        let took = under.other().take(SessionId::random(), &counters, LEASE);
        (took.await == no_more).then_some(())
    })
    .await;
    // The wider one has as many, and no place was left behind by whoever was refused.
    let wider = &counters[2..];
    for _ in 0..4 {
        let took = under.store().take(SessionId::random(), wider, LEASE).await;
        assert_eq!(took, Ok(Took::All));
    }
    let took = under.other().take(SessionId::random(), wider, LEASE).await;
    assert!(
        matches!(took, Ok(Took::NoMore { which: 0, .. })),
        "{took:?}"
    );
}

async fn a43_what_is_refused_has_taken_nothing(under: Under) {
    let (store, other) = (under.store(), under.other());
    let full = counter(Most::Sessions(0));
    let turns = counter(rate(2, Duration::from_secs(3600)));
    let places = counter(Most::Sessions(1));
    let asked = [turns.clone(), places.clone(), full];
    for _ in 0..5 {
        let took = store.take(SessionId::random(), &asked, LEASE).await;
        assert!(
            matches!(took, Ok(Took::NoMore { which: 2, .. })),
            "{took:?}"
        );
    }
    let both = [turns, places];
    assert_eq!(
        other.take(SessionId::random(), &both, LEASE).await,
        Ok(Took::All)
    );
    let took = store.take(SessionId::random(), &both, LEASE).await;
    assert!(
        matches!(took, Ok(Took::NoMore { which: 1, .. })),
        "{took:?}"
    );
    let took = store.take(SessionId::random(), &both[..1], LEASE).await;
    assert_eq!(took, Ok(Took::All));
    let took = other.take(SessionId::random(), &both[..1], LEASE).await;
    assert!(
        matches!(took, Ok(Took::NoMore { which: 0, .. })),
        "{took:?}"
    );
}

async fn a43_a_place_is_its_sessions_until_it_is_given_back_or_its_lease_ends(under: Under) {
    let (store, other) = (under.store(), under.other());
    let one = [counter(Most::Sessions(1))];
    let (first, second) = (SessionId::random(), SessionId::random());
    let took = store.take(first, &one, LEASE).await;
    assert_eq!(took, Ok(Took::All));
    // Asked again after a lost answer it is its own.
    assert_eq!(other.take(first, &one, LEASE).await, Ok(Took::All));
    let took = other.take(second, &one, LEASE).await;
    let no_more = Took::NoMore {
        which: 0,
        wait: None,
    };
    assert_eq!(took, Ok(no_more));
    // Whoever has none gives none back.
    other.free(&one[0], &[second]).await.unwrap();
    assert_eq!(other.take(second, &one, LEASE).await, Ok(no_more));
    store.free(&one[0], &[first]).await.unwrap();
    let short = Duration::from_millis(300);
    assert_eq!(other.take(second, &one, short).await, Ok(Took::All));
    // Nobody keeps it.
    eventually("its end", async || {
        let took = store.take(first, &one, LEASE).await;
        (took == Ok(Took::All)).then_some(())
    })
    .await;
}

async fn a43_a_place_that_is_kept_outlives_its_lease_and_an_unknown_one_counts(under: Under) {
    let (store, other) = (under.store(), under.other());
    let three = [counter(Most::Sessions(3))];
    let (first, second) = (SessionId::random(), SessionId::random());
    let short = Duration::from_millis(300);
    assert_eq!(store.take(first, &three, short).await, Ok(Took::All));
    assert_eq!(store.take(second, &three, short).await, Ok(Took::All));
    // Let in elsewhere while the store was away: four, one too many.
    let unknown = [SessionId::random(), SessionId::random(), first];
    let used = Use {
        counter: &three[0],
        sessions: &unknown,
        lasted: Duration::ZERO,
    };
    assert_eq!(other.keep(used, LEASE).await, Ok(false));
    tokio::time::sleep(2 * short).await;
    // The second has ended, three are kept, so there is no more; and with one of these there is.
    let fifth = SessionId::random();
    let took = store.take(fifth, &three, LEASE).await;
    assert!(matches!(took, Ok(Took::NoMore { .. })), "{took:?}");
    other.free(&three[0], &[first]).await.unwrap();
    assert_eq!(store.take(fifth, &three, LEASE).await, Ok(Took::All));
}

async fn a43_a_rate_is_one_for_all_edges_and_says_when_its_next_turn_is(under: Under) {
    let (store, other) = (under.store(), under.other());
    let turns = [counter(rate(4, Duration::from_secs(2)))];
    for store in [store, other, store, other] {
        let took = store.take(SessionId::random(), &turns, LEASE).await;
        assert_eq!(took, Ok(Took::All));
    }
    let took = store.take(SessionId::random(), &turns, LEASE).await;
    let Ok(Took::NoMore {
        which: 0,
        wait: Some(wait),
    }) = took
    else {
        panic!("{took:?}");
    };
    assert!(wait <= Duration::from_millis(501), "{wait:?}");
    tokio::time::sleep(wait).await;
    let took = other.take(SessionId::random(), &turns, LEASE).await;
    assert_eq!(took, Ok(Took::All));
}

async fn a43_minutes_are_used_up_together_until_their_window_ends(under: Under) {
    let (store, other) = (under.store(), under.other());
    let window = Duration::from_millis(1500);
    let two = [counter(Most::Minutes(Rate {
        count: 2,
        per: window,
    }))];
    let used = |lasted| Use {
        counter: &two[0],
        sessions: &[],
        lasted,
    };
    let take =
        async |store: &tonegate::store::Store| store.take(SessionId::random(), &two, LEASE).await;
    assert_eq!(take(store).await, Ok(Took::All));
    assert_eq!(store.keep(used(MINUTE), LEASE).await, Ok(false));
    assert_eq!(take(other).await, Ok(Took::All));
    assert_eq!(other.keep(used(MINUTE), LEASE).await, Ok(true));
    let took = take(store).await;
    let Ok(Took::NoMore {
        which: 0,
        wait: Some(wait),
    }) = took
    else {
        panic!("{took:?}");
    };
    assert!(wait <= window, "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(5)).await;
    assert_eq!(take(other).await, Ok(Took::All));
}
