//! Phone calls end to end: ACS dials, the edge proves it is ACS and that the call is known, the
//! caller dials a code, the store has its key, and only then media goes on.

mod flows;
mod overtaken;
mod world;
