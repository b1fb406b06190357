//! The operator's listener and the verbs that ask it.

mod access;
mod cli;
mod looks;
mod tail;
mod world;
