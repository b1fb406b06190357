//! How failures are counted.

use super::{State, Try};
use crate::config::Rate;
use crate::store::{Attempt, Keys, Unavailable};

/// Failures of one kind.
pub(super) struct Counted {
    pub(super) name: String,
    rate: Rate,
}

impl Counted {
    pub(super) fn of(attempt: &Attempt<'_>, keys: &Keys) -> Vec<Counted> {
        let of_caller = attempt.per_ani.map(|rate| Counted {
            name: keys.fails(attempt.counted_ani(), attempt.key),
            rate,
        });
        let of_route = attempt.per_route.map(|(route, rate)| Counted {
            name: keys.fails_of_route(route),
            rate,
        });
        of_caller.into_iter().chain(of_route).collect()
    }

    pub(super) fn is_over(&self, state: &State) -> bool {
        let failed = state.fails.get(&self.name).map_or(0, Vec::len);
        failed >= usize::try_from(self.rate.count).unwrap_or(usize::MAX)
    }

    /// The window begins with the first failure.
    pub(super) fn add(self, state: &mut State, failed: Try) -> Result<(), Unavailable> {
        match state.fails.get_mut(&self.name) {
            Some(fails) => {
                fails.push(failed);
                Ok(())
            }
            None => state.fails.put(self.name, vec![failed], self.rate.per),
        }
    }
}
