//! Hops that speak HTTP: whose `X-Forwarded-For` counts, and whose is a stranger's word.
//!
//! 127.0.0.2 is a hop here; 127.0.0.1 is not. Whom the edge takes for the client is seen by the
//! networks of the route, by its limits, and in the log.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tonegate::sim::issuer::behaviour::Behaviour;

use crate::binary::{Served, run};
use crate::harness::{Caller, KEY, Refused, Wish, World, read_answer, request, text, within};
use crate::tokens::{AUDIENCE, Issued};

pub const HOP: &str = "127.0.0.2";
pub const STRANGER: &str = "127.0.0.1";
pub const TARGET: &str = "/ws?model=sim-echo";
pub const HTTP: &str = "[hops]\nnetworks = [\"127.0.0.2\"]\nspeak = \"http\"\n";

/// The network that the clients are in.
const CLIENTS: &str = "allow = [\"203.0.113.0/24\", \"2001:db8::/64\"]";
const NAME: &str = "X-Forwarded-For";

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn behind_hops(limits: &str, route: &str) -> World {
    World::with(Wish {
        limits: limits.to_owned(),
        route: route.to_owned(),
        more: HTTP.to_owned(),
        ..Wish::default()
    })
    .await
}

/// Asks from an address of loopback.
pub async fn ask(
    world: &World,
    from: &str,
    target: &str,
    headers: Headers<'_>,
) -> Result<Caller, Refused> {
    let mut io = world.over(world.tcp(from).await).await;
    io.write_all(request(target, headers).as_bytes())
        .await
        .unwrap();
    io.flush().await.unwrap();
    read_answer(io).await
}

/// The status of the answer; a caller that enters is served first.
pub async fn status(world: &World, from: &str, headers: Headers<'_>) -> u16 {
    match ask(world, from, TARGET, headers).await {
        Ok(mut caller) => {
            caller.send(text("in")).await;
            assert_eq!(caller.next().await, Some(text("in")));
            caller.close(1000, "").await;
            caller.closed().await;
            101
        }
        Err(refused) => refused.status,
    }
}

#[tokio::test]
async fn b23_s14_x_forwarded_for_of_no_hop_is_ignored() {
    let world = behind_hops("", CLIENTS).await;
    let key = ("api-key", KEY);
    for spoofed in [
        "203.0.113.9",
        "127.0.0.2",
        "203.0.113.9, 127.0.0.2",
        "2001:db8::9",
    ] {
        let headers = [key, (NAME, spoofed)];
        let refused = ask(&world, STRANGER, TARGET, &headers).await.err().unwrap();
        refused.is(403, "forbidden");
    }
    assert_eq!(world.upstream_total(), 0);
    // What it writes there need not even be a list.
    let world = behind_hops("", "allow = [\"127.0.0.1\"]").await;
    for ignored in ["garbage", "", "203.0.113.9"] {
        assert_eq!(status(&world, STRANGER, &[key, (NAME, ignored)]).await, 101);
    }
}

#[tokio::test]
async fn b23_s14_a_client_behind_a_hop_cannot_choose_its_address() {
    let world = behind_hops("", CLIENTS).await;
    let key = ("api-key", KEY);
    let refused: [Headers<'_>; 9] = [
        // Nobody is named, so it is the hop itself.
        &[key],
        &[key, (NAME, "198.51.100.7")],
        &[key, (NAME, "203.0.113.9, 198.51.100.7")],
        &[key, (NAME, "203.0.113.9"), (NAME, "198.51.100.7")],
        &[key, (NAME, "203.0.113.9, 198.51.100.7, 127.0.0.2")],
        &[key, (NAME, "127.0.0.2")],
        // Other headers name nobody, whoever writes them.
        &[
            key,
            ("X-Forwarded", "203.0.113.9"),
            ("x_forwarded_for", "203.0.113.9"),
        ],
        &[
            key,
            ("Forwarded", "for=203.0.113.9"),
            ("X-Real-IP", "203.0.113.9"),
        ],
        &[
            key,
            ("X-Client-IP", "203.0.113.9"),
            ("X-Azure-ClientIP", "203.0.113.9"),
        ],
    ];
    for headers in refused {
        assert_eq!(status(&world, HOP, headers).await, 403, "{headers:?}");
    }
    assert_eq!(world.upstream_total(), 0);
    let enters: [Headers<'_>; 8] = [
        &[key, (NAME, "203.0.113.9")],
        &[key, (NAME, "203.0.113.9:5000")],
        &[key, (NAME, "2001:db8::9")],
        &[key, (NAME, "[2001:db8::9]:5000")],
        &[key, (NAME, "198.51.100.7, 203.0.113.9")],
        &[key, (NAME, "198.51.100.7"), (NAME, "203.0.113.9")],
        &[
            key,
            (NAME, "203.0.113.9"),
            (NAME, "127.0.0.2, ::ffff:127.0.0.2"),
        ],
        &[
            key,
            (NAME, "203.0.113.9"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "http"),
        ],
    ];
    for headers in enters {
        assert_eq!(status(&world, HOP, headers).await, 101, "{headers:?}");
    }
    // A hop's neighbour, where all of the list are hops.
    let route = "allow = [\"127.0.0.9\"]";
    let hops = HTTP.replace("127.0.0.2\"", "127.0.0.0/8\"");
    let world = World::with(Wish {
        route: route.to_owned(),
        more: hops,
        ..Wish::default()
    })
    .await;
    let list = [key, (NAME, "127.0.0.9, 127.0.0.3, 127.0.0.2")];
    assert_eq!(status(&world, HOP, &list).await, 101);
    let list = [key, (NAME, "127.0.0.3, 127.0.0.9, 127.0.0.2")];
    assert_eq!(status(&world, HOP, &list).await, 403);
}

