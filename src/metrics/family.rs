//! Every family that `/metrics` can show: its name, what it is, and its HELP text.

use super::name::*;

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

/// Every family that `/metrics` can show.
pub const FAMILIES: [Family; 80] = [
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
    family(TICKETS_DROPPED, Kind::Counter, "Unused TLS tickets lost."),
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
    family(BATCH_WAITS, Kind::Counter, "Waits of server.batch."),
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
        "Log lines lost because their reader was too slow, or is gone.",
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
        ADMIN_REFUSED,
        Kind::Counter,
        "Requests to the admin listener that were not answered, by reason: origin, host, proxied, no_token, wrong_token, scope.",
    ),
    family(
        SETTINGS_LOADS,
        Kind::Counter,
        "Times that the settings were read anew, by result: loaded, unchanged, unusable, needs_restart.",
    ),
    family(
        SETTINGS_LOADED,
        Kind::Gauge,
        "When the settings that are in force were loaded, in seconds since 1970.",
    ),
    family(
        SETTINGS_IN_FORCE,
        Kind::Gauge,
        "1 while the settings in the files are those in force.",
    ),
    family(
        PANICS,
        Kind::Counter,
        "Panics, by what they ended: connection, request, session, background, admin, upkeep.",
    ),
    family(
        CERTIFICATE_EXPIRY,
        Kind::Gauge,
        "Until a certificate of the settings ends, negative once it has, by use and name.",
    ),
    family(READY, Kind::Gauge, "1 while the edge takes new sessions."),
    family(
        DRAINING,
        Kind::Gauge,
        "1 since the edge was told to end; running sessions go on for a while.",
    ),
    family(
        DRAINED,
        Kind::Counter,
        "Sessions of a drain, by how they ended.",
    ),
    family(
        HANDOVERS,
        Kind::Counter,
        "Processes that asked for the listening sockets, by outcome.",
    ),
    family(
        INSECURE_DEV,
        Kind::Gauge,
        "1 while a developer is let in without a credential.",
    ),
    family(BUILD, Kind::Gauge, "Always 1; the version is a label."),
];
