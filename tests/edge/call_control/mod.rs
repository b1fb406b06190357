//! What controls calls: the client of Call Automation, and what is hung up by it.

mod client;
mod client_hang_up;
mod client_service;
mod client_simulated;
