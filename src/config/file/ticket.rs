//! `[tickets]`, field by field.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use super::table::duration;

/// `[tickets]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Tickets {
    pub audience: Option<String>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub max_age: Option<Duration>,
    pub keys: Vec<TicketKey>,
}

/// `[[tickets.keys]]`. Whoever has the secret gets in, so nothing prints it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TicketKey {
    pub id: String,
    pub issuer: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "schema::ticket_algorithm")]
    pub algorithm: Option<String>,
    pub secret: Option<String>,
    pub secret_file: Option<PathBuf>,
    pub public_key: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
    #[serde(default)]
    pub own: bool,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey(***)")
    }
}
