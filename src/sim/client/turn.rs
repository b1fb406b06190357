//! One spoken turn on the wire: appends out, an answer in.
//!
//! Owns pacing and the collecting of audio. Refuses to know connections, and whether the answer is
//! the right one.

use super::{Error, RATE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

/// How fast a turn is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All at once.
    AtOnce,
    /// 20 ms of audio each 20 ms.
    RealTime,
}

/// Audio of one append.
const APPEND: Duration = Duration::from_millis(20);

/// Sends a turn in appends of 20 ms. Returns how many.
pub(super) async fn speak(
    mut sink: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    turn: &[u8],
    pace: Pace,
) -> Result<u64, Error> {
    let size = (f64::from(RATE) * APPEND.as_secs_f64()) as usize * 2;
    let mut clock = interval(APPEND);
    // A late append is followed at once by the next, as a microphone's buffer would.
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    for piece in turn.chunks(size) {
        if pace == Pace::RealTime {
            clock.tick().await;
        }
        let audio = STANDARD.encode(piece);
        let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
        sink.send(Message::text(append)).await?;
        sent += 1;
    }
    Ok(sent)
}

/// What came until `response.done`.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) audio: Vec<u8>,
    pub(super) first_audio: Option<Instant>,
    pub(super) messages: u64,
}

pub(super) async fn answer(
    mut source: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    patience: Duration,
) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    loop {
        let event = next_event(&mut source, patience).await?;
        answer.messages += 1;
        fail_on_error(&event)?;
        match event["type"].as_str() {
            Some("response.audio.delta") => {
                answer.first_audio.get_or_insert_with(Instant::now);
                let delta = event["delta"].as_str().ok_or(Error::Unintelligible)?;
                let delta = STANDARD.decode(delta).map_err(|_| Error::Unintelligible)?;
                answer.audio.extend(delta);
            }
            Some("response.done") => return Ok(answer),
            Some(_) => {}
            None => return Err(Error::Unintelligible),
        }
    }
}

pub(super) async fn next_event(
    source: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
    patience: Duration,
) -> Result<Value, Error> {
    loop {
        let message = timeout(patience, source.next()).await;
        match message.map_err(|_| Error::Late("event"))? {
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map_err(|_| Error::Unintelligible);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => return Err(Error::Unintelligible),
            Some(Ok(Message::Close(close))) => {
                let code = close.map(|close| close.code.into());
                return Err(Error::Closed { code });
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Error::Closed { code: None }),
        }
    }
}

pub(super) fn fail_on_error(event: &Value) -> Result<(), Error> {
    if event["type"] != "error" {
        return Ok(());
    }
    let code = event["error"]["code"].as_str().unwrap_or_default();
    Err(Error::Service {
        code: code.to_owned(),
    })
}
