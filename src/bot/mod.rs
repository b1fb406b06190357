//! What stands in front of a private application: requests reach it only with an identity that nobody
//! but the edge has written, and without what it is not to see.
//!
//! [`rewrite`] and [`pii`] are pure: a request in, a request or a refusal out. [`roles`] knows whom
//! somebody may see. [`Bot`] is about activities:
//!
//! ```text
//! Bot Connector ── activity ──▶ admission: its token ──▶ bind: is it this activity's, and whose
//!                                   another tenant: the refusal, in the conversation ◀──┤
//!                         keep: where to write to them, what they want ──▶ store ◀──────┤
//!                                                application, told who speaks ◀──┘
//! a program of one's own ── notice ──▶ notify: have they been met, do they mind ──▶ Bot Connector
//! ```
//!
//! Not here: HTTP (`listener`), the token and what it proves (`admission`), what goes to the connector
//! (`upstream`).

pub mod body;
mod json;
mod keep;
mod notify;
pub mod pii;
pub mod rewrite;
pub mod roles;
mod wish;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::keep::{Keeper, Kept};
use self::notify::Notifier;
pub use self::notify::{Sending, Unsent};
use crate::admission::Grant;
use crate::admission::bot::{BotCaller, Outsider, Unbound};
use crate::config::BotRoute;
use crate::error::Reason;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;
use crate::store::Store;
use crate::upstream::connector::{Connector, Reference, Written};
use crate::upstream::identity::Identity;
use crate::wire::activity::{self, Kind};

/// Refusals in conversations that are under way at a time. Whoever is not told then was not to be
/// served anyway.
const REPLIES: usize = 64;

/// What becomes of activities.
pub struct Bot {
    /// The bot's own word in conversations, if it has one here.
    connector: Option<Arc<Connector>>,
    /// What is kept of people, where there are messages to them.
    keeper: Option<Keeper>,
    notifier: Option<Notifier>,
    replies: Arc<Semaphore>,
    tasks: TaskTracker,
    warnings: Throttle,
    metrics: metrics::Shared,
}

/// Whose an activity is.
pub enum Heard {
    /// The application is to hear it, when what is to be kept of it is [kept](Bot::keep).
    Ours(Box<BotCaller>, Kept),
    /// Nobody is to hear it. The connector is told that it is done, for it would bring it again.
    Outsiders(Box<Outsider>),
}

/// Why an activity is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    pub detail: &'static str,
}

impl Refused {
    fn new(reason: Reason, detail: &'static str) -> Refused {
        Refused { reason, detail }
    }
}

impl Bot {
    /// `keep`: how long references are kept. Whoever owns it must run it.
    pub fn new(
        connector: Option<Arc<Connector>>,
        (store, keep): (&Arc<Store>, Duration),
        metrics: &metrics::Shared,
    ) -> Bot {
        let speaks = connector.is_some();
        Bot {
            keeper: speaks.then(|| Keeper::new(store, keep, metrics)),
            notifier: speaks.then(|| Notifier::new(store)),
            connector,
            replies: Arc::new(Semaphore::new(REPLIES)),
            tasks: TaskTracker::new(),
            warnings: Throttle::default(),
            metrics: metrics.clone(),
        }
    }

    /// The same in the place of what was before: what is under way there is counted and waited for here.
    pub fn after(self, before: &Bot) -> Bot {
        Bot {
            replies: before.replies.clone(),
            tasks: before.tasks.clone(),
            ..self
        }
    }

    /// The bot's own identity, if it has one here; whoever owns this must run it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.connector
            .as_ref()
            .map(|connector| connector.identity())
    }

    /// Reads an activity and holds it against the token that it came with.
    pub fn hear(&self, grant: &Grant, route: &BotRoute, body: &[u8]) -> Result<Heard, Refused> {
        let activity = activity::read(body)
            .map_err(|wrong| Refused::new(Reason::BadRequest, wrong.detail()))?;
        match grant.bind(&activity) {
            Ok(caller) => {
                let keeper = self.keeper.as_ref();
                let kept = keeper.map(|keeper| keeper.of(route, &activity, &caller));
                Ok(Heard::Ours(Box::new(caller), kept.unwrap_or_default()))
            }
            Err(Unbound::OtherTenant(outsider)) => Ok(Heard::Outsiders(outsider)),
            Err(Unbound::Denied(denied)) => Err(Refused::new(denied.reason, denied.detail)),
        }
    }

    /// Keeps what is to be kept of an activity, before the application hears it.
    pub async fn keep(&self, kept: Kept) -> Result<(), Refused> {
        match &self.keeper {
            Some(keeper) => keeper.keep(kept, &self.tasks).await,
            None => Ok(()),
        }
    }

    /// Resolves when all is written that was to be kept, or was given up; to be asked when it hears
    /// nothing more.
    pub async fn kept(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.settled().await;
        }
    }

    /// Writes to the store what is to be kept, for ever.
    pub async fn run(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.run().await;
        }
        // There is nothing to keep.
        std::future::pending().await
    }

    /// Tells somebody of another tenant that they are not served, where the route has words for it
    /// and they said something.
    pub fn turn_away(&self, name: &Label, route: &BotRoute, outsider: &Outsider) {
        let speaks = matches!(outsider.kind(), Kind::Message | Kind::Invoke);
        let (Some(text), Some(connector), true) = (&route.refusal, &self.connector, speaks) else {
            return;
        };
        let Some((to, answers)) = reference(outsider) else {
            return;
        };
        let Ok(place) = self.replies.clone().try_acquire_owned() else {
            self.metrics.limit_hit("bot_replies");
            return;
        };
        let (connector, text, name) = (connector.clone(), text.clone(), name.clone());
        let left_out = self.warnings.pass(Instant::now());
        self.tasks.spawn(async move {
            let _place = place;
            if let Err(failure) = connector.reply(&to, answers.as_deref(), &text).await
                && let Some(left_out) = left_out
            {
                let failure = failure.kind.word();
                tracing::warn!(route = %name, failure, left_out, "a refusal was not told");
            }
        });
    }

    /// Resolves when nothing is under way any more; to be asked when nothing new comes.
    pub async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Where to answer somebody, and which activity; `None`: the activity does not say enough.
fn reference(outsider: &Outsider) -> Option<(Reference, Option<String>)> {
    let from = outsider.reference().clone();
    let written = Written {
        service_url: from.service_url,
        channel_id: from.channel,
        conversation: from.conversation,
        bot: from.bot?,
        user: from.user?,
        aad_object_id: outsider.user()?.to_string(),
        tenant_id: from.tenant.to_string(),
        locale: from.locale,
    };
    Some((Reference::try_from(written).ok()?, from.activity))
}
