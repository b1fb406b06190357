//! What has crossed so far, and what of that the counters of the route have.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Relay;
use crate::tap::Counts;

impl<C, U> Relay<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// What has crossed: up, down.
    pub(super) fn counts(&self) -> [Counts; 2] {
        let mut counts = self
            .call
            .as_ref()
            .map_or([Counts::default(); 2], |call| call.counts());
        for (count, pump) in counts
            .iter_mut()
            .zip([&self.client.pump, &self.upstream.pump])
        {
            if let Some(tap) = pump.tap() {
                count.add(tap.counts());
            }
        }
        counts
    }

    /// Adds to the route's counters what crossed since the last time.
    pub(super) fn report(&mut self) {
        let now = self.counts();
        for (direction, i) in [(&self.flow.up, 0), (&self.flow.down, 1)] {
            let new = now[i].since(&self.counted[i]);
            direction.add(new.messages, new.bytes, new.audio_messages);
            self.flow.add_heard(new.keys, new.unheard);
        }
        if let Some(pauses) = self.client.pump.take_pauses() {
            self.flow.add_paused(pauses.bytes, pauses.frames);
        }
        self.counted = now;
    }
}
