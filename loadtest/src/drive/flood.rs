//! Closed loop: batches leave as long as the window has room. What a message costs when several
//! come at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::task::JoinSet;

use super::message::{Message, SIZE_MIN};
use super::{Common, GRACE, Measured, Meter, gather, limits, stay_awake};
use crate::report::{Counts, Report, Times};
use crate::socket::{Socket, text_frame};
use crate::{Result, Usage};

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub(super) common: Common,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(SIZE_MIN..=1 << 20))]
    size: u64,
    /// Messages in one write
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256))]
    batch: u64,
    /// Batches that may be on their way on one connection
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    window: u64,
    #[command(flatten)]
    limits: limits::Messages,
}

/// Bytes that may be on their way on one connection: the callers hold as much, twice.
const WINDOW_MAX: u64 = 64 << 20;

pub async fn run(flags: Flags) -> Result<Measured> {
    if flags.size * flags.batch * flags.window > WINDOW_MAX {
        return Err(Usage::error(format!(
            "--size times --batch times --window is more than {WINDOW_MAX} bytes"
        )));
    }
    let dialler = flags.common.dialler().await?;
    let sockets = flags.common.open(&dialler).await?;
    let shared = Arc::new(Shared {
        counts: Counts::default(),
        batches: Times::new(),
        batch: flags.batch,
        window: flags.window,
    });
    let meter = Meter::start(&flags.common.pids);
    let end = Instant::now() + flags.common.duration();
    let mut tasks = JoinSet::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let message = Message::new(index, flags.size as usize);
        tasks.spawn(caller(shared.clone(), socket, message, end));
    }
    stay_awake();
    gather(tasks, &shared.counts, flags.common.duration() + GRACE).await;
    let shared = Arc::into_inner(shared).ok_or("a connection outlived the run")?;
    let relayed = shared.counts.relayed() as f64;
    let cpu = meter.cpu_us() / relayed;
    let mut report = Report::new(json!({
        "cpu_us_per_message": cpu,
        "relayed": shared.counts.relayed(),
        "messages_per_second": relayed / meter.began.elapsed().as_secs_f64(),
        "batch_us": shared.batches.json(),
    }));
    report.demand(relayed > 0.0, "no message was relayed");
    flags.limits.judge(&mut report, &shared.batches, cpu);
    Ok(Measured {
        counts: shared.counts,
        report,
    })
}

struct Shared {
    counts: Counts,
    /// From the writing of a batch to its last echo.
    batches: Times,
    batch: u64,
    window: u64,
}

async fn caller(
    shared: Arc<Shared>,
    mut socket: Socket,
    mut message: Message,
    end: Instant,
) -> Result<()> {
    let Shared { batch, window, .. } = *shared;
    let counts = &shared.counts;
    let mut frames = Vec::new();
    let mut begun = VecDeque::new();
    let (mut sent, mut received) = (0, 0);
    while received < sent || Instant::now() < end {
        while Instant::now() < end && sent - received <= (window - 1) * batch {
            frames.clear();
            for _ in 0..batch {
                text_frame(&mut frames, message.numbered(sent));
                Counts::add(&counts.sent);
                sent += 1;
            }
            begun.push_back(Instant::now());
            socket.send(&frames).await?;
        }
        if received < sent {
            let same = socket
                .text(|text| text == message.numbered(received))
                .await?;
            if !same.ok_or("a call was closed")? {
                Counts::add(&counts.changed);
            }
            Counts::add(&counts.received);
            received += 1;
            if received % batch == 0
                && let Some(begun) = begun.pop_front()
            {
                shared.batches.record(begun.elapsed());
            }
        }
    }
    socket.close().await
}
