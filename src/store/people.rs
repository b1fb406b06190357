//! What is kept of people who use a bot or an application: where to write to them, that they want to
//! hear nothing, whom they may see.
//!
//! Texts, whose form is for whoever keeps them. They hold ids of people, so nothing prints them.

use std::time::Duration;

use super::{Engine, Store, Unavailable};
use crate::ids::EntraId;

/// Longest text of a note.
pub(super) const NOTE_MAX: usize = 512 * 1024;

/// A kind of note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// A conversation with the person, written at their first contact.
    Reference,
    /// The person has said that the bot is to write nothing of its own accord.
    Quiet,
    /// Whom the person may see, as it was found not long ago.
    Scope,
    /// Who the person is to the customer, and who reports to them: written by the customer.
    Person,
}

impl Note {
    /// Its part of the key.
    pub(super) fn word(self) -> &'static str {
        match self {
            Note::Reference => "reference",
            Note::Quiet => "quiet",
            Note::Scope => "scope",
            Note::Person => "person",
        }
    }
}

/// A note about one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct About<'a> {
    pub note: Note,
    pub tenant: &'a EntraId,
    pub person: &'a EntraId,
}

impl Store {
    /// Reads a note.
    pub async fn note(&self, about: About<'_>) -> Result<Option<String>, Unavailable> {
        let name = self.keys.note(about);
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.note(&name),
                Engine::Redis(redis) => Box::pin(redis.note(&name)).await,
            }
        };
        self.count("note", work).await
    }

    /// Writes a note in place of the one there is, for so long.
    pub async fn put_note(
        &self,
        about: About<'_>,
        text: &str,
        ttl: Duration,
    ) -> Result<(), Unavailable> {
        if text.len() > NOTE_MAX {
            return Err(Unavailable::Full);
        }
        let name = self.keys.note(about);
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.put_note(name, text, ttl),
                Engine::Redis(redis) => Box::pin(redis.put_note(&name, text, ttl)).await,
            }
        };
        self.count("put_note", work).await
    }

    /// Takes a note away; whether there was one.
    pub async fn drop_note(&self, about: About<'_>) -> Result<bool, Unavailable> {
        let name = self.keys.note(about);
        let work = async {
            match &self.engine {
                Engine::Memory(memory) => memory.drop_note(&name),
                Engine::Redis(redis) => Box::pin(redis.drop_note(&name)).await,
            }
        };
        self.count("drop_note", work).await
    }
}
