//! From the first ending to two closed sockets: who is told what, and who may finish speaking.

use std::panic::{self, AssertUnwindSafe};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::pump::Input;
use super::{CLOSE_WAIT, Cause, Ending, Phase, Relay, SHUT_WAIT, random};
use crate::buffer;
use crate::error::{Reason, Side};

impl<C, U> Relay<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// One wake, and what becomes of it should it panic.
    ///
    /// That a panic may be caught here, although the relay is used again: see
    /// [`Self::begin_closing_broken`]. The thread's buffers hold nothing from one turn to the next.
    pub(super) fn wake_unharmed(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let wake = || buffer::with_read_buffer(|buffer| self.wake(cx, buffer));
        // What it says may hold what a peer sent, and is told to nobody.
        let woken = panic::catch_unwind(AssertUnwindSafe(wake)).map_err(drop);
        if let Ok(polled) = woken {
            return polled;
        }
        self.flow.panicked();
        match self.phase {
            Phase::Open => {
                self.begin_closing_broken();
                // What it has queued goes out with the next turn.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Phase::Closing(cause) => Poll::Ready(self.ending(cause)),
        }
    }

    pub(super) fn begin_closing(&mut self, cause: Cause) {
        self.phase = Phase::Closing(cause);
        self.handle.note_closing();
        self.timer.as_mut().reset(Instant::now() + CLOSE_WAIT);
        // A close frame of one side has been queued for the other by its pump.
        let client_closed = matches!(self.client.pump.input(), Input::Closed(_));
        let upstream_closed = matches!(self.upstream.pump.input(), Input::Closed(_));
        self.upstream.told |= client_closed;
        self.client.told |= upstream_closed;
        let crosses = match cause.by {
            Side::Client => client_closed,
            Side::Upstream => upstream_closed,
            Side::Edge => false,
        };
        if !crosses {
            let row = cause.reason.row();
            self.tell_both(row.close.unwrap_or(1011), row.word);
        }
    }

    /// After a panic in what moves frames: both sides are told, as far as the streams towards them are
    /// known to stand between two frames.
    ///
    /// What is half changed is not used again. That is the scanner, the tap, a lock, the meter, the bridge
    /// and the gate: the pumps are stopped, so that what peers still send is dropped unseen. The legs are
    /// used: a TLS session and a queue have taken what they were given, or have not, and by how much was
    /// queued it shows which. Were one of them what has panicked, it would do so again, and the relay ends
    /// at once.
    fn begin_closing_broken(&mut self) {
        let cause = Cause {
            by: Side::Edge,
            reason: Reason::Internal,
            violation: None,
        };
        self.phase = Phase::Closing(cause);
        self.timer.as_mut().reset(Instant::now() + CLOSE_WAIT);
        // Where messages are translated all that goes out is whole.
        let whole = self.translates();
        let client_free = self.client.stop() || whole;
        let upstream_free = self.upstream.stop() || whole;
        let row = cause.reason.row();
        let (code, word) = (row.close.unwrap_or(1011), row.word);
        self.client.tell(code, word, client_free, None);
        self.upstream
            .tell(code, word, upstream_free, Some(random()));
    }

    /// Sends the edge's own close frame to whoever has not got one yet.
    fn tell_both(&mut self, code: u16, text: &str) {
        let client_free = self.upstream.pump.is_between_frames();
        let upstream_free = self.client.pump.is_between_frames();
        self.client.tell(code, text, client_free, None);
        self.upstream
            .tell(code, text, upstream_free, Some(random()));
    }

    /// After a close frame of one side: once the other side has answered, or cannot any more, the
    /// first one gets its answer too. True if that was now.
    pub(super) fn answer_close(&mut self, cause: Cause) -> bool {
        if self.client.told && self.upstream.told {
            return false;
        }
        let client = (self.client.pump.input(), self.client.broken);
        let upstream = (self.upstream.pump.input(), self.upstream.broken);
        let ((_, closer_broken), (other, other_broken)) = match cause.by {
            Side::Client => (client, upstream),
            Side::Upstream | Side::Edge => (upstream, client),
        };
        match other {
            Input::Open if !other_broken && !closer_broken => return false,
            // Its close frame has crossed.
            Input::Closed(_) if !self.translates() => {
                self.client.told = true;
                self.upstream.told = true;
            }
            Input::Open
            | Input::Closed(_)
            | Input::Violated(_)
            | Input::Stopped
            | Input::Unspoken
            | Input::Lost => {
                self.answer_for_the_other(cause);
            }
        }
        true
    }

    /// Whether messages are translated, so that no close frame crosses by itself.
    fn translates(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.translates())
    }

    /// The side that closed gets its own code back from the edge.
    fn answer_for_the_other(&mut self, cause: Cause) {
        let closer = match cause.by {
            Side::Client => self.client.pump.input(),
            Side::Upstream | Side::Edge => self.upstream.pump.input(),
        };
        let code = if let Input::Closed(Some(code)) = closer {
            code
        } else {
            1000
        };
        self.tell_both(code, "");
    }

    /// While closing: the side that has not ended anything may finish what it says after a close
    /// frame of the other; all else is read only to see it end.
    pub(super) fn move_rest(
        &mut self,
        cause: Cause,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> bool {
        let translates = self.translates();
        let (client, upstream) = (&mut self.client, &mut self.upstream);
        if translates {
            // Where messages are translated, what one side still says has nobody to hear it.
            let up = client.carry(upstream, false, cx, buffer);
            return upstream.carry(client, false, cx, buffer) || up;
        }
        let finish_up = cause.reason == Reason::UpstreamClosed && !upstream.told;
        let up = client.carry(upstream, finish_up, cx, buffer);
        let finish_down = cause.reason == Reason::ClientClosed && !client.told;
        let down = upstream.carry(client, finish_down, cx, buffer);
        up || down
    }

    /// Whether both sides are done, or the time for it is over.
    ///
    /// After [`CLOSE_WAIT`] nobody is waited for any more: who was not answered is answered by the
    /// edge, and both write halves are shut behind what is queued. What peers still send is read
    /// and dropped until they end, because a socket closed with bytes unread resets the
    /// connection, and the close frame might be lost with it; after [`SHUT_WAIT`] that is over too.
    pub(super) fn poll_closed(&mut self, cause: Cause, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.hurried {
                return Poll::Ready(());
            }
            self.hurried = true;
            self.answer_for_the_other(cause);
            self.client.hurry();
            self.upstream.hurry();
            self.timer.as_mut().reset(Instant::now() + SHUT_WAIT);
        }
        let client_done = self.client.poll_done(cx);
        let upstream_done = self.upstream.poll_done(cx);
        if client_done && upstream_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
