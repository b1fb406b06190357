//! One direction of a session: frames in, the same bytes out.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::buffer;
use super::policy::{Lock, Verdict};
use super::tls::{Leg, Read};
use crate::tap::Tap;
use crate::ws::frame::{CONTROL_FRAME_MAX, Close, ControlFrame, OpCode};
use crate::ws::scan::{Control, Found, Scanner};
use crate::ws::{Role, Violation};

/// How far the sender of a direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Frames may follow.
    Open,
    /// It sent a close frame; its code, if it gave one.
    Closed(Option<u16>),
    /// It broke the rules; nothing of it counts any more.
    Violated(Violation),
    /// It sent a message that it may not send.
    Stopped,
    /// The socket ended or failed without a close frame.
    Lost,
}

/// Carries one direction.
pub(super) struct Pump {
    scan: Scanner,
    tap: Tap,
    lock: Option<Lock>,
    /// Most bytes that a locked message may have on the wire: a client that cuts one into frames of
    /// one byte is no reason to keep seven times its length.
    held_max: usize,
    input: Input,
    /// The socket of the sender will give nothing more.
    ended: bool,
    pings: Pings,
}

impl Pump {
    /// A pump for what `sender` sends, in messages of at most `max_message` bytes, each of which
    /// the lock lets through, if there is one.
    pub(super) fn new(sender: Role, max_message: u64, lock: Option<Lock>, tap: Tap) -> Pump {
        let held_max = 2 * usize::try_from(max_message).unwrap_or(usize::MAX / 4);
        Pump {
            scan: Scanner::new(sender, max_message),
            tap,
            lock,
            held_max: held_max + buffer::READ_BUFFER,
            input: Input::Open,
            ended: false,
            pings: Pings::new(super::random()),
        }
    }

    pub(super) fn input(&self) -> Input {
        self.input
    }

    pub(super) fn tap(&self) -> &Tap {
        &self.tap
    }

    pub(super) fn tap_mut(&mut self) -> &mut Tap {
        &mut self.tap
    }

    /// A number that grows whenever data crosses.
    pub(super) fn crossed(&self) -> u64 {
        let counts = self.tap.counts();
        counts.bytes + counts.messages
    }

    /// Whether the socket of the sender will give nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether a frame of the edge's own may go out in this direction now.
    pub(super) fn is_between_frames(&self) -> bool {
        // Of a message that is held nothing has gone out.
        self.lock.as_ref().is_some_and(Lock::is_inside) || self.scan.is_between_frames()
    }

    /// The payload of a ping to the sender, whose answer will go no further.
    pub(super) fn next_ping(&mut self) -> [u8; PING_PAYLOAD] {
        self.pings.next()
    }

