//! The end of a connection that was answered.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// After a refusal the rest of what the client sends is read and dropped for a moment, because a
/// socket that is closed with bytes unread resets the connection and the answer may be lost.
pub(super) const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 * 1024;

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
