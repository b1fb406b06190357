//! Which call it is that ACS streams: the ids in its headers, the secret in its media URL, and
//! whether they say the same.
//!
//! The token of ACS proves that ACS dials, not for which call; it is good for a day and for every
//! socket of the resource. The secret of the URL proves the call. Neither is enough alone.
//!
//! Not here: whether the call is known, its token spent, its key there. That is for the store to
//! say, after the [`Grant`](super::Grant) and before anything is dialled; [`Calling`] is what it
//! has to be asked with.

use std::time::SystemTime;

use super::credential::{self, single};
use super::jwt;
use super::media_url::{Signed, Signer};
use super::query::Query;
use super::{Denied, Entered, Request};
use crate::audit;
use crate::config::{Ani, CALL_SECRET, Dialled, Flow, KnownBy, Phone, Route, Spend};
use crate::error::Reason;
use crate::ids::{CallId, ForeignId};
use crate::secret::{Digest, Secret};

/// ACS' names for the call ("Secure Call Automation webhooks and WebSockets", Microsoft).
const CONNECTION: &str = "x-ms-call-connection-id";
const CORRELATION: &str = "x-ms-call-correlation-id";

/// An admitted call, as far as the request proves it.
#[derive(Clone, Debug)]
pub struct Calling {
    pub call: CallId,
    /// ACS' connection id, of the request's headers. The token does not vouch for it: it is ACS'
    /// own as far as the token was not stolen, and the call's if the record or the URL says so, too.
    pub connection: Option<ForeignId>,
    /// Names the call in ACS' own logs.
    pub correlation: Option<ForeignId>,
    /// What the media URL was signed for.
    pub signed: Signed,
    /// Of what is signed in the token, so that no other spelling of its signature is another token.
    pub token: Digest,
    /// When the token ends, the leeway included; until then it must be remembered as spent.
    pub expires: SystemTime,
}

/// What a request shows of a call, unproven.
pub(super) struct Shown {
    call: CallId,
    pub(super) secret: Option<Secret>,
    connection: Option<ForeignId>,
    correlation: Option<ForeignId>,
}

/// Takes path, headers and query apart.
pub(super) fn lift(asked: Request<'_>, query: &Query) -> Result<Shown, Denied> {
    let path = asked.head.uri.path();
    let call = path.rsplit_once('/').and_then(|(_, id)| CallId::new(id));
    let headers = &asked.head.headers;
    let id = |name, wrong| match single(headers, name, wrong)? {
        Some(text) => ForeignId::new(text).map(Some).ok_or(bad(wrong)),
        None => Ok(None),
    };
    Ok(Shown {
        // The route matched, so this is there.
        call: call.ok_or(Denied::new(Reason::NotFound, "the path names no call"))?,
        secret: secret(query)?,
        connection: id(
            CONNECTION,
            "x-ms-call-connection-id stands twice or is no id",
        )?,
        correlation: id(
            CORRELATION,
            "x-ms-call-correlation-id stands twice or is no id",
        )?,
    })
}

fn secret(query: &Query) -> Result<Option<Secret>, Denied> {
    let mut found: Option<&String> = None;
    for (name, value) in &query.others {
        if name != CALL_SECRET {
            continue;
        }
        if found.is_some_and(|other| !Digest::of(other).is(&Digest::of(value))) {
            return Err(bad("two different secrets of a call were given"));
        }
        found = Some(value);
    }
    Ok(found.map(|secret| Secret::new(secret.clone())))
}

impl Shown {
    /// What the secret was signed for.
    pub(super) fn verify(&self, signer: &Signer, now: SystemTime) -> Result<Signed, Denied> {
        let none = "the call's secret is missing from the media URL";
        let secret = self.secret.as_ref();
        let secret = secret.ok_or(Denied::new(Reason::Unauthenticated, none))?;
        signer.verify(secret, now)
    }

