//! Notes about people, kept in this process.

use std::time::Duration;

use super::Memory;
use crate::store::Unavailable;

impl Memory {
    pub(in crate::store) fn note(&self, name: &str) -> Result<Option<String>, Unavailable> {
        Ok(self.state().notes.get(name).cloned())
    }

    pub(in crate::store) fn put_note(
        &self,
        name: String,
        text: &str,
        ttl: Duration,
    ) -> Result<(), Unavailable> {
        self.state().notes.put(name, text.to_owned(), ttl)
    }

    pub(in crate::store) fn drop_note(&self, name: &str) -> Result<bool, Unavailable> {
        let mut state = self.state();
        let was = state.notes.get(name).is_some();
        state.notes.remove(name);
        Ok(was)
    }
}
