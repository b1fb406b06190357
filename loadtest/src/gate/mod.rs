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

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::call::{Call, FRAME, Outcome};
use self::line::{By, Heard, Line};
use crate::Result;
use crate::drive::{Meter, stay_awake};
use crate::report::{histogram, percentiles};
use crate::server::{Part, Server};
use crate::socket::{Dialler, Target};

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
    /// Run the strict Voice Live on this address, in the thread of the callers: it then never sleeps
    #[arg(long, requires_all = ["certificate", "key"])]
    voice: Option<SocketAddr>,
    #[arg(long)]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
    /// Process whose cost is taken, children included; may be given again
    #[arg(long = "pid")]
    pids: Vec<u32>,
    /// The run fails if one call in a hundred waits longer for its 101, in milliseconds
    #[arg(long, default_value_t = 2000)]
    connect_ms: u64,
    /// The same of the time from the last key to the agent's first audio
    #[arg(long, default_value_t = 2000)]
    gate_ms: u64,
    /// The same of a frame's way to the agent and back
    #[arg(long, default_value_t = 500)]
    round_trip_ms: u64,
    /// The run fails if more of its own frames in a thousand leave 20 ms late: it then measured itself
    #[arg(long, default_value_t = 10)]
    late_per_mille: u64,
}

fn code(text: &str) -> std::result::Result<String, &'static str> {
    let fits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b"0123456789#".contains(&b));
    fits.then(|| text.to_owned())
        .ok_or("a code has 1 to 16 of the keys 0 to 9 and #")
}

/// Microseconds from a scheduled moment to its event.
struct Times(Mutex<Histogram<u64>>);

impl Times {
    fn new() -> Times {
        Times(Mutex::new(histogram()))
    }

    fn record(&self, scheduled: Instant) {
        let took = scheduled.elapsed().as_micros() as u64;
        self.with(|histogram| histogram.saturating_record(took));
    }

    fn json(&self) -> Value {
        self.with(|histogram| percentiles(histogram))
    }

    fn p99_ms(&self) -> u64 {
        self.with(|histogram| histogram.value_at_quantile(0.99).div_ceil(1000))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Histogram<u64>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
        self.lateness.record(due);
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
pub async fn run(flags: Flags) -> Result<bool> {
    if !flags.issuer.ip().is_loopback() || !flags.redis.ip().is_loopback() {
        return Err("load goes to loopback addresses only".into());
    }
    if let (Some(listen), Some(certificate), Some(key)) =
        (flags.voice, &flags.certificate, &flags.key)
    {
        let server = Server::bind(listen, Some((certificate, key)), Part::Voice).await?;
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
    let line = report(&flags, &shared, &endings, &meter);
    println!("{line}");
    Ok(line["ok"] == true)
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

fn report(flags: &Flags, shared: &Shared, endings: &Endings, meter: &Meter) -> Value {
    let heard = shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
    let (said, late) = (shared.said.load(Relaxed), shared.late.load(Relaxed));
    let mut failed = Vec::new();
    let mut demand = |holds: bool, what: &'static str| {
        if !holds {
            failed.push(what);
        }
    };
    demand(
        endings.whole == u64::from(flags.calls),
        "not every call was whole",
    );
    demand(heard.lost == 0, "audio was lost");
    demand(heard.changed == 0, "audio was changed");
    demand(heard.leaked == 0, "audio of the code was let through");
    demand(
        shared.connect.p99_ms() <= flags.connect_ms,
        "the 101 came too late",
    );
    demand(
        shared.gate.p99_ms() <= flags.gate_ms,
        "the agent came too late",
    );
    demand(
        shared.round_trip.p99_ms() <= flags.round_trip_ms,
        "frames took too long",
    );
    demand(
        late * 1000 <= said * flags.late_per_mille,
        "the callers themselves were late",
    );
    // Each frame that was heard crossed twice.
    let cpu = meter.cpu_us();
    json!({
        "mode": "gate",
        "ok": failed.is_empty(),
        "failed": failed,
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
        "cpu_ms_per_call": cpu / 1000.0 / f64::from(flags.calls),
        "cpu_us_per_frame_said": cpu / said.max(1) as f64,
    })
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

    fn told(endings: &Endings, heard: Heard, late: u64) -> Value {
        let shared = Shared::new();
        *shared.heard.lock().expect("nobody panicked") = heard;
        shared.late.store(late, Relaxed);
        shared.said.store(1000, Relaxed);
        report(&flags(2), &shared, endings, &Meter::start(&[]))
    }

    fn whole() -> Endings {
        let mut endings = Endings::default();
        endings.add(Ok(Outcome::Whole));
        endings.add(Ok(Outcome::Whole));
        endings
    }

    #[test]
    fn only_a_sound_run_is_ok() {
        let told_well = told(&whole(), Heard::default(), 10);
        assert_eq!(
            (&told_well["ok"], &told_well["closed"]["1000"]),
            (&json!(true), &json!(2))
        );
        let wrong = |change: fn(&mut Heard)| {
            let mut heard = Heard::default();
            change(&mut heard);
            told(&whole(), heard, 0)["failed"].clone()
        };
        assert_eq!(wrong(|heard| heard.lost = 1), json!(["audio was lost"]));
        assert_eq!(
            wrong(|heard| heard.changed = 1),
            json!(["audio was changed"])
        );
        assert_eq!(
            wrong(|heard| heard.leaked = 1),
            json!(["audio of the code was let through"])
        );
        let late = told(&whole(), Heard::default(), 11);
        assert_eq!(late["failed"], json!(["the callers themselves were late"]));
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
        let told = told(&endings, Heard::default(), 0);
        assert_eq!(told["ok"], false);
        assert_eq!(told["refused"], json!({"403": 1}));
        assert_eq!(told["closed"], json!({"0": 1, "1000": 1, "4403": 1}));
        assert_eq!((&told["whole"], &told["broken"]), (&json!(1), &json!(1)));
    }

    #[test]
    fn slowness_fails_the_run() {
        let shared = Shared::new();
        let long_ago = Instant::now()
            .checked_sub(Duration::from_secs(3))
            .expect("the past");
        for times in [&shared.connect, &shared.gate, &shared.round_trip] {
            times.record(long_ago);
        }
        let told = report(&flags(2), &shared, &whole(), &Meter::start(&[]));
        let slow = [
            "the 101 came too late",
            "the agent came too late",
            "frames took too long",
        ];
        assert_eq!(told["failed"], json!(slow));
    }

    #[test]
    fn a_code_has_keys_of_a_telephone() {
        assert!(code("823#").is_ok());
        for wrong in ["", "82a", "8 2", "12345678901234567"] {
            assert!(code(wrong).is_err(), "{wrong}");
        }
    }
}
