//! Where to write to people, and that they want to hear nothing: kept when they are heard, for all
//! replicas (C22, C23).
//!
//! What is to be kept waits in one queue, in the order in which it was heard: nobody's second word is
//! overtaken by their first. While the store is away the queue waits for it, and the activities go on
//! to the application: a reference that is lost comes again with the next word, and a wish is not
//! lost, for an activity with one that finds no place is refused. A wish is waited for a moment, so
//! that it is in force when the application hears of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Refused;
use super::wish::Wish;
use crate::admission::bot::BotCaller;
use crate::config::BotRoute;
use crate::error::Reason;
use crate::ids::EntraId;
use crate::log::Throttle;
use crate::metrics;
use crate::store::{About, Note, Store, Unavailable};
use crate::upstream::connector::{Reference, Written};
use crate::wire::activity::{Activity, Kind};

/// What waits for the store: of a reference some hundred bytes.
const NOTES: usize = 4096;
/// How long it waits at the most.
const LIFE: Duration = Duration::from_secs(600);
/// How long a store is asked again that has no room.
const FULL: Duration = Duration::from_secs(2);
/// From one question to the store to the next while it is away.
const AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How long the application waits for a wish to be in force.
const WISH: Duration = Duration::from_secs(1);
/// A wish is kept until another one comes, or nobody can remember it: ten years.
const WISH_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What is to be kept of one activity.
#[derive(Default)]
pub struct Kept {
    wish: Option<Item>,
    place: Option<Item>,
}

/// One note about one person.
struct Item {
    what: What,
    tenant: EntraId,
    person: EntraId,
}

enum What {
    Wish(Wish),
    /// Where to write to them, as JSON.
    Reference(String),
    /// The bot was removed, so there is no such place any more.
    Farewell,
}

impl What {
    /// For metrics.
    fn word(&self) -> &'static str {
        match self {
            What::Wish(Wish::Quiet) => "quiet",
            What::Wish(Wish::Speak) => "speak",
            What::Reference(_) => "reference",
            What::Farewell => "farewell",
        }
    }

    fn note(&self) -> Note {
        match self {
            What::Wish(_) => Note::Quiet,
            What::Reference(_) | What::Farewell => Note::Reference,
        }
    }
}

struct Waiting {
    item: Item,
    until: Instant,
    /// Whoever waits for it.
    done: Option<oneshot::Sender<()>>,
    _tokens: [TaskTrackerToken; 2],
}

/// Keeps what people say and where they are.
pub(super) struct Keeper {
    store: Arc<Store>,
    /// How long a reference is kept; zero: not at all.
    keep: Duration,
    notes: mpsc::Sender<Waiting>,
    /// Until somebody runs it.
    waiting: Mutex<Option<mpsc::Receiver<Waiting>>>,
    /// What is not written yet.
    open: TaskTracker,
    warnings: Throttle,
    metrics: metrics::Shared,
}

impl Keeper {
    /// Whoever owns it must run it.
    pub(super) fn new(store: &Arc<Store>, keep: Duration, metrics: &metrics::Shared) -> Keeper {
        let (notes, waiting) = mpsc::channel(NOTES);
        Keeper {
            store: store.clone(),
            keep,
            notes,
            waiting: Mutex::new(Some(waiting)),
            open: TaskTracker::new(),
            warnings: Throttle::default(),
            metrics: metrics.clone(),
        }
    }

    /// What an activity says that is to be kept.
    pub(super) fn of(&self, route: &BotRoute, activity: &Activity<'_>, caller: &BotCaller) -> Kept {
        let Some(person) = caller.user() else {
            return Kept::default();
        };
        let item = |what: What| Item {
            what,
            tenant: caller.tenant().clone(),
            person: person.clone(),
        };
        let said = activity.text().filter(|_| activity.kind == Kind::Message);
        let wish = said.and_then(|text| Wish::of(route, &text));
        Kept {
            wish: wish.map(What::Wish).map(item),
            place: self.place(activity, caller, person).map(item),
        }
    }

