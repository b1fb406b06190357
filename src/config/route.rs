//! Routes: paths, one admission decision each, and where they lead.

use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::acs::{CallApi, EventGrid};
use super::enter::{Enter, Place, Way};
use super::page::Page;
use super::phone::{Bridge, Phone};
use super::pii::Pii;
use super::rewrite::{Names, Rewrite};
use super::session_api::SessionApi;
use super::sessions::See;
use super::ticket::{RouteTickets, TicketDesk};
use super::upstream::Kind;
use super::{Model, RouteLimits};
use crate::ids::CallId;
use crate::label::Label;

/// A set of paths with one admission decision.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: Label,
    pub kind: RouteKind,
    /// Whole paths; of calls those that end in `/{call}`; of private applications also all paths below
    /// one, which end in `/*`.
    pub paths: Vec<String>,
    pub enter: Enter,
    pub accept: Vec<Place>,
    /// The cookie that holds a credential, where cookies are accepted.
    pub cookie: String,
    /// Web pages whose scripts may connect, as browsers name them in `Origin`; empty: none.
    pub origins: Vec<String>,
    /// Whether a client that sends no `Origin`, hence no browser, may connect.
    pub without_origin: bool,
    /// Networks that may connect; empty: all.
    pub allow: Vec<IpNet>,
    /// Networks that may not, whatever `allow` says.
    pub deny: Vec<IpNet>,
    pub limits: RouteLimits,
    /// Models that may be asked for; the first is the default.
    pub models: Vec<Model>,
    /// Whether a message of the client that names a model off the list ends the session.
    pub lock_models: bool,
    pub dtmf: Dtmf,
    /// Agents that may be asked for, and the projects they are in; the first are the defaults.
    pub agents: Vec<Label>,
    pub projects: Vec<Label>,
    /// Who names neither a model nor an agent gets the agent, if there are both.
    pub agent_first: bool,
    /// Agents may be asked for without a token: all upstreams are shown one of the edge's own.
    pub own_token: bool,
    /// Parameters of agents whose values clients choose freely.
    pub pass: Vec<Pass>,
    /// Client ids of identities that agents may be asked to use, and resources they may be taken
    /// from.
    pub identities: Vec<Label>,
    pub resources: Vec<Label>,
    /// Versions that clients may choose; empty: what they choose goes no further.
    pub api_versions: Vec<Label>,
    /// Whether the control channel of WebRTC may be opened.
    pub web_rtc: bool,
    /// Parameters that clients of a relay may give; they go on by the same names.
    pub parameters: Vec<Parameter>,
    /// Subprotocols that may be agreed on.
    pub subprotocols: Vec<String>,
    pub refuse: Refuse,
    pub tickets: RouteTickets,
    /// Whether an upstream is dialled while the store is still asked whether shared limits have room:
    /// whoever has shown what it takes to enter, and finds none, has then had it dialled in vain.
    pub dial_early: bool,
    /// Names of upstreams, tried in this order.
    pub upstreams: Vec<Label>,
}

impl Route {
    /// Whether tickets mean something here, asked for or observed.
    pub fn takes_tickets(&self) -> bool {
        self.tickets.observe || self.enter.ways().contains(&Way::Ticket)
    }

    /// The id that a path of the route ends in, if it is one that does.
    pub fn item(&self, path: &str) -> Option<CallId> {
        let path = self
            .refreshed(path)
            .or_else(|| self.tailed(path))
            .unwrap_or(path);
        let whole = self.paths.iter().any(|known| known == path);
        let (_, id) = path.rsplit_once('/')?;
        let ends = self.kind.is_by_call() || self.kind.has_items() && !whole;
        CallId::new(id).filter(|_| ends)
    }

    /// What stands before [`REFRESH`] in a path that has a session last longer.
    pub fn refreshed<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.session(path, REFRESH)
    }

    /// What stands before [`TAIL`] in a path that tells of a session as it goes on.
    pub fn tailed<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.session(path, TAIL)
    }

    fn session<'a>(&self, path: &'a str, end: &str) -> Option<&'a str> {
        let item = path.strip_suffix(end)?;
        let (folder, _) = item.rsplit_once('/')?;
        let ours = matches!(self.kind, RouteKind::Sessions(_));
        let below = self.paths.iter().any(|known| known == folder);
        (ours && below).then_some(item)
    }
}

