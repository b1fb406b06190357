//! Sessions that another cloud hands over: written once, opened once, told of, taken back.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tonegate::config::{self, KeyForms, Layout};
use tonegate::error::{Reason, Side};
use tonegate::ids::{CallId, ContactId, SessionId};
use tonegate::label::Label;
use tonegate::secret::{Digest, Secret};
use tonegate::store::{
    Attempt, Begun, Ended, Enter, Entered, HandOver, HandedOver, Needs, Noted, Outcome, Over,
    SessionKey, Store, TakenBack, Tried,
};

use crate::server::{Cluster, Server};
use crate::suite::on_every_engine;
use crate::under::{Call, HOUR, Running, Under, at, eventually, random_ani, settings};

on_every_engine!(
    a09_a_session_is_written_once_and_asked_again_it_is_the_same,
    a09_a_key_that_somebody_else_has_is_taken,
    a09_a_key_that_the_contact_left_itself_is_not_taken,
    a09_thirty_of_one_request_write_one_session,
    a09_a_session_that_waited_in_vain_is_expired_and_may_be_written_anew,
    a10_a_session_is_its_writers_and_nobody_elses,
    a10_what_is_taken_back_opens_nothing_and_what_opened_is_not_taken_back,
    a10_of_thirty_requests_with_one_token_one_is_done,
    a32_a_token_is_given_back_by_whom_it_was_spent_and_by_nobody_else,
    a32_a_token_stays_spent_for_a_while_after_its_end,
    a11_a_code_opens_a_call_for_its_contact,
    a11_a_sip_id_opens_a_call_for_its_contact_before_the_101,
    a11_what_others_write_opens_for_nobody_or_for_whom_they_say,
    a11_what_became_of_a_call_is_known_to_whoever_handed_it_over,
    a11_a_call_that_is_taken_over_is_told_once_and_ends_with_its_last_session,
);

/// One session, its names drawn so that no two tests meet.
struct Session {
    contact: ContactId,
    route: Label,
    writer: Digest,
    content: Digest,
    key: SessionKey,
    drawn: Option<Secret>,
    ttl: Duration,
    expires: SystemTime,
}

impl Session {
    fn of(key: SessionKey) -> Session {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_667_400);
        Session {
            contact: ContactId::new(&SessionId::random().to_string()).unwrap(),
            route: Label::new("sessions").unwrap(),
            writer: Digest::of("the contact centre"),
            content: Digest::of("what it wants"),
            key,
            drawn: Some(Secret::new("823".to_owned())),
            ttl: HOUR,
            expires: at,
        }
    }

    /// For the caller of a call that waits for a code.
    fn for_call(store: &Store, call: &Call) -> Session {
        Session::of(call.key(store, "823"))
    }

    fn new(store: &Store) -> Session {
        Session::of(store.keys().pstn(&random_ani(), "823").unwrap())
    }

    fn ask(&self) -> HandOver<'_> {
        HandOver {
            contact: &self.contact,
            route: &self.route,
            writer: self.writer,
            content: self.content,
            key: &self.key,
            drawn: self.drawn.as_ref(),
            context: Some("{\"vip\":true}"),
            expires: self.expires,
            ttl: self.ttl,
        }
    }

    async fn write(&self, store: &Store) -> HandedOver {
        store.hand_over(&self.ask()).await.unwrap()
    }

    async fn is_new(&self, store: &Store) {
        let written = self.write(store).await;
        assert!(matches!(written, HandedOver::New), "{written:?}");
    }

    async fn outcome(&self, store: &Store) -> Outcome {
        store.handed(&self.contact).await.unwrap().unwrap().outcome
    }

    fn begun<'a>(&'a self, call: &'a Call, by_key: bool) -> Begun<'a> {
        Begun {
            contact: &self.contact,
            key: by_key.then_some(&self.key),
            call: &call.id,
            owner: call.owner,
            connection: call.facts.connection.as_ref(),
            correlation: call.facts.correlation.as_ref(),
            at: self.expires,
            keep: HOUR,
        }
    }

    fn ended(&self) -> Ended {
        Ended {
            at: self.expires + Duration::from_secs(9),
            by: Side::Client,
            reason: Reason::ClientClosed,
            lasted: Duration::from_millis(9_001),
        }
    }

    /// Whether it was written down.
    async fn over(&self, store: &Store, owner: SessionId) -> bool {
        let over = Over {
            contact: &self.contact,
            owner,
            ended: &self.ended(),
        };
        store.note_over(&over).await.unwrap()
    }
}

