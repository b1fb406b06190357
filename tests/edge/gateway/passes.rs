//! What goes on, and how answers come back.

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::app::{App, ask, before};
use crate::harness::{KEY, within};

#[tokio::test]
async fn c07_a_request_goes_on_with_what_it_asks_and_nothing_that_says_who_asks() {
    let (app, address) = App::start(None).await;
    let world = before(address, "pass_headers = [\"x-tenant-hint\"]", "").await;
    let headers = "Content-Type: application/json\r\nAccept: text/plain\r\nCookie: a=b\r\n\
                   X-MS-CLIENT-PRINCIPAL: e30=\r\nx-ms-token-aad-id-token: x\r\n\
                   x-tonegate-subject: boss\r\nX-Forwarded-For: 203.0.113.9\r\nX-Other: 1\r\n\
                   X-Tenant-Hint: blue\r\nOrigin: https://app.example.com\r\n";
    let world_route = "POST /api/chat?q=a%20b&model=x&model=y";
    let answer = ask(&world, world_route, headers, b"{\"message\":\"hi\"}").await;
    // The route names no origins, so a browser's request is refused before anything goes on.
    assert_eq!((answer.status, app.seen().len()), (403, 0));
    let headers = headers.replace("Origin: https://app.example.com\r\n", "");
    let answer = ask(&world, world_route, &headers, b"{\"message\":\"hi\"}").await;
    assert_eq!((answer.status, answer.whole), (200, true));
    assert_eq!(answer.body, b"{\"message\":\"hi\"}");
    assert_eq!(answer.header("x-app").as_deref(), Some("yes"));
    assert_eq!(answer.header("set-cookie").as_deref(), Some("a=b"));
    for gone in ["keep-alive", "alt-svc"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    let seen = app.only();
    assert_eq!(seen.method, Method::POST);
    assert_eq!(seen.target, "/app/api/chat?q=a%20b&model=x&model=y");
    assert_eq!(seen.body, "{\"message\":\"hi\"}");
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "text/plain"),
        ("content-length", "16"),
        ("x-tenant-hint", "blue"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "edge.example.com"),
        ("x-tonegate-subject", "tester"),
        ("x-tonegate-way", "key"),
        ("x-tonegate-route", "api"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    for gone in [
        "cookie",
        "api-key",
        "x-ms-client-principal",
        "x-ms-token-aad-id-token",
        "x-other",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    let count = "tonegate_app_answers_total{route=\"api\",status=\"2xx\"} 1";
    world.metrics_say(count).await;
}

#[tokio::test]
async fn c07_a_credential_in_the_query_stays_here() {
    let (app, address) = App::start(None).await;
    let world = before(address, "accept = [\"query\"]", "").await;
    let line = format!("GET /api/cases?a=1&api-key={KEY}&b=2&%61pi-key={KEY}");
    let answer = super::app::send(&world, &line, "", b"").await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "bad_request")
    );
    let line = format!("GET /api/cases?a=1&%61pi-key={KEY}&b=2");
    assert_eq!(super::app::send(&world, &line, "", b"").await.status, 200);
    assert_eq!(app.only().target, "/app/api/cases?a=1&b=2");
}

#[tokio::test]
async fn c07_an_answer_comes_piece_by_piece() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "").await;
    let mut io = world.connect().await;
    let head = format!("GET /pieces HTTP/1.1\r\nHost: x\r\napi-key: {KEY}\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut got = Vec::new();
    for piece in ["one", "two", "three"] {
        app.next.notify_one();
        // It is there before the next is asked for.
        while !String::from_utf8_lossy(&got).contains(piece) {
            let mut bytes = [0; 4096];
            let count = within(piece, io.read(&mut bytes)).await.unwrap();
            assert!(count > 0, "{:?}", String::from_utf8_lossy(&got));
            got.extend(&bytes[..count]);
        }
    }
    io.read_to_end(&mut got).await.unwrap();
    assert!(got.ends_with(b"\r\n0\r\n\r\n"));
    world.settles().await;
}

#[tokio::test]
async fn c07_who_goes_away_is_not_answered_on() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "").await;
    let mut io = world.connect().await;
    let head = format!("GET /pieces HTTP/1.1\r\nHost: x\r\napi-key: {KEY}\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    app.next.notify_one();
    let mut bytes = [0; 16];
    io.read_exact(&mut bytes).await.unwrap();
    drop(io);
    within("the end of the answer", app.dropped.notified()).await;
}

#[tokio::test]
async fn c07_answers_without_bodies_and_large_ones_are_what_they_are() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "").await;
    for (line, status, length) in [
        ("GET /status/204", 204, 0),
        ("GET /status/304", 304, 0),
        ("GET /status/404", 404, 0),
        ("GET /status/503", 503, 0),
        ("HEAD /large", 200, 0),
        ("GET /large", 200, 5 << 20),
        ("DELETE /api/case/7", 200, 0),
    ] {
        let answer = ask(&world, line, "", b"").await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (status, length),
            "{line}"
        );
        assert!(answer.whole, "{line}: {}", answer.head);
        assert_eq!(answer.header("x-app").as_deref(), Some("yes"), "{line}");
    }
    assert_eq!(app.seen().len(), 7);
}

#[tokio::test]
async fn c07_an_answer_that_is_cut_is_not_made_to_look_whole() {
    let (app, address) = App::start(None).await;
    let world = before(address, "", "").await;
    let mut io = world.connect().await;
    let head = format!("GET /cut HTTP/1.1\r\nHost: x\r\napi-key: {KEY}\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half\r\n") {
        let count = within("half", io.read_buf(&mut got)).await.unwrap();
        assert!(count > 0, "{:?}", String::from_utf8_lossy(&got));
    }
    app.next.notify_one();
    let mut rest = Vec::new();
    let _ = within("the end", io.read_to_end(&mut rest)).await;
    // A whole answer would end with an empty chunk.
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn c07_who_takes_nothing_of_an_answer_does_not_hold_it() {
    let (app, address) = App::start(None).await;
    let world = before(address, "limits = { idle = \"1s\" }", "").await;
    let mut io = world.connect().await;
    let head = format!("GET /endless HTTP/1.1\r\nHost: x\r\napi-key: {KEY}\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    // It is there, and then nobody takes it any more.
    let mut bytes = [0; 16];
    io.read_exact(&mut bytes).await.unwrap();
    within("the end of the answer", app.dropped.notified()).await;
    world
        .metrics_say("tonegate_limit_hits_total{limit=\"idle\"} 1")
        .await;
}

#[tokio::test]
async fn c07_what_the_application_has_heard_is_answered_although_the_edge_stops() {
    let (app, address) = App::start(None).await;
    let mut world = before(address, "", "").await;
    let mut io = world.connect().await;
    let head = format!(
        "POST /slow HTTP/1.1\r\nHost: x\r\napi-key: {KEY}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    io.write_all(head.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let seen = async {
        while app.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within("the request", seen).await;
    let edge = world.edge.take().unwrap();
    let stopped = tokio::task::spawn_blocking(move || edge.stop());
    app.next.notify_one();
    let answer = within("an answer", super::app::read(&mut io, false)).await;
    assert_eq!((answer.status, &*answer.body), (200, &b"done"[..]));
    stopped.await.unwrap();
}
