//! A small Voice Live client, for the demo and for tests.
//!
//! Owns dialling with a clock beside it, and one spoken turn whose answer must be that turn.
//! Refuses to know what stands between it and the service. Not here: retries, agents, avatars.

pub(super) mod dial;
pub mod turn;

use super::signal;
use super::stream::{Security, Stream};
use crate::audio::SampleRate;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};
use turn::{Pace, answer, fail_on_error, next_event, speak};

/// How long all of dialling may take. Above the sum of the edge's own deadlines.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// How long the service may be silent inside a conversation.
const SILENCE_DEADLINE: Duration = Duration::from_secs(30);

/// Rate of everything said, the service's default.
const RATE: u32 = 24_000;

/// Silence after each turn: enough for the service to notice, which takes it 300 ms.
const PAUSE_SECONDS: f64 = 0.5;

/// Why a call did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL, a header or the roots cannot be used.
    #[error("cannot dial with this: {0}")]
    Unusable(&'static str),
    /// The connection or TLS failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// Something took longer than its deadline.
    #[error("no {0} in time")]
    Late(&'static str),
    /// The answer to the upgrade was not HTTP, or its key or extensions were wrong.
    #[error("the answer to the upgrade is not a WebSocket's")]
    Handshake,
    /// The upgrade was refused. Its texts are for tests; `Display` does not print them.
    #[error("refused with HTTP status {}", .0.status)]
    Refused(Box<Refused>),
    /// The WebSocket failed.
    #[error("WebSocket failed: {0}")]
    WebSocket(#[from] tungstenite::Error),
    /// The service closed the connection inside a conversation.
    #[error("closed with code {code:?} inside the conversation")]
    Closed {
        /// Its close code, if it sent one.
        code: Option<u16>,
    },
    /// The service sent an `error` event with this code.
    #[error("the service answered with an error event")]
    Service {
        /// The `code` inside.
        code: String,
    },
    /// A message is not JSON or lacks what it must have.
    #[error("the service sent what is not Voice Live")]
    Unintelligible,
    /// The audio that came back is not the audio that went out.
    #[error("the answer differs from what was said")]
    Changed,
}

/// An HTTP answer other than 101.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body, cut at 64 KiB.
    pub body: Vec<u8>,
}

/// When dialling reached each step.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Dialling began.
    pub start: Instant,
    /// TCP stood.
    pub tcp: Instant,
    /// TLS stood; `None` without TLS.
    pub tls: Option<Instant>,
    /// The 101 was read.
    pub upgrade: Instant,
}

/// An open connection.
pub struct Client {
    socket: WebSocketStream<Stream>,
    security: Option<Security>,
    pace: Pace,
    configured: bool,
    /// Audio sent that no answer has returned yet.
    unanswered: Vec<u8>,
}

/// One turn and its answer.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The first append was handed to the socket.
    pub spoke: Instant,
    /// The first audio of the answer came.
    pub first_audio: Instant,
    /// `response.done` came.
    pub done: Instant,
    /// Messages each way.
    pub messages_sent: u64,
    /// Messages received, audio and others.
    pub messages_received: u64,
    /// Audio bytes said, silence included.
    pub audio_sent: usize,
    /// Audio bytes answered, all equal to what was said.
    pub audio_received: usize,
}

impl Client {
    /// Dials `url` (`ws`, `wss`, `http` or `https`) with these headers. Over TLS the server is
    /// verified against `roots_pem` and nothing else, before any header is sent.
    pub async fn connect(
        url: &str,
        headers: &[(&str, &str)],
        roots_pem: Option<&str>,
    ) -> Result<(Self, Timeline), Error> {
        let dialled = timeout(CONNECT_DEADLINE, dial::dial(url, headers, roots_pem)).await;
        dialled.map_err(|_| Error::Late("connection"))?
    }

    /// What TLS settled on.
    #[must_use]
    pub fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    /// Sets how fast turns are spoken from now on; at once by default.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// The socket itself, for tests that speak their own way.
    pub fn socket(&mut self) -> &mut WebSocketStream<Stream> {
        &mut self.socket
    }

    /// Gives up the socket.
    #[must_use]
    pub fn into_socket(self) -> WebSocketStream<Stream> {
        self.socket
    }

    /// The next event of the service, parsed. Pings and pongs are passed over.
    pub async fn event(&mut self) -> Result<Value, Error> {
        next_event(&mut self.socket, SILENCE_DEADLINE).await
    }

    /// Sends one event.
    pub async fn say(&mut self, event: &Value) -> Result<(), Error> {
        Ok(self.socket.send(Message::text(event.to_string())).await?)
    }

    /// Says `seconds` of speech and a pause, and listens until `response.done`. The answer must be
    /// what was said, byte for byte, from where the last answer ended to inside the pause.
    pub async fn converse(&mut self, seconds: f64) -> Result<Conversation, Error> {
        self.say_all(signal::speech(seconds, RATE)).await
    }

    /// The same with the tones of a telephone's keys instead of speech.
    pub async fn press(&mut self, keys: &str) -> Result<Conversation, Error> {
        let tones = signal::keys(keys, SampleRate::Hz24000);
        self.say_all(tones.map_err(|_| Error::Unusable("these are no keys"))?)
            .await
    }

    async fn say_all(&mut self, speech: Vec<u8>) -> Result<Conversation, Error> {
        let seconds = speech.len() as f64 / 2.0 / f64::from(RATE);
        let mut received = 0;
        if !self.configured {
            received += self.configure().await?;
        }
        let configured_by = u64::from(received > 0);
        self.unanswered.extend_from_slice(&speech);
        let least = self.unanswered.len();
        let pause = signal::silence(PAUSE_SECONDS, RATE);
        self.unanswered.extend_from_slice(&pause);
        let turn = [speech, pause].concat();
        let spoke = Instant::now();
        let (sink, source) = (&mut self.socket).split();
        let patience = SILENCE_DEADLINE + Duration::from_secs_f64(seconds + PAUSE_SECONDS);
        let (sent, answer) =
            tokio::try_join!(speak(sink, &turn, self.pace), answer(source, patience))?;
        let (audio, first_audio) = (answer.audio, answer.first_audio);
        if audio.len() < least || !self.unanswered.starts_with(&audio) {
            return Err(Error::Changed);
        }
        self.unanswered.drain(..audio.len());
        Ok(Conversation {
            spoke,
            first_audio: first_audio.ok_or(Error::Changed)?,
            done: Instant::now(),
            messages_sent: configured_by + sent,
            messages_received: received + answer.messages,
            audio_sent: turn.len(),
            audio_received: audio.len(),
        })
    }

    /// Waits for `session.created`, updates the session, waits for that. Returns the messages read.
    async fn configure(&mut self) -> Result<u64, Error> {
        let mut received = 1;
        while self.event().await?["type"] != "session.created" {
            received += 1;
        }
        self.say(&json!({
            "type": "session.update",
            "event_id": "update",
            "session": {
                "modalities": ["text", "audio"],
                "input_audio_format": "pcm16",
                "input_audio_sampling_rate": RATE,
                "output_audio_format": "pcm16",
                "turn_detection": { "type": "azure_semantic_vad", "silence_duration_ms": 300 },
            },
        }))
        .await?;
        loop {
            received += 1;
            let event = self.event().await?;
            if event["type"] == "session.updated" {
                self.configured = true;
                return Ok(received);
            }
            fail_on_error(&event)?;
        }
    }
}
