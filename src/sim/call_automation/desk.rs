//! What the service knows: calls that ring, calls that are, requests that were answered.
//!
//! Owns all state that outlives a request and the bounds on it. The requests' effects are in
//! `effect`.

use super::Options;
use super::answer::Answer;
use super::connection::Phase;
use super::line::Line;
use super::manner::{Manner, Trouble};
use super::record::{Event, Record};
use super::request::Operation;
use crate::sim::acs;
use crate::sim::issuer::provider::Provider;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most of each kept: calls, calls that ring, answers, troubles to come. The oldest are
/// forgotten first. Arbitrary: more than any test makes.
const KEPT_MAX: usize = 4096;

/// The service.
pub struct Desk {
    options: Options,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) port: u16,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct State {
    manner: Manner,
    troubles: VecDeque<(Option<Operation>, Trouble)>,
    ringing: VecDeque<Ringing>,
    lines: VecDeque<Line>,
    answers: VecDeque<Remembered>,
    record: Record,
}

/// A call that rings.
#[derive(Clone)]
pub(super) struct Ringing {
    pub(super) context: String,
    pub(super) server_call: String,
    pub(super) correlation: String,
    pub(super) far: serde_json::Value,
    pub(super) ani: String,
    pub(super) fate: Fate,
}

/// What became of a call that rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It rings.
    Rings,
    /// It was answered.
    Answered,
    /// It was sent elsewhere.
    Redirected,
    /// It was turned away.
    Rejected,
    /// The caller hung up first.
    GivenUp,
}

/// An answer that a repeated request gets again.
#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) id: String,
    /// Operation, target and body of the first.
    pub(super) print: Vec<u8>,
    pub(super) answer: Answer,
}

impl Desk {
    pub(super) fn new(options: Options, acceptor: Option<TlsAcceptor>, port: u16) -> Self {
        Self {
            options,
            acceptor,
            port,
            state: Mutex::new(State {
                manner: Manner::default(),
                troubles: VecDeque::new(),
                ringing: VecDeque::new(),
                lines: VecDeque::new(),
                answers: VecDeque::new(),
                record: Record::default(),
            }),
            changes: watch::Sender::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Where it is asked: `https://localhost:PORT`, `http` without TLS.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let tls = if self.acceptor.is_some() { "s" } else { "" };
        format!("http{tls}://localhost:{}", self.port)
    }

    /// How calls go from now on.
    pub fn set(&self, manner: Manner) {
        self.with(|state| state.manner = manner);
    }

    /// The next sound requests for this, or for anything, go wrong so.
    pub fn trouble(&self, operation: Option<Operation>, trouble: Trouble, times: usize) {
        self.with(|state| {
            for _ in 0..times {
                push(&mut state.troubles, (operation, trouble));
            }
        });
    }

    /// What happened so far.
    #[must_use]
    pub fn record(&self) -> Record {
        self.state().record.clone()
    }

    /// Waits until `holds` is true of what happened. The caller sets the deadline.
    pub async fn until(&self, holds: impl Fn(&Record) -> bool) {
        let mut changes = self.changes.subscribe();
        while !holds(&self.state().record) {
            let changed = changes.changed().await;
            changed.expect("the desk owns the sender, and we borrow the desk");
        }
    }

    /// Every call so far, oldest first, those that are gone included.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.state().lines.iter().cloned().collect()
    }

    /// The call of this connection id, if there ever was one.
    #[must_use]
    pub fn line(&self, id: &str) -> Option<Line> {
        let state = self.state();
        state.lines.iter().find(|line| line.id() == id).cloned()
    }

    /// Waits for so many calls, and gives the last of them. The caller sets the deadline.
    pub async fn nth_line(&self, count: usize) -> Line {
        let began = |record: &Record| {
            let began = record.events();
            began.filter(|e| matches!(e, Event::Began(_))).count() >= count
        };
        self.until(began).await;
        self.lines()[count - 1].clone()
    }

    pub(super) fn happened(&self, event: Event) {
        self.with(|state| state.record.push(event));
    }

    pub(super) fn manner(&self) -> Manner {
        self.state().manner.clone()
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The issuer of what is sent.
    #[must_use]
    pub fn provider(&self) -> &Arc<Provider> {
        &self.options.provider
    }

    pub(super) fn resource(&self) -> &str {
        &self.options.resource
    }

    /// What the edge is verified against.
    pub(super) fn roots(&self) -> Option<&str> {
        self.options.roots_pem.as_deref()
    }

    pub(super) fn caller(&self) -> acs::Options {
        self.options.caller.clone()
    }

    /// Runs beside everything until the service ends.
    pub(super) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(future).await;
        })
    }

    /// Ends all that runs beside.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn take_trouble(&self, operation: Operation) -> Option<Trouble> {
        self.with(|state| {
            let mine = |(which, _): &(Option<Operation>, Trouble)| {
                which.is_none_or(|which| which == operation)
            };
            let at = state.troubles.iter().position(mine)?;
            state.troubles.remove(at).map(|(_, trouble)| trouble)
        })
    }

    pub(super) fn rings(&self, ringing: Ringing) {
        self.with(|state| push(&mut state.ringing, ringing));
    }

    /// What became of the call that rang with this context.
    #[must_use]
    pub fn fate(&self, context: &str) -> Option<Fate> {
        let state = self.state();
        let mut ringing = state.ringing.iter();
        ringing.find(|r| r.context == context).map(|r| r.fate)
    }

    /// Settles a call that rings, once. An error is how it was settled before; nothing where it
    /// never rang.
    pub(super) fn settle(&self, context: &str, fate: Fate) -> Result<Ringing, Option<Fate>> {
        self.with(|state| {
            let mut ringing = state.ringing.iter_mut();
            let ringing = ringing.find(|r| r.context == context).ok_or(None)?;
            if ringing.fate != Fate::Rings {
                return Err(Some(ringing.fate));
            }
            ringing.fate = fate;
            Ok(ringing.clone())
        })
    }

    /// A call begins to be.
    pub(super) fn add(&self, line: Line) {
        self.with(|state| {
            state.record.push(Event::Began(line.id().to_owned()));
            push(&mut state.lines, line);
        });
    }

    /// The call of this id, unless it is gone.
    pub(super) fn living(&self, id: &str) -> Option<Line> {
        self.line(id).filter(|line| line.phase() != Phase::Gone)
    }

    pub(super) fn remembered(&self, id: &str) -> Option<Remembered> {
        let state = self.state();
        state.answers.iter().find(|one| one.id == id).cloned()
    }

    pub(super) fn remember(&self, answer: Remembered) {
        self.with(|state| push(&mut state.answers, answer));
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// A panic elsewhere leaves a state that is still worth reading.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == KEPT_MAX {
        list.pop_front();
    }
    list.push_back(item);
}
