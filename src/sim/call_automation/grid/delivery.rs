//! Delivery: the handshake, the headers, the credential and the schedule of retries.
//!
//! Owns what goes around events. Refuses to know what they say.

use super::{APPLICATION, Caller, ORIGIN, ROLE, Rings, Schema, TOPIC};
use crate::sim::acs::guid;
use crate::sim::call_automation::desk::Desk;
use crate::sim::call_automation::event::now;
use crate::sim::call_automation::post::{self, Letter};
use crate::sim::call_automation::record::Event;
use crate::sim::client::Error;
use crate::sim::issuer::mint::Mint;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How deliveries are authenticated.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Not at all, or by a secret in the URL.
    None,
    /// A secret in this header: a delivery property.
    Header(String, String),
    /// A token for this tenant and audience; `with` sets claims of it, null leaves one out.
    Entra {
        tenant: String,
        audience: String,
        with: Vec<(String, Value)>,
    },
}

/// An event subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub name: String,
    /// The webhook, with its query.
    pub url: String,
    pub schema: Schema,
    pub credential: Credential,
    /// Events go as a batch even if there is one.
    pub batch: bool,
    /// How often each delivery is tried in all.
    pub attempts: u32,
    /// Events older than this are given up.
    pub life: Duration,
    /// Waits between attempts are divided by this, so that tests end.
    pub hurry: u32,
}

impl Subscription {
    /// As IncomingCall's should be: two attempts within a minute.
    #[must_use]
    pub fn new(url: &str, schema: Schema, credential: Credential) -> Self {
        Self {
            name: "incoming-calls".to_owned(),
            url: url.to_owned(),
            schema,
            credential,
            batch: false,
            attempts: 2,
            life: Duration::from_secs(60),
            hurry: 1,
        }
    }
}

/// How a webhook answered the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It agreed.
    Valid,
    /// It answered with this status, or with 200 and not what it must say.
    Refused(u16),
    /// No answer came.
    Unreached,
}

/// How a delivery went: the status of each attempt, nothing where none came.
pub type Attempts = Vec<Option<u16>>;

impl Desk {
    /// A call comes in and rings at a webhook, with retries; how that went.
    pub async fn ring(
        self: &Arc<Self>,
        subscription: &Subscription,
        caller: &Caller,
    ) -> (Rings, Attempts) {
        let rings = self.incoming(caller);
        let event = rings.event(subscription.schema);
        let attempts = self.deliver(subscription, &[event]).await;
        (rings, attempts)
    }

    /// Makes sure that the webhook wants events, as Event Grid does before the first.
    pub async fn handshake(&self, subscription: &Subscription) -> Handshake {
        let asked = match subscription.schema {
            Schema::EventGrid => self.ask_for_code(subscription).await,
            Schema::CloudEvents => self.ask_for_origin(subscription).await,
        };
        match asked {
            Ok(Ok(())) => Handshake::Valid,
            Ok(Err(status)) => Handshake::Refused(status),
            Err(_) => Handshake::Unreached,
        }
    }

    async fn ask_for_code(&self, at: &Subscription) -> Result<Result<(), u16>, Error> {
        let code = guid();
        let validation = json!([{
            "id": guid(),
            "topic": TOPIC,
            "subject": "",
            "data": {
                "validationCode": code,
                "validationUrl": format!("https://rp.example.com/validate?id={code}"),
            },
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": now(),
            "metadataVersion": "1",
            "dataVersion": "2",
        }]);
        let body = validation.to_string();
        let headers = self.headers(at, "SubscriptionValidation", 0, "application/json");
        let letter = Letter {
            method: "POST",
            url: &at.url,
            headers,
            body: body.as_bytes(),
        };
        let reply = post::send(&letter, self.roots()).await?;
        let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let valid = reply.status == 200 && said["validationResponse"] == code.as_str();
        Ok(if valid { Ok(()) } else { Err(reply.status) })
    }

    async fn ask_for_origin(&self, at: &Subscription) -> Result<Result<(), u16>, Error> {
        let letter = Letter {
            method: "OPTIONS",
            url: &at.url,
            headers: vec![
                ("WebHook-Request-Origin".into(), ORIGIN.into()),
                ("WebHook-Request-Rate".into(), "120".into()),
            ],
            body: b"",
        };
        let reply = post::send(&letter, self.roots()).await?;
        let origin = reply.head.one("webhook-allowed-origin");
        let valid = reply.status == 200 && matches!(origin, Some(ORIGIN | "*"));
        Ok(if valid { Ok(()) } else { Err(reply.status) })
    }

    /// Delivers events in one request, and again as long as it is not taken; how that went.
    pub async fn deliver(&self, at: &Subscription, events: &[Value]) -> Attempts {
        let began = Instant::now();
        let mut attempts = Attempts::new();
        for number in 0..at.attempts {
            let status = self.deliver_once(at, events, number).await;
            self.happened(Event::Rang(status));
            attempts.push(status);
            if matches!(status, Some(200..=204)) {
                break;
            }
            let pause = pause(status, number) / at.hurry.max(1);
            if number + 1 == at.attempts || began.elapsed() + pause > at.life {
                break;
            }
            sleep(pause).await;
        }
        attempts
    }

    /// Delivers events once: the status, nothing where none came. `number` counts from 0.
    pub async fn deliver_once(
        &self,
        at: &Subscription,
        events: &[Value],
        number: u32,
    ) -> Option<u16> {
        let (body, kind) = match (at.schema, events) {
            (Schema::CloudEvents, [event]) if !at.batch => {
                (event.to_string(), "application/cloudevents+json")
            }
            (Schema::CloudEvents, events) => (
                json!(events).to_string(),
                "application/cloudevents-batch+json",
            ),
            (Schema::EventGrid, events) => (json!(events).to_string(), "application/json"),
        };
        let letter = Letter {
            method: "POST",
            url: &at.url,
            headers: self.headers(at, "Notification", number, kind),
            body: body.as_bytes(),
        };
        let sent = post::send(&letter, self.roots()).await;
        sent.ok().map(|reply| reply.status)
    }

    fn headers(
        &self,
        at: &Subscription,
        event_type: &str,
        number: u32,
        content_type: &str,
    ) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = [
            ("Content-Type", format!("{content_type}; charset=utf-8")),
            ("aeg-event-type", event_type.to_owned()),
            ("aeg-subscription-name", at.name.to_ascii_uppercase()),
            ("aeg-delivery-count", number.to_string()),
            ("aeg-data-version", "1.0".to_owned()),
            ("aeg-metadata-version", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        match &at.credential {
            Credential::None => {}
            Credential::Header(name, value) => headers.push((name.clone(), value.clone())),
            Credential::Entra {
                tenant,
                audience,
                with,
            } => {
                let provider = self.provider();
                let mut mint = Mint::entra_v2(&provider.base(), tenant, audience)
                    .with("azp", APPLICATION)
                    .with("roles", json!([ROLE]))
                    .without("scp");
                for (name, value) in with {
                    mint = mint.with(name, value.clone());
                }
                let token = provider.mint(&mint);
                headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
            }
        }
        headers
    }
}

/// How long Event Grid waits after the attempt of this number, counted from 0.
fn pause(status: Option<u16>, number: u32) -> Duration {
    let seconds = [10, 30, 60, 300, 600, 1800, 3600];
    let usual = seconds.get(number as usize).copied().unwrap_or(3600);
    let least = match status {
        Some(400 | 401 | 403 | 404 | 413) => 300,
        Some(408) => 120,
        Some(503) => 30,
        Some(_) | None => 10,
    };
    Duration::from_secs(usual.max(least))
}