/// How the paths of calls end: the last segment is the call's id.
pub const CALL: &str = "/{call}";
/// How the paths end that have a session last longer.
pub const REFRESH: &str = "/refresh";
/// How the paths end that tell of a session as it goes on.
pub const TAIL: &str = "/tail";
/// How the paths end that lead to all below them.
pub const BELOW: &str = "/*";
/// Where the public keys of assertions are, if the edge signs some: no route has this path.
pub const JWKS: &str = "/.well-known/jwks.json";
/// The parameter of the query that holds a call's secret.
pub const CALL_SECRET: &str = "s";

/// What a route speaks with its clients.
#[derive(Clone, Debug)]
pub enum RouteKind {
    /// What its upstreams serve, which is Voice Live.
    VoiceLive,
    /// Whatever its upstreams serve.
    Relay,
    /// The media streaming of Azure Communication Services, which dials us for each call.
    AcsMedia(Arc<Phone>),
    /// Events of Event Grid, which posts them: calls that ring are answered.
    EventGrid(Arc<EventGrid>),
    /// What Call Automation posts of calls that were answered or made.
    AcsCallback,
    /// Calls are made for whoever asks, who may then look at them and end them.
    CallApi(Arc<CallApi>),
    /// Requests go on to a private application.
    Http(Arc<Http>),
    /// Activities of the Bot Connector go on to a private application.
    Bot(Arc<BotRoute>),
    /// Other clouds write the session keys of calls that they hand over.
    SessionApi(Arc<SessionApi>),
    /// The bot writes to people whom it has met, for whoever asks.
    Notify,
    /// Tickets are handed out, for routes that take them.
    Tickets(Arc<TicketDesk>),
    /// Whoever asks is told of sessions that run, and may end them and have them last longer.
    Sessions(See),
    /// A page for people, of the edge's own.
    Page(Arc<Page>),
}

/// What goes on to a private application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub methods: Vec<Method>,
    /// What becomes of fields that say who asks, and of headers.
    pub rewrite: Rewrite,
    /// Where requests say whom they are about; those must be whom the caller may see.
    pub names: Option<Names>,
    /// What is taken out of bodies; `None`: nothing.
    pub pii: Option<Pii>,
    /// Whether WebSockets may be opened.
    pub web_socket: bool,
    /// Whether the application is told whom the caller may see, and nobody passes who may see nobody.
    pub scope: bool,
    /// Whom the edge's assertion is for; `None`: none is sent.
    pub assert: Option<String>,
}

/// What goes on of the Bot Connector's activities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotRoute {
    /// Headers of the connector that go on, beside those that say what is sent and what is taken.
    pub pass: Vec<HeaderName>,
    /// What is taken out of activities; `None`: nothing, so that they go on as they came.
    pub pii: Option<Pii>,
    /// Whom the edge's assertion is for; `None`: none is sent.
    pub assert: Option<String>,
    /// Whether the application is told whom the person may see.
    pub scope: bool,
    /// What people of other tenants are told; `None`: nothing.
    pub refusal: Option<String>,
    /// What people write who want no more messages that the bot sends of its own accord, and who want
    /// them again: in lower case.
    pub quiet: Vec<String>,
    pub speak: Vec<String>,
}

impl RouteKind {
    /// What its upstreams must serve; `None`: it has none, as the edge itself answers.
    pub fn upstream(&self) -> Option<Kind> {
        match self {
            RouteKind::VoiceLive => Some(Kind::VoiceLive),
            RouteKind::Relay => Some(Kind::Relay),
            RouteKind::AcsMedia(phone) => Some(match phone.bridge {
                Bridge::VoiceLive(_) => Kind::VoiceLive,
                Bridge::Verbatim => Kind::Relay,
            }),
            RouteKind::Http(_) | RouteKind::Bot(_) => Some(Kind::Http),
            RouteKind::EventGrid(_)
            | RouteKind::AcsCallback
            | RouteKind::CallApi(_)
            | RouteKind::SessionApi(_)
            | RouteKind::Tickets(_)
            | RouteKind::Notify
            | RouteKind::Sessions(_)
            | RouteKind::Page(_) => None,
        }
    }

    /// Whether requests are answered by the edge itself, and no session begins.
    pub fn is_answered(&self) -> bool {
        self.upstream().is_none()
    }

    /// Whether its paths end in the id of a call.
    pub fn is_by_call(&self) -> bool {
        match self {
            RouteKind::AcsMedia(_) | RouteKind::AcsCallback => true,
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::EventGrid(_)
            | RouteKind::Http(_)
            | RouteKind::Bot(_)
            | RouteKind::CallApi(_)
            | RouteKind::SessionApi(_)
            | RouteKind::Tickets(_)
            | RouteKind::Notify
            | RouteKind::Page(_)
            | RouteKind::Sessions(_) => false,
        }
    }

