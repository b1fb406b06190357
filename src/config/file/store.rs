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
    /// Where session keys and what edges know of each other is: `memory:`, or a Redis, by
    /// `redis://`, `rediss://`, `rediss-cluster://` or `rediss-sentinel://`. Default: `memory:`.
    pub url: Option<String>,
    /// The user of Redis. Default: that of Redis itself.
    pub username: Option<String>,
    /// Its password. Default: none.
    pub password: Option<String>,
    /// Whom the sentinels are shown. Default: nobody.
    pub sentinel_username: Option<String>,
    /// And that one's password. Default: none.
    pub sentinel_password: Option<String>,
    /// Instead of a password a token that the platform gives to the edge. Default: `false`.
    pub managed_identity: bool,
    /// Client id of a user-assigned identity. Default: the system's.
    pub client_id: Option<String>,
    /// What the token is asked for. Default: `https://redis.azure.com/.default`.
    pub scope: Option<String>,
    /// What Redis' certificate must lead to: `system`, or a PEM file. Default: `system`.
    pub roots: Option<String>,
    /// `redis://` may leave loopback. Default: `false`.
    pub plain_text: bool,
    /// A decision that takes longer is none. Default: `300ms`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<Duration>,
    /// How long all that the edge writes is kept. Default: `1h`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ttl: Option<Duration>,
    /// A session key without an end opens nothing. Default: `false`.
    pub require_ttl: bool,
    /// With Redis: nobody enters while what was taken back cannot be read for longer. Default:
    /// `30s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub revocations_stale: Option<Duration>,
    /// Stands before all keys, also those that others write. Default: nothing.
    pub prefix: Option<String>,
    /// The key of a code with a caller's number; each part once, apart by what no part can hold.
    /// Default: `pstn:{ani}:{code}`.
    pub pstn: Option<String>,
    /// The key of a SIP id. Default: `sip:{id}`.
    pub sip: Option<String>,
    /// The key of a connection. Default: `acs:call_connection_id:{id}`.
    pub api: Option<String>,
    /// A secret: keys are then the prefix and the HMAC-SHA256 of what they would be. Default: keys
    /// are legible.
    pub hmac: Option<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(***)")
    }
}
