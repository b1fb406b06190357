//! Phone calls that were taken back, by themselves or with their session.

use std::time::Duration;

use serde_json::json;
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::sim::acs::Options;

use super::world::{post, ready};
use crate::phone::server::Server;
use crate::phone::world::{Line, Phone, signed};

async fn two() -> (Server, Phone, Edge) {
    let redis = Server::plain(&[]);
    let phone = Phone::with(Line {
        store: format!("url = \"redis://127.0.0.1:{}\"", redis.port),
        ..Line::default()
    })
    .await;
    let settings = phone.world.folder.join("edge.toml");
    let other = Edge::start(&Settings::read(&[settings]).unwrap()).unwrap();
    for admin in [phone.world.edge().admin(), other.admin()] {
        ready(admin).await;
    }
    (redis, phone, other)
}

#[tokio::test]
async fn a35_a_call_is_taken_back_at_the_edge_that_does_not_carry_it() {
    let (_redis, mut phone, other) = two().await;
    let first = phone.world.port;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let beside = phone
        .rings(&phone.dial(&signed("c2")), Options::default())
        .await;
    let (answer, told) = post(other.admin(), "/revoke", &json!({"call": "c1"})).await;
    assert_eq!((answer, &told["ended_here"]), (200, &json!(0)), "{told}");
    call.closed(4441, "revoked").await;
    // Not even with a fresh token and a fresh URL.
    for port in [first, other.public().port()] {
        phone.world.port = port;
        let refused = phone.refused(&phone.dial(&signed("c1"))).await;
        assert_eq!(refused, (403, "revoked".to_owned()));
    }
    phone
        .eventually("the end of one session", |phone| {
            phone.world.edge().sessions() == 1
        })
        .await;
    beside.hand.hang_up();
    beside.ended().await;
}

#[tokio::test]
async fn a35_the_session_of_a_call_is_taken_back_with_its_call_and_not_with_acs_token() {
    let (redis, mut phone, other) = two().await;
    let call = phone
        .rings(&phone.dial(&signed("c1")), Options::default())
        .await;
    let sessions = phone.world.edge().registry().list(|_| true);
    let session = sessions[0].0.to_string();
    let (answer, told) = post(other.admin(), "/revoke", &json!({"session": session})).await;
    assert_eq!(answer, 200, "{told}");
    call.closed(4441, "revoked").await;
    crate::harness::within("the call in the log", async {
        while !redis
            .tell(&["XRANGE", "orders:log", "-", "+"])
            .contains("\nc1\n")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let log = redis.tell(&["XRANGE", "orders:log", "-", "+"]);
    assert!(!log.contains("credential"), "{log}");
    let refused = phone.refused(&phone.dial(&signed("c1"))).await;
    assert_eq!(refused, (403, "revoked".to_owned()));
    phone.world.port = other.public().port();
    crate::harness::within("the other edge", async {
        while !other
            .metrics_page()
            .contains("tonegate_orders_total{kind=\"call\"} 1")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let refused = phone.refused(&phone.dial(&signed("c1"))).await;
    assert_eq!(refused, (403, "revoked".to_owned()));
}
