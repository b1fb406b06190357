//! The log of orders, whatever keeps it.

use std::time::{Duration, SystemTime};

use tonegate::config::{self, Layout};
use tonegate::ids::SessionId;
use tonegate::secret::Digest;
use tonegate::store::{
    Cursor, Lodged, NOTICES_MAX, ORDERS_MAX, Order, Ordered, Store, Target, Unavailable,
};

use crate::server::Server;
use crate::under::{HOUR, Running, Under, at, eventually, settings};

/// Somebody whom no other test knows.
fn target() -> Target {
    Target::Subject(format!("users:{}", SessionId::random()).into())
}

fn order() -> Order {
    Order::Revoke(target())
}

/// To the ms, as the log keeps times.
fn later(after: Duration) -> SystemTime {
    let since = SystemTime::now() + after;
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap())
}

async fn write(store: &Store, order: &Order, until: SystemTime) {
    let lodged = store.write_order(order, until).await;
    assert_eq!(lodged, Ok(Lodged::Written));
}

/// Everything behind a place; other tests write, too.
async fn read(store: &Store, mut after: Cursor) -> (Vec<Ordered>, Cursor) {
    let mut all = Vec::new();
    loop {
        let page = store.orders(after).await.unwrap();
        assert!(page.read_to >= after && page.last >= page.read_to);
        assert!(page.orders.len() <= 500);
        after = page.read_to;
        all.extend(page.orders);
        if !page.more {
            return (all, after);
        }
    }
}

async fn of(store: &Store, order: &Order) -> Vec<Ordered> {
    let (all, _) = read(store, Cursor::START).await;
    all.into_iter()
        .filter(|entry| entry.order == *order)
        .collect()
}

pub(crate) async fn a35_an_order_is_read_by_every_edge_from_where_it_stopped(under: Under) {
    let (one, other) = (under.store(), under.other());
    let (_, begin) = read(other, Cursor::START).await;
    let session = SessionId::random();
    let until = later(HOUR);
    let orders = [
        order(),
        Order::Revoke(Target::Session(session)),
        Order::Revoke(Target::tenant("T")),
        Order::Revoke(Target::Credential(Digest::of(&session.to_string()))),
        Order::Lift(Target::Session(session)),
        Order::Refresh {
            credential: Some(Digest::of("later")),
            session,
            end: until,
        },
        Order::End { session },
    ];
    for order in &orders {
        write(one, order, until).await;
    }
    let (read_first, place) = read(other, begin).await;
    let ours: Vec<_> = read_first
        .iter()
        .filter(|entry| entry.until == until)
        .collect();
    assert!(
        ours.iter().map(|entry| &entry.order).eq(&orders),
        "{ours:?}"
    );
    assert!(read_first.is_sorted_by_key(|entry| entry.at));
    // Behind that there is what comes behind that.
    let next = order();
    write(one, &next, until).await;
    let (rest, _) = read(other, place).await;
    assert!(rest.iter().any(|entry| entry.order == next));
    assert!(!rest.iter().any(|entry| orders.contains(&entry.order)));
}

pub(crate) async fn a35_an_order_that_is_written_again_is_one(under: Under) {
    let store = under.store();
    let (order, until) = (order(), later(HOUR));
    write(store, &order, until).await;
    write(under.other(), &order, until).await;
    assert_eq!(of(store, &order).await.len(), 1);
    // With another end it is another one.
    write(store, &order, until + HOUR).await;
    let ends: Vec<_> = of(store, &order)
        .await
        .iter()
        .map(|entry| entry.until)
        .collect();
    assert_eq!(ends, [until, until + HOUR]);
}

pub(crate) async fn a35_what_the_log_has_lost_is_written_again_and_what_it_has_is_not(
    under: Under,
) {
    let store = under.store();
    let [there, brief, lost] = [target(), target(), target()];
    let revoke = |target: &Target| Order::Revoke(target.clone());
    let (soon, until) = (later(HOUR), later(2 * HOUR));
    write(store, &revoke(&there), until).await;
    write(store, &revoke(&brief), soon).await;
    let all = [&there, &brief, &lost].map(|target| (target.clone(), until));
    for edge in [store, under.other()] {
        assert_eq!(edge.restore(&all).await, Ok(Lodged::Written));
        let ends = async |target| {
            let entries = of(edge, &revoke(target)).await;
            entries.iter().map(|entry| entry.until).collect::<Vec<_>>()
        };
        assert_eq!(ends(&there).await, [until]);
        assert_eq!(ends(&brief).await, [soon, until]);
        assert_eq!(ends(&lost).await, [until]);
    }
}

pub(crate) async fn a35_an_order_that_has_ended_makes_room(under: Under) {
    let store = under.store();
    let ended = order();
    write(store, &ended, later(Duration::from_millis(100))).await;
    eventually("the end of an order", async || {
        write(store, &order(), later(Duration::from_millis(1))).await;
        of(store, &ended).await.is_empty().then_some(())
    })
    .await;
}

fn single(server: &Server) -> config::Store {
    settings(at(Layout::Single, &[server]))
}

