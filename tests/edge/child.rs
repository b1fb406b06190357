//! The edge as a process, for tests that look at what a process costs.

use std::fs;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{World, within};

/// The edge as a process of its own, with the settings of a [`World`], whose callers go there from
/// then on. Dropping it kills it.
pub struct Child {
    process: std::process::Child,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Child {
    /// Starts it; `shell` is a command that runs before it in the same process.
    pub fn start(world: &mut World, shell: &str) -> Child {
        let mut process = Command::new("sh")
            .arg("-c")
            .arg(format!("{shell}; exec \"$0\" serve --config \"$1\""))
            .arg(env!("CARGO_BIN_EXE_tonegate"))
            .arg(world.folder.join("edge.toml"))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(process.stderr.take().unwrap()).lines();
        let mut address = |role: &str| -> SocketAddr {
            loop {
                let line = lines.next().expect("the edge ended at its start").unwrap();
                let line: Value = serde_json::from_str(&line).expect(&line);
                if line["role"] == role {
                    break line["address"].as_str().unwrap().parse().unwrap();
                }
            }
        };
        world.port = address("public").port();
        let admin = address("admin");
        // Read on in any case: a pipe that is full must not end the log.
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        let read = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect(&line);
                read.lock().unwrap().push(line);
            }
        });
        Child {
            process,
            admin,
            log,
        }
    }

    /// How many log lines so far are of this kind.
    pub fn logged(&self, is: impl Fn(&Value) -> bool) -> usize {
        self.log.lock().unwrap().iter().filter(|l| is(l)).count()
    }

    /// The log lines so far of this kind.
    pub fn lines(&self, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| is(line)).cloned().collect()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        kill_process(self.id(), Signal::TERM).unwrap();
    }

    /// Waits for its end; the exit code.
    pub async fn exits(&mut self) -> i32 {
        within("the end of the edge", async {
            loop {
                if let Some(status) = self.process.try_wait().unwrap() {
                    return status.code().expect("killed");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    pub fn id(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed()).unwrap()
    }

    /// Where its operator's listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What its operator's listener answers.
    pub async fn asks_admin(&self, path: &str) -> Option<(u16, String)> {
        crate::metrics::get(self.admin, path).await
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.process.id()))
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Resident memory in bytes, without what belongs to files.
    pub fn memory(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let kib: usize = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib * 1024
    }

    /// How often each thread of this name has gone to sleep.
    pub fn sleeps(&self, thread: &str) -> u64 {
        let threads = fs::read_dir(self.proc("task")).unwrap();
        let status = threads
            .map(|entry| fs::read_to_string(entry.unwrap().path().join("status")).unwrap())
            .find(|status| status.starts_with(&format!("Name:\t{thread}\n")))
            .unwrap();
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    }

    /// Processor time used while `span` goes by.
    pub async fn cpu_during(&self, span: Duration) -> Duration {
        let before = self.cpu();
        tokio::time::sleep(span).await;
        self.cpu() - before
    }

    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |i: usize| fields[i].parse::<u64>().unwrap();
        // A tick is 10 ms on every Linux that runs this.
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }

    /// Waits until `holds` is true of it.
    pub async fn until(&self, what: &str, holds: impl Fn(&Child) -> bool) {
        within(what, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until a line of its metrics page appears.
    pub async fn metrics_say(&self, line: &str) {
        within(line, async {
            while !self.metrics_page().await.lines().any(|l| l == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// The value of a series of its metrics page; 0 if it is not there.
    pub async fn count(&self, series: &str) -> u64 {
        let page = self.metrics_page().await;
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    pub async fn metrics_page(&self) -> String {
        let mut tcp = TcpStream::connect(self.admin).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        tcp.write_all(request).await.unwrap();
        let mut page = String::new();
        tcp.read_to_string(&mut page).await.unwrap();
        page
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
