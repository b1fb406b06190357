//! Limits that edges count in one Redis: no more than one edge alone would let in, also where one of
//! them or the store dies.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings};
use tonegate::sim::acs;
use tonegate::sim::acs::Dial;
use tonegate::sim::client::Error;
use tonegate::sim::frame::{Frame, PING, PONG};

use crate::child::Child;
use crate::easyauth::{OID, OTHER, PRINCIPAL, principal};
use crate::harness::{
    Caller, KEY, Refused, Wish, World, binary, read_answer, request, text, within,
};
use crate::hops::{HOP, HTTP};
use crate::phone::redis::{
    Caller as Person, Redis, at_once, count, dial, eventually, is_up, phone,
};
use crate::phone::world::Line;

const TARGET: &str = "/ws?model=sim-echo";
const HITS: &str = "tonegate_limit_hits_total";

/// Two edges before one Redis.
struct Two {
    world: World,
    other: Edge,
    redis: Redis,
}

fn wish(redis: &Redis, limits: &str, route: &str) -> Wish {
    Wish {
        limits: format!("replicas = 2\nlease = \"3s\"\n{limits}"),
        route: format!("limits = {{ {route} }}"),
        more: format!("[store]\n{}\ntimeout = \"1500ms\"\n", redis.lines()),
        tls: false,
        ..Wish::default()
    }
}

impl Two {
    async fn with(redis: Redis, wish: Wish) -> Two {
        let world = World::with(wish).await;
        let file = world.folder.join("edge.toml");
        let read = Settings::read_in(&[file], &Environment::process()).unwrap();
        let other = Edge::start(&read).unwrap();
        is_up(world.edge()).await;
        is_up(&other).await;
        Two {
            world,
            other,
            redis,
        }
    }

    async fn of(limits: &str, route: &str) -> Two {
        let redis = Redis::own();
        let wish = wish(&redis, limits, route);
        Two::with(redis, wish).await
    }

    fn ports(&self) -> [u16; 2] {
        [self.world.port, self.other.public().port()]
    }

    async fn ask(&self, edge: usize, key: &str) -> Result<Caller, Refused> {
        ask(&self.world, self.ports()[edge], key).await
    }

    /// How often a limit was hit, at both.
    fn hits(&self, limit: &str) -> u64 {
        let series = format!("{HITS}{{limit=\"{limit}\"}}");
        count(self.world.edge(), &series) + count(&self.other, &series)
    }

    /// The sessions of both, if the store counts them, for a while yet, and no other; else 0.
    fn all_counted(&self) -> usize {
        let soon = SystemTime::now() + Duration::from_millis(500);
        let soon = soon.duration_since(UNIX_EPOCH).unwrap().as_millis();
        let (name, from) = ("limit:route_sessions:browser", soon.to_string());
        let names = self.redis.tell(&["ZRANGEBYSCORE", name, &from, "+inf"]);
        let counted: BTreeSet<String> = names.lines().map(str::to_owned).collect();
        let edges = [self.world.edge(), &self.other];
        let run = edges.map(|edge| edge.registry().list(|_| true));
        let run: BTreeSet<String> = run.iter().flatten().map(|(id, _)| id.to_string()).collect();
        if run == counted { run.len() } else { 0 }
    }

    /// So many at once, in turn at each edge: who entered, and how the others were refused.
    async fn burst(&self, callers: usize) -> (Vec<Caller>, Vec<Refused>) {
        let asked = join_all((0..callers).map(|i| self.ask(i % 2, KEY))).await;
        let (mut entered, mut refused) = (Vec::new(), Vec::new());
        for answer in asked {
            match answer {
                Ok(caller) => entered.push(caller),
                Err(answer) => refused.push(answer),
            }
        }
        (entered, refused)
    }
}

async fn ask(world: &World, port: u16, key: &str) -> Result<Caller, Refused> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut io = world.over(tcp).await;
    let asked = request(TARGET, &[("api-key", key)]);
    io.write_all(asked.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    read_answer(io).await
}

