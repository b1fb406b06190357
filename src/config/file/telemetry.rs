//! `[telemetry]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;

/// `[telemetry]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Telemetry {
    #[schemars(schema_with = "schema::believes")]
    pub traceparent: Option<String>,
    pub otlp: Option<String>,
    pub sample: Option<f64>,
}
