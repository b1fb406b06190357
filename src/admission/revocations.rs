//! What was taken back, as this edge knows it: who enters is held against it, and so is every session
//! when something is added.
//!
//! It is a copy of the log of orders in the store, which somebody reads all the time. One that was not
//! read for too long lets nobody in who could have been shut out meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Denied, Holder, Now, Subject};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::secret::Digest;
use crate::store::{ORDERS_MAX, Target};

/// Revocations that are kept: more than the log holds, for those that were written by hand beyond its
/// bound, and those that it has lost and is to have again.
const KEPT_MAX: usize = 4 * ORDERS_MAX;

/// A store that is there is read by then.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Shared by admission, the registry, and whoever reads the log.
#[derive(Clone, Default)]
pub struct Revocations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: RwLock<State>,
    first_read: Notify,
}

#[derive(Default)]
struct State {
    in_force: HashMap<Target, SystemTime>,
    /// How old it may be; `None`: nobody else writes what is taken back.
    stale: Option<Duration>,
    read: Option<Instant>,
}

/// There is no room for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overfull;

impl Revocations {
    /// From now on nobody enters while it has not been read for so long.
    pub fn must_be_read(&self, stale: Duration) {
        self.write().stale = Some(stale);
    }

    /// All that is in the log was read, as it was at `now`.
    pub fn was_read(&self, now: Instant) {
        let first = self.write().read.replace(now).is_none();
        if first {
            self.0.first_read.notify_waiters();
        }
    }

    /// How long ago it was read; `None`: never.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let read = self.read().read?;
        Some(now.saturating_duration_since(read))
    }

    /// Whether it is too old to let somebody in by.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.read().is_stale(now)
    }

    /// Takes something back until `until`; of two ends the later counts. Whether that is news.
    pub fn add(&self, target: Target, until: SystemTime) -> Result<bool, Overfull> {
        let now = SystemTime::now();
        if until <= now {
            return Ok(false);
        }
        let mut state = self.write();
        let known = state.in_force.get(&target).copied();
        if known.is_some_and(|known| known >= until) {
            return Ok(false);
        }
        if known.is_none() && state.in_force.len() >= KEPT_MAX {
            state.in_force.retain(|_, until| *until > now);
            if state.in_force.len() >= KEPT_MAX {
                return Err(Overfull);
            }
        }
        state.in_force.insert(target, until);
        Ok(known.is_none_or(|known| known <= now))
    }

    /// It is not taken back any more. Until when it would have been.
    pub fn lift(&self, target: &Target) -> Option<SystemTime> {
        let until = self.write().in_force.remove(target)?;
        (until > SystemTime::now()).then_some(until)
    }

    /// Until when it is taken back, if it is.
    pub fn until(&self, target: &Target) -> Option<SystemTime> {
        self.read().until(target, SystemTime::now())
    }

    /// All that is in force, in no order; what has ended is forgotten.
    pub fn list(&self) -> Vec<(Target, SystemTime)> {
        let now = SystemTime::now();
        let mut state = self.write();
        state.in_force.retain(|_, until| *until > now);
        let all = state.in_force.iter();
        all.map(|(target, until)| (target.clone(), *until))
            .collect()
    }

    /// Whether something of whom this is was taken back.
    pub fn name(&self, session: SessionId, holder: &Holder) -> bool {
        let (state, now) = (self.read(), SystemTime::now());
        let names = |target: Target| state.until(&target, now).is_some();
        !state.in_force.is_empty() && (names(Target::Session(session)) || of(holder).any(names))
    }

    /// Whether a token was taken back, by what is signed in it.
    pub fn has(&self, credential: Digest) -> bool {
        self.until(&Target::Credential(credential)).is_some()
    }

    /// Waits for the first reading, if there is one to come and none was: an edge that has just begun
    /// need not send its first callers away.
    pub(super) async fn begun(&self) {
        let first_read = self.0.first_read.notified();
        let waits = {
            let state = self.read();
            state.read.is_none() && state.stale.is_some()
        };
        if waits {
            // What comes of it the judge says.
            let _ = timeout(FIRST_WAIT, first_read).await;
        }
    }

    /// Whether whoever this is may enter.
    pub(super) fn judge(&self, holder: &Holder, now: Now) -> Result<(), Denied> {
        let state = self.read();
        // Nothing can be taken back of somebody who is nobody.
        if of(holder).next().is_none() {
            return Ok(());
        }
        if state.is_stale(now.steady) {
            let detail = "what was taken back is not known at present";
            return Err(Denied::new(Reason::StoreUnavailable, detail));
        }
        if state.in_force.is_empty() {
            return Ok(());
        }
        let found = of(holder).find(|target| state.until(target, now.wall).is_some());
        found.map_or(Ok(()), |target| Err(denied(&target)))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_stale(&self, now: Instant) -> bool {
        let age = self.read.map(|read| now.saturating_duration_since(read));
        let is_old = |stale| age.is_none_or(|age| age > stale);
        self.stale.is_some_and(is_old)
    }

    fn until(&self, target: &Target, now: SystemTime) -> Option<SystemTime> {
        let until = self.in_force.get(target).copied();
        until.filter(|until| *until > now)
    }
}

