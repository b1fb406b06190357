//! The session store, over memory and over real Redis servers: single, behind TLS as a user with few
//! rights, a cluster of three, and behind a sentinel.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod faults;
mod glance;
mod hand_over;
mod limits;
mod orders;
mod pace;
mod people;
mod redis;
mod running;
mod server;
mod suite;
mod under;
