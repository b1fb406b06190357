//! The labels of each family, and what their values are: closed words, or names from the settings.

use super::family::*;

/// A label's name, and its values as they are told in the reference; nothing where the name says it.
pub type LabelOf = (&'static str, &'static str);

impl Family {
    /// The labels that every series of this family has.
    pub fn labels(&self) -> &'static [LabelOf] {
        let found = LABELS.iter().find(|(name, _)| *name == self.name);
        found.map_or(&[], |(_, labels)| labels)
    }
}

const ROUTE: LabelOf = ("route", "");
const UPSTREAM: LabelOf = ("upstream", "");
const DIRECTION: LabelOf = ("direction", "`up` (to the upstream), `down`");
const REASON: LabelOf = ("reason", "a [reason](ENDINGS.md)");
const DETECTOR: LabelOf = ("detector", "its name in the settings");
const OK_OR_FAILED: LabelOf = ("result", "`ok`, `failed`");
const BOT_OPERATION: LabelOf = ("operation", "`reply`, `send`");
const CONTROL_OPERATION: LabelOf = (
    "operation",
    "`answer`, `create`, `hang_up`, `start_media`, `stop_media`, `start_dtmf`, `stop_dtmf`",
);
const STORE_OPERATION: LabelOf = ("operation", "what the store was asked");

/// Families that are not here have no labels.
#[rustfmt::skip]
const LABELS: &[(&str, &[LabelOf])] = &[
    (LIMIT_HITS, &[("limit", "its name in the settings; also `shared`: this edge counted for itself, as the store was away; `shared_gone`: places were left to their lease; and bounds that cannot be set")]),
    (REQUESTS, &[("route", "`none`: on no route"), ("result", "`admitted`, or a [reason](ENDINGS.md)")]),
    (TICKETS, &[ROUTE, ("result", "`ok` (it was spent), `missing`, `invalid`, `expired`, `unbound` (a claim of `ticket_claims` is not there), `wrong_origin`, `wrong_route`, `wrong_model`, `wrong_call`, `wrong_subject`, `spent` (used before), `unavailable` (the store did not answer)")]),
    (DROPPED_PARAMETERS, &[ROUTE]),
    (UPGRADE_SECONDS, &[ROUTE]),
    (DIALS, &[UPSTREAM, ("result", "`ok`, or a [reason](ENDINGS.md)")]),
    (DIAL_SECONDS, &[UPSTREAM]),
    (TURNS, &[UPSTREAM, ("result", "`taken`, `alone` (without the store), `given_back` (nothing was asked of it); why there was none: `full` (too many waited), `late` (none in time)")]),
    (THROTTLED, &[UPSTREAM]),
    (QUEUE, &[UPSTREAM]),
    (QUEUE_SECONDS, &[UPSTREAM]),
    (NEAR_CAP, &[ROUTE, UPSTREAM]),
    (SESSIONS, &[ROUTE]),
    (SESSIONS_ENDED, &[ROUTE, ("by", "`client`, `upstream`, `edge`"), REASON]),
    (SESSION_SECONDS, &[ROUTE]),
    (MESSAGES, &[ROUTE, DIRECTION]),
    (AUDIO_MESSAGES, &[ROUTE, DIRECTION]),
    (PAYLOAD_BYTES, &[ROUTE, DIRECTION]),
    (DTMF_KEYS, &[ROUTE]),
    (DTMF_UNHEARD, &[ROUTE]),
    (GATES, &[ROUTE, ("result", "`authorised`, `rejected`, `expired`, or `left`: the caller went, or the session ended, before")]),
    (GATE_SECONDS, &[ROUTE]),
    (GATE_DIGITS, &[ROUTE, ("feed", "`in_band`, `message`, `callback`; not which digits")]),
    (CALL_DROPS, &[ROUTE, ("kind", "`unknown`, `unreadable`, `other_participant`, `pending` (before the gate opened), `late` (held too long while the upstream was dialled), `unheard`, `cancelled` (of an answer that the caller interrupted), `prompt` (of another rate than the call's)")]),
    (EVENTS, &[ROUTE, ("event", "`validation`, `incoming_call`, `call_connected`, `call_disconnected`, `answer_failed`, `create_failed`, `participants`, `media_started`, `media_stopped`, `media_failed`, `tone`, `tone_failed`, `tone_stopped`, `other`")]),
    (EVENT_DROPS, &[ROUTE, ("why", "`unreadable`, `late` (older than 30 s), `duplicate`, `withheld` (no number, where the flow needs one), `no_sip_id`, `not_answered` (ACS would not), `unknown_call`, `other_connection`, `full` (too many keys of one call)")]),
    (MEDIA_FAILURES, &[ROUTE, ("detail", "ACS' own word for why, such as `initial_connection_failed`; `none`, `other`")]),
    (APP_ANSWERS, &[ROUTE, ("status", "`2xx`, `3xx`, `4xx`, `5xx`")]),
    (APP_SECONDS, &[ROUTE]),
    (CALLS_MADE, &[ROUTE, ("result", "`ok`, `untold` (nobody took the answer, and it was taken back), or a [reason](ENDINGS.md)")]),
    (WEBHOOKS, &[ROUTE, ("result", "`sent`, `failed` (refused for good, or all attempts used), `dropped` (too many waited)")]),
    (KEY_FETCHES, &[("issuer", ""), OK_OR_FAILED]),
    (IDENTITY_FETCHES, &[("upstream", "also `store`, and `acs` for Call Automation"), OK_OR_FAILED]),
    (CALL_CONTROL, &[CONTROL_OPERATION, ("result", "`ok`, `unreachable`, `timeout`, `unauthorized`, `not_found`, `busy`, `failed`, `refused`, `malformed`")]),
    (CALL_CONTROL_SECONDS, &[CONTROL_OPERATION]),
    (GRAPH_LOOKUPS, &[("result", "`ok`, `unreachable`, `timeout`, `unauthorized`, `forbidden`, `not_found`, `busy`, `failed`, `refused`, `malformed`, `too_many`")]),
    (PII_LOOKS, &[DETECTOR, ("result", "`ok`; else the body went no further: `unreachable`, `timeout`, `unauthorized`, `busy`, `failed`, `refused`, `malformed`, `too_large`")]),
    (PII_SECONDS, &[DETECTOR]),
    (BOT_MESSAGES, &[BOT_OPERATION, ("result", "`ok`, `unlisted`, `unreachable`, `lost`, `timeout`, `crowded`, `unauthorized`, `writes_blocked`, `blocked_by_user`, `not_installed`, `not_in_roster`, `disabled_by_admin`, `wrong_host`, `not_permitted`, `forbidden`, `not_found`, `precondition_failed`, `too_large`, `throttled`, `failed`, `refused`")]),
    (BOT_SECONDS, &[BOT_OPERATION]),
    (BOT_NOTES, &[("note", "`reference` (where to write to them), `farewell` (they removed it), `quiet`, `speak` (they want no messages, or some again)"), ("result", "`ok`, `lost` (the store was away for 10 min, or refused), `full` (too much waits for it)")]),
    (STORE_OPERATIONS, &[STORE_OPERATION, ("result", "`ok`, `timeout`, `unreachable`, `refused`, `full`, `malformed`")]),
    (STORE_SECONDS, &[STORE_OPERATION]),
    (ORDERS, &[("kind", "`session`, `subject`, `tenant`, `key`, `certificate`, `call`, `credential` (taken back), `lift`, `end`, `refresh`; `malformed` for entries that are none")]),
    (AUDIT_RECORDS, &[("event", "`request`, `upgrade`, `gate`, `close`, `repaired`"), ("decision", "`allow`, `deny`, or `none` where nothing was decided")]),
    (BUILD, &[("version", "")]),
];

