//! Spans reach a collector of OTLP, as parts of the traces that they are parts of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{KEY, Wish, World, text, within};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector that keeps the spans of each request, and answers so.
struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    async fn start(status: &'static str) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let spans: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = spans.clone();
        tokio::spawn(async move {
            while let Ok((mut io, _)) = listener.accept().await {
                let mut read = Vec::new();
                let (head, body) = loop {
                    assert!(io.read_buf(&mut read).await.unwrap() > 0, "cut");
                    let text = String::from_utf8_lossy(&read).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let length = head.lines().find_map(|line| {
                        line.to_ascii_lowercase()
                            .strip_prefix("content-length: ")?
                            .parse()
                            .ok()
                    });
                    if body.len() == length.unwrap_or(0) {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                assert!(
                    head.to_ascii_lowercase()
                        .contains("content-type: application/json")
                );
                let told: Value = serde_json::from_str(&body).unwrap();
                let resource = &told["resourceSpans"][0];
                assert_eq!(
                    resource["resource"]["attributes"][0]["value"]["stringValue"],
                    "tonegate"
                );
                let told = resource["scopeSpans"][0]["spans"]
                    .as_array()
                    .unwrap()
                    .clone();
                kept.lock().unwrap().extend(told);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
                );
                io.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Collector { port, spans }
    }

    async fn world(&self, more: &str) -> World {
        World::with(Wish {
            more: format!(
                "[telemetry]\ntraceparent = \"anyone\"\notlp = \"http://127.0.0.1:{}\"\n{more}",
                self.port
            ),
            ..Wish::default()
        })
        .await
    }

    async fn come(&self, count: usize) -> HashMap<String, Value> {
        within("spans", async {
            while self.spans.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let spans = self.spans.lock().unwrap();
        let named = spans
            .iter()
            .map(|span| (span["name"].as_str().unwrap().to_owned(), span.clone()));
        named.collect()
    }
}

async fn talks(world: &World, traceparent: &str) {
    let headers = [("api-key", KEY), ("traceparent", traceparent)];
    let mut caller = world
        .ask("/ws?model=sim-echo", &headers)
        .await
        .ok()
        .unwrap();
    caller.send(text("hello")).await;
    assert_eq!(caller.next().await, Some(text("hello")));
    caller.close(1000, "").await;
    caller.closed().await;
}

#[tokio::test]
async fn a40_admission_dial_and_session_are_spans_of_the_callers_trace() {
    let collector = Collector::start("200 OK").await;
    let world = collector.world("").await;
    // Not to be kept, and so never told.
    talks(
        &world,
        "00-11111111111111111111111111111111-00f067aa0ba902b7-00",
    )
    .await;
    talks(&world, &format!("00-{ID}-00f067aa0ba902b7-01")).await;
    let spans = collector.come(3).await;
    assert_eq!(spans.len(), 3, "{spans:?}");
    let session = &spans["session"];
    assert_eq!(
        (&session["parentSpanId"], &session["kind"]),
        (&"00f067aa0ba902b7".into(), &2.into())
    );
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    let told = seen
        .headers
        .iter()
        .find(|(name, _)| name == "traceparent")
        .unwrap();
    for (name, span) in &spans {
        assert_eq!(span["traceId"], ID, "{name}");
        if name != "session" {
            assert_eq!(span["parentSpanId"], session["spanId"], "{name}");
        }
        let time = |field: &str| span[field].as_str().unwrap().parse::<u128>().unwrap();
        assert!(
            time("startTimeUnixNano") <= time("endTimeUnixNano"),
            "{span}"
        );
        assert!(!span.to_string().contains(KEY));
    }
    // The upstream takes part under the name of the dial.
    let dial = spans["dial"]["spanId"].as_str().unwrap();
    assert!(told.1.contains(dial), "{} {dial}", told.1);
    world
        .metrics_say("tonegate_otlp_spans_total{result=\"exported\"} 3")
        .await;
}

#[tokio::test]
async fn a40_a_collector_that_is_away_or_refuses_holds_nobody_and_is_counted() {
    let collector = Collector::start("503 Service Unavailable").await;
    let world = collector.world("sample = 1.0\n").await;
    let refused = world.refused("/nowhere", &[]).await;
    assert_eq!(refused.status, 404);
    talks(&world, "none").await;
    let spans = collector.come(4).await;
    assert_eq!(
        spans["request"]["attributes"][0]["value"]["stringValue"],
        "not_found"
    );
    let failed = "tonegate_otlp_spans_total{result=\"failed\"}";
    within("a count", async {
        while world.count(failed) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let nobody = Collector {
        port: 9,
        ..collector
    };
    let world = nobody.world("sample = 1.0\n").await;
    talks(&world, "none").await;
    within("a count", async {
        while world.count(failed) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // At the end nobody waits long for one that is away.
    let begun = std::time::Instant::now();
    let mut world = world;
    let edge = world.edge.take().unwrap();
    tokio::task::spawn_blocking(|| edge.stop()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6));
}
