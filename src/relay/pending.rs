//! A phone call whose gate is shut: one leg, and the session that is asked.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, Empty};

use super::call::{Asked, Call, CallTerms, GateEnding};
use super::end::End;
use super::pump::Pump;
use super::{Leg, Phase, Relay, Terms};
use crate::dtmf::Digit;
use crate::error::{Reason, Side};
use crate::gate::Answer;
use crate::ws::Role;

impl<C: AsyncRead + AsyncWrite + Unpin> Relay<C, Empty> {
    /// A phone call that has nobody to go to yet.
    pub fn gated(client: Leg<C>, call: CallTerms, terms: Terms) -> Relay<C, Empty> {
        let call = Call::new(call);
        let [up, down] = terms.most();
        let client = End::new(client, Pump::hearing(Role::Client, up));
        let nobody = Leg::plain(tokio::io::empty(), bytes::Bytes::new());
        let upstream = End::absent(nobody, call.upstream_pump(down));
        Relay::between(client, upstream, Some(Box::new(call)), terms)
    }

    /// What the call wants next; `None` as soon as it is ending, for which the relay is awaited.
    ///
    /// Cancel-safe: what it wants is handed out once and not lost.
    pub async fn asked(&mut self) -> Option<Asked> {
        std::future::poll_fn(|cx| {
            // That all has ended is told again when the relay itself is polled.
            let _ = Pin::new(&mut *self).poll(cx);
            if let Phase::Closing(_) = self.phase {
                return Poll::Ready(None);
            }
            match self.call.as_mut().and_then(|call| call.ask()) {
                Some(asked) => Poll::Ready(Some(asked)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// What the store says to try number `number`.
    pub fn answer(&mut self, number: u32, answer: Answer) {
        if let Some(call) = &mut self.call {
            call.answer(number, answer);
        }
    }

    /// The store could not say; it is asked again, until the gate's deadline.
    pub fn unanswered(&mut self) {
        if let Some(call) = &mut self.call {
            call.unanswered();
        }
    }

    /// A callback has told of a key.
    pub fn press(&mut self, digit: Digit) {
        if let Some(call) = &mut self.call {
            call.press(digit);
        }
    }

    /// How the gate stands.
    pub fn gate(&self) -> Option<GateEnding> {
        let call = self.call.as_ref()?;
        call.gate_ending(tokio::time::Instant::now())
    }

    /// The session cannot go on.
    pub fn fail(&mut self, by: Side, reason: Reason) {
        if let Some(call) = &mut self.call {
            call.fail(by, reason);
        }
    }

    /// The gate has opened, and here is whom the call goes to.
    pub fn connect<U: AsyncRead + AsyncWrite + Unpin>(self, upstream: Leg<U>) -> Relay<C, U> {
        let [_, down] = self.most;
        let pump = match &self.call {
            Some(call) => call.upstream_pump(down),
            None => Pump::hearing(Role::Server, down),
        };
        let mut timing = self.timing;
        if let Some(at) = self.call.as_ref().and_then(|call| call.opened_at()) {
            timing.opened(at);
        }
        Relay {
            client: self.client,
            upstream: End::new(upstream, pump),
            call: self.call,
            watch: self.watch,
            timer: self.timer,
            order: self.order,
            flow: self.flow,
            timing,
            counted: self.counted,
            phase: self.phase,
            hurried: self.hurried,
            most: self.most,
        }
    }
}
