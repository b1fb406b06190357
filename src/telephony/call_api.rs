//! Calls that are made for whoever asks, who may then look at them and end them.
//!
//! A person is called and money is spent, so whoever asks is told truly which it is: a call that is
//! there, or none. Making one is a task of its own, and where nobody takes its answer (the client
//! went, the edge is told to stop) the call is taken back. What the edge cannot know for certain, a
//! request without an answer, it gives up: should that call live, its first callback has it hung up.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::order::{self, Order};
use super::{Refused, Reply, Targets, Telephony};
use crate::admission::Subject;
use crate::admission::media_url::Signed;
use crate::config::CallApi;
use crate::error::Reason;
use crate::ids::{CallId, SessionId};
use crate::label::Label;
use crate::secret::Digest;
use crate::store::{Bind, CallEnded, Facts, Known, Made, Unavailable};
use crate::upstream::call_automation::{Connected, Create};

/// How long a store is asked again that does not answer while a telephone rings already.
const BIND: Duration = Duration::from_secs(2);
const BIND_AGAIN: Duration = Duration::from_millis(100);

/// A route of calls that are made, and what it needs to know of others.
pub struct CallRoute {
    pub name: Label,
    pub targets: Targets,
    pub calls: Arc<CallApi>,
}

impl CallRoute {
    /// What a body asks for, if it may be asked for here.
    pub fn order(&self, body: &[u8]) -> Result<Order, Refused> {
        let order = order::read(body)?;
        if !self
            .calls
            .destinations
            .iter()
            .any(|of| of.begins(&order.to))
        {
            let detail = "calls to this number are not allowed here";
            return Err(Refused::new(Reason::Forbidden, detail));
        }
        Ok(order)
    }

    /// Whoever has calls made here; by another route the same person is somebody else.
    fn creator(&self, subject: &Subject) -> Digest {
        Digest::of(&format!("{}\0{}", self.name, subject.digest().to_hex()))
    }
}

/// A call that was made.
struct Done {
    call: CallId,
    connected: Connected,
    took: Duration,
}

impl Telephony {
    /// Makes a call; `path`: below which it is to be found; `room`: another session could begin here.
    pub async fn make_call(
        self: &Arc<Telephony>,
        route: &Arc<CallRoute>,
        order: Order,
        subject: &Subject,
        (path, room): (&str, bool),
    ) -> Result<Reply, Refused> {
        if !room {
            self.metrics.limit_hit("sessions");
            let detail = "all sessions of this edge are in use";
            return Err(Refused::new(Reason::Busy, detail));
        }
        let (this, to, who) = (self.clone(), route.clone(), subject.clone());
        let (tell, told) = oneshot::channel();
        self.begin(async move {
            let made = this.make(&to, &order, &who).await;
            let failed = made.as_ref().err().map(|refused| refused.reason.word());
            let untold = tell.send(made).err();
            let result = failed.unwrap_or(match untold {
                None => "ok",
                Some(_) => "untold",
            });
            this.metrics.call_made(&to.name, result);
            if let Some(Ok(done)) = untold {
                this.take_back(&to, &done).await;
            }
        });
        let lost = Refused::new(Reason::Internal, "the work on the call was lost");
        let Done {
            call,
            connected,
            took,
        } = told.await.unwrap_or(Err(lost))?;
        tracing::info!(
            route = %route.name,
            %subject,
            %call,
            connection = %connected.connection,
            correlation = connected.correlation.as_ref().map(tracing::field::display),
            took_ms = took.as_millis() as u64,
            "call made"
        );
        let url = format!("{path}/{call}");
        let body = json!({
            "call": call.as_str(),
            "status": "calling",
            "status_url": url,
            "connection": connected.connection.as_str(),
        });
        Ok(Reply::Said {
            status: StatusCode::CREATED,
            body,
            location: Some(url),
        })
    }

    /// What a call is, for whoever had it made.
    pub async fn tell_call(
        &self,
        route: &CallRoute,
        subject: &Subject,
        call: &CallId,
    ) -> Result<Reply, Refused> {
        let known = self.own(route, subject, call).await?;
        let status = StatusCode::OK;
        let body = told(call, &known);
        Ok(Reply::Said {
            status,
            body,
            location: None,
        })
    }

    /// Ends a call for whoever had it made. One that has ended is done.
    pub async fn end_made(
        self: &Arc<Telephony>,
        route: &Arc<CallRoute>,
        subject: &Subject,
        call: &CallId,
    ) -> Result<Reply, Refused> {
        let known = self.own(route, subject, call).await?;
        let (None, Some(connection)) = (known.ended, known.facts.connection) else {
            return Ok(Reply::Gone);
        };
        let (this, to, call) = (self.clone(), route.clone(), call.clone());
        let work = self.begin(async move {
            let acs = this.acs.as_ref().ok_or(nothing())?;
            let detail = "the call could not be hung up";
            // The session first: it ends for what it is, and not as one whose socket ACS closed.
            let session_here = this.registry.hang_up(&call);
            let hung_up = acs.hang_up(&connection).await;
            hung_up.map_err(|failure| Refused::new(failure.reason(), detail))?;
            let ended = this.store.end_call(&call, CallEnded::default()).await;
            tracing::info!(route = %to.name, %call, session_here, "call ended by who had it made");
            ended.map(|_| Reply::Gone).map_err(unavailable)
        });
        let lost = Refused::new(Reason::Internal, "the work on the call was lost");
        work.await.ok().flatten().unwrap_or(Err(lost))
    }

