//! Tokens for the edge itself, given by the platform it runs on.
//!
//! One future per identity fetches, whoever asks, so there is never more than one fetch under way,
//! and a client that goes away cuts none short. A token is renewed long before it ends; one that
//! was had is used for as long as it is good, whatever becomes of fetches meanwhile.

mod source;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use self::source::{Fetched, Source};
use super::{Failure, Unusable};
use crate::config::ManagedIdentity;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::secret::Secret;

/// After a failure again after the first, and later, after failure upon failure, after the second.
/// The metadata service may be away for 70 s while it is updated.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// Tokens of more than two hours are renewed at half their life, as Azure's own libraries do, all
/// others this long before their end.
const LONG: Duration = Duration::from_secs(2 * 3600);
const EARLY: Duration = Duration::from_secs(300);
/// A token that ends sooner is not shown any more: it has to last for the upgrade.
const TOO_LATE: Duration = Duration::from_secs(5);
/// For the sake of refused tokens not more than one fetch in this time: an upstream that refuses
/// whatever it is shown must not make the edge ask its platform without end.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// A fetch takes no longer.
const FETCH: Duration = Duration::from_secs(10);

/// The edge's own identity at one upstream.
pub struct Identity {
    upstream: Label,
    source: Source,
    state: Mutex<State>,
    wanted: Notify,
    /// Number of the fetch that ended last.
    ended: watch::Sender<u64>,
    metrics: metrics::Shared,
}

/// How an identity stands, for whoever asks; the token itself is nobody's to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How long its token still lasts; `None`: it has none that is good.
    pub lasts: Option<Duration>,
    /// Fetches that failed since one succeeded.
    pub failures: u32,
}

#[derive(Default)]
struct State {
    token: Option<Kept>,
    /// Numbers of fetches: the last one begun, ended, and asked for.
    begun: u64,
    ended: u64,
    wanted: u64,
    failures: u32,
    /// When a refused token was last replaced.
    replaced: Option<Instant>,
}

struct Kept {
    token: Token,
    ends: Instant,
}

impl State {
    /// The fetch that has begun, or was asked for, and has not ended.
    fn under_way(&self) -> Option<u64> {
        let last = self.begun.max(self.wanted);
        (last > self.ended).then_some(last)
    }
}

/// A token in its header.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// That of the fetch that brought it.
    pub(super) number: u64,
}

impl Identity {
    /// The identity behind `settings`; `upstream` is its name in metrics and in the log.
    pub fn new(
        upstream: Label,
        settings: ManagedIdentity,
        metrics: metrics::Shared,
    ) -> Result<Identity, Unusable> {
        Ok(Identity {
            source: Source::new(&upstream, settings)?,
            upstream,
            state: Mutex::default(),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            metrics,
        })
    }

