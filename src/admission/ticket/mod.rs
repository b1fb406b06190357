//! Tickets: JWTs (RFC 7519) that live for seconds and open one session, so that what stands in a URL,
//! in a cookie or in a browser's list of subprotocols is worth nothing to whoever reads it later.
//!
//! A customer's backend signs them with any library, or the edge does for whoever it has admitted.
//! What [`Claims`] says of each claim the README says, too. The algorithm is the key's and not the
//! ticket's choice, the key is found by its name alone, and what a ticket says of other keys and
//! places (`jwk`, `jku`, `x5c`, `x5u`) is never looked at.
//!
//! Not here: whether it was used before. The store knows that, and is asked when nothing else is in
//! the way ([`Grant::ticket`](super::Grant::ticket)).

mod bind;
mod claims;
mod flaw;
mod issue;
mod judge;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Header, Validation, dangerous, decode, decode_header};
use serde::Deserialize;

pub(super) use self::bind::Facts;
pub use self::claims::{Caller, Claims};
pub(super) use self::flaw::Flaw;
pub use self::flaw::Outcome;
pub use self::issue::{Wish, sign};
pub use self::judge::Examined;

use super::Subject;
use crate::config::{self, TICKET_LEEWAY, TicketKey};
use crate::ids::EntraId;
use crate::label::Label;
use crate::secret::{Digest, Secret};

/// Longest ticket: some hundred bytes are used, and 4 KiB are the longest cookie.
const TICKET_MAX: usize = 4096;
/// Longest name and subject, as of tokens.
const NAME_MAX: usize = 255;

/// Who may sign tickets, and what they must say.
pub(super) struct Tickets(config::Tickets);

/// A ticket whose signature and times are good.
pub(super) struct Ticket {
    /// Whose key has signed it.
    issuer: Label,
    pub(super) claims: Claims,
    /// What it is remembered by once it was used.
    name: Digest,
    /// Until then it could be shown again, the leeway included.
    pub(super) ends: SystemTime,
}

/// What is to be spent before a ticket has opened anything.
#[derive(Clone, Copy, Debug)]
pub struct Spendable {
    /// Of the ticket among all: its key, and its name among those of the key.
    pub name: Digest,
    /// Until then, the leeway included, it must be remembered.
    pub ends: SystemTime,
    /// Whatever comes of it is counted, and nobody is refused for it.
    pub observed: bool,
}

impl Tickets {
    pub(super) fn new(settings: &config::Tickets) -> Tickets {
        Tickets(settings.clone())
    }

    /// Whether a credential is a ticket, good or not: three parts, of which the second says that it is
    /// for whom tickets are for. Nothing is believed by that: no token of an issuer may be for the same,
    /// so it only chooses who refuses what is neither.
    pub(super) fn is_one(&self, secret: &Secret) -> bool {
        #[derive(Deserialize)]
        struct For {
            aud: String,
        }
        let text = secret.expose();
        let said = dangerous::insecure_decode_claims::<For>(text);
        text.len() <= TICKET_MAX && said.is_ok_and(|said| said.aud == self.0.audience)
    }

    /// Judges everything that can be told without knowing what is asked.
    pub(super) fn verify(&self, ticket: &Secret, now: SystemTime) -> Result<Ticket, Flaw> {
        let text = ticket.expose();
        if text.len() > TICKET_MAX {
            return Err(Flaw::invalid("the ticket exceeds 4 KiB"));
        }
        let header =
            decode_header(text).map_err(|_| Flaw::invalid("the ticket is not a signed JWT"))?;
        judge_header(&header)?;
        let key = self.key(header.kid.as_deref())?;
        if header.alg != key.algorithm {
            return Err(Flaw::invalid(
                "the algorithm is not that of the ticket's key",
            ));
        }
        let claims: Claims = dangerous::insecure_decode_claims(text).map_err(|_| {
            Flaw::invalid("a claim of the ticket is missing, twice there, or of a wrong type")
        })?;
        if claims.aud != self.0.audience {
            return Err(Flaw::invalid("the ticket is for somebody else"));
        }
        let mut validation = Validation::new(key.algorithm);
        // Claims are judged here, by the clock that is given.
        validation.set_required_spec_claims::<&str>(&[]);
        validation.validate_exp = false;
        validation.validate_aud = false;
        decode::<Claims>(text, &key.verifier, &validation)
            .map_err(|_| Flaw::invalid("the signature is not that of the ticket's key"))?;
        self.judge_times(&claims, seconds(now))?;
        judge_names(&claims)?;
        if claims.caller.is_some() && !key.own {
            let detail = "the ticket says who was admitted, and its key is not the edge's own";
            return Err(Flaw::invalid(detail));
        }
        Ok(Ticket {
            issuer: key.issuer.clone(),
            name: Digest::of(&format!("ticket of {}\0{}", key.id, claims.jti)),
            ends: UNIX_EPOCH + Duration::from_secs(claims.exp) + TICKET_LEEWAY,
            claims,
        })
    }

