//! Whether the edge takes new sessions: it serves, drains, or ends. One object, shared by all threads.
//!
//! Nothing but instants is kept, each set once and then only moved nearer, so that nobody has to turn
//! anything over at the right time: a stage is what the clock says.
//!
//! | instant | from then on |
//! | --- | --- |
//! | drains | probes say that no new session should be sent here |
//! | refuses | new sessions are refused ([`Pace::delay`] later: whoever spreads load notices) |
//! | ends | sessions that are left are ended ([`Pace::grace`] after the drain has begun) |
//! | hands over | another process has the listening sockets, and accepts what comes |
//! | hurries | nobody waits for anything any more that may be left out |
//! | finishes | everything is done, and the operator's listener closes too |
//!
//! Not here: who begins it (`cli`: signals, `listener`: the operator, `app`: a handover), and who ends
//! the sessions (`app`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// How long a drain takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// New sessions are still taken for so long after the probes say no.
    pub delay: Duration,
    /// So long after the drain has begun the sessions that are left are ended. It counts from the same
    /// instant as the delay, so that it bounds the whole.
    pub grace: Duration,
}

/// What the edge is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// Running sessions go on until then; new ones are refused if `refuses`.
    Draining {
        refuses: bool,
        until: Instant,
    },
    /// Running sessions are being ended.
    Ending,
}

impl Stage {
    /// The word that probes, logs and the operator's API have for it.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Serving => "serving",
            Stage::Draining { .. } => "draining",
            Stage::Ending => "ending",
        }
    }
}

/// The one object. Clones are the same one.
#[derive(Clone)]
pub struct Drain(Arc<Shared>);

struct Shared {
    times: watch::Sender<Times>,
    pace: Pace,
    /// Connections that came before new sessions were refused, and are neither answered nor sessions
    /// yet. Bounded by their permits.
    held: AtomicUsize,
    let_go: Notify,
}

#[derive(Clone, Copy, Default)]
struct Times {
    drains: Option<Instant>,
    refuses: Option<Instant>,
    ends: Option<Instant>,
    hands_over: Option<Instant>,
    hurries: Option<Instant>,
    finishes: Option<Instant>,
}

impl Default for Drain {
    /// One that ends sessions as soon as it begins.
    fn default() -> Drain {
        Drain::new(Pace::default())
    }
}

impl Drain {
    pub fn new(pace: Pace) -> Drain {
        let times = watch::Sender::new(Times::default());
        Drain(Arc::new(Shared {
            times,
            pace,
            held: AtomicUsize::new(0),
            let_go: Notify::new(),
        }))
    }

    /// Begins to drain, unless that has begun; running sessions have until `grace` from now, as the
    /// settings have it if none is given. What has begun can be made shorter and not longer: nobody
    /// who was told of an end is kept beyond it. Whether it had not begun.
    pub fn begin(&self, grace: Option<Duration>) -> bool {
        let pace = self.0.pace;
        let grace = grace.unwrap_or(pace.grace);
        self.sooner(Instant::now(), pace.delay, grace)
    }

    /// The same for one whose listening sockets another process has. Nobody comes here any more, so whoever
    /// has connected before is let in as ever.
    pub fn hand_over(&self, grace: Option<Duration>) -> bool {
        let grace = grace.unwrap_or(self.0.pace.grace);
        let now = Instant::now();
        let first = self.sooner(now, grace, grace);
        let set = |times: &mut Times| times.hands_over = nearer(times.hands_over, now);
        self.0.times.send_modify(set);
        first
    }

    /// Ends at once.
    pub fn end(&self) {
        let now = Instant::now();
        self.sooner(now, Duration::ZERO, Duration::ZERO);
        let set = |times: &mut Times| times.hurries = nearer(times.hurries, now);
        self.0.times.send_modify(set);
    }

    /// Everything is done: whoever shows the operator how it goes may stop.
    pub fn finish(&self) {
        self.end();
        let now = Instant::now();
        let finishes = |times: &mut Times| times.finishes = nearer(times.finishes, now);
        self.0.times.send_modify(finishes);
    }

    fn sooner(&self, now: Instant, delay: Duration, grace: Duration) -> bool {
        let mut first = false;
        self.0.times.send_modify(|times| {
            first = times.drains.is_none();
            times.drains = nearer(times.drains, now);
            // An instant that the clock cannot show is as good as never, and the operator's wish.
            let ends = now.checked_add(grace).unwrap_or_else(|| far(now));
            let refuses = now.checked_add(delay).unwrap_or_else(|| far(now));
            times.ends = nearer(times.ends, ends);
            times.refuses = nearer(times.refuses, refuses.min(ends));
        });
        first
    }

