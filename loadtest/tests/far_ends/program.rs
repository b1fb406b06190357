//! Starts programs and hears them out; whatever was started ends with its owner.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

pub const LOAD: &str = env!("CARGO_BIN_EXE_tonegate-load");

/// A folder with certificates, the same for all tests.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("far-ends");
    // What an earlier run left.
    let _ = std::fs::remove_dir_all(&folder);
    let made = Command::new(LOAD)
        .args(["certificates", "--directory"])
        .arg(&folder)
        .status()
        .expect("a program");
    assert!(made.success());
    folder
});

pub fn file(name: &str) -> String {
    FOLDER.join(name).display().to_string()
}

/// `tonegate-load` with these words; `{name.pem}` is a file of the folder.
pub fn load(words: &str) -> Command {
    let mut command = Command::new(LOAD);
    command.args(words.split_whitespace().map(|word| {
        match word
            .strip_prefix('{')
            .and_then(|word| word.strip_suffix('}'))
        {
            Some(name) => file(name),
            None => word.to_owned(),
        }
    }));
    command
}

/// An address that nobody listens on.
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

/// What a run came to: its exit code, its JSON line, what it complained of.
pub struct Ran {
    pub code: Option<i32>,
    pub line: Value,
    pub complaint: String,
}

impl Ran {
    pub fn failed(&self) -> String {
        let failed = self.line["failed"].as_array().into_iter().flatten();
        let failed: Vec<&str> = failed.filter_map(Value::as_str).collect();
        failed.join("; ")
    }

    /// Ended well, with nothing lost.
    pub fn is_sound(&self) {
        assert_eq!(self.code, Some(0), "{} {}", self.line, self.complaint);
        assert_eq!(self.line["ok"], true);
        assert_eq!(
            (&self.line["lost"], &self.line["changed"]),
            (&0.into(), &0.into())
        );
    }

    /// Ended with 1 for nothing but this, and says so in both places.
    pub fn failed_for(&self, flag: &str) {
        assert_eq!(self.code, Some(1), "{} {}", self.line, self.complaint);
        assert_eq!(self.line["ok"], false);
        let failed = self.line["failed"].as_array().expect("a list");
        assert_eq!(failed.len(), 1, "{}", self.failed());
        assert!(self.failed().contains(flag), "{}", self.failed());
        assert!(self.complaint.contains(flag), "{}", self.complaint);
    }
}

pub fn ran(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().expect("a program");
    let line = stdout
        .split(|byte| *byte == b'\n')
        .rfind(|line| !line.is_empty());
    Ran {
        code: status.code(),
        line: line.map_or(Value::Null, |line| {
            serde_json::from_slice(line).unwrap_or_default()
        }),
        complaint: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A server that ends with this.
pub struct Served {
    pub child: Child,
    pub address: SocketAddr,
}

impl Served {
    /// Of a program that tells its address in its first line.
    pub fn start(command: &mut Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a program");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let address = told["address"].as_str().and_then(|text| text.parse().ok());
        Served {
            address: address.expect("an address"),
            child,
        }
    }

    /// The forwarder in front of `upstream`: TLS on the client's side, on the upstream's.
    pub fn floor(upstream: SocketAddr, client_tls: bool, upstream_tls: bool) -> Served {
        let client = match client_tls {
            true => "--certificate {leaf.pem} --key {leaf.key}",
            false => "--plain-client",
        };
        let up = match upstream_tls {
            true => "--ca {ca.pem}",
            false => "--plain-upstream",
        };
        let words = format!("forward --listen 127.0.0.1:0 --upstream {upstream} {client} {up}");
        Served::start(&mut load(&words))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
