//! What edges count together, in Redis: a script for all counters on one server, and one for each of
//! them in a cluster, where they lie in as many slots.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Redis, Turn, is, ms, words};
use crate::config::Rate;
use crate::ids::SessionId;
use crate::store::limits::{Counter, Most, Took, Use, minutes};
use crate::store::{Keys, Unavailable};

impl Redis {
    pub(in crate::store) async fn take(
        &self,
        session: SessionId,
        counters: &[Counter],
        lease: Duration,
        keys: &Keys,
    ) -> Result<Took, Unavailable> {
        let turn = self.turn()?;
        if !self.is_cluster {
            return turn.take(session, counters, lease, keys).await;
        }
        let each = counters.chunks(1);
        let each = each.map(|counter| turn.take(session, counter, lease, keys));
        let took = join_all(each).await;
        let refused = took
            .iter()
            .enumerate()
            .find_map(|(which, took)| match took {
                Ok(Took::NoMore { wait, .. }) => Some(Took::NoMore { which, wait: *wait }),
                Ok(Took::All) | Err(_) => None,
            });
        let failed = took.iter().find_map(|took| took.err());
        if refused.is_none() && failed.is_none() {
            return Ok(Took::All);
        }
        // A place without an answer may have been taken; a turn of a rate is not given back twice.
        let taken = counters.iter().zip(&took);
        let taken = taken.filter(|(counter, took)| match took {
            Ok(Took::All) => true,
            Ok(Took::NoMore { .. }) => false,
            Err(_) => matches!(counter.most, Most::Sessions(_)),
        });
        let whose = [session];
        let backs = taken.map(|(counter, _)| turn.free(counter, &whose, keys));
        let backs: Vec<_> = join_all(backs).await;
        match (refused, failed) {
            // It is refused whatever becomes of that: places that are not given back end with their lease.
            (Some(refused), _) => Ok(refused),
            (None, Some(failed)) => Err(failed),
            (None, None) => backs
                .into_iter()
                .collect::<Result<_, _>>()
                .map(|()| Took::All),
        }
    }

    pub(in crate::store) async fn keep(
        &self,
        used: Use<'_>,
        lease: Duration,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let (kind, most, per) = said(used.counter.most);
        let lasts = match used.counter.most {
            Most::Sessions(_) => ms(lease),
            Most::Minutes(_) | Most::Rate(_) => per,
        };
        let lasted = used.lasted.as_millis().to_string();
        let first = [kind.to_owned(), lasts, most, lasted];
        let sessions = used.sessions.iter().map(ToString::to_string);
        let args = first.into_iter().chain(sessions);
        let name = [keys.limit(&used.counter.name)];
        let told: String = turn.ask(&self.scripts.limit_keep, name, args).await?;
        match told.as_str() {
            "ok" => Ok(false),
            "over" => Ok(true),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn free(
        &self,
        counter: &Counter,
        sessions: &[SessionId],
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        self.turn()?.free(counter, sessions, keys).await
    }
}

impl Turn<'_> {
    /// Of counters that one server has.
    async fn take(
        &self,
        session: SessionId,
        counters: &[Counter],
        lease: Duration,
        keys: &Keys,
    ) -> Result<Took, Unavailable> {
        let names = counters.iter().map(|counter| keys.limit(&counter.name));
        let mut args = vec![session.to_string(), ms(lease)];
        for counter in counters {
            let (kind, most, per) = said(counter.most);
            args.extend([kind.to_owned(), most, per]);
        }
        let told = self.ask(&self.redis.scripts.limit_take, names, args);
        let [word, which, wait]: [String; 3] = words(told.await?)?;
        if word == "ok" {
            return Ok(Took::All);
        }
        is(&word, "no")?;
        let which: usize = which.parse().map_err(|_| Unavailable::Malformed)?;
        let wait: i64 = wait.parse().map_err(|_| Unavailable::Malformed)?;
        let known = (1..=counters.len()).contains(&which);
        known.then_some(()).ok_or(Unavailable::Malformed)?;
        Ok(Took::NoMore {
            which: which - 1,
            wait: u64::try_from(wait).ok().map(Duration::from_millis),
        })
    }

    async fn free(
        &self,
        counter: &Counter,
        sessions: &[SessionId],
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let (kind, most, per) = said(counter.most);
        let first = [kind.to_owned(), most, per];
        let args = first
            .into_iter()
            .chain(sessions.iter().map(ToString::to_string));
        let name = [keys.limit(&counter.name)];
        let done: String = self.ask(&self.redis.scripts.limit_free, name, args).await?;
        is(&done, "ok")
    }
}

/// Kind, how much, for how long, as scripts read them.
fn said(most: Most) -> (&'static str, String, String) {
    let of = |rate: Rate| rate.per.as_millis().max(1).to_string();
    match most {
        Most::Rate(rate) => ("rate", rate.count.to_string(), of(rate)),
        Most::Sessions(most) => ("sessions", most.to_string(), "0".to_owned()),
        Most::Minutes(rate) => ("minutes", minutes(rate).as_millis().to_string(), of(rate)),
    }
}
