//! Judges an upgrade request as Voice Live would, and more strictly where our edge must be exact.
//!
//! Owns the list of parameters and versions (the wire as of 2026) and the order of refusals: form,
//! path, parameters, credential. Refuses to know sockets. Every fault is reported, not only the
//! one that decides.

use super::connection::Violation;
use super::scenario::{Scenario, UnknownScenario};
use super::service::Service;
use super::{Options, refusal::Refusal};
use crate::sim::head::{self, Head};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const VERSIONS: [&str; 7] = [
    "2025-04-01-preview",
    "2025-05-01-preview",
    "2025-10-01",
    "2026-01-01-preview",
    "2026-04-10",
    "2026-06-01-preview",
    "2026-07-15",
];

/// Parameters that carry a secret: documented for browsers, wrong from an edge. `h-<name>`, the
/// browser's way to write a header, is treated alike.
const CREDENTIAL_PARAMETERS: [&str; 4] =
    ["api-key", "authorization", "agent-access-token", "token"];

/// A request in parts.
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) target: String,
    pub(super) query: Vec<(String, String)>,
    method: String,
    path: String,
}

/// What came of a request.
pub(super) struct Verdict {
    pub(super) violations: Vec<Violation>,
    pub(super) outcome: Result<Accepted, Refusal>,
}

/// An upgrade that may be answered.
pub(super) struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub(super) accept: String,
    pub(super) scenario: Scenario,
    /// The model asked for; empty in agent mode.
    pub(super) model: String,
    pub(super) service: Service,
    pub(super) subprotocol: Option<&'static str>,
}

/// Faults found on the way; the first refusal decides.
struct Judge<'a> {
    request: &'a Request,
    service: Service,
    violations: Vec<Violation>,
    refusal: Option<Refusal>,
}

impl Request {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, head::Error> {
        let head = head::parse(bytes)?;
        let mut words = head.start.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(head::Error::Malformed);
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            target: target.to_owned(),
            head,
        })
    }

    pub(super) fn judge(&self, options: &Options) -> Verdict {
        let mut judge = Judge {
            request: self,
            service: options.service,
            violations: Vec::new(),
            refusal: None,
        };
        let accept = judge.upgrade();
        judge.path();
        judge.parameters();
        let (scenario, model) = judge.model(options.scenario);
        judge.credential(options);
        let accepted = Accepted {
            accept,
            scenario,
            model,
            service: options.service,
            subprotocol: options
                .service
                .choose(self.head.all("sec-websocket-protocol")),
        };
        Verdict {
            violations: judge.violations,
            outcome: judge.refusal.map_or(Ok(accepted), Err),
        }
    }

    fn parameter(&self, wanted: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }
}

