//! The bot gateway: whom it asks, what it writes and what it signs, before simulated peers that take
//! nothing which Microsoft's documentation does not know.

mod assertion;
mod audited;
mod connector;
mod developer;
mod explained;
mod federated;
mod graph;
pub mod notify;
pub mod peers;
mod pii;
mod refused;
mod route;
mod sdk;
pub mod world;
