//! Who ended what, and why: the closed list of endings.
//!
//! Every refusal and every end of a session is one [`Reason`] blamed on one [`Side`]. The same word
//! stands in the log, in the metric label and in the close text, and its row in the table below
//! gives the HTTP status (before the `101`) and the close code (after it). Nothing here knows
//! how an ending came about.

use std::fmt;

/// Who is to blame for an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Whoever dialled us.
    Client,
    /// Whoever we dialled.
    Upstream,
    /// tonegate itself: a limit, a deadline, an order from its operator.
    Edge,
}

impl Side {
    /// The word used in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Upstream => "upstream",
            Side::Edge => "edge",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Which way bytes move: `Up` is from the client to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    /// The word used in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// Why a request was refused or a session ended. The list is closed; [`Reason::row`] is its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    BadRequest,
    Protocol,
    Unauthenticated,
    Forbidden,
    NotFound,
    NoReference,
    OptedOut,
    Blocked,
    TooLarge,
    Busy,
    RateLimited,
    KeysUnavailable,
    StoreUnavailable,
    Draining,
    UpstreamUnreachable,
    UpstreamRefused,
    UpstreamUnauthorized,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamClosed,
    CodeWrong,
    LockedOut,
    GateExpired,
    FormatMismatch,
    Superseded,
    Idle,
    MaxDuration,
    LeaseExpired,
    Revoked,
    ClientClosed,
    ClientLost,
    HungUp,
    Internal,
}

/// One line of the table of endings.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The word in logs, metrics, close texts and problem documents.
    pub word: &'static str,
    /// Status of a refused request; `None` where the ending can only come after the `101`.
    pub status: Option<u16>,
    /// Close code for a leg that the edge closes; `None` where it can only come before the `101`.
    pub close: Option<u16>,
    /// One sentence for the problem document. It never holds anything that a peer sent.
    pub title: &'static str,
}

/// The table of endings, in the order of [`Reason`]: word, status and close code (0: none), title.
///
/// `upstream_closed` and `client_closed` cross with the peer's own code; the codes here stand in
/// where the leg was lost without one (1011) or said nothing (1000). 1001, 1011 and 1013 make the
/// public Voice Live clients try again; 1008 and 1009 do not. The README prints the same table,
/// and a test compares the two.
#[rustfmt::skip]
const TABLE: [(Reason, &str, u16, u16, &str); 33] = [
    (Reason::BadRequest, "bad_request", 400, 0, "the request is malformed"),
    (Reason::Protocol, "protocol", 0, 1002, "a frame broke RFC 6455"),
    (Reason::Unauthenticated, "unauthenticated", 401, 1008, "no valid credential was given"),
    (Reason::Forbidden, "forbidden", 403, 1008, "the credential does not allow this"),
    (Reason::NotFound, "not_found", 404, 0, "there is no such route"),
    (Reason::NoReference, "no_reference", 404, 0, "the bot has no conversation with this person"),
    (Reason::OptedOut, "opted_out", 409, 0, "this person wants no messages that they did not ask for"),
    (Reason::Blocked, "blocked", 410, 0, "this person is not to be written to"),
    (Reason::TooLarge, "too_large", 413, 1009, "a message exceeds the limit"),
    (Reason::Busy, "busy", 503, 1013, "a concurrency limit is reached"),
    (Reason::RateLimited, "rate_limited", 429, 1013, "too many requests"),
    (Reason::KeysUnavailable, "keys_unavailable", 503, 1013, "the keys of a token's issuer cannot be had"),
    (Reason::StoreUnavailable, "store_unavailable", 503, 1013, "the session store cannot be asked"),
    (Reason::Draining, "draining", 503, 1001, "the edge is shutting down"),
    (Reason::UpstreamUnreachable, "upstream_unreachable", 502, 1011, "the upstream cannot be reached"),
    (Reason::UpstreamRefused, "upstream_refused", 502, 1011, "the upstream refused the upgrade"),
    (Reason::UpstreamUnauthorized, "upstream_unauthorized", 502, 1011, "the upstream refused the edge's credential"),
    (Reason::UpstreamBusy, "upstream_busy", 503, 1013, "the upstream is at capacity"),
    (Reason::UpstreamTimeout, "upstream_timeout", 504, 1011, "the upstream did not answer in time"),
    (Reason::UpstreamClosed, "upstream_closed", 0, 1011, "the upstream ended the session"),
    (Reason::CodeWrong, "code_wrong", 0, 4403, "the caller does not know the code"),
    (Reason::LockedOut, "locked_out", 0, 4403, "too many codes failed: attempts_per_ani or attempts_per_route of the gate"),
    (Reason::GateExpired, "gate_expired", 0, 4408, "no code was entered in time"),
    (Reason::FormatMismatch, "format_mismatch", 0, 1003, "the media is not of the format that was agreed on"),
    (Reason::Superseded, "superseded", 0, 4409, "the call came again on another connection"),
    (Reason::Idle, "idle", 0, 1001, "no message crossed for too long"),
    (Reason::MaxDuration, "max_duration", 0, 4450, "the session reached its longest duration"),
    (Reason::LeaseExpired, "lease_expired", 0, 4440, "the credential of the session ended"),
    (Reason::Revoked, "revoked", 403, 4441, "what was shown to enter has been taken back"),
    (Reason::ClientClosed, "client_closed", 0, 1000, "the client ended the session"),
    (Reason::ClientLost, "client_lost", 0, 1011, "the client was lost without a close"),
    (Reason::HungUp, "hung_up", 0, 1000, "the call is over"),
    (Reason::Internal, "internal", 500, 1011, "the edge failed"),
];

impl Reason {
    /// All of them, in the order of the table.
    pub const ALL: [Reason; TABLE.len()] = {
        let mut all = [Reason::Internal; TABLE.len()];
        let mut i = 0;
        while i < TABLE.len() {
            assert!(TABLE[i].0 as usize == i);
            all[i] = TABLE[i].0;
            i += 1;
        }
        all
    };

    /// This ending's line of the table.
    pub fn row(self) -> Row {
        let (_, word, status, close, title) = TABLE[self as usize];
        Row {
            word,
            status: (status != 0).then_some(status),
            close: (close != 0).then_some(close),
            title,
        }
    }

    /// The word used in logs and metrics.
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// Whether the same request may succeed later, so that a `Retry-After` makes sense.
    pub fn is_later(self) -> bool {
        matches!(
            self,
            Reason::Busy
                | Reason::RateLimited
                | Reason::KeysUnavailable
                | Reason::StoreUnavailable
                | Reason::Draining
                | Reason::UpstreamBusy
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_unique_and_fit_a_metric_label() {
        let words: HashSet<_> = Reason::ALL.iter().map(|r| r.word()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(
            words.iter().all(|w| {
                w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !w.is_empty()
            })
        );
    }

    #[test]
    fn every_reason_has_a_status_or_a_close_code_and_none_is_forbidden_on_the_wire() {
        for reason in Reason::ALL {
            let row = reason.row();
            assert!(row.status.is_some() || row.close.is_some(), "{reason}");
            if let Some(code) = row.close {
                assert!(!matches!(code, 1004 | 1005 | 1006 | 1015), "{reason}");
                assert!((1000..=1014).contains(&code) || (3000..5000).contains(&code));
                assert!(
                    row.title.len() <= 123,
                    "{reason} does not fit a close frame"
                );
            }
        }
    }
}
