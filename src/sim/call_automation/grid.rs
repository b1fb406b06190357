//! Event Grid: how a call rings at a webhook.
//!
//! Owns the two schemas, the handshake, the headers and the schedule of retries, as documented by
//! Microsoft. Refuses to know what comes of a call.

use super::desk::{Desk, Fate, Ringing};
use super::effect::server_call;
use super::event::{PREFIX, now};
use super::post::{self, Letter};
use super::record::Event;
use crate::sim::acs::guid;
use crate::sim::client::Error;
use crate::sim::issuer::mint::Mint;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Event Grid's application in Entra, in the public cloud.
pub const APPLICATION: &str = "4962773b-9cdb-44cf-a8bf-237846a00ab7";

/// The role that it holds.
pub const ROLE: &str = "AzureEventGridSecureWebhookSubscriber";

/// Where CloudEvents say that they come from, in the handshake.
pub const ORIGIN: &str = "eventgrid.azure.net";

const TOPIC: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/sim/\
                     providers/Microsoft.Communication/communicationServices/sim";

/// Who calls whom.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The caller's number, E.164; `None` where it is withheld.
    pub from: Option<String>,
    /// The number that was dialled.
    pub to: String,
    pub display_name: String,
    /// `customContext.sipHeaders`.
    pub sip_headers: Vec<(String, String)>,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            from: Some("+15551234567".to_owned()),
            to: "+15550001111".to_owned(),
            display_name: String::new(),
            sip_headers: Vec::new(),
        }
    }
}

/// A call that rings.
#[derive(Clone)]
pub struct Rings {
    desk: Arc<Desk>,
    /// What it is answered with.
    pub context: String,
    /// `serverCallId`, which the call keeps.
    pub server_call: String,
    /// `correlationId`, which the call keeps.
    pub correlation: String,
    /// The data of its event.
    pub data: Value,
    subject: String,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Event Grid's own.
    EventGrid,
    /// CloudEvents 1.0.
    CloudEvents,
}

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

impl Rings {
    /// The caller hangs up before anyone answers.
    pub fn give_up(&self) {
        // Too late where it is settled.
        let _ = self.desk.settle(&self.context, Fate::GivenUp);
    }

    /// What became of it.
    #[must_use]
    pub fn fate(&self) -> Option<Fate> {
        self.desk.fate(&self.context)
    }

    /// Its event, with a new id and the time.
    #[must_use]
    pub fn event(&self, schema: Schema) -> Value {
        event(schema, "IncomingCall", &self.subject, &self.data)
    }
}

/// An event of the resource.
#[must_use]
pub fn event(schema: Schema, kind: &str, subject: &str, data: &Value) -> Value {
    let kind = format!("{PREFIX}{kind}");
    match schema {
        Schema::EventGrid => json!({
            "id": guid(),
            "topic": TOPIC,
            "subject": subject,
            "data": data,
            "eventType": kind,
            "dataVersion": "1.0",
            "metadataVersion": "1",
            "eventTime": now(),
        }),
        Schema::CloudEvents => json!({
            "id": guid(),
            "source": TOPIC,
            "subject": subject,
            "data": data,
            "type": kind,
            "time": now(),
            "specversion": "1.0",
        }),
    }
}

fn phone(number: Option<&str>) -> Value {
    match number {
        Some(number) => json!({
            "kind": "phoneNumber",
            "rawId": format!("4:{number}"),
            "phoneNumber": {"value": number},
        }),
        // How Microsoft's identifiers spell a withheld number.
        None => json!({
            "kind": "phoneNumber",
            "rawId": "4:anonymous",
            "phoneNumber": {"value": "anonymous"},
        }),
    }
}

impl Desk {
    /// A call comes in. Nobody is told: [`Self::deliver`] does that.
    pub fn incoming(self: &Arc<Self>, caller: &Caller) -> Rings {
        let (from, to) = (phone(caller.from.as_deref()), phone(Some(&caller.to)));
        let (context, server_call, correlation) = (context(), server_call(), guid());
        let raw = |one: &Value| one["rawId"].as_str().unwrap_or_default().to_owned();
        let subject = format!("/caller/{}/recipient/{}", raw(&from), raw(&to));
        let headers: Map<String, Value> = caller
            .sip_headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let data = json!({
            "to": to,
            "from": from,
            "serverCallId": server_call,
            "callerDisplayName": caller.display_name,
            "customContext": {"sipHeaders": headers, "voipHeaders": {}},
            "incomingCallContext": context,
            "correlationId": correlation,
        });
        self.rings(Ringing {
            context: context.clone(),
            server_call: server_call.clone(),
            correlation: correlation.clone(),
            far: from,
            ani: caller.from.clone().unwrap_or_default(),
            fate: Fate::Rings,
        });
        Rings {
            desk: Arc::clone(self),
            context,
            server_call,
            correlation,
            data,
            subject,
        }
    }

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

/// An incoming call context: opaque, and long.
fn context() -> String {
    use base64::Engine as _;
    let part = || base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(guid() + &guid());
    format!("{}.{}.{}", part(), part(), part())
}
