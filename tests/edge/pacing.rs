//! No more connections than upstreams take, and no session longer than they allow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings};
use tonegate::secret::Digest;
use tonegate::sim::acs::Options as Calling;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::voice_live::connection::Ending;
use tonegate::sim::voice_live::record::Record;
use tonegate::sim::voice_live::{Options, VoiceLive};

use crate::child::Child;
use crate::harness::{Caller, KEY, Refused, UPSTREAM_KEY, Wish, World, request, text, within};
use crate::phone::redis::{Redis, is_up};
use crate::phone::world::{ANI, Line, Phone, signed};

const TARGET: &str = "/ws?model=sim-echo";

/// A second upstream, in plain text, and what it saw.
struct Second {
    record: Arc<Record>,
    lines: String,
    _stop: DropGuard,
}

/// What the edge is told of it stands behind `[upstreams.first]`.
async fn second(quota: (usize, Duration), lines: &str) -> Second {
    let server = VoiceLive::bind(Options {
        api_key: Some(UPSTREAM_KEY.to_owned()),
        quota: Some(quota),
        ..Options::loopback()
    })
    .await
    .unwrap();
    let (record, port) = (server.record(), server.address().port());
    let stop = CancellationToken::new();
    tokio::spawn(server.serve(stop.clone()));
    Second {
        record,
        lines: format!(
            "[upstreams.first]\nkind = \"voice-live\"\nurl = \"ws://127.0.0.1:{port}\"\n\
             credential = {{ key = \"{UPSTREAM_KEY}\" }}\n{lines}\n"
        ),
        _stop: stop.drop_guard(),
    }
}

/// Another edge with the settings of this world, in the same store.
async fn another(world: &World) -> Edge {
    let file = world.folder.join("edge.toml");
    let read = Settings::read_in(&[file], &Environment::process()).unwrap();
    let edge = Edge::start(&read).unwrap();
    is_up(&edge).await;
    edge
}

fn throttled(record: &Record) -> usize {
    let seen = record.connections();
    let refused = seen
        .iter()
        .filter(|seen| seen.ending == Some(Ending::Refused(429)));
    refused.count()
}

