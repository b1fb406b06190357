//! `refuse = "close"`: browsers hide the status of a refused upgrade from scripts, so they are told
//! in frames: System B's error message, and a code.

use serde_json::Value;
use tonegate::sim::frame;

use crate::harness::{KEY, Wish, World, request, text};

async fn telling() -> World {
    World::with(Wish {
        route: "refuse = \"close\"\nlimits = { sessions_per_address = 1 }".to_owned(),
        ..Wish::default()
    })
    .await
}

/// The error message and the close code that a refused client gets.
async fn told(world: &World, target: &str, headers: &[(&str, &str)]) -> (String, u16) {
    let mut caller = world.ask(target, headers).await.unwrap();
    let message = caller.next().await.unwrap();
    assert_eq!((message.fin, message.opcode), (true, frame::TEXT));
    let message: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(message["type"], "error");
    let error = message["error"]["message"].as_str().unwrap().to_owned();
    let (code, _) = caller.closed().await;
    (error, code.unwrap())
}

#[tokio::test]
async fn b28_a_refusal_is_an_error_message_and_a_code_that_says_whether_to_try_again() {
    let world = telling().await;
    let key: &[(&str, &str)] = &[("api-key", KEY)];
    for (target, headers, code) in [
        ("/ws?model=sim-echo", &[][..], 1008),
        ("/ws?model=sim-echo", &[("api-key", "wrong")], 1008),
        ("/ws?model=other", key, 1008),
        ("/ws?model=a&model=b", key, 1008),
        (
            "/ws?model=sim-echo",
            &[("api-key", KEY), ("Origin", "null")],
            1008,
        ),
    ] {
        let (error, told) = told(&world, target, headers).await;
        assert_eq!(told, code, "{target} {headers:?}");
        assert!(!error.is_empty() && !error.contains(KEY));
    }
    assert_eq!(
        world.upstream_total(),
        0,
        "a refused client was dialled for"
    );
    // What may be better later says so, and what failed upstream says that it failed.
    assert_eq!(told(&world, "/ws?model=sim-refuse-500", key).await.1, 1011);
    assert_eq!(told(&world, "/ws?model=sim-refuse-429", key).await.1, 1013);
    let held = world.call("sim-echo").await;
    assert_eq!(told(&world, "/ws?model=sim-echo", key).await.1, 1013);
    drop(held);
    let refused = "tonegate_requests_total{route=\"browser\",result=\"unauthenticated\"}";
    assert_eq!(world.count(refused), 2);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_by_status_all_the_same() {
    let world = telling().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    for (bytes, status) in [
        (good.replace("Upgrade: websocket\r\n", ""), 426),
        (good.replace("GET ", "POST "), 405),
        (good.replace("/ws?", "/nowhere?"), 404),
        (
            good.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"),
            400,
        ),
    ] {
        assert_eq!(world.refused_bytes(bytes.as_bytes()).await.status, status);
    }
    assert_eq!(world.upstream_total(), 0);
}

#[tokio::test]
async fn s01_frames_behind_a_refused_upgrade_go_nowhere() {
    let world = telling().await;
    let mut bytes = request("/ws?model=sim-echo", &[("api-key", "wrong")]).into_bytes();
    let mut frame = bytes::BytesMut::new();
    text("smuggled").encode(Some([1, 2, 3, 4]), &mut frame);
    bytes.extend_from_slice(&frame);
    let mut caller = world.send_request(&bytes).await.unwrap();
    assert_eq!(caller.closed().await.0, Some(1008));
    assert_eq!(world.upstream_total(), 0);
    world.still_serves().await;
}
