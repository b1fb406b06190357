//! Questions that can wait a moment, gathered: what sessions ask within a tenth of a second goes to the
//! store together.
//!
//! Whoever asks puts its question down and waits for its own answer, and no longer than its own patience.
//! One future, which runs with the store, takes all that are there when the window ends. What it asks goes
//! on beside the next window, so an answer that is late is late for those alone that asked with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::Unavailable;
use crate::ids::{CallId, SessionId};

/// How long the first of those who ask together waits for others. A session asks every 1.25 s and is to know
/// within two seconds: this is part of what that leaves, most of which is for two answers.
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// Questions that may wait for a window's end. A call has one in twelve windows, so these are of more calls
/// than an edge carries; one more is told that it has no answer.
const WAITING_MAX: usize = 16_384;

/// A call, and the session that asks whether it is still its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) call: CallId,
    pub(super) owner: SessionId,
}

/// An answer, and how long the store took for it: what was waited for others is not in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) yes: Result<bool, Unavailable>,
    pub(super) took: Duration,
}

impl Answered {
    /// Nobody was asked.
    fn not(unavailable: Unavailable) -> Answered {
        Answered {
            yes: Err(unavailable),
            took: Duration::ZERO,
        }
    }
}

/// Questions that wait for a window's end.
#[derive(Default)]
pub(super) struct Gather {
    waiting: Mutex<Vec<Waiting>>,
    /// There is one that was not there.
    more: Notify,
}

struct Waiting {
    question: Question,
    answer: oneshot::Sender<Answered>,
}