    /// What the edge is doing now.
    pub fn stage(&self) -> Stage {
        let (times, now) = (*self.0.times.borrow(), Instant::now());
        match times.ends {
            None => Stage::Serving,
            Some(ends) if ends <= now => Stage::Ending,
            Some(until) => Stage::Draining {
                refuses: times.refuses.is_some_and(|at| at <= now),
                until,
            },
        }
    }

    /// Whether no new session should be sent here.
    pub fn has_begun(&self) -> bool {
        self.0.times.borrow().drains.is_some()
    }

    /// Whether new sessions are refused.
    pub fn refuses(&self) -> bool {
        match self.stage() {
            Stage::Serving => false,
            Stage::Draining { refuses, .. } => refuses,
            Stage::Ending => true,
        }
    }

    /// Whether running sessions are being ended.
    pub fn is_ending(&self) -> bool {
        self.stage() == Stage::Ending
    }

    /// Whether it was told to end at once, and not only by the clock.
    pub fn is_hurried(&self) -> bool {
        self.0.times.borrow().hurries.is_some()
    }

    /// To be held from the accepted connection to the answer of its request, or the entry of its session:
    /// the end waits for those within the grace period. `None`: they are refused.
    pub fn hold(&self) -> Option<Hold> {
        self.0.held.fetch_add(1, Ordering::SeqCst);
        let hold = Hold(self.clone());
        // Asked behind that: whoever sees that nobody holds after new ones are refused has seen all.
        (!self.refuses()).then_some(hold)
    }

    /// Resolves when nothing is held.
    pub async fn let_go(&self) {
        loop {
            let let_go = self.0.let_go.notified();
            if self.0.held.load(Ordering::SeqCst) == 0 {
                return;
            }
            let_go.await;
        }
    }

    /// Resolves when a request that has just come, and would begin something, is to be refused: at
    /// once where new ones are, else at the end.
    pub async fn turned_away(&self) {
        if !self.refuses() {
            self.ending().await;
        }
    }

    /// How long running sessions still have, if they are to go.
    pub fn left(&self) -> Option<Duration> {
        let ends = self.0.times.borrow().ends?;
        Some(ends.saturating_duration_since(Instant::now()))
    }

    /// Resolves when a drain has begun.
    pub async fn begun(&self) {
        self.at(|times| times.drains).await;
    }

    /// Resolves when new sessions are refused.
    pub async fn refusing(&self) {
        self.at(|times| times.refuses).await;
    }

    /// Resolves when running sessions are to end.
    pub async fn ending(&self) {
        self.at(|times| times.ends).await;
    }

    /// Resolves when no connection is to be accepted any more: at the end, or as another process
    /// accepts them.
    pub async fn leaving(&self) {
        let leaves = |times: &Times| match (times.hands_over, times.ends) {
            (Some(hands_over), Some(ends)) => Some(hands_over.min(ends)),
            (one, other) => one.or(other),
        };
        self.at(leaves).await;
    }

    /// Resolves when another process has the listening sockets.
    pub async fn handed_over(&self) {
        self.at(|times| times.hands_over).await;
    }

    /// Resolves when it was told to end at once.
    pub async fn hurried(&self) {
        self.at(|times| times.hurries).await;
    }

    /// Resolves when everything is done.
    pub async fn finished(&self) {
        self.at(|times| times.finishes).await;
    }

    async fn at(&self, instant: impl Fn(&Times) -> Option<Instant>) {
        let mut seen = self.0.times.subscribe();
        loop {
            let at = instant(&seen.borrow_and_update());
            let come = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = come => return,
                // The sender lives as long as this.
                _ = seen.changed() => {}
            }
        }
    }
}

/// A connection whose request is being answered.
pub struct Hold(Drain);

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.0.held.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.let_go.notify_waiters();
        }
    }
}

/// Thirty years on, as tokio has it.
fn far(now: Instant) -> Instant {
    now + Duration::from_secs(86_400 * 365 * 30)
}

