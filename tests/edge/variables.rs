//! The variables of the old Node proxy and of its successor, without any file of settings.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings, Speak};
use tonegate::secret::Digest;
use tonegate::sim::frame;

use crate::harness::{Caller, KEY, Refused, UPSTREAM_KEY, Wish, World, text, within};

const ORIGIN: &str = "http://localhost:3000";

/// What is enough, with the simulator of `world` as Azure.
fn enough(world: &World) -> Vec<(&'static str, String)> {
    let roots = world.folder.join("ca.pem").display().to_string();
    let url = format!("wss://localhost:{}", world.upstream.port());
    vec![
        ("TONEGATE_UPSTREAM_URL", url),
        ("TONEGATE_UPSTREAM_ROOTS", roots),
        ("AZURE_SPEECH_KEY", UPSTREAM_KEY.to_owned()),
        ("TONEGATE_ADMIT", "key".to_owned()),
        ("TONEGATE_KEY_SHA256", Digest::of(KEY).to_hex()),
        ("TONEGATE_PLAIN_TEXT", "true".to_owned()),
        (
            "ALLOWED_ORIGINS",
            format!("{ORIGIN}, https://app.example.com"),
        ),
        ("TONEGATE_MODELS", "gpt-realtime,sim-echo".to_owned()),
        ("TONEGATE_ADDRESS", "127.0.0.1".to_owned()),
        ("PORT", free_port().to_string()),
    ]
}

/// A port that nothing has a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn settings(variables: &[(&'static str, String)]) -> Result<Settings, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    Settings::of_variables(&Environment::of(variables)).map_err(|error| error.to_string())
}

/// Lets the callers of `world` go to an edge that has its settings from variables.
fn take_over(world: &mut World, variables: &[(&'static str, String)]) {
    let mut settings = settings(variables).unwrap();
    settings.boot.admin = "127.0.0.1:0".parse().unwrap();
    let edge = Edge::start(&settings).unwrap();
    world.port = edge.public().port();
    world.edge = Some(edge);
}

/// A world without TLS towards the client, as the old proxy had it.
async fn world() -> World {
    let mut world = World::usual().await;
    world.speak_plainly();
    world
}

async fn ask(world: &World, target: &str) -> Result<Caller, Refused> {
    world
        .ask(target, &[("api-key", KEY), ("Origin", ORIGIN)])
        .await
}

#[tokio::test]
async fn b07_b17_variables_alone_serve_ws() {
    let mut world = world().await;
    let mut variables = enough(&world);
    variables.extend([
        ("API_VERSION", "2025-10-01".to_owned()),
        ("MAX_CONNECTIONS", "7".to_owned()),
        ("MAX_FRAME_BYTES", "2000".to_owned()),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "x".to_owned()),
    ]);
    let judged = settings(&variables).unwrap();
    assert_eq!(judged.notices.len(), 1, "{:?}", judged.notices);
    take_over(&mut world, &variables);
    let caller = ask(&world, "/ws?mode=standard&model=gpt-realtime")
        .await
        .unwrap();
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    let expected = "/voice-live/realtime?api-version=2025-10-01&model=gpt-realtime";
    assert_eq!(seen.target, expected);
    assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
    drop(caller);
    // B27: the old ways to see whether it lives.
    let health = get(&world, "/health").await;
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["maxConnections"], 7);
    assert!(health["activeConnections"].is_u64(), "{health}");
    let at = health["timestamp"].as_str().unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
    assert_eq!(get(&world, "/").await["status"], "running");
    // The limit of the successor, which it answered with 1009.
    let mut caller = ask(&world, "/ws?model=sim-echo").await.unwrap();
    caller.send(text(&"x".repeat(2001))).await;
    assert_eq!(caller.closed().await.0, Some(1009));
}

