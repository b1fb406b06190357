//! Why a message was not sent: kinds from a closed list, nothing that the connector said.

use std::time::Duration;

use http::StatusCode;

use crate::error::Reason;

/// Why a message was not sent, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// The last answer's, if there was one.
    pub status: Option<StatusCode>,
    /// For the log.
    pub detail: &'static str,
    /// When the connector wants to be asked again.
    pub after: Option<Duration>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The conversation's service is not on the list: nothing was asked of it.
    Unlisted,
    /// Too many other messages are under way.
    Crowded,
    /// No connection.
    Unreachable,
    /// The connection ended after the message had been sent, before the answer.
    Lost,
    /// No answer in time, or the connector itself ran out of it.
    Timeout,
    /// It refuses the token, or there is none, or knows no such bot.
    Unauthorized,
    /// It does not let this bot write to this conversation.
    Forbidden(Forbidden),
    /// There is no such conversation, or no such activity in it, or no longer.
    NotFound,
    /// Something else was done to the conversation at the same time.
    PreconditionFailed,
    /// The message is larger than may be sent.
    TooLarge,
    /// It wants fewer messages.
    Throttled,
    /// It failed itself.
    Failed,
    /// It will not do it, whoever asks again.
    Refused,
}

/// Why a bot may not write, by the codes of Teams ("Status codes from bot conversational APIs").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// `MessageWritesBlocked`: the person blocked, muted or uninstalled the bot.
    WritesBlocked,
    /// `ConversationBlockedByUser`: the person, or a moderator of the channel, blocked it.
    BlockedByUser,
    /// `ForbiddenOperationException`: it is not installed for the person.
    NotInstalled,
    /// `BotNotInConversationRoster`: it is not, or no longer, a member of the conversation.
    NotInRoster,
    /// `BotDisabledByAdmin`: the tenant does not want it.
    DisabledByAdmin,
    /// `InvalidBotApiHost`: the conversation is in another cloud.
    WrongHost,
    /// `NotEnoughPermissions`.
    NotPermitted,
    /// Any other reason.
    Other,
}

impl Kind {
    /// The word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Unlisted => "unlisted",
            Kind::Crowded => "crowded",
            Kind::Unreachable => "unreachable",
            Kind::Lost => "lost",
            Kind::Timeout => "timeout",
            Kind::Unauthorized => "unauthorized",
            Kind::Forbidden(why) => why.word(),
            Kind::NotFound => "not_found",
            Kind::PreconditionFailed => "precondition_failed",
            Kind::TooLarge => "too_large",
            Kind::Throttled => "throttled",
            Kind::Failed => "failed",
            Kind::Refused => "refused",
        }
    }

    /// Whether the connector certainly did not take the message: sent again it is sent once.
    pub fn is_unsent(self) -> bool {
        match self {
            Kind::Lost | Kind::Timeout | Kind::Failed => false,
            Kind::Unlisted
            | Kind::Crowded
            | Kind::Unreachable
            | Kind::Unauthorized
            | Kind::Forbidden(_)
            | Kind::NotFound
            | Kind::PreconditionFailed
            | Kind::TooLarge
            | Kind::Throttled
            | Kind::Refused => true,
        }
    }

    /// Whether the same message may be taken a moment later, and was not taken now.
    pub(super) fn is_passing(self) -> bool {
        match self {
            Kind::Unreachable | Kind::PreconditionFailed | Kind::Throttled => true,
            Kind::Unlisted
            | Kind::Crowded
            | Kind::Lost
            | Kind::Timeout
            | Kind::Unauthorized
            | Kind::Forbidden(_)
            | Kind::NotFound
            | Kind::TooLarge
            | Kind::Failed
            | Kind::Refused => false,
        }
    }
}

