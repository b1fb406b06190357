//! Everything that decides about connections, built from the settings: one generation of the doors.
//!
//! What must outlive its settings is shared with the generation before, and so is whatever would be
//! built of the same settings again: it has tokens, keys and queues that were hard to come by.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Failed;
use crate::admission::{Admission, Permits, Revocations};
use crate::audit::Audit;
use crate::bot::Bot;
use crate::bot::roles::Roles;
use crate::config::{Flow, KnownBy, Live, Phone, Route, RouteKind, Settings, Telemetry};
use crate::drain::{Drain, Pace};
use crate::label::Label;
use crate::listener::calls::RETURNING_MAX;
use crate::listener::doors::{Doors, Open};
use crate::listener::expiry::Expiries;
use crate::listener::gateway::inward::Inward;
use crate::listener::paths::Paths;
use crate::listener::reload::{Generation, Reload};
use crate::listener::tls;
use crate::listener::trace::Tracing;
use crate::listener::web::Web;
use crate::listener::witness::Witness;
use crate::metrics::{self, Metrics};
use crate::session::{Announcer, Dialler, Orders, Registry};
use crate::store::Store;
use crate::telephony::Telephony;
use crate::upstream::assertion::Assertions;
use crate::upstream::call_automation::CallAutomation;
use crate::upstream::connector::Connector;
use crate::upstream::graph::Graph;
use crate::upstream::pii_detector::Detector;
use crate::upstream::webhook::Webhooks;
use crate::upstream::{self, Upstream};

/// What outlives the settings that it came with.
struct Shared {
    metrics: metrics::Shared,
    store: Arc<Store>,
    registry: Registry,
    revocations: Revocations,
    orders: Arc<Orders>,
    sessions: Permits,
    returning: Arc<Semaphore>,
    audit: Audit,
    drain: Drain,
    reload: Reload,
    witness: Arc<Witness>,
}

impl Shared {
    fn new(settings: &Settings) -> Result<Shared, Failed> {
        let metrics = Arc::new(Metrics::new());
        let store = Arc::new(Store::new(&settings.boot.store, metrics.clone())?);
        let revocations = Revocations::default();
        let registry = Registry::heeding(&revocations);
        let orders = Orders::new(&store, &registry, &revocations, &metrics);
        Ok(Shared {
            metrics,
            store,
            registry,
            revocations,
            orders: Arc::new(orders),
            sessions: Permits::new(settings.live.limits.sessions),
            returning: Arc::new(Semaphore::new(RETURNING_MAX)),
            audit: Audit::off(),
            drain: Drain::new(Pace {
                delay: settings.boot.drain_delay,
                grace: settings.boot.grace,
            }),
            reload: Reload::default(),
            witness: Arc::default(),
        })
    }

    fn of(before: &Doors) -> Shared {
        Shared {
            metrics: before.metrics.clone(),
            store: before.store.clone(),
            registry: before.registry.clone(),
            revocations: before.orders.revocations().clone(),
            orders: before.orders.clone(),
            sessions: before.sessions.clone(),
            returning: before.returning.clone(),
            audit: before.audit.clone(),
            drain: before.drain.clone(),
            reload: before.reload.clone(),
            witness: before.witness.clone(),
        }
    }
}

/// What is built of the settings, or was built of the same ones before.
struct Builder<'a> {
    live: &'a Live,
    shared: &'a Shared,
    before: Option<&'a Doors>,
}

