//! `[store]`: where session keys and the records of calls are, and how the names of keys are built.

use std::fmt::Write as _;
use std::time::Duration;

use humantime::format_duration;

use super::{ManagedIdentity, Roots};
use crate::secret::Secret;

/// What tokens for Azure's Redis services are for.
pub const REDIS_SCOPE: &str = "https://redis.azure.com/.default";

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub engine: Engine,
    /// How long everything is kept that the edge writes, tokens that were spent and what failures
    /// are counted by aside.
    pub ttl: Duration,
    /// Whether a session key that nobody gave an end is none.
    pub require_ttl: bool,
    /// Nobody enters while what was taken back could not be read for so long; in Redis only.
    pub revocations_stale: Duration,
    pub keys: KeyForms,
}

impl Default for Store {
    fn default() -> Store {
        Store {
            engine: Engine::Memory,
            ttl: Duration::from_secs(3600),
            require_ttl: false,
            revocations_stale: Duration::from_secs(30),
            keys: KeyForms::default(),
        }
    }
}

/// What keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This process: for one edge, and for as long as it lives.
    Memory,
    Redis(Box<Redis>),
}

/// A Redis, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    pub layout: Layout,
    /// Hosts and ports: of the server, of some nodes of the cluster, of the sentinels.
    pub servers: Vec<(String, u16)>,
    /// The database's number; 0 in a cluster, which has no other.
    pub database: u8,
    /// `None`: plain text, on loopback or where written out.
    pub roots: Option<Roots>,
    pub login: Login,
    /// A decision that takes longer is none.
    pub timeout: Duration,
}

/// How its servers are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    Single,
    Cluster,
    Sentinel {
        /// The name that the sentinels know the primary by.
        service: String,
        username: Option<String>,
        password: Option<Secret>,
    },
}

/// What the edge shows a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    Nothing,
    Password {
        /// `None`: the user `default`.
        username: Option<String>,
        password: Secret,
    },
    /// A token of Entra for the edge itself.
    Token {
        /// The identity's object id.
        username: String,
        identity: ManagedIdentity,
    },
}

/// How the names of keys are built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyForms {
    /// Stands before every key, ours and others', as it is.
    pub prefix: String,
    pub pstn: Template,
    pub sip: Template,
    pub api: Template,
    /// What session keys are hashed with, 32 bytes at the least; `None`: they are legible.
    pub hmac: Option<Secret>,
}

impl Default for KeyForms {
    fn default() -> KeyForms {
        let id = |text: &str| Template::of_id(text, "");
        KeyForms {
            prefix: String::new(),
            pstn: Template(vec![
                Piece::Text("pstn:".to_owned()),
                Piece::Ani,
                Piece::Text(":".to_owned()),
                Piece::Code,
            ]),
            sip: id("sip:"),
            api: id("acs:call_connection_id:"),
            hmac: None,
        }
    }
}

/// How one kind of session key is built. Whoever makes one sees to it that no two sets of parts
/// build the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

impl Template {
    fn of_id(before: &str, after: &str) -> Template {
        let text = |text: &str| Piece::Text(text.to_owned());
        Template(vec![text(before), Piece::Id, text(after)])
    }
}

/// A piece of a session key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `{ani}`: the caller's number in E.164.
    Ani,
    /// `{code}`: the digits that were dialled.
    Code,
    /// `{id}`: of a SIP call, or ACS' connection id.
    Id,
}

impl Piece {
    /// As the settings write it.
    pub fn word(&self) -> &str {
        match self {
            Piece::Text(text) => text,
            Piece::Ani => "{ani}",
            Piece::Code => "{code}",
            Piece::Id => "{id}",
        }
    }
}

impl Store {
    /// Its lines in what would run; secrets are masked.
    pub(super) fn describe(&self, out: &mut String) -> std::fmt::Result {
        match &self.engine {
            Engine::Memory => writeln!(out, "store     memory of this process")?,
            Engine::Redis(settings) => redis(settings, self.revocations_stale, out)?,
        }
        let keys = &self.keys;
        let form = |template: &Template| -> String { template.0.iter().map(Piece::word).collect() };
        writeln!(
            out,
            "          keys {}, {}, {}, prefix {:?}, {}, ttl {}{}",
            form(&keys.pstn),
            form(&keys.sip),
            form(&keys.api),
            keys.prefix,
            if keys.hmac.is_some() {
                "hashed with ***"
            } else {
                "legible"
            },
            format_duration(self.ttl),
            if self.require_ttl {
                " (required of others)"
            } else {
                ""
            },
        )
    }
}

fn redis(redis: &Redis, stale: Duration, out: &mut String) -> std::fmt::Result {
    let layout = match &redis.layout {
        Layout::Single => "single".to_owned(),
        Layout::Cluster => "cluster".to_owned(),
        Layout::Sentinel { service, .. } => format!("{service} of sentinels"),
    };
    let servers = redis.servers.iter();
    let servers: Vec<_> = servers
        .map(|(host, port)| format!("{host}:{port}"))
        .collect();
    let roots = match &redis.roots {
        None => "plain text",
        Some(Roots::System) => "TLS, roots of the system",
        Some(Roots::Pem(_)) => "TLS, roots from a file",
    };
    let login = match &redis.login {
        Login::Nothing => "no credential".to_owned(),
        Login::Password { username, .. } => {
            format!(
                "user {}, password ***",
                username.as_deref().unwrap_or("default")
            )
        }
        Login::Token { username, identity } => {
            format!("user {username}, a token for {}", identity.scope)
        }
    };
    writeln!(
        out,
        "store     Redis ({layout}) at {}, database {}, {roots}, {login}, timeout {}, \
         revocations stale after {}",
        servers.join(", "),
        redis.database,
        format_duration(redis.timeout),
        format_duration(stale),
    )
}