    /// Moves what one read gives. `Pending` means that nothing can move now, either for want of
    /// bytes or because `to` has not taken what came before: the pause goes on to the sender by
    /// not reading.
    pub(super) fn poll_forward<A, B>(
        &mut self,
        from: &mut Leg<A>,
        to: &mut Leg<B>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<()>>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        ready!(to.poll_flush(cx))?;
        if self.input != Input::Open {
            return Poll::Pending;
        }
        let read = ready!(from.poll_read(cx, buffer, |chunk| self.carry(chunk, to)));
        self.note_end(read);
        // What the socket does not take now is flushed before the next read.
        match to.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Reads and drops, to see the sender's close frame or the end of its socket.
    pub(super) fn poll_discard<A>(
        &mut self,
        from: &mut Leg<A>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<()>
    where
        A: AsyncRead + AsyncWrite + Unpin,
    {
        if self.ended {
            return Poll::Pending;
        }
        let read = ready!(from.poll_read(cx, buffer, |chunk| self.look(chunk)));
        self.note_end(read);
        Poll::Ready(())
    }

    fn note_end(&mut self, read: io::Result<Read>) {
        if matches!(read, Ok(Read::Open)) {
            return;
        }
        self.ended = true;
        if self.input == Input::Open {
            self.input = Input::Lost;
        }
    }

    /// Follows the frames in `chunk` and queues what may go on, in as few runs as it lies in.
    fn carry<B: AsyncRead + AsyncWrite + Unpin>(&mut self, chunk: &[u8], to: &mut Leg<B>) {
        let mut run = Run::default();
        while self.input == Input::Open {
            let at = run.end;
            let step = match self.scan.next(&chunk[at..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(violation) => {
                    self.input = Input::Violated(violation);
                    break;
                }
            };
            let bytes = &chunk[at..at + step.taken];
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
                Found::Control(control) if self.pings.are_answered_by(control) => {
                    self.settle(&mut run, chunk, to);
                    run.skip_to(at + step.taken);
                    continue;
                }
                Found::Control(control) => {
                    self.note_close(control);
                    if self.input != Input::Open {
                        self.abandon(&mut run, chunk, to);
                    } else if self.is_holding() {
                        self.settle(&mut run, chunk, to);
                        to.queue(self.scan.carried(step.carried), bytes);
                        run.skip_to(at + step.taken);
                        continue;
                    }
                    None
                }
            };
            if step.carried > 0 {
                run.keep_prefix(self.scan.carried(step.carried));
            }
            run.end = at + step.taken;
            match verdict {
                Some(Verdict::Pass) => self.let_go(to),
                Some(Verdict::Stop) => {
                    self.input = Input::Stopped;
                    break;
                }
                Some(Verdict::Wait) | None => {}
            }
        }
        self.settle(&mut run, chunk, to);
    }

    fn is_holding(&self) -> bool {
        self.lock.as_ref().is_some_and(Lock::is_inside)
    }

    /// Queues what of the run may go on, and keeps the rest.
    fn settle<B: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
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
        if lock.held() > self.held_max && self.input == Input::Open {
            self.input = Input::Violated(Violation::TooLarge);
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
        run: &mut Run,
        chunk: &[u8],
        to: &mut Leg<B>,
    ) {
        if self.is_holding() {
            let close = run.end;
            self.settle(run, chunk, to);
            run.skip_to(close);
        }
        if let Some(lock) = &mut self.lock {
            drop(lock.release());
        }
    }

    /// Follows the frames in `chunk` for the sake of its close frame.
    fn look(&mut self, chunk: &[u8]) {
        let mut at = 0;
        while self.input == Input::Open {
            match self.scan.next(&chunk[at..]) {
                Ok(Some(step)) => {
                    at += step.taken;
                    if let Found::Control(control) = &step.found {
                        self.note_close(control);
                    }
                }
                Ok(None) => return,
                Err(violation) => self.input = Input::Violated(violation),
            }
        }
    }

    fn note_close(&mut self, control: &Control) {
        if control.opcode == OpCode::Close
            && let Ok(close) = Close::parse(control.payload())
        {
            self.input = Input::Closed(close.code);
        }
    }
}

/// A word, a mark of the session, a counter.
const PING_PAYLOAD: usize = 16;

/// The edge's own pings to one peer.
///
/// They say who they are from, so that their answers, however late, can be told from pongs that
/// are meant for the other leg. The mark tells them from those of another edge behind this one.
struct Pings {
    mark: [u8; 4],
    sent: u32,
}

impl Pings {
    fn new(mark: [u8; 4]) -> Pings {
        Pings { mark, sent: 0 }
    }

    fn next(&mut self) -> [u8; PING_PAYLOAD] {
        self.sent += 1;
        let mut payload = *b"tonegate--------";
        payload[8..12].copy_from_slice(&self.mark);
        payload[12..].copy_from_slice(&self.sent.to_be_bytes());
        payload
    }

    fn are_answered_by(&self, control: &Control) -> bool {
        if control.opcode != OpCode::Pong {
            return false;
        }
        let Some(count) = control
            .payload()
            .strip_prefix(b"tonegate")
            .and_then(|rest| rest.strip_prefix(&self.mark))
        else {
            return false;
        };
        <[u8; 4]>::try_from(count)
            .is_ok_and(|count| (1..=self.sent).contains(&u32::from_be_bytes(count)))
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

/// Queues a control frame of the edge's own.
pub(super) fn queue_control<S: AsyncRead + AsyncWrite + Unpin>(
    to: &mut Leg<S>,
    frame: &ControlFrame,
) {
    to.queue(&[], frame.as_bytes());
}
