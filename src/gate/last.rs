//! The last key, and when it is over: before that no media goes on, or the model would hear the code.

use std::time::Duration;

use super::digits::Feed;

/// From the last press to its end, where no feed tells when the key goes up: telephones send a key for
/// as long as it is pressed, and few press longer.
pub(super) const PRESS: Duration = Duration::from_secs(1);
/// The same where the audio says that the key is still down. Nobody presses longer; a line that
/// hums like a key must not hold the call for ever.
pub(super) const LONG_PRESS: Duration = Duration::from_secs(10);

/// The last press, and whether its end was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) number: u64,
    at: Duration,
    tone: Tone,
}

/// What the audio says of a key that some feed reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Unheard,
    Down,
    Up,
}

impl Last {
    /// A press that `feed` has just told of.
    pub(super) fn new(number: u64, feed: Feed, at: Duration) -> Last {
        let mut last = Last {
            number,
            at,
            tone: Tone::Unheard,
        };
        last.told(feed);
        last
    }

    /// Another feed has told of it.
    pub(super) fn told(&mut self, feed: Feed) {
        match feed {
            Feed::InBand => self.tone = Tone::Down,
            Feed::Message | Feed::Callback => {}
        }
    }

    /// The audio says that the key that was down is up.
    pub(super) fn release(&mut self) {
        if self.tone == Tone::Down {
            self.tone = Tone::Up;
        }
    }

    /// When it is over for sure; nothing if it was heard going up.
    pub(super) fn over_from(&self) -> Option<Duration> {
        match self.tone {
            Tone::Up => None,
            Tone::Down => Some(self.at.saturating_add(LONG_PRESS)),
            Tone::Unheard => Some(self.at.saturating_add(PRESS)),
        }
    }
}
