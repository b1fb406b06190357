//! The floor of a comparison: accepts, dials, TLS on both sides, forwards bytes. One thread, epoll,
//! rustls; no HTTP, no limits but its own, no logs. What a proxy takes beyond this is its own doing.
//!
//! One large receive per wake into a buffer of the thread that nobody zeroes, one send per wake and
//! direction, no call that only finds out that there is nothing, no buffer of a pair at rest.

mod side;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use self::side::{Buffers, Side};
use crate::{Result, tls};

/// Four records of TLS at their largest.
const RECEIVE: usize = 64 << 10;
/// What one wake tells at most.
const EVENTS: usize = 1024;
/// Receives of one direction in a row before the others have their turn.
const TURNS: usize = 4;
const TICK: Duration = Duration::from_secs(1);
/// A pair that is not up by then is given up; so is one that one side has ended, for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(60);
const LISTENER: Token = Token(usize::MAX);

#[derive(clap::Args)]
pub struct Flags {
    /// Where callers are accepted
    #[arg(long)]
    listen: SocketAddr,
    /// Where each of them is forwarded to
    #[arg(long)]
    upstream: SocketAddr,
    /// PEM file with the chain that callers are shown
    #[arg(long, required_unless_present = "plain_client")]
    certificate: Option<PathBuf>,
    #[arg(long, required_unless_present = "plain_client")]
    key: Option<PathBuf>,
    /// PEM file with the authority that signed the upstream's certificate
    #[arg(long, required_unless_present = "plain_upstream")]
    ca: Option<PathBuf>,
    /// Callers come without TLS
    #[arg(long)]
    plain_client: bool,
    /// The upstream is dialled without TLS
    #[arg(long)]
    plain_upstream: bool,
    /// Pairs at a time; more callers wait to be accepted
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pairs: u32,
}

struct Pair {
    /// The client, the upstream.
    sides: [Side; 2],
    /// Its place is in the list of those that have their turn without a word of the poll.
    queued: bool,
    since: Instant,
}

struct Forwarder {
    poll: Poll,
    listener: TcpListener,
    upstream: SocketAddr,
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    /// By place; two tokens each.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    busy: Vec<usize>,
    /// Somebody may wait to be accepted.
    waiting: bool,
    buffers: Buffers,
    room: usize,
}

/// Forwards until the process ends.
pub fn run(flags: &Flags) -> Result<()> {
    crate::loopback(&[flags.listen, flags.upstream])?;
    let server = match (&flags.certificate, &flags.key) {
        (Some(certificate), Some(key)) if !flags.plain_client => {
            Some(tls::server(certificate, key)?)
        }
        _ => None,
    };
    let client = match &flags.ca {
        Some(ca) if !flags.plain_upstream => Some(tls::client(ca, Some(Arc::default()))?),
        _ => None,
    };
    let mut listener = TcpListener::bind(flags.listen)?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    crate::announce(listener.local_addr()?);
    let forwarder = Forwarder {
        poll,
        listener,
        upstream: flags.upstream,
        server,
        client,
        pairs: Vec::new(),
        free: Vec::new(),
        busy: Vec::new(),
        waiting: false,
        buffers: Buffers {
            input: vec![0; RECEIVE],
            spare: Vec::with_capacity(RECEIVE),
        },
        room: flags.pairs as usize,
    };
    Ok(forwarder.run()?)
}

