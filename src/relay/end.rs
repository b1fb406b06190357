//! One end of a session: a leg, what its peer sends, and how far its goodbye is.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::message::Text;
use super::pump::{Input, Pump, queue_control};
use super::tls::Leg;
use super::watch::Progress;
use crate::ws::frame::{self, CONTROL_PAYLOAD_MAX, Close, OpCode};

/// One leg with what comes in on it and how far its goodbye is.
pub(super) struct End<S> {
    pub(super) leg: Leg<S>,
    /// What this leg's peer sends.
    pub(super) pump: Pump,
    pub(super) want_ping: bool,
    /// A close frame went to this leg, or can no longer go.
    pub(super) told: bool,
    /// The write half is shut without waiting to hear from the peer: it could not be told
    /// anything, because the stream towards it stands inside a frame, or its time is over.
    hurried: bool,
    /// Everything was written and the write half is shut.
    shut: bool,
    /// Writing failed: the peer cannot be reached any more.
    pub(super) broken: bool,
    /// There is no peer: the upstream of a call that is still to be let through.
    absent: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> End<S> {
    pub(super) fn new(leg: Leg<S>, pump: Pump) -> End<S> {
        End {
            leg,
            pump,
            want_ping: false,
            told: false,
            hurried: false,
            shut: false,
            broken: false,
            absent: false,
        }
    }

    /// The end of nobody: what is meant for it is dropped, and nothing comes of it.
    pub(super) fn absent(leg: Leg<S>, pump: Pump) -> End<S> {
        End {
            broken: true,
            absent: true,
            ..End::new(leg, pump)
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            received: self.leg.received(),
            sent: self.leg.sent(),
            // A leg that is broken holds nobody back: what is meant for it is dropped.
            blocked: self.is_blocked(),
            absent: self.absent,
            paused: self.pump.paused_until().is_some(),
        }
    }

    /// Whether the peer does not take what waits for it.
    pub(super) fn is_blocked(&self) -> bool {
        self.leg.is_blocked() && !self.broken
    }

    /// Moves what the peer sends: on to the other end, or to nobody where that one takes nothing
    /// more. True if anything moved.
    pub(super) fn carry<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        to: &mut End<T>,
        forward: bool,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> bool {
        if !forward || to.broken {
            return self.pump.poll_discard(&mut self.leg, cx, buffer).is_ready();
        }
        let moved = self
            .pump
            .poll_forward(&mut self.leg, &mut to.leg, cx, buffer);
        to.broken |= matches!(moved, Poll::Ready(Err(_)));
        moved.is_ready()
    }

    /// Whether the peer has taken everything, so that more may be sent to it; nobody takes anything.
    pub(super) fn takes(&mut self, cx: &mut Context<'_>) -> bool {
        if self.broken {
            return true;
        }
        match self.leg.poll_flush(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.broken = true;
                true
            }
            Poll::Pending => false,
        }
    }

    /// Reads once; `each` hears the messages that are whole with it. True if there was anything.
    pub(super) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        each: impl FnMut(Text<'_>),
    ) -> bool {
        if self.absent {
            return false;
        }
        let heard = self.pump.poll_hear(&mut self.leg, cx, buffer, each);
        if heard.is_ready() {
            self.takes(cx);
        }
        heard.is_ready()
    }

    /// Sends whole frames.
    pub(super) fn send(&mut self, frames: &[u8], cx: &mut Context<'_>) {
        if !frames.is_empty() && !self.broken {
            self.leg.queue(&[], frames);
            self.takes(cx);
        }
    }

    /// Sends on the close frame that the other peer sent, with its payload.
    pub(super) fn cross(&mut self, payload: &[u8], mask: Option<[u8; 4]>) {
        if !self.broken {
            queue_control(&mut self.leg, &frame::control(OpCode::Close, payload, mask));
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent
    }

    /// Waits for nothing more from the peer.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Sends a ping of the edge; the peer's answer will go no further.
    pub(super) fn ping(&mut self, mask: Option<[u8; 4]>, cx: &mut Context<'_>) {
        self.want_ping = false;
        let ping = frame::control(OpCode::Ping, &self.pump.next_ping(), mask);
        queue_control(&mut self.leg, &ping);
        self.broken |= matches!(self.leg.poll_flush(cx), Poll::Ready(Err(_)));
    }

    /// Tells the peer that the session ends, if the stream towards it stands between two frames.
    pub(super) fn tell(
        &mut self,
        code: u16,
        text: &str,
        between_frames: bool,
        mask: Option<[u8; 4]>,
    ) {
        if self.told {
            return;
        }
        self.told = true;
        self.hurried |= !between_frames;
        if between_frames && !self.broken {
            let mut payload = [0; CONTROL_PAYLOAD_MAX];
            let length = Close::write(code, text, &mut payload);
            let close = frame::control(OpCode::Close, &payload[..length], mask);
            queue_control(&mut self.leg, &close);
        }
    }

    /// Finishes the goodbye as far as it goes now; true when nothing is left to do.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> bool {
        if self.broken {
            return true;
        }
        // A peer that has yet to answer our close may still do so; one that has, or that we do
        // not listen to any more, is done once it has been told.
        let heard = self.pump.input() != Input::Open || self.hurried;
        if self.told && heard && !self.shut {
            match self.leg.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.shut = true,
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending => {}
            }
        } else if let Poll::Ready(Err(_)) = self.leg.poll_flush(cx) {
            self.broken = true;
        }
        self.broken || (self.shut && self.pump.has_ended())
    }
}