    /// Whether its requests may have bodies.
    pub fn has_bodies(&self) -> bool {
        self.is_answered() || matches!(self, RouteKind::Http(_) | RouteKind::Bot(_))
    }

    /// Whether below each of its paths lie paths that end in an id, or in the name of a part of a page.
    pub fn has_items(&self) -> bool {
        match self {
            RouteKind::CallApi(_)
            | RouteKind::SessionApi(_)
            | RouteKind::Sessions(_)
            | RouteKind::Page(_) => true,
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::AcsMedia(_)
            | RouteKind::Http(_)
            | RouteKind::Bot(_)
            | RouteKind::EventGrid(_)
            | RouteKind::Notify
            | RouteKind::Tickets(_)
            | RouteKind::AcsCallback => false,
        }
    }

    /// What becomes of calls, where clients are calls.
    pub fn phone(&self) -> Option<&Arc<Phone>> {
        match self {
            RouteKind::AcsMedia(phone) => Some(phone),
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::EventGrid(_)
            | RouteKind::AcsCallback
            | RouteKind::CallApi(_)
            | RouteKind::Http(_)
            | RouteKind::Bot(_)
            | RouteKind::Notify
            | RouteKind::Tickets(_)
            | RouteKind::Sessions(_)
            | RouteKind::Page(_)
            | RouteKind::SessionApi(_) => None,
        }
    }

    /// Whether `--insecure-dev` opens it: behind it is a private application.
    pub fn is_for_developers(&self) -> bool {
        self.http().is_some() || self.bot().is_some()
    }

    /// What goes on, where requests go on to a private application.
    pub fn http(&self) -> Option<&Arc<Http>> {
        match self {
            RouteKind::Http(http) => Some(http),
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::AcsMedia(_)
            | RouteKind::EventGrid(_)
            | RouteKind::AcsCallback
            | RouteKind::CallApi(_)
            | RouteKind::Bot(_)
            | RouteKind::Notify
            | RouteKind::Tickets(_)
            | RouteKind::Sessions(_)
            | RouteKind::Page(_)
            | RouteKind::SessionApi(_) => None,
        }
    }

    /// What goes on of activities, where they do.
    pub fn bot(&self) -> Option<&Arc<BotRoute>> {
        match self {
            RouteKind::Bot(bot) => Some(bot),
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::AcsMedia(_)
            | RouteKind::EventGrid(_)
            | RouteKind::AcsCallback
            | RouteKind::CallApi(_)
            | RouteKind::Http(_)
            | RouteKind::Notify
            | RouteKind::Tickets(_)
            | RouteKind::Sessions(_)
            | RouteKind::Page(_)
            | RouteKind::SessionApi(_) => None,
        }
    }

    /// As the settings write it.
    pub fn word(&self) -> &'static str {
        match self {
            RouteKind::VoiceLive => Kind::VoiceLive.word(),
            RouteKind::Relay => Kind::Relay.word(),
            RouteKind::AcsMedia(_) => "acs-media",
            RouteKind::EventGrid(_) => "event-grid",
            RouteKind::AcsCallback => "acs-callback",
            RouteKind::CallApi(_) => "call-api",
            RouteKind::Http(_) => "http",
            RouteKind::Bot(_) => "bot",
            RouteKind::SessionApi(_) => "session-api",
            RouteKind::Notify => "notify",
            RouteKind::Tickets(_) => "tickets",
            RouteKind::Sessions(_) => "sessions",
            RouteKind::Page(_) => "page",
        }
    }
}

/// A parameter of the query that goes on to the upstream of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: Label,
    /// What it may say; empty: any name.
    pub values: Vec<Label>,
}

/// A parameter of agents that goes on with the client's own value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// `conversation-id`: a conversation goes on.
    Conversation,
    /// `agent-version`.
    Version,
}

impl Pass {
    /// As the settings and the upstream name it.
    pub fn word(self) -> &'static str {
        match self {
            Pass::Conversation => "conversation-id",
            Pass::Version => "agent-version",
        }
    }
}

/// How a client is told that it may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuse {
    /// An HTTP status.
    Status,
    /// `101`, an error message, a close code: browsers show scripts no status.
    Close,
}

/// What is done about keys in the audio of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtmf {
    /// Nobody listens.
    #[default]
    Off,
    /// They are heard and counted; what crosses is the same.
    Observe,
}
