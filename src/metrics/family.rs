//! Every family that `/metrics` can show: its name, what it is, and its HELP text.

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One family: its name, what it is, and its HELP text.
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

const fn family(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, kind, help }
}

pub(super) const CONNECTIONS: &str = "tonegate_connections";
pub(super) const CONNECTIONS_TOTAL: &str = "tonegate_connections_total";
pub(super) const ACCEPT_ERRORS: &str = "tonegate_accept_errors_total";
pub(super) const PROXY_FAILURES: &str = "tonegate_proxy_header_failures_total";
pub(super) const TLS_FAILURES: &str = "tonegate_tls_handshake_failures_total";
pub(super) const LIMIT_HITS: &str = "tonegate_limit_hits_total";
pub(super) const REQUESTS: &str = "tonegate_requests_total";
pub(super) const TICKETS: &str = "tonegate_tickets_total";
pub(super) const DROPPED_PARAMETERS: &str = "tonegate_dropped_parameters_total";
pub(super) const UPGRADE_SECONDS: &str = "tonegate_upgrade_seconds";
pub(super) const DIALS: &str = "tonegate_upstream_dials_total";
pub(super) const DIAL_SECONDS: &str = "tonegate_upstream_dial_seconds";
pub(super) const TURNS: &str = "tonegate_upstream_turns_total";
pub(super) const THROTTLED: &str = "tonegate_upstream_throttled_total";
pub(super) const QUEUE: &str = "tonegate_upstream_queue";
pub(super) const QUEUE_SECONDS: &str = "tonegate_upstream_queue_seconds";
pub(super) const NEAR_CAP: &str = "tonegate_sessions_near_cap_total";
pub(super) const SESSIONS: &str = "tonegate_sessions";
pub(super) const SESSIONS_ENDED: &str = "tonegate_sessions_ended_total";
pub(super) const SESSION_SECONDS: &str = "tonegate_session_seconds";
pub(super) const LEASES: &str = "tonegate_leases_total";
pub(super) const MESSAGES: &str = "tonegate_messages_total";
pub(super) const AUDIO_MESSAGES: &str = "tonegate_audio_messages_total";
pub(super) const PAYLOAD_BYTES: &str = "tonegate_payload_bytes_total";
pub(super) const DTMF_KEYS: &str = "tonegate_dtmf_keys_total";
pub(super) const DTMF_UNHEARD: &str = "tonegate_dtmf_unheard_messages_total";
pub(super) const FIRST_AUDIO: &str = "tonegate_first_audio_seconds";
pub(super) const BARGE_IN: &str = "tonegate_barge_in_seconds";
pub(super) const AUDIO_GAPS: &str = "tonegate_audio_gap_seconds";
pub(super) const CALLER_SILENCE: &str = "tonegate_caller_silence_seconds";
pub(super) const SLOW_CONSUMERS: &str = "tonegate_slow_consumer_seconds";
pub(super) const GATES: &str = "tonegate_gates_total";
pub(super) const GATE_SECONDS: &str = "tonegate_gate_seconds";
pub(super) const GATE_DIGITS: &str = "tonegate_gate_digits_total";
pub(super) const CALL_DROPS: &str = "tonegate_call_messages_dropped_total";
pub(super) const EVENTS: &str = "tonegate_events_total";
pub(super) const EVENT_DROPS: &str = "tonegate_events_dropped_total";
pub(super) const MEDIA_FAILURES: &str = "tonegate_media_failures_total";
pub(super) const APP_ANSWERS: &str = "tonegate_app_answers_total";
pub(super) const APP_SECONDS: &str = "tonegate_app_answer_seconds";
pub(super) const CALLS_MADE: &str = "tonegate_calls_made_total";
pub(super) const WEBHOOKS: &str = "tonegate_webhooks_total";
pub(super) const KEY_FETCHES: &str = "tonegate_issuer_key_fetches_total";
pub(super) const IDENTITY_FETCHES: &str = "tonegate_identity_token_fetches_total";
pub(super) const CALL_CONTROL: &str = "tonegate_call_automation_operations_total";
pub(super) const CALL_CONTROL_SECONDS: &str = "tonegate_call_automation_seconds";
pub(super) const GRAPH_LOOKUPS: &str = "tonegate_graph_lookups_total";
pub(super) const GRAPH_SECONDS: &str = "tonegate_graph_lookup_seconds";
pub(super) const PII_LOOKS: &str = "tonegate_pii_detections_total";
pub(super) const PII_SECONDS: &str = "tonegate_pii_detection_seconds";
pub(super) const BOT_MESSAGES: &str = "tonegate_bot_messages_total";
pub(super) const BOT_SECONDS: &str = "tonegate_bot_message_seconds";
pub(super) const BOT_NOTES: &str = "tonegate_bot_notes_total";
pub(super) const STORE_OPERATIONS: &str = "tonegate_store_operations_total";
pub(super) const STORE_SECONDS: &str = "tonegate_store_seconds";
pub(super) const STORE_UP: &str = "tonegate_store_up";
pub(super) const ORDERS: &str = "tonegate_orders_total";
pub(super) const REVOCATIONS: &str = "tonegate_revocations";
pub(super) const REVOCATIONS_AGE: &str = "tonegate_revocations_age_seconds";
pub(super) const LOG_DROPS: &str = "tonegate_log_lines_dropped_total";
pub(super) const LOG_UNFILTERED: &str = "tonegate_log_lines_unfiltered_total";
pub(super) const TRACES: &str = "tonegate_traces_total";
pub(super) const SPANS: &str = "tonegate_otlp_spans_total";
pub(super) const AUDIT_RECORDS: &str = "tonegate_audit_records_total";
pub(super) const AUDIT_REFUSED: &str = "tonegate_audit_refused_total";
pub(super) const AUDIT_ERRORS: &str = "tonegate_audit_errors_total";
pub(super) const CERTIFICATE_EXPIRY: &str = "tonegate_certificate_expiry_seconds";
pub(super) const READY: &str = "tonegate_ready";
pub(super) const INSECURE_DEV: &str = "tonegate_insecure_dev";
pub(super) const BUILD: &str = "tonegate_build_info";

