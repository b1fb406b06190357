//! What the edge shows others.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;

/// `credential = { key = "…" }`, `{ key_file = "…" }`, `{ caller = true }`,
/// `{ managed_identity = true }`, or several of them; or `{ none = true }`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Credential {
    pub caller: bool,
    pub key: Option<String>,
    pub key_file: Option<PathBuf>,
    #[schemars(schema_with = "schema::key_header")]
    pub header: Option<String>,
    pub managed_identity: bool,
    pub client_id: Option<String>,
    pub federated: Option<Federated>,
    pub scope: Option<String>,
    pub roots: Option<String>,
    pub none: bool,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(***)")
    }
}

/// `federated`: an application that trusts the edge's managed identity.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Federated {
    pub tenant: Option<String>,
    pub client_id: Option<String>,
    pub authority: Option<String>,
}
