//! How the service behaves, as a test wants it.
//!
//! Owns the closed list of choices. The default is what is documented or likely; everything else
//! is documented to happen, or must not harm an edge if it does.

use std::time::Duration;

/// How calls go that come up from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// When the call starts to live.
    pub begins: Begins,
    /// What the edge sees first of it.
    pub first: First,
    /// What becomes of a call that is answered.
    pub answering: Outcome,
    /// What becomes of a call that is made.
    pub calling: Outcome,
    /// How callbacks are delivered.
    pub delivery: Delivery,
    /// How long the answer to each request that has an effect takes, after the effect.
    pub slow: Duration,
}

/// When a call starts to live: callbacks go, the media stream is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// So long after answer or create was answered.
    After(Duration),
    /// Before it is answered, which is held back until the edge has taken or refused the media
    /// stream, but no longer than this: an edge may hold the stream until it knows the call.
    Before(Duration),
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// `CallConnected`; the media stream is dialled when it was taken.
    Callback,
    /// The media stream; `CallConnected` goes when it was accepted or refused.
    Socket,
}

/// What becomes of a call after a good answer to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It connects.
    Connects,
    /// It fails: `AnswerFailed` or `CreateCallFailed` with this code and subcode.
    Fails(u16, u32),
    /// Nobody takes it up. It goes on connecting until it is hung up.
    Rings,
}

/// How callbacks are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Each goes twice, with the same event id and another token.
    pub twice: bool,
    /// Events that come up together go in the opposite order.
    pub reversed: bool,
    /// Events that come up together go in one array.
    pub together: bool,
    /// How often one is sent again that was not taken with a 2xx. What ACS does is not documented.
    pub again: u32,
}

/// What goes wrong with a request that was sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused with this status and has no effect.
    Status(u16),
    /// The same, with seconds in `Retry-After`.
    Later(u16, u32),
    /// It has its effect, but the connection ends without an answer.
    Lost,
    /// It is held for so long before anything becomes of it.
    Held(Duration),
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            // Arbitrary: long enough for an answer to arrive before what it leads to.
            begins: Begins::After(Duration::from_millis(50)),
            first: First::Callback,
            answering: Outcome::Connects,
            calling: Outcome::Connects,
            delivery: Delivery::default(),
            slow: Duration::ZERO,
        }
    }
}
