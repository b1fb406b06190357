//! The HTTP side of phone calls: what Event Grid says rings is answered, calls are made for whoever may
//! ask, what Call Automation says of a call reaches whoever carries it, and another cloud writes what
//! opens the calls that it hands over.
//!
//! ```text
//! Event Grid ── IncomingCall ──▶ event_grid: once, in time, with a number ──▶ store: what is known
//!                                    └──▶ Call Automation: answer, with our media URL and callback
//! Call Automation ── callbacks ──▶ callback: keys ──▶ store ──▶ the session's gate, wherever it is
//!                                            the end ──▶ store, and the session of this process
//! whoever may ask ── a number ──▶ call_api ──▶ store: whose call it is
//!                                    └──▶ Call Automation: create, bound to whoever asked
//! another cloud ── PUT ──▶ session_api: session key and record ──▶ store; what came of it ──▶ GET
//! ```
//!
//! Answering and making are tasks of their own: a client that does not wait for its answer, or an edge that is
//! told to stop, leaves no call half answered or half made.
//!
//! Not here: HTTP, and who may post (`listener`, `admission`).

mod call_api;
mod callback;
mod event_grid;
mod handshake;
mod incoming;
mod order;
mod session_api;
mod session_body;
mod target;

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

pub use self::call_api::CallRoute;
pub use self::callback::CallbackRoute;
pub use self::event_grid::EventRoute;
pub use self::handshake::preflight;
pub use self::order::Order;
pub use self::session_api::SessionRoute;
pub use self::target::Targets;

use crate::admission::media_url::Signer;
use crate::config::{Live, Route, RouteKind};
use crate::error::Reason;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics::{self, Work};
use crate::panics::contained;
use crate::secret::Secret;
use crate::session::Registry;
use crate::store::Store;
use crate::upstream::call_automation::CallAutomation;

/// Bodies that are read and worked on at a time, of what platforms tell and of what whoever may asks.
/// Each may have a MiB; telephones ring far more seldom than that.
const BODIES: usize = 64;

/// Whose a body is. Those who ask cannot hold the places of what is told of calls that go on, however
/// slowly they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Event Grid, and Call Automation.
    Platform,
    /// Whoever has calls made, or hands them over.
    Asker,
}

/// Everything that events are about.
pub struct Telephony {
    store: Arc<Store>,
    registry: Registry,
    /// Who answers calls.
    acs: Option<Arc<CallAutomation>>,
    signer: Option<Signer>,
    metrics: metrics::Shared,
    told: Arc<Semaphore>,
    asked: Arc<Semaphore>,
    tasks: TaskTracker,
    /// For warnings that something came of no event.
    warnings: Throttle,
}

/// What whoever posted is told.
#[derive(Debug)]
pub enum Reply {
    Done,
    /// The code of a validation, to be said back.
    Validated(Secret),
    /// What was asked for, and where else it is.
    Said {
        status: StatusCode,
        body: Value,
        location: Option<String>,
    },
    /// It is no more.
    Gone,
}

impl Reply {
    /// The status that it is told with.
    pub fn status(&self) -> StatusCode {
        match self {
            Reply::Done | Reply::Validated(_) => StatusCode::OK,
            Reply::Gone => StatusCode::NO_CONTENT,
            Reply::Said { status, .. } => *status,
        }
    }
}

/// What whoever posted may try again, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    pub detail: &'static str,
    /// Where it says more than the reason.
    pub status: Option<StatusCode>,
}

impl Refused {
    fn new(reason: Reason, detail: &'static str) -> Refused {
        Refused {
            reason,
            detail,
            status: None,
        }
    }
}

/// Why nothing came of an event. The poster is told that it is done: it could bring nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// It lacks what its type must have.
    Unreadable,
    /// Older than a telephone rings, of a time to come, or of none.
    Late,
    /// It was taken before.
    Duplicate,
    /// The caller's number is withheld, and what opens the route's calls is built of it.
    Withheld,
    /// The SIP id is missing that opens the route's calls.
    NoSipId,
    /// ACS would not have it answered.
    NotAnswered,
    UnknownCall,
    /// The call is known by another connection.
    OtherConnection,
    /// The call has more keys than are kept.
    Full,
}

impl Dropped {
    /// For metrics and logs.
    fn word(self) -> &'static str {
        match self {
            Dropped::Unreadable => "unreadable",
            Dropped::Late => "late",
            Dropped::Duplicate => "duplicate",
            Dropped::Withheld => "withheld",
            Dropped::NoSipId => "no_sip_id",
            Dropped::NotAnswered => "not_answered",
            Dropped::UnknownCall => "unknown_call",
            Dropped::OtherConnection => "other_connection",
            Dropped::Full => "full",
        }
    }
}

