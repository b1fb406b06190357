//! Two edges and one Redis: whoever may is told of sessions at either, and what is asked of them is
//! done where they run.

use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings};
use tonegate::ids::SessionId;
use tonegate::secret::Digest;
use tonegate::store::{Cursor, Order};

use super::lease::comes;
use super::world::{
    BY_DIRECTORY, COLLEAGUE, ENGINEER, MANAGER, MINE, Office, TEAM, ids, now, said,
};
use crate::harness::Wish;
use crate::phone::redis::{Redis, eventually, is_up};

/// What is done at another edge is done within this time, as the README promises.
const SOON: Duration = Duration::from_secs(2);

struct Two {
    office: Office,
    other: Option<Edge>,
    prefix: String,
}

impl Two {
    async fn on(redis: &Redis) -> Two {
        let prefix = format!("sessions-{}:", SessionId::random());
        let wish = Wish {
            more: format!(
                "[store]\n{}\nprefix = \"{prefix}\"\ntimeout = \"1500ms\"\n",
                redis.lines()
            ),
            ..Wish::default()
        };
        let office = Office::with(BY_DIRECTORY, wish).await;
        let file = office.world().folder.join("edge.toml");
        let read = Settings::read_in(&[file], &Environment::process()).unwrap();
        let other = Edge::start(&read).unwrap();
        is_up(office.world().edge()).await;
        is_up(&other).await;
        Two {
            office,
            other: Some(other),
            prefix,
        }
    }

    fn port(&self) -> u16 {
        self.other.as_ref().unwrap().public().port()
    }

    /// Asks the other edge until it has been told of a session.
    async fn is_told(&self, credential: &str, path: &str, id: &str) {
        let line = format!("GET {path}");
        eventually("what another edge runs", async || {
            let answer = self.office.asks_at(self.port(), credential, &line).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            ids(&answer).iter().any(|told| told == id)
        })
        .await;
    }
}

async fn told_and_ended(redis: Redis) {
    let two = Two::on(&redis).await;
    let office = &two.office;
    let mut session = office.opens(ENGINEER, 60).await;
    let manager = office.token(MANAGER, 60);
    two.is_told(&manager, TEAM, &session.id).await;
    let id = session.id.clone();
    let line = |method: &str| format!("{method} {TEAM}/{id}");
    let shown = office.asks_at(two.port(), &manager, &line("GET")).await;
    assert_eq!((shown.status, &said(&shown)["own"]), (200, &json!(false)));
    // Nobody else is, at either.
    let colleague = office.token(COLLEAGUE, 60);
    for port in [two.port(), office.world().port] {
        for method in ["GET", "DELETE"] {
            let answer = office.asks_at(port, &colleague, &line(method)).await;
            assert_eq!(answer.status, 404);
        }
    }
    session.lives().await;
    let begun = Instant::now();
    let ended = office.asks_at(two.port(), &manager, &line("DELETE")).await;
    assert_eq!(
        (ended.status, &said(&ended)["state"]),
        (202, &json!("ending"))
    );
    // The order goes when everybody has read it, whatever the session could have lasted.
    let log = office.world().edge().store().orders(Cursor::START);
    let log = log.await.unwrap().orders.into_iter();
    let ordered = Order::End {
        session: SessionId::from_hex(&id).unwrap(),
    };
    let untils = log.filter(|entry| entry.order == ordered);
    let untils: Vec<u64> = untils
        .map(|entry| entry.until.duration_since(UNIX_EPOCH).unwrap().as_secs())
        .collect();
    assert!(untils.len() == 1 && untils[0] <= now() + 60, "{untils:?}");
    session.ends(4441, "revoked").await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // And it is not there any more.
    let gone = async || {
        let shown = office.asks_at(two.port(), &manager, &line("GET")).await;
        shown.status == 404
    };
    eventually("that it is gone", gone).await;
    assert_eq!(redis.ends(&format!("{}running:", two.prefix)), []);
}

#[tokio::test]
async fn c13_a_session_is_told_of_and_ended_at_another_edge() {
    told_and_ended(Redis::single()).await;
}

#[tokio::test]
async fn c13_a_session_is_told_of_and_ended_at_another_edge_of_a_cluster() {
    told_and_ended(Redis::cluster()).await;
}

