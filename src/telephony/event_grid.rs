//! What Event Grid posts: it is told that its events are wanted, and calls that ring are answered.
//!
//! Event Grid delivers at least once, in any order, to any replica, and what it is answered decides
//! what it does next. A success is final. 400, 401 and 403 make it wait for minutes and, if they go
//! on, hold back new events; 503 for 30 s at the least; other failures for 10 s. So whatever cannot
//! succeed is a success to it, counted here, and a failure that may pass is one that it brings again
//! while the telephone still rings.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::{StreamExt as _, stream};

use super::{Dropped, Refused, Reply, Targets, Telephony, incoming};
use crate::admission::media_url::Signed;
use crate::config::Phone;
use crate::error::Reason;
use crate::ids::{CallId, SessionId};
use crate::label::Label;
use crate::store::Facts;
use crate::upstream::call_automation::{Answer, Connected, Failure, Kind};
use crate::wire::cloud_event::{self, Event, Incoming, What};

/// Calls of one batch that are answered at a time.
const AT_ONCE: usize = 16;

/// A route of Event Grid, and what it needs to know of others.
pub struct EventRoute {
    pub name: Label,
    pub sip_header: Option<String>,
    /// What opens the calls on the route of their media.
    pub phone: Arc<Phone>,
    pub targets: Targets,
}

impl Telephony {
    /// Takes a body of events; `room`: another session could begin here.
    pub async fn take_events(
        self: &Arc<Telephony>,
        route: &Arc<EventRoute>,
        body: &[u8],
        room: bool,
    ) -> Result<Reply, Refused> {
        let events = cloud_event::read(body)
            .map_err(|_| Refused::new(Reason::BadRequest, "the body holds no events"))?;
        let mut calls = Vec::new();
        for event in events {
            match &event.what {
                What::Validation(code) => {
                    self.metrics.event(&route.name, "validation");
                    let none = Refused::new(Reason::BadRequest, "the validation has no code");
                    return code.clone().map(Reply::Validated).ok_or(none);
                }
                What::Incoming(_) => {
                    self.metrics.event(&route.name, "incoming_call");
                    calls.push(event);
                }
                What::Call(_) | What::Other => self.metrics.event(&route.name, "other"),
            }
        }
        if calls.is_empty() {
            return Ok(Reply::Done);
        }
        if !room {
            self.metrics.limit_hit("sessions");
            let detail = "all sessions of this edge are in use";
            return Err(Refused::new(Reason::Busy, detail));
        }
        let (this, route) = (self.clone(), route.clone());
        let work = self.begin(async move {
            let taken = stream::iter(calls)
                .map(|event| this.take_call(&route, event))
                .buffer_unordered(AT_ONCE);
            // What was done once is not done again when the batch comes again.
            taken
                .fold(Ok(Reply::Done), async |all, one| all.and(one))
                .await
        });
        let lost = Refused::new(Reason::Internal, "the work on the events was lost");
        work.await.ok().flatten().unwrap_or(Err(lost))
    }

    /// One call that rings.
    async fn take_call(&self, route: &EventRoute, event: Event) -> Result<Reply, Refused> {
        let dropped = |why| {
            self.drop_event(&route.name, why);
            Ok(Reply::Done)
        };
        let What::Incoming(Some(incoming)) = &event.what else {
            return dropped(Dropped::Unreadable);
        };
        let sip_header = route.sip_header.as_deref();
        let now = SystemTime::now();
        let facts = match incoming::judge(&event, incoming, sip_header, &route.phone.flow, now) {
            Ok(facts) => facts,
            Err(why) => return dropped(why),
        };
        let unavailable = |_| {
            let detail = "the session store does not answer";
            Refused::new(Reason::StoreUnavailable, detail)
        };
        let (name, by) = (incoming::name(&event), SessionId::random());
        if !self.store.claim(&name, by).await.map_err(unavailable)? {
            return dropped(Dropped::Duplicate);
        }
        let call = CallId::random();
        let answered = match self.store.note_call(&call, &facts).await {
            Ok(()) => self.answer(route, &call, incoming, &facts).await,
            Err(error) => Err(unavailable(error)),
        };
        match answered {
            Ok(true) => Ok(Reply::Done),
            Ok(false) => dropped(Dropped::NotAnswered),
            Err(refused) => {
                // It may be brought again, here or elsewhere.
                if let Err(error) = self.store.unclaim(&name, by).await {
                    tracing::debug!(%call, %error, "the event stays taken");
                }
                Err(refused)
            }
        }
    }

