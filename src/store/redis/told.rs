//! What fred's errors mean, to whoever asked and to the log.

use fred::error::{Error, ErrorKind};
use fred::types::config::Server;

use crate::store::Unavailable;

/// Why there was no answer.
pub(super) fn unavailable(error: &Error) -> Unavailable {
    match error.kind() {
        ErrorKind::Timeout => Unavailable::Timeout,
        ErrorKind::Backpressure => Unavailable::Full,
        ErrorKind::Auth | ErrorKind::InvalidArgument | ErrorKind::InvalidCommand => {
            Unavailable::Refused
        }
        ErrorKind::Parse | ErrorKind::Protocol | ErrorKind::NotFound => Unavailable::Malformed,
        ErrorKind::Unknown if is_refusal(error.details()) => Unavailable::Refused,
        ErrorKind::Config
        | ErrorKind::Routing
        | ErrorKind::IO
        | ErrorKind::Url
        | ErrorKind::Tls
        | ErrorKind::Canceled
        | ErrorKind::Unknown
        | ErrorKind::Cluster
        | ErrorKind::Sentinel => Unavailable::Unreachable,
    }
}

/// Whether a server answered, and its answer is that it will not: `ERR`, `NOPERM`, `OOM` and such.
/// What says that it cannot at the moment is as good as none.
fn is_refusal(said: &str) -> bool {
    const MOMENTARY: [&str; 6] = [
        "LOADING",
        "MASTERDOWN",
        "READONLY",
        "TRYAGAIN",
        "BUSY",
        "NOREPLICAS",
    ];
    let word = said.split_whitespace().next().unwrap_or_default();
    let is_code = word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
    is_code && !MOMENTARY.contains(&word)
}

/// What of the connections has been told: each cause once, until it changes.
#[derive(Default)]
pub(super) struct Told(Option<&'static str>);

impl Told {
    pub(super) fn failed(&mut self, error: &Error, server: Option<&Server>) {
        let cause = cause(error);
        if self.0.replace(cause) != Some(cause) {
            let server = server.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(error = cause, %server, "the store is not reached");
        }
    }

    pub(super) fn unresponsive(&mut self) {
        let cause = "it does not answer";
        if self.0.replace(cause) != Some(cause) {
            tracing::warn!(error = cause, "the store is not reached");
        }
    }

    pub(super) fn changed(&mut self, up: bool) {
        if up {
            self.0 = None;
            tracing::info!("the store is connected");
        } else {
            tracing::warn!("the store is away; sessions that run go on, new ones are refused");
        }
    }
}

/// Why there is no connection: a fixed text, without anything that the server said.
pub(super) fn cause(error: &Error) -> &'static str {
    let said = error.details();
    match error.kind() {
        ErrorKind::Auth => "it refuses the credential",
        ErrorKind::Timeout => "it took too long",
        ErrorKind::Tls => "the TLS handshake failed",
        ErrorKind::Sentinel if said.contains("Failed to connect") => "no sentinel is reached",
        ErrorKind::Sentinel => "the sentinels know no primary that is reached",
        ErrorKind::Cluster => "the cluster does not serve all slots",
        ErrorKind::Config => "it is no cluster",
        _ if said.contains("InvalidCertificate") => "its certificate is not valid for us",
        ErrorKind::Unknown if is_refusal(said) => "it refuses what a new connection asks",
        ErrorKind::IO
        | ErrorKind::Routing
        | ErrorKind::Canceled
        | ErrorKind::Unknown
        | ErrorKind::Url
        | ErrorKind::InvalidCommand
        | ErrorKind::InvalidArgument
        | ErrorKind::Protocol
        | ErrorKind::Parse
        | ErrorKind::NotFound
        | ErrorKind::Backpressure => "the connection failed or ended",
    }
}
