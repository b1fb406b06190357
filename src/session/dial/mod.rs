//! Dials the first upstream that answers, and no more often than each takes new connections.
//!
//! Who may dial a paced upstream has a [turn](turn::Turn), which all edges take at one store. The
//! upstreams of a route are tried in order; one that has no turn is passed over for the next, and if
//! none has one the session waits in all their queues for the earliest.

mod pacer;
mod queue;
#[cfg(test)]
mod tests;
mod turn;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use self::pacer::{Busy, Pacer};
use self::turn::Turn;
use crate::config;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics::{self, Role, Span};
use crate::secret::Digest;
use crate::store::Store;
use crate::upstream::{Dialled, Failure, Upstream, Want};

/// Takes turns for all sessions of the edge.
#[derive(Default)]
pub struct Dialler {
    /// `None`: nobody is told of spans.
    metrics: Option<metrics::Shared>,
    pacers: HashMap<Label, Arc<Pacer>>,
}

impl Dialler {
    /// `replicas` is how many edges share the turns of an upstream; while the store is away each has its
    /// part of them.
    pub fn new(
        upstreams: &[config::Upstream],
        (store, replicas): (&Arc<Store>, u32),
        metrics: &metrics::Shared,
    ) -> Dialler {
        let paced = upstreams.iter().filter_map(|upstream| {
            let pacer = Pacer::new(upstream, (store, replicas), metrics)?;
            Some((upstream.name.clone(), Arc::new(pacer)))
        });
        Dialler {
            metrics: Some(metrics.clone()),
            pacers: paced.collect(),
        }
    }

    /// Dials the first of `upstreams` that has a turn and answers; what the last one said if none does.
    /// `whose` is the party that turns are shared among.
    ///
    /// All failures but a refusal of the caller's own token are tried again elsewhere: another
    /// upstream has its own address, credential and quota. The caller gives at least one.
    ///
    /// Cancel-safe: dropping the future leaves all queues, and gives back what was not used.
    pub async fn dial_first(
        &self,
        upstreams: &[Arc<Upstream>],
        want: Want<'_>,
        whose: Digest,
    ) -> Result<Dialled, (Label, Failure)> {
        let paced = upstreams.iter().map(|it| self.pacers.get(it.name()));
        let paced: Vec<_> = paced.collect();
        let mut offers = Offers::new(&paced, whose);
        let mut last = None;
        while let Some((at, offer)) = offers.next().await {
            let dialled = match offer {
                Offer::Dial(turn) => self.dial(&upstreams[at], want, turn).await,
                Offer::Busy(busy) => Err(no_turn(busy)),
            };
            let by = |failure| (upstreams[at].name().clone(), failure);
            match dialled {
                // Whom Azure turned away is not let in elsewhere, least of all with our own key.
                Err(failure) if !failure.by_token => last = Some(by(failure)),
                other => return other.map_err(by),
            }
        }
        Err(last.expect("a route without upstreams does not start"))
    }

    /// Dials one, as a part of its own of what the session is part of.
    async fn dial(
        &self,
        upstream: &Upstream,
        want: Want<'_>,
        turn: Option<Turn>,
    ) -> Result<Dialled, Failure> {
        let part = want.traced.map(|traced| traced.trace.child());
        let begun = Instant::now();
        let dialled = dial(upstream, Want { part, ..want }, turn).await;
        if let Some(metrics) = &self.metrics {
            metrics.span(part, |part| {
                let failure = dialled.as_ref().err();
                Span {
                    route: Some(want.caller.route.clone()),
                    upstream: Some(upstream.name().clone()),
                    session: Some(want.caller.session),
                    result: failure.map_or("ok", |failure| failure.reason.word()),
                    failed: failure.is_some(),
                    ..Span::done("dial", Role::Client, part, begun.elapsed())
                }
            });
        }
        dialled
    }
}

/// What a session may do with one upstream.
enum Offer {
    /// Dial it; without a turn where it is not paced.
    Dial(Option<Turn>),
    /// Nothing: none of those that are left has a turn in time.
    Busy(Busy),
}

/// The upstreams of a route, each of which is offered once: those that have a turn in their order, then
/// the others as their turns come.
struct Offers<'a> {
    paced: std::iter::Enumerate<std::slice::Iter<'a, Option<&'a Arc<Pacer>>>>,
    queued: Vec<(usize, &'a Arc<Pacer>)>,
    whose: Digest,
    since: Instant,
}

impl<'a> Offers<'a> {
    /// `None`: one that is not paced.
    fn new(paced: &'a [Option<&'a Arc<Pacer>>], whose: Digest) -> Offers<'a> {
        Offers {
            paced: paced.iter().enumerate(),
            queued: Vec::new(),
            whose,
            since: Instant::now(),
        }
    }

    async fn next(&mut self) -> Option<(usize, Offer)> {
        for (at, pacer) in self.paced.by_ref() {
            let Some(pacer) = pacer else {
                return Some((at, Offer::Dial(None)));
            };
            match pacer.now().await {
                Some(turn) => return Some((at, Offer::Dial(Some(turn)))),
                None => self.queued.push((at, pacer)),
            }
        }
        let (first, _) = *self.queued.first()?;
        match earliest(&self.queued, self.whose, self.since).await {
            Ok((at, turn)) => {
                self.queued.retain(|(other, _)| *other != at);
                Some((at, Offer::Dial(Some(turn))))
            }
            Err(busy) => {
                self.queued.clear();
                Some((first, Offer::Busy(busy)))
            }
        }
    }
}

/// Dials, and tells what became of the turn.
async fn dial(upstream: &Upstream, want: Want<'_>, turn: Option<Turn>) -> Result<Dialled, Failure> {
    let Some(mut turn) = turn else {
        return upstream.dial(want, std::future::ready(true)).await;
    };
    turn.dialling();
    // With another token it is another connection, which the upstream counts as one.
    let mut another = None;
    let again = async {
        another = turn.another().await;
        if let Some(turn) = &mut another {
            turn.dialling();
        }
        another.is_some()
    };
    let dialled = upstream.dial(want, again).await;
    let failure = dialled.as_ref().err();
    if let Some(another) = another {
        another.dialled(failure);
        // The first one was refused, which was an answer.
        turn.dialled(None);
    } else {
        turn.dialled(failure);
    }
    dialled
}

/// Waits for a turn at all of them; which one has it. If none will, when the first of them may.
async fn earliest(
    queued: &[(usize, &Arc<Pacer>)],
    whose: Digest,
    since: Instant,
) -> Result<(usize, Turn), Busy> {
    let among = queued.len();
    let mut waits: FuturesUnordered<_> = queued
        .iter()
        .map(|(at, pacer)| async move { (*at, pacer.wait((whose, among), since).await) })
        .collect();
    let mut busy: Option<Busy> = None;
    while let Some((at, waited)) = waits.next().await {
        match waited {
            Ok(turn) => return Ok((at, turn)),
            Err(one) => {
                let sooner = busy.filter(|busy| busy.retry_after <= one.retry_after);
                busy = Some(sooner.unwrap_or(one));
            }
        }
    }
    Err(busy.unwrap_or_default())
}

fn no_turn(busy: Busy) -> Failure {
    Failure {
        retry_after: Some(busy.retry_after),
        ..Failure::new(
            Reason::UpstreamBusy,
            "all turns to connect to it are taken for now",
        )
    }
}
