//! What is seen from outside beside counters: times, labels, traces, the log, spans.

pub mod labels;
mod sink;
#[cfg(feature = "otlp")]
mod spans;
mod times;
mod traces;
