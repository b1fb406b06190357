//! What an operator sees of sessions, upstreams, settings and the edge itself.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tonegate::sim::voice_live::record::Record;

use super::world::{HERE, JSON, ask, get, shown};

use crate::harness::{Wish, World, text, within};

/// A session as soon as it is shown so: figures are written behind what has crossed.
async fn until(admin: SocketAddr, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    within("a session that is shown so", async {
        loop {
            let shown = get(admin, &format!("/sessions/{id}")).await.json();
            if is(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// It is shown as one that runs, and that one message with audio has crossed.
fn runs(shown: &Value, id: &str) {
    for (name, value) in [
        ("id", json!(id)),
        ("state", json!("running")),
        ("route", json!("browser")),
        ("kind", json!("voice-live")),
        ("subject", json!("tester")),
        ("key", json!("tester")),
        ("upstream", json!("voice")),
        ("gate", Value::Null),
        ("call", Value::Null),
        ("end", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name} of {shown}");
    }
    assert!(shown["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(shown["up"]["messages"], 1);
    assert_eq!(shown["up"]["audio_messages"], 1);
    assert_eq!(shown["down"]["messages"], 1);
    assert!(shown["up"]["bytes"].as_u64().unwrap() > 40);
}

#[tokio::test]
async fn c17_sessions_are_listed_while_they_run_and_after_with_how_they_ended() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let (mut caller, id) = shown(&world, "sim-echo").await;
    caller
        .send(text(
            "{\"type\":\"input_audio_buffer.append\",\"audio\":\"AAAA\"}",
        ))
        .await;
    caller.next().await.unwrap();
    let one = format!("/sessions/{id}");
    let shown = until(admin, &id, |shown| shown["down"]["messages"] == 1).await;
    runs(&shown, &id);
    let list = get(admin, "/sessions?state=running&route=browser")
        .await
        .json();
    assert_eq!(
        (&list["running"], list["sessions"].as_array().unwrap().len()),
        (&json!(1), 1)
    );
    assert_eq!(list["sessions"][0]["id"], json!(id));
    for none in [
        "state=ended",
        "route=other",
        "reason=client_closed",
        "subject=x",
    ] {
        let list = get(admin, &format!("/sessions?{none}")).await.json();
        assert_eq!(list["sessions"], json!([]), "{none}");
    }
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
    let shown = get(admin, &one).await.json();
    assert_eq!(shown["state"], "ended");
    let end = &shown["end"];
    assert_eq!(
        (&end["reason"], &end["ended_by"]),
        (&json!("client_closed"), &json!("client"))
    );
    assert_eq!(end["client_close"], 1000);
    for some in [
        "",
        "?state=ended",
        "?reason=client_closed&subject=tester",
        "?limit=1",
    ] {
        let list = get(admin, &format!("/sessions{some}")).await.json();
        assert_eq!(list["sessions"][0], shown, "{some}");
        assert_eq!(
            (&list["running"], &list["forgotten"]),
            (&json!(0), &json!(0))
        );
    }
    // It cannot be ended again, nor looked on at.
    let told = ask(admin, &format!("DELETE {one}"), &[HERE], "").await;
    assert_eq!(
        (told.status, told.detail().contains("client_closed")),
        (409, true)
    );
    assert_eq!(get(admin, &format!("{one}/tail")).await.status, 404);
}

#[tokio::test]
async fn c17_an_operator_ends_one_session_and_both_sides_hear_why() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let mut caller = world.call("sim-echo").await;
    let mut other = world.call("sim-echo").await;
    let id = caller.head.one("x-tonegate-session").unwrap().to_owned();
    let told = ask(admin, &format!("DELETE /sessions/{id}"), &[HERE], "").await;
    assert_eq!(
        (told.status, told.json()),
        (202, json!({"id": id, "reason": "revoked"}))
    );
    assert_eq!(caller.closed().await, (Some(4441), "revoked".to_owned()));
    let closed = Some((Some(4441), "revoked".to_owned()));
    let all = |record: &Record| record.connections().into_iter();
    let told = |record: &Record| all(record).any(|seen| seen.close_received == closed);
    within("the upstream's close", world.record.until(told)).await;
    // Until the goodbye is over it is one that closes.
    let shown = until(admin, &id, |shown| shown["state"] == "ended").await;
    assert_eq!(
        (&shown["end"]["reason"], &shown["end"]["ended_by"]),
        (&json!("revoked"), &json!("edge"))
    );
    // Nobody else is ended, and nobody shut out.
    other.send(text("still here")).await;
    assert_eq!(other.next().await, Some(text("still here")));
    world.still_serves().await;
}

#[tokio::test]
async fn c17_the_edge_tells_how_it_stands_by_what_and_whom_it_dials() {
    let world = World::with(Wish {
        upstream: "connects = \"30/m\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let admin = world.edge().admin();
    let caller = world.call("sim-echo").await;
    assert_eq!(
        world.try_call("sim-refuse-500").await.err().unwrap().status,
        502
    );
    let status = get(admin, "/status").await.json();
    for (name, value) in [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("ready", json!(true)),
        ("not_ready", Value::Null),
        ("stage", json!("serving")),
        ("sessions", json!(1)),
        ("store", json!({"engine": "memory", "up": true})),
    ] {
        assert_eq!(status[name], value, "{name} of {status}");
    }
    assert!(status["connections"].as_u64().unwrap() >= 1);
    let told = get(admin, "/upstreams").await.json();
    let voice = &told["upstreams"][0];
    for (name, value) in [
        ("name", json!("voice")),
        ("kind", json!("voice-live")),
        ("routes", json!(["browser"])),
        ("dials", json!(2)),
        ("failures", json!(1)),
        ("last_dial", json!("failed")),
        ("identity", Value::Null),
    ] {
        assert_eq!(voice[name], value, "{name} of {voice}");
    }
    assert_eq!(
        voice["address"],
        format!("localhost:{}", world.upstream.port())
    );
    assert_eq!(voice["last_failure"]["reason"], "upstream_refused");
    assert_eq!(voice["last_failure"]["status"], 500);
    assert!(voice["last_ok"]["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&voice["pacing"]["connects"], &voice["pacing"]["taken_here"]),
        (&json!(30), &json!(2))
    );
    assert_eq!(voice["pacing"]["queue"], 0);
    let settings = get(admin, "/settings").await;
    let lines = settings.json()["settings"].as_array().unwrap().len();
    assert!(
        lines > 5 && settings.body.contains("listen    127.0.0.1:0"),
        "{settings:?}"
    );
    for secret in [crate::harness::UPSTREAM_KEY, crate::harness::KEY] {
        assert!(!settings.body.contains(secret));
    }
    drop(caller);
}

#[tokio::test]
async fn b18_an_operator_drains_the_edge_and_can_only_make_it_shorter() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let mut caller = world.call("sim-echo").await;
    let told = ask(admin, "POST /drain", &[HERE, JSON], "{\"grace\": \"1h\"}").await;
    assert_eq!(told.status, 202, "{told:?}");
    let drain = told.json();
    assert_eq!(
        (&drain["stage"], &drain["begun"], &drain["sessions"]),
        (&json!("draining"), &json!(true), &json!(1))
    );
    assert_eq!(get(admin, "/readyz").await.status, 503);
    assert_eq!(get(admin, "/status").await.json()["stage"], "draining");
    // What runs goes on.
    caller.send(text("still here")).await;
    assert_eq!(caller.next().await, Some(text("still here")));
    let longer = ask(admin, "POST /drain", &[HERE, JSON], "{\"grace\": \"2h\"}")
        .await
        .json();
    assert_eq!(longer["begun"], false);
    assert!(longer["left_s"].as_u64().unwrap() <= 3600, "{longer}");
    let shorter = ask(admin, "POST /drain", &[HERE, JSON], "{\"grace\": \"10m\"}")
        .await
        .json();
    assert!(shorter["left_s"].as_u64().unwrap() <= 600, "{shorter}");
}
