//! For whom another cloud handed a call over, and what that cloud is told: that the call was opened,
//! and how its session ended.
//!
//! Nobody in the call waits for that. The opening is told by a task of its own, which writes it down
//! and then leaves it to the webhooks; the end is told when the session has given everything back.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::call::Call;
use crate::error::{Reason, Side};
use crate::ids::{CallId, ContactId, ForeignId, SessionId};
use crate::label::Label;
use crate::metrics::{self, Work};
use crate::panics::contained;
use crate::store::{Begun, Ended, Noted, Over, SessionKey, Store, Unavailable};
use crate::upstream::webhook::{Hold, Webhooks};

/// How long a store that is away is asked again, and how often: longer than it takes another server
/// to stand in.
const WAIT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(250);

/// The contact of a call, as soon as the store has said it.
#[derive(Default)]
pub struct Contact {
    known: OnceLock<(ContactId, Option<SessionKey>)>,
    /// Comes to the route of the contact, if the contact has a record.
    begun: Mutex<Option<JoinHandle<Option<Label>>>>,
}

impl Contact {
    /// One that is known at the upgrade. `key`: what the call was opened by just then.
    pub fn of(contact: Option<ContactId>, key: Option<SessionKey>) -> Contact {
        let this = Contact::default();
        if let Some(contact) = contact {
            this.learn(contact, key);
        }
        this
    }

    /// The first word is the store's, all others are the same.
    pub(super) fn learn(&self, contact: ContactId, key: Option<SessionKey>) {
        let _ = self.known.set((contact, key));
    }

    pub(super) fn id(&self) -> Option<&ContactId> {
        self.known.get().map(|(contact, _)| contact)
    }

    /// The task that tells of the opening.
    fn begun(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<Option<Label>>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of a call.
#[derive(Clone)]
struct Said {
    contact: ContactId,
    call: CallId,
    connection: Option<ForeignId>,
    correlation: Option<ForeignId>,
}

impl Said {
    fn body(&self, outcome: &str, at: SystemTime) -> Value {
        json!({
            "type": format!("session.{outcome}"),
            "session": self.contact.as_str(),
            "outcome": outcome,
            "call": self.call.as_str(),
            "connection": self.connection.as_ref().map(ForeignId::as_str),
            "correlation": self.correlation.as_ref().map(ForeignId::as_str),
            "reason": null,
            "at": humantime::format_rfc3339_millis(at).to_string(),
        })
    }
}

impl Call {
    fn said(&self) -> Option<Said> {
        let (calling, facts) = (&self.calling, &self.facts);
        let either = |one: &Option<ForeignId>, other: &Option<ForeignId>| {
            one.as_ref().or(other.as_ref()).cloned()
        };
        Some(Said {
            contact: self.contact.id()?.clone(),
            call: calling.call.clone(),
            connection: either(&calling.connection, &facts.connection),
            correlation: either(&calling.correlation, &facts.correlation),
        })
    }

    /// The call is open, for `longest` at the most: whoever handed it over is told, beside it.
    pub(super) fn tell_begun(
        &self,
        session: SessionId,
        longest: Duration,
        metrics: &metrics::Shared,
    ) {
        let (Some(said), Some((_, key))) = (self.said(), self.contact.known.get()) else {
            return;
        };
        let (store, webhooks) = (self.store.clone(), self.webhooks.clone());
        let (key, keep) = (key.clone(), longest + self.resume);
        let telling = async move { begun(&store, &webhooks, said, key, (session, keep)).await };
        let metrics = metrics.clone();
        let telling = async move {
            contained(&metrics, Work::Background, telling)
                .await
                .flatten()
        };
        *self.contact.begun() = Some(tokio::spawn(telling));
    }

    /// What is left to be told when the session has ended so; nothing where another one has the call,
    /// for that one will tell.
    pub(super) fn telling(
        &self,
        session: SessionId,
        (by, reason, lasted): (Side, Reason, Duration),
    ) -> Option<Telling> {
        let begun = self.contact.begun().take()?;
        let said = self.said().filter(|_| reason != Reason::Superseded)?;
        Some(Telling {
            session,
            said,
            begun,
            ended: Ended {
                at: SystemTime::now(),
                by,
                reason,
                lasted,
            },
            store: self.store.clone(),
            _open: self.webhooks.hold(),
            webhooks: self.webhooks.clone(),
        })
    }
}

/// The end of a call that is still to be told.
pub(super) struct Telling {
    session: SessionId,
    said: Said,
    begun: JoinHandle<Option<Label>>,
    ended: Ended,
    store: Arc<Store>,
    webhooks: Arc<Webhooks>,
    /// An edge that stops waits for it for a moment.
    _open: Hold,
}

impl Telling {
    /// Writes it down and tells it, after the opening.
    pub(super) async fn run(self) {
        // A task that was cut has told nothing.
        let Some(route) = self.begun.await.ok().flatten() else {
            return;
        };
        let (session, contact, ended) = (self.session, &self.said.contact, &self.ended);
        let over = Over {
            contact,
            owner: session,
            ended,
        };
        match insist(|| self.store.note_over(&over)).await {
            Ok(true) => {}
            // Another session has the call, at another edge it may be, and tells its end.
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%session, %contact, %error, "the end was not written down");
            }
        }
        let mut body = self.said.body("ended", ended.at);
        body["reason"] = ended.reason.word().into();
        body["ended_by"] = ended.by.word().into();
        let lasted = u64::try_from(ended.lasted.as_millis()).unwrap_or(u64::MAX);
        body["duration_ms"] = lasted.into();
        self.webhooks.tell(&route, &body);
    }
}

/// Writes down that a call was opened, and tells it; the contact's route.
async fn begun(
    store: &Arc<Store>,
    webhooks: &Webhooks,
    said: Said,
    key: Option<SessionKey>,
    (owner, keep): (SessionId, Duration),
) -> Option<Label> {
    let at = SystemTime::now();
    let begun = Begun {
        contact: &said.contact,
        key: key.as_ref(),
        call: &said.call,
        owner,
        connection: said.connection.as_ref(),
        correlation: said.correlation.as_ref(),
        at,
        keep,
    };
    match insist(|| store.note_begun(&begun)).await {
        Ok(Noted::New(route)) => {
            webhooks.tell(&route, &said.body("opened", at));
            Some(route)
        }
        Ok(Noted::Again(route)) => Some(route),
        // Somebody else has written the key, and says for whom it is.
        Ok(Noted::Unknown) => None,
        Err(error) => {
            tracing::warn!(session = %owner, contact = %said.contact, %error, "the opening was not written down");
            None
        }
    }
}

/// Asks a store that is away again, for a while.
async fn insist<T, F>(ask: impl Fn() -> F) -> Result<T, Unavailable>
where
    F: Future<Output = Result<T, Unavailable>>,
{
    let deadline = Instant::now() + WAIT;
    loop {
        match ask().await {
            Err(_) if Instant::now() + AGAIN < deadline => sleep(AGAIN).await,
            answer => return answer,
        }
    }
}
