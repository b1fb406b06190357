//! The clock of a session: pings, silence, and the longest duration.
//!
//! Nothing is timed per frame. One timer fires when the next thing may be due, and what moved in
//! between is read from counters.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Lease;
use crate::error::{Reason, Side};

/// How long things may take in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A leg that was silent for this long is pinged; after twice as long it is lost. So is one
    /// that for twice as long took nothing of what waits for it.
    pub ping: Duration,
    /// A session in which no data frame crossed for this long ends.
    pub idle: Duration,
    /// Longest duration of a session, whatever its lease says.
    pub session: Duration,
}

/// After a close has been queued, both legs are shut within this time.
pub const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// A leg that has been shut is given this long to take what is queued and to end.
pub const SHUT_WAIT: Duration = Duration::from_secs(4);

/// What moved on one leg, as counters that only grow, and whether it stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub received: u64,
    pub sent: u64,
    /// Bytes wait that its socket does not take. Meanwhile the other leg is not read.
    pub blocked: bool,
    /// There is nobody: the upstream of a call that is still to be let through.
    pub absent: bool,
    /// It has sent more than it may, and is not read.
    pub paused: bool,
}

/// What the clock asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub ping_client: bool,
    pub ping_upstream: bool,
    pub end: Option<(Side, Reason)>,
}

/// Times one session.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Patience,
    lease: Arc<Lease>,
    /// The longest duration is over.
    longest: Instant,
    /// That or the end of the lease, as it was when it was last looked at: it can only have been put
    /// off since.
    ends: Instant,
    next_ping: Instant,
    idle_at: Instant,
    crossed: u64,
    legs: [Silence; 2],
}

#[derive(Debug, Default)]
struct Silence {
    seen: Progress,
    pinged: bool,
    /// Bytes waited from one look to the next, and none of them was taken.
    stuck: bool,
}

/// What a leg's silence calls for.
enum Verdict {
    Alive,
    Ping,
    Lost,
}

impl Watch {
    pub(super) fn new(patience: Patience, lease: Arc<Lease>, now: Instant) -> Watch {
        let longest = now + patience.session;
        Watch {
            patience,
            ends: lease.at().map_or(longest, |end| end.min(longest)),
            lease,
            longest,
            next_ping: now + patience.ping,
            idle_at: now + patience.idle,
            crossed: 0,
            legs: [Silence::default(), Silence::default()],
        }
    }

    /// When to look again.
    pub(super) fn next(&self) -> Instant {
        self.ends.min(self.next_ping).min(self.idle_at)
    }

    /// Looks at what moved until `now`: bytes on both legs (client first), and `crossed`, a
    /// number that grows with the data that crosses either way.
    pub(super) fn look(&mut self, now: Instant, legs: [Progress; 2], crossed: u64) -> Due {
        let mut due = Due::default();
        if now >= self.ends
            && let Some(reason) = self.over(now)
        {
            due.end = Some((Side::Edge, reason));
            return due;
        }
        if crossed != self.crossed {
            self.crossed = crossed;
            self.idle_at = now + self.patience.idle;
        } else if now >= self.idle_at {
            due.end = Some((Side::Edge, Reason::Idle));
            return due;
        }
        if now >= self.next_ping {
            self.next_ping = now + self.patience.ping;
            match self.legs[0].judge(legs[0], !legs[1].blocked && !legs[0].paused) {
                Verdict::Alive => {}
                Verdict::Ping => due.ping_client = true,
                Verdict::Lost => due.end = Some((Side::Client, Reason::ClientLost)),
            }
            match self.legs[1].judge(legs[1], !legs[0].blocked) {
                Verdict::Alive => {}
                Verdict::Ping => due.ping_upstream = true,
                Verdict::Lost => {
                    let lost = (Side::Upstream, Reason::UpstreamClosed);
                    due.end = due.end.or(Some(lost));
                }
            }
        }
        due
    }

