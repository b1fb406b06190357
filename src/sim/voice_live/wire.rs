//! An accepted socket and the raw frames on it, each counted.
//!
//! Owns reading, writing and closing. Refuses to know which part is played.

use super::connection::{Ending, Violation};
use super::record::Recorder;
use crate::sim::frame::{Broken, CLOSE, Decoder, Frame, PING, PONG, Sender};
use crate::sim::stream::Stream;
use bytes::{Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How much is read at once, and what a connection's buffer starts with.
pub(super) const READ: usize = 8 * 1024;

/// How long a peer that was told the end may take to go.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// One connection after its request was read.
pub(super) struct Wire<'a> {
    pub(super) stream: Stream,
    pub(super) recorder: &'a Recorder,
    decoder: Decoder,
    out: BytesMut,
}

/// Why no further frame comes. It has been recorded by then.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("the client's stream ended or failed")]
    Lost(#[from] io::Error),
    #[error("the client broke the protocol")]
    Broke(#[from] Broken),
}

impl<'a> Wire<'a> {
    pub(super) fn new(stream: Stream, early: BytesMut, recorder: &'a Recorder) -> Self {
        Self {
            stream,
            recorder,
            decoder: Decoder::new(Sender::Client, early),
            out: BytesMut::new(),
        }
    }

    /// The parts, for a library to go on with: the stream and what was already read.
    pub(super) fn into_parts(mut self) -> (Stream, Bytes) {
        let early = std::mem::take(self.decoder.buffer());
        (self.stream, early.freeze())
    }

    /// Writes bytes as they are, all in one TLS record where they fit.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let written = written.await;
        if written.is_err() {
            self.recorder.ending(Ending::ClientGone);
        }
        written
    }

    /// Puts a frame behind those not yet flushed.
    pub(super) fn queue(&mut self, frame: &Frame) {
        self.recorder.sent(frame.opcode, frame.payload.len());
        if frame.opcode == CLOSE {
            let (code, reason) = frame.close_parts();
            self.recorder.close_sent(code, &reason);
        }
        frame.encode(None, &mut self.out);
    }

    /// Writes what was queued.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = self.out.split();
        let written = self.write(&out).await;
        // The allocation comes back once the split-off part is gone.
        drop(out);
        written
    }

    pub(super) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.queue(frame);
        self.flush().await
    }

    /// A frame that has already arrived whole. A client that broke the RFC is told by 1002, which
    /// is queued.
    pub(super) fn arrived(&mut self) -> Result<Option<Frame>, Gone> {
        match self.decoder.next_frame() {
            Ok(Some(frame)) => {
                self.recorder.received(frame.opcode, frame.payload.len());
                match frame.opcode {
                    CLOSE => {
                        let (code, reason) = frame.close_parts();
                        self.recorder.close_received(code, &reason);
                    }
                    PONG => self.recorder.pong(&frame.payload),
                    _ => {}
                }
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(broken) => {
                self.recorder.violation(Violation::Frame(broken));
                self.recorder.ending(Ending::ClientBroke);
                self.queue(&Frame::close(1002, "sim"));
                Err(broken.into())
            }
        }
    }

    /// Reads once, at most `limit` bytes.
    pub(super) async fn read(&mut self, limit: usize) -> Result<(), Gone> {
        let buffer = self.decoder.buffer();
        // Without room of its own accord, a read would take what is left of the last one.
        buffer.reserve(limit);
        let read = (&mut self.stream).take(limit as u64).read_buf(buffer).await;
        let read = read.and_then(|count| match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        });
        read.map_err(|error| {
            self.recorder.ending(Ending::ClientGone);
            Gone::Lost(error)
        })
    }

    /// The next frame. Pings are answered, and so is a close, before it is returned.
    pub(super) async fn next(&mut self) -> Result<Frame, Gone> {
        loop {
            match self.arrived() {
                Ok(Some(frame)) => {
                    self.answer_control(&frame);
                    self.flush().await?;
                    return Ok(frame);
                }
                Ok(None) => self.read(READ).await?,
                Err(gone) => {
                    self.flush().await?;
                    return Err(gone);
                }
            }
        }
    }

    /// Queues the pong of a ping and the echo of a close, unless we closed first.
    pub(super) fn answer_control(&mut self, frame: &Frame) {
        match frame.opcode {
            PING => self.queue(&Frame::whole(PONG, frame.payload.clone())),
            CLOSE => self.queue(&Frame::whole(CLOSE, frame.payload.clone())),
            _ => {}
        }
    }

    /// Sends a close frame, waits for the client's, and ends the stream.
    pub(super) async fn close(mut self, code: u16, reason: &str) {
        if self.send(&Frame::close(code, reason)).await.is_err() {
            return;
        }
        let echoed = async {
            loop {
                match self.arrived() {
                    Ok(Some(frame)) if frame.opcode == CLOSE => return,
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        if self.read(READ).await.is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                }
            }
        };
        // Without an echo in time the stream ends all the same.
        let _ = timeout(LINGER, echoed).await;
        self.finish().await;
    }

    /// Ends the stream and waits until the client has ended its own, so that nothing of ours is
    /// lost to a reset.
    pub(super) async fn finish(mut self) {
        let _ = self.stream.shutdown().await;
        self.stream.drain(LINGER).await;
    }
}
