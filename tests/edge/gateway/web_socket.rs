//! WebSockets of an application.

use super::app::{App, before};
use crate::harness::{KEY, binary, request, text};

#[tokio::test]
async fn c07_a_web_socket_passes_where_the_route_says_so() {
    let (app, address) = App::start(None).await;
    let route = "web_socket = true\nsubprotocols = [\"chat.v1\"]";
    let world = before(address, route, "").await;
    let headers = [
        ("api-key", KEY),
        ("Sec-WebSocket-Protocol", "chat.v2, chat.v1"),
        ("x-ms-client-principal", "e30="),
    ];
    let asked = request("/api/live?room=7", &headers);
    let mut caller = world.send_request(asked.as_bytes()).await.unwrap();
    for frame in [text("hello"), binary(vec![0, 255, 3])] {
        caller.send(frame.clone()).await;
        assert_eq!(caller.next().await, Some(frame));
    }
    let seen = app.only();
    assert_eq!(seen.target, "/app/api/live?room=7");
    assert_eq!(seen.header("sec-websocket-protocol"), Some("chat.v1"));
    assert_eq!(seen.header("x-tonegate-subject"), Some("tester"));
    assert_eq!(seen.header("x-ms-client-principal"), None);
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
    // Without a credential the application hears nothing.
    let refused = world.refused("/api/live", &[]).await;
    refused.is(401, "unauthenticated");
    assert_eq!(app.seen().len(), 1);
}
