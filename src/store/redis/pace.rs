//! Turns, in Redis.

use std::time::Duration;

use super::{Redis, is, ms};
use crate::store::pace::{Became, Paced, TakeTurn, Turn};
use crate::store::{Keys, Unavailable};

impl Redis {
    pub(in crate::store) async fn take_turn(
        &self,
        asked: &TakeTurn<'_>,
        keys: &Keys,
    ) -> Result<Paced, Unavailable> {
        let turn = self.turn()?;
        let mut args = vec![
            asked.turn.to_string(),
            asked.count.to_string(),
            ms(asked.lasts),
            asked.forecast.to_string(),
        ];
        for (turn, left) in asked.told {
            args.extend([turn.to_string(), ms(*left)]);
        }
        let named = keys.pace(asked.quota);
        let told: Vec<String> = turn.ask(&self.scripts.take_turn, named, args).await?;
        let [word, numbers @ ..] = told.as_slice() else {
            return Err(Unavailable::Malformed);
        };
        let numbers: Result<Vec<u64>, _> = numbers.iter().map(|text| text.parse()).collect();
        let numbers = numbers.map_err(|_| Unavailable::Malformed)?;
        let out = |out: u64| u32::try_from(out).unwrap_or(u32::MAX);
        match (word.as_str(), numbers.as_slice()) {
            ("taken", [known]) => Ok(Paced::Taken { out: out(*known) }),
            ("wait", [known, shut, free_in @ ..]) => Ok(Paced::Wait {
                out: out(*known),
                free_in: free_in.iter().copied().map(Duration::from_millis).collect(),
                shut: Duration::from_millis(*shut),
            }),
            _ => Err(Unavailable::Malformed),
        }
    }

    pub(in crate::store) async fn note_turn(
        &self,
        quota: &str,
        turn: Turn,
        became: Became,
        keys: &Keys,
    ) -> Result<(), Unavailable> {
        let asking = self.turn()?;
        let (counts, shut) = became.lasts();
        let args = [
            turn.to_string(),
            counts.as_millis().to_string(),
            shut.as_millis().to_string(),
        ];
        let named = keys.pace(quota);
        let done: String = asking.ask(&self.scripts.note_turn, named, args).await?;
        is(&done, "ok")
    }
}
