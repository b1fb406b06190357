//! Telephone calls as ACS makes them, open loop: a call begins when the schedule says so, is let in by
//! a token and a signed URL of its own, dials a code whose key is in the store, waits for the agent,
//! talks and hangs up. What comes back is compared byte for byte, and must not hold the code.

mod call;
mod line;
mod pass;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::call::{Call, FRAME, Outcome};
use self::line::{By, Heard, Line};
use crate::drive::{Lateness, Meter, stay_awake};
use crate::report::{Format, Report, Times};
use crate::server::{Part, Server};
use crate::socket::{Dialler, Target};
use crate::{Result, process};

/// Longer than the edge waits for a code, an agent and a goodbye.
const CALL_MAX: Duration = Duration::from_secs(90);

#[derive(clap::Args)]
pub struct Flags {
    /// The edge
    #[arg(long)]
    address: SocketAddr,
    /// Folder of the media URL; the call's id follows
    #[arg(long, default_value = "/acs/media")]
    path: String,
    /// PEM file with the authority that signed the certificates of the edge and of the issuer
    #[arg(long)]
    ca: PathBuf,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    calls: u32,
    /// Calls that begin in a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// How long each talks once the agent is heard
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// What each dials
    #[arg(long, default_value = "823123", value_parser = code)]
    code: String,
    #[arg(long, value_enum, default_value = "tones")]
    by: By,
    /// What the edge signs media URLs with
    #[arg(long)]
    secret: String,
    /// `tonegate sim issuer`, with TLS
    #[arg(long)]
    issuer: SocketAddr,
    /// Whom its tokens are for
    #[arg(long, default_value = "22222222-3333-4444-5555-666666666666")]
    audience: String,
    /// Where the keys of the codes go
    #[arg(long)]
    redis: SocketAddr,
    /// Run the agent on this address, in the thread of the callers: it then never sleeps
    #[arg(long, requires_all = ["certificate", "key"])]
    voice: Option<SocketAddr>,
    /// What the agent is: it takes nothing that it has not to be told
    #[arg(long, value_enum, default_value = "voice-live", requires = "voice")]
    agent: Agent,
    #[arg(long)]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
    /// Process whose cost is taken, children included; may be given again
    #[arg(long = "pid")]
    pids: Vec<u32>,
    /// The run fails if one call in a hundred waits longer for its 101
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 2000.0,
        help_heading = "Thresholds"
    )]
    max_connect_ms: f64,
    /// The run fails if one call in a hundred waits longer from its last key to the agent's first audio
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 2000.0,
        help_heading = "Thresholds"
    )]
    max_gate_ms: f64,
    /// The run fails if one frame in a hundred takes longer to the agent and back, in microseconds
    #[arg(
        long,
        value_name = "US",
        default_value_t = 500_000.0,
        help_heading = "Thresholds"
    )]
    max_p99_us: f64,
    /// The run fails if a call costs the watched processes more
    #[arg(
        long,
        value_name = "MS",
        requires = "pids",
        help_heading = "Thresholds"
    )]
    max_cpu_ms_per_call: Option<f64>,
    /// The run fails if more frames are lost
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Thresholds"
    )]
    max_lost: u64,
    #[command(flatten)]
    lateness: Lateness,
}

/// Who answers behind the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Agent {
    /// The service, whose protocol the edge translates
    VoiceLive,
    /// An orchestrator that speaks ACS: the edge passes its frames on verbatim
    Orchestrator,
}

impl Agent {
    fn part(self) -> Part {
        match self {
            Agent::VoiceLive => Part::Voice,
            Agent::Orchestrator => Part::Orchestrator,
        }
    }
}

fn code(text: &str) -> std::result::Result<String, &'static str> {
    let fits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b"0123456789#".contains(&b));
    fits.then(|| text.to_owned())
        .ok_or("a code has 1 to 16 of the keys 0 to 9 and #")
}

/// What all calls of a run found.
struct Shared {
    connect: Times,
    gate: Times,
    round_trip: Times,
    lateness: Times,
    late: AtomicU64,
    said: AtomicU64,
    heard: Mutex<Heard>,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            connect: Times::new(),
            gate: Times::new(),
            round_trip: Times::new(),
            lateness: Times::new(),
            late: AtomicU64::new(0),
            said: AtomicU64::new(0),
            heard: Mutex::default(),
        }
    }

    /// A frame leaves that was due then.
    fn late(&self, due: Instant) {
        self.lateness.record(due.elapsed());
        self.late
            .fetch_add(u64::from(due.elapsed() > FRAME), Relaxed);
    }

    fn add(&self, heard: &Heard) {
        let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        all.frames += heard.frames;
        all.lost += heard.lost;
        all.changed += heard.changed;
        all.leaked += heard.leaked;
    }
}

/// How the calls ended.
#[derive(Default)]
struct Endings {
    whole: u64,
    /// By HTTP status.
    refused: BTreeMap<u16, u64>,
    /// By close code; 0: without a word.
    closed: BTreeMap<u16, u64>,
    broken: u64,
}

