//! The tables of a settings file, field by field.
//!
//! Everything that has a default is optional here; what the defaults are is decided in
//! [`super::super::resolve`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::bot::{Assertion, Bot, Graph, Log, PiiDetector, Roles};
use super::limits::{KeyLimits, Limits};
use super::route::Route;
use super::schema;
use super::store::Store;
use super::telemetry::Telemetry;
use super::ticket::Tickets;
use super::upstream::Upstream;
use crate::config::Rate;

/// The root of a settings file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct File {
    /// Where the edge listens.
    pub server: Server,
    /// Proxies in front of the edge that are believed. Default: none.
    pub hops: Hops,
    /// What one edge carries, and all of them together.
    pub limits: Limits,
    /// Session keys of phone calls, and what edges know of each other.
    pub store: Store,
    /// One record of each decision, apart from the log. Default: none.
    pub audit: Option<Audit>,
    /// What is taken out of the log. Default: nothing.
    pub log: Option<Log>,
    /// Traces, and how requests name theirs.
    pub telemetry: Telemetry,
    /// API keys of clients, a table each.
    pub keys: Vec<Key>,
    /// Certificates of clients, a table each.
    pub certificates: Vec<Certificate>,
    /// Who may sign tokens, a table each, by name.
    pub issuers: BTreeMap<String, Issuer>,
    /// JWTs that open one session within seconds. Default: none are taken.
    pub tickets: Option<Tickets>,
    /// How phone calls are known. Default: there are none.
    pub calls: Option<Calls>,
    /// The resource of ACS whose calls the edge controls. Default: none.
    pub acs: Option<Acs>,
    /// What the edge signs for private applications. Default: nothing.
    pub assertion: Option<Assertion>,
    /// How Microsoft Graph is asked. Default: it is not.
    pub graph: Option<Graph>,
    /// The bot's registration. Default: there is no bot.
    pub bot: Option<Bot>,
    /// Who says whom somebody may see. Default: nobody.
    pub roles: Option<Roles>,
    /// Who finds personal data by the sense of a text, a table each, by name.
    pub pii_detectors: BTreeMap<String, PiiDetector>,
    /// Whom the edge dials, a table each, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Who may enter where, a table each.
    pub routes: Vec<Route>,
}

/// `[server]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Server {
    /// Where clients connect: an IP address and a port.
    #[schemars(schema_with = "schema::address")]
    pub listen: Option<SocketAddr>,
    /// Where operators connect: metrics, probes, what runs and what is to be done. Default: `127.0.0.1:9464`.
    #[schemars(schema_with = "schema::address")]
    pub admin: Option<SocketAddr>,
    /// The digest of the token that operators show; needed as soon as `admin` is not loopback.
    /// Default: none.
    pub admin_token: Option<TokenDigest>,
    /// The digest of a token that opens `/metrics` and nothing else. Default: none.
    pub scrape_token: Option<TokenDigest>,
    /// Threads that carry sessions; 0 is one per core. Default: `0`.
    pub workers: Option<usize>,
    /// So long a worker that many frames wake lets more of them gather, so that one wake serves several: less
    /// CPU for more latency, about so much each way. At most `2ms`. Default: `0s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub batch: Option<Duration>,
    /// The edge's certificate; needed as soon as `listen` is not loopback.
    pub tls: Option<Tls>,
    /// Clients connect without TLS, because something in front terminates it. Default: `false`.
    pub plain_text: bool,
    /// More certificates, each for the names in it, a table each. Default: none.
    pub certificates: Vec<ServerCertificate>,
    /// After `/readyz` says no, new sessions are still taken for so long, until whoever spreads
    /// load has noticed. Default: `0s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub drain_delay: Option<Duration>,
    /// So long after a drain has begun the sessions that are left are ended. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub grace: Option<Duration>,
    /// The path of a socket where a new process asks this one for its listening sockets. Default:
    /// nowhere.
    pub handover: Option<PathBuf>,
}

/// `[[server.certificates]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ServerCertificate {
    /// What it is called in log and metrics.
    pub name: String,
    /// A PEM file: the certificate and its intermediates.
    pub certificate: Option<PathBuf>,
    /// A PEM file: its private key.
    pub key: Option<PathBuf>,
}