    /// Fetches when it is time or when somebody asks, for ever.
    pub async fn run(&self) {
        loop {
            let number = self.begin();
            let fetched = timeout(FETCH, self.source.fetch()).await;
            let fetched = fetched.unwrap_or(Err(source::Failed::LATE));
            let due = Instant::now() + self.note(number, fetched);
            // A wake that is left over from a wish already granted must not start a fetch.
            while !self.is_wanted() {
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

    fn begin(&self) -> u64 {
        let mut state = self.state();
        state.begun += 1;
        state.begun
    }

    fn is_wanted(&self) -> bool {
        let state = self.state();
        state.wanted > state.ended
    }

    /// Takes in what a fetch came to; when to fetch again.
    fn note(&self, number: u64, fetched: Result<Fetched, source::Failed>) -> Duration {
        let result = if fetched.is_ok() { "ok" } else { "failed" };
        self.metrics.identity_fetched(&self.upstream, result);
        let mut state = self.state();
        state.ended = number;
        let next = match fetched {
            Ok(Fetched { header, lasts }) => {
                tracing::debug!(upstream = %self.upstream, lasts_s = lasts.as_secs(), "token fetched");
                state.failures = 0;
                state.token = Some(Kept {
                    token: Token { header, number },
                    ends: Instant::now() + lasts,
                });
                renewal(lasts)
            }
            Err(error) => {
                tracing::warn!(upstream = %self.upstream, %error, "no token for the edge itself");
                state.failures = state.failures.saturating_add(1);
                let [first, later] = RETRY;
                (first * 2u32.saturating_pow(state.failures - 1)).min(later)
            }
        };
        drop(state);
        self.ended.send_replace(number);
        next
    }

    /// A token that is good now. Waits for a fetch that is under way if there is none; what follows
    /// a failure has its own rhythm, which no request can hasten.
    pub(super) async fn token(&self) -> Result<Token, Failure> {
        let none = Failure::new(
            Reason::UpstreamUnauthorized,
            "there is no token for the edge itself",
        );
        let number = {
            let state = self.state();
            if let Some(token) = good(&state) {
                return Ok(token);
            }
            match state.under_way() {
                Some(number) => number,
                // The first is begun as soon as the edge runs.
                None if state.ended == 0 => 1,
                None => return Err(none),
            }
        };
        self.wait_for(number).await.ok_or(none)
    }

    /// A token that is good now as a peer wants it that does not speak HTTP: without its `Bearer`.
    pub async fn secret(&self) -> Option<Secret> {
        let token = self.token().await.ok()?;
        let header = token.header.to_str().ok()?;
        let bare = header.strip_prefix("Bearer ")?;
        Some(Secret::new(bare.to_owned()))
    }

    /// Fetches once, beside everything: for how long the token is good, or why there is none. Nothing in
    /// the words is the platform's.
    pub async fn attempt(&self) -> Result<Duration, String> {
        let fetched = timeout(FETCH, self.source.fetch()).await;
        let fetched = fetched.unwrap_or(Err(source::Failed::LATE));
        fetched
            .map(|it| it.lasts)
            .map_err(|error| error.to_string())
    }

    /// A token in place of the one of this number, which the upstream refused; `None` if there is
    /// none, or if one was replaced only just now.
    pub(super) async fn after(&self, refused: u64) -> Option<Token> {
        let number = {
            let mut state = self.state();
            let newer = good(&state).filter(|token| token.number > refused);
            if newer.is_some() {
                return newer;
            }
            match state.under_way() {
                // It may bring the very token that was refused, but hardly: it was asked for because
                // that one was refused or about to end.
                Some(number) => number,
                None => {
                    let now = Instant::now();
                    let last = state.replaced;
                    if last.is_some_and(|last| now < last + REFUSED_PAUSE) {
                        return None;
                    }
                    state.replaced = Some(now);
                    state.wanted = state.begun + 1;
                    state.wanted
                }
            }
        };
        self.wanted.notify_one();
        let token = self.wait_for(number).await;
        token.filter(|token| token.number > refused)
    }

    /// What there is when fetch `number` has ended. Whoever calls has a deadline.
    async fn wait_for(&self, number: u64) -> Option<Token> {
        let mut ended = self.ended.subscribe();
        // The sender lives in `self`.
        ended.wait_for(|&ended| ended >= number).await.ok()?;
        good(&self.state())
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let state = self.state();
        let kept = state.token.as_ref();
        let lasts = kept.map(|kept| kept.ends.saturating_duration_since(Instant::now()));
        Standing {
            lasts: lasts.filter(|lasts| *lasts > TOO_LATE),
            failures: state.failures,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is written under the lock is written whole, whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn good(state: &State) -> Option<Token> {
    let kept = state.token.as_ref()?;
    let lasts = kept.ends.saturating_duration_since(Instant::now());
    (lasts > TOO_LATE).then(|| kept.token.clone())
}

/// When to renew a token that lasts this long.
fn renewal(lasts: Duration) -> Duration {
    let early = if lasts > LONG {
        lasts / 2
    } else {
        // Short ones are test tokens or mistakes; they get no more than a fetch a second.
        lasts.saturating_sub(EARLY).max(lasts / 2)
    };
    early.max(RETRY[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IdentitySource;
    use crate::metrics::Metrics;
    use futures_util::FutureExt as _;
    use std::pin::pin;
    use std::sync::Arc;

    fn identity() -> Identity {
        let settings = ManagedIdentity {
            source: IdentitySource::Imds {
                base: "http://127.0.0.1:1".to_owned(),
            },
            client_id: None,
            scope: "https://ai.azure.com/.default".to_owned(),
        };
        let name = Label::new("voice").unwrap();
        Identity::new(name, settings, Arc::new(Metrics::new())).unwrap()
    }

    fn fetched(text: &'static str) -> Result<Fetched, source::Failed> {
        Ok(Fetched {
            header: HeaderValue::from_static(text),
            lasts: Duration::from_secs(3600),
        })
    }

    /// Between the wish for a fetch and its beginning whoever comes waits for it, too.
    #[tokio::test]
    async fn b20_a_fetch_that_was_asked_for_is_waited_for_before_it_begins() {
        let identity = identity();
        let number = identity.begin();
        identity.note(number, fetched("Bearer old"));
        let old = identity.token().await.unwrap();
        let mut first = pin!(identity.after(old.number));
        let mut second = pin!(identity.after(old.number));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        let number = identity.begin();
        identity.note(number, fetched("Bearer new"));
        for token in [first.await, second.await] {
            assert_eq!(token.unwrap().header, "Bearer new");
        }
        // Refused as well: not again so soon.
        assert!(identity.after(number).await.is_none());
    }

    #[tokio::test]
    async fn b20_after_a_failure_nobody_waits_and_a_token_that_is_good_is_kept() {
        let identity = identity();
        let mut first = pin!(identity.token());
        assert!((&mut first).now_or_never().is_none());
        let number = identity.begin();
        identity.note(number, Err(source::Failed::LATE));
        assert!(first.await.is_err());
        assert!(identity.token().await.is_err());
        let number = identity.begin();
        identity.note(number, fetched("Bearer good"));
        let number = identity.begin();
        identity.note(number, Err(source::Failed::LATE));
        assert_eq!(identity.token().await.unwrap().header, "Bearer good");
    }

    #[test]
    fn b20_tokens_are_renewed_long_before_their_end() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        for (lasts, after) in [
            (minutes(24 * 60), minutes(12 * 60)),
            (minutes(90), minutes(85)),
            (minutes(60), minutes(55)),
            (minutes(8), minutes(4)),
            (Duration::from_millis(100), Duration::from_secs(1)),
        ] {
            assert_eq!(renewal(lasts), after, "{lasts:?}");
        }
    }
}