/// All by which a holder can be taken back.
fn of(holder: &Holder) -> impl Iterator<Item = Target> {
    let named = Some(&holder.subject).filter(|subject| **subject != Subject::Anyone);
    let subject = named.map(|subject| Target::Subject(subject.to_string().into()));
    let tenant = || holder.tenant().map(Target::tenant);
    let key = || holder.key.clone().map(Target::Key);
    let certificate = || holder.certificate.clone().map(Target::Certificate);
    let call = || holder.call.clone().map(Target::Call);
    // The token first: another one would do.
    let shown = [holder.credential, holder.parent].into_iter().flatten();
    shown
        .map(Target::Credential)
        .chain(subject)
        .chain(tenant())
        .chain(key())
        .chain(certificate())
        .chain(call())
}

fn denied(target: &Target) -> Denied {
    let detail = match target {
        Target::Credential(_) => {
            return Denied {
                status: Some(StatusCode::UNAUTHORIZED),
                challenge: Some("error=\"invalid_token\""),
                ..Denied::new(Reason::Revoked, "the token was taken back")
            };
        }
        Target::Session(_) => "the session was taken back",
        Target::Subject(_) => "whoever the credential names was shut out",
        Target::Tenant(_) => "the tenant was shut out",
        Target::Key(_) => "the key was taken back",
        Target::Certificate(_) => "the certificate was taken back",
        Target::Call(_) => "the call was shut out",
    };
    Denied::new(Reason::Revoked, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CallId;
    use crate::label::Label;

    const HOUR: Duration = Duration::from_secs(3600);

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    /// Somebody who shows everything that there is.
    fn holder(name: &str) -> Holder {
        Holder {
            subject: Subject::Token {
                issuer: label("users"),
                tenant: Some(format!("T-{name}")),
                name: name.to_owned(),
            },
            key: Some(label(&format!("key-{name}"))),
            certificate: Some(label(&format!("certificate-{name}"))),
            call: CallId::new(name),
            credential: Some(Digest::of(name)),
            parent: Some(Digest::of(&format!("parent of {name}"))),
        }
    }

    fn target(kind: &str, name: &str) -> Target {
        Target::read(kind, name).unwrap()
    }

    #[test]
    fn a35_whoever_is_taken_back_by_whatever_does_not_enter_and_nobody_else_is() {
        let session = SessionId::random();
        let cases = [
            (
                target("credential", &Digest::of("anna").to_hex()),
                Some(401),
            ),
            (
                target("credential", &Digest::of("parent of anna").to_hex()),
                Some(401),
            ),
            (target("subject", "users:T-anna/anna"), None),
            (target("tenant", "t-ANNA"), None),
            (target("key", "key-anna"), None),
            (target("certificate", "certificate-anna"), None),
            (target("call", "anna"), None),
        ];
        for (target, status) in cases {
            let revocations = Revocations::default();
            assert_eq!(revocations.judge(&holder("anna"), Now::read()), Ok(()));
            let until = SystemTime::now() + HOUR;
            assert_eq!(revocations.add(target.clone(), until), Ok(true));
            assert_eq!(revocations.add(target.clone(), until), Ok(false));
            let denied = revocations.judge(&holder("anna"), Now::read()).unwrap_err();
            assert_eq!(denied.reason, Reason::Revoked, "{target:?}");
            assert_eq!(denied.status.map(|status| status.as_u16()), status);
            assert!(revocations.name(session, &holder("anna")));
            for other in ["anna2", "ann", "Anna", "bob"] {
                // Tenants alone have no case.
                if other == "Anna" && target.kind() == "tenant" {
                    continue;
                }
                assert_eq!(revocations.judge(&holder(other), Now::read()), Ok(()));
                assert!(
                    !revocations.name(session, &holder(other)),
                    "{other} {target:?}"
                );
            }
            assert_eq!(revocations.lift(&target), Some(until));
            assert_eq!(revocations.judge(&holder("anna"), Now::read()), Ok(()));
            assert_eq!(revocations.lift(&target), None);
        }
        let revocations = Revocations::default();
        let until = SystemTime::now() + HOUR;
        assert_eq!(revocations.add(Target::Session(session), until), Ok(true));
        assert!(revocations.name(session, &holder("anna")));
        assert!(!revocations.name(SessionId::random(), &holder("anna")));
    }

    #[test]
    fn a35_what_was_taken_back_comes_back_at_its_end_and_the_later_end_counts() {
        let revocations = Revocations::default();
        let target = target("key", "key-anna");
        let now = Now::read();
        let at = |after| Now {
            wall: now.wall + after,
            ..now
        };
        assert_eq!(revocations.add(target.clone(), now.wall), Ok(false));
        assert_eq!(
            revocations.add(target.clone(), now.wall + 2 * HOUR),
            Ok(true)
        );
        assert_eq!(revocations.add(target.clone(), now.wall + HOUR), Ok(false));
        assert!(revocations.judge(&holder("anna"), at(HOUR)).is_err());
        assert_eq!(revocations.judge(&holder("anna"), at(2 * HOUR)), Ok(()));
        assert_eq!(revocations.until(&target), Some(now.wall + 2 * HOUR));
        assert_eq!(revocations.list(), [(target, now.wall + 2 * HOUR)]);
    }

    #[test]
    fn a35_s31_a_copy_that_was_not_read_for_too_long_lets_nobody_in() {
        let revocations = Revocations::default();
        let now = Now::read();
        let at = |after| Now {
            steady: now.steady + after,
            ..now
        };
        // Whoever has no store of others' is never behind.
        assert_eq!(revocations.judge(&holder("anna"), at(HOUR)), Ok(()));
        revocations.must_be_read(HOUR);
        let denied = revocations.judge(&holder("anna"), now).unwrap_err();
        assert_eq!(denied.reason, Reason::StoreUnavailable);
        assert_eq!(revocations.age(now.steady), None);
        revocations.was_read(now.steady);
        assert_eq!(revocations.judge(&holder("anna"), at(HOUR)), Ok(()));
        let late = HOUR + Duration::from_millis(1);
        let denied = revocations.judge(&holder("anna"), at(late)).unwrap_err();
        assert_eq!(denied.reason, Reason::StoreUnavailable);
        assert_eq!(revocations.age(at(late).steady), Some(late));
        // Nobody can have taken anybody back of whom nothing is known.
        let anyone = Holder {
            subject: Subject::Anyone,
            key: None,
            certificate: None,
            call: None,
            credential: None,
            parent: None,
        };
        assert_eq!(revocations.judge(&anyone, at(late)), Ok(()));
        revocations.was_read(at(late).steady);
        assert_eq!(revocations.judge(&holder("anna"), at(late)), Ok(()));
    }

    #[test]
    fn a35_what_has_no_room_is_told() {
        let revocations = Revocations::default();
        let until = SystemTime::now() + HOUR;
        for i in 0..KEPT_MAX {
            let target = Target::Subject(format!("users:{i}").into());
            assert_eq!(revocations.add(target, until), Ok(true));
        }
        let late = target("key", "late");
        assert_eq!(revocations.add(late.clone(), until), Err(Overfull));
        assert_eq!(revocations.until(&late), None);
        // What is known may be taken back for longer.
        let known = target("subject", "users:0");
        assert_eq!(revocations.add(known.clone(), until + HOUR), Ok(false));
        assert_eq!(revocations.until(&known), Some(until + HOUR));
    }
}