    /// Whether path, headers and signature speak of one call.
    fn agrees(&self, signed: &Signed, route: &Route) -> Result<(), Denied> {
        if signed.call != self.call {
            return Err(forbidden("the secret is that of another call"));
        }
        if signed
            .route
            .as_ref()
            .is_some_and(|name| *name != route.name)
        {
            return Err(forbidden("the call's secret is for another route"));
        }
        if signed.connection.is_some() && signed.connection != self.connection {
            return Err(forbidden("the call's secret is for another connection"));
        }
        Ok(())
    }

    /// Whether enough is said for the flow: what is looked up for it the record says, or nobody but
    /// the URL.
    fn suffices(&self, signed: &Signed, phone: &Phone, known_by: KnownBy) -> Result<(), Denied> {
        let only_url = known_by == KnownBy::Url;
        match &phone.flow {
            Flow::Api { .. } if self.connection.is_none() => {
                Err(bad("the header x-ms-call-connection-id is missing"))
            }
            Flow::SipHeader { .. } if only_url && signed.sip.is_none() => {
                Err(forbidden("the media URL does not say the call's SIP id"))
            }
            Flow::Dialled(gate) if only_url && signed.ani.is_none() => match gate.dialled {
                Dialled::Pstn {
                    ani: Ani::Signalling | Ani::Shared,
                } => Err(forbidden("the media URL does not say who calls")),
                Dialled::Pstn { ani: Ani::Digits } | Dialled::SipAlias => Ok(()),
            },
            Flow::Open | Flow::Api { .. } | Flow::SipHeader { .. } | Flow::Dialled(_) => Ok(()),
        }
    }
}

impl From<&Calling> for audit::Call {
    fn from(calling: &Calling) -> audit::Call {
        audit::Call {
            call: calling.call.clone(),
            connection: calling.connection.clone(),
            correlation: calling.correlation.clone(),
        }
    }
}

impl Calling {
    /// The call, if everything that speaks of it says the same. On a route of calls nobody enters
    /// without one, whatever else the route requires.
    pub(super) fn of(
        asked: Request<'_>,
        phone: &Phone,
        (known_by, spend): (KnownBy, Spend),
        shown: &credential::Shown<'_>,
        entered: &Entered<'_>,
    ) -> Result<Calling, Denied> {
        let (Some(call), Some(signed)) = (&shown.call, &entered.signed) else {
            return Err(forbidden("the call's secret was not asked for"));
        };
        let (Some(bearer), Some(token)) = (&shown.bearer, &entered.token) else {
            return Err(forbidden("the token of ACS was not asked for"));
        };
        call.agrees(signed, asked.route)?;
        call.suffices(signed, phone, known_by)?;
        Ok(Calling {
            call: call.call.clone(),
            connection: call.connection.clone(),
            correlation: call.correlation.clone(),
            signed: signed.clone(),
            token: match spend {
                Spend::Token => jwt::signed(bearer),
                Spend::Call => {
                    Digest::of(&format!("{}\0{}", call.call, jwt::signed(bearer).to_hex()))
                }
            },
            expires: token.expires,
        })
    }

    /// For people: which call, and what is said of it, without saying whose number it is.
    pub(super) fn describe(&self) -> String {
        let signed = &self.signed;
        let said: Vec<&str> = [
            signed.route.as_ref().map(|_| "its route"),
            signed.ani.as_ref().map(|_| "a number"),
            signed.sip.as_ref().map(|_| "a SIP id"),
            signed.connection.as_ref().map(|_| "its connection"),
            signed.binding.map(|_| "that it was made here"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let said = match said.as_slice() {
            [] => "nothing else".to_owned(),
            said => said.join(", "),
        };
        let id = |id: &Option<ForeignId>| match id {
            Some(id) => id.to_string(),
            None => "not named".to_owned(),
        };
        format!(
            "{}, its signed URL says {said}; connection {}, correlation {}",
            self.call,
            id(&self.connection),
            id(&self.correlation)
        )
    }
}

fn bad(detail: &'static str) -> Denied {
    Denied::new(Reason::BadRequest, detail)
}

fn forbidden(detail: &'static str) -> Denied {
    Denied::new(Reason::Forbidden, detail)
}