impl<'a> Builder<'a> {
    /// The generation before, if something of its settings is the same.
    fn same<T: PartialEq>(&self, of: impl Fn(&Live) -> &T) -> Option<&'a Doors> {
        let before = self.before?;
        (of(&before.generation.settings.live) == of(self.live)).then_some(before)
    }

    fn metrics(&self) -> metrics::Shared {
        self.shared.metrics.clone()
    }

    fn upstreams(&self) -> Result<HashMap<Label, Arc<Upstream>>, upstream::Unusable> {
        let routes = self.before.iter().flat_map(|before| &before.routes);
        let known: Vec<_> = routes.flat_map(|open| &open.upstreams).collect();
        let one = |settings: &crate::config::Upstream| {
            let known = known.iter().find(|known| known.settings() == settings);
            let built = match known {
                Some(known) => (*known).clone(),
                None => Arc::new(Upstream::new(settings.clone(), self.metrics())?),
            };
            Ok((settings.name.clone(), built))
        };
        self.live.upstreams.iter().map(one).collect()
    }

    fn acs(&self) -> Result<Option<Arc<CallAutomation>>, upstream::Unusable> {
        if let Some(before) = self.same(|live| &live.acs) {
            return Ok(before.acs.clone());
        }
        let acs = self.live.acs.clone();
        let acs = acs.map(|acs| CallAutomation::new(acs, self.metrics()));
        Ok(acs.transpose()?.map(Arc::new))
    }

    fn roles(&self) -> Result<Option<Roles>, upstream::Unusable> {
        let before = self.same(|live| &live.graph);
        let before = before.and_then(|before| before.roles.as_ref()?.graph());
        let graph = match (before, &self.live.graph) {
            (Some(graph), _) => Some(graph.clone()),
            (None, Some(graph)) => Some(Arc::new(Graph::new(graph.clone(), self.metrics())?)),
            (None, None) => None,
        };
        Roles::new(self.live.roles.as_ref(), graph.as_ref(), &self.shared.store)
    }

    fn detectors(&self) -> Result<Vec<Arc<Detector>>, upstream::Unusable> {
        if let Some(before) = self.same(|live| &live.pii_detectors) {
            return Ok(before.pii_detectors.clone());
        }
        let detectors = self.live.pii_detectors.iter();
        detectors
            .map(|of| Detector::new(of.clone(), self.metrics()).map(Arc::new))
            .collect()
    }

    /// The bot, and its own word in conversations if it has one here.
    fn bot(&self) -> Result<Arc<Bot>, upstream::Unusable> {
        if let Some(before) = self.same(|live| &live.bot) {
            return Ok(before.bot.clone());
        }
        let (store, metrics) = (&self.shared.store, &self.shared.metrics);
        let bot = match &self.live.bot {
            None => Bot::new(None, (store, Duration::ZERO), metrics),
            Some(settings) => {
                let connector = Arc::new(Connector::new(settings.clone(), metrics.clone())?);
                Bot::new(Some(connector), (store, settings.keep), metrics)
            }
        };
        Ok(Arc::new(match self.before {
            Some(before) => bot.after(&before.bot),
            None => bot,
        }))
    }

    /// What applications are told is signed with.
    fn assertions(&self) -> Result<Option<Arc<Assertions>>, upstream::Unusable> {
        // A developer there is for as long as the process lives, or never.
        if let Some(before) = self.same(|live| &live.assertion) {
            return Ok(before.assertions.clone());
        }
        let Some(assertion) = self.live.assertion.clone() else {
            return Ok(None);
        };
        Ok(Some(Arc::new(match self.live.developer {
            // An app elsewhere that believes the edge's keys must not believe a developer.
            Some(_) => Assertions::with_a_key_of_its_own(assertion)?,
            None => Assertions::new(assertion)?,
        })))
    }

    fn admission(&self) -> Result<Admission, upstream::Unusable> {
        let admission = Admission::new(self.live, &self.shared.metrics)?;
        let admission = match self.before {
            Some(before) => admission.after(&before.admission),
            None => admission,
        };
        let admission = admission.heed(&self.shared.revocations);
        Ok(admission.sharing(&self.shared.store))
    }

    fn webhooks(&self) -> Result<Arc<Webhooks>, upstream::Unusable> {
        let webhooks = Webhooks::new(self.live, &self.shared.metrics)?;
        Ok(Arc::new(match self.before {
            Some(before) => webhooks.after(&before.webhooks),
            None => webhooks,
        }))
    }

    fn dialler(&self) -> Arc<Dialler> {
        let turns = (&self.shared.store, self.live.limits.replicas);
        let dialler = Dialler::new(&self.live.upstreams, turns, &self.shared.metrics);
        Arc::new(match self.before {
            Some(before) => dialler.after(&before.dialler),
            None => dialler,
        })
    }

    fn telephony(&self, acs: Option<&Arc<CallAutomation>>) -> Arc<Telephony> {
        let Shared {
            store,
            registry,
            metrics,
            ..
        } = self.shared;
        let telephony = Telephony::new(self.live, acs, store, registry, metrics);
        Arc::new(match self.before {
            Some(before) => telephony.after(&before.telephony),
            None => telephony,
        })
    }

    /// Tells other edges of the sessions here; where nobody is told of sessions, nobody tells.
    fn announcer(&self) -> Option<Arc<Announcer>> {
        let is_told = |route: &Route| matches!(route.kind, RouteKind::Sessions(_));
        if !self.live.routes.iter().any(is_told) {
            return None;
        }
        let before = self.before.and_then(|before| before.announcer.clone());
        let Shared {
            registry, store, ..
        } = self.shared;
        Some(before.unwrap_or_else(|| Arc::new(Announcer::new(registry, store))))
    }

    /// All routes with what serves them, and their paths.
    fn routes(
        &self,
        upstreams: &HashMap<Label, Arc<Upstream>>,
        detectors: &[Arc<Detector>],
    ) -> (Paths, Vec<Open>) {
        let (live, metrics) = (self.live, &self.shared.metrics);
        let (mut paths, mut routes) = (Paths::default(), Vec::new());
        for route in &live.routes {
            for path in &route.paths {
                paths.add(path, routes.len());
                if route.kind.has_items() {
                    paths.add_items(path, routes.len());
                }
                if matches!(route.kind, RouteKind::Sessions(_)) {
                    paths.add_sessions(path, routes.len());
                }
            }
            let gated = |phone: &Arc<Phone>| matches!(phone.flow, Flow::Dialled(_));
            metrics.expect_denials(&route.name, route.kind.phone().is_some_and(gated));
            routes.push(Open {
                metrics: Arc::new(metrics.route(&route.name)),
                upstreams: route
                    .upstreams
                    .iter()
                    .filter_map(|name| upstreams.get(name).cloned())
                    .collect(),
                web: Web::of(route, live),
                inward: Inward::new(&route.kind, detectors, live.identity.is_some()),
                route: route.clone(),
                dial_warnings: Arc::default(),
            });
        }
        (paths, routes)
    }
}

