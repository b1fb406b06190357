//! Sessions that run, in Redis: a text each, and a sorted set for each list, whose scores are when a
//! place ends by the server's clock. Each command has one key, so a cluster takes them, too.

use std::collections::HashMap;
use std::time::Duration;

use fred::error::Error;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Expiration;

use super::script::Script;
use super::{Redis, Turn, is, ms};
use crate::ids::SessionId;
use crate::store::running::{self, Found, PLACES, Running, Whose};
use crate::store::{Keys, Unavailable};

impl Redis {
    pub(in crate::store) async fn tell_running(
        &self,
        sessions: &[Running],
        ttl: Duration,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let texts = sessions.iter().map(|told| self.put(&turn, told, ttl, keys));
        running::all(texts.collect()).await?;
        // What stands in a list is there.
        let for_so_long = [ms(ttl)];
        let lists = lists(sessions, keys).into_iter().map(|(name, ids)| {
            let args = for_so_long.iter().cloned().chain(ids);
            turn.done(&self.scripts.list, name, args.collect())
        });
        running::all(lists.collect()).await.map(drop)
    }

    pub(in crate::store) async fn forget_running(
        &self,
        sessions: &[Running],
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let texts = sessions.iter().map(|told| self.drop(&turn, told, keys));
        running::all(texts.collect()).await?;
        let lists = lists(sessions, keys).into_iter();
        let lists = lists.map(|(name, ids)| turn.done(&self.scripts.unlist, name, ids));
        running::all(lists.collect()).await.map(drop)
    }

    pub(in crate::store) async fn running(
        &self,
        id: SessionId,
        keys: &Keys,
    ) -> Result<Option<Running>, Unavailable> {
        let turn = self.turn()?;
        match self.text(&turn, id, keys).await? {
            Some(text) => Running::read(id, &text)
                .ok_or(Unavailable::Malformed)
                .map(Some),
            None => Ok(None),
        }
    }

    pub(in crate::store) async fn running_of(
        &self,
        whose: Whose<'_>,
        most: usize,
        keys: &Keys,
    ) -> Result<Found, Unavailable> {
        let turn = self.turn()?;
        // One more than are wanted says whether there are.
        let limit = [most.saturating_add(1).to_string()];
        let script = &self.scripts.listed;
        let listed: Vec<String> = turn.ask(script, [keys.running_of(whose)], limit).await?;
        let more = listed.len() > most;
        let ids = listed.iter().take(most);
        let ids: Vec<SessionId> = ids.filter_map(|id| SessionId::from_hex(id)).collect();
        let texts = ids.iter().map(|id| self.text(&turn, *id, keys));
        let texts = running::all(texts.collect()).await?;
        let read = |(id, text): (SessionId, Option<String>)| Running::read(id, &text?);
        let sessions = ids.into_iter().zip(texts).filter_map(read);
        Ok(Found {
            // A list says where to look, the record whose it is.
            sessions: sessions.filter(|session| session.is(whose)).collect(),
            more,
        })
    }

    async fn put(
        &self,
        turn: &Turn<'_>,
        told: &Running,
        ttl: Duration,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1);
        let (name, ends) = (keys.running(told.id), Some(Expiration::PX(millis)));
        let put: Result<(), Error> = client.set(name, told.write(), ends, None, false).await;
        put.map_err(|error| self.unavailable(&error))
    }

    async fn drop(&self, turn: &Turn<'_>, told: &Running, keys: &Keys) -> Result<(), Unavailable> {
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let gone: Result<u64, Error> = client.del(keys.running(told.id)).await;
        gone.map(drop).map_err(|error| self.unavailable(&error))
    }

    async fn text(
        &self,
        turn: &Turn<'_>,
        id: SessionId,
        keys: &Keys,
    ) -> Result<Option<String>, Unavailable> {
        let options = turn.options()?;
        let client = self.client.with_options(&options);
        let text: Result<Option<String>, Error> = client.get(keys.running(id)).await;
        text.map_err(|error| self.unavailable(&error))
    }
}

impl Turn<'_> {
    /// Runs a script on one key that says that it is done.
    async fn done(
        &self,
        script: &Script,
        key: String,
        args: Vec<String>,
    ) -> Result<(), Unavailable> {
        let done: String = self.ask(script, [key], args).await?;
        is(&done, "ok")
    }
}

/// The lists that sessions stand in, each with so many of them as one command takes.
fn lists(sessions: &[Running], keys: &Keys) -> Vec<(String, Vec<String>)> {
    let mut lists: HashMap<Whose<'_>, Vec<String>> = HashMap::new();
    for session in sessions {
        for list in session.lists() {
            lists.entry(list).or_default().push(session.id.to_string());
        }
    }
    let mut all = Vec::new();
    for (whose, ids) in lists {
        let name = keys.running_of(whose);
        all.extend(ids.chunks(PLACES).map(|ids| (name.clone(), ids.to_vec())));
    }
    all
}
