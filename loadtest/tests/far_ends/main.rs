//! The load generator as a program: each mode through the bare forwarder and through the edge, what it
//! notices, what it ends with.

mod edge;
mod floor;
mod forgetful;
mod k6;
mod modes;
mod program;
mod tampering;