impl Telephony {
    pub fn new(
        live: &Live,
        acs: Option<&Arc<CallAutomation>>,
        store: &Arc<Store>,
        registry: &Registry,
        metrics: &metrics::Shared,
    ) -> Telephony {
        Telephony {
            store: store.clone(),
            registry: registry.clone(),
            acs: acs.cloned(),
            signer: live.calls.as_ref().and_then(Signer::new),
            metrics: metrics.clone(),
            told: Arc::new(Semaphore::new(BODIES)),
            asked: Arc::new(Semaphore::new(BODIES)),
            tasks: TaskTracker::new(),
            warnings: Throttle::default(),
        }
    }

    /// The same in the place of what was before: what is under way there is counted and waited for here.
    pub fn after(self, before: &Telephony) -> Telephony {
        Telephony {
            told: before.told.clone(),
            asked: before.asked.clone(),
            tasks: before.tasks.clone(),
            ..self
        }
    }

    /// A place for one body of those who say so.
    pub fn place(&self, whose: Whose) -> Result<SemaphorePermit<'_>, Refused> {
        let (places, detail) = match whose {
            Whose::Platform => (&self.told, "too many events are being worked on"),
            Whose::Asker => (&self.asked, "too many requests are being worked on"),
        };
        places.try_acquire().map_err(|_| {
            self.metrics.limit_hit("bodies");
            Refused::new(Reason::Busy, detail)
        })
    }

    /// Begins work of its own, which goes on whoever waits for it. `None`: it has panicked.
    fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let metrics = self.metrics.clone();
        self.tasks
            .spawn(async move { contained(&metrics, Work::Background, work).await })
    }

    /// Resolves when nothing is under way any more; to be asked when nothing new comes.
    pub async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Counts an event of which nothing came.
    fn drop_event(&self, route: &Label, why: Dropped) {
        self.metrics.event_dropped(route, why.word());
        if let Some(left_out) = self.warnings.pass(Instant::now()) {
            tracing::warn!(%route, why = why.word(), left_out, "event dropped");
        }
    }
}

/// What a route of Event Grid needs to know of others; `None`: it is another kind of route.
pub fn event_route(route: &Route, live: &Live) -> Option<EventRoute> {
    let RouteKind::EventGrid(events) = &route.kind else {
        return None;
    };
    let media = live
        .routes
        .iter()
        .find(|media| media.name == events.media)?;
    Some(EventRoute {
        name: route.name.clone(),
        sip_header: events.sip_header.clone(),
        phone: media.kind.phone()?.clone(),
        targets: Targets::of(live, &events.media, &events.callbacks)?,
    })
}

/// What a route of callbacks needs to know of others; `None`: it is another kind of route.
pub fn callback_route(route: &Route, live: &Live) -> Option<CallbackRoute> {
    matches!(route.kind, RouteKind::AcsCallback).then_some(())?;
    let gives = |other: &Route| match &other.kind {
        RouteKind::EventGrid(events) => Some((events.media.clone(), events.callbacks.clone())),
        RouteKind::CallApi(calls) => Some((calls.media.clone(), calls.callbacks.clone())),
        RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::AcsMedia(_)
        | RouteKind::AcsCallback
        | RouteKind::SessionApi(_)
        | RouteKind::Notify
        | RouteKind::Tickets(_)
        | RouteKind::Sessions(_)
        | RouteKind::Page(_)
        | RouteKind::Http(_)
        | RouteKind::Bot(_) => None,
    };
    let hears = live.routes.iter().filter_map(gives).any(|(media, to)| {
        let media = live.routes.iter().find(|route| route.name == media);
        let phone = media.and_then(|media| media.kind.phone());
        to == route.name && phone.is_some_and(|phone| phone.flow.hears_callbacks())
    });
    Some(CallbackRoute {
        name: route.name.clone(),
        asks_for_tones: hears,
    })
}

/// What a route of calls that are made needs to know of others; `None`: it is another kind of route.
pub fn call_route(route: &Route, live: &Live) -> Option<CallRoute> {
    let RouteKind::CallApi(calls) = &route.kind else {
        return None;
    };
    Some(CallRoute {
        name: route.name.clone(),
        targets: Targets::of(live, &calls.media, &calls.callbacks)?,
        calls: calls.clone(),
    })
}
