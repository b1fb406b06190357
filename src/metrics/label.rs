//! Every label of every family, and what may stand in it: closed words, reasons of endings, or names
//! from the settings. Nothing that a peer sends can make a series.

use crate::error::Reason;

/// What may stand in a label.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    words: &'static [&'static str],
    reasons: bool,
    named: bool,
}

impl Values {
    /// Whether `value` is one of them; `is_name` knows the names in the settings.
    pub fn have(&self, value: &str, is_name: impl Fn(&str) -> bool) -> bool {
        self.words.contains(&value)
            || self.reasons && Reason::ALL.iter().any(|reason| reason.word() == value)
            || self.named && is_name(value)
    }

    /// What they are, for a reference; nothing if they are names.
    pub fn told(&self) -> String {
        let mut told: Vec<String> = self.words.iter().map(|word| format!("`{word}`")).collect();
        told.extend(self.reasons.then(|| "a [reason](ENDINGS.md)".to_owned()));
        if self.named && !told.is_empty() {
            told.push("a name in the settings".to_owned());
        }
        told.join(", ")
    }
}

/// The labels of one family.
pub fn of(family: &str) -> Labels {
    let found = LABELS.iter().find(|(name, _)| *name == family);
    found.map_or(&[], |(_, labels)| labels)
}

const fn words(words: &'static [&'static str]) -> Values {
    Values {
        words,
        reasons: false,
        named: false,
    }
}

/// A name of the settings.
const NAME: Values = Values {
    words: &[],
    reasons: false,
    named: true,
};

/// One of these, or the reason of an ending.
const fn or_reason(words: &'static [&'static str]) -> Values {
    Values {
        words,
        reasons: true,
        named: false,
    }
}

/// One of these, or a name of the settings.
const fn or_name(words: &'static [&'static str]) -> Values {
    Values {
        words,
        reasons: false,
        named: true,
    }
}

const DIRECTION: Values = words(&["up", "down"]);
const SIDE: Values = words(&["client", "upstream", "edge"]);
const FETCHED: Values = words(&["ok", "failed"]);
/// Why a request to somebody else came to nothing.
const FAILURES: Values = words(&[
    "ok",
    "unreachable",
    "timeout",
    "unauthorized",
    "forbidden",
    "not_found",
    "busy",
    "failed",
    "refused",
    "malformed",
    "too_many",
    "too_large",
]);
const OPERATIONS: Values = words(&[
    "answer",
    "create",
    "hang_up",
    "start_media",
    "stop_media",
    "start_dtmf",
    "stop_dtmf",
]);
const STORE: Values = words(&[
    "add_tones",
    "bind_call",
    "claim",
    "connect_call",
    "drop_note",
    "end_call",
    "enter",
    "forget_running",
    "free",
    "give_back",
    "glance",
    "hand_over",
    "handed",
    "keep",
    "known",
    "leave",
    "look",
    "make_call",
    "note",
    "note_begun",
    "note_call",
    "note_over",
    "note_turn",
    "orders",
    "put_key",
    "put_note",
    "restore",
    "running",
    "running_of",
    "spend",
    "take",
    "take_back",
    "take_turn",
    "tell_running",
    "tones",
    "try_code",
    "unclaim",
    "unspend",
    "write_order",
]);
/// Every limit that counts when it is hit.
const LIMITS: Values = words(&[
    "address_table",
    "admin_connections",
    "assertion",
    "audit",
    "bodies",
    "bot",
    "bot_notes",
    "bot_replies",
    "bytes_per_second",
    "call_automation",
    "calls_per_identity",
    "client_message",
    "connections",
    "frames_per_second",
    "graph",
    "handshake",
    "idle",
    "key_fetches",
    "key_minutes",
    "key_sessions",
    "key_upgrades",
    "listed_people",
    "listed_sessions",
    "minutes_per_address",
    "minutes_per_identity",
    "minutes_per_tenant",
    "notices",
    "orders",
    "pii_detector",
    "pii_texts",
    "rate_table",
    "revocations",
    "route_minutes",
    "route_sessions",
    "session",
    "sessions",
    "sessions_per_address",
    "sessions_per_identity",
    "sessions_per_tenant",
    "shared",
    "shared_gone",
    "store",
    "tail_idle",
    "tail_lines",
    "tails",
    "tls_message",
    "tones",
    "total_minutes",
    "total_sessions",
    "total_upgrades",
    "unadmitted",
    "unadmitted_per_address",
    "upgrades",
    "upgrades_per_address",
    "upgrades_per_identity",
    "upgrades_per_tenant",
    "upstream_message",
    "upstream_queue",
    "upstream_queue_wait",
    "witness",
]);
const TICKETS: Values = words(&[
    "ok",
    "missing",
    "invalid",
    "expired",
    "unbound",
    "wrong_origin",
    "wrong_route",
    "wrong_model",
    "wrong_call",
    "wrong_subject",
    "spent",
    "unavailable",
]);
const CALL_DROPS: Values = words(&[
    "unknown",
    "unreadable",
    "other_participant",
    "pending",
    "late",
    "unheard",
    "cancelled",
    "prompt",
]);
const EVENTS: Values = words(&[
    "validation",
    "incoming_call",
    "call_connected",
    "call_disconnected",
    "answer_failed",
    "create_failed",
    "participants",
    "media_started",
    "media_stopped",
    "media_failed",
    "tone",
    "tone_failed",
    "tone_stopped",
    "other",
]);
const EVENT_DROPS: Values = words(&[
    "unreadable",
    "late",
    "duplicate",
    "withheld",
    "no_sip_id",
    "not_answered",
    "unknown_call",
    "other_connection",
    "full",
]);
const MEDIA: Values = words(&[
    "subscription_started",
    "connection_reestablished",
    "connection_unsuccessful",
    "url_missing",
    "service_shutdown",
    "connection_interrupted",
    "speech_services",
    "subscription_stopped",
    "unspecified",
    "authentication_failure",
    "bad_request",
    "too_many_requests",
    "forbidden",
    "service_timeout",
    "none",
    "other",
]);
const BOT_RESULTS: Values = words(&[
    "ok",
    "unlisted",
    "unreachable",
    "lost",
    "timeout",
    "crowded",
    "unauthorized",
    "writes_blocked",
    "blocked_by_user",
    "not_installed",
    "not_in_roster",
    "disabled_by_admin",
    "wrong_host",
    "not_permitted",
    "forbidden",
    "not_found",
    "precondition_failed",
    "too_large",
    "throttled",
    "failed",
    "refused",
]);
const ORDERS: Values = words(&[
    "session",
    "subject",
    "tenant",
    "key",
    "certificate",
    "call",
    "credential",
    "lift",
    "end",
    "refresh",
    "malformed",
]);

