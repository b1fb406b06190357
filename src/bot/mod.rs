//! What stands in front of a private application: requests reach it only with an identity that nobody
//! but the edge has written, and without what it is not to see.
//!
//! [`rewrite`] and [`pii`] are pure: a request in, a request or a refusal out. [`roles`] knows whom
//! somebody may see. [`Bot`] is about activities:
//!
//! ```text
//! Bot Connector ── activity ──▶ admission: its token ──▶ bind: is it this activity's, and whose
//!                                   another tenant: the refusal, in the conversation ◀──┤
//!                                                application, told who speaks ◀──┘
//! ```
//!
//! Not here: HTTP (`listener`), the token and what it proves (`admission`), what goes to the connector
//! (`upstream`).

pub mod body;
mod json;
pub mod pii;
pub mod rewrite;
pub mod roles;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::admission::Grant;
use crate::admission::bot::{BotCaller, Outsider, Unbound};
use crate::config::BotRoute;
use crate::error::Reason;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;
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
    replies: Arc<Semaphore>,
    tasks: TaskTracker,
    warnings: Throttle,
    metrics: metrics::Shared,
}

/// Whose an activity is.
pub enum Heard {
    /// The application is to hear it.
    Ours(Box<BotCaller>),
    /// Nobody is to hear it. The connector is told that it is done, for it would bring it again.
    Outsiders(Box<Outsider>),
}

/// Why an activity is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    pub detail: &'static str,
}

impl Bot {
    pub fn new(connector: Option<Arc<Connector>>, metrics: &metrics::Shared) -> Bot {
        Bot {
            connector,
            replies: Arc::new(Semaphore::new(REPLIES)),
            tasks: TaskTracker::new(),
            warnings: Throttle::default(),
            metrics: metrics.clone(),
        }
    }

    /// The bot's own identity, if it has one here; whoever owns this must run it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.connector
            .as_ref()
            .map(|connector| connector.identity())
    }

    /// Reads an activity and holds it against the token that it came with.
    pub fn hear(&self, grant: &Grant, body: &[u8]) -> Result<Heard, Refused> {
        let activity = activity::read(body).map_err(|wrong| Refused {
            reason: Reason::BadRequest,
            detail: wrong.detail(),
        })?;
        match grant.bind(&activity) {
            Ok(caller) => Ok(Heard::Ours(Box::new(caller))),
            Err(Unbound::OtherTenant(outsider)) => Ok(Heard::Outsiders(outsider)),
            Err(Unbound::Denied(denied)) => Err(Refused {
                reason: denied.reason,
                detail: denied.detail,
            }),
        }
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
