//! The gate of a call: what the caller dials is heard, and nothing goes on until it has opened.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::prompt;
use super::{Asked, Call};
use crate::audio;
use crate::config;
use crate::dtmf::Digit;
use crate::error::{Reason, Side};
use crate::gate::{Answer, Ears, Feed, Gate, Heard, Press, Prompt, State, Want};
use crate::wire::acs::{self, Message};

/// Characters of base64 that are decoded at once: a multiple of eight, so that no sample is cut.
const PIECE: usize = 2048;

/// How long after a key has gone up ACS may tell of it in a message: as long as the gate waits for it.
const LATE: Duration = Duration::from_millis(500);

/// Digits that a gate was given, by feed; the same press told by two of them counts for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressed {
    pub in_band: u64,
    pub message: u64,
    pub callback: u64,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateEnding {
    /// [`State::Pending`]: the call ended before.
    pub state: State,
    /// From the `101`.
    pub after: Duration,
    /// Codes that were tried and failed.
    pub failed: u32,
    /// Why it did not open, if that was decided.
    pub reason: Option<Reason>,
    pub pressed: Pressed,
}

/// A gate that has not let media through yet.
pub(super) struct Gated {
    gate: Gate,
    settings: Arc<config::Gate>,
    pressed: Pressed,
    /// The verdict, as soon as there is one.
    decided: Option<Duration>,
    /// What is to be said as soon as the rate is known.
    unsaid: Option<Prompt>,
    /// When the goodbye has been said.
    ends: Option<Instant>,
    /// The store could not be asked when it was asked last.
    store_failed: bool,
    /// The caller dials: nobody listens to prompts meanwhile.
    hush: bool,
    /// Messages go on as they are, also those that tell of keys.
    verbatim: bool,
    /// When the audio last told of a key.
    heard_at: Duration,
}

impl Gated {
    pub(super) fn new(settings: Arc<config::Gate>, verbatim: bool) -> Gated {
        Gated {
            gate: Gate::new(&settings),
            settings,
            pressed: Pressed::default(),
            decided: None,
            unsaid: None,
            ends: None,
            store_failed: false,
            hush: false,
            verbatim,
            heard_at: Duration::ZERO,
        }
    }

    /// When a message may still come that tells of a key of the code, if it has not come.
    fn tells_until(&self) -> Option<Duration> {
        let outstanding = self.pressed.message < self.pressed.in_band;
        (self.verbatim && outstanding).then(|| self.heard_at.saturating_add(LATE))
    }

    /// Whether nothing of the code is still to come, so that what comes may go on.
    fn is_over(&self, at: Duration) -> bool {
        self.gate.may_forward(at) && self.tells_until().is_none_or(|until| at >= until)
    }

    /// When time alone will change something.
    fn wake_at(&self) -> Option<Duration> {
        let gate = self.gate.wake_at();
        match self.gate.state() {
            State::Authorised => gate.max(self.tells_until()),
            State::Pending | State::Rejected | State::Expired => gate,
        }
    }

    pub(super) fn settings(&self) -> &config::Gate {
        &self.settings
    }

    /// Whether what was measured of the audio is kept for a second look.
    pub(super) fn records(&self) -> bool {
        self.settings.second_look && self.settings.feeds.in_band
    }

    fn ending(&self, now: Duration) -> GateEnding {
        GateEnding {
            state: self.gate.state(),
            after: self.decided.unwrap_or(now),
            failed: self.gate.failed(),
            reason: self.reason(),
            pressed: self.pressed,
        }
    }

    /// Why the gate has said no, if it has.
    fn reason(&self) -> Option<Reason> {
        match self.gate.reason() {
            // It was not the caller: nobody could say whether the code was right.
            Some(Reason::GateExpired) if self.store_failed => Some(Reason::StoreUnavailable),
            other => other,
        }
    }

