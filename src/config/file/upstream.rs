//! The tables of upstreams, field by field.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::credential::Credential;
use super::schema;
use super::table::{duration, rate};
use crate::config::Rate;

/// `[upstreams.NAME]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    #[serde(default)]
    #[schemars(schema_with = "schema::kind")]
    pub kind: Option<String>,
    pub resource: Option<String>,
    pub url: Option<String>,
    pub api_version: Option<String>,
    pub web_rtc_api_version: Option<String>,
    pub model_parameter: Option<String>,
    pub subprotocol: Option<String>,
    #[serde(default)]
    pub headers: Headers,
    #[serde(default)]
    pub identity_headers: bool,
    pub credential: Option<Credential>,
    pub roots: Option<String>,
    /// The edge's own certificate with its key, PEM files.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub connect: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
    #[serde(default)]
    pub plain_text: bool,
    #[serde(default, deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub connects: Option<Rate>,
    pub queue: Option<usize>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub queue_wait: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session_cap: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session_margin: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session_notice: Option<Duration>,
}

/// `headers = { X-Fleet = "…" }`. Keys of gateways stand in such, so nothing prints them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(in crate::config) struct Headers(pub BTreeMap<String, String>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Headers(***)")
    }
}
