//! Frames that go on as they came: each chunk in as few runs of bytes as it lies in.
//!
//! The tap is shown what passes, and a lock, where there is one, may hold a message or stop it.

use tokio::io::{AsyncRead, AsyncWrite};

use super::policy::{Lock, Verdict};
use super::pump::{Input, Line};
use super::tls::Leg;
use crate::buffer;
use crate::tap::Tap;
use crate::ws::Violation;
use crate::ws::frame::CONTROL_FRAME_MAX;
use crate::ws::scan::Found;

/// What is done with the frames of a direction that is forwarded.
pub(super) struct Forward {
    pub(super) tap: Tap,
    lock: Option<Box<Lock>>,
    /// Most bytes that a locked message may have on the wire: a client that cuts one into frames of
    /// one byte is no reason to keep seven times its length.
    held_max: usize,
}

impl Forward {
    /// For messages of at most `max_message` bytes, each of which the lock lets through, if there
    /// is one.
    pub(super) fn new(max_message: u64, lock: Option<Lock>, tap: Tap) -> Forward {
        let held_max = 2 * usize::try_from(max_message).unwrap_or(usize::MAX / 4);
        Forward {
            tap,
            lock: lock.map(Box::new),
            held_max: held_max + buffer::READ_BUFFER,
        }
    }

    /// Follows the frames in `chunk` and queues what may go on, in as few runs as it lies in.
    pub(super) fn carry<B: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut Line,
        chunk: &[u8],
        to: &mut Leg<B>,
    ) {
        let mut run = Run::default();
        while line.input == Input::Open {
            let at = run.end;
            let step = match line.scan.next(&chunk[at..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(violation) => {
                    line.input = Input::Violated(violation);
                    break;
                }
            };
            let bytes = &chunk[at..at + step.taken];
            line.count(&step.found, bytes.len());
            let verdict = match &step.found {
                Found::Data(header) => {
                    if !self.is_holding() {
                        run.sure = at;
                    }
                    self.tap.frame(header);
                    self.lock.as_mut().map(|lock| lock.frame(header))
                }
                Found::Payload => {
                    let verdict = self.lock.as_mut().map(|lock| lock.payload(bytes));
                    // What is stopped is not counted as a message that went on.
                    if verdict != Some(Verdict::Stop) {
                        self.tap.payload(bytes);
                    }
                    verdict
                }
                Found::Control(control) if line.pings.are_answered_by(control) => {
                    self.settle(line, &mut run, chunk, to);
                    run.skip_to(at + step.taken);
                    continue;
                }
                Found::Control(control) => {
                    line.note_close(control);
                    if line.input != Input::Open {
                        self.abandon(line, &mut run, chunk, to);
                    } else if self.is_holding() {
                        self.settle(line, &mut run, chunk, to);
                        to.queue(line.scan.carried(step.carried), bytes);
                        run.skip_to(at + step.taken);
                        continue;
                    }
                    None
                }
            };
            if step.carried > 0 {
                run.keep_prefix(line.scan.carried(step.carried));
            }
            run.end = at + step.taken;
            match verdict {
                Some(Verdict::Pass) => self.let_go(to),
                Some(Verdict::Stop) => {
                    line.input = Input::Stopped;
                    break;
                }
                Some(Verdict::Wait) | None => {}
            }
        }
        self.settle(line, &mut run, chunk, to);
    }

    pub(super) fn is_holding(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.is_inside())
    }

    /// Queues what of the run may go on, and keeps the rest.
    fn settle<B: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut Line,
        run: &mut Run,
        chunk: &[u8],
        to: &mut Leg<B>,
    ) {
        let Some(lock) = self.lock.as_mut().filter(|lock| lock.is_inside()) else {
            return run.queue(chunk, to);
        };
        // Where something is held already, all of the run belongs to the same message.
        let sure = if lock.held() > 0 {
            run.start
        } else {
            run.sure.max(run.start)
        };
        let end = std::mem::replace(&mut run.end, sure);
        if sure > run.start {
            run.queue(chunk, to);
        }
        let (prefix, length) = run.prefix.take().unwrap_or(([0; CONTROL_FRAME_MAX], 0));
        lock.hold(&prefix[..length], &chunk[sure..end]);
        run.start = end;
        run.end = end;
        if lock.held() > self.held_max && line.input == Input::Open {
            line.input = Input::Violated(Violation::TooLarge);
        }
    }

    /// The message at hand may go on: what was kept of it goes first, the run goes with it.
    fn let_go<B: AsyncRead + AsyncWrite + Unpin>(&mut self, to: &mut Leg<B>) {
        if let Some(lock) = &mut self.lock {
            let held = lock.release();
            if !held.is_empty() {
                to.queue(&[], &held);
            }
        }
    }

    /// A close frame ends the stream: a message that is not whole never will be, and goes nowhere.
    fn abandon<B: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut Line,
        run: &mut Run,
        chunk: &[u8],
        to: &mut Leg<B>,
    ) {
        if self.is_holding() {
            let close = run.end;
            self.settle(line, run, chunk, to);
            run.skip_to(close);
        }
        if let Some(lock) = &mut self.lock {
            drop(lock.release());
        }
    }
}

/// The part of a chunk that goes on and is not queued yet, with what earlier chunks left of its
/// first frame.
#[derive(Default)]
struct Run {
    prefix: Option<([u8; CONTROL_FRAME_MAX], usize)>,
    start: usize,
    end: usize,
    /// Where the latest message begins: what lies before it may go on.
    sure: usize,
}

impl Run {
    /// Leaves out what lies before `at`.
    fn skip_to(&mut self, at: usize) {
        self.start = at;
        self.end = at;
        self.sure = at;
    }

    fn keep_prefix(&mut self, carried: &[u8]) {
        let mut prefix = [0; CONTROL_FRAME_MAX];
        prefix[..carried.len()].copy_from_slice(carried);
        self.prefix = Some((prefix, carried.len()));
    }

    fn queue<B: AsyncRead + AsyncWrite + Unpin>(&mut self, chunk: &[u8], to: &mut Leg<B>) {
        let bytes = &chunk[self.start..self.end];
        match self.prefix.take() {
            Some((prefix, length)) => to.queue(&prefix[..length], bytes),
            None if bytes.is_empty() => {}
            None => to.queue(&[], bytes),
        }
    }
}
