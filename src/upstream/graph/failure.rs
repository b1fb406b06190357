//! Why it is not known who reports to somebody: kinds from a closed list, nothing that Graph said.

use std::time::Duration;

use http::StatusCode;

use crate::error::Reason;
use crate::upstream::fetch;

/// Why nothing is known. There is never a part of a list beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// The last answer's, if there was one.
    pub status: Option<StatusCode>,
    /// For the log.
    pub detail: &'static str,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection, or it ended before the answer.
    Unreachable,
    /// No answer in time, or Graph itself ran out of it.
    Timeout,
    /// It refuses the token, or there is none.
    Unauthorized,
    /// The edge may not read the directory: its identity lacks `User.Read.All`.
    Forbidden,
    /// There is no such person.
    NotFound,
    /// It wants fewer requests.
    Busy,
    /// It failed itself.
    Failed,
    /// It will not answer, whoever asks again.
    Refused,
    /// It answered what cannot be read, or what leads elsewhere.
    Malformed,
    /// There are more reports than are ever taken.
    TooMany,
}

impl Kind {
    /// The word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::Unauthorized => "unauthorized",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not_found",
            Kind::Busy => "busy",
            Kind::Failed => "failed",
            Kind::Refused => "refused",
            Kind::Malformed => "malformed",
            Kind::TooMany => "too_many",
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_passing(self) -> bool {
        match self {
            Kind::Unreachable | Kind::Timeout | Kind::Busy | Kind::Failed => true,
            Kind::Unauthorized
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Refused
            | Kind::Malformed
            | Kind::TooMany => false,
        }
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, detail: &'static str) -> Failure {
        Failure {
            kind,
            status: None,
            detail,
        }
    }

    /// What the status of an answer says that is not 200.
    pub(super) fn of_status(status: StatusCode) -> Failure {
        let (kind, detail) = match status {
            StatusCode::UNAUTHORIZED => (Kind::Unauthorized, "it refused the token"),
            StatusCode::FORBIDDEN => (Kind::Forbidden, "the edge may not read the directory"),
            StatusCode::NOT_FOUND => (Kind::NotFound, "it knows no such person"),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                (Kind::Busy, "it is at capacity")
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
                (Kind::Timeout, "it ran out of time itself")
            }
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY => {
                (Kind::Failed, "it failed")
            }
            _ => (Kind::Refused, "it refused"),
        };
        Failure {
            status: Some(status),
            ..Failure::new(kind, detail)
        }
    }

    /// What this is called where a request ends by it.
    pub fn reason(&self) -> Reason {
        match self.kind {
            Kind::Unreachable => Reason::UpstreamUnreachable,
            Kind::Timeout => Reason::UpstreamTimeout,
            Kind::Unauthorized | Kind::Forbidden => Reason::UpstreamUnauthorized,
            Kind::Busy => Reason::UpstreamBusy,
            Kind::NotFound | Kind::Failed | Kind::Refused | Kind::Malformed | Kind::TooMany => {
                Reason::UpstreamRefused
            }
        }
    }
}

impl From<fetch::Failed> for Failure {
    fn from(failed: fetch::Failed) -> Failure {
        match failed {
            fetch::Failed::Unreachable(detail) => Failure::new(Kind::Unreachable, detail),
            fetch::Failed::Late => Failure::new(Kind::Timeout, "no answer in time"),
            fetch::Failed::Cut => {
                Failure::new(Kind::Unreachable, "the answer is not HTTP, or was cut")
            }
            fetch::Failed::Status(status) => Failure::of_status(status),
            fetch::Failed::TooLarge => {
                Failure::new(Kind::Malformed, "the answer is longer than it may be")
            }
        }
    }
}

/// A failed attempt, and when Graph wants to be asked again.
pub(super) struct Attempt {
    pub(super) failure: Failure,
    pub(super) after: Option<Duration>,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Attempt {
        Attempt {
            failure,
            after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c12_only_what_may_pass_is_asked_again_and_no_redirect_is_followed() {
        let of = |code: u16| Failure::of_status(StatusCode::from_u16(code).unwrap());
        let again = (100..600).filter(|&code| of(code).kind.is_passing());
        assert_eq!(again.collect::<Vec<_>>(), [408, 429, 500, 502, 503, 504]);
        for code in [204, 301, 302, 307, 308, 400] {
            assert_eq!(of(code).kind, Kind::Refused);
        }
    }
}
