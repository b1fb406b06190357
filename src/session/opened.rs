//! A session at work: from its `101` to its ending.
//!
//! What is alive while nobody speaks is what a session costs, and an edge has thousands that wait. It
//! lies in two boxes, the session and its relay; the future that runs them holds little more than where
//! they are. What only phone calls come to is boxed by itself, so that others have no room for it.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Empty};
use tokio::net::TcpStream;

use super::call::Whose;
use super::{Call, End, Left, Session, Share};
use crate::error::{Reason, Side};
use crate::metrics::Work;
use crate::panics::{contained, contained_now};
use crate::relay::{Ending, Leg, Relay, Terms};
use crate::upstream::Want;

/// A session with its legs.
pub struct Opened {
    session: Box<Session>,
    legs: Legs,
}

/// What it carries.
enum Legs {
    /// Frames, as they come.
    Forward(Box<Relay<TcpStream, TcpStream>>),
    /// A phone call.
    Call(Box<Ends>),
    /// Nobody opens such a session; it is told as cut.
    Nobody,
}

/// A phone call's legs; without an upstream its gate is to be opened first.
struct Ends {
    client: Leg<TcpStream>,
    upstream: Option<Leg<TcpStream>>,
    terms: Terms,
}

/// A phone call that goes through, or is to be let through.
enum Carried {
    Through(Box<Relay<TcpStream, TcpStream>>),
    Gated(Box<Relay<TcpStream, Empty>>),
}

impl Ends {
    /// The session lasts no longer.
    fn longest(&self) -> Duration {
        self.terms.patience.session
    }

    /// No part of a future, which would have room for all of this.
    fn carried(self, call: &Call) -> Carried {
        let (client, terms) = (self.client, self.terms);
        match self.upstream {
            Some(upstream) => {
                let relay = Relay::of_call(client, upstream, call.terms(), terms);
                Carried::Through(Box::new(relay))
            }
            None => Carried::Gated(Box::new(Relay::gated(client, call.terms(), terms))),
        }
    }
}

impl Opened {
    pub(super) fn new(
        session: Box<Session>,
        client: Leg<TcpStream>,
        upstream: Option<Leg<TcpStream>>,
        terms: Terms,
    ) -> Opened {
        client.bound_unsent();
        let legs = match (session.call.is_some(), upstream) {
            (false, Some(upstream)) => Legs::Forward(Box::new(Relay::new(client, upstream, terms))),
            (true, upstream) => Legs::Call(Box::new(Ends {
                client,
                upstream,
                terms,
            })),
            (false, None) => Legs::Nobody,
        };
        Opened { session, legs }
    }

    /// Carries the session to its end. What is left to do then holds nothing of the session.
    ///
    /// No `async fn`, which would have room for the session twice.
    pub fn run(self) -> impl Future<Output = Left> + Send {
        let Opened { mut session, legs } = self;
        async move {
            let mut left = Left::default();
            let ended = match legs {
                Legs::Forward(relay) => Some(session.carry(relay).await),
                Legs::Call(ends) => Box::pin(session.run_call(ends, &mut left)).await,
                Legs::Nobody => None,
            };
            if let Some((ending, duration)) = ended {
                let metrics = session.metrics.clone();
                let tell = || session.tell_end(&ending, duration);
                // What is left to do is done, whatever becomes of this.
                contained_now(&metrics, Work::Session, tell);
            }
            left
        }
    }
}

