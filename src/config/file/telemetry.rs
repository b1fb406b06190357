//! `[telemetry]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;

/// `[telemetry]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Telemetry {
    /// Whose `traceparent` is believed, so that a request goes on in a trace that somebody else
    /// began. Default: `hops`.
    #[schemars(schema_with = "schema::believes")]
    pub traceparent: Option<String>,
    /// Where a collector takes spans, in a build with the feature `otlp`. Default: none are sent.
    pub otlp: Option<String>,
    /// The part of new traces that is kept, 0 to 1. Default: `1.0`.
    pub sample: Option<f64>,
}
