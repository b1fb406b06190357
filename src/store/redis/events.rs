//! What events bring, in Redis. Each is about one key or one call, so one script does in a cluster,
//! too.

use super::{Redis, is, made, ms, record};
use crate::ids::{CallId, SessionId};
use crate::secret::Digest;
use crate::store::events::{CLAIM, Kept, TONES, TONES_MAX, Tones};
use crate::store::made::{CallEnded, Known};
use crate::store::{Keys, Unavailable};

impl Redis {
    pub(in crate::store) async fn claim(
        &self,
        event: &Digest,
        by: SessionId,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let args = [by.to_string(), ms(CLAIM)];
        let claimed: String = turn
            .ask(&self.scripts.spend, [keys.event(event)], args)
            .await?;
        match claimed.as_str() {
            "ours" => Ok(true),
            "spent" => Ok(false),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn unclaim(
        &self,
        event: &Digest,
        by: SessionId,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let turn = self.turn()?;
        let args = [by.to_string()];
        let done: String = turn
            .ask(&self.scripts.unspend, [keys.event(event)], args)
            .await?;
        is(&done, "ok")
    }

    pub(in crate::store) async fn known(
        &self,
        call: &CallId,
        keys: &Keys,
    ) -> Result<Option<Known>, Unavailable> {
        let turn = self.turn()?;
        let none: [String; 0] = [];
        let mut told: Vec<String> = turn
            .ask(&self.scripts.known, [keys.call(call)], none)
            .await?;
        let rest = told.split_off(told.len().min(record::ANSWER));
        let answer = record::answer(told)?;
        match answer.word.as_str() {
            "known" => {
                let known = made::known(answer.facts, &rest);
                known.map(Some).ok_or(Unavailable::Malformed)
            }
            "unknown" => Ok(None),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn end_call(
        &self,
        call: &CallId,
        ended: CallEnded,
        keys: &Keys,
    ) -> Result<bool, Unavailable> {
        let turn = self.turn()?;
        let named = [keys.call(call), keys.live(call)];
        let number = |number: Option<u32>| number.map_or_else(String::new, |n| n.to_string());
        let args = [
            ms(self.policy.ttl),
            number(ended.code),
            number(ended.sub_code),
        ];
        let told: String = turn.ask(&self.scripts.end, named, args).await?;
        match told.as_str() {
            "ok" => Ok(true),
            "unknown" => Ok(false),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn add_tones(
        &self,
        call: &CallId,
        tones: &[(u32, char)],
        keys: &Keys,
    ) -> Result<Kept, Unavailable> {
        let turn = self.turn()?;
        let named = [keys.call(call), keys.tones(call)];
        let mut args = vec![ms(self.policy.ttl.min(TONES)), TONES_MAX.to_string()];
        for (sequence, key) in tones {
            args.extend([sequence.to_string(), key.to_string()]);
        }
        let told: String = turn.ask(&self.scripts.press, named, args).await?;
        match told.as_str() {
            "all" => Ok(Kept::All),
            "full" => Ok(Kept::Full),
            "unknown" => Ok(Kept::Unknown),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn tones(
        &self,
        call: &CallId,
        owner: SessionId,
        heard: Option<u32>,
        keys: &Keys,
    ) -> Result<Tones, Unavailable> {
        let turn = self.turn()?;
        let named = [keys.call(call), keys.tones(call)];
        let args = [owner.to_string(), heard.unwrap_or(0).to_string()];
        let told: Vec<String> = turn.ask(&self.scripts.tones, named, args).await?;
        read(&told).ok_or(Unavailable::Malformed)
    }
}

/// A word; behind `ours` the last one that was taken, then places and keys.
fn read(told: &[String]) -> Option<Tones> {
    let (word, rest) = told.split_first()?;
    match word.as_str() {
        "ended" => Some(Tones::Ended),
        "not_ours" => Some(Tones::NotOurs),
        "ours" => {
            let (heard, rest) = rest.split_first()?;
            let (pairs, odd) = rest.as_chunks::<2>();
            let pair = |[place, key]: &[String; 2]| {
                let mut key = key.chars();
                let only = key.next().filter(|_| key.next().is_none())?;
                Some((place.parse().ok()?, only))
            };
            odd.is_empty().then_some(Tones::Told {
                heard: heard.parse().ok()?,
                tones: pairs.iter().map(pair).collect::<Option<_>>()?,
            })
        }
        _ => None,
    }
}
