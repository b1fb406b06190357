//! The keys that an issuer publishes, kept fresh (RFC 7517).
//!
//! One future per issuer fetches, whoever asks: so there is never more than one fetch under way,
//! and a client that goes away cuts none short. Keys that were had once are kept while their
//! issuer is out of reach, for a day. A key that is not known is looked for again at once, but at
//! most [`LOOKS_MAX`] times in [`LOOKS_IN`], however many different ones strangers make up.

mod fetch;
mod set;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::fetch::Failed as KeysFailed;
pub(super) use self::set::Key;
pub use self::set::usable_keys;

use self::fetch::Source;
use self::set::KeySet;
use super::Denied;
use crate::config;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::secret::Digest;
use crate::upstream::Unusable;

/// Keys are fetched anew this often.
const REFRESH: Duration = Duration::from_secs(3600);
/// After a failure again after the first, and later, after failure upon failure, after the second.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// Keys that could not be fetched anew are good for this long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Fetches for the sake of unknown keys (Microsoft's guidance allows one in five minutes).
const LOOKS_MAX: usize = 3;
const LOOKS_IN: Duration = Duration::from_secs(300);
/// Unknown keys that are remembered, so that asking again for one costs nothing.
const MISSES_MAX: usize = 1024;
/// A fetch, of one document or of two, takes no longer.
const FETCH: Duration = Duration::from_secs(10);
/// Longest time that a request waits: for a fetch that is under way, and for its own.
const PATIENCE: Duration = Duration::from_secs(21);

/// The keys of one issuer.
pub struct Keys {
    issuer: Label,
    source: Source,
    state: Mutex<State>,
    wanted: Notify,
    /// Number of the fetch that ended last.
    ended: watch::Sender<u64>,
    metrics: metrics::Shared,
}

#[derive(Default)]
struct State {
    set: Option<(Arc<KeySet>, Instant)>,
    /// Numbers of fetches: the last one begun, ended, and asked for.
    begun: u64,
    ended: u64,
    wanted: u64,
    /// The last fetch failed.
    failed: bool,
    failures: u32,
    /// When unknown keys were looked for.
    looks: VecDeque<Instant>,
    /// Somebody would have looked for one, had there not been so many looks.
    missed_out: bool,
    misses: VecDeque<(Digest, Instant)>,
}

/// What to do about a key.
enum Look {
    Found(Key),
    Unknown,
    /// There are no keys, or only such as are too old.
    Unavailable,
    /// The answer comes with the end of this fetch.
    Wait(u64),
    /// There were too many looks; after this the next one is made, whoever asks or does not.
    Later(Duration),
}

impl Keys {
    pub(super) fn new(issuer: &config::Issuer, metrics: metrics::Shared) -> Result<Keys, Unusable> {
        Ok(Keys {
            issuer: issuer.name.clone(),
            source: Source::new(issuer)?,
            state: Mutex::default(),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            metrics,
        })
    }

    /// Fetches when it is time or when somebody asks, for ever.
    pub async fn run(&self) {
        loop {
            self.begin();
            let fetched = timeout(FETCH, self.source.fetch()).await;
            let due = Instant::now() + self.note(fetched.unwrap_or(Err(fetch::Failed::LATE)));
            // A wake that is left over from a wish already granted must not start a fetch.
            while let Some(due) = self.next(due) {
                if timeout_at(due, self.wanted.notified()).await.is_err() {
                    break;
                }
            }
        }
    }

    /// Resolves when a fetch has ended, whatever it came to.
    pub async fn fetched(&self) {
        let mut ended = self.ended.subscribe();
        // The sender is this itself.
        let _ = ended.wait_for(|&ended| ended > 0).await;
    }

    pub fn issuer(&self) -> &Label {
        &self.issuer
    }

    /// Fetches once, beside everything: how many keys are of use, or why there are none.
    pub async fn attempt(&self) -> Result<usize, KeysFailed> {
        let fetched = timeout(FETCH, self.source.fetch()).await;
        let fetched = fetched.unwrap_or(Err(fetch::Failed::LATE));
        fetched.map(|set| set.len())
    }

    fn begin(&self) {
        let mut state = self.state();
        state.begun += 1;
        state.missed_out = false;
    }

    /// When to fetch next, if not now: when it is due, or as soon as unknown keys may be looked for
    /// again where one was not. A stranger who makes up names can delay a new key, not hide it.
    fn next(&self, due: Instant) -> Option<Instant> {
        let state = self.state();
        if state.wanted > state.ended {
            return None;
        }
        let look = state.looks.front().filter(|_| state.missed_out);
        Some(look.map_or(due, |&first| due.min(first + LOOKS_IN)))
    }

