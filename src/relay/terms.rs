//! What a session is run by, and what it has come to.

use std::sync::Arc;

use super::call::CallEnding;
use super::{Lease, Order, Pace, Patience, Timings};
use crate::config::{Dtmf, Model};
use crate::error::{Reason, Side};
use crate::metrics::Flow;
use crate::tap::Counts;
use crate::ws::Violation;

/// What a session may do, and who may end it.
pub struct Terms {
    pub patience: Patience,
    pub lease: Arc<Lease>,
    /// Longest message of the client in bytes.
    pub client_message_max: u64,
    /// Longest message of the upstream in bytes.
    pub upstream_message_max: u64,
    /// What the client may send in a second.
    pub pace: Pace,
    /// Models that messages of the client may name; `None`: messages are not looked at.
    pub locked: Option<Arc<[Model]>>,
    pub dtmf: Dtmf,
    pub order: Arc<Order>,
    /// Counters of the session's route.
    pub flow: Flow,
}

impl Terms {
    /// Longest messages: of the client, of the upstream.
    pub(super) fn most(&self) -> [u64; 2] {
        [self.client_message_max, self.upstream_message_max]
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub by: Side,
    pub reason: Reason,
    /// The rule that was broken, where one was.
    pub violation: Option<Violation>,
    /// The code in the close frame that the client sent.
    pub client_close: Option<u16>,
    /// The code in the close frame that the upstream sent.
    pub upstream_close: Option<u16>,
    pub up: Counts,
    pub down: Counts,
    pub timings: Timings,
    /// Of a phone call.
    pub call: Option<CallEnding>,
}

/// Why the session is closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) by: Side,
    pub(super) reason: Reason,
    pub(super) violation: Option<Violation>,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closing(Cause),
}