/// The body of a GET, which must be answered with 200.
async fn get(world: &World, path: &str) -> Value {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = world.refused_bytes(request.as_bytes()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn b28_browsers_are_told_in_the_old_proxys_words() {
    let mut world = world().await;
    let variables = enough(&world);
    take_over(&mut world, &variables);
    let cases = [
        (
            "/ws?mode=agent",
            KEY,
            "Agent mode requires agentId and projectName",
        ),
        ("/ws?model=gpt-5", KEY, "the model is not allowed here"),
        ("/ws", "wrong", "the key is not known here"),
    ];
    for (target, key, words) in cases {
        let headers = [("api-key", key), ("Origin", ORIGIN)];
        let mut caller = world.ask(target, &headers).await.unwrap();
        let said = caller.next().await.unwrap();
        assert_eq!(said.opcode, frame::TEXT);
        let said: Value = serde_json::from_slice(&said.payload).unwrap();
        assert_eq!(said["type"], "error");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(words) || key == "wrong",
            "{target}: {message}"
        );
        assert_eq!(caller.closed().await.0, Some(1008), "{target}");
    }
    // A page that is not on the list.
    let foreign = [
        ("api-key", KEY),
        ("Origin", "http://localhost:3000.evil.example"),
    ];
    let mut caller = world.ask("/ws", &foreign).await.unwrap();
    assert_eq!(caller.next().await.unwrap().opcode, frame::TEXT);
    assert_eq!(caller.closed().await.0, Some(1008));
    assert_eq!(world.upstream_total(), 0);
}

#[tokio::test]
async fn b12_b17_each_variable_means_what_it_meant() {
    let world = world().await;
    let mut variables = enough(&world);
    variables.retain(|(name, _)| !matches!(*name, "TONEGATE_UPSTREAM_URL" | "AZURE_SPEECH_KEY"));
    variables.extend([
        ("FOUNDRY_RESOURCE_NAME", "my-resource".to_owned()),
        ("FOUNDRY_API_KEY", UPSTREAM_KEY.to_owned()),
        ("FOUNDRY_AGENT_NAME", "helper".to_owned()),
        ("FOUNDRY_PROJECT_NAME", "support".to_owned()),
        ("AGENT_ID", "asst_1".to_owned()),
        ("PROJECT_NAME", "support".to_owned()),
        ("RATE_LIMIT_WINDOW_MS", "90000".to_owned()),
        ("TONEGATE_MANAGED_IDENTITY", "true".to_owned()),
        ("MAX_CONNECTIONS", "50".to_owned()),
        ("TRUST_PROXY", "10.0.0.0/8, 127.0.0.1".to_owned()),
    ]);
    let settings = settings(&variables).unwrap();
    let upstream = &settings.live.upstreams[0];
    assert_eq!(upstream.host, "my-resource.services.ai.azure.com");
    let route = &settings.live.routes[0];
    let names = |labels: &[tonegate::label::Label]| -> Vec<String> {
        labels.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&route.agents), ["asst_1", "helper"]);
    assert_eq!(names(&route.projects), ["support"]);
    assert!(route.agent_first);
    assert_eq!(route.origins, [ORIGIN, "https://app.example.com"]);
    let rate = route.limits.upgrades_per_address.unwrap();
    assert_eq!((rate.count, rate.per.as_secs()), (100, 90));
    let hops = settings.live.hops.as_ref().unwrap();
    assert_eq!((hops.networks.len(), hops.speak), (2, Speak::Http));
    let limits = settings.live.limits;
    assert_eq!((limits.sessions, limits.connections), (50, 1050));
}

#[test]
fn b17_what_is_missing_is_told_all_at_once_with_the_line_to_add() {
    let text = settings(&[]).unwrap_err();
    for line in [
        "5 problems",
        "\n      AZURE_AI_FOUNDRY_RESOURCE=my-resource",
        "\n      AZURE_SPEECH_KEY=…",
        "\n      TONEGATE_ADMIT=key\n      TONEGATE_KEY_SHA256=…",
        "\n      TONEGATE_CERTIFICATE=tls.crt\n      TONEGATE_PRIVATE_KEY=tls.key",
        "\n      TONEGATE_PLAIN_TEXT=true",
        "\n      ALLOWED_ORIGINS=https://app.example.com",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    // What is there is judged all the same, under its own name.
    let text = settings(&[
        ("PORT", "80 80".to_owned()),
        ("TONEGATE_ADMIT", "key".to_owned()),
        ("TONEGATE_KEY_SHA256", "CANARY".to_owned()),
        ("AZURE_AI_FOUNDRY_RESOURCE", "a.evil".to_owned()),
    ])
    .unwrap_err();
    for named in [
        "PORT: ",
        "TONEGATE_KEY_SHA256: ",
        "AZURE_AI_FOUNDRY_RESOURCE: ",
        "TLS is not decided",
    ] {
        assert!(text.contains(named), "{named} is not in {text}");
    }
    assert!(
        !text.contains("CANARY") && !text.contains("keys.client"),
        "{text}"
    );
}

#[tokio::test]
async fn b17_b23_a_bad_value_is_an_error_and_never_a_default() {
    let world = world().await;
    for (name, value, told) in [
        ("PORT", "0", "PORT: "),
        ("PORT", "70000", "PORT: "),
        ("MAX_CONNECTIONS", "many", "MAX_CONNECTIONS: "),
        ("MAX_CONNECTIONS", "2000000", "MAX_CONNECTIONS"),
        ("MAX_FRAME_BYTES", "-1", "MAX_FRAME_BYTES: "),
        ("RATE_LIMIT_WINDOW_MS", "1m", "RATE_LIMIT_WINDOW_MS: "),
        ("RATE_LIMIT_MAX_REQUESTS", "0", "RATE_LIMIT_MAX_REQUESTS: "),
        ("TONEGATE_PLAIN_TEXT", "yes", "TONEGATE_PLAIN_TEXT: "),
        ("TONEGATE_ADMIT", "everyone", "TONEGATE_ADMIT: "),
        ("TONEGATE_ADDRESS", "localhost", "TONEGATE_ADDRESS: "),
        (
            "ALLOWED_ORIGINS",
            "http://a.example/page",
            "ALLOWED_ORIGINS: ",
        ),
        ("AGENT_ID", "asst_1", "AGENT_ID and PROJECT_NAME"),
        (
            "FOUNDRY_API_KEY",
            "another",
            "AZURE_SPEECH_KEY and FOUNDRY_API_KEY",
        ),
        ("TONEGATE_MODELS", "a&b", "TONEGATE_MODELS: "),
        ("TONEGATE_CERTIFICATE", "a.pem", "TONEGATE_CERTIFICATE"),
        ("TRUST_PROXY", "1", "TRUST_PROXY: "),
        ("TRUST_PROXY", "true", "TRUST_PROXY: "),
        ("TRUST_PROXY", "0.0.0.0/0", "TRUST_PROXY: "),
        ("TRUST_PROXY", "loopback", "TRUST_PROXY: "),
        ("TONEGATE_ADMIT", "easyauth", "TONEGATE_ADMIT: "),
    ] {
        let mut variables = enough(&world);
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value.to_owned()));
        let text = settings(&variables)
            .map(|_| String::new())
            .unwrap_or_else(|text| text);
        assert!(text.contains(told), "{name}={value} gave: {text}");
    }
}

