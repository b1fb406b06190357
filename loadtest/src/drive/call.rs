//! Open loop: the n-th message leaves when the schedule says so, not when the last one came back.
//! Round trips count from the scheduled moment, so a stall shows in every message it delayed, and
//! the generator's own lateness is reported beside them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::message::{Message, Recording, SIZE_MIN};
use super::{Common, GRACE, Measured, Meter, gather, limits};
use crate::Result;
use crate::report::{Counts, Report, Times};
use crate::socket::{Event, Socket, text_frame};

/// Sent before anything is measured: caches, congestion windows and allocators settle.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub(super) common: Common,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(SIZE_MIN..=1 << 20))]
    size: u64,
    /// From one message of a call to its next; one that leaves later than that is late
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    interval_ms: u64,
    /// Say what is in this WAV file, over and over, instead of noise; `tonegate tone` makes one
    #[arg(long, value_name = "FILE")]
    audio: Option<PathBuf>,
    #[command(flatten)]
    limits: limits::Messages,
    #[command(flatten)]
    pub(super) lateness: limits::Lateness,
}

struct Shared {
    counts: Counts,
    /// How many messages each connection should have sent by now.
    due: Vec<AtomicU64>,
    wake: Vec<Notify>,
    ending: AtomicBool,
    measuring: AtomicBool,
    round_trip: Times,
    lateness: Times,
    /// Messages of the measured time that left, and those of them that left late.
    left: AtomicU64,
    late: AtomicU64,
    schedule: Schedule,
}

/// All messages of all connections on one line, evenly spaced.
struct Schedule {
    start: Instant,
    interval: Duration,
    connections: u64,
}

impl Schedule {
    fn at(&self, connection: usize, number: u64) -> Instant {
        self.place(number * self.connections + connection as u64)
    }

    fn place(&self, place: u64) -> Instant {
        let nanoseconds =
            u128::from(place) * self.interval.as_nanos() / u128::from(self.connections);
        self.start + Duration::from_nanos(nanoseconds as u64)
    }
}

impl Shared {
    fn round_trip(&self, scheduled: Instant) {
        if self.measuring.load(Relaxed) {
            self.round_trip.record(scheduled.elapsed());
        }
    }

    fn leaves(&self, scheduled: Instant) {
        if self.measuring.load(Relaxed) {
            let late = scheduled.elapsed();
            self.lateness.record(late);
            Counts::add(&self.left);
            if late > self.schedule.interval {
                Counts::add(&self.late);
            }
        }
    }
}

pub async fn run(flags: Flags) -> Result<Measured> {
    let recording = match &flags.audio {
        Some(path) => Some(Recording::new(&std::fs::read(path)?, flags.size as usize)?),
        None => None,
    };
    let dialler = flags.common.dialler().await?;
    let before = Meter::start(&flags.common.pids);
    let sockets = flags.common.open(&dialler).await?;
    let count = sockets.len();
    let shared = Arc::new(Shared {
        counts: Counts::default(),
        due: (0..count).map(|_| AtomicU64::new(0)).collect(),
        wake: (0..count).map(|_| Notify::new()).collect(),
        ending: AtomicBool::new(false),
        measuring: AtomicBool::new(false),
        round_trip: Times::new(),
        lateness: Times::new(),
        left: AtomicU64::new(0),
        late: AtomicU64::new(0),
        schedule: Schedule {
            start: Instant::now() + Duration::from_millis(50),
            interval: Duration::from_millis(flags.interval_ms),
            connections: count as u64,
        },
    });
    let mut tasks = JoinSet::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let mut message = Message::new(index, flags.size as usize);
        if let Some(recording) = &recording {
            message = message.says(recording);
        }
        tasks.spawn(caller(shared.clone(), index, socket, message));
    }
    let cost = pace(&shared, &flags).await;
    let resident = before.resident_kib_more();
    gather(tasks, &shared.counts, GRACE).await;
    let shared = Arc::into_inner(shared).ok_or("a connection outlived the run")?;
    let (left, late) = (shared.left.load(Relaxed), shared.late.load(Relaxed));
    let cpu = cost.cpu_us / cost.relayed as f64;
    let mut report = Report::new(json!({
        "cpu_us_per_message": cpu,
        "relayed": cost.relayed,
        "messages_per_second": cost.relayed as f64 / flags.common.seconds as f64,
        "messages_late": late,
        "resident_kib_per_pair": resident / count as f64,
        "round_trip_us": shared.round_trip.json(),
        "lateness_us": shared.lateness.json(),
    }));
    report.demand(left > 0, "no message left in the measured time");
    flags.limits.judge(&mut report, &shared.round_trip, cpu);
    flags.lateness.judge(&mut report, late, left);
    Ok(Measured {
        counts: shared.counts,
        report,
    })
}

struct Cost {
    cpu_us: f64,
    relayed: u64,
}

/// Walks the schedule without ever sleeping or waiting for a connection.
async fn pace(shared: &Shared, flags: &Flags) -> Cost {
    let end = shared.schedule.start + WARM_UP + flags.common.duration();
    let mut place = 0;
    let mut before: Option<(Meter, u64)> = None;
    loop {
        let now = Instant::now();
        while shared.schedule.place(place) <= now.min(end) {
            let connection = (place % shared.schedule.connections) as usize;
            shared.due[connection].fetch_add(1, Relaxed);
            shared.wake[connection].notify_one();
            place += 1;
        }
        if before.is_none() && now >= shared.schedule.start + WARM_UP {
            before = Some((Meter::start(&flags.common.pids), shared.counts.relayed()));
            shared.measuring.store(true, Relaxed);
        }
        if now >= end {
            break;
        }
        tokio::task::yield_now().await;
    }
    let cost = before.map_or(
        Cost {
            cpu_us: 0.0,
            relayed: 0,
        },
        |(meter, relayed)| Cost {
            cpu_us: meter.cpu_us(),
            relayed: shared.counts.relayed() - relayed,
        },
    );
    shared.ending.store(true, Relaxed);
    shared.wake.iter().for_each(Notify::notify_one);
    cost
}

async fn caller(
    shared: Arc<Shared>,
    index: usize,
    mut socket: Socket,
    mut message: Message,
) -> Result<()> {
    let mut frame = Vec::new();
    let (mut sent, mut received) = (0, 0);
    loop {
        while sent < shared.due[index].load(Relaxed) {
            frame.clear();
            text_frame(&mut frame, message.numbered(sent));
            shared.leaves(shared.schedule.at(index, sent));
            Counts::add(&shared.counts.sent);
            socket.send(&frame).await?;
            sent += 1;
        }
        if received == sent && shared.ending.load(Relaxed) {
            return socket.close().await;
        }
        // Both may be dropped half-way: `notified` keeps its permit, `next` consumes whole frames.
        tokio::select! {
            () = shared.wake[index].notified() => {}
            event = socket.next() => match event? {
                Event::Text(text) => {
                    if text != message.numbered(received) {
                        Counts::add(&shared.counts.changed);
                    }
                    Counts::add(&shared.counts.received);
                    shared.round_trip(shared.schedule.at(index, received));
                    received += 1;
                }
                Event::Ping(payload) => socket.pong(&payload).await?,
                Event::Closed(_) => return Err("a call was closed".into()),
            },
        }
    }
}
