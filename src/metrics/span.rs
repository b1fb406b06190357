//! Spans: what was done for a trace, from when to when, for whoever tells a collector of it.
//!
//! Where nobody does, nothing is kept. Else they wait in a bounded queue; nobody waits for room in it,
//! and what does not fit is counted. What stands in a span is what stands in the log: names of the
//! settings, ids, closed words.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Metrics;
use crate::ids::SessionId;
use crate::label::Label;
use crate::trace::Trace;

/// Spans that may wait: those of some hundred calls that begin at once, and half a megabyte.
pub const SPANS_MAX: usize = 2048;

/// Whose side of something a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It was asked of us.
    Server,
    /// We asked it of somebody.
    Client,
    /// Neither.
    Internal,
}

/// One thing that was done.
#[derive(Clone, Debug)]
pub struct Span {
    /// `admission`, `dial`, `session`, `gate`, `request`.
    pub name: &'static str,
    pub role: Role,
    pub trace: Trace,
    pub ended: SystemTime,
    pub took: Duration,
    pub route: Option<Label>,
    pub upstream: Option<Label>,
    pub session: Option<SessionId>,
    /// `ok`, or the reason.
    pub result: &'static str,
    /// It is the fault of this side or of whoever was asked.
    pub failed: bool,
}

impl Span {
    /// Something that has just ended well.
    pub fn done(name: &'static str, role: Role, trace: Trace, took: Duration) -> Span {
        Span {
            name,
            role,
            trace,
            ended: SystemTime::now(),
            took,
            route: None,
            upstream: None,
            session: None,
            result: "ok",
            failed: false,
        }
    }
}

/// The spans that wait, if anybody takes them.
#[derive(Default)]
pub(super) struct Spans {
    queue: OnceLock<Sender<Span>>,
    left: AtomicUsize,
}

impl Metrics {
    /// Has a span told of, if its trace is kept and anybody tells.
    pub fn span(&self, trace: Option<Trace>, span: impl FnOnce(Trace) -> Span) {
        let Some(queue) = self.spans.queue.get() else {
            return;
        };
        let Some(trace) = trace.filter(|trace| trace.sampled) else {
            return;
        };
        self.spans.left.fetch_add(1, Ordering::Relaxed);
        if queue.try_send(span(trace)).is_err() {
            self.spans_over("dropped", 1);
        }
    }

    /// From now on spans are kept for whoever has called this; the first who does.
    pub fn keep_spans(&self) -> Option<Receiver<Span>> {
        let (queue, spans) = channel(SPANS_MAX);
        self.spans.queue.set(queue).ok().map(|()| spans)
    }

    /// Counts what became of spans: `exported`, `failed`, `dropped`.
    pub fn spans_over(&self, result: &'static str, count: usize) {
        self.spans.left.fetch_sub(count, Ordering::Relaxed);
        self.count_spans(result, count as u64);
    }

    /// Resolves when no span waits.
    pub async fn spans_settled(&self) {
        while self.spans.left.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metrics: &Metrics, trace: Trace) {
        metrics.span(Some(trace), |trace| {
            Span::done("dial", Role::Client, trace, Duration::from_millis(1))
        });
    }

    #[tokio::test]
    async fn a40_spans_wait_only_for_whoever_takes_them_and_no_more_than_fit() {
        let metrics = Metrics::new();
        told(&metrics, Trace::begin(true));
        let mut spans = metrics.keep_spans().unwrap();
        assert!(metrics.keep_spans().is_none());
        // What is not sampled is not told.
        told(&metrics, Trace::begin(false));
        metrics.span(None, |_| unreachable!());
        assert!(spans.try_recv().is_err());
        metrics.spans_settled().await;
        for _ in 0..SPANS_MAX + 3 {
            told(&metrics, Trace::begin(true));
        }
        let line = r#"tonegate_otlp_spans_total{result="dropped"} 3"#;
        assert!(metrics.render().contains(line));
        let mut got = 0;
        while spans.try_recv().is_ok() {
            got += 1;
        }
        assert_eq!(got, SPANS_MAX);
        metrics.spans_over("exported", got);
        metrics.spans_settled().await;
    }
}
