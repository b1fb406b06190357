//! The callers: each mode is one question, asked of whoever listens at the target's address.

mod call;
mod connect;
mod flood;
mod idle;
mod limits;
mod message;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::task::JoinSet;

pub use self::limits::Lateness;
use crate::report::{Counts, Format, Report};
use crate::server::{Part, Server};
use crate::socket::{Dialler, Socket, Target};
use crate::{Result, Usage, process};

/// Handshakes under way at once while connections are opened: enough to keep both ends busy.
const DIALS_AT_ONCE: usize = 16;
/// Past the time a run was given, what is still missing is lost.
const GRACE: Duration = Duration::from_secs(20);

#[derive(Subcommand)]
pub enum Mode {
    /// Calls that talk: each sends one message per interval, whatever comes back and when
    ///
    /// Open loop. Round trips count from when a message was due, so that a stall shows in every message
    /// that it delayed.
    Call(call::Flags),
    /// Calls that send as fast as the window allows: what a message costs when messages come in bursts
    Flood(flood::Flags),
    /// TCP, TLS, upgrade, close, over and over: what a connection costs
    Connect(connect::Flags),
    /// Calls that stay and say nothing: what one holds, and what of it is given back
    Idle(idle::Flags),
}

impl Mode {
    /// As the comparison drives: lateness is told, and fails nothing.
    pub fn late_or_not(mut self) -> Mode {
        if let Mode::Call(flags) = &mut self {
            flags.lateness.allow_late = true;
        }
        self
    }
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Measured seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Run the strict echo on this address, in the thread of the callers: it then never sleeps
    #[arg(long)]
    echo: Option<SocketAddr>,
    /// That echo speaks no TLS
    #[arg(long, requires = "echo")]
    echo_plain: bool,
    #[arg(long)]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
    /// Process whose cost is taken, children included; may be given again
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// The run fails if more messages, or connections, are lost
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Thresholds"
    )]
    max_lost: u64,
}

impl Common {
    async fn dialler(&self) -> Result<Dialler> {
        if let Some(listen) = self.echo {
            let leaf = match (&self.certificate, &self.key) {
                _ if self.echo_plain => None,
                (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
                _ => {
                    return Err(Usage::error(
                        "--echo needs --certificate and --key, or --echo-plain",
                    ));
                }
            };
            let server = Server::bind(listen, leaf, Part::Echo).await?;
            tokio::spawn(server.serve());
        }
        Dialler::new(self.target.clone())
    }

    /// Opens all connections, or says why not.
    async fn open(&self, dialler: &Dialler) -> Result<Vec<Socket>> {
        let mut dials = JoinSet::new();
        let mut sockets = Vec::new();
        for _ in 0..self.connections {
            if dials.len() == DIALS_AT_ONCE
                && let Some(dialled) = dials.join_next().await
            {
                sockets.push(dialled??);
            }
            let dialler = dialler.clone();
            dials.spawn(async move { dialler.dial().await });
        }
        while let Some(dialled) = dials.join_next().await {
            sockets.push(dialled??);
        }
        Ok(sockets)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// What a mode found out.
struct Measured {
    counts: Counts,
    report: Report,
}

/// The cost of the watched processes between two moments.
pub struct Meter {
    pids: Vec<u32>,
    cpu: process::Spent,
    resident: u64,
    began: std::time::Instant,
}

impl Meter {
    pub fn start(pids: &[u32]) -> Meter {
        let pids = process::family(pids);
        let (cpu, resident) = (process::Spent::of(&pids), process::resident_kib(&pids));
        Meter {
            pids,
            cpu,
            resident,
            began: std::time::Instant::now(),
        }
    }

    pub fn cpu_us(&self) -> f64 {
        process::Spent::of(&self.pids).since(&self.cpu) as f64 / 1000.0
    }

    fn resident_kib_more(&self) -> f64 {
        process::resident_kib(&self.pids) as f64 - self.resident as f64
    }

    fn cores(&self) -> f64 {
        self.cpu_us() / self.began.elapsed().as_micros() as f64
    }
}

/// Keeps the thread awake: a generator that sleeps measures its own waking, and lends the proxy
/// under test the other core's idle time. Ends with the runtime.
pub fn stay_awake() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}

/// Runs one mode and tells what came of it; false if the run failed.
pub async fn run(mode: Mode, format: Format) -> Result<bool> {
    let (name, common) = match &mode {
        Mode::Call(flags) => ("call", &flags.common),
        Mode::Flood(flags) => ("flood", &flags.common),
        Mode::Connect(flags) => ("connect", &flags.common),
        Mode::Idle(flags) => ("idle", &flags.common),
    };
    let (connections, limit) = (common.connections, common.duration() + GRACE * 2);
    let (pids, max_lost) = (common.pids.clone(), common.max_lost);
    process::all_run(&pids)?;
    let work = async {
        match mode {
            Mode::Call(flags) => call::run(flags).await,
            Mode::Flood(flags) => flood::run(flags).await,
            Mode::Connect(flags) => connect::run(flags).await,
            Mode::Idle(flags) => idle::run(flags).await,
        }
    };
    let Measured { counts, mut report } = tokio::time::timeout(limit, work)
        .await
        .map_err(|_| "the run did not end in time")??;
    report.set("mode", name);
    report.set("connections", connections);
    report.merge(counts.json());
    report.at_most(
        "lost",
        counts.lost() as f64,
        "max-lost",
        Some(max_lost as f64),
    );
    let (changed, broken) = (counts.changed.load(Relaxed), counts.broken.load(Relaxed));
    report.demand(
        changed == 0,
        format!("{changed} messages came back changed"),
    );
    report.demand(broken == 0, format!("{broken} connections broke"));
    if let Err(error) = process::all_run(&pids) {
        report.demand(false, error.to_string());
    }
    Ok(report.print(format))
}

/// Waits for the connections' tasks. One that failed is counted and, the first of them, told; one
/// that waits for what will not come is ended, and what it misses is lost.
async fn gather(mut tasks: JoinSet<Result<()>>, counts: &Counts, limit: Duration) {
    let mut told = false;
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            let Err(error) = ended.map_err(Into::into).flatten() else {
                continue;
            };
            Counts::add(&counts.broken);
            if !std::mem::replace(&mut told, true) {
                eprintln!("tonegate-load: {error}");
            }
        }
    };
    if tokio::time::timeout(limit, all).await.is_err() {
        eprintln!("tonegate-load: not all connections ended in time");
        Counts::add(&counts.broken);
        tasks.shutdown().await;
    }
}
