//! Sessions that run, whatever keeps what is told of them.

use std::time::{Duration, SystemTime};

use tonegate::ids::{EntraId, SessionId, random_guid};
use tonegate::label::Label;
use tonegate::secret::Digest;
use tonegate::store::{Running, Whose};

use crate::under::{HOUR, Under, eventually};

fn entra() -> EntraId {
    EntraId::new(&random_guid()).unwrap()
}

/// A session of somebody whom no other test knows, on a route that no other test has.
fn session() -> Running {
    let name = random_guid();
    // What is kept has milliseconds.
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
    Running {
        id: SessionId::random(),
        route: Label::new(&name).unwrap(),
        subject: format!("users:t/{name}"),
        digest: Digest::of(&name),
        person: Some((entra(), entra())),
        call: None,
        started: now,
        lease: Some(now + HOUR),
        of_others: None,
        longest: now + 2 * HOUR,
    }
}

fn lists(session: &Running) -> Vec<Whose<'_>> {
    let (tenant, person) = session.person.as_ref().unwrap();
    vec![
        Whose::Subject(&session.digest),
        Whose::Person(tenant, person),
        Whose::Tenant(tenant),
        Whose::Route(&session.route),
    ]
}

pub(crate) async fn c13_a_session_that_runs_is_found_by_whose_it_is_at_every_edge(under: Under) {
    let (one, other) = (under.store(), under.other());
    let (session, beside) = (session(), session());
    assert_eq!(other.running(session.id).await.unwrap(), None);
    one.tell_running(&[session.clone(), beside.clone()], HOUR)
        .await
        .unwrap();
    assert_eq!(
        other.running(session.id).await.unwrap().as_ref(),
        Some(&session)
    );
    for whose in lists(&session) {
        let found = other.running_of(whose, 10).await.unwrap();
        assert_eq!(found.sessions, std::slice::from_ref(&session), "{whose:?}");
        assert!(!found.more);
    }
    // Somebody else in the same tenant is not that person.
    let (tenant, _) = session.person.as_ref().unwrap();
    let stranger = entra();
    let found = other.running_of(Whose::Person(tenant, &stranger), 10);
    assert_eq!(found.await.unwrap().sessions, []);
    // Told again it is the same one, as it is now.
    let later = Running {
        lease: None,
        ..session.clone()
    };
    other
        .tell_running(std::slice::from_ref(&later), HOUR)
        .await
        .unwrap();
    for whose in lists(&later) {
        let found = one.running_of(whose, 10).await.unwrap();
        assert_eq!(found.sessions, std::slice::from_ref(&later), "{whose:?}");
    }
    one.forget_running(std::slice::from_ref(&later))
        .await
        .unwrap();
    assert_eq!(other.running(session.id).await.unwrap(), None);
    for whose in lists(&session) {
        assert_eq!(other.running_of(whose, 10).await.unwrap().sessions, []);
    }
    assert_eq!(other.running(beside.id).await.unwrap(), Some(beside));
}

pub(crate) async fn c13_what_is_told_of_a_session_ends_unless_it_is_told_again(under: Under) {
    let store = under.store();
    let (short, long) = (session(), session());
    let long = Running {
        route: short.route.clone(),
        ..long
    };
    let moment = Duration::from_millis(150);
    store
        .tell_running(&[short.clone(), long.clone()], moment)
        .await
        .unwrap();
    store
        .tell_running(std::slice::from_ref(&long), HOUR)
        .await
        .unwrap();
    eventually("the end of what was told", async || {
        let gone = store.running(short.id).await.unwrap().is_none();
        let found = store.running_of(Whose::Route(&short.route), 10);
        (gone && found.await.unwrap().sessions == [long.clone()]).then_some(())
    })
    .await;
    let (tenant, _) = short.person.as_ref().unwrap();
    let found = store.running_of(Whose::Tenant(tenant), 10).await.unwrap();
    assert_eq!(found.sessions, []);
    assert_eq!(store.running(long.id).await.unwrap(), Some(long));
}

pub(crate) async fn c13_so_many_are_found_as_are_wanted_and_whether_there_are_more(under: Under) {
    let store = under.store();
    let of = session();
    // More than one command takes.
    let all: Vec<Running> = (0..1200)
        .map(|_| Running {
            id: SessionId::random(),
            ..of.clone()
        })
        .collect();
    for some in all.chunks(600) {
        store.tell_running(some, HOUR).await.unwrap();
    }
    let whose = Whose::Subject(&of.digest);
    for (most, found, more) in [
        (5, 5, true),
        (1199, 1199, true),
        (1200, 1200, false),
        (2000, 1200, false),
    ] {
        let told = store.running_of(whose, most).await.unwrap();
        assert_eq!((told.sessions.len(), told.more), (found, more), "{most}");
    }
    for some in all.chunks(600) {
        store.forget_running(some).await.unwrap();
    }
    assert_eq!(store.running_of(whose, 5).await.unwrap().sessions, []);
}
