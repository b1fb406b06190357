//! How the edge ends when it is told to: probes say so, new sessions are refused, those that run go on
//! for a while, and then they are ended one after the other.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::child::Child;
use crate::harness::{Caller, KEY, Wish, World, read_answer, request, text, within};

/// An edge as a process that ends so.
async fn edge(server: &str, route: &str) -> (World, Child) {
    let mut world = World::with(Wish {
        server: server.to_owned(),
        route: route.to_owned(),
        tls: false,
        ..Wish::default()
    })
    .await;
    let child = Child::start(&mut world, "true");
    (world, child)
}

async fn speaks(caller: &mut Caller) {
    caller.send(text("still here")).await;
    assert_eq!(caller.next().await, Some(text("still here")));
}

async fn leaves(mut caller: Caller) {
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await, (Some(1000), String::new()));
}

async fn says_draining(child: &Child) {
    within("a probe that says so", async {
        let draining = Some((503, "draining\n".to_owned()));
        while child.asks_admin("/readyz").await != draining {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn says(line: &Value, message: &str) -> bool {
    line["message"] == message
}

#[tokio::test]
async fn b18_s38_one_leaves_in_the_grace_period_one_is_ended_and_new_ones_are_refused() {
    let (world, mut child) = edge("grace = \"2s\"", "").await;
    let (mut leaver, mut stayer) = (world.call("sim-echo").await, world.call("sim-echo").await);
    let told = Instant::now();
    child.terminate();
    says_draining(&child).await;
    assert_eq!(child.asks_admin("/healthz").await.unwrap().0, 200);
    child.metrics_say("tonegate_draining 1").await;
    child.metrics_say("tonegate_ready 0").await;
    let refused = world.try_call("sim-echo").await.err().unwrap();
    refused.is(503, "draining");
    // The probes of the public listener, too.
    let probe = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let not_ready = world.refused_bytes(probe.as_bytes()).await;
    assert_eq!(
        (not_ready.status, not_ready.body.as_str()),
        (503, "draining\n")
    );
    for caller in [&mut leaver, &mut stayer] {
        speaks(caller).await;
    }
    leaves(leaver).await;
    child
        .metrics_say("tonegate_drained_sessions_total{how=\"left\"} 1")
        .await;
    assert!(told.elapsed() < Duration::from_secs(2), "too slow to tell");
    speaks(&mut stayer).await;
    assert_eq!(stayer.closed().await, (Some(1001), "draining".to_owned()));
    assert!(
        told.elapsed() >= Duration::from_secs(2),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(child.exits().await, 0);
    let ending = child.lines(|line| says(line, "ending"));
    assert_eq!(
        (&ending[0]["sessions"], &ending[0]["left"]),
        (&1.into(), &1.into())
    );
    let stopped = child.lines(|line| says(line, "stopped"));
    assert_eq!(stopped[0]["cut"], 0);
    let closed = world.record.until(|record| record.totals().open == 0);
    within("the upstream's end", closed).await;
}

#[tokio::test]
async fn b18_s38_who_spreads_load_has_time_to_notice_and_the_end_comes_with_the_last_one() {
    let (world, mut child) = edge("grace = \"5m\"\ndrain_delay = \"2s\"", "").await;
    let early = world.call("sim-echo").await;
    let told = Instant::now();
    child.terminate();
    says_draining(&child).await;
    // Not everybody knows yet.
    let late = world.call("sim-echo").await;
    assert!(told.elapsed() < Duration::from_secs(2), "too slow to tell");
    leaves(early).await;
    within("refusals", async {
        while let Ok(caller) = world.try_call("sim-echo").await {
            leaves(caller).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(told.elapsed() >= Duration::from_secs(2));
    // The operator sees it to the end.
    assert_eq!(child.asks_admin("/healthz").await.unwrap().0, 200);
    leaves(late).await;
    assert_eq!(child.exits().await, 0);
    assert_eq!(child.lines(|line| says(line, "ending"))[0]["sessions"], 0);
}

#[tokio::test]
async fn b18_s38_a_second_signal_ends_all_at_once_and_cleanly() {
    let (world, mut child) = edge("grace = \"5m\"", "").await;
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(world.call("sim-echo").await);
    }
    child.terminate();
    says_draining(&child).await;
    for caller in &mut callers {
        speaks(caller).await;
    }
    child.terminate();
    for mut caller in callers {
        assert_eq!(caller.closed().await, (Some(1001), "draining".to_owned()));
    }
    assert_eq!(child.exits().await, 0);
    assert_eq!(child.lines(|line| says(line, "stopped"))[0]["cut"], 0);
}

#[tokio::test]
async fn b18_a_third_signal_waits_for_nobody() {
    let (world, mut child) = edge("grace = \"5m\"", "").await;
    // It will not answer a close frame, for which the edge waits a second.
    let _silent = world.call("sim-echo").await;
    child.terminate();
    says_draining(&child).await;
    child.terminate();
    let again = |line: &Value| says(line, "signal received again: ending at once");
    child
        .until("the second one", |child| child.logged(again) == 1)
        .await;
    child.terminate();
    assert_eq!(child.exits().await, 143);
    assert_eq!(child.logged(|line| says(line, "stopped")), 0);
}

#[tokio::test]
async fn b18_where_a_route_refuses_by_a_close_frame_a_drain_does_so_with_1001() {
    let (world, mut child) = edge("grace = \"5m\"", "refuse = \"close\"").await;
    let mut stays = world.call("sim-echo").await;
    child.terminate();
    says_draining(&child).await;
    let mut refused = world.call("sim-echo").await;
    assert_eq!(refused.closed().await, (Some(1001), "draining".to_owned()));
    speaks(&mut stays).await;
    leaves(stays).await;
    assert_eq!(child.exits().await, 0);
}

#[tokio::test]
async fn b18_an_upgrade_that_waits_for_its_upstream_when_the_drain_begins_is_not_turned_away() {
    let mut world = World::with(Wish {
        server: "grace = \"5m\"".to_owned(),
        upstream: "connect = \"1s\"\ntotal = \"1500ms\"".to_owned(),
        tls: false,
        ..Wish::default()
    })
    .await;
    let mut child = Child::start(&mut world, "true");
    let mut io = world.connect().await;
    let hangs = request("/ws?model=sim-hang", &[("api-key", KEY)]);
    io.write_all(hangs.as_bytes()).await.unwrap();
    let dialled = world.record.until(|record| record.totals().total == 1);
    within("a dial", dialled).await;
    child.terminate();
    says_draining(&child).await;
    world
        .try_call("sim-echo")
        .await
        .err()
        .unwrap()
        .is(503, "draining");
    // It is waited for, and hears what became of it.
    let refused = read_answer(io).await.err().unwrap();
    refused.is(504, "upstream_timeout");
    assert_eq!(child.exits().await, 0);
}
