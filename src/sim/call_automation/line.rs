//! A call as a test holds it: the far end's hand, and what became of the media.
//!
//! Owns posting callbacks, each with a token of its own. Refuses to know requests.

use super::connection::{Connection, Origin, Phase};
use super::desk::Desk;
use super::event::{self, Told};
use super::post::{self, Letter};
use super::record::{Event, Posted};
use super::story;
use crate::dtmf::Digit;
use crate::dtmf::tone::NotAKey;
use crate::sim::acs::hand::Hand;
use crate::sim::acs::line::{Keying, Unsaid};
use crate::sim::acs::{guid, record};
use crate::sim::issuer::mint::Mint;
use serde_json::{Value, json};
use std::sync::Arc;

/// How many seconds the token of a callback is good.
const CALLBACK_LIFETIME: i64 = 300;

/// A call.
#[derive(Clone)]
pub struct Line {
    pub(super) desk: Arc<Desk>,
    pub(super) connection: Arc<Connection>,
}

impl Line {
    /// `callConnectionId`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.connection.id
    }

    /// `serverCallId`.
    #[must_use]
    pub fn server_call(&self) -> &str {
        &self.connection.parties.server_call
    }

    /// `correlationId`.
    #[must_use]
    pub fn correlation(&self) -> &str {
        &self.connection.parties.correlation
    }

    /// Which side made it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.connection.origin
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.connection.with(|state| state.phase)
    }

    /// The far end's hand on the running media stream.
    #[must_use]
    pub fn hand(&self) -> Option<Hand> {
        self.connection.with(|state| state.hand.clone())
    }

    /// Waits for a media stream, and takes it in hand. The caller sets the deadline.
    pub async fn streams(&self) -> Hand {
        loop {
            self.connection.until(|state| state.hand.is_some()).await;
            if let Some(hand) = self.hand() {
                return hand;
            }
        }
    }

    /// What happened on the media stream that ended last.
    #[must_use]
    pub fn media(&self) -> Option<record::Record> {
        self.connection.with(|state| state.last.clone())
    }

    /// Waits until a media stream has ended, and tells what happened on it.
    pub async fn media_ended(&self) -> record::Record {
        loop {
            self.connection.until(|state| state.last.is_some()).await;
            if let Some(record) = self.media() {
                return record;
            }
        }
    }

    /// Waits until the edge listens for tones by callback. The caller sets the deadline.
    pub async fn listens(&self) {
        self.connection.until(|state| state.listens).await;
    }

    /// The far end presses keys: on the media stream as `keying` says (no message where the stream
    /// was asked for without tones), and by callback where the edge listens for tones.
    pub async fn press(&self, keys: &str, keying: &Keying) -> Result<(), Unsaid> {
        if let Some(hand) = self.hand() {
            let tones = self.connection.media.as_ref().is_some_and(|m| m.tones);
            let message = keying.message.filter(|_| tones);
            hand.press(keys, &Keying { message, ..*keying })?;
        }
        self.tones(keys).await
    }

    /// The far end presses keys that only callbacks tell of, if the edge listens. A `,` is nothing.
    pub async fn tones(&self, keys: &str) -> Result<(), Unsaid> {
        let keys = keys.chars().filter(|&key| key != ',');
        let digits: Result<Vec<Digit>, NotAKey> = keys
            .map(|key| Digit::from_char(key).ok_or(NotAKey(key)))
            .collect();
        let digits = digits?;
        let first = self.connection.with(|state| {
            state.listens.then(|| {
                let first = state.tones + 1;
                state.tones += digits.len() as u64;
                first
            })
        });
        let Some(first) = first else { return Ok(()) };
        let told = digits.iter().zip(first..).map(|(&digit, number)| {
            let more = json!({"sequenceId": number, "tone": event::word(digit)});
            self.told("ContinuousDtmfRecognitionToneReceived", None, more)
        });
        self.post(told.collect(), None).await;
        Ok(())
    }

    /// The far end hangs up. Returns when the edge was told.
    pub async fn hang_up(&self) {
        story::end(self).await;
    }

    /// The media stream is dialled once more, as after an interruption, while the old one may
    /// still stand: ACS' second upgrade for a call, with a token of its own.
    pub async fn redial(&self) {
        story::stream(self, "streamConnectionReestablished", None).await;
    }

    /// Posts events as they are, with a good token; what they were answered with. For tests that
    /// need an event which no call brings up.
    pub async fn callback(&self, events: &Value) -> Option<u16> {
        self.deliver(&self.connection.callback, events).await
    }

    /// The callback URL of the call.
    #[must_use]
    pub fn callback_url(&self) -> &str {
        &self.connection.callback
    }

    pub(super) fn told(&self, kind: &'static str, context: Option<&str>, more: Value) -> Told {
        event::told(&self.connection, kind, context, more)
    }

    /// Posts events that come up together, as the call's delivery has it, to the call's callback
    /// URL or to one for this operation.
    pub(super) async fn post(&self, mut events: Vec<Told>, url: Option<&str>) {
        let delivery = self.connection.delivery;
        let url = url.unwrap_or(&self.connection.callback);
        if delivery.reversed {
            events.reverse();
        }
        let size = if delivery.together { events.len() } else { 1 };
        let _turn = self.connection.posting.lock().await;
        for part in events.chunks(size.max(1)) {
            let array: Vec<&Value> = part.iter().map(|told| &told.event).collect();
            let array = json!(array);
            let mut left = delivery.again;
            let mut twice = delivery.twice;
            loop {
                let status = self.deliver(url, &array).await;
                self.desk.happened(Event::Posted(Posted {
                    connection: self.connection.id.clone(),
                    kinds: part.iter().map(|told| told.kind).collect(),
                    status,
                }));
                let taken = status.is_some_and(|status| (200..300).contains(&status));
                if !taken && left > 0 {
                    left -= 1;
                } else if twice {
                    twice = false;
                } else {
                    break;
                }
            }
        }
    }

    async fn deliver(&self, url: &str, events: &Value) -> Option<u16> {
        let token = self.desk.token(CALLBACK_LIFETIME);
        let body = events.to_string();
        let letter = Letter {
            method: "POST",
            url,
            headers: vec![
                ("Authorization".into(), format!("Bearer {token}")),
                (
                    "Content-Type".into(),
                    "application/json; charset=utf-8".into(),
                ),
            ],
            body: body.as_bytes(),
        };
        let sent = post::send(&letter, self.desk.roots()).await;
        sent.ok().map(|reply| reply.status)
    }
}

impl Desk {
    /// A token of ACS', good for so many seconds from now.
    pub(super) fn token(&self, seconds: i64) -> String {
        let expiry = crate::sim::token::now() + seconds;
        let mint = Mint::acs(self.resource())
            .with("jti", guid())
            .with("exp", expiry);
        self.provider().mint(&mint)
    }
}
