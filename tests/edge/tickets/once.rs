//! A ticket is good for one session over all replicas, and for none while the store is away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tonegate::app::Edge;
use tonegate::config::Settings;

use super::*;

use crate::phone::server::Server;

/// Two edges without TLS on one Redis; the second one's port.
async fn two(redis: &Server, change: impl FnOnce(Wish) -> Wish) -> (World, Edge) {
    let wish = change(Wish {
        tls: false,
        more: format!(
            "{}[store]\nurl = \"redis://127.0.0.1:{}\"\n",
            tables(),
            redis.port
        ),
        ..wish()
    });
    let world = World::with(wish).await;
    let settings = world.folder.join("edge.toml");
    let other = Edge::start(&Settings::read(&[settings]).unwrap()).unwrap();
    is_up(&world, &other).await;
    (world, other)
}

async fn is_up(world: &World, other: &Edge) {
    for edge in [world.edge(), other] {
        crate::phone::redis::is_up(edge).await;
    }
}

#[tokio::test]
async fn a32_s28_a_ticket_raced_by_thirty_over_two_edges_has_one_winner() {
    let redis = Server::plain(&[]);
    let (world, other) = two(&redis, |wish| wish).await;
    let ports = [world.port, other.public().port()];
    for _ in 0..3 {
        let before = world.upstream_total();
        let target = target(&ticket());
        let all = (0..30).map(|i| ask_at(ports[i % 2], &target, &[]));
        let mut won = Vec::new();
        for answer in join_all(all).await {
            match answer {
                Ok(caller) => won.push(caller),
                Err(refused) => refused.is(401, "unauthenticated"),
            }
        }
        assert_eq!(won.len(), 1);
        // Those who lost have dialled nobody.
        assert_eq!(world.upstream_total(), before + 1);
        speaks(won.remove(0)).await;
        // It stays spent when its session has ended, at both.
        for port in ports {
            let again = ask_at(port, &target, &[]).await;
            again.err().unwrap().is(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a32_s31_a_store_that_is_away_opens_nothing_and_others_go_on() {
    let redis = Server::plain(&[]);
    let (world, other) = two(&redis, |wish| wish).await;
    let running = ask_at(world.port, &target(&ticket()), &[]).await.unwrap();
    let dialled = world.upstream_total();
    redis.signal("-STOP");
    for port in [world.port, other.public().port()] {
        let asked = Instant::now();
        let refused = ask_at(port, &target(&ticket()), &[]).await.err().unwrap();
        refused.is(503, "store_unavailable");
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
    }
    assert_eq!(world.upstream_total(), dialled);
    assert!(counted(&world, "unavailable") >= 1);
    // Whoever shows a key asks the store nothing.
    let key = [("api-key", crate::harness::KEY)];
    speaks(ask_at(world.port, TARGET, &key).await.unwrap()).await;
    speaks(running).await;
    redis.signal("-CONT");
    is_up(&world, &other).await;
    speaks(ask_at(world.port, &target(&ticket()), &[]).await.unwrap()).await;
    // A server that was killed knows what it is told from then on.
    redis.kill();
    let refused = ask_at(world.port, &target(&ticket()), &[])
        .await
        .err()
        .unwrap();
    refused.is(503, "store_unavailable");
    redis.restart();
    is_up(&world, &other).await;
    speaks(ask_at(world.port, &target(&ticket()), &[]).await.unwrap()).await;
}

#[tokio::test]
async fn a32_who_is_refused_afterwards_has_the_ticket_back() {
    let redis = Server::plain(&[]);
    let (world, other) = two(&redis, |wish| Wish {
        limits: "sessions = 1\nconnections = 100".to_owned(),
        ..wish
    })
    .await;
    let [first, second] = [world.port, other.public().port()];
    // The upstream does not want it: nothing came of the ticket.
    let ticket = ticket();
    let refused = format!("/ws?model=sim-refuse-500&ticket={ticket}");
    let refused = ask_at(first, &refused, &[]).await.err().unwrap();
    refused.is(502, "upstream_refused");
    let held = ask_at(second, &target(&ticket), &[]).await.unwrap();
    // Nor is one spent where there was no room for it.
    let other = super::ticket();
    let busy = ask_at(second, &target(&other), &[]).await.err().unwrap();
    busy.is(503, "busy");
    speaks(ask_at(first, &target(&other), &[]).await.unwrap()).await;
    // Both are spent now.
    for ticket in [&ticket, &other] {
        let again = ask_at(first, &target(ticket), &[]).await.err().unwrap();
        again.is(401, "unauthenticated");
    }
    speaks(held).await;
}
