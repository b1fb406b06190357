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
    /// Whom it is: Voice Live, any other WebSocket server, or an application over HTTP.
    #[serde(default)]
    #[schemars(schema_with = "schema::kind")]
    pub kind: Option<String>,
    /// The name of a resource of Voice Live; or `url`.
    pub resource: Option<String>,
    /// Where it is; of Voice Live the host alone.
    pub url: Option<String>,
    /// The version of the API that is asked for. Default: `2026-07-15` of Voice Live, else none.
    pub api_version: Option<String>,
    /// The same for the control channel of WebRTC. Default: `2026-01-01-preview`.
    pub web_rtc_api_version: Option<String>,
    /// The query parameter that names the model. Default: `model`.
    pub model_parameter: Option<String>,
    /// A subprotocol that is offered, and must be chosen. Default: none.
    pub subprotocol: Option<String>,
    /// Headers that are sent with every request. Default: none.
    #[serde(default)]
    pub headers: Headers,
    /// It is told in x-tonegate-* headers who calls. Default: `false`.
    #[serde(default)]
    pub identity_headers: bool,
    /// What it is shown.
    pub credential: Option<Credential>,
    /// What its certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// A PEM file: the edge's own certificate, where it asks for one. Default: none.
    pub certificate: Option<PathBuf>,
    /// A PEM file: the key of that. Default: none.
    pub key: Option<PathBuf>,
    /// TCP and TLS. Default: `5s`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub connect: Option<Duration>,
    /// Everything up to the 101, or to the head of the answer. Default: `10s`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
    /// `ws://` may leave loopback. Default: `false`.
    #[serde(default)]
    pub plain_text: bool,
    /// New connections that it takes in any such window, of all edges together. Default: `30/m`
    /// with `resource`, else no bound.
    #[serde(default, deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub connects: Option<Rate>,
    /// Sessions of one edge that may wait for a turn. Default: `256`.
    pub queue: Option<usize>,
    /// How long they may wait. Default: `10s`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub queue_wait: Option<Duration>,
    /// How long it lets a session last. Default: `60m` of Voice Live, else no bound.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session_cap: Option<Duration>,
    /// So long before that the edge ends it. Default: `15s`.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session_margin: Option<Duration>,
    /// So long before its end it is in the log and in a metric. Default: `1m`.
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
