//! TLS whose sessions own no buffers: handshakes, a stream for HTTP, and what the relay takes over.
//!
//! rustls' buffered API keeps 4 KiB per session for what it reads, at rest, too, and moves every record
//! through there 4 KiB at a time. Here its *unbuffered* API is driven, where all buffers are the caller's:
//! records are decrypted where the socket's bytes lie, in the thread's buffer, and encrypted into the
//! [`Queue`](crate::buffer::Queue) that goes to the socket. A [`Session`] keeps only what cannot be
//! used yet: a record that has begun.
//!
//! ```text
//! accept, connect ──► Stream (hyper reads and writes plain text)  ──► into_parts ──► Session, socket (relay)
//! ```
//!
//! What rustls decides stays with rustls: versions, certificates, tickets, keys and when to change
//! them, alerts. Nothing here touches a key or knows a record's inside.
//!
//! Not here: deadlines, and which settings a handshake is done with (`listener::tls`, `upstream`).

mod begun;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub use self::begun::too_long;
pub use self::session::{Read, Session};
pub use self::stream::{Parts, Stream, accept, connect, poll_send};