#[tokio::test]
async fn a35_what_an_operator_writes_by_hand_is_an_order_or_counted() {
    let server = Server::plain(&[]);
    let running = Running::up(&single(&server)).await;
    let store = &*running.store;
    let log = "orders:log";
    let add = |fields: &[&str]| {
        let mut command = vec!["XADD", log, "*"];
        command.extend(fields);
        server.tell(&command)
    };
    let at = add(&["kind", "subject", "value", "users:t/anna"]);
    // In any order, and beside what is for people.
    add(&[
        "why",
        "left",
        "value",
        "7f0c",
        "kind",
        "call",
        "until",
        "4000000000000",
    ]);
    let broken: [&[&str]; 6] = [
        &["kind", "subject"],
        &["kind", "sbuject", "value", "users:t/anna"],
        &["kind", "key", "value", "a b"],
        &["kind", "key", "value", "kiosk", "until", "1800000000"],
        &["kind", "key", "value", "kiosk", "until", "tomorrow"],
        &["subject", "users:t/anna"],
    ];
    for fields in broken {
        add(fields);
    }
    let long = "x".repeat(100_000);
    add(&["kind", "subject", "value", &long]);
    // No text at all.
    server.tell(&[
        "EVAL",
        "return redis.call('XADD', KEYS[1], '*', 'kind', 'subject', 'value', string.char(255, 0))",
        "1",
        log,
    ]);
    add(&["kind", "key", "value", "kiosk"]);
    let page = store.orders(Cursor::START).await.unwrap();
    assert_eq!(page.malformed, broken.len() + 2);
    let orders: Vec<_> = page.orders.iter().map(|entry| &entry.order).collect();
    let [subject, call, key] = [
        ("subject", "users:t/anna"),
        ("call", "7f0c"),
        ("key", "kiosk"),
    ]
    .map(|(kind, value)| Order::Revoke(Target::read(kind, value).unwrap()));
    assert_eq!(orders, [&subject, &call, &key]);
    // A day from when it was written.
    assert_eq!(page.orders[0].at.to_string(), at);
    let left = page.orders[0].until.duration_since(SystemTime::now());
    assert!(left.unwrap() > 23 * HOUR && page.orders[0].until <= later(24 * HOUR));
    let far = SystemTime::UNIX_EPOCH + Duration::from_millis(4_000_000_000_000);
    assert_eq!(page.orders[1].until, far);
    // A log that is none is no answer.
    server.tell(&["SET", log, "x"]);
    assert_eq!(store.orders(Cursor::START).await, Err(Unavailable::Refused));
    let written = store.write_order(&order(), later(HOUR)).await;
    assert_eq!(written, Err(Unavailable::Refused));
}

#[tokio::test]
async fn a35_a_full_log_refuses_until_something_ends_and_notices_leave_room_for_revocations() {
    let server = Server::plain(&[]);
    let running = Running::up(&single(&server)).await;
    let store = &*running.store;
    let fill = |count: usize, until: SystemTime| {
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let script = "for i = 1, tonumber(ARGV[1]) do \
            redis.call('XADD', KEYS[1], '*', 'kind', 'subject', 'value', 'filler:' .. i, 'until', ARGV[2]) end";
        let (count, until) = (count.to_string(), until.as_millis().to_string());
        server.tell(&["EVAL", script, "1", "orders:log", &count, &until]);
    };
    let notice = Order::End {
        session: SessionId::random(),
    };
    fill(NOTICES_MAX, later(HOUR));
    assert_eq!(
        store.write_order(&notice, later(HOUR)).await,
        Ok(Lodged::Full)
    );
    write(store, &order(), later(HOUR)).await;
    fill(ORDERS_MAX - NOTICES_MAX - 1, later(Duration::from_secs(2)));
    let late = order();
    assert_eq!(
        store.write_order(&late, later(HOUR)).await,
        Ok(Lodged::Full)
    );
    let restored = store.restore(&[(target(), later(HOUR))]).await;
    assert_eq!(restored, Ok(Lodged::Full));
    let page = running.metrics.render();
    assert!(
        page.contains("tonegate_limit_hits_total{limit=\"orders\"} 3"),
        "{page}"
    );
    // What is there is read all the same, page by page.
    let (all, _) = read(store, Cursor::START).await;
    assert_eq!(all.len(), ORDERS_MAX);
    // What has ended stands behind what has not, and is found.
    eventually("room in the log", async || {
        let lodged = store.write_order(&late, later(HOUR)).await.unwrap();
        (lodged == Lodged::Written).then_some(())
    })
    .await;
    assert_eq!(
        server.tell(&["XLEN", "orders:log"]),
        (NOTICES_MAX + 2).to_string()
    );
}

#[tokio::test]
async fn a35_a_log_that_is_gone_or_another_one_says_so() {
    let server = Server::plain(&[]);
    let running = Running::up(&single(&server)).await;
    let store = &*running.store;
    let none = store.orders(Cursor::START).await.unwrap();
    assert_eq!((none.last, none.orders.len()), (Cursor::START, 0));
    write(store, &order(), later(HOUR)).await;
    let (_, place) = read(store, Cursor::START).await;
    // All entries gone, and yet the log that it was.
    server.tell(&["XTRIM", "orders:log", "MAXLEN", "0"]);
    assert_eq!(store.orders(place).await.unwrap().last, place);
    server.tell(&["DEL", "orders:log"]);
    assert!(store.orders(place).await.unwrap().last < place);
    server.tell(&["XADD", "orders:log", "5-1", "kind", "key", "value", "kiosk"]);
    let other = store.orders(place).await.unwrap();
    assert!(other.last < place && other.orders.is_empty());
}
