//! A WebSocket as doctor needs one: hears a message, answers pings, says goodbye.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::upstream::Stream;
use crate::ws::Role;
use crate::ws::frame::{self, Close, Header, OpCode};

/// The longest message that is listened to: what a service says of a session has some KiB.
const MESSAGE_MAX: usize = 1 << 20;
/// For the other side's close frame.
const GOODBYE: Duration = Duration::from_secs(1);

/// Either kind of stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Text(Vec<u8>),
    Pong,
    /// The code, if there was one.
    Close(Option<u16>),
    /// The connection ended without a close frame.
    End,
    /// It is no WebSocket any more, or says too much.
    Broken,
}

/// One connection.
pub(super) struct Talk {
    io: Box<dyn Io>,
    buffer: BytesMut,
    message: Vec<u8>,
    is_text: bool,
}

impl Talk {
    /// With what had been read behind the `101`.
    pub(super) fn new(stream: Stream, early: &[u8]) -> Talk {
        let io: Box<dyn Io> = match stream {
            Stream::Plain(io) => Box::new(io),
            Stream::Tls(io) => Box::new(io),
        };
        Talk {
            io,
            buffer: BytesMut::from(early),
            message: Vec::new(),
            is_text: false,
        }
    }

    /// What comes next. Binary messages are passed over.
    ///
    /// Cancel-safe: what was read stays.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            let (header, payload) = match self.frame().await {
                Ok(frame) => frame,
                Err(end) => return end,
            };
            match header.opcode {
                OpCode::Ping => {
                    if !self.say(OpCode::Pong, &payload).await {
                        return Heard::End;
                    }
                    continue;
                }
                OpCode::Pong => return Heard::Pong,
                OpCode::Close => {
                    let close = Close::parse(&payload).ok().and_then(|close| close.code);
                    return Heard::Close(close);
                }
                OpCode::Text | OpCode::Binary => {
                    self.message.clear();
                    self.is_text = header.opcode == OpCode::Text;
                }
                OpCode::Continuation => {}
            }
            self.message.extend_from_slice(&payload);
            if self.message.len() > MESSAGE_MAX {
                return Heard::Broken;
            }
            if header.fin && self.is_text {
                return Heard::Text(std::mem::take(&mut self.message));
            }
        }
    }

    async fn frame(&mut self) -> Result<(Header, BytesMut), Heard> {
        loop {
            let parsed = Header::parse(&self.buffer, Role::Server);
            if let Some(header) = parsed.map_err(|_| Heard::Broken)? {
                let length = usize::try_from(header.length).unwrap_or(usize::MAX);
                if length > MESSAGE_MAX {
                    return Err(Heard::Broken);
                }
                if self.buffer.len() >= header.size + length {
                    self.buffer.advance(header.size);
                    return Ok((header, self.buffer.split_to(length)));
                }
            }
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Heard::End),
                Ok(_) => {}
            }
        }
    }

    pub(super) async fn ping(&mut self) -> bool {
        self.say(OpCode::Ping, b"doctor").await
    }

    async fn say(&mut self, opcode: OpCode, payload: &[u8]) -> bool {
        let mut mask = [0; 4];
        if aws_lc_rs::rand::fill(&mut mask).is_err() {
            return false;
        }
        let control = frame::control(opcode, payload, Some(mask));
        let said = async {
            self.io.write_all(control.as_bytes()).await?;
            self.io.flush().await
        };
        matches!(timeout(GOODBYE, said).await, Ok(Ok(())))
    }

    /// Closes with 1000; whether the other side closed, too.
    pub(super) async fn goodbye(mut self) -> bool {
        let mut payload = [0; frame::CONTROL_PAYLOAD_MAX];
        let length = Close::write(1000, "", &mut payload);
        if !self.say(OpCode::Close, &payload[..length]).await {
            return false;
        }
        let closed = async {
            loop {
                match self.hear().await {
                    Heard::Close(_) => return true,
                    Heard::End | Heard::Broken => return false,
                    Heard::Text(_) | Heard::Pong => {}
                }
            }
        };
        timeout(GOODBYE, closed).await.unwrap_or(false)
    }
}
