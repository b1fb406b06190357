//! `[store]`, as the operator writes it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use super::table::duration;

/// `[store]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Store {
    pub url: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub sentinel_username: Option<String>,
    pub sentinel_password: Option<String>,
    pub managed_identity: bool,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    pub roots: Option<String>,
    pub plain_text: bool,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ttl: Option<Duration>,
    pub require_ttl: bool,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub revocations_stale: Option<Duration>,
    pub prefix: Option<String>,
    pub pstn: Option<String>,
    pub sip: Option<String>,
    pub api: Option<String>,
    pub hmac: Option<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(***)")
    }
}