impl Gather {
    /// Asks with whoever else asks within [`WINDOW`], and waits so long beyond that. Who is gone when the
    /// window ends is not asked for.
    pub(super) async fn ask(&self, question: Question, patience: Duration) -> Answered {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= WAITING_MAX {
                return Answered::not(Unavailable::Full);
            }
            waiting.push(Waiting { question, answer });
        }
        self.more.notify_one();
        match timeout(WINDOW + patience, answered).await {
            Ok(Ok(answered)) => answered,
            // Whoever asks for all has ended, and is begun anew.
            Ok(Err(_)) => Answered::not(Unavailable::Unreachable),
            Err(_) => Answered {
                yes: Err(Unavailable::Timeout),
                took: patience,
            },
        }
    }

    /// Asks for all who wait, window by window, up to `together` of them with one call of `ask`, whose
    /// answers are in the order of its questions. Never ends.
    pub(super) async fn run<F>(&self, together: usize, ask: impl Fn(Vec<Question>) -> F)
    where
        F: Future<Output = Result<Vec<bool>, Unavailable>>,
    {
        let mut window = std::pin::pin!(self.window());
        let mut asked = FuturesUnordered::new();
        loop {
            // The window is pinned, and a stream loses nothing when another comes first.
            tokio::select! {
                waiting = &mut window => {
                    window.set(self.window());
                    let mut waiting = waiting.into_iter().peekable();
                    while waiting.peek().is_some() {
                        let (questions, answers) = waiting
                            .by_ref()
                            .take(together)
                            .map(|waiting| (waiting.question, waiting.answer))
                            .unzip();
                        asked.push(answer(ask(questions), answers));
                    }
                }
                Some(()) = asked.next() => {}
            }
        }
    }

    /// Waits for somebody who asks, and for those who ask soon after; all of them that still wait.
    async fn window(&self) -> Vec<Waiting> {
        while self.waiting().is_empty() {
            self.more.notified().await;
        }
        sleep(WINDOW).await;
        let mut waiting = std::mem::take(&mut *self.waiting());
        waiting.retain(|waiting| !waiting.answer.is_closed());
        waiting
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells each its own part of what was asked for all.
async fn answer(
    asked: impl Future<Output = Result<Vec<bool>, Unavailable>>,
    answers: Vec<oneshot::Sender<Answered>>,
) {
    let begun = Instant::now();
    let told = asked.await;
    let took = begun.elapsed();
    let told = told.and_then(|told| match told.len() == answers.len() {
        true => Ok(told),
        false => Err(Unavailable::Malformed),
    });
    for (i, answer) in answers.into_iter().enumerate() {
        let yes = told.as_ref().map(|told| told[i]).map_err(|error| *error);
        // Whoever does not wait any more has ended meanwhile.
        let _ = answer.send(Answered { yes, took });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::task::{JoinHandle, yield_now};

    const PATIENCE: Duration = Duration::from_millis(300);
    const TOGETHER: usize = 4;

    /// An answer, and how many ms after the bench began it came.
    type Told = (Result<bool, Unavailable>, u128);

    /// Sessions that ask, and a store that fails for all that it is asked with one whose name begins with
    /// `bad`, is too slow with `slow`, says too little with `short`, and of each says no if that is its name.
    struct Bench {
        gather: Arc<Gather>,
        asked: Arc<Mutex<Vec<(u128, String)>>>,
        begun: Instant,
        runs: JoinHandle<()>,
    }

    async fn tell(names: Vec<String>) -> Result<Vec<bool>, Unavailable> {
        let has = |word: &str| names.iter().any(|name| name.starts_with(word));
        if has("slow") {
            sleep(2 * PATIENCE).await;
        }
        if has("bad") {
            return Err(Unavailable::Refused);
        }
        let told = names.iter().map(|name| !name.starts_with("no"));
        Ok(told.skip(usize::from(has("short"))).collect())
    }

    impl Bench {
        fn new(together: usize) -> Bench {
            let mut bench = Bench {
                gather: Arc::default(),
                asked: Arc::default(),
                begun: Instant::now(),
                runs: tokio::spawn(async {}),
            };
            bench.run(together);
            bench
        }

        /// Another future takes the place of the one that ran.
        fn run(&mut self, together: usize) {
            self.runs.abort();
            let (gather, asked) = (Arc::clone(&self.gather), Arc::clone(&self.asked));
            let begun = self.begun;
            self.runs = tokio::spawn(async move {
                let ask = |questions: Vec<Question>| {
                    let names = questions.iter().map(|question| question.call.to_string());
                    let names: Vec<String> = names.collect();
                    let line = (begun.elapsed().as_millis(), names.join(" "));
                    asked.lock().unwrap().push(line);
                    tell(names)
                };
                gather.run(together, ask).await;
            });
        }

        /// A session asks after so many ms.
        fn ask(&self, after: u64, name: &str) -> JoinHandle<Told> {
            let (gather, begun) = (Arc::clone(&self.gather), self.begun);
            let question = Question {
                call: CallId::new(name).unwrap(),
                owner: SessionId::random(),
            };
            tokio::spawn(async move {
                tokio::time::sleep_until(begun + Duration::from_millis(after)).await;
                let answered = gather.ask(question, PATIENCE).await;
                (answered.yes, begun.elapsed().as_millis())
            })
        }

        /// When the store was asked for whom.
        fn asked(&self) -> Vec<(u128, String)> {
            self.asked.lock().unwrap().clone()
        }
    }

    fn lines(lines: &[(u128, &str)]) -> Vec<(u128, String)> {
        let owned = lines.iter().map(|(at, names)| (*at, (*names).to_owned()));
        owned.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a35_one_that_fails_fails_for_those_asked_with_it_and_for_nobody_else() {
        let bench = Bench::new(TOGETHER);
        let asks = ["a", "bad", "no", "b", "c", "no2"].map(|name| bench.ask(0, name));
        let mut told = Vec::new();
        for ask in asks {
            told.push(ask.await.unwrap());
        }
        let refused = (Err(Unavailable::Refused), 100);
        let wanted = [
            refused,
            refused,
            refused,
            refused,
            (Ok(true), 100),
            (Ok(false), 100),
        ];
        assert_eq!(told, wanted);
        // An answer that says too little is none for any of them: nobody takes another's.
        let asks = ["d", "short", "e"].map(|name| bench.ask(200, name));
        for ask in asks {
            assert_eq!(ask.await.unwrap(), (Err(Unavailable::Malformed), 300));
        }
        // Where each is asked by itself, each fails by itself.
        let bench = Bench::new(1);
        let (bad, good) = (bench.ask(0, "bad"), bench.ask(0, "a"));
        assert_eq!(bad.await.unwrap(), refused);
        assert_eq!(good.await.unwrap(), (Ok(true), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a35_one_that_is_slow_is_late_for_itself_and_each_waits_no_longer_than_its_own_patience()
     {
        let bench = Bench::new(1);
        let (slow, beside) = (bench.ask(0, "slow"), bench.ask(40, "a"));
        let later = bench.ask(150, "no");
        let slow_too = bench.ask(60, "slow2");
        assert_eq!(beside.await.unwrap(), (Ok(true), 100));
        assert_eq!(later.await.unwrap(), (Ok(false), 250));
        assert_eq!(slow.await.unwrap(), (Err(Unavailable::Timeout), 400));
        assert_eq!(slow_too.await.unwrap(), (Err(Unavailable::Timeout), 460));
        // The answers came, and there was nobody to have them.
        sleep(PATIENCE * 2).await;
        let again = bench.ask(1500, "slow3x").await.unwrap();
        assert_eq!(again, (Err(Unavailable::Timeout), 1900));
    }

    #[tokio::test(start_paused = true)]
    async fn a35_who_asks_within_a_window_asks_together_so_many_at_a_time_and_has_its_own_answer() {
        let bench = Bench::new(TOGETHER);
        let calls = ["a", "no1", "b", "c", "no2", "d"];
        let asks = [0, 10, 20, 50, 90, 99].into_iter().zip(calls);
        let asks: Vec<_> = asks.map(|(after, name)| bench.ask(after, name)).collect();
        let next = [bench.ask(101, "e"), bench.ask(200, "no3")];
        let mut told = Vec::new();
        for ask in asks.into_iter().chain(next) {
            told.push(ask.await.unwrap());
        }
        let yes = [true, false, true, true, false, true, true, false];
        let at = [100, 100, 100, 100, 100, 100, 201, 201];
        let wanted: Vec<_> = yes.into_iter().map(Ok).zip(at).collect();
        assert_eq!(told, wanted);
        let wanted = [(100, "a no1 b c"), (100, "no2 d"), (201, "e no3")];
        assert_eq!(bench.asked(), lines(&wanted));
        // Nobody asks, so nobody is asked for.
        sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.asked().len(), 3);
        let alone = bench.ask(70_000, "f").await.unwrap();
        assert_eq!(alone, (Ok(true), 70_100));
    }

    #[tokio::test(start_paused = true)]
    async fn a35_a_session_that_ends_meanwhile_takes_nothing_from_the_others() {
        let bench = Bench::new(TOGETHER);
        // Before the window ends it is not asked for; afterwards nobody has its answer.
        let (before, during) = (bench.ask(0, "gone"), bench.ask(0, "slow"));
        let others = [bench.ask(0, "a"), bench.ask(150, "no")];
        sleep(Duration::from_millis(50)).await;
        before.abort();
        sleep(Duration::from_millis(100)).await;
        during.abort();
        let [beside, later] = others;
        assert_eq!(later.await.unwrap(), (Ok(false), 250));
        assert_eq!(beside.await.unwrap(), (Err(Unavailable::Timeout), 400));
        assert_eq!(bench.asked(), lines(&[(100, "slow a"), (250, "no")]));
        assert!(before.await.unwrap_err().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn s31_more_than_may_wait_have_no_answer_at_once_and_the_next_window_has_room() {
        let bench = Bench::new(WAITING_MAX);
        let asks: Vec<_> = (0..WAITING_MAX).map(|_| bench.ask(0, "a")).collect();
        yield_now().await;
        let full = bench.ask(50, "b").await.unwrap();
        assert_eq!(full, (Err(Unavailable::Full), 50));
        for ask in asks {
            assert_eq!(ask.await.unwrap(), (Ok(true), 100));
        }
        assert_eq!(bench.ask(120, "c").await.unwrap(), (Ok(true), 220));
    }

    #[tokio::test(start_paused = true)]
    async fn s31_whoever_asks_for_all_may_end_and_another_takes_its_place() {
        let mut bench = Bench::new(TOGETHER);
        let flying = bench.ask(0, "slow");
        let waiting = bench.ask(150, "a");
        sleep(Duration::from_millis(200)).await;
        bench.run(TOGETHER);
        assert_eq!(flying.await.unwrap(), (Err(Unavailable::Unreachable), 200));
        // It was there when the other one began.
        assert_eq!(waiting.await.unwrap(), (Ok(true), 300));
        bench.runs.abort();
        let never = bench.ask(1000, "b").await.unwrap();
        assert_eq!(never, (Err(Unavailable::Timeout), 1400));
    }
}
