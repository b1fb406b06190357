//! Sessions that another cloud hands over: their keys written, looked at by whoever wrote them, and
//! taken back.
//!
//! ```text
//! PUT    /sessions/{contact} ─▶ session key and record ─▶ store      what is to be dialled
//! GET    /sessions/{contact} ─▶ what became of it
//! DELETE /sessions/{contact} ─▶ key and record go, if no call was opened
//! ```
//!
//! A token is spent by the request that shows it, whatever comes of that. Whose a session is the
//! record says; to all others it does not exist, but its id is taken.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::session_body::{self, Asked, Opens};
use super::{Refused, Reply, Telephony};
use crate::admission::{Grant, Once};
use crate::config::{CODE_DIGITS, Route, RouteKind, SessionApi};
use crate::error::Reason;
use crate::ids::{CallId, ContactId, SessionId};
use crate::label::Label;
use crate::secret::{Digest, Secret, random_digits};
use crate::store::{HandOver, HandedOver, Opened, Outcome, SessionKey, TakenBack, Unavailable};

/// The largest body: a context, and what is beside it.
const BODY_MAX: usize = 8 * 1024;
/// Codes that are drawn for one session where those before are others'.
const DRAWS: u32 = 16;
/// How long the same request, which is on its way elsewhere, is waited for.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: u32 = 20;

/// A route by which calls are handed over.
pub struct SessionRoute {
    pub name: Label,
    /// What stands before a contact in its paths.
    folder: String,
    settings: Arc<SessionApi>,
}

impl SessionRoute {
    /// `None`: it is another kind of route.
    pub fn of(route: &Route) -> Option<SessionRoute> {
        let RouteKind::SessionApi(settings) = &route.kind else {
            return None;
        };
        Some(SessionRoute {
            name: route.name.clone(),
            folder: route.paths.first()?.clone(),
            settings: settings.clone(),
        })
    }
}

impl Telephony {
    /// Does what is asked of a session. Writing one is a task of its own: a client that goes in the
    /// middle leaves none half written.
    pub async fn take_session(
        self: &Arc<Telephony>,
        route: &Arc<SessionRoute>,
        grant: &Grant,
        (method, item): (&Method, Option<CallId>),
        body: Bytes,
    ) -> Result<Reply, Refused> {
        let contact = item.map(ContactId::from);
        let contact = contact.ok_or(Refused::new(Reason::NotFound, "the path names no session"))?;
        if let Some(once) = grant.once() {
            self.spend(&once).await?;
        }
        let writer = Digest::of(&grant.subject().to_string());
        match *method {
            Method::PUT => {
                let (this, route) = (self.clone(), route.clone());
                let work =
                    self.begin(async move { this.put(&route, (&contact, writer), &body).await });
                let lost = Refused::new(Reason::Internal, "the work on the session was lost");
                work.await.ok().flatten().unwrap_or(Err(lost))
            }
            Method::DELETE => self.take_session_back(route, &contact, writer).await,
            _ => self.look(&contact, writer).await,
        }
    }

