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
    pub upstreams: Vec<Upstream>,
    pub routes: Vec<Route>,
}

/// Bounds of the whole edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client sockets at a time; more are closed at once.
    pub connections: usize,
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

/// A key that applications present; only its digest is known here.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub name: Label,
    pub digest: Digest,
    /// Models it may ask for; empty: all of the route.
    pub models: Vec<Model>,
    /// Sessions at a time.
    pub sessions: Option<usize>,
}

/// The name of a model: 1 to 64 characters of `a-z A-Z 0-9 . _ -`, so that it stands in a URL
/// as it is.
pub type Model = Label;

/// Where media goes.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Label,
    pub host: String,
    pub port: u16,
    /// `None`: plain text, on loopback or where written out.
    pub roots: Option<Roots>,
    pub api_version: Label,
    pub key: Secret,
    /// TCP and TLS handshakes together.
    pub connect: Duration,
    /// Everything up to the `101`.
    pub total: Duration,
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
    pub admit: Vec<Admit>,
    pub accept: Vec<Place>,
    /// Web pages whose scripts may connect, as browsers name them in `Origin`; empty: none. A
    /// client that sends no `Origin` is no browser, and is not judged by this.
    pub origins: Vec<String>,
    /// Models that may be asked for; the first is the default.
    pub models: Vec<Model>,
    /// Names of upstreams, tried in this order.
    pub upstreams: Vec<Label>,
}

/// One way to enter a route; any of a route's ways is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// One of the `[[keys]]`.
    Key,
    /// Whoever asks.
    Anyone,
}

/// Where a credential may sit in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Header,
    Query,
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
