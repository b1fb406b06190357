//! What is turned away leaves a line and a number, and nothing that a stranger wrote.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tonegate::config::Settings;

use crate::binary::Served;
use crate::harness::{KEY, Wish, World, read_answer, request, within};
use crate::tokens::Issued;

/// Requests that are turned away: why, and whether a route was found first.
fn turned_away(tokens: &[&str], canary: &str) -> Vec<(String, &'static str, bool)> {
    let target = "/ws?model=sim-echo";
    let ask = |target: &str, header: (&str, &str)| request(target, &[header]);
    let mut all = vec![
        (
            format!("GET /{canary}\x01 HTTP/1.1\r\n\r\n"),
            "bad_request",
            false,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: {canary}\r\n\r\n"),
            "bad_request",
            false,
        ),
        (request("/nowhere?canary", &[]), "not_found", false),
        (ask(target, ("api-key", "canary")), "unauthenticated", true),
        (ask("/ws?model=canary", ("api-key", KEY)), "forbidden", true),
    ];
    for token in tokens {
        let bearer = format!("Bearer {token}");
        let asked = ask(target, ("Authorization", &bearer));
        all.push((asked, "unauthenticated", true));
    }
    all
}

#[tokio::test]
async fn s36_refused_heads_and_tokens_are_in_log_and_metric_and_their_text_is_not() {
    let issued = Issued::usual().await;
    let world = &issued.world;
    let mut served = Served::start(world, "tonegate=debug").await;
    let canary = "canary\\u001b[31m";
    let expired = issued.token(|mint| {
        mint.claims["exp"] = json!(1);
        mint.claims["oid"] = json!(canary);
    });
    let foreign = issued.token(|mint| mint.claims["iss"] = json!(canary));
    let unknown = issued.token(|mint| mint.header = json!({"kid": canary}));
    let cases = turned_away(&[&expired, &foreign, &unknown], canary);
    for (bytes, reason, on_route) in &cases {
        let mut io = served.send(world, bytes.as_bytes()).await;
        let mut answer = Vec::new();
        within("an answer", io.read_to_end(&mut answer))
            .await
            .unwrap();
        let line = served
            .until(|line| line["message"] == "request refused")
            .await;
        assert_eq!(line["reason"], *reason, "{line}");
        assert_eq!(line["route"] == "browser", *on_route, "{line}");
        assert!(line["detail"].as_str().unwrap().len() > 5, "{line}");
    }
    let page = served.metrics_page().await;
    for (series, count) in [
        ("route=\"none\",result=\"bad_request\"", 2),
        ("route=\"none\",result=\"not_found\"", 1),
        ("route=\"browser\",result=\"unauthenticated\"", 4),
        ("route=\"browser\",result=\"forbidden\"", 1),
    ] {
        let line = format!("tonegate_requests_total{{{series}}} {count}");
        assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
    }
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    for text in [printed, page] {
        assert!(!text.contains("canary"), "{text}");
        assert!(
            ![expired.as_str(), &foreign, &unknown]
                .iter()
                .any(|token| text.contains(token))
        );
    }
}

#[tokio::test]
async fn s37_the_public_listener_has_no_metrics_and_an_admin_address_beyond_loopback_needs_a_token()
{
    let world = World::usual().await;
    for path in ["/metrics", "/admin", "/sessions", "/debug/pprof"] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        world
            .refused_bytes(asked.as_bytes())
            .await
            .is(404, "not_found");
    }
    assert!(world.edge().admin().ip().is_loopback());
    for address in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464"] {
        let settings = world
            .settings
            .replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{address}\""));
        assert_ne!(settings, world.settings);
        let error = Settings::read_text("edge.toml", &settings).unwrap_err();
        assert!(error.to_string().contains("server.admin"), "{error}");
    }
}

/// Nothing in the settings of a test world warns, so that a warning would be seen.
#[tokio::test]
async fn a_route_that_admits_anyone_says_so_at_its_start() {
    let world = World::with(Wish {
        admit: "\"anyone\"".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut served = Served::start(&world, "tonegate=warn,tonegate::app=info").await;
    let (code, printed) = {
        served
            .until(|line| line["message"] == "this route admits anyone")
            .await;
        served.end(Signal::TERM).await
    };
    assert_eq!(code, 0);
    assert_eq!(printed.matches("WARN").count(), 1, "{printed}");
}

/// Everything that a process logs, with its own times, ids and numbers as they were.
#[tokio::test]
async fn c21_personal_data_is_not_in_the_log_but_in_the_audit() {
    let world = World::with(Wish {
        more: "[log]\npii = [\"email\", \"phone\", \"card\", \"ip\", \"ssn\"]\n\
               [audit]\nto = \"stdout\"\n"
            .to_owned(),
        ..Wish::default()
    })
    .await;
    let mut served = Served::start(&world, "trace,tonegate=debug").await;
    for (bytes, reason, _) in turned_away(&[], "canary\\u001b[31m") {
        let mut io = served.send(&world, bytes.as_bytes()).await;
        let mut answer = Vec::new();
        within("an answer", io.read_to_end(&mut answer))
            .await
            .unwrap();
        let line = served
            .until(|line| line["message"] == "request refused")
            .await;
        assert_eq!(line["reason"], reason, "{line}");
        let client = line["client"].as_str().unwrap();
        assert!(client.starts_with("[ip]:"), "{line}");
    }
    let asked = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let io = served.send(&world, asked.as_bytes()).await;
    let mut caller = read_answer(io).await.unwrap();
    let start = served
        .until(|line| line["message"] == "session started")
        .await;
    caller.close(1000, "").await;
    caller.closed().await;
    let end = served
        .until(|line| line["message"] == "session ended")
        .await;
    for line in [&start, &end] {
        assert!(
            line["client"].as_str().unwrap().starts_with("[ip]:"),
            "{line}"
        );
        let session = line["session"].as_str().unwrap();
        assert!(session.len() == 24 && session.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(humantime::parse_rfc3339(line["timestamp"].as_str().unwrap()).is_ok());
        assert_eq!(
            (&line["subject"], &line["upstream"]),
            (&json!("tester"), &json!("voice"))
        );
    }
    assert!(end["duration_ms"].as_f64().unwrap() > 0.0);
    let page = served.metrics_page().await;
    assert!(
        page.contains("tonegate_log_lines_unfiltered_total 0"),
        "{page}"
    );
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    let lines = printed.lines().filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (logged, records): (Vec<_>, Vec<_>) = lines.partition(|line| line["level"].is_string());
    assert!(logged.len() > 10 && !records.is_empty(), "{printed}");
    for line in &logged {
        assert!(!line.to_string().contains("127.0.0.1"), "{line}");
    }
    // Who it was is for the audit to say.
    let names = |record: &Value| record.to_string().contains("127.0.0.1");
    assert!(records.iter().any(names), "{records:?}");
}
