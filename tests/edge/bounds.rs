//! Everything is bounded: memory, buffers, descriptors (rows 19 and 22 of the threat model).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tonegate::sim::frame;

use crate::child::Child;
use crate::harness::{Caller, KEY, Wish, World, binary, ended, steady, text, within};

/// Memory that a few sessions may cost at the most, all told. The kernel gives it out in pages of
/// 2 MiB where it likes, so less than some of those cannot be told apart.
const FEW: usize = 12 << 20;
/// What kernels may hold between three processes of a machine whose buffers grow by themselves.
const KERNEL: u64 = 24 << 20;

/// A world whose edge is a process of its own, with some calls behind it.
async fn warm(wish: Wish) -> (World, Child) {
    let mut world = World::with(wish).await;
    let child = Child::start(&mut world, "true");
    for _ in 0..20 {
        world.still_serves().await;
    }
    child.metrics_say("tonegate_connections 0").await;
    (world, child)
}

async fn echoes(caller: &mut Caller) {
    for round in 0..50 {
        let said = text(&format!("round {round}"));
        caller.send(said.clone()).await;
        assert_eq!(caller.next().await, Some(said));
    }
}

#[tokio::test]
async fn s19_clients_that_stop_reading_cost_bounded_memory_and_nobody_else() {
    let (world, child) = warm(Wish::default()).await;
    let mut neighbour = world.call("sim-echo").await;
    let before = child.memory();
    let mut deaf = Vec::new();
    for _ in 0..10 {
        deaf.push(world.call("sim-flood").await);
    }
    let sent = || -> Vec<u64> {
        let all = world.record.connections();
        let floods = all
            .iter()
            .filter(|seen| seen.sent.text > 0 && seen.received.text == 0);
        floods.map(|seen| seen.sent.bytes).collect()
    };
    let sent = steady("the floods", sent).await;
    assert_eq!(sent.len(), 10);
    assert!(sent.iter().all(|&bytes| bytes < KERNEL), "{sent:?}");
    let cost = child.memory().saturating_sub(before);
    assert!(cost < FEW, "{cost} bytes for ten floods of {sent:?}");
    echoes(&mut neighbour).await;
    // Who reads again gets everything, in order.
    let mut listens = deaf.pop().unwrap();
    let mut got = 0;
    while got < 2 * sent[9] {
        let frame = listens.next().await.unwrap();
        assert_eq!((frame.opcode, frame.payload.len()), (frame::TEXT, 1024));
        got += 1024;
    }
    echoes(&mut neighbour).await;
    drop((deaf, listens, neighbour));
    child.metrics_say("tonegate_connections 0").await;
}

#[tokio::test]
async fn s19_what_a_deaf_client_says_still_goes_up() {
    let world = World::usual().await;
    let mut caller = world.call("sim-flood").await;
    let sent = steady("the flood", || {
        world.record.last().map(|seen| seen.sent.bytes)
    });
    assert!(sent.await > Some(0));
    let up = "tonegate_payload_bytes_total{route=\"browser\",direction=\"up\"}";
    for said in 1..=100 {
        caller.send(text("hello")).await;
        world.metrics_say(&format!("{up} {}", 5 * said)).await;
    }
    drop(caller);
    world.settles().await;
}

/// Writes until the far end has taken nothing for a while; how much it took.
async fn accepted(caller: &mut Caller) -> u64 {
    let message = caller.encode(&binary(vec![7; 16 * 1024]));
    let mut accepted = 0;
    loop {
        let write = async {
            caller.io.write_all(&message).await?;
            caller.io.flush().await
        };
        match timeout(Duration::from_millis(400), write).await {
            Ok(written) => written.unwrap(),
            Err(_) => return accepted,
        }
        accepted += message.len() as u64;
        assert!(accepted < 10 * KERNEL, "nothing holds the client back");
    }
}

