//! Puts everything together: bind all, build all, serve, react to signals, end.
//!
//! The only place that sees the whole. One thread with a runtime of its own per worker, so that a
//! session never changes thread, one for what is said to the store, and one more for the operator, the
//! end and upkeep.

mod build;
mod drain;
mod health;
mod listening;
mod threads;
mod upkeep;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use self::build::doors;
pub use self::health::Beats;
use self::listening::{Listening, operator};
use self::threads::Threads;
use self::upkeep::{
    all_said, announce, identities, issuer_keys, shares, upkeep, warn_of_developer,
};
use crate::admission::ticket::Examined as ExaminedTicket;
use crate::admission::{Denied, Examined, Slots};
use crate::audit::{self, Audit};
use crate::config::{self, Settings, Way};
use crate::drain::Drain;
use crate::error::Reason;
use crate::label::Label;
use crate::listener::doors::Doors;
use crate::listener::explain::Explained;
use crate::listener::handover::{self, Offer};
use crate::listener::inherit::{self, Sockets};
use crate::listener::{self, Public, tls};
use crate::log;
use crate::secret::Secret;
use crate::session::Registry;
use crate::store::{self, Store};
use crate::upstream;

/// At the end sessions are told to go; what has not gone so long after that is cut, whatever its thread
/// still waits for. Longer than a session takes at the most to shut both legs.
const STOP_WAIT: Duration = Duration::from_secs(6);
/// So long the operator's listener has to answer the last one who asked how it went.
const OPERATOR_WAIT: Duration = Duration::from_secs(1);

