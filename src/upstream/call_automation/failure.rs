//! Why Call Automation did not do what it was asked: kinds from a closed list, nothing that it said.

use std::time::Duration;

use http::StatusCode;

use crate::error::Reason;
use crate::upstream::fetch;

/// Why an operation failed.
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
    /// No answer in time, or the service itself ran out of it.
    Timeout,
    /// It refuses the key or the token, or there is no token.
    Unauthorized,
    /// There is no such call, or no longer.
    NotFound,
    /// It wants fewer requests.
    Busy,
    /// It failed itself.
    Failed,
    /// It will not do it, whoever asks again.
    Refused,
    /// It said yes in a way that cannot be read.
    Malformed,
}

impl Kind {
    /// The word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::Unauthorized => "unauthorized",
            Kind::NotFound => "not_found",
            Kind::Busy => "busy",
            Kind::Failed => "failed",
            Kind::Refused => "refused",
            Kind::Malformed => "malformed",
        }
    }

    /// Whether the same request may succeed a moment later. The statuses are those that Azure's own
    /// libraries ask again after: 408, 429, 500, 502, 503, 504.
    pub(super) fn is_passing(self) -> bool {
        match self {
            Kind::Unreachable | Kind::Timeout | Kind::Busy | Kind::Failed => true,
            Kind::Unauthorized | Kind::NotFound | Kind::Refused | Kind::Malformed => false,
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

    /// What the status of an answer says that is not a success.
    pub(super) fn of_status(status: StatusCode) -> Failure {
        let (kind, detail) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                (Kind::Unauthorized, "it refused the credential")
            }
            StatusCode::NOT_FOUND => (Kind::NotFound, "it knows no such call"),
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

    /// What this is called where a session or a request ends by it.
    pub fn reason(&self) -> Reason {
        match self.kind {
            Kind::Unreachable => Reason::UpstreamUnreachable,
            Kind::Timeout => Reason::UpstreamTimeout,
            Kind::Unauthorized => Reason::UpstreamUnauthorized,
            Kind::Busy => Reason::UpstreamBusy,
            Kind::NotFound | Kind::Failed | Kind::Refused | Kind::Malformed => {
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

/// A failed attempt, and when the service wants to be asked again.
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

    /// The list of Azure's own libraries, and no redirect among what is asked again.
    #[test]
    fn a05_only_what_may_pass_is_asked_again() {
        let again: Vec<u16> = (100..600)
            .filter(|&code| {
                let status = StatusCode::from_u16(code).unwrap();
                Failure::of_status(status).kind.is_passing()
            })
            .collect();
        assert_eq!(again, [408, 429, 500, 502, 503, 504]);
        for code in [301, 302, 307, 308] {
            let failure = Failure::of_status(StatusCode::from_u16(code).unwrap());
            assert_eq!(failure.kind, Kind::Refused);
        }
    }
}
