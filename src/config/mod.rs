//! Settings as the program needs them: plain data, complete and judged.
//!
//! [`Boot`] is what a restart is needed for, [`Live`] is the rest. Files with secrets and
//! certificates have been read; whoever holds a [`Settings`] needs no disk. Everything that is
//! wrong is told at once.

mod acs;
mod assertion;
mod audit;
mod bot;
mod certificate;
mod connector;
mod developer;
mod enter;
mod env;
mod file;
mod graph;
mod limits;
mod page;
mod phone;
pub mod pii;
mod resolve;
mod restart;
pub mod rewrite;
mod roles;
mod route;
mod session_api;
mod sessions;
mod show;
mod sources;
mod store;
mod telemetry;
mod ticket;
mod upstream;
mod variables;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use jsonwebtoken::Algorithm;

pub use self::acs::{
    ACS_SCOPE, Acs, AcsAudio, AcsCredential, CallApi, Channels, EventGrid, Streaming,
};
pub use self::assertion::Assertion;
pub use self::audit::{Audit, AuditFile, AuditSync, AuditTo};
pub use self::bot::{Bot, ServiceOrigin};
pub use self::certificate::{Certificate, Mark};
pub use self::connector::{Connector, ServiceHosts};
pub use self::developer::Developer;
pub use self::enter::{Enter, Place, Way};
pub use self::env::{Environment, admin_token, log_filter, supervisor};
pub use self::file::Unusable;
pub use self::graph::Graph;
pub use self::limits::{Limits, Rate, RouteLimits};
pub use self::page::Page;
pub use self::phone::{
    Ani, Bridge, Calls, CodeLength, Dialled, Feeds, Flow, Gate, KnownBy, Phone, Prompts, Spend,
    VoiceSession,
};
pub use self::roles::{Directory, Roles, RolesBy};
pub use self::route::{
    BELOW, BotRoute, CALL, CALL_SECRET, Dtmf, Http, JWKS, Parameter, Pass, REFRESH, Refuse, Route,
    RouteKind, TAIL,
};
pub use self::session_api::{CODE_DIGITS, SessionApi, Webhook, WebhookSecret};
pub use self::sessions::See;
pub use self::sources::Sources;
pub use self::store::{
    Engine, KeyForms, Layout, Login, Piece, REDIS_SCOPE, Redis, Store, Template,
};
pub use self::telemetry::{Believes, Otlp, Telemetry};
pub use self::ticket::{RouteTickets, TICKET_LEEWAY, TicketClaim, TicketDesk, TicketKey, Tickets};
pub use self::upstream::{
    ApiVersions, App, Credential, IdentitySource, KeyHeader, Kind, ManagedIdentity, Pacing, Roots,
    Service, SessionCap, Target, Upstream, VOICE_LIVE_AUDIENCES,
};

use self::pii::{PiiDetector, PiiKind};
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
    /// Where metrics and probes are served, and what the operator wants is done.
    pub admin: SocketAddr,
    /// Threads that carry sessions.
    pub workers: usize,
    /// So long a worker that many frames wake lets more of them gather; zero: each is relayed at once.
    pub batch: Duration,
    /// New sessions are still taken for so long after the edge was told to end.
    pub drain_delay: Duration,
    /// So long after the edge was told to end the sessions that are left are ended.
    pub grace: Duration,
    /// Where another process asks for the listening sockets, to take the place of this one; `None`:
    /// nowhere.
    pub handover: Option<PathBuf>,
    /// Where session keys and the records of calls are.
    pub store: Store,
    /// `None`: what is decided is not recorded.
    pub audit: Option<Audit>,
    /// What is taken out of each line of the log; empty: nothing.
    pub log_pii: Vec<PiiKind>,
    pub telemetry: Telemetry,
}

/// A certificate chain with its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub chain_pem: String,
    pub key_pem: Secret,
    /// Who signs the certificates of clients; `None`: clients are not asked for one.
    pub client_roots: Option<String>,
}

/// A certificate chain beside the usual one, for the hosts that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    pub name: Label,
    pub chain_pem: String,
    pub key_pem: Secret,
}

