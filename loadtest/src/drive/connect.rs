//! What a connection costs: TCP, TLS, upgrade, close with its answer, then the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Common, GRACE, Measured, Meter, gather, limits, stay_awake};
use crate::Result;
use crate::report::{Counts, Report, Times};
use crate::socket::Dialler;

/// Each connection leaves an address behind for a minute; loopback has 28,000 of them.
const CONNECTIONS_MAX: u64 = 6_000;
/// Fewer of those that were to be resumed, and the figure is of something else.
const RESUMED_PER_MILLE: u64 = 950;
/// With a rate: later than that is late.
const LATE: Duration = Duration::from_millis(20);

#[derive(clap::Args)]
pub struct Flags {
    /// `--connections` says how many are under way at once
    #[command(flatten)]
    pub(super) common: Common,
    /// Open loop: so many begin in a second, and times count from when they were due. Otherwise the next
    /// one begins when one has closed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// The run fails if one in a hundred waited longer for its 101, in microseconds
    #[arg(long, value_name = "US", help_heading = "Thresholds")]
    max_p99_us: Option<f64>,
    /// The run fails if a connection cost the watched processes more
    #[arg(
        long,
        value_name = "MS",
        requires = "pids",
        help_heading = "Thresholds"
    )]
    max_cpu_ms_per_connection: Option<f64>,
    #[command(flatten)]
    lateness: limits::Lateness,
}

struct Shared {
    counts: Counts,
    took: Times,
    late: AtomicU64,
    /// The number of the next one.
    next: AtomicU64,
    rate: Option<u32>,
    start: Instant,
    end: Instant,
}

impl Shared {
    /// When the next one is due, if there is to be one.
    fn next(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Relaxed);
        let due = match self.rate {
            Some(rate) => self.start + Duration::from_secs_f64(number as f64 / f64::from(rate)),
            None => Instant::now(),
        };
        (due < self.end && number < CONNECTIONS_MAX).then_some(due)
    }
}

pub async fn run(flags: Flags) -> Result<Measured> {
    let dialler = flags.common.dialler().await?;
    dialler.warm_up(flags.common.connections).await?;
    let resumed = dialler.resumed();
    let start = Instant::now();
    let shared = Arc::new(Shared {
        counts: Counts::default(),
        took: Times::new(),
        late: AtomicU64::new(0),
        next: AtomicU64::new(0),
        rate: flags.rate,
        start,
        end: start + flags.common.duration(),
    });
    let meter = Meter::start(&flags.common.pids);
    let mut tasks = JoinSet::new();
    for _ in 0..flags.common.connections {
        tasks.spawn(caller(dialler.clone(), shared.clone()));
    }
    stay_awake();
    gather(tasks, &shared.counts, flags.common.duration() + GRACE).await;
    let shared = Arc::into_inner(shared).ok_or("a connection outlived the run")?;
    let made = shared.counts.received.load(Relaxed);
    let cpu = meter.cpu_us() / 1000.0 / made as f64;
    let resumed = dialler.resumed() - resumed;
    let mut report = Report::new(json!({
        "cpu_ms_per_connection": cpu,
        "made": made,
        "resumed": resumed,
        "connections_per_second": made as f64 / meter.began.elapsed().as_secs_f64(),
        "connect_us": shared.took.json(),
    }));
    report.demand(made > 0, "no connection was made");
    report.demand(
        !flags.common.target.resume || resumed * 1000 >= made * RESUMED_PER_MILLE,
        format!("{resumed} of {made} TLS sessions were resumed"),
    );
    report.at_most(
        "time to the 101, p99 in us",
        shared.took.p99(),
        "max-p99-us",
        flags.max_p99_us,
    );
    report.at_most(
        "CPU per connection in ms",
        cpu,
        "max-cpu-ms-per-connection",
        flags.max_cpu_ms_per_connection,
    );
    if flags.rate.is_some() {
        let late = shared.late.load(Relaxed);
        report.set("connections_late", late);
        flags
            .lateness
            .judge(&mut report, late, shared.counts.sent.load(Relaxed));
    }
    Ok(Measured {
        counts: shared.counts,
        report,
    })
}

/// `sent` counts connections begun, `received` those that ended as they should.
async fn caller(dialler: Dialler, shared: Arc<Shared>) -> Result<()> {
    while let Some(due) = shared.next() {
        if shared.rate.is_some() {
            sleep_until(due).await;
            if due.elapsed() > LATE {
                Counts::add(&shared.late);
            }
        }
        Counts::add(&shared.counts.sent);
        let socket = dialler.dial().await?;
        shared.took.record(due.elapsed());
        socket.close().await?;
        Counts::add(&shared.counts.received);
    }
    Ok(())
}
