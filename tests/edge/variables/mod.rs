//! The variables of the old Node proxy and of its successor, without any file of settings.

mod told;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings, Speak};
use tonegate::secret::Digest;
use tonegate::sim::frame;

use crate::harness::{Caller, KEY, Refused, UPSTREAM_KEY, Wish, World, text, within};
use crate::hops;

const ORIGIN: &str = "http://localhost:3000";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";

/// Somebody of this tenant, as the platform says it.
fn principal(tenant: &str) -> String {
    let claims = "http://schemas.microsoft.com/identity/claims";
    let document = json!({
        "auth_typ": "aad",
        "claims": [
            {"typ": format!("{claims}/objectidentifier"), "val": TENANT},
            {"typ": format!("{claims}/tenantid"), "val": tenant},
        ],
    });
    STANDARD.encode(document.to_string())
}

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

type Changes<'a> = &'a [(&'static str, &'a str)];

/// [`enough`] with other values; an empty one removes the variable.
fn changed(world: &World, changes: Changes<'_>) -> Vec<(&'static str, String)> {
    let mut variables = enough(world);
    variables.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let set = changes.iter().filter(|(_, value)| !value.is_empty());
    variables.extend(set.map(|(name, value)| (*name, (*value).to_owned())));
    variables
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
        ("/ws", "wrong", "the key is not known"),
    ];
    for (target, key, words) in cases {
        let headers = [("api-key", key), ("Origin", ORIGIN)];
        let mut caller = world.ask(target, &headers).await.unwrap();
        let said = caller.next().await.unwrap();
        assert_eq!(said.opcode, frame::TEXT);
        let said: Value = serde_json::from_slice(&said.payload).unwrap();
        assert_eq!(said["type"], "error");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{target}: {message}");
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

#[tokio::test]
async fn b17_a31_by_variables_a_principal_of_a_listed_tenant_enters_and_no_other() {
    let mut world = world().await;
    let variables = changed(
        &world,
        &[
            ("TONEGATE_ADMIT", "easyauth"),
            ("TONEGATE_KEY_SHA256", ""),
            ("TONEGATE_TENANTS", TENANT),
            ("TRUST_PROXY", "127.0.0.2"),
        ],
    );
    take_over(&mut world, &variables);
    let (ours, theirs) = (principal(TENANT), principal(OTHER));
    for (from, principal) in [("127.0.0.2", &theirs), ("127.0.0.1", &ours)] {
        let headers = [("X-MS-CLIENT-PRINCIPAL", principal.as_str())];
        let mut caller = hops::ask(&world, from, hops::TARGET, &headers)
            .await
            .ok()
            .unwrap();
        assert_eq!(caller.next().await.unwrap().opcode, frame::TEXT);
        assert_eq!(caller.closed().await.0, Some(1008), "{from}");
    }
    assert_eq!(world.upstream_total(), 0);
    let headers = [("X-MS-CLIENT-PRINCIPAL", ours.as_str())];
    assert_eq!(hops::status(&world, "127.0.0.2", &headers).await, 101);
}

/// The program with this `.env` file and these variables of its own, to the end of `check`.
async fn check(file: &Path, own: &[(&str, &[u8])]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonegate"));
    command.args(["check", "--env-file"]).arg(file).env_clear();
    for (name, value) in own {
        command.env(name, OsStr::from_bytes(value));
    }
    let output = within("the check", command.output()).await.unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

#[tokio::test]
async fn b18_b26_an_env_file_starts_the_program_and_signals_end_it_cleanly() {
    let mut world = World::with(Wish::default()).await;
    world.speak_plainly();
    for signal in [Signal::TERM, Signal::INT] {
        let debug = "tonegate=debug";
        let variables = changed(&world, &[("TONEGATE_LOG", debug)]);
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
        // A refusal is logged below `info`, as the file asks for.
        let wrong = [("api-key", "wrong"), ("Origin", ORIGIN)];
        let mut refused = world.ask("/ws", &wrong).await.unwrap();
        assert_eq!(refused.next().await.unwrap().opcode, frame::TEXT);
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
        assert!(said.contains("\"DEBUG\""), "{said}");
        for secret in [KEY, UPSTREAM_KEY, &Digest::of(KEY).to_hex()] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// A file without its tests.
fn production(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let production = text.split("\n#[cfg(test)]").next().unwrap();
    production.to_owned()
}

/// What stands between quotes and is the name of a variable.
fn quoted_names(code: &str) -> BTreeSet<String> {
    let is_name = |word: &&str| {
        word.len() > 3
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let words = code.split('"').skip(1).step_by(2);
    words.filter(is_name).map(str::to_owned).collect()
}

/// Every variable that is read stands in the example, and the example is good as it is.
#[tokio::test]
async fn b17_the_example_shows_every_variable_that_is_known_and_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example: PathBuf = root.join("config/.env.example");
    let text = fs::read_to_string(&example).unwrap();
    let read = |path: &str| production(&root.join(path));
    let files = fs::read_dir(root.join("src/config/variables")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files = files.filter(|path| !path.ends_with("names.rs"));
    let mut code: Vec<_> = files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    code.push(read("src/config/env.rs"));
    let code = code.join("\n");
    // The list of known names is that of those that are read, and all of them are in the example.
    let list = read("src/config/variables/names.rs");
    let listed = |constant: &str| {
        let (_, rest) = list.split_once(&format!("const {constant}: ")).unwrap();
        quoted_names(rest.split_once("];").unwrap().0)
    };
    let known = listed("KNOWN");
    assert!(known.len() > 30, "{known:?}");
    assert_eq!(quoted_names(&code), known);
    for name in &known {
        let stands = |line: &str| {
            line.trim_start_matches('#')
                .starts_with(&format!("{name}="))
        };
        // Without effect, or the other names of what stands there.
        let told = text.contains(&format!("or {name}"))
            || text.contains(&format!("and {name}"))
            || text.contains(&format!("({name} has no"));
        assert!(
            text.lines().any(stands) || told,
            "{name} is not in the example"
        );
    }
    let of_platform = quoted_names(&read("src/config/resolve/credential.rs"));
    let of_platform: BTreeSet<_> = of_platform.difference(&known).cloned().collect();
    assert_eq!(of_platform, listed("OF_PLATFORM"));
    let (good, out) = check(&example, &[]).await;
    assert!(good, "{out}");
    assert!(
        out.ends_with("ok\n") && !out.contains("replace-me"),
        "{out}"
    );
    // Each line that is commented out is good in its place, or says what it needs.
    let commented = text.lines().filter_map(|line| line.strip_prefix('#'));
    let commented: Vec<_> = commented.filter_map(|line| line.split_once('=')).collect();
    let commented = commented.iter().filter(|(name, _)| !name.contains(' '));
    assert!(commented.clone().count() > 20);
    for (name, value) in commented {
        let variables = text.lines().filter(|line| !line.starts_with('#'));
        let variables = variables.filter_map(|line| line.split_once('='));
        let variables = variables.filter(|(other, _)| other != name);
        let variables = variables.chain([(*name, *value)]);
        if let Err(error) = Settings::of_variables(&Environment::of(variables)) {
            let error = error.to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }
}
