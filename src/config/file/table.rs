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
    pub server: Server,
    pub hops: Hops,
    pub limits: Limits,
    pub store: Store,
    pub audit: Option<Audit>,
    pub log: Option<Log>,
    pub telemetry: Telemetry,
    pub keys: Vec<Key>,
    pub certificates: Vec<Certificate>,
    pub issuers: BTreeMap<String, Issuer>,
    pub tickets: Option<Tickets>,
    pub calls: Option<Calls>,
    pub acs: Option<Acs>,
    pub assertion: Option<Assertion>,
    pub graph: Option<Graph>,
    pub bot: Option<Bot>,
    pub roles: Option<Roles>,
    pub pii_detectors: BTreeMap<String, PiiDetector>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub routes: Vec<Route>,
}

/// `[server]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Server {
    #[schemars(schema_with = "schema::address")]
    pub listen: Option<SocketAddr>,
    #[schemars(schema_with = "schema::address")]
    pub admin: Option<SocketAddr>,
    pub admin_token: Option<TokenDigest>,
    pub scrape_token: Option<TokenDigest>,
    pub workers: Option<usize>,
    pub tls: Option<Tls>,
    pub plain_text: bool,
    pub certificates: Vec<ServerCertificate>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub drain_delay: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub grace: Option<Duration>,
    pub handover: Option<PathBuf>,
}

/// `[[server.certificates]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ServerCertificate {
    pub name: String,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// `admin_token = { sha256 = "…" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TokenDigest {
    pub sha256: String,
}

/// `tls = { certificate = "…", key = "…" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_roots: Option<PathBuf>,
}

/// `[hops]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Hops {
    pub networks: Vec<String>,
    #[schemars(schema_with = "schema::speak")]
    pub speak: Option<String>,
    pub tenants: Vec<String>,
}

/// `[audit]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Audit {
    #[schemars(schema_with = "schema::audit_to")]
    pub to: Option<String>,
    pub path: Option<PathBuf>,
    pub rotate: Option<Rotate>,
    #[schemars(schema_with = "schema::audit_sync")]
    pub sync: Option<String>,
    pub chain: bool,
    pub queue: Option<usize>,
}

/// `rotate = { size = "100MB", keep = 10 }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Rotate {
    #[schemars(schema_with = "schema::size")]
    pub size: Option<ByteSize>,
    pub keep: Option<u32>,
}

/// `[[keys]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Key {
    pub name: String,
    pub sha256: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::date")]
    pub expires: Option<String>,
    #[serde(default)]
    pub routes: Vec<String>,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub agents: Vec<String>,
    #[serde(default)]
    pub limits: KeyLimits,
}

/// `[[certificates]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Certificate {
    pub name: String,
    pub sha256: Option<String>,
    pub dns: Option<String>,
    #[serde(default)]
    pub routes: Vec<String>,
}

/// `[issuers.NAME]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Issuer {
    #[serde(default)]
    #[schemars(schema_with = "schema::issuer_kind")]
    pub kind: Option<String>,
    #[serde(default)]
    pub tenants: Vec<String>,
    pub authority: Option<String>,
    pub issuer: Option<String>,
    #[serde(default)]
    pub audience: Vec<String>,
    pub algorithms: Option<Vec<String>>,
    pub metadata: Option<String>,
    pub jwks: Option<String>,
    pub roots: Option<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub roles: Vec<String>,
    #[serde(default)]
    pub clients: Vec<String>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub leeway: Option<Duration>,
    #[serde(default)]
    #[schemars(schema_with = "schema::cloud")]
    pub cloud: Option<String>,
    pub require_endorsements: Option<bool>,
    pub require_service_url: Option<bool>,
    pub service_urls: Option<Vec<String>>,
}

/// `[calls]`. Its secrets open media streams, so nothing prints them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Calls {
    pub secret: Option<String>,
    pub previous: Option<String>,
    #[schemars(schema_with = "schema::known_by")]
    pub known_by: Option<String>,
    #[schemars(schema_with = "schema::spend")]
    pub spend: Option<String>,
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
    pub endpoint: Option<String>,
    pub key: Option<String>,
    pub key_file: Option<PathBuf>,
    pub managed_identity: bool,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    pub roots: Option<String>,
    pub api_version: Option<String>,
    pub callbacks: Option<String>,
    pub media: Option<String>,
    #[schemars(schema_with = "schema::audio_format")]
    pub audio_format: Option<String>,
    #[schemars(schema_with = "schema::channels")]
    pub channels: Option<String>,
    pub start_media: Option<bool>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
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
