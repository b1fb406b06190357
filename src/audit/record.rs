//! One record: which fields there are, and what may stand in them.
//!
//! The schema is closed: [`FIELDS`](super::FIELDS) is the whole list. What stands in a record is a name from the
//! settings, an id in its grammar, a number, a closed word, a fixed sentence, or whom admission has
//! recognised. There is no way in for anything else that a peer sent: no path, no query, no header, no
//! digit, no text.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::line::Line;
use crate::error::{Reason, Side};
use crate::ids::{CallId, EntraId, ForeignId, SessionId};
use crate::label::Label;
use crate::trace::TraceId;

/// Longest `who` and `tenant` in bytes: an issuer, a tenant and a subject, each at its longest.
const NAME_MAX: usize = 600;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request that is no upgrade was decided.
    Request,
    /// An upgrade was decided: media may flow, or not.
    Upgrade,
    /// A gate was decided.
    Gate,
    /// A session has ended.
    Close,
    /// A line that a crash had torn was closed off.
    Repaired,
}

impl Event {
    pub fn word(self) -> &'static str {
        match self {
            Event::Request => "request",
            Event::Upgrade => "upgrade",
            Event::Gate => "gate",
            Event::Close => "close",
            Event::Repaired => "repaired",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny,
}

impl Decision {
    pub fn word(self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        }
    }
}

/// What somebody showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    Key,
    Certificate,
    Token,
    EasyAuth,
    /// The token of ACS and the secret of a call.
    Call,
    Ticket,
    /// Nothing, where nothing is asked for.
    Anyone,
    /// Nothing, by a developer where `--insecure-dev` lets them in.
    Developer,
}

impl Credential {
    fn word(self) -> &'static str {
        match self {
            Credential::Key => "key",
            Credential::Certificate => "certificate",
            Credential::Token => "token",
            Credential::EasyAuth => "easyauth",
            Credential::Call => "call",
            Credential::Ticket => "ticket",
            Credential::Anyone => "anyone",
            Credential::Developer => "insecure-dev",
        }
    }
}

/// By what something was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A token of this issuer.
    Issuer(Label),
    /// Another way in, by its word in the settings.
    Way(&'static str),
}

impl Rule {
    fn as_str(&self) -> &str {
        match self {
            Rule::Issuer(name) => name.as_str(),
            Rule::Way(word) => word,
        }
    }
}

/// Whom admission has recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    name: String,
    credential: Credential,
    tenant: Option<String>,
    user: Option<EntraId>,
    rule: Rule,
}

impl Who {
    /// `name` is the one in the log, `rule` the way by which they entered.
    pub fn new(credential: Credential, name: impl Display, rule: Rule) -> Who {
        Who {
            name: short(name.to_string()),
            credential,
            tenant: None,
            user: None,
            rule,
        }
    }

    /// The same one, who has shown a ticket for it this time.
    pub fn by_ticket(self) -> Who {
        Who {
            credential: Credential::Ticket,
            rule: Rule::Way("ticket"),
            ..self
        }
    }

    /// Somebody of a tenant; `name` is their object id, if it has the form of one.
    pub fn of_tenant(self, tenant: &str, name: &str) -> Who {
        Who {
            tenant: Some(short(tenant.to_owned())),
            user: EntraId::new(name),
            ..self
        }
    }
}

fn short(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME_MAX));
    name
}

/// The ids of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub call: CallId,
    pub connection: Option<ForeignId>,
    pub correlation: Option<ForeignId>,
}

/// What is known of whoever asks; more of it the later a request is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub who: Option<Who>,
    pub call: Option<Call>,
    pub message: Option<Message>,
}

/// A message that somebody has the bot send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whom it is for, as whoever asks names them.
    pub tenant: EntraId,
    pub user: EntraId,
    /// What became of it, in a word; `None`: it was not tried.
    pub outcome: Option<&'static str>,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

impl Client {
    fn text(self) -> String {
        match self.port {
            Some(port) => SocketAddr::from((self.ip, port)).to_string(),
            None => self.ip.to_string(),
        }
    }
}

/// A request on a route.
#[derive(Clone, Debug)]
pub struct Asked {
    /// [`Event::Request`] or [`Event::Upgrade`].
    pub event: Event,
    pub route: Label,
    pub method: &'static str,
    /// As the settings write it, never as it was asked for.
    pub path: String,
    pub client: Client,
    /// Drawn for this request.
    pub request: SessionId,
    /// What it is part of.
    pub trace: Option<TraceId>,
}

/// What a request has come to.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    Allowed {
        status: u16,
        /// The session that begins.
        session: Option<SessionId>,
    },
    Denied {
        reason: Reason,
        detail: &'static str,
        /// `None`: nobody is there to be told one.
        status: Option<u16>,
    },
}