/// The labels of one family, in the order in which they are written.
pub type Labels = &'static [(&'static str, Values)];

const ROUTE: (&str, Values) = ("route", NAME);
const UPSTREAM: (&str, Values) = ("upstream", NAME);

/// The labels of every family that has any, but `le` of histograms.
#[rustfmt::skip]
pub const LABELS: &[(&str, Labels)] = &[
    ("tonegate_limit_hits_total", &[("limit", LIMITS)]),
    ("tonegate_requests_total", &[("route", or_name(&["none"])), ("result", or_reason(&["admitted"]))]),
    ("tonegate_tickets_total", &[ROUTE, ("result", TICKETS)]),
    ("tonegate_dropped_parameters_total", &[ROUTE]),
    ("tonegate_upgrade_seconds", &[ROUTE]),
    ("tonegate_upstream_dials_total", &[UPSTREAM, ("result", or_reason(&["ok"]))]),
    ("tonegate_upstream_dial_seconds", &[UPSTREAM]),
    ("tonegate_upstream_turns_total", &[UPSTREAM, ("result", words(&["taken", "alone", "given_back", "full", "late"]))]),
    ("tonegate_upstream_throttled_total", &[UPSTREAM]),
    ("tonegate_upstream_queue", &[UPSTREAM]),
    ("tonegate_upstream_queue_seconds", &[UPSTREAM]),
    ("tonegate_sessions_near_cap_total", &[ROUTE, UPSTREAM]),
    ("tonegate_sessions", &[ROUTE]),
    ("tonegate_sessions_ended_total", &[ROUTE, ("by", SIDE), ("reason", or_reason(&[]))]),
    ("tonegate_session_seconds", &[ROUTE]),
    ("tonegate_leases_total", &[ROUTE, ("result", words(&["extended", "expired"]))]),
    ("tonegate_messages_total", &[ROUTE, ("direction", DIRECTION)]),
    ("tonegate_audio_messages_total", &[ROUTE, ("direction", DIRECTION)]),
    ("tonegate_payload_bytes_total", &[ROUTE, ("direction", DIRECTION)]),
    ("tonegate_dtmf_keys_total", &[ROUTE]),
    ("tonegate_dtmf_unheard_messages_total", &[ROUTE]),
    ("tonegate_first_audio_seconds", &[ROUTE, ("stage", words(&["connected", "gate", "turn"]))]),
    ("tonegate_barge_in_seconds", &[ROUTE]),
    ("tonegate_audio_gap_seconds", &[ROUTE, ("direction", DIRECTION)]),
    ("tonegate_caller_silence_seconds", &[ROUTE]),
    ("tonegate_slow_consumer_seconds", &[ROUTE, ("side", SIDE)]),
    ("tonegate_gates_total", &[ROUTE, ("result", words(&["authorised", "rejected", "expired", "left"]))]),
    ("tonegate_gate_seconds", &[ROUTE]),
    ("tonegate_gate_digits_total", &[ROUTE, ("feed", words(&["in_band", "message", "callback"]))]),
    ("tonegate_call_messages_dropped_total", &[ROUTE, ("kind", CALL_DROPS)]),
    ("tonegate_events_total", &[ROUTE, ("event", EVENTS)]),
    ("tonegate_events_dropped_total", &[ROUTE, ("why", EVENT_DROPS)]),
    ("tonegate_media_failures_total", &[ROUTE, ("detail", MEDIA)]),
    ("tonegate_app_answers_total", &[ROUTE, ("status", words(&["2xx", "3xx", "4xx", "5xx"]))]),
    ("tonegate_app_answer_seconds", &[ROUTE]),
    ("tonegate_calls_made_total", &[ROUTE, ("result", or_reason(&["ok", "untold"]))]),
    ("tonegate_webhooks_total", &[ROUTE, ("result", words(&["sent", "failed", "dropped"]))]),
    ("tonegate_issuer_key_fetches_total", &[("issuer", or_name(&["bot"])), ("result", FETCHED)]),
    ("tonegate_identity_token_fetches_total", &[("upstream", or_name(&["store", "acs", "bot", "graph"])), ("result", FETCHED)]),
    ("tonegate_call_automation_operations_total", &[("operation", OPERATIONS), ("result", FAILURES)]),
    ("tonegate_call_automation_seconds", &[("operation", OPERATIONS)]),
    ("tonegate_graph_lookups_total", &[("result", FAILURES)]),
    ("tonegate_pii_detections_total", &[("detector", NAME), ("result", FAILURES)]),
    ("tonegate_pii_detection_seconds", &[("detector", NAME)]),
    ("tonegate_bot_messages_total", &[("operation", words(&["reply", "send"])), ("result", BOT_RESULTS)]),
    ("tonegate_bot_message_seconds", &[("operation", words(&["reply", "send"]))]),
    ("tonegate_bot_notes_total", &[("note", words(&["reference", "farewell", "quiet", "speak"])), ("result", words(&["ok", "lost", "full"]))]),
    ("tonegate_store_operations_total", &[("operation", STORE), ("result", words(&["ok", "timeout", "unreachable", "refused", "full", "malformed"]))]),
    ("tonegate_store_seconds", &[("operation", STORE)]),
    ("tonegate_orders_total", &[("kind", ORDERS)]),
    ("tonegate_traces_total", &[("result", words(&["begun", "continued", "unbelieved", "malformed"]))]),
    ("tonegate_otlp_spans_total", &[("result", words(&["exported", "failed", "dropped"]))]),
    ("tonegate_audit_records_total", &[("event", words(&["request", "upgrade", "gate", "close", "repaired"])), ("decision", words(&["allow", "deny", "none"]))]),
    ("tonegate_admin_refused_total", &[("reason", words(&["origin", "host", "proxied", "no_token", "wrong_token", "scope"]))]),
    ("tonegate_settings_loads_total", &[("result", words(&["loaded", "unchanged", "unusable", "needs_restart"]))]),
    ("tonegate_panics_total", &[("where", words(&["connection", "request", "session", "background", "admin", "upkeep"]))]),
    ("tonegate_drained_sessions_total", &[("how", words(&["left", "ended"]))]),
    ("tonegate_handovers_total", &[("outcome", words(&["done", "failed", "busy", "stranger", "audit"]))]),
    ("tonegate_certificate_expiry_seconds", &[("use", words(&["server", "client", "client_roots", "upstream_roots"])), ("name", or_name(&["server", "acs", "store"]))]),
    ("tonegate_build_info", &[("version", words(&[env!("CARGO_PKG_VERSION")]))]),
];
