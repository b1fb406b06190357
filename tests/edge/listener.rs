//! What a connection meets before admission: TLS, heads, deadlines, permits.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonegate::sim::stream::Stream;

use crate::child::Child;
use crate::harness::{KEY, Refused, Wish, World, read_answer, request, text, within};
use crate::heads::refused_by_status;

async fn nobody_entered(world: &World) {
    world.still_serves().await;
    assert_eq!(
        world.upstream_total(),
        1,
        "a refused request was dialled for"
    );
    world.settles().await;
}

/// An answer to a request without an upgrade.
async fn get(world: &World, method: &str, path: &str) -> Refused {
    let bytes = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    world.refused_bytes(bytes.as_bytes()).await
}

#[tokio::test]
async fn b27_a_wrong_path_is_404_before_the_upgrade() {
    let world = World::usual().await;
    let paths = [
        "/",
        "/nope",
        "/ws/",
        "/WS",
        "//ws",
        "/ws/../ws",
        "/%77s",
        "/metrics",
    ];
    for path in paths {
        let target = format!("{path}?model=sim-echo");
        world
            .refused(&target, &[("api-key", KEY)])
            .await
            .is(404, "not_found");
    }
    let none = "tonegate_requests_total{route=\"none\",result=\"not_found\"}";
    assert_eq!(world.count(none), paths.len() as u64);
    nobody_entered(&world).await;
}

