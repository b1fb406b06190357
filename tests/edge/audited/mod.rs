//! Whatever is decided has exactly one record in the audit, which says nothing that it must not.

mod alerts;
mod calls;
mod kept;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tonegate::audit::{self, FIELDS};
use tonegate::sim::frame::{Frame, TEXT};
use tonegate::sim::voice_live::scenario::Scenario;

use crate::child::Child;
use crate::harness::{Caller, KEY, Wish, World, read_answer, request, text, within};
use crate::tokens::{AUDIENCE, Issued, TENANT};

pub const AUDIT: &str = "\n[audit]\nto = \"file\"\npath = \"audit.jsonl\"\nchain = true\n";

/// The records in a world's folder, each of which keeps to the schema.
pub fn records(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("audit.jsonl")).unwrap_or_default();
    // The last line may be one that is being written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let records: Vec<Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    for record in &records {
        for name in record.as_object().unwrap().keys() {
            let known = FIELDS.iter().any(|(field, _, _)| field == name);
            assert!(known, "{name} in {record}");
        }
    }
    records
}

/// Waits until there are so many records, and then for no more of them.
pub async fn come(folder: &Path, count: usize) -> Vec<Value> {
    let what = format!("{count} records, of which there are");
    let found = within(&what, async {
        loop {
            let found = records(folder);
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(found.len(), count, "{:?}", found.last());
    found
}

/// An edge as a process, before an issuer of tokens, and what it should have recorded.
struct Edge {
    issued: Issued,
    child: Child,
    expected: usize,
}

impl Edge {
    async fn with(wish: Wish) -> Edge {
        let mut issued = Issued::with(wish, AUDIENCE, "").await;
        let file = issued.world.folder.join("edge.toml");
        let settings = fs::read_to_string(&file).unwrap();
        fs::write(&file, settings + AUDIT).unwrap();
        let child = Child::start(&mut issued.world, "export TONEGATE_LOG=tonegate=debug");
        Edge {
            issued,
            child,
            expected: 0,
        }
    }

    fn world(&self) -> &World {
        &self.issued.world
    }

    /// The records that have come since, so many and no more.
    async fn news(&mut self, count: usize) -> Vec<Value> {
        self.expected += count;
        let all = come(&self.world().folder, self.expected).await;
        all[self.expected - count..].to_vec()
    }

    /// A request is refused, of which there is one record.
    async fn refuses(&mut self, asked: &str, (status, reason): (u16, &str), who: Option<&str>) {
        let refused = self.world().refused_bytes(asked.as_bytes()).await;
        assert_eq!(
            (refused.status, refused.reason().as_str()),
            (status, reason)
        );
        let record = self.news(1).await.remove(0);
        assert_eq!(record["event"], "upgrade", "{record}");
        assert_eq!(record["route"], "browser", "{record}");
        assert_eq!(record["decision"], "deny", "{record}");
        assert_eq!(record["rule"], reason, "{record}");
        assert_eq!(record["status"], status, "{record}");
        assert_eq!(record["who"].as_str(), who, "{record}");
        assert!(record["detail"].as_str().unwrap().len() > 5, "{record}");
        assert!(
            record["what"].as_str().unwrap().ends_with(" /ws"),
            "{record}"
        );
    }

    /// A session ends so; it has one record when it begins and one when it ends.
    async fn ends(
        &mut self,
        model: &str,
        (by, reason): (&str, &str),
        how: impl AsyncFnOnce(&mut Caller),
    ) {
        let mut caller = self.world().call(model).await;
        let begun = self.news(1).await.remove(0);
        assert_eq!(
            (&begun["decision"], &begun["rule"]),
            (&"allow".into(), &"key".into())
        );
        assert_eq!(
            (&begun["status"], &begun["who"]),
            (&101.into(), &"tester".into())
        );
        how(&mut caller).await;
        let _ = caller.closed().await;
        drop(caller);
        let ended = self.news(1).await.remove(0);
        assert_eq!(ended["event"], "close", "{ended}");
        assert_eq!(
            (&ended["ended_by"], &ended["reason"]),
            (&by.into(), &reason.into())
        );
        for field in ["session", "client", "who", "route"] {
            assert_eq!(ended[field], begun[field], "{field}");
        }
        assert!(
            ended["duration_ms"].is_u64() && ended["up_bytes"].is_u64(),
            "{ended}"
        );
    }
}

#[tokio::test]
async fn c16_every_refusal_is_one_record_that_says_who_and_why() {
    let mut edge = Edge::with(Wish {
        limits: "sessions = 1".to_owned(),
        upstream: "connect = \"500ms\"\ntotal = \"700ms\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let keyed = |target: &str| request(target, &[("api-key", KEY)]);
    let tester = Some("tester");
    edge.refuses(&keyed("/ws?model="), (400, "bad_request"), None)
        .await;
    let stranger = request("/ws?model=sim-echo", &[("api-key", "wrong")]);
    edge.refuses(&stranger, (401, "unauthenticated"), None)
        .await;
    // Whom admission has recognised is told, also where they may not do what they ask for.
    edge.refuses(&keyed("/ws?model=gpt-5"), (403, "forbidden"), tester)
        .await;
    let token = edge.issued.token(|_| ());
    let asked = request(
        "/ws?model=gpt-5",
        &[("Authorization", &format!("Bearer {token}"))],
    );
    let refused = edge.world().refused_bytes(asked.as_bytes()).await;
    assert_eq!(refused.status, 403);
    let record = edge.news(1).await.remove(0);
    assert_eq!(
        (&record["credential"], &record["tenant"]),
        (&"token".into(), &TENANT.into())
    );
    let user = record["user"].as_str().unwrap();
    assert_eq!(record["who"], format!("users:{TENANT}/{user}"));
    // What is no upgrade.
    for (method, status) in [("GET", 426), ("POST", 405), ("BREW", 405)] {
        let asked = format!("{method} /ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
        edge.refuses(&asked, (status, "bad_request"), None).await;
    }
    let mut caller = edge.world().call("sim-echo").await;
    edge.news(1).await;
    edge.refuses(&keyed("/ws?model=sim-echo"), (503, "busy"), tester)
        .await;
    caller.close(1000, "").await;
    caller.closed().await;
    edge.news(1).await;
    for (model, answer) in [
        ("sim-refuse-500", (502, "upstream_refused")),
        ("sim-refuse-429", (503, "upstream_busy")),
        ("sim-hang", (504, "upstream_timeout")),
    ] {
        edge.child.metrics_say("tonegate_connections 0").await;
        edge.refuses(&keyed(&format!("/ws?model={model}")), answer, tester)
            .await;
    }
    // Nothing is decided about anybody on no route, by a probe, or where nothing can be read.
    for asked in [
        "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "x\n",
    ] {
        edge.world().refused_bytes(asked.as_bytes()).await;
    }
    for path in ["/healthz", "/readyz", "/health", "/"] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = edge.world().send_request(asked.as_bytes()).await;
        assert_eq!(answer.err().unwrap().status, 200);
    }
    edge.refuses(&stranger, (401, "unauthenticated"), None)
        .await;
    verified(edge).await;
}

#[tokio::test]
async fn c16_b13_every_session_has_one_record_when_it_begins_and_one_when_it_ends() {
    let mut edge = Edge::with(Wish::default()).await;
    edge.ends("sim-echo", ("client", "client_closed"), async |caller| {
        caller.close(1000, "").await;
    })
    .await;
    edge.ends("sim-sink", ("client", "protocol"), async |caller| {
        caller.send_raw(&[0x81, 0x01, b'x']).await;
    })
    .await;
    edge.ends("sim-sink", ("client", "too_large"), async |caller| {
        let message = caller.encode(&Frame::whole(TEXT, vec![b'x'; (1 << 20) + 1]));
        caller.send_raw(&message[..100]).await;
    })
    .await;
    edge.ends("sim-eof", ("upstream", "upstream_closed"), async |_| ())
        .await;
    edge.ends("sim-echo", ("client", "client_lost"), async |caller| {
        let _ = caller.io.shutdown().await;
    })
    .await;
    // A client that vanishes before it is answered has been decided about all the same.
    let mut io = edge.world().connect().await;
    let waiting = request("/ws?model=sim-hang", &[("api-key", KEY)]);
    io.write_all(waiting.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let hangs = |seen: &_| scenario(seen) == Some(Scenario::Hang);
    edge.world().upstream_saw(hangs).await;
    drop(io);
    let lost = edge.news(1).await.remove(0);
    assert_eq!(
        (&lost["decision"], &lost["rule"]),
        (&"deny".into(), &"client_lost".into())
    );
    assert_eq!(
        (lost["who"].as_str(), lost["status"].is_null()),
        (Some("tester"), true)
    );
    // The edge is stopped: a session that runs, and a request that waits.
    let mut caller = edge.world().call("sim-echo").await;
    edge.news(1).await;
    let mut io = edge.world().connect().await;
    io.write_all(waiting.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    within(
        "the upstream",
        edge.world().record.until(|record| {
            let hangs = |seen: &&_| scenario(seen) == Some(Scenario::Hang);
            record.connections().iter().filter(hangs).count() == 2
        }),
    )
    .await;
    edge.child.terminate();
    read_answer(io).await.err().unwrap().is(503, "draining");
    assert_eq!(caller.closed().await.0, Some(1001));
    let last = edge.news(2).await;
    for (event, field) in [("upgrade", "rule"), ("close", "reason")] {
        let one = last.iter().find(|record| record["event"] == event).unwrap();
        assert_eq!(one[field], "draining", "{one}");
    }
    verified(edge).await;
}

fn scenario(seen: &tonegate::sim::voice_live::connection::Connection) -> Option<Scenario> {
    seen.scenario
}

/// The chain holds over everything that was written.
async fn verified(edge: Edge) {
    let file = edge.world().folder.join("audit.jsonl");
    let verified = audit::verify(&[file], &[], false).unwrap();
    assert_eq!(verified.records, edge.expected as u64);
    assert!(verified.records > 10);
}

#[tokio::test]
async fn c16_a_route_that_refuses_by_a_close_frame_records_what_it_stands_for() {
    let mut edge = Edge::with(Wish {
        route: "refuse = \"close\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let asked = edge
        .world()
        .ask("/ws?model=sim-echo", &[("api-key", "wrong")])
        .await;
    assert_eq!(asked.unwrap().closed().await.0, Some(1008));
    let record = edge.news(1).await.remove(0);
    assert_eq!(
        (&record["decision"], &record["status"]),
        (&"deny".into(), &401.into())
    );
    assert_eq!(record["rule"], "unauthenticated");
}

#[tokio::test]
async fn s36_c16_what_strangers_write_is_in_no_record() {
    let mut edge = Edge::with(Wish::default()).await;
    let canary = "canary-Zq9";
    let number = "15557654321";
    for asked in [
        request(
            &format!("/ws?model=sim-echo&{canary}={canary}&call={number}"),
            &[("api-key", canary)],
        ),
        request(
            "/ws?model=sim-echo",
            &[("api-key", canary), ("X-Thing", number)],
        ),
        request(
            &format!("/ws?model={canary}"),
            &[("api-key", KEY), ("User-Agent", canary)],
        ),
        format!("{canary} /ws HTTP/1.1\r\nHost: {canary}\r\nCookie: a={number}\r\n\r\n"),
    ] {
        edge.world().refused_bytes(asked.as_bytes()).await;
        edge.news(1).await;
    }
    let mut caller = edge.world().call("sim-echo").await;
    caller.send(text(canary)).await;
    assert_eq!(caller.next().await, Some(text(canary)));
    caller.close(4001, canary).await;
    caller.closed().await;
    edge.news(2).await;
    let all = fs::read_to_string(edge.world().folder.join("audit.jsonl")).unwrap();
    for told in [canary, number, KEY, "canary"] {
        assert!(!all.contains(told), "{told} in {all}");
    }
    assert!(all.contains("\"what\":\"OTHER /ws\""), "{all}");
}
