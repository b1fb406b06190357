//! The tables of the bot gateway: what it signs, whom it asks, who it is, what of people it hides.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::credential::Federated;
use super::schema;
use super::table::duration;

/// `[assertion]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Assertion {
    /// PEM files with PKCS#8 keys, P-256, Ed25519 or RSA; the first signs, the others are still
    /// published; 4 at the most.
    pub keys: Vec<PathBuf>,
    /// What the edge calls itself in `iss`, to the letter.
    pub issuer: Option<String>,
    /// How long a signed word is good, 10s to 5m. Default: `60s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub life: Option<Duration>,
}

/// `[graph]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Graph {
    /// Graph is asked with a token that the platform gives to the edge. Default: `false`.
    pub managed_identity: bool,
    /// Client id of a user-assigned identity. Default: the system's.
    pub client_id: Option<String>,
    /// An application that trusts the edge's identity, and has the permission instead. Default:
    /// none.
    pub federated: Option<Federated>,
    /// Where Graph is; other clouds have other hosts. Default: `https://graph.microsoft.com`.
    pub base: Option<String>,
    /// What the token is asked for. Default: `.default` of `base`.
    pub scope: Option<String>,
    /// What Graph's certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// How long one request may take. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    /// How long all pages of one person may take, 60s at the most. Default: `10s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
}

/// `[bot]`. Whoever has its secret is the bot, so nothing prints it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Bot {
    /// The bot's application id.
    pub app_id: Option<String>,
    /// Which cloud gives its tokens and has its Teams. Default: `public`.
    #[schemars(schema_with = "schema::cloud")]
    pub cloud: Option<String>,
    /// The tenant of the bot's registration. Default: the registration is of any tenant.
    pub tenant: Option<String>,
    /// A secret of the registration. Default: none.
    pub secret: Option<String>,
    /// A file with that secret. Default: none.
    pub secret_file: Option<PathBuf>,
    /// The token comes from the platform, under the registration's id. Default: `false`.
    pub managed_identity: bool,
    /// Client id of a user-assigned identity, with `federated`. Default: the system's.
    pub client_id: Option<String>,
    /// The registration trusts the edge's managed identity, which `managed_identity` asks for.
    /// Default: `false`.
    pub federated: bool,
    /// Who takes the secret, or the identity's token. Default: `https://login.microsoftonline.com`
    /// in the public cloud.
    pub authority: Option<String>,
    /// What the bot's token is asked for. Default: that of `cloud`.
    pub scope: Option<String>,
    /// What a serviceUrl may begin with for messages to go there. Default: Teams' own of `cloud`.
    pub service_urls: Option<Vec<String>>,
    /// How long it is kept where to write to somebody, from their last word on: 1m to 400d; `0s`:
    /// not at all. Default: `30d`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub keep: Option<Duration>,
    /// What the connector's certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// How long one request may take. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    /// How long one message with all its requests may take, 60s at the most. Default: `10s`.
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
    /// Who says whom somebody may see: Microsoft Graph, a directory of yours over HTTP, or the
    /// store.
    #[schemars(schema_with = "schema::roles_by")]
    pub by: Option<String>,
    /// How long what was found is believed, 15m at the most; `0s`: not at all. Default: `2m`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub cache: Option<Duration>,
    /// With `http`: where one person is found; `{tenant}` and `{person}` stand for ids of Entra.
    pub url: Option<String>,
    /// Shown to that directory as a bearer. Default: nothing.
    pub key: Option<String>,
    /// What its certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// How long an answer may take. Default: `3s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Roles(***)")
    }
}

/// `[pii_detectors.NAME]`. Its key asks in the customer's name, so nothing prints it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PiiDetector {
    /// Whose language it speaks: Azure AI Language's or Presidio's.
    #[schemars(schema_with = "schema::detector_kind")]
    pub kind: Option<String>,
    /// Where it is; http:// on loopback only.
    pub url: Option<String>,
    /// What it is shown. Default: nothing.
    pub key: Option<String>,
    /// A file with that key. Default: none.
    pub key_file: Option<PathBuf>,
    /// It is shown a token that the platform gives to the edge. Default: `false`.
    pub managed_identity: bool,
    /// Client id of a user-assigned identity. Default: the system's.
    pub client_id: Option<String>,
    /// What that token is asked for. Default: `https://cognitiveservices.azure.com/.default`.
    pub scope: Option<String>,
    /// What its certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// What texts are written in, as the service names it. Default: `en`.
    pub language: Option<String>,
    /// What it looks for, in its own words. Default: what it looks for by itself.
    pub categories: Vec<String>,
    /// How long all questions about one body may take, 30s at the most. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub total: Option<Duration>,
    /// Questions at a time; more wait. Default: `32`.
    pub at_once: Option<usize>,
}

impl std::fmt::Debug for PiiDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PiiDetector(***)")
    }
}

/// `[log]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Log {
    /// Personal data that is taken out of each line before it is written. Default: nothing.
    #[schemars(schema_with = "schema::pii_kinds")]
    pub pii: Vec<String>,
}
