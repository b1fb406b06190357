//! Digits of up to three feeds become one row of presses: a key that two feeds report is one press,
//! a key that one feed reports twice is two.
//!
//! # The rule
//!
//! A digit fills the earliest equal press that its feed has not reported yet and that is near in time;
//! without one it is a new press. That needs no clock in common: as long as a feed reports the keys in
//! their order, the earliest that it has not reported is the one that it reports now. Near is counted
//! from the whole press, as some gateways tell of a key when it goes up.
//!
//! A new press is the latest, unless its feed lags: the last press that it and another one told of was
//! the other's first. What others have told since then it may well report yet, so they missed the key,
//! and it was pressed before that.
//!
//! # What ends an entry parts the feeds
//!
//! `*`, `#` and the last digit of a code of fixed length are presses too and stay in the row, so that a
//! slower feed finds there what it is about to report, and does not report it into the next entry. A
//! digit that fills nothing, of a feed that has not come to the latest such press while it well may, is
//! from before it: it was missed by the faster feed, and counts no more.

use std::collections::VecDeque;
use std::time::Duration;

use zeroize::Zeroize as _;

use super::last::LONG_PRESS;
use crate::dtmf::Digit;

/// Where a digit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// A tone in the caller's audio, found by the detector.
    InBand,
    /// A `DtmfData` message on the media socket: an RFC 4733 event that ACS heard of.
    Message,
    /// A tone event that Call Automation posted. In the order of its `sequenceId`, each once.
    Callback,
}

impl Feed {
    /// All of them.
    pub const ALL: [Feed; 3] = [Feed::InBand, Feed::Message, Feed::Callback];

    /// The word used in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Feed::InBand => "in_band",
            Feed::Message => "message",
            Feed::Callback => "callback",
        }
    }

    /// How far a report may be from the press that another feed has told of, from its beginning to its
    /// end. On the socket both come with the audio, and
    /// half a second is what a detector, an RFC 4733 event's end and a busy network add up to. A
    /// callback is a request of its own, through queues.
    const fn window(self) -> Duration {
        match self {
            Feed::InBand | Feed::Message => Duration::from_millis(500),
            Feed::Callback => Duration::from_secs(3),
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What became of a reported digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// A key was pressed.
    New,
    /// The press that another feed has reported.
    Same,
    /// It counts for nothing: its feed is off, it came after the verdict, it belongs to before the key
    /// that ended the entry, or there is no room for more.
    Ignored,
}

/// Most presses that are remembered. Callbacks need those of 3 s, and even a machine dials less than 11
/// a second (Q.24: 93 ms a digit); a flood only makes its own caller's entries wrong.
const PRESSES_MAX: usize = 64;

/// The presses so far, as far as a feed may still report them.
#[derive(Debug)]
pub(super) struct Presses {
    row: VecDeque<Pressed>,
    /// Number of the next press.
    next: u64,
    /// The latest press that ended an entry or cleared one.
    parting: Option<Parting>,
}

#[derive(Debug)]
struct Pressed {
    number: u64,
    digit: Key,
    at: Duration,
    /// Where it ended, as far as anybody has told.
    end: Duration,
    /// The audio says that it is down.
    down: bool,
    /// The feed that has reported it first, and all that have, as bits.
    first: Feed,
    feeds: u8,
}

#[derive(Clone, Copy, Debug)]
struct Parting {
    number: u64,
    at: Duration,
}

/// The label of a key. A caller's secret, so it is wiped, and `Debug` does not tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) u8);

impl Key {
    pub(super) fn of(digit: Digit) -> Key {
        Key(digit.as_char() as u8)
    }

    pub(super) fn wipe(&mut self) {
        self.0.zeroize();
    }

    pub(super) const fn is_digit(self) -> bool {
        self.0.is_ascii_digit()
    }

    /// Whether it ends or clears whatever came before.
    pub(super) const fn parts(self) -> bool {
        matches!(self.0, b'*' | b'#')
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(_)")
    }
}

/// Where a press is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) at: Duration,
    /// The press that it came before, where it is not the latest.
    pub(super) before: Option<u64>,
}

/// How a digit merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// A press.
    New(Place),
    /// The press with this number.
    Same(u64),
    /// From before the key that ended the entry.
    Late,
}

impl Presses {
    pub(super) fn new() -> Presses {
        Presses {
            row: VecDeque::with_capacity(PRESSES_MAX),
            next: 0,
            parting: None,
        }
    }

