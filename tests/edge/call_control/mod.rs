//! The HTTP side of phone calls, before a simulated Call Automation service that Microsoft's own
//! clients are served by as well: what Event Grid posts, what ACS calls back with, what is asked of
//! it.

mod call_api;
mod callbacks;
mod client;
mod client_hang_up;
pub mod client_service;
mod client_simulated;
pub mod control;
mod events;
mod explained;
mod failures;
mod made;
mod publisher;
mod refused;
mod replicas;
mod sdk;
mod service;
mod statuses;
mod through;
pub mod webhook;
