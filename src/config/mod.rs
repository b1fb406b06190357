//! Settings as the program needs them: plain data, complete and judged.
//!
//! [`Boot`] is what a restart is needed for, [`Live`] is the rest. Files with secrets and
//! certificates have been read; whoever holds a [`Settings`] needs no disk. Everything that is
//! wrong is told at once.

mod env;
mod file;
mod resolve;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jsonwebtoken::Algorithm;

pub use self::env::log_filter;
pub use self::file::Unusable;

use crate::label::Label;
use crate::secret::{Digest, Secret};

/// Everything that was set, with every default filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    pub boot: Boot,
    pub live: Live,
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
    pub keys: Vec<ApiKey>,
    pub issuers: Vec<Issuer>,
    pub upstreams: Vec<Upstream>,
    pub routes: Vec<Route>,
}

/// Bounds of the whole edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client sockets at a time; more are closed at once.
    pub connections: usize,
    /// Client sockets at a time that nobody has been admitted on yet; more are closed at once.
    pub unadmitted: usize,
    /// The same from one address, an IPv6 network of 64 bits counting as one.
    pub unadmitted_per_address: usize,
    /// Sessions at a time; more are answered 503.
    pub sessions: usize,
    /// Longest message of a client in bytes.
    pub client_message: u64,
    /// Longest message of an upstream in bytes.
    pub upstream_message: u64,
    /// From the accepted socket to the whole request head.
    pub handshake: Duration,
    /// Silence on a leg before it is pinged; twice that and it is lost.
    pub ping: Duration,
    /// Longest time without a data frame.
    pub idle: Duration,
    /// Longest duration of a session.
    pub session: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // Two sockets a session plus room for handshakes, under the usual descriptor limit
            // of 20,000 and more; `serve` warns if the process may not open that many.
            connections: 9_000,
            // A burst of reconnects fits; behind it TLS handshakes would only queue up.
            unadmitted: 2_000,
            unadmitted_per_address: 500,
            sessions: 8_000,
            client_message: 1 << 20,
            upstream_message: 16 << 20,
            handshake: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            session: Duration::from_secs(3600),
        }
    }
}

/// How often something may happen: `count` at once, then one each `per / count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
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

/// Where media goes.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Label,
    pub host: String,
    pub port: u16,
    /// `None`: plain text, on loopback or where written out.
    pub roots: Option<Roots>,
    pub api_versions: ApiVersions,
    pub credential: Credential,
    /// TCP and TLS handshakes together.
    pub connect: Duration,
    /// Everything up to the `101`.
    pub total: Duration,
}

/// Whom a token must be for that Voice Live is to take: the resources behind the scopes
/// `https://ai.azure.com/.default` and, older, `https://cognitiveservices.azure.com/.default`.
pub const VOICE_LIVE_AUDIENCES: [&str; 4] = [
    "https://ai.azure.com",
    "https://ai.azure.com/",
    "https://cognitiveservices.azure.com",
    "https://cognitiveservices.azure.com/",
];

/// The `api-version` that is asked for where the client may not or does not choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersions {
    pub web_socket: Label,
    /// The control channel of WebRTC is a preview with versions of its own.
    pub web_rtc: Label,
}

/// What the edge shows an upstream. If there are several, the caller's own token goes first.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The caller's token, if it is for the upstream.
    pub caller: bool,
    /// The resource's key; agents do not take it.
    pub key: Option<Secret>,
}

/// What an upstream's certificate must lead to.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The operating system's store.
    System,
    /// These certificates, as PEM, and no others.
    Pem(String),
}

/// A set of paths with one admission decision.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: Label,
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

/// A parameter of agents that goes on with the client's own value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// `conversation-id`: a conversation goes on.
    Conversation,
    /// `agent-version`.
    Version,
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

/// Bounds of one route; `None`: none of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    pub sessions: Option<usize>,
    pub upgrades: Option<Rate>,
    /// Per address, an IPv6 network of 64 bits counting as one.
    pub sessions_per_address: Option<usize>,
    pub upgrades_per_address: Option<Rate>,
    /// Per key or per subject of a token.
    pub sessions_per_identity: Option<usize>,
    pub upgrades_per_identity: Option<Rate>,
}

impl Settings {
    /// Reads and judges settings files; later ones win.
    pub fn read(paths: &[PathBuf]) -> Result<Settings, Unusable> {
        resolve::resolve(file::read(paths)?)
    }

    /// The same from a text; `name` stands for the file name in messages.
    pub fn read_text(name: &str, text: &str) -> Result<Settings, Unusable> {
        resolve::resolve(file::read_text(name, text)?)
    }

    /// What would run, for people; secrets are masked.
    pub fn describe(&self) -> String {
        show::describe(self)
    }
}