/// The code is tried by the session that has the call.
async fn tried(store: &Store, call: &Call, number: u32) -> Tried {
    let key = call.key(store, "823");
    store.try_code(&call.attempt(&key, number)).await.unwrap()
}

async fn a09_a_session_is_written_once_and_asked_again_it_is_the_same(under: Under) {
    let store = under.store();
    let session = Session::new(store);
    session.is_new(store).await;
    // By another edge, which has drawn another code meanwhile.
    let again = Session {
        key: store.keys().pstn(&random_ani(), "999").unwrap(),
        drawn: Some(Secret::new("999".to_owned())),
        expires: SystemTime::now(),
        contact: session.contact.clone(),
        ..Session::new(store)
    };
    let HandedOver::Same { drawn, expires } = again.write(under.other()).await else {
        panic!("another one");
    };
    assert_eq!(drawn.unwrap().expose(), "823");
    assert_eq!(expires, session.expires);
    let other = Session {
        content: Digest::of("something else"),
        ..again
    };
    let written = other.write(store).await;
    assert!(matches!(written, HandedOver::Conflict), "{written:?}");
    let foreign = Session {
        writer: Digest::of("somebody else"),
        content: session.content,
        ..other
    };
    let written = foreign.write(store).await;
    assert!(matches!(written, HandedOver::Conflict), "{written:?}");
    // What none of them was let write is not there.
    let known = store.handed(&session.contact).await.unwrap().unwrap();
    assert!(known.writer.is(&session.writer));
    assert_eq!(known.outcome, Outcome::Waiting);
    assert_eq!(known.context.as_deref(), Some("{\"vip\":true}"));
    assert_eq!(known.expires, session.expires);
}

async fn a09_a_key_that_somebody_else_has_is_taken(under: Under) {
    let store = under.store();
    let session = Session::new(store);
    // A plain one.
    store.put_key(&session.key, HOUR).await.unwrap();
    let written = session.write(under.other()).await;
    assert!(matches!(written, HandedOver::Taken), "{written:?}");
    // Nothing is left of it, so another code may be drawn at once.
    assert!(store.handed(&session.contact).await.unwrap().is_none());
    let free = Session {
        key: Session::new(store).key,
        ..session
    };
    free.is_new(store).await;
    // And that of another contact.
    let other = Session {
        key: free.key.clone(),
        ..Session::new(store)
    };
    let written = other.write(store).await;
    assert!(matches!(written, HandedOver::Taken), "{written:?}");
}

/// A route that does not consume keys leaves them: the contact's own is not in its own way.
async fn a09_a_key_that_the_contact_left_itself_is_not_taken(under: Under) {
    let store = under.store();
    let call = Call::new();
    call.note(store).await;
    let session = Session::of(store.keys().sip(call.sip()));
    session.is_new(store).await;
    let needs = Needs::SipKey { consume: false };
    let entered = call.enter(store, needs).await;
    assert!(matches!(entered, Entered::Authorised { .. }), "{entered:?}");
    store.note_begun(&session.begun(&call, true)).await.unwrap();
    assert!(session.over(store, call.owner).await);
    let stranger = Session::of(session.key.clone());
    let written = stranger.write(under.other()).await;
    assert!(matches!(written, HandedOver::Taken), "{written:?}");
    session.is_new(under.other()).await;
    assert_eq!(session.outcome(store).await, Outcome::Waiting);
}

async fn a09_thirty_of_one_request_write_one_session(under: Under) {
    let session = Session::new(under.store());
    let stores = [under.store(), under.other()].into_iter().cycle();
    let all = stores.take(30).map(|store| session.write(store));
    let all = join_all(all).await;
    let new = all.iter().filter(|one| matches!(one, HandedOver::New));
    assert_eq!(new.count(), 1, "{all:?}");
    let known = |one: &&HandedOver| matches!(one, HandedOver::Same { .. } | HandedOver::Busy);
    assert_eq!(all.iter().filter(known).count(), 29, "{all:?}");
}