    /// A call that this subject had made. Others' calls, those that nobody knows, and one that is not
    /// made yet are one answer.
    async fn own(
        &self,
        route: &CallRoute,
        subject: &Subject,
        call: &CallId,
    ) -> Result<Known, Refused> {
        let known = self.store.known(call).await.map_err(unavailable)?;
        let none = Refused::new(Reason::NotFound, "there is no such call");
        let creator = route.creator(subject);
        let is_own = |known: &Known| {
            let made = known.made.as_ref();
            made.is_some_and(|made| made.creator.is(&creator)) && known.facts.connection.is_some()
        };
        known.filter(is_own).ok_or(none)
    }

    async fn make(
        &self,
        route: &CallRoute,
        order: &Order,
        subject: &Subject,
    ) -> Result<Done, Refused> {
        let begun = Instant::now();
        let (acs, signer) = self
            .acs
            .as_ref()
            .zip(self.signer.as_ref())
            .ok_or(nothing())?;
        let (callbacks, media) = acs.callbacks().zip(acs.media()).ok_or(nothing())?;
        let call = CallId::random();
        let creator = route.creator(subject);
        let chance = SessionId::random();
        let binding = Digest::of(&format!("{}\0{call}\0{chance}", creator.to_hex()));
        let unsigned = Refused::new(Reason::Internal, "the media URL cannot be signed");
        let signed = Signed {
            ani: Some(order.to.clone()),
            binding: Some(binding),
            ..Signed::of(call.clone())
        };
        let media_url = route.targets.media_url(media, signer, signed);
        let media_url = media_url.ok_or(unsigned)?;
        let facts = Facts {
            ani: Some(order.to.clone()),
            ..Facts::default()
        };
        let made = Made {
            creator,
            binding,
            at: SystemTime::now(),
        };
        let noted = self.store.make_call(&call, &facts, &made).await;
        noted.map_err(unavailable)?;
        let create = Create {
            target: &order.to,
            source: &route.calls.source,
            call: &call,
            media_url: &media_url,
            callback_url: &route.targets.callback_url(callbacks, &call),
            streaming: acs.streaming(),
        };
        let connected = match acs.create(&create).await {
            Ok(connected) => connected,
            Err(failure) => {
                self.give_up(&call).await;
                return Err(Refused::new(failure.reason(), "the call could not be made"));
            }
        };
        let done = Done {
            call,
            connected,
            took: begun.elapsed(),
        };
        match self.bind(&done, binding).await {
            Ok(true) => Ok(done),
            // Its record is gone, and with it what could let its media in.
            Ok(false) | Err(_) => {
                self.take_back(route, &done).await;
                Err(unavailable(Unavailable::Timeout))
            }
        }
    }

    /// Writes down which connection the call has, as soon as that can be done.
    async fn bind(&self, done: &Done, binding: Digest) -> Result<bool, Unavailable> {
        let bind = Bind {
            call: &done.call,
            binding,
            connection: &done.connected.connection,
            correlation: done.connected.correlation.as_ref(),
        };
        let deadline = Instant::now() + BIND;
        loop {
            match self.store.bind_call(&bind).await {
                Err(_) if Instant::now() < deadline => sleep(BIND_AGAIN).await,
                bound => return bound,
            }
        }
    }

    /// The call was not made, as far as is known. Its record stays, as one that is over, whatever the
    /// service said at last: an attempt before that may have had its effect, see `callback`.
    async fn give_up(&self, call: &CallId) {
        if let Err(error) = self.store.end_call(call, CallEnded::default()).await {
            // Without a connection it opens nothing, and it ends by its own time.
            tracing::debug!(%call, %error, "the record of a call that was not made is not over");
        }
    }

    /// Nobody is told of the call, so it is none.
    async fn take_back(&self, route: &CallRoute, done: &Done) {
        let Some(acs) = &self.acs else {
            return;
        };
        let call = &done.call;
        let hung_up = acs.hang_up(&done.connected.connection).await;
        let result = hung_up.err().map_or("ok", |failure| failure.kind.word());
        tracing::warn!(route = %route.name, %call, result, "call taken back: nobody is told of it");
        self.registry.hang_up(call);
        if let Err(error) = self.store.end_call(call, CallEnded::default()).await {
            tracing::debug!(%call, %error, "the record of a call that was taken back stays");
        }
    }
}

/// What a call is, as JSON.
fn told(call: &CallId, known: &Known) -> Value {
    let status = match (known.ended, known.connected) {
        (Some(_), _) => "ended",
        (None, true) => "connected",
        (None, false) => "calling",
    };
    let created = known.made.map(|made| {
        let at = humantime::format_rfc3339_seconds(made.at);
        at.to_string()
    });
    let connection = known.facts.connection.as_ref();
    let mut told = json!({
        "call": call.as_str(),
        "status": status,
        "connection": connection.map(|id| id.as_str()),
        "created": created,
    });
    if let Some(CallEnded { code, sub_code }) = known.ended {
        let mut ended = serde_json::Map::new();
        for (name, number) in [("code", code), ("sub_code", sub_code)] {
            if let Some(number) = number {
                ended.insert(name.to_owned(), number.into());
            }
        }
        told["ended"] = Value::Object(ended);
    }
    told
}

fn nothing() -> Refused {
    Refused::new(Reason::Internal, "nothing is set up to make calls")
}

fn unavailable(_: Unavailable) -> Refused {
    let detail = "the session store does not answer";
    Refused::new(Reason::StoreUnavailable, detail)
}
