//! Bounds of the whole edge, and rates.

use std::time::Duration;

/// Bounds of the whole edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client sockets at a time; more are closed at once.
    pub connections: usize,
    /// Client sockets at a time that nobody has been admitted on yet; more are closed at once.
    pub unadmitted: usize,
    /// The same from one address, an IPv6 network of 64 bits counting as one; those of a hop count
    /// as their clients' as soon as these are known.
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
    /// What a client may send, frames and their heads, before it is read more slowly.
    pub bytes_per_second: Option<u64>,
    /// The same in frames, pings and pongs among them.
    pub frames_per_second: Option<u32>,
    /// Of all routes together; with `shared` of all edges, too.
    pub total_sessions: Option<usize>,
    pub total_upgrades: Option<Rate>,
    pub total_minutes: Option<Rate>,
    /// Edges count in their store together what is limited by route, address, identity, tenant and key.
    pub shared: bool,
    /// How many edges share the store: while it is away each has one part of so many of shared limits
    /// and of turns to connect.
    pub replicas: u32,
    /// How long a place among shared sessions outlives an edge that died.
    pub lease: Duration,
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
            bytes_per_second: None,
            frames_per_second: None,
            total_sessions: None,
            total_upgrades: None,
            total_minutes: None,
            shared: false,
            replicas: 1,
            // Three times as long as an edge takes to keep it anew, so that two lost answers lose nothing.
            lease: Duration::from_secs(30),
        }
    }
}

/// How often something may happen: `count` at once, then one each `per / count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
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
    /// Per tenant of Entra that tokens and principals name.
    pub sessions_per_tenant: Option<usize>,
    pub upgrades_per_tenant: Option<Rate>,
    /// Minutes that sessions last, `count` in a window of `per` that begins with the first.
    pub minutes: Option<Rate>,
    pub minutes_per_address: Option<Rate>,
    pub minutes_per_identity: Option<Rate>,
    pub minutes_per_tenant: Option<Rate>,
    /// Instead of those of the whole edge.
    pub client_message: Option<u64>,
    pub upstream_message: Option<u64>,
    pub idle: Option<Duration>,
    pub session: Option<Duration>,
    pub bytes_per_second: Option<u64>,
    pub frames_per_second: Option<u32>,
}

impl RouteLimits {
    /// The bounds of a session on this route, where those of the whole edge are `usual`.
    pub fn over(&self, usual: Limits) -> Limits {
        Limits {
            client_message: self.client_message.unwrap_or(usual.client_message),
            upstream_message: self.upstream_message.unwrap_or(usual.upstream_message),
            idle: self.idle.unwrap_or(usual.idle),
            session: self.session.unwrap_or(usual.session),
            bytes_per_second: self.bytes_per_second.or(usual.bytes_per_second),
            frames_per_second: self.frames_per_second.or(usual.frames_per_second),
            ..usual
        }
    }
}
