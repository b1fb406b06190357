//! The embedded store: the same decisions in this process, for one edge and as long as it lives.
//!
//! Nothing runs in the background. What has ended is not there any more to whoever asks, and is
//! cleared away when room is wanted.

mod counted;
mod events;
mod hand_over;
mod limits;
mod made;
mod orders;
mod pace;
mod people;
mod running;
mod table;
mod wanted;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::counted::Counted;
use self::hand_over::Record;
use self::orders::Log;
use self::pace::Turns;
use self::table::Table;
use self::wanted::{Wanted, agree, wanted};
use super::made::{CallEnded, Made};
use super::running::Running;
use super::{
    Attempt, Enter, Entered, Facts, GivenBack, Keys, Policy, SessionKey, Still, Tried, Unavailable,
    spent_for,
};
use crate::ids::{CallId, ContactId, SessionId};
use crate::label::Label;
use crate::secret::Digest;

/// Entries of each kind. A call has up to four, so this is room for as many calls at a time as ten
/// edges can carry, in less than 200 MB; one that is full refuses what is new.
pub(super) const ENTRIES_MAX: usize = 100_000;

/// Everything, under one lock that no wait is held over.
pub(super) struct Memory {
    policy: Policy,
    state: Mutex<State>,
}

struct State {
    calls: Table<CallId, Call>,
    live: Table<CallId, SessionId>,
    tries: Table<CallId, Vec<(Try, Tried)>>,
    spent: Table<Digest, SessionId>,
    fails: Table<String, Vec<Try>>,
    /// Session keys, and what the edge wrote into them.
    keys: Table<String, Written>,
    handed: Table<ContactId, Record>,
    /// By whom an event was claimed.
    claims: Table<Digest, SessionId>,
    /// Keys that callbacks told of, by their place.
    tones: Table<CallId, BTreeMap<u32, char>>,
    /// About people.
    notes: Table<String, String>,
    orders: Log,
    running: Table<SessionId, Running>,
    /// By quota.
    turns: Table<String, Turns>,
    counted: Table<Arc<str>, limits::Counted>,
}

/// What the edge wrote into a session key: nothing, where others wrote it.
#[derive(Clone, Default)]
struct Written {
    /// For which call that was made it is.
    binding: Option<Digest>,
    /// For which contact it is.
    contact: Option<ContactId>,
}

/// One try of one session.
type Try = (SessionId, u32);

#[derive(Clone, Default)]
struct Call {
    facts: Facts,
    owner: Option<SessionId>,
    /// Whose it was before it was taken over, unless that session has left.
    before: Option<SessionId>,
    route: Option<Label>,
    opened: bool,
    /// For whom it was opened.
    contact: Option<ContactId>,
    /// The last tone that a session has taken.
    heard: u32,
    /// ACS has said that the call is over.
    ended: Option<CallEnded>,
    /// The edge has made it.
    made: Option<Made>,
    /// Whom it called is there.
    connected: bool,
}

impl Call {
    /// Why a session is not this call's, as far as the edge made it.
    fn refuses(&self, enter: &Enter<'_>) -> Option<Entered> {
        if self.binding() != enter.binding {
            return Some(Entered::OtherConnection);
        }
        self.made?;
        match (&self.facts.connection, enter.connection) {
            // Which connection is its own nobody knows yet.
            (None, _) => Some(Entered::Unknown),
            (Some(_), None) => Some(Entered::OtherConnection),
            (Some(_), Some(_)) => None,
        }
    }
}

impl Memory {
    pub(super) fn new(policy: Policy, entries: usize) -> Memory {
        Memory {
            policy,
            state: Mutex::new(State {
                calls: Table::new(entries),
                notes: Table::new(entries),
                running: Table::new(entries),
                turns: Table::new(entries),
                counted: Table::new(entries),
                live: Table::new(entries),
                tries: Table::new(entries),
                spent: Table::new(entries),
                fails: Table::new(entries),
                keys: Table::new(entries),
                // With what another cloud says of them they are larger.
                handed: Table::new(entries.div_ceil(10)),
                claims: Table::new(entries),
                tones: Table::new(entries),
                orders: Log::default(),
            }),
        }
    }

