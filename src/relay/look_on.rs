//! What is shown of a running session: figures with every wake, and messages while somebody looks on.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Relay;
use super::tail::Seen;
use crate::error::Direction;
use crate::gate::State;
use crate::tap::{Glimpse, Tap};

/// What was last told, so that it is told again only when it is another.
#[derive(Debug, Default)]
pub(super) struct Shown {
    keys: u64,
    gate: Option<State>,
}

impl<C, U> Relay<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Begins to tell of messages, or ceases to; where nobody looks on, this looks at one number.
    pub(super) fn look_for_readers(&mut self) {
        let is_read = self.handle.tail.is_read();
        if !is_read && self.shown.is_none() {
            return;
        }
        let taps = [self.client.pump.tap_mut(), self.upstream.pump.tap_mut()];
        for tap in taps.into_iter().flatten() {
            tap.set_glance(is_read);
        }
        if let Some(call) = &mut self.call {
            call.set_glance(is_read);
        }
        if !is_read {
            self.shown = None;
        } else if self.shown.is_none() {
            self.shown = Some(Box::default());
        }
    }

    /// Tells of what has crossed since the last time.
    pub(super) fn show(&mut self) {
        let (keys, gate) = (self.keys(), self.gate_state());
        let handle = &self.handle;
        let Some(shown) = &mut self.shown else { return };
        let at = handle.age();
        let pumps = [&mut self.client.pump, &mut self.upstream.pump];
        for (i, (direction, pump)) in [Direction::Up, Direction::Down]
            .into_iter()
            .zip(pumps)
            .enumerate()
        {
            let told = |Glimpse { kind, bytes }| {
                let seen = Seen::Message {
                    direction,
                    kind,
                    bytes,
                    gap: None,
                };
                handle.tail.tell(at, seen);
            };
            let of_call = self.call.as_mut().and_then(|call| call.glance(i));
            let of_pump = pump.tap_mut().and_then(Tap::glance);
            for glance in [of_call, of_pump].into_iter().flatten() {
                glance.take().for_each(told);
                let missed = glance.take_missed();
                if missed > 0 {
                    handle.tail.tell(at, Seen::Missed(missed));
                }
            }
        }
        if keys != shown.keys {
            shown.keys = keys;
            handle.tail.tell(at, Seen::Keys(keys));
        }
        if let Some(state) = gate.filter(|_| gate != shown.gate) {
            shown.gate = gate;
            handle.tail.tell(at, Seen::Gate(state));
        }
    }

    /// Writes how the session stands to where others read it.
    pub(super) fn note(&self) {
        self.handle.note(&self.counted, self.keys());
        if let Some(state) = self.gate_state() {
            self.handle.note_gate(state);
        }
    }

    /// Keys that a gate was told of, or that were heard where they are observed.
    fn keys(&self) -> u64 {
        let observed = self.client.pump.tap().map_or(0, |tap| tap.counts().keys);
        self.call.as_ref().map_or(observed, |call| call.keys())
    }

    fn gate_state(&self) -> Option<State> {
        self.call.as_ref().and_then(|call| call.gate_state())
    }
}