impl Endings {
    fn add(&mut self, ended: Result<Outcome>) {
        match ended {
            Ok(Outcome::Whole) => {
                self.whole += 1;
                *self.closed.entry(1000).or_default() += 1;
            }
            Ok(Outcome::Refused(status)) => *self.refused.entry(status).or_default() += 1,
            Ok(Outcome::Closed(code)) => *self.closed.entry(code.unwrap_or(0)).or_default() += 1,
            Err(error) => {
                if self.broken == 0 {
                    eprintln!("tonegate-load: {error}");
                }
                self.broken += 1;
            }
        }
    }
}

/// Makes the calls, prints the line; false when a call was not whole, a byte was not right, or a
/// threshold was passed.
pub async fn run(flags: Flags, format: Format) -> Result<bool> {
    crate::loopback(&[flags.issuer, flags.redis])?;
    process::all_run(&flags.pids)?;
    if let (Some(listen), Some(certificate), Some(key)) =
        (flags.voice, &flags.certificate, &flags.key)
    {
        let server = Server::bind(listen, Some((certificate, key)), flags.agent.part()).await?;
        tokio::spawn(server.serve());
    }
    let calls = calls(&flags).await?;
    let dialler = Dialler::new(Target {
        address: flags.address,
        path: String::new(),
        headers: Vec::new(),
        ca: Some(flags.ca.clone()),
        plain: false,
        resume: false,
    })?;
    let shared = Arc::new(Shared::new());
    let mut endings = Endings::default();
    let meter = Meter::start(&flags.pids);
    let mut tasks = JoinSet::new();
    stay_awake();
    for call in calls {
        let (dialler, shared) = (dialler.clone(), shared.clone());
        let limit = call.at + CALL_MAX + FRAME * call.talk;
        tasks.spawn(async move {
            let limit = limit.saturating_duration_since(Instant::now());
            timeout(limit, call.run(dialler, &shared)).await?
        });
    }
    while let Some(ended) = tasks.join_next().await {
        endings.add(ended.map_err(Into::into).flatten());
    }
    let mut report = report(&flags, &shared, &endings, &meter);
    if let Err(error) = process::all_run(&flags.pids) {
        report.demand(false, error.to_string());
    }
    Ok(report.print(format))
}

/// All calls of the run, let in from now on.
async fn calls(flags: &Flags) -> Result<Vec<Call>> {
    // Numbers of this run's own, in case the store has seen another.
    let run = pass::now() % 10_000_000;
    let ani = |number: u32| format!("+155{run:07}{number:04}");
    let keys: Vec<String> = (0..flags.calls)
        .map(|number| format!("pstn:{}:{}", ani(number), flags.code.trim_end_matches('#')))
        .collect();
    pass::store(flags.redis, &keys).await?;
    let tokens = pass::tokens(flags.issuer, &flags.ca, &flags.audience, flags.calls).await?;
    let start = Instant::now() + Duration::from_millis(100);
    let calls = tokens.into_iter().zip(0..).map(|(token, number)| {
        let (id, ani) = (format!("load-{run}-{number}"), ani(number));
        let secret = pass::sign(&flags.secret, &id, &ani, pass::now());
        Call {
            line: Line::new(number, &ani, &flags.code, flags.by),
            path: format!("{}/{id}?s={secret}", flags.path),
            headers: vec![
                format!("Authorization: Bearer {token}"),
                format!("x-ms-call-connection-id: connection-{id}"),
                format!("x-ms-call-correlation-id: correlation-{id}"),
            ],
            at: start + Duration::from_secs(1) * number / flags.rate,
            talk: flags.seconds * 50,
        }
    });
    Ok(calls.collect())
}