    pub(super) fn enter(&self, enter: &Enter<'_>, keys: &Keys) -> Result<Entered, Unavailable> {
        let mut state = self.state();
        let spent_by = state.spent.get(&enter.token);
        if spent_by.is_some_and(|owner| *owner != enter.owner) {
            return Ok(Entered::Spent);
        }
        let known = state.calls.get(enter.call).cloned();
        let ended = known.as_ref().is_some_and(|call| call.ended.is_some());
        // Nothing makes a record of a call that was made but whoever made it.
        let makes = enter.makes && enter.signed.is_some() && enter.binding.is_none();
        if ended || (known.is_none() && !makes) {
            return Ok(Entered::Unknown);
        }
        let mut call = known.unwrap_or_default();
        if let Some(refused) = call.refuses(enter) {
            return Ok(refused);
        }
        let by_another = call.route.as_ref().is_some_and(|by| by != enter.route);
        if by_another || !agree(&mut call.facts, enter) {
            return Ok(Entered::OtherConnection);
        }
        let opener = state.live.get(enter.call).copied();
        let mut consumed = None;
        let (opened, resumed) = match (opener, wanted(enter, &call.facts, keys)) {
            (Some(opener), _) => (true, opener != enter.owner),
            (None, Wanted::Gate) => (false, false),
            (None, Wanted::Nothing) => (true, false),
            (None, Wanted::Key(key, consume)) => {
                let found = key.and_then(|key| Some((state.contact(&key)?, key)));
                let Some((contact, key)) = found else {
                    return Ok(Entered::NoKey);
                };
                if state.is_anothers(&key, enter.binding) {
                    return Ok(Entered::OtherConnection);
                }
                call.contact = contact;
                consumed = consume.then_some(key);
                (true, false)
            }
        };
        // All has room before anything is written.
        state.calls.room(enter.call)?;
        state.live.room(enter.call)?;
        state.spent.room(&enter.token)?;
        if let Some(key) = consumed {
            state.keys.remove(key.expose());
        }
        let ttl = self.policy.ttl;
        if opened {
            let opener = opener.unwrap_or(enter.owner);
            state.live.put(enter.call.clone(), opener, ttl)?;
        }
        let (facts, contact) = (call.facts.clone(), call.contact.clone());
        if let Some(before) = call.owner.filter(|before| *before != enter.owner) {
            call.before = Some(before);
        }
        call.owner = Some(enter.owner);
        call.route = Some(enter.route.clone());
        call.opened = opened;
        state.calls.put(enter.call.clone(), call, ttl)?;
        let left = spent_for(enter.token_expires);
        state.spent.put(enter.token, enter.owner, left)?;
        Ok(match opened {
            true => Entered::Authorised {
                facts,
                resumed,
                contact,
            },
            false => Entered::Pending(facts),
        })
    }

    pub(super) fn try_code(
        &self,
        attempt: &Attempt<'_>,
        keys: &Keys,
    ) -> Result<Tried, Unavailable> {
        let mut state = self.state();
        let Some(mut call) = state.calls.get(attempt.call).cloned() else {
            return Ok(Tried::NotOurs);
        };
        if call.owner != Some(attempt.owner) {
            return Ok(Tried::NotOurs);
        }
        let this = (attempt.owner, attempt.number);
        let mut tries = state.tries.get(attempt.call).cloned().unwrap_or_default();
        if let Some((_, before)) = tries.iter().find(|(made, _)| *made == this) {
            return Ok(before.clone());
        }
        if state.live.get(attempt.call).is_some() {
            return Ok(Tried::Opened(call.contact));
        }
        let counted = Counted::of(attempt, keys);
        let per_call = usize::try_from(attempt.per_call).unwrap_or(usize::MAX);
        if tries.len() >= per_call || counted.iter().any(|counted| counted.is_over(&state)) {
            return Ok(Tried::LockedOut);
        }
        let ttl = self.policy.ttl;
        let hit = state.contact(attempt.key);
        let tried = match &hit {
            Some(contact) => Tried::Opened(contact.clone()),
            None => Tried::Wrong,
        };
        state.tries.room(attempt.call)?;
        state.live.room(attempt.call)?;
        for counted in &counted {
            state.fails.room(&counted.name)?;
        }
        tries.push((this, tried.clone()));
        state.tries.put(attempt.call.clone(), tries, ttl)?;
        if let Some(contact) = hit {
            call.opened = true;
            call.contact = contact;
            state.live.put(attempt.call.clone(), attempt.owner, ttl)?;
            if attempt.consume {
                state.keys.remove(attempt.key.expose());
            }
        } else {
            for counted in counted {
                counted.add(&mut state, this)?;
            }
        }
        state.calls.put(attempt.call.clone(), call, ttl)?;
        Ok(tried)
    }

