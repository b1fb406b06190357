//! Closed loop: batches leave as long as the window has room. What a message costs when several
//! come at once.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::task::JoinSet;

use super::message::{Message, SIZE_MIN};
use super::{Common, GRACE, Measured, Meter, gather, stay_awake};
use crate::Result;
use crate::report::Counts;
use crate::socket::{Socket, text_frame};

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub(super) common: Common,
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(SIZE_MIN..=1 << 20))]
    size: u64,
    /// Messages in one write
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256))]
    batch: u64,
    /// Batches that may be on their way on one connection
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    window: u64,
}

pub async fn run(flags: Flags) -> Result<Measured> {
    let dialler = flags.common.dialler().await?;
    let sockets = flags.common.open(&dialler).await?;
    let counts = Arc::new(Counts::default());
    let meter = Meter::start(&flags.common.pids);
    let end = Instant::now() + flags.common.duration();
    let mut tasks = JoinSet::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let message = Message::new(index, flags.size as usize);
        tasks.spawn(caller(
            counts.clone(),
            socket,
            message,
            end,
            (flags.batch, flags.window),
        ));
    }
    stay_awake();
    gather(tasks, &counts, flags.common.duration() + GRACE).await;
    let line = json!({
        "cpu_us_per_message": meter.cpu_us() / counts.relayed() as f64,
        "relayed": counts.relayed(),
        "messages_per_second": counts.relayed() as f64 / meter.began.elapsed().as_secs_f64(),
    });
    let counts = Arc::into_inner(counts).ok_or("a connection outlived the run")?;
    Ok(Measured::new(counts, line))
}

async fn caller(
    counts: Arc<Counts>,
    mut socket: Socket,
    mut message: Message,
    end: Instant,
    (batch, window): (u64, u64),
) -> Result<()> {
    let mut frames = Vec::new();
    let (mut sent, mut received) = (0, 0);
    while received < sent || Instant::now() < end {
        while Instant::now() < end && sent - received <= (window - 1) * batch {
            frames.clear();
            for _ in 0..batch {
                text_frame(&mut frames, message.numbered(sent));
                Counts::add(&counts.sent);
                sent += 1;
            }
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
        }
    }
    socket.close().await
}
