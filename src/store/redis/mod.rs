//! The store in Redis: one server, one behind sentinels, or a cluster. Nothing else names fred.
//!
//! On one server, also behind sentinels, a decision is one script, so one round trip and one moment.
//! In a cluster it is two, and what is written at last a third: first everything is reserved, at once
//! in all slots, then the key is consumed, then the call is opened. What is reserved is given back
//! where the decision fails; what is cut off between two of them stays reserved, which refuses and
//! never opens.
//!
//! All sessions share one connection per server. fred writes commands as they come and hands answers
//! back in their order, so none waits for another's round trip.

mod cluster;
mod connect;
mod events;
mod examine;
mod glance;
mod hand_over;
mod limits;
mod made;
mod one;
mod orders;
mod pace;
mod people;
mod probe;
mod record;
mod running;
mod script;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{
    ClientLike as _, EventInterface as _, KeysInterface as _, LuaInterface as _,
};
use fred::types::config::Options;
use fred::types::{Expiration, FromValue, Key, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub use self::examine::{Examined, Node};
use self::script::{Script, Scripts};
use self::told::Told;
use super::gather::Gather;
use super::{
    Attempt, Enter, Entered, Facts, GivenBack, Keys, Policy, SessionKey, Still, Tried, Unavailable,
};
use crate::config::{self, Layout};
use crate::ids::{CallId, SessionId};
use crate::metrics;
use crate::upstream;
use crate::upstream::identity::Identity;

/// Why a store cannot be prepared. Told at start-up.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the store cannot be set up: {0}")]
    Peer(#[from] upstream::Unusable),
    #[error("the settings of the store cannot be used together")]
    Client,
}

/// The state is read so often where no event told of a change.
const LOOK: Duration = Duration::from_millis(500);
/// Before a client that ended is started again.
const RESTART: Duration = Duration::from_secs(1);

pub(super) use self::examine::examine;

pub(super) struct Redis {
    client: Client,
    identity: Option<Arc<Identity>>,
    scripts: Scripts,
    policy: Policy,
    timeout: Duration,
    is_cluster: bool,
    /// Whether the task behind the client runs and has its connections.
    up: AtomicBool,
    room: Semaphore,
    /// Sessions that ask whether their calls are what they were.
    glances: Gather,
    /// The server says that it is not the primary any more.
    demoted: Notify,
    metrics: metrics::Shared,
}

/// A decision under way: a place among those that wait, and until when.
struct Turn<'a> {
    redis: &'a Redis,
    deadline: Instant,
    _place: SemaphorePermit<'a>,
}