    pub(super) fn give_back(&self, given: &GivenBack<'_>) -> Result<(), Unavailable> {
        let mut state = self.state();
        if state.spent.get(&given.token) == Some(&given.owner) {
            state.spent.remove(&given.token);
        }
        let known = state.calls.get_mut(given.call);
        let Some(call) = known.filter(|call| call.owner == Some(given.owner)) else {
            return Ok(());
        };
        call.owner = call.before.take();
        let nobodys = call.owner.is_none();
        if nobodys && state.live.get(given.call) != Some(&given.owner) {
            state.live.keep(given.call, given.resume);
        }
        Ok(())
    }

    pub(super) fn leave(
        &self,
        call: &CallId,
        owner: SessionId,
        resume: Duration,
    ) -> Result<(), Unavailable> {
        let mut state = self.state();
        let Some(known) = state.calls.get_mut(call) else {
            return Ok(());
        };
        if known.owner == Some(owner) {
            state.live.keep(call, resume);
        } else if known.before == Some(owner) {
            // Should the call come back, there is nobody to have it.
            known.before = None;
        }
        Ok(())
    }

    pub(super) fn look(&self, call: &CallId, owner: SessionId) -> Result<Still, Unavailable> {
        let mut state = self.state();
        let Some(known) = state.calls.get(call) else {
            return Ok(Still::Gone);
        };
        if known.owner != Some(owner) {
            return Ok(Still::Superseded);
        }
        if known.ended.is_some() {
            return Ok(Still::Ended);
        }
        if known.opened && state.live.get(call).is_none() {
            return Ok(Still::Gone);
        }
        state.calls.keep(call, self.policy.ttl);
        state.live.keep(call, self.policy.ttl);
        Ok(Still::Ours)
    }

    pub(super) fn note_call(&self, call: &CallId, facts: &Facts) -> Result<(), Unavailable> {
        let mut state = self.state();
        let mut known = state.calls.get(call).cloned().unwrap_or_default();
        let said = facts.clone();
        let old = known.facts;
        known.facts = Facts {
            ani: said.ani.or(old.ani),
            sip: said.sip.or(old.sip),
            connection: said.connection.or(old.connection),
            correlation: said.correlation.or(old.correlation),
        };
        state.calls.put(call.clone(), known, self.policy.ttl)
    }

