//! All running sessions of the process, so that an order reaches each on whichever thread it runs.

mod entry;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use dashmap::DashMap;
use dashmap::mapref::multiple::RefMulti;
use tokio::sync::{Notify, Semaphore};

pub use self::entry::Entry;

use super::About;
use super::lease::{Leased, Refreshed};
use super::live::{Begun, Live};
use super::look::TAILS_MAX;
use super::recent::Recent;
use crate::admission::Revocations;
use crate::error::Reason;
use crate::ids::{CallId, SessionId};
use crate::relay::Handle;
use crate::secret::Digest;
use crate::store::{Running, Target};

/// The sessions of the process, also those that are closing. An entry is made after a session
/// permit and goes before its connection's, so both bound it.
#[derive(Clone, Default)]
pub struct Registry(Arc<Shared>);

struct Shared {
    /// Boxed: the table never shrinks, and holds twice as many places as it was ever filled.
    sessions: DashMap<SessionId, Box<Seat>>,
    /// Whose each call is, and whose arrival that was.
    calls: DashMap<CallId, (SessionId, Arrival)>,
    arrivals: AtomicU64,
    /// Set when all sessions were told to end: one that was on its way in ends at once too.
    closing: OnceLock<Reason>,
    revocations: Revocations,
    emptied: Notify,
    recent: Recent,
    tails: Arc<Semaphore>,
    /// Sessions that were entered and are gone.
    departed: AtomicU64,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            sessions: DashMap::new(),
            calls: DashMap::new(),
            arrivals: AtomicU64::new(0),
            closing: OnceLock::new(),
            revocations: Revocations::default(),
            emptied: Notify::new(),
            recent: Recent::default(),
            tails: Arc::new(Semaphore::new(TAILS_MAX)),
            departed: AtomicU64::new(0),
        }
    }
}

/// A session's place: what reaches it, and what it is.
struct Seat {
    handle: Arc<Handle>,
    about: About,
    /// Its lease, as whoever may is told of it.
    leased: Option<Leased>,
    /// As soon as its `101` is on its way.
    begun: Option<Begun>,
    /// What its lease rests on by now, if that is not what opened it.
    later: Option<Digest>,
}

impl Seat {
    fn is_revoked(&self, id: SessionId, revocations: &Revocations) -> bool {
        revocations.name(id, &self.about.holder)
            || self.later.is_some_and(|later| revocations.has(later))
    }
}

impl Seat {
    /// As it is shown, once it has begun.
    fn live(&self, id: SessionId) -> Option<Live> {
        let begun = self.begun.as_ref()?;
        Some(Live::of(id, &self.about, begun, self.handle.standing()))
    }
}

impl Registry {
    /// One in which nobody stays who is taken back.
    pub fn heeding(revocations: &Revocations) -> Registry {
        Registry(Arc::new(Shared {
            revocations: revocations.clone(),
            ..Shared::default()
        }))
    }

    /// Enters a new session under its id.
    pub fn enter(&self, id: SessionId, about: About) -> Entry {
        let handle = Arc::new(Handle::default());
        let holder = about.holder.clone();
        let seat = Box::new(Seat {
            handle: handle.clone(),
            about,
            leased: None,
            begun: None,
            later: None,
        });
        self.0.sessions.insert(id, seat);
        // Asked behind that: what is taken back later finds it here.
        if self.0.revocations.name(id, &holder) {
            handle.end(Reason::Revoked);
        }
        if let Some(&reason) = self.0.closing.get() {
            handle.end(reason);
        }
        Entry::new(id, handle, self)
    }

    /// Ends the session that carries this call, if one of this process does.
    pub fn hang_up(&self, call: &CallId) -> bool {
        let shared = &self.0;
        let session = shared.calls.get(call).map(|whose| whose.0);
        session.is_some_and(|id| self.end(id, Reason::HungUp))
    }

    /// What is known of a session of this process.
    pub fn about(&self, id: SessionId) -> Option<About> {
        let seat = self.0.sessions.get(&id)?;
        Some(seat.about.clone())
    }

    /// All sessions of this process for which `pick` says so, in no order.
    pub fn list(&self, pick: impl Fn(&About) -> bool) -> Vec<(SessionId, About)> {
        let picked = self.0.sessions.iter().filter(|seat| pick(&seat.about));
        picked
            .map(|seat| (*seat.key(), seat.about.clone()))
            .collect()
    }