    /// Takes in what a feed reports.
    pub(super) fn merge(&mut self, feed: Feed, digit: Key, at: Duration) -> Merged {
        let in_band = feed == Feed::InBand;
        if in_band {
            self.row.iter_mut().for_each(|pressed| pressed.down = false);
        }
        let unreported = |pressed: &&mut Pressed| {
            pressed.digit == digit
                && pressed.feeds & feed.bit() == 0
                && pressed.distance(at) <= feed.window()
        };
        if let Some(pressed) = self.row.iter_mut().find(unreported) {
            pressed.feeds |= feed.bit();
            pressed.down |= in_band;
            let number = pressed.number;
            self.reach(feed, number);
            return Merged::Same(number);
        }
        if self.is_late(feed, at) {
            return Merged::Late;
        }
        if self.row.len() == PRESSES_MAX {
            self.drop_oldest();
        }
        let number = self.next;
        self.next += 1;
        let pressed = Pressed {
            number,
            digit,
            at,
            end: at,
            down: in_band,
            first: feed,
            feeds: feed.bit(),
        };
        // What was told before an end counts no more, so an end is never put before anything.
        let place = self.lags(feed, at).filter(|_| !digit.parts());
        let before = place.map(|place| (self.row[place].number, self.row[place].at));
        self.row.insert(place.unwrap_or(self.row.len()), pressed);
        if digit.parts() {
            self.part(number, at);
        }
        Merged::New(Place {
            number,
            // It was told late, and not pressed late.
            at: before.map_or(at, |(_, later)| at.min(later)),
            before: before.map(|(number, _)| number),
        })
    }

    /// Where the first press is that this feed may still report, behind the last one that it has, if
    /// it is known to lag.
    fn lags(&self, feed: Feed, at: Duration) -> Option<usize> {
        let told = |pressed: &Pressed| pressed.feeds & feed.bit() != 0;
        let also_by_others = |pressed: &&Pressed| told(pressed) && pressed.feeds != feed.bit();
        let lately = self.row.iter().rev().find(also_by_others)?;
        let place = self.row.iter().rposition(told)? + 1;
        let next = self.row.get(place)?;
        let lags = lately.first != feed && next.distance(at) <= feed.window();
        lags.then_some(place)
    }

    /// The key that the audio said was down is up.
    pub(super) fn release(&mut self, at: Duration) {
        for pressed in self.row.iter_mut().filter(|pressed| pressed.down) {
            pressed.down = false;
            pressed.end = pressed.end.max(at);
        }
    }

    /// This press ended an entry or cleared one.
    pub(super) fn part(&mut self, number: u64, at: Duration) {
        if self.parting.is_none_or(|parting| number > parting.number) {
            self.parting = Some(Parting { number, at });
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.row.len()
    }

    /// Forgets all, and that for good.
    pub(super) fn wipe(&mut self) {
        for pressed in &mut self.row {
            pressed.digit.wipe();
        }
        self.row.clear();
    }

    /// A feed has come to the press that ended the entry: whatever it seemed to report of the presses
    /// after that was from before, and they are yet to be reported.
    fn reach(&mut self, feed: Feed, number: u64) {
        if self.parting.is_some_and(|parting| parting.number == number) {
            for later in self.row.iter_mut().filter(|later| later.number > number) {
                later.feeds &= !feed.bit();
            }
        }
    }

    /// Whether a new digit of this feed may be from before the press that ended the entry.
    fn is_late(&self, feed: Feed, at: Duration) -> bool {
        self.parting.is_some_and(|parting| {
            let has_passed = self
                .row
                .iter()
                .any(|pressed| pressed.number >= parting.number && pressed.feeds & feed.bit() != 0);
            !has_passed && at.saturating_sub(parting.at) <= feed.window()
        })
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.row.front_mut() {
            oldest.digit.wipe();
        }
        self.row.pop_front();
    }
}

impl Pressed {
    /// How far this time is from the press.
    fn distance(&self, at: Duration) -> Duration {
        let end = if self.down {
            self.at.saturating_add(LONG_PRESS)
        } else {
            self.end
        };
        self.at.saturating_sub(at).max(at.saturating_sub(end))
    }
}

impl Drop for Presses {
    fn drop(&mut self) {
        self.wipe();
    }
}
