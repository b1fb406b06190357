//! An HTTP answer instead of a 101, in the shape of Azure's.
//!
//! Owns status, extra headers and the JSON body. Refuses to know why.

use std::time::Duration;

use serde_json::json;

/// What is said instead of 101.
pub(super) struct Refusal {
    pub(super) status: u16,
    message: &'static str,
    header: Option<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: &'static str) -> Self {
        Self {
            status,
            message,
            header: None,
        }
    }

    /// What `sim-refuse-<status>` says.
    pub(super) fn played(status: u16) -> Self {
        let refusal = Self::new(status, "as the scenario asked");
        match status {
            302 => refusal.with("Location", "https://elsewhere.invalid/voice-live/realtime"),
            429 => refusal.with("Retry-After", "1"),
            _ => refusal,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value.to_owned()));
        self
    }

    /// In whole seconds, and not too early.
    pub(super) fn later(mut self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000);
        self.header = Some(("Retry-After", seconds.to_string()));
        self
    }

    /// The whole response.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = json!({
            "error": { "code": self.status.to_string(), "message": self.message }
        })
        .to_string();
        let phrase = http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Refused");
        let extra = self
            .header
            .as_ref()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .unwrap_or_default();
        format!(
            "HTTP/1.1 {} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\napim-request-id: sim\r\n{extra}\r\n{body}",
            self.status,
            body.len(),
        )
        .into_bytes()
    }
}