/// Why the edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("cannot listen on {address} ({setting}): {error}")]
    Bind {
        address: SocketAddr,
        setting: &'static str,
        error: io::Error,
    },
    #[error(transparent)]
    Tls(#[from] tls::Unusable),
    #[error(transparent)]
    Upstream(#[from] upstream::Unusable),
    #[error(transparent)]
    Store(#[from] store::Unusable),
    #[error(transparent)]
    Audit(#[from] audit::Unusable),
    #[error(transparent)]
    Inherit(#[from] inherit::Unfit),
    #[error(transparent)]
    Handover(#[from] handover::Failed),
    #[error("a thread cannot start: {0}")]
    Thread(#[from] io::Error),
}

/// A running edge. Dropping it stops it without waiting; [`Edge::stop`] is the polite way.
pub struct Edge {
    doors: Arc<Doors>,
    public: SocketAddr,
    admin: SocketAddr,
    /// Those that carry sessions and speak with the store, and that of the operator's listener, which
    /// ends last.
    working: Threads,
    operator: Threads,
    beats: Arc<Beats>,
}

impl Edge {
    /// Binds and builds everything before anything is served.
    pub fn start(settings: &Settings) -> Result<Edge, Failed> {
        Edge::start_with(settings, Sockets::default())
    }

    /// The same with sockets that listen already. If another process lives at `server.handover`, this
    /// one takes its place: when it returns it accepts alone.
    pub fn start_with(settings: &Settings, given: Sockets) -> Result<Edge, Failed> {
        let boot = &settings.boot;
        let Listening {
            public: sockets,
            admin,
            mut predecessor,
        } = Listening::of(boot, given)?;
        let mut doors = doors(settings)?;
        let audit = boot.audit.as_ref();
        doors.audit = match predecessor {
            Some(_) => Audit::open_beside(audit, &doors.metrics)?,
            None => Audit::open(audit, &doors.metrics)?,
        };
        if matches!(boot.store.engine, config::Engine::Redis(_)) {
            let revocations = doors.orders.revocations();
            revocations.must_be_read(boot.store.revocations_stale);
        }
        let doors = Arc::new(doors);
        let public = Arc::new(Public {
            doors: doors.clone(),
            tls: boot.identity.as_ref().map(tls::Acceptor::new).transpose()?,
            connections: Arc::new(Semaphore::new(settings.live.limits.connections)),
            unadmitted: Arc::new(Semaphore::new(settings.live.limits.unadmitted)),
            addresses: Slots::default(),
            accept_warnings: log::Throttle::default(),
        });
        let mut edge = Edge {
            doors: doors.clone(),
            public: sockets[0].local_addr()?,
            admin: admin.local_addr()?,
            working: Threads::default(),
            operator: Threads::default(),
            beats: Arc::new(Beats::of(boot.workers)),
        };
        // What is to be passed on, should another process ask.
        let offered = match &boot.handover {
            Some(path) => Some((path, listening::again(&sockets, &admin)?)),
            None => None,
        };
        edge.spawn_workers(&public, inherit::spread(sockets, boot.workers)?)?;
        edge.spawn_store()?;
        if let Some(predecessor) = &mut predecessor {
            predecessor.relieve()?;
            tracing::info!("took the place of the process that ran; its sessions end there");
        }
        let offer = match offered {
            Some((path, sockets)) => Some(Offer {
                place: handover::Place::take(path)?,
                sockets,
                drain: doors.drain.clone(),
                audit: doors.audit.clone(),
                metrics: doors.metrics.clone(),
            }),
            None => None,
        };
        edge.operator
            .spawn("admin".to_owned(), move || async move {
                let doors = &doors;
                tokio::select! {
                    () = operator(admin, doors) => {}
                    () = drain::see_through(doors) => {}
                    () = drain::pass_on(offer) => {}
                    () = drain::succeed(predecessor, doors) => {}
                    () = upkeep(doors) => {}
                    () = issuer_keys(doors) => {}
                    () = identities(doors) => {}
                    () = warn_of_developer(doors) => {}
                }
            })?;
        edge.announce(settings);
        Ok(edge)
    }

    fn spawn_workers(
        &mut self,
        public: &Arc<Public>,
        shares: Vec<Vec<std::net::TcpListener>>,
    ) -> io::Result<()> {
        for (i, share) in shares.into_iter().enumerate() {
            let (public, beats) = (public.clone(), self.beats.clone());
            let work = move || async move {
                let serve = async |socket| match TcpListener::from_std(socket) {
                    Ok(listener) => listener::serve(listener, public.clone()).await,
                    Err(error) => tracing::error!(%error, "cannot use a listening socket"),
                };
                tokio::select! {
                    _ = join_all(share.into_iter().map(serve)) => {}
                    () = beats.beat(i) => {}
                }
            };
            self.working.spawn(format!("worker-{i}"), work)?;
        }
        Ok(())
    }

    fn spawn_store(&mut self) -> io::Result<()> {
        let doors = self.doors.clone();
        self.working.spawn("store".to_owned(), move || async move {
            tokio::select! {
                () = doors.store.run() => {}
                () = doors.webhooks.run() => {}
                () = doors.bot.run() => {}
                () = doors.orders.run() => {}
                () = announce(&doors) => {}
                () = shares(&doors) => {}
                () = all_said(&doors) => {}
            }
        })
    }

    fn announce(&self, settings: &Settings) {
        let tls = settings.boot.identity.is_some();
        tracing::info!(role = "public", address = %self.public, tls, "listening");
        tracing::info!(role = "admin", address = %self.admin, tls = false, "listening");
        if !tls && !self.public.ip().is_loopback() {
            tracing::warn!("the public listener speaks plain text: plain_text = true");
        }
        for route in &settings.live.routes {
            let ways = route.enter.ways();
            if ways.contains(&Way::Anyone) {
                tracing::warn!(route = %route.name, "this route admits anyone");
            }
            let tenants = settings.live.hops.as_ref().map(|hops| hops.tenants.len());
            if ways.contains(&Way::EasyAuth) && tenants == Some(0) {
                tracing::warn!(
                    route = %route.name,
                    "this route admits everybody whom the platform signs in, of whatever tenant"
                );
            }
        }
    }

    /// Where clients connect.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where metrics and probes are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Sessions that are running.
    pub fn sessions(&self) -> usize {
        self.doors.registry.len()
    }

    /// The session store, for whoever runs the edge in a process of their own: demo, tests.
    pub fn store(&self) -> &Arc<Store> {
        &self.doors.store
    }

    /// Its sessions, for the same.
    pub fn registry(&self) -> &Registry {
        &self.doors.registry
    }

    /// The page that `/metrics` shows.
    pub fn metrics_page(&self) -> String {
        self.doors.metrics.render()
    }

    /// Whether it takes new sessions, and how to have it take none.
    pub fn drain(&self) -> &Drain {
        &self.doors.drain
    }

    /// Which threads make progress.
    pub fn beats(&self) -> &Arc<Beats> {
        &self.beats
    }

    /// Ends at once: running sessions are closed with 1001, then the threads end. Blocks for a few
    /// seconds at the most.
    pub fn stop(self) {
        self.doors.drain.end();
        if let Ok(runtime) = runtime::Builder::new_current_thread().enable_time().build() {
            runtime.block_on(self.ended());
        }
        self.close();
    }

    /// Resolves when everybody has gone after a drain, and some seconds after it has come to its end at
    /// the latest.
    pub async fn ended(&self) {
        let drain = &self.doors.drain;
        drain.ending().await;
        self.working.running.close();
        let all_gone = async {
            self.doors.registry.empty().await;
            self.working.running.wait().await;
        };
        let too_long = async {
            // Until the last one was told to go.
            let _ = timeout(drain::SPREAD, drain.hurried()).await;
            sleep(STOP_WAIT).await;
        };
        tokio::select! {
            () = all_gone => {}
            () = too_long => {}
        }
        self.doors.audit.flush();
        tracing::info!(cut = self.sessions(), "stopped");
        drain.finish();
        self.operator.running.close();
        let _ = timeout(OPERATOR_WAIT, self.operator.running.wait()).await;
    }

    /// Takes back what threads that have ended leave. To be called when it has ended.
    pub fn close(mut self) {
        self.working.join();
        self.operator.join();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.doors.drain.finish();
        self.doors.metrics.ready.set(0.0);
        self.doors.registry.end_all(Reason::Draining);
    }
}

/// Builds everything that `serve` would build, without listening.
pub fn check(settings: &Settings) -> Result<(), Failed> {
    if let Some(identity) = &settings.boot.identity {
        tls::Acceptor::new(identity)?;
    }
    audit::check(settings.boot.audit.as_ref())?;
    doors(settings)?;
    Ok(())
}

/// What would become of a request with this head from `peer`, without anything being dialled but
/// the issuers of tokens.
pub fn explain(settings: &Settings, head: &[u8], peer: IpAddr) -> Result<Explained, Failed> {
    let mut doors = doors(settings)?;
    doors.admission.count_alone();
    alone(&doors, listener::explain::explain(&doors, head, peer))
}

/// Whether a token of `issuer` is good, and what it says.
pub fn examine(
    settings: &Settings,
    issuer: &Label,
    token: &Secret,
) -> Result<Result<Examined, Denied>, Failed> {
    let doors = doors(settings)?;
    let now = SystemTime::now();
    alone(&doors, doors.admission.examine(issuer, token, now))
}

/// Whether a ticket is good, but for its use, and what it says.
pub fn examine_ticket(
    settings: &Settings,
    ticket: &Secret,
) -> Result<Result<ExaminedTicket, Denied>, Failed> {
    let doors = doors(settings)?;
    Ok(doors.admission.examine_ticket(ticket, SystemTime::now()))
}

/// Runs one future to its end while the keys of issuers are fetched.
fn alone<T>(doors: &Doors, work: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = issuer_keys(doors) => unreachable!("keys are fetched for ever"),
        }
    });
    runtime.shutdown_background();
    Ok(done)
}
