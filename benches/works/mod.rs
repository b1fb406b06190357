//! What the benches time and `tests/instructions` counts: works of the product with fixed inputs. No
//! clock, no randomness: one machine does the same each time, and so does the next one.
#![allow(
    dead_code,
    reason = "a bench takes what it asks about and leaves the rest"
)]

pub(crate) mod carry;
pub(crate) mod follow;
pub(crate) mod hear;
pub(crate) mod message;
pub(crate) mod translate;

use std::time::Duration;

/// How long criterion looks at each case: all benches together take minutes. The machines are shared,
/// and a longer look would see more of the others' work, not less.
pub(crate) fn brief() -> criterion::Criterion {
    criterion::Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
}
