//! Calls that another cloud hands over: it writes a session, its caller's leg dials what it was told,
//! and it is told what became of the call.

mod calls;
mod lambda;
mod refused;
mod replicas;
mod sessions;
mod told;
mod world;
