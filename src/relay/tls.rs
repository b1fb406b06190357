//! One leg of a session: a socket with or without TLS, bytes in and bytes out.
//!
//! After the upgrade the socket and its TLS session are taken apart, so that the relay can hand
//! what one session decrypted straight to the other one's encryption, and write all records of a
//! wake with one call. A leg reads into the thread's buffer, where records are decrypted as they lie, and
//! owns none itself. It knows nothing of frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::buffer::{self, Queue};
pub(super) use crate::tls::Read;
use crate::tls::{Parts, Session, poll_send};

/// A socket with its TLS session, if it has one.
pub struct Leg<S> {
    io: S,
    tls: Option<Session>,
    /// Plain bytes that were read together with the handshake.
    early: Bytes,
    /// What waits for the socket: records, or plain text.
    queue: Option<Queue>,
    received: u64,
    sent: u64,
    queued: u64,
    blocked: bool,
    notified: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leg<S> {
    /// A leg without TLS. `early` is what had been read beyond the handshake.
    pub fn plain(io: S, early: Bytes) -> Leg<S> {
        Leg {
            io,
            tls: None,
            early,
            queue: None,
            received: 0,
            sent: 0,
            queued: 0,
            blocked: false,
            notified: false,
        }
    }

    /// A leg with TLS. `early` is plain text that was taken from the stream beyond the handshake.
    pub fn tls(parts: Parts<S>, early: Bytes) -> Leg<S> {
        let early = if parts.early.is_empty() {
            early
        } else {
            let mut both = BytesMut::from(early);
            both.extend_from_slice(&parts.early);
            both.freeze()
        };
        Leg {
            tls: Some(parts.session),
            queue: parts.queue,
            ..Leg::plain(parts.io, early)
        }
    }

    /// Bytes received on the socket so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that the socket has taken so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Plain bytes that were ever queued for the peer, or begun to be.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// Whether the socket did not take all that was queued when that was tried last.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Reads once and hands on all plain text that results, in chunks as they lie.
    ///
    /// Cancel-safe: whatever was read has been handed on when this returns.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut each: impl FnMut(&[u8]),
    ) -> Poll<io::Result<Read>> {
        if !self.early.is_empty() {
            each(&std::mem::take(&mut self.early));
            return Poll::Ready(Ok(Read::Open));
        }
        let begun = match &self.tls {
            None => 0,
            Some(tls) if tls.standing()? == Read::End => return Poll::Ready(Ok(Read::End)),
            Some(tls) => tls.begun(),
        };
        let mut read = ReadBuf::new(&mut buffer[begun..]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        self.received += count as u64;
        let bytes = &mut buffer[..begun + count];
        Poll::Ready(match &mut self.tls {
            None => {
                each(bytes);
                Ok(Read::Open)
            }
            Some(tls) => tls.open(bytes, &mut self.queue, each),
        })
    }

    /// Queues bytes for the peer: `prefix`, then `bytes`, as one record where there is TLS.
    pub fn queue(&mut self, prefix: &[u8], bytes: &[u8]) {
        // First, so that it tells also of what a panic leaves half queued.
        self.queued += (prefix.len() + bytes.len()) as u64;
        let Some(tls) = &mut self.tls else {
            let queue = self.queue.get_or_insert_with(buffer::take_queue);
            queue.extend_from_slice(prefix);
            queue.extend_from_slice(bytes);
            return;
        };
        // A session that has failed takes nothing; its next read ends the leg.
        let _ = tls.seal(prefix, bytes, &mut self.queue);
    }

    /// Writes all that is queued. `Ready(Ok)` means that nothing is left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = poll_send(&mut self.io, &mut self.queue, cx, &mut self.sent);
        self.blocked = flushed.is_pending();
        flushed
    }

    /// Says goodbye on every layer: `close_notify`, then FIN. The read half stays open.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls
            && !self.notified
        {
            // A session that has failed has said so in its alert.
            let _ = tls.close(&mut self.queue);
            self.notified = true;
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What the kernel keeps that it has not sent yet: two read buffers, so that it has something to
/// send while the relay fetches more.
#[cfg(target_os = "linux")]
const UNSENT_MAX: u32 = 2 * buffer::READ_BUFFER as u32;

impl Leg<TcpStream> {
    /// Bounds what the kernel takes ahead of a slow peer.
    ///
    /// By itself it takes megabytes, and then nothing until a third of that is gone: for a minute,
    /// where the peer reads 20 kB/s, so that a slow peer looks like one that has stopped, and a
    /// ping waits behind all of it. A kernel that refuses the option is merely less exact.
    pub fn bound_unsent(&self) {
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&self.io).set_tcp_notsent_lowat(UNSENT_MAX);
    }
}
