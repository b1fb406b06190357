//! Turns to connect to one upstream: taken at the store, waited for in a queue, given back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::queue::{Place, Queue};
use super::turn::Turn;
use super::window::Window;
use crate::config::{Pacing, Rate, Upstream};
use crate::label::Label;
use crate::metrics::{self, Work};
use crate::panics::contained;
use crate::secret::Digest;
use crate::store::{self, Became, Paced, Store, TakeTurn};

/// How often whoever is next asks the store where nothing says when a turn comes free: another edge
/// may have given one back.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Not more often than that, whatever clocks say.
const ASK_PAUSE: Duration = Duration::from_millis(5);

/// A turn lasts from when the store gives it, and the dial begins when its answer is here.
const ANSWER: Duration = Duration::from_secs(5);

/// Why there is no turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Busy {
    /// When one may be had.
    pub(super) retry_after: Duration,
}

/// How the turns of an upstream stand, for whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Turns that all edges share.
    pub connects: Rate,
    /// Those that this edge has out.
    pub taken: usize,
    /// Sessions that wait here.
    pub queue: usize,
    pub queue_max: usize,
    /// So long nobody connects: the upstream said so.
    pub shut: Option<Duration>,
}

/// The turns of one upstream.
pub(super) struct Pacer {
    pub(super) name: Label,
    quota: String,
    settings: Pacing,
    /// How long a turn lasts if nothing more is heard of it: the longest dial, and a window.
    lasts: Duration,
    /// Turns of this edge while the store is away.
    share: u32,
    store: Arc<Store>,
    /// That of a generation before, where this one has taken its place.
    state: Arc<Mutex<State>>,
    metrics: metrics::Shared,
    counts: metrics::Pacing,
}

struct State {
    queue: Queue,
    window: Window,
}

impl Pacer {
    /// `replicas` are the edges that share the turns. `None`: it is not paced.
    pub(super) fn new(
        upstream: &Upstream,
        (store, replicas): (&Arc<Store>, u32),
        metrics: &metrics::Shared,
    ) -> Option<Pacer> {
        let settings = upstream.pacing?;
        Some(Pacer {
            name: upstream.name.clone(),
            quota: upstream.quota(),
            settings,
            lasts: upstream.total + settings.connects.per + ANSWER,
            // An edge that may never connect is none.
            share: (settings.connects.count / replicas.max(1)).max(1),
            store: store.clone(),
            state: Arc::new(Mutex::new(State {
                queue: Queue::new(settings.queue),
                window: Window::default(),
            })),
            counts: metrics.pacing(&upstream.name),
            metrics: metrics.clone(),
        })
    }

    pub(super) fn standing(&self) -> Standing {
        let now = Instant::now();
        let mut state = self.state();
        Standing {
            connects: self.settings.connects,
            taken: state.window.taken(now),
            queue: state.queue.len(),
            queue_max: self.settings.queue,
            shut: state.window.shut_for(now),
        }
    }

    /// Whether another one would do the same.
    pub(super) fn is_like(&self, other: &Pacer) -> bool {
        self.quota == other.quota
            && self.settings == other.settings
            && self.lasts == other.lasts
            && self.share == other.share
    }

    /// Takes over who waits and what was counted, if it is counted by the same quota. Whoever came
    /// before waits as long as was said then.
    pub(super) fn go_on_from(&mut self, old: &Pacer) {
        if self.quota == old.quota {
            old.state().queue.set_most(self.settings.queue);
            self.state = old.state.clone();
        }
    }

    /// A turn, if one is free and nobody waits for it.
    pub(super) async fn now(self: &Arc<Pacer>) -> Option<Turn> {
        if !self.state().queue.is_empty() {
            return None;
        }
        let mut turn = Turn::new(self);
        self.take(&mut turn).await.then_some(turn)
    }

    /// One more for whoever has one already and connects again: those who wait do not come before it.
    pub(super) async fn another(self: &Arc<Pacer>) -> Option<Turn> {
        let mut turn = Turn::new(self);
        self.take(&mut turn).await.then_some(turn)
    }

    /// Waits for a turn from `since` on, in this queue `among` so many. Cancel-safe: whoever is dropped
    /// has left the queue, and a turn that was just taken for it is given back.
    pub(super) async fn wait(
        self: &Arc<Pacer>,
        (whose, among): (Digest, usize),
        since: Instant,
    ) -> Result<Turn, Busy> {
        let deadline = since + self.settings.queue_wait;
        let waiting = self.enter((whose, among), deadline)?;
        let mut turn = Turn::new(self);
        while Instant::now() < deadline {
            if waiting.place.is_lost() {
                return Err(self.refuse("full", "upstream_queue", waiting.due()));
            }
            let again = if self.state().queue.is_next(&waiting.place) {
                if self.take(&mut turn).await {
                    waiting.served();
                    self.counts.waited.record(since.elapsed());
                    return Ok(turn);
                }
                self.ask_at().min(deadline)
            } else {
                deadline
            };
            tokio::select! {
                () = waiting.place.called.notified() => {}
                () = sleep_until(again) => {}
            }
        }
        Err(self.refuse("late", "upstream_queue_wait", waiting.due()))
    }

