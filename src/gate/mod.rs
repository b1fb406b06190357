//! The gate: the second stage of admission, inside a connected call. It decides from digits and time
//! whether a caller may go through, and knows nothing else: no socket, no store, no clock.
//!
//! ```text
//! pending ── a try was opened ───────────────────────────→ authorised
//!    │ ├──── attempts used up (code_wrong), locked out ──→ rejected
//!    └─└──── the deadline, whatever is outstanding ──────→ expired
//! ```
//!
//! Whoever owns the gate tells it what happens ([`press`](Gate::press), [`release`](Gate::release),
//! [`answer`](Gate::answer), [`look_again`](Gate::look_again)), asks what it wants
//! ([`poll`](Gate::poll), until it wants nothing) and wakes it at [`wake_at`](Gate::wake_at). All times
//! are media time: since the first frame of the call's audio. They may jump back by as much as feeds
//! differ; the deadline goes by the latest that was told.
//!
//! # Contract
//!
//! - Closed by default: the only way to [`State::Authorised`] is [`Answer::Opened`] for the try that
//!   was handed out last, before the deadline. A verdict is final.
//! - An attempt is an entry that ended (`entry` has the grammar). Of wrong form it fails here, and
//!   the store is not asked. At most as many tries as the settings allow attempts.
//! - One try at a time. Keys that are pressed meanwhile are held, [`HELD_MAX`] of them, and what is
//!   beyond that is counted in [`dropped`](Gate::dropped).
//! - Digits are wiped and never formatted.
//!
//! `digits` merges the feeds, [`Ears`] hears the tones, `replay` is the second look.
//!
//! Not here: failed attempts of a caller over many calls, and locks (those are the store's), what a
//! prompt sounds like, what a key in the store looks like.

mod digits;
mod ears;
mod entry;
mod last;
mod replay;
mod want;

pub use self::digits::{Feed, Press};
pub use self::ears::{Counts, Ears, Heard};
pub use self::entry::{Code, Entry};
pub use self::replay::{Found, Look};
pub use self::want::{Answer, Prompt, State, Want};

use std::collections::VecDeque;
use std::time::Duration;

use self::digits::{Key, Merged, Place, Presses};
use self::entry::{Draft, Form};
use self::last::Last;
use crate::config;
use crate::dtmf::Digit;
use crate::error::Reason;

/// Keys that are held while an answer is outstanding: a number, a code and their `#` once over. A
/// caller who dials more than that at a store that does not answer will be asked again.
pub const HELD_MAX: usize = 32;
/// A key begins no sooner than this after another: Q.24's fastest dialling has 93 ms.
const AFTER_KEY: Duration = Duration::from_millis(60);

/// The gate of one call.
#[derive(Debug)]
pub struct Gate {
    feeds: config::Feeds,
    deadline: Duration,
    between: Duration,
    attempts: u32,
    looks: bool,
    state: State,
    reason: Option<Reason>,
    doing: Doing,
    presses: Presses,
    held: VecDeque<Held>,
    draft: Draft,
    /// When the last entry ended or was cleared.
    since: Option<Duration>,
    wants: VecDeque<Want>,
    /// Entries that were tried; attempts that failed, tried or not.
    tries: u32,
    failed: u32,
    dropped: u64,
    last: Option<Last>,
    /// The latest time that was told.
    now: Duration,
}

/// What a pending gate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// The next key.
    Listening,
    /// What the second look finds.
    Looking,
    /// The answer to the latest try, which may not have been handed out yet.
    Asking { handed_out: bool },
}

/// A press that is not part of an entry yet.
#[derive(Debug)]
struct Held {
    place: Place,
    key: Key,
}

impl Gate {
    /// A gate at media time zero.
    pub fn new(settings: &config::Gate) -> Gate {
        Gate {
            feeds: settings.feeds,
            deadline: settings.deadline,
            between: settings.between,
            attempts: settings.attempts,
            looks: settings.second_look && settings.feeds.in_band,
            state: State::Pending,
            reason: None,
            doing: Doing::Listening,
            presses: Presses::new(),
            held: VecDeque::with_capacity(HELD_MAX),
            draft: Draft::new(settings.dialled, settings.length),
            since: None,
            wants: VecDeque::from([Want::Say(Prompt::Prompt)]),
            tries: 0,
            failed: 0,
            dropped: 0,
            last: None,
            now: Duration::ZERO,
        }
    }

