//! The program as an operator runs it: verbs, exit codes, what it prints and what it never prints.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tonegate::audio::SampleRate;
use tonegate::audio::wav::Wav;
use tonegate::sim::stream::Stream;
use tonegate::sim::{head, stream};

use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, read_answer, request, text, within};

pub fn tonegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonegate"));
    command.kill_on_drop(true);
    command
}

/// Sends bytes over TLS to a port of this machine.
pub async fn send(port: u16, roots: &str, bytes: &[u8]) -> Stream {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = stream::connector(roots).unwrap();
    let name = "localhost".to_owned().try_into().unwrap();
    let tls = connector.connect(name, tcp).await.unwrap();
    let mut io = Stream::Tls(Box::new(tls.into()));
    io.write_all(bytes).await.unwrap();
    io.flush().await.unwrap();
    io
}

/// Runs a verb to its end: exit code, standard output, standard error.
pub async fn run(args: &[&str]) -> (i32, String, String) {
    let output = within("the program", tonegate().args(args).output()).await;
    let output = output.unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// `tonegate serve` as a child, with all it has logged.
pub struct Served {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    lines: Vec<String>,
    port: u16,
    admin: String,
}

impl Served {
    pub async fn start(world: &World, filter: &str) -> Served {
        Served::start_with(world, filter, |_| ()).await
    }

    /// The same with another command line, or other variables.
    pub async fn start_with(
        world: &World,
        filter: &str,
        more: impl FnOnce(&mut Command),
    ) -> Served {
        let mut command = tonegate();
        command
            .args(["serve", "--config"])
            .arg(world.folder.join("edge.toml"))
            .env("TONEGATE_LOG", filter)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        more(&mut command);
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut served = Served {
            child,
            log,
            lines: Vec::new(),
            port: 0,
            admin: String::new(),
        };
        let public = served.until(|line| line["role"] == "public").await;
        let address = public["address"].as_str().unwrap();
        served.port = address.rsplit(':').next().unwrap().parse().unwrap();
        let admin = served.until(|line| line["role"] == "admin").await;
        let address = admin["address"].as_str().unwrap();
        // Where addresses are taken out of the log, its port is left.
        let port = address.rsplit(':').next().unwrap();
        served.admin = format!("127.0.0.1:{port}");
        served
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn metrics_page(&self) -> String {
        use tokio::io::AsyncWriteExt as _;
        let mut tcp = tokio::net::TcpStream::connect(&self.admin).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        tcp.write_all(request).await.unwrap();
        let mut page = String::new();
        tcp.read_to_string(&mut page).await.unwrap();
        page
    }

    /// Reads the log until a line fits.
    pub async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        within("a log line", async {
            loop {
                let line = self.log.next_line().await.unwrap().unwrap();
                let value: Value = serde_json::from_str(&line).unwrap();
                self.lines.push(line);
                if fits(&value) {
                    return value;
                }
            }
        })
        .await
    }

    /// The same of a line that may have passed already, while another was waited for.
    pub async fn ever(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let passed = self.lines.iter().map(|line| serde_json::from_str(line));
        let passed = passed.map(Result::unwrap).find(&fits);
        match passed {
            Some(value) => value,
            None => self.until(fits).await,
        }
    }

    pub async fn send(&self, world: &World, request: &[u8]) -> Stream {
        send(self.port, &world.authority.pem(), request).await
    }

    /// Sends a signal and waits for the end: exit code, and everything that was printed.
    pub async fn end(mut self, signal: Signal) -> (i32, String) {
        let id = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
        let status = within("the end", self.child.wait()).await.unwrap();
        let mut all = self.lines.join("\n");
        while let Some(line) = self.log.next_line().await.unwrap() {
            all.push('\n');
            all.push_str(&line);
        }
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut out).await.unwrap();
        (status.code().unwrap(), all + "\n" + &out)
    }
}

