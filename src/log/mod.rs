//! Log lines: JSON on standard error, written by a thread of their own.
//!
//! A session must not wait for whoever reads the log, so lines go through a bounded [`queue`], and
//! what does not fit, or cannot be written, is dropped and counted. Fields have the names of the
//! lexicon; secrets cannot be formatted, and nothing logs what a peer sent.
//!
//! Whoever starts the log may give it a [`Scrub`], which takes personal data out of each line on the
//! log's own thread: no session waits for that either.

mod line;
mod queue;

use std::borrow::Cow;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

use self::line::Json;
use self::queue::Queue;

/// The target of one line for each request, by which `TONEGATE_LOG` asks for them.
pub const ACCESS: &str = "tonegate::access";

/// The process' log. Keep it until the end: [`Log::flush`] waits for what is queued.
pub struct Log {
    queue: Queue,
}

/// Lines that the process' log has dropped; as global as the log itself.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines lost so far because nobody read them in time, or at all.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Lines that were not written as personal data could not be taken out of them.
static UNFILTERED: AtomicU64 = AtomicU64::new(0);

/// Lines not written so far because they could not be filtered.
pub fn unfiltered() -> u64 {
    UNFILTERED.load(Ordering::Relaxed)
}

/// A line, with its end, without personal data; `None`: it cannot be told, so nothing is written.
pub type Scrub = Box<dyn for<'a> Fn(&'a str) -> Option<Cow<'a, str>> + Send>;

impl Log {
    /// Starts logging to standard error for the whole process; all lines go through `scrub`, if
    /// there is one.
    pub fn start(filter: EnvFilter, scrub: Option<Scrub>) -> Result<Log, String> {
        let queue = Queue::new(&DROPPED);
        let scrubbed = Scrubbed {
            scrub,
            unfiltered: &UNFILTERED,
        };
        let writer = queue.writer(io::stderr(), scrubbed);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| format!("the log thread cannot start: {error}"))?;
        tracing_subscriber::fmt()
            .event_format(Json)
            .with_env_filter(filter)
            .with_writer(queue.clone())
            .try_init()
            .map_err(|error| format!("logging is set up already: {error}"))?;
        Ok(Log { queue })
    }

    /// Waits until what was logged has been written, for a second at the most.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        self.queue.flush(done);
        let _ = written.recv_timeout(Duration::from_secs(1));
    }
}

/// What is logged, in the form of `tracing`; `None` means `info`. It comes from `TONEGATE_LOG`.
pub fn filter(text: Option<&str>) -> Result<EnvFilter, String> {
    let text = text.unwrap_or("info");
    let filter = EnvFilter::try_new(text).ok().filter(|_| text.is_ascii());
    // The parser's own words may hold what stands there.
    let wrong = "TONEGATE_LOG: must be a filter such as tonegate=debug or warn";
    filter.ok_or_else(|| wrong.to_owned())
}

/// What lines go through on their way out.
struct Scrubbed {
    scrub: Option<Scrub>,
    unfiltered: &'static AtomicU64,
}

impl Scrubbed {
    /// What of a line is written; what is not is counted.
    fn of<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(scrub) = &self.scrub else {
            return Cow::Borrowed(line);
        };
        // A filter that panics has let nothing through; it keeps nothing from one line to the next.
        let scrubbed = |line| {
            let scrubbing = AssertUnwindSafe(|| scrub(line));
            panic::catch_unwind(scrubbing).ok().flatten()
        };
        let left = std::str::from_utf8(line).ok().and_then(scrubbed);
        match left {
            Some(Cow::Borrowed(left)) => Cow::Borrowed(left.as_bytes()),
            Some(Cow::Owned(left)) => Cow::Owned(left.into_bytes()),
            None => {
                self.unfiltered.fetch_add(1, Ordering::Relaxed);
                Cow::Borrowed(&[])
            }
        }
    }
}

/// How often a warning is worth a line that somebody else can provoke as often as they like.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// Lets one line a second through and counts the others.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Throttled>);

#[derive(Debug, Default)]
struct Throttled {
    last: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// Whether a line may be written now; if so, how many were left out since the last one.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        // Nothing panics while it is held.
        let mut throttled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = |last| now.saturating_duration_since(last) < WARN_EVERY;
        if throttled.last.is_some_and(is_soon) {
            throttled.left_out += 1;
            return None;
        }
        throttled.last = Some(now);
        Some(std::mem::take(&mut throttled.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_used_is_told_by_its_name() {
        for bad in [
            "tonegate=loud",
            "tonegate=debug=info",
            "[",
            "tonegate=debug,\u{fffd}",
        ] {
            let error = filter(Some(bad)).map(|_| ()).unwrap_err();
            assert!(error.starts_with("TONEGATE_LOG: "), "{bad}: {error}");
            assert!(error.contains("tonegate=debug"), "{bad}: {error}");
        }
        for good in [None, Some("warn"), Some("info,tonegate=debug"), Some("off")] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn one_line_a_second_tells_how_many_were_left_out() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let passed: Vec<_> = [0, 1, 999, 1000, 1001, 5000, 5999, 6000]
            .map(|ms| throttle.pass(start + Duration::from_millis(ms)))
            .into();
        let expected = [Some(0), None, None, Some(2), None, Some(1), None, Some(1)];
        assert_eq!(passed, expected);
    }
}
