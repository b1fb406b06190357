//! Takes connections: permits, deadlines, hops, TLS; what is asked on them is [`http`]'s business.
//!
//! One task per connection, on the thread that accepted it; it stays there to the session's end.

mod access;
pub mod admin;
mod body;
pub mod calls;
mod decision;
pub mod doors;
pub mod expiry;
pub mod explain;
pub mod gateway;
pub mod handover;
pub mod head;
mod hop;
pub mod http;
pub mod inherit;
mod linger;
mod page;
pub mod paths;
mod probe;
mod proxy;
mod pulse;
mod refusal;
pub mod reload;
mod stranger;
mod ticket;
pub mod tls;
pub mod trace;
mod upgrade;
pub mod web;
pub mod witness;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_util::task::TaskTracker;

use self::decision::Decision;
use self::doors::{Doors, InForce};
use self::stranger::Stranger;
use crate::admission::{Address, Permit, Permits, Slots};
use crate::config::Speak;
use crate::drain::Hold;
use crate::log::Throttle;
use crate::metrics::{Held, Work};
use crate::panics::{GivenUp, contained, contained_task, kept_up};
use crate::relay::Leg;
use crate::session::{Left, Opened};
use crate::upstream;

/// Pause after an accept that failed for want of descriptors: long enough not to spin, short
/// enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that wait for accept, per thread. The kernel caps it (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// Binds `count` listening sockets to one address, between which the kernel spreads connections.
/// Port 0 means any free port, the same for all.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // Sockets that share a port would also share it with a stranger of the same user; a first
    // bind without sharing tells whether the port is free.
    if address.port() != 0 {
        socket(address)?.bind(&address.into())?;
    }
    let mut listeners = Vec::new();
    let mut target = address;
    for _ in 0..count.max(1) {
        let socket = socket(target)?;
        socket.set_reuse_port(true)?;
        socket.bind(&target.into())?;
        socket.listen(BACKLOG)?;
        let listener = std::net::TcpListener::from(socket);
        target = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// What all connections of the public listener share.
pub struct Public {
    pub doors: InForce,
    pub connections: Permits,
    /// Connections that nobody has been admitted on yet: in all, and by address. What strangers
    /// hold open is bounded apart from what was admitted.
    pub unadmitted: Permits,
    pub addresses: Slots<Address>,
    /// For warnings that an accept failed.
    pub accept_warnings: Throttle,
}

/// Accepts connections until told to stop, then waits for those that are left. It has given up if what
/// accepts panics again and again; those that are left are cut then.
pub async fn serve(listener: TcpListener, public: Arc<Public>) -> Result<(), GivenUp> {
    let tasks = TaskTracker::new();
    let metrics = public.doors.now().metrics.clone();
    kept_up(&metrics, "accept", || accept(&listener, &public, &tasks)).await?;
    drop(listener);
    tasks.close();
    tasks.wait().await;
    // What was begun for a client that did not wait is done all the same.
    let doors = public.doors.now();
    doors.telephony.settled().await;
    doors.bot.settled().await;
    Ok(())
}

/// Begins a task for each connection, until told to stop.
async fn accept(listener: &TcpListener, public: &Arc<Public>, tasks: &TaskTracker) {
    // The same for all generations.
    let (drain, metrics) = {
        let doors = public.doors.now();
        (doors.drain.clone(), doors.metrics.clone())
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.leaving() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The socket that could not be accepted stays in the backlog; established
                // sessions go on.
                metrics.accept_errors.increment(1);
                if let Some(left_out) = public.accept_warnings.pass(Instant::now()) {
                    tracing::warn!(%error, left_out, "accept failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        metrics.connections_total.increment(1);
        let Some(permit) = public.connections.take() else {
            metrics.limit_hit("connections");
            continue;
        };
        let Some(stranger) = public.unadmitted.take() else {
            metrics.limit_hit("unadmitted");
            continue;
        };
        let doors = public.doors.now();
        let per_address = doors.limits.unadmitted_per_address;
        let stranger = Stranger::new(stranger, public.addresses.clone(), per_address);
        // A hop is not one client: its connections are counted when it is known whose they are.
        let hop = hop::at(doors.hops.as_ref(), peer.ip());
        if hop.is_none() && !stranger.count_at(Address::of(peer.ip())) {
            metrics.limit_hit("unadmitted_per_address");
            continue;
        }
        let metrics = doors.metrics.clone();
        let since = Arrival {
            in_force: public.doors.clone(),
            doors,
            stranger,
            _held: drain.hold(),
        };
        let work = whole((socket, peer, hop), since, permit);
        let work = contained_task(metrics, Work::Connection, work);
        tasks.spawn(work.map(drop));
    }
}

/// What a connection has until it comes to a session, or to none.
struct Arrival {
    in_force: InForce,
    /// In force when it was accepted.
    doors: Arc<Doors>,
    stranger: Stranger,
    /// Until its session is entered.
    _held: Option<Hold>,
}

/// A connection from its beginning to the end of its session, and what is left to do then.
///
/// No `async fn`, which would have room for what it is given twice. Up to the `101` a connection needs
/// many times what it needs afterwards; boxed, that is gone before the session begins, and with it the
/// doors that the client came through: a session holds what it needs of them.
fn whole(
    (socket, peer, hop): (TcpStream, SocketAddr, Option<Speak>),
    since: Arrival,
    permit: Permit,
) -> impl Future<Output = ()> {
    let metrics = since.doors.metrics.clone();
    let gauge = Held::new(&metrics.connections);
    let connection = Box::pin(connection(socket, (peer, hop), since));
    async move {
        let Some(opened) = connection.await else {
            return;
        };
        let left = contained(&metrics, Work::Session, opened.run()).await;
        // Nobody waits for a place that only a call which is hung up or told of still has.
        drop((permit, gauge));
        if let Some(left) = left.filter(Left::is_anything) {
            contained(&metrics, Work::Background, Box::pin(left.run())).await;
        }
    }
}

/// From an accepted socket to a session, if it comes to one. The handshakes are those of the `doors`
/// that were in force when it was accepted; what is asked is judged by those that are then.
async fn connection(
    mut socket: TcpStream,
    (mut peer, hop): (SocketAddr, Option<Speak>),
    since: Arrival,
) -> Option<Opened> {
    let Arrival {
        in_force,
        doors,
        stranger,
        _held,
    } = since;
    let in_force = &in_force;
    let accepted = Instant::now();
    let deadline = Deadline::now() + doors.limits.handshake;
    // Of the listening socket it may not have them: it was connected before that one got them.
    upstream::set_options(&socket);
    if hop == Some(Speak::Proxy) {
        peer = behind(&mut socket, peer, deadline, &doors).await?;
        if !stranger.count_at(Address::of(peer.ip())) {
            doors.metrics.limit_hit("unadmitted_per_address");
            return None;
        }
    }
    let decision = Decision::default();
    let asked = doors::Asked {
        decision: &decision,
        peer: peer.into(),
        traced: None,
        by_hop: hop == Some(Speak::Http),
        certificate: None,
        accepted,
        deadline,
    };
    let Some(acceptor) = &doors.tls else {
        return http::serve(socket, asked, stranger, in_force, Leg::plain).await;
    };
    let accepted = tokio::select! {
        accepted = timeout_at(deadline, acceptor.accept(socket)) => accepted,
        () = doors.drain.ending() => return None,
    };
    match accepted {
        Ok(Ok((stream, certificate))) => {
            let certificate = certificate.as_ref();
            let asked = doors::Asked {
                certificate,
                ..asked
            };
            http::serve(stream, asked, stranger, in_force, tls::leg).await
        }
        Ok(Err(error)) => {
            doors.metrics.tls_failures.increment(1);
            tracing::debug!(client = %peer, error = %error.kind(), "TLS handshake failed");
            None
        }
        Err(_) => {
            doors.metrics.tls_failures.increment(1);
            tracing::debug!(client = %peer, "TLS handshake took too long");
            None
        }
    }
}

/// The client behind a hop that speaks the PROXY protocol; the hop itself if it names nobody.
async fn behind(
    socket: &mut TcpStream,
    hop: SocketAddr,
    deadline: Deadline,
    doors: &Doors,
) -> Option<SocketAddr> {
    let read = tokio::select! {
        read = timeout_at(deadline, proxy::read(socket)) => read,
        () = doors.drain.ending() => return None,
    };
    match read.unwrap_or(Err(proxy::Wrong::Late)) {
        Ok(client) => Some(client.unwrap_or(hop)),
        Err(error) => {
            doors.metrics.proxy_failures.increment(1);
            tracing::debug!(%hop, %error, "PROXY header failed");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what a function gives.
    fn size_of_given<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_has_no_room_for_its_handshake() {
        let size = size_of_given(whole);
        assert!(size <= 512, "{size} bytes");
    }
}