/// What is wrong with the labels on a page, by the table above; every family must be on it.
#[cfg(test)]
pub(super) fn wrong_on(page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for family in &FAMILIES {
        let own: Vec<&str> = family.labels().iter().map(|(name, _)| *name).collect();
        let ends = ["", "_bucket", "_sum", "_count"];
        let series: Vec<&str> = page
            .lines()
            .filter(|line| {
                let name = line.split(['{', ' ']).next().unwrap_or("");
                ends.iter()
                    .any(|end| name.strip_suffix(end) == Some(family.name))
            })
            .collect();
        if series.is_empty() {
            wrong.push(format!("{} has no series", family.name));
        }
        for line in series {
            let tags = line.split_once('{').map_or("", |(_, rest)| rest);
            let mut seen: Vec<&str> = tags
                .split("=\"")
                .filter_map(|part| part.rsplit(['{', ',', ' ', '"']).next())
                .collect();
            // Behind the last one stands the value of the series.
            seen.pop();
            seen.retain(|name| *name != "le");
            if seen != own {
                wrong.push(format!("{line} has {seen:?} and not {own:?}"));
            }
        }
    }
    for (name, _) in LABELS {
        if !FAMILIES.iter().any(|family| family.name == *name) {
            wrong.push(format!("{name} is no family"));
        }
    }
    wrong
}
