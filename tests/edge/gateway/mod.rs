//! Requests that go on to a private application, over real sockets.

pub mod app;
mod certificate;
mod keys;
mod passes;
mod refused;
mod scope;
mod web_socket;
