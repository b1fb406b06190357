//! What connections share, and what one of them is.
//!
//! All that is decided by is one generation of the settings: [`Doors`]. A connection goes through those
//! that are [in force](InForce) when it is accepted, and its session keeps what it was given there. What
//! must outlive the settings that it came with (the store, who is here, what was counted) is shared from
//! generation to generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant as Deadline;

use super::decision::Decision;
use super::expiry::Expiries;
use super::gateway::inward::Inward;
use super::paths::Paths;
use super::reload::{Generation, Reload};
use super::tls;
use super::trace::Tracing;
use super::web::Web;
use super::witness::Witness;
use crate::admission::{Admission, Certificate, Denied, Peer, Permits};
use crate::audit::Audit;
use crate::bot::Bot;
use crate::bot::roles::Roles;
use crate::config::{self, Hops, KnownBy, Limits, RouteKind};
use crate::drain::Drain;
use crate::error::Reason;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics::{self, Role, Span};
use crate::session::{Announcer, Dialler, Orders, Registry};
use crate::store::Store;
use crate::telephony::Telephony;
use crate::trace::{TraceId, Traced};
use crate::upstream::Upstream;
use crate::upstream::assertion::Assertions;
use crate::upstream::call_automation::CallAutomation;
use crate::upstream::pii_detector::Detector;
use crate::upstream::webhook::Webhooks;

const INSECURE_DEV: HeaderName = HeaderName::from_static("x-tonegate-insecure-dev");

/// The doors that new connections go through. Cloning shares it.
#[derive(Clone)]
pub struct InForce(Arc<ArcSwap<Doors>>);

impl InForce {
    pub fn new(doors: Doors) -> InForce {
        InForce(Arc::new(ArcSwap::from_pointee(doors)))
    }

    pub fn now(&self) -> Arc<Doors> {
        self.0.load_full()
    }

    /// Whoever comes from now on goes through these.
    pub fn put(&self, doors: Doors) {
        self.0.store(Arc::new(doors));
    }
}

/// What every connection needs to decide: one generation of the settings. Shared by all threads.
pub struct Doors {
    pub generation: Generation,
    /// Asks for the next one.
    pub reload: Reload,
    /// `None`: plain HTTP.
    pub tls: Option<tls::Acceptor>,
    pub routes: Vec<Open>,
    pub paths: Paths,
    pub admission: Admission,
    pub hops: Option<Hops>,
    pub limits: Limits,
    pub sessions: Permits,
    pub registry: Registry,
    pub orders: Arc<Orders>,
    /// Tells other edges of the sessions here; `None`: nobody is told of sessions.
    pub announcer: Option<Arc<Announcer>>,
    pub store: Arc<Store>,
    /// Dials for sessions, as often as upstreams take them.
    pub dialler: Arc<Dialler>,
    pub telephony: Arc<Telephony>,
    /// Places for those who tell the store later that a token was not spent.
    pub returning: Arc<Semaphore>,
    /// What makes a call one that is known.
    pub known_by: KnownBy,
    /// How long a call's verdict holds after its media socket has dropped.
    pub resume: Duration,
    /// What controls calls, if the edge does.
    pub acs: Option<Arc<CallAutomation>>,
    pub bot: Arc<Bot>,
    /// Knows whom people may see; `None`: applications do.
    pub roles: Option<Roles>,
    /// Find what is personal by its sense, for routes that name them.
    pub pii_detectors: Vec<Arc<Detector>>,
    /// Signs what private applications are told.
    pub assertions: Option<Arc<Assertions>>,
    pub webhooks: Arc<Webhooks>,
    pub audit: Audit,
    pub metrics: metrics::Shared,
    pub tracing: Tracing,
    /// When the certificates end that are used here.
    pub certificates: Expiries,
    /// Requests of `tonegate doctor`, as the edge saw them.
    pub witness: Arc<Witness>,
    /// A developer is let in without a credential.
    pub insecure_dev: bool,
    /// Whether new sessions begin.
    pub drain: Drain,
}

impl Doors {
    /// Says in an answer that credentials are not what lets people in here.
    pub fn mark<B>(&self, response: &mut Response<B>) {
        if self.insecure_dev {
            let yes = HeaderValue::from_static("1");
            response.headers_mut().insert(INSECURE_DEV, yes);
        }
    }

    /// Why no new session should be sent here, if that is so, in a word.
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.drain.has_begun() {
            return Some("draining");
        }
        if !self.audit.takes() {
            return Some("audit");
        }
        // Where no route asks the store, nobody misses it.
        let asks = |open: &Open| {
            let kind = &open.route.kind;
            let tickets = open.route.takes_tickets() && !open.route.tickets.observe;
            let counts = self.admission.needs_store(&open.route);
            // What a page shows is in the binary.
            let asks = kind.is_answered() && !matches!(kind, RouteKind::Page(_));
            kind.phone().is_some() || asks || tickets || counts
        };
        let asked = self.routes.iter().any(asks)
            || self.roles.as_ref().is_some_and(Roles::are_in_the_store);
        if !self.store.is_up() && asked {
            return Some("store");
        }
        let stale = self.orders.revocations().is_stale(Instant::now());
        stale.then_some("revocations")
    }
}

/// A route with what serves it.
pub struct Open {
    pub route: config::Route,
    pub upstreams: Vec<Arc<Upstream>>,
    /// Who answers, where no session begins.
    pub web: Option<Web>,
    /// What becomes of requests that go on to a private application.
    pub inward: Option<Inward>,
    pub metrics: Arc<metrics::Route>,
    /// For warnings that no upstream could serve.
    pub dial_warnings: Arc<Throttle>,
}

/// The connection that a request came on.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What the audit will have of it.
    pub(super) decision: &'a Decision,
    /// The client; until the head is read, where a hop speaks HTTP, that hop.
    pub peer: Peer,
    /// What the request is part of, as soon as it has been read.
    pub traced: Option<&'a Traced>,
    /// The socket's peer is a hop that speaks HTTP: its headers say who the client is.
    pub by_hop: bool,
    /// What the socket's peer has proved in the TLS handshake.
    pub certificate: Option<&'a Certificate>,
    pub accepted: Instant,
    /// The head must be whole by then.
    pub deadline: Deadline,
}

impl Asked<'_> {
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        self.traced.map(|traced| traced.trace.id)
    }

    /// Tells of an admission: what it came to, and how long that took.
    pub(super) fn span_admission<T>(
        &self,
        doors: &Doors,
        open: &Open,
        begun: Instant,
        decided: &Result<T, Denied>,
    ) {
        let part = self.traced.map(|traced| traced.trace.child());
        doors.metrics.span(part, |part| Span {
            route: Some(open.route.name.clone()),
            result: decided
                .as_ref()
                .err()
                .map_or("ok", |denied| denied.reason.word()),
            ..Span::done("admission", Role::Internal, part, begun.elapsed())
        });
    }

    /// Tells of a request that no session begins with; one that does is told of by that.
    pub(super) fn span_request(
        &self,
        doors: &Doors,
        route: Option<&Label>,
        result: Result<(), Reason>,
    ) {
        let trace = self.traced.map(|traced| traced.trace);
        doors.metrics.span(trace, |trace| Span {
            route: route.cloned(),
            result: result.err().map_or("ok", Reason::word),
            failed: result.is_err_and(|reason| reason.row().status.is_none_or(|s| s >= 500)),
            ..Span::done("request", Role::Server, trace, self.accepted.elapsed())
        });
    }
}
