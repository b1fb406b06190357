//! A phone call: the gate first, the upstream when it has opened, and the store's word on both.
//!
//! The relay hears the caller and decides what digits mean. What it cannot do itself, for it never
//! waits, it asks of its session: to try a code at the store, and to dial. A store that cannot be
//! asked has given no answer: the code is tried again until the gate's own deadline.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::io::Empty;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::contact::Contact;
use super::dial::Dialler;
use super::tones::Places;
use crate::admission::Calling;
use crate::config::{Ani, Dialled, Flow, Gate, Phone};
use crate::dtmf::Digit;
use crate::error::{Reason, Side};
use crate::gate::{Answer, Entry};
use crate::ids::{ForeignId, PhoneNumber, SessionId};
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;
use crate::relay::{Asked, CallTerms, Relay};
use crate::secret::Digest;
use crate::store::{Attempt, Facts, SessionKey, Still, Store, Tones, Tried, Unavailable};
use crate::upstream::call_automation::CallAutomation;
use crate::upstream::webhook::Webhooks;
use crate::upstream::{self, Dialled as Upgraded, Upstream, Want};

/// How long to wait before a store that could not be asked is asked again: at first, at the most.
const AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// How often a session asks whether its call is still its own, from question to question however long the
/// answer takes: a takeover at another replica, or a verdict that is taken back, ends it within two seconds
/// where the store has its usual `timeout`, and a takeover at the same replica at once. It asks at a glance,
/// with all other sessions of this edge that ask within the same tenth of a second, and then looks: the
/// window and both answers are part of those two seconds.
const LOOK: Duration = Duration::from_millis(1250);

/// How often a gate that hears callbacks asks for what they told of. Nothing wakes it: whichever
/// replica they came to, this is how long a key takes at the most.
const LISTEN: Duration = Duration::from_millis(200);

/// What a session knows of its call.
pub struct Call {
    pub calling: Calling,
    /// What signalling said.
    pub facts: Facts,
    /// It may go through: the store has said so at the upgrade.
    pub authorised: bool,
    /// For whom another cloud handed it over.
    pub contact: Contact,
    /// Who is told what becomes of it then.
    pub webhooks: Arc<Webhooks>,
    pub phone: Arc<Phone>,
    pub store: Arc<Store>,
    /// Where it goes once it may, tried in this order.
    pub upstreams: Vec<Arc<Upstream>>,
    /// By whom it is dialled.
    pub dialler: Arc<Dialler>,
    /// For warnings that none of them could serve.
    pub dial_warnings: Arc<Throttle>,
    /// How long the verdict holds when the media socket has dropped.
    pub resume: Duration,
    /// What ends the call itself, where the route wants that.
    pub hang_up: Option<Arc<CallAutomation>>,
}

/// What came of asking the store for a code.
enum Said {
    Answer(Answer),
    /// The call is not this session's any more.
    Over(Side, Reason),
    /// It could not be asked; when to ask again.
    Nothing(Duration),
}

/// Whose call it is.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) session: SessionId,
    pub(super) route: &'a Label,
    pub(super) want: Want<'a>,
    /// That turns to dial are shared among.
    pub(super) party: Digest,
    /// The longest that the session can last.
    pub(super) longest: Duration,
    pub(super) metrics: &'a metrics::Shared,
}

impl Call {
    pub(super) fn terms(&self) -> CallTerms {
        CallTerms {
            gate: self.gate().cloned(),
            bridge: self.phone.bridge.clone(),
            ani: self.facts.ani.clone(),
        }
    }

    /// Whether digits are to open it first.
    pub fn is_gated(&self) -> bool {
        self.gate().is_some()
    }

    /// The gate that is still to be opened.
    fn gate(&self) -> Option<&Arc<Gate>> {
        match &self.phone.flow {
            Flow::Dialled(gate) if !self.authorised => Some(gate),
            Flow::Dialled(_) | Flow::Open | Flow::Api { .. } | Flow::SipHeader { .. } => None,
        }
    }

