//! Request heads that are no good upgrade, and what they are told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{KEY, World, request, within};

const PLAIN_GET: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn nobody_entered(world: &World) {
    world.still_serves().await;
    assert_eq!(
        world.upstream_total(),
        1,
        "a refused request was dialled for"
    );
    world.settles().await;
}

#[tokio::test]
async fn s01_s03_what_is_not_an_upgrade_is_told_so() {
    let world = World::usual().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let with = |header: &str| good.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    let cases = [
        (good.replace("GET ", "POST "), 405, Some(("allow", "GET"))),
        (good.replace("GET ", "PUT "), 405, Some(("allow", "GET"))),
        (PLAIN_GET.to_owned(), 426, Some(("upgrade", "websocket"))),
        (
            good.replace("Upgrade: websocket", "Upgrade: h2c"),
            426,
            Some(("upgrade", "websocket")),
        ),
        (
            good.replace("Connection: Upgrade\r\n", ""),
            426,
            Some(("upgrade", "websocket")),
        ),
        (
            good.replace("HTTP/1.1", "HTTP/1.0"),
            426,
            Some(("upgrade", "websocket")),
        ),
        (
            good.replace("Version: 13", "Version: 8"),
            426,
            Some(("sec-websocket-version", "13")),
        ),
        (
            good.replace("Version: 13", "Version: 130"),
            426,
            Some(("sec-websocket-version", "13")),
        ),
        (
            with("Sec-WebSocket-Version: 8"),
            426,
            Some(("sec-websocket-version", "13")),
        ),
        (
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            400,
            None,
        ),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", ""), 400, None),
        (
            with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
            400,
            None,
        ),
        (with("Content-Length: 0"), 400, None),
        (with("Content-Length: 5") + "hello", 400, None),
        (with("Transfer-Encoding: chunked") + "0\r\n\r\n", 400, None),
    ];
    for (bytes, status, header) in &cases {
        let refused = world.refused_bytes(bytes.as_bytes()).await;
        assert_eq!(refused.status, *status, "{bytes}");
        refused.is(*status, "bad_request");
        if let Some((name, value)) = header {
            assert_eq!(refused.header(name).as_deref(), Some(*value), "{bytes}");
        }
    }
    let series = "tonegate_requests_total{route=\"browser\",result=\"bad_request\"}";
    assert_eq!(world.count(series), cases.len() as u64);
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s03_two_framings_at_once_are_refused() {
    let world = World::usual().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let both = "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let refused = world
        .refused_bytes(good.replace("\r\n\r\n", both).as_bytes())
        .await;
    assert_eq!(refused.status, 400);
    nobody_entered(&world).await;
}

/// What hyper itself refuses: the status is right and the connection ends.
pub async fn refused_by_status(world: &World, bytes: &[u8], status: u16) {
    let mut io = world.connect().await;
    // The edge may have enough before all of it is written.
    let _ = io.write_all(bytes).await;
    let _ = io.flush().await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = within("an answer", io.read(&mut chunk)).await {
        answer.extend_from_slice(&chunk[..count]);
        if answer.starts_with(b"HTTP/1.1 101 ") {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{shown:?} got {answer:?}"
    );
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

fn with_filler(lines: usize, length: usize) -> Vec<u8> {
    let filler = "x".repeat(length);
    let names: Vec<_> = (0..lines).map(|i| format!("X-Filler-{i}")).collect();
    let mut headers: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), &*filler)).collect();
    headers.push(("api-key", KEY));
    request("/ws?model=sim-echo", &headers).into_bytes()
}

#[tokio::test]
async fn s05_a_head_that_is_too_long_is_431() {
    let world = World::usual().await;
    // A request of ours has six lines of its own: this is the most that passes.
    let most = world.send_request(&with_filler(94, 10)).await;
    assert!(most.is_ok(), "a head of 100 lines is allowed");
    drop(most);
    world.settles().await;
    let dialled = world.upstream_total();
    let longest = world.send_request(&with_filler(30, 1000)).await;
    assert!(longest.is_ok(), "a head of 30 KiB is allowed");
    drop(longest);
    let cases = [(95, 10), (1000, 10), (1, 33_000), (33, 1000), (1, 300_000)];
    for (lines, length) in cases {
        refused_by_status(&world, &with_filler(lines, length), 431).await;
    }
    let series = "tonegate_requests_total{route=\"none\",result=\"bad_request\"}";
    assert_eq!(world.count(series), cases.len() as u64);
    world.still_serves().await;
    assert_eq!(world.upstream_total(), dialled + 2);
    world.settles().await;
}

#[tokio::test]
async fn s04_a_malformed_head_is_400() {
    let world = World::usual().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let with = |header: &str| good.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    let cases = [
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /ws\r\n\r\n".to_owned(),
        "GET /ws HTTP/1.1 x\r\n\r\n".to_owned(),
        "GET /ws HTTP/3.7\r\n\r\n".to_owned(),
        good.replace("GET /ws", "GET /w s"),
        with("no colon"),
        with("space before : colon"),
        with(": nameless"),
        with("NUL: a\0b"),
        with("CR: a\rb"),
        with("Folded: a\r\n b"),
        with("Content-Length: 5x"),
        with("Content-Length: 5\r\nContent-Length: 6"),
    ];
    for bytes in &cases {
        refused_by_status(&world, bytes.as_bytes(), 400).await;
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s04_a_request_has_one_host() {
    let world = World::usual().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let host = "Host: localhost\r\n";
    let hosts = [
        String::new(),
        host.repeat(2),
        format!("{host}Host: evil.example\r\n"),
    ];
    for hosts in &hosts {
        let bytes = good.replace(host, hosts);
        world
            .refused_bytes(bytes.as_bytes())
            .await
            .is(400, "bad_request");
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s04_a_line_feed_alone_ends_no_line() {
    let world = World::usual().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    // All lines, one line in the middle, and the empty line.
    let cases = [
        good.replace("\r\n", "\n"),
        good.replace("localhost\r\n", "localhost\n"),
        good.replace("\r\n\r\n", "\r\n\n"),
    ];
    for bytes in &cases {
        refused_by_status(&world, bytes.as_bytes(), 400).await;
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn heads_that_are_refused_by_the_parser_get_a_problem_document_too() {
    let world = World::usual().await;
    for (bytes, status) in [(b"GET\r\n\r\n".to_vec(), 400), (with_filler(95, 10), 431)] {
        world.refused_bytes(&bytes).await.is(status, "bad_request");
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s18_extensions_are_declined_by_silence() {
    let world = World::usual().await;
    let headers = [
        ("api-key", KEY),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ),
        ("Sec-WebSocket-Extensions", "x-webkit-deflate-frame"),
        (
            "Sec-WebSocket-Protocol",
            "realtime, openai-insecure-api-key.secret",
        ),
    ];
    let mut caller = world
        .ask("/ws?model=sim-echo", &headers)
        .await
        .ok()
        .unwrap();
    assert_eq!(caller.head.all("sec-websocket-extensions").count(), 0);
    assert_eq!(caller.head.one("sec-websocket-protocol"), Some("realtime"));
    assert_eq!(
        caller.head.one("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    // A client that compresses all the same breaks the protocol.
    caller.send_raw(&[0xc1, 0x82, 0, 0, 0, 0, 0x4a, 0x04]).await;
    assert_eq!(caller.closed().await, (Some(1002), "protocol".to_owned()));
    let seen = world
        .upstream_saw(|seen| seen.close_received.is_some())
        .await;
    assert_eq!(seen.received.text, 0);
    drop(caller);
    world.settles().await;
}
