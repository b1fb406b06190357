//! The two directions of a running call.
//!
//! Owns the schedule, the order of what is sent in each 20 ms, and the ends. Sending and receiving
//! are two futures of one task: an edge that does not read does not keep us from reading.

use super::hand::{Leave, Shared};
use super::line::{Begins, FRAME, Frame, Talker};
use super::message::Writer;
use super::read::{Message as Said, Violation, read};
use super::record::{Ending, Event};
use super::{Channel, LINGER, OTHER, Opening, Pace};
use crate::dtmf::Digit;
use crate::sim::stream::Stream;
use futures_util::{Sink, SinkExt, StreamExt};
use std::pin::pin;
use std::time::Instant;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

/// Runs until the call's media ended, one way or another.
pub(super) async fn run(socket: WebSocketStream<Stream>, writer: Writer, shared: &Shared) {
    let (sink, source) = socket.split();
    let mut listening = pin!(listen(source, shared));
    let left = {
        let mut speaking = pin!(speak(sink, writer, shared));
        // Both futures live as long as the loop would; neither is polled again once it is done.
        tokio::select! {
            () = &mut listening => None,
            left = &mut speaking => Some(left),
        }
    };
    match left {
        None | Some(Ok(Leave::Vanish)) => {}
        // Hung up, or the edge does not take any more: it may still have something to say.
        Some(Ok(Leave::HangUp | Leave::WhenSaid) | Err(_)) => {
            // Without an end in time the stream ends all the same.
            let _ = timeout(LINGER, listening).await;
        }
    }
    let now = Instant::now();
    shared.note(|state| {
        state.record.ended(now, Ending::Lost);
        state.played(now);
    });
}

/// Sends until the caller leaves or the wire fails.
pub(super) async fn speak(
    mut sink: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    mut writer: Writer,
    shared: &Shared,
) -> Result<Leave, tungstenite::Error> {
    let options = &shared.options;
    let opening = match &options.opening {
        Opening::Usual => Some(writer.metadata(options.rate)),
        Opening::Missing => None,
        Opening::Instead(text) => Some(text.clone()),
    };
    if let Some(opening) = opening {
        sink.send(Message::text(opening)).await?;
        shared.note(|state| {
            state.record.messages_sent += 1;
            state.record.happened(Instant::now(), Event::Metadata);
        });
    }
    let mut clock = interval(FRAME);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    loop {
        match options.pace {
            Pace::RealTime => {
                clock.tick().await;
            }
            Pace::AtOnce => {
                while !shared.lock().waits() {
                    shared.work.notified().await;
                }
            }
        }
        let (texts, frames, leave) = {
            let state = &mut *shared.lock();
            let texts = std::mem::take(&mut state.texts);
            let leave = state.leave;
            let said = state.line.is_empty();
            let goes = match leave {
                Some(Leave::HangUp | Leave::Vanish) => true,
                Some(Leave::WhenSaid) => said,
                None => false,
            };
            // Without a pace, only what is said takes time.
            let frames =
                (!goes && (!said || options.pace == Pace::RealTime)).then(|| state.line.next());
            (texts, frames, leave.filter(|_| goes))
        };
        for text in texts {
            sink.send(Message::text(text)).await?;
            shared.note(|state| state.record.messages_sent += 1);
        }
        if let Some(leave) = leave {
            return go(sink, leave, shared).await;
        }
        if let Some(frames) = frames {
            send(&mut sink, &mut writer, shared, number, frames).await?;
            number += 1;
        }
    }
}

/// Leaves, with or without a word.
async fn go(
    mut sink: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    leave: Leave,
    shared: &Shared,
) -> Result<Leave, tungstenite::Error> {
    let ending = match leave {
        Leave::Vanish => Ending::Vanished,
        Leave::HangUp | Leave::WhenSaid => Ending::HungUp,
    };
    shared.note(|state| state.record.ended(Instant::now(), ending.clone()));
    if ending == Ending::HungUp {
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        sink.send(Message::Close(Some(close))).await?;
    }
    Ok(leave)
}

