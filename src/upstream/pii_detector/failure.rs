//! Why it is not known what is personal: kinds from a closed list, nothing that the service said.

use http::StatusCode;

use crate::error::Reason;
use crate::upstream::fetch::Failed;

/// Why nothing is known. There is never a part of an answer beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// The answer's, if there was one.
    pub status: Option<StatusCode>,
    /// For the log and the problem document.
    pub detail: &'static str,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection, or it ended before the answer.
    Unreachable,
    Timeout,
    /// It refuses the credential, or there is none.
    Unauthorized,
    /// It wants fewer questions, or the edge asks as many as it may already.
    Busy,
    /// It failed itself.
    Failed,
    /// It will not answer, whoever asks again.
    Refused,
    /// It answered what cannot be read, or what is not about the texts.
    Malformed,
    /// There are more texts, or longer ones, than it is asked about.
    TooLarge,
}

impl Kind {
    /// The word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            Kind::Unauthorized => "unauthorized",
            Kind::Busy => "busy",
            Kind::Failed => "failed",
            Kind::Refused => "refused",
            Kind::Malformed => "malformed",
            Kind::TooLarge => "too_large",
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
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
                Kind::Unauthorized,
                "the detector of personal data refused the edge's credential",
            ),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                (Kind::Busy, "the detector of personal data is at capacity")
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => {
                (Kind::Timeout, "the detector of personal data took too long")
            }
            status if status.is_server_error() => {
                (Kind::Failed, "the detector of personal data failed")
            }
            _ => (Kind::Refused, "the detector of personal data refused"),
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
            Kind::Unauthorized => Reason::UpstreamUnauthorized,
            Kind::Busy => Reason::UpstreamBusy,
            Kind::Failed | Kind::Refused | Kind::Malformed => Reason::UpstreamRefused,
            Kind::TooLarge => Reason::TooLarge,
        }
    }
}

pub(super) const MALFORMED: Failure = Failure {
    kind: Kind::Malformed,
    status: None,
    detail: "the detector of personal data answered what is no answer",
};

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Failure {
        match failed {
            Failed::Unreachable(_) | Failed::Cut => Failure::new(
                Kind::Unreachable,
                "the detector of personal data cannot be reached, or ended too early",
            ),
            Failed::Late => {
                Failure::new(Kind::Timeout, "the detector of personal data took too long")
            }
            Failed::Status(status) => Failure::of_status(status),
            Failed::TooLarge => MALFORMED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c21_each_status_has_one_meaning() {
        for (status, kind, reason) in [
            (401, Kind::Unauthorized, Reason::UpstreamUnauthorized),
            (403, Kind::Unauthorized, Reason::UpstreamUnauthorized),
            (429, Kind::Busy, Reason::UpstreamBusy),
            (503, Kind::Busy, Reason::UpstreamBusy),
            (408, Kind::Timeout, Reason::UpstreamTimeout),
            (504, Kind::Timeout, Reason::UpstreamTimeout),
            (500, Kind::Failed, Reason::UpstreamRefused),
            (204, Kind::Refused, Reason::UpstreamRefused),
            (302, Kind::Refused, Reason::UpstreamRefused),
            (400, Kind::Refused, Reason::UpstreamRefused),
        ] {
            let failure = Failure::of_status(StatusCode::from_u16(status).unwrap());
            assert_eq!((failure.kind, failure.reason()), (kind, reason), "{status}");
        }
    }
}
