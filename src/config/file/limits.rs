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
    pub connections: Option<usize>,
    pub unadmitted: Option<usize>,
    pub unadmitted_per_address: Option<usize>,
    pub sessions: Option<usize>,
    #[schemars(schema_with = "schema::size")]
    pub client_message: Option<ByteSize>,
    #[schemars(schema_with = "schema::size")]
    pub upstream_message: Option<ByteSize>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub handshake: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub ping: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub idle: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session: Option<Duration>,
    #[schemars(schema_with = "schema::size")]
    pub bytes_per_second: Option<ByteSize>,
    pub frames_per_second: Option<u32>,
    pub total_sessions: Option<usize>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub total_upgrades: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub total_minutes: Option<Rate>,
    pub shared: Option<bool>,
    pub replicas: Option<u32>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub lease: Option<Duration>,
}

/// `limits = { sessions = 20 }` of a key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct KeyLimits {
    pub sessions: Option<usize>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes: Option<Rate>,
}

/// `limits = { … }` of a route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RouteLimits {
    pub sessions: Option<usize>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades: Option<Rate>,
    pub sessions_per_address: Option<usize>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades_per_address: Option<Rate>,
    pub sessions_per_identity: Option<usize>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades_per_identity: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub calls_per_identity: Option<Rate>,
    #[schemars(schema_with = "schema::size")]
    pub client_message: Option<ByteSize>,
    #[schemars(schema_with = "schema::size")]
    pub upstream_message: Option<ByteSize>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub idle: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    #[schemars(schema_with = "schema::duration")]
    pub session: Option<Duration>,
    pub sessions_per_tenant: Option<usize>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub upgrades_per_tenant: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes_per_address: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes_per_identity: Option<Rate>,
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "schema::rate")]
    pub minutes_per_tenant: Option<Rate>,
    #[schemars(schema_with = "schema::size")]
    pub bytes_per_second: Option<ByteSize>,
    pub frames_per_second: Option<u32>,
}
