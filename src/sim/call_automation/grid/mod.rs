//! Event Grid: how a call rings at a webhook.
//!
//! Owns the two schemas of events, as documented by Microsoft; [`delivery`] has the handshake, the
//! headers and the schedule of retries. Refuses to know what comes of a call.

pub mod delivery;

use super::desk::{Desk, Fate, Ringing};
use super::effect::server_call;
use super::event::{PREFIX, now};
use crate::sim::acs::guid;
use serde_json::{Map, Value, json};
use std::sync::Arc;

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
    /// A call comes in. Nobody is told: [`Self::ring`] does that.
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
}

/// An incoming call context: opaque, and long.
fn context() -> String {
    use base64::Engine as _;
    let part = || base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(guid() + &guid());
    format!("{}.{}.{}", part(), part(), part())
}