#[tokio::test]
async fn g15_no_secret_is_printed_whatever_is_asked_and_however() {
    let world = World::usual().await;
    let mut served = Served::start(&world, "trace").await;
    let canaries = [
        "canary-a-1",
        "canary-b-2",
        "canary-c-3",
        "canary-d-4",
        "canary-e-5",
    ];
    let [a, b, c, d, e] = canaries;
    // Credentials in every place, right and wrong ones.
    let requests = [
        request("/ws?model=sim-echo", &[("api-key", a)]),
        request(&format!("/ws?api-key={b}"), &[]),
        request(
            &format!("/ws?token={c}&authorization=Bearer+{c}&sig={c}"),
            &[("Authorization", &format!("Bearer {d}"))],
        ),
        request(
            &format!("/ws?model={e}&agent-access-token={e}"),
            &[
                ("api-key", KEY),
                ("Cookie", &format!("session={e}")),
                ("Sec-WebSocket-Protocol", &format!("bearer.{e}")),
            ],
        ),
        request(&format!("/{d}?api-key={d}"), &[]),
        request("/ws?model=sim-refuse-401", &[("api-key", KEY)]),
        format!("GET / HTTP/1.1\r\n{a}\u{1}\r\n\r\n"),
    ];
    for request in &requests {
        let mut io = served.send(&world, request.as_bytes()).await;
        let mut buffer = bytes::BytesMut::new();
        let answer = within("an answer", head::read(&mut io, &mut buffer)).await;
        let answer = String::from_utf8(answer.unwrap().to_vec()).unwrap();
        let mut body = buffer.to_vec();
        within("the end", io.read_to_end(&mut body)).await.unwrap();
        let body = String::from_utf8(body).unwrap();
        for canary in canaries {
            assert!(
                !answer.contains(canary) && !body.contains(canary),
                "{answer}{body}"
            );
        }
    }
    // A session with its key, content and close reason of its own.
    let target = format!("/ws?model=sim-echo&api-key={KEY}");
    let io = served.send(&world, request(&target, &[]).as_bytes()).await;
    let mut caller = read_answer(io).await.unwrap();
    caller.send(text(a)).await;
    caller.next().await.unwrap();
    caller.close(4000, b).await;
    caller.closed().await;
    served
        .until(|line| line["message"] == "session ended")
        .await;
    let page = within("the page", served.metrics_page()).await;
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    assert!(printed.contains("request refused"), "{printed}");
    assert!(page.contains("tonegate_sessions_ended_total{"), "{page}");
    for secret in canaries.iter().chain(&[KEY, UPSTREAM_KEY]) {
        assert!(
            !printed.contains(secret),
            "{secret} was printed:\n{printed}"
        );
        assert!(!page.contains(secret), "{secret} is counted:\n{page}");
    }
}

#[tokio::test]
async fn one_line_at_the_start_and_one_at_the_end_of_a_session_tell_everything() {
    let world = World::usual().await;
    let mut served = Served::start(&world, "info").await;
    let target = "/ws?model=sim-echo";
    let io = served
        .send(&world, request(target, &[("api-key", KEY)]).as_bytes())
        .await;
    let mut caller = read_answer(io).await.unwrap();
    let start = served
        .until(|line| line["message"] == "session started")
        .await;
    for (field, value) in [
        ("route", "browser"),
        ("subject", "tester"),
        ("model", "sim-echo"),
        ("upstream", "voice"),
        ("level", "INFO"),
    ] {
        assert_eq!(start[field], value, "{start}");
    }
    assert!(start["upgrade_ms"].as_f64().unwrap() > 0.0);
    caller.send(text("12345")).await;
    caller.next().await.unwrap();
    caller.close(4321, "bye").await;
    caller.closed().await;
    let end = served
        .until(|line| line["message"] == "session ended")
        .await;
    assert_eq!(end["session"], start["session"]);
    for (field, value) in [("ended_by", "client"), ("reason", "client_closed")] {
        assert_eq!(end[field], value, "{end}");
    }
    for (field, value) in [
        ("client_close", 4321),
        ("upstream_close", 4321),
        ("up_messages", 1),
        ("up_bytes", 5),
        ("down_messages", 1),
        ("down_bytes", 5),
    ] {
        assert_eq!(end[field], value, "{field} in {end}");
    }
    let (code, printed) = served.end(Signal::INT).await;
    assert_eq!(code, 0, "{printed}");
}

