//! Phone calls end to end: ACS dials, the edge proves it is ACS and that the call is known, the
//! caller dials a code, the store has its key, and only then media goes on.

mod barge_in;
mod bounded;
mod bridge;
mod codes;
mod ends;
mod flows;
mod load;
mod prompts;
mod puppet;
mod refusals;
mod silence;
mod takeover;
mod told;
mod verbatim;
pub mod world;