    pub(super) fn put_key(&self, key: &SessionKey, ttl: Duration) -> Result<(), Unavailable> {
        self.state()
            .keys
            .put(key.expose().to_owned(), Written::default(), ttl)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked: what is written first makes nobody more than they were.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A session key's contact, if the key is there. Whatever is in here has an end, so `require_ttl`
    /// has nothing to refuse.
    fn contact(&self, key: &SessionKey) -> Option<Option<ContactId>> {
        let written = self.keys.get(key.expose())?;
        Some(written.contact.clone())
    }

    /// Whether it was written for a call that was made, and not for the one of this binding.
    fn is_anothers(&self, key: &SessionKey, binding: Option<Digest>) -> bool {
        let written = self.keys.get(key.expose());
        let written = written.and_then(|written| written.binding);
        written.is_some() && written != binding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyForms;
    use crate::ids::ForeignId;
    use crate::store::{Lodged, NOTICES_MAX, Needs, ORDERS_MAX, Order, Target};
    use std::sync::LazyLock;
    use std::time::SystemTime;

    const TTL: Duration = Duration::from_secs(60);
    static ROUTE: LazyLock<Label> = LazyLock::new(|| Label::new("phone").unwrap());

    fn memory(entries: usize) -> (Memory, Keys) {
        let policy = Policy {
            ttl: TTL,
            require_ttl: true,
        };
        let keys = Keys::new(&KeyForms::default());
        (Memory::new(policy, entries), keys)
    }

    fn call(name: &str) -> CallId {
        CallId::new(name).unwrap()
    }

    fn enter<'a>(call: &'a CallId, connection: &'a ForeignId, needs: Needs) -> Enter<'a> {
        let owner = SessionId::random();
        Enter {
            call,
            owner,
            token: Digest::of(&owner.to_string()),
            token_expires: SystemTime::now() + TTL,
            connection: Some(connection),
            correlation: None,
            route: LazyLock::force(&ROUTE),
            signed: None,
            binding: None,
            makes: false,
            needs,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s31_a_full_memory_refuses_what_is_new_until_something_ends() {
        let (memory, _) = memory(2);
        let facts = Facts::default();
        for name in ["a", "b"] {
            assert_eq!(memory.note_call(&call(name), &facts), Ok(()));
        }
        assert_eq!(memory.note_call(&call("c"), &facts), Err(Unavailable::Full));
        // What is there may be written again.
        assert_eq!(memory.note_call(&call("a"), &facts), Ok(()));
        tokio::time::advance(TTL).await;
        assert_eq!(memory.note_call(&call("c"), &facts), Ok(()));
        assert_eq!(memory.state().calls.entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn s28_an_admission_that_has_no_room_consumes_and_spends_nothing() {
        let (memory, keys) = memory(1);
        let connection = ForeignId::new("c1").unwrap();
        let (first, second) = (call("first"), call("second"));
        memory.note_call(&first, &Facts::default()).unwrap();
        memory
            .enter(&enter(&first, &connection, Needs::Nothing), &keys)
            .unwrap();
        // Its record has room again, its verdict and its token have none.
        memory.state().calls.remove(&first);
        memory.note_call(&second, &Facts::default()).unwrap();
        memory.put_key(&keys.api(&connection), TTL).unwrap();
        let ask = enter(&second, &connection, Needs::ApiKey { consume: true });
        assert_eq!(memory.enter(&ask, &keys), Err(Unavailable::Full));
        let state = memory.state();
        assert!(state.contact(&keys.api(&connection)).is_some());
        assert!(state.spent.get(&ask.token).is_none());
        let facts = state.calls.get(&second).map(|call| call.facts.clone());
        assert_eq!(facts, Some(Facts::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a27_what_has_ended_is_not_there() {
        let (memory, keys) = memory(9);
        let connection = ForeignId::new("c1").unwrap();
        let one = call("one");
        memory.note_call(&one, &Facts::default()).unwrap();
        memory.put_key(&keys.api(&connection), TTL / 2).unwrap();
        tokio::time::advance(TTL / 2).await;
        let ask = enter(&one, &connection, Needs::ApiKey { consume: true });
        assert_eq!(memory.enter(&ask, &keys), Ok(Entered::NoKey));
        tokio::time::advance(TTL / 2).await;
        assert_eq!(memory.enter(&ask, &keys), Ok(Entered::Unknown));
    }

    #[test]
    fn a35_a_full_log_of_orders_refuses_until_something_ends() {
        let (memory, _) = memory(1);
        let order = |i: usize| Order::Revoke(Target::Subject(format!("users:{i}").into()));
        let notice = Order::End {
            session: SessionId::random(),
        };
        let hour = SystemTime::now() + Duration::from_secs(3600);
        for i in 0..NOTICES_MAX {
            assert_eq!(memory.write_order(&order(i), hour), Lodged::Written);
        }
        assert_eq!(memory.write_order(&notice, hour), Lodged::Full);
        let soon = SystemTime::now() + Duration::from_secs(4);
        for i in NOTICES_MAX..ORDERS_MAX {
            assert_eq!(memory.write_order(&order(i), soon), Lodged::Written);
        }
        let late = order(ORDERS_MAX);
        assert_eq!(memory.write_order(&late, hour), Lodged::Full);
        while SystemTime::now() < soon {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(memory.write_order(&late, hour), Lodged::Written);
        assert_eq!(memory.state().orders.entries.len(), NOTICES_MAX + 1);
    }
}
