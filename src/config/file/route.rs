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
    /// The route's name in logs, metrics and records.
    pub name: String,
    /// Paths that it serves, each of one route only; `{call}` and `/*` where its kind takes them.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What the route is for, and so which of these settings it takes. Default: that of its
    /// upstreams.
    #[serde(default)]
    #[schemars(schema_with = "schema::route_kind")]
    pub kind: Option<String>,
    /// Ways in, any of which is enough: names of issuers, `key`, `certificate`, `easyauth`,
    /// `ticket`, or `anyone`.
    #[serde(default)]
    pub admit: Vec<String>,
    /// Instead of `admit`: ways in, all of which are needed. Default: none.
    #[serde(default)]
    pub require: Vec<String>,
    /// Where a credential may sit. Default: `["header"]`.
    #[serde(default)]
    #[schemars(schema_with = "schema::places")]
    pub accept: Option<Vec<String>>,
    /// The cookie that holds a credential, with `cookie` in `accept`. Default: `tonegate`.
    pub cookie: Option<String>,
    /// Pages that may connect, to the letter. Default: none, so no browsers.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Whether clients that send no Origin, which are no browsers, may connect. Default: `true`.
    pub without_origin: Option<bool>,
    /// Networks that may connect. Default: all.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Networks that may not. Default: none.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Limits of this route alone. Default: none.
    #[serde(default)]
    pub limits: RouteLimits,
    /// Models that may be asked for; the first is what is asked for by default.
    #[serde(default)]
    pub models: Vec<String>,
    /// A message that names a model off the list ends its session. Default: `true` where models are
    /// listed.
    pub lock_models: Option<bool>,
    /// Whether an upstream is dialled while the store is asked for room in the limits that edges share.
    /// Default: `false`.
    #[serde(default)]
    pub dial_early: bool,
    /// `observe`: keys in the client's audio are heard and counted. Default: `off`.
    #[serde(default)]
    #[schemars(schema_with = "schema::dtmf")]
    pub dtmf: Option<String>,
    /// Agents that may be asked for. Default: none.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Projects of these agents. Default: none.
    #[serde(default)]
    pub projects: Vec<String>,
    /// What a client gets that names neither, where there are models and agents. Default: `model`.
    #[serde(default)]
    #[schemars(schema_with = "schema::default")]
    pub default: Option<String>,
    /// Values of clients' own that go on. Default: none.
    #[serde(default)]
    #[schemars(schema_with = "schema::pass")]
    pub pass: Vec<String>,
    /// Client ids that agents may be asked to use. Default: none.
    #[serde(default)]
    pub identities: Vec<String>,
    /// Foundry resources that agents may be taken from. Default: none.
    #[serde(default)]
    pub resources: Vec<String>,
    /// API versions that clients may choose; any other goes no further. Default: none.
    #[serde(default)]
    pub api_versions: Vec<String>,
    /// `transport=webrtc` opens a control channel; media goes past the edge. Default: `false`.
    #[serde(default)]
    pub web_rtc: bool,
    /// Query parameters that go on to a relay, with their values; an empty list is any name.
    /// Default: none.
    #[serde(default)]
    pub parameters: BTreeMap<String, Vec<String>>,
    /// Subprotocols that may be agreed on. Default: `["realtime"]`.
    pub subprotocols: Option<Vec<String>>,
    /// How a refusal is told: by a status, or, for browsers, by a 101, an error message and a close
    /// code. Default: `status`.
    #[serde(default)]
    #[schemars(schema_with = "schema::refuse")]
    pub refuse: Option<String>,
    /// What lets a phone call through.
    pub gate: Option<Gate>,
    /// What Voice Live is told first of a phone call, by its own names for a `session.update`.
    /// Default: nothing.
    #[serde(default)]
    #[schemars(schema_with = "schema::session")]
    pub session: Option<toml::Table>,
    /// Whether the agent speaks first. Default: `false`.
    pub greet: Option<bool>,
    /// The model hears silence for keys, and all audio 60 ms later. Default: `false`.
    pub mask_tones: Option<bool>,
    /// The call ends with its session. Default: `true` where there is `[acs]`.
    pub hang_up: Option<bool>,
    /// The route that answered or made calls stream to. Default: the only one of kind `acs-media`.
    pub media: Option<String>,
    /// The route that hears what becomes of them. Default: the only one of kind `acs-callback`.
    pub callbacks: Option<String>,
    /// The SIP header that holds the id of a call. Default: none.
    pub sip_header: Option<String>,
    /// Who may ask by OPTIONS whether to deliver events. Default: `["eventgrid.azure.net"]`.
    pub webhook_origins: Option<Vec<String>>,
    /// The number that whoever is called sees.
    #[serde(default)]
    #[schemars(schema_with = "schema::number")]
    pub source: Option<String>,
    /// What numbers begin with that may be called.
    #[serde(default)]
    #[schemars(schema_with = "schema::numbers")]
    pub destinations: Option<Vec<String>>,
    /// A token needs a `jti` and is good for one request, at all replicas. Default: `true`.
    pub single_use: Option<bool>,
    /// From `iat` to `exp` of a token at the most. Default: `5m`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub token_life: Option<Duration>,
    /// How long a session waits for its call where nothing else is asked for. Default: `5m`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ttl: Option<Duration>,
    /// How long it may wait at the most. Default: `1h`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ttl_max: Option<Duration>,
    /// Digits of codes that the edge draws, 3 to 24, as many as the gate wants. Default: `6`.
    pub digits: Option<u8>,
    /// Pauses before a code that is to be dialled. Default: `3`.
    pub commas: Option<u8>,
    /// Who is told what became of a call. Default: nobody.
    pub webhook: Option<Webhook>,
    /// Methods that go on to the application. Default: `["GET", "HEAD", "POST", "PUT", "PATCH",
    /// "DELETE"]`.
    pub methods: Option<Vec<String>>,
    /// Headers that go on beside the usual ones. Default: none.
    #[serde(default)]
    pub pass_headers: Vec<String>,
    /// WebSockets to the application may be opened. Default: `false`.
    pub web_socket: Option<bool>,
    /// Whom the edge's signed word is for, which then goes along. Default: none does.
    pub assert: Option<String>,
    /// The application is told whom the caller may see, by `[roles]`. Default: `false`.
    pub scope: Option<bool>,
    /// Fields in which the application reads who asks: taken out, or overwritten. Default: none.
    #[serde(default)]
    pub identity: BTreeMap<String, FieldRule>,
    /// Where requests say whom they are about, which is compared with whom the caller may see.
    /// Default: nothing is compared.
    pub about: Option<About>,
    /// Personal data that is taken out of bodies. Default: none.
    pub pii: Option<Pii>,
    /// Whose sessions are seen. Default: `own`.
    #[serde(default)]
    #[schemars(schema_with = "schema::see")]
    pub see: Option<String>,
    /// What people of other tenants are told by the bot. Default: nothing.
    pub refusal: Option<String>,
    /// Who writes one of these, and nothing else, gets no more messages of the bot's own accord.
    /// Default: `["stop notifications"]`.
    pub quiet: Option<Vec<String>>,
    /// Who writes one of these gets some again. Default: `["start notifications"]`.
    pub speak: Option<Vec<String>>,
    /// `observe`: what tickets would come to is counted, and nobody refused. Default: `off`.
    #[serde(default)]
    #[schemars(schema_with = "schema::tickets")]
    pub tickets: Option<String>,
    /// What a ticket must be bound to. Default: nothing.
    #[serde(default)]
    #[schemars(schema_with = "schema::ticket_claims")]
    pub ticket_claims: Option<Vec<String>>,
    /// Routes that the tickets of this one open, or that its page uses.
    pub opens: Option<Vec<String>>,
    /// How long its tickets live, `max_age` at the most. Default: `30s`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub life: Option<Duration>,
    /// Upstreams, tried in this order before the 101.
    #[serde(default)]
    pub upstreams: Vec<String>,
}