    /// A feed reports a digit. `at` is when a tone began, and when a message or callback arrived.
    pub fn press(&mut self, feed: Feed, digit: Digit, at: Duration) -> Press {
        self.settle(at);
        if !self.hears(feed) {
            return Press::Ignored;
        }
        match self.state {
            State::Pending => self.merge(feed, Key::of(digit), at),
            State::Authorised => {
                // The `#` behind a code of fixed length: it counts for nothing, but is not forwarded.
                if !self.may_forward(self.now) {
                    self.merge(feed, Key::of(digit), at);
                }
                Press::Ignored
            }
            State::Rejected | State::Expired => Press::Ignored,
        }
    }

    /// The key that the audio last said was down has gone up.
    pub fn release(&mut self, at: Duration) {
        self.settle(at);
        self.presses.release(at);
        if let Some(last) = &mut self.last {
            last.release();
        }
        self.settle(at);
    }

    /// What the store says to try number `number`. What is said of any other is not heard.
    pub fn answer(&mut self, number: u32, answer: Answer, at: Duration) {
        self.settle(at);
        let asked = self.doing == Doing::Asking { handed_out: true };
        if self.state != State::Pending || !asked || number != self.tries {
            return;
        }
        self.doing = Doing::Listening;
        match answer {
            Answer::Opened => self.decide(State::Authorised, None),
            Answer::Wrong => self.fail(),
            Answer::LockedOut => self.decide(State::Rejected, Some(Reason::LockedOut)),
        }
        self.settle(at);
    }

    /// What the second look found. What nobody asked for is not heard.
    pub fn look_again(&mut self, found: &Found, at: Duration) {
        self.settle(at);
        if self.state != State::Pending || self.doing != Doing::Looking {
            return;
        }
        self.doing = Doing::Listening;
        self.draft.complete(found);
        match self.draft.form() {
            Form::Whole(whole) => self.ask(whole),
            Form::Short | Form::Wrong => self.fail(),
        }
        self.settle(at);
    }

    /// The next thing that the gate wants, at this time.
    pub fn poll(&mut self, at: Duration) -> Option<Want> {
        self.settle(at);
        let want = self.wants.pop_front();
        if let Some(Want::Try(_)) = want {
            self.doing = Doing::Asking { handed_out: true };
        }
        want
    }

    /// When to poll again if nothing happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.state {
            State::Pending => {
                let pause = match self.doing {
                    Doing::Listening => self.draft.pause_ends(self.between),
                    Doing::Looking | Doing::Asking { .. } => None,
                };
                Some(pause.map_or(self.deadline, |pause| pause.min(self.deadline)))
            }
            State::Authorised => self.goes_on_at().filter(|&at| at > self.now),
            State::Rejected | State::Expired => None,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Why the call ends, if it does.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Whether media may go on: the caller is authorised and the last key is over. Until this says yes
    /// for the first time the audio must be listened to, as that is what tells.
    pub fn may_forward(&self, at: Duration) -> bool {
        self.state == State::Authorised && self.goes_on_at().is_none_or(|from| at >= from)
    }

