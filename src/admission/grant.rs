//! What an admission comes to.

use std::sync::Arc;
use std::time::SystemTime;

use super::Reserved;
use super::bot::Vouched;
use super::call::Calling;
use super::holder::Holder;
use super::limit::Taken;
use super::once::Once;
use super::subject::Subject;
use super::ticket::Spendable;
use super::wish::Wish;
use crate::config::Model;
use crate::ids::{EntraId, SessionId};
use crate::label::Label;
use crate::secret::Secret;
use crate::upstream::{Ask, Caller, Want};

/// Leave to open one session. Only [`Admission::decide`](super::Admission::decide) makes one.
///
/// It holds the slots that the session takes; dropping it gives them back.
#[derive(Debug)]
pub struct Grant {
    pub(super) holder: Arc<Holder>,
    pub(super) person: Option<(EntraId, EntraId)>,
    pub(super) ask: Ask,
    /// The token to show upstream, where it is meant for it.
    pub(super) token: Option<Secret>,
    pub(super) call: Option<Calling>,
    /// What the token of the Bot Connector proves.
    pub(super) vouched: Option<Arc<Vouched>>,
    pub(super) once: Option<Once>,
    pub(super) ticket: Option<Spendable>,
    /// Models that messages of the client may name; `None`: messages are not looked at.
    pub(super) locked: Option<Arc<[Model]>>,
    pub(super) ends: Ends,
    /// Parameters of the query that go no further.
    pub(super) dropped_parameters: u64,
    /// What is to be had of the limits that edges share, and what is held of them.
    pub(super) wishes: Vec<Wish>,
    pub(super) _reserved: Option<Reserved>,
    pub(super) _slots: Taken,
}

/// What a session that has somebody to talk to keeps of its grant: what it takes away from others.
/// Dropping it gives that back.
#[derive(Debug)]
pub struct Claim {
    _reserved: Option<Reserved>,
    _slots: Taken,
}

/// When credentials end, leeway included; none: they do not end by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The one that names the subject.
    pub of_subject: Option<SystemTime>,
    /// The first of those that were shown beside it.
    pub of_others: Option<SystemTime>,
}

impl Ends {
    /// When the first of them ends.
    pub fn first(self) -> Option<SystemTime> {
        let both = [self.of_subject, self.of_others];
        both.into_iter().flatten().min()
    }
}

impl Grant {
    /// It has its part of the limits that edges share.
    pub fn hold(self, reserved: Option<Reserved>) -> Grant {
        Grant {
            _reserved: reserved,
            ..self
        }
    }

    /// Nobody is to be dialled for it any more. The caller's token goes with the rest.
    pub fn settle(self) -> Claim {
        Claim {
            _reserved: self._reserved,
            _slots: self._slots,
        }
    }

    pub fn subject(&self) -> &Subject {
        &self.holder.subject
    }

    /// By what it may be taken back.
    pub fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// What the session wants of an upstream.
    pub fn want<'a>(&'a self, route: &'a Label, session: SessionId) -> Want<'a> {
        let subject = self.subject();
        let (tenant, name) = subject.names();
        let (way, tenant, subject) = match subject {
            Subject::Key(name) => ("key", None, Some(name.as_str())),
            Subject::Token {
                issuer,
                tenant,
                name,
            } => (issuer.as_str(), tenant.as_deref(), Some(name.as_str())),
            Subject::Certificate(name) => ("certificate", None, Some(name.as_str())),
            Subject::EasyAuth { tenant, name } => {
                ("easyauth", Some(tenant.as_str()), Some(name.as_str()))
            }
            Subject::Call { issuer, call } => (issuer.as_str(), None, Some(call.as_str())),
            Subject::Ticket { .. } | Subject::Holder(_) => ("ticket", tenant, name),
            Subject::Anyone => ("anyone", None, None),
            Subject::Developer { tenant, user } => {
                ("insecure-dev", Some(tenant.as_str()), Some(user.as_str()))
            }
        };
        Want {
            ask: &self.ask,
            token: self.token.as_ref(),
            caller: Caller {
                route,
                session,
                way,
                tenant,
                subject,
            },
            through: None,
            traced: None,
            part: None,
        }
    }

    /// The tenant and the id in Entra of the person whom the credential names, if it names one.
    pub fn person(&self) -> Option<&(EntraId, EntraId)> {
        self.person.as_ref()
    }

    /// The call that is to be streamed, on routes of calls; there it is always one.
    pub fn call(&self) -> Option<&Calling> {
        self.call.as_ref()
    }

    /// What is to be spent, where the token is good for one request.
    pub fn once(&self) -> Option<Once> {
        self.once
    }

    /// The ticket that is to be spent before anything is dialled.
    pub fn ticket(&self) -> Option<Spendable> {
        self.ticket
    }

    pub fn locked(&self) -> Option<Arc<[Model]>> {
        self.locked.clone()
    }

    /// When what was shown ends, and the session's lease with it.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    pub fn dropped_parameters(&self) -> u64 {
        self.dropped_parameters
    }
}
