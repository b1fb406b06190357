//! Lines: how fields become JSON, and what holds one line to the one before.

use std::time::SystemTime;

use serde::Deserialize;

use super::record::Event;
use crate::label::Label;

/// A line that is being written; what is not known is left out.
pub(super) struct Line(Vec<u8>);

impl Line {
    pub(super) fn of(event: Event, route: Option<&Label>) -> Line {
        let mut line = Line(Vec::with_capacity(512));
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        line.text("time", Some(&time.to_string()));
        line.text("event", Some(event.word()));
        line.text("route", route.map(Label::as_str));
        line
    }

    pub(super) fn text(&mut self, field: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            // JSON's own escaping, so that no name can end a line or begin a field.
            self.field(field, &serde_json::Value::from(value).to_string());
        }
    }

    pub(super) fn number(&mut self, field: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.field(field, &value.to_string());
        }
    }

    fn field(&mut self, field: &'static str, value: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        let text = format!("{comma}\"{field}\":{value}");
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// The record before the first one.
pub(super) const NOTHING: [u8; 32] = [0; 32];

/// The whole line, its line feed aside, in its place in the chain.
pub(super) fn line(seq: u64, prev: Option<&[u8; 32]>, rest: &[u8]) -> Vec<u8> {
    let mut line = format!("{{\"seq\":{seq},").into_bytes();
    if let Some(prev) = prev {
        line.extend_from_slice(format!("\"prev\":\"{}\",", hex(prev)).as_bytes());
    }
    line.extend_from_slice(rest);
    line
}

/// SHA-256.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut array = NOTHING;
    array.copy_from_slice(digest.as_ref());
    array
}

pub(super) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What of a line its place in the chain is judged by.
#[derive(Deserialize)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) prev: Option<String>,
    pub(super) event: String,
    pub(super) torn: Option<String>,
    #[serde(rename = "time")]
    _time: String,
}

impl Place {
    /// `None`: the line is no record.
    pub(super) fn of(line: &[u8]) -> Option<Place> {
        serde_json::from_slice(line).ok()
    }
}
