//! Notes about people, whatever keeps them.

use std::time::Duration;

use tonegate::ids::{EntraId, random_guid};
use tonegate::store::{About, Note, Unavailable};

use crate::under::{HOUR, Under, eventually};

/// A person whom no other test knows.
struct Person {
    tenant: EntraId,
    person: EntraId,
}

const ALL: [Note; 4] = [Note::Reference, Note::Quiet, Note::Scope, Note::Person];

impl Person {
    fn new() -> Person {
        let id = || EntraId::new(&random_guid()).unwrap();
        Person {
            tenant: id(),
            person: id(),
        }
    }

    fn about(&self, note: Note) -> About<'_> {
        About {
            note,
            tenant: &self.tenant,
            person: &self.person,
        }
    }
}

pub(crate) async fn c22_a_note_is_found_by_every_edge_until_it_is_dropped(under: Under) {
    let (one, other) = (under.store(), under.other());
    let person = Person::new();
    for note in ALL {
        let about = person.about(note);
        assert_eq!(one.note(about).await.unwrap(), None);
        assert!(!one.drop_note(about).await.unwrap());
        one.put_note(about, "{\"a\":\"\u{e9}\\u0000\"}", HOUR)
            .await
            .unwrap();
        let text = other.note(about).await.unwrap();
        assert_eq!(text.as_deref(), Some("{\"a\":\"\u{e9}\\u0000\"}"));
        other.put_note(about, "second", HOUR).await.unwrap();
        assert_eq!(one.note(about).await.unwrap().as_deref(), Some("second"));
    }
    // One of them is not the others, nor anybody else's.
    assert!(other.drop_note(person.about(Note::Quiet)).await.unwrap());
    for note in ALL {
        let there = one.note(person.about(note)).await.unwrap().is_some();
        assert_eq!(there, note != Note::Quiet);
    }
    let swapped = Person {
        tenant: person.person.clone(),
        person: person.tenant.clone(),
    };
    assert_eq!(
        one.note(swapped.about(Note::Reference)).await.unwrap(),
        None
    );
}

pub(crate) async fn c22_a_note_ends_and_each_writing_renews_it(under: Under) {
    let store = under.store();
    let person = Person::new();
    let about = person.about(Note::Reference);
    let short = Duration::from_millis(150);
    store.put_note(about, "a", short).await.unwrap();
    eventually("the end of a note", async || {
        store.note(about).await.unwrap().is_none().then_some(())
    })
    .await;
    store.put_note(about, "b", short).await.unwrap();
    store.put_note(about, "c", HOUR).await.unwrap();
    let last = Person::new();
    store
        .put_note(last.about(Note::Quiet), "1", short)
        .await
        .unwrap();
    eventually("the end of another note", async || {
        let note = store.note(last.about(Note::Quiet)).await.unwrap();
        note.is_none().then_some(())
    })
    .await;
    assert_eq!(store.note(about).await.unwrap().as_deref(), Some("c"));
    // A wish outlives whoever could remember it.
    let years = Duration::from_secs(10 * 365 * 24 * 3600);
    store.put_note(about, "d", years).await.unwrap();
    assert_eq!(store.note(about).await.unwrap().as_deref(), Some("d"));
}

pub(crate) async fn c22_a_note_has_its_bound(under: Under) {
    let store = under.store();
    let person = Person::new();
    let about = person.about(Note::Scope);
    let large = "x".repeat(512 * 1024);
    store.put_note(about, &large, HOUR).await.unwrap();
    assert_eq!(
        store.note(about).await.unwrap().map(|text| text.len()),
        Some(large.len())
    );
    let larger = store.put_note(about, &(large + "x"), HOUR).await;
    assert_eq!(larger, Err(Unavailable::Full));
    assert!(store.drop_note(about).await.unwrap());
}