async fn a09_a_session_that_waited_in_vain_is_expired_and_may_be_written_anew(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let mut session = Session::for_call(store, &call);
    session.ttl = Duration::from_millis(150);
    session.is_new(store).await;
    eventually("the end of it", async || {
        let outcome = session.outcome(under.other()).await;
        (outcome == Outcome::Expired).then_some(())
    })
    .await;
    assert_eq!(tried(store, &call, 1).await, Tried::Wrong);
    // The same request, and another one.
    for content in ["what it wants", "something else"] {
        session.content = Digest::of(content);
        if content == "something else" {
            eventually("the end of that", async || {
                let outcome = session.outcome(store).await;
                (outcome == Outcome::Expired).then_some(())
            })
            .await;
        }
        session.is_new(store).await;
    }
    session.ttl = HOUR;
    // Its key is gone by itself: there is nothing to take back but what is known of it.
    eventually("the end", async || {
        let outcome = session.outcome(store).await;
        (outcome == Outcome::Expired).then_some(())
    })
    .await;
    let taken = store.take_back(&session.contact, session.writer).await;
    assert_eq!(taken, Ok(TakenBack::Done));
    assert!(store.handed(&session.contact).await.unwrap().is_none());
}

async fn a10_a_session_is_its_writers_and_nobody_elses(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let session = Session::for_call(store, &call);
    session.is_new(store).await;
    let foreign = Digest::of("somebody else");
    let taken = under.other().take_back(&session.contact, foreign).await;
    assert_eq!(taken, Ok(TakenBack::Unknown));
    let nobody = ContactId::new(&SessionId::random().to_string()).unwrap();
    let taken = store.take_back(&nobody, session.writer).await;
    assert_eq!(taken, Ok(TakenBack::Unknown));
    assert!(store.handed(&nobody).await.unwrap().is_none());
    let opened = tried(store, &call, 1).await;
    assert_eq!(opened, Tried::Opened(Some(session.contact)));
}

async fn a10_what_is_taken_back_opens_nothing_and_what_opened_is_not_taken_back(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let session = Session::for_call(store, &call);
    session.is_new(store).await;
    let taken = under
        .other()
        .take_back(&session.contact, session.writer)
        .await;
    assert_eq!(taken, Ok(TakenBack::Done));
    assert_eq!(tried(store, &call, 1).await, Tried::Wrong);
    assert!(store.handed(&session.contact).await.unwrap().is_none());
    // The same once more, and this time the caller is faster, and not yet written down.
    session.is_new(store).await;
    let opened = tried(under.other(), &call, 2).await;
    assert_eq!(opened, Tried::Opened(Some(session.contact.clone())));
    let take_back = || store.take_back(&session.contact, session.writer);
    assert_eq!(take_back().await, Ok(TakenBack::Open));
    store.note_begun(&session.begun(&call, true)).await.unwrap();
    assert_eq!(take_back().await, Ok(TakenBack::Open));
    // Nor is it written anew by the same request.
    let written = session.write(store).await;
    assert!(matches!(written, HandedOver::Same { .. }), "{written:?}");
    let stranger = Call {
        facts: call.facts.clone(),
        ..Call::new()
    };
    stranger.note(store).await;
    stranger.enter(store, Needs::Dialled).await;
    assert_eq!(tried(store, &stranger, 1).await, Tried::Wrong);
    assert!(session.over(store, call.owner).await);
    assert_eq!(take_back().await, Ok(TakenBack::Done));
}

async fn a10_of_thirty_requests_with_one_token_one_is_done(under: Under) {
    let token = Digest::of(&SessionId::random().to_string());
    let expires = SystemTime::now() + HOUR;
    let stores = [under.store(), under.other()].into_iter().cycle();
    let all = stores.take(30).map(async |store| {
        let by = SessionId::random();
        let first = store.spend(&token, by, expires).await.unwrap();
        // Asked again after a lost answer it is still the same.
        assert_eq!(store.spend(&token, by, expires).await, Ok(first));
        first
    });
    let done = join_all(all).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
}

async fn a32_a_token_is_given_back_by_whom_it_was_spent_and_by_nobody_else(under: Under) {
    let token = Digest::of(&SessionId::random().to_string());
    let expires = SystemTime::now() + HOUR;
    let (store, other) = (under.store(), under.other());
    let [first, second] = [SessionId::random(), SessionId::random()];
    // What nobody has spent nobody can give back, and it is no error.
    store.unspend(&token, first).await.unwrap();
    assert_eq!(store.spend(&token, first, expires).await, Ok(true));
    assert_eq!(other.spend(&token, second, expires).await, Ok(false));
    other.unspend(&token, second).await.unwrap();
    assert_eq!(other.spend(&token, second, expires).await, Ok(false));
    store.unspend(&token, first).await.unwrap();
    assert_eq!(other.spend(&token, second, expires).await, Ok(true));
    assert_eq!(store.spend(&token, first, expires).await, Ok(false));
}

