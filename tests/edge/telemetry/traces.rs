//! A trace that is named goes on: to whoever is dialled or asked, in the log and in the audit.

use serde_json::Value;

use crate::audited::{AUDIT, come};
use crate::gateway::app::{self, App};
use crate::harness::{KEY, Wish, World};
use crate::hops::{HOP, HTTP, STRANGER, TARGET, ask};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const NAMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ANYONE: &str = "[telemetry]\ntraceparent = \"anyone\"\n";

/// Trace, span and flags of what an upstream was told.
fn parts(told: &str) -> (&str, &str, &str) {
    let parts: Vec<&str> = told.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        panic!("{told}");
    };
    assert_eq!((version, trace.len(), span.len()), ("00", 32, 16), "{told}");
    (trace, span, flags)
}

/// What the upstream's latest connection was told.
async fn upstream_told(world: &World, name: &str) -> Option<String> {
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    let mut all = seen
        .headers
        .iter()
        .filter(|(header, _)| header.eq_ignore_ascii_case(name));
    let told = all.next().map(|(_, value)| value.clone());
    assert!(all.next().is_none(), "{name} stands twice");
    told
}

async fn comes(world: &World, from: &str, headers: &[(&str, &str)]) {
    let mut all = vec![("api-key", KEY)];
    all.extend(headers);
    let mut caller = ask(world, from, TARGET, &all).await.ok().unwrap();
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
}

#[tokio::test]
async fn a40_a_trace_goes_on_upstream_with_a_span_of_ours_and_into_the_audit() {
    let world = World::with(Wish {
        more: format!("{HTTP}{AUDIT}"),
        ..Wish::default()
    })
    .await;
    let named = [
        ("traceparent", NAMED),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ];
    comes(&world, HOP, &named).await;
    let told = upstream_told(&world, "traceparent").await.unwrap();
    let (trace, span, flags) = parts(&told);
    assert_eq!((trace, flags), (ID, "01"));
    assert_ne!(span, "00f067aa0ba902b7");
    assert_eq!(
        upstream_told(&world, "tracestate").await.as_deref(),
        Some("a=1,b=2")
    );
    for record in come(&world.folder, 2).await {
        assert_eq!(record["trace_id"], ID, "{record}");
    }
    // A stranger names nothing: its trace is another one, and nobody is told to keep it.
    comes(&world, STRANGER, &named).await;
    let told = upstream_told(&world, "traceparent").await.unwrap();
    let (trace, _, flags) = parts(&told);
    assert_eq!(flags, "00");
    assert_ne!(trace, ID);
    assert_eq!(upstream_told(&world, "tracestate").await, None);
    let all = come(&world.folder, 4).await;
    assert!(all[2..].iter().all(|record| record["trace_id"] == trace));
    // Nor does what is malformed.
    comes(
        &world,
        HOP,
        &[("traceparent", "00-zz"), ("tracestate", "a=1")],
    )
    .await;
    let told = upstream_told(&world, "traceparent").await.unwrap();
    assert_ne!(parts(&told).0, ID);
    assert_eq!(upstream_told(&world, "tracestate").await, None);
    for (result, count) in [("continued", 1), ("unbelieved", 1), ("malformed", 1)] {
        let series = format!("tonegate_traces_total{{result=\"{result}\"}}");
        assert_eq!(world.count(&series), count, "{result}");
    }
}

#[tokio::test]
async fn a40_an_application_is_told_of_the_trace_and_not_of_what_a_client_wrote_there() {
    let (app, address) = App::start(None).await;
    let world = app::before_with(address, ("", ""), ANYONE).await;
    let headers = format!("traceparent: {NAMED}\r\ntracestate: v=1\r\n");
    let answer = app::ask(&world, "GET /api/x", &headers, b"").await;
    assert_eq!(answer.status, 200);
    let bad = "traceparent: 00-1-2-3\r\ntracestate: v=1\r\n";
    assert_eq!(app::ask(&world, "GET /api/x", bad, b"").await.status, 200);
    let seen = app.seen();
    let [good, bad] = &seen[..] else {
        panic!("{}", seen.len());
    };
    let (trace, span, _) = parts(good.header("traceparent").unwrap());
    assert!(trace == ID && span != "00f067aa0ba902b7");
    assert_eq!(good.header("tracestate"), Some("v=1"));
    assert_ne!(parts(bad.header("traceparent").unwrap()).0, ID);
    assert_eq!(bad.header("tracestate"), None);
}

#[tokio::test]
async fn a40_c17_each_request_has_a_line_where_they_are_asked_for() {
    let mut world = World::with(Wish {
        more: ANYONE.to_owned(),
        ..Wish::default()
    })
    .await;
    let filter = "export TONEGATE_LOG=info,tonegate::access=debug";
    let child = crate::child::Child::start(&mut world, filter);
    let refused = world.refused("/nowhere", &[("traceparent", NAMED)]).await;
    assert_eq!(refused.status, 404);
    let mut caller = world
        .ask(TARGET, &[("api-key", KEY), ("traceparent", NAMED)])
        .await
        .ok()
        .unwrap();
    caller.close(1000, "").await;
    caller.closed().await;
    let access = |line: &Value| {
        ["request refused", "session started", "session ended"]
            .iter()
            .any(|message| line["message"] == *message)
    };
    crate::harness::within("three lines", async {
        while child.logged(access) < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let lines = child.lines(access);
    for line in &lines {
        assert_eq!(line["trace_id"], ID, "{line}");
    }
    let refused = lines
        .iter()
        .find(|line| line["message"] == "request refused")
        .unwrap();
    for field in ["client", "reason", "status", "detail", "took_ms"] {
        assert!(refused.get(field).is_some(), "{field} in {refused}");
    }
}
