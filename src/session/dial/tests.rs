//! Turns over time, which stands still here unless somebody waits, before an upstream that counts.

use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::config::Settings;
use crate::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);

/// When an upstream counted connections, of which it takes so many in any minute.
#[derive(Default)]
struct Provider {
    counted: Mutex<Vec<Instant>>,
    most: usize,
}

impl Provider {
    fn of(most: usize) -> Arc<Provider> {
        Arc::new(Provider {
            most,
            ..Provider::default()
        })
    }

    fn total(&self) -> usize {
        self.counted.lock().unwrap().len()
    }

    /// Counts one, after as long as its way takes, and answers after as long again.
    async fn connects(&self, way: Duration) -> Result<(), Failure> {
        sleep(way).await;
        let now = Instant::now();
        {
            let mut counted = self.counted.lock().unwrap();
            let window = counted.iter().filter(|at| **at + 60 * SECOND > now);
            if window.count() >= self.most {
                return Err(Failure {
                    status: Some(StatusCode::TOO_MANY_REQUESTS),
                    retry_after: Some(7 * SECOND),
                    ..Failure::new(Reason::UpstreamBusy, "it is at capacity")
                });
            }
            counted.push(now);
        }
        sleep(way).await;
        Ok(())
    }
}

/// One edge with paced upstreams.
struct Edge {
    pacers: Vec<Arc<Pacer>>,
    metrics: metrics::Shared,
}

impl Edge {
    fn new(lines: &str, store: Option<&Arc<Store>>, replicas: u32) -> Edge {
        let metrics = Arc::new(Metrics::new());
        let own = Store::new(&config::Store::default(), metrics.clone()).unwrap();
        let store = store.cloned().unwrap_or_else(|| Arc::new(own));
        let text = format!("[server]\nlisten = \"127.0.0.1:0\"\nplain_text = true\n{lines}{ROUTE}");
        let settings = Settings::read_text("edge.toml", &text).unwrap();
        let dialler = Dialler::new(&settings.live.upstreams, (&store, replicas), &metrics);
        let upstreams = settings.live.upstreams.iter();
        Edge {
            pacers: upstreams
                .filter_map(|upstream| dialler.pacers.get(&upstream.name).cloned())
                .collect(),
            metrics,
        }
    }

    /// Two upstreams, `one` and `two`.
    fn two(connects: &str, wait: &str) -> Edge {
        let lines = ["one", "two"].map(|name| upstream(name, connects, wait));
        Edge::new(&lines.concat(), None, 1)
    }

