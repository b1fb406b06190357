//! Every field of every record. The README prints the same table.

/// A field of records: its name, in which records it stands (`?`: where it is known), and what it
/// says.
pub type Field = (&'static str, &'static str, &'static str);

/// Every field, in the order in which they are written.
#[rustfmt::skip]
pub const FIELDS: [Field; 31] = [
    ("seq", "all", "number of the record, from 1, on over rotation and restart"),
    ("prev", "all, with `chain`", "SHA-256 of the record before, in hex; 64 zeros before the first"),
    ("time", "all", "when it was decided, RFC 3339 in milliseconds, UTC"),
    ("event", "all", "`request`, `upgrade`, `gate`, `close`; `repaired`"),
    ("route", "all but `repaired`", "the route's name"),
    ("who", "all but `repaired`?", "whom admission has recognised, as the log shows it"),
    ("credential", "with `who`", "what was shown: `key`, `certificate`, `token`, `easyauth`, `call`, `ticket`; nothing: `anyone`, `insecure-dev`"),
    ("tenant", "with `who`?", "the tenant of Entra"),
    ("user", "with `who`?", "the object id (`oid`) in that tenant"),
    ("what", "`request`, `upgrade`", "the method, and the path as the settings write it"),
    ("to_tenant", "`request` for a message of the bot's", "the tenant of whom it is for"),
    ("to_user", "with `to_tenant`", "their object id in that tenant"),
    ("outcome", "with `to_tenant`?", "`ok`: the connector took the message; else why not, in the word of `why`"),
    ("decision", "`request`, `upgrade`, `gate`", "`allow` or `deny`"),
    ("rule", "`request`, `upgrade`, `gate`", "allowed: the way in, `code` for a gate, `preflight`; denied: the reason of the ending"),
    ("detail", "denied", "a fixed sentence that says more"),
    ("status", "`request`, `upgrade`", "the HTTP status; with `refuse = \"close\"` the one that it stands for"),
    ("client", "all but `repaired`", "the client's address, and its port where that is known"),
    ("request", "`request`, `upgrade`", "drawn for each request"),
    ("session", "`request` about a session, `upgrade` allowed, `gate`, `close`", "as the log names it"),
    ("trace_id", "all but `repaired`", "the trace that the request was part of, in hex"),
    ("call", "all but `repaired`?", "the call, once its secret or its caller has been proved"),
    ("connection", "with `call`?", "the call connection id of ACS"),
    ("correlation", "with `call`?", "the correlation id of ACS"),
    ("duration_ms", "`close`", "from the 101 to the ending"),
    ("up_bytes", "`close`?", "payload from the client; not known of a session that was cut"),
    ("down_bytes", "`close`?", "payload to the client"),
    ("reason", "`close`", "the reason of the ending"),
    ("ended_by", "`close`", "`client`, `upstream`, `edge`"),
    ("torn_bytes", "`repaired`", "bytes before this line that are no record: a write that a crash cut"),
    ("torn", "`repaired`", "their SHA-256, a line feed at their end left out"),
];
