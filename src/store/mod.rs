//! The session store: session keys that others write, and what the edges know of each other's calls.
//!
//! A decision is one question: either it was answered whole, or it was not made and the answer is
//! [`Unavailable`], which opens nothing. What was asked once may be asked again after a lost answer:
//! nothing counts twice, and what was consumed for a session is still there for that session.
//!
//! # What is in it
//!
//! `{call}` and the like stand for parts; braces that are doubled are in the name of the key. Before
//! all of them stands `prefix`. The README has the same table for those who write session keys.
//!
//! | key | type | kept | written by | read by |
//! | --- | --- | --- | --- | --- |
//! | `pstn:{ani}:{code}`, `sip:{id}`, `acs:call_connection_id:{id}` | any; a string with the call's binding where the edge made it | as its writer says; `ttl` | other clouds, the session API, `bind_call` | `try_code`, `enter` |
//! | `call:{{call}}` | hash: `ani`, `sip`, `sip_key`, `connection`, `correlation`, `route`, `noted`, `owner`, `before`, `opened`, `contact`, `heard`, `ended`, `code`, `sub_code`; of one that the edge made `creator`, `binding`, `created`, `connected` | `ttl`, anew with each write and look | `note_call`, `make_call`, `bind_call`, `connect_call`, `enter`, `tones`, `end_call` | all |
//! | `live:{{call}}` | string: the session that opened the call | `ttl`, anew with each look; after `leave` for the resume window | `enter`, `try_code` | `enter`, `try_code`, `look`, `glance` |
//! | `tries:{{call}}` | hash: session and number of a try → `wrong`, `opened`, `reserved` | `ttl` | `try_code` | `try_code` |
//! | `spent:{sha256 of a token or ticket}` | string: the session that spent it | until 60 s after the token ends | `enter` | `enter` |
//! | `event:{sha256 of an event's source and id}` | string: who took it | 10 min | `claim` | `claim` |
//! | `tones:{{call}}` | hash: place of a key that a callback told of → the key | 2 min, anew with each | `add_tones` | `tones` |
//! | `handoff:{{contact}}` | hash: `writer`, `content`, `route`, `key`, `drawn`, `context`, `expires`, `kept`, `booking`, `state`, and of its call `call`, `owner`, `connection`, `correlation`, `opened`, `ended`, `reason`, `by`, `lasted` | as long as its key, and `ttl`; of a call as long as one lasts, and `ttl` | `hand_over`, `note_begun`, `note_over` | the same, `handed`, `take_back` |
//! | `fails:ani:{ani}`, `fails:key:{sha256 of a key}`, `fails:route:{route}` | set of failed tries | the window of its rate | `try_code` | `try_code` |
//! | `reference:{tenant}:{person}`, `quiet:…`, `scope:…` | string: where to write to somebody of Entra, that they want to hear nothing, whom they may see | as their settings say | `put_note` | `note` |
//! | `person:{tenant}:{person}` | string: JSON of who somebody is to the customer | as its writer says | the customer | `note` |
//! | `orders:log` | stream: `kind`, `value` (of a refresh `session:credential`), `until`, and of a refresh `end` | each entry until its `until`; cleared away when one is written | operators, `write_order`, `restore` | `orders` |
//! | `running:{{session}}` | string: JSON of a session that runs | 30 s, anew every 10 s | `tell_running` | `running`, `running_of` |
//! | `running-of:subject:{{…}}`, `…person:{{…}}`, `…tenant:{{…}}`, `…route:{{…}}` | sorted set of sessions, by when their place ends | as its records | `tell_running` | `running_of` |
//! | `pace:{{quota}}` | sorted set: turn → when it is over, ms of the server's clock | until the last one is over | `take_turn`, `note_turn` | `take_turn` |
//! | `pace:{{quota}}:shut` | string: `1` | for as long as the upstream said | `note_turn` | `take_turn` |
//! | `limit:{name}:{of}` | string or sorted set: a rate's time, sessions with their ends, minutes used | as long as it counts | `take`, `keep`, `free` | the same |
//! | `used:{{session key}}` | string: the try that consumed it; in a cluster only | 60 s | `try_code`, `enter` | the same, after a lost answer |
//!
//! To take back what somebody entered by, write an order ([`Store::write_order`]).
//! To take a verdict back, delete `live:{{call}}`: no other socket gets in by it, and the session that
//! runs by it ends at its next glance, within two seconds, as `revoked`. So it does when the call's
//! `call:{{call}}` is deleted, which forgets the call. A store that comes back empty says the same of
//! all calls: what it has lost it may have been told to take back.
//!
//! # Looks and glances
//!
//! That a call is still a session's own is asked of each call every 1.25 s, and is nearly all that a store
//! of many calls is asked. So it is asked in two steps: a [glance](Store::glance) says that nothing is
//! different, and is gathered with those of other sessions (`gather`); where one cannot say that, the
//! session [looks](Store::look), by itself and at once. A look alone decides, and it alone keeps what is
//! kept: it comes in order with whatever else the session asks, so a session that has left keeps nothing.
//!
//! # Not here
//!
//! When to ask again, and until when: that is whoever asks. What a call's digits are: the gate.

