//! What the store says of a call, after its admission and before anything is dialled: whether it is
//! known, its token unspent, and where the flow asks for that, its session key there.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use super::doors::{Doors, Open};
use super::refusal::Refusal;
use crate::admission::{Calling, Grant};
use crate::config::{Flow, KnownBy, Phone};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::metrics::Work;
use crate::panics::contained;
use crate::session::{Call, Contact};
use crate::store::{Enter, Entered, Facts, GivenBack, Needs, SessionKey, Unavailable};

/// How long a socket waits for its call to become known, and a store for being asked again: ACS may
/// dial before whoever answered the call has written it down.
const WAIT: Duration = Duration::from_secs(2);
/// From one look to the next.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a store that comes back is told which tokens were not spent after all, and how often it
/// is tried. Who dials again with the same token later than that needs another one.
const RETURN: Duration = Duration::from_secs(30);
const RETURN_AGAIN: Duration = Duration::from_millis(500);
/// Refusals at a time that wait to tell it. A store that is found to be away is asked nothing, so
/// these are those of the two seconds before that.
pub const RETURNING_MAX: usize = 4096;

/// Whether the call may begin, and what is known of it. Its token is spent by that.
pub(super) async fn enter(
    doors: &Doors,
    open: &Open,
    phone: &Arc<Phone>,
    grant: &Grant,
    session: SessionId,
) -> Result<Call, Refusal> {
    let Some(calling) = grant.call() else {
        return Err(Refusal::new(Reason::Forbidden, "this is no call"));
    };
    let signed = facts(calling);
    let asked = Enter {
        call: &calling.call,
        owner: session,
        token: calling.token,
        token_expires: calling.expires,
        connection: calling.connection.as_ref(),
        correlation: calling.correlation.as_ref(),
        route: &open.route.name,
        signed: Some(&signed),
        binding: calling.signed.binding,
        makes: doors.known_by == KnownBy::Url,
        needs: needs(phone),
    };
    let entered = match ask(doors, &asked).await {
        Ok(entered) => entered,
        Err(unanswered) => {
            if unanswered.may_be_read_yet {
                return_later(doors, calling, session);
            }
            return Err(unavailable());
        }
    };
    let (facts, authorised, contact) = match entered {
        Entered::Pending(facts) => (facts, false, Contact::default()),
        Entered::Authorised {
            facts,
            resumed,
            contact,
        } => {
            let key = (!resumed).then(|| key(doors, phone, &facts)).flatten();
            (facts, true, Contact::of(contact, key))
        }
        Entered::Spent => {
            let detail = "the token of ACS was used before; each connection has one of its own";
            return Err(Refusal::new(Reason::Unauthenticated, detail));
        }
        Entered::Unknown => return Err(forbidden("the call is not known")),
        Entered::OtherConnection => {
            let detail = "the call is known otherwise than it is said to be";
            return Err(forbidden(detail));
        }
        Entered::NoKey => return Err(forbidden("no session key was stored for the call")),
    };
    let call = Call {
        calling: calling.clone(),
        facts,
        authorised,
        contact,
        webhooks: doors.webhooks.clone(),
        phone: phone.clone(),
        store: doors.store.clone(),
        upstreams: open.upstreams.clone(),
        dialler: doors.dialler.clone(),
        dial_warnings: open.dial_warnings.clone(),
        resume: doors.resume,
        hang_up: doors.acs.clone().filter(|_| phone.hang_up),
    };
    if !authorised && phone.flow.needs_ani() && call.facts.ani.is_none() {
        give_back(&call, session).await;
        let detail = "the caller withholds the number that the key is built of";
        return Err(forbidden(detail));
    }
    Ok(call)
}

/// The store gave no answer in time.
#[derive(Clone, Copy)]
struct Unanswered {
    /// A question was sent, and a server that was frozen reads it when it goes on.
    may_be_read_yet: bool,
}

