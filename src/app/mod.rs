//! Puts everything together: bind all, build all, serve, react to signals, end.
//!
//! The only place that sees the whole. One thread with a runtime of its own per worker, so that a
//! session never changes thread, one for what is said to the store, one that reads settings anew, and one
//! more for the operator, the end and upkeep.

mod batch;
mod build;
mod drain;
mod examine;
mod health;
mod listening;
mod parts;
mod reload;
mod spawn;
mod threads;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::time::{sleep, timeout};

use self::build::doors;
pub use self::examine::{check, examine, examine_ticket, explain};
pub use self::health::Beats;
use self::listening::{Listening, Operator};
use self::parts::Parts;
pub use self::reload::{Read, Source};
use self::threads::Threads;
use crate::admission::{Permits, Slots};
use crate::audit::{self, Audit};
use crate::config::{self, RouteKind, Settings, Way};
use crate::drain::Drain;
use crate::error::Reason;
use crate::listener::admin::Admin;
use crate::listener::doors::{Doors, InForce};
use crate::listener::handover::{self, Offer};
use crate::listener::inherit::{self, Sockets};
use crate::listener::reload::Reload;
use crate::listener::{Public, tls};
use crate::log;
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
    doors: InForce,
    /// The same for all generations.
    store: Arc<Store>,
    registry: Registry,
    drain: Drain,
    public: SocketAddr,
    admin: SocketAddr,
    /// Those that carry sessions and speak with the store, and that of the operator's listener, which
    /// ends last.
    working: Threads,
    operator: Threads,
    beats: Arc<Beats>,
}

impl Edge {
    /// Binds and builds everything before anything is served. The settings stay what they are.
    pub fn start(settings: &Settings) -> Result<Edge, Failed> {
        Edge::start_with(settings, Sockets::default(), None)
    }

    /// The same with settings that are read anew: when somebody asks, and when their files change.
    pub fn start_from(settings: &Settings, source: Source) -> Result<Edge, Failed> {
        Edge::start_with(settings, Sockets::default(), Some(source))
    }

