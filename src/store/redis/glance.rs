//! Glances at calls, in Redis: those of one window in one command on one server, and in a cluster, where no
//! two calls lie in one slot, a command each, all sent at once.

use std::time::Duration;

use super::{Redis, ms};
use crate::ids::{CallId, SessionId};
use crate::store::gather::{Answered, Question};
use crate::store::{Keys, Unavailable};

/// Calls of one command. Redis does nothing else meanwhile: 64 keep it for less than half a millisecond,
/// and more would not make each any cheaper (7 µs of its CPU each by 16, 5 by 64, 5 by 256).
const TOGETHER: usize = 64;

impl Redis {
    /// Asks together with whoever else asks now.
    pub(in crate::store) async fn glance(&self, call: &CallId, owner: SessionId) -> Answered {
        // Nobody waits for a server that is away.
        if !self.is_up() {
            return Answered {
                yes: Err(Unavailable::Unreachable),
                took: Duration::ZERO,
            };
        }
        let question = Question {
            call: call.clone(),
            owner,
        };
        self.glances.ask(question, self.timeout).await
    }

    pub(super) async fn glance_for_all(&self, keys: &Keys) {
        let together = match self.is_cluster {
            true => 1,
            false => TOGETHER,
        };
        let ask = |questions| self.ask_glance(questions, keys);
        self.glances.run(together, ask).await;
    }

    async fn ask_glance(
        &self,
        questions: Vec<Question>,
        keys: &Keys,
    ) -> Result<Vec<bool>, Unavailable> {
        let turn = self.turn()?;
        let named = questions
            .iter()
            .flat_map(|question| [keys.call(&question.call), keys.live(&question.call)]);
        // Once in a quarter of that time each session looks, which gives its call all of it again.
        let least = ms(self.policy.ttl / 4 * 3);
        // In a cluster a node that was demoted says where the slot is now.
        let proves = if self.is_cluster { "0" } else { "1" };
        let owners = questions.iter().map(|question| question.owner.to_string());
        let args = [least, proves.to_owned()].into_iter().chain(owners);
        let told: String = turn.ask(&self.scripts.glance, named, args).await?;
        read(&told)
    }
}

/// A digit for each call.
fn read(told: &str) -> Result<Vec<bool>, Unavailable> {
    let one = |digit| match digit {
        b'1' => Ok(true),
        b'0' => Ok(false),
        _ => Err(Unavailable::Malformed),
    };
    told.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a35_only_a_one_says_that_a_call_is_what_it_was() {
        assert_eq!(read("101"), Ok(vec![true, false, true]));
        for bad in ["1x", "11 ", "2", "ours"] {
            assert_eq!(read(bad), Err(Unavailable::Malformed), "{bad}");
        }
    }
}
