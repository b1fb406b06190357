//! Everything that decides about connections, built from the settings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::admission::{Admission, Revocations};
use crate::audit::Audit;
use crate::bot::Bot;
use crate::bot::roles::Roles;
use crate::config::{Flow, KnownBy, Live, Phone, Route, RouteKind, Settings, Telemetry};
use crate::label::Label;
use crate::listener::calls::RETURNING_MAX;
use crate::listener::doors::{Doors, Open};
use crate::listener::expiry::Expiries;
use crate::listener::gateway::inward::Inward;
use crate::listener::paths::Paths;
use crate::listener::trace::Tracing;
use crate::listener::web::Web;
use crate::metrics::{self, Metrics};
use crate::session::{Announcer, Dialler, Orders, Registry};
use crate::store::Store;
use crate::telephony::Telephony;
use crate::upstream::Upstream;
use crate::upstream::assertion::Assertions;
use crate::upstream::call_automation::CallAutomation;
use crate::upstream::connector::Connector;
use crate::upstream::graph::Graph;
use crate::upstream::pii_detector::Detector;
use crate::upstream::webhook::Webhooks;

/// The bot, and its own word in conversations if it has one here.
fn bot(live: &Live, store: &Arc<Store>, metrics: &metrics::Shared) -> Result<Bot, Failed> {
    let Some(settings) = &live.bot else {
        return Ok(Bot::new(None, (store, Duration::ZERO), metrics));
    };
    let connector = Arc::new(Connector::new(settings.clone(), metrics.clone())?);
    Ok(Bot::new(Some(connector), (store, settings.keep), metrics))
}

/// All routes with what serves them, and their paths.
fn routes(
    settings: &Settings,
    (upstreams, detectors): (&HashMap<Label, Arc<Upstream>>, &[Arc<Detector>]),
    metrics: &Arc<Metrics>,
) -> (Paths, Vec<Open>) {
    let live = &settings.live;
    let (mut paths, mut routes) = (Paths::default(), Vec::new());
    for route in &live.routes {
        for path in &route.paths {
            paths.add(path, routes.len());
            if route.kind.has_items() {
                paths.add_items(path, routes.len());
            }
            if matches!(route.kind, RouteKind::Sessions(_)) {
                paths.add_refresh(path, routes.len());
            }
        }
        let gated = |phone: &Arc<Phone>| matches!(phone.flow, Flow::Dialled(_));
        metrics.expect_denials(&route.name, route.kind.phone().is_some_and(gated));
        routes.push(Open {
            metrics: metrics.route(&route.name),
            upstreams: route
                .upstreams
                .iter()
                .filter_map(|name| upstreams.get(name).cloned())
                .collect(),
            web: Web::of(route, live),
            inward: Inward::new(&route.kind, detectors, settings.boot.identity.is_some()),
            route: route.clone(),
            dial_warnings: Arc::default(),
        });
    }
    (paths, routes)
}

/// Whether anybody is told of sessions that run; where nobody is, nobody tells.
fn is_told(live: &Live) -> bool {
    let is_told = |route: &Route| matches!(route.kind, RouteKind::Sessions(_));
    live.routes.iter().any(is_told)
}

/// What applications are told is signed with.
fn assertions(live: &Live) -> Result<Option<Assertions>, Failed> {
    let Some(assertion) = live.assertion.clone() else {
        return Ok(None);
    };
    Ok(Some(match live.developer {
        // An app elsewhere that believes the edge's keys must not believe a developer.
        Some(_) => Assertions::with_a_key_of_its_own(assertion)?,
        None => Assertions::new(assertion)?,
    }))
}

fn tracing(telemetry: &Telemetry) -> Tracing {
    Tracing {
        believes: telemetry.believes,
        sample: telemetry.otlp.as_ref().map_or(0.0, |otlp| otlp.sample),
    }
}

pub(super) fn doors(settings: &Settings) -> Result<Doors, Failed> {
    let metrics = Arc::new(Metrics::new());
    let live = &settings.live;
    let mut upstreams = HashMap::new();
    for upstream in &live.upstreams {
        let built = Upstream::new(upstream.clone(), metrics.clone())?;
        upstreams.insert(upstream.name.clone(), Arc::new(built));
    }
    let acs = live.acs.clone();
    let acs = acs.map(|acs| CallAutomation::new(acs, metrics.clone()));
    let acs = acs.transpose()?.map(Arc::new);
    let insecure_dev = live.developer.is_some();
    metrics.insecure_dev.set(f64::from(u8::from(insecure_dev)));
    let graph = match &live.graph {
        Some(graph) => Some(Arc::new(Graph::new(graph.clone(), metrics.clone())?)),
        None => None,
    };
    let pii_detectors = live.pii_detectors.iter();
    let pii_detectors: Result<Vec<_>, _> = pii_detectors
        .map(|of| Detector::new(of.clone(), metrics.clone()).map(Arc::new))
        .collect();
    let pii_detectors = pii_detectors?;
    let (paths, routes) = routes(settings, (&upstreams, &pii_detectors), &metrics);
    let store = Arc::new(Store::new(&settings.boot.store, metrics.clone())?);
    let revocations = Revocations::default();
    let registry = Registry::heeding(&revocations);
    let orders = Orders::new(&store, &registry, &revocations, &metrics);
    let dialler = Dialler::new(&live.upstreams, (&store, live.limits.replicas), &metrics);
    let telephony = Telephony::new(live, acs.as_ref(), &store, &registry, &metrics);
    let announcer = is_told(live).then(|| Announcer::new(&registry, &store));
    let roles = Roles::new(live.roles.as_ref(), graph.as_ref(), &store)?;
    Ok(Doors {
        routes,
        paths,
        admission: Admission::new(live, &metrics)?
            .heed(&revocations)
            .sharing(&store),
        hops: live.hops.clone(),
        limits: live.limits,
        sessions: Arc::new(Semaphore::new(live.limits.sessions)),
        registry,
        orders: Arc::new(orders),
        announcer,
        bot: Arc::new(bot(live, &store, &metrics)?),
        store,
        dialler: Arc::new(dialler),
        telephony: Arc::new(telephony),
        returning: Arc::new(Semaphore::new(RETURNING_MAX)),
        known_by: live
            .calls
            .as_ref()
            .map_or(KnownBy::Record, |calls| calls.known_by),
        resume: live
            .calls
            .as_ref()
            .map_or(Duration::ZERO, |calls| calls.resume),
        acs,
        roles,
        pii_detectors,
        assertions: assertions(live)?,
        webhooks: Arc::new(Webhooks::new(live, &metrics)?),
        audit: Audit::off(),
        metrics,
        tracing: tracing(&settings.boot.telemetry),
        certificates: Expiries::of(settings.boot.identity.as_ref(), live, &settings.boot.store),
        insecure_dev,
        stop: CancellationToken::new(),
    })
}