fn nearer(set: Option<Instant>, to: Instant) -> Option<Instant> {
    Some(set.map_or(to, |set| set.min(to)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending
    }

    #[tokio::test(start_paused = true)]
    async fn b18_probes_say_it_first_then_new_ones_are_refused_then_sessions_end() {
        let drain = Drain::new(Pace {
            delay: 5 * SECOND,
            grace: 20 * SECOND,
        });
        assert_eq!(drain.stage(), Stage::Serving);
        assert!(!drain.has_begun() && !drain.refuses() && drain.left().is_none());
        let (mut begun, mut refusing) = (pin!(drain.begun()), pin!(drain.refusing()));
        let (mut ending, mut leaving) = (pin!(drain.ending()), pin!(drain.leaving()));
        assert!(waits(begun.as_mut()) && waits(refusing.as_mut()));
        assert!(waits(ending.as_mut()) && waits(leaving.as_mut()));
        let start = Instant::now();
        let until = start + 20 * SECOND;
        assert!(drain.begin(None));
        begun.await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let refuses = false;
        assert_eq!(drain.stage(), Stage::Draining { refuses, until });
        refusing.await;
        assert_eq!(start.elapsed(), 5 * SECOND);
        let refuses = true;
        assert_eq!(drain.stage(), Stage::Draining { refuses, until });
        assert_eq!(drain.left(), Some(15 * SECOND));
        // Whoever comes is told so until the end.
        assert!(waits(leaving.as_mut()));
        ending.await;
        leaving.await;
        assert_eq!(start.elapsed(), 20 * SECOND);
        assert_eq!(drain.stage(), Stage::Ending);
        assert!(!drain.is_hurried());
        assert_eq!(drain.left(), Some(Duration::ZERO));
        let mut finished = pin!(drain.finished());
        assert!(waits(finished.as_mut()));
        drain.finish();
        finished.await;
    }

    #[tokio::test(start_paused = true)]
    async fn b18_what_has_begun_is_made_shorter_and_never_longer() {
        let drain = Drain::new(Pace {
            delay: 5 * SECOND,
            grace: 20 * SECOND,
        });
        let start = Instant::now();
        assert!(drain.begin(None));
        assert!(!drain.begin(Some(60 * SECOND)));
        assert_eq!(drain.left(), Some(20 * SECOND));
        tokio::time::advance(SECOND).await;
        assert!(!drain.begin(Some(3 * SECOND)));
        assert_eq!(drain.left(), Some(3 * SECOND));
        // The delay is within the grace period.
        drain.refusing().await;
        assert_eq!(start.elapsed(), 4 * SECOND);
        assert!(drain.is_ending());
    }

    #[tokio::test(start_paused = true)]
    async fn b18_the_end_needs_no_drain_and_cuts_one_short() {
        for begun in [false, true] {
            let drain = Drain::new(Pace {
                delay: SECOND,
                grace: Duration::MAX,
            });
            assert!(!begun || drain.begin(None));
            assert!(!drain.is_ending());
            let start = Instant::now();
            drain.end();
            tokio::join!(drain.ending(), drain.refusing(), drain.leaving());
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert!(drain.is_ending() && drain.refuses() && drain.is_hurried());
            drain.hurried().await;
            let mut finished = pin!(drain.finished());
            assert!(waits(finished.as_mut()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn b18_who_has_handed_over_accepts_nobody_while_sessions_go_on() {
        let drain = Drain::new(Pace {
            delay: 5 * SECOND,
            grace: 20 * SECOND,
        });
        let start = Instant::now();
        assert!(drain.hand_over(None));
        tokio::join!(drain.leaving(), drain.handed_over());
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Who has connected before that and asks now is no new one.
        assert!(!drain.refuses() && !drain.is_ending() && drain.hold().is_some());
        assert_eq!(drain.left(), Some(20 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn b18_what_is_being_answered_is_held_and_what_comes_later_is_turned_away() {
        let drain = Drain::new(Pace {
            delay: SECOND,
            grace: 20 * SECOND,
        });
        let early = drain.hold().unwrap();
        let mut early_away = pin!(drain.turned_away());
        assert!(waits(early_away.as_mut()));
        let start = Instant::now();
        drain.begin(None);
        let late = drain.hold().unwrap();
        drain.refusing().await;
        assert!(drain.hold().is_none());
        drain.turned_away().await;
        assert_eq!(start.elapsed(), SECOND);
        // Who was there before is not turned away, and waited for.
        assert!(waits(early_away.as_mut()));
        let mut let_go = pin!(drain.let_go());
        assert!(waits(let_go.as_mut()));
        drop(early);
        assert!(waits(let_go.as_mut()));
        drop(late);
        let_go.await;
        early_away.await;
        assert_eq!(start.elapsed(), 20 * SECOND);
    }
}
