//! What goes on for as long as somebody needs it, whichever generation of the settings it came with:
//! each part is one future, begun once.
//!
//! A part is needed by the doors that it belongs to, and by sessions that have been given it. When the
//! last of them has let it go, it says what it has left to say, and ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admission::{Keys, Shares};
use crate::bot::Bot;
use crate::bot::roles::Roles;
use crate::error::Reason;
use crate::listener::doors::Doors;
use crate::session::{Announcer, Registry};
use crate::upstream::identity::Identity;
use crate::upstream::webhook::Webhook;

/// How often it is looked whether somebody still needs a part.
const LOOK: Duration = Duration::from_secs(1);
/// What a part has left to say is not waited for longer than a note about somebody waits for its store.
const LEFT_TO_SAY: Duration = Duration::from_secs(600);

/// One of them.
#[derive(Clone)]
enum Part {
    /// Of an issuer.
    Keys(Arc<Keys>),
    /// Of the edge itself, somewhere.
    Identity(Arc<Identity>),
    Webhook(Arc<Webhook>),
    Bot(Arc<Bot>),
    Announcer(Arc<Announcer>),
    Shares(Arc<Shares>, Registry),
}

impl Part {
    /// All that a generation needs.
    fn of(doors: &Doors) -> Vec<Part> {
        let upstreams = doors.routes.iter().flat_map(|open| &open.upstreams);
        let of_upstreams = upstreams.filter_map(|upstream| upstream.identity());
        let of_acs = doors.acs.as_ref().and_then(|acs| acs.identity());
        let of_roles = doors.roles.as_ref().and_then(Roles::identity);
        let of_detectors = doors.pii_detectors.iter().filter_map(|of| of.identity());
        let identities = of_upstreams
            .chain(of_acs)
            .chain(doors.bot.identity())
            .chain(of_roles)
            .chain(of_detectors);
        let keys = doors.admission.issuer_keys().into_iter().map(Part::Keys);
        let webhooks = doors.webhooks.all().cloned().map(Part::Webhook);
        let others = [
            Some(Part::Bot(doors.bot.clone())),
            doors.announcer.clone().map(Part::Announcer),
            Some(Part::Shares(
                doors.admission.shares(),
                doors.registry.clone(),
            )),
        ];
        keys.chain(identities.map(Part::Identity))
            .chain(webhooks)
            .chain(others.into_iter().flatten())
            .collect()
    }

    fn is(&self, other: &Part) -> bool {
        match (self, other) {
            (Part::Keys(one), Part::Keys(other)) => Arc::ptr_eq(one, other),
            (Part::Identity(one), Part::Identity(other)) => Arc::ptr_eq(one, other),
            (Part::Webhook(one), Part::Webhook(other)) => Arc::ptr_eq(one, other),
            (Part::Bot(one), Part::Bot(other)) => Arc::ptr_eq(one, other),
            (Part::Announcer(one), Part::Announcer(other)) => Arc::ptr_eq(one, other),
            (Part::Shares(one, _), Part::Shares(other, _)) => Arc::ptr_eq(one, other),
            (_, _) => false,
        }
    }

    /// How many hold it.
    fn held(&self) -> usize {
        match self {
            Part::Keys(part) => Arc::strong_count(part),
            Part::Identity(part) => Arc::strong_count(part),
            Part::Webhook(part) => Arc::strong_count(part),
            Part::Bot(part) => Arc::strong_count(part),
            Part::Announcer(part) => Arc::strong_count(part),
            Part::Shares(part, _) => Arc::strong_count(part),
        }
    }

    async fn run(&self) {
        match self {
            Part::Keys(part) => part.run().await,
            Part::Identity(part) => part.run().await,
            Part::Webhook(part) => part.run().await,
            Part::Bot(part) => part.run().await,
            Part::Announcer(part) => part.run().await,
            Part::Shares(part, registry) => {
                let end = |session| {
                    registry.end(session, Reason::RateLimited);
                };
                part.run(end).await;
            }
        }
    }

    /// Resolves when it has said what it had to say.
    async fn settled(&self) {
        match self {
            Part::Keys(_) | Part::Identity(_) => {}
            Part::Webhook(part) => part.settled().await,
            Part::Bot(part) => part.kept().await,
            Part::Announcer(part) => part.take_leave().await,
            Part::Shares(part, _) => part.settled().await,
        }
    }

    /// Whether requests wait for what it fetches first.
    async fn fetched(&self) {
        match self {
            Part::Keys(part) => part.fetched().await,
            Part::Identity(part) => part.fetched().await,
            Part::Webhook(_) | Part::Bot(_) | Part::Announcer(_) | Part::Shares(..) => {}
        }
    }
}

