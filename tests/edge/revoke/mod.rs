//! What was taken back: it ends at every replica, and does not enter again.

mod calls;
mod kinds;
mod operator;
mod outage;
mod world;

pub use self::world::{is_closed, is_served, post, ready};
