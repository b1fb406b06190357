//! What becomes of a call behind its gate, and what is told of it in the end.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::super::end::End;
use super::super::pump::Input;
use super::super::random;
use super::{Call, GateEnding, Way};
use crate::error::{Reason, Side};
use crate::tap::Tap;
use crate::wire::voice_live::Failure;

/// Messages that went no further, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Of kinds that mean nothing here.
    pub unknown: u64,
    pub unreadable: u64,
    /// Audio of others than the caller.
    pub other_participant: u64,
    /// Audio before the gate opened.
    pub pending: u64,
    /// Audio that waited too long for the upstream.
    pub late: u64,
    /// Audio that could not be listened to.
    pub unheard: u64,
    /// Answers that the caller interrupted.
    pub cancelled: u64,
    /// Prompts of another rate than the call's.
    pub prompts: u64,
    /// Errors that the service told and the call outlived.
    pub errors: u64,
}

/// What is told of a call when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallEnding {
    pub gate: Option<GateEnding>,
    pub drops: Drops,
    /// Keys that the model did not hear.
    pub masked: u64,
    /// What the service said of the last error.
    pub failure: Option<Failure>,
}

impl Call {
    /// An error of the service, which ends the session only while it is set up.
    pub(super) fn note(&mut self, failure: Failure) {
        self.drops.errors += 1;
        self.failure = Some(failure);
    }

    /// What has become of it so far.
    pub(in crate::relay) fn ending(&self, now: Instant) -> CallEnding {
        let mut drops = self.drops;
        let mut masked = 0;
        if let Some(ears) = &self.ears {
            drops.unheard += ears.counts().unheard;
        }
        if let Way::Bridge(bridge) = &self.way {
            let counts = bridge.counts();
            drops.unreadable += counts.up.unreadable + counts.down.unreadable;
            drops.other_participant += counts.up.others;
            drops.late += counts.up.dropped;
            drops.cancelled += counts.down.dropped;
            masked = counts.up.masked;
        }
        CallEnding {
            gate: self.gate_ending(now),
            drops,
            masked,
            failure: self.failure,
        }
    }

    /// Ends the session, unless something has already.
    pub(in crate::relay) fn fail(&mut self, by: Side, reason: Reason) {
        self.fault.get_or_insert((by, reason));
    }

    /// What ends the session, if anything does.
    pub(in crate::relay) fn fault(&self) -> Option<(Side, Reason)> {
        self.fault
    }

    /// Whether something of the edge's own waits to be played.
    pub(in crate::relay) fn has_prompts(&self) -> bool {
        self.speaker.waits()
    }

    /// Time has passed.
    pub(in crate::relay) fn tick(&mut self, now: Instant) -> Option<(Side, Reason)> {
        self.turn(now);
        self.fault
    }

    /// Where an orchestrator takes the frames of ACS: once the gate has opened, its connection is
    /// there and a message has ended, the pumps forward.
    pub(super) fn let_through<C, U>(
        &mut self,
        client: &mut End<C>,
        upstream: &mut End<U>,
        frames: &mut Vec<u8>,
    ) where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let Way::Verbatim(held) = &mut self.way else {
            return;
        };
        let is_over = client.pump.input() != Input::Open;
        let is_inside = !is_over && !client.pump.is_between_messages();
        if self.gated.is_some() || upstream.is_absent() || is_inside {
            return;
        }
        frames.clear();
        held.let_go(random, frames);
        if !frames.is_empty() {
            upstream.leg.queue(&[], frames);
        }
        // Of a caller who has closed there is nothing to forward, but the close frame to cross.
        if !is_over {
            client.pump.forward(Tap::on_call());
            self.through = true;
        }
    }
}