    fn press(&mut self, feed: Feed, digit: Digit, at: Duration) {
        let count = match feed {
            Feed::InBand => &mut self.pressed.in_band,
            Feed::Message => &mut self.pressed.message,
            Feed::Callback => &mut self.pressed.callback,
        };
        match self.gate.press(feed, digit, at) {
            Press::New => {
                *count += 1;
                self.hush = true;
            }
            Press::Same => *count += 1,
            Press::Ignored => {}
        }
    }

    /// Listens to a message; whether there was audio that could not be listened to.
    fn hear(&mut self, ears: &mut Ears, message: &Message<'_>, at: Duration) -> bool {
        match message {
            Message::Audio(audio) => self.hear_audio(ears, audio, at).is_none(),
            Message::Dtmf(dtmf) => {
                let name = dtmf.participant.and_then(|name| name.unescape());
                let name = name.as_deref().map(std::str::from_utf8);
                let caller = match name {
                    None => ears.is_callers(None),
                    Some(name) => name.is_ok_and(|name| ears.is_callers(Some(name))),
                };
                let digit = dtmf.key.and_then(|key| Digit::from_char(key.as_char()));
                if let Some(digit) = digit.filter(|_| caller) {
                    self.press(Feed::Message, digit, at);
                }
                false
            }
            Message::Metadata(_) | Message::StopAudio | Message::Unknown => false,
        }
    }

    /// Also what ACS takes for silence: a key may be soft.
    fn hear_audio(&mut self, ears: &mut Ears, audio: &acs::Audio<'_>, at: Duration) -> Option<()> {
        let name = match audio.participant {
            Some(name) => Some(name.unescape()?),
            None => None,
        };
        let name = match &name {
            Some(name) => Some(std::str::from_utf8(name).ok()?),
            None => None,
        };
        let text = audio.data.unescape()?;
        let mut samples = [0; PIECE / 8 * 3];
        for piece in text.chunks(PIECE) {
            let samples = audio::pcm16_from_base64(piece, &mut samples).ok()?;
            ears.hear(name, samples, at, |heard| match heard {
                Heard::Down { digit, at } => {
                    self.heard_at = self.heard_at.max(at);
                    self.press(Feed::InBand, digit, at);
                }
                Heard::Up { at } => {
                    self.heard_at = self.heard_at.max(at);
                    self.gate.release(at);
                }
            });
        }
        Some(())
    }
}

impl Call {
    /// Whether a message may go on. While the gate is pending it is listened to instead; the audio
    /// that carried the code never goes on.
    pub(super) fn goes_on(&mut self, message: &Message<'_>, now: Instant) -> bool {
        let at = now.saturating_duration_since(self.began);
        let Some(gated) = &mut self.gated else {
            return true;
        };
        let was_open = gated.is_over(at);
        // Without its format audio cannot be listened to.
        let unheard = match &mut self.ears {
            Some(ears) => gated.hear(ears, message, at),
            None => matches!(message, Message::Audio(_)),
        };
        self.drops.unheard += u64::from(unheard);
        self.turn(now);
        let open = self.gated.is_none();
        match message {
            Message::Metadata(_) => true,
            // One in which the last key was heard going up has that key in it.
            Message::Audio(_) => {
                let goes_on = open && was_open;
                self.drops.pending += u64::from(!goes_on);
                goes_on
            }
            Message::Dtmf(_) | Message::StopAudio | Message::Unknown => open,
        }
    }

