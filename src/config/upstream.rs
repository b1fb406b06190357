//! Where media goes: how each upstream is reached, asked, and shown who we are.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{Identity, Rate};
use crate::label::Label;
use crate::secret::Secret;

/// Where media goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub name: Label,
    pub host: String,
    pub port: u16,
    /// `None`: plain text, on loopback or where written out.
    pub roots: Option<Roots>,
    pub service: Service,
    pub credential: Credential,
    /// The edge's own certificate, where the upstream asks for one (mTLS).
    pub client: Option<Identity>,
    /// TCP and TLS handshakes together.
    pub connect: Duration,
    /// Everything up to the `101`, or to the head of an answer.
    pub total: Duration,
    /// How new connections are paced; `None`: everybody is dialled for at once.
    pub pacing: Option<Pacing>,
    /// How long the service lets a session last; `None`: nothing is known of that.
    pub cap: Option<SessionCap>,
}

impl Upstream {
    /// Whose quota its connections use up: that of a resource, where two upstreams of one have one
    /// quota; behind any other address there may be several.
    pub fn quota(&self) -> String {
        match &self.service {
            Service::VoiceLive(_) => format!("{}:{}", self.host, self.port),
            Service::Relay(_) | Service::Http(_) => self.name.to_string(),
        }
    }
}

/// How many new connections an upstream is asked for, and who may wait for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// So many in any window of this length, of all edges together.
    pub connects: Rate,
    /// Sessions of one edge that may wait for a turn.
    pub queue: usize,
    /// For how long at the most.
    pub queue_wait: Duration,
}

/// How long a service lets a session last, and what the edge does before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCap {
    /// The service's own longest session.
    pub lasts: Duration,
    /// So long before that the edge ends it.
    pub margin: Duration,
    /// So long before its end it is told.
    pub notice: Duration,
}

impl SessionCap {
    /// From the dial to the edge's end of it, and to the notice of that.
    pub fn ends(&self) -> (Duration, Duration) {
        let ends = self.lasts.saturating_sub(self.margin);
        (ends, ends.saturating_sub(self.notice))
    }
}

/// Whom a token must be for that Voice Live is to take: the resources behind the scopes
/// `https://ai.azure.com/.default` and, older, `https://cognitiveservices.azure.com/.default`.
pub const VOICE_LIVE_AUDIENCES: [&str; 4] = [
    "https://ai.azure.com",
    "https://ai.azure.com/",
    "https://cognitiveservices.azure.com",
    "https://cognitiveservices.azure.com/",
];

/// What an upstream serves, and with it how its URL is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Azure Voice Live.
    VoiceLive(ApiVersions),
    /// Any other WebSocket server.
    Relay(Target),
    /// A private application.
    Http(App),
}

impl Service {
    pub fn kind(&self) -> Kind {
        match self {
            Service::VoiceLive(_) => Kind::VoiceLive,
            Service::Relay(_) => Kind::Relay,
            Service::Http(_) => Kind::Http,
        }
    }
}

/// What an upstream serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    VoiceLive,
    Relay,
    Http,
}

impl Kind {
    /// As the settings write it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::VoiceLive => "voice-live",
            Kind::Relay => "relay",
            Kind::Http => "http",
        }
    }
}

/// How a WebSocket server of any kind is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path and, after a `?`, the fixed part of the query.
    pub path: String,
    /// The parameter that names the model: `model` for OpenAI, `deployment` for older Azure OpenAI.
    pub model_parameter: Label,
    pub api_version: Option<Label>,
    /// The one subprotocol that is offered, and must then be chosen.
    pub subprotocol: Option<String>,
    /// Headers with fixed values, beside those that the edge writes itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// It is told who calls, in `x-tonegate-*` headers.
    pub identity_headers: bool,
}

/// How a private application is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// What stands before the path of each request; no slash at its end.
    pub base: String,
    /// Headers with fixed values, beside those that the edge writes itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// It is told who calls, in `x-tonegate-*` headers.
    pub identity_headers: bool,
}

/// The `api-version` that is asked for where the client may not or does not choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersions {
    pub web_socket: Label,
    /// The control channel of WebRTC is a preview with versions of its own.
    pub web_rtc: Label,
}

/// What the edge shows an upstream. Of several the first that fits goes, in the order of the old
/// proxy: the caller's own token, the key, a token for the edge itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The caller's token, if it is for the upstream.
    pub caller: bool,
    /// The resource's key; agents do not take it.
    pub key: Option<Secret>,
    /// The header that the key goes in.
    pub header: KeyHeader,
    pub identity: Option<ManagedIdentity>,
    /// The upstream wants none.
    pub none: bool,
}

impl Credential {
    /// Agents take tokens only.
    pub fn serves_agents(&self) -> bool {
        self.caller || self.identity.is_some()
    }
}

/// Where an upstream looks for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHeader {
    /// `api-key: KEY`, as Azure has it.
    ApiKey,
    /// `Authorization: Bearer KEY`, as OpenAI has it.
    Authorization,
}

/// An identity that the platform gives to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedIdentity {
    pub source: IdentitySource,
    /// The user-assigned identity; `None`: the one that there is.
    pub client_id: Option<Label>,
    /// What tokens are for: a resource with `/.default`.
    pub scope: String,
}

/// Who gives tokens for the edge itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// The instance metadata service of a virtual machine; `http://host[:port]`.
    Imds { base: String },
    /// App Service, Functions, Container Apps.
    AppService { endpoint: String, header: Secret },
    /// A Kubernetes service account that Entra trusts.
    Workload {
        authority: String,
        tenant: Label,
        client_id: Label,
        /// Read anew for each token: the platform writes it anew.
        token_file: PathBuf,
        roots: Roots,
    },
    /// An application of Entra's that trusts the edge's own identity, which shows it a token.
    Federated {
        /// Its scope is that of exchanges.
        own: Box<ManagedIdentity>,
        authority: String,
        /// A tenant, or the domain that stands for those of any.
        tenant: Label,
        client_id: Label,
        roots: Roots,
    },
    /// An application of Entra's with a secret of its own; for bots, where no platform vouches for
    /// the edge.
    Application {
        authority: String,
        /// A tenant, or the domain that stands for those of any.
        tenant: Label,
        client_id: Label,
        secret: Secret,
        roots: Roots,
    },
}

/// What an upstream's certificate must lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's store.
    System,
    /// These certificates, as PEM, and no others.
    Pem(String),
}
