//! Decisions on one server: one script, so one round trip and one moment.

use super::record::{self, Answer};
use super::{Turn, ms};
use crate::config::Rate;
use crate::ids::ContactId;
use crate::store::{Attempt, Enter, Entered, Keys, Needs, Tried, Unavailable, spent_for};

pub(super) async fn enter(
    turn: &Turn<'_>,
    enter: &Enter<'_>,
    keys: &Keys,
) -> Result<Entered, Unavailable> {
    let mut named = vec![
        keys.spent(&enter.token),
        keys.call(enter.call),
        keys.live(enter.call),
    ];
    if matches!(enter.needs, Needs::ApiKey { .. })
        && let Some(id) = enter.asking()
    {
        named.push(keys.api(id).expose().to_owned());
    }
    let (need, consume) = record::need(enter.needs);
    let mut args = record::arguments(turn, enter, keys);
    args.extend([
        need.to_owned(),
        record::flag(consume),
        record::flag(turn.redis.policy.require_ttl),
        ms(spent_for(enter.token_expires)),
        enter.route.to_string(),
    ]);
    let told: Vec<String> = turn.ask(&turn.redis.scripts.enter, named, args).await?;
    record::answer(told).and_then(Answer::entered)
}

pub(super) async fn try_code(
    turn: &Turn<'_>,
    attempt: &Attempt<'_>,
    keys: &Keys,
) -> Result<Tried, Unavailable> {
    let mut named = vec![
        keys.call(attempt.call),
        keys.live(attempt.call),
        keys.tries(attempt.call),
        attempt.key.expose().to_owned(),
    ];
    let mut args = vec![
        attempt.owner.to_string(),
        which(attempt),
        ms(turn.redis.policy.ttl),
        attempt.per_call.to_string(),
        record::flag(attempt.consume),
        record::flag(turn.redis.policy.require_ttl),
    ];
    for (name, rate) in counted(attempt, keys) {
        named.push(name);
        args.extend([rate.count.to_string(), ms(rate.per)]);
    }
    let told: Vec<String> = turn.ask(&turn.redis.scripts.try_code, named, args).await?;
    tried(&told)
}

/// Names one try of one session, in all that is kept of it.
pub(super) fn which(attempt: &Attempt<'_>) -> String {
    format!("{}:{}", attempt.owner, attempt.number)
}

/// What failures are counted by, and how many are too many.
pub(super) fn counted(attempt: &Attempt<'_>, keys: &Keys) -> Vec<(String, Rate)> {
    let of_caller = attempt.per_ani.map(|rate| {
        let name = keys.fails(attempt.counted_ani(), attempt.key);
        (name, rate)
    });
    let of_route = attempt
        .per_route
        .map(|(route, rate)| (keys.fails_of_route(route), rate));
    of_caller.into_iter().chain(of_route).collect()
}

/// A word, and the contact that the call was opened for.
pub(super) fn tried(told: &[String]) -> Result<Tried, Unavailable> {
    let [word, contact] = told else {
        return Err(Unavailable::Malformed);
    };
    match word.as_str() {
        "opened" => Ok(Tried::Opened(ContactId::new(contact))),
        "wrong" => Ok(Tried::Wrong),
        "locked_out" => Ok(Tried::LockedOut),
        "not_ours" => Ok(Tried::NotOurs),
        _ => Err(Unavailable::Malformed),
    }
}