    /// Serves a gated call until its upstream is there, or until the call is ending.
    pub(super) async fn pass_gate(
        &self,
        relay: &mut Relay<TcpStream, Empty>,
        whose: Whose<'_>,
    ) -> Option<Upgraded> {
        let mut trying = Box::pin(OptionFuture::from(None));
        let mut dialling = Box::pin(OptionFuture::from(None));
        let mut places = Places::default();
        let mut listening = Box::pin(OptionFuture::from(
            self.hears_callbacks()
                .then(|| self.tones(whose.session, None, Duration::ZERO)),
        ));
        loop {
            tokio::select! {
                biased;
                asked = relay.asked() => match asked? {
                    Asked::Try(entry) => {
                        let first = self.try_code(whose, entry, Duration::ZERO);
                        trying.set(Some(first).into());
                    }
                    Asked::Dial => {
                        listening.set(None.into());
                        let (want, party) = (whose.want, whose.party);
                        let dial = self.dialler.dial_first(&self.upstreams, want, party);
                        dialling.set(Some(dial).into());
                    }
                    // Else a key could be consumed for a caller who is being told no.
                    Asked::Nothing => trying.set(None.into()),
                },
                Some((entry, said)) = &mut trying => match said {
                    Said::Answer(answer) => {
                        trying.set(None.into());
                        if answer == Answer::Opened {
                            self.tell_begun(whose.session, whose.longest, whose.metrics);
                        }
                        relay.answer(entry.number(), answer);
                    }
                    Said::Over(by, reason) => {
                        trying.set(None.into());
                        relay.fail(by, reason);
                    }
                    Said::Nothing(wait) => {
                        relay.unanswered();
                        trying.set(Some(self.try_code(whose, entry, wait)).into());
                    }
                },
                Some(told) = &mut listening => {
                    hear(relay, &mut places, told);
                    let next = self.tones(whose.session, places.heard(), LISTEN);
                    listening.set(Some(next).into());
                },
                Some(dialled) = &mut dialling => {
                    dialling.set(None.into());
                    match dialled {
                        Ok(dialled) => return Some(dialled),
                        Err((name, failure)) => {
                            upstream::warn(&self.dial_warnings, whose.route, &name, failure);
                            relay.fail(Side::Upstream, failure.reason);
                        }
                    }
                },
            }
        }
    }

    fn hears_callbacks(&self) -> bool {
        self.gate().is_some_and(|gate| gate.feeds.callbacks)
    }

    /// What callbacks have told of since, after `wait`.
    async fn tones(
        &self,
        session: SessionId,
        heard: Option<u32>,
        wait: Duration,
    ) -> Result<Tones, Unavailable> {
        tokio::time::sleep(wait).await;
        let call = &self.calling.call;
        self.store.tones(call, session, heard).await
    }

    /// Tries a code after `wait`.
    async fn try_code(&self, whose: Whose<'_>, entry: Entry, wait: Duration) -> (Entry, Said) {
        tokio::time::sleep(wait).await;
        let Some((ani, key)) = self.key(&entry) else {
            // What was dialled is no key that could be in the store.
            return (entry, Said::Answer(Answer::Wrong));
        };
        let gate = self.gate();
        let attempt = Attempt {
            call: &self.calling.call,
            owner: whose.session,
            number: entry.number(),
            ani: ani.as_ref(),
            key: &key,
            consume: gate.is_none_or(|gate| gate.consume),
            per_call: gate.map_or(0, |gate| gate.attempts),
            per_ani: self.phone.attempts_per_ani,
            per_route: self
                .phone
                .attempts_per_route
                .map(|rate| (whose.route, rate)),
            shared_ani: gate.is_some_and(|gate| gate.dialled == Dialled::Pstn { ani: Ani::Shared }),
        };
        let later = Said::Nothing((2 * wait).clamp(AGAIN[0], AGAIN[1]));
        let said = match self.store.try_code(&attempt).await {
            Ok(Tried::Opened(contact)) => {
                if let Some(contact) = contact {
                    self.contact.learn(contact, Some(key));
                }
                Said::Answer(Answer::Opened)
            }
            Ok(Tried::Wrong) => Said::Answer(Answer::Wrong),
            Ok(Tried::LockedOut) => Said::Answer(Answer::LockedOut),
            Ok(Tried::NotOurs) => match self.store.look(&self.calling.call, whose.session).await {
                Ok(Still::Superseded) => Said::Over(Side::Edge, Reason::Superseded),
                Ok(Still::Ended) => Said::Over(Side::Client, Reason::HungUp),
                // The call is forgotten, and with it what could be opened.
                Ok(Still::Ours | Still::Gone) => Said::Answer(Answer::Wrong),
                Err(_) => later,
            },
            Err(_) => later,
        };
        (entry, said)
    }