#[tokio::test]
async fn s19_an_upstream_that_stops_reading_holds_its_client_back_and_nobody_else() {
    let (world, child) = warm(Wish::default()).await;
    let mut neighbour = world.call("sim-echo").await;
    let before = child.memory();
    let mut held = Vec::new();
    let mut total = 0;
    for model in ["sim-stall", "sim-slow", "sim-stall", "sim-slow"] {
        let mut caller = world.call(model).await;
        let bytes = accepted(&mut caller).await;
        assert!(bytes > 0 && bytes < KERNEL, "{model} took {bytes}");
        held.push(caller);
        total += bytes;
        echoes(&mut neighbour).await;
    }
    let cost = child.memory().saturating_sub(before);
    assert!(cost < FEW, "{cost} bytes for {total} that went nowhere");
}

/// A client goes, by a reset or properly, when nothing of it is read any more.
async fn goes_unread(reset: bool) {
    let world = World::with(Wish {
        limits: "ping = \"500ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-stall").await;
    let message = caller.encode(&binary(vec![7; 1 << 20]));
    let flood = async { while caller.io.write_all(&message).await.is_ok() {} };
    let _ = timeout(Duration::from_millis(400), flood).await;
    if reset {
        caller.io.tcp().set_zero_linger().unwrap();
    }
    drop(caller);
    // The client's end lies unread behind what the upstream does not take, so it is the upstream
    // that ends this. It is not asked: what the kernel holds for it hides the end from it.
    world
        .metrics_say(&ended("upstream", "upstream_closed"))
        .await;
    world.metrics_say("tonegate_connections 0").await;
    world
        .metrics_say("tonegate_sessions{route=\"browser\"} 0")
        .await;
}

#[tokio::test]
async fn s20_a_client_that_resets_while_its_upstream_is_stuck_does_not_stay() {
    goes_unread(true).await;
}

#[tokio::test]
async fn s20_a_client_that_goes_while_its_upstream_is_stuck_does_not_stay() {
    goes_unread(false).await;
}

#[tokio::test]
async fn s20_a_client_that_takes_nothing_is_lost_and_the_upstream_is_not_blamed() {
    let world = World::with(Wish {
        limits: "ping = \"500ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let caller = world.call("sim-flood").await;
    world.metrics_say(&ended("client", "client_lost")).await;
    let seen = world.upstream_saw(|seen| seen.close_received.is_some());
    let close = seen.await.close_received.unwrap();
    assert_eq!(close, (Some(1011), "client_lost".to_owned()));
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn s19_a_client_that_reads_slowly_lives_on() {
    const READ: u64 = 32 * 1024;
    let world = World::with(Wish {
        limits: "ping = \"500ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-flood").await;
    // Else the caller's kernel would take ever more for it.
    let socket = socket2::SockRef::from(caller.io.tcp());
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    // Ten pings' time, and in each of them less than a kernel likes to hold for one socket.
    for read in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let some = async {
            tokio::io::copy(&mut (&mut caller.io).take(READ), &mut tokio::io::sink()).await
        };
        let count = within("the flood", some).await.unwrap();
        assert_eq!(count, READ, "after {read} reads");
    }
    assert_eq!(world.record.last().unwrap().close_received, None);
    drop(caller);
    world.settles().await;
}

#[tokio::test]
async fn s19_a_slow_upstream_gets_everything_in_its_time() {
    let world = World::usual().await;
    let mut caller = world.call("sim-slow").await;
    for i in 0..10 {
        caller.send(text(&format!("{i:0>1000}"))).await;
    }
    let seen = world.upstream_saw(|seen| seen.received.text == 10).await;
    assert_eq!(seen.received.bytes, 10_000);
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
}

#[tokio::test]
async fn s17_claimed_lengths_reserve_nothing() {
    let (world, child) = warm(Wish {
        // As far as a claim can be allowed.
        limits: "client_message = \"1GiB\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let before = child.memory();
    let mut callers = Vec::new();
    for _ in 0..20 {
        let mut caller = world.call("sim-sink").await;
        caller
            .send_raw(&[
                0x82, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5,
            ])
            .await;
        callers.push(caller);
    }
    let up = "tonegate_payload_bytes_total{route=\"browser\",direction=\"up\"}";
    // Twenty calls before said "still here".
    child.metrics_say(&format!("{up} {}", 20 * 10 + 20)).await;
    let cost = child.memory().saturating_sub(before);
    assert!(cost < FEW, "{cost} bytes for twenty claims of a gibibyte");
    drop(callers);
    child.metrics_say("tonegate_connections 0").await;
}

/// Rounds of half a churn; `TONEGATE_SOAK=1` makes it a hundred thousand in all.
fn rounds() -> usize {
    match std::env::var("TONEGATE_SOAK") {
        Ok(value) if value != "0" => 50_000,
        _ => 400,
    }
}

/// Connections that come and go in eight ways.
async fn churn(world: &World, rounds: usize) {
    for round in 0..rounds {
        match round % 8 {
            0 => {
                let mut caller = world.call("sim-echo").await;
                caller.close(1000, "").await;
                caller.closed().await;
            }
            1 => drop(world.call("sim-echo").await),
            2 => {
                let caller = world.call("sim-flood").await;
                caller.io.tcp().set_zero_linger().unwrap();
            }
            3 => drop(
                world
                    .refused("/ws?model=sim-echo", &[("api-key", "wrong")])
                    .await,
            ),
            4 => drop(
                world
                    .refused("/ws?model=sim-refuse-500", &[("api-key", KEY)])
                    .await,
            ),
            5 => {
                let mut caller = world.call("sim-echo").await;
                caller.send_raw(&[0x81, 0x01, b'x']).await;
                caller.closed().await;
            }
            6 => drop(world.call("sim-reset").await),
            _ => {
                let mut io = world.connect().await;
                io.write_all(b"GET /ws").await.unwrap();
                io.flush().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn s22_connections_that_come_and_go_in_every_way_leave_nothing() {
    let (world, child) = warm(Wish::default()).await;
    let descriptors = child.descriptors();
    let mut memory = Vec::new();
    // The first half finds the most that is ever used at a time; the second may find no more.
    for _ in 0..2 {
        churn(&world, rounds()).await;
        child.metrics_say("tonegate_connections 0").await;
        child
            .metrics_say("tonegate_sessions{route=\"browser\"} 0")
            .await;
        child
            .until("descriptors", |child| child.descriptors() <= descriptors)
            .await;
        memory.push(child.memory());
    }
    // A session that is idle has some 28 KiB; a tenth of that left behind each time would be seen.
    let grown = memory[1].saturating_sub(memory[0]);
    assert!(grown < rounds() * 3 * 1024, "{grown} bytes of {memory:?}");
    world.still_serves().await;
}

#[tokio::test]
async fn sessions_are_spread_over_the_workers() {
    let (world, child) = warm(Wish::default()).await;
    let workers = ["worker-0", "worker-1"];
    let before = workers.map(|worker| child.sleeps(worker));
    let mut callers = Vec::new();
    for _ in 0..32 {
        callers.push(world.call("sim-echo").await);
    }
    for caller in &mut callers {
        echoes(caller).await;
    }
    for (worker, before) in workers.into_iter().zip(before) {
        let slept = child.sleeps(worker) - before;
        // A worker without sessions sleeps through all of it; one with a third of them cannot.
        assert!(slept > 100, "{worker} woke {slept} times");
    }
    drop(callers);
    child.metrics_say("tonegate_connections 0").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_and_goes_frees_the_upstream() {
    let world = World::usual().await;
    let mut caller = world.call("sim-flood").await;
    let mut first = [0; 100];
    caller.io.read_exact(&mut first).await.unwrap();
    steady("the flood", || {
        world.record.last().map(|seen| seen.sent.bytes)
    })
    .await;
    drop(caller);
    world.settles().await;
    world.still_serves().await;
}
