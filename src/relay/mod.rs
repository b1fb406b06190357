//! Two pumps in one task: frames cross between the legs as the bytes they came in, until the first
//! ending decides.
//!
//! A turn reads what is there on either side (once per side, into the thread's buffer), follows
//! frame boundaries in place, shows the frames to the tap, and writes the same bytes on. There is
//! no queue between the legs: a side is read again only when the other one has taken everything.
//! That is what *zero-copy* means here: between the two TLS sessions a payload is not copied, not
//! parsed and not encoded anew.
//!
//! ```text
//!  client socket ─ decrypt ─┬─ scan ─ tap ─┬─ encrypt ─ upstream socket      (up)
//!  client socket ─ encrypt ─┴─ tap ─ scan ─┴─ decrypt ─ upstream socket      (down)
//! ```
//!
//! A phone call is another matter: `call` hears its messages whole, and what goes on is another
//! message, or, until the gate has opened ([`Relay::gated`]), nothing. It shares the legs, the clock
//! and the endings with what is forwarded.
//!
//! # Endings
//!
//! The first thing that ends a session is its cause. A close frame of one side crosses verbatim,
//! and the other side may go on talking until it answers. Everything else is answered by the edge
//! with a close frame of its own to both sides, unless the stream towards a side stands inside a
//! frame: then only the connection can be closed, for nothing may be invented to fill the frame.
//! After [`CLOSE_WAIT`] both legs are shut, whatever they do, and after [`SHUT_WAIT`] they are gone.
//! A panic in a turn is such an ending, too; a second one ends the session without a word.
//!
//! Not here: who may connect, what is logged (`session`), and bytes before the `101`.

pub mod bridge;
mod call;
mod closing;
mod end;
mod forward;
mod handle;
mod hear;
mod lease;
mod look_on;
pub mod message;
mod pace;
mod pending;
mod policy;
mod pump;
mod random;
mod report;
mod tail;
mod terms;
mod timing;
mod tls;
mod watch;
mod woken;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

pub use self::call::{Asked, CallEnding, CallTerms, Drops, GateEnding, Pressed};
pub use self::handle::{Handle, Standing};
pub use self::lease::Lease;
pub use self::pace::Pace;
pub use self::tail::{Line, News, Seen, TAIL_LINES, Tailing};
pub use self::terms::{Ending, Terms};
pub use self::timing::Timings;
pub use self::tls::Leg;
pub use self::watch::{CLOSE_WAIT, Patience, SHUT_WAIT};
pub use self::woken::take_woken;

use self::call::Call;
use self::end::End;
use self::look_on::Shown;
use self::policy::Lock;
use self::pump::{Input, Pump};
use self::random::random;
use self::terms::{Cause, Phase};
use self::timing::Timing;
use self::watch::Watch;
pub use crate::buffer::READ_BUFFER;
use crate::config::Dtmf;
use crate::error::{Reason, Side};
use crate::metrics::Flow;
use crate::tap::{Counts, Tap};
use crate::ws::{Role, Violation};

/// Turns of the loop before other sessions of the thread get theirs. Each turn moves at most one
/// read buffer each way, so a session holds the thread for some 100 µs at the most.
const TURNS: usize = 4;

/// The running relay; resolves to its [`Ending`].
///
/// Dropping it closes both sockets at once. It is cancel-safe in that all bytes it has read have
/// been queued on the other leg, but what is queued goes with it.
pub struct Relay<C, U> {
    client: End<C>,
    upstream: End<U>,
    /// Where a phone call is carried: its messages are heard, and others go on.
    call: Option<Box<Call>>,
    watch: Watch,
    timer: Pin<Box<Sleep>>,
    handle: Arc<Handle>,
    flow: Flow,
    /// What was told to whoever looks on, while somebody does.
    shown: Option<Box<Shown>>,
    timing: Timing,
    counted: [Counts; 2],
    phase: Phase,
    /// Closing, and [`CLOSE_WAIT`] is over.
    hurried: bool,
    /// Longest messages in bytes: of the client, of the upstream.
    most: [u64; 2],
}

