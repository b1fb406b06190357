//! Requests that go on to a private application, over real sockets.

pub mod app;
mod certificate;
pub mod detector;
mod keys;
mod passes;
mod refused;
mod scope;
mod web_socket;