/// Whoever found it good at its last moment asks a moment later, or by a clock that is behind.
async fn a32_a_token_stays_spent_for_a_while_after_its_end(under: Under) {
    let token = Digest::of(&SessionId::random().to_string());
    let ends = SystemTime::now();
    let (store, other) = (under.store(), under.other());
    let [first, second] = [SessionId::random(), SessionId::random()];
    assert_eq!(store.spend(&token, first, ends).await, Ok(true));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(other.spend(&token, second, ends).await, Ok(false));
    // ACS' tokens are spent by the call's way in.
    let call = Call::new();
    call.note(store).await;
    let asked = |owner| Enter {
        owner,
        token_expires: ends,
        ..call.ask(Needs::Dialled)
    };
    let entered = store.enter(&asked(first)).await.unwrap();
    assert_eq!(entered, call.pending());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let entered = other.enter(&asked(second)).await;
    assert_eq!(entered, Ok(Entered::Spent));
}

async fn a11_a_code_opens_a_call_for_its_contact(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let session = Session::for_call(under.other(), &call);
    session.is_new(under.other()).await;
    let opened = Tried::Opened(Some(session.contact.clone()));
    assert_eq!(tried(store, &call, 1).await, opened);
    // After a lost answer, and for whoever comes after that.
    assert_eq!(tried(under.other(), &call, 1).await, opened);
    assert_eq!(tried(store, &call, 2).await, opened);
    let again = call.again();
    let entered = again.enter(under.other(), Needs::Dialled).await;
    let resumed = Entered::Authorised {
        facts: call.facts.clone(),
        resumed: true,
        contact: Some(session.contact),
    };
    assert_eq!(entered, resumed);
}

async fn a11_a_sip_id_opens_a_call_for_its_contact_before_the_101(under: Under) {
    let store = under.store();
    for consume in [true, false] {
        let call = Call::new();
        call.note(store).await;
        let session = Session::of(store.keys().sip(call.sip()));
        session.is_new(under.other()).await;
        let needs = Needs::SipKey { consume };
        let authorised = |resumed| Entered::Authorised {
            facts: call.facts.clone(),
            resumed,
            contact: Some(session.contact.clone()),
        };
        assert_eq!(call.enter(store, needs).await, authorised(false));
        assert_eq!(call.enter(store, needs).await, authorised(false));
        let again = call.again();
        let entered = again.enter(under.other(), needs).await;
        assert_eq!(entered, authorised(true));
        let begun = store.note_begun(&session.begun(&call, true)).await;
        assert_eq!(begun, Ok(Noted::New(session.route.clone())));
    }
}

async fn a11_what_others_write_opens_for_nobody_or_for_whom_they_say(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    store.put_key(&call.key(store, "823"), HOUR).await.unwrap();
    assert_eq!(tried(store, &call, 1).await, Tried::Opened(None));
    // A contact of which there is no record, or one of another key, is told nobody of.
    let session = Session::new(store);
    let begun = store.note_begun(&session.begun(&call, true)).await;
    assert_eq!(begun, Ok(Noted::Unknown));
    session.is_new(store).await;
    let other = call.key(store, "823");
    let begun = Begun {
        key: Some(&other),
        ..session.begun(&call, true)
    };
    assert_eq!(store.note_begun(&begun).await, Ok(Noted::Unknown));
    assert_eq!(session.outcome(store).await, Outcome::Waiting);
}

async fn a11_what_became_of_a_call_is_known_to_whoever_handed_it_over(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let session = Session::for_call(store, &call);
    session.is_new(store).await;
    tried(store, &call, 1).await;
    let begun = session.begun(&call, true);
    let noted = under.other().note_begun(&begun).await;
    assert_eq!(noted, Ok(Noted::New(session.route.clone())));
    let Outcome::Opened(opened) = session.outcome(store).await else {
        panic!("not opened");
    };
    assert_eq!(opened.call, call.id);
    assert_eq!(opened.connection, call.facts.connection);
    assert_eq!(opened.correlation, call.facts.correlation);
    assert_eq!(opened.at, session.expires);
    assert!(session.over(under.other(), call.owner).await);
    // Asked again after a lost answer it is the same.
    assert!(session.over(store, call.owner).await);
    let outcome = session.outcome(store).await;
    assert_eq!(outcome, Outcome::Ended(opened, session.ended()));
    // The same contact hands over once more.
    session.is_new(store).await;
    assert_eq!(session.outcome(store).await, Outcome::Waiting);
}