impl Judge<'_> {
    fn refuse(&mut self, violation: Violation, refusal: Refusal) {
        self.violations.push(violation);
        self.refusal.get_or_insert(refusal);
    }

    /// RFC 6455, section 4.2.1. Returns the answer to the key.
    fn upgrade(&mut self) -> String {
        let head = &self.request.head;
        let key = head.one("sec-websocket-key").unwrap_or_default();
        let key_is_16_bytes = STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
        let well_formed = head.one("host").is_some()
            && head.says("upgrade", "websocket")
            && head.says("connection", "upgrade")
            && key_is_16_bytes;
        let version = head.one("sec-websocket-version") == Some("13");
        let body = head.all("transfer-encoding").next().is_some()
            || head.all("content-length").any(|length| length != "0");
        let extension = head.all("sec-websocket-extensions").next().is_some();
        if self.request.method != "GET" {
            self.refuse(
                Violation::Upgrade,
                Refusal::new(405, "only GET is allowed here"),
            );
        }
        if !well_formed {
            self.refuse(
                Violation::Upgrade,
                Refusal::new(400, "not a WebSocket upgrade"),
            );
        }
        if !version {
            let refusal =
                Refusal::new(426, "only version 13 is spoken").with("Sec-WebSocket-Version", "13");
            self.refuse(Violation::Upgrade, refusal);
        }
        if body {
            self.refuse(Violation::Body, Refusal::new(400, "an upgrade has no body"));
        }
        if extension {
            self.violations.push(Violation::ExtensionOffered);
        }
        derive_accept_key(key.as_bytes())
    }

    fn path(&mut self) {
        if !self.service.paths().contains(&self.request.path.as_str()) {
            self.refuse(Violation::Path, Refusal::new(404, "Resource not found"));
        }
    }

    fn parameters(&mut self) {
        let query = &self.request.query;
        for (at, (name, _)) in query.iter().enumerate() {
            let lower = name.to_ascii_lowercase();
            if CREDENTIAL_PARAMETERS.contains(&lower.as_str()) || lower.starts_with("h-") {
                let refusal = Refusal::new(400, "a credential belongs in a header");
                self.refuse(Violation::QueryCredential, refusal);
            } else if !self.service.parameters().contains(&name.as_str()) {
                let refusal = Refusal::new(400, "unknown query parameter");
                self.refuse(Violation::UnknownParameter, refusal);
            }
            if query[..at].iter().any(|(earlier, _)| earlier == name) {
                let refusal = Refusal::new(400, "a query parameter is given twice");
                self.refuse(Violation::DuplicateParameter, refusal);
            }
        }
        let version = self.request.parameter("api-version");
        let right = match self.service.has_versions(&self.request.path) {
            true => version.is_some_and(|version| VERSIONS.contains(&version)),
            false => version.is_none(),
        };
        if !right {
            let refusal = Refusal::new(400, "api-version is missing or unknown");
            self.refuse(Violation::ApiVersion, refusal);
        }
    }

    fn agent_mode(&self) -> bool {
        let named = |name| self.request.parameter(name).is_some();
        named("agent-name") || named("agent-id")
    }

    fn model(&mut self, default: Scenario) -> (Scenario, String) {
        let name = self.service.model_parameter(&self.request.path);
        let model = self.request.parameter(name).unwrap_or_default();
        if model.is_empty() != self.agent_mode() {
            let refusal = Refusal::new(400, "give a model, or an agent, not both");
            self.refuse(Violation::Model, refusal);
        }
        let scenario = match Scenario::from_model(model) {
            Ok(named) => named.unwrap_or(default),
            Err(UnknownScenario) => {
                let refusal = Refusal::new(400, "no simulator scenario of that name");
                self.refuse(Violation::Model, refusal);
                default
            }
        };
        (scenario, model.to_owned())
    }

    /// Exactly one credential, in a header, and the right one. Agents take no key.
    fn credential(&mut self, options: &Options) {
        let head = &self.request.head;
        let keys: Vec<&str> = head.all("api-key").collect();
        let bearers: Vec<&str> = head.all("authorization").collect();
        let denied = Refusal::new(
            401,
            "Access denied due to invalid subscription key or wrong API endpoint.",
        );
        let right = match (&keys[..], &bearers[..]) {
            ([], []) => options.api_key.is_none() && options.bearer.is_none(),
            ([_], []) if !self.service.takes_api_key() => false,
            ([key], []) => {
                let anything = options.api_key.is_none() && options.bearer.is_none();
                !self.agent_mode() && (anything || options.api_key.as_deref() == Some(*key))
            }
            ([], [bearer]) => {
                let anything = options.api_key.is_none() && options.bearer.is_none();
                let token = bearer.strip_prefix("Bearer ");
                let key = options.api_key.as_deref();
                let key = key.filter(|_| !self.service.takes_api_key());
                let known = key.or(options.bearer.as_deref());
                token.is_some() && (anything || known == token)
            }
            _ => {
                let refusal = Refusal::new(400, "more than one credential");
                return self.refuse(Violation::SeveralCredentials, refusal);
            }
        };
        if !right {
            self.refuse(Violation::Credential, denied);
        }
    }
}