    async fn spend(&self, once: &Once) -> Result<(), Refused> {
        let by = SessionId::random();
        match self.store.spend(&once.token, by, once.expires).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let detail = "the token was used before; each request has one of its own";
                Err(Refused::new(Reason::Unauthenticated, detail))
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn put(
        &self,
        route: &SessionRoute,
        (contact, writer): (&ContactId, Digest),
        body: &[u8],
    ) -> Result<Reply, Refused> {
        if body.len() > BODY_MAX {
            return Err(Refused::new(Reason::TooLarge, "the body exceeds 8 KiB"));
        }
        let bad = |detail| Refused::new(Reason::BadRequest, detail);
        let asked = session_body::read(body).map_err(bad)?;
        let ttl = asked.ttl.unwrap_or(route.settings.ttl);
        if ttl > route.settings.ttl_max {
            return Err(bad("ttl is longer than this route allows"));
        }
        let expires = SystemTime::now() + ttl;
        let content = asked.content();
        let (mut draws, mut waits) = (0, 0);
        loop {
            let written = self.written(route, &asked)?;
            let session = HandOver {
                contact,
                route: &route.name,
                writer,
                content,
                key: &written.key,
                drawn: written.drawn.as_ref(),
                context: asked.context.as_deref(),
                expires,
                ttl,
            };
            match self.store.hand_over(&session).await.map_err(unavailable)? {
                HandedOver::New => {
                    tracing::info!(route = %route.name, %contact, flow = asked.flow(), "session handed over");
                    let location = Some(format!("{}/{contact}", route.folder));
                    let told = written.told(route, contact, expires);
                    return Ok(said(StatusCode::CREATED, told, location));
                }
                HandedOver::Same { drawn, expires } => {
                    let told = written.with_drawn(drawn).told(route, contact, expires);
                    return Ok(said(StatusCode::OK, told, None));
                }
                HandedOver::Conflict => {
                    return Err(conflict(
                        "a session has this id and was asked for otherwise",
                    ));
                }
                HandedOver::Taken if written.drawn.is_none() => {
                    return Err(conflict("what opens the call opens another one already"));
                }
                HandedOver::Taken if draws == DRAWS => {
                    let detail = "no code is free for this number; codes must be longer";
                    return Err(Refused::new(Reason::Busy, detail));
                }
                HandedOver::Taken => draws += 1,
                HandedOver::Busy if waits == AGAIN_MAX => {
                    let detail = "the same request is on its way";
                    return Err(Refused::new(Reason::StoreUnavailable, detail));
                }
                HandedOver::Busy => {
                    waits += 1;
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// What is to be written for what was asked.
    fn written(&self, route: &SessionRoute, asked: &Asked) -> Result<Written, Refused> {
        let keys = self.store.keys();
        let (key, drawn, dialled) = match &asked.opens {
            Opens::Pstn { ani, code } => {
                let drawn = match code {
                    Some(_) => None,
                    None => Some(random_digits(route.settings.digits)),
                };
                let dialled = code.clone().or(drawn.clone());
                let key = dialled
                    .as_ref()
                    .and_then(|code| keys.pstn(ani, code.expose()));
                (key, drawn, dialled)
            }
            Opens::Sip(id) => {
                let length = u8::try_from(id.as_str().len()).unwrap_or(u8::MAX);
                let digits = id.as_str().bytes().all(|byte| byte.is_ascii_digit());
                let alias = digits && CODE_DIGITS.contains(&length);
                let alias = alias.then(|| Secret::new(id.as_str().to_owned()));
                (Some(keys.sip(id)), None, alias)
            }
        };
        Ok(Written {
            key: key.ok_or(Refused::new(Reason::Internal, "the key cannot be built"))?,
            drawn,
            dialled,
        })
    }

    async fn look(&self, contact: &ContactId, writer: Digest) -> Result<Reply, Refused> {
        let known = self.store.handed(contact).await.map_err(unavailable)?;
        let known = known.filter(|known| known.writer.is(&writer));
        let known = known.ok_or(unknown())?;
        let mut told = Map::new();
        told.insert("session".to_owned(), contact.as_str().into());
        let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
        let (state, opened, ended) = match &known.outcome {
            Outcome::Waiting => ("waiting", None, None),
            Outcome::Expired => ("expired", None, None),
            Outcome::Opened(opened) => ("opened", Some(opened), None),
            Outcome::Ended(opened, ended) => ("ended", Some(opened), Some(ended)),
        };
        tell("state", state.into());
        tell("expires", date(known.expires).into());
        if let Some(Opened {
            call,
            connection,
            correlation,
            at,
        }) = opened
        {
            tell("call", call.as_str().into());
            tell(
                "connection",
                json!(connection.as_ref().map(|id| id.as_str())),
            );
            tell(
                "correlation",
                json!(correlation.as_ref().map(|id| id.as_str())),
            );
            tell("opened", moment(*at).into());
        }
        if let Some(ended) = ended {
            tell("ended", moment(ended.at).into());
            tell("ended_by", ended.by.word().into());
            tell("reason", ended.reason.word().into());
            let lasted = u64::try_from(ended.lasted.as_millis()).unwrap_or(u64::MAX);
            tell("duration_ms", lasted.into());
        }
        if let Some(context) = &known.context {
            let context = serde_json::from_str(context);
            tell("context", context.unwrap_or(Value::Null));
        }
        Ok(said(StatusCode::OK, Value::Object(told), None))
    }

    async fn take_session_back(
        &self,
        route: &SessionRoute,
        contact: &ContactId,
        writer: Digest,
    ) -> Result<Reply, Refused> {
        match self
            .store
            .take_back(contact, writer)
            .await
            .map_err(unavailable)?
        {
            TakenBack::Done => {
                tracing::info!(route = %route.name, %contact, "session taken back");
                Ok(Reply::Gone)
            }
            TakenBack::Open => Err(conflict(
                "a call was opened by it; whoever handed it over ends it by hanging up",
            )),
            TakenBack::Unknown => Err(unknown()),
        }
    }
}

impl Asked {
    fn flow(&self) -> &'static str {
        match &self.opens {
            Opens::Pstn { .. } => "pstn",
            Opens::Sip(_) => "sip",
        }
    }
}

/// What opens a call, and what its writer is told of that.
struct Written {
    key: SessionKey,
    drawn: Option<Secret>,
    /// What the caller, or whoever calls for the caller, dials.
    dialled: Option<Secret>,
}

impl Written {
    /// The same with the code that was drawn for the same request before.
    fn with_drawn(self, drawn: Option<Secret>) -> Written {
        Written {
            dialled: drawn.clone().or(self.dialled),
            drawn,
            ..self
        }
    }

    fn told(&self, route: &SessionRoute, contact: &ContactId, expires: SystemTime) -> Value {
        let mut told = json!({ "session": contact.as_str(), "expires": date(expires) });
        if let Some(code) = &self.drawn {
            told["code"] = code.expose().into();
        }
        if let Some(digits) = &self.dialled {
            let pauses = ",".repeat(usize::from(route.settings.commas));
            told["dial"] = format!("{pauses}{}#", digits.expose()).into();
        }
        told
    }
}

fn said(status: StatusCode, body: Value, location: Option<String>) -> Reply {
    Reply::Said {
        status,
        body,
        location,
    }
}

fn date(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn moment(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

fn unavailable(_: Unavailable) -> Refused {
    Refused::new(
        Reason::StoreUnavailable,
        "the session store does not answer",
    )
}

fn unknown() -> Refused {
    Refused::new(Reason::NotFound, "no session of yours has this id")
}

fn conflict(detail: &'static str) -> Refused {
    Refused {
        status: Some(StatusCode::CONFLICT),
        ..Refused::new(Reason::BadRequest, detail)
    }
}
