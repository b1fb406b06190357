//! What we promise of RFC 6455, without touching a socket.
//!
//! [`frame`] judges header bits, [`mask`] undoes masking, [`scan`] finds frame boundaries in the
//! bytes as they lie, [`handshake`] is both ends of the upgrade. A frame whose header breaks the
//! RFC is reported before any of its bytes are released, so it can never reach the other side.
//!
//! Not here: sockets, buffers, close etiquette between two legs (`relay`).

pub mod frame;
pub mod mask;
pub mod scan;

pub mod handshake;

/// Who sent the frames that are looked at; decides whether they must be masked (RFC 6455, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends masked frames.
    Client,
    /// Sends unmasked frames.
    Server,
}

/// How a peer broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("the opcode is reserved")]
    ReservedOpcode,
    #[error("a frame of a client is not masked")]
    Unmasked,
    #[error("a frame of a server is masked")]
    Masked,
    #[error("a control frame is fragmented")]
    FragmentedControl,
    #[error("a control frame exceeds 125 bytes")]
    LongControl,
    #[error("a length is not in its shortest form")]
    LongLength,
    #[error("a length has its top bit set")]
    HugeLength,
    #[error("a continuation has nothing to continue")]
    StrayContinuation,
    #[error("a message began inside another")]
    InterleavedMessage,
    #[error("a close frame is malformed")]
    BadClose,
    #[error("a message exceeds the limit")]
    TooLarge,
}