/// `admin_token = { sha256 = "…" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TokenDigest {
    /// SHA-256 of the token, in hex, as `tonegate key` prints it.
    pub sha256: String,
}

/// `tls = { certificate = "…", key = "…" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// A PEM file: the certificate and its intermediates.
    pub certificate: Option<PathBuf>,
    /// A PEM file: its private key.
    pub key: Option<PathBuf>,
    /// A PEM file: what clients' certificates must lead to. Default: none is asked for.
    pub client_roots: Option<PathBuf>,
}

/// `[hops]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Hops {
    /// Where they connect from. Default: nobody is believed.
    pub networks: Vec<String>,
    /// How they say who the client is: X-Forwarded-For, or the PROXY protocol. Needed with
    /// `networks`.
    #[schemars(schema_with = "schema::speak")]
    pub speak: Option<String>,
    /// Tenants of Entra that `easyauth` admits. Default: all that the platform does.
    pub tenants: Vec<String>,
}

/// `[audit]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Audit {
    /// Where records go.
    #[schemars(schema_with = "schema::audit_to")]
    pub to: Option<String>,
    /// With `file`: the file, which is only appended to.
    pub path: Option<PathBuf>,
    /// When another file is begun.
    pub rotate: Option<Rotate>,
    /// When a record is on disk: before the next is written, a second later at the most, or when
    /// the kernel likes. Default: `second`.
    #[schemars(schema_with = "schema::audit_sync")]
    pub sync: Option<String>,
    /// Each record holds the SHA-256 of the one before. Default: `false`.
    pub chain: bool,
    /// Records that may wait; while so many do, all new work is answered 503. Default: `8192`.
    pub queue: Option<usize>,
}

/// `rotate = { size = "100MB", keep = 10 }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Rotate {
    /// How large a file becomes. Default: `100MB`.
    #[schemars(schema_with = "schema::size")]
    pub size: Option<ByteSize>,
    /// How many files are kept behind it. Default: `10`.
    pub keep: Option<u32>,
}

/// `[[keys]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Key {
    /// The key's name in logs and records.
    pub name: String,
    /// The key's digest, in hex, as `tonegate key` prints it.
    pub sha256: Option<String>,
    /// From then on it opens nothing, and its sessions end. Default: never.
    #[serde(default)]
    #[schemars(schema_with = "schema::date")]
    pub expires: Option<String>,
    /// Routes that it opens. Default: all that admit keys.
    #[serde(default)]
    pub routes: Vec<String>,
    /// Models that it may ask for. Default: all of the route.
    #[serde(default)]
    pub models: Vec<String>,
    /// Agents that it may ask for. Default: all of the route.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Limits of this key alone. Default: none.
    #[serde(default)]
    pub limits: KeyLimits,
}

/// `[[certificates]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Certificate {
    /// The client's name in logs and records.
    pub name: String,
    /// The digest of the very certificate, in hex; or `dns`.
    pub sha256: Option<String>,
    /// One of its dNSNames, to the letter, no wildcards; or `sha256`.
    pub dns: Option<String>,
    /// Routes that it opens. Default: all that admit certificates.
    #[serde(default)]
    pub routes: Vec<String>,
}

/// `[issuers.NAME]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Issuer {
    /// What issuer it is: Microsoft Entra ID, any OpenID provider, ACS, Event Grid, or the Bot
    /// Connector.
    #[serde(default)]
    #[schemars(schema_with = "schema::issuer_kind")]
    pub kind: Option<String>,
    /// Tenants whose tokens are taken.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Where Entra is. Default: `https://login.microsoftonline.com`.
    pub authority: Option<String>,
    /// What tokens say in `iss`, to the letter. Default: what its kind says.
    pub issuer: Option<String>,
    /// What tokens may be for.
    #[serde(default)]
    pub audience: Vec<String>,
    /// Algorithms that may sign: RS, PS, ES256, ES384, EdDSA. Default: `["RS256"]`.
    pub algorithms: Option<Vec<String>>,
    /// Where the provider document is. Default: where its kind has it.
    pub metadata: Option<String>,
    /// Where the keys are. Default: where the provider document says.
    pub jwks: Option<String>,
    /// What its certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// Scopes, one of which a token needs in `scp`. Default: none is needed.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Roles, one of which a token needs in `roles`. Default: none is needed.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Applications that tokens may be for (`azp`, `appid`). Default: any.
    #[serde(default)]
    pub clients: Vec<String>,
    /// How far clocks may be apart. Default: `60s`, with `bot` `5m`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub leeway: Option<Duration>,
    /// Of the Bot Connector: which cloud. Default: `public`.
    #[serde(default)]
    #[schemars(schema_with = "schema::cloud")]
    pub cloud: Option<String>,
    /// Of the Bot Connector: all keys must be endorsed for their channel. Default: `false`.
    pub require_endorsements: Option<bool>,
    /// Of the Bot Connector: all tokens must say which service sends them. Default: `true`.
    pub require_service_url: Option<bool>,
    /// Of the Bot Connector: hosts that activities come from and answers go to. Default: Teams' own
    /// of `cloud`.
    pub service_urls: Option<Vec<String>>,
}