mod ask;
mod events;
mod gather;
mod hand_over;
mod key;
mod limits;
mod made;
mod memory;
mod orders;
mod pace;
mod people;
mod redis;
mod running;

use std::time::{Duration, Instant, SystemTime};

pub use self::ask::{Attempt, Enter, Entered, GivenBack, Needs, Tried};
pub use self::events::{Kept, Tones};
pub use self::hand_over::{
    Begun, Ended, HandOver, Handed, HandedOver, Noted, Opened, Outcome, Over, TakenBack,
};
pub use self::key::{Keys, SessionKey};
pub use self::limits::{Counter, Most, Took, Use, minutes};
pub use self::made::{Bind, CallEnded, Known, Made};
pub use self::orders::{
    Cursor, Lodged, NAME_MAX, NOTICES_MAX, ORDERS_MAX, Order, Ordered, Orders, RESTORED_MAX,
    Target, USUAL,
};
pub use self::pace::{Became, Paced, TURNS_TOLD, TakeTurn, Turn};
pub use self::people::{About, Note};
pub use self::redis::{Examined, Node, Unusable};
pub use self::running::{Found, Running, Whose};

use self::memory::Memory;
use self::redis::Redis;
use crate::config;
use crate::ids::{CallId, ForeignId, PhoneNumber, SessionId};
use crate::metrics;

/// What signalling said of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub ani: Option<PhoneNumber>,
    /// The id in a SIP header.
    pub sip: Option<ForeignId>,
    /// ACS' id of the connection.
    pub connection: Option<ForeignId>,
    pub correlation: Option<ForeignId>,
}

/// What a session's call is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Still {
    Ours,
    /// Another session has taken over.
    Superseded,
    /// ACS has said that it is over.
    Ended,
    /// It is forgotten, or its verdict revoked.
    Gone,
}

/// No answer, so no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the store took too long")]
    Timeout,
    #[error("the store cannot be reached")]
    Unreachable,
    #[error("the store refused the command")]
    Refused,
    #[error("too many commands wait for the store, or it holds too much")]
    Full,
    #[error("the store holds something that is not as the edge writes it")]
    Malformed,
}

impl Unavailable {
    /// For metrics.
    pub fn word(self) -> &'static str {
        match self {
            Unavailable::Timeout => "timeout",
            Unavailable::Unreachable => "unreachable",
            Unavailable::Refused => "refused",
            Unavailable::Full => "full",
            Unavailable::Malformed => "malformed",
        }
    }
}

/// The session store.
pub struct Store {
    engine: Engine,
    keys: Keys,
    metrics: metrics::Shared,
}

/// A question to Redis is a future of some KiB, and whoever waits for it lives far longer: so it has
/// a place of its own, for as long as it is asked.
enum Engine {
    Memory(Box<Memory>),
    Redis(Box<Redis>),
}

/// What all decisions follow.
#[derive(Clone, Copy, Debug)]
struct Policy {
    ttl: Duration,
    require_ttl: bool,
}

impl Store {
    /// Prepares it; nothing is connected yet.
    pub fn new(settings: &config::Store, metrics: metrics::Shared) -> Result<Store, Unusable> {
        let policy = Policy {
            ttl: settings.ttl,
            require_ttl: settings.require_ttl,
        };
        let engine = match &settings.engine {
            config::Engine::Memory => {
                metrics.store_up.set(1.0);
                Engine::Memory(Box::new(Memory::new(policy, memory::ENTRIES_MAX)))
            }
            config::Engine::Redis(redis) => {
                metrics.store_up.set(0.0);
                Engine::Redis(Box::new(Redis::new(redis, policy, metrics.clone())?))
            }
        };
        Ok(Store {
            engine,
            keys: Keys::new(&settings.keys),
            metrics,
        })
    }

