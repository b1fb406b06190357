//! A phone call: messages of ACS on one leg, and on the other Voice Live, an orchestrator, or, as
//! long as the gate is shut, nobody.
//!
//! Here no bytes are forwarded as they came: each message is heard whole, and what goes on is
//! another one. The caller is listened to while the gate is pending, and all along where the model
//! is not to hear keys. An orchestrator that takes the frames of ACS gets them as they are, from the
//! first message after the gate on; then this module has nothing to do any more.
//!
//! It decides nothing that needs waiting: what the store is to be asked, and when to dial, is asked
//! of the session ([`Asked`]).

mod gated;
mod heard;

use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use self::gated::GateEnding;

use self::gated::Gated;
use super::bridge::Bridge;
use super::end::End;
use crate::config;
use crate::error::{Reason, Side};
use crate::gate::Entry;
use crate::ids::PhoneNumber;
use crate::tap::Counts;
