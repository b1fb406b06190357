//! `[[routes]]`, with the tables in it, field by field.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits::RouteLimits;
use super::schema;
use super::table::{duration, rate};
use crate::config::Rate;

/// `[[routes]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    pub name: String,
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::route_kind")]
    pub kind: Option<String>,
    #[serde(default)]
    pub admit: Vec<String>,
    #[serde(default)]
    pub require: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::places")]
    pub accept: Option<Vec<String>>,
    pub cookie: Option<String>,
    #[serde(default)]
    pub origins: Vec<String>,
    pub without_origin: Option<bool>,
    #[serde(default)]
    pub allow: Vec<String>,
    #[serde(default)]
    pub deny: Vec<String>,
    #[serde(default)]
    pub limits: RouteLimits,
    #[serde(default)]
    pub models: Vec<String>,
    pub lock_models: Option<bool>,
    #[serde(default)]
    #[schemars(schema_with = "schema::dtmf")]
    pub dtmf: Option<String>,
    #[serde(default)]
    pub agents: Vec<String>,
    #[serde(default)]
    pub projects: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::default")]
    pub default: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::pass")]
    pub pass: Vec<String>,
    #[serde(default)]
    pub identities: Vec<String>,
    #[serde(default)]
    pub resources: Vec<String>,
    #[serde(default)]
    pub api_versions: Vec<String>,
    #[serde(default)]
    pub web_rtc: bool,
    #[serde(default)]
    pub parameters: BTreeMap<String, Vec<String>>,
    pub subprotocols: Option<Vec<String>>,
    #[serde(default)]
    #[schemars(schema_with = "schema::refuse")]
    pub refuse: Option<String>,
    pub gate: Option<Gate>,
    /// The `session` of `session.update`, by Voice Live's own names.
    #[serde(default)]
    #[schemars(schema_with = "schema::session")]
    pub session: Option<toml::Table>,
    pub greet: Option<bool>,
    pub mask_tones: Option<bool>,
    pub hang_up: Option<bool>,
    /// Of a route of Event Grid: names of routes, and what it takes from whom.
    pub media: Option<String>,
    pub callbacks: Option<String>,
    pub sip_header: Option<String>,
    pub webhook_origins: Option<Vec<String>>,
    /// Of a route of calls that are made: from which number, and to which.
    #[serde(default)]
    #[schemars(schema_with = "schema::number")]
    pub source: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::numbers")]
    pub destinations: Option<Vec<String>>,
    /// Of a route by which another cloud hands calls over.
    pub single_use: Option<bool>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub token_life: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ttl: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ttl_max: Option<Duration>,
    pub digits: Option<u8>,
    pub commas: Option<u8>,
    pub webhook: Option<Webhook>,
    /// Of a route to a private application.
    pub methods: Option<Vec<String>>,
    #[serde(default)]
    pub pass_headers: Vec<String>,
    pub web_socket: Option<bool>,
    pub assert: Option<String>,
    pub scope: Option<bool>,
    #[serde(default)]
    pub identity: BTreeMap<String, FieldRule>,
    pub about: Option<About>,
    pub pii: Option<Pii>,
    /// Of a route of sessions that run.
    #[serde(default)]
    #[schemars(schema_with = "schema::see")]
    pub see: Option<String>,
    /// Of a route of a bot.
    pub refusal: Option<String>,
    pub quiet: Option<Vec<String>>,
    pub speak: Option<Vec<String>>,
    /// Of a route that takes tickets, and of one that hands them out; `opens` also of a page.
    #[serde(default)]
    #[schemars(schema_with = "schema::tickets")]
    pub tickets: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::ticket_claims")]
    pub ticket_claims: Option<Vec<String>>,
    pub opens: Option<Vec<String>>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub life: Option<Duration>,
    #[serde(default)]
    pub upstreams: Vec<String>,
}

/// `identity = { engineer_id = "mapped", role = "strip" }` of a route to a private application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(in crate::config) enum FieldRule {
    Word(String),
    Table {
        with: String,
        #[serde(default)]
        add: Vec<String>,
    },
}

/// `about = { … }`: where requests say whom they are about.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct About {
    pub fields: Vec<String>,
    pub paths: Vec<String>,
    pub required: bool,
}

/// `pii = { … }`: what is taken out of bodies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Pii {
    #[schemars(schema_with = "schema::pii_kinds")]
    pub kinds: Vec<String>,
    pub fields: Vec<String>,
    pub detector: Option<String>,
}

/// `webhook = { … }` of a route by which calls are handed over. Its secret signs, so nothing prints
/// it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Webhook {
    pub url: Option<String>,
    pub secret: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    pub attempts: Option<u32>,
    pub roots: Option<String>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook(***)")
    }
}

/// `gate = { … }` of a route of calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Gate {
    #[schemars(schema_with = "schema::flow")]
    pub flow: Option<String>,
    pub digits: Option<u8>,
    pub max_digits: Option<u8>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub deadline: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub between: Option<Duration>,
    pub attempts: Option<u32>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub attempts_per_ani: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub attempts_per_route: Option<Rate>,
    pub second_look: Option<bool>,
    pub consume: Option<bool>,
    #[schemars(schema_with = "schema::ani")]
    pub ani: Option<String>,
    #[schemars(schema_with = "schema::feeds")]
    pub feeds: Option<Vec<String>>,
    pub prompt: Option<PathBuf>,
    pub retry: Option<PathBuf>,
    pub goodbye: Option<PathBuf>,
}