async fn echoes(caller: &mut Caller) {
    caller.send(text("still here")).await;
    assert_eq!(caller.next().await, Some(text("still here")));
}

#[tokio::test]
async fn a43_five_sessions_are_five_at_two_edges_and_come_back() {
    for (limits, route, name) in [
        ("", "sessions = 5", "route_sessions"),
        ("", "sessions_per_identity = 5", "sessions_per_identity"),
        ("", "sessions_per_address = 5", "sessions_per_address"),
        ("total_sessions = 5", "", "total_sessions"),
    ] {
        let two = Two::of(limits, route).await;
        let (mut entered, refused) = two.burst(30).await;
        assert_eq!((entered.len(), refused.len()), (5, 25), "{name}");
        for answer in &refused {
            answer.is(503, "busy");
            assert_eq!(answer.header("retry-after").as_deref(), Some("5"));
        }
        assert_eq!(two.hits(name), 25);
        for caller in &mut entered {
            echoes(caller).await;
        }
        // What comes to nothing gives its place back, whichever edge it was at.
        drop(entered.pop());
        let sixth = within("a place", async {
            loop {
                if let Ok(caller) = two.ask(1, KEY).await {
                    break caller;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        entered.push(sixth.await);
        two.ask(0, KEY).await.err().unwrap().is(503, "busy");
        assert_eq!(two.world.upstream_total(), 6);
    }
}

/// Answers of the store come late, but in time.
#[tokio::test]
async fn a43_an_upstream_is_dialled_while_the_store_is_asked_where_a_route_says_so() {
    for early in [false, true] {
        let redis = Redis::own();
        let mut wish = wish(&redis, "", "sessions = 1");
        wish.route.push_str(&format!("\ndial_early = {early}"));
        let world = World::with(wish).await;
        is_up(world.edge()).await;
        redis.tell(&["CLIENT", "PAUSE", "1400", "WRITE"]);
        let mut asked = pin!(ask(&world, world.port, KEY));
        let meanwhile = async {
            let enough = tokio::time::sleep(Duration::from_millis(300));
            let dialled = world.record.until(|seen| early && seen.totals().total == 1);
            tokio::select! {
                () = enough, if !early => {}
                () = dialled => {}
            }
        };
        tokio::select! {
            _ = &mut asked => panic!("answered before the store was"),
            () = meanwhile => {}
        }
        assert_eq!(world.upstream_total(), u64::from(early));
        redis.tell(&["CLIENT", "UNPAUSE"]);
        let mut caller = asked.await.ok().unwrap();
        echoes(&mut caller).await;
        assert_eq!(world.upstream_total(), 1);
    }
}

#[tokio::test]
async fn a43_who_finds_no_room_is_refused_although_an_upstream_was_dialled_early() {
    let redis = Redis::own();
    let mut wish = wish(&redis, "", "sessions = 1");
    wish.route.push_str("\ndial_early = true");
    let two = Two::with(redis, wish).await;
    let mut first = two.ask(0, KEY).await.ok().unwrap();
    // Only the store knows at the other edge that there is no room.
    two.redis.tell(&["CLIENT", "PAUSE", "1400", "WRITE"]);
    let dialled = async {
        let record = &two.world.record;
        within("a dial", record.until(|seen| seen.totals().total == 2)).await;
        two.redis.tell(&["CLIENT", "UNPAUSE"]);
    };
    let (refused, ()) = tokio::join!(two.ask(1, KEY), dialled);
    // It was dialled, and in vain.
    refused.err().unwrap().is(503, "busy");
    within("the end of what nobody uses", async {
        while two.world.record.totals().open > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    echoes(&mut first).await;
}

#[tokio::test]
async fn a43_a_place_comes_back_where_no_upstream_can_be_had_early() {
    let redis = Redis::own();
    let mut wish = wish(&redis, "", "sessions = 1");
    wish.route.push_str("\ndial_early = true");
    wish.credential = "{ key = \"another-key\" }".to_owned();
    let world = World::with(wish).await;
    is_up(world.edge()).await;
    for _ in 0..3 {
        let refused = ask(&world, world.port, KEY).await.err().unwrap();
        refused.is(502, "upstream_unauthorized");
        // Sooner than a lease would free it.
        let free = async {
            while !redis
                .tell(&["ZRANGE", "limit:route_sessions:browser", "0", "-1"])
                .trim()
                .is_empty()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(2), free)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a43_five_sessions_are_five_in_a_cluster_too() {
    let redis = Redis::cluster();
    let prefix = format!("prefix = \"{}:\"\n", tonegate::ids::SessionId::random());
    let mut wish = wish(
        &redis,
        "total_sessions = 9",
        "sessions = 5, upgrades = \"900/m\"",
    );
    wish.more.push_str(&prefix);
    let two = Two::with(redis, wish).await;
    let (mut entered, _) = two.burst(30).await;
    assert!(entered.len() <= 5, "{}", entered.len());
    // Those who met in two slots may all have been refused, of which the other limit may have its share; one
    // by one there are five.
    let met = two.hits("total_sessions");
    for _ in entered.len()..5 {
        entered.push(two.ask(1, KEY).await.ok().unwrap());
    }
    for edge in 0..2 {
        two.ask(edge, KEY).await.err().unwrap().is(503, "busy");
    }
    assert_eq!(two.hits("total_sessions"), met);
}

#[tokio::test]
async fn a43_an_edge_that_is_killed_frees_its_places_within_their_lease() {
    let redis = Redis::own();
    let mut world = World::with(wish(&redis, "", "sessions = 5")).await;
    is_up(world.edge()).await;
    let own = world.port;
    let child = Child::start(&mut world, "true");
    child.metrics_say("tonegate_store_up 1").await;
    let there = world.port;
    let mut theirs = Vec::new();
    for _ in 0..3 {
        theirs.push(ask(&world, there, KEY).await.ok().unwrap());
    }
    let mut ours = [
        ask(&world, own, KEY).await.ok().unwrap(),
        ask(&world, own, KEY).await.ok().unwrap(),
    ];
    // For longer than a lease they are kept.
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        ask(&world, own, KEY).await.err().unwrap().is(503, "busy");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let killed = Instant::now();
    drop(child);
    let mut entered = Vec::new();
    within("three places", async {
        while entered.len() < 3 {
            match ask(&world, own, KEY).await {
                Ok(caller) => entered.push(caller),
                Err(refused) => refused.is(503, "busy"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // With what two cores take for it.
    assert!(
        killed.elapsed() < Duration::from_secs(6),
        "{:?}",
        killed.elapsed()
    );
    ask(&world, own, KEY).await.err().unwrap().is(503, "busy");
    for caller in ours.iter_mut().chain(&mut entered) {
        echoes(caller).await;
    }
}

#[tokio::test]
async fn a43_turns_are_counted_at_all_edges() {
    for (limits, route, name) in [
        ("", "upgrades = \"4/m\"", "upgrades"),
        (
            "",
            "upgrades_per_identity = \"4/m\"",
            "upgrades_per_identity",
        ),
        ("", "upgrades_per_address = \"4/m\"", "upgrades_per_address"),
        ("total_upgrades = \"4/m\"", "", "total_upgrades"),
    ] {
        let two = Two::of(limits, route).await;
        for edge in [0, 1, 1, 0] {
            two.ask(edge, KEY).await.expect(name);
        }
        for edge in [1, 0] {
            let refused = two.ask(edge, KEY).await.err().expect(name);
            refused.is(429, "rate_limited");
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=15).contains(&wait), "{name}: {wait}");
        }
        assert_eq!(two.hits(name), 2, "{name}");
    }
}

/// Guesses count before anybody knows who guesses, wherever they are made.
#[tokio::test]
async fn a43_s12_guesses_at_two_edges_are_counted_together() {
    let two = Two::of("", "upgrades_per_address = \"4/m\"").await;
    for edge in [0, 1, 1, 0] {
        let refused = two.ask(edge, "guess").await.err().unwrap();
        refused.is(401, "unauthenticated");
    }
    for edge in [0, 1] {
        two.ask(edge, KEY)
            .await
            .err()
            .unwrap()
            .is(429, "rate_limited");
    }
    assert_eq!(two.world.upstream_total(), 0);
    // Nobody who reads the store's names reads an address.
    let names = two.redis.tell(&["KEYS", "*"]);
    assert!(
        names.starts_with("limit:upgrades_per_address:browser:"),
        "{names}"
    );
    assert!(!names.contains("127"), "{names}");
}

#[tokio::test]
async fn a43_people_of_one_tenant_share_what_it_has() {
    let redis = Redis::own();
    let mut wish = wish(
        &redis,
        "",
        "sessions_per_tenant = 2, upgrades_per_tenant = \"100/m\"",
    );
    wish.admit = "\"easyauth\", \"key\"".to_owned();
    wish.more.push_str(HTTP);
    let two = Two::with(redis, wish).await;
    let enter = async |edge: usize, oid: &str| {
        let tcp = tokio::net::TcpSocket::new_v4().unwrap();
        tcp.bind(format!("{HOP}:0").parse().unwrap()).unwrap();
        let to = ([127, 0, 0, 1], two.ports()[edge]).into();
        let mut io = two.world.over(tcp.connect(to).await.unwrap()).await;
        let head = request(TARGET, &[(PRINCIPAL, &principal(oid))]);
        io.write_all(head.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        read_answer(io).await
    };
    let _first = enter(0, OID).await.ok().unwrap();
    let _second = enter(1, OTHER).await.ok().unwrap();
    enter(0, OTHER).await.err().unwrap().is(503, "busy");
    assert_eq!(two.hits("sessions_per_tenant"), 1);
    // A key is of no tenant.
    two.ask(0, KEY).await.ok().unwrap();
}

#[tokio::test]
async fn a43_minutes_that_are_used_up_end_what_runs_and_refuse_what_is_new() {
    let redis = Redis::own();
    let mut wish = wish(
        &redis,
        "",
        "minutes = \"5/h\", minutes_per_address = \"9/h\"",
    );
    wish.key = "limits = { minutes = \"600/d\" }".to_owned();
    let two = Two::with(redis, wish).await;
    let mut caller = two.ask(0, KEY).await.ok().unwrap();
    let used = async || {
        !two.redis
            .tell(&["GET", "limit:key_minutes:tester"])
            .is_empty()
    };
    eventually("the first minutes", used).await;
    let used: u64 = two
        .redis
        .tell(&["GET", "limit:route_minutes:browser"])
        .parse()
        .unwrap();
    assert!((100..20_000).contains(&used), "{used}");
    echoes(&mut caller).await;
    // As if others had talked for so long.
    two.redis
        .tell(&["INCRBY", "limit:route_minutes:browser", "300000"]);
    let closed = within("the end", caller.closed()).await;
    assert_eq!(closed, (Some(1013), "rate_limited".to_owned()));
    let refused = two.ask(1, KEY).await.err().unwrap();
    refused.is(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(two.hits("route_minutes"), 2);
    two.redis.tell(&["DEL", "limit:route_minutes:browser"]);
    echoes(&mut two.ask(1, KEY).await.ok().unwrap()).await;
    // An address has its own, which is in the name as a digest only.
    let of_address = two.redis.tell(&["KEYS", "limit:minutes_per_address:*"]);
    assert!(!of_address.contains("127.0.0.1"), "{of_address}");
    two.redis.tell(&["INCRBY", of_address.trim(), "540000"]);
    let refused = two.ask(0, KEY).await.err().unwrap();
    refused.is(429, "rate_limited");
    assert!(two.hits("minutes_per_address") >= 1);
}

#[tokio::test]
async fn a43_s31_without_the_store_each_edge_has_its_share_and_all_is_counted_when_it_is_back() {
    let two = Two::of("", "sessions = 5").await;
    let mut early = two.ask(0, KEY).await.ok().unwrap();
    two.redis.server().signal("-STOP");
    // Two of five at each: the first has one already. The first question waits for its deadline.
    let mut late = [
        two.ask(0, KEY).await.ok().unwrap(),
        two.ask(1, KEY).await.ok().unwrap(),
        two.ask(1, KEY).await.ok().unwrap(),
    ];
    for edge in [0, 1] {
        let refused = two.ask(edge, KEY).await.err().unwrap();
        refused.is(503, "busy");
    }
    assert!(two.hits("shared") >= 5);
    echoes(&mut early).await;
    two.redis.server().signal("-CONT");
    let counted = || two.redis.tell(&["ZCARD", "limit:route_sessions:browser"]);
    // What was asked while it stood still it reads now, also of those who were refused since.
    eventually("all four and nobody else", async || two.all_counted() == 4).await;
    // As long as they last, at any edge, there is one place more.
    // An edge that finds its store away at the last moment connects anew, and has its share until then.
    let mut fifth = within("the fifth place", async {
        loop {
            if let Ok(caller) = two.ask(1, KEY).await {
                break caller;
            }
        }
    })
    .await;
    two.ask(0, KEY).await.err().unwrap().is(503, "busy");
    for caller in late.iter_mut().chain([&mut early, &mut fifth]) {
        echoes(caller).await;
    }
    drop((early, late, fifth));
    eventually("an empty store", async || counted() == "0").await;
}

#[tokio::test]
async fn a43_s31_without_the_store_nobody_guesses() {
    let two = Two::of("", "upgrades_per_address = \"1000/m\", sessions = 50").await;
    let mut early = two.ask(0, KEY).await.ok().unwrap();
    two.redis.server().signal("-STOP");
    let asked = Instant::now();
    for key in [KEY, "guess"] {
        let refused = two.ask(1, key).await.err().unwrap();
        refused.is(503, "store_unavailable");
        assert!(refused.header("retry-after").is_some());
    }
    assert!(asked.elapsed() < Duration::from_secs(6));
    echoes(&mut early).await;
    two.redis.server().signal("-CONT");
    for edge in [0, 1] {
        eventually("the store", async || two.ask(edge, KEY).await.is_ok()).await;
    }
    two.ask(0, "guess")
        .await
        .err()
        .unwrap()
        .is(401, "unauthenticated");
}

/// Callers come and go while the store is killed and comes back: nobody is cut, nothing stays taken.
#[tokio::test]
async fn a43_s31_a_store_that_is_killed_under_load_is_found_again_and_nothing_stays_taken() {
    let two = Arc::new(Two::of("", "sessions = 6, upgrades = \"100000/s\"").await);
    let mut kept = two.ask(0, KEY).await.ok().unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let entered = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let load = (0..8).map(|i| {
        let (two, stop, entered) = (two.clone(), stop.clone(), entered.clone());
        tokio::spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                match two.ask(i % 2, KEY).await {
                    Ok(mut caller) => {
                        echoes(&mut caller).await;
                        caller.close(1000, "").await;
                        caller.closed().await;
                        entered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    Err(refused) => refused.is(503, "busy"),
                }
            }
        })
    });
    let load: Vec<_> = load.collect();
    let more = async |what: &str| {
        let before = entered.load(std::sync::atomic::Ordering::Relaxed);
        let now = || entered.load(std::sync::atomic::Ordering::Relaxed);
        eventually(what, async || now() > before + 5).await;
    };
    more("callers").await;
    two.redis.server().kill();
    eventually("a share", async || two.hits("shared") > 0).await;
    more("callers without the store").await;
    two.redis.server().restart();
    is_up(two.world.edge()).await;
    is_up(&two.other).await;
    more("callers again").await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in load {
        within("the load's end", task).await.unwrap();
    }
    // What is left is the one that was there all the time, which the new store has been told of.
    let left = || two.redis.tell(&["ZCARD", "limit:route_sessions:browser"]);
    eventually("one", async || left() == "1").await;
    echoes(&mut kept).await;
}

/// A call that finds no room has spent no token, and one that may not begin has taken no room.
#[tokio::test]
async fn a43_what_a_call_is_refused_for_gives_the_other_back() {
    let redis = Redis::own();
    let line = Line {
        limits: "lease = \"600s\"".to_owned(),
        route: "limits = { sessions = 1 }".to_owned(),
        store: "timeout = \"1500ms\"".to_owned(),
        ..Line::default()
    };
    let phone = phone(&redis, line).await;
    is_up(phone.world.edge()).await;
    let first = dial(&phone, phone.world.port, &Person::new());
    let call = acs::Call::dial(&first, at_once()).await.ok().unwrap();
    let second = dial(&phone, phone.world.port, &Person::new());
    let status = async |dial: &Dial| match acs::Call::dial(dial, at_once()).await {
        Ok(_) => 101,
        Err(Error::Refused(answer)) => answer.status,
        Err(other) => panic!("{other}"),
    };
    // This edge knows by itself; whoever asks another is told by the store.
    let other = crate::phone::redis::another(&phone);
    is_up(&other).await;
    let ports = (
        format!(":{}/", phone.world.port),
        format!(":{}/", other.public().port()),
    );
    let elsewhere = |dial: &Dial| Dial {
        url: dial.url.replace(&ports.0, &ports.1),
        ..dial.clone()
    };
    assert_eq!(status(&elsewhere(&second)).await, 503);
    let hits = format!("{HITS}{{limit=\"route_sessions\"}}");
    assert_eq!(count(&other, &hits), 1);
    drop(call);
    let free = || redis.tell(&["ZCARD", "limit:route_sessions:phone"]);
    eventually("the place", async || free() == "0").await;
    // A token that is spent: the place is free still.
    assert_eq!(status(&elsewhere(&first)).await, 401);
    eventually("the place again", async || free() == "0").await;
    assert_eq!(status(&elsewhere(&second)).await, 101);
}

#[tokio::test]
async fn b20_a_client_that_sends_too_much_is_read_more_slowly_and_loses_nothing() {
    let route = "limits = { bytes_per_second = \"64KiB\" }";
    let world = World::with(Wish {
        route: route.to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    let begun = Instant::now();
    let messages: Vec<Frame> = (0..24u8).map(|i| binary(vec![i; 8 << 10])).collect();
    for message in &messages {
        caller.send(message.clone()).await;
    }
    for message in &messages {
        assert_eq!(caller.next().await.as_ref(), Some(message));
    }
    // 192 KiB: a second's worth at once, one read ahead, and the rest at its rate.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    assert!(world.count(&format!("{HITS}{{limit=\"bytes_per_second\"}}")) > 0);
    echoes(&mut caller).await;
}

#[tokio::test]
async fn b20_s17_a_flood_of_pings_is_paced_and_others_are_not() {
    let world = World::with(Wish {
        limits: "frames_per_second = 50".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut flooder = world.call("sim-echo").await;
    let mut good = world.call("sim-echo").await;
    let begun = Instant::now();
    let mut pings = Vec::new();
    for _ in 0..200 {
        pings.extend_from_slice(&flooder.encode(&Frame::whole(PING, "p")));
    }
    flooder.send_raw(&pings).await;
    for _ in 0..200 {
        let pong = flooder.next().await.unwrap();
        assert_eq!(pong.opcode, PONG);
    }
    let last = text("behind them");
    flooder.send(last.clone()).await;
    let told = Instant::now();
    echoes(&mut good).await;
    assert!(told.elapsed() < Duration::from_secs(2));
    assert_eq!(flooder.next().await, Some(last));
    // However many came in one read, what comes behind waits until they are paid.
    assert!(
        begun.elapsed() > Duration::from_millis(2500),
        "{:?}",
        begun.elapsed()
    );
    assert!(world.count(&format!("{HITS}{{limit=\"frames_per_second\"}}")) > 0);
}
