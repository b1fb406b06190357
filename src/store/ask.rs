//! What sessions ask the store for, and what becomes of it.

use std::time::{Duration, SystemTime};

use super::{Facts, SessionKey};
use crate::config::Rate;
use crate::ids::{CallId, ContactId, ForeignId, PhoneNumber, SessionId};
use crate::label::Label;
use crate::secret::Digest;

/// A session that wants to begin.
#[derive(Clone, Copy, Debug)]
pub struct Enter<'a> {
    pub call: &'a CallId,
    pub owner: SessionId,
    pub token: Digest,
    /// From when on no verifier takes the token any more, leeway included.
    pub token_expires: SystemTime,
    pub connection: Option<&'a ForeignId>,
    pub correlation: Option<&'a ForeignId>,
    /// The route that it comes by: a call that came by another one has not met its conditions.
    pub route: &'a Label,
    /// What a signed URL says, which the record may not contradict.
    pub signed: Option<&'a Facts>,
    /// What it says that the call is bound to, where the edge made it; the record must say the same.
    pub binding: Option<Digest>,
    /// A record that is missing is made from that.
    pub makes: bool,
    pub needs: Needs,
}

impl Enter<'_> {
    /// The connection that asks, which the API's session key is named by.
    pub(super) fn asking(&self) -> Option<&ForeignId> {
        let signed = self.signed.and_then(|facts| facts.connection.as_ref());
        self.connection.or(signed)
    }
}

/// What must be there beside a known call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// The session key of its connection.
    ApiKey {
        consume: bool,
    },
    /// The session key of its SIP id.
    SipKey {
        consume: bool,
    },
    /// A code, dialled after the `101`.
    Dialled,
}

/// What became of it. All but the first two are refusals, which consume, spend and write nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// The gate decides.
    Pending(Facts),
    /// `resumed`: by a verdict that still holds. `contact`: for whom another cloud handed it over.
    Authorised {
        facts: Facts,
        resumed: bool,
        contact: Option<ContactId>,
    },
    /// The token was used before.
    Spent,
    /// No record of the call, not yet at least.
    Unknown,
    /// The record is of another connection or route, or the signed URL says another caller, or
    /// somebody else had the call made, or the session key is of another one that was.
    OtherConnection,
    /// No session key.
    NoKey,
}

/// An upgrade that came to nothing after all.
#[derive(Clone, Copy, Debug)]
pub struct GivenBack<'a> {
    pub call: &'a CallId,
    pub token: Digest,
    pub owner: SessionId,
    /// How long the verdict holds if the session that had the call has left meanwhile.
    pub resume: Duration,
}

/// A code that a caller dialled.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    pub call: &'a CallId,
    pub owner: SessionId,
    /// 1 for the first code of the session, and so on: it is the same when the try is made again.
    pub number: u32,
    pub ani: Option<&'a PhoneNumber>,
    pub key: &'a SessionKey,
    pub consume: bool,
    /// Codes that the call may try, in all of its sessions.
    pub per_call: u32,
    /// Failures of one caller.
    pub per_ani: Option<Rate>,
    /// Failures of all callers of a route.
    pub per_route: Option<(&'a Label, Rate)>,
    /// The number does not tell callers apart: failures count by key instead.
    pub shared_ani: bool,
}

impl Attempt<'_> {
    /// The number that failures count by.
    pub(super) fn counted_ani(&self) -> Option<&PhoneNumber> {
        self.ani.filter(|_| !self.shared_ani)
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The key may say for which contact of another cloud.
    Opened(Option<ContactId>),
    Wrong,
    /// Too many failures before; nothing was looked up, consumed or counted.
    LockedOut,
    /// The call is forgotten or another session's; nothing was looked up, consumed or counted.
    NotOurs,
}
