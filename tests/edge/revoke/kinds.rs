//! By each name: both edges close what runs and refuse what comes, and nobody else notices.

use std::time::Instant;

use serde_json::{Value, json};
use tonegate::secret::Digest;

use super::world::{Pair, Person, is_closed, is_served};
use crate::harness::{KEY, Wish};
use crate::phone::server::Server;
use crate::tokens::{OTHER_TENANT, TENANT};

fn bearer(person: &Person) -> (&str, &str) {
    ("Authorization", &person.bearer)
}

/// The upstream was told the same so often.
async fn upstream_is_told(pair: &Pair, times: usize) {
    let record = &pair.issued.world.record;
    let told = Some((Some(4441), "revoked".to_owned()));
    let count = || {
        let all = record.connections();
        all.iter()
            .filter(|seen| seen.close_received == told)
            .count()
    };
    crate::harness::within("the upstream", record.until(|_| count() >= times)).await;
    assert_eq!(count(), times);
}

/// Anna is shut out by `order`, given to the first edge, and nobody else is.
async fn shuts_out(
    pair: &mut Pair,
    order: &dyn Fn(&Pair, &Person) -> Value,
    (status, detail): (u16, &str),
) {
    let (anna, bob) = (pair.person(), pair.person());
    let ends = [
        pair.enters(0, bearer(&anna)).await,
        pair.enters(1, bearer(&anna)).await,
    ];
    let mut stays = [
        pair.enters(0, ("api-key", KEY)).await,
        pair.enters(1, ("api-key", KEY)).await,
        pair.enters(1, bearer(&bob)).await,
    ];
    let order = order(pair, &anna);
    let of_tenant = order.get("tenant").is_some();
    let before = pair.issued.world.record.connections().len();
    assert_eq!(before % 5, 0);
    let since = Instant::now();
    let (answer, told) = pair.orders(0, "/revoke", &order).await;
    assert_eq!((answer, &told["written"]), (200, &json!(true)), "{told}");
    assert_eq!(told["ended_here"], 1);
    for caller in ends {
        is_closed(caller, since).await;
    }
    for edge in [0, 1] {
        let refused = pair.asks(edge, bearer(&anna)).await.err().expect("let in");
        refused.is(status, "revoked");
        assert!(refused.body.contains(detail), "{}", refused.body);
        let challenge = refused.header("www-authenticate");
        assert_eq!(challenge.is_some(), status == 401);
    }
    if of_tenant {
        pair.is_refused(1, bearer(&bob), 403, "revoked").await;
        let last = stays.into_iter().next_back().unwrap();
        is_closed(last, since).await;
    } else {
        for caller in &mut stays {
            is_served(caller).await;
        }
        drop(pair.enters(0, bearer(&bob)).await);
    }
    drop(pair.enters(1, ("api-key", KEY)).await);
    // In again, where that is wanted.
    let (answer, told) = pair.orders(1, "/lift", &order).await;
    assert_eq!(answer, 200, "{told}");
    pair.read().await;
    for edge in [0, 1] {
        drop(pair.enters(edge, bearer(&anna)).await);
    }
}

#[tokio::test]
async fn a35_a_subject_is_shut_out_at_every_replica_within_two_seconds() {
    let mut pair = Pair::usual().await;
    let order = |_: &Pair, anna: &Person| json!({"subject": anna.subject});
    shuts_out(&mut pair, &order, (403, "whoever the credential names")).await;
    upstream_is_told(&pair, 2).await;
}

#[tokio::test]
async fn a35_a_tenant_is_shut_out_at_every_replica_within_two_seconds() {
    let mut pair = Pair::usual().await;
    let order = |_: &Pair, _: &Person| json!({"tenant": TENANT.to_uppercase()});
    shuts_out(&mut pair, &order, (403, "the tenant")).await;
    upstream_is_told(&pair, 3).await;
    let (_, told) = pair
        .orders(0, "/lift", &json!({"tenant": OTHER_TENANT}))
        .await;
    assert_eq!(told["detail"], "nothing of that name is taken back");
}

#[tokio::test]
async fn a35_a_token_is_taken_back_in_whatever_spelling_and_another_one_of_the_same_person_is_not()
{
    let mut pair = Pair::usual().await;
    let order = |_: &Pair, anna: &Person| {
        let (signed, _) = anna.bearer["Bearer ".len()..].rsplit_once('.').unwrap();
        json!({"credential": Digest::of(signed).to_hex()})
    };
    shuts_out(&mut pair, &order, (401, "the token was taken back")).await;
}