#[tokio::test]
async fn b18_b26_an_env_file_starts_the_program_and_signals_end_it_cleanly() {
    let mut world = World::with(Wish::default()).await;
    world.speak_plainly();
    for signal in [Signal::TERM, Signal::INT] {
        let variables = enough(&world);
        let port = variables.iter().find(|(name, _)| *name == "PORT").unwrap();
        world.port = port.1.parse().unwrap();
        let file = world.folder.join(".env");
        let lines: Vec<_> = variables
            .iter()
            .map(|(k, v)| format!("{k}={v}\n"))
            .collect();
        fs::write(&file, lines.concat()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tonegate"))
            .args(["serve", "--env-file"])
            .arg(&file)
            .env_clear()
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        within("the start", async {
            while let Some(line) = log.next_line().await.unwrap() {
                let public = line.contains("\"public\"");
                said.push(line);
                if public {
                    break;
                }
            }
        })
        .await;
        let mut caller = ask(&world, "/ws?model=sim-echo").await.unwrap();
        caller.send(text("here")).await;
        assert_eq!(caller.next().await, Some(text("here")));
        let id = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
        assert_eq!(caller.closed().await.0, Some(1001));
        let status = within("the end", child.wait()).await.unwrap();
        while let Some(line) = log.next_line().await.unwrap() {
            said.push(line);
        }
        let said = said.join("\n");
        assert_eq!(status.code(), Some(0), "{said}");
        for secret in [KEY, UPSTREAM_KEY, &Digest::of(KEY).to_hex()] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// Every variable that is read stands in the example, and the example is good as it is.
#[tokio::test]
async fn b17_the_example_shows_every_variable_and_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example: PathBuf = root.join("config/.env.example");
    let text = fs::read_to_string(&example).unwrap();
    let files = fs::read_dir(root.join("src/config/variables")).unwrap();
    let code = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let code = code.collect::<Vec<_>>().join("\n");
    let quoted = code.split('"').skip(1).step_by(2);
    let is_name = |word: &&str| {
        word.len() > 3
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let names: BTreeSet<&str> = quoted.filter(is_name).collect();
    assert!(names.len() > 25, "{names:?}");
    // Of Azure's own libraries, or without effect.
    let elsewhere = ["AZURE_CLIENT_ID", "APPLICATIONINSIGHTS_CONNECTION_STRING"];
    for name in names.iter().filter(|name| !elsewhere.contains(name)) {
        assert!(text.contains(name), "{name} is not in the example");
    }
    let check = Command::new(env!("CARGO_BIN_EXE_tonegate"))
        .args(["check", "--env-file"])
        .arg(&example)
        .env_clear()
        .output();
    let check = within("the check", check).await.unwrap();
    let err = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{err}");
    let out = String::from_utf8_lossy(&check.stdout);
    assert!(
        out.ends_with("ok\n") && !out.contains("replace-me"),
        "{out}"
    );
}
