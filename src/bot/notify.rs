//! Messages of the bot's own accord: to somebody whom it has met, unless they want none (C22 to C24).
//!
//! Who it is for is an id of Entra's and a tenant. Where that is the note of their own last word says,
//! which a verified activity brought; one that names somebody else is none. Whoever asks for a message
//! can choose neither the conversation nor the service.
//!
//! Not here: who may ask (`admission`), HTTP (`listener`).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::join;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::Bot;
use crate::admission::Subject;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics::{self, Work};
use crate::panics::contained;
use crate::store::{About, Note, Store, Unavailable};
use crate::upstream::connector::{Activity, Connector, Failure, Forbidden, Kind, Reference, Sent};
use crate::wire::notice::{Notice, What, Wrong};

/// Messages that are worked on at a time, each of 129 KiB at the most.
const NOTICES: usize = 256;

/// What a message to somebody needs.
pub(super) struct Notifier {
    pub(super) store: Arc<Store>,
    /// Held by the work itself: whoever asked may be gone before its end.
    places: Arc<Semaphore>,
}

impl Notifier {
    pub(super) fn new(store: &Arc<Store>) -> Notifier {
        Notifier {
            store: store.clone(),
            places: Arc::new(Semaphore::new(NOTICES)),
        }
    }
}

/// Why somebody was not written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent {
    pub reason: Reason,
    pub detail: &'static str,
    /// Where it says more than the reason.
    pub status: Option<StatusCode>,
    /// What is behind the reason, in a word.
    pub why: Option<&'static str>,
    /// When asking again may help, where that is known.
    pub retry_after: Option<Duration>,
}

impl Unsent {
    fn new(reason: Reason, detail: &'static str) -> Unsent {
        Unsent {
            reason,
            detail,
            status: None,
            why: None,
            retry_after: None,
        }
    }
}

impl From<Wrong> for Unsent {
    fn from(wrong: Wrong) -> Unsent {
        let reason = match wrong {
            Wrong::Long => Reason::TooLarge,
            Wrong::Form | Wrong::Ids | Wrong::Text | Wrong::Kind => Reason::BadRequest,
        };
        Unsent::new(reason, wrong.detail())
    }
}

/// What whoever asked is told.
impl From<Failure> for Unsent {
    fn from(failure: Failure) -> Unsent {
        let reason = match failure.kind {
            Kind::Forbidden(why) => match why {
                Forbidden::WritesBlocked
                | Forbidden::BlockedByUser
                | Forbidden::NotInstalled
                | Forbidden::NotInRoster
                | Forbidden::DisabledByAdmin
                | Forbidden::NotPermitted
                | Forbidden::Other => Reason::Blocked,
                Forbidden::WrongHost => Reason::UpstreamRefused,
            },
            Kind::NotFound | Kind::Unlisted => Reason::NoReference,
            Kind::TooLarge => Reason::TooLarge,
            Kind::PreconditionFailed => Reason::UpstreamBusy,
            Kind::Crowded => Reason::Busy,
            Kind::Throttled
            | Kind::Unreachable
            | Kind::Lost
            | Kind::Timeout
            | Kind::Unauthorized
            | Kind::Failed
            | Kind::Refused => failure.reason(),
        };
        Unsent {
            status: (failure.kind == Kind::Throttled).then_some(StatusCode::TOO_MANY_REQUESTS),
            retry_after: failure.after.map(|after| after.max(Duration::from_secs(1))),
            why: Some(failure.kind.word()),
            ..Unsent::new(reason, failure.detail)
        }
    }
}

impl Unsent {
    /// Why, in a word.
    pub fn word(&self) -> &'static str {
        self.why.unwrap_or(self.reason.word())
    }
}

/// Room for the work on one message.
pub struct Room<'a> {
    bot: &'a Bot,
    connector: Arc<Connector>,
    store: Arc<Store>,
    place: OwnedSemaphorePermit,
}

impl Bot {
    /// Room for one more message to somebody, if there is any.
    pub fn room(&self) -> Result<Room<'_>, Unsent> {
        let nobody = Unsent::new(Reason::Internal, "there is no bot");
        let (Some(connector), Some(notifier)) = (&self.connector, &self.notifier) else {
            return Err(nobody);
        };
        let place = notifier.places.clone().try_acquire_owned().map_err(|_| {
            self.metrics.limit_hit("notices");
            Unsent::new(Reason::Busy, "too many other messages are under way")
        })?;
        Ok(Room {
            bot: self,
            connector: connector.clone(),
            store: notifier.store.clone(),
            place,
        })
    }
}

impl Room<'_> {
    /// Begins to send a message to whom it says. From then on it is a task of its own, that
    /// [`settled`](Bot::settled) waits for: whoever does not wait for its end leaves no message half
    /// sent. `note` hears in any case what became of it.
    pub fn send(
        self,
        route: &Label,
        subject: &Subject,
        notice: Notice,
        note: impl FnOnce(&Result<Sent, Unsent>) + Send + 'static,
    ) -> Sending {
        let (bot, connector, store) = (self.bot, self.connector, self.store);
        let (route, subject) = (route.clone(), subject.to_string());
        Sending::begin((&bot.tasks, &bot.metrics), self.place, async move {
            let (tenant, person) = (notice.tenant.clone(), notice.person.clone());
            let sent = send(&connector, &store, notice).await;
            let result = sent.as_ref().map_or_else(Unsent::word, |_| "ok");
            tracing::info!(%route, %subject, %tenant, %person, result, "somebody was written to");
            note(&sent);
            sent
        })
    }
}

/// A message that is being sent, whether or not anybody waits for what becomes of it.
pub struct Sending(JoinHandle<Option<Result<Sent, Unsent>>>);