fn report(flags: &Flags, shared: &Shared, endings: &Endings, meter: &Meter) -> Report {
    let heard = shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
    let (said, late) = (shared.said.load(Relaxed), shared.late.load(Relaxed));
    let cpu = meter.cpu_us();
    let per_call = cpu / 1000.0 / f64::from(flags.calls);
    let mut report = Report::new(json!({
        "mode": "gate",
        "calls": flags.calls,
        "whole": endings.whole,
        "refused": endings.refused,
        "closed": endings.closed,
        "broken": endings.broken,
        "connect_us": shared.connect.json(),
        "gate_us": shared.gate.json(),
        "round_trip_us": shared.round_trip.json(),
        "lateness_us": shared.lateness.json(),
        "frames_said": said,
        "frames_late": late,
        "frames_heard": heard.frames,
        "lost": heard.lost,
        "changed": heard.changed,
        "leaked": heard.leaked,
        "cpu_ms_per_call": per_call,
        // Each frame that was heard crossed twice.
        "cpu_us_per_frame_said": cpu / said.max(1) as f64,
    }));
    report.demand(
        endings.whole == u64::from(flags.calls),
        "not every call was whole",
    );
    report.demand(heard.changed == 0, "audio was changed");
    report.demand(heard.leaked == 0, "audio of the code was let through");
    let p99 = |times: &Times| times.p99();
    for (what, value, flag, most) in [
        (
            "frames lost",
            heard.lost as f64,
            "max-lost",
            Some(flags.max_lost as f64),
        ),
        (
            "time to the 101, p99 in ms",
            p99(&shared.connect) / 1000.0,
            "max-connect-ms",
            Some(flags.max_connect_ms),
        ),
        (
            "last key to the agent, p99 in ms",
            p99(&shared.gate) / 1000.0,
            "max-gate-ms",
            Some(flags.max_gate_ms),
        ),
        (
            "round trip, p99 in us",
            p99(&shared.round_trip),
            "max-p99-us",
            Some(flags.max_p99_us),
        ),
        (
            "CPU per call in ms",
            per_call,
            "max-cpu-ms-per-call",
            flags.max_cpu_ms_per_call,
        ),
    ] {
        report.at_most(what, value, flag, most);
    }
    flags.lateness.judge(&mut report, late, said);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(calls: u32) -> Flags {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            flags: Flags,
        }
        let calls = calls.to_string();
        let line = [
            "load",
            "--address",
            "127.0.0.1:1",
            "--ca",
            "ca.pem",
            "--calls",
            &calls,
        ];
        let more = [
            "--secret",
            "s",
            "--issuer",
            "127.0.0.1:2",
            "--redis",
            "127.0.0.1:3",
        ];
        Line::parse_from(line.into_iter().chain(more)).flags
    }

    /// A run of two calls that took two milliseconds everywhere.
    fn shared() -> Shared {
        let shared = Shared::new();
        for times in [&shared.connect, &shared.gate, &shared.round_trip] {
            times.record(Duration::from_millis(2));
        }
        shared.said.store(1000, Relaxed);
        shared
    }

    fn told(endings: &Endings, shared: &Shared) -> Report {
        report(&flags(2), shared, endings, &Meter::start(&[]))
    }

    fn whole() -> Endings {
        let mut endings = Endings::default();
        endings.add(Ok(Outcome::Whole));
        endings.add(Ok(Outcome::Whole));
        endings
    }

    #[test]
    fn only_a_sound_run_is_ok() {
        let sound = shared();
        sound.late.store(10, Relaxed);
        let told_well = told(&whole(), &sound);
        assert_eq!(told_well.failed(), [""; 0]);
        assert_eq!(told_well.line()["closed"]["1000"], 2);
        let wrong = |change: fn(&Shared)| {
            let shared = shared();
            change(&shared);
            told(&whole(), &shared).failed().join("; ")
        };
        let heard = |shared: &Shared, change: fn(&mut Heard)| {
            change(&mut shared.heard.lock().expect("nobody panicked"));
        };
        let lost = wrong(|shared| shared.heard.lock().expect("sound").lost = 1);
        assert_eq!(lost, "frames lost: 1, more than --max-lost 0");
        let changed = shared();
        heard(&changed, |heard| heard.changed = 1);
        assert_eq!(told(&whole(), &changed).failed(), ["audio was changed"]);
        let leaked = shared();
        heard(&leaked, |heard| heard.leaked = 1);
        assert_eq!(
            told(&whole(), &leaked).failed(),
            ["audio of the code was let through"]
        );
        let late = wrong(|shared| shared.late.store(11, Relaxed));
        assert!(
            late.contains("11 of 1000, more than --max-late-per-mille 10"),
            "{late}"
        );
    }

    #[test]
    fn endings_are_counted_by_what_was_said() {
        let mut endings = Endings::default();
        for ended in [
            Outcome::Whole,
            Outcome::Refused(403),
            Outcome::Closed(Some(4403)),
            Outcome::Closed(None),
        ] {
            endings.add(Ok(ended));
        }
        endings.add(Err("broken".into()));
        let told = told(&endings, &shared());
        assert_eq!(told.failed(), ["not every call was whole"]);
        let line = told.line();
        assert_eq!(line["refused"], json!({"403": 1}));
        assert_eq!(line["closed"], json!({"0": 1, "1000": 1, "4403": 1}));
        assert_eq!((&line["whole"], &line["broken"]), (&json!(1), &json!(1)));
    }

    #[test]
    fn slowness_fails_the_run_and_so_does_no_time_at_all() {
        let slow = Shared::new();
        let all = |shared: &Shared, took: Duration| {
            for times in [&shared.connect, &shared.gate, &shared.round_trip] {
                times.record(took);
            }
        };
        all(&slow, Duration::from_secs(3));
        let flags = ["--max-connect-ms", "--max-gate-ms", "--max-p99-us"];
        for shared in [slow, Shared::new()] {
            let told = told(&whole(), &shared);
            assert_eq!(told.failed().len(), 3, "{:?}", told.failed());
            for (failed, flag) in told.failed().iter().zip(flags) {
                assert!(failed.contains(flag), "{failed}");
            }
        }
    }

    #[test]
    fn a_code_has_keys_of_a_telephone() {
        assert!(code("823#").is_ok());
        for wrong in ["", "82a", "8 2", "12345678901234567"] {
            assert!(code(wrong).is_err(), "{wrong}");
        }
    }
}