impl Session {
    /// Carries it to its end, and tells how long it lasted without the goodbye.
    async fn carry<U>(&mut self, mut relay: Box<Relay<TcpStream, U>>) -> (Ending, Duration)
    where
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let handle = self.entry.handle();
        let metrics = self.metrics.clone();
        let capped = async {
            if let Some(never) = contained(&metrics, Work::Session, self.keep_cap(&handle)).await {
                match never {}
            }
            handle.end(Reason::Internal);
            std::future::pending().await
        };
        tokio::select! {
            () = relay.until_closing() => {}
            () = capped => {}
        }
        let duration = self.started.elapsed();
        self.share = None;
        (relay.await, duration)
    }

    /// A phone call, and what is left to do when it is over; `None`: it was cut by a panic, which leaves
    /// its call to be hung up as any other ending of ours does.
    async fn run_call(&mut self, ends: Box<Ends>, left: &mut Left) -> Option<(Ending, Duration)> {
        let call = self.call.take()?;
        let (id, metrics) = (self.id, self.metrics.clone());
        let ended = contained(&metrics, Work::Session, self.watch_call(&call, ends)).await;
        let reason = ended.as_ref().map_or(Reason::Internal, |of| of.0.reason);
        let started = self.started;
        let leaves = async {
            left.hang_up = call.hang_up(id, reason).await.map(Box::new);
            let cut = (Side::Edge, Reason::Internal, started.elapsed());
            let so = ended
                .as_ref()
                .map_or(cut, |(ending, lasted)| (ending.by, ending.reason, *lasted));
            left.telling = call.telling(id, so).map(Box::new);
            call.leave(id).await;
        };
        contained(&metrics, Work::Session, leaves).await;
        self.call = Some(call);
        ended
    }

    /// A phone call, which ends also when another session takes it over.
    async fn watch_call(&mut self, call: &Call, ends: Box<Ends>) -> (Ending, Duration) {
        let (id, handle) = (self.id, self.entry.handle());
        if call.authorised {
            call.tell_begun(id, ends.longest(), &self.metrics);
        }
        let metrics = self.metrics.clone();
        let watched = async {
            let over = contained(&metrics, Work::Session, call.watch(id)).await;
            handle.end(over.unwrap_or(Reason::Internal));
            std::future::pending().await
        };
        tokio::select! {
            ended = self.carry_call(call, ends) => ended,
            never = watched => never,
        }
    }

    async fn carry_call(&mut self, call: &Call, ends: Box<Ends>) -> (Ending, Duration) {
        let longest = ends.longest();
        let relay = match ends.carried(call) {
            Carried::Through(relay) => return self.carry(relay).await,
            Carried::Gated(relay) => Box::pin(self.pass_gate((call, longest), relay)).await,
        };
        match relay {
            Ok(relay) => self.carry(relay).await,
            Err(relay) => self.carry(relay).await,
        }
    }

    /// Has the call wait at its gate: the relay with an upstream, or, where the call is ending, the
    /// one without.
    async fn pass_gate(
        &mut self,
        (call, longest): (&Call, Duration),
        mut relay: Box<Relay<TcpStream, Empty>>,
    ) -> Result<Box<Relay<TcpStream, TcpStream>>, Box<Relay<TcpStream, Empty>>> {
        let dialled = match self.share.as_ref().and_then(|share| share.grant()) {
            Some(grant) => {
                let whose = Whose {
                    session: self.id,
                    route: &self.route,
                    want: Want {
                        traced: self.traced.as_ref(),
                        ..grant.want(&self.route, self.id)
                    },
                    party: grant.subject().party(),
                    longest,
                    metrics: &self.metrics,
                };
                let passing = call.pass_gate(&mut relay, whose);
                let passed = contained(&self.metrics, Work::Session, passing).await;
                if passed.is_none() {
                    self.entry.handle().end(Reason::Internal);
                }
                passed.flatten()
            }
            None => None,
        };
        if let Some(gate) = relay.gate() {
            self.count_gate(&gate);
            self.span_gate(&gate);
            self.record_gate(call, &gate);
        }
        self.settle();
        let Some(dialled) = dialled else {
            return Err(relay);
        };
        let dial = dialled.took;
        let relay = relay.connect(self.connected(dialled));
        self.log_gate(call, self.started.elapsed(), dial);
        Ok(Box::new(relay))
    }

    /// Nobody is dialled any more.
    fn settle(&mut self) {
        self.share = self.share.take().map(Share::settle);
    }

    /// Tells of the end whoever is told of it.
    fn tell_end(&mut self, ending: &Ending, duration: Duration) {
        self.route_metrics.session_seconds.record(duration);
        if let Some(told) = &ending.call {
            self.count_call(told);
        }
        self.count_limit(ending);
        self.metrics
            .session_ended(&self.route, ending.by, ending.reason);
        self.told = true;
        self.entry.ended(End::of(ending, duration));
        self.record_end(Some(ending), duration);
        self.log_end(ending, duration);
        self.span_end(ending, duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    /// Of what a function gives.
    fn size_of_given<T, F>(_: fn(T) -> F) -> usize {
        size_of::<F>()
    }

    /// What an idle session costs beside TLS, the kernel and what is told of it. What is added here is
    /// paid by each of ten thousand: let it be boxed where few sessions need it.
    #[test]
    fn an_idle_session_has_room_for_what_it_needs_and_no_more() {
        let bounds = [
            ("session", size_of::<Session>(), 448),
            ("relay", size_of::<Relay<TcpStream, TcpStream>>(), 1792),
            ("future", size_of_given(Opened::run), 448),
        ];
        for (what, size, bound) in bounds {
            assert!(size <= bound, "{what}: {size} bytes of {bound}");
        }
    }
}