impl<C, U> Relay<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// A relay between two legs whose upgrade is done.
    pub fn new(client: Leg<C>, upstream: Leg<U>, terms: Terms) -> Relay<C, U> {
        let (client_tap, upstream_tap) = match terms.dtmf {
            Dtmf::Off => (Tap::default(), Tap::default()),
            Dtmf::Observe => (Tap::on_client(), Tap::on_service()),
        };
        let lock = terms.locked.clone().map(Lock::new);
        let [up, down] = terms.most();
        let client = End::new(client, Pump::new(Role::Client, up, lock, client_tap));
        let upstream = End::new(upstream, Pump::new(Role::Server, down, None, upstream_tap));
        Relay::between(client, upstream, None, terms)
    }

    /// A phone call whose upstream is there: it may go through.
    pub fn of_call(client: Leg<C>, upstream: Leg<U>, call: CallTerms, terms: Terms) -> Relay<C, U> {
        let call = Call::new(call);
        let [up, down] = terms.most();
        let client = End::new(client, Pump::hearing(Role::Client, up));
        let upstream = End::new(upstream, call.upstream_pump(down));
        Relay::between(client, upstream, Some(Box::new(call)), terms)
    }

    fn between(
        mut client: End<C>,
        upstream: End<U>,
        call: Option<Box<Call>>,
        terms: Terms,
    ) -> Relay<C, U> {
        client.pump.set_pace(terms.pace);
        let now = Instant::now();
        let watch = Watch::new(terms.patience, terms.lease.clone(), now);
        let most = terms.most();
        Relay {
            client,
            upstream,
            call,
            timer: Box::pin(tokio::time::sleep_until(watch.next())),
            watch,
            handle: terms.handle,
            timing: Timing::new(terms.flow.times.clone(), now),
            flow: terms.flow,
            shown: None,
            counted: [Counts::default(); 2],
            phase: Phase::Open,
            hurried: false,
            most,
        }
    }

    /// Resolves when the first ending has come; what is left then is the goodbye, which may take
    /// seconds, and for which the relay is awaited itself.
    pub async fn until_closing(&mut self) {
        std::future::poll_fn(|cx| {
            // That all has ended is told again when the relay itself is polled.
            let _ = Pin::new(&mut *self).poll(cx);
            match self.phase {
                Phase::Open => Poll::Pending,
                Phase::Closing(_) => Poll::Ready(()),
            }
        })
        .await;
    }

    /// One wake of the session.
    fn wake(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Ending> {
        woken::count();
        self.look_for_readers();
        for _ in 0..TURNS {
            let moved = match self.phase {
                Phase::Open => self.move_frames(cx, buffer),
                Phase::Closing(cause) => self.move_rest(cause, cx, buffer),
            };
            let judged = self.judge(cx);
            if self.shown.is_some() {
                self.show();
            }
            match self.phase {
                Phase::Open => self.send_pings(cx),
                Phase::Closing(cause) => {
                    if self.poll_closed(cause, cx).is_ready() {
                        return Poll::Ready(self.ending(cause));
                    }
                }
            }
            if !moved && !judged {
                self.report();
                let blocked = [self.client.is_blocked(), self.upstream.is_blocked()];
                self.timing.note_blocked(blocked);
                return Poll::Pending;
            }
        }
        self.report();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Both directions, once each; true if anything moved.
    ///
    /// A leg that cannot be written to any more may still have something to say: it is heard to
    /// its end, which then is the cause.
    fn move_frames(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> bool {
        let (client, upstream) = (&mut self.client, &mut self.upstream);
        if let Some(call) = self.call.as_mut().filter(|call| call.translates()) {
            let moved = call.carry(client, upstream, cx, buffer);
            self.timing.note(call.take_marks());
            return moved;
        }
        let up = client.carry(upstream, true, cx, buffer);
        let down = upstream.carry(client, true, cx, buffer);
        if let Some(told) = upstream.pump.tap_mut().and_then(Tap::told)
            && let Some(tap) = client.pump.tap_mut()
        {
            tap.learn(told);
        }
        let marks = |end: Option<&mut Tap>| end.map(Tap::take_marks).unwrap_or_default();
        let up_marks = marks(client.pump.tap_mut());
        self.timing.note([up_marks, marks(upstream.pump.tap_mut())]);
        up || down
    }

    /// Looks for a first ending, or for the answer to a close; true if it found one.
    fn judge(&mut self, cx: &mut Context<'_>) -> bool {
        match self.phase {
            Phase::Open => {
                let Some(cause) = self.first_ending(cx) else {
                    return false;
                };
                self.begin_closing(cause);
                true
            }
            Phase::Closing(cause) => self.answer_close(cause),
        }
    }

    fn first_ending(&mut self, cx: &mut Context<'_>) -> Option<Cause> {
        let cause = |by, reason| Cause {
            by,
            reason,
            violation: None,
        };
        for side in [Side::Client, Side::Upstream] {
            let (input, closed, lost) = match side {
                Side::Client => (
                    self.client.pump.input(),
                    Reason::ClientClosed,
                    Reason::ClientLost,
                ),
                Side::Upstream | Side::Edge => (
                    self.upstream.pump.input(),
                    Reason::UpstreamClosed,
                    Reason::UpstreamClosed,
                ),
            };
            match input {
                Input::Open => {}
                Input::Closed(_) => return Some(cause(side, closed)),
                Input::Lost => return Some(cause(side, lost)),
                Input::Stopped => return Some(cause(side, Reason::Forbidden)),
                Input::Unspoken => return Some(cause(side, Reason::FormatMismatch)),
                Input::Violated(violation) => {
                    let reason = if violation == Violation::TooLarge {
                        Reason::TooLarge
                    } else {
                        Reason::Protocol
                    };
                    return Some(Cause {
                        by: side,
                        reason,
                        violation: Some(violation),
                    });
                }
            }
        }
        if let Some(reason) = self.handle.poll(cx) {
            // That a call is over, others tell the edge; it is not the edge that ends it.
            let by = if reason == Reason::HungUp {
                Side::Client
            } else {
                Side::Edge
            };
            return Some(cause(by, reason));
        }
        if let Some((by, reason)) = self.call.as_ref().and_then(|call| call.fault()) {
            return Some(cause(by, reason));
        }
        self.timed(cx).map(|(by, reason)| cause(by, reason))
    }

    /// What time has brought.
    fn timed(&mut self, cx: &mut Context<'_>) -> Option<(Side, Reason)> {
        // A timer that is set anew wakes nobody until it is polled again.
        loop {
            let gate = self.call.as_mut().and_then(|call| call.wake_at());
            let gate = gate.into_iter().chain(self.client.pump.paused_until());
            let next = gate.fold(self.watch.next(), Ord::min);
            if self.timer.deadline() != next {
                self.timer.as_mut().reset(next);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            let now = Instant::now();
            if let Some(end) = self.call.as_mut().and_then(|call| call.tick(now)) {
                return Some(end);
            }
            // A client that was paused is read again, and what time had said is played although
            // nothing comes that would wake anybody.
            let speaks = self.call.as_ref().is_some_and(|call| call.has_prompts());
            if self.client.pump.resume(now) || speaks {
                cx.waker().wake_by_ref();
            }
            if now < self.watch.next() {
                continue;
            }
            let legs = [self.client.progress(), self.upstream.progress()];
            let crossed = self.counts().iter().map(|c| c.bytes + c.messages).sum();
            let due = self.watch.look(now, legs, crossed);
            self.client.want_ping |= due.ping_client;
            self.upstream.want_ping |= due.ping_upstream;
            if due.end.is_some() {
                return due.end;
            }
        }
    }

    /// Sends the pings that are due, where the stream stands between two frames. A leg that
    /// cannot be written to counts as pinged: its silence is judged all the same.
    fn send_pings(&mut self, cx: &mut Context<'_>) {
        if self.client.want_ping && (self.upstream.pump.is_between_frames() || self.client.broken) {
            self.client.ping(None, cx);
            self.watch.pinged(Side::Client, self.client.progress());
        }
        if self.upstream.want_ping && (self.client.pump.is_between_frames() || self.upstream.broken)
        {
            self.upstream.ping(Some(random()), cx);
            self.watch.pinged(Side::Upstream, self.upstream.progress());
        }
    }

    fn ending(&mut self, cause: Cause) -> Ending {
        self.report();
        let timings = self.timing.end(Instant::now());
        let code = |input| match input {
            Input::Closed(code) => code,
            Input::Open | Input::Violated(_) | Input::Stopped | Input::Unspoken | Input::Lost => {
                None
            }
        };
        Ending {
            by: cause.by,
            reason: cause.reason,
            violation: cause.violation,
            client_close: code(self.client.pump.input()),
            upstream_close: code(self.upstream.pump.input()),
            up: self.counted[0],
            down: self.counted[1],
            timings,
            call: self.call.as_ref().map(|call| call.ending(Instant::now())),
        }
    }
}

impl<C, U> Future for Relay<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        self.wake_unharmed(cx)
    }
}