/// A session that begins, is decided on, or has ended.
#[derive(Clone, Debug)]
pub struct Session {
    pub session: SessionId,
    pub route: Label,
    pub known: Known,
    pub client: Client,
    pub trace: Option<TraceId>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub reason: Reason,
    pub by: Side,
    pub duration: Duration,
    /// Payload from the client and to it; `None`: nobody could count it.
    pub bytes: Option<[u64; 2]>,
}

/// A record, but for its number and its place in the chain.
pub struct Entry {
    pub(super) event: Event,
    pub(super) decision: Option<Decision>,
    /// The line from `"time"` to its end, without the line feed.
    pub(super) rest: Vec<u8>,
}

impl Entry {
    /// Of a request.
    pub fn decided(asked: &Asked, known: &Known, verdict: Verdict) -> Entry {
        let mut line = Line::of(asked.event, Some(&asked.route));
        line.who(known);
        let what = format!("{} {}", asked.method, asked.path);
        line.text("what", Some(&what));
        line.message(known);
        let (decision, session) = match verdict {
            Verdict::Allowed { status, session } => {
                let rule = known.who.as_ref().map(|who| who.rule.as_str());
                line.decision(Decision::Allow, rule.unwrap_or("preflight"));
                line.number("status", Some(status.into()));
                (Decision::Allow, session)
            }
            Verdict::Denied {
                reason,
                detail,
                status,
            } => {
                line.decision(Decision::Deny, reason.word());
                line.text("detail", Some(detail));
                line.number("status", status.map(u64::from));
                (Decision::Deny, None)
            }
        };
        line.text("client", Some(&asked.client.text()));
        line.text("request", Some(&asked.request.to_string()));
        line.text("session", session.map(|id| id.to_string()).as_deref());
        line.trace(asked.trace);
        line.call(known);
        line.entry(asked.event, Some(decision))
    }

    /// Of a gate; `refused` says why it did not open.
    pub fn gate(of: &Session, refused: Option<Reason>) -> Entry {
        let mut line = Line::of(Event::Gate, Some(&of.route));
        line.who(&of.known);
        let decision = match refused {
            None => {
                line.decision(Decision::Allow, "code");
                Decision::Allow
            }
            Some(reason) => {
                line.decision(Decision::Deny, reason.word());
                line.text("detail", Some(reason.row().title));
                Decision::Deny
            }
        };
        line.session(of);
        line.entry(Event::Gate, Some(decision))
    }

    /// Of a session's end.
    pub fn closed(of: &Session, closed: Closed) -> Entry {
        let mut line = Line::of(Event::Close, Some(&of.route));
        line.who(&of.known);
        line.session(of);
        let millis = closed.duration.as_millis();
        line.number(
            "duration_ms",
            Some(u64::try_from(millis).unwrap_or(u64::MAX)),
        );
        line.number("up_bytes", closed.bytes.map(|[up, _]| up));
        line.number("down_bytes", closed.bytes.map(|[_, down]| down));
        line.text("reason", Some(closed.reason.word()));
        line.text("ended_by", Some(closed.by.word()));
        line.entry(Event::Close, None)
    }

    /// Of bytes that are no record: how many, and their digest.
    pub(super) fn repaired(bytes: u64, digest: &str) -> Entry {
        let mut line = Line::of(Event::Repaired, None);
        line.number("torn_bytes", Some(bytes));
        line.text("torn", Some(digest));
        line.entry(Event::Repaired, None)
    }
}

/// What several kinds of records have in common.
impl Line {
    fn entry(self, event: Event, decision: Option<Decision>) -> Entry {
        Entry {
            event,
            decision,
            rest: self.end(),
        }
    }

    fn who(&mut self, known: &Known) {
        let Some(who) = &known.who else {
            return;
        };
        self.text("who", Some(&who.name));
        self.text("credential", Some(who.credential.word()));
        self.text("tenant", who.tenant.as_deref());
        self.text("user", who.user.as_ref().map(EntraId::as_str));
    }

    fn message(&mut self, known: &Known) {
        let Some(message) = &known.message else {
            return;
        };
        self.text("to_tenant", Some(message.tenant.as_str()));
        self.text("to_user", Some(message.user.as_str()));
        self.text("outcome", message.outcome);
    }

    fn decision(&mut self, decision: Decision, rule: &str) {
        self.text("decision", Some(decision.word()));
        self.text("rule", Some(rule));
    }

    fn session(&mut self, of: &Session) {
        self.text("client", Some(&of.client.text()));
        self.text("session", Some(&of.session.to_string()));
        self.trace(of.trace);
        self.call(&of.known);
    }

    fn trace(&mut self, trace: Option<TraceId>) {
        self.text("trace_id", trace.map(|id| id.to_string()).as_deref());
    }

    fn call(&mut self, known: &Known) {
        let Some(call) = &known.call else {
            return;
        };
        self.text("call", Some(call.call.as_str()));
        self.text(
            "connection",
            call.connection.as_ref().map(ForeignId::as_str),
        );
        self.text(
            "correlation",
            call.correlation.as_ref().map(ForeignId::as_str),
        );
    }
}
