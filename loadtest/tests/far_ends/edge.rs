//! Through the edge: the program that is built beside this one, or the one that TONEGATE names.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::program::{FOLDER, LOAD, Ran, file, free, load, ran};

pub const KEY: &str = "the key of a test";

fn tonegate() -> PathBuf {
    let beside = Path::new(LOAD).with_file_name("tonegate");
    let named = std::env::var_os("TONEGATE").map_or(beside, PathBuf::from);
    assert!(
        named.exists(),
        "no {}: cargo build --release --workspace",
        named.display()
    );
    named
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub struct Edge {
    child: Child,
    pub address: SocketAddr,
    pub echo: SocketAddr,
}

impl Edge {
    pub fn start() -> Edge {
        let (address, echo) = (free(), free());
        let hash: String = digest(&SHA256, KEY.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let settings = format!(
            "[server]\nlisten = \"{address}\"\nadmin = \"127.0.0.1:0\"\nworkers = 1\n\
             tls = {{ certificate = \"{}\", key = \"{}\" }}\n\
             [[keys]]\nname = \"load\"\nsha256 = \"{hash}\"\n\
             [upstreams.voice]\nkind = \"voice-live\"\nurl = \"wss://localhost:{}\"\n\
             api_version = \"2026-07-15\"\ncredential = {{ key = \"none\" }}\nroots = \"{}\"\n\
             [[routes]]\nname = \"voice\"\npaths = [\"/voice-live/realtime\"]\nkind = \"voice-live\"\n\
             admit = [\"key\"]\nmodels = [\"sim-echo\"]\nupstreams = [\"voice\"]\n",
            file("leaf.pem"),
            file("leaf.key"),
            echo.port(),
            file("ca.pem"),
        );
        let path = FOLDER.join(format!("{}.toml", address.port()));
        fs::write(&path, settings).expect("a file");
        let log = fs::File::create(path.with_extension("log")).expect("a file");
        let child = Command::new(tonegate())
            .args(["serve", "--config"])
            .arg(&path)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("a program");
        let edge = Edge {
            child,
            address,
            echo,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            let log = fs::read_to_string(path.with_extension("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no edge: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        edge
    }

    fn load(&self, words: &str, key: &str) -> Ran {
        let (address, echo, pid) = (self.address, self.echo, self.child.id());
        let mut command = load(&format!(
            "{words} --address {address} --ca {{ca.pem}} --pid {pid} --echo {echo} --certificate {{leaf.pem}} --key {{leaf.key}}"
        ));
        ran(command.args(["--header", &format!("api-key: {key}")]))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_mode_goes_through_the_edge() {
    let edge = Edge::start();
    for words in [
        "call --connections 5 --seconds 1 --allow-late",
        "flood --connections 2 --seconds 1 --size 65536 --batch 2",
        "connect --connections 4 --seconds 1",
        "connect --connections 4 --seconds 1 --resume",
        "idle --connections 20 --seconds 1 --burst 16384",
    ] {
        edge.load(words, KEY).is_sound();
    }
    let slow = edge.load("connect --connections 1 --seconds 1 --max-p99-us 1", KEY);
    slow.failed_for("--max-p99-us 1");
    let refused = edge.load("call --connections 1 --seconds 1", "another key");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.complaint.contains("refused with HTTP status 401"),
        "{}",
        refused.complaint
    );
}

/// A script below `loadtest/` with these programs.
fn script(path: &str, words: &[&str]) -> Ran {
    let script = root().join("loadtest").join(path);
    let mut command = Command::new("python3");
    command
        .arg(script)
        .args(words)
        .env("TONEGATE", tonegate())
        .env("TONEGATE_LOAD", LOAD)
        .stdin(Stdio::null());
    ran(&mut command)
}

#[test]
fn telephone_calls_are_made_counted_and_judged() {
    let few = [
        "--",
        "--calls",
        "4",
        "--rate",
        "4",
        "--seconds",
        "1",
        "--allow-late",
    ];
    let sound = script("calls/run.py", &few);
    sound.is_sound();
    assert_eq!(
        (&sound.line["whole"], &sound.line["leaked"]),
        (&4.into(), &0.into())
    );
    // What the store was asked, call by call.
    let asked = sound.line["redis_per_call"].as_object().expect("figures");
    assert!(
        asked.values().filter_map(Value::as_f64).sum::<f64>() >= 2.0,
        "{asked:?}"
    );
    let verbatim = script("calls/run.py", &[&["--verbatim"], &few[..]].concat());
    verbatim.is_sound();
    assert_eq!(verbatim.line["whole"], 4, "{}", verbatim.line);
    assert!(
        verbatim.line["frames_heard"].as_u64() >= Some(100),
        "{}",
        verbatim.line
    );
    let slow = script(
        "calls/run.py",
        &[&few[..], &["--max-gate-ms", "0.001"]].concat(),
    );
    slow.failed_for("--max-gate-ms 0.00100");
}

/// Few and short: what it tells is worth nothing, that it tells it is tested.
#[test]
fn the_bridge_is_told_beside_frames_that_go_on_verbatim() {
    let few = "--rounds 1 --calls 2 --rate 2 --short 1 --long 2 --max-ratio -1000";
    let told = Command::new("python3")
        .arg(root().join("loadtest/calls/verbatim.py"))
        .args(few.split(' '))
        .env("TONEGATE", tonegate())
        .env("TONEGATE_LOAD", LOAD)
        .output()
        .expect("a program");
    let text = String::from_utf8_lossy(&told.stdout);
    let complaint = String::from_utf8_lossy(&told.stderr);
    assert!(
        text.contains("| CPU of the edge, µs |"),
        "{text}\n{complaint}"
    );
    assert!(
        !told.status.success() && complaint.contains("more than --max-ratio -1000"),
        "{complaint}"
    );
}

/// What it says of the binary it started, and of each credential: figures, not which.
#[test]
fn starts_and_upgrades_are_told() {
    for (path, words, expected) in [
        (
            "coldstart.py",
            &["--starts", "1"][..],
            &["binary ", " MiB"][..],
        ),
        (
            "upgrades.py",
            &["--rounds", "1", "--sessions", "20"],
            &["key ", "ticket ", "RS256 first seen ", "ES256 first seen "],
        ),
    ] {
        let told = Command::new("python3")
            .arg(root().join("loadtest").join(path))
            .args(words)
            .env("TONEGATE", tonegate())
            .env("TONEGATE_LOAD", LOAD)
            .output()
            .expect("a program");
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(
            told.status.success() && expected.iter().all(|said| text.contains(said)),
            "{path}: {text}\n{}",
            String::from_utf8_lossy(&told.stderr)
        );
    }
}

#[test]
fn growth_is_told_as_tables_and_a_picture() {
    let (results, picture) = (FOLDER.join("growth.json"), FOLDER.join("growth.svg"));
    let (to, drawn) = (results.display().to_string(), picture.display().to_string());
    let words = [
        "--calls",
        "2,4",
        "--idle",
        "5,10",
        "--routes",
        "1,3",
        "--keys",
        "1,3",
        "--tenants",
        "1,3",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--results",
        &to,
        "--picture",
        &drawn,
    ];
    let told = Command::new("python3")
        .arg(root().join("loadtest/growth.py"))
        .args(words)
        .env("TONEGATE", tonegate())
        .env("TONEGATE_LOAD", LOAD)
        .output()
        .expect("a program");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(
        told.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&told.stderr)
    );
    for head in [
        "| calls |",
        "| idle calls |",
        "| routes |",
        "| keys |",
        "| tenants |",
    ] {
        assert!(text.contains(head), "{head} in {text}");
    }
    let lines = fs::read_to_string(results).expect("results");
    // A step more or less, where the machine is full before.
    assert!(matches!(lines.lines().count(), 9 | 10), "{lines}");
    let drawn = fs::read_to_string(picture).expect("a picture");
    assert!(
        drawn.starts_with("<svg") && drawn.contains("<polyline"),
        "{drawn}"
    );
}

#[test]
fn sizes_follow_from_what_was_measured() {
    let found = FOLDER.join("sizing.json");
    let measured = r#"{"edge_ms": [18.0, 1.9], "commands": [3, 0.1], "redis_us": [360, 20],
        "commands_at_rest": 2, "glances": {"window_us": 150, "call_us": 5, "apart_us": 10}}"#;
    fs::write(&found, measured).expect("a file");
    let told = Command::new("python3")
        .arg(root().join("loadtest/sizing.py"))
        .args([
            "--concurrent",
            "18000",
            "--minutes",
            "3",
            "--busy",
            "0.5",
            "--spare",
            "0",
            "--cores",
            "10",
        ])
        .arg("--from")
        .arg(&found)
        .output()
        .expect("a program");
    let text = String::from_utf8_lossy(&told.stdout);
    // 1.9 ms and 18 ms in 180 s are 2 ms a second: 500 calls fill a core, half of them are planned with,
    // so 2,500 an edge. 100 begin in a second, with 3 commands and a turn each; 14,400 questions are 180 in a
    // window of an edge, so three commands, and one each in a cluster; an edge at rest asks twice.
    for line in [
        "| edges of 10 cores | 8 |",
        "| calls that begin in a second | 100 |",
        "| commands to one Redis in a second | 656 |",
        "| cores of it for that | 0.12 |",
        "| commands to a cluster in a second, at the least | 14,816 |",
        "| cores of all its shards for that, at the least | 0.18 |",
        "| resources of 30 a minute for that | 200 |",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // What an older script has measured is told so.
    fs::write(&found, r#"{"edge_ms": [18.0, 1.9], "questions": [3, 0.5]}"#).expect("a file");
    let told = Command::new("python3")
        .arg(root().join("loadtest/sizing.py"))
        .arg("--from")
        .arg(&found)
        .output()
        .expect("a program");
    let complaint = String::from_utf8_lossy(&told.stderr);
    assert!(
        !told.status.success() && complaint.contains("it has no commands"),
        "{complaint}"
    );
}
