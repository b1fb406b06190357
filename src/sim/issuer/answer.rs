//! An HTTP answer of the issuer, in the shape of Entra's.
//!
//! Owns status line, headers and framing. Refuses to know what was asked.

use crate::sim::stream::Stream;
use serde_json::json;
use std::io;
use std::time::SystemTime;
use tokio::io::AsyncWriteExt;

/// What is said to one request.
pub(super) struct Answer {
    status: u16,
    pub(super) body: String,
    pub(super) after: After,
    extra: Option<(&'static str, String)>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It may carry another request.
    Open,
    /// It ends.
    Close,
}

impl Answer {
    /// A document, or what is given out as one.
    pub(super) fn new(body: String) -> Self {
        Self {
            status: 200,
            body,
            after: After::Open,
            extra: None,
        }
    }

    /// A token.
    pub(super) fn token(token: &str) -> Self {
        Self::new(json!({ "token": token }).to_string())
    }

    /// A refusal with its reason. What may still come of the request is not read.
    pub(super) fn refusal(status: u16, sentence: &str) -> Self {
        Self::new(json!({ "error": sentence }).to_string()).with_status(status)
    }

    /// The same with a status of its own, after which the connection ends.
    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self.after = After::Close;
        // Nothing may follow the head of these (RFC 9110, section 6.4.1).
        if matches!(status, 100..=199 | 204 | 304) {
            self.body.clear();
        }
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra = Some((name, value.into()));
        self
    }

    /// Everything before the body, whose framing is this header.
    pub(super) fn head(&self, framing: &str) -> String {
        let phrase = http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown");
        let connection = match self.after {
            After::Open => "",
            After::Close => "Connection: close\r\n",
        };
        let extra = self
            .extra
            .as_ref()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .unwrap_or_default();
        format!(
            "HTTP/1.1 {} {phrase}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Cache-Control: max-age=86400, private\r\nDate: {}\r\n{framing}\r\n{connection}{extra}\r\n",
            self.status,
            httpdate::fmt_http_date(SystemTime::now()),
        )
    }

    /// Writes all of it and holds nothing back.
    pub(super) async fn send(&self, stream: &mut Stream) -> io::Result<After> {
        let mut text = self.head(&format!("Content-Length: {}", self.body.len()));
        text.push_str(&self.body);
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await?;
        Ok(self.after)
    }
}
