//! What came of a ticket, in the words of the metrics, and how a refusal of it is told.

use crate::admission::Denied;
use crate::admission::jwt::forbidden;
use crate::error::Reason;

/// What came of a ticket. The list is closed: it is a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was spent.
    Ok,
    /// None was shown where one is needed.
    Missing,
    /// Not signed by a key of the settings, malformed, for somebody else, or too long-lived.
    Invalid,
    Expired,
    /// A claim is not there that the route asks for.
    Unbound,
    WrongOrigin,
    WrongRoute,
    /// Or another agent.
    WrongModel,
    WrongCall,
    /// Another credential beside it names somebody else.
    WrongSubject,
    /// It was used before.
    Spent,
    /// The store did not say whether it was.
    Unavailable,
}

impl Outcome {
    pub const ALL: [Outcome; 12] = [
        Outcome::Ok,
        Outcome::Missing,
        Outcome::Invalid,
        Outcome::Expired,
        Outcome::Unbound,
        Outcome::WrongOrigin,
        Outcome::WrongRoute,
        Outcome::WrongModel,
        Outcome::WrongCall,
        Outcome::WrongSubject,
        Outcome::Spent,
        Outcome::Unavailable,
    ];

    /// The word in the metrics.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Missing => "missing",
            Outcome::Invalid => "invalid",
            Outcome::Expired => "expired",
            Outcome::Unbound => "unbound",
            Outcome::WrongOrigin => "wrong_origin",
            Outcome::WrongRoute => "wrong_route",
            Outcome::WrongModel => "wrong_model",
            Outcome::WrongCall => "wrong_call",
            Outcome::WrongSubject => "wrong_subject",
            Outcome::Spent => "spent",
            Outcome::Unavailable => "unavailable",
        }
    }
}

/// Why a ticket opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admission) struct Flaw {
    pub(in crate::admission) outcome: Outcome,
    pub(in crate::admission) detail: &'static str,
}

impl Flaw {
    pub(in crate::admission) fn invalid(detail: &'static str) -> Flaw {
        Flaw::of(Outcome::Invalid, detail)
    }

    pub(super) fn expired(detail: &'static str) -> Flaw {
        Flaw::of(Outcome::Expired, detail)
    }

    pub(in crate::admission) fn missing() -> Flaw {
        let detail = "a ticket is needed, in a place that this route accepts";
        Flaw::of(Outcome::Missing, detail)
    }

    pub(super) fn of(outcome: Outcome, detail: &'static str) -> Flaw {
        Flaw { outcome, detail }
    }

    /// 401 where another ticket would do, 403 where this one was meant for something else.
    pub(in crate::admission) fn denied(self) -> Denied {
        match self.outcome {
            Outcome::Missing => Denied::new(Reason::Unauthenticated, self.detail),
            Outcome::Unbound
            | Outcome::WrongOrigin
            | Outcome::WrongRoute
            | Outcome::WrongModel
            | Outcome::WrongCall
            | Outcome::WrongSubject => forbidden(self.detail),
            Outcome::Ok
            | Outcome::Invalid
            | Outcome::Expired
            | Outcome::Spent
            | Outcome::Unavailable => Denied::invalid_token(self.detail),
        }
    }
}