    /// The key of that name; without a name the only one there is.
    fn key(&self, kid: Option<&str>) -> Result<&TicketKey, Flaw> {
        let keys = &self.0.keys;
        match (kid, keys.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Flaw::invalid("the ticket does not name its key")),
            (Some(kid), _) => keys
                .iter()
                .find(|key| key.id.as_str() == kid)
                .ok_or(Flaw::invalid("the ticket's key is not known")),
        }
    }

    fn judge_times(&self, claims: &Claims, now: u64) -> Result<(), Flaw> {
        let leeway = TICKET_LEEWAY.as_secs();
        let starts = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if starts > now.saturating_add(leeway) {
            return Err(Flaw::invalid("the ticket is not valid yet"));
        }
        let lives = claims.exp.checked_sub(claims.iat);
        if lives.is_none_or(|lives| lives == 0 || lives > self.0.max_age.as_secs()) {
            return Err(Flaw::invalid(
                "the ticket lives longer than tickets may, or not at all",
            ));
        }
        if claims.exp.saturating_add(leeway) <= now {
            return Err(Flaw::expired("the ticket has expired"));
        }
        if claims.session_exp.is_some_and(|end| end <= now) {
            return Err(Flaw::expired(
                "the session that the ticket is for has ended",
            ));
        }
        Ok(())
    }

    /// The first key of the edge's own, with which it signs.
    fn own(&self) -> Option<&TicketKey> {
        self.0.keys.iter().find(|key| key.own)
    }
}

impl Ticket {
    pub(super) fn spendable(&self, observed: bool) -> Spendable {
        Spendable {
            name: self.name,
            ends: self.ends,
            observed,
        }
    }

    /// The token for which the edge had signed it.
    pub(super) fn parent(&self) -> Option<Digest> {
        self.claims.caller.as_ref()?.credential()
    }

    /// When the session that it opens must end, if it says so.
    pub(super) fn session_ends(&self) -> Option<SystemTime> {
        let end = self.claims.session_exp?;
        Some(UNIX_EPOCH + Duration::from_secs(end))
    }

    /// Whom it lets in.
    pub(super) fn subject(&self) -> Subject {
        match &self.claims.caller {
            Some(caller) => Subject::Holder(Box::new(caller.subject())),
            None => Subject::Ticket {
                issuer: self.issuer.clone(),
                tenant: self.claims.tid.clone(),
                name: self.claims.sub.clone(),
            },
        }
    }

    /// One identity, as limits count it: that of whom the edge had admitted, or the signer's own word;
    /// `None` where it has none.
    pub(super) fn identity(&self) -> Option<Digest> {
        if let Some(Caller::Token {
            issuer,
            tenant,
            name,
            ..
        }) = &self.claims.caller
        {
            return Some(super::jwt::identity(
                issuer.as_str(),
                tenant.as_deref(),
                name,
            ));
        }
        let (issuer, sub) = (&self.issuer, self.claims.sub.as_ref()?);
        let tenant = self.claims.tid.as_deref().unwrap_or_default();
        Some(Digest::of(&format!("ticket\0{issuer}\0{tenant}\0{sub}")))
    }

    /// The person of Entra, where the edge had recognised one.
    pub(super) fn person(&self) -> Option<(EntraId, EntraId)> {
        match &self.claims.caller {
            Some(Caller::Token {
                tenant: Some(tenant),
                name,
                person: true,
                ..
            }) => EntraId::new(tenant).zip(EntraId::new(name)),
            Some(_) | None => None,
        }
    }
}

fn judge_header(header: &Header) -> Result<(), Flaw> {
    // RFC 7515, 4.1.11: what is critical and not understood makes it invalid.
    if header.crit.is_some() {
        return Err(Flaw::invalid("the ticket has critical extensions"));
    }
    if header.enc.is_some() || header.zip.is_some() {
        return Err(Flaw::invalid("the ticket is encrypted or compressed"));
    }
    let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    if !["jwt", "ticket+jwt"].contains(&typ.as_str()) {
        return Err(Flaw::invalid("the ticket is of a type for something else"));
    }
    Ok(())
}

fn judge_names(claims: &Claims) -> Result<(), Flaw> {
    let named = |text: &str| (1..=NAME_MAX).contains(&text.len());
    if !named(&claims.jti) {
        return Err(Flaw::invalid("the jti of the ticket is not 1 to 255 bytes"));
    }
    let subject = [&claims.sub, &claims.tid].into_iter().flatten();
    if !subject.into_iter().all(|text| named(text)) {
        return Err(Flaw::invalid(
            "the subject of the ticket is not 1 to 255 bytes",
        ));
    }
    if claims.tid.is_some() && claims.sub.is_none() {
        return Err(Flaw::invalid("the ticket names a tenant and nobody in it"));
    }
    if claims.caller.is_some() && claims.sub.is_some() {
        return Err(Flaw::invalid("the ticket names two subjects"));
    }
    Ok(())
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
