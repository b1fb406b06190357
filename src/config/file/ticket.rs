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
    /// What tickets are for (`aud`), to the letter.
    pub audience: Option<String>,
    /// From `iat` to `exp`, 5m at the most. Default: `60s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub max_age: Option<Duration>,
    /// Keys that sign tickets, 1 to 4, a table each.
    pub keys: Vec<TicketKey>,
}

/// `[[tickets.keys]]`. Whoever has the secret gets in, so nothing prints it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TicketKey {
    /// The key's id (`kid`).
    pub id: String,
    /// Whose key it is, in log and limits. Default: `tickets`.
    pub issuer: Option<String>,
    /// How it signs.
    #[serde(default)]
    #[schemars(schema_with = "schema::ticket_algorithm")]
    pub algorithm: Option<String>,
    /// With HS256: 32 random bytes or more. Default: none.
    pub secret: Option<String>,
    /// A file with that secret. Default: none.
    pub secret_file: Option<PathBuf>,
    /// With the others: a PEM file or a JWK. Default: none.
    pub public_key: Option<PathBuf>,
    /// A PEM file, PKCS#8, P-256 or Ed25519, for a key of the edge's own. Default: none.
    pub private_key: Option<PathBuf>,
    /// The edge signs with it. Default: `false`.
    #[serde(default)]
    pub own: bool,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey(***)")
    }
}
