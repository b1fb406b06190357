//! One host: its name looked up, its certificate verified, a connection as what comes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout_at};

use super::Failure;
use super::names::Names;
use super::tls::{Connector, Unusable};
use crate::config::{Identity, Roots};
use crate::error::Reason;
use crate::tls;

/// With TLS or, on loopback and where written out, without.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<tls::Stream<TcpStream>>),
}

/// Where to connect, with what its certificate must lead to.
pub struct Host {
    names: Names,
    tls: Option<Connector>,
    /// The `Host` header.
    authority: HeaderValue,
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
        Host::with(name, port, tls)
    }

    /// Where the first certificate of this chain must be shown, and that is enough: an edge of the same
    /// settings.
    pub fn own(address: SocketAddr, chain_pem: &str) -> Result<Host, Unusable> {
        let name = address.ip().to_string();
        let tls = Connector::own(&name, chain_pem)?;
        Host::with(&name, address.port(), Some(tls))
    }

    fn with(name: &str, port: u16, tls: Option<Connector>) -> Result<Host, Unusable> {
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
            names: Names::new(name, port),
            tls,
            authority,
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
        let found = self.names.get().await.map_err(unreachable)?;
        let tried = first(&found.addresses, deadline).await;
        if tried.is_err()
            && let Some(found) = self.names.anew(&found).await
        {
            return first(&found.addresses, deadline).await;
        }
        tried
    }

    /// The addresses that would be tried.
    pub(super) async fn addresses(&self) -> Result<Arc<[SocketAddr]>, &'static str> {
        Ok(self.names.get().await?.addresses)
    }
}

/// A connection to the first address that has one.
async fn first(addresses: &[SocketAddr], deadline: Deadline) -> Result<TcpStream, Failure> {
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

fn unreachable(detail: &'static str) -> Failure {
    Failure::new(Reason::UpstreamUnreachable, detail)
}

/// What every media socket gets: no delay for small frames, and an end for peers that are gone.
/// No TCP_USER_TIMEOUT (RFC 5482): it would also end a peer that reads slowly and keeps its window
/// shut for a while; whether one that takes nothing is lost is for the clock of its session to say.
///
/// Set on each one, also where it is accepted: what a listening socket has is given to those only that come
/// after it had it.
///
/// Failing to set an option is not worth a call; the deadlines of the session hold anyway.
pub fn set_options(socket: &TcpStream) {
    let socket = SockRef::from(socket);
    let _ = socket.set_tcp_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::super::names::Resolve;
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_dialled_has_the_options_and_so_has_what_is_accepted_once_they_are_set() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deadline = Deadline::now() + Duration::from_secs(5);
        let dialled = first(&[listener.local_addr().unwrap()], deadline).await;
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(!accepted.nodelay().unwrap(), "nobody gave it any");
        set_options(&accepted);
        for socket in [dialled.unwrap(), accepted] {
            let socket = SockRef::from(&socket);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            let time = socket.tcp_keepalive_time().unwrap();
            let interval = socket.tcp_keepalive_interval().unwrap();
            assert_eq!([time, interval], [30, 10].map(Duration::from_secs));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        }
    }

    #[tokio::test]
    async fn who_finds_nobody_where_a_name_was_dials_where_it_is_now() {
        let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let new = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (was, is) = (old.local_addr().unwrap(), new.local_addr().unwrap());
        let says = Arc::new(Mutex::new(vec![was]));
        let resolve: Arc<Resolve> = {
            let says = says.clone();
            Arc::new(move |_: &str, _| Some(says.lock().unwrap().clone()))
        };
        let host = Host {
            names: Names::by("voice.example", 1, resolve),
            ..Host::new("voice.example", 1, None).unwrap()
        };
        let deadline = Deadline::now() + Duration::from_secs(5);
        let dialled = async || Some(host.tcp(deadline).await.ok()?.peer_addr().unwrap());
        assert_eq!(dialled().await, Some(was));
        drop(old);
        assert_eq!(dialled().await, None, "the resolver says the same");
        *says.lock().unwrap() = vec![was, is];
        assert_eq!(dialled().await, Some(is));
        *says.lock().unwrap() = vec![is];
        assert_eq!(dialled().await, Some(is), "it is kept");
    }
}
