//! Settings as the program needs them: plain data, complete and judged.
//!
//! [`Boot`] is what a restart is needed for, [`Live`] is the rest. Files with secrets and
//! certificates have been read; whoever holds a [`Settings`] needs no disk. Everything that is
//! wrong is told at once.

mod env;
mod file;
mod limits;
mod phone;
mod resolve;
mod show;
mod store;
mod upstream;
mod variables;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jsonwebtoken::Algorithm;

pub use self::env::{Environment, log_filter};
pub use self::file::Unusable;
pub use self::limits::{Limits, Rate, RouteLimits};
pub use self::phone::{
    Ani, Bridge, Calls, CodeLength, Dialled, Feeds, Flow, Gate, KnownBy, Phone, Prompts,
    VoiceSession,
};
pub use self::store::{
    Engine, KeyForms, Layout, Login, Piece, REDIS_SCOPE, Redis, Store, Template,
};
pub use self::upstream::{
    ApiVersions, Credential, IdentitySource, KeyHeader, Kind, ManagedIdentity, Roots, Service,
    Target, Upstream, VOICE_LIVE_AUDIENCES,
};

use crate::label::Label;
use crate::secret::{Digest, Secret};

/// Everything that was set, with every default filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    pub boot: Boot,
    pub live: Live,
    /// What whoever wrote them should know: what has no effect, or not the one it had.
    pub notices: Vec<String>,
}

/// What is fixed while the process lives.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics and probes are served.
    pub admin: SocketAddr,
    /// Threads that carry sessions.
    pub workers: usize,
    /// `None`: plain HTTP.
    pub identity: Option<Identity>,
    /// Where session keys and the records of calls are.
    pub store: Store,
}

/// A certificate chain with its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    pub chain_pem: String,
    pub key_pem: Secret,
}

/// What may change while the process lives.
#[derive(Clone, Debug)]
pub struct Live {
    pub limits: Limits,
    /// `None`: whoever connects is the client.
    pub hops: Option<Hops>,
    pub keys: Vec<ApiKey>,
    pub issuers: Vec<Issuer>,
    pub upstreams: Vec<Upstream>,
    pub routes: Vec<Route>,
}

/// Proxies in front of the edge whose word on the client is believed.
#[derive(Clone, Debug)]
pub struct Hops {
    /// Where they connect from.
    pub networks: Vec<IpNet>,
    pub speak: Speak,
    /// Entra tenants (GUIDs, lower case) whose principals may enter by `easyauth`; empty: all that
    /// the platform signs in.
    pub tenants: Vec<String>,
}

impl Hops {
    /// Whether a hop has this address.
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

/// How hops say who the client is. One of the two: where a hop does not read HTTP, its headers are
/// the client's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speak {
    /// In headers of the request: `X-Forwarded-For`, and those of EasyAuth.
    Http,
    /// In a PROXY protocol header before anything else.
    Proxy,
}

/// A key that applications present; only its digest is known here.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub name: Label,
    pub digest: Digest,
    /// Routes it opens; empty: all that admit keys.
    pub routes: Vec<Label>,
    /// Models it may ask for; empty: all of the route.
    pub models: Vec<Model>,
    /// Agents it may ask for; empty: all of the route.
    pub agents: Vec<Label>,
    /// Sessions at a time.
    pub sessions: Option<usize>,
    /// Upgrades.
    pub upgrades: Option<Rate>,
}

/// The name of a model: 1 to 64 characters of `a-z A-Z 0-9 . _ -`, so that it stands in a URL
/// as it is.
pub type Model = Label;

/// Who signs tokens, and what a good token of theirs says.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub name: Label,
    pub kind: IssuerKind,
    /// Whom tokens must be for: one of these, to the letter.
    pub audience: Vec<String>,
    /// Asymmetric ones only.
    pub algorithms: Vec<Algorithm>,
    pub keys: KeySource,
    pub roots: Roots,
    /// One of these in `scp`, or one of `roles`; if both are empty the audience is enough.
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    /// Applications that tokens may have been given to (`azp`, `appid`, `client_id`); empty: any.
    pub clients: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// How an issuer names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// Microsoft Entra ID, tokens of version 1.0 and 2.0 of these tenants (GUIDs, lower case).
    Entra {
        authority: String,
        tenants: Vec<String>,
    },
    /// One `iss`, to the letter.
    Oidc { issuer: String },
}

/// Where the keys of an issuer are published; `https` URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An OpenID provider document that names the keys' place.
    Metadata(String),
    /// The keys themselves.
    Jwks(String),
}

/// A set of paths with one admission decision.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: Label,
    pub kind: Kind,
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
    /// Names of upstreams, tried in this order.
    pub upstreams: Vec<Label>,
}

/// What it takes to enter a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enter {
    /// Any of these.
    Any(Vec<Way>),
    /// All of these.
    All(Vec<Way>),
}

impl Enter {
    pub fn ways(&self) -> &[Way] {
        match self {
            Enter::Any(ways) | Enter::All(ways) => ways,
        }
    }
}

/// One way to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// One of the `[[keys]]`.
    Key,
    /// A token of this issuer.
    Issuer(Label),
    /// Whom App Service or Container Apps signed in, as a hop says (EasyAuth).
    EasyAuth,
    /// Whoever asks.
    Anyone,
}

/// Where a credential may sit in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer`, `api-key`.
    Header,
    /// `token`, `authorization`, `api-key`.
    Query,
    Cookie,
    /// `openai-insecure-api-key.KEY`, `authorization.bearer.TOKEN`, `bearer.TOKEN`.
    Subprotocol,
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

impl Settings {
    /// Reads and judges settings files, later ones winning, with the variables of the process.
    pub fn read(paths: &[PathBuf]) -> Result<Settings, Unusable> {
        Settings::read_in(paths, &Environment::process())
    }

    /// The same with variables from elsewhere.
    pub fn read_in(paths: &[PathBuf], variables: &Environment) -> Result<Settings, Unusable> {
        resolve::resolve(file::read(paths, variables)?, variables)
    }

    /// Settings from variables alone, under the names of the old Node proxy.
    pub fn of_variables(variables: &Environment) -> Result<Settings, Unusable> {
        let written = variables::write(variables);
        let file = file::of_table("the variables", written.table, variables)?;
        match (resolve::resolve(file, variables), written.problems) {
            (Ok(settings), told) if told.is_empty() => Ok(Settings {
                notices: written.notices,
                ..settings
            }),
            (Ok(_), told) => Err(Unusable::Problems(told)),
            (Err(Unusable::Problems(found)), told) => {
                let problems = variables::rename(found, told, variables);
                Err(Unusable::Problems(problems))
            }
            (Err(other), _) => Err(other),
        }
    }

    /// Settings from a text; `name` stands for the file name in messages.
    pub fn read_text(name: &str, text: &str) -> Result<Settings, Unusable> {
        let variables = Environment::process();
        resolve::resolve(file::read_text(name, text, &variables)?, &variables)
    }

    /// The JSON schema of a settings file.
    pub fn schema() -> String {
        file::schema()
    }

    /// What would run, for people; secrets are masked.
    pub fn describe(&self) -> String {
        show::describe(self)
    }
}