#[tokio::test]
async fn b23_a_list_of_a_hop_that_is_none_is_400() {
    let world = behind_hops("", "").await;
    let many = ["203.0.113.9"; 33].join(", ");
    for bad in [
        "",
        "unknown",
        "203.0.113.9,",
        "unknown, 203.0.113.9",
        "[2001:db8::9",
        &many,
    ] {
        let headers = [("api-key", KEY), (NAME, bad)];
        let refused = ask(&world, HOP, TARGET, &headers).await.err().unwrap();
        refused.is(400, "bad_request");
        assert_eq!(status(&world, STRANGER, &headers).await, 101, "{bad}");
    }
    let two = [("api-key", KEY), (NAME, "203.0.113.9"), (NAME, "unknown")];
    assert_eq!(status(&world, HOP, &two).await, 400);
    // A path that is nowhere is not found whoever asks; a probe is for anybody.
    let headers = [(NAME, "203.0.113.9")];
    let nowhere = ask(&world, HOP, "/nowhere", &headers).await.err().unwrap();
    nowhere.is(404, "not_found");
    let mut io = world.over(world.tcp(HOP).await).await;
    let probe = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: unknown\r\n\r\n";
    io.write_all(probe).await.unwrap();
    assert_eq!(read_answer(io).await.err().unwrap().status, 200);
}

#[tokio::test]
async fn b23_limits_count_the_client_and_not_its_hop() {
    let route = "limits = { upgrades_per_address = \"1/h\" }";
    let world = behind_hops("", route).await;
    for client in ["203.0.113.1", "203.0.113.2", "2001:db8::1"] {
        let headers = [("api-key", KEY), (NAME, client)];
        // A stranger that claims the address takes nothing away from it, and not more than once.
        let spoofed = status(&world, STRANGER, &headers).await;
        assert_eq!(spoofed, if client == "203.0.113.1" { 101 } else { 429 });
        assert_eq!(status(&world, HOP, &headers).await, 101, "{client}");
        assert_eq!(status(&world, HOP, &headers).await, 429, "{client}");
    }
    // An IPv6 network of 64 bits is one address here, too.
    let headers = [("api-key", KEY), (NAME, "[2001:db8::2]:99")];
    assert_eq!(status(&world, HOP, &headers).await, 429);
}

#[tokio::test]
async fn b23_s42_a_hop_is_not_bounded_as_one_address_and_a_stranger_is() {
    let world = behind_hops("unadmitted_per_address = 2", "").await;
    let mut held = Vec::new();
    for from in [HOP; 6].into_iter().chain([STRANGER; 2]) {
        held.push(world.tcp(from).await);
    }
    world.metrics_say("tonegate_connections 8").await;
    let mut more = world.tcp(STRANGER).await;
    let closed = within("the end", more.read(&mut [0; 9])).await;
    assert!(matches!(closed, Ok(0) | Err(_)));
    let hits = "tonegate_limit_hits_total{limit=\"unadmitted_per_address\"} 1";
    world.metrics_say(hits).await;
    let headers = [("api-key", KEY), (NAME, "203.0.113.9")];
    assert_eq!(status(&world, HOP, &headers).await, 101);
    drop(held);
    world.settles().await;
}