    /// Ends one session for `reason`, if it is one of this process.
    pub fn end(&self, id: SessionId, reason: Reason) -> bool {
        let handle = self.handle(id);
        if let Some(handle) = &handle {
            handle.end(reason);
        }
        handle.is_some()
    }

    /// Ends every session of which something is taken back. How many had not been told to end.
    pub fn end_revoked(&self) -> usize {
        let shared = &self.0;
        let revoked = shared.sessions.iter();
        let revoked = revoked.filter(|seat| seat.is_revoked(*seat.key(), &shared.revocations));
        let handles: Vec<Arc<Handle>> = revoked.map(|seat| seat.handle.clone()).collect();
        let told = |handle: &&Arc<Handle>| handle.end(Reason::Revoked);
        handles.iter().filter(told).count()
    }

    /// Never held over anything: what is in the table may go at any time.
    pub(super) fn handle(&self, id: SessionId) -> Option<Arc<Handle>> {
        self.0.sessions.get(&id).map(|seat| seat.handle.clone())
    }

    /// Sessions that run here and are of that kind, as they are told of.
    pub fn told(&self, wanted: impl Fn(SessionId, &Leased) -> bool) -> Vec<Running> {
        let told = |seat: RefMulti<'_, SessionId, Box<Seat>>| {
            let leased = seat.leased.as_ref()?;
            wanted(*seat.key(), leased).then(|| leased.told())
        };
        self.0.sessions.iter().filter_map(told).collect()
    }

    /// A session that runs here.
    pub fn told_of(&self, id: SessionId) -> Option<Running> {
        self.leased(id).map(|leased| leased.told())
    }

    /// Whether a session runs here.
    pub fn has(&self, id: SessionId) -> bool {
        self.leased(id).is_some()
    }

    /// A session that runs here, once it has begun.
    pub fn live(&self, id: SessionId) -> Option<Live> {
        self.0.sessions.get(&id)?.live(id)
    }

    pub(super) fn all_live(&self) -> Vec<Live> {
        let all = self.0.sessions.iter();
        all.filter_map(|seat| seat.live(*seat.key())).collect()
    }

    pub(super) fn ended(&self) -> &Recent {
        &self.0.recent
    }

    /// Places for those who look on.
    pub(super) fn tails(&self) -> &Arc<Semaphore> {
        &self.0.tails
    }

    fn leased(&self, id: SessionId) -> Option<Leased> {
        self.0.sessions.get(&id)?.leased.clone()
    }

    /// Has a session last longer, whose subject has shown a credential that ends then; `None`: no
    /// session of that subject has this id here.
    pub fn refresh(
        &self,
        id: SessionId,
        subject: &Digest,
        shown: (Option<Digest>, Option<SystemTime>),
    ) -> Option<Refreshed> {
        let leased = self.leased(id)?;
        let is_theirs = leased.is_of(subject);
        is_theirs.then(|| self.extend(id, &leased, shown))?
    }

    /// The same on the word of another edge, which has seen what was shown; whether it is a session of
    /// this process.
    pub fn put_off(&self, id: SessionId, (credential, end): (Option<Digest>, SystemTime)) -> bool {
        let extended = self
            .leased(id)
            .and_then(|leased| self.extend(id, &leased, (credential, Some(end))));
        extended.is_some()
    }

    /// The session's lease rests on what was shown from now on, if that ends later, and goes with it.
    /// What was taken back puts nothing off.
    fn extend(
        &self,
        id: SessionId,
        leased: &Leased,
        (credential, end): (Option<Digest>, Option<SystemTime>),
    ) -> Option<Refreshed> {
        let shared = &self.0;
        let is_revoked = || credential.is_some_and(|shown| shared.revocations.has(shown));
        // Held over both: of two that come at once the one that lasts longer is what counts.
        let mut seat = shared.sessions.get_mut(&id)?;
        let mut revoked = is_revoked();
        let changed = !revoked && leased.put_off(end);
        if changed {
            seat.later = credential.or(seat.later);
            // Asked again behind that: what is taken back later finds it here.
            revoked = is_revoked();
        }
        let handle = seat.handle.clone();
        drop(seat);
        if changed && revoked {
            handle.end(Reason::Revoked);
        }
        Some(Refreshed {
            changed,
            lease: leased.lease().ends(),
            revoked,
        })
    }

    /// What a session that was taken back was opened with and is kept up by: whoever has that could
    /// open another. Keys, certificates and principals serve many sessions and are not among it.
    pub fn shown_for(&self, id: SessionId) -> Vec<Target> {
        let Some(seat) = self.0.sessions.get(&id) else {
            return Vec::new();
        };
        let holder = &seat.about.holder;
        // What ACS shows is good for other calls, and the URL of this one for more tokens.
        let call = holder.call.clone().map(Target::Call);
        let opened_by = call.or(holder.credential.map(Target::Credential));
        let beside = [holder.parent, seat.later].into_iter().flatten();
        let beside = beside.map(Target::Credential);
        opened_by.into_iter().chain(beside).collect()
    }

    /// The arrival of an upgrade that has just been let in.
    pub fn arrival(&self) -> Arrival {
        Arrival(self.0.arrivals.fetch_add(1, Ordering::Relaxed))
    }

    pub fn len(&self) -> usize {
        self.0.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.sessions.is_empty()
    }

    /// Sessions that have gone since the start.
    pub fn departed(&self) -> u64 {
        self.0.departed.load(Ordering::Relaxed)
    }

    /// Whoever is still to be entered ends at once for `reason`; the first one stays.
    pub fn close(&self, reason: Reason) {
        let _ = self.0.closing.set(reason);
    }

    /// Ends every session for `reason`, and those that are still to be entered.
    pub fn end_all(&self, reason: Reason) {
        self.close(reason);
        // Collected first: a session that ends right away takes its entry out of the table.
        let all = self.0.sessions.iter();
        let handles: Vec<Arc<Handle>> = all.map(|seat| seat.handle.clone()).collect();
        for handle in handles {
            handle.end(reason);
        }
    }

    /// Resolves when no session is left.
    pub async fn empty(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

/// The order in which upgrades were let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;
    use crate::relay::Seen;
    use crate::session::recent::End;
    use crate::store::Target;
    use std::task::Context;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_call_that_comes_again_ends_the_session_that_had_it() {
        let registry = Registry::default();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let call = CallId::new("7f0c").unwrap();
        let other = CallId::new("7f0d").unwrap();
        let enter = |call| {
            let arrival = registry.arrival();
            registry
                .enter(SessionId::random(), About::of_a_test("anna"))
                .of_call(call, arrival)
        };
        let (first, beside) = (enter(&call), enter(&other));
        let second = enter(&call);
        assert_eq!(first.handle().poll(cx), Some(Reason::Superseded));
        assert_eq!(beside.handle().poll(cx), None);
        // The old one goes later and takes nothing along.
        drop(first);
        let third = enter(&call);
        assert_eq!(second.handle().poll(cx), Some(Reason::Superseded));
        assert_eq!(third.handle().poll(cx), None);
        // One that was let in before the one that has the call, and comes after it, is over itself.
        let early = registry.arrival();
        let fourth = enter(&call);
        assert_eq!(third.handle().poll(cx), Some(Reason::Superseded));
        let late = registry
            .enter(SessionId::random(), About::of_a_test("anna"))
            .of_call(&call, early);
        assert_eq!(late.handle().poll(cx), Some(Reason::Superseded));
        assert_eq!(fourth.handle().poll(cx), None);
        drop(late);
        assert_eq!(registry.0.calls.len(), 2);
        drop((second, third, fourth, beside));
        assert!(registry.0.calls.is_empty());
    }

    #[test]
    fn a06_a_call_that_is_over_ends_its_session_and_no_other() {
        let registry = Registry::default();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let [call, other] = ["7f0c", "7f0d"].map(|id| CallId::new(id).unwrap());
        assert!(!registry.hang_up(&call));
        let enter = |call| {
            let arrival = registry.arrival();
            registry
                .enter(SessionId::random(), About::of_a_test("anna"))
                .of_call(call, arrival)
        };
        let (first, beside) = (enter(&call), enter(&other));
        assert!(registry.hang_up(&call));
        assert_eq!(first.handle().poll(cx), Some(Reason::HungUp));
        assert_eq!(beside.handle().poll(cx), None);
    }

    #[test]
    fn a_session_that_comes_after_the_end_of_all_ends_too() {
        let registry = Registry::default();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let early = registry.enter(SessionId::random(), About::of_a_test("anna"));
        assert_eq!(early.handle().poll(cx), None);
        registry.end_all(Reason::Draining);
        let late = registry.enter(SessionId::random(), About::of_a_test("anna"));
        assert_eq!(early.handle().poll(cx), Some(Reason::Draining));
        assert_eq!(late.handle().poll(cx), Some(Reason::Draining));
        assert_eq!(registry.len(), 2);
        drop((early, late));
        assert!(registry.is_empty());
    }

    #[test]
    fn a35_who_is_taken_back_ends_also_if_the_session_registers_after_that() {
        let revocations = Revocations::default();
        let registry = Registry::heeding(&revocations);
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let enter = |name| registry.enter(SessionId::random(), About::of_a_test(name));
        let (anna, bob) = (enter("anna"), enter("bob"));
        assert_eq!(registry.end_revoked(), 0);
        let until = SystemTime::now() + Duration::from_secs(60);
        let subject = Target::Subject("users:anna".into());
        revocations.add(subject.clone(), until).unwrap();
        // It was admitted before that.
        let late = enter("anna");
        assert_eq!(late.handle().poll(cx), Some(Reason::Revoked));
        assert_eq!(registry.end_revoked(), 1);
        assert_eq!(anna.handle().poll(cx), Some(Reason::Revoked));
        assert_eq!(registry.end_revoked(), 0);
        assert_eq!(bob.handle().poll(cx), None);
        revocations.lift(&subject);
        assert_eq!(enter("anna").handle().poll(cx), None);
        revocations.add(Target::Session(bob.id()), until).unwrap();
        assert_eq!(registry.end_revoked(), 1);
        assert_eq!(bob.handle().poll(cx), Some(Reason::Revoked));
    }

    /// A session of anna's that was opened with one token, and may last a minute.
    fn anna(registry: &Registry) -> Entry {
        let id = SessionId::random();
        let end = SystemTime::now() + Duration::from_secs(60);
        let leased = Leased::of_a_test(id, "users:anna", end);
        registry.enter(id, About::of_a_test("anna")).leased(leased)
    }

    #[test]
    fn s41_a35_a_session_goes_with_what_it_was_refreshed_with() {
        let revocations = Revocations::default();
        let registry = Registry::heeding(&revocations);
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let (until, subject) = (
            SystemTime::now() + Duration::from_secs(600),
            Digest::of("users:anna"),
        );
        let [b, c, d] = ["b", "c", "d"].map(Digest::of);
        // Here, and by the word of another edge.
        for elsewhere in [false, true] {
            let session = anna(&registry);
            let show = |credential, end| match elsewhere {
                true => registry.put_off(session.id(), (Some(credential), end)),
                false => {
                    let shown = (Some(credential), Some(end));
                    registry.refresh(session.id(), &subject, shown).is_some()
                }
            };
            assert!(show(b, until));
            // What ends sooner is not what it rests on.
            assert!(show(c, until - Duration::from_secs(1)));
            let shown = [Digest::of("anna"), b].map(Target::Credential);
            assert_eq!(registry.shown_for(session.id()), shown);
            revocations.add(Target::Credential(c), until).unwrap();
            assert_eq!(registry.end_revoked(), 0);
            revocations.add(Target::Credential(b), until).unwrap();
            assert_eq!(registry.end_revoked(), 1);
            assert_eq!(session.handle().poll(cx), Some(Reason::Revoked));
            // What is taken back already puts nothing off, and ends nothing.
            let other = anna(&registry);
            let lease = registry.told_of(other.id()).unwrap().lease;
            if elsewhere {
                registry.put_off(other.id(), (Some(b), until));
            } else {
                let refreshed = registry.refresh(other.id(), &subject, (Some(b), Some(until)));
                let refused = Refreshed {
                    changed: false,
                    lease,
                    revoked: true,
                };
                assert_eq!(refreshed, Some(refused));
            }
            assert_eq!(registry.told_of(other.id()).unwrap().lease, lease);
            assert_eq!(other.handle().poll(cx), None);
            // A key shows no token: the session goes on by what it has.
            registry.refresh(other.id(), &subject, (Some(d), Some(until)));
            let longer = Some(until + Duration::from_secs(1));
            registry.refresh(other.id(), &subject, (None, longer));
            assert_eq!(registry.shown_for(other.id())[1], Target::Credential(d));
            for target in [b, c] {
                revocations.lift(&Target::Credential(target));
            }
        }
        let nobody = Digest::of("users:bob");
        let session = anna(&registry);
        let refused = registry.refresh(session.id(), &nobody, (Some(d), Some(until)));
        assert_eq!(refused, None);
        assert_eq!(registry.shown_for(session.id()).len(), 1);
    }

    fn begun(registry: &Registry, name: &str) -> Entry {
        let entry = registry.enter(SessionId::random(), About::of_a_test(name));
        entry.begun(Begun {
            kind: "acs-media",
            client: std::net::IpAddr::from([192, 0, 2, 7]).into(),
            upstream: None,
            lease: Arc::new(crate::relay::Lease::until(None)),
            waits: true,
        });
        entry
    }

    fn hung_up() -> End {
        End {
            by: crate::error::Side::Client,
            reason: Reason::HungUp,
            at: SystemTime::now(),
            duration: Duration::from_secs(3),
            closes: [Some(1000), None],
        }
    }

    #[test]
    fn c17_a_session_is_shown_from_its_beginning_and_for_a_while_after_its_end() {
        use crate::gate::State;
        let registry = Registry::default();
        let early = registry.enter(SessionId::random(), About::of_a_test("early"));
        assert!(registry.running(|_| true, 9).is_empty() && registry.live(early.id()).is_none());
        let entry = begun(&registry, "anna");
        let live = registry.live(entry.id()).unwrap();
        assert_eq!((live.kind, live.upstream), ("acs-media", None));
        assert_eq!(live.standing.gate, Some(State::Pending));
        entry.connected(&Label::new("voice").unwrap());
        let running = registry.running(|live| live.upstream.is_some(), 9);
        assert_eq!(running.len(), 1);
        entry.ended(hung_up());
        // While the goodbye lasts it is both.
        assert!(registry.live(entry.id()).is_some());
        let id = entry.id();
        drop(entry);
        assert!(registry.live(id).is_none());
        let ended = registry.recent_of(id).unwrap();
        assert_eq!(ended.live.upstream, Label::new("voice"));
        assert_eq!(ended.end.reason, Reason::HungUp);
        // What never began has not ended.
        early.ended(hung_up());
        drop(early);
        assert_eq!(registry.recent(|_| true, 9).len(), 1);
        assert!(registry.is_empty());
    }

    #[test]
    fn c17_only_the_latest_ends_are_kept_and_the_others_counted() {
        let registry = Registry::default();
        let first = begun(&registry, "first");
        first.ended(hung_up());
        for _ in 0..super::super::RECENT_MAX {
            begun(&registry, "more").ended(hung_up());
        }
        assert_eq!(registry.forgotten(), 1);
        assert!(registry.recent_of(first.id()).is_none());
        let all = registry.recent(|_| true, usize::MAX);
        assert_eq!(all.len(), super::super::RECENT_MAX);
    }

    #[tokio::test]
    async fn c17_so_many_look_on_at_a_time_and_are_told_of_the_end() {
        let registry = Registry::default();
        let entry = begun(&registry, "anna");
        assert!(registry.tail(SessionId::random(), 0).is_none());
        let tail = || registry.tail(entry.id(), 0).unwrap();
        let mut tails: Vec<_> = (0..TAILS_MAX).map(|_| tail().unwrap()).collect();
        assert!(tail().is_err());
        drop(tails.pop());
        assert!(registry.tail(entry.id(), 1).unwrap().is_err());
        tails.push(tail().unwrap());
        entry.ended(hung_up());
        drop(entry);
        for tail in &mut tails {
            let news = tail.next().await.unwrap();
            assert!(matches!(
                news.lines[..],
                [crate::relay::Line {
                    seen: Seen::Ended {
                        reason: Reason::HungUp,
                        ..
                    },
                    ..
                }]
            ));
            assert_eq!(tail.next().await, None);
        }
    }
}
