//! A session with its socket: the handshake, then plain text for HTTP, until the relay takes it apart.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::{Read, Session};
use crate::buffer::{self, Queue};

/// Bytes taken from the socket in one read, and plain text that is encrypted at a time: one record.
/// It bounds what a stream keeps of what nobody has asked for yet.
const CHUNK: usize = 16 * 1024;

/// Plain text over TLS.
///
/// What was written has been taken, whether or not the socket took it, and goes out with the next write, flush
/// or shutdown. A peer that goes without `close_notify` is an error of reading.
pub struct Stream<S> {
    io: S,
    session: Session,
    /// Plain text that nobody has read yet.
    plain: BytesMut,
    queue: Option<Queue>,
    /// What waits is the session's own answer to what was read, and nobody writes.
    answering: bool,
    closing: bool,
}

/// What a [`Stream`] was made of.
pub struct Parts<S> {
    pub io: S,
    pub session: Session,
    /// Plain text that had been read beyond what was asked for.
    pub early: BytesMut,
    /// Records that the socket has not taken yet.
    pub queue: Option<Queue>,
}

/// The server's side of a handshake, in which `config` has the client asked for `certificates` or not. On an
/// error the peer has been told why, if that is for it to know and the socket took it.
pub async fn accept<S>(
    config: Arc<ServerConfig>,
    certificates: bool,
    io: S,
) -> io::Result<Stream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = Session::server(config, certificates).map_err(io::Error::other)?;
    handshake(session, io).await
}

/// The client's side of a handshake: the certificate is for `name`, and verified, when it is done.
pub async fn connect<S>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    io: S,
) -> io::Result<Stream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = Session::client(config, name).map_err(io::Error::other)?;
    handshake(session, io).await
}

async fn handshake<S>(session: Session, io: S) -> io::Result<Stream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = Stream {
        io,
        session,
        plain: BytesMut::new(),
        queue: None,
        answering: false,
        closing: false,
    };
    stream.session.open(&mut [], &mut stream.queue, |_| ())?;
    std::future::poll_fn(|cx| {
        loop {
            // A peer that waits until we read is not waited for: both may have something to say.
            let sent = stream.poll_send(cx);
            if matches!(sent, Poll::Ready(Err(_))) || !stream.session.known().is_handshaking() {
                return sent;
            }
            ready!(stream.poll_receive(cx))?;
        }
    })
    .await?;
    Ok(stream)
}

impl<S> Stream<S> {
    pub fn session(&self) -> &Session {
        &self.session
    }

    pub fn into_parts(self) -> Parts<S> {
        Parts {
            io: self.io,
            session: self.session,
            early: self.plain,
            queue: self.queue,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Reads once and decrypts.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let idle = self.queue.is_none();
        let received = buffer::with_read_buffer(|buffer| {
            let begun = self.session.begun();
            let mut read = ReadBuf::new(&mut buffer[begun..][..CHUNK]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let count = read.filled().len();
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let records = &mut buffer[..begun + count];
            let plain = &mut self.plain;
            let each = |chunk: &[u8]| plain.extend_from_slice(chunk);
            Poll::Ready(self.session.open(records, &mut self.queue, each).map(drop))
        });
        // What rustls answers by itself: an alert, or that there is no renegotiation. Where a writer waits
        // already it goes with that: the socket wakes one of them, and it must be who has more to write.
        self.answering |= idle && self.queue.is_some();
        self.poll_answer(cx);
        received
    }

    /// Sends what nobody but the session wants sent. Whether the socket takes it shows when something is
    /// written.
    fn poll_answer(&mut self, cx: &mut Context<'_>) {
        if self.answering && self.poll_send(cx).is_ready() {
            self.answering = false;
        }
    }

    /// Writes all that is queued.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_send(&mut self.io, &mut self.queue, cx, &mut 0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.plain.is_empty() {
            if self.session.standing()? == Read::End {
                return Poll::Ready(Ok(()));
            }
            self.poll_answer(cx);
            let received = ready!(self.poll_receive(cx));
            // What came before an error is read first; then the session still stands as it does.
            if self.plain.is_empty() {
                received?;
            }
        }
        let count = self.plain.len().min(to.remaining());
        to.put_slice(&self.plain[..count]);
        self.plain.advance(count);
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answering = false;
        ready!(self.poll_send(cx))?;
        let this = &mut *self;
        let taken = &bytes[..bytes.len().min(CHUNK)];
        this.session.seal(&[], taken, &mut this.queue)?;
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.answering = false;
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            let this = &mut *self;
            // A session that has failed has said so in its alert.
            let _ = this.session.close(&mut this.queue);
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Writes all that is queued; what the socket takes is counted into `sent`. `Ready(Ok)` means that nothing is
/// left, and that the thread has its memory back.
pub fn poll_send<S: AsyncWrite + Unpin>(
    io: &mut S,
    queue: &mut Option<Queue>,
    cx: &mut Context<'_>,
    sent: &mut u64,
) -> Poll<io::Result<()>> {
    let Some(bytes) = queue else {
        return Poll::Ready(Ok(()));
    };
    while !bytes.is_empty() {
        let Poll::Ready(written) = Pin::new(&mut *io).poll_write(cx, bytes) else {
            bytes.settle();
            return Poll::Pending;
        };
        let count = written?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *sent += count as u64;
        bytes.advance(count);
    }
    if let Some(queue) = queue.take() {
        buffer::give_queue(queue);
    }
    Poll::Ready(Ok(()))
}