#[tokio::test]
async fn b23_s42_clients_behind_a_hop_are_bounded_each_by_its_own_address() {
    let wish = Wish {
        limits: "unadmitted_per_address = 2".to_owned(),
        admit: "\"users\", \"key\"".to_owned(),
        more: HTTP.to_owned(),
        ..Wish::default()
    };
    let issued = Issued::with(wish, AUDIENCE, "").await;
    let world = &issued.world;
    // Tokens whose keys do not come wait, and are nobody yet.
    issued.provider.set_keys(Behaviour::Stall);
    issued.provider.rotate();
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let mut waiting = JoinSet::new();
    for client in ["203.0.113.1", "203.0.113.2", "203.0.113.1", "203.0.113.1"] {
        let headers = [("Authorization", bearer.as_str()), (NAME, client)];
        let mut io = world.over(world.tcp(HOP).await).await;
        let asked = request(TARGET, &headers);
        io.write_all(asked.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        waiting.spawn(read_answer(io));
    }
    // One of three is too many; the others wait on.
    let first = waiting.join_next().await.unwrap().unwrap();
    first.err().unwrap().is(503, "busy");
    let hits = "tonegate_limit_hits_total{limit=\"unadmitted_per_address\"} 1";
    world.metrics_say(hits).await;
    // Another address has its own places.
    let other = [("api-key", KEY), (NAME, "203.0.113.2")];
    assert_eq!(status(world, HOP, &other).await, 101);
    drop(waiting);
    world.settles().await;
    let again = [("api-key", KEY), (NAME, "203.0.113.1")];
    assert_eq!(status(world, HOP, &again).await, 101);
}

#[tokio::test]
async fn b23_the_log_names_the_client_behind_the_hop() {
    let mut world = behind_hops("", "").await;
    let mut served = Served::start(&world, "tonegate=debug").await;
    world.port = served.port();
    let named = [("api-key", KEY), (NAME, "198.51.100.7, 203.0.113.9:5000")];
    assert_eq!(status(&world, HOP, &named).await, 101);
    for message in ["session started", "session ended"] {
        let line = served.until(|line| line["message"] == message).await;
        assert_eq!(line["client"], "203.0.113.9:5000", "{line}");
    }
    let refused = |target, headers| ask(&world, HOP, target, headers);
    for (target, headers, peer) in [
        (
            TARGET,
            &[("api-key", "x"), (NAME, "203.0.113.9")][..],
            "203.0.113.9",
        ),
        ("/nowhere", &[(NAME, "2001:db8::9")][..], "2001:db8::9"),
    ] {
        assert!(refused(target, headers).await.is_err());
        let line = served
            .until(|line| line["message"] == "request refused")
            .await;
        assert_eq!(line["client"], peer, "{line}");
    }
    // A list that is none names nobody, and its text is not told.
    assert!(refused(TARGET, &[(NAME, "canary")]).await.is_err());
    let line = served
        .until(|line| line["message"] == "request refused")
        .await;
    assert!(line["client"].as_str().unwrap().starts_with(HOP), "{line}");
    // Who claims an address from somewhere else is told by its own.
    assert_eq!(status(&world, STRANGER, &named).await, 101);
    let line = served
        .until(|line| line["message"] == "session started")
        .await;
    assert!(
        line["client"].as_str().unwrap().starts_with(STRANGER),
        "{line}"
    );
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    assert!(!printed.contains("canary") && !printed.contains("198.51.100.7"));
}

#[tokio::test]
async fn b23_explain_tells_whom_the_edge_takes_for_the_client() {
    let world = behind_hops("", CLIENTS).await;
    let config = world.folder.join("edge.toml").display().to_string();
    let (key, list) = (format!("api-key: {KEY}"), "X-Forwarded-For: 203.0.113.9");
    let cases = [
        (
            HOP,
            list,
            "client",
            true,
            "203.0.113.9, named by the hop 127.0.0.2",
            0,
        ),
        (HOP, "Accept: */*", "network", false, "forbidden", 403),
        (STRANGER, list, "network", false, "forbidden", 403),
        (
            HOP,
            "X-Forwarded-For: x",
            "client",
            false,
            "X-Forwarded-For is no list",
            400,
        ),
    ];
    for (peer, header, check, passed, said, status) in cases {
        let args = [
            "explain", "--config", &config, TARGET, "-H", &key, "-H", header, "--peer", peer,
            "--json",
        ];
        let (code, out, err) = run(&args).await;
        assert_eq!(code, i32::from(status > 0), "{out}{err}");
        let line = out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|line| line["check"] == check)
            .unwrap();
        assert_eq!(line["passed"], json!(passed), "{line}");
        assert!(line["text"].as_str().unwrap().starts_with(said), "{line}");
        assert!(
            status == 0 || err.contains(&format!("status {status}")),
            "{err}"
        );
    }
    let (code, out, _) = run(&["check", "--config", &config]).await;
    assert_eq!(code, 0);
    let told = "hops      127.0.0.2/32 speak X-Forwarded-For and EasyAuth (tenants any)";
    assert!(out.lines().any(|line| line == told), "{out}");
}
