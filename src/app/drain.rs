//! How the edge ends: who is waited for, who is ended when, and what of it is counted.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::audit::Audit;
use crate::drain::Drain;
use crate::error::Reason;
use crate::ids::SessionId;
use crate::listener::doors::InForce;
use crate::listener::handover::{Offer, Predecessor};

/// Sessions that are left at the end of the grace period are ended one after the other, over so long at
/// the most: their clients come again at once, and each costs its next edge a TLS handshake and a dial.
pub(super) const SPREAD: Duration = Duration::from_secs(3);
/// Few are ended within less: a thousand in a second.
const STEP: Duration = Duration::from_millis(1);
/// After a handover a worker may be about to accept one more, which is held as soon as it is accepted.
const SETTLE: Duration = Duration::from_secs(1);
/// How often it is counted who has left.
const COUNT: Duration = Duration::from_secs(1);

/// When, of `count` sessions, the one with this number is ended. Who has which number is chance, as the
/// registry has no order.
fn ends_after(number: usize, count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let all = STEP.saturating_mul(count).min(SPREAD);
    all.mul_f64(f64::from(number) / f64::from(count))
}

/// Waits for a drain to begin, sees it through, and has the edge end when nobody is left. Resolves when
/// everybody has been told.
pub(super) async fn conduct(in_force: &InForce) {
    // The same for all generations: none is held by who waits for its end.
    let (drain, metrics, registry) = {
        let doors = in_force.now();
        let (metrics, registry) = (doors.metrics.clone(), doors.registry.clone());
        (doors.drain.clone(), metrics, registry)
    };
    drain.begun().await;
    metrics.draining.set(1.0);
    metrics.ready.set(0.0);
    let departed = registry.departed();
    let counted = async {
        loop {
            let left = registry.departed().saturating_sub(departed);
            metrics.drained_left.absolute(left);
            sleep(COUNT).await;
        }
    };
    if !drain.is_ending() {
        tracing::info!(
            sessions = registry.len(),
            grace = drain.left().unwrap_or_default().as_secs_f64(),
            "draining"
        );
    }
    tokio::select! {
        () = drain.ending() => {}
        () = nobody_is_left(in_force, &drain) => drain.end(),
        () = counted => {}
    }
    let left = registry.departed().saturating_sub(departed);
    metrics.drained_left.absolute(left);
    let rest = registry.len();
    metrics.drained_ended.absolute(rest as u64);
    tracing::info!(sessions = rest, left, "ending");
    registry.close(Reason::Draining);
    let running = registry.list(|_| true).into_iter().map(|(id, _)| id);
    let running: Vec<SessionId> = running.collect();
    let end = |id| {
        registry.end(id, Reason::Draining);
    };
    tokio::select! {
        () = end_in_turn(&running, end) => {}
        () = drain.hurried() => {}
    }
    registry.end_all(Reason::Draining);
}

/// The same for whoever has other things to wait for: never resolves.
pub(super) async fn conduct_for_ever(in_force: &InForce) {
    conduct(in_force).await;
    std::future::pending().await
}

/// Gives the listening sockets to whoever may have them, if anybody may.
pub(super) async fn offer_sockets(offer: Option<Offer>) {
    if let Some(offer) = offer {
        offer.serve().await;
    }
    std::future::pending().await
}

/// Waits for the end of the process whose place this one took; from then on the audit is its own.
pub(super) async fn own_the_audit(predecessor: Option<Predecessor>, audit: Audit) {
    if let Some(predecessor) = predecessor {
        predecessor.gone().await;
        tracing::info!("the process that ran before has ended");
        let asked = tokio::task::spawn_blocking(move || audit.share(false));
        let _ = asked.await;
    }
    std::future::pending().await
}

/// Ends these sessions, spread over a while.
async fn end_in_turn(running: &[SessionId], end: impl Fn(SessionId)) {
    let start = Instant::now();
    for (number, id) in running.iter().enumerate() {
        sleep_until(start + ends_after(number, running.len())).await;
        end(*id);
    }
}

/// Resolves when nobody can come, all have left, and nothing is on its way that one of them or
/// of those who asked has begun.
async fn nobody_is_left(in_force: &InForce, drain: &Drain) {
    tokio::select! {
        () = drain.refusing() => {}
        () = drain.handed_over() => sleep(SETTLE).await,
    }
    loop {
        // What is under way is shared by all generations.
        let doors = in_force.now();
        // In this order: what is let go may have become a session.
        drain.let_go().await;
        doors.registry.empty().await;
        doors.telephony.settled().await;
        doors.bot.settled().await;
        if doors.registry.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn b18_sessions_end_in_turn_over_a_bounded_time() {
        let ms = Duration::from_millis;
        assert_eq!(ends_after(0, 1), ms(0));
        assert_eq!((ends_after(0, 100), ends_after(99, 100)), (ms(0), ms(99)));
        // Many take no longer, and none comes before the one before it.
        let turns: Vec<_> = (0..9000).map(|number| ends_after(number, 9000)).collect();
        assert!(turns.is_sorted());
        assert!(turns[8999] < SPREAD && turns[8999] > SPREAD - ms(1));
        let half = turns.iter().filter(|turn| **turn < SPREAD / 2).count();
        assert_eq!(half, 4500);
    }

    #[tokio::test(start_paused = true)]
    async fn b18_nobody_is_ended_before_their_turn() {
        let ids: Vec<_> = (0..3000).map(|_| SessionId::random()).collect();
        let (start, ended) = (Instant::now(), RefCell::new(Vec::new()));
        let end = |id| ended.borrow_mut().push((id, start.elapsed()));
        end_in_turn(&ids, end).await;
        let ended = ended.into_inner();
        let order: Vec<_> = ended.iter().map(|(id, _)| *id).collect();
        assert_eq!(order, ids);
        let within = |second| {
            let first = Duration::from_secs(second);
            let span = first..first + Duration::from_secs(1);
            ended.iter().filter(|(_, at)| span.contains(at)).count()
        };
        // A sleep ends at a whole millisecond, or one later.
        for second in 0..3 {
            assert!((990..=1010).contains(&within(second)), "{}", within(second));
        }
        assert!(start.elapsed() <= SPREAD + Duration::from_millis(2));
    }
}
