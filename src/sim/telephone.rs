//! A telephone for people: what is pressed on it, a simulated ACS caller presses.
//!
//! An edge knows nothing of it: to it this is the upstream of a relay, and what the caller does comes
//! back as any call of ACS would. Whoever starts it knows how a call is dialled. It speaks text messages of JSON, and the audio that the caller gets as binary ones, PCM16 at 24 kHz:
//!
//! ```text
//! to us     {"type":"dial"}  {"type":"press","key":"5"}  {"type":"speak"}  {"type":"hang_up"}  {"type":"code"}
//! from us   {"type":"ready","caller":…}  {"type":"code","code":…}  {"type":"answered","at":…,"call":…}
//!           {"type":"refused","status":…}  {"type":"key","at":…,"count":…}  {"type":"said","at":…}
//!           {"type":"audio","at":…}  {"type":"stop","at":…,"dropped":…}
//!           {"type":"ended","at":…,"how":…,"code":…,"reason":…}
//! ```
//!
//! `at` counts milliseconds from when the call was dialled. Keys are told by their number.

use super::accept::accept;
use super::acs::hand::Hand;
use super::acs::line::{Keying, Talker};
use super::acs::record::{Ending, Event, Record};
use super::acs::{Call, Options, guid};
use super::client;
use super::signal;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tokio_util::sync::CancellationToken;

/// Telephones at a time: some pages of one person.
const TELEPHONES: usize = 8;
/// What the page says is short.
const MESSAGE_MAX: usize = 1024;
/// A call is over after this, whoever forgot it.
const CALL_MAX: Duration = Duration::from_secs(10 * 60);
/// For the handshake, which comes from the edge.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Seconds that the caller says something for.
const SPEECH: f64 = 1.2;
/// What begins behind so much that waits to be said is not said: whoever presses keys without end waits
/// for them.
const WAITS_MAX: Duration = Duration::from_secs(20);

/// A call that is being dialled.
pub type Dialling = Pin<Box<dyn Future<Output = Result<Call, client::Error>> + Send>>;

/// Who may take the telephone, and what it does.
pub struct Telephone {
    /// Shown in `api-key` by whoever takes it.
    pub key: String,
    /// The number that calls.
    pub caller: String,
    /// What opens the gate, told to whoever asks for it.
    pub code: String,
    /// Has ACS dial a call of this name.
    pub dial: Box<dyn Fn(String) -> Dialling + Send + Sync>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    Dial,
    Press { key: char },
    Speak,
    HangUp,
    Code,
}

/// Serves whoever takes a telephone, until told to stop.
pub async fn serve(listener: TcpListener, telephone: Arc<Telephone>, stop: CancellationToken) {
    accept(listener, TELEPHONES, stop, move |tcp, _| {
        let telephone = Arc::clone(&telephone);
        async move {
            // How a telephone is put away concerns nobody.
            let _ = taken(tcp, &telephone).await;
        }
    })
    .await;
}

