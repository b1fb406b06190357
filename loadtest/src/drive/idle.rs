//! What a connection holds while nobody speaks: memory per pair, and CPU of all of them together.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::message::{Message, SIZE_MIN};
use super::{Common, Measured, Meter};
use crate::Result;
use crate::report::{Counts, Report};
use crate::socket::{Event, Socket, text_frame};

/// Allocators and buffers give back what they will before the reading.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub(super) common: Common,
    /// One message of this size goes to and fro on each connection first
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(SIZE_MIN..=1 << 20))]
    burst: Option<u64>,
    /// The run fails if a pair holds more at rest
    #[arg(
        long,
        value_name = "KIB",
        requires = "pids",
        help_heading = "Thresholds"
    )]
    max_kib_per_pair: Option<f64>,
    /// The run fails if more of that is still held once all have closed, as a share of it
    #[arg(
        long,
        value_name = "SHARE",
        requires = "pids",
        help_heading = "Thresholds"
    )]
    max_kept_share: Option<f64>,
    /// The run fails if the watched processes take more of the cores while nobody speaks
    #[arg(
        long,
        value_name = "CORES",
        requires = "pids",
        help_heading = "Thresholds"
    )]
    max_cores: Option<f64>,
}

pub async fn run(flags: Flags) -> Result<Measured> {
    let dialler = flags.common.dialler().await?;
    dialler.warm_up(flags.common.connections).await?;
    let counts = Counts::default();
    let before = Meter::start(&flags.common.pids);
    let mut sockets = flags.common.open(&dialler).await?;
    let pairs = sockets.len() as f64;
    let mut fresh = None;
    if let Some(size) = flags.burst {
        tokio::time::sleep(SETTLE).await;
        fresh = Some(before.resident_kib_more() / pairs);
        for (index, socket) in sockets.iter_mut().enumerate() {
            to_and_fro(socket, Message::new(index, size as usize), &counts).await?;
        }
    }
    tokio::time::sleep(SETTLE).await;
    let resident = before.resident_kib_more();
    let at_rest = Meter::start(&flags.common.pids);
    let sockets = rest(sockets, flags.common.duration(), &counts).await?;
    let cores = at_rest.cores();
    for socket in sockets {
        if socket.close().await.is_err() {
            Counts::add(&counts.broken);
        }
    }
    tokio::time::sleep(SETTLE).await;
    let kept = before.resident_kib_more();
    let share = kept / resident;
    let mut report = Report::new(json!({
        "resident_kib_per_pair": resident / pairs,
        "cores_at_rest": cores,
        "resident_kib_kept": kept,
        "resident_kib_kept_per_pair": kept / pairs,
        "resident_kept_share": share,
    }));
    if let Some(fresh) = fresh {
        report.set("resident_kib_per_pair_before_burst", fresh);
    }
    let per_pair = resident / pairs;
    report.at_most(
        "KiB per pair",
        per_pair,
        "max-kib-per-pair",
        flags.max_kib_per_pair,
    );
    report.at_most("share kept", share, "max-kept-share", flags.max_kept_share);
    report.at_most("cores at rest", cores, "max-cores", flags.max_cores);
    Ok(Measured { counts, report })
}

/// Nobody speaks for so long; pings are answered, or a proxy that sends them would take its callers for lost.
async fn rest(sockets: Vec<Socket>, time: Duration, counts: &Counts) -> Result<Vec<Socket>> {
    let until = Instant::now() + time;
    let mut resting = JoinSet::new();
    for mut socket in sockets {
        resting.spawn(async move {
            while let Ok(event) = timeout_at(until, socket.next()).await {
                match event? {
                    Event::Ping(payload) => socket.pong(&payload).await?,
                    Event::Text(_) => return Err("a message that nobody asked for".into()),
                    Event::Closed(_) => return Err("a silent call was closed".into()),
                }
                socket.rest();
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(socket)
        });
    }
    let mut rested = Vec::new();
    while let Some(socket) = resting.join_next().await {
        match socket? {
            Ok(socket) => rested.push(socket),
            Err(_) => Counts::add(&counts.broken),
        }
    }
    Ok(rested)
}

async fn to_and_fro(socket: &mut Socket, mut message: Message, counts: &Counts) -> Result<()> {
    let mut frame = Vec::new();
    text_frame(&mut frame, message.numbered(0));
    socket.send(&frame).await?;
    Counts::add(&counts.sent);
    let same = socket.text(|text| text == message.numbered(0)).await?;
    if !same.ok_or("a call was closed")? {
        Counts::add(&counts.changed);
    }
    Counts::add(&counts.received);
    socket.rest();
    Ok(())
}
