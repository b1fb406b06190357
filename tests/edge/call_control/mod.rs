//! Call control: the HTTP side of telephone calls, against a simulated Call Automation service that
//! Microsoft's own clients are served by as well.

mod client;
mod client_hang_up;
mod client_service;
mod client_simulated;
mod sdk;
mod service;
mod webhook;