/// Sends one frame of each stream that the channel has, and what goes before it.
async fn send(
    sink: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    writer: &mut Writer,
    shared: &Shared,
    number: u32,
    [mut caller, mut other]: [Frame; 2],
) -> Result<(), tungstenite::Error> {
    let options = &shared.options;
    let raw_id = format!("4:{}", options.ani);
    let size = options.rate.samples_in(FRAME) as usize;
    let begun = [caller.begins, other.begins];
    let key = |writer: &mut Writer, who: &str, told: &[Digit]| -> Vec<String> {
        let messages = told.iter().map(|&digit| writer.key(number, who, digit));
        messages.collect()
    };
    let mut messages: Vec<String> = writer.unknown(number).into_iter().collect();
    messages.extend(key(writer, &raw_id, &caller.told));
    messages.extend(key(writer, OTHER, &other.told));
    caller.samples.resize(size, 0);
    let named = match options.channel {
        Channel::Mixed { named } => named,
        Channel::Unmixed => true,
    };
    let streams = match options.channel {
        Channel::Mixed { .. } => {
            for (sample, more) in caller.samples.iter_mut().zip(&other.samples) {
                *sample = sample.saturating_add(*more);
            }
            vec![(Talker::Caller, &*raw_id, caller.samples)]
        }
        Channel::Unmixed => {
            other.samples.resize(size, 0);
            let mut streams = vec![
                (Talker::Caller, &*raw_id, caller.samples),
                (Talker::Other, OTHER, other.samples),
            ];
            // Nothing says that the caller comes first.
            if number % 2 == 1 {
                streams.reverse();
            }
            streams
        }
    };
    for (_, who, samples) in &streams {
        messages.push(writer.audio(number, named.then_some(*who), samples));
    }
    let count = messages.len() as u64;
    for message in messages {
        sink.send(Message::text(message)).await?;
    }
    let now = Instant::now();
    shared.note(|state| {
        let record = &mut state.record;
        record.messages_sent += count;
        for (talker, _, samples) in &streams {
            record.keep_sent(*talker, samples);
        }
        for begins in begun.into_iter().flatten() {
            let event = match begins {
                Begins::Key => Event::Key,
                Begins::Speech => Event::Spoke,
            };
            record.happened(now, event);
        }
    });
    Ok(())
}

/// Receives until the stream ends. The library answers pings and close frames.
async fn listen(
    mut source: impl futures_util::Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    shared: &Shared,
) {
    while let Some(message) = source.next().await {
        let now = Instant::now();
        match message {
            Ok(Message::Text(text)) => hear(&text, now, shared),
            Ok(Message::Binary(_)) => shared.note(|state| {
                state.record.messages_received += 1;
                state.record.violation(now, Violation::Binary);
            }),
            Ok(Message::Ping(_)) => shared.note(|state| state.record.pings += 1),
            // We never ask.
            Ok(Message::Pong(_)) => {
                shared.note(|state| state.record.violation(now, Violation::Pong));
            }
            Ok(Message::Close(close)) => {
                shared.note(|state| {
                    let code = close.as_ref().map(|close| close.code.into());
                    let reason = close.map_or_else(String::new, |close| close.reason.to_string());
                    state.record.close = Some((code, reason.clone()));
                    state.record.ended(now, Ending::Closed { code, reason });
                });
                // Reading on is what sends the answer.
                let ended = async { while source.next().await.is_some_and(|end| end.is_ok()) {} };
                let _ = timeout(LINGER, ended).await;
                return;
            }
            Ok(Message::Frame(_)) => {}
            Err(error) => {
                if is_broken(&error) {
                    shared.note(|state| state.record.violation(now, Violation::Frame));
                }
                return;
            }
        }
    }
}

/// Whether the edge broke RFC 6455, rather than being gone.
fn is_broken(error: &tungstenite::Error) -> bool {
    if let tungstenite::Error::Protocol(broken) = error {
        return *broken != ResetWithoutClosingHandshake;
    }
    matches!(
        error,
        tungstenite::Error::Utf8(_) | tungstenite::Error::Capacity(_)
    )
}

fn hear(text: &str, now: Instant, shared: &Shared) {
    let (said, wrong) = read(text);
    shared.note(|state| {
        state.record.messages_received += 1;
        for violation in wrong {
            state.record.violation(now, violation);
        }
        let since = now - state.record.dialled.upgrade;
        match said {
            Some(Said::Audio(samples)) => {
                state.playback.push(since, &samples);
                state.record.audio(now, &samples);
            }
            Some(Said::Stop) => {
                let dropped = state.playback.stop(since);
                state.record.happened(now, Event::Stop { dropped });
            }
            None => {}
        }
    });
}