/// Asks until the store has answered and the call is known, for a while.
async fn ask(doors: &Doors, asked: &Enter<'_>) -> Result<Entered, Unanswered> {
    let deadline = Instant::now() + WAIT;
    let mut may_be_read_yet = false;
    loop {
        let unknown = match timeout_at(deadline, doors.store.enter(asked)).await {
            // Whatever was asked before has been read by now as well.
            Ok(Ok(Entered::Unknown)) => {
                may_be_read_yet = false;
                true
            }
            Ok(Ok(entered)) => return Ok(entered),
            Ok(Err(Unavailable::Timeout)) | Err(_) => {
                may_be_read_yet = true;
                false
            }
            Ok(Err(_)) => false,
        };
        if Instant::now() + AGAIN >= deadline {
            return match unknown {
                true => Ok(Entered::Unknown),
                false => Err(Unanswered { may_be_read_yet }),
            };
        }
        sleep(AGAIN).await;
    }
}

/// An upgrade that is under way. If its client goes away, and what carried it with it, what the store
/// had taken for it is given back all the same: a call is nobody's who is gone, and its token unspent.
#[must_use = "it gives back when it is dropped"]
pub(super) struct UnderWay<'a> {
    doors: &'a Doors,
    calling: Option<&'a Calling>,
    session: SessionId,
}

impl<'a> UnderWay<'a> {
    /// From before the store is asked.
    pub(super) fn new(doors: &'a Doors, grant: &'a Grant, session: SessionId) -> UnderWay<'a> {
        UnderWay {
            doors,
            calling: grant.call(),
            session,
        }
    }

    /// It came to an end, and whoever refused it has given back.
    pub(super) fn done(mut self) {
        self.calling = None;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // With a runtime that ends all else does, too.
        if let Some(calling) = self.calling.filter(|_| Handle::try_current().is_ok()) {
            return_later(self.doors, calling, self.session);
        }
    }
}

/// Tells the store that nothing came of an upgrade, as soon as it can be told.
fn return_later(doors: &Doors, calling: &Calling, session: SessionId) {
    let Ok(place) = doors.returning.clone().try_acquire_owned() else {
        doors.metrics.limit_hit("store");
        return;
    };
    let (store, resume, metrics) = (doors.store.clone(), doors.resume, doors.metrics.clone());
    let (call, token) = (calling.call.clone(), calling.token);
    let giving = async move {
        let _place = place;
        let given = GivenBack {
            call: &call,
            token,
            owner: session,
            resume,
        };
        let deadline = Instant::now() + RETURN;
        while store.give_back(&given).await.is_err() && Instant::now() < deadline {
            sleep(RETURN_AGAIN).await;
        }
    };
    tokio::spawn(async move { contained(&metrics, Work::Background, giving).await });
}

/// The `101` will not come: the token is not spent after all, nor the call taken from whom had it.
pub(super) async fn give_back(call: &Call, session: SessionId) {
    let given = GivenBack {
        call: &call.calling.call,
        token: call.calling.token,
        owner: session,
        resume: call.resume,
    };
    if let Err(error) = call.store.give_back(&given).await {
        tracing::debug!(call = %call.calling.call, %error, "the token stays spent");
    }
}

/// What the media URL was signed for.
fn facts(calling: &Calling) -> Facts {
    Facts {
        ani: calling.signed.ani.clone(),
        sip: calling.signed.sip.clone(),
        connection: calling.signed.connection.clone(),
        correlation: None,
    }
}

/// The session key that a call was opened by at the upgrade.
fn key(doors: &Doors, phone: &Phone, facts: &Facts) -> Option<SessionKey> {
    let keys = doors.store.keys();
    match &phone.flow {
        Flow::SipHeader { .. } => facts.sip.as_ref().map(|id| keys.sip(id)),
        Flow::Api { .. } => facts.connection.as_ref().map(|id| keys.api(id)),
        Flow::Open | Flow::Dialled(_) => None,
    }
}

fn needs(phone: &Phone) -> Needs {
    match &phone.flow {
        Flow::Open => Needs::Nothing,
        Flow::Api { consume } => Needs::ApiKey { consume: *consume },
        Flow::SipHeader { consume } => Needs::SipKey { consume: *consume },
        Flow::Dialled(_) => Needs::Dialled,
    }
}

fn forbidden(detail: &'static str) -> Refusal {
    Refusal::new(Reason::Forbidden, detail)
}

fn unavailable() -> Refusal {
    Refusal::new(
        Reason::StoreUnavailable,
        "the session store does not answer",
    )
}