    /// Looks at the Redis of the settings as `tonegate doctor` does; `None`: there is none. The error is
    /// why it is not reached.
    pub async fn examine(
        settings: &config::Store,
        metrics: metrics::Shared,
    ) -> Option<Result<Examined, &'static str>> {
        match &settings.engine {
            config::Engine::Memory => None,
            config::Engine::Redis(engine) => {
                let keys = Keys::new(&settings.keys);
                Some(Box::pin(redis::examine(engine, &keys, metrics)).await)
            }
        }
    }

    /// Builds the names of session keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// As the settings name it.
    pub fn engine(&self) -> &'static str {
        match &self.engine {
            Engine::Memory(_) => "memory",
            Engine::Redis(_) => "redis",
        }
    }

    /// Keeps the connections; lives as long as the edge. Commands may come from other runtimes.
    pub async fn run(&self) {
        match &self.engine {
            Engine::Memory(_) => std::future::pending().await,
            Engine::Redis(redis) => redis.run(&self.keys).await,
        }
    }

    /// Whether it can be asked, as far as is known: a server that is frozen is found to be so after two
    /// seconds.
    pub fn is_up(&self) -> bool {
        match &self.engine {
            Engine::Memory(_) => true,
            Engine::Redis(redis) => redis.is_up(),
        }
    }

    /// Decides whether a session may begin, and takes the call over for it.
    pub async fn enter(&self, enter: &Enter<'_>) -> Result<Entered, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.enter(enter, &self.keys),
                Engine::Redis(redis) => Box::pin(redis.enter(enter, &self.keys)).await,
            }
        };
        self.count("enter", work).await
    }

    /// Decides on a code. The same number again is the same try.
    pub async fn try_code(&self, attempt: &Attempt<'_>) -> Result<Tried, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.try_code(attempt, &self.keys),
                Engine::Redis(redis) => Box::pin(redis.try_code(attempt, &self.keys)).await,
            }
        };
        self.count("try_code", work).await
    }

    /// The `101` did not come: the token is not spent after all, and a session that had the call
    /// has it again.
    pub async fn give_back(&self, given: &GivenBack<'_>) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.give_back(given),
                Engine::Redis(redis) => Box::pin(redis.give_back(given, &self.keys)).await,
            }
        };
        self.count("give_back", work).await
    }

    /// The media socket is gone: if the call is still this session's, its verdict holds for `resume`.
    pub async fn leave(
        &self,
        call: &CallId,
        owner: SessionId,
        resume: Duration,
    ) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.leave(call, owner, resume),
                Engine::Redis(redis) => {
                    Box::pin(redis.leave(call, owner, resume, &self.keys)).await
                }
            }
        };
        self.count("leave", work).await
    }

    /// What the call is to a session that runs. What is still its own is kept for another `ttl`.
    pub async fn look(&self, call: &CallId, owner: SessionId) -> Result<Still, Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.look(call, owner),
                Engine::Redis(redis) => Box::pin(redis.look(call, owner, &self.keys)).await,
            }
        };
        self.count("look", work).await
    }

    /// Whether the call is to a session that runs what it was. `false` says that it may be something else
    /// now, or is to be kept for longer, and whoever hears that [looks](Store::look).
    ///
    /// In Redis nothing is changed by it, and it goes there a tenth of a second later, in one command with
    /// what other sessions of this edge ask by then: it costs a fraction of a look.
    pub async fn glance(&self, call: &CallId, owner: SessionId) -> Result<bool, Unavailable> {
        let answered = match &self.engine {
            Engine::Memory(memory) => {
                let still = async { memory.look(call, owner) };
                return self
                    .count("glance", still)
                    .await
                    .map(|still| still == Still::Ours);
            }
            Engine::Redis(redis) => redis.glance(call, owner).await,
        };
        self.told("glance", answered.yes, answered.took)
    }

    /// Makes a call known: whoever answers it says what signalling said. What is not said stays.
    pub async fn note_call(&self, call: &CallId, facts: &Facts) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.note_call(call, facts),
                Engine::Redis(redis) => Box::pin(redis.note_call(call, facts, &self.keys)).await,
            }
        };
        self.count("note_call", work).await
    }

    /// Writes a session key.
    pub async fn put_key(&self, key: &SessionKey, ttl: Duration) -> Result<(), Unavailable> {
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.put_key(key, ttl),
                Engine::Redis(redis) => Box::pin(redis.put_key(key, ttl)).await,
            }
        };
        self.count("put_key", work).await
    }

    async fn count<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let begun = Instant::now();
        let answer = work.await;
        self.told(operation, answer, begun.elapsed())
    }

    /// Counts an answer that took so long.
    fn told<T>(
        &self,
        operation: &'static str,
        answer: Result<T, Unavailable>,
        took: Duration,
    ) -> Result<T, Unavailable> {
        let result = match &answer {
            Ok(_) => "ok",
            Err(unavailable) => unavailable.word(),
        };
        if matches!(&answer, Err(Unavailable::Full)) {
            self.metrics.limit_hit("store");
        }
        self.metrics.store_answered(operation, result, took);
        answer
    }
}

/// Longer than a token is good: another replica's clock may be behind by so much, and whoever found the
/// token good at its last moment asks a moment later. A record that ended with the token would let that
/// one in again.
const SPENT_LONGER: Duration = Duration::from_secs(60);

/// How long a token or a ticket that was spent must be remembered, whatever clocks say.
fn spent_for(expires: SystemTime) -> Duration {
    let left = expires
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    left + SPENT_LONGER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a32_what_was_spent_is_remembered_longer_than_it_is_good() {
        let now = SystemTime::now();
        for (ends, least) in [(0, 60), (30, 89)] {
            let kept = spent_for(now + Duration::from_secs(ends)).as_secs();
            assert!((least..=ends + 60).contains(&kept), "{kept}");
        }
        // Also by a clock that is far ahead.
        let past = now - Duration::from_secs(3600);
        assert_eq!(spent_for(past), SPENT_LONGER);
    }
}
