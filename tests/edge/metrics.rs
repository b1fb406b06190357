//! What is seen from outside: the page of metrics, and a real Prometheus that scrapes it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tonegate::metrics::{FAMILIES, Kind};

use crate::harness::{Wish, World, text, within};

/// One GET over plain HTTP; status and body.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut io = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

/// An edge that has something to show in every family.
async fn busy_world() -> World {
    let world = World::with(Wish {
        limits: "connections = 12\nsessions = 1".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut caller = world.call("sim-echo").await;
    caller
        .send(text(
            "{\"type\":\"input_audio_buffer.append\",\"audio\":\"AAAA\"}",
        ))
        .await;
    caller.next().await.unwrap();
    assert_eq!(world.try_call("sim-echo").await.err().unwrap().status, 503);
    caller.close(1000, "").await;
    caller.closed().await;
    world.settles().await;
    assert_eq!(
        world.try_call("sim-refuse-500").await.err().unwrap().status,
        502
    );
    world
}

#[tokio::test]
async fn the_admin_listener_serves_metrics_and_probes() {
    let world = busy_world().await;
    let admin = world.edge().admin();
    let (status, page) = get(admin, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    for line in [
        "tonegate_audio_messages_total{route=\"browser\",direction=\"up\"} 1",
        "tonegate_limit_hits_total{limit=\"sessions\"} 1",
        "tonegate_requests_total{route=\"browser\",result=\"admitted\"} 1",
        "tonegate_requests_total{route=\"browser\",result=\"busy\"} 1",
        "tonegate_requests_total{route=\"browser\",result=\"upstream_refused\"} 1",
        "tonegate_upstream_dials_total{upstream=\"voice\",result=\"ok\"} 1",
        "tonegate_ready 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
    }
    assert_eq!(get(admin, "/healthz").await.unwrap().0, 200);
    assert_eq!(get(admin, "/readyz").await.unwrap().0, 200);
    assert_eq!(get(admin, "/nothing").await.unwrap().0, 404);
}

#[tokio::test]
async fn names_in_the_readme_are_the_names_on_the_page() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let documented: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `tonegate_")?.split('`').next())
        .collect();
    let known: Vec<&str> = FAMILIES
        .iter()
        .map(|family| family.name.strip_prefix("tonegate_").unwrap())
        .collect();
    assert_eq!(documented, known);
    let world = busy_world().await;
    let page = world.edge().metrics_page();
    let mut shown = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let family = FAMILIES.iter().find(|family| family.name == name);
        let family = family.unwrap_or_else(|| panic!("{name} is not in the list"));
        let expected = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(kind, expected, "{name}");
        shown.push(name.strip_prefix("tonegate_").unwrap());
    }
    // All of them but what did not happen: errors of the accept loop and of handshakes, and the
    // keys of issuers and tokens of the platform, of which there are none, and calls.
    let unseen: Vec<_> = known.iter().filter(|name| !shown.contains(name)).collect();
    let of_others = [
        &"tickets_total",
        &"upstream_turns_total",
        &"upstream_throttled_total",
        &"upstream_queue",
        &"upstream_queue_seconds",
        &"sessions_near_cap_total",
        &"gates_total",
        &"gate_seconds",
        &"gate_digits_total",
        &"call_messages_dropped_total",
        &"events_total",
        &"events_dropped_total",
        &"media_failures_total",
        &"app_answers_total",
        &"app_answer_seconds",
        &"calls_made_total",
        &"webhooks_total",
        &"issuer_key_fetches_total",
        &"identity_token_fetches_total",
        &"call_automation_operations_total",
        &"call_automation_seconds",
        &"graph_lookups_total",
        &"graph_lookup_seconds",
        &"pii_detections_total",
        &"pii_detection_seconds",
        &"bot_messages_total",
        &"bot_message_seconds",
        &"bot_notes_total",
        &"orders_total",
        &"otlp_spans_total",
        &"audit_records_total",
        &"audit_refused_total",
        &"audit_errors_total",
    ];
    assert_eq!(unseen, of_others, "{page}");
}

#[tokio::test]
async fn promtool_finds_nothing_to_mend_on_the_page() {
    let world = busy_world().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run `make tools`");
    let mut page = promtool.stdin.take().unwrap();
    page.write_all(world.edge().metrics_page().as_bytes())
        .await
        .unwrap();
    drop(page);
    let checked = within("promtool", promtool.wait_with_output())
        .await
        .unwrap();
    let complaints = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{complaints}");
}

#[tokio::test]
async fn a_real_prometheus_scrapes_the_edge() {
    let world = busy_world().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let prometheus_address = free.local_addr().unwrap();
    drop(free);
    let config = world.folder.join("prometheus.yml");
    let target = world.edge().admin();
    fs::write(
        &config,
        format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: tonegate\n    \
             static_configs: [{{ targets: ['{target}'] }}]\n"
        ),
    )
    .unwrap();
    let _prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            world.folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={prometheus_address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus is missing: run `make tools`");
    let query = "/api/v1/query?query=tonegate_messages_total%7Bdirection%3D%22up%22%7D";
    within("a scrape", async {
        loop {
            if let Some((200, body)) = get(prometheus_address, query).await
                && body.contains("\"route\":\"browser\"")
                && body.contains("\"1\"]")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}
