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
