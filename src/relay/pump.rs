//! One direction of a session: frames in, the same bytes out.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::forward::Forward;
use super::hear::Hearing;
use super::message::Text;
use super::pace::{Meter, Pace, Pauses};
use super::policy::Lock;
use super::tls::{Leg, Read};
use crate::tap::Tap;
use crate::ws::frame::{self, Close, ControlFrame, OpCode};
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
    /// It sent binary messages where text is spoken.
    Unspoken,
    /// The socket ended or failed without a close frame.
    Lost,
}

/// Carries one direction.
pub(super) struct Pump {
    line: Line,
    /// Longest message in bytes.
    max_message: u64,
    work: Work,
}

/// How far the frames of one sender have come.
pub(super) struct Line {
    sender: Role,
    pub(super) scan: Scanner,
    pub(super) input: Input,
    /// The socket of the sender will give nothing more.
    ended: bool,
    pub(super) pings: Pings,
    /// Of a sender that may send only so much.
    meter: Option<Box<Meter>>,
}

/// What becomes of the frames.
#[allow(
    clippy::large_enum_variant,
    reason = "most sessions forward, and a box would cost each of their frames a look"
)]
enum Work {
    /// They go on as they came.
    Forward(Forward),
    /// Their messages are heard, and what goes on, if anything, is another message.
    Hear(Hearing),
}

impl Pump {
    /// A pump for what `sender` sends, in messages of at most `max_message` bytes, each of which
    /// the lock lets through, if there is one.
    pub(super) fn new(sender: Role, max_message: u64, lock: Option<Lock>, tap: Tap) -> Pump {
        Pump {
            line: Line::new(sender, max_message),
            max_message,
            work: Work::Forward(Forward::new(max_message, lock, tap)),
        }
    }

    /// A pump for messages that are heard and go no further by themselves.
    pub(super) fn hearing(sender: Role, max_message: u64) -> Pump {
        Pump {
            line: Line::new(sender, max_message),
            max_message,
            work: Work::Hear(Hearing::new(max_message)),
        }
    }

    /// Forwards from now on. To be called between two messages.
    pub(super) fn forward(&mut self, tap: Tap) {
        self.work = Work::Forward(Forward::new(self.max_message, None, tap));
    }

    pub(super) fn input(&self) -> Input {
        self.line.input
    }

    /// What has crossed, where frames are forwarded.
    pub(super) fn tap(&self) -> Option<&Tap> {
        match &self.work {
            Work::Forward(forward) => Some(&forward.tap),
            Work::Hear(_) => None,
        }
    }

    pub(super) fn tap_mut(&mut self) -> Option<&mut Tap> {
        match &mut self.work {
            Work::Forward(forward) => Some(&mut forward.tap),
            Work::Hear(_) => None,
        }
    }