/// What may change while the process lives.
#[derive(Clone, Debug)]
pub struct Live {
    /// Who may ask the operator's listener for everything; `None`: whoever is on this machine.
    pub admin_token: Option<Digest>,
    /// Who may ask it for the metrics alone.
    pub scrape_token: Option<Digest>,
    /// What clients are shown who ask for no other; `None`: plain HTTP. Whether there is one is fixed
    /// while the process lives.
    pub identity: Option<Identity>,
    /// What clients are shown who ask for their names.
    pub server_certificates: Vec<ServerCertificate>,
    pub limits: Limits,
    /// `None`: whoever connects is the client.
    pub hops: Option<Hops>,
    pub keys: Vec<ApiKey>,
    pub certificates: Vec<Certificate>,
    /// One source of keys each; those of one bot have one name.
    pub issuers: Vec<Issuer>,
    /// `None`: nobody enters by a ticket.
    pub tickets: Option<Tickets>,
    /// `None`: no phone calls.
    pub calls: Option<Calls>,
    /// `None`: the edge controls no calls.
    pub acs: Option<Acs>,
    /// `None`: private apps are shown nothing that is signed.
    pub assertion: Option<Assertion>,
    /// `None`: who reports to whom is not asked.
    pub graph: Option<Graph>,
    /// `None`: whom somebody may see is for applications to decide.
    pub roles: Option<Roles>,
    /// Who finds what is personal by its sense.
    pub pii_detectors: Vec<PiiDetector>,
    /// `None`: the edge is no bot.
    pub bot: Option<Bot>,
    /// Who may ask for private applications without a credential; only the command line says so.
    pub developer: Option<Developer>,
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
    /// From then on it opens nothing, and sessions that it opened end; `None`: it does not end.
    pub expires: Option<SystemTime>,
    /// Minutes that its sessions last.
    pub minutes: Option<Rate>,
}

/// The name of a model: 1 to 64 characters of `a-z A-Z 0-9 . _ -`, so that it stands in a URL
/// as it is.
pub type Model = Label;

/// Who signs tokens, and what a good token of theirs says.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Azure Communication Services, whose tokens come with calls: one `iss`, and nobody's `sub`.
    Acs { issuer: String },
    /// Event Grid, which shows tokens of Entra: of these tenants, given to its own application, and
    /// with its role, if they name any.
    EventGrid {
        authority: String,
        tenants: Vec<String>,
    },
    /// The Bot Connector: one `iss`, and nobody's `sub`.
    Bot {
        issuer: String,
        connector: Arc<Connector>,
    },
    /// Entra, for the same bot: tokens of its tenants, given to applications that are named. It has
    /// the name of the connector's issuer and keys of its own.
    BotTenant {
        authority: String,
        connector: Arc<Connector>,
    },
}

/// Where the keys of an issuer are published; `https` URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An OpenID provider document that names the keys' place.
    Metadata(String),
    /// The keys themselves.
    Jwks(String),
}

impl Settings {
    /// Whether the operator's listener speaks TLS: wherever other machines reach it, and there is a
    /// certificate.
    pub fn admin_speaks_tls(&self) -> bool {
        self.live.identity.is_some() && !self.boot.admin.ip().is_loopback()
    }

    /// Reads and judges settings files, later ones winning, with the variables of the process.
    pub fn read(paths: &[PathBuf]) -> Result<Settings, Unusable> {
        Settings::read_in(paths, &Environment::process())
    }

    /// The same with variables from elsewhere.
    pub fn read_in(paths: &[PathBuf], variables: &Environment) -> Result<Settings, Unusable> {
        Settings::read_noting(paths, variables, &mut Sources::default())
    }

    /// The same, and notes which files were read, whatever comes of it.
    pub fn read_noting(
        paths: &[PathBuf],
        variables: &Environment,
        sources: &mut Sources,
    ) -> Result<Settings, Unusable> {
        resolve::resolve(file::read(paths, variables, sources)?, variables, sources)
    }

    /// Settings from variables alone, under the names of the old Node proxy.
    pub fn of_variables(variables: &Environment) -> Result<Settings, Unusable> {
        Settings::of_variables_noting(variables, &mut Sources::default())
    }

    /// The same, and notes which files were read, whatever comes of it.
    pub fn of_variables_noting(
        variables: &Environment,
        sources: &mut Sources,
    ) -> Result<Settings, Unusable> {
        let written = variables::write(variables);
        let file = file::of_table("the variables", written.table, variables)?;
        match (resolve::resolve(file, variables, sources), written.problems) {
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
        let file = file::read_text(name, text, &variables)?;
        resolve::resolve(file, &variables, &mut Sources::default())
    }

    /// The same with private applications open to a developer who shows no credential.
    ///
    /// # Errors
    /// If anything of them leads beyond this machine; all of that is told at once.
    pub fn for_developer(self, developer: Developer) -> Result<Settings, Unusable> {
        resolve::developer::developer(self, developer)
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
