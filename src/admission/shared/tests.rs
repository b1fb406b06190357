//! With time that stands still, over the store in this process: what is taken, kept, given back.

use std::cell::RefCell;

use super::*;
use crate::admission::who::Who;
use crate::config::Rate;
use crate::label::Label;
use crate::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn wish(name: &'static str, most: Most) -> Wish {
    Wish {
        who: Who::Route(Label::new("browser").unwrap()),
        most,
        name,
    }
}

fn minutes(count: u32, per: Duration) -> Wish {
    wish("route_minutes", Most::Minutes(Rate { count, per }))
}

struct Edge {
    shares: Arc<Shares>,
    metrics: metrics::Shared,
}

impl Edge {
    fn alone() -> Edge {
        let metrics: metrics::Shared = Arc::new(Metrics::new());
        let limits = Arc::new(Limits::new(metrics.clone()));
        Edge {
            shares: Arc::new(Shares::alone(limits, metrics.clone())),
            metrics,
        }
    }

    /// One of two that ask this store.
    fn one_of_two(store: &Arc<Store>) -> Edge {
        let metrics: metrics::Shared = Arc::new(Metrics::new());
        let limits = Arc::new(Limits::new(metrics.clone()));
        let settings = config::Limits {
            replicas: 2,
            ..config::Limits::default()
        };
        let alone = Shares::alone(limits, metrics.clone());
        Edge {
            shares: Arc::new(alone.with(store.clone(), &settings)),
            metrics,
        }
    }

    async fn enter(&self, wishes: &[Wish]) -> Result<Option<Reserved>, Denied> {
        self.shares.take(SessionId::random(), wishes).await
    }

