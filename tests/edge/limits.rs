//! How often and how much: 429 and 503 with an honest Retry-After, and nothing is used up for good.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonegate::secret::Digest;

use crate::harness::{KEY, Wish, World, text, within};

const TARGET: &str = "/ws?model=sim-echo";

async fn limited(route: &str) -> World {
    World::with(Wish {
        route: route.to_owned(),
        more: format!(
            "[[keys]]\nname = \"other\"\nsha256 = \"{}\"\n",
            Digest::of("other-key").to_hex()
        ),
        ..Wish::default()
    })
    .await
}

/// Opens and closes a session.
async fn visit(world: &World, key: &str) {
    let mut caller = world.ask(TARGET, &[("api-key", key)]).await.unwrap();
    caller.close(1000, "").await;
    caller.closed().await;
}

#[tokio::test]
async fn b23_too_many_upgrades_are_429_with_the_seconds_until_the_next() {
    for limit in ["upgrades", "upgrades_per_address", "upgrades_per_identity"] {
        let world = limited(&format!("limits = {{ {limit} = \"2/m\" }}")).await;
        visit(&world, KEY).await;
        visit(&world, KEY).await;
        let dialled = world.upstream_total();
        let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
        refused.is(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        // Two a minute: the next one comes after half of it, less what has passed.
        assert!((20..=30).contains(&wait), "{limit}: {wait}");
        assert_eq!(world.upstream_total(), dialled, "{limit}");
        let hits = format!("tonegate_limit_hits_total{{limit=\"{limit}\"}}");
        assert_eq!(world.count(&hits), 1);
        // Another identity has its own; an address and a route have one for all.
        let other = world.ask(TARGET, &[("api-key", "other-key")]).await;
        assert_eq!(other.is_ok(), limit == "upgrades_per_identity", "{limit}");
    }
}

#[tokio::test]
async fn b23_after_the_time_that_was_told_the_next_one_enters() {
    let world = limited("limits = { upgrades_per_address = \"1/s\" }").await;
    visit(&world, KEY).await;
    let asked = Instant::now();
    let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
    refused.is(429, "rate_limited");
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    tokio::time::sleep_until((asked + Duration::from_secs(1)).into()).await;
    visit(&world, KEY).await;
}

#[tokio::test]
async fn b23_strangers_do_not_use_up_what_a_route_has_for_all() {
    let world = limited("limits = { upgrades = \"1/m\" }").await;
    for _ in 0..5 {
        let refused = world.refused(TARGET, &[("api-key", "guess")]).await;
        refused.is(401, "unauthenticated");
    }
    visit(&world, KEY).await;
    let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
    refused.is(429, "rate_limited");
}

#[tokio::test]
async fn s42_who_was_admitted_is_no_stranger_while_the_upstream_is_slow() {
    let world = World::with(Wish {
        limits: "unadmitted = 2".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut waiting = Vec::new();
    for dialled in 1..=4 {
        let mut io = world.connect().await;
        let request = crate::harness::request("/ws?model=sim-hang", &[("api-key", KEY)]);
        io.write_all(request.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        waiting.push(io);
        let all = world
            .record
            .until(|record| record.totals().total == dialled);
        within("the dial", all).await;
    }
    world.still_serves().await;
    drop(waiting);
    world.settles().await;
}

#[tokio::test]
async fn b23_guessing_is_counted_before_anything_is_looked_at() {
    let world = limited("limits = { upgrades_per_address = \"3/m\" }").await;
    for _ in 0..3 {
        let refused = world.refused(TARGET, &[("api-key", "guess")]).await;
        refused.is(401, "unauthenticated");
    }
    // Spoofed addresses are no addresses.
    for spoofed in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"] {
        let headers = [("api-key", KEY), (spoofed, "198.51.100.7")];
        let refused = world.refused(TARGET, &headers).await;
        refused.is(429, "rate_limited");
    }
    assert_eq!(world.upstream_total(), 0);
}

#[tokio::test]
async fn b23_sessions_are_counted_by_route_address_and_identity_and_come_back() {
    for (limit, name) in [
        ("sessions", "route_sessions"),
        ("sessions_per_address", "sessions_per_address"),
        ("sessions_per_identity", "sessions_per_identity"),
    ] {
        let world = limited(&format!("limits = {{ {limit} = 2 }}")).await;
        // What comes to nothing gives its place back: refusals, failed dials, callers that abort.
        for _ in 0..3 {
            let failed = world.refused("/ws?model=sim-refuse-500", &[("api-key", KEY)]);
            failed.await.is(502, "upstream_refused");
        }
        let first = world.call("sim-echo").await;
        let mut second = world.call("sim-echo").await;
        let refused = world.refused(TARGET, &[("api-key", KEY)]).await;
        refused.is(503, "busy");
        assert_eq!(refused.header("retry-after").as_deref(), Some("5"));
        let hits = format!("tonegate_limit_hits_total{{limit=\"{name}\"}}");
        assert_eq!(world.count(&hits), 1, "{limit}");
        second.send(text("not disturbed")).await;
        assert_eq!(second.next().await, Some(text("not disturbed")));
        drop(first);
        world
            .metrics_say("tonegate_sessions{route=\"browser\"} 1")
            .await;
        let third = world.call("sim-echo").await;
        drop((second, third));
        world.settles().await;
        world.still_serves().await;
    }
}

#[tokio::test]
async fn twenty_that_connect_and_abort_leave_no_slot_taken() {
    let world = limited("limits = { sessions = 1 }").await;
    for _ in 0..20 {
        let mut io = world.connect().await;
        let request = crate::harness::request("/ws?model=sim-hang", &[("api-key", KEY)]);
        tokio::io::AsyncWriteExt::write_all(&mut io, request.as_bytes())
            .await
            .unwrap();
        drop(io);
    }
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn s42_strangers_of_one_address_are_bounded_and_sessions_are_not_harmed() {
    let world = World::with(Wish {
        limits: "unadmitted_per_address = 3\nhandshake = \"5s\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(("127.0.0.1", world.port)).await.unwrap());
    }
    world.metrics_say("tonegate_connections 4").await;
    // One more is closed at once, without a byte.
    let mut more = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let closed = within("the end", more.read(&mut [0; 9])).await;
    assert!(matches!(closed, Ok(0) | Err(_)));
    world
        .metrics_say("tonegate_limit_hits_total{limit=\"unadmitted_per_address\"} 1")
        .await;
    caller.send(text("still here")).await;
    assert_eq!(caller.next().await, Some(text("still here")));
    drop(held);
    world.metrics_say("tonegate_connections 1").await;
    world.still_serves().await;
}

#[tokio::test]
async fn s42_strangers_in_all_are_bounded_apart_from_sessions() {
    let world = World::with(Wish {
        limits: "unadmitted = 2".to_owned(),
        ..Wish::default()
    })
    .await;
    // Sessions do not count as strangers, however many there are.
    let mut callers = Vec::new();
    for _ in 0..5 {
        callers.push(world.call("sim-echo").await);
    }
    let held = [
        TcpStream::connect(("127.0.0.1", world.port)).await.unwrap(),
        TcpStream::connect(("127.0.0.1", world.port)).await.unwrap(),
    ];
    world.metrics_say("tonegate_connections 7").await;
    let mut more = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let closed = within("the end", more.read(&mut [0; 9])).await;
    assert!(matches!(closed, Ok(0) | Err(_)));
    let hit = "tonegate_limit_hits_total{limit=\"unadmitted\"} 1";
    world.metrics_say(hit).await;
    for caller in &mut callers {
        caller.send(text("undisturbed")).await;
        assert_eq!(caller.next().await, Some(text("undisturbed")));
    }
    drop((held, callers));
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn networks_are_denied_and_allowed_by_route() {
    for (route, enters) in [
        ("allow = [\"127.0.0.0/8\"]", true),
        ("allow = [\"10.0.0.0/8\"]", false),
        ("deny = [\"127.0.0.1\"]", false),
        ("deny = [\"::ffff:127.0.0.0/104\"]", false),
        ("allow = [\"::ffff:127.0.0.0/104\"]", true),
        (
            "allow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.0/30\"]",
            false,
        ),
        ("allow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.2/32\"]", true),
    ] {
        let world = limited(route).await;
        if enters {
            world.still_serves().await;
        } else {
            let headers = [("api-key", KEY), ("X-Forwarded-For", "10.0.0.1")];
            let refused = world.refused(TARGET, &headers).await;
            refused.is(403, "forbidden");
            assert_eq!(world.upstream_total(), 0);
        }
    }
}

/// What a route says goes before what `[limits]` says.
#[tokio::test]
async fn a_routes_own_bounds_of_messages_and_time_hold() {
    let wish = Wish {
        limits: "client_message = \"1MiB\"\nsession = \"60m\"".to_owned(),
        route: "limits = { client_message = \"1KiB\", session = \"2s\" }".to_owned(),
        ..Wish::default()
    };
    let world = World::with(wish).await;
    let mut caller = world.call("sim-echo").await;
    let fits = text(&"x".repeat(1024));
    caller.send(fits.clone()).await;
    assert_eq!(caller.next().await, Some(fits));
    caller.send(text(&"x".repeat(1025))).await;
    assert_eq!(caller.closed().await, (Some(1009), "too_large".to_owned()));
    let mut caller = world.call("sim-echo").await;
    assert_eq!(
        caller.closed().await,
        (Some(4450), "max_duration".to_owned())
    );
}
