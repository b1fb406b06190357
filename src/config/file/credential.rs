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
    /// The caller's own token goes on, where it is one for this upstream. Default: `false`.
    pub caller: bool,
    /// A key of the upstream. Default: none.
    pub key: Option<String>,
    /// A file with that key. Default: none.
    pub key_file: Option<PathBuf>,
    /// The header that the key goes in; in `authorization` it is a bearer. Default: `api-key`.
    #[schemars(schema_with = "schema::key_header")]
    pub header: Option<String>,
    /// A token that the platform gives to the edge. Default: `false`.
    pub managed_identity: bool,
    /// Client id of a user-assigned identity. Default: the system's.
    pub client_id: Option<String>,
    /// An application that trusts that identity, in whatever tenant. Default: none.
    pub federated: Option<Federated>,
    /// What the token is asked for. Default: `https://ai.azure.com/.default`.
    pub scope: Option<String>,
    /// What the certificate of a token endpoint must lead to: `system`, or a PEM file. Default:
    /// `system`.
    pub roots: Option<String>,
    /// The upstream asks for nothing. Default: `false`.
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
    /// The tenant of the application.
    pub tenant: Option<String>,
    /// The application's id.
    pub client_id: Option<String>,
    /// Who trades the identity's token for one of the application. Default:
    /// `https://login.microsoftonline.com`.
    pub authority: Option<String>,
}