impl Sending {
    /// Begins work that has its place to its own end.
    fn begin(
        (tasks, metrics): (&TaskTracker, &metrics::Shared),
        place: OwnedSemaphorePermit,
        work: impl Future<Output = Result<Sent, Unsent>> + Send + 'static,
    ) -> Sending {
        let metrics = metrics.clone();
        Sending(tasks.spawn(async move {
            let _place = place;
            contained(&metrics, Work::Background, work).await
        }))
    }

    /// What became of it.
    pub async fn end(self) -> Result<Sent, Unsent> {
        let lost = Unsent::new(Reason::Internal, "the work on the message was lost");
        self.0.await.ok().flatten().unwrap_or(Err(lost))
    }
}

async fn send(connector: &Connector, store: &Store, notice: Notice) -> Result<Sent, Unsent> {
    let reference = find(store, &notice).await?;
    let activity = match notice.what {
        What::Text(text) => Some(Activity::text(&text)),
        What::Activity(members) => Activity::of(members),
    };
    let activity = activity.ok_or(Unsent::from(Wrong::Kind))?;
    Ok(connector.send(&reference, activity).await?)
}

/// Where to write to somebody who does not mind.
async fn find(store: &Store, notice: &Notice) -> Result<Reference, Unsent> {
    let about = |note| About {
        note,
        tenant: &notice.tenant,
        person: &notice.person,
    };
    let (quiet, reference) = join!(
        store.note(about(Note::Quiet)),
        store.note(about(Note::Reference))
    );
    match quiet {
        Ok(None) => {}
        // Whatever it says, it is there.
        Ok(Some(_)) | Err(Unavailable::Malformed) => {
            let detail = "this person has said that they want no messages";
            return Err(Unsent::new(Reason::OptedOut, detail));
        }
        Err(error) => return Err(unavailable(error)),
    }
    let none = Unsent::new(
        Reason::NoReference,
        "this person has not talked to the bot, or too long ago",
    );
    let strange = Unsent {
        why: Some("malformed"),
        ..Unsent::new(
            Reason::NoReference,
            "what is kept of this person's conversation is not theirs",
        )
    };
    let text = match reference {
        Ok(text) => text.ok_or(none)?,
        Err(Unavailable::Malformed) => return Err(strange),
        Err(error) => return Err(unavailable(error)),
    };
    let reference: Option<Reference> = serde_json::from_str(&text).ok();
    let of_person = |reference: &Reference| {
        *reference.person() == notice.person && *reference.tenant() == notice.tenant
    };
    reference.filter(of_person).ok_or(strange)
}

fn unavailable(error: Unavailable) -> Unsent {
    Unsent {
        why: Some(error.word()),
        ..Unsent::new(Reason::StoreUnavailable, "the store cannot be asked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn c24_whoever_leaves_leaves_the_place_to_the_work() {
        let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(1)));
        let (ends, end) = tokio::sync::oneshot::channel();
        let place = places.clone().try_acquire_owned().unwrap();
        let metrics: metrics::Shared = Arc::default();
        let sending = Sending::begin((&tasks, &metrics), place, async move {
            end.await.unwrap();
            Err(Unsent::from(Wrong::Kind))
        });
        drop(sending);
        tokio::task::yield_now().await;
        assert_eq!((places.available_permits(), tasks.len()), (0, 1));
        ends.send(()).unwrap();
        // One that panics gives its place back, and whoever waits for it is told.
        let place = places.clone().acquire_owned().await.unwrap();
        let panics = Sending::begin((&tasks, &metrics), place, async { panic!("4711") });
        assert_eq!(
            panics.end().await.err().map(|e| e.reason),
            Some(Reason::Internal)
        );
        let counted = r#"tonegate_panics_total{where="background"} 1"#;
        assert!(metrics.render().lines().any(|line| line == counted));
        tasks.close();
        tasks.wait().await;
        assert_eq!(places.available_permits(), 1);
    }

    #[test]
    fn c24_whoever_asked_is_told_what_it_means_for_them() {
        let of = |kind: Kind| {
            let failure = Failure {
                kind,
                status: None,
                detail: "",
                after: Some(Duration::from_millis(1500)),
            };
            let unsent = Unsent::from(failure);
            assert_eq!(unsent.why, Some(kind.word()));
            let status = unsent.status.map(|status| status.as_u16());
            (unsent.reason.word(), status.or(unsent.reason.row().status))
        };
        for (kind, reason, status) in [
            (Kind::Forbidden(Forbidden::WritesBlocked), "blocked", 410),
            (Kind::Forbidden(Forbidden::NotInstalled), "blocked", 410),
            (Kind::Forbidden(Forbidden::Other), "blocked", 410),
            (
                Kind::Forbidden(Forbidden::WrongHost),
                "upstream_refused",
                502,
            ),
            (Kind::NotFound, "no_reference", 404),
            (Kind::Unlisted, "no_reference", 404),
            (Kind::TooLarge, "too_large", 413),
            (Kind::PreconditionFailed, "upstream_busy", 503),
            (Kind::Throttled, "upstream_busy", 429),
            (Kind::Crowded, "busy", 503),
            (Kind::Unreachable, "upstream_unreachable", 502),
            (Kind::Lost, "upstream_unreachable", 502),
            (Kind::Timeout, "upstream_timeout", 504),
            (Kind::Unauthorized, "upstream_unauthorized", 502),
            (Kind::Failed, "upstream_refused", 502),
            (Kind::Refused, "upstream_refused", 502),
        ] {
            assert_eq!(of(kind), (reason, Some(status)), "{kind:?}");
        }
    }
}