/// Shakes hands with whoever shows the key.
async fn shake(socket: TcpStream, telephone: &Telephone) -> Option<WebSocketStream<TcpStream>> {
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let judge = |request: &Request, response: Response| {
        let shown = request.headers().get("api-key");
        let is_key = |shown: &http::HeaderValue| {
            verify_slices_are_equal(shown.as_bytes(), telephone.key.as_bytes()).is_ok()
        };
        match shown.is_some_and(is_key) {
            true => Ok(response),
            false => {
                let mut refused = ErrorResponse::new(None);
                *refused.status_mut() = http::StatusCode::UNAUTHORIZED;
                Err(refused)
            }
        }
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let shaken = accept_hdr_async_with_config(socket, judge, Some(config));
    timeout(HANDSHAKE, shaken).await.ok()?.ok()
}

/// One telephone, until it is put away; its call ends with it.
async fn taken(socket: TcpStream, telephone: &Telephone) -> Result<(), Error> {
    let Some(mut socket) = shake(socket, telephone).await else {
        return Ok(());
    };
    tell(
        &mut socket,
        json!({ "type": "ready", "caller": telephone.caller }),
    )
    .await?;
    let mut line: Option<Line> = None;
    loop {
        let asked = tokio::select! {
            asked = socket.next() => asked,
            told = next(line.as_mut()) => {
                let is_over = told.is_over;
                for message in told.messages {
                    socket.feed(message).await?;
                }
                socket.flush().await?;
                if is_over {
                    line = None;
                }
                continue;
            }
        };
        let text = match asked {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
            Some(Ok(_)) => continue,
        };
        // What is no wish is none of ours.
        let Ok(asked) = serde_json::from_str(&text) else {
            continue;
        };
        match (asked, &mut line) {
            (Asked::Code, _) => {
                let told = json!({ "type": "code", "code": telephone.code });
                tell(&mut socket, told).await?;
            }
            (Asked::Dial, none @ None) => match dial(telephone).await {
                Ok((begun, told)) => {
                    *none = Some(begun);
                    tell(&mut socket, told).await?;
                }
                Err(refused) => tell(&mut socket, refused).await?,
            },
            (Asked::Press { key }, Some(line)) => line.press(key),
            (Asked::Speak, Some(line)) => line.speak(),
            (Asked::HangUp, Some(line)) => line.hand.hang_up(),
            (Asked::Dial, Some(_)) | (_, None) => {}
        }
    }
}

async fn tell(socket: &mut WebSocketStream<TcpStream>, told: Value) -> Result<(), Error> {
    socket.send(Message::text(told.to_string())).await
}

/// Has ACS dial the edge; the line, and what is told of it, or of why there is none.
async fn dial(telephone: &Telephone) -> Result<(Line, Value), Value> {
    let name = format!("page-{}", &guid()[..8]);
    let refused = |status: Option<u16>| json!({ "type": "refused", "status": status });
    let dialled = (telephone.dial)(name.clone()).await;
    let call = dialled.map_err(|error| match error {
        client::Error::Refused(answer) => refused(Some(answer.status)),
        client::Error::Unusable(_)
        | client::Error::Io(_)
        | client::Error::Late(_)
        | client::Error::Handshake
        | client::Error::WebSocket(_)
        | client::Error::Closed { .. }
        | client::Error::Service { .. }
        | client::Error::Unintelligible
        | client::Error::Changed => refused(None),
    })?;
    let line = Line::of(call);
    let at = line.ms(line.hand.look(|record| record.dialled.upgrade));
    let told = json!({ "type": "answered", "at": at, "call": name });
    Ok((line, told))
}

/// A call that runs.
struct Line {
    hand: Hand,
    /// Ends the call when it is dropped.
    running: JoinHandle<()>,
    start: Instant,
    /// When all is said that waits.
    said_by: Instant,
    /// What has been told: events, samples, keys.
    events: usize,
    samples: usize,
    keys: usize,
}

/// What there is to tell.
struct Told {
    messages: Vec<Message>,
    is_over: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Line {
    fn of(call: Call) -> Line {
        let hand = call.hand();
        let start = hand.look(|record| record.dialled.start);
        let ends = hand.clone();
        let running = tokio::spawn(async move {
            let mut running = Box::pin(call.run());
            if timeout(CALL_MAX, &mut running).await.is_err() {
                ends.hang_up();
                running.await;
            }
        });
        Line {
            hand,
            running,
            start,
            said_by: Instant::now(),
            events: 0,
            samples: 0,
            keys: 0,
        }
    }

    fn ms(&self, at: Instant) -> u64 {
        let ms = at.duration_since(self.start).as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX)
    }

    /// The caller presses a key: its tone is in the audio, and nothing else tells of it.
    fn press(&mut self, key: char) {
        let keying = Keying::tones();
        let length = Duration::from_secs_f64(keying.pace.tone + 2.0 * keying.pace.gap);
        if self.has_time(length) {
            // What is no key is not pressed.
            let _ = self.hand.press(key.encode_utf8(&mut [0; 4]), &keying);
        }
    }

    fn speak(&mut self) {
        if self.has_time(Duration::from_secs_f64(SPEECH)) {
            // There is room: it was looked for.
            let _ = self.hand.say(Talker::Caller, &speech());
        }
    }

    /// Whether what lasts so long is said soon enough; if so, it is thought to be.
    fn has_time(&mut self, length: Duration) -> bool {
        let now = Instant::now();
        let begins = self.said_by.max(now);
        let fits = begins.duration_since(now) < WAITS_MAX;
        if fits {
            self.said_by = begins + length;
        }
        fits
    }

    /// What happened since it was told last.
    fn told(&mut self) -> Told {
        let hand = self.hand.clone();
        let mut messages = Vec::new();
        let is_over = hand.look(|record| {
            // Sound before words: what has come is heard before it is hushed.
            let fresh = &record.received[self.samples..];
            if !fresh.is_empty() {
                let bytes: Vec<u8> = fresh.iter().flat_map(|s| s.to_le_bytes()).collect();
                messages.push(Message::binary(bytes));
                self.samples = record.received.len();
            }
            let events: Vec<_> = record.events[self.events..].to_vec();
            self.events = record.events.len();
            for (at, event) in events {
                messages.extend(
                    self.tell(at, &event)
                        .map(|told| Message::text(told.to_string())),
                );
            }
            record.ending.is_some()
        });
        Told { messages, is_over }
    }

    fn tell(&mut self, at: Instant, event: &Event) -> Option<Value> {
        let ms = self.ms(at);
        Some(match event {
            Event::Metadata => return None,
            Event::Key => {
                self.keys += 1;
                json!({ "type": "key", "at": ms, "count": self.keys })
            }
            Event::Spoke => {
                let said = at + Duration::from_secs_f64(SPEECH);
                json!({ "type": "said", "at": self.ms(said) })
            }
            Event::Audio => json!({ "type": "audio", "at": ms }),
            Event::Stop { dropped } => {
                let dropped = u64::try_from(dropped.as_millis()).unwrap_or(u64::MAX);
                json!({ "type": "stop", "at": ms, "dropped": dropped })
            }
            Event::Wrong(_) => json!({ "type": "wrong", "at": ms }),
            Event::Ended(ending) => {
                let (how, code, reason) = match ending {
                    Ending::HungUp => ("hung_up", None, ""),
                    Ending::Vanished | Ending::Lost => ("lost", Some(1006), ""),
                    Ending::Closed { code, reason } => ("closed", *code, reason.as_str()),
                };
                json!({ "type": "ended", "at": ms, "how": how, "code": code, "reason": reason })
            }
        })
    }

    /// Whether there is something to tell.
    fn has_news(&self) -> impl Fn(&Record) -> bool + use<> {
        let (events, samples) = (self.events, self.samples);
        move |record| record.events.len() > events || record.received.len() > samples
    }
}

/// What the caller says.
fn speech() -> Vec<i16> {
    let pcm = signal::speech(SPEECH, Options::default().rate.hz());
    let (pairs, _) = pcm.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// What the call has to tell next; without one, nothing ever.
async fn next(line: Option<&mut Line>) -> Told {
    let Some(line) = line else {
        return std::future::pending().await;
    };
    let hand = line.hand.clone();
    hand.until(line.has_news()).await;
    line.told()
}