    /// Whether the socket of the sender will give nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.line.ended
    }

    /// Nothing of the sender counts any more: what it sends is read and dropped.
    pub(super) fn stop(&mut self) {
        self.line.input = Input::Lost;
    }

    /// Whether the sender stands between two messages.
    pub(super) fn is_between_messages(&self) -> bool {
        self.line.scan.is_between_messages()
    }

    /// Whether a frame of the edge's own may go out in this direction now.
    pub(super) fn is_between_frames(&self) -> bool {
        match &self.work {
            // Of a message that is held nothing has gone out.
            Work::Forward(forward) => forward.is_holding() || self.line.scan.is_between_frames(),
            // What goes out is whole.
            Work::Hear(_) => true,
        }
    }

    /// The payload of a ping to the sender, whose answer will go no further.
    pub(super) fn next_ping(&mut self) -> [u8; PING_PAYLOAD] {
        self.line.pings.next()
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
        let (line, Work::Forward(forward)) = (&mut self.line, &mut self.work) else {
            return Poll::Pending;
        };
        if line.input != Input::Open || line.is_paused() {
            return Poll::Pending;
        }
        let read = ready!(from.poll_read(cx, buffer, |chunk| forward.carry(line, chunk, to)));
        line.note_end(read);
        line.settle();
        // What the socket does not take now is flushed before the next read.
        match to.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Reads once; `each` hears the messages that are whole with it. Pings are answered, as far as
    /// the peer takes the answers.
    pub(super) fn poll_hear<A>(
        &mut self,
        from: &mut Leg<A>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut each: impl FnMut(Text<'_>),
    ) -> Poll<()>
    where
        A: AsyncRead + AsyncWrite + Unpin,
    {
        let (line, Work::Hear(hearing)) = (&mut self.line, &mut self.work) else {
            return Poll::Pending;
        };
        if line.input != Input::Open || line.is_paused() {
            return Poll::Pending;
        }
        answer_ping(hearing, line.sender, from, cx);
        let read = ready!(from.poll_read(cx, buffer, |chunk| {
            hearing.hear(line, chunk, &mut each);
        }));
        line.note_end(read);
        line.settle();
        answer_ping(hearing, line.sender, from, cx);
        Poll::Ready(())
    }

    /// Reads no more of the sender than that.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.line.meter = Meter::new(pace, Instant::now());
    }

    /// Until when nothing is read, while the sender has sent too much.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.line.meter.as_ref().and_then(|meter| meter.until())
    }

    /// Reads the sender again, if its pause is over; whether it was.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        let meter = self.line.meter.as_mut();
        meter.is_some_and(|meter| meter.resume(now))
    }

    /// How often that was so since this was asked last.
    pub(super) fn take_pauses(&mut self) -> Option<Pauses> {
        self.line.meter.as_mut().map(|meter| meter.take_pauses())
    }

    /// What the sender's close frame said, once, where it does not cross by itself.
    pub(super) fn take_closed(&mut self) -> Option<Bytes> {
        match &mut self.work {
            Work::Forward(_) => None,
            Work::Hear(hearing) => hearing.closed.take(),
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
        let line = &mut self.line;
        if line.ended {
            return Poll::Pending;
        }
        let read = ready!(from.poll_read(cx, buffer, |chunk| line.look(chunk)));
        line.note_end(read);
        Poll::Ready(())
    }
}

impl Line {
    fn new(sender: Role, max_message: u64) -> Line {
        Line {
            sender,
            scan: Scanner::new(sender, max_message),
            input: Input::Open,
            ended: false,
            pings: Pings::new(super::random()),
            meter: None,
        }
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

    /// Whether the sender has sent more than it may.
    fn is_paused(&mut self) -> bool {
        let meter = self.meter.as_mut();
        meter.is_some_and(|meter| !meter.may_read(Instant::now()))
    }

    fn settle(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.settle(Instant::now());
        }
    }

    /// Counts what a step has found, where somebody counts.
    pub(super) fn count(&mut self, found: &Found, bytes: usize) {
        if let Some(meter) = &mut self.meter {
            meter.count_bytes(bytes);
            if !matches!(found, Found::Payload) {
                meter.count_frame();
            }
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

    pub(super) fn note_close(&mut self, control: &Control) {
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
pub(super) struct Pings {
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

    pub(super) fn are_answered_by(&self, control: &Control) -> bool {
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

/// Answers the latest ping, unless an answer waits that the peer does not take: then that one's turn
/// comes when it does, and whoever pings and never reads makes nothing pile up.
fn answer_ping<S: AsyncRead + AsyncWrite + Unpin>(
    hearing: &mut Hearing,
    sender: Role,
    to: &mut Leg<S>,
    cx: &mut Context<'_>,
) {
    if hearing.pinged.is_none() || !matches!(to.poll_flush(cx), Poll::Ready(Ok(()))) {
        return;
    }
    if let Some(payload) = hearing.pinged.take() {
        let mask = (sender == Role::Server).then(super::random);
        queue_control(to, &frame::control(OpCode::Pong, &payload, mask));
        // What does not go now goes with the next turn, and a leg that failed shows there.
        let _ = to.poll_flush(cx);
    }
}

/// Queues a control frame of the edge's own.
pub(super) fn queue_control<S: AsyncRead + AsyncWrite + Unpin>(
    to: &mut Leg<S>,
    frame: &ControlFrame,
) {
    to.queue(&[], frame.as_bytes());
}
