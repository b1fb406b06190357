//! The tables of the bot gateway: what it signs, whom it asks, who it is.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use super::table::duration;

/// `[assertion]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Assertion {
    pub keys: Vec<PathBuf>,
    pub issuer: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub life: Option<Duration>,
}

/// `[graph]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Graph {
    pub managed_identity: bool,
    pub client_id: Option<String>,
    pub base: Option<String>,
    pub scope: Option<String>,
    pub roots: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
}

/// `[bot]`. Whoever has its secret is the bot, so nothing prints it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Bot {
    pub app_id: Option<String>,
    pub tenant: Option<String>,
    pub secret: Option<String>,
    pub secret_file: Option<PathBuf>,
    pub managed_identity: bool,
    pub authority: Option<String>,
    pub scope: Option<String>,
    pub service_urls: Option<Vec<String>>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub keep: Option<Duration>,
    pub roots: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
}

impl std::fmt::Debug for Bot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bot(***)")
    }
}

/// `[roles]`. Its key opens a directory of people, so nothing prints it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Roles {
    #[schemars(schema_with = "schema::roles_by")]
    pub by: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub cache: Option<Duration>,
    pub url: Option<String>,
    pub key: Option<String>,
    pub roots: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Roles(***)")
    }
}
