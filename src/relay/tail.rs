//! What crosses a session, for whoever looks on: kinds, lengths and times of messages, never what they
//! say.
//!
//! Lines wait in a ring that is made when somebody looks on first and given back when nobody does any
//! more. The relay writes into it and waits for nobody: whoever reads too slowly loses the oldest lines,
//! and is told how many. While nobody looks on, it costs the relay one look at a number per wake.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Handle;
use crate::error::{Direction, Reason, Side};
use crate::gate::State;

/// Lines that wait for a reader at the most: ten seconds of a call that speaks both ways, some 50 KiB.
pub const TAIL_LINES: usize = 1024;

/// Something that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Since the session began.
    pub at: Duration,
    pub seen: Seen,
}

/// What it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Message {
        direction: Direction,
        /// One of a closed list: what a peer wrote is not in it.
        kind: &'static str,
        /// Length of its payload; not of what tells of a key, whose length may tell which.
        bytes: Option<u64>,
        /// Since the one before in the same direction.
        gap: Option<Duration>,
    },
    /// So many keys were heard or told of by now.
    Keys(u64),
    Gate(State),
    /// So many messages that went by in one read beside those that are told of.
    Missed(u64),
    Ended {
        by: Side,
        reason: Reason,
    },
}

/// The ring of one session.
#[derive(Debug, Default)]
pub(super) struct Tail {
    readers: AtomicUsize,
    /// Nothing more will be told, also to who begins to look on now.
    over: AtomicBool,
    ring: OnceLock<Box<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: Mutex<Lines>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Line>,
    /// Number of the first that is kept.
    first: u64,
    /// When a message last went up, and down.
    last: [Option<Duration>; 2],
}

impl Tail {
    /// Whether anybody looks on.
    pub(super) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// Adds a line, if anybody looks on.
    pub(super) fn tell(&self, at: Duration, seen: Seen) {
        let Some(ring) = self.ring.get().filter(|_| self.is_read()) else {
            return;
        };
        ring.lines().push(Line { at, seen });
        ring.news.notify_waiters();
    }

    pub(super) fn close(&self) {
        // Before the ring is looked for: who makes it later sees this.
        self.over.store(true, Ordering::SeqCst);
        if let Some(ring) = self.ring.get() {
            ring.news.notify_waiters();
        }
    }
}

impl Ring {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Nothing panics while it is held, and nobody holds it for longer than a copy.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, mut line: Line) {
        if let Seen::Message { direction, gap, .. } = &mut line.seen {
            let last = &mut self.last[*direction as usize];
            *gap = last.map(|last| line.at.saturating_sub(last));
            *last = Some(line.at);
        }
        if self.kept.len() == TAIL_LINES {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(line);
    }

    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }
}

/// What was seen since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Lines that went before they were read.
    pub lost: u64,
    pub lines: Vec<Line>,
}

/// Somebody who looks on. Dropping it looks away.
#[derive(Debug)]
pub struct Tailing {
    handle: Arc<Handle>,
    /// Number of the next line.
    next: u64,
}

impl Tailing {
    pub(super) fn new(handle: &Arc<Handle>) -> Tailing {
        let tail = &handle.tail;
        let ring = tail.ring.get_or_init(Box::default);
        let mut lines = ring.lines();
        if tail.readers.fetch_add(1, Ordering::Relaxed) == 0 {
            lines.kept.reserve_exact(TAIL_LINES);
            // Nobody saw how long ago the last one was.
            lines.last = [None; 2];
        }
        Tailing {
            handle: handle.clone(),
            next: lines.end(),
        }
    }

    /// Waits until there is something new; `None` when the session is over and all was read.
    ///
    /// Cancel-safe: what was not handed out is handed out the next time.
    pub async fn next(&mut self) -> Option<News> {
        let handle = self.handle.clone();
        let ring = handle.tail.ring.get()?;
        loop {
            let mut news = std::pin::pin!(ring.news.notified());
            // Heard from before it is looked at what there is.
            news.as_mut().enable();
            // In this order: what was told last is read before it is over.
            let over = handle.tail.over.load(Ordering::SeqCst);
            {
                let lines = ring.lines();
                if lines.end() > self.next {
                    let lost = lines.first.saturating_sub(self.next);
                    let from = (self.next + lost - lines.first) as usize;
                    self.next = lines.end();
                    let lines = lines.kept.range(from..).copied().collect();
                    return Some(News { lost, lines });
                }
            }
            if over {
                return None;
            }
            news.await;
        }
    }
}

impl Drop for Tailing {
    fn drop(&mut self) {
        let tail = &self.handle.tail;
        let Some(ring) = tail.ring.get() else { return };
        let mut lines = ring.lines();
        if tail.readers.fetch_sub(1, Ordering::Relaxed) == 1 {
            lines.first = lines.end();
            lines.kept = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn message(direction: Direction) -> Seen {
        Seen::Message {
            direction,
            kind: "response.done",
            bytes: Some(7),
            gap: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c17_whoever_looks_on_sees_what_comes_then_and_how_long_after_the_last_it_was() {
        let handle = Arc::new(Handle::default());
        handle.tell(message(Direction::Up));
        assert!(handle.tail.ring.get().is_none(), "nobody looks on");
        let mut tailing = handle.tail();
        assert_eq!(tailing.next().now_or_never(), None);
        let at = |ms| Duration::from_millis(ms);
        for (wait, direction) in [
            (20, Direction::Up),
            (5, Direction::Down),
            (30, Direction::Up),
        ] {
            tokio::time::advance(at(wait)).await;
            handle.tell(message(direction));
        }
        let news = tailing.next().await.unwrap();
        let seen = news.lines.iter().map(|line| match line.seen {
            Seen::Message { gap, .. } => (line.at, gap),
            Seen::Keys(_) | Seen::Gate(_) | Seen::Missed(_) | Seen::Ended { .. } => {
                panic!("{line:?}")
            }
        });
        let seen: Vec<_> = seen.collect();
        assert_eq!(
            seen,
            [(at(20), None), (at(25), None), (at(55), Some(at(35)))]
        );
        handle.tell(Seen::Keys(1));
        handle.close_tail();
        assert_eq!(tailing.next().await.unwrap().lines.len(), 1);
        assert_eq!(tailing.next().await, None);
    }

    #[test]
    fn c17_a_reader_that_is_too_slow_loses_the_oldest_and_is_told_how_many() {
        let handle = Arc::new(Handle::default());
        let (mut slow, mut quick) = (handle.tail(), handle.tail());
        for keys in 0..TAIL_LINES as u64 {
            handle.tell(Seen::Keys(keys));
        }
        let read = |tailing: &mut Tailing| tailing.next().now_or_never().flatten().unwrap();
        let news = read(&mut quick);
        assert_eq!((news.lost, news.lines.len()), (0, TAIL_LINES));
        for keys in 0..7 {
            handle.tell(Seen::Keys(keys));
        }
        let news = read(&mut slow);
        assert_eq!((news.lost, news.lines.len()), (7, TAIL_LINES));
        assert_eq!(news.lines[0].seen, Seen::Keys(7));
        assert_eq!(read(&mut quick).lines.len(), 7);
        let lines = || handle.tail.ring.get().unwrap().lines();
        assert!(lines().kept.capacity() >= TAIL_LINES);
        drop(slow);
        assert!(handle.tail.is_read() && !lines().kept.is_empty());
        drop(quick);
        assert!(!handle.tail.is_read() && lines().kept.capacity() == 0);
    }
}
