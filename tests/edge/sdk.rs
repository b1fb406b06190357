//! Other people's clients, unmodified, over TLS with a private authority: Microsoft's SDKs, OpenAI's,
//! k6.

use serde_json::Value;
use tokio::process::Command;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::voice_live::Service;
use tonegate::sim::voice_live::connection::Connection;

use crate::harness::{KEY, PATIENCE, UPSTREAM_KEY, Wish, World};
use crate::program::{ends_well, root, tells, tool};
use crate::tokens::{Issued, TENANT, VOICE_LIVE};

/// An SDK's interpreter, its script and the flags that choose a build of it.
type Client = (&'static str, &'static [&'static str]);

const VOICELIVE_PYTHON: Client = ("voicelive-py/bin/python", &["voicelive.py"]);
const VOICELIVE_NODE: Client = ("bin/node", &["node/voicelive.mjs"]);
const VOICELIVE_BROWSER: Client = ("bin/node", &["node/voicelive.mjs", "--browser"]);
const OPENAI_PYTHON: Client = ("openai-py/bin/python", &["realtime.py"]);
const OPENAI_NODE: Client = ("bin/node", &["node/realtime.mjs"]);
const OPENAI_BROWSER: Client = ("bin/node", &["node/realtime.mjs", "--browser"]);

/// Runs a client's script against the edge of `world`; its last line of output, parsed.
async fn converse(world: &World, (program, script): Client, more: &[&str]) -> Value {
    let roots = world.folder.join("ca.pem");
    let mut run = Command::new(tool(program));
    if script.contains(&"--browser") {
        // Native from Node 22 on, where the flag says what is so anyway.
        run.arg("--experimental-websocket");
    }
    run.arg(root().join("tests/sdk").join(script[0]))
        .args(&script[1..])
        .args(["--endpoint", &format!("https://localhost:{}", world.port)])
        .args(["--model", "gpt-realtime", "--seconds", "1"])
        .args(more)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SSL_CERT_FILE", &roots)
        .env("NODE_EXTRA_CA_CERTS", &roots);
    tells(&mut run, PATIENCE).await
}

/// Both sides agree on what was said and answered, byte for byte, and nobody broke a rule. What the
/// upstream saw.
async fn proves(world: &World, told: &Value) -> Connection {
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
    seen
}

/// A client with a key, in turns that it ends itself and that a voice detector ends.
async fn converses_with_a_key(client: Client) {
    let world = World::usual().await;
    for turns in ["none", "server_vad"] {
        let more = ["--key", KEY, "--turn-detection", turns];
        let told = converse(&world, client, &more).await;
        let seen = proves(&world, &told).await;
        assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
    }
}

/// A client with a token for Voice Live, which goes upstream in a header wherever it sat.
async fn converses_with_a_token(client: Client) {
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        upstream_takes_any: true,
        ..Wish::default()
    };
    let issued = Issued::with(wish, VOICE_LIVE, "").await;
    let mint = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    let token = issued.provider.mint(&mint);
    let told = converse(&issued.world, client, &["--token", &token]).await;
    let seen = proves(&issued.world, &told).await;
    let bearer = format!("Bearer {token}");
    assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [&bearer]);
    assert_eq!(seen.header("api-key").count(), 0);
}

#[tokio::test]
async fn b01_azure_ai_voicelive_for_python_converses_through_the_edge() {
    converses_with_a_key(VOICELIVE_PYTHON).await;
}

#[tokio::test]
async fn b01_azure_ai_voicelive_for_node_converses_through_the_edge() {
    converses_with_a_key(VOICELIVE_NODE).await;
}

#[tokio::test]
async fn b01_azure_ai_voicelive_for_browsers_converses_through_the_edge() {
    converses_with_a_key(VOICELIVE_BROWSER).await;
}

#[tokio::test]
async fn b09_azure_ai_voicelive_for_python_converses_with_a_token() {
    converses_with_a_token(VOICELIVE_PYTHON).await;
}

#[tokio::test]
async fn b09_azure_ai_voicelive_for_node_converses_with_a_token() {
    converses_with_a_token(VOICELIVE_NODE).await;
}

#[tokio::test]
async fn b09_azure_ai_voicelive_for_browsers_converses_with_a_token() {
    converses_with_a_token(VOICELIVE_BROWSER).await;
}

/// Where OpenAI's clients go: a relay, to a service that speaks as OpenAI does.
fn openai() -> Wish {
    let upstream = format!(
        "[upstreams.openai]\nkind = \"relay\"\nurl = \"UPSTREAM/v1/realtime\"\n\
         roots = \"ca.pem\"\n\
         credential = {{ key = \"{UPSTREAM_KEY}\", header = \"authorization\" }}\n"
    );
    let route = r#"
[[routes]]
name = "openai"
kind = "relay"
paths = ["/v1/realtime"]
admit = ["key"]
accept = ["header", "subprotocol"]
models = ["gpt-realtime"]
upstreams = ["openai"]
"#;
    Wish {
        service: Service::OpenAi,
        more: upstream + route,
        ..Wish::default()
    }
}

#[tokio::test]
async fn openais_clients_converse_with_keys_in_a_header_and_in_a_subprotocol() {
    let world = World::with(openai()).await;
    for (client, protocol) in [
        (OPENAI_PYTHON, None),
        (OPENAI_NODE, Some("")),
        (OPENAI_BROWSER, Some("realtime")),
    ] {
        let told = converse(&world, client, &["--key", KEY]).await;
        let seen = proves(&world, &told).await;
        assert_eq!(told["protocol"].as_str(), protocol, "{told}");
        assert_eq!(seen.target, "/v1/realtime?model=gpt-realtime");
        // The key that the client showed is not the one that goes on.
        let own = format!("Bearer {UPSTREAM_KEY}");
        assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [own]);
    }
    let admitted = "tonegate_requests_total{route=\"openai\",result=\"admitted\"}";
    assert_eq!(world.count(admitted), 3);
}

#[tokio::test]
async fn k6_calls_through_the_edge_and_gets_every_message_back() {
    let world = World::usual().await;
    let mut run = Command::new(tool("bin/k6"));
    run.args(["run", "--quiet", "--no-usage-report"])
        .args(["-e", &format!("URL=wss://localhost:{}", world.port)])
        .args(["-e", &format!("KEY={KEY}")])
        .args(["-e", "VUS=5", "-e", "SECONDS=2"])
        .arg(root().join("loadtest/k6/voice.js"))
        .env("SSL_CERT_FILE", world.folder.join("ca.pem"));
    ends_well(&mut run, PATIENCE).await;
    // Five callers, a message each 20 ms for two seconds.
    let up = world.count("tonegate_messages_total{route=\"browser\",direction=\"up\"}");
    let down = world.count("tonegate_messages_total{route=\"browser\",direction=\"down\"}");
    assert!(up >= 400, "{up} messages");
    assert_eq!(up, down);
    world.settles().await;
}
