//! One direction of a session: frames in, the same bytes out.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

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
    /// The socket ended or failed without a close frame.
    Lost,
}

/// Carries one direction.
pub(super) struct Pump {
    scan: Scanner,
    tap: Tap,
    input: Input,
    /// The socket of the sender will give nothing more.
    ended: bool,
    pings: Pings,
}

impl Pump {
    /// A pump for what `sender` sends, in messages of at most `max_message` bytes.
    pub(super) fn new(sender: Role, max_message: u64) -> Pump {
        Pump {
            scan: Scanner::new(sender, max_message),
            tap: Tap::default(),
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
        self.scan.is_between_frames()
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
            match &step.found {
                Found::Data(header) => self.tap.frame(header),
                Found::Payload => self.tap.payload(&chunk[at..at + step.taken]),
                Found::Control(control) if self.pings.are_answered_by(control) => {
                    run.queue(chunk, to);
                    run.start = at + step.taken;
                    run.end = run.start;
                    continue;
                }
                Found::Control(control) => self.note_close(control),
            }
            if step.carried > 0 {
                run.keep_prefix(self.scan.carried(step.carried));
            }
            run.end = at + step.taken;
        }
        run.queue(chunk, to);
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
}

impl Run {
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