    /// Where to write to whoever sent an activity. A conversation with others is none: what is for one
    /// person is not for all of them.
    fn place(&self, activity: &Activity<'_>, caller: &BotCaller, person: &EntraId) -> Option<What> {
        let of_contact = match activity.kind {
            Kind::Message | Kind::Invoke | Kind::ConversationUpdate | Kind::InstallationUpdate => {
                true
            }
            Kind::Other => false,
        };
        let alone = activity.conversation_type.as_deref() == Some("personal");
        if self.keep.is_zero() || !of_contact || !alone {
            return None;
        }
        if activity.is_farewell() {
            return Some(What::Farewell);
        }
        let from = caller.reference().clone();
        // What the bot itself did is no word of the person's.
        let user = from.user.filter(|user| from.bot.as_ref() != Some(user))?;
        let written = Written {
            service_url: from.service_url,
            channel_id: from.channel,
            conversation: from.conversation,
            bot: from.bot?,
            user,
            aad_object_id: person.to_string(),
            tenant_id: from.tenant.to_string(),
            locale: from.locale,
        };
        let reference = Reference::try_from(written).ok()?;
        serde_json::to_string(&reference).ok().map(What::Reference)
    }

    /// Puts it where it is kept; a wish is in force when this resolves, unless the store is away.
    pub(super) async fn keep(&self, kept: Kept, tasks: &TaskTracker) -> Result<(), Refused> {
        if let Some(place) = kept.place {
            // Whether it finds a place is counted.
            let _ = self.queue(place, None, tasks);
        }
        let Some(wish) = kept.wish else {
            return Ok(());
        };
        let (done, heard) = oneshot::channel();
        self.queue(wish, Some(done), tasks)?;
        let _ = timeout(WISH, heard).await;
        Ok(())
    }

    fn queue(
        &self,
        item: Item,
        done: Option<oneshot::Sender<()>>,
        tasks: &TaskTracker,
    ) -> Result<(), Refused> {
        let word = item.what.word();
        let waiting = Waiting {
            item,
            until: Instant::now() + LIFE,
            done,
            _tokens: [tasks.token(), self.open.token()],
        };
        self.notes.try_send(waiting).map_err(|_| {
            self.metrics.limit_hit("bot_notes");
            self.metrics.bot_noted(word, "full");
            Refused::new(Reason::Busy, "too many words of others wait for the store")
        })
    }

    /// Resolves when nothing waits any more; to be asked when nothing new comes.
    pub(super) async fn settled(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// Writes what waits, for ever.
    pub(super) async fn run(&self) {
        let waiting = self.waiting.lock();
        // Nothing panics while it is held.
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else {
            return;
        };
        while let Some(next) = waiting.recv().await {
            let result = self.write(&next).await;
            self.metrics.bot_noted(next.item.what.word(), result);
            if let Some(done) = next.done {
                // It has not waited.
                let _ = done.send(());
            }
        }
    }

    /// Writes one, as often as it takes; what became of it.
    async fn write(&self, waiting: &Waiting) -> &'static str {
        let begun = Instant::now();
        let [mut pause, most] = AGAIN;
        loop {
            let error = match self.write_once(&waiting.item).await {
                Ok(()) => return "ok",
                Err(error) => error,
            };
            let until = match error {
                Unavailable::Timeout | Unavailable::Unreachable => waiting.until,
                // Others wait behind it.
                Unavailable::Full => begun + FULL,
                Unavailable::Refused | Unavailable::Malformed => begun,
            };
            if Instant::now() + pause >= until {
                if let Some(left_out) = self.warnings.pass(Instant::now()) {
                    let note = waiting.item.what.word();
                    tracing::warn!(note, %error, left_out, "a note about somebody was lost");
                }
                return "lost";
            }
            sleep(pause).await;
            pause = (pause * 2).min(most);
        }
    }

    async fn write_once(&self, item: &Item) -> Result<(), Unavailable> {
        let about = About {
            note: item.what.note(),
            tenant: &item.tenant,
            person: &item.person,
        };
        match &item.what {
            What::Wish(Wish::Quiet) => self.store.put_note(about, "1", WISH_LIFE).await,
            What::Reference(text) => self.store.put_note(about, text, self.keep).await,
            What::Wish(Wish::Speak) | What::Farewell => {
                self.store.drop_note(about).await.map(|_| ())
            }
        }
    }
}