    /// A place in the queue, if there is one from which a turn can be had in time.
    fn enter(
        self: &Arc<Pacer>,
        (whose, among): (Digest, usize),
        deadline: Instant,
    ) -> Result<Waiting, Busy> {
        let now = Instant::now();
        let mut state = self.state();
        let due = self.due(&state, state.queue.ahead_of_new(whose), now);
        if due > deadline {
            drop(state);
            return Err(self.refuse("late", "upstream_queue_wait", due));
        }
        let Some(place) = state.queue.enter(whose, among) else {
            drop(state);
            return Err(self.refuse("full", "upstream_queue", due));
        };
        self.counts.queue.set(state.queue.len() as f64);
        Ok(Waiting {
            pacer: self.clone(),
            whose,
            place,
            served: false,
        })
    }

    fn refuse(&self, result: &'static str, limit: &'static str, due: Instant) -> Busy {
        self.metrics.turn(&self.name, result);
        self.metrics.limit_hit(limit);
        Busy {
            retry_after: due.saturating_duration_since(Instant::now()),
        }
    }

    fn due(&self, state: &State, ahead: usize, now: Instant) -> Instant {
        state.window.due(ahead, self.settings.connects.per, now)
    }

    /// When whoever is next asks again.
    fn ask_at(&self) -> Instant {
        let now = Instant::now();
        let due = self.due(&self.state(), 0, now);
        due.clamp(now + ASK_PAUSE, now + ASK_AGAIN)
    }

    /// Takes a turn, if one is free; whether it was.
    async fn take(&self, turn: &mut Turn) -> bool {
        let count = self.settings.connects.count;
        let forecast = self.settings.queue.saturating_add(1).min(count as usize);
        let now = Instant::now();
        let (told, is_free) = {
            let mut state = self.state();
            let is_free = state.window.is_free(count, now);
            let told = state.window.untold(now);
            // This edge alone has taken all of them, and everybody knows.
            if !is_free && told.is_empty() {
                state.window.forecast_own(count, forecast);
                return false;
            }
            (told, is_free)
        };
        let asked = TakeTurn {
            quota: &self.quota,
            // One that only tells takes none.
            count: if is_free { count } else { 0 },
            turn: turn.id(),
            lasts: self.lasts,
            told: &told,
            forecast,
        };
        turn.asked();
        let answer = self.store.take_turn(&asked).await;
        let now = Instant::now();
        let mut state = self.state();
        let window = &mut state.window;
        match answer {
            Ok(Paced::Taken { out }) => {
                window.take(turn.id(), now + self.lasts, true);
                window.told(&told, (out, count));
                turn.taken();
                self.metrics.turn(&self.name, "taken");
                true
            }
            Ok(Paced::Wait { out, free_in, shut }) => {
                window.told(&told, (out, count));
                window.forecast(free_in.iter().map(|wait| now + *wait).collect());
                if !shut.is_zero() {
                    window.shut(now + shut);
                }
                turn.refused();
                false
            }
            // The share of this edge. Whether the store has given the turn nobody knows: it is asked for
            // by the same name again, or given back.
            Err(_) if window.is_free(self.share, now) => {
                window.take(turn.id(), now + self.lasts, false);
                turn.taken();
                self.metrics.turn(&self.name, "alone");
                true
            }
            Err(_) => {
                window.forecast_own(self.share, forecast);
                false
            }
        }
    }

    /// Notes what became of a turn, as far as this edge counts.
    pub(super) fn note(&self, turn: store::Turn, became: Became) {
        let now = Instant::now();
        let mut state = self.state();
        match became {
            Became::Counted(counts) => state.window.note(turn, now + counts),
            Became::Throttled { counts, shut } => {
                state.window.note(turn, now + counts);
                state.window.shut(now + shut);
            }
            Became::Nothing => {
                state.window.give_back(turn);
                self.metrics.turn(&self.name, "given_back");
            }
        }
    }

    /// Tells it the store; what cannot be told counts there until the end that it was given.
    pub(super) async fn tell(&self, turn: store::Turn, became: Became) {
        let _ = self.store.note_turn(&self.quota, turn, became).await;
        if became == Became::Nothing {
            self.state().queue.call_next();
        }
    }

    /// The same as a task of its own.
    pub(super) async fn tell_apart(&self, turn: store::Turn, became: Became) {
        let telling = self.tell(turn, became);
        contained(&self.metrics, Work::Background, telling).await;
    }

    /// How long a connection counts that was answered now.
    pub(super) fn window(&self) -> Duration {
        self.settings.connects.per
    }

    pub(super) fn throttled(&self) {
        self.counts.throttled.increment(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is half written where something could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; dropping it leaves.
struct Waiting {
    pacer: Arc<Pacer>,
    whose: Digest,
    place: Arc<Place>,
    served: bool,
}

impl Waiting {
    fn served(mut self) {
        self.served = true;
    }

    /// When its turn would come.
    fn due(&self) -> Instant {
        let state = self.pacer.state();
        let ahead = state.queue.ahead(self.whose, &self.place);
        self.pacer.due(&state, ahead, Instant::now())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.pacer.state();
        state.queue.leave(self.whose, &self.place, self.served);
        self.pacer.counts.queue.set(state.queue.len() as f64);
    }
}