    /// Takes in what a fetch came to; when to fetch again.
    fn note(&self, fetched: Result<KeySet, fetch::Failed>) -> Duration {
        let mut state = self.state();
        state.ended = state.begun;
        state.failed = fetched.is_err();
        let next = match fetched {
            Ok(set) => {
                self.metrics.keys_fetched(&self.issuer, "ok");
                tracing::debug!(issuer = %self.issuer, keys = set.len(), "keys fetched");
                state.failures = 0;
                state.set = Some((Arc::new(set), Instant::now()));
                REFRESH
            }
            Err(error) => {
                self.metrics.keys_fetched(&self.issuer, "failed");
                tracing::warn!(issuer = %self.issuer, %error, "keys cannot be fetched");
                state.failures = state.failures.saturating_add(1);
                let [first, later] = RETRY;
                (first * 2u32.saturating_pow(state.failures - 1)).min(later)
            }
        };
        let ended = state.ended;
        drop(state);
        self.ended.send_replace(ended);
        next
    }

    /// The key of this name. Waits for a fetch that may bring it.
    pub(super) async fn find(&self, kid: &str) -> Result<Key, Denied> {
        let unavailable = Denied::new(
            Reason::KeysUnavailable,
            "the keys of the issuer cannot be had now",
        );
        let number = match self.look(kid, Instant::now()) {
            Look::Found(key) => return Ok(key),
            Look::Unknown => return Err(unknown()),
            Look::Unavailable => return Err(unavailable),
            Look::Later(wait) => {
                return Err(Denied {
                    retry_after: Some(wait),
                    ..Denied::new(
                        Reason::KeysUnavailable,
                        "the key is not known, and there were too many looks for others",
                    )
                });
            }
            Look::Wait(number) => number,
        };
        let mut ended = self.ended.subscribe();
        let waited = timeout(PATIENCE, ended.wait_for(|&ended| ended >= number)).await;
        if !matches!(waited, Ok(Ok(_))) {
            return Err(unavailable);
        }
        self.look_again(kid, Instant::now()).ok_or(unavailable)?
    }

    /// Whether this very key is among those that are known and good now. Asks nobody.
    pub(super) fn has(&self, kid: &str, key: &Key) -> bool {
        let state = self.state();
        let set = state.set.as_ref();
        set.is_some_and(|(set, fetched)| {
            fetched.elapsed() <= KEPT && set.find(kid).is_some_and(|other| other.is(key))
        })
    }

    fn look(&self, kid: &str, now: Instant) -> Look {
        let mut state = self.state();
        let Some((set, fetched)) = &state.set else {
            // The first fetch is under way or will be in a moment. What follows a failure has its
            // own rhythm, which no request can hasten.
            let under_way = state.ended == 0 || state.begun > state.ended;
            return if under_way {
                Look::Wait(state.ended + 1)
            } else {
                Look::Unavailable
            };
        };
        if now - *fetched > KEPT {
            return Look::Unavailable;
        }
        if let Some(key) = set.find(kid) {
            return Look::Found(key);
        }
        state.forget(now);
        let digest = Digest::of(kid);
        if state.misses.iter().any(|(miss, _)| *miss == digest) {
            return Look::Unknown;
        }
        // A fetch that has begun may have missed a key that was published since.
        let number = state.begun + 1;
        if state.wanted < number {
            if state.looks.len() >= LOOKS_MAX {
                self.metrics.limit_hit("key_fetches");
                state.missed_out = true;
                let first = state.looks.front().copied().unwrap_or(now);
                drop(state);
                self.wanted.notify_one();
                return Look::Later(first + LOOKS_IN - now);
            }
            state.looks.push_back(now);
            state.wanted = number;
            drop(state);
            self.wanted.notify_one();
        }
        Look::Wait(number)
    }

    /// After a fetch; `None` if it cannot be told.
    fn look_again(&self, kid: &str, now: Instant) -> Option<Result<Key, Denied>> {
        let mut state = self.state();
        let (set, fetched) = state.set.as_ref()?;
        if now - *fetched > KEPT {
            return None;
        }
        if let Some(key) = set.find(kid) {
            return Some(Ok(key));
        }
        if state.failed {
            return None;
        }
        if state.misses.len() == MISSES_MAX {
            state.misses.pop_front();
        }
        state.misses.push_back((Digest::of(kid), now));
        Some(Err(unknown()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        while self.looks.front().is_some_and(|&at| now - at >= LOOKS_IN) {
            self.looks.pop_front();
        }
        while self
            .misses
            .front()
            .is_some_and(|&(_, at)| now - at >= LOOKS_IN)
        {
            self.misses.pop_front();
        }
    }
}

fn unknown() -> Denied {
    Denied::invalid_token("the token is signed with a key that its issuer does not publish")
}
