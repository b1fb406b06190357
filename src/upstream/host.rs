//! One host: its name looked up, its certificate verified, a connection as what comes of it.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant as Deadline, timeout_at};

use super::Failure;
use super::tls::{Connector, Unusable};
use crate::config::{Identity, Roots};
use crate::error::Reason;
use crate::tls;

/// Name look-ups of one host at a time, and addresses of a name that are tried.
const LOOKUPS: usize = 4;
const ADDRESSES_MAX: usize = 8;

/// With TLS or, on loopback and where written out, without.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<tls::Stream<TcpStream>>),
}

/// Where to connect, with what its certificate must lead to.
pub struct Host {
    name: String,
    port: u16,
    tls: Option<Connector>,
    /// The `Host` header.
    authority: HeaderValue,
    /// Look-ups of the name that may run at a time.
    lookups: Arc<Semaphore>,
}

impl Host {
    /// `roots` is `None` for plain text.
    pub fn new(name: &str, port: u16, roots: Option<&Roots>) -> Result<Host, Unusable> {
        Host::with_certificate(name, port, roots, None)
    }

    /// `client` is shown where the host asks for a certificate.
    pub(super) fn with_certificate(
        name: &str,
        port: u16,
        roots: Option<&Roots>,
        client: Option<&Identity>,
    ) -> Result<Host, Unusable> {
        let tls = match roots {
            Some(roots) => Some(Connector::new(name, roots, client)?),
            None => None,
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        let host = if name.contains(':') {
            format!("[{name}]")
        } else {
            name.to_owned()
        };
        let authority = if port == default_port {
            host
        } else {
            format!("{host}:{port}")
        };
        let authority =
            HeaderValue::try_from(authority).map_err(|_| Unusable::Host(name.to_owned()))?;
        Ok(Host {
            name: name.to_owned(),
            port,
            tls,
            authority,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        })
    }

    /// As the `Host` header has it.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Connects, and verifies the certificate, by `deadline`.
    pub async fn connect(&self, deadline: Deadline) -> Result<Stream, Failure> {
        let late = |_| Failure::new(Reason::UpstreamTimeout, "no connection in time");
        let socket = timeout_at(deadline, self.tcp(deadline))
            .await
            .map_err(late)??;
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(socket));
        };
        let stream = timeout_at(deadline, tls.connect(socket))
            .await
            .map_err(late)?
            .map_err(|detail| Failure::new(Reason::UpstreamUnreachable, detail))?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Resolves the host and tries its addresses in order, each for its share of the time left.
    pub(super) async fn tcp(&self, deadline: Deadline) -> Result<TcpStream, Failure> {
        let unreachable = |detail| Failure::new(Reason::UpstreamUnreachable, detail);
        let addresses = self.addresses().await.map_err(unreachable)?;
        let mut failure = unreachable("the name has no address");
        for (i, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Deadline::now());
            let share = left / (addresses.len() - i) as u32;
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    set_options(&socket);
                    return Ok(socket);
                }
                Ok(Err(_)) => failure = unreachable("the connection was refused or failed"),
                Err(_) => failure = Failure::new(Reason::UpstreamTimeout, "no connection in time"),
            }
        }
        Err(failure)
    }

    /// Asks the system's resolver, which blocks a thread. A look-up that hangs goes on after its
    /// caller has given up, so the permit goes with it and not with the caller.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, &'static str> {
        let permit = self.lookups.clone().acquire_owned().await;
        let permit = permit.map_err(|_| "the resolver is closed")?;
        let (host, port) = (self.name.clone(), self.port);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let addresses = (host.as_str(), port).to_socket_addrs().ok()?;
            Some(addresses.take(ADDRESSES_MAX).collect())
        })
        .await
        .ok()
        .flatten()
        .ok_or("the name does not resolve")
    }
}

/// What every media socket gets: no delay for small frames, and an end for peers that are gone.
/// No TCP_USER_TIMEOUT (RFC 5482): it would also end a peer that reads slowly and keeps its window
/// shut for a while; whether one that takes nothing is lost is for the clock of its session to say.
///
/// Failing to set an option is not worth a call; the deadlines of the session hold anyway.
pub fn set_options(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
}
