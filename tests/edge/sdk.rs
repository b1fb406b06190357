//! Other people's clients, unmodified, over TLS with a private authority: Microsoft's SDKs, k6.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{KEY, World, within};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `make tools` installs. Without it the test fails: what is not run proves nothing.
pub fn tool(path: &str) -> PathBuf {
    let tool = root().join(".tools").join(path);
    assert!(
        tool.exists(),
        "{} is missing: run `make tools`",
        tool.display()
    );
    tool
}

/// Runs a client script against the edge of `world`; its last line of output, parsed.
async fn converse(world: &World, program: PathBuf, script: &str, turns: &str) -> Value {
    let roots = world.folder.join("ca.pem");
    let run = Command::new(program)
        .arg(root().join("tests/sdk").join(script))
        .args(["--endpoint", &format!("https://localhost:{}", world.port)])
        .args(["--key", KEY, "--model", "gpt-realtime", "--seconds", "1"])
        .args(["--turn-detection", turns])
        .env("SSL_CERT_FILE", &roots)
        .env("NODE_EXTRA_CA_CERTS", &roots)
        .kill_on_drop(true)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = within("the SDK", run).await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{script} failed: {out}\n{err}");
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

/// Both sides agree on what was said and answered, byte for byte, and nobody broke a rule.
async fn proves(world: &World, told: &Value) {
    assert_eq!(told["ok"], true, "{told}");
    let seen = world.upstream_saw(|seen| seen.ending.is_some()).await;
    assert!(told["bytes"].as_u64().unwrap() > 10_000, "{told}");
    assert_eq!(told["received_sha256"], seen.replied.sha256.as_str());
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
    // The caller's key went no further than the edge.
    assert!(!seen.target.contains(KEY));
    assert!(seen.headers.iter().all(|(_, value)| !value.contains(KEY)));
    world.settles().await;
}

#[tokio::test]
async fn b01_azure_ai_voicelive_for_python_converses_through_the_edge() {
    let world = World::usual().await;
    let python = tool("voicelive-py/bin/python");
    for turns in ["none", "server_vad"] {
        let told = converse(&world, python.clone(), "voicelive.py", turns).await;
        proves(&world, &told).await;
    }
}

#[tokio::test]
async fn b01_azure_ai_voicelive_for_node_converses_through_the_edge() {
    let world = World::usual().await;
    let node = tool("bin/node");
    for turns in ["none", "server_vad"] {
        let told = converse(&world, node.clone(), "node/voicelive.mjs", turns).await;
        proves(&world, &told).await;
    }
}

#[tokio::test]
async fn k6_calls_through_the_edge_and_gets_every_message_back() {
    let world = World::usual().await;
    let run = Command::new(tool("bin/k6"))
        .args(["run", "--quiet", "--no-usage-report"])
        .args(["-e", &format!("URL=wss://localhost:{}", world.port)])
        .args(["-e", &format!("KEY={KEY}")])
        .args(["-e", "VUS=5", "-e", "SECONDS=2"])
        .arg(root().join("loadtest/k6/voice.js"))
        .env("SSL_CERT_FILE", world.folder.join("ca.pem"))
        .kill_on_drop(true)
        .output();
    let run = within("k6", run).await.unwrap();
    let out = String::from_utf8_lossy(&run.stdout);
    let err = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{out}\n{err}");
    // Five callers, a message each 20 ms for two seconds.
    let up = world.count("tonegate_messages_total{route=\"browser\",direction=\"up\"}");
    let down = world.count("tonegate_messages_total{route=\"browser\",direction=\"down\"}");
    assert!(up >= 400, "{up} messages");
    assert_eq!(up, down);
    world.settles().await;
}