#[tokio::test]
async fn a35_a_session_ends_with_the_token_that_opened_it_wherever_it_runs() {
    let mut pair = Pair::usual().await;
    let (anna, bob) = (pair.person(), pair.person());
    let (first, second) = (
        pair.enters(0, bearer(&anna)).await,
        pair.enters(1, bearer(&anna)).await,
    );
    let mut beside = pair.enters(1, bearer(&bob)).await;
    // Told at the edge that does not carry it.
    let session = pair.session(1, &anna.subject).to_string();
    let since = Instant::now();
    let (answer, told) = pair
        .orders(0, "/revoke", &json!({"session": session, "for": "1h"}))
        .await;
    assert_eq!((answer, &told["ended_here"]), (200, &json!(0)), "{told}");
    is_closed(second, since).await;
    // Its owner has told the others by which token it was opened.
    let mut first = first;
    assert_eq!(first.closed().await.0, Some(4441));
    for edge in [0, 1] {
        pair.is_refused(edge, bearer(&anna), 401, "revoked").await;
    }
    is_served(&mut beside).await;
    let log = pair.redis.tell(&["XRANGE", "orders:log", "-", "+"]);
    assert!(
        log.contains("session") && log.contains("credential"),
        "{log}"
    );
    let signed = anna.bearer["Bearer ".len()..].rsplit_once('.').unwrap().0;
    assert!(log.contains(&Digest::of(signed).to_hex()) && !log.contains(signed));
    // She may come with another token: it was the session that was taken back.
    let (_, id) = anna.subject.rsplit_once('/').unwrap();
    let again = pair.issued.token(|mint| {
        mint.claims["oid"] = json!(id);
        mint.claims["uti"] = json!("another");
    });
    let again = format!("Bearer {again}");
    drop(pair.enters(0, ("Authorization", &again)).await);
}

#[tokio::test]
async fn a35_a_key_is_taken_back_at_every_replica_and_told_in_frames_where_that_is_asked() {
    let wish = Wish {
        route: "refuse = \"close\"".to_owned(),
        ..Wish::default()
    };
    let mut pair = Pair::with(Server::plain(&[]), wish, "").await;
    let anna = pair.person();
    let key = ("api-key", KEY);
    let ends = [pair.enters(0, key).await, pair.enters(1, key).await];
    let mut stays = pair.enters(0, bearer(&anna)).await;
    let since = Instant::now();
    let (answer, told) = pair.orders(1, "/revoke", &json!({"key": "tester"})).await;
    assert_eq!((answer, &told["ended_here"]), (200, &json!(1)), "{told}");
    for caller in ends {
        is_closed(caller, since).await;
    }
    is_served(&mut stays).await;
    for edge in [0, 1] {
        let mut refused = pair.asks(edge, key).await.unwrap();
        assert_eq!(refused.closed().await.0, Some(4441));
    }
    upstream_is_told(&pair, 2).await;
}

#[tokio::test]
async fn a35_what_an_operator_writes_into_redis_is_obeyed_and_a_mistake_hides_nothing() {
    let mut pair = Pair::usual().await;
    let (anna, bob) = (pair.person(), pair.person());
    let ends = [
        pair.enters(0, bearer(&anna)).await,
        pair.enters(1, bearer(&anna)).await,
    ];
    let mut stays = pair.enters(0, bearer(&bob)).await;
    pair.redis.tell(&[
        "XADD",
        "orders:log",
        "*",
        "kind",
        "sbuject",
        "value",
        &bob.subject,
    ]);
    let since = Instant::now();
    // The line of the README.
    pair.redis.tell(&[
        "XADD",
        "orders:log",
        "*",
        "kind",
        "subject",
        "value",
        &anna.subject,
    ]);
    for caller in ends {
        is_closed(caller, since).await;
    }
    for edge in [0, 1] {
        pair.is_refused(edge, bearer(&anna), 403, "revoked").await;
    }
    is_served(&mut stays).await;
    for edge in pair.edges() {
        let page = edge.metrics_page();
        for line in [
            "tonegate_orders_total{kind=\"malformed\"} 1",
            "tonegate_orders_total{kind=\"subject\"} 1",
            "tonegate_sessions_ended_total{route=\"browser\",by=\"edge\",reason=\"revoked\"} 1",
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\n{page}");
        }
    }
    pair.redis.tell(&[
        "XADD",
        "orders:log",
        "*",
        "kind",
        "lift",
        "value",
        &format!("subject:{}", anna.subject),
    ]);
    pair.read().await;
    drop(pair.enters(1, bearer(&anna)).await);
}
