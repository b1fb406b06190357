//! Phone calls end to end: ACS dials, the edge proves it is ACS and that the call is known, the
//! caller dials a code, the store has its key, and only then media goes on.

#[allow(dead_code, reason = "the tests of the store alone need the rest")]
#[path = "../../store/server.rs"]
pub mod server;

mod barge_in;
mod bounded;
mod bridge;
mod codes;
mod ends;
mod flows;
mod load;
mod overtaken;
mod prompts;
pub mod puppet;
pub mod redis;
mod redis_faults;
mod redis_hundred;
mod redis_kept;
mod redis_revoked;
mod redis_told;
mod redis_two;
mod refusals;
mod sdk;
mod silence;
mod spandsp;
mod takeover;
mod told;
mod verbatim;
pub mod world;
