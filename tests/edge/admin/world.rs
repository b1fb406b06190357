//! Requests to an admin listener, byte by byte, and what it answers.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::Command;
use tonegate::session::Live;

use crate::harness::{Caller, World, within};

pub const JSON: (&str, &str) = ("Content-Type", "application/json");
pub const HERE: (&str, &str) = ("Host", "localhost");

/// One answer.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().expect(&self.body).to_owned()
    }
}

/// Asks with these header lines and no others but what says how long the body is.
pub async fn ask(admin: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Told {
    let mut io = TcpStream::connect(admin).await.unwrap();
    io.write_all(request(line, headers, body).as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    within("the admin's answer", io.read_to_string(&mut answer))
        .await
        .unwrap();
    told(&answer)
}

pub fn told(answer: &str) -> Told {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Told {
        status: head[9..12].parse().unwrap(),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

pub fn request(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!(
        "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}

/// As a shell on this machine asks.
pub async fn get(admin: SocketAddr, path: &str) -> Told {
    ask(admin, &format!("GET {path}"), &[HERE], "").await
}

/// A caller whose session is shown with its upstream, which it is a moment after its `101`; and its id.
pub async fn shown(world: &World, model: &str) -> (Caller, String) {
    let caller = world.call(model).await;
    let id = caller.head.one("x-tonegate-session").unwrap().to_owned();
    let registry = world.edge().registry();
    within("a session that is shown", async {
        let is = |live: &Live| live.id.to_string() == id && live.upstream.is_some();
        while registry.running(is, 1).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    (caller, id)
}

/// A tail as it comes: its head has been read, and was that of one.
pub struct Tail {
    lines: Lines<BufReader<TcpStream>>,
}

impl Tail {
    pub async fn of(admin: SocketAddr, session: &str) -> Tail {
        let mut tail = Tail {
            lines: BufReader::new(open(admin, session).await).lines(),
        };
        let first = tail.line().await;
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        while !tail.line().await.is_empty() {}
        tail
    }

    async fn line(&mut self) -> String {
        let line = within("a line of a tail", self.lines.next_line()).await;
        line.unwrap().expect("the tail ended")
    }

    /// The next that is told, and its text.
    pub async fn next(&mut self) -> (Value, String) {
        loop {
            let line = self.line().await;
            // Between them stand the lengths of chunks.
            if line.starts_with('{') {
                return (serde_json::from_str(&line).expect(&line), line);
            }
        }
    }

    /// Reads on until this is told; all of it until then.
    pub async fn until(&mut self, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let (told, _) = self.next().await;
            all.push(told.clone());
            if is(&told) {
                return all;
            }
        }
    }

    /// It ends by itself, and well.
    pub async fn ends(mut self) {
        let last = async {
            let mut last = String::new();
            while let Ok(Some(line)) = self.lines.next_line().await {
                if !line.is_empty() {
                    last = line;
                }
            }
            last
        };
        assert_eq!(within("the end of a tail", last).await, "0");
    }
}

/// A connection on which a tail was asked for.
pub async fn open(admin: SocketAddr, session: &str) -> TcpStream {
    let mut io = TcpStream::connect(admin).await.unwrap();
    let line = format!("GET /sessions/{session}/tail");
    io.write_all(request(&line, &[HERE], "").as_bytes())
        .await
        .unwrap();
    io
}

/// The verbs, as a process.
pub fn tonegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonegate"));
    command.env_remove("TONEGATE_ADMIN_TOKEN").args(arguments);
    command.kill_on_drop(true);
    command
}

/// What a process told: exit code, standard output, standard error.
pub async fn run(command: &mut Command) -> (i32, String, String) {
    let patience = Duration::from_secs(60);
    let output = tokio::time::timeout(patience, command.output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("a process took too long").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