/// Asks an edge of this world at another port.
async fn asks(world: &World, port: u16, key: &str) -> Result<Caller, Refused> {
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let mut io = world.over(tcp).await;
    let bytes = request(TARGET, &[("api-key", key)]);
    io.write_all(bytes.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    crate::harness::read_answer(io).await
}

async fn echoes(caller: &mut Caller) {
    caller.send(text("through")).await;
    assert_eq!(caller.next().await, Some(text("through")));
}

fn later(refused: &Refused) -> u64 {
    refused.is(503, "upstream_busy");
    refused.header("retry-after").unwrap().parse().unwrap()
}

/// The proof at a fifteenth of its time: thirty at once before two upstreams of four in two seconds,
/// at two edges that share a Redis. The upstreams count to the last one, and refuse none.
#[tokio::test]
async fn u8_two_edges_before_two_upstreams_waste_no_connection() {
    let redis = Redis::single();
    let window = Duration::from_secs(2);
    let paced = "connects = \"4/2s\"\nqueue_wait = \"19s\"\ntotal = \"5s\"";
    let second = second((4, window), paced).await;
    let world = World::with(Wish {
        quota: Some((4, window)),
        upstream: paced.to_owned(),
        upstreams_first: vec!["first"],
        more: format!("{}[store]\n{}\n", second.lines, redis.lines()),
        ..Wish::default()
    })
    .await;
    is_up(world.edge()).await;
    let other = another(&world).await;
    let begun = Instant::now();
    let ports = [world.port, other.public().port()];
    let callers = (0..30).map(|i| asks(&world, ports[i % 2], KEY));
    let callers = join_all(callers).await;
    let took = begun.elapsed();
    for caller in callers {
        echoes(&mut caller.unwrap()).await;
    }
    let totals = [&world.record, &second.record].map(|record| record.totals().total);
    assert_eq!(totals.iter().sum::<u64>(), 30, "{totals:?}");
    assert_eq!(
        [throttled(&world.record), throttled(&second.record)],
        [0, 0]
    );
    // Eight in each window: the last of thirty comes after three of them.
    assert!(took >= 3 * window, "{took:?}");
    let waited = |edge: &Edge| {
        edge.metrics_page()
            .contains("tonegate_upstream_queue_seconds_count")
    };
    assert!(waited(world.edge()) && waited(&other));
}

#[tokio::test]
async fn u8_whoever_has_no_turn_in_time_is_503_with_the_seconds_until_there_is_one() {
    let world = World::with(Wish {
        quota: Some((2, Duration::from_secs(3))),
        upstream: "connects = \"2/3s\"\nqueue_wait = \"0s\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let begun = Instant::now();
    let mut callers = [world.call("sim-echo").await, world.call("sim-echo").await];
    let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
    let wait = later(&refused);
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(world.upstream_total(), 2);
    assert_eq!(
        world.count("tonegate_limit_hits_total{limit=\"upstream_queue_wait\"}"),
        1
    );
    echoes(&mut callers[0]).await;
    tokio::time::sleep_until((begun + Duration::from_secs(wait + 1)).into()).await;
    echoes(&mut world.call("sim-echo").await).await;
    assert_eq!(throttled(&world.record), 0);
}

#[tokio::test]
async fn u8_a_queue_has_its_bound_is_left_by_whoever_goes_and_is_fair_to_another_key() {
    let world = World::with(Wish {
        quota: Some((1, Duration::from_secs(3))),
        upstream: "connects = \"1/3s\"\nqueue = 2\nqueue_wait = \"15s\"".to_owned(),
        more: format!(
            "[[keys]]\nname = \"other\"\nsha256 = \"{}\"\n",
            Digest::of("other-key").to_hex()
        ),
        ..Wish::default()
    })
    .await;
    let queue = "tonegate_upstream_queue{upstream=\"voice\"}";
    let _first = world.call("sim-echo").await;
    let mut waiting = Vec::new();
    for length in 1..=2 {
        let mut io = world.connect().await;
        let bytes = request(TARGET, &[("api-key", KEY)]);
        io.write_all(bytes.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        world.metrics_say(&format!("{queue} {length}")).await;
        waiting.push(io);
    }
    // The same key has all places; another one has the last of them, and is next but one.
    let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
    assert!(later(&refused) >= 6);
    assert_eq!(
        world.count("tonegate_limit_hits_total{limit=\"upstream_queue\"}"),
        1
    );
    let other = asks(&world, world.port, "other-key");
    let lost = async {
        let io = waiting.pop().unwrap();
        let refused = crate::harness::read_answer(io).await.err().unwrap();
        assert!(later(&refused) >= 3);
        world.metrics_say(&format!("{queue} 2")).await;
        // The one before it goes.
        drop(waiting.pop());
        world.metrics_say(&format!("{queue} 1")).await;
    };
    let (other, ()) = tokio::join!(other, lost);
    echoes(&mut other.unwrap()).await;
    world.metrics_say(&format!("{queue} 0")).await;
    assert_eq!(world.upstream_total(), 2);
    assert_eq!(throttled(&world.record), 0);
}

#[tokio::test]
async fn u8_a_429_shuts_the_upstream_at_every_edge_for_as_long_as_it_says() {
    let redis = Redis::single();
    let world = World::with(Wish {
        // Somebody else has used up all but one.
        quota: Some((1, Duration::from_secs(8))),
        upstream: "connects = \"30/m\"\nqueue_wait = \"1s\"".to_owned(),
        more: format!("[store]\n{}\n", redis.lines()),
        ..Wish::default()
    })
    .await;
    is_up(world.edge()).await;
    let other = another(&world).await;
    drop(world.call("sim-echo").await);
    let begun = Instant::now();
    let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
    let wait = later(&refused);
    assert!((4..=8).contains(&wait), "{wait}");
    let throttled_total = "tonegate_upstream_throttled_total{upstream=\"voice\"} 1";
    world.metrics_say(throttled_total).await;
    let noted = "tonegate_store_operations_total{operation=\"note_turn\",result=\"ok\"} 2";
    world.metrics_say(noted).await;
    assert_eq!(world.upstream_total(), 2);
    for port in [world.port, other.public().port()] {
        let refused = asks(&world, port, KEY).await.err().unwrap();
        assert!((1..=wait).contains(&later(&refused)));
    }
    // Nobody has bothered it again.
    assert_eq!(world.upstream_total(), 2);
    tokio::time::sleep_until((begun + Duration::from_secs(wait)).into()).await;
    let mut caller = asks(&world, other.public().port(), KEY).await.unwrap();
    echoes(&mut caller).await;
    assert_eq!(throttled(&world.record), 1);
}

#[tokio::test]
async fn u8_while_redis_stands_still_turns_are_counted_by_the_edge_and_told_later() {
    let redis = Redis::own();
    let world = World::with(Wish {
        quota: Some((3, Duration::from_secs(60))),
        upstream: "connects = \"3/m\"\nqueue_wait = \"0s\"".to_owned(),
        more: format!("[store]\n{}\n", redis.lines()),
        ..Wish::default()
    })
    .await;
    is_up(world.edge()).await;
    let other = another(&world).await;
    echoes(&mut world.call("sim-echo").await).await;
    redis.server().signal("-STOP");
    for _ in 0..2 {
        echoes(&mut world.call("sim-echo").await).await;
    }
    let alone = "tonegate_upstream_turns_total{upstream=\"voice\",result=\"alone\"}";
    assert_eq!(world.count(alone), 2);
    // What it took while the store answered counts as well.
    let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
    assert!((40..=60).contains(&later(&refused)));
    redis.server().signal("-CONT");
    is_up(world.edge()).await;
    is_up(&other).await;
    // The next question tells the store, and then the other edge knows, too.
    let out = async || redis.tell(&["ZCARD", &name(&world)]);
    within("that the store knows all three", async {
        while out().await != "3" {
            later(&world.refused(TARGET, &[("api-key", KEY)]).await);
        }
    })
    .await;
    let refused = asks(&world, other.public().port(), KEY)
        .await
        .err()
        .unwrap();
    assert!((20..=75).contains(&later(&refused)), "{refused:?}");
    assert_eq!(world.upstream_total(), 3);
    assert_eq!(throttled(&world.record), 0);
}

fn name(world: &World) -> String {
    format!("pace:{{localhost:{}}}", world.upstream.port())
}

/// An upstream that cannot be reached has counted nothing, so nobody waits for it.
#[tokio::test]
async fn u8_what_was_not_asked_of_the_upstream_costs_no_turn() {
    let world = World::with(Wish {
        upstream: "connects = \"1/60s\"\nqueue_wait = \"0s\"".to_owned(),
        ..Wish::default()
    })
    .await;
    world.stop_upstream().await;
    for count in 1..=3 {
        let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
        refused.is(502, "upstream_unreachable");
        let back = "tonegate_upstream_turns_total{upstream=\"voice\",result=\"given_back\"}";
        world.metrics_say(&format!("{back} {count}")).await;
    }
}

/// A gated call's upstream: dialled when the gate has opened.
fn line(upstream: &str) -> Line {
    Line {
        upstream: "target",
        more: format!(
            "[upstreams.target]\nkind = \"voice-live\"\nurl = \"UPSTREAM\"\nroots = \"ca.pem\"\n\
             credential = {{ key = \"{UPSTREAM_KEY}\" }}\n{upstream}\n"
        ),
        ..Line::default()
    }
}

#[tokio::test]
async fn u8_a_gated_call_waits_for_its_turn_and_one_that_has_none_in_time_is_told() {
    for (wait, served) in [("10s", true), ("0s", false)] {
        let phone = Phone::with(line(&format!(
            "connects = \"1/2s\"\nqueue_wait = \"{wait}\""
        )))
        .await;
        let mut calls = Vec::new();
        for call in ["one", "two"] {
            phone.stores(ANI, "823").await;
            let ringing = phone
                .rings(&phone.dial(&signed(call)), Calling::default())
                .await;
            ringing.dials("823", &Keying::both());
            phone
                .gates(
                    "authorised",
                    calls.len() as u64 + u64::from(served || calls.is_empty()),
                )
                .await;
            calls.push(ringing);
            if served {
                let total = calls.len() as u64;
                phone
                    .eventually("the upstream", |phone| {
                        phone.world.upstream_total() == total
                    })
                    .await;
            } else {
                phone
                    .eventually("the upstream", |phone| phone.world.upstream_total() == 1)
                    .await;
            }
        }
        if served {
            for call in calls {
                call.hand.hang_up();
                assert_eq!(call.ended().await.violations, []);
            }
        } else {
            calls.pop().unwrap().closed(1013, "upstream_busy").await;
            assert_eq!(phone.world.upstream_total(), 1);
        }
    }
}

#[tokio::test]
async fn u8_a_session_is_told_of_and_ended_before_its_upstream_would_end_it() {
    let mut world = World::with(Wish {
        upstream: "session_cap = \"4s\"\nsession_margin = \"2s\"\nsession_notice = \"1s\""
            .to_owned(),
        ..Wish::default()
    })
    .await;
    let child = Child::start(&mut world, "true");
    let begun = Instant::now();
    let mut caller = world.call("sim-echo").await;
    echoes(&mut caller).await;
    let near = "tonegate_sessions_near_cap_total{route=\"browser\",upstream=\"voice\"} 1";
    child.metrics_say(near).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let line = |line: &serde_json::Value| {
        line["message"] == "session near its upstream's longest"
            && line["route"] == "browser"
            && line["upstream"] == "voice"
            && line["session"].is_string()
    };
    child
        .until("the notice", |child| child.logged(line) == 1)
        .await;
    // The session goes on meanwhile, and nothing is said to anybody.
    echoes(&mut caller).await;
    let frame = caller.next().await.unwrap();
    assert_eq!(frame.close_parts(), (Some(4450), "max_duration".to_owned()));
    let lasted = begun.elapsed();
    assert!(
        lasted >= Duration::from_secs(2) && lasted < Duration::from_secs(4),
        "{lasted:?}"
    );
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(
        seen.close_received,
        Some((Some(4450), "max_duration".to_owned()))
    );
    assert_eq!((seen.received.text, seen.received.ping), (2, 0));
    let ended =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"edge\",reason=\"max_duration\"} 1";
    child.metrics_say(ended).await;
}

#[tokio::test]
async fn u8_a_session_that_ends_sooner_by_itself_is_not_told_of() {
    let world = World::with(Wish {
        upstream: "session_cap = \"30s\"\nsession_notice = \"1s\"".to_owned(),
        limits: "session = \"1s\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    assert_eq!(
        caller.closed().await,
        (Some(4450), "max_duration".to_owned())
    );
    let near = "tonegate_sessions_near_cap_total{route=\"browser\",upstream=\"voice\"}";
    assert_eq!(world.count(near), 0);
}

/// A caller who takes long to dial has all of the upstream's time.
#[tokio::test]
async fn u8_the_cap_of_a_gated_call_counts_from_the_dial() {
    let cap = "session_cap = \"4s\"\nsession_margin = \"2s\"\nsession_notice = \"1s\"";
    let phone = Phone::with(line(cap)).await;
    phone.stores(ANI, "823").await;
    let call = phone
        .rings(&phone.dial(&signed("slow")), Calling::default())
        .await;
    let pause = Duration::from_millis(2500);
    call.hand.pause(Talker::Caller, pause).unwrap();
    call.dials("823", &Keying::both());
    phone.world.upstream_saw(|_| true).await;
    let dialled = Instant::now();
    call.closed(4450, "max_duration").await;
    assert!(
        dialled.elapsed() > Duration::from_millis(1500),
        "{:?}",
        dialled.elapsed()
    );
    phone.ended("edge", "max_duration", 1).await;
}