#[tokio::test]
async fn dials_that_fail_are_told_once_a_second_with_the_count_of_the_others() {
    let world = World::usual().await;
    let mut served = Served::start(&world, "info").await;
    let began = Instant::now();
    let target = "/ws?model=sim-refuse-500";
    let failing = request(target, &[("api-key", KEY)]);
    let fails = async |count: usize| {
        for _ in 0..count {
            let io = served.send(&world, failing.as_bytes()).await;
            let refused = read_answer(io).await.err().unwrap();
            assert_eq!(refused.status, 502);
        }
    };
    fails(20).await;
    // The next one is told for certain, and all that were not told with it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    fails(1).await;
    let mut told = 0;
    let mut lines = 0;
    while told < 21 {
        let line = served
            .until(|line| line["message"] == "upstream failed")
            .await;
        told += 1 + line["left_out"].as_u64().unwrap();
        lines += 1;
    }
    assert_eq!(told, 21);
    assert!(lines <= 1 + began.elapsed().as_secs(), "{lines} lines");
    served.end(Signal::TERM).await;
}

#[tokio::test]
async fn check_prints_what_would_run_and_masks_secrets() {
    let world = World::usual().await;
    let file = world.folder.join("edge.toml");
    let (code, out, _) = run(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 0);
    assert!(
        out.contains("route     browser: /ws") && out.ends_with("ok\n"),
        "{out}"
    );
    assert!(!out.contains(UPSTREAM_KEY) && !out.contains(KEY), "{out}");
}

#[tokio::test]
async fn a_route_without_an_admission_decision_refuses_to_start_and_says_so() {
    let world = World::usual().await;
    let open = world.settings.replace("admit = [\"key\"]", "");
    let file = world.folder.join("open.toml");
    fs::write(&file, open).unwrap();
    for verb in ["check", "serve"] {
        let (code, out, err) = run(&[verb, "--config", file.to_str().unwrap()]).await;
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("routes.browser.admit"), "{err}");
        assert!(err.contains("no admission decision"), "{err}");
    }
}