impl Forbidden {
    fn word(self) -> &'static str {
        match self {
            Forbidden::WritesBlocked => "writes_blocked",
            Forbidden::BlockedByUser => "blocked_by_user",
            Forbidden::NotInstalled => "not_installed",
            Forbidden::NotInRoster => "not_in_roster",
            Forbidden::DisabledByAdmin => "disabled_by_admin",
            Forbidden::WrongHost => "wrong_host",
            Forbidden::NotPermitted => "not_permitted",
            Forbidden::Other => "forbidden",
        }
    }

    /// By a code of Teams.
    pub(super) fn of_code(code: &str) -> Option<Forbidden> {
        const CODES: [(&str, Forbidden); 7] = [
            ("MessageWritesBlocked", Forbidden::WritesBlocked),
            ("ConversationBlockedByUser", Forbidden::BlockedByUser),
            ("ForbiddenOperationException", Forbidden::NotInstalled),
            ("BotNotInConversationRoster", Forbidden::NotInRoster),
            ("BotDisabledByAdmin", Forbidden::DisabledByAdmin),
            ("InvalidBotApiHost", Forbidden::WrongHost),
            ("NotEnoughPermissions", Forbidden::NotPermitted),
        ];
        let mut known = CODES.into_iter();
        let (_, why) = known.find(|(known, _)| known.eq_ignore_ascii_case(code))?;
        Some(why)
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, detail: &'static str) -> Failure {
        Failure {
            kind,
            status: None,
            detail,
            after: None,
        }
    }

    /// What the status of an answer says that is not a success; `why` is what its body does.
    pub(super) fn of_status(status: StatusCode, why: Option<Forbidden>) -> Failure {
        let (kind, detail) = match (status, why) {
            (StatusCode::FORBIDDEN, why) => (
                Kind::Forbidden(why.unwrap_or(Forbidden::Other)),
                "the bot may not write there",
            ),
            // Of some conversations it says so with this status.
            (StatusCode::NOT_FOUND, Some(Forbidden::NotInRoster)) => (
                Kind::Forbidden(Forbidden::NotInRoster),
                "the bot may not write there",
            ),
            (StatusCode::NOT_FOUND, _) => (Kind::NotFound, "it knows no such conversation"),
            (StatusCode::UNAUTHORIZED, _) => (Kind::Unauthorized, "it refused the token"),
            (StatusCode::PRECONDITION_FAILED, _) => (
                Kind::PreconditionFailed,
                "the conversation was being changed",
            ),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => (Kind::TooLarge, "the message is too large"),
            (StatusCode::TOO_MANY_REQUESTS, _) => (Kind::Throttled, "it wants fewer messages"),
            (StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT, _) => {
                (Kind::Timeout, "it ran out of time itself")
            }
            _ if status.is_server_error() => (Kind::Failed, "it failed"),
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
            Kind::Unreachable | Kind::Lost => Reason::UpstreamUnreachable,
            Kind::Timeout => Reason::UpstreamTimeout,
            Kind::Unauthorized => Reason::UpstreamUnauthorized,
            Kind::Throttled | Kind::Crowded => Reason::UpstreamBusy,
            Kind::Unlisted
            | Kind::Forbidden(_)
            | Kind::NotFound
            | Kind::PreconditionFailed
            | Kind::TooLarge
            | Kind::Failed
            | Kind::Refused => Reason::UpstreamRefused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16) -> Kind {
        let status = StatusCode::from_u16(code).unwrap();
        Failure::of_status(status, None).kind
    }

    /// A message that may have been taken is not sent again.
    #[test]
    fn c24_only_what_was_certainly_not_taken_is_sent_again() {
        let again: Vec<u16> = (100..600).filter(|&code| of(code).is_passing()).collect();
        assert_eq!(again, [412, 429]);
        let unsent = |kinds: &[Kind]| kinds.iter().all(|kind| kind.is_unsent());
        assert!(unsent(&[Kind::Unreachable, of(412), of(429)]));
        for kind in [
            Kind::Lost,
            Kind::Timeout,
            of(408),
            of(500),
            of(502),
            of(503),
            of(504),
        ] {
            assert!(!kind.is_unsent() && !kind.is_passing(), "{kind:?}");
        }
        for code in [301, 307, 400, 409, 410] {
            assert_eq!(of(code), Kind::Refused);
        }
    }

    #[test]
    fn c24_every_code_of_teams_has_its_word() {
        let mut words = std::collections::BTreeSet::new();
        for code in [
            "MessageWritesBlocked",
            "conversationblockedbyuser",
            "ForbiddenOperationException",
            "BotNotInConversationRoster",
            "BotDisabledByAdmin",
            "InvalidBotApiHost",
            "NotEnoughPermissions",
        ] {
            let why = Forbidden::of_code(code).unwrap();
            let failure = Failure::of_status(StatusCode::FORBIDDEN, Some(why));
            assert_eq!(failure.kind, Kind::Forbidden(why));
            words.insert(failure.kind.word());
        }
        words.insert(of(403).word());
        assert_eq!(words.len(), 8);
        assert_eq!(Forbidden::of_code("Forbidden"), None);
        let roster = Forbidden::NotInRoster;
        let failure = Failure::of_status(StatusCode::NOT_FOUND, Some(roster));
        assert_eq!(failure.kind, Kind::Forbidden(roster));
        assert_eq!(of(404), Kind::NotFound);
    }
}
