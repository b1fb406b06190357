//! The faithful part: a Voice Live session over tungstenite.
//!
//! Owns the two directions of one socket, which never wait for each other: a client that only
//! sends is heard, a client that only listens is told. Refuses to know what events mean; that is
//! `dialogue`. Tungstenite, not our own frame reader, judges the client's messages here.

use super::Options;
use super::connection::{Ending, Violation};
use super::dialogue::Dialogue;
use super::record::Recorder;
use super::request::Accepted;
use super::wire::{LINGER, READ, Wire};
use crate::sim::frame::{BINARY, CLOSE, PING, PONG, TEXT};
use crate::sim::stream::Stream;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

/// The largest message taken: 15 MiB of audio are 20 MiB of base64, and an envelope.
const MESSAGE_MAX: usize = 24 << 20;

/// Events that may wait for a client that does not read; then it is not heard either.
const BACKLOG_MAX: usize = 256;

/// The longest `session.update` that is remembered.
const UPDATE_MAX: usize = 64 << 10;

/// What both directions share.
struct Shared<'a> {
    dialogue: Mutex<Dialogue>,
    recorder: &'a Recorder,
    /// Something is to be said.
    work: Notify,
    /// Something was said.
    room: Notify,
}

/// The text of `session.created`, which goes out with the 101 before a part begins.
pub(super) fn session_created(connection: u64, accepted: &Accepted) -> String {
    let mut dialogue = Dialogue::new(accepted.service, connection, &accepted.model, None);
    dialogue
        .next_event()
        .map(|event| event.text)
        .unwrap_or_default()
}

/// Converses until either side ends it. The 101 and `session.created` are out by now.
pub(super) async fn play(wire: Wire<'_>, accepted: &Accepted, options: &Options) {
    let recorder = wire.recorder;
    let pacing = options.strict_pacing.then(Instant::now);
    let mut dialogue = Dialogue::new(accepted.service, recorder.id(), &accepted.model, pacing);
    dialogue.next_event();
    let (stream, early) = wire.into_parts();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let socket =
        WebSocketStream::from_partially_read(stream, early.to_vec(), Role::Server, Some(config));
    let (mut sink, mut source) = socket.await.split();
    let shared = Shared {
        dialogue: Mutex::new(dialogue),
        recorder,
        work: Notify::new(),
        room: Notify::new(),
    };
    // Both futures live until the end; whichever ends first ends the session.
    let broke = tokio::select! {
        broke = shared.listen(&mut source) => broke,
        () = shared.speak(&mut sink) => None,
    };
    if let Some(code) = broke {
        recorder.close_sent(Some(code.into()), "sim");
        recorder.sent(CLOSE, 5);
        let close = CloseFrame {
            code,
            reason: "sim".into(),
        };
        // The client may be gone by now, which changes nothing.
        let _ = timeout(LINGER, sink.send(Message::Close(Some(close)))).await;
    }
    if let Ok(mut socket) = sink.reunite(source) {
        let stream = socket.get_mut();
        let mut scratch = [0; 1024];
        let goodbye = async {
            let _ = stream.shutdown().await;
            while stream.read(&mut scratch).await.is_ok_and(|count| count > 0) {}
        };
        let _ = timeout(LINGER, goodbye).await;
    }
}

/// The text as an event, if it is `session.update`.
fn update(text: &str) -> Option<Value> {
    let may_be = text.len() <= UPDATE_MAX && text.contains("session.update");
    let event: Value = may_be.then(|| serde_json::from_str(text).ok())??;
    (event["type"] == "session.update").then_some(event)
}

impl Shared<'_> {
    /// Hears the client to its end. Returns a close code when the client broke the protocol.
    async fn listen(&self, source: &mut SplitStream<WebSocketStream<Stream>>) -> Option<CloseCode> {
        while let Some(message) = source.next().await {
            match message {
                Ok(Message::Text(text)) => {
                    self.recorder.received(TEXT, text.len());
                    while self.dialogue().backlog() >= BACKLOG_MAX {
                        self.room.notified().await;
                    }
                    if let Some(update) = update(&text) {
                        self.recorder.updated(update);
                    }
                    let audio = self.dialogue().receive(&text, Instant::now());
                    self.recorder.appended(&audio);
                    self.work.notify_one();
                }
                Ok(Message::Binary(bytes)) => {
                    self.recorder.received(BINARY, bytes.len());
                    self.recorder.violation(Violation::Binary);
                    self.dialogue().refuse_binary();
                    self.work.notify_one();
                }
                Ok(Message::Ping(payload)) => {
                    self.recorder.received(PING, payload.len());
                    // Tungstenite answers by itself.
                    self.recorder.sent(PONG, payload.len());
                }
                Ok(Message::Pong(payload)) => {
                    self.recorder.received(PONG, payload.len());
                    self.recorder.pong(&payload);
                }
                Ok(Message::Close(close)) => self.closed(close),
                // Never read, only written.
                Ok(Message::Frame(_)) => {}
                Err(error) => return self.failed(&error),
            }
        }
        None
    }

    /// Says what there is to say, until the client is gone.
    async fn speak(&self, sink: &mut SplitSink<WebSocketStream<Stream>, Message>) {
        loop {
            let event = self.dialogue().next_event();
            let Some(event) = event else {
                self.work.notified().await;
                continue;
            };
            let bytes = event.text.len();
            match sink.send(Message::text(event.text)).await {
                Ok(()) => {}
                Err(Error::Io(_)) => return self.recorder.ending(Ending::ClientGone),
                // A close is under way; the listening half sees it through.
                Err(_) => return std::future::pending().await,
            }
            self.recorder.sent(TEXT, bytes);
            self.recorder.replied(&event.audio);
            if let Some(code) = event.error {
                self.recorder.error(code);
            }
            self.room.notify_one();
        }
    }

    /// Notes the client's close frame; tungstenite echoes it.
    fn closed(&self, close: Option<CloseFrame>) {
        let (code, reason) = match &close {
            Some(close) => (Some(close.code.into()), close.reason.as_str()),
            None => (None, ""),
        };
        let bytes = if close.is_some() { 2 + reason.len() } else { 0 };
        self.recorder.received(CLOSE, bytes);
        self.recorder.close_received(code, reason);
        self.recorder.sent(CLOSE, bytes);
        self.recorder.close_sent(code, reason);
    }

    fn failed(&self, error: &Error) -> Option<CloseCode> {
        let code = match error {
            Error::Utf8(_) => CloseCode::Invalid,
            Error::Capacity(_) => CloseCode::Size,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                self.recorder.ending(Ending::ClientGone);
                return None;
            }
            Error::Protocol(_) => CloseCode::Protocol,
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Tls(_)
            | Error::WriteBufferFull(_)
            | Error::AttackAttempt
            | Error::Url(_)
            | Error::Http(_)
            | Error::HttpFormat(_) => {
                self.recorder.ending(Ending::ClientGone);
                return None;
            }
        };
        self.recorder.violation(Violation::Message);
        self.recorder.ending(Ending::ClientBroke);
        Some(code)
    }

    fn dialogue(&self) -> MutexGuard<'_, Dialogue> {
        self.dialogue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