    /// The same with sockets that listen already. If another process lives at `server.handover`, this
    /// one takes its place: when it returns it accepts alone.
    pub fn start_with(
        settings: &Settings,
        given: Sockets,
        source: Option<Source>,
    ) -> Result<Edge, Failed> {
        let boot = &settings.boot;
        let Listening {
            public: sockets,
            admin,
            mut predecessor,
        } = Listening::of(boot, given)?;
        let (reload, asked) = Reload::new();
        let mut doors = opened(settings, predecessor.is_some())?;
        if source.is_some() {
            doors.reload = reload;
        }
        let parts = Arc::new(Parts::default());
        // Nobody waits for what is fetched: who comes before that does.
        drop(parts.begin(&doors));
        let limits = &settings.live.limits;
        let (store, registry, drain) = shared(&doors);
        let public = Arc::new(Public {
            doors: InForce::new(doors),
            connections: Permits::new(limits.connections),
            unadmitted: Permits::new(limits.unadmitted),
            addresses: Slots::default(),
            accept_warnings: log::Throttle::default(),
        });
        let mut edge = Edge {
            doors: public.doors.clone(),
            store,
            registry,
            drain,
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
        edge.spawn_store(parts.clone())?;
        if let Some(predecessor) = &mut predecessor {
            predecessor.relieve()?;
            tracing::info!("took the place of the process that ran; its sessions end there");
        }
        let offer = offered.map(|(path, sockets)| edge.offer(path, sockets));
        let operator = Operator {
            socket: admin,
            admin: Arc::new(Admin::beside(&public, settings.admin_speaks_tls())),
            tls: settings.admin_speaks_tls(),
            drain: edge.drain.clone(),
        };
        edge.spawn_operator(operator, offer.transpose()?, predecessor)?;
        if let Some(source) = source {
            edge.spawn_loader(source, asked, (public, parts))?;
        }
        edge.announce(settings);
        Ok(edge)
    }

    /// What another process may ask for.
    fn offer(&self, path: &std::path::Path, sockets: Sockets) -> Result<Offer, handover::Failed> {
        let doors = self.doors.now();
        Ok(Offer {
            place: handover::Place::take(path)?,
            sockets,
            drain: doors.drain.clone(),
            audit: doors.audit.clone(),
            metrics: doors.metrics.clone(),
        })
    }

    fn announce(&self, settings: &Settings) {
        let tls = settings.live.identity.is_some();
        tracing::info!(role = "public", address = %self.public, tls, "listening");
        let admin_tls = settings.admin_speaks_tls();
        tracing::info!(role = "admin", address = %self.admin, tls = admin_tls, "listening");
        if !admin_tls && !self.admin.ip().is_loopback() {
            tracing::warn!(
                "the admin listener takes its token in plain text: there is no certificate"
            );
        }
        if !tls && !self.public.ip().is_loopback() {
            tracing::warn!("the public listener speaks plain text: plain_text = true");
        }
        warn_of_routes(settings);
    }

    /// Where clients connect.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where metrics and probes are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Has the settings read anew, and tells what came of it.
    pub fn reload(&self) -> Reload {
        self.doors.now().reload.clone()
    }

    /// Resolves when the edge can go on no more, for something without which it is none has panicked for
    /// good. To be stopped then, and begun anew by whoever runs the process.
    pub async fn broken(&self) {
        tokio::select! {
            () = self.working.broken() => {}
            () = self.operator.broken() => {}
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.doors.now().generation.settings.clone()
    }

    /// Sessions that are running.
    pub fn sessions(&self) -> usize {
        self.registry.len()
    }

    /// The session store, for whoever runs the edge in a process of their own: demo, tests.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Its sessions, for the same.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The page that `/metrics` shows.
    pub fn metrics_page(&self) -> String {
        self.doors.now().metrics.render()
    }

    /// Whether it takes new sessions, and how to have it take none.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Which threads make progress.
    pub fn beats(&self) -> &Arc<Beats> {
        &self.beats
    }

    /// Ends at once: running sessions are closed with 1001, then the threads end. Blocks for a few
    /// seconds at the most.
    pub fn stop(self) {
        self.drain.end();
        if let Ok(runtime) = runtime::Builder::new_current_thread().enable_time().build() {
            runtime.block_on(self.ended());
        }
        self.close();
    }

    /// Resolves when everybody has gone after a drain, and some seconds after it has come to its end at
    /// the latest.
    pub async fn ended(&self) {
        let drain = &self.drain;
        drain.ending().await;
        self.working.running.close();
        let all_gone = async {
            self.registry.empty().await;
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
        self.doors.now().audit.flush();
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
        self.drain.finish();
        self.doors.now().metrics.ready.set(0.0);
        self.registry.end_all(Reason::Draining);
    }
}

/// The first generation, with its audit open: beside the process whose place it takes, if it does.
fn opened(settings: &Settings, beside: bool) -> Result<Doors, Failed> {
    let boot = &settings.boot;
    let mut doors = doors(settings)?;
    let audit = boot.audit.as_ref();
    doors.audit = match beside {
        true => Audit::open_beside(audit, &doors.metrics)?,
        false => Audit::open(audit, &doors.metrics)?,
    };
    if matches!(boot.store.engine, config::Engine::Redis(_)) {
        let revocations = doors.orders.revocations();
        revocations.must_be_read(boot.store.revocations_stale);
    }
    doors.metrics.settings_loaded(doors.generation.loaded);
    Ok(doors)
}

/// What is the same for all generations.
fn shared(doors: &Doors) -> (Arc<Store>, Registry, Drain) {
    let (store, registry) = (doors.store.clone(), doors.registry.clone());
    (store, registry, doors.drain.clone())
}

/// Says of routes what their settings let in.
fn warn_of_routes(settings: &Settings) {
    for route in &settings.live.routes {
        let ways = route.enter.ways();
        // A page has no secrets, and its routes admit for themselves.
        let is_page = matches!(route.kind, RouteKind::Page(_));
        if ways.contains(&Way::Anyone) && !is_page {
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
