//! How long a connection is waited for that has nothing left to ask: after a refusal, and at the end of
//! the edge.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::doors::{Doors, Open};
use super::head;
use crate::config::RouteKind;

/// After a refusal the rest of what the client sends is read and dropped for a moment, because a
/// socket that is closed with bytes unread resets the connection and the answer may be lost.
pub(super) const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 * 1024;
/// At the end an application that was asked has so long to answer, and a client to take it: what was
/// done is not told as undone. Less than the edge waits for its threads.
const APP_LINGER: Duration = Duration::from_secs(4);

/// How long what is asked is waited for when the edge is told to stop.
pub(super) fn grace(doors: &Doors, read: &head::Read) -> Duration {
    let open = doors.paths.find(read.path()).map(|at| &doors.routes[at]);
    // A notice is on its way, too, when whoever wants it is told so.
    let is_notice = |open: &Open| matches!(open.route.kind, RouteKind::Notify);
    let is_asked = open.is_some_and(|open| open.inward.is_some() || is_notice(open));
    if is_asked { APP_LINGER } else { LINGER }
}

/// Resolves a moment after the edge was told to stop.
pub(super) async fn stopped(doors: &Doors, grace: Duration) {
    doors.drain.ending().await;
    tokio::time::sleep(grace).await;
}

/// Closes after an answer without losing it.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) {
    let _ = timeout(LINGER, async {
        if io.shutdown().await.is_err() {
            return;
        }
        let mut dropped = 0;
        let mut buffer = [0; 2048];
        while dropped < LINGER_BYTES {
            match io.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => dropped += count,
            }
        }
    })
    .await;
}
