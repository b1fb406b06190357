//! Notes about people, in Redis: one key each, so plain commands do.

use std::time::Duration;

use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Expiration;

use super::Redis;
use crate::store::Unavailable;

impl Redis {
    pub(in crate::store) async fn note(&self, name: &str) -> Result<Option<String>, Unavailable> {
        let turn = self.turn()?;
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let text: Result<Option<String>, Error> = client.get(name).await;
        text.map_err(|error| self.of_note(&error))
    }

    pub(in crate::store) async fn put_note(
        &self,
        name: &str,
        text: &str,
        ttl: Duration,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1);
        let ends = Some(Expiration::PX(millis));
        let put: Result<(), Error> = client.set(name, text, ends, None, false).await;
        put.map_err(|error| self.unavailable(&error))
    }

    pub(in crate::store) async fn drop_note(&self, name: &str) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let gone: Result<u64, Error> = client.del(name).await;
        let gone = gone.map_err(|error| self.unavailable(&error))?;
        Ok(gone > 0)
    }

    /// Others write notes, too: one that is no text is told as such.
    fn of_note(&self, error: &Error) -> Unavailable {
        let other = matches!(error.kind(), ErrorKind::Parse);
        if other || error.details().starts_with("WRONGTYPE") {
            return Unavailable::Malformed;
        }
        self.unavailable(error)
    }
}