#[tokio::test]
async fn s41_b20_a_refresh_at_another_edge_is_done_where_the_session_runs() {
    let redis = Redis::single();
    let two = Two::on(&redis).await;
    let office = &two.office;
    let first = now() + 6;
    let mut session = office.opens(ENGINEER, 6).await;
    let user = office.token(ENGINEER, 60);
    two.is_told(&user, MINE, &session.id).await;
    let line = format!("POST {MINE}/{}/refresh", session.id);
    // Nobody else's word counts, and an older token changes nothing there either.
    let colleague = office
        .asks_at(two.port(), &office.token(COLLEAGUE, 60), &line)
        .await;
    assert_eq!(colleague.status, 404);
    let older = office
        .asks_at(two.port(), &office.token(ENGINEER, 3), &line)
        .await;
    assert_eq!(
        (older.status, &said(&older)["state"]),
        (200, &json!("unchanged"))
    );
    let begun = Instant::now();
    let answer = office.asks_at(two.port(), &user, &line).await;
    assert_eq!(
        (answer.status, &said(&answer)["state"]),
        (202, &json!("refreshing"))
    );
    let lease = said(&answer)["lease"].clone();
    let here = async || {
        let shown = office
            .asks(&user, &format!("GET {MINE}/{}", session.id))
            .await;
        said(&shown)["lease"] == lease
    };
    eventually("the new end where it runs", here).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // The others are told of that, too.
    let there = async || {
        let shown = office
            .asks_at(two.port(), &user, &format!("GET {MINE}/{}", session.id))
            .await;
        said(&shown)["lease"] == lease
    };
    eventually("the new end elsewhere", there).await;
    comes(first + 1).await;
    session.lives().await;
}

/// By which the token of a credential is taken back.
fn digest(credential: &str) -> String {
    let (_, token) = credential.trim_end().rsplit_once(' ').unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    Digest::of(signed).to_hex()
}

/// At the edge where it runs, and at the other one.
#[tokio::test]
async fn s41_a35_a_session_ends_with_the_token_that_it_was_refreshed_with() {
    let redis = Redis::single();
    let two = Two::on(&redis).await;
    let office = &two.office;
    let log = format!("{}orders:log", two.prefix);
    for port in [office.world().port, two.port()] {
        for kind in ["credential", "session"] {
            let mut session = office.opens(ENGINEER, 60).await;
            let later = office.token(ENGINEER, if port == two.port() { 600 } else { 900 });
            two.is_told(&later, MINE, &session.id).await;
            let item = format!("{MINE}/{}", session.id);
            let line = format!("POST {item}/refresh");
            let answer = office.asks_at(port, &later, &line).await;
            assert!([200, 202].contains(&answer.status), "{answer:?}");
            let lease = said(&answer)["lease"].clone();
            let here = async || {
                let shown = office.asks(&later, &format!("GET {item}")).await;
                said(&shown)["lease"] == lease
            };
            eventually("the new end where it runs", here).await;
            session.lives().await;
            let name = match kind {
                "session" => session.id.clone(),
                _ => digest(&later),
            };
            redis.tell(&["XADD", &log, "*", "kind", kind, "value", &name]);
            session.ends(4441, "revoked").await;
            // Whoever has that token neither asks nor opens another session.
            let refused = async || {
                let answer = office.asks_at(port, &later, &format!("GET {MINE}")).await;
                answer.status == 401
            };
            eventually("that the token is refused", refused).await;
        }
    }
}

/// What an edge told ends by itself, soon; so nothing is left of one that is not there to say so.
#[tokio::test]
async fn c13_what_is_told_ends_unless_it_is_told_again_and_goes_with_an_edge_that_stops() {
    let redis = Redis::single();
    let two = Two::on(&redis).await;
    let office = &two.office;
    let _session = office.opens(ENGINEER, 60).await;
    let named = format!("{}running", two.prefix);
    // A record, and its places by subject, person, tenant and route.
    eventually("what is told", async || redis.ends(&named).len() == 5).await;
    for (name, left) in redis.ends(&named) {
        assert!((1..=30_000).contains(&left), "{name} ends in {left} ms");
    }
    let record = redis.ends(&format!("{}running:", two.prefix));
    let [(name, _)] = record.as_slice() else {
        panic!("{record:?}");
    };
    redis.tell(&["PEXPIRE", name, "15000"]);
    let again = async || {
        let left: i64 = redis.tell(&["PTTL", name]).parse().unwrap();
        left > 20_000
    };
    eventually("that it is told again", again).await;
    // One that was told by an edge that is gone now is not told of.
    let mut world = two.office;
    let edge = world.issued.world.edge.take().unwrap();
    tokio::task::spawn_blocking(move || edge.stop())
        .await
        .unwrap();
    assert_eq!(redis.ends(&format!("{}running:", two.prefix)), []);
    let places: Vec<_> = redis.ends(&format!("{}running-of:", two.prefix));
    assert_eq!(places, []);
}