/// `[calls]`. Its secrets open media streams, so nothing prints them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Calls {
    /// Signs media URLs; 32 random bytes or more.
    pub secret: Option<String>,
    /// A secret whose media URLs are still good. Default: none.
    pub previous: Option<String>,
    /// What makes a call known: its record in the store, or the media URL alone. Default: `record`.
    #[schemars(schema_with = "schema::known_by")]
    pub known_by: Option<String>,
    /// What a token of ACS is good for once: one socket, or one socket of each call. Default:
    /// `token`.
    #[schemars(schema_with = "schema::spend")]
    pub spend: Option<String>,
    /// How long a verdict holds after the media socket has dropped. Default: `30s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub resume: Option<Duration>,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calls(***)")
    }
}

/// `[acs]`. Its key signs whatever is asked of calls, so nothing prints it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Acs {
    /// Where the resource is, as the portal shows it.
    pub endpoint: Option<String>,
    /// An access key of the resource. Default: none.
    pub key: Option<String>,
    /// A file with that key. Default: none.
    pub key_file: Option<PathBuf>,
    /// Instead of a key a token that the platform gives to the edge. Default: `false`.
    pub managed_identity: bool,
    /// Client id of a user-assigned identity. Default: the system's.
    pub client_id: Option<String>,
    /// What the token is asked for. Default: `https://communication.azure.com//.default`.
    pub scope: Option<String>,
    /// What its certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// The version of Call Automation. Default: `2026-03-12`.
    pub api_version: Option<String>,
    /// What callback URLs begin with, as ACS reaches the edge.
    pub callbacks: Option<String>,
    /// What media URLs begin with.
    pub media: Option<String>,
    /// What ACS streams. Default: `pcm24KMono`.
    #[schemars(schema_with = "schema::audio_format")]
    pub audio_format: Option<String>,
    /// One stream, or one for each participant. Default: `mixed`.
    #[schemars(schema_with = "schema::channels")]
    pub channels: Option<String>,
    /// Media comes from the answer on; else when it is asked for. Default: `true`.
    pub start_media: Option<bool>,
    /// How long one request may take. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    /// How long one operation with all its requests may take, 60s at the most. Default: `15s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
    /// Requests of one operation, 10 at the most. Default: `3`.
    pub attempts: Option<u32>,
}

impl std::fmt::Debug for Acs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acs(***)")
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = "not a duration such as \"30s\", \"500ms\" or \"10m\"";
    humantime::parse_duration(&text)
        .map(Some)
        .map_err(|_| serde::de::Error::custom(wrong))
}

/// `"10/s"`, `"60/m"`, `"100/h"`, `"600/d"`, `"100/90s"`.
pub(super) fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rate>, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let per = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => 0,
        };
        let count = count.parse().ok().filter(|&count| count > 0)?;
        let per = match per {
            0 => humantime::parse_duration(unit).ok()?,
            seconds => Duration::from_secs(seconds),
        };
        let some = !per.is_zero() && per <= Duration::from_secs(24 * 3600);
        some.then_some(Rate { count, per })
    });
    let wrong = "not a rate such as \"10/s\", \"60/m\", \"100/h\", \"600/d\" or \"100/90s\"";
    parsed.map(Some).ok_or(serde::de::Error::custom(wrong))
}
