//! A simulated caller: what Azure Communication Services does when a call's media stream starts.
//!
//! ACS is the client. It dials the address that the call was answered with, shows its token and
//! the call's ids, tells the format and then sends 20 ms of audio every 20 ms until the call ends;
//! it plays what it gets. Microsoft documents this for whoever answers such a call; there is no
//! client to be had, so this one follows the documentation and is strict about what comes back:
//! what the service would merely tolerate is a [`read::Violation`].
//!
//! Owns one call's media: dialling, the line, the loudspeaker, the record. Refuses to know Redis,
//! codes and gates: keys are pressed, and what comes of it is heard or seen.
//!
//! Reading order: [`mod@line`] is what is said, [`message`] how that is written, [`read`] what comes
//! back, [`playback`] how it is heard, [`record`] what is remembered, [`hand`] how a test or a
//! person takes part, `media` the two directions at work.
//!
//! Not here: REST, callbacks, reconnecting. A second upgrade is a second [`Call`].

pub mod hand;
pub mod line;
mod media;
pub mod message;
pub mod playback;
pub mod read;
pub mod record;

use super::client::{Client, Error};
use super::stream::{Security, Stream};
use crate::audio::SampleRate;
use aws_lc_rs::rand;
use hand::{Hand, Shared};
use message::{Manner, Writer};
use record::Record;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_tungstenite::WebSocketStream;

/// The other participant of unmixed calls: a user of the resource, as raw ids are written.
pub const OTHER: &str =
    "8:acs:0a0a0a0a-1111-4222-8333-444444444444_00000000-0000-4000-8000-000000000002";

/// How long the edge may take to answer our close frame or to end after its own.
const LINGER: Duration = Duration::from_secs(5);

/// Where to dial, and as whom. It holds the token and the secret of the URL, so it is not printed.
#[derive(Clone, Default)]
pub struct Dial {
    /// The whole address, path and query as they are: `wss://edge.example.org/acs/media/7f0c?…`.
    pub url: String,
    /// Roots that the edge is verified against, PEM; needed with TLS.
    pub roots_pem: Option<String>,
    /// The JWT, which goes into `Authorization` behind `Bearer`.
    pub token: Option<String>,
    /// `x-ms-call-connection-id`.
    pub connection_id: Option<String>,
    /// `x-ms-call-correlation-id`.
    pub correlation_id: Option<String>,
    /// Headers that ACS does not send, for tests.
    pub more: Vec<(String, String)>,
}

/// How the call behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// 16 or 24 kHz; others can be had, to see them refused.
    pub rate: SampleRate,
    /// How fast frames are sent.
    pub pace: Pace,
    /// The caller's number as signalling has it, E.164 with its plus.
    pub ani: String,
    /// Whose audio a message carries.
    pub channel: Channel,
    /// What the first message is.
    pub opening: Opening,
    /// What the service does as it likes.
    pub manner: Manner,
}

/// How fast frames are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// What waits to be said, at once; then nothing, not even silence. For tests.
    AtOnce,
    /// 20 ms each 20 ms, on the schedule of the first: what is late is followed at once by the
    /// next until the schedule is met.
    RealTime,
}

/// ACS' `audioChannelType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// One stream of all participants, under the caller's raw id or none.
    Mixed {
        /// Whether `participantRawID` is there.
        named: bool,
    },
    /// A stream of each participant, message by message on the same socket; who comes first
    /// changes.
    Unmixed,
}

/// What is sent before any audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// `AudioMetadata` that says how the audio is.
    Usual,
    /// Nothing.
    Missing,
    /// This text.
    Instead(String),
}

impl Default for Options {
    /// A mixed call at 24 kHz in real time.
    fn default() -> Self {
        Self {
            rate: SampleRate::Hz24000,
            pace: Pace::RealTime,
            ani: "+15551234567".to_owned(),
            channel: Channel::Mixed { named: true },
            opening: Opening::Usual,
            manner: Manner::default(),
        }
    }
}

/// A call whose media stream was accepted. Nothing is sent before [`Self::run`].
pub struct Call {
    socket: WebSocketStream<Stream>,
    security: Option<Security>,
    writer: Writer,
    shared: Arc<Shared>,
}

impl Call {
    /// Dials, as ACS does. A refused upgrade is [`Error::Refused`] with all that was answered.
    pub async fn dial(dial: &Dial, options: Options) -> Result<Self, Error> {
        let bearer = dial.token.as_ref().map(|token| format!("Bearer {token}"));
        let own = [
            ("Authorization", bearer.as_deref()),
            ("x-ms-call-connection-id", dial.connection_id.as_deref()),
            ("x-ms-call-correlation-id", dial.correlation_id.as_deref()),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let more = dial.more.iter().map(|(name, value)| (&**name, &**value));
        let headers: Vec<(&str, &str)> = own.chain(more).collect();
        let (client, dialled) =
            Client::connect(&dial.url, &headers, dial.roots_pem.as_deref()).await?;
        let security = client.security().cloned();
        let began = SystemTime::now() - Instant::now().duration_since(dialled.upgrade);
        let writer = Writer::new(options.manner, guid(), began);
        Ok(Self {
            socket: client.into_socket(),
            security,
            writer,
            shared: Arc::new(Shared::new(options, Record::new(dialled))),
        })
    }

    /// What TLS settled on.
    #[must_use]
    pub fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    /// Takes part in the call, before and while it runs.
    #[must_use]
    pub fn hand(&self) -> Hand {
        Hand::new(Arc::clone(&self.shared))
    }

    /// Sends and receives until the call's media ends; what happened. The caller of this sets the
    /// deadline: the edge may let a call go on as long as it likes.
    pub async fn run(self) -> Record {
        media::run(self.socket, self.writer, &self.shared).await;
        self.shared.finished()
    }
}

/// A random id in the form of Microsoft's (RFC 9562, version 4).
///
/// # Panics
/// If the system has no randomness to give.
#[must_use]
pub fn guid() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system generator never fails after boot");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