fn tracing(telemetry: &Telemetry) -> Tracing {
    Tracing {
        believes: telemetry.believes,
        sample: telemetry.otlp.as_ref().map_or(0.0, |otlp| otlp.sample),
    }
}

/// The first generation.
pub(super) fn doors(settings: &Settings) -> Result<Doors, Failed> {
    let live = &settings.live;
    let tls = live.identity.as_ref();
    let tls = tls.map(|identity| tls::Acceptor::new(identity, &live.server_certificates));
    let shared = Shared::new(settings)?;
    let generation = Generation::first(settings);
    built(generation, shared, (tls.transpose()?, None))
}

/// The one after `before`, and what is to be done when it takes its place. Until then nothing that is in
/// force has changed.
pub(super) fn next(
    settings: Settings,
    before: &Doors,
) -> Result<(Doors, Option<tls::Prepared>), Failed> {
    let live = &settings.live;
    let prepared = match (&before.tls, &live.identity) {
        (Some(tls), Some(identity)) => Some(tls.prepare(identity, &live.server_certificates)?),
        // Whether there is TLS does not change.
        (None, _) | (_, None) => None,
    };
    let tls = prepared.as_ref().map(tls::Prepared::acceptor);
    let generation = before.generation.next(settings);
    let doors = built(generation, Shared::of(before), (tls, Some(before)))?;
    Ok((doors, prepared))
}

fn built(
    generation: Generation,
    shared: Shared,
    (tls, before): (Option<tls::Acceptor>, Option<&Doors>),
) -> Result<Doors, Failed> {
    let live = &generation.settings.live;
    let build = Builder {
        live,
        shared: &shared,
        before,
    };
    let upstreams = build.upstreams()?;
    let acs = build.acs()?;
    let pii_detectors = build.detectors()?;
    let roles = build.roles()?;
    let bot = build.bot()?;
    let assertions = build.assertions()?;
    let admission = build.admission()?;
    let webhooks = build.webhooks()?;
    // From here on nothing fails, so that of what cannot be used nothing is shown in metrics.
    let (paths, routes) = build.routes(&upstreams, &pii_detectors);
    let insecure_dev = live.developer.is_some();
    let metrics = &shared.metrics;
    metrics.insecure_dev.set(f64::from(u8::from(insecure_dev)));
    let calls = live.calls.as_ref();
    Ok(Doors {
        routes,
        paths,
        admission,
        hops: live.hops.clone(),
        limits: live.limits,
        announcer: build.announcer(),
        dialler: build.dialler(),
        telephony: build.telephony(acs.as_ref()),
        known_by: calls.map_or(KnownBy::Record, |calls| calls.known_by),
        resume: calls.map_or(Duration::ZERO, |calls| calls.resume),
        acs,
        bot,
        roles,
        pii_detectors,
        assertions,
        webhooks,
        tracing: tracing(&generation.settings.boot.telemetry),
        certificates: Expiries::of(
            live.identity.as_ref(),
            live,
            &generation.settings.boot.store,
        ),
        insecure_dev,
        tls,
        sessions: shared.sessions,
        registry: shared.registry,
        orders: shared.orders,
        store: shared.store,
        returning: shared.returning,
        audit: shared.audit,
        metrics: shared.metrics,
        drain: shared.drain,
        reload: shared.reload,
        witness: shared.witness,
        generation,
    })
}