    /// The key that an entry asks for, and whose failure it would be.
    fn key(&self, entry: &Entry) -> Option<(Option<PhoneNumber>, SessionKey)> {
        let keys = self.store.keys();
        let code = entry.code().expose();
        let dialled = self.gate()?.dialled;
        let ani = match dialled {
            Dialled::Pstn { ani: Ani::Digits } => entry.ani().cloned(),
            Dialled::Pstn { .. } | Dialled::SipAlias => self.facts.ani.clone(),
        };
        let key = match dialled {
            Dialled::Pstn { .. } => keys.pstn(ani.as_ref()?, code)?,
            Dialled::SipAlias => keys.sip(&ForeignId::new(code)?),
        };
        Some((ani, key))
    }

    /// Watches whether the call is still this session's; resolves with why it is not.
    pub(super) async fn watch(&self, session: SessionId) -> Reason {
        watched(|| self.still(session)).await
    }

    /// What the call is to this session. Nearly always it is what it was; only the look says what else.
    async fn still(&self, session: SessionId) -> Result<Still, Unavailable> {
        let call = &self.calling.call;
        match self.store.glance(call, session).await? {
            true => Ok(Still::Ours),
            false => self.store.look(call, session).await,
        }
    }

    /// The media socket is gone.
    pub(super) async fn leave(&self, session: SessionId) {
        let call = &self.calling.call;
        // Where the store is away, the record ends by its own time.
        if let Err(error) = self.store.leave(call, session, self.resume).await {
            tracing::debug!(%session, %call, %error, "the call's record keeps its time");
        }
    }
}

/// Asks every [`LOOK`] what the call is to its session, until it is that no more.
async fn watched<F>(still: impl Fn() -> F) -> Reason
where
    F: Future<Output = Result<Still, Unavailable>>,
{
    let mut next = Instant::now() + LOOK;
    loop {
        tokio::time::sleep_until(next).await;
        next = Instant::now() + LOOK;
        match still().await {
            Ok(Still::Superseded) => return Reason::Superseded,
            Ok(Still::Ended) => return Reason::HungUp,
            // Its verdict was taken back, or the call forgotten. A store that has lost all it had
            // says the same, and what it was told to take back is lost with it.
            Ok(Still::Gone) => return Reason::Revoked,
            // A store that is away ends nobody.
            Ok(Still::Ours) | Err(_) => {}
        }
    }
}

/// Tells the gate what callbacks have told of. A store that could not be asked is asked again.
fn hear(
    relay: &mut Relay<TcpStream, Empty>,
    places: &mut Places,
    told: Result<Tones, Unavailable>,
) {
    match told {
        Ok(Tones::Told { heard, tones }) => {
            for key in places.take(heard, tones, Instant::now()) {
                if let Some(digit) = Digit::from_char(key) {
                    relay.press(digit);
                }
            }
        }
        Ok(Tones::Ended) => relay.fail(Side::Client, Reason::HungUp),
        // Another session has the call now, and this one is told so in a moment.
        Ok(Tones::NotOurs) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// When a session asks, in ms, as each answer takes so long; the last one is an end.
    async fn asked(answers: &[(u64, Result<Still, Unavailable>)]) -> (Vec<u128>, Reason, u128) {
        let (begun, asked) = (Instant::now(), RefCell::new(Vec::new()));
        let reason = watched(async || {
            let (takes, still) = answers[asked.borrow().len()];
            asked.borrow_mut().push(begun.elapsed().as_millis());
            tokio::time::sleep(Duration::from_millis(takes)).await;
            still
        });
        let reason = reason.await;
        (asked.take(), reason, begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a35_what_changes_is_known_within_two_seconds_however_slow_the_answers_are() {
        let (ours, gone) = (Ok(Still::Ours), Ok(Still::Gone));
        // The slowest that there are: the window, and a store that nearly takes too long, twice. What
        // changed just after it was asked at 1250 is told at 3200.
        let answers = [(700, ours), (700, gone)];
        let wanted = (vec![1250, 2500], Reason::Revoked, 3200);
        assert_eq!(asked(&answers).await, wanted);
        for (still, reason) in [
            (Still::Superseded, Reason::Superseded),
            (Still::Ended, Reason::HungUp),
        ] {
            let answers = [(1, ours), (1, ours), (1, Ok(still))];
            let wanted = (vec![1250, 2500, 3750], reason, 3751);
            assert_eq!(asked(&answers).await, wanted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s31_no_answer_ends_nobody_and_is_asked_for_again() {
        let late = (400, Err(Unavailable::Timeout));
        let away = (0, Err(Unavailable::Unreachable));
        let never = (2000, Err(Unavailable::Timeout));
        let answers = [late, away, away, never, (1, Ok(Still::Gone))];
        let wanted = (vec![1250, 2500, 3750, 5000, 7000], Reason::Revoked, 7001);
        assert_eq!(asked(&answers).await, wanted);
    }
}
