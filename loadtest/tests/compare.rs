//! The comparison as a whole, in small: a round of a few seconds through everything that the script
//! does, and that it fails when it should.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_tonegate-load");

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compare")
}

/// Built beside it by `cargo build --workspace --bins`, as `make test` does.
fn tonegate() -> PathBuf {
    let path = Path::new(LOAD).with_file_name("tonegate");
    assert!(
        path.exists(),
        "cargo build --release --locked --workspace --bins makes {path:?}"
    );
    path
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn script(words: &[&str]) -> Output {
    let mut run = Command::new(scripts().join("run.py"));
    run.env("PYTHONDONTWRITEBYTECODE", "1").args(words);
    run.args(["--load", LOAD, "--tonegate"]).arg(tonegate());
    run.output().unwrap()
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_round_becomes_figures_a_report_and_a_picture() {
    let folder = folder("round");
    let [results, picture] = ["results.jsonl", "results.svg"].map(|name| folder.join(name));
    let [results, picture] = [&results, &picture].map(|path| path.to_str().unwrap());
    let short = ["--modes", "call20", "--rounds", "1", "--seconds", "1"];
    let peers = ["--targets", "nginx,tonegate,floor", "--results", results];
    let ran = script(&[&short[..], &peers, &["--picture", picture]].concat());
    assert!(ran.status.success(), "{}", told(&ran));
    let report = told(&ran);
    for part in [
        "t2t call20",
        "goals",
        "epoll + rustls",
        "OpenSSL",
        "load average",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }

    let rows = fs::read_to_string(results).unwrap();
    let rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let runs: Vec<&Value> = rows.iter().filter(|row| row["event"] == "run").collect();
    assert_eq!(runs.len(), 3);
    for run in runs {
        assert!(run["failed"].is_null(), "{run}");
        let result = &run["result"];
        assert!(
            result["cpu_us_per_message"].as_f64().unwrap() > 0.0,
            "{run}"
        );
        // 20 calls, 50 messages a second, and a second to warm up: every one came back.
        assert!(result["received"].as_u64().unwrap() >= 1_900, "{run}");
        assert_eq!(result["received"], result["sent"], "{run}");
    }
    let drawn = fs::read_to_string(picture).unwrap();
    assert!(
        drawn.contains(">tonegate ") && drawn.contains(">epoll + rustls "),
        "{drawn}"
    );

    // What is there is not run again, and is rendered without anything being run.
    let again = script(&[&short[..], &peers, &["--continue"]].concat());
    assert!(
        again.status.success() && !told(&again).contains("round 1"),
        "{}",
        told(&again)
    );
    let rendered = script(&["--report", results, "--markdown"]);
    let table = told(&rendered);
    assert!(rendered.status.success(), "{table}");
    assert!(
        table.contains("| | nginx | tonegate | epoll + rustls |"),
        "{table}"
    );
}

#[test]
fn a_failed_run_of_the_edge_fails_the_whole_and_says_why() {
    let folder = folder("failed");
    let settings = fs::read_to_string(scripts().join("tonegate.toml")).unwrap();
    assert!(settings.contains("models = [\"sim-echo\"]"));
    let config = folder.join("tonegate.toml");
    fs::write(&config, settings.replace("\"sim-echo\"", "\"another\"")).unwrap();
    let config = config.to_str().unwrap();
    let short = ["--modes", "call20", "--rounds", "1", "--seconds", "1"];
    let ran = script(&[&short[..], &["--targets", "tonegate", "--config", config]].concat());
    assert_eq!(ran.status.code(), Some(1), "{}", told(&ran));
    assert!(
        told(&ran).contains("refused with HTTP status 403"),
        "{}",
        told(&ran)
    );
}

#[test]
fn ciphers_resumption_and_trust_are_seen_to_be_as_they_are_said() {
    let ran = script(&["--verify", "--cases", "t2t", "--targets", "tonegate,floor"]);
    let seen = told(&ran);
    assert!(ran.status.success(), "{seen}");
    for (part, times) in [
        ("upstream: TLS 1.3, AES-128-GCM, X25519", 2),
        ("an upstream that another authority signed: refused", 2),
        (
            "an upstream with a certificate for another name: refused",
            1,
        ),
    ] {
        assert_eq!(seen.matches(part).count(), times, "{part}: {seen}");
    }
}

#[test]
fn the_report_says_what_the_runs_found() {
    let mut run = Command::new("python3");
    run.env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = run.arg(scripts().join("selftest.py")).output().unwrap();
    assert!(ran.status.success(), "{}", told(&ran));
    assert!(told(&ran).contains("\nOK"), "{}", told(&ran));
}
