//! Decisions in a cluster, where the call, the key, the token and the counters lie in four slots:
//! reserve in all of them at once, then consume, then write that the call is open.

use std::time::Duration;

use futures_util::future::join_all;

use super::one::{counted, tried, which};
use super::record::{self, Answer};
use super::{Turn, is, ms, words};
use crate::store::{Attempt, Enter, Entered, Keys, Needs, Tried, Unavailable, spent_for};

/// For so long a session that lost an answer finds that the key it consumed was its own. No gate
/// stays open longer after a code.
const USED: Duration = Duration::from_secs(60);

pub(super) async fn enter(
    turn: &Turn<'_>,
    enter: &Enter<'_>,
    keys: &Keys,
) -> Result<Entered, Unavailable> {
    let owner = enter.owner.to_string();
    let lasts = ms(spent_for(enter.token_expires));
    let spend = [owner.clone(), lasts];
    let spend = turn.ask(&turn.redis.scripts.spend, [keys.spent(&enter.token)], spend);
    let (spent, asked) = tokio::join!(spend, admit(turn, enter, keys, ("ask", String::new())));
    let spent: String = spent?;
    if spent == "spent" {
        return Ok(Entered::Spent);
    }
    let entered = match is(&spent, "ours").and(asked) {
        Ok(answer) => decide(turn, enter, keys, answer).await,
        Err(unavailable) => Err(unavailable),
    };
    // Without an answer the token stays with this session, which will ask again.
    let is_refused = matches!(
        &entered,
        Ok(Entered::Unknown | Entered::OtherConnection | Entered::NoKey | Entered::Spent)
    );
    if is_refused {
        let named = [keys.spent(&enter.token)];
        let done: String = turn
            .ask(&turn.redis.scripts.unspend, named, [owner])
            .await?;
        is(&done, "ok")?;
    }
    entered
}

/// The token is reserved, and this is what the record says.
async fn decide(
    turn: &Turn<'_>,
    enter: &Enter<'_>,
    keys: &Keys,
    answer: Answer,
) -> Result<Entered, Unavailable> {
    let mut contact = String::new();
    let how = match answer.word.as_str() {
        "unknown" | "other" => return answer.entered(),
        // No key is looked up, so it is open only while that verdict holds. It may end between the two
        // questions, which no test can bring about: they follow each other at once.
        "authorised" | "resumed" => "resume",
        "nothing" => "open",
        "dialled" => "wait",
        "api" | "sip" => {
            let key = match enter.needs {
                Needs::ApiKey { .. } => enter.asking().map(|id| keys.api(id).expose().to_owned()),
                Needs::SipKey { .. } => answer.sip_key,
                Needs::Nothing | Needs::Dialled => None,
            };
            let Some(key) = key else {
                return Ok(Entered::NoKey);
            };
            let (_, consume) = record::need(enter.needs);
            let (who, binding) = (enter.owner.to_string(), record::binding(enter));
            match take(turn, &key, (who, binding), consume, keys).await? {
                Taken::Hit(of) => contact = of,
                Taken::Miss => return Ok(Entered::NoKey),
                Taken::Others => return Ok(Entered::OtherConnection),
            }
            "open"
        }
        _ => return Err(Unavailable::Malformed),
    };
    admit(turn, enter, keys, (how, contact))
        .await
        .and_then(Answer::entered)
}

async fn admit(
    turn: &Turn<'_>,
    enter: &Enter<'_>,
    keys: &Keys,
    (how, contact): (&str, String),
) -> Result<Answer, Unavailable> {
    let named = [keys.call(enter.call), keys.live(enter.call)];
    let (need, _) = record::need(enter.needs);
    let mut args = record::arguments(turn, enter, keys);
    let route = enter.route.to_string();
    args.extend([need.to_owned(), how.to_owned(), contact, route]);
    let told: Vec<String> = turn.ask(&turn.redis.scripts.admit, named, args).await?;
    record::answer(told)
}

/// What became of a session key.
enum Taken {
    /// For this contact, or nobody's.
    Hit(String),
    Miss,
    /// It is of a call that was made, and not of this one.
    Others,
}

/// Looks a session key up and consumes it.
async fn take(
    turn: &Turn<'_>,
    key: &str,
    (who, binding): (String, String),
    consume: bool,
    keys: &Keys,
) -> Result<Taken, Unavailable> {
    let named = [key.to_owned(), keys.used(key)];
    let args = [
        who,
        record::flag(consume),
        record::flag(turn.redis.policy.require_ttl),
        ms(USED),
        binding,
    ];
    let told: [String; 2] = words(turn.ask(&turn.redis.scripts.take, named, args).await?)?;
    let [word, contact] = told;
    match word.as_str() {
        "hit" => Ok(Taken::Hit(contact)),
        "miss" => Ok(Taken::Miss),
        "other" => Ok(Taken::Others),
        _ => Err(Unavailable::Malformed),
    }
}

pub(super) async fn try_code(
    turn: &Turn<'_>,
    attempt: &Attempt<'_>,
    keys: &Keys,
) -> Result<Tried, Unavailable> {
    let scripts = &turn.redis.scripts;
    let of_call = || {
        [
            keys.call(attempt.call),
            keys.live(attempt.call),
            keys.tries(attempt.call),
        ]
    };
    let first = || {
        let ttl = ms(turn.redis.policy.ttl);
        [attempt.owner.to_string(), which(attempt), ttl]
    };
    let counted = counted(attempt, keys);
    let reserve = first().into_iter().chain([attempt.per_call.to_string()]);
    let reserve = turn.ask::<Vec<String>>(&scripts.reserve, of_call(), reserve);
    let counts = counted.iter().map(|(name, rate)| {
        let args = [which(attempt), rate.count.to_string(), ms(rate.per)];
        turn.ask::<String>(&scripts.count, [name.clone()], args)
    });
    let (reserved, counts) = tokio::join!(reserve, join_all(counts));
    let reserved = reserved?;
    let counts: Vec<String> = counts.into_iter().collect::<Result<_, _>>()?;
    let settle = async |word: &str, contact: String| -> Result<Tried, Unavailable> {
        let args = first().into_iter().chain([word.to_owned(), contact]);
        let told: Vec<String> = turn.ask(&scripts.settle, of_call(), args).await?;
        tried(&told)
    };
    let uncount = async || -> Result<(), Unavailable> {
        let names = counted.iter().map(|(name, _)| {
            turn.ask::<String>(&scripts.uncount, [name.clone()], [which(attempt)])
        });
        let done: Result<Vec<String>, _> = join_all(names).await.into_iter().collect();
        done?.iter().try_for_each(|done| is(done, "ok"))
    };
    if reserved.first().is_none_or(|word| word != "reserved") {
        let decided = tried(&reserved)?;
        uncount().await?;
        return Ok(decided);
    }
    if counts.iter().any(|count| count != "reserved") {
        let (settled, uncounted) = tokio::join!(settle("locked_out", String::new()), uncount());
        uncounted?;
        return settled;
    }
    let who = (which(attempt), String::new());
    let taken = take(turn, attempt.key.expose(), who, attempt.consume, keys);
    let contact = match taken.await? {
        Taken::Hit(contact) => contact,
        // The try stays reserved and counted: that is what a wrong one is.
        Taken::Miss | Taken::Others => return Ok(Tried::Wrong),
    };
    let (settled, uncounted) = tokio::join!(settle("opened", contact), uncount());
    uncounted?;
    settled
}
