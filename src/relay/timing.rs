//! What takes how long in a session: the first audio, interruptions, gaps, silence, legs that take
//! nothing.
//!
//! Marks say what a wake has brought, and the clock is read once for all of them, in wakes that bring
//! any. What is looked at for that is what the tap looks at anyhow: of a message that is forwarded its
//! first bytes, of a call that is bridged whole messages.
//!
//! Not here: what a caller hears. Audio is given to the client's socket as it comes, faster than it is
//! played.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Times;
use crate::tap::{Mark, Marks};

/// The shortest gap that is told: more than what a receiver keeps to play over a late packet.
const GAP_MIN: Duration = Duration::from_millis(200);
/// The shortest silence that is told: longer than a breath between two sentences.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// The shortest time for which a leg takes nothing that is told: a burst that fills a socket's buffer
/// is gone before.
const BLOCKED_MIN: Duration = Duration::from_millis(100);

/// What is told of it at the end of a session. Zero where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the first audio to the client: from the `101`, or from the verdict of its gate.
    pub first_audio: Option<Duration>,
    /// The longest gap between two audio messages of one stream: up, down.
    pub gaps: [Duration; 2],
    /// The longest time in which nothing but silence came from a caller.
    pub silence: Duration,
    /// For how long in all the client's leg, the upstream's leg took nothing.
    pub blocked: [Duration; 2],
}

/// From where the first audio is timed.
#[derive(Clone, Copy, Debug)]
enum Start {
    Connected(Instant),
    Gate(Instant),
}

/// Something was interrupted.
#[derive(Clone, Copy, Debug)]
struct Cut {
    since: Instant,
    /// Audio was going to the client.
    speaking: bool,
    last: Option<Instant>,
}

/// Times one session.
pub(super) struct Timing {
    times: Arc<Times>,
    /// Until the first audio has come, or while nobody is there who could send any.
    start: Option<Start>,
    /// The end of what the client said last, until the answer is heard.
    said: Option<Instant>,
    /// An answer is being given.
    speaking: bool,
    cut: Option<Cut>,
    /// When audio of a stream that goes on was last heard: up, down.
    heard: [Option<Instant>; 2],
    silent: Option<Instant>,
    /// Since when the client's leg, the upstream's takes nothing.
    blocked: [Option<Instant>; 2],
    told: Timings,
}

impl Timing {
    /// From the `101` on.
    pub(super) fn new(times: Arc<Times>, connected: Instant) -> Timing {
        Timing {
            times,
            start: Some(Start::Connected(connected)),
            said: None,
            speaking: false,
            cut: None,
            heard: [None; 2],
            silent: None,
            blocked: [None; 2],
            told: Timings::default(),
        }
    }

    /// A gate has let the call through; nobody else could speak before.
    pub(super) fn opened(&mut self, at: Instant) {
        self.start = Some(Start::Gate(at));
    }

    /// A wake has brought this.
    pub(super) fn note(&mut self, [up, down]: [Marks; 2]) {
        if up.is_empty() && down.is_empty() {
            return;
        }
        let now = Instant::now();
        for mark in up.list() {
            self.up(*mark, now);
        }
        for mark in down.list() {
            self.down(*mark, now);
        }
    }

    fn up(&mut self, mark: Mark, now: Instant) {
        match mark {
            Mark::Audio => {
                self.end_silence(now);
                self.hear(0, now);
            }
            Mark::Silence => {
                self.silent.get_or_insert(now);
                self.hear(0, now);
            }
            Mark::Others => self.hear(0, now),
            Mark::Said => {
                self.said = Some(now);
                // Whoever says when they have spoken sends nothing in between.
                self.heard[0] = None;
            }
            Mark::Cancel => self.interrupt(now),
            Mark::Speech | Mark::Begun | Mark::Over | Mark::Stop => {}
        }
    }

    fn down(&mut self, mark: Mark, now: Instant) {
        match mark {
            Mark::Audio => self.answer(now),
            Mark::Speech => {
                self.said = None;
                self.interrupt(now);
            }
            Mark::Said => {
                self.settle();
                self.said = Some(now);
            }
            Mark::Begun | Mark::Over => {
                self.settle();
                self.speaking = false;
                self.heard[1] = None;
            }
            Mark::Stop => {
                if let Some(cut) = self.cut.take() {
                    self.times.barge_in.record(now - cut.since);
                }
                self.speaking = false;
                self.heard[1] = None;
            }
            Mark::Silence | Mark::Others | Mark::Cancel => {}
        }
    }

