//! The client as the edge needs it: nothing that fred would do by default without a bound is left so.
//!
//! What is known to go wrong with fred 10.1.0, and what is done about it:
//!
//! * F1: `tcp-user-timeouts` does not compile. The feature is off; and `unresponsive` counts from what was
//!   written last, so that a connection in use is never dead. `probe` finds dead peers.
//! * F2: the `on_*` handlers end for ever when their channel overflows. Only `*_rx` are used, and
//!   what lagged is no more than a line of the log: the state is read, not counted up.
//! * F3: tracking does not survive a reconnect. Nothing is tracked and nothing is cached: each
//!   decision asks.
//! * F4: no timeout, no reconnect policy, an endless queue. All are set here.
//! * F5: `fail_fast` ends the client if Redis is down at first. It is off; the edge is not ready.
//! * F6: the default TLS uses the provider of the process and all certificates of the system or none.
//!   The edge brings its own; behind a cluster's slots, which carry addresses, stands the name that
//!   was dialled.
//! * F7: old packages come with it (rand 0.8, socket2 0.5, nom 7), and its last release is of February
//!   2025. So nothing outside of this folder knows it.
//!
//! And one more: with a queue that is bounded, fred's own task ends when it has to queue a reconnect
//! and the queue is full. Admission to the queue is therefore the edge's, with fewer places than the
//! queue has, and whoever runs the client starts it again.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::types::Builder;
use fred::types::config::{
    Config, ConnectionConfig, CredentialProvider, PerformanceConfig, ReconnectPolicy, Server,
    ServerConfig, TcpConfig, TlsConfig, TlsConnector, TlsHostMapping,
};

use super::Unusable;
use crate::config::{Layout, Login, Redis};
use crate::label::Label;
use crate::metrics;
use crate::secret::Secret;
use crate::upstream::identity::Identity;
use crate::upstream::tls;

/// Commands that may wait for answers. A thousand sessions in a hundred milliseconds are more than
/// an edge admits; beyond that it is kinder to refuse.
pub(super) const WAITING_MAX: usize = 4096;
/// A decision in a cluster asks up to three servers at once; and reconnects must find a place.
const QUEUE: usize = 4 * WAITING_MAX;
/// TCP and TLS together, and each of fred's own commands on a new connection.
const CONNECT: Duration = Duration::from_secs(2);
/// From the first failure to the next try, doubled up to the second.
const RETRY_MS: [u32; 2] = [50, 2_000];
/// Events that may wait to be looked at; more are lost, which costs lines of the log only.
const EVENTS: usize = 256;
/// How often connections are shown the token that is good now. The identity renews it five minutes
/// before its end at the latest, so each connection knows the new one four minutes before.
const RENEW: Duration = Duration::from_secs(60);

/// What is told to be asked for a token.
const NAME: &str = "store";

pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) identity: Option<Arc<Identity>>,
}

pub(super) fn client(settings: &Redis, metrics: metrics::Shared) -> Result<Connected, Unusable> {
    let identity = match &settings.login {
        Login::Nothing | Login::Password { .. } => None,
        Login::Token { identity, .. } => {
            let name = Label::new(NAME).expect("it is a label");
            Some(Arc::new(Identity::new(name, identity.clone(), metrics)?))
        }
    };
    let mut config = Config {
        fail_fast: false,
        server: server(settings),
        database: (settings.database > 0).then_some(settings.database),
        tls: match &settings.roots {
            None => None,
            Some(roots) => Some(TlsConfig {
                connector: TlsConnector::from(tls::client_config(roots)?),
                hostnames: TlsHostMapping::DefaultHost,
            }),
        },
        ..Config::default()
    };
    match (&settings.login, &identity) {
        (Login::Nothing, _) | (Login::Token { .. }, None) => {}
        (Login::Password { username, password }, _) => {
            config.username.clone_from(username);
            config.password = Some(password.expose().to_owned());
        }
        (Login::Token { username, .. }, Some(identity)) => {
            config.credential_provider = Some(Arc::new(Provider {
                username: username.clone(),
                identity: Arc::clone(identity),
            }));
        }
    }
    let [first, most] = RETRY_MS;
    let client = Builder::from_config(config)
        .with_connection_config(|connection| *connection = connection_config())
        .with_performance_config(|performance: &mut PerformanceConfig| {
            performance.default_command_timeout = settings.timeout;
            performance.broadcast_channel_capacity = EVENTS;
        })
        .set_policy(ReconnectPolicy::new_exponential(0, first, most, 2))
        .build()
        .map_err(|_| Unusable::Client)?;
    Ok(Connected { client, identity })
}

fn server(settings: &Redis) -> ServerConfig {
    let hosts = settings.servers.clone();
    let servers = |hosts: Vec<(String, u16)>| {
        let server = |(host, port): (String, u16)| Server::new(host, port);
        hosts.into_iter().map(server).collect()
    };
    match &settings.layout {
        Layout::Cluster => ServerConfig::new_clustered(hosts),
        Layout::Single => {
            let (host, port) = settings.servers[0].clone();
            ServerConfig::new_centralized(host, port)
        }
        Layout::Sentinel {
            service,
            username,
            password,
        } => ServerConfig::Sentinel {
            hosts: servers(hosts),
            service_name: service.clone(),
            username: username.clone(),
            password: password.as_ref().map(|secret| secret.expose().to_owned()),
        },
    }
}

fn connection_config() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: CONNECT,
        internal_command_timeout: CONNECT,
        // Where a slot moves (MOVED, ASK) a command is written anew, and fred counts that as well. What
        // has timed out is never written, and all that the edge sends may be made twice.
        max_command_attempts: 3,
        max_command_buffer_len: QUEUE,
        reconnect_on_auth_error: true,
        tcp: TcpConfig {
            nodelay: Some(true),
            ..TcpConfig::default()
        },
        ..ConnectionConfig::default()
    }
}

/// Shows Redis the token that is good when it is asked for one.
struct Provider {
    username: String,
    identity: Arc<Identity>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider(***)")
    }
}

/// By hand what `async_trait` would write: the package is fred's, not ours.
type Fetched<'a> = std::pin::Pin<
    Box<dyn Future<Output = Result<(Option<String>, Option<String>), Error>> + Send + 'a>,
>;

impl CredentialProvider for Provider {
    fn fetch<'a, 'b, 'c>(&'a self, _: Option<&'b Server>) -> Fetched<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let token: Option<Secret> = self.identity.secret().await;
            let none = || Error::new(ErrorKind::Auth, "there is no token for the edge itself");
            let token = token.ok_or_else(none)?;
            Ok((Some(self.username.clone()), Some(token.expose().to_owned())))
        })
    }

    fn refresh_interval(&self) -> Option<Duration> {
        Some(RENEW)
    }
}