impl Forwarder {
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut swept = Instant::now();
        loop {
            let wait = if self.busy.is_empty() {
                TICK
            } else {
                Duration::ZERO
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            for place in std::mem::take(&mut self.busy) {
                if let Some(Some(pair)) = self.pairs.get_mut(place) {
                    pair.queued = false;
                    self.drive(place);
                }
            }
            for event in &events {
                let Token(token) = event.token();
                if event.token() == LISTENER {
                    self.waiting = true;
                    continue;
                }
                // A pair may have ended since.
                let Some(Some(pair)) = self.pairs.get_mut(token / 2) else {
                    continue;
                };
                match pair.sides[token % 2].note(event) {
                    Ok(()) => self.drive(token / 2),
                    Err(_) => self.end(token / 2, true),
                }
            }
            if swept.elapsed() >= TICK {
                swept = Instant::now();
                self.sweep();
            }
            // Last, so that what was told of a pair is not taken for its successor's.
            while self.waiting && self.pairs.len() - self.free.len() < self.room {
                self.accept();
            }
        }
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok((socket, _)) => {
                // Whoever cannot be served is told so by the end of the connection.
                let _ = self.open(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.waiting = false,
            // Out of descriptors, mostly: the next tick tries again.
            Err(_) => self.waiting = false,
        }
    }

    fn open(&mut self, socket: TcpStream) -> Result<()> {
        let session = match &self.server {
            Some(config) => Some(ServerConnection::new(config.clone())?.into()),
            None => None,
        };
        let client = Side::new(socket, session, false)?;
        let session = match &self.client {
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                Some(ClientConnection::new(config.clone(), name)?.into())
            }
            None => None,
        };
        let upstream = Side::new(TcpStream::connect(self.upstream)?, session, true)?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let pair = self.pairs[place].insert(Pair {
            sides: [client, upstream],
            queued: false,
            since: Instant::now(),
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        for (at, side) in pair.sides.iter_mut().enumerate() {
            let token = Token(place * 2 + at);
            if let Err(error) = self.poll.registry().register(side.socket(), token, both) {
                self.end(place, true);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Moves what there is to move on a pair, and ends it when both sides have.
    fn drive(&mut self, place: usize) {
        let Some(Some(pair)) = self.pairs.get_mut(place) else {
            return;
        };
        match pair.shuffle(&mut self.buffers) {
            Ok(_) if pair.is_over() => self.end(place, false),
            Ok(true) if !pair.queued => {
                pair.queued = true;
                self.busy.push(place);
            }
            Ok(_) => {}
            Err(_) => self.end(place, true),
        }
    }

    fn end(&mut self, place: usize, abort: bool) {
        if let Some(pair) = self.pairs.get_mut(place).and_then(Option::take) {
            if abort {
                pair.sides.iter().for_each(Side::abort);
            }
            self.free.push(place);
        }
    }

    fn sweep(&mut self) {
        for place in 0..self.pairs.len() {
            if self.pairs[place].as_ref().is_some_and(Pair::is_stuck) {
                self.end(place, true);
            }
        }
        // After an error of accept nobody tells again that there is somebody.
        self.waiting = true;
    }
}

impl Pair {
    /// True if there is more to read at once.
    fn shuffle(&mut self, buffers: &mut Buffers) -> io::Result<bool> {
        let was_open = self.is_open();
        let [client, upstream] = &mut self.sides;
        let mut more = true;
        for _ in 0..TURNS {
            let up = step(client, upstream, buffers)?;
            let down = step(upstream, client, buffers)?;
            more = up || down;
            if !more {
                break;
            }
        }
        if was_open != self.is_open() {
            self.since = Instant::now();
        }
        Ok(more)
    }

    /// Up on both sides, and ended on none.
    fn is_open(&self) -> bool {
        self.sides.iter().all(|side| side.is_up() && !side.ended)
    }

    fn is_over(&self) -> bool {
        self.sides.iter().all(|side| side.ended && side.finished)
    }

    fn is_stuck(&self) -> bool {
        let limit = if self.sides.iter().all(Side::is_up) {
            LINGER
        } else {
            PATIENCE
        };
        !self.is_open() && self.since.elapsed() > limit
    }
}

/// One receive of `from` and the sends that follow. True if there is more to read at once.
fn step(from: &mut Side, to: &mut Side, buffers: &mut Buffers) -> io::Result<bool> {
    to.flush(buffers)?;
    if from.may_read(to) {
        from.receive(buffers, to)?;
        // Its own answers: of the handshake, mostly.
        from.flush(buffers)?;
        to.flush(buffers)?;
    }
    if from.ended {
        to.finish(buffers)?;
    }
    Ok(from.may_read(to))
}
