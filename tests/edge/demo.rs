//! The demo and the simulator as their user meets them.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tonegate::sim::client::{Client, Error};

use crate::binary::{send, tonegate};
use crate::harness::{Refused, read_answer, within};

/// A verb that stays up, with what it prints on standard output.
struct Up {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Up {
    fn start(args: &[&str]) -> Up {
        let mut child = tonegate()
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Up { child, out }
    }

    async fn line(&mut self) -> String {
        let line = within("a line", self.out.next_line()).await;
        line.unwrap().expect("it ended")
    }

    /// Presses Ctrl-C; the exit code.
    async fn end(mut self) -> i32 {
        let id = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, Signal::INT).unwrap();
        let status = within("the end", self.child.wait()).await.unwrap();
        status.code().unwrap()
    }
}

#[tokio::test]
async fn the_demo_passes_every_step_on_a_bare_machine() {
    let mut demo = tonegate();
    // Nothing of the environment may be needed.
    let demo = demo.env_clear().args(["demo", "--once", "--json"]).output();
    let output = within("the demo", demo).await.unwrap();
    assert!(output.status.success());
    let steps: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = steps.iter().map(|s| s["step"].as_str().unwrap()).collect();
    let expected = [
        "upstream",
        "edge",
        "refusal",
        "page",
        "TLS",
        "admission",
        "first audio",
        "conversation",
        "keys",
        "goodbye",
        "phone call",
        "code",
        "gate",
        "answer",
        "barge-in",
        "hang-up",
        "wrong code",
        "metrics",
        "verdict",
    ];
    assert_eq!(names, expected);
    assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
}

/// What a shell makes of a command: its words.
async fn words(command: &str) -> Vec<String> {
    let print = format!("print() {{ printf '%s\\n' \"$@\"; }}; print {command}");
    let shell = Command::new("sh").arg("-c").arg(print).output();
    let output = within("a shell", shell).await.unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    words.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_demo_stays_up_and_what_it_says_to_try_next_works() {
    let mut demo = Up::start(&["demo"]);
    let mut next = String::new();
    while !next.contains("model=\"gpt-realtime\")") {
        next.push_str(&demo.line().await);
        next.push('\n');
    }
    // A command begins behind its name and may go on after a backslash.
    let command = |name: &str| {
        let from = next.find(name).unwrap() + name.len();
        let mut end = from;
        loop {
            end += next[end..].find('\n').unwrap();
            if !next[..end].ends_with('\\') {
                return next[from..end].trim();
            }
            end += 1;
        }
    };
    // Without anything on the PATH of this program's own.
    for (name, end) in [("the settings", "ok\n"), ("each check", "***\n")] {
        let run = Command::new("sh").arg("-c").arg(command(name)).output();
        let run = within(name, run).await.unwrap();
        let out = String::from_utf8(run.stdout).unwrap();
        assert!(run.status.success() && out.ends_with(end), "{name}: {out}");
    }
    let mut curl = words(command("a refusal")).await;
    let url = curl.pop().unwrap();
    assert_eq!(curl[..4], ["curl", "-i", "--http1.1", "--cacert"]);
    let roots = fs::read_to_string(&curl[4]).unwrap();
    let headers: Vec<_> = curl[5..]
        .chunks(2)
        .map(|pair| {
            assert_eq!(pair[0], "-H");
            pair[1].split_once(": ").unwrap()
        })
        .collect();
    assert!(headers.contains(&("Sec-WebSocket-Version", "13")));
    let refused = ask(&url, &headers, &roots).await;
    refused.is(401, "unauthenticated");
    calls(command("a phone call"), command("a wrong code")).await;
    let (_, key) = next.split_once("AzureKeyCredential(\"").unwrap();
    let key = key.split('"').next().unwrap();
    let url = format!("{url}?model=gpt-realtime").replace("https", "wss");
    let (mut client, _) = Client::connect(&url, &[("api-key", key)], Some(&roots))
        .await
        .unwrap();
    client.converse(0.5).await.unwrap();
    // Two seconds and a half at once, which no voice can say.
    let hurried = client.converse(2.0).await;
    assert!(
        matches!(hurried, Err(Error::Service { .. })),
        "a wrong rate is no mistake here"
    );
    drop(client);
    assert_eq!(demo.end().await, 0);
}

/// The calls to try, each twice: the code opens more than one, and a wrong one shows each time.
async fn calls(right: &str, wrong: &str) {
    let call = async |command: &str| {
        let run = Command::new("sh").arg("-c").arg(command).output();
        let run = within("a call", run).await.unwrap();
        let out = String::from_utf8(run.stdout).unwrap();
        let err = String::from_utf8(run.stderr).unwrap();
        (run.status.code(), out, err)
    };
    let shorter = right.replace("--barge-in", "--seconds 5 --barge-in");
    assert_ne!(shorter, right);
    // A call is known by the second it was made in.
    let other = shorter.replace("--call right-", "--call again-");
    let (first, second) = tokio::join!(call(&shorter), call(&other));
    for (code, out, err) in [first, second] {
        assert_eq!(code, Some(0), "{out}{err}");
        for step in ["101", "6 of 6 pressed", "first audio", "barge-in"] {
            assert!(out.contains(step), "{step}: {out}");
        }
    }
    for _ in 0..2 {
        let (code, out, err) = call(wrong).await;
        assert_eq!(code, Some(1), "{out}{err}");
        assert!(out.contains("closed with 4403 code_wrong"), "{out}");
        assert!(err.contains("4403 code_wrong"), "{err}");
        // The second one is of another second, as the first has taken more than one.
        assert!(out.contains("6 of 6 pressed"), "{out}");
    }
}

/// Asks as curl would, with exactly these headers.
async fn ask(url: &str, headers: &[(&str, &str)], roots: &str) -> Refused {
    let rest = url.strip_prefix("https://localhost:").unwrap();
    let (port, path) = rest.split_once('/').unwrap();
    let mut request = format!("GET /{path} HTTP/1.1\r\nHost: localhost:{port}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let io = send(
        port.parse().unwrap(),
        roots,
        format!("{request}\r\n").as_bytes(),
    )
    .await;
    read_answer(io).await.err().unwrap()
}

#[tokio::test]
async fn the_simulator_finds_a_wrong_rate_by_its_pace_where_it_is_told_to() {
    let mut strict = 0;
    for args in [
        &["sim", "voice-live"][..],
        &["sim", "voice-live", "--strict-pacing"],
    ] {
        let mut sim = Up::start(args);
        let listening: Value = serde_json::from_str(&sim.line().await).unwrap();
        let address = listening["address"].as_str().unwrap();
        let url =
            format!("ws://{address}/voice-live/realtime?api-version=2026-07-15&model=gpt-realtime");
        let (mut client, _) = Client::connect(&url, &[("api-key", "k")], None)
            .await
            .unwrap();
        // All at once, which is as wrong as any rate can be.
        match client.converse(3.0).await {
            Ok(turn) => assert_eq!((args.len(), turn.audio_received > 0), (2, true)),
            Err(Error::Service { code }) => {
                assert_eq!((args.len(), code.as_str()), (3, "audio_rate_mismatch"));
                strict += 1;
            }
            Err(other) => panic!("{other}"),
        }
        drop(client);
        assert_eq!(sim.end().await, 0);
    }
    assert_eq!(strict, 1);
}
