//! What stands in front of a private application: requests reach it only with an identity that nobody
//! but the edge has written, and without what it is not to see.
//!
//! [`rewrite`] and [`pii`] are pure: a request in, a request or a refusal out.

pub mod body;
mod json;
pub mod pii;
pub mod rewrite;
