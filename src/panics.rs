//! A panic ends what it happens in, and nothing else.
//!
//! A panic is a mistake of ours that somebody else may have found a way to. It is caught where one
//! thing that is served ends and the next one begins, so that it costs that one thing: a connection, a
//! request, a session, a piece of work. It is counted by what it ended, `tonegate_panics_total{where}`,
//! and logged by where in the source it happened. What it says is told to nobody: the text of a panic
//! may hold what a peer sent.
//!
//! | what panics | what becomes of it |
//! | --- | --- |
//! | a connection before its request | it is closed |
//! | a request | `500`, or where the route refuses by close frame 1011 |
//! | a session | 1011 to both sides, `internal`; without a word where the stream stands inside a frame |
//! | work that nobody waits for | it is lost, as if the process had ended in the middle |
//! | what accepts, or keeps something going | it is begun anew after a pause; see [`kept_up`] |
//!
//! # Why what is left behind may be used
//!
//! [`AssertUnwindSafe`] says that nobody sees a thing half changed. What one piece of work owns is
//! dropped with it: guards give back permits, slots, gauges and registry entries as they are unwound. What
//! it shares is either atomic, or behind a lock under which nothing is called that could panic (each of
//! these says so, and takes a poisoned lock as it is), or a value that is replaced whole. The one thing
//! that lives on after a panic in its midst is a relay, which says itself what it still does then
//! (`relay`).
//!
//! A binary that is built to abort on panic would end every session with the one: it does not compile.

use std::any::Any;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};

use crate::metrics::{Metrics, Shared, Work};

const _: () = assert!(
    cfg!(panic = "unwind"),
    "a panic must end one session and not all: build with panic = \"unwind\""
);

/// Before what has panicked is begun anew: at first, at the most; it doubles in between.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
/// Whoever panics so often, with less than [`CALM`] between one panic and the next, does so for good: an edge
/// that goes on without it would take calls that it can neither end nor take back.
const PANICS_MAX: u32 = 8;
/// What has gone on for so long has not begun with a panic.
const CALM: Duration = Duration::from_secs(600);

/// Logs panics from now on by where they happened, in the whole process; without a log that is
/// standard error. Never what they say.
pub fn log_places() {
    panic::set_hook(Box::new(|info| {
        let place = info.location();
        let (file, line) = place.map_or(("?", 0), |place| (place.file(), place.line()));
        if tracing::dispatcher::has_been_set() {
            tracing::error!(file, line, "panic");
        } else {
            eprintln!("tonegate: internal error at {file}:{line}");
        }
    }));
}

/// Runs `work`; `None`: it has panicked, which is counted.
///
/// What it held is gone when this resolves. No `async fn`, which would have room for `work` twice: a
/// session is one of these.
pub fn contained<T>(
    metrics: &Metrics,
    what: Work,
    work: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    let done = AssertUnwindSafe(work).catch_unwind();
    done.map(move |done| done.map_err(|said| noted(metrics, what, said)).ok())
}

/// The same for what owns all that it uses: a task.
pub fn contained_task<T>(
    metrics: Shared,
    what: Work,
    work: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    let done = AssertUnwindSafe(work).catch_unwind();
    done.map(move |done| done.map_err(|said| noted(&metrics, what, said)).ok())
}

/// The same for what does not wait.
pub fn contained_now<T>(metrics: &Metrics, what: Work, work: impl FnOnce() -> T) -> Option<T> {
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    done.map_err(|said| noted(metrics, what, said)).ok()
}

fn noted(metrics: &Metrics, what: Work, said: Box<dyn Any + Send>) {
    drop(said);
    metrics.panicked(what);
}

/// It has panicked too often, and is not begun anew any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp;

