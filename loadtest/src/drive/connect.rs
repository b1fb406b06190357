//! What a connection costs: TCP, TLS, upgrade, close with its answer, then the next one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Common, GRACE, Measured, Meter, gather, stay_awake};
use crate::Result;
use crate::report::{Counts, histogram, percentiles};
use crate::socket::Dialler;

/// Each connection leaves an address behind for a minute; loopback has 28,000 of them.
const CONNECTIONS_MAX: u64 = 6_000;
/// Fewer of those that were to be resumed, and the figure is of something else.
const RESUMED_PER_MILLE: u64 = 950;

#[derive(clap::Args)]
pub struct Flags {
    /// `--connections` says how many are under way at once
    #[command(flatten)]
    pub(super) common: Common,
}

pub async fn run(flags: Flags) -> Result<Measured> {
    let dialler = flags.common.dialler().await?;
    dialler.warm_up(flags.common.connections).await?;
    let resumed = dialler.resumed();
    let counts = Arc::new(Counts::default());
    let took = Arc::new(Mutex::new(histogram()));
    let meter = Meter::start(&flags.common.pids);
    let end = Instant::now() + flags.common.duration();
    let mut tasks = JoinSet::new();
    for _ in 0..flags.common.connections {
        tasks.spawn(caller(dialler.clone(), counts.clone(), took.clone(), end));
    }
    stay_awake();
    gather(tasks, &counts, flags.common.duration() + GRACE).await;
    let made = counts.relayed() / 2;
    let resumed = dialler.resumed() - resumed;
    let mut failed = Vec::new();
    if flags.common.target.resume && resumed * 1000 < made * RESUMED_PER_MILLE {
        failed.push(format!("{resumed} of {made} sessions were resumed"));
    }
    let line = json!({
        "cpu_ms_per_connection": meter.cpu_us() / 1000.0 / made as f64,
        "made": made,
        "resumed": resumed,
        "connections_per_second": made as f64 / meter.began.elapsed().as_secs_f64(),
        "connect_us": percentiles(&took.lock().unwrap_or_else(PoisonError::into_inner)),
    });
    let counts = Arc::into_inner(counts).ok_or("a connection outlived the run")?;
    Ok(Measured {
        failed,
        ..Measured::new(counts, line)
    })
}

/// `sent` counts connections begun, `received` those that ended as they should.
async fn caller(
    dialler: Dialler,
    counts: Arc<Counts>,
    took: Arc<Mutex<Histogram<u64>>>,
    end: Instant,
) -> Result<()> {
    while Instant::now() < end && counts.relayed() / 2 < CONNECTIONS_MAX {
        let begun = Instant::now();
        Counts::add(&counts.sent);
        let socket = dialler.dial().await?;
        let microseconds = begun.elapsed().as_micros() as u64;
        took.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saturating_record(microseconds);
        socket.close().await?;
        Counts::add(&counts.received);
    }
    Ok(())
}
