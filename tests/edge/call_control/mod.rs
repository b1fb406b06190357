//! Call control: the HTTP side of telephone calls, against a simulated Call Automation service that
//! Microsoft's own clients are served by as well.

mod sdk;
mod service;
mod webhook;
