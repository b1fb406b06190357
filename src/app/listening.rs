//! What the edge listens on: sockets of its own, or that were there before it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::Failed;
use crate::config::Boot;
use crate::listener::doors::Doors;
use crate::listener::handover;
use crate::listener::inherit::Sockets;
use crate::listener::{self, admin};

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

/// The operator's listener, to the very end. Another process that takes this one's place has its address,
/// too; whoever wants to see how the sessions here end is told another one.
pub(super) async fn operator(socket: TcpListener, doors: &Arc<Doors>) {
    let serve = async |socket| match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => admin::serve(listener, doors.clone()).await,
        Err(error) => tracing::error!(%error, "cannot use a listening socket"),
    };
    let ip = socket.local_addr().map(|address| address.ip());
    tokio::select! {
        () = serve(socket) => return,
        () = doors.drain.handed_over() => {}
    }
    let new = ip.and_then(|ip| Ok(listener::bind(SocketAddr::new(ip, 0), 1)?.remove(0)));
    match new.and_then(|socket| Ok((socket.local_addr()?, socket))) {
        Ok((address, socket)) => {
            tracing::info!(role = "admin", %address, tls = false, "listening");
            serve(socket).await;
        }
        Err(error) => {
            tracing::warn!(%error, "the operator's listener is gone with its address");
            doors.drain.finished().await;
        }
    }
}