#[tokio::test]
async fn mistakes_are_told_with_their_place_and_end_with_1_or_2() {
    let world = World::usual().await;
    let file = world.folder.join("typo.toml");
    fs::write(&file, world.settings.replace("workers", "worker")).unwrap();
    let (code, _, err) = run(&["serve", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(err.contains("typo.toml") && err.contains("line 4"), "{err}");
    assert!(err.contains("did you mean `workers`?"), "{err}");
    let (code, _, err) = run(&["serve", "--config", "/no/such/file.toml"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("cannot read /no/such/file.toml"), "{err}");
    let other = World::usual().await;
    let mut key = fs::read_to_string(world.folder.join("edge.toml")).unwrap();
    let foreign = other.folder.join("edge.key");
    key = key.replace("edge.key", foreign.to_str().unwrap());
    fs::write(&file, key).unwrap();
    let (code, _, err) = run(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(err.contains("server.tls"), "{err}");
    let (code, _, err) = run(&["serve"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("without --config"), "{err}");
    assert_eq!(run(&["dance"]).await.0, 2);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let world = World::usual().await;
    let taken = format!("127.0.0.1:{}", world.port);
    let file = world.folder.join("taken.toml");
    let settings = world
        .settings
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{taken}\""));
    fs::write(&file, settings).unwrap();
    let (code, _, err) = run(&["serve", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(err.contains(&format!("cannot listen on {taken}")), "{err}");
}

#[tokio::test]
async fn the_key_that_is_made_opens_the_door_it_was_made_for() {
    let (code, out, _) = run(&["key", "kiosk"]).await;
    assert_eq!(code, 0);
    let key = out
        .lines()
        .find_map(|line| line.strip_prefix("#   "))
        .unwrap();
    let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with('#')).collect();
    let world = World::with(Wish {
        more: lines.join("\n"),
        ..Wish::default()
    })
    .await;
    let mut caller = world
        .ask("/ws?model=sim-echo", &[("api-key", key)])
        .await
        .unwrap();
    caller.send(text("in")).await;
    assert_eq!(caller.next().await, Some(text("in")));
    assert_eq!(run(&["key", "a b"]).await.0, 1);
}

#[tokio::test]
async fn keys_that_are_dialled_into_a_file_are_found_in_it() {
    let world = World::usual().await;
    let file = world.folder.join("code.wav");
    let file = file.to_str().unwrap();
    for rate in ["8000", "16000", "24000", "48000"] {
        let (code, _, err) = run(&["tone", "823#", "--rate", rate, "-o", file]).await;
        assert_eq!((code, err.as_str()), (0, ""));
        let (code, out, _) = run(&["dtmf", file]).await;
        assert_eq!(code, 0);
        let presses: Vec<Value> = out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let digits: String = presses
            .iter()
            .map(|p| p["digit"].as_str().unwrap())
            .collect();
        assert_eq!(digits, "823#", "at {rate} Hz");
        for (i, press) in presses.iter().enumerate() {
            let start = press["start_ms"].as_f64().unwrap();
            assert!((start - (100.0 + 200.0 * i as f64)).abs() < 3.0, "{press}");
            let length = press["end_ms"].as_f64().unwrap() - start;
            assert!((length - 100.0).abs() < 5.0, "{press}");
            assert_eq!(press["decided_ms"].as_f64().unwrap() % 20.0, 0.0, "{press}");
            assert_eq!(press.get("twist_db"), None);
        }
    }
    let (_, out, _) = run(&["dtmf", "--explain", file]).await;
    let press: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert!(
        (press["low_dbm0"].as_f64().unwrap() + 10.0).abs() < 0.5,
        "{press}"
    );
    assert!(!out.contains("-0.0"), "{out}");
    assert_eq!(run(&["tone", "8x", "-o", file]).await.0, 1);
    assert_eq!(run(&["dtmf", "-"]).await.0, 1);
}

/// What a verb prints for these bytes on standard input.
async fn run_with_input(args: &[&str], input: &[u8]) -> (i32, String) {
    let mut child = tonegate()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that has heard enough need not read the rest.
    let _ = child.stdin.take().unwrap().write_all(input).await;
    let output = within("the program", child.wait_with_output())
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), out)
}

#[tokio::test]
async fn bad_recordings_are_named_and_the_good_ones_heard() {
    let world = World::usual().await;
    let path = |name: &str| world.folder.join(name).to_str().unwrap().to_owned();
    let good = path("good.wav");
    assert_eq!(run(&["tone", "5", "-o", &good]).await.0, 0);
    let bytes = fs::read(&good).unwrap();
    let spoilt = |name: &str, at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        fs::write(path(name), bytes).unwrap();
        path(name)
    };
    let cases = [
        (spoilt("noise.wav", 0, b'X'), "not a WAV file"),
        (spoilt("stereo.wav", 22, 2), "2 channels"),
        (spoilt("wide.wav", 34, 24), "24 bits"),
        (path("missing.wav"), "No such file"),
    ];
    for (bad, why) in &cases {
        let (code, out, err) = run(&["dtmf", bad, &good]).await;
        assert_eq!((code, out.lines().count()), (1, 1), "{bad}: {out}");
        assert!(err.contains(bad.as_str()) && err.contains(why), "{err}");
    }
    let (code, _, err) = run(&["dtmf", "--rate", "8000", &good]).await;
    assert!(code == 1 && err.contains("--rate"), "{err}");
    // A file that ends in the middle of the press ends it.
    let cut = path("cut.wav");
    let samples = Wav::read(&bytes).unwrap().samples[..2400].to_vec();
    fs::write(
        &cut,
        Wav {
            rate: SampleRate::Hz16000,
            samples,
        }
        .write(),
    )
    .unwrap();
    let (_, out, _) = run(&["dtmf", &cut, &good]).await;
    let ends: Vec<f64> = out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["end_ms"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0], 150.0);
    assert!((ends[1] - 200.0).abs() < 3.0);
}

#[tokio::test]
async fn sound_goes_through_pipes() {
    let output = tonegate()
        .args(["tone", "42#", "--rate", "24000", "-o", "-"])
        .output();
    let file = within("the program", output).await.unwrap().stdout;
    let wav = Wav::read(&file).unwrap();
    assert_eq!(wav.rate, SampleRate::Hz24000);
    let raw: Vec<u8> = wav.samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (code, out) = run_with_input(&["dtmf", "-", "--rate", "24000"], &raw).await;
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    let (code, out) = run_with_input(&["dtmf", "-", "--rate", "24000"], &raw[1..]).await;
    assert_eq!((code, out.as_str()), (1, ""), "half a sample");
    assert_eq!(
        run_with_input(&["dtmf", "-", "--rate", "11025"], &raw)
            .await
            .0,
        1
    );
}

#[tokio::test]
async fn help_names_every_verb() {
    let (code, out, _) = run(&["--help"]).await;
    assert_eq!(code, 0);
    for verb in [
        "demo", "serve", "check", "key", "dtmf", "tone", "sim", "token", "audit",
    ] {
        assert!(
            out.lines().any(|l| l.trim_start().starts_with(verb)),
            "{out}"
        );
    }
    assert!(Path::new(env!("CARGO_BIN_EXE_tonegate")).exists());
}