    /// Why the session may last no longer, unless its lease has been put off meanwhile.
    fn over(&mut self, now: Instant) -> Option<Reason> {
        if now >= self.longest {
            return Some(Reason::MaxDuration);
        }
        let lease = self.lease.at();
        self.ends = lease.map_or(self.longest, |end| end.min(self.longest));
        (now >= self.ends).then_some(Reason::LeaseExpired)
    }

    /// The ping that was due has been queued on a leg, which has moved this much by now.
    pub(crate) fn pinged(&mut self, side: Side, now: Progress) {
        let leg = match side {
            Side::Client => 0,
            Side::Upstream | Side::Edge => 1,
        };
        self.legs[leg].seen = now;
        self.legs[leg].pinged = true;
    }
}

impl Silence {
    /// A leg is alive while it sends. While it only takes what we send it is not lost either: a
    /// pong may wait behind a long message. A peer that is gone stops taking soon, since TCP gives
    /// up on data that nobody acknowledges.
    ///
    /// `heard` says that the leg is being read. While it is not, because the other leg takes
    /// nothing, an answer may lie unread, and silence proves nothing. The leg that takes nothing
    /// is judged by that alone: a ping would only wait with the rest.
    fn judge(&mut self, now: Progress, heard: bool) -> Verdict {
        let before = std::mem::replace(&mut self.seen, now);
        if now.absent {
            return Verdict::Alive;
        }
        let takes = now.sent != before.sent;
        let stuck = now.blocked && before.blocked && !takes;
        if std::mem::replace(&mut self.stuck, stuck) && stuck {
            return Verdict::Lost;
        }
        if now.received != before.received {
            self.pinged = false;
            return Verdict::Alive;
        }
        let can_answer = heard && !now.blocked;
        match (can_answer, self.pinged, takes) {
            (false, _, _) | (true, true, true) => Verdict::Alive,
            // Asked for again for as long as it cannot go out, inside a frame.
            (true, false, _) => Verdict::Ping,
            (true, true, false) => Verdict::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    const SECOND: Duration = Duration::from_secs(1);

    fn watch_of(lease: Arc<Lease>, now: Instant) -> Watch {
        let patience = Patience {
            ping: 20 * SECOND,
            idle: 300 * SECOND,
            session: 3600 * SECOND,
        };
        Watch::new(patience, lease, now)
    }

    fn watch(now: Instant) -> Watch {
        watch_of(Arc::new(Lease::until(None)), now)
    }

    fn moved(received: u64, sent: u64) -> Progress {
        Progress {
            received,
            sent,
            ..Progress::default()
        }
    }

    fn blocked(received: u64, sent: u64) -> Progress {
        Progress {
            blocked: true,
            ..moved(received, sent)
        }
    }

    #[test]
    fn a_silent_leg_is_pinged_once_and_then_lost() {
        let start = Instant::now();
        let mut watch = watch(start);
        let talking = |n| [moved(n, 0), moved(5, 0)];
        assert_eq!(watch.next(), start + 20 * SECOND);
        let due = watch.look(start + 20 * SECOND, talking(1), 1);
        assert_eq!((due.ping_client, due.ping_upstream), (false, false));
        let due = watch.look(start + 40 * SECOND, talking(2), 2);
        assert_eq!((due.ping_client, due.ping_upstream), (false, true));
        // It could not go out yet, for the stream stood inside a frame.
        let due = watch.look(start + 60 * SECOND, talking(3), 3);
        assert_eq!((due.ping_upstream, due.end), (true, None));
        watch.pinged(Side::Upstream, moved(5, 18));
        let talking = |n| [moved(n, 0), moved(5, 18)];
        let due = watch.look(start + 80 * SECOND, talking(4), 4);
        assert_eq!(due.end, Some((Side::Upstream, Reason::UpstreamClosed)));
    }

    #[test]
    fn nobody_is_never_lost() {
        let nobody = Progress {
            absent: true,
            ..Progress::default()
        };
        let looks: Vec<_> = (1..9).map(|n| [moved(n, 0), nobody]).collect();
        assert_eq!(ended(&looks), None);
    }

    #[test]
    fn an_answer_or_a_peer_that_still_takes_bytes_is_alive() {
        let start = Instant::now();
        let mut watch = watch(start);
        let at = |n: u32| start + n * 20 * SECOND;
        let mut end = |n: u32, client| {
            let due = watch.look(at(n), [client, moved(u64::from(n), 0)], u64::from(n));
            if due.ping_client {
                watch.pinged(Side::Client, client);
            }
            due.end
        };
        assert_eq!(end(1, moved(0, 0)), None); // pinged
        assert_eq!(end(2, moved(0, 9)), None); // took bytes
        assert_eq!(end(3, moved(14, 9)), None); // answered
        assert_eq!(end(4, moved(14, 9)), None); // pinged again
        let lost = Some((Side::Client, Reason::ClientLost));
        assert_eq!(end(5, moved(14, 9)), lost);
    }

    /// Looks once per interval and sends the pings that are due; how it ends, and when.
    fn ended(looks: &[[Progress; 2]]) -> Option<(usize, (Side, Reason))> {
        let start = Instant::now();
        let mut watch = watch(start);
        for (i, legs) in looks.iter().enumerate() {
            let n = i as u32 + 1;
            let due = watch.look(start + n * 20 * SECOND, *legs, u64::from(n));
            if let Some(end) = due.end {
                return Some((i, end));
            }
            if due.ping_client {
                watch.pinged(Side::Client, legs[0]);
            }
            if due.ping_upstream {
                watch.pinged(Side::Upstream, legs[1]);
            }
        }
        None
    }

    #[test]
    fn a_leg_that_is_not_read_is_not_judged_by_its_silence() {
        // Pinged at the first look, and then not read while the other leg moves slowly.
        let slow = |n| [blocked(0, n), moved(0, 0)];
        let mut looks = vec![[moved(0, 0), moved(0, 0)]];
        looks.extend((1..9).map(slow));
        assert_eq!(ended(&looks), None);
        // Read again, it has had its time.
        looks.push([moved(1, 9), moved(0, 0)]);
        let lost = (Side::Upstream, Reason::UpstreamClosed);
        assert_eq!(ended(&looks), Some((9, lost)));
        *looks.last_mut().unwrap() = [moved(1, 9), moved(5, 0)];
        assert_eq!(ended(&looks), None);
    }

    #[test]
    fn a_leg_that_takes_nothing_is_lost_after_two_intervals_also_if_it_speaks() {
        for speaks in [0, 1] {
            let stuck = |n| blocked(n * speaks, 7);
            let client: Vec<_> = (1..6).map(|n| [stuck(n), moved(n, 0)]).collect();
            let lost = (Side::Client, Reason::ClientLost);
            assert_eq!(ended(&client), Some((2, lost)), "{speaks}");
            let upstream: Vec<_> = (1..6).map(|n| [moved(n, 0), stuck(n)]).collect();
            let lost = (Side::Upstream, Reason::UpstreamClosed);
            assert_eq!(ended(&upstream), Some((2, lost)), "{speaks}");
            // A byte in each interval is enough.
            let slow: Vec<_> = (1..9).map(|n| [blocked(0, n), moved(n, 0)]).collect();
            assert_eq!(ended(&slow), None);
        }
    }

    #[test]
    fn idle_counts_from_the_last_data_frame_and_pongs_do_not_count() {
        let start = Instant::now();
        let mut watch = watch(start);
        let mut bytes = 0;
        let mut ended = None;
        let mut now = start;
        while ended.is_none() {
            now = watch.next();
            bytes += 1;
            let frames = u64::from(now < start + 100 * SECOND);
            let due = watch.look(now, [moved(bytes, 0), moved(bytes, 0)], frames);
            ended = due.end;
        }
        assert_eq!(ended, Some((Side::Edge, Reason::Idle)));
        assert!(now > start + 300 * SECOND && now <= start + 420 * SECOND);
    }

    /// How a session with this lease ends that looks whenever it is time to, and is busy; and when.
    fn ends(lease: &Arc<Lease>, mut at: impl FnMut(Instant)) -> (Reason, Duration) {
        let start = Instant::now();
        let mut watch = watch_of(lease.clone(), start);
        for n in 1.. {
            let now = watch.next();
            at(now);
            let busy = [moved(n, n), moved(n, n)];
            if let Some((by, reason)) = watch.look(now, busy, n).end {
                assert_eq!(by, Side::Edge);
                return (reason, now - start);
            }
        }
        unreachable!("it ends");
    }

    fn lease(seconds: u64) -> Arc<Lease> {
        let end = SystemTime::now() + Duration::from_secs(seconds);
        Arc::new(Lease::until(Some(end)))
    }

    #[tokio::test(start_paused = true)]
    async fn s41_b14_a_session_ends_with_its_lease_and_not_a_moment_before() {
        let start = Instant::now();
        let lease = lease(90);
        let end = lease.at().unwrap();
        let mut watch = watch_of(lease, start);
        let look = |watch: &mut Watch, now, n| watch.look(now, [moved(n, n); 2], n).end;
        // It is looked at then, though nothing else is due.
        let mut nexts = (1..9).map(|n| {
            let next = watch.next();
            look(&mut watch, next, n);
            next
        });
        assert!(nexts.any(|next| next == end));
        let mut watch = watch_of(self::lease(90), start);
        let end = watch.lease.at().unwrap();
        let moment = Duration::from_millis(1);
        assert_eq!(look(&mut watch, end - moment, 1), None);
        let over = Some((Side::Edge, Reason::LeaseExpired));
        assert_eq!(look(&mut watch, end, 2), over);
        assert_eq!(look(&mut watch, end + moment, 3), over);
    }

    #[tokio::test(start_paused = true)]
    async fn s41_b20_a_lease_that_was_put_off_in_time_ends_then_and_not_before() {
        let lease = lease(90);
        let mut extended = false;
        let (reason, after) = ends(&lease, |now| {
            // The last moment at which it can be.
            if !extended && now >= lease.at().unwrap() {
                let later = SystemTime::now() + Duration::from_secs(200);
                extended = lease.extend(Some(later));
            }
        });
        assert!(extended && reason == Reason::LeaseExpired, "{reason}");
        assert!((199..=200).contains(&after.as_secs()), "{after:?}");
        // A moment too late it is of no use to the session.
        let lease = self::lease(90);
        let (reason, after) = ends(&lease, |_| {});
        assert!(lease.extend(None) && reason == Reason::LeaseExpired);
        assert!((89..=90).contains(&after.as_secs()), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn s41_no_lease_makes_a_session_longer_than_the_longest() {
        for lease in [
            lease(3600 + 1),
            lease(7 * 24 * 3600),
            Arc::new(Lease::until(None)),
        ] {
            let (reason, after) = ends(&lease, |_| {});
            let whole = Duration::from_secs(3600);
            assert_eq!((reason, after), (Reason::MaxDuration, whole), "{lease:?}");
        }
        // What is put off for ever ends there, too.
        let lease = lease(90);
        let (reason, after) = ends(&lease, |_| {
            lease.extend(None);
        });
        assert_eq!((reason, after.as_secs()), (Reason::MaxDuration, 3600));
    }

    #[test]
    fn the_longest_duration_wins_over_everything() {
        let start = Instant::now();
        let mut watch = watch(start);
        let due = watch.look(start + 3600 * SECOND, [moved(0, 0); 2], 0);
        assert_eq!(due.end, Some((Side::Edge, Reason::MaxDuration)));
    }
}
