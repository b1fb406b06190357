//! The accept loop of every simulated service.
//!
//! Owns the bound on open connections, one task each, and their end. Refuses to know what is said
//! on a connection, TLS included.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a failing `accept` (out of descriptors) waits before the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `shutdown`, then drops what is still being served and waits for its tasks. Of
/// more than `open_max` connections the youngest wait in the listener's backlog.
pub(super) async fn accept<F>(
    listener: TcpListener,
    open_max: usize,
    shutdown: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(open_max));
    // Every branch is cancel-safe: a permit or a connection is taken only when its future ends.
    while let Some(permit) = shutdown
        .run_until_cancelled(Arc::clone(&permits).acquire_owned())
        .await
    {
        let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await else {
            break;
        };
        let Ok((tcp, peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Latency counts more than packets; a socket that refuses the option is about to fail.
        let _ = tcp.set_nodelay(true);
        let served = serve(tcp, peer);
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            shutdown.run_until_cancelled(served).await;
            drop(permit);
        });
    }
    tasks.close();
    tasks.wait().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;

    /// Time moves here only when nothing else can: after a while, whatever could be accepted is.
    #[tokio::test(start_paused = true)]
    async fn one_more_than_may_be_open_waits_and_all_end_at_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (accepted, mut peers) = mpsc::unbounded_channel();
        let loop_end = tokio::spawn(accept(
            listener,
            1,
            shutdown.clone(),
            move |mut tcp, peer| {
                accepted.send(peer).unwrap();
                async move {
                    let mut byte = [0];
                    while tcp.read(&mut byte).await.is_ok_and(|count| count > 0) {}
                }
            },
        ));
        let first = TcpStream::connect(address).await.unwrap();
        assert_eq!(peers.recv().await, first.local_addr().ok());
        let second = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(peers.try_recv().is_err());
        drop(first);
        assert_eq!(peers.recv().await, second.local_addr().ok());
        shutdown.cancel();
        loop_end.await.unwrap();
        assert_eq!(peers.recv().await, None);
    }
}
