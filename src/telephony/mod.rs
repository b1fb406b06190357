//! The HTTP side of phone calls: what Event Grid says rings is answered, and what Call Automation says
//! of a call reaches whoever carries it.
//!
//! ```text
//! Event Grid ── IncomingCall ──▶ event_grid: once, in time, with a number ──▶ store: what is known
//!                                    └──▶ Call Automation: answer, with our media URL and callback
//! Call Automation ── callbacks ──▶ callback: keys ──▶ store ──▶ the session's gate, wherever it is
//!                                            the end ──▶ store, and the session of this process
//! ```
//!
//! Answering is a task of its own: a client that does not wait for its answer, or an edge that is
//! told to stop, leaves no call half answered.
//!
//! Not here: HTTP, and who may post (`listener`, `admission`).

mod call_api;
mod callback;
mod event_grid;
mod handshake;
mod incoming;
mod session_api;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

pub use self::call_api::CallRoute;
pub use self::callback::CallbackRoute;
pub use self::event_grid::EventRoute;
pub use self::handshake::preflight;
pub use self::session_api::SessionRoute;

use crate::admission::media_url::Signer;
use crate::config::{CALL, Live, Route, RouteKind};
use crate::error::Reason;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;
use crate::secret::Secret;
use crate::session::Registry;
use crate::store::Store;
use crate::upstream::call_automation::CallAutomation;

/// Bodies that are read and worked on at a time. Each may have a MiB; telephones ring far more
/// seldom than that.
const BODIES: usize = 64;

/// Everything that events are about.
pub struct Telephony {
    store: Arc<Store>,
    registry: Registry,
    /// Who answers calls.
    acs: Option<Arc<CallAutomation>>,
    signer: Option<Signer>,
    metrics: metrics::Shared,
    bodies: Semaphore,
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
    /// The store could not be asked.
    Store,
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
            Dropped::Store => "store",
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
            bodies: Semaphore::new(BODIES),
            tasks: TaskTracker::new(),
            warnings: Throttle::default(),
        }
    }

    /// A place for one body.
    pub fn place(&self) -> Result<SemaphorePermit<'_>, Refused> {
        self.bodies.try_acquire().map_err(|_| {
            self.metrics.limit_hit("bodies");
            Refused::new(Reason::Busy, "too many events are being worked on")
        })
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
    let named = |name: &Label| live.routes.iter().find(|route| route.name == *name);
    let folder = |route: &Route| route.paths.first()?.strip_suffix(CALL).map(str::to_owned);
    let (media, callbacks) = (named(&events.media)?, named(&events.callbacks)?);
    let session = media.limits.session.unwrap_or(live.limits.session);
    Some(EventRoute {
        name: route.name.clone(),
        sip_header: events.sip_header.clone(),
        media: media.name.clone(),
        phone: media.kind.phone()?.clone(),
        media_folder: folder(media)?,
        callback_folder: folder(callbacks)?,
        life: (session + Duration::from_secs(120)).min(crate::admission::media_url::LIFE_MAX),
    })
}

/// What a route of callbacks needs to know of others; `None`: it is another kind of route.
pub fn callback_route(route: &Route, live: &Live) -> Option<CallbackRoute> {
    matches!(route.kind, RouteKind::AcsCallback).then_some(())?;
    let hears = live.routes.iter().any(|other| match &other.kind {
        RouteKind::EventGrid(events) if events.callbacks == route.name => {
            let media = live.routes.iter().find(|media| media.name == events.media);
            let phone = media.and_then(|media| media.kind.phone());
            phone.is_some_and(|phone| phone.flow.hears_callbacks())
        }
        RouteKind::EventGrid(_)
        | RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::AcsMedia(_)
        | RouteKind::AcsCallback
        | RouteKind::CallApi(_)
        | RouteKind::SessionApi(_)
        | RouteKind::Notify
        | RouteKind::Http(_)
        | RouteKind::Bot(_) => false,
    });
    Some(CallbackRoute {
        name: route.name.clone(),
        asks_for_tones: hears,
    })
}

/// What a route of calls that are made needs to know of others; `None`: it is another kind of route.
pub fn call_route(route: &Route, _live: &Live) -> Option<CallRoute> {
    let RouteKind::CallApi(_) = &route.kind else {
        return None;
    };
    Some(CallRoute {
        name: route.name.clone(),
    })
}

/// A route of session keys; `None`: it is another kind of route.
pub fn session_route(route: &Route) -> Option<SessionRoute> {
    let RouteKind::SessionApi(_) = &route.kind else {
        return None;
    };
    Some(SessionRoute {
        name: route.name.clone(),
    })
}
