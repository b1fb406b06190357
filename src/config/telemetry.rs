//! `[telemetry]`: whose word on traces is believed, and who is told of them.

use std::fmt::Write as _;

/// `[telemetry]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    pub believes: Believes,
    /// `None`: spans are told to nobody.
    pub otlp: Option<Otlp>,
}

/// Whose `traceparent` is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Believes {
    /// That of hops that speak HTTP: whoever else names a trace begins a new one, so that no stranger
    /// writes into the traces of others, or decides what is kept.
    #[default]
    Hops,
    /// Everybody's.
    Anyone,
}

impl Believes {
    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Believes::Hops => "hops",
            Believes::Anyone => "anyone",
        }
    }
}

/// Where spans go, by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Of a collector; `/v1/traces` comes behind it.
    pub url: String,
    /// The part of traces that begin here which is kept, from 0 to 1. Of others their own word counts.
    pub sample: f64,
}

impl Telemetry {
    /// As `tonegate check` prints it.
    pub(super) fn describe(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "telemetry traceparent of {}", self.believes.word())?;
        match &self.otlp {
            Some(otlp) => writeln!(out, ", spans to {}, {} of ours", otlp.url, otlp.sample),
            None => writeln!(out),
        }
    }
}