    fn count(&self, series: &str) -> u64 {
        let page = self.metrics.render();
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    fn turns(&self, upstream: &str, result: &str) -> u64 {
        self.count(&format!(
            "tonegate_upstream_turns_total{{upstream=\"{upstream}\",result=\"{result}\"}}"
        ))
    }

    fn waiting(&self, upstream: &str) -> u64 {
        self.count(&format!(
            "tonegate_upstream_queue{{upstream=\"{upstream}\"}}"
        ))
    }

    /// Connects to whichever of its upstreams has a turn; which one that was.
    async fn connects(
        &self,
        providers: &[Arc<Provider>],
        who: &str,
        way: Duration,
    ) -> Result<usize, Failure> {
        let paced: Vec<_> = self.pacers.iter().map(Some).collect();
        let mut offers = Offers::new(&paced, Digest::of(who));
        let mut last = None;
        while let Some((at, offer)) = offers.next().await {
            let mut turn = match offer {
                Offer::Dial(turn) => turn.unwrap(),
                Offer::Busy(busy) => return Err(no_turn(busy)),
            };
            turn.dialling();
            let answered = providers[at].connects(way).await;
            turn.dialled(answered.as_ref().err());
            match answered {
                Ok(()) => return Ok(at),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap())
    }
}

fn upstream(name: &str, connects: &str, wait: &str) -> String {
    format!(
        "[upstreams.{name}]\nkind = \"relay\"\nurl = \"wss://{name}.example.com/\"\n\
         credential = {{ none = true }}\nconnects = \"{connects}\"\nqueue_wait = \"{wait}\"\n"
    )
}

/// No settings are good without one.
const ROUTE: &str = "[[routes]]\nname = \"r\"\nkind = \"relay\"\npaths = [\"/r\"]\n\
    admit = [\"anyone\"]\nupstreams = [\"one\"]\n";

/// Lets what is told in the background be told.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// 100 callers in ten seconds, each with another way to the upstream.
async fn hundred(
    edge: Edge,
    providers: &[Arc<Provider>; 2],
) -> Vec<(Duration, Result<usize, Failure>)> {
    let (edge, start) = (Arc::new(edge), Instant::now());
    let mut callers = JoinSet::new();
    for i in 0..100_u32 {
        let (edge, providers) = (edge.clone(), providers.clone());
        callers.spawn(async move {
            sleep(i * SECOND / 10).await;
            let way = Duration::from_millis(u64::from(i * 37 % 400));
            let came = Instant::now();
            let who = format!("{}", i % 7);
            let done = edge.connects(&providers, &who, way).await;
            // When whoever was refused is to come again.
            let later = done.as_ref().err().and_then(|failure| failure.retry_after);
            (
                later.map_or(came - start, |later| start.elapsed() + later),
                done,
            )
        });
    }
    callers.join_all().await
}

#[tokio::test(start_paused = true)]
async fn u8_a_hundred_in_ten_seconds_before_two_of_thirty_a_minute_are_paced_and_none_is_wasted() {
    let providers = [Provider::of(30), Provider::of(30)];
    let edge = Edge::two("30/m", "80s");
    let start = Instant::now();
    let done = hundred(edge, &providers).await;
    // All are served, the last of them when the second minute has begun: a strict upstream took each.
    assert!(done.iter().all(|(_, done)| done.is_ok()), "{done:?}");
    let by = providers.each_ref().map(|provider| provider.total());
    assert_eq!(by.iter().sum::<usize>(), 100, "{by:?}");
    assert!(by.iter().all(|count| *count >= 30));
    let took = start.elapsed();
    assert!((60 * SECOND..80 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn u8_whoever_cannot_be_served_in_time_is_told_at_once_when_to_come_and_is_then_served() {
    let providers = [Provider::of(30), Provider::of(30)];
    let edge = Arc::new(Edge::two("30/m", "5s"));
    let start = Instant::now();
    let paced: Vec<_> = edge.pacers.clone();
    let same = Edge {
        pacers: paced,
        metrics: edge.metrics.clone(),
    };
    let done = hundred(same, &providers).await;
    let refused: Vec<_> = done.iter().filter(|(_, done)| done.is_err()).collect();
    assert_eq!(refused.len(), 40);
    assert_eq!(providers[0].total() + providers[1].total(), 60);
    // Nobody has waited for a no.
    assert!(start.elapsed() < 12 * SECOND, "{:?}", start.elapsed());
    let first = refused.iter().map(|(at, _)| *at).min().unwrap();
    let last = refused.iter().map(|(at, _)| *at).max().unwrap();
    // A minute after those who came first, when their turns are over, and not for ever.
    assert!(
        first >= 60 * SECOND && last <= 75 * SECOND,
        "{first:?} {last:?}"
    );
    for (_, done) in refused {
        let failure = done.as_ref().unwrap_err();
        assert_eq!(
            (failure.reason, failure.status),
            (Reason::UpstreamBusy, None)
        );
    }
    assert_eq!(edge.turns("one", "late") + edge.turns("two", "late"), 80);
    assert_eq!(edge.waiting("one") + edge.waiting("two"), 0);
    // Whoever does as told is served.
    sleep(last.saturating_sub(start.elapsed())).await;
    let again = edge.connects(&providers, "0", SECOND / 10).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn u8_two_edges_share_the_turns_and_no_window_of_the_upstream_holds_more() {
    let metrics = Arc::new(Metrics::new());
    let store = Arc::new(Store::new(&config::Store::default(), metrics).unwrap());
    let lines = upstream("one", "30/m", "3m");
    let edges = [(); 2].map(|()| Arc::new(Edge::new(&lines, Some(&store), 2)));
    let provider = Provider::of(30);
    let mut callers = JoinSet::new();
    for i in 0..90_u64 {
        let (edge, provider) = (edges[(i % 2) as usize].clone(), provider.clone());
        callers.spawn(async move {
            let way = Duration::from_millis(i * 7919 % 3000);
            edge.connects(&[provider], "somebody", way).await
        });
    }
    let done = callers.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(provider.total(), 90);
}

#[tokio::test(start_paused = true)]
async fn u8_the_upstream_that_comes_second_is_used_while_the_first_has_no_turn() {
    let providers = [Provider::of(2), Provider::of(2)];
    let edge = Edge::two("2/m", "90s");
    let mut used = Vec::new();
    for _ in 0..6 {
        used.push(edge.connects(&providers, "somebody", SECOND).await.unwrap());
    }
    // Each takes two seconds, so the first is free again first.
    assert_eq!(used, [0, 0, 1, 1, 0, 0]);
    assert_eq!(edge.turns("one", "taken"), 4);
}

#[tokio::test(start_paused = true)]
async fn u8_one_party_that_waits_in_numbers_delays_another_by_one_turn() {
    let lines = upstream("one", "1/s", "5m");
    let edge = Arc::new(Edge::new(&lines, None, 1));
    let provider = Provider::of(1000);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut callers = JoinSet::new();
    let come = |callers: &mut JoinSet<()>, who: &'static str| {
        let (edge, provider, order) = (edge.clone(), provider.clone(), order.clone());
        callers.spawn(async move {
            edge.connects(&[provider], who, Duration::ZERO)
                .await
                .unwrap();
            order.lock().unwrap().push(who);
        });
    };
    for _ in 0..100 {
        come(&mut callers, "many");
    }
    sleep(3 * SECOND / 2).await;
    assert!(edge.waiting("one") > 90);
    let before = order.lock().unwrap().len();
    come(&mut callers, "few");
    callers.join_all().await;
    let order = order.lock().unwrap();
    let at = order.iter().position(|who| *who == "few").unwrap();
    assert!(at <= before + 1, "{at} after {before}");
}

#[tokio::test(start_paused = true)]
async fn u8_whoever_goes_away_leaves_the_queue_and_no_turn_is_lost() {
    let lines = upstream("one", "1/m", "5m");
    let edge = Arc::new(Edge::new(&lines, None, 1));
    let provider = Provider::of(1);
    let start = Instant::now();
    edge.connects(std::slice::from_ref(&provider), "a", Duration::ZERO)
        .await
        .unwrap();
    let mut callers = JoinSet::new();
    let mut handles = Vec::new();
    for _ in 0..3 {
        let (edge, provider) = (edge.clone(), provider.clone());
        let handle =
            callers.spawn(async move { edge.connects(&[provider], "a", Duration::ZERO).await });
        handles.push(handle);
        settle().await;
    }
    assert_eq!(edge.waiting("one"), 3);
    // The first and the second go.
    handles[0].abort();
    handles[1].abort();
    settle().await;
    assert_eq!(edge.waiting("one"), 1);
    while callers.join_next().await.is_some() {}
    let took = start.elapsed();
    assert!((60 * SECOND..63 * SECOND).contains(&took), "{took:?}");
    assert_eq!(provider.total(), 2);
}

#[tokio::test(start_paused = true)]
async fn u8_a_turn_without_a_dial_is_free_again_and_one_that_was_cut_off_counts() {
    let lines = upstream("one", "1/m", "0s");
    let edge = Edge::new(&lines, None, 1);
    let pacer = &edge.pacers[0];
    let turn = pacer.now().await.unwrap();
    assert!(pacer.now().await.is_none());
    drop(turn);
    settle().await;
    assert_eq!(edge.turns("one", "given_back"), 1);
    // An address that nobody answers at has counted nothing.
    let mut turn = pacer.now().await.unwrap();
    turn.dialling();
    let unreachable = Failure::new(
        Reason::UpstreamUnreachable,
        "the connection was refused or failed",
    );
    turn.dialled(Some(&unreachable));
    settle().await;
    // A dial that was dropped may have been counted, and so may one without an answer.
    let mut turn = pacer.now().await.unwrap();
    turn.dialling();
    drop(turn);
    settle().await;
    assert!(pacer.now().await.is_none());
    sleep(60 * SECOND).await;
    let mut turn = pacer.now().await.unwrap();
    turn.dialling();
    turn.dialled(Some(&Failure::new(Reason::UpstreamTimeout, "no answer")));
    settle().await;
    assert!(pacer.now().await.is_none());
    sleep(60 * SECOND).await;
    assert!(pacer.now().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn u8_a_429_shuts_the_upstream_for_as_long_as_it_says_at_all_edges() {
    let metrics = Arc::new(Metrics::new());
    let store = Arc::new(Store::new(&config::Store::default(), metrics).unwrap());
    let lines = upstream("one", "30/m", "0s");
    let edges = [(); 2].map(|()| Edge::new(&lines, Some(&store), 2));
    // Somebody else uses the quota, too.
    let provider = [Provider::of(0)];
    let refused = edges[0]
        .connects(&provider, "a", Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(refused.retry_after, Some(7 * SECOND));
    settle().await;
    let shut = |edge: &Edge| edge.count("tonegate_upstream_throttled_total{upstream=\"one\"}");
    assert_eq!((shut(&edges[0]), shut(&edges[1])), (1, 0));
    for edge in &edges {
        let refused = edge
            .connects(&provider, "a", Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(
            (refused.reason, refused.status),
            (Reason::UpstreamBusy, None)
        );
        let later = refused.retry_after.unwrap();
        assert!((6 * SECOND..=7 * SECOND).contains(&later), "{later:?}");
    }
    sleep(7 * SECOND).await;
    let provider = [Provider::of(30)];
    for edge in &edges {
        edge.connects(&provider, "a", Duration::ZERO).await.unwrap();
    }
}

/// A server of a cluster or none: whatever keeps the store from answering.
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
async fn u8_while_the_store_is_away_an_edge_has_its_share_and_no_more() {
    let store = away();
    let lines = upstream("one", "30/m", "0s");
    let provider = [Provider::of(30)];
    let mut all = 0;
    for (replicas, share) in [(1, 30), (4, 7), (100, 1)] {
        let edge = Edge::new(&lines, Some(&store), replicas);
        let mut served = 0;
        let later = loop {
            match edge.connects(&provider, "a", Duration::ZERO).await {
                Ok(_) => served += 1,
                Err(refused) => break refused.retry_after.unwrap(),
            }
        };
        assert_eq!(served, share, "{replicas}");
        assert_eq!(edge.turns("one", "alone"), served as u64);
        assert!((59 * SECOND..=60 * SECOND).contains(&later), "{later:?}");
        all += served;
        sleep(60 * SECOND).await;
    }
    assert_eq!(provider[0].total(), all);
}

#[tokio::test(start_paused = true)]
async fn u8_a39_turns_stay_taken_and_who_waits_goes_on_waiting_when_settings_change() {
    let metrics = Arc::new(Metrics::new());
    let store = Store::new(&config::Store::default(), metrics.clone()).unwrap();
    let store = Arc::new(store);
    let dialler = |wait: &str| {
        let upstream = upstream("one", "2/m", wait);
        let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{upstream}{ROUTE}");
        let live = Settings::read_text("edge.toml", &text).unwrap().live;
        Dialler::new(&live.upstreams, (&store, 1), &metrics)
    };
    let pacer = |dialler: &Dialler| dialler.pacers.values().next().unwrap().clone();
    let first = dialler("80s");
    let same = dialler("80s").after(&first);
    let next = dialler("90s").after(&same);
    let (old, new) = (pacer(&first), pacer(&next));
    assert!(Arc::ptr_eq(&old, &pacer(&same)) && !Arc::ptr_eq(&old, &new));
    let start = Instant::now();
    for pacer in [&old, &new] {
        let mut turn = pacer.now().await.unwrap();
        turn.dialling();
        turn.dialled(None);
    }
    settle().await;
    assert!(old.now().await.is_none() && new.now().await.is_none());
    let waits = |pacer: &Arc<Pacer>, who: &str| {
        let (pacer, who) = (pacer.clone(), Digest::of(who));
        tokio::spawn(async move { pacer.wait((who, 1), start).await.map(drop) })
    };
    let both = [waits(&old, "a"), waits(&new, "b")];
    settle().await;
    let queue = "tonegate_upstream_queue{upstream=\"one\"} 2";
    assert!(metrics.render().contains(queue), "one queue for both");
    for one in both {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    let took = start.elapsed();
    assert!((60 * SECOND..61 * SECOND).contains(&took), "{took:?}");
}