    fn hits(&self, limit: &str) -> u64 {
        let series = format!("tonegate_limit_hits_total{{limit=\"{limit}\"}} ");
        let page = self.metrics.render();
        let value = page.lines().find_map(|line| line.strip_prefix(&*series));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Runs for so long; which sessions were told to end.
    async fn runs(&self, span: Duration) -> Vec<SessionId> {
        let ended = RefCell::new(Vec::new());
        let end = |session| ended.borrow_mut().push(session);
        let ran = tokio::time::timeout(span, self.shares.run(end)).await;
        assert!(ran.is_err());
        ended.into_inner()
    }
}

fn memory() -> Arc<Store> {
    let metrics = Arc::new(Metrics::new());
    Arc::new(Store::new(&config::Store::default(), metrics).unwrap())
}

/// A Redis that is not there.
fn away() -> Arc<Store> {
    let redis = config::Redis {
        layout: config::Layout::Single,
        servers: vec![("127.0.0.1".to_owned(), 1)],
        database: 0,
        roots: None,
        login: config::Login::Nothing,
        timeout: SECOND,
    };
    let settings = config::Store {
        engine: config::Engine::Redis(Box::new(redis)),
        ..config::Store::default()
    };
    Arc::new(Store::new(&settings, Arc::new(Metrics::new())).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a43_places_are_kept_while_a_session_lasts_and_free_when_it_ends_or_its_edge_dies() {
    let store = memory();
    let (one, other) = (Edge::one_of_two(&store), Edge::one_of_two(&store));
    let two = [wish("route_sessions", Most::Sessions(2))];
    let first = one.enter(&two).await.unwrap();
    let second = other.enter(&two).await.unwrap();
    let denied = one.enter(&two).await.unwrap_err();
    assert_eq!(denied.reason, Reason::Busy);
    assert_eq!(one.hits("route_sessions"), 1);
    // Both are kept for longer than a lease.
    tokio::join!(one.runs(95 * SECOND), other.runs(95 * SECOND));
    assert!(other.enter(&two).await.is_err());
    // Given back at once.
    drop(first);
    one.runs(Duration::from_millis(1)).await;
    let third = one.enter(&two).await.unwrap();
    assert!(one.enter(&two).await.is_err());
    // An edge that died keeps nothing any more.
    one.runs(24 * SECOND).await;
    assert!(one.enter(&two).await.is_err());
    one.runs(2 * SECOND).await;
    let fourth = one.enter(&two).await.unwrap();
    drop((second, third, fourth));
}

#[tokio::test(start_paused = true)]
async fn a43_who_gives_up_while_it_is_asked_has_taken_nothing() {
    let store = memory();
    let edge = Edge::one_of_two(&store);
    let wishes = [wish("route_sessions", Most::Sessions(1))];
    let session = SessionId::random();
    let held = edge.shares.hold(session, &wishes);
    // As if the answer had not come yet.
    let counters = [wishes[0].counter()];
    let took = store.take(session, &counters, edge.shares.lease).await;
    assert_eq!(took, Ok(Took::All));
    drop(held);
    edge.runs(Duration::from_millis(1)).await;
    edge.shares.settled().await;
    assert!(edge.enter(&wishes).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a43_minutes_that_are_used_up_end_what_runs_and_refuse_what_is_new() {
    let store = memory();
    let (one, other) = (Edge::one_of_two(&store), Edge::one_of_two(&store));
    for edge in [&one, &Edge::alone()] {
        let is_alone = !edge.shares.are_shared();
        let five = [minutes(5, HOUR)];
        let ready = edge
            .shares
            .limits
            .of_session(&five, Instant::now().into_std());
        assert!(ready.is_ok());
        let first = edge.enter(&five).await.unwrap();
        let second = edge.enter(&five).await.unwrap();
        assert_eq!(edge.runs(2 * MINUTE).await, []);
        // Two sessions use two minutes in one.
        let ended = edge.runs(35 * SECOND).await;
        assert_eq!(ended.len(), 2, "alone: {is_alone}");
        assert_eq!(edge.hits("route_minutes"), 2);
        drop((first, second));
        edge.runs(Duration::from_millis(1)).await;
        if is_alone {
            let left = edge
                .shares
                .limits
                .of_session(&five, Instant::now().into_std());
            assert_eq!(left.unwrap_err().reason, Reason::RateLimited);
            continue;
        }
        let denied = other.enter(&five).await.unwrap_err();
        assert_eq!(denied.reason, Reason::RateLimited);
        let wait = denied.retry_after.unwrap();
        assert!(wait > 57 * MINUTE && wait < HOUR, "{wait:?}");
        tokio::time::advance(wait).await;
        assert!(other.enter(&five).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a43_short_sessions_use_minutes_too() {
    let store = memory();
    let edge = Edge::one_of_two(&store);
    let one = [minutes(1, HOUR)];
    for _ in 0..12 {
        let held = edge.enter(&one).await.unwrap();
        tokio::time::advance(5 * SECOND).await;
        drop(held);
        edge.runs(Duration::from_millis(1)).await;
    }
    assert_eq!(
        edge.enter(&one).await.unwrap_err().reason,
        Reason::RateLimited
    );
}

/// Its part of capacity, and nobody where strangers may be guessing.
#[tokio::test(start_paused = true)]
async fn a43_s31_without_the_store_an_edge_takes_its_share_and_no_strangers() {
    let edge = Edge::one_of_two(&away());
    let rate = Rate {
        count: 4,
        per: MINUTE,
    };
    let stranger = wish("upgrades_per_address", Most::Rate(rate));
    let denied = edge.shares.count_address(Some(stranger)).await.unwrap_err();
    assert_eq!(denied.reason, Reason::StoreUnavailable);
    assert_eq!(edge.shares.count_address(None).await, Ok(()));
    // Sessions: two of five, as the slots of this edge count them.
    let five = [wish("route_sessions", Most::Sessions(5))];
    let now = Instant::now().into_std();
    let enter = async || {
        let slots = edge.shares.limits.of_session(&five, now).unwrap();
        let held = edge.enter(&five).await;
        held.map(|held| (slots, held))
    };
    let held = (enter().await.unwrap(), enter().await.unwrap());
    assert_eq!(enter().await.unwrap_err().reason, Reason::Busy);
    drop(held);
    assert!(enter().await.is_ok());
    // Turns: two of four a minute, and then one each half minute.
    let four = [wish("upgrades", Most::Rate(rate))];
    assert!(edge.enter(&four).await.is_ok() && edge.enter(&four).await.is_ok());
    let denied = edge.enter(&four).await.unwrap_err();
    assert_eq!(denied.retry_after, Some(MINUTE / 2));
    tokio::time::advance(MINUTE / 2).await;
    assert!(edge.enter(&four).await.is_ok());
    assert!(edge.enter(&four).await.is_err());
    // One is the least: a limit below the number of edges shuts none of them.
    let rate = Rate {
        count: 1,
        per: MINUTE,
    };
    let one = [Wish {
        who: Who::All,
        ..wish("total_upgrades", Most::Rate(rate))
    }];
    assert!(edge.enter(&one).await.is_ok());
    let denied = edge.enter(&one).await.unwrap_err();
    assert_eq!(denied.retry_after, Some(2 * MINUTE));
    // Minutes: two of four, then what runs is ended.
    let four = [minutes(4, HOUR)];
    let held = edge.enter(&four).await.unwrap();
    assert_eq!(edge.runs(100 * SECOND).await, []);
    assert_eq!(edge.runs(25 * SECOND).await.len(), 1);
    assert_eq!(
        edge.enter(&four).await.unwrap_err().reason,
        Reason::RateLimited
    );
    drop(held);
    assert!(edge.hits("shared") > 8);
}

#[test]
fn a43_names_in_the_store_hold_no_address_and_nobodys_name() {
    use crate::admission::network::Address;
    use crate::secret::Digest;
    let route = Label::new("browser").unwrap();
    let address = Address::of("192.0.2.7".parse().unwrap());
    let of = |who| {
        let most = Most::Sessions(1);
        let wish = Wish {
            who,
            most,
            name: "limit",
        };
        wish.counter().name.to_string()
    };
    assert_eq!(of(Who::Route(route.clone())), "limit:browser");
    assert_eq!(of(Who::All), "limit:all");
    let digest = Digest::of("somebody");
    let hex = digest.to_hex();
    assert_eq!(
        of(Who::Identity(route.clone(), digest)),
        format!("limit:browser:{hex}")
    );
    let name = of(Who::Address(route.clone(), address));
    assert!(
        !name.contains("192.") && name.len() == "limit:browser:".len() + 64,
        "{name}"
    );
    let other = Address::of("192.0.2.8".parse().unwrap());
    assert_ne!(of(Who::Address(route, other)), name);
}
