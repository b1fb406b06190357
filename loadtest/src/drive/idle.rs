//! What a connection holds while nobody speaks: memory per pair, and CPU of all of them together.

use std::time::Duration;

use serde_json::{Value, json};

use super::message::{Message, SIZE_MIN};
use super::{Common, Meter};
use crate::Result;
use crate::report::Counts;
use crate::socket::text_frame;

/// Allocators and buffers give back what they will before the reading.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub(super) common: Common,
    /// One message of this size goes to and fro on each connection first
    #[arg(long, value_parser = clap::value_parser!(u64).range(SIZE_MIN..=1 << 20))]
    burst: Option<u64>,
}

pub async fn run(flags: Flags) -> Result<(Counts, Value)> {
    let dialler = flags.common.dialler().await?;
    dialler.dial().await?.close().await?;
    let counts = Counts::default();
    let before = Meter::start(&flags.common.pids);
    let mut sockets = flags.common.open(&dialler).await?;
    let mut frame = Vec::new();
    for (index, socket) in sockets.iter_mut().enumerate() {
        let Some(size) = flags.burst else { break };
        let mut message = Message::new(index, size as usize);
        frame.clear();
        text_frame(&mut frame, message.numbered(0));
        socket.send(&frame).await?;
        Counts::add(&counts.sent);
        let same = socket.text(|text| text == message.numbered(0)).await?;
        if !same.ok_or("a call was closed")? {
            Counts::add(&counts.changed);
        }
        Counts::add(&counts.received);
        socket.rest();
    }
    tokio::time::sleep(SETTLE).await;
    let resident = before.resident_kib_more();
    let at_rest = Meter::start(&flags.common.pids);
    tokio::time::sleep(flags.common.duration()).await;
    let cores = at_rest.cores();
    let pairs = sockets.len() as f64;
    for socket in sockets {
        if socket.close().await.is_err() {
            Counts::add(&counts.broken);
        }
    }
    tokio::time::sleep(SETTLE).await;
    let line = json!({
        "resident_kib_per_pair": resident / pairs,
        "cores_at_rest": cores,
        "resident_kib_kept": before.resident_kib_more(),
    });
    Ok((counts, line))
}
