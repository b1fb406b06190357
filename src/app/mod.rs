//! Puts everything together: bind all, build all, serve, react to signals, end.
//!
//! The only place that sees the whole. One thread with a runtime of its own per worker, so that a
//! session never changes thread, and one more for admin, signals and upkeep.

mod build;
mod upkeep;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::build::doors;
use self::upkeep::{
    all_said, announce, identities, issuer_keys, shares, tell_spans, upkeep, warn_of_developer,
};
use crate::admission::ticket::Examined as ExaminedTicket;
use crate::admission::{Denied, Examined, Slots};
use crate::audit::{self, Audit};
use crate::config::{self, Settings, Way};
use crate::error::Reason;
use crate::label::Label;
use crate::listener::doors::Doors;
use crate::listener::explain::Explained;
use crate::listener::{self, Public, admin, tls};
use crate::log;
use crate::secret::Secret;
use crate::session::Registry;
use crate::store::{self, Store};
use crate::upstream;

/// At the end sessions are told to go; what has not gone by then is cut, whatever its thread still
/// waits for. Longer than a session takes at the most to shut both legs.
const STOP_WAIT: Duration = Duration::from_secs(6);

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
    #[error("a thread cannot start: {0}")]
    Thread(#[from] io::Error),
}

/// A running edge. Dropping it stops it without waiting; [`Edge::stop`] is the polite way.
pub struct Edge {
    doors: Arc<Doors>,
    public: SocketAddr,
    admin: SocketAddr,
    threads: Vec<JoinHandle<()>>,
    /// Counts the threads that have not ended: a join alone could not be given up.
    running: TaskTracker,
}

impl Edge {
    /// Binds and builds everything before anything is served.
    pub fn start(settings: &Settings) -> Result<Edge, Failed> {
        let boot = &settings.boot;
        let bind = |setting, address, count| {
            listener::bind(address, count).map_err(|error| Failed::Bind {
                address,
                setting,
                error,
            })
        };
        let public_sockets = bind("server.listen", boot.listen, boot.workers)?;
        let admin_socket = bind("server.admin", boot.admin, 1)?.remove(0);
        let (public_address, admin_address) =
            (public_sockets[0].local_addr()?, admin_socket.local_addr()?);
        let mut doors = doors(settings)?;
        doors.audit = Audit::open(boot.audit.as_ref(), &doors.metrics)?;
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
            public: public_address,
            admin: admin_address,
            threads: Vec::new(),
            running: TaskTracker::new(),
        };
        for (i, socket) in public_sockets.into_iter().enumerate() {
            let public = public.clone();
            edge.spawn(format!("worker-{i}"), move || async move {
                match TcpListener::from_std(socket) {
                    Ok(listener) => listener::serve(listener, public).await,
                    Err(error) => tracing::error!(%error, "cannot use a listening socket"),
                }
            })?;
        }
        let stop = doors.stop.clone();
        let (of_store, telemetry) = (doors.clone(), boot.telemetry.clone());
        edge.spawn("store".to_owned(), move || async move {
            tokio::select! {
                () = of_store.store.run() => {}
                () = of_store.webhooks.run() => {}
                () = of_store.bot.run() => {}
                () = of_store.orders.run() => {}
                () = announce(&of_store) => {}
                () = shares(&of_store) => {}
                () = tell_spans(&telemetry, &of_store) => {}
                () = all_said(&of_store) => {}
            }
        })?;
        edge.spawn("admin".to_owned(), move || async move {
            match TcpListener::from_std(admin_socket) {
                Ok(listener) => tokio::select! {
                    () = admin::serve(listener, doors.clone(), stop) => {}
                    () = upkeep(&doors) => {}
                    () = issuer_keys(&doors) => {}
                    () = identities(&doors) => {}
                    () = warn_of_developer(&doors) => {}
                },
                Err(error) => tracing::error!(%error, "cannot use a listening socket"),
            }
        })?;
        edge.announce(settings);
        Ok(edge)
    }

    /// Runs a future to its end on a thread and a runtime of its own.
    fn spawn<F>(
        &mut self,
        name: String,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()>,
    {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            // Name look-ups, and the token file of a service account.
            .max_blocking_threads(4)
            .build()?;
        let running = self.running.token();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let _running = running;
            runtime.block_on(work());
            runtime.shutdown_background();
        })?;
        self.threads.push(thread);
        Ok(())
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

    /// Ends: no new sessions, running ones are closed with 1001, then the threads end. Blocks for
    /// a few seconds at the most.
    pub fn stop(mut self) {
        let running = self.sessions();
        tracing::info!(sessions = running, "stopping");
        self.begin_stop();
        self.running.close();
        let all_gone = async {
            self.doors.registry.empty().await;
            self.running.wait().await;
        };
        let wait = runtime::Builder::new_current_thread().enable_time().build();
        let gone = wait.is_ok_and(|runtime| {
            runtime.block_on(async { tokio::time::timeout(STOP_WAIT, all_gone).await.is_ok() })
        });
        if gone {
            for thread in self.threads.drain(..) {
                // A thread that panicked has said so on its own.
                let _ = thread.join();
            }
        }
        self.doors.audit.flush();
        let left = self.sessions();
        tracing::info!(cut = left, "stopped");
    }

    fn begin_stop(&self) {
        self.doors.stop.cancel();
        self.doors.metrics.ready.set(0.0);
        self.doors.registry.end_all(Reason::Draining);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.begin_stop();
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
