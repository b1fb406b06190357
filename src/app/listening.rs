//! What the edge listens on: sockets of its own, or that were there before it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::Failed;
use crate::config::Boot;
use crate::drain::Drain;
use crate::listener::admin::{self, Admin};
use crate::listener::inherit::Sockets;
use crate::listener::{self, handover};
use crate::metrics;
use crate::panics::{GivenUp, kept_up};

/// What the edge is to listen on, and whose place it takes.
pub(super) struct Listening {
    pub(super) public: Vec<TcpListener>,
    pub(super) admin: TcpListener,
    pub(super) predecessor: Option<handover::Predecessor>,
}

impl Listening {
    /// Sockets of the process that lives at `server.handover`, else those that were given, else new
    /// ones.
    pub(super) fn of(boot: &Boot, given: Sockets) -> Result<Listening, Failed> {
        let living = boot.handover.as_deref().map(handover::ask).transpose()?;
        let (predecessor, sockets) = match living.flatten() {
            Some((predecessor, sockets)) => (Some(predecessor), sockets),
            None => (None, given),
        };
        sockets.judge(boot.listen, boot.admin)?;
        let bind = |setting, address, count| {
            listener::bind(address, count).map_err(|error| Failed::Bind {
                address,
                setting,
                error,
            })
        };
        let public = match sockets.public {
            none if none.is_empty() => bind("server.listen", boot.listen, boot.workers)?,
            some => some,
        };
        let admin = match sockets.admin {
            Some(admin) => admin,
            None => bind("server.admin", boot.admin, 1)?.remove(0),
        };
        Ok(Listening {
            public,
            admin,
            predecessor,
        })
    }
}

/// The same sockets once more.
pub(super) fn again(public: &[TcpListener], admin: &TcpListener) -> io::Result<Sockets> {
    let public: io::Result<_> = public.iter().map(TcpListener::try_clone).collect();
    Ok(Sockets {
        public: public?,
        admin: Some(admin.try_clone()?),
    })
}

/// The operator's listener, to the very end.
pub(super) struct Operator {
    pub(super) socket: TcpListener,
    pub(super) admin: Arc<Admin>,
    pub(super) tls: bool,
    pub(super) drain: Drain,
}

impl Operator {
    /// Another process that takes this one's place has its address, too; whoever wants to see how the
    /// sessions here end is told another one.
    pub(super) async fn serve(self, metrics: &metrics::Shared) -> Result<(), GivenUp> {
        let serve = async |socket| match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => {
                let serve = || admin::serve(&listener, &self.admin);
                kept_up(metrics, "admin", serve).await
            }
            Err(error) => unusable(&error),
        };
        let ip = self.socket.local_addr().map(|address| address.ip());
        tokio::select! {
            served = serve(self.socket) => return served,
            () = self.drain.handed_over() => {}
        }
        let new = ip.and_then(|ip| Ok(listener::bind(SocketAddr::new(ip, 0), 1)?.remove(0)));
        match new.and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((address, socket)) => {
                tracing::info!(role = "admin", %address, tls = self.tls, "listening");
                serve(socket).await
            }
            Err(error) => {
                tracing::warn!(%error, "the operator's listener is gone with its address");
                self.drain.finished().await;
                Ok(())
            }
        }
    }
}

/// Of a socket that was bound a moment ago.
pub(super) fn unusable(error: &io::Error) -> Result<(), GivenUp> {
    tracing::error!(%error, "cannot use a listening socket");
    Err(GivenUp)
}