async fn a11_a_call_that_is_taken_over_is_told_once_and_ends_with_its_last_session(under: Under) {
    let store = under.store();
    let call = Call::dialled(store).await;
    let session = Session::for_call(store, &call);
    session.is_new(store).await;
    tried(store, &call, 1).await;
    let route = || session.route.clone();
    let noted = store.note_begun(&session.begun(&call, true)).await;
    assert_eq!(noted, Ok(Noted::New(route())));
    let second = call.again();
    let other = under.other();
    let noted = other.note_begun(&session.begun(&second, false)).await;
    assert_eq!(noted, Ok(Noted::Again(route())));
    // The first one goes later than the second came.
    assert!(!session.over(store, call.owner).await);
    assert!(matches!(session.outcome(other).await, Outcome::Opened(_)));
    assert!(session.over(other, second.owner).await);
    assert!(matches!(session.outcome(store).await, Outcome::Ended(..)));
    // After a while ACS dials once more, and the verdict holds.
    let third = call.again();
    let noted = store.note_begun(&session.begun(&third, false)).await;
    assert_eq!(noted, Ok(Noted::New(route())));
    assert!(matches!(session.outcome(other).await, Outcome::Opened(_)));
    // Another call is none of its own.
    let stranger = Call {
        id: CallId::new(&SessionId::random().to_string()).unwrap(),
        ..call.again()
    };
    let noted = store.note_begun(&session.begun(&stranger, false)).await;
    assert_eq!(noted, Ok(Noted::Unknown));
}

/// In a cluster a key is consumed before its call is opened. Should the answer to that be lost, its
/// contact is not.
#[tokio::test]
async fn a11_a_contact_is_known_after_an_answer_that_was_lost_in_a_cluster() {
    let cluster = Cluster::start();
    let running = Running::up(&settings(at(Layout::Cluster, &[&cluster.nodes[1]]))).await;
    let store = &*running.store;
    let call = Call::dialled(store).await;
    let key = call.key(store, "823");
    let used = format!("used:{{{}}}", key.expose());
    for (who, contact) in [
        (call.owner, "the-contact"),
        (SessionId::random(), "another"),
    ] {
        let value = format!("{who}:1 {contact}");
        cluster.nodes[0].tell(&["SET", &used, &value, "EX", "60"]);
        if contact == "another" {
            let other = Call::dialled(store).await;
            let attempt = Attempt {
                key: &key,
                ..other.attempt(&key, 1)
            };
            assert_eq!(store.try_code(&attempt).await, Ok(Tried::Wrong));
        } else {
            let opened = Tried::Opened(ContactId::new(contact));
            assert_eq!(tried(store, &call, 1).await, opened);
        }
    }
}

/// What is written is what the README says, and where keys are hashed none of it tells who calls or
/// what is dialled.
#[tokio::test]
async fn a16_a_session_is_written_as_it_is_said_and_tells_nothing_where_keys_are_hashed() {
    let server = Server::plain(&[]);
    let plain = settings(at(Layout::Single, &[&server]));
    let hashed = config::Store {
        keys: KeyForms {
            prefix: "h:".to_owned(),
            hmac: Some(Secret::new("0123456789abcdef0123456789abcdef".to_owned())),
            ..KeyForms::default()
        },
        ..plain.clone()
    };
    for (settings, legible) in [(plain, true), (hashed, false)] {
        let running = Running::up(&settings).await;
        let store = &*running.store;
        let ani = random_ani();
        let code = "48291348291348";
        let mut session = Session::of(store.keys().pstn(&ani, code).unwrap());
        session.drawn = Some(Secret::new(code.to_owned()));
        session.is_new(store).await;
        let HandedOver::Same { drawn, .. } = session.write(store).await else {
            panic!("another one");
        };
        assert_eq!(drawn.unwrap().expose(), code);
        let value = server.tell(&["GET", session.key.expose()]);
        assert_eq!(value, format!("{{\"session\":\"{}\"}}", session.contact));
        let prefix = if legible { "" } else { "h:" };
        let record = format!("{prefix}handoff:{{{}}}", session.contact);
        let record = server.tell(&["HGETALL", &record]);
        assert_eq!(record.contains(code), legible, "{record}");
        assert_eq!(record.contains(&ani.expose()[1..]), legible, "{record}");
        let names = server.tell(&["KEYS", &format!("{prefix}*")]);
        assert_eq!(names.contains(code), legible, "{names}");
    }
}
