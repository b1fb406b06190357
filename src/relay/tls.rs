//! One leg of a session: a socket with or without TLS, bytes in and bytes out.
//!
//! After the upgrade the socket and its TLS session are taken apart, so that the relay can hand
//! what one session decrypted straight to the other one's encryption, and write all records of a
//! wake with one call. A leg reads into the thread's buffer and owns none itself. It knows
//! nothing of frames.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffer;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There may be more.
    Open,
    /// The peer will send nothing more.
    End,
}

/// A socket with its TLS session, if it has one.
pub struct Leg<S> {
    io: S,
    tls: Option<Box<Connection>>,
    /// Plain bytes that were read together with the handshake.
    early: Bytes,
    /// Bytes waiting for a plain-text socket; TLS keeps its records itself.
    queue: Option<BytesMut>,
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

    /// A leg with TLS. `early` is plain text that was read beyond the handshake.
    pub fn tls(io: S, mut session: Connection, early: Bytes) -> Leg<S> {
        // What waits in the session is bounded by one read buffer, since nothing is read for a
        // leg that has not taken everything; rustls' own limit would only cut chunks in two.
        session.set_buffer_limit(None);
        Leg {
            tls: Some(Box::new(session)),
            ..Leg::plain(io, early)
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
        if let Some(tls) = &mut self.tls {
            match drain(tls, &mut each)? {
                Drained::Nothing => {}
                Drained::Some => return Poll::Ready(Ok(Read::Open)),
                Drained::End => return Poll::Ready(Ok(Read::End)),
            }
        }
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        if bytes.is_empty() {
            return Poll::Ready(Ok(Read::End));
        }
        self.received += bytes.len() as u64;
        Poll::Ready(match &mut self.tls {
            None => {
                each(bytes);
                Ok(Read::Open)
            }
            Some(tls) => decrypt(tls, bytes, &mut each),
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
        let written = if prefix.is_empty() {
            tls.writer().write(bytes)
        } else {
            let both = [IoSlice::new(prefix), IoSlice::new(bytes)];
            tls.writer().write_vectored(&both)
        };
        // A session that has failed takes nothing; its next read ends the leg.
        debug_assert!(written.is_err() || written.is_ok_and(|n| n == prefix.len() + bytes.len()));
    }

    /// Writes all that is queued. `Ready(Ok)` means that nothing is left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_write_all(cx);
        self.blocked = flushed.is_pending();
        flushed
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            Some(tls) => {
                let mut socket = Socket {
                    io: &mut self.io,
                    cx,
                };
                while tls.wants_write() {
                    match tls.write_tls(&mut socket) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(count) => self.sent += count as u64,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Poll::Pending;
                        }
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
            None => {
                let Some(queue) = &mut self.queue else {
                    return Poll::Ready(Ok(()));
                };
                while !queue.is_empty() {
                    let count = ready!(Pin::new(&mut self.io).poll_write(cx, queue))?;
                    if count == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.sent += count as u64;
                    queue.advance(count);
                }
                if let Some(queue) = self.queue.take() {
                    buffer::give_queue(queue);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye on every layer: `close_notify`, then FIN. The read half stays open.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls
            && !self.notified
        {
            tls.send_close_notify();
            self.notified = true;
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Gives back memory that a burst made the TLS session take.
    ///
    /// rustls shrinks its record buffer at the next read only, and a leg that sleeps until the
    /// socket is readable would keep up to 18 KiB until then.
    pub fn rest(&mut self) {
        if let Some(tls) = &mut self.tls {
            // The answer is always that there is nothing to read.
            let _ = tls.read_tls(&mut NothingYet);
        }
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

/// Decrypts what the socket gave; every chunk of plain text goes to `each`.
fn decrypt(
    tls: &mut Connection,
    mut records: &[u8],
    each: &mut impl FnMut(&[u8]),
) -> io::Result<Read> {
    while !records.is_empty() {
        if tls.read_tls(&mut records)? == 0 {
            // After a close_notify rustls takes no more.
            return Ok(Read::End);
        }
        let processed = tls.process_new_packets();
        // What came before a bad record is good.
        let drained = drain(tls, each)?;
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if drained == Drained::End {
            return Ok(Read::End);
        }
    }
    Ok(Read::Open)
}

/// What waited in a session.
#[derive(PartialEq, Eq)]
enum Drained {
    Nothing,
    Some,
    /// The peer has said goodbye, and everything before that has been handed on.
    End,
}

/// Hands on the plain text that waits in the session.
fn drain(tls: &mut Connection, each: &mut impl FnMut(&[u8])) -> io::Result<Drained> {
    let mut drained = Drained::Nothing;
    loop {
        let length = match tls.reader().into_first_chunk() {
            Ok([]) => return Ok(Drained::End),
            Ok(chunk) => {
                each(chunk);
                chunk.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(drained),
            Err(error) => return Err(error),
        };
        io::BufRead::consume(&mut tls.reader(), length);
        drained = Drained::Some;
    }
}

/// An asynchronous socket as rustls wants it: a writer that may say `WouldBlock`, after which the
/// task is woken when the socket takes more.
struct Socket<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncWrite + Unpin> io::Write for Socket<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ready_or_block(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        ready_or_block(Pin::new(&mut *self.io).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ready_or_block(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

struct NothingYet;

impl io::Read for NothingYet {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