    /// Attempts that failed, tried at the store or not.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Presses for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn hears(&self, feed: Feed) -> bool {
        match feed {
            Feed::InBand => self.feeds.in_band,
            Feed::Message => self.feeds.messages,
            Feed::Callback => self.feeds.callbacks,
        }
    }

    /// When media goes on for sure; nothing if it may at once.
    fn goes_on_at(&self) -> Option<Duration> {
        self.last.and_then(|last| last.over_from())
    }

    fn merge(&mut self, feed: Feed, key: Key, at: Duration) -> Press {
        match self.presses.merge(feed, key, at) {
            Merged::New(place) => {
                self.last = Some(Last::new(place.number, feed, at));
                self.hold(Held { place, key })
            }
            Merged::Same(number) => {
                if let Some(last) = self.last.as_mut().filter(|last| last.number == number) {
                    last.told(feed);
                }
                Press::Same
            }
            Merged::Late => Press::Ignored,
        }
    }

    fn hold(&mut self, press: Held) -> Press {
        if self.state != State::Pending {
            return Press::Ignored;
        }
        if self.held.len() == HELD_MAX {
            self.dropped += 1;
            return Press::Ignored;
        }
        let Place { at, before, .. } = press.place;
        let later = |held: &Held| Some(held.place.number) == before;
        let place = self.held.iter().position(later);
        self.held.insert(place.unwrap_or(self.held.len()), press);
        self.settle(at);
        Press::New
    }

    /// Brings everything up to `at`: the deadline, then keys and pauses in their order.
    fn settle(&mut self, at: Duration) {
        self.now = self.now.max(at);
        if self.state == State::Pending && self.now >= self.deadline {
            self.decide(State::Expired, Some(Reason::GateExpired));
        }
        if self.may_forward(self.now) {
            self.presses.wipe();
        }
        while self.state == State::Pending && self.doing == Doing::Listening {
            let pause = self.draft.pause_ends(self.between);
            let until = self.held.front().map_or(self.now, |press| press.place.at);
            match pause {
                Some(pause) if until >= pause => self.finish(pause),
                Some(_) | None => match self.next_held() {
                    Some(press) => self.take(press),
                    None => break,
                },
            }
        }
    }

    fn next_held(&mut self) -> Option<Held> {
        let front = self.held.front_mut()?;
        let press = Held { ..*front };
        front.key.wipe();
        self.held.pop_front();
        Some(press)
    }

    /// A key becomes part of the entry.
    fn take(&mut self, press: Held) {
        let Held { place, key } = press;
        if self.draft.take(place, key) {
            self.presses.part(place.number, place.at);
            self.finish(place.at);
        } else if key.parts() {
            self.since = Some(place.at);
        }
    }

    /// The entry has ended.
    fn finish(&mut self, at: Duration) {
        match self.draft.form() {
            Form::Whole(whole) => self.ask(whole),
            Form::Short if self.looks => {
                self.doing = Doing::Looking;
                let after = |key: Duration| key.saturating_add(AFTER_KEY);
                let from = self.draft.reaches_back(self.between);
                let from = from.max(self.since.map_or(Duration::ZERO, after));
                self.wants.push_back(Want::Look(Look { from, to: at }));
            }
            Form::Short | Form::Wrong => self.fail(),
        }
        self.since = Some(at);
    }

    fn ask(&mut self, whole: entry::Whole) {
        self.draft.clear();
        self.tries += 1;
        self.doing = Doing::Asking { handed_out: false };
        self.wants
            .push_back(Want::Try(Entry::new(self.tries, whole)));
    }

    /// An attempt has failed.
    fn fail(&mut self) {
        self.draft.clear();
        self.failed += 1;
        if self.failed >= self.attempts {
            self.decide(State::Rejected, Some(Reason::CodeWrong));
        } else {
            self.wants.push_back(Want::Say(Prompt::Retry));
        }
    }

    /// The verdict. Nothing that was wanted or dialled before is of use.
    fn decide(&mut self, state: State, reason: Option<Reason>) {
        self.state = state;
        self.reason = reason;
        self.doing = Doing::Listening;
        self.draft.clear();
        self.wipe_held();
        self.wants.clear();
        match state {
            State::Rejected | State::Expired => {
                self.presses.wipe();
                self.wants.push_back(Want::Say(Prompt::Goodbye));
            }
            // What is pressed until media goes on merges still.
            State::Authorised | State::Pending => {}
        }
    }

    fn wipe_held(&mut self) {
        self.held.iter_mut().for_each(|press| press.key.wipe());
        self.held.clear();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.wipe_held();
    }
}

#[cfg(test)]
mod tests;