    /// Audio goes to the client.
    fn answer(&mut self, now: Instant) {
        if let Some(start) = self.start.take() {
            let (since, stage) = match start {
                Start::Connected(at) => (at, &self.times.connected),
                Start::Gate(at) => (at, &self.times.gate),
            };
            let after = now.saturating_duration_since(since);
            stage.record(after);
            self.told.first_audio = Some(after);
        }
        if let Some(said) = self.said.take() {
            self.times.turn.record(now.saturating_duration_since(said));
        }
        if let Some(cut) = &mut self.cut {
            cut.last = Some(now);
        }
        self.speaking = true;
        self.hear(1, now);
    }

    /// What speaks is to speak no more.
    fn interrupt(&mut self, now: Instant) {
        self.cut.get_or_insert(Cut {
            since: now,
            speaking: self.speaking,
            last: None,
        });
        self.heard[1] = None;
    }

    /// Nothing more can come of what was interrupted. Where nothing was being said nothing was
    /// interrupted.
    fn settle(&mut self) {
        if let Some(cut) = self.cut.take().filter(|cut| cut.speaking) {
            let last = cut.last.unwrap_or(cut.since);
            self.times.barge_in.record(last - cut.since);
        }
    }

    fn hear(&mut self, direction: usize, now: Instant) {
        let Some(before) = self.heard[direction].replace(now) else {
            return;
        };
        let gap = now.saturating_duration_since(before);
        if gap >= GAP_MIN {
            self.times.gaps[direction].record(gap);
            self.told.gaps[direction] = self.told.gaps[direction].max(gap);
        }
    }

    fn end_silence(&mut self, now: Instant) {
        let Some(since) = self.silent.take() else {
            return;
        };
        let silence = now.saturating_duration_since(since);
        if silence >= SILENCE_MIN {
            self.times.silence.record(silence);
            self.told.silence = self.told.silence.max(silence);
        }
    }

    /// Whether the client's leg, the upstream's take nothing at present.
    #[inline]
    pub(super) fn note_blocked(&mut self, blocked: [bool; 2]) {
        let before = self.blocked.map(|since| since.is_some());
        if blocked != before {
            self.change_blocked(blocked, Instant::now());
        }
    }

    #[cold]
    fn change_blocked(&mut self, blocked: [bool; 2], now: Instant) {
        for (leg, blocked) in blocked.into_iter().enumerate() {
            match (self.blocked[leg], blocked) {
                (None, true) => self.blocked[leg] = Some(now),
                (Some(since), false) => {
                    self.blocked[leg] = None;
                    let length = now.saturating_duration_since(since);
                    if length >= BLOCKED_MIN {
                        self.times.blocked[leg].record(length);
                        self.told.blocked[leg] += length;
                    }
                }
                (None, false) | (Some(_), true) => {}
            }
        }
    }