impl Redis {
    pub(super) fn new(
        settings: &config::Redis,
        policy: Policy,
        metrics: metrics::Shared,
    ) -> Result<Redis, Unusable> {
        let connected = connect::client(settings, metrics.clone())?;
        Ok(Redis {
            client: connected.client,
            identity: connected.identity,
            scripts: Scripts::new(),
            policy,
            timeout: settings.timeout,
            is_cluster: matches!(settings.layout, Layout::Cluster),
            up: AtomicBool::new(false),
            room: Semaphore::new(connect::WAITING_MAX),
            glances: Gather::default(),
            demoted: Notify::new(),
            metrics,
        })
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) && self.client.is_connected()
    }

    /// Connects, and again whenever that is needed, and asks for all who glance, for ever.
    pub(super) async fn run(&self, keys: &Keys) {
        let identity = async {
            match &self.identity {
                Some(identity) => identity.run().await,
                None => std::future::pending().await,
            }
        };
        // None of them ends.
        tokio::join!(identity, self.keep_connected(), self.glance_for_all(keys));
    }

    async fn keep_connected(&self) {
        let mut told = Told::default();
        loop {
            let mut errors = self.client.error_rx();
            let mut reconnects = self.client.reconnect_rx();
            let mut task = Task(self.client.connect());
            let mut silence = Box::pin(probe::silence(&self.client, self.is_cluster));
            loop {
                // Receivers, a timer, a handle and a pinned future lose nothing when another comes
                // first.
                tokio::select! {
                    _ = &mut task.0 => break,
                    event = errors.recv() => match event {
                        Ok((error, server)) => told.failed(&error, server.as_ref()),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => sleep(LOOK).await,
                    },
                    event = reconnects.recv() => {
                        if matches!(event, Err(RecvError::Closed)) {
                            sleep(LOOK).await;
                        }
                    }
                    // To connect anew would keep the connections of a cluster; whoever waits for an
                    // answer has none with this, either.
                    () = &mut silence => {
                        told.unresponsive();
                        break;
                    }
                    () = self.demoted.notified() => {
                        // Whatever it comes to, the next event says it.
                        let _ = timeout(RESTART, self.client.force_reconnection()).await;
                    }
                    () = sleep(LOOK) => {}
                }
                self.show(self.client.is_connected(), &mut told);
            }
            drop(task);
            self.show(false, &mut told);
            tracing::debug!("the client of the store ended and is started again");
            sleep(RESTART).await;
        }
    }

    fn show(&self, up: bool, told: &mut Told) {
        if self.up.swap(up, Ordering::Relaxed) != up {
            self.metrics.store_up.set(if up { 1.0 } else { 0.0 });
            told.changed(up);
        }
    }

    pub(super) async fn enter(
        &self,
        enter: &Enter<'_>,
        keys: &Keys,
    ) -> Result<Entered, Unavailable> {
        let turn = self.turn()?;
        match self.is_cluster {
            false => one::enter(&turn, enter, keys).await,
            true => cluster::enter(&turn, enter, keys).await,
        }
    }

    pub(super) async fn try_code(
        &self,
        attempt: &Attempt<'_>,
        keys: &Keys,
    ) -> Result<Tried, Unavailable> {
        let turn = self.turn()?;
        match self.is_cluster {
            false => one::try_code(&turn, attempt, keys).await,
            true => cluster::try_code(&turn, attempt, keys).await,
        }
    }

    pub(super) async fn give_back(
        &self,
        given: &GivenBack<'_>,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let owner = given.owner.to_string();
        let spent = [keys.spent(&given.token)];
        let unspend = turn.ask(&self.scripts.unspend, spent, [owner.clone()]);
        let call = [keys.call(given.call), keys.live(given.call)];
        let said = [owner, ms(given.resume)];
        let hand_back = turn.ask(&self.scripts.hand_back, call, said);
        let (unspent, handed): (Result<String, _>, Result<String, _>) =
            tokio::join!(unspend, hand_back);
        is(&unspent?, "ok")?;
        is(&handed?, "ok")
    }

    pub(super) async fn leave(
        &self,
        call: &CallId,
        owner: SessionId,
        resume: Duration,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let named = [keys.call(call), keys.live(call)];
        let args = [owner.to_string(), ms(resume)];
        let done: String = turn.ask(&self.scripts.leave, named, args).await?;
        is(&done, "ok")
    }

    pub(super) async fn look(
        &self,
        call: &CallId,
        owner: SessionId,
        keys: &Keys,
    ) -> Result<Still, Unavailable> {
        let turn = self.turn()?;
        let named = [keys.call(call), keys.live(call)];
        let args = [owner.to_string(), ms(self.policy.ttl)];
        let still: String = turn.ask(&self.scripts.look, named, args).await?;
        match still.as_str() {
            "ours" => Ok(Still::Ours),
            "superseded" => Ok(Still::Superseded),
            "ended" => Ok(Still::Ended),
            "gone" => Ok(Still::Gone),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(super) async fn note_call(
        &self,
        call: &CallId,
        facts: &Facts,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let mut args = vec![ms(self.policy.ttl)];
        args.extend(record::fields(facts, keys));
        let done: String = turn
            .ask(&self.scripts.note, [keys.call(call)], args)
            .await?;
        is(&done, "ok")
    }

    pub(super) async fn put_key(&self, key: &SessionKey, ttl: Duration) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1);
        let ends = Some(Expiration::PX(millis));
        let put: Result<(), Error> = client.set(key.expose(), "1", ends, None, false).await;
        put.map_err(|error| self.unavailable(&error))
    }

    fn turn(&self) -> Result<Turn<'_>, Unavailable> {
        // Nothing queues up for a server that is away.
        if !self.is_up() {
            return Err(Unavailable::Unreachable);
        }
        let place = self.room.try_acquire();
        Ok(Turn {
            redis: self,
            deadline: Instant::now() + self.timeout,
            _place: place.map_err(|_| Unavailable::Full)?,
        })
    }

    fn unavailable(&self, error: &Error) -> Unavailable {
        if error.details().starts_with("READONLY") {
            self.demoted.notify_one();
        }
        told::unavailable(error)
    }
}

impl Turn<'_> {
    fn options(&self) -> Result<Options, Unavailable> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // A timeout of nothing would be none to fred.
        let left = (!left.is_zero())
            .then_some(left)
            .ok_or(Unavailable::Timeout)?;
        Ok(Options {
            timeout: Some(left),
            ..Options::default()
        })
    }

    /// Runs a script: by its name, or where the server does not know it yet by its text.
    async fn ask<R: FromValue>(
        &self,
        script: &Script,
        keys: impl IntoIterator<Item = String>,
        args: impl IntoIterator<Item = String>,
    ) -> Result<R, Unavailable> {
        let keys: Vec<Key> = keys.into_iter().map(Key::from).collect();
        let args: Vec<Value> = args.into_iter().map(Value::from).collect();
        let options = self.options()?;
        let client = self.redis.client.with_options(&options);
        let asked = client.evalsha(script.sha.as_str(), keys.clone(), args.clone());
        match asked.await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let options = self.options()?;
                let client = self.redis.client.with_options(&options);
                client.eval(script.text, keys, args).await
            }
            answer => answer,
        }
        .map_err(|error| self.redis.unavailable(&error))
    }
}

/// An answer of so many words.
fn words<const N: usize>(told: Vec<String>) -> Result<[String; N], Unavailable> {
    told.try_into().map_err(|_| Unavailable::Malformed)
}

fn is(said: &str, wanted: &str) -> Result<(), Unavailable> {
    (said == wanted).then_some(()).ok_or(Unavailable::Malformed)
}

/// A duration as Redis reads it; never 0, which is none.
fn ms(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

/// Ends the client's task with whoever runs it.
struct Task(JoinHandle<Result<(), Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