    /// Does what the gate wants, and ends with its verdict.
    pub(super) fn turn(&mut self, now: Instant) {
        let at = now.saturating_duration_since(self.began);
        let Some(gated) = &mut self.gated else {
            return;
        };
        let pending = gated.decided.is_none();
        if std::mem::take(&mut gated.hush) {
            self.speaker.hush();
        }
        let mut says = gated.unsaid.take();
        while let Some(want) = gated.gate.poll(at) {
            match want {
                Want::Try(entry) => self.asks.push_back(Asked::Try(entry)),
                Want::Look(look) => {
                    let found = match &self.ears {
                        Some(ears) => ears.look_again(look),
                        None => crate::gate::Found::nothing(),
                    };
                    gated.gate.look_again(&found, at);
                }
                Want::Say(prompt) => says = Some(prompt),
            }
        }
        let state = gated.gate.state();
        if pending && state != State::Pending {
            gated.decided = Some(at);
            self.asks.clear();
            if let Some(ears) = &mut self.ears {
                ears.forget();
            }
            self.asks.push_back(match state {
                State::Authorised => Asked::Dial,
                State::Pending | State::Rejected | State::Expired => Asked::Nothing,
            });
            if state == State::Authorised {
                self.speaker.hush();
            }
        }
        let may_forward = gated.is_over(at);
        if let Some(prompt) = says {
            self.say(prompt, now);
        }
        if may_forward {
            self.gate = self.gated.take().map(|gated| gated.ending(at));
        } else if matches!(state, State::Rejected | State::Expired) {
            self.reject(now);
        }
    }

    /// The gate has said no: the session ends as soon as the goodbye is said.
    fn reject(&mut self, now: Instant) {
        let Some(gated) = &mut self.gated else {
            return;
        };
        if now < *gated.ends.get_or_insert(now) {
            return;
        }
        let reason = gated.reason().unwrap_or(Reason::GateExpired);
        let by = if matches!(reason, Reason::GateExpired | Reason::StoreUnavailable) {
            Side::Edge
        } else {
            Side::Client
        };
        self.fault = Some((by, reason));
    }

    /// What the store says to a try.
    pub(in crate::relay) fn answer(&mut self, number: u32, answer: Answer) {
        let now = Instant::now();
        let at = now.saturating_duration_since(self.began);
        if let Some(gated) = &mut self.gated {
            gated.store_failed = false;
            gated.gate.answer(number, answer, at);
        }
        self.turn(now);
    }

    /// A callback has told of a key.
    pub(in crate::relay) fn press(&mut self, digit: Digit) {
        let now = Instant::now();
        let at = now.saturating_duration_since(self.began);
        if let Some(gated) = &mut self.gated {
            gated.press(Feed::Callback, digit, at);
        }
        self.turn(now);
    }

    /// The store could not be asked; it is asked again.
    pub(in crate::relay) fn unanswered(&mut self) {
        if let Some(gated) = &mut self.gated {
            gated.store_failed = true;
        }
    }

    /// When time alone will change something.
    pub(in crate::relay) fn wake_at(&self) -> Option<Instant> {
        let gated = self.gated.as_ref()?;
        gated.ends.or_else(|| Some(self.began + gated.wake_at()?))
    }

    /// When the gate let the call through, if it has.
    pub(in crate::relay) fn opened_at(&self) -> Option<Instant> {
        let gate = self.gate_ending(Instant::now())?;
        (gate.state == State::Authorised).then(|| self.began + gate.after)
    }

    /// How the gate stands or has ended, where there is one.
    pub(in crate::relay) fn gate_ending(&self, now: Instant) -> Option<GateEnding> {
        let now = now.saturating_duration_since(self.began);
        let gated = self.gated.as_ref().map(|gated| gated.ending(now));
        gated.or(self.gate)
    }

    /// Has a prompt played, over what is being played.
    fn say(&mut self, what: Prompt, now: Instant) {
        let Some(gated) = &mut self.gated else {
            return;
        };
        let Some(wav) = prompt::wav(&gated.settings.prompts, what) else {
            return;
        };
        let Some(rate) = self.rate else {
            gated.unsaid = Some(what);
            return;
        };
        if rate != wav.rate {
            self.drops.prompts += 1;
            return;
        }
        if what == Prompt::Goodbye {
            let samples = wav.samples.len() as u64;
            let length = Duration::from_secs_f64(wav.rate.millis(samples) / 1000.0);
            gated.ends = Some(now + length);
        }
        self.speaker.say(what);
    }
}