    /// The session is over: what was under way ends with it.
    pub(super) fn end(&mut self, now: Instant) -> Timings {
        self.settle();
        self.end_silence(now);
        self.change_blocked([false; 2], now);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;
    use crate::metrics::Metrics;

    const MS: Duration = Duration::from_millis(1);

    /// One session in paused time, and what the page says of it.
    struct Played {
        metrics: Metrics,
        timing: Timing,
    }

    fn played() -> Played {
        let metrics = Metrics::new();
        let times = metrics.route(&Label::new("r").unwrap()).flow.times.clone();
        Played {
            timing: Timing::new(times, Instant::now()),
            metrics,
        }
    }

    impl Played {
        async fn after(&mut self, ms: u32, up: &[Mark], down: &[Mark]) {
            tokio::time::advance(ms * MS).await;
            let marks = [up, down].map(|list| {
                let mut marks = Marks::default();
                list.iter().for_each(|mark| marks.add(*mark));
                marks
            });
            self.timing.note(marks);
        }

        /// Count and sum of a series.
        fn told(&self, name: &str, labels: &str) -> (String, String) {
            let page = self.metrics.render();
            let value = |what: &str| {
                let series = format!("tonegate_{name}_seconds_{what}{{route=\"r\"{labels}}} ");
                let line = page.lines().find_map(|line| line.strip_prefix(&series));
                line.unwrap_or("none").to_owned()
            };
            (value("count"), value("sum"))
        }
    }

    fn is(told: (String, String), count: &str, sum: f64) -> bool {
        let said: f64 = told.1.parse().unwrap_or(f64::NAN);
        told.0 == count && (said - sum).abs() < 0.0005
    }

    #[tokio::test(start_paused = true)]
    async fn a40_the_first_audio_is_timed_from_the_101_the_verdict_and_the_end_of_speech() {
        let mut it = played();
        it.after(300, &[Mark::Audio], &[Mark::Begun, Mark::Audio])
            .await;
        it.after(100, &[Mark::Audio], &[Mark::Audio, Mark::Over])
            .await;
        assert!(is(it.told("first_audio", ",stage=\"connected\""), "1", 0.3));
        // Two turns, one ended by the service, one by the client; what nobody answered is none.
        it.after(900, &[], &[Mark::Speech]).await;
        it.after(900, &[], &[Mark::Said]).await;
        it.after(200, &[], &[Mark::Speech]).await;
        it.after(900, &[], &[Mark::Said]).await;
        it.after(400, &[], &[Mark::Audio]).await;
        it.after(10, &[], &[Mark::Audio, Mark::Over]).await;
        it.after(10, &[Mark::Said], &[]).await;
        it.after(600, &[], &[Mark::Begun, Mark::Audio]).await;
        assert!(is(it.told("first_audio", ",stage=\"turn\""), "2", 1.0));
        let ending = it.timing.end(Instant::now());
        assert_eq!(ending.first_audio, Some(300 * MS));

        let mut call = played();
        tokio::time::advance(4000 * MS).await;
        call.timing.opened(Instant::now());
        call.after(500, &[], &[Mark::Audio]).await;
        assert!(is(call.told("first_audio", ",stage=\"gate\""), "1", 0.5));
        assert_eq!(
            call.told("first_audio", ",stage=\"connected\"").0,
            "0",
            "before the gate nobody could speak"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a40_an_interruption_lasts_until_the_last_audio_or_the_stop() {
        let mut it = played();
        // Nothing was being said.
        it.after(10, &[], &[Mark::Speech]).await;
        it.after(500, &[], &[Mark::Said]).await;
        assert_eq!(it.told("barge_in", "").0, "0");
        // Two messages more come of what was interrupted.
        it.after(100, &[], &[Mark::Audio]).await;
        it.after(10, &[], &[Mark::Speech]).await;
        it.after(20, &[], &[Mark::Audio]).await;
        it.after(10, &[], &[Mark::Audio]).await;
        it.after(50, &[], &[Mark::Over]).await;
        assert!(is(it.told("barge_in", ""), "1", 0.03));
        // The client cancels, and nothing comes any more.
        it.after(10, &[], &[Mark::Begun, Mark::Audio]).await;
        it.after(10, &[Mark::Cancel], &[]).await;
        it.after(70, &[], &[Mark::Over]).await;
        assert!(is(it.told("barge_in", ""), "2", 0.03));
        // A call is told to stop, also what it has and does not play yet.
        it.after(10, &[], &[Mark::Speech]).await;
        it.after(40, &[], &[Mark::Stop]).await;
        assert!(is(it.told("barge_in", ""), "3", 0.07));
    }

    #[tokio::test(start_paused = true)]
    async fn a40_gaps_are_those_within_a_stream_and_silence_is_the_callers() {
        let mut it = played();
        it.after(0, &[Mark::Audio], &[Mark::Audio]).await;
        it.after(199, &[Mark::Audio], &[Mark::Audio, Mark::Over])
            .await;
        it.after(700, &[Mark::Audio], &[Mark::Begun, Mark::Audio])
            .await;
        it.after(250, &[], &[Mark::Audio]).await;
        assert!(is(it.told("audio_gap", ",direction=\"up\""), "1", 0.7));
        assert!(is(it.told("audio_gap", ",direction=\"down\""), "1", 0.25));
        // Silence of 1.9 s is a pause, of 2.1 s silence; audio of others does not end it.
        it.after(0, &[Mark::Silence], &[]).await;
        it.after(1900, &[Mark::Audio], &[]).await;
        assert_eq!(it.told("caller_silence", "").0, "0");
        it.after(0, &[Mark::Silence], &[]).await;
        it.after(1000, &[Mark::Others, Mark::Silence], &[]).await;
        it.after(1100, &[Mark::Audio], &[]).await;
        assert!(is(it.told("caller_silence", ""), "1", 2.1));
        // What is under way when it ends is told, too.
        it.after(0, &[Mark::Silence], &[]).await;
        tokio::time::advance(5000 * MS).await;
        let told = it.timing.end(Instant::now());
        assert_eq!(told.silence, 5000 * MS);
        assert!(is(it.told("caller_silence", ""), "2", 7.1));
        assert_eq!(told.gaps, [1900 * MS, 250 * MS]);
    }

    #[tokio::test(start_paused = true)]
    async fn a40_a_leg_that_takes_nothing_is_told_by_its_side() {
        let mut it = played();
        it.timing.note_blocked([true, false]);
        tokio::time::advance(99 * MS).await;
        it.timing.note_blocked([false, false]);
        assert_eq!(it.told("slow_consumer", ",side=\"client\"").0, "0");
        it.timing.note_blocked([true, true]);
        tokio::time::advance(100 * MS).await;
        it.timing.note_blocked([true, false]);
        tokio::time::advance(100 * MS).await;
        let told = it.timing.end(Instant::now());
        assert_eq!(told.blocked, [200 * MS, 100 * MS]);
        assert!(is(it.told("slow_consumer", ",side=\"client\""), "1", 0.2));
        assert!(is(it.told("slow_consumer", ",side=\"upstream\""), "1", 0.1));
    }
}