/// `identity = { engineer_id = "mapped", role = "strip" }` of a route to a private application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(in crate::config) enum FieldRule {
    Word(String),
    Table {
        /// What the field is overwritten with.
        with: String,
        /// Where it stands even if the client says nothing. Default: nowhere.
        #[serde(default)]
        add: Vec<String>,
    },
}

/// `about = { … }`: where requests say whom they are about.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct About {
    /// Fields that name a person. Default: none.
    pub fields: Vec<String>,
    /// Paths with `{id}` where they name a person. Default: none.
    pub paths: Vec<String>,
    /// Who names nobody is refused. Default: `false`.
    pub required: bool,
}

/// `pii = { … }`: what is taken out of bodies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Pii {
    /// What is taken out. Default: `["email", "phone", "card", "ip"]`.
    #[schemars(schema_with = "schema::pii_kinds")]
    pub kinds: Vec<String>,
    /// Fields whose texts are looked at. Default: all.
    pub fields: Vec<String>,
    /// Who of `pii_detectors` is asked what else is personal in what is left. Default: nobody.
    pub detector: Option<String>,
}

/// `webhook = { … }` of a route by which calls are handed over. Its secret signs, so nothing prints
/// it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Webhook {
    /// Where the outcome of a call is posted.
    pub url: Option<String>,
    /// What signs it, as the Standard Webhooks specification says.
    pub secret: Option<String>,
    /// How long one request may take. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    /// Requests until it is given up. Default: `5`.
    pub attempts: Option<u32>,
    /// What the receiver's certificate must lead to: `system`, or a PEM file. Default: `system`.
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
    /// What lets a call through: a code with the caller's number, an alias, an id in SIP headers,
    /// the connection, or that it is known.
    #[schemars(schema_with = "schema::flow")]
    pub flow: Option<String>,
    /// How long codes are, 3 to 24.
    pub digits: Option<u8>,
    /// How long codes are at the most, where they end with # or a pause.
    pub max_digits: Option<u8>,
    /// From the 101 to the verdict. Default: `30s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub deadline: Option<Duration>,
    /// From one digit to the next. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub between: Option<Duration>,
    /// Codes that one call may try. Default: `3`.
    pub attempts: Option<u32>,
    /// Codes of one number that may fail. Default: `5/h`.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub attempts_per_ani: Option<Rate>,
    /// Codes of all callers that may fail. Default: `600/h`, with `ani = "shared"` `60/h`.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub attempts_per_route: Option<Rate>,
    /// A code that came out too short is listened for once more. Default: `true`.
    pub second_look: Option<bool>,
    /// A session key lets one call through. Default: `true` where a code is dialled.
    pub consume: Option<bool>,
    /// Where the caller's number is from: signalling, a trunk that has one for all, or the caller,
    /// who dials it and #. Default: `signalling`.
    #[schemars(schema_with = "schema::ani")]
    pub ani: Option<String>,
    /// Where keys are heard. Default: `["in_band", "messages"]`.
    #[schemars(schema_with = "schema::feeds")]
    pub feeds: Option<Vec<String>>,
    /// A WAV file that is played as the call begins: PCM16, mono, 60s at the most. Default:
    /// silence.
    pub prompt: Option<PathBuf>,
    /// The same, after a wrong code. Default: silence.
    pub retry: Option<PathBuf>,
    /// The same, after the last one. Default: silence.
    pub goodbye: Option<PathBuf>,
}