/// Every family that `/metrics` can show.
pub const FAMILIES: [Family; 70] = [
    family(CONNECTIONS, Kind::Gauge, "Open client sockets."),
    family(CONNECTIONS_TOTAL, Kind::Counter, "Client sockets accepted."),
    family(
        ACCEPT_ERRORS,
        Kind::Counter,
        "Accepts that failed, mostly for want of file descriptors.",
    ),
    family(
        PROXY_FAILURES,
        Kind::Counter,
        "Connections of hops whose PROXY header was missing, malformed or late.",
    ),
    family(
        TLS_FAILURES,
        Kind::Counter,
        "Client TLS handshakes that failed or took too long.",
    ),
    family(
        LIMIT_HITS,
        Kind::Counter,
        "Work refused by a limit, by limit.",
    ),
    family(
        REQUESTS,
        Kind::Counter,
        "Requests by route and result: admitted, or the reason of the refusal.",
    ),
    family(
        TICKETS,
        Kind::Counter,
        "Tickets that were asked for or observed, by route and result: ok (it was spent), or why it opens nothing.",
    ),
    family(
        DROPPED_PARAMETERS,
        Kind::Counter,
        "Unknown query parameters that were not passed on, by route.",
    ),
    family(
        UPGRADE_SECONDS,
        Kind::Histogram,
        "From the accepted socket to the 101, by route.",
    ),
    family(
        DIALS,
        Kind::Counter,
        "Attempts to connect upstream by result: ok, or the reason of the failure.",
    ),
    family(
        DIAL_SECONDS,
        Kind::Histogram,
        "Duration of successful attempts: TCP, TLS and upgrade.",
    ),
    family(
        TURNS,
        Kind::Counter,
        "Turns to connect to a paced upstream by result: taken, alone, given_back, or why there was none: full, late.",
    ),
    family(
        THROTTLED,
        Kind::Counter,
        "Connections that a paced upstream answered with 429.",
    ),
    family(
        QUEUE,
        Kind::Gauge,
        "Sessions that wait for a turn to connect, by upstream.",
    ),
    family(
        QUEUE_SECONDS,
        Kind::Histogram,
        "How long those waited who got a turn, by upstream.",
    ),
    family(
        NEAR_CAP,
        Kind::Counter,
        "Sessions that came near the longest that their upstream allows, by route and upstream.",
    ),
    family(SESSIONS, Kind::Gauge, "Running sessions, by route."),
    family(
        SESSIONS_ENDED,
        Kind::Counter,
        "Ended sessions by route, by whom and why.",
    ),
    family(
        SESSION_SECONDS,
        Kind::Histogram,
        "Duration of sessions, without the goodbye.",
    ),
    family(
        LEASES,
        Kind::Counter,
        "Leases of sessions by route and result: extended (something new was shown), expired (the session ended with it).",
    ),
    family(
        MESSAGES,
        Kind::Counter,
        "Whole messages forwarded, by route and direction.",
    ),
    family(
        AUDIO_MESSAGES,
        Kind::Counter,
        "Messages that carry audio, by route and direction.",
    ),
    family(
        PAYLOAD_BYTES,
        Kind::Counter,
        "Payload bytes forwarded, by route and direction.",
    ),
    family(
        DTMF_KEYS,
        Kind::Counter,
        "Keys heard in the audio of clients, by route.",
    ),
    family(
        DTMF_UNHEARD,
        Kind::Counter,
        "Audio messages that could not be listened to for keys, by route.",
    ),
    family(
        FIRST_AUDIO,
        Kind::Histogram,
        "Until the first audio to the client, by route and stage: connected (from the 101), gate (from its verdict), turn (from the end of what the client said).",
    ),
    family(
        BARGE_IN,
        Kind::Histogram,
        "From an interruption to the last audio of what it interrupted, or to the StopAudio of a call, by route.",
    ),
    family(
        AUDIO_GAPS,
        Kind::Histogram,
        "Gaps of 200 ms and more between two audio messages of one stream, by route and direction.",
    ),
    family(
        CALLER_SILENCE,
        Kind::Histogram,
        "Spans of 2 s and more in which callers sent audio that ACS took for silence, by route.",
    ),
    family(
        SLOW_CONSUMERS,
        Kind::Histogram,
        "Spans of 100 ms and more in which a leg did not take what waited for it, by route and side.",
    ),
    family(
        GATES,
        Kind::Counter,
        "Gates of phone calls that were decided, by route and result: authorised, rejected, expired, or left by the caller.",
    ),
    family(
        GATE_SECONDS,
        Kind::Histogram,
        "From the first frame of a gated call to the decision, by route.",
    ),
    family(
        GATE_DIGITS,
        Kind::Counter,
        "Digits that gates were given, by route and feed: in_band, message, callback.",
    ),
    family(
        CALL_DROPS,
        Kind::Counter,
        "Messages of phone calls that went no further, by route and kind.",
    ),
    family(
        EVENTS,
        Kind::Counter,
        "Events that Event Grid and Call Automation posted, by route and event.",
    ),
    family(
        EVENT_DROPS,
        Kind::Counter,
        "Events of which nothing came, by route and why.",
    ),
    family(
        MEDIA_FAILURES,
        Kind::Counter,
        "Calls whose media ACS could not stream, by route and its detail.",
    ),
    family(
        APP_ANSWERS,
        Kind::Counter,
        "Answers of private applications by route and class of status: 2xx, 3xx, 4xx, 5xx.",
    ),
    family(
        APP_SECONDS,
        Kind::Histogram,
        "From a request's admission to the head of the application's answer, by route.",
    ),
    family(
        CALLS_MADE,
        Kind::Counter,
        "Calls that were to be made, by route and result: ok, untold, or the reason why not.",
    ),
    family(
        WEBHOOKS,
        Kind::Counter,
        "Webhooks on calls that another cloud handed over, by route and result: sent, failed, dropped.",
    ),
    family(
        KEY_FETCHES,
        Kind::Counter,
        "Fetches of the keys of token issuers by result: ok, failed.",
    ),
    family(
        IDENTITY_FETCHES,
        Kind::Counter,
        "Fetches of tokens for the edge itself by upstream and result: ok, failed.",
    ),
    family(
        CALL_CONTROL,
        Kind::Counter,
        "What was asked of Call Automation, by operation and result: ok, or why it was not done.",
    ),
    family(
        CALL_CONTROL_SECONDS,
        Kind::Histogram,
        "Duration of what was asked of Call Automation, with all attempts, by operation.",
    ),
    family(
        GRAPH_LOOKUPS,
        Kind::Counter,
        "Lists of reports that were asked of Graph, by result: ok, or why they are not known.",
    ),
    family(
        GRAPH_SECONDS,
        Kind::Histogram,
        "Duration of what was asked of Graph, with all pages and attempts.",
    ),
    family(
        PII_LOOKS,
        Kind::Counter,
        "Bodies that a detector of personal data was asked about, by detector and result: ok, or why it did not say.",
    ),
    family(
        PII_SECONDS,
        Kind::Histogram,
        "Duration of that, with all questions about one body, by detector.",
    ),
    family(
        BOT_MESSAGES,
        Kind::Counter,
        "Messages of the bot's, by operation (reply, send) and result: ok, or why they were not sent.",
    ),
    family(
        BOT_SECONDS,
        Kind::Histogram,
        "Duration of messages of the bot's, with all attempts, by operation.",
    ),
    family(
        BOT_NOTES,
        Kind::Counter,
        "What was to be kept of people who spoke to the bot, by note (reference, farewell, quiet, speak) and result: ok, lost, full.",
    ),
    family(
        STORE_OPERATIONS,
        Kind::Counter,
        "Questions to the session store by operation and result: ok, or why there was no answer.",
    ),
    family(
        STORE_SECONDS,
        Kind::Histogram,
        "Duration of questions to the session store, by operation.",
    ),
    family(
        STORE_UP,
        Kind::Gauge,
        "1 while the session store can be asked.",
    ),
    family(
        ORDERS,
        Kind::Counter,
        "Orders to all edges that were news here, by kind: what was taken back, lift, end, refresh, and malformed for entries that are none.",
    ),
    family(
        REVOCATIONS,
        Kind::Gauge,
        "Revocations in force, as this edge knows them.",
    ),
    family(
        REVOCATIONS_AGE,
        Kind::Gauge,
        "Since the revocations were last read from the store.",
    ),
    family(
        LOG_DROPS,
        Kind::Counter,
        "Log lines dropped because their reader was too slow.",
    ),
    family(
        LOG_UNFILTERED,
        Kind::Counter,
        "Log lines not written because personal data could not be taken out of them.",
    ),
    family(
        TRACES,
        Kind::Counter,
        "Traces of requests by result: begun (none was named), continued, unbelieved, malformed.",
    ),
    family(
        SPANS,
        Kind::Counter,
        "Spans for a collector of OTLP by result: exported, failed, dropped.",
    ),
    family(
        AUDIT_RECORDS,
        Kind::Counter,
        "Audit records that were written, by event and decision: allow, deny, none.",
    ),
    family(
        AUDIT_REFUSED,
        Kind::Counter,
        "Requests and sessions refused because they could not be recorded.",
    ),
    family(
        AUDIT_ERRORS,
        Kind::Counter,
        "Attempts to write audit records that failed.",
    ),
    family(
        CERTIFICATE_EXPIRY,
        Kind::Gauge,
        "Until a certificate of the settings ends, negative once it has, by use and name.",
    ),
    family(READY, Kind::Gauge, "1 while the edge takes new sessions."),
    family(
        INSECURE_DEV,
        Kind::Gauge,
        "1 while a developer is let in without a credential.",
    ),
    family(BUILD, Kind::Gauge, "Always 1; the version is a label."),
];
