//! Limits: `[limits]`, those of a route and those of a key.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use super::table::{duration, rate};
use crate::config::Rate;

/// `[limits]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Limits {
    /// Client sockets; more are closed at once. Default: `9000`.
    pub connections: Option<usize>,
    /// Client sockets that nobody was admitted on yet. Default: `2000`.
    pub unadmitted: Option<usize>,
    /// The same from one address; an IPv6 /64 counts as one. Default: `500`.
    pub unadmitted_per_address: Option<usize>,
    /// Sessions; more are answered 503. Default: `8000`.
    pub sessions: Option<usize>,
    /// Longest message of a client, fragments added up; longer ends in 1009. Default: `1MiB`.
    #[schemars(schema_with = "schema::size")]
    pub client_message: Option<ByteSize>,
    /// Longest message of an upstream, fragments added up. Default: `16MiB`.
    #[schemars(schema_with = "schema::size")]
    pub upstream_message: Option<ByteSize>,
    /// From the accepted socket to the whole request head; then for a body. Default: `10s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub handshake: Option<Duration>,
    /// A leg that is silent for this long is pinged; after twice that it is lost. Default: `20s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ping: Option<Duration>,
    /// A session ends when no message has crossed either way for this long. Default: `10m`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub idle: Option<Duration>,
    /// Longest session. Default: `60m`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session: Option<Duration>,
    /// What one client may send before it is read more slowly, frames with their heads; 1KiB at the
    /// least. Default: all it likes.
    #[schemars(schema_with = "schema::size")]
    pub bytes_per_second: Option<ByteSize>,
    /// The same in frames, pings and pongs among them. Default: all it likes.
    pub frames_per_second: Option<u32>,
    /// Sessions of all routes together. Default: no bound.
    pub total_sessions: Option<usize>,
    /// Upgrades of all routes together. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub total_upgrades: Option<Rate>,
    /// Minutes that sessions of all routes last; the window begins with the first. Default: no
    /// bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub total_minutes: Option<Rate>,
    /// Whether limits by number, rate or minutes are counted in the store for all edges. Default:
    /// `true` where the store is a Redis.
    pub shared: Option<bool>,
    /// How many edges share the store; while it is away each takes one part of so many. Default:
    /// `1`.
    pub replicas: Option<u32>,
    /// How long the places of an edge that died stay taken, 3s to 10m. Default: `30s`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub lease: Option<Duration>,
}

/// `limits = { sessions = 20 }` of a key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct KeyLimits {
    /// Sessions opened with this key. Default: no bound.
    pub sessions: Option<usize>,
    /// How often this key may open one. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades: Option<Rate>,
    /// Minutes that its sessions last. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes: Option<Rate>,
}

/// `limits = { … }` of a route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RouteLimits {
    /// Sessions of the route. Default: no bound.
    pub sessions: Option<usize>,
    /// Upgrades of the route; of a route without upgrades its requests. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades: Option<Rate>,
    /// Sessions of one address; an IPv6 /64 counts as one. Default: no bound.
    pub sessions_per_address: Option<usize>,
    /// Upgrades of one address, counted before credentials are looked at, so that guesses count.
    /// Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades_per_address: Option<Rate>,
    /// Sessions of one key, or one subject of tokens; not for calls. Default: no bound.
    pub sessions_per_identity: Option<usize>,
    /// Upgrades of one key, or one subject of tokens; not for calls. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades_per_identity: Option<Rate>,
    /// Calls that one identity may have made, counted by each edge for itself. Default: `10/m`.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub calls_per_identity: Option<Rate>,
    /// Longest message of a client, or longest body. Default: that of `[limits]`.
    #[schemars(schema_with = "schema::size")]
    pub client_message: Option<ByteSize>,
    /// Longest message of an upstream, or longest body of its answers. Default: that of `[limits]`.
    #[schemars(schema_with = "schema::size")]
    pub upstream_message: Option<ByteSize>,
    /// A session ends when no message has crossed for this long. Default: that of `[limits]`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub idle: Option<Duration>,
    /// Longest session. Default: that of `[limits]`.
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session: Option<Duration>,
    /// Sessions of one tenant of Entra; not for calls. Default: no bound.
    pub sessions_per_tenant: Option<usize>,
    /// Upgrades of one tenant of Entra; not for calls. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades_per_tenant: Option<Rate>,
    /// Minutes that sessions of the route last; when they are used up, what runs is ended, too.
    /// Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes: Option<Rate>,
    /// The same of one address. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes_per_address: Option<Rate>,
    /// The same of one key, or one subject of tokens; not for calls. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes_per_identity: Option<Rate>,
    /// The same of one tenant of Entra; not for calls. Default: no bound.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes_per_tenant: Option<Rate>,
    /// What one client may send before it is read more slowly; 1KiB at the least. Default: that of
    /// `[limits]`.
    #[schemars(schema_with = "schema::size")]
    pub bytes_per_second: Option<ByteSize>,
    /// The same in frames. Default: that of `[limits]`.
    pub frames_per_second: Option<u32>,
}