/// All parts of all generations that are needed.
#[derive(Default)]
pub(super) struct Parts {
    all: Mutex<Vec<Part>>,
    /// Of those the ones that nobody runs yet.
    new: Mutex<Vec<Part>>,
    wake: Notify,
}

impl Parts {
    /// Begins what a generation needs and is not under way. What it fetches is had, or cannot be, when
    /// what this gives resolves.
    pub(super) fn begin(&self, doors: &Doors) -> impl Future<Output = ()> + use<> {
        let mut begun = Vec::new();
        {
            let mut all = lock(&self.all);
            for part in Part::of(doors) {
                if !all.iter().any(|other| other.is(&part)) {
                    all.push(part.clone());
                    begun.push(part);
                }
            }
        }
        lock(&self.new).extend(begun.iter().cloned());
        self.wake.notify_one();
        async move {
            join_all(begun.iter().map(Part::fetched)).await;
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.all).len()
    }

    /// Runs all of them, for ever.
    pub(super) async fn run(&self) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let new = std::mem::take(&mut *lock(&self.new));
            under_way.extend(new.into_iter().map(|part| Box::pin(self.run_one(part))));
            tokio::select! {
                () = self.wake.notified() => {}
                Some(()) = under_way.next() => {}
            }
        }
    }

    async fn run_one(&self, part: Part) {
        let run = async {
            part.run().await;
            // It has nothing to run.
            std::future::pending::<()>().await;
        };
        let let_go = async {
            // This future's own, and the one in the list.
            while part.held() > 2 {
                sleep(LOOK).await;
            }
            let _ = tokio::time::timeout(LEFT_TO_SAY, part.settled()).await;
        };
        tokio::select! {
            () = run => {}
            () = let_go => {}
        }
        lock(&self.all).retain(|other| !other.is(&part));
    }

    /// Takes leave of other edges, where anybody was told of sessions here.
    pub(super) async fn take_leave(&self) {
        let all = lock(&self.all).clone();
        let announcers = all.iter().filter(|part| matches!(part, Part::Announcer(_)));
        join_all(announcers.map(Part::settled)).await;
    }

    /// Resolves when nobody holds anything that the store is to be told of.
    pub(super) async fn shares_settled(&self) {
        let all = lock(&self.all).clone();
        let shares = all.iter().filter(|part| matches!(part, Part::Shares(..)));
        join_all(shares.map(Part::settled)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::build;
    use crate::config::Settings;

    /// Nobody listens where these issuers' keys are.
    fn settings(issuers: &[&str]) -> Settings {
        let mut text = "[server]\nlisten = \"127.0.0.1:0\"\n\
                        [upstreams.u]\nkind = \"relay\"\nurl = \"wss://u.example.com/\"\n\
                        credential = { none = true }\n\
                        [[routes]]\nname = \"r\"\nkind = \"relay\"\npaths = [\"/r\"]\n\
                        admit = [\"anyone\"]\nupstreams = [\"u\"]\n"
            .to_owned();
        for (n, name) in issuers.iter().enumerate() {
            text.push_str(&format!(
                "[issuers.{name}]\nkind = \"oidc\"\nissuer = \"https://127.0.0.1:{}\"\n\
                 audience = [\"a\"]\n",
                n + 1
            ));
        }
        Settings::read_text("edge.toml", &text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a39_a_part_runs_once_and_as_long_as_somebody_needs_it() {
        let parts = Parts::default();
        let first = build::doors(&settings(&["one", "two"])).unwrap();
        drop(parts.begin(&first));
        // Two issuers, the bot, and what is held of limits.
        assert_eq!(parts.len(), 4);
        let running = async {
            let (second, _) = build::next(settings(&["one"]), &first).unwrap();
            // Nothing of it is new, so nothing is waited for.
            parts.begin(&second).await;
            assert_eq!(parts.len(), 4);
            sleep(10 * LOOK).await;
            // Connections may still go through the doors of before.
            assert_eq!(parts.len(), 4);
            drop(first);
            sleep(3 * LOOK).await;
            assert_eq!(parts.len(), 3);
            let (third, _) = build::next(settings(&["one", "three"]), &second).unwrap();
            // It cannot be fetched, and then that is known.
            parts.begin(&third).await;
            assert_eq!(parts.len(), 4);
            drop((second, third));
            sleep(3 * LOOK).await;
            assert_eq!(parts.len(), 0);
        };
        tokio::select! {
            () = parts.run() => unreachable!("it runs for ever"),
            () = running => {}
        }
    }
}
