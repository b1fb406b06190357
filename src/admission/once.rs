//! Tokens that are good for one request: what they must say beside what all must.
//!
//! A token of a machine that hands a call over is made for that, so it is young, and it has a name
//! by which all replicas know that it was used. Not here: the store that remembers the name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Denied, Entered, Verified};
use crate::config::{RouteKind, SessionApi};
use crate::secret::Digest;

/// A clock may be so far behind its issuer's.
const AHEAD: Duration = Duration::from_secs(60);

/// What a token is remembered by once it was used.
#[derive(Clone, Copy, Debug)]
pub struct Once {
    pub token: Digest,
    /// Until then, the leeway included.
    pub expires: SystemTime,
}

/// Whether a token is such a one, on a route that asks for it; `None`: none was asked for.
pub(super) fn judge(
    kind: &RouteKind,
    entered: &Entered<'_>,
    now: SystemTime,
) -> Result<Option<Once>, Denied> {
    match (kind, &entered.token) {
        (RouteKind::SessionApi(api), Some(token)) => of(api, token, now),
        (
            RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::AcsMedia(_)
            | RouteKind::EventGrid(_)
            | RouteKind::AcsCallback
            | RouteKind::Http(_)
            | RouteKind::Bot(_)
            | RouteKind::Notify
            | RouteKind::Tickets(_)
            | RouteKind::Sessions(_)
            | RouteKind::Page(_)
            | RouteKind::CallApi(_)
            | RouteKind::SessionApi(_),
            _,
        ) => Ok(None),
    }
}

fn of(api: &SessionApi, token: &Verified, now: SystemTime) -> Result<Option<Once>, Denied> {
    let none = "the token does not say when it was issued";
    let issued = token.issued.ok_or(Denied::invalid_token(none))?;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Else a token of next year would be a short one all year.
    if issued > (since + AHEAD).as_secs() {
        return Err(Denied::invalid_token("the token is not issued yet"));
    }
    if token.ends.saturating_sub(issued) > api.token_life.as_secs() {
        let detail = "the token lives longer than this route allows";
        return Err(Denied::invalid_token(detail));
    }
    if !api.single_use {
        return Ok(None);
    }
    let nameless = "the token has no jti, by which it is known when it was used";
    Ok(Some(Once {
        token: token.name.ok_or(Denied::invalid_token(nameless))?,
        expires: token.expires,
    }))
}