/// Keeps something going: runs what `begin` makes to its end, and begins it anew after a panic. Each
/// time takes longer, and after [`PANICS_MAX`] in a row it is given up: whoever runs it ends the
/// process then, so that another one begins with nothing broken.
pub async fn kept_up<F: Future<Output = ()>>(
    metrics: &Metrics,
    name: &'static str,
    mut begin: impl FnMut() -> F,
) -> Result<(), GivenUp> {
    let [mut pause, most] = AGAIN;
    let mut panics = 0;
    loop {
        let begun = Instant::now();
        // To begin it is a part of it.
        let work = async { begin().await };
        if contained(metrics, Work::Upkeep, work).await.is_some() {
            return Ok(());
        }
        if begun.elapsed() >= CALM {
            (pause, panics) = (AGAIN[0], 0);
        }
        panics += 1;
        if panics >= PANICS_MAX {
            tracing::error!(name, panics, "it panics again and again; the edge ends");
            return Err(GivenUp);
        }
        let pause_ms = pause.as_millis() as u64;
        tracing::error!(name, pause_ms, "it has panicked, and is begun anew");
        sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::process::Command;

    fn says(metrics: &Metrics, line: &str) -> bool {
        metrics.render().lines().any(|l| l == line)
    }

    #[tokio::test]
    async fn what_panics_is_counted_by_what_it_was_and_what_it_held_is_given_back() {
        let metrics = Metrics::new();
        let permits = tokio::sync::Semaphore::new(1);
        let work = async {
            let _held = permits.acquire().await.unwrap();
            tokio::task::yield_now().await;
            assert!(permits.available_permits() > 0, "4711");
        };
        let bare = std::mem::size_of_val(&work);
        let work = contained(&metrics, Work::Session, work);
        assert!(
            std::mem::size_of_val(&work) <= bare + 32,
            "it has room for it twice"
        );
        assert_eq!(work.await, None);
        assert_eq!(permits.available_permits(), 1);
        assert_eq!(
            contained(&metrics, Work::Session, async { 1 }).await,
            Some(1)
        );
        let nothing: Option<()> = contained_now(&metrics, Work::Admin, || panic!("4711"));
        assert_eq!(nothing, None);
        assert!(says(
            &metrics,
            r#"tonegate_panics_total{where="session"} 1"#
        ));
        assert!(says(&metrics, r#"tonegate_panics_total{where="admin"} 1"#));
        // Alerts go by what grows: it is there before the first one.
        assert!(says(
            &metrics,
            r#"tonegate_panics_total{where="request"} 0"#
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_something_going_is_begun_anew_and_given_up_when_it_panics_for_good() {
        let metrics = Metrics::new();
        let (begun, start) = (Cell::new(0), Instant::now());
        let fails = || {
            begun.set(begun.get() + 1);
            async { panic!("4711") }
        };
        assert_eq!(kept_up(&metrics, "test", fails).await, Err(GivenUp));
        assert_eq!(begun.get(), PANICS_MAX);
        // 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 6.4
        assert_eq!(start.elapsed().as_millis(), 12_700);
        assert!(says(&metrics, r#"tonegate_panics_total{where="upkeep"} 8"#));
        // One that fails now and then goes on, and ends when it does.
        begun.set(0);
        let at_times = || {
            begun.set(begun.get() + 1);
            async {
                tokio::time::sleep(CALM).await;
                assert!(begun.get() > 3 * PANICS_MAX, "4711");
            }
        };
        assert_eq!(kept_up(&metrics, "test", at_times).await, Ok(()));
        assert_eq!(begun.get(), 3 * PANICS_MAX + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_panics_before_it_is_a_future_is_begun_anew_too() {
        let metrics = Metrics::new();
        let begun = Cell::new(0);
        let begin = || {
            begun.set(begun.get() + 1);
            assert!(begun.get() > 1, "4711");
            std::future::ready(())
        };
        assert_eq!(kept_up(&metrics, "test", begin).await, Ok(()));
        assert_eq!(begun.get(), 2);
    }

    const CHILD: &str = "TONEGATE_TEST_PANICS";

    /// A process of its own, for a hook is the process'.
    fn stderr_of_child(log: &str) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "panics::tests::a_child_that_panics",
            "--nocapture",
        ]);
        let output = child.env(CHILD, log).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn a_child_that_panics() {
        let Ok(log) = std::env::var(CHILD) else {
            return;
        };
        let filter = crate::log::filter(Some("error")).unwrap();
        let log = (log == "log").then(|| crate::log::Log::start(filter, None).unwrap());
        log_places();
        let metrics = Metrics::new();
        let dialled = "4711";
        contained_now(&metrics, Work::Request, || {
            panic!("the caller dialled {dialled}")
        });
        if let Some(log) = log {
            log.flush();
        }
    }

    #[test]
    fn s36_the_log_has_the_place_of_a_panic_and_never_its_words() {
        let text = stderr_of_child("log");
        let line = text.lines().find(|line| line.starts_with('{')).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["level"], &line["message"]),
            (&"ERROR".into(), &"panic".into())
        );
        assert_eq!(line["file"], "src/panics.rs");
        assert!(line["line"].as_u64().unwrap() > 100);
        assert!(
            !text.contains("4711") && !text.contains("dialled"),
            "{text}"
        );
        // Nor where there is no log.
        let text = stderr_of_child("none");
        assert!(text.contains("internal error at src/panics.rs:"), "{text}");
        assert!(
            !text.contains("4711") && !text.contains("dialled"),
            "{text}"
        );
    }
}
