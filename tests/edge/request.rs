//! The request that the upstream sees is the edge's own.

use crate::harness::{KEY, UPSTREAM_KEY, World, request, text};

/// The key, as a token.
const BEARER: &str = "Bearer the-callers-key-7Qx";
/// What a client may write, and no upstream is to see.
const STRANGE: &[(&str, &str)] = &[
    ("api-key", KEY),
    ("Authorization", BEARER),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "http"),
    ("Forwarded", "for=203.0.113.9"),
    ("Via", "1.1 evil"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("tracestate", "evil=1"),
    ("X-MS-CLIENT-PRINCIPAL", "ZXZpbA=="),
    ("X-MS-CLIENT-PRINCIPAL-ID", "evil"),
    ("x_ms_client_principal", "evil"),
    ("X-MS-TOKEN-AAD-ACCESS-TOKEN", "evil"),
    ("x-ms-client-request-id", "evil"),
    ("Cookie", "session=evil"),
    ("Origin", "https://app.example.com"),
    ("User-Agent", "evil/1"),
    // Naming our credential as hop-by-hop must not take it away.
    ("Connection", "api-key, host"),
    ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ("Sec-WebSocket-Protocol", "realtime"),
];
/// What a client says that it is part of.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn s13_unknown_parameters_are_dropped_and_counted() {
    let world = World::usual().await;
    let target = "/ws?agent-id=evil&api-version=1999-01-01&model=sim-echo&resource=evil&\
                  host=evil.example&tokens=t&MODEL=gpt-4o&x=1&x=2";
    let caller = world.ask(target, &[("api-key", KEY)]).await.ok().unwrap();
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    assert_eq!(
        seen.target,
        "/voice-live/realtime?api-version=2026-07-15&model=sim-echo"
    );
    world
        .metrics_say("tonegate_dropped_parameters_total{route=\"browser\"} 8")
        .await;
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn b01_s14_the_upstream_sees_our_request_and_nothing_of_the_clients() {
    let world = World::usual().await;
    let target = format!("/ws?model=sim-echo&api-key={KEY}&Authorisation=Bearer%20evil");
    let caller = world.ask(&target, STRANGE).await.ok().unwrap();
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    let agent = concat!("tonegate/", env!("CARGO_PKG_VERSION"));
    let nonce = seen.header("sec-websocket-key").next().unwrap().to_owned();
    let host = format!("localhost:{}", world.upstream.port());
    // Of a trace of our own: whoever is no hop is not believed.
    let trace = seen.header("traceparent").next().unwrap().to_owned();
    assert!(!trace.contains(TRACE), "{trace}");
    let mut headers: Vec<_> = seen
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    headers.sort();
    let expected = [
        ("api-key", UPSTREAM_KEY),
        ("connection", "Upgrade"),
        ("host", &host),
        ("sec-websocket-key", &nonce),
        ("sec-websocket-version", "13"),
        ("traceparent", &trace),
        ("upgrade", "websocket"),
        ("user-agent", agent),
    ];
    let expected: Vec<_> = expected
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    assert_eq!(headers, expected);
    assert_ne!(
        nonce, "dGhlIHNhbXBsZSBub25jZQ==",
        "the client's nonce went on"
    );
    let query = "/voice-live/realtime?api-version=2026-07-15&model=sim-echo";
    assert_eq!(seen.target, query);
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    // And the client learns nothing of the upstream: no header of its 101, no key.
    let mut names: Vec<_> = caller
        .head
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    names.sort();
    let told =
        "connection date sec-websocket-accept sec-websocket-protocol upgrade x-tonegate-session";
    assert_eq!(names.join(" "), told);
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn s15_the_upstream_is_the_settings_choice_whatever_the_request_names() {
    let world = World::usual().await;
    let absolute = request("wss://evil.example/ws?model=sim-echo", &[("api-key", KEY)]);
    let refused = world.refused_bytes(absolute.as_bytes()).await;
    refused.is(400, "bad_request");
    assert_eq!(world.upstream_total(), 0);
    let other = request("/ws?model=sim-echo", &[("api-key", KEY)])
        .replace("Host: localhost", "Host: evil.example");
    let caller = world.send_request(other.as_bytes()).await.ok().unwrap();
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    let host = format!("localhost:{}", world.upstream.port());
    assert_eq!(seen.header("host").collect::<Vec<_>>(), [host]);
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn s07_b05_a_browser_enters_only_from_a_page_that_the_route_names() {
    let world = World::usual().await;
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
    ] {
        let headers = [("api-key", KEY), ("Origin", origin)];
        let refused = world.refused("/ws?model=sim-echo", &headers).await;
        refused.is(403, "forbidden");
    }
    assert_eq!(world.upstream_total(), 0);
    let headers = [("api-key", KEY), ("Origin", "https://app.example.com")];
    let mut caller = world.ask("/ws?model=sim-echo", &headers).await.unwrap();
    caller.send(text("from a page")).await;
    assert_eq!(caller.next().await, Some(text("from a page")));
    world.still_serves().await;
}
