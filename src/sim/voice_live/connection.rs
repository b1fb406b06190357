//! One connection as it is remembered, and how that is printed.
//!
//! Owns the closed lists of violations and endings. Credentials arrive here in headers, so
//! [`Connection`] has no derived `Debug`, and its printed forms name headers without their values.
//! Refuses to know locks and tasks.

use super::scenario::Scenario;
use crate::sim::frame::{BINARY, Broken, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::sim::stream::Security;
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;

/// What a peer did that the service would not expect of a correct client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The bytes before the upgrade were no HTTP/1.1 request.
    Head,
    /// A WebSocket upgrade header is missing, repeated or wrong.
    Upgrade,
    /// The request announced a body.
    Body,
    /// The path is not Voice Live's.
    Path,
    /// A parameter that Voice Live does not know.
    UnknownParameter,
    /// A parameter given twice.
    DuplicateParameter,
    /// `api-version` is missing or unknown.
    ApiVersion,
    /// `model` is missing in standard mode, present in agent mode, or an unknown `sim-` name.
    Model,
    /// A key or a token in the query.
    QueryCredential,
    /// No credential, or a wrong one.
    Credential,
    /// More than one credential.
    SeveralCredentials,
    /// An extension was offered; Voice Live compresses nothing.
    ExtensionOffered,
    /// A frame broke RFC 6455.
    Frame(Broken),
    /// A message broke RFC 6455 (text that is not UTF-8, for instance).
    Message,
    /// A binary message, which Voice Live does not know.
    Binary,
    /// A pong that answers none of our pings with its own bytes.
    Pong,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// TLS did not come about.
    NoTls,
    /// No request came within its time, or the connection ended inside it.
    NoRequest,
    /// Refused with this HTTP status.
    Refused(u16),
    /// The client sent the first close frame.
    ClosedByClient,
    /// The service sent the first close frame.
    ClosedByService,
    /// The client's stream ended or failed without a close frame.
    ClientGone,
    /// The client broke a protocol and was closed with 1002 or 1007.
    ClientBroke,
    /// The scenario ended as it is meant to, without a close frame.
    AsPlayed,
    /// The service was shut down.
    Shutdown,
}

/// Frames by opcode. Where a message arrives whole it counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Text messages, or first fragments of them.
    pub text: u64,
    /// Binary messages, or first fragments of them.
    pub binary: u64,
    /// Further fragments.
    pub continuation: u64,
    /// Pings.
    pub ping: u64,
    /// Pongs.
    pub pong: u64,
    /// Close frames.
    pub close: u64,
    /// Payload bytes of all of them.
    pub bytes: u64,
}

/// Audio that went one way: how much, and its SHA-256 in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audio {
    /// Decoded bytes.
    pub bytes: u64,
    /// Digest of all of them in order.
    pub sha256: String,
}

/// What the client asked the session to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Bytes of audio that had been appended before.
    pub after: u64,
    /// The whole event, as it was read.
    pub event: Value,
}

/// One connection as it was when it was asked for.
#[derive(Clone)]
pub struct Connection {
    /// Counts from one.
    pub id: u64,
    /// Who connected.
    pub peer: SocketAddr,
    /// What TLS settled on.
    pub security: Option<Security>,
    /// The request target as written. It may hold a credential.
    pub target: String,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Header names and values as written. They hold credentials.
    pub headers: Vec<(String, String)>,
    /// What was played, once the request was accepted.
    pub scenario: Option<Scenario>,
    /// What the client did wrong; at most 32 are kept.
    pub violations: Vec<Violation>,
    /// How many there were.
    pub violations_total: u64,
    /// Frames from the client.
    pub received: Counts,
    /// Frames to the client.
    pub sent: Counts,
    /// Audio the client appended.
    pub appended: Audio,
    /// Audio the service answered with.
    pub replied: Audio,
    /// The `session.update` events received, refused ones too; at most 32 are kept.
    pub updates: Vec<Update>,
    /// Codes of the `error` events sent; at most 32 are kept.
    pub errors: Vec<&'static str>,
    /// Payloads of pongs received; at most 32 are kept.
    pub pongs: Vec<Vec<u8>>,
    /// Code and reason of the client's close frame.
    pub close_received: Option<(Option<u16>, String)>,
    /// Code and reason of the service's close frame.
    pub close_sent: Option<(Option<u16>, String)>,
    /// How it ended; `None` while it lives.
    pub ending: Option<Ending>,
}

impl Counts {
    pub(super) fn add(&mut self, opcode: u8, bytes: usize) {
        self.bytes += bytes as u64;
        match opcode {
            CONTINUATION => self.continuation += 1,
            TEXT => self.text += 1,
            BINARY => self.binary += 1,
            CLOSE => self.close += 1,
            PING => self.ping += 1,
            PONG => self.pong += 1,
            _ => {}
        }
    }

    fn summary(&self) -> Value {
        json!({
            "text": self.text, "binary": self.binary, "continuation": self.continuation,
            "ping": self.ping, "pong": self.pong, "close": self.close, "bytes": self.bytes,
        })
    }
}

impl Connection {
    pub(super) fn new(id: u64, peer: SocketAddr) -> Self {
        Self {
            id,
            peer,
            security: None,
            target: String::new(),
            query: Vec::new(),
            headers: Vec::new(),
            scenario: None,
            violations: Vec::new(),
            violations_total: 0,
            received: Counts::default(),
            sent: Counts::default(),
            appended: Audio::default(),
            replied: Audio::default(),
            updates: Vec::new(),
            errors: Vec::new(),
            pongs: Vec::new(),
            close_received: None,
            close_sent: None,
            ending: None,
        }
    }

    /// Every value of this header, in order.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(written, _)| written.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The connection as one JSON object without a secret: headers and parameters by name only,
    /// apart from `model` and `api-version`, and close reasons by length.
    #[must_use]
    pub fn summary(&self) -> Value {
        let value_of = |wanted: &str| {
            let found = self.query.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        let close = |close: &Option<(Option<u16>, String)>| match close {
            Some((code, reason)) => json!({ "code": code, "reason_bytes": reason.len() }),
            None => Value::Null,
        };
        json!({
            "connection": self.id,
            "peer": self.peer.to_string(),
            "tls": self.security.as_ref().map(|security| json!({
                "version": security.version, "cipher": security.cipher,
                "group": security.group, "resumed": security.resumed,
            })),
            "path": self.target.split('?').next(),
            "model": value_of("model"),
            "api_version": value_of("api-version"),
            "parameters": names(&self.query),
            "headers": names(&self.headers),
            "scenario": self.scenario.map(|scenario| format!("{scenario:?}")),
            "violations": self.violations.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>(),
            "violations_total": self.violations_total,
            "received": self.received.summary(),
            "sent": self.sent.summary(),
            "appended": { "bytes": self.appended.bytes, "sha256": self.appended.sha256 },
            "replied": { "bytes": self.replied.bytes, "sha256": self.replied.sha256 },
            "errors": self.errors,
            "close_received": close(&self.close_received),
            "close_sent": close(&self.close_sent),
            "ending": self.ending.map(|ending| format!("{ending:?}")),
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.summary(), formatter)
    }
}
