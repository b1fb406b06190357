//! The JSON schema of a settings file, for editors: `tonegate check --schema`.
//!
//! Fields and their types come out of [`super::table`], so that they cannot differ from what is
//! read; texts that have a grammar of their own have it here. What the schema cannot say (names that
//! must exist, settings that exclude each other) `tonegate check` does.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};

use super::table::File;
use crate::config::pii::PiiKind;

/// The schema as text, JSON Schema draft 2020-12.
pub(in crate::config) fn text() -> String {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<File>();
    let title = "Settings of tonegate";
    schema.insert("title".to_owned(), title.into());
    format!("{:#}", schema.as_value())
}

pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "A duration such as \"500ms\", \"30s\", \"10m\" or \"1h\"",
        "pattern": r"^(\s*\d+\s*[a-z]+)+\s*$",
    })
}

pub(super) fn rate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "A rate such as \"10/s\", \"60/m\", \"100/h\", \"600/d\" or \"100/90s\"",
        "pattern": r"^\d+/(\d+)?[a-z]+$",
    })
}

pub(super) fn date(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "A date and a time in UTC, such as \"2026-12-31T00:00:00Z\"",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
    })
}

pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "integer"],
        "title": "Bytes, or a size such as \"64KiB\" or \"16MiB\"",
        "minimum": 1,
        "pattern": r"^\d+(\.\d+)?\s*[kKmMgG]?i?[bB]?$",
    })
}

pub(super) fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "An IP address with a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"",
        "pattern": r"^.+:\d+$",
    })
}

/// A text that is one of a closed list.
macro_rules! one_of {
    ($name:ident, $($word:literal),+) => {
        pub(super) fn $name(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "enum": [$($word),+] })
        }
    };
}

one_of!(kind, "voice-live", "relay", "http");
one_of!(
    route_kind,
    "voice-live",
    "relay",
    "acs-media",
    "event-grid",
    "acs-callback",
    "call-api",
    "session-api",
    "sessions",
    "http",
    "bot",
    "notify",
    "tickets",
    "page"
);
one_of!(issuer_kind, "entra", "oidc", "acs", "event-grid", "bot");
one_of!(cloud, "public", "us-gov", "china");
one_of!(roles_by, "graph", "http", "store");
one_of!(detector_kind, "azure-language", "presidio");
one_of!(known_by, "record", "url");
one_of!(spend, "token", "call");
one_of!(flow, "pstn", "sip", "sip-header", "api", "open");
one_of!(ani, "signalling", "shared", "digits");
one_of!(key_header, "api-key", "authorization");
one_of!(audio_format, "pcm24KMono", "pcm16KMono");
one_of!(channels, "mixed", "unmixed");
one_of!(ticket_algorithm, "HS256", "ES256", "EdDSA", "RS256");
one_of!(tickets, "off", "observe");
one_of!(speak, "http", "proxy");
one_of!(audit_to, "stdout", "file");
one_of!(audit_sync, "batch", "second", "never");
one_of!(believes, "hops", "anyone");
one_of!(dtmf, "off", "observe");
one_of!(see, "own", "team", "all");
one_of!(refuse, "status", "close");
one_of!(default, "model", "agent");

pub(super) fn places(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "enum": ["header", "query", "cookie", "subprotocol"] },
    })
}

pub(super) fn ticket_claims(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "enum": ["origin", "route", "model", "call", "sub"] },
    })
}

pub(super) fn pass(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "enum": ["conversation-id", "agent-version"] },
    })
}

pub(super) fn pii_kinds(_: &mut SchemaGenerator) -> Schema {
    let words = PiiKind::ALL.map(PiiKind::word);
    json_schema!({ "type": "array", "items": { "type": "string", "enum": words } })
}

pub(super) fn feeds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "enum": ["in_band", "messages", "callbacks"] },
    })
}

pub(super) fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "A telephone number in E.164 form, such as \"+15551234567\"",
        "pattern": r"^\+[1-9]\d{1,14}$",
    })
}

pub(super) fn numbers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "title": "Beginnings of numbers: \"+1555\"; \"+\" are all of them",
        "items": { "type": "string", "pattern": r"^\+([1-9]\d{0,14})?$" },
    })
}

pub(super) fn session(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "title": "The session of Voice Live's session.update, but for its audio formats",
    })
}
