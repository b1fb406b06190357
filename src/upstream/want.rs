//! What a session wants of an upstream.

use http::{HeaderMap, HeaderValue};

use super::Ask;
use crate::ids::SessionId;
use crate::label::Label;
use crate::secret::Secret;
use crate::trace::{Trace, Traced};

/// What a session wants of an upstream.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    pub ask: &'a Ask,
    /// The caller's own token, where it is meant for the upstream.
    pub token: Option<&'a Secret>,
    pub caller: Caller<'a>,
    /// What goes on of the client's own request, to a private application.
    pub through: Option<Through<'a>>,
    /// What the session is part of.
    pub traced: Option<&'a Traced>,
    /// The part of that which is the dial; `None`: nobody asks which.
    pub part: Option<Trace>,
}

/// What of a client's upgrade goes on to a private application.
#[derive(Clone, Copy)]
pub struct Through<'a> {
    /// Path and query, judged.
    pub target: &'a str,
    pub headers: &'a HeaderMap,
    /// What was agreed on with the client, and must be agreed on here.
    pub subprotocol: Option<&'a HeaderValue>,
}

/// Who calls, for upstreams that are told.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub route: &'a Label,
    pub session: SessionId,
    /// As the route's `admit` names it.
    pub way: &'a str,
    pub tenant: Option<&'a str>,
    /// The name of the key, or whom the token names.
    pub subject: Option<&'a str>,
}
