//! What reaches a running session from any thread: it is told to end, and looked at.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::tail::{Seen, Tail, Tailing};
use crate::error::Reason;
use crate::gate::State;
use crate::tap::Counts;

/// Held by the session's registry entry and by its relay.
#[derive(Debug)]
pub struct Handle {
    began: Instant,
    reason: OnceLock<Reason>,
    waker: AtomicWaker,
    up: Marks,
    down: Marks,
    /// Keys that were heard or told of, whichever they were.
    keys: AtomicU64,
    /// Place of the gate's state in [`STATES`], and one; 0: there is no gate.
    gate: AtomicU8,
    closing: AtomicBool,
    pub(super) tail: Tail,
}

/// What has crossed in one direction, as the relay last wrote it.
#[derive(Debug, Default)]
struct Marks {
    messages: AtomicU64,
    bytes: AtomicU64,
    audio_messages: AtomicU64,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub up: Counts,
    pub down: Counts,
    /// Keys of a gate or of an observed client: how many, and never which.
    pub keys: u64,
    /// `None`: it has no gate.
    pub gate: Option<State>,
    /// Its first ending has come; what is left is the goodbye.
    pub closing: bool,
}

const STATES: [State; 4] = [
    State::Pending,
    State::Authorised,
    State::Rejected,
    State::Expired,
];

impl Default for Handle {
    fn default() -> Handle {
        Handle {
            began: Instant::now(),
            reason: OnceLock::new(),
            waker: AtomicWaker::new(),
            up: Marks::default(),
            down: Marks::default(),
            keys: AtomicU64::new(0),
            gate: AtomicU8::new(0),
            closing: AtomicBool::new(false),
            tail: Tail::default(),
        }
    }
}

impl Handle {
    /// Ends the session for `reason`, at its next turn. Whether nobody had told it to end before: the
    /// first reason counts.
    pub fn end(&self, reason: Reason) -> bool {
        let first = self.reason.set(reason).is_ok();
        if first {
            self.waker.wake();
        }
        first
    }

    /// What it was told to end for; if nothing yet, the task is woken when that comes.
    pub fn poll(&self, cx: &mut Context<'_>) -> Option<Reason> {
        self.waker.register(cx.waker());
        self.reason.get().copied()
    }

    /// How it stands, as of its last wake.
    pub fn standing(&self) -> Standing {
        let gate = usize::from(self.gate.load(Ordering::Relaxed));
        Standing {
            up: self.up.read(),
            down: self.down.read(),
            keys: self.keys.load(Ordering::Relaxed),
            gate: gate.checked_sub(1).map(|at| STATES[at]),
            closing: self.closing.load(Ordering::Relaxed),
        }
    }

    /// Looks on from now on, as messages cross; dropping what is given looks away.
    pub fn tail(self: &Arc<Handle>) -> Tailing {
        Tailing::new(self)
    }

    /// Tells whoever looks on of something that is no message.
    pub fn tell(&self, seen: Seen) {
        self.tail.tell(self.age(), seen);
    }

    /// Nothing more will be told.
    pub fn close_tail(&self) {
        self.tail.close();
    }

    /// How long ago the session began.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// A few plain writes once a wake: nobody is waited for, and nobody else writes.
    pub(super) fn note(&self, [up, down]: &[Counts; 2], keys: u64) {
        self.up.write(up);
        self.down.write(down);
        self.keys.store(keys, Ordering::Relaxed);
    }

    pub(super) fn note_gate(&self, state: State) {
        let at = STATES.iter().position(|one| *one == state).unwrap_or(0);
        self.gate.store(at as u8 + 1, Ordering::Relaxed);
    }

    pub(super) fn note_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl Marks {
    fn write(&self, counts: &Counts) {
        self.messages.store(counts.messages, Ordering::Relaxed);
        self.bytes.store(counts.bytes, Ordering::Relaxed);
        self.audio_messages
            .store(counts.audio_messages, Ordering::Relaxed);
    }

    fn read(&self) -> Counts {
        Counts {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            audio_messages: self.audio_messages.load(Ordering::Relaxed),
            ..Counts::default()
        }
    }
}