#[tokio::test]
async fn b27_probes_answer_without_a_credential_also_when_all_sessions_are_taken() {
    let world = World::with(Wish {
        limits: "sessions = 1".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    let busy = world
        .refused("/ws?model=sim-echo", &[("api-key", KEY)])
        .await;
    busy.is(503, "busy");
    assert_eq!(
        world.count("tonegate_limit_hits_total{limit=\"sessions\"}"),
        1
    );
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = get(&world, "GET", path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
        let answer = get(&world, "HEAD", path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(get(&world, "POST", path).await.status, 404);
    }
    caller.send(text("mine")).await;
    assert_eq!(caller.next().await, Some(text("mine")));
    caller.close(1000, "").await;
    caller.closed().await;
    drop(caller);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn s06_who_does_not_ask_in_time_is_closed() {
    let world = World::with(Wish {
        limits: "handshake = \"300ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let half_hello: &[u8] = &[
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
    ];
    let half_head = &request("/ws?model=sim-echo", &[("api-key", KEY)])[..90];
    let cases: [(bool, &[u8]); 4] = [
        (false, b""),
        (false, half_hello),
        (true, b""),
        (true, half_head.as_bytes()),
    ];
    for (tls, bytes) in cases {
        let began = Instant::now();
        let mut io = if tls {
            world.connect().await
        } else {
            Stream::Plain(TcpStream::connect(("127.0.0.1", world.port)).await.unwrap())
        };
        io.write_all(bytes).await.unwrap();
        io.flush().await.unwrap();
        let mut rest = Vec::new();
        // How it ends does not matter, but it must not be an answer of another kind.
        let _ = within("the deadline", io.read_to_end(&mut rest)).await;
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(250) && took < Duration::from_secs(5),
            "{took:?}"
        );
        assert!(!rest.starts_with(b"HTTP/1.1 101"));
    }
    world
        .metrics_say("tonegate_tls_handshake_failures_total 2")
        .await;
    world
        .metrics_say("tonegate_requests_total{route=\"none\",result=\"bad_request\"} 2")
        .await;
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s06_a_head_that_drips_does_not_get_more_time() {
    let world = World::with(Wish {
        limits: "handshake = \"300ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let (mut read, mut write) = tokio::io::split(world.connect().await);
    let began = Instant::now();
    let drip = tokio::spawn(async move {
        for byte in request("/ws?model=sim-echo", &[("api-key", KEY)]).bytes() {
            if write.write_all(&[byte]).await.is_err() || write.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = within("the deadline", read.read_to_end(&mut rest)).await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    drip.abort();
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s42_connections_are_limited_and_permits_come_back() {
    let world = World::with(Wish {
        limits: "sessions = 1\nconnections = 3".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    let tcp = || TcpStream::connect(("127.0.0.1", world.port));
    let held = [tcp().await.unwrap(), tcp().await.unwrap()];
    world.metrics_say("tonegate_connections 3").await;
    for over in 1..=3 {
        let mut tcp = tcp().await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the refusal", tcp.read_to_end(&mut rest)).await;
        assert!(rest.is_empty());
        let line = format!("tonegate_limit_hits_total{{limit=\"connections\"}} {over}");
        world.metrics_say(&line).await;
    }
    caller.send(text("mine")).await;
    assert_eq!(caller.next().await, Some(text("mine")));
    drop((caller, held));
    nobody_gone(&world).await;
}

/// All is back, and a caller after many others is served.
async fn nobody_gone(world: &World) {
    world.settles().await;
    world.still_serves().await;
    world.settles().await;
}

#[tokio::test]
async fn s21_without_descriptors_sessions_go_on_and_new_ones_come_later() {
    const DESCRIPTORS: usize = 60;
    let mut world = World::usual().await;
    let child = Child::start(&mut world, &format!("ulimit -n {DESCRIPTORS}"));
    let mut callers = [world.call("sim-echo").await, world.call("sim-echo").await];
    let began = Instant::now();
    let mut held = Vec::new();
    for _ in 0..DESCRIPTORS {
        held.push(TcpStream::connect(("127.0.0.1", world.port)).await.unwrap());
    }
    child
        .until("all descriptors", |child| {
            child.descriptors() >= DESCRIPTORS
        })
        .await;
    for round in 0..20 {
        for caller in &mut callers {
            let said = text(&format!("round {round}"));
            caller.send(said.clone()).await;
            assert_eq!(caller.next().await, Some(said));
        }
    }
    // Accept fails all the time now; it must not be tried all the time.
    let cpu = child.cpu_during(Duration::from_millis(500)).await;
    assert!(cpu < Duration::from_millis(200), "{cpu:?} in half a second");
    drop(held);
    world.still_serves().await;
    for caller in &mut callers {
        caller.send(text("after")).await;
        assert_eq!(caller.next().await, Some(text("after")));
    }
    let page = child.metrics_page().await;
    let errors = page
        .lines()
        .find_map(|l| l.strip_prefix("tonegate_accept_errors_total "));
    let errors: usize = errors.unwrap().parse().unwrap();
    // Twenty tries a second of each worker, and a line a second of them together.
    let lines = child.logged(|line| line["message"] == "accept failed");
    let most = 1 + began.elapsed().as_secs() as usize;
    assert!(lines > 0 && lines <= most, "{lines} lines");
    assert!(errors > lines, "{errors} errors");
    drop(callers);
    child.metrics_say("tonegate_connections 0").await;
}

#[tokio::test]
async fn plain_text_on_a_tls_port_gets_no_http() {
    let world = World::usual().await;
    let mut tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let bytes = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    tcp.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = within("the end", tcp.read_to_end(&mut answer)).await;
    // At the most an alert of TLS.
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    world
        .metrics_say("tonegate_tls_handshake_failures_total 1")
        .await;
    // TLS on a plain port is as malformed as any other bytes.
    let plain = World::with(Wish {
        tls: false,
        ..Wish::default()
    })
    .await;
    refused_by_status(
        &plain,
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n",
        400,
    )
    .await;
    nobody_entered(&plain).await;
    nobody_entered(&world).await;
}

#[tokio::test]
async fn an_answer_is_for_the_one_connection_that_asked() {
    let world = World::usual().await;
    // Two requests whose bytes come interleaved in time, each over its own connection.
    let mut first = world.connect().await;
    let bytes = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let (half, rest) = bytes.split_at(60);
    first.write_all(half.as_bytes()).await.unwrap();
    first.flush().await.unwrap();
    get(&world, "GET", "/healthz").await;
    first.write_all(rest.as_bytes()).await.unwrap();
    first.flush().await.unwrap();
    let mut caller = read_answer(first).await.ok().unwrap();
    caller.send(text("whole")).await;
    assert_eq!(caller.next().await, Some(text("whole")));
    drop(caller);
    world.settles().await;
}