    /// Answers a call; `false`: it cannot be answered, whoever tries.
    async fn answer(
        &self,
        route: &EventRoute,
        call: &CallId,
        incoming: &Incoming,
        facts: &Facts,
    ) -> Result<bool, Refused> {
        let begun = Instant::now();
        let nothing = Refused::new(Reason::Internal, "nothing is set up to answer");
        let (acs, signer) = self.acs.as_ref().zip(self.signer.as_ref()).ok_or(nothing)?;
        let (callbacks, media) = acs.callbacks().zip(acs.media()).ok_or(nothing)?;
        let signed = Signed {
            ani: facts.ani.clone(),
            sip: facts.sip.clone(),
            ..Signed::of(call.clone())
        };
        let Some(media_url) = route.targets.media_url(media, signer, signed) else {
            return Err(Refused::new(
                Reason::Internal,
                "the media URL cannot be signed",
            ));
        };
        let callback_url = route.targets.callback_url(callbacks, call);
        let answer = Answer {
            context: incoming.context.expose(),
            call,
            media_url: &media_url,
            callback_url: &callback_url,
            streaming: acs.streaming(),
        };
        match acs.answer(&answer).await {
            Ok(connected) => {
                self.note_connection(call, &connected).await;
                tracing::info!(
                    route = %route.name,
                    %call,
                    connection = %connected.connection,
                    correlation = connected.correlation.as_ref().map(tracing::field::display),
                    took_ms = begun.elapsed().as_millis() as u64,
                    "call answered"
                );
                Ok(true)
            }
            Err(failure) => {
                tracing::warn!(
                    route = %route.name,
                    %call,
                    failure = failure.kind.word(),
                    status = failure.status.map(|status| status.as_u16()),
                    detail = failure.detail,
                    "call not answered"
                );
                if may_pass(&failure) {
                    // The reason has a status that Event Grid tries again after 10 s.
                    return Err(Refused::new(
                        again(&failure),
                        "the call could not be answered",
                    ));
                }
                Ok(false)
            }
        }
    }

    /// The connection is known only now; where it cannot be noted, the media socket names it.
    async fn note_connection(&self, call: &CallId, connected: &Connected) {
        let facts = Facts {
            connection: Some(connected.connection.clone()),
            correlation: connected.correlation.clone(),
            ..Facts::default()
        };
        if let Err(error) = self.store.note_call(call, &facts).await {
            tracing::debug!(%call, %error, "the connection was not noted");
        }
    }
}

/// Whether the same event may be answered a moment later. A credential that is refused is refused
/// by every replica, but it is the operator's to mend, and the caller is still there.
fn may_pass(failure: &Failure) -> bool {
    match failure.kind {
        Kind::Unreachable | Kind::Timeout | Kind::Busy | Kind::Failed | Kind::Unauthorized => true,
        // An answer that cannot be read was one all the same.
        Kind::NotFound | Kind::Refused | Kind::Malformed => false,
    }
}

/// What Event Grid is told: after a 503 it would wait for as long as a telephone rings.
fn again(failure: &Failure) -> Reason {
    let reason = failure.reason();
    if reason == Reason::UpstreamBusy {
        return Reason::UpstreamRefused;
    }
    reason
}
