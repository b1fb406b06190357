//! Who it is that asks: the key by its digest, the token by its issuer's signature, the certificate by
//! the list of them, the principal by the hop that signed it in.

use std::sync::Arc;

use http::StatusCode;

use super::certificate;
use super::credential::Shown;
use super::easyauth::Principal;
use super::grant::Ends;
use super::jwt::{self, Verified};
use super::media_url::Signed;
use super::ticket::{Caller, Flaw, Ticket};
use super::{Admission, Denied, Request, Subject};
use crate::config::{self, ApiKey, Certificate, Enter, Route, Way};
use crate::error::Reason;
use crate::ids::EntraId;
use crate::label::Label;
use crate::secret::{Digest, Secret};

/// What the credentials came to.
#[derive(Default)]
pub(super) struct Entered<'a> {
    pub(super) key: Option<&'a ApiKey>,
    pub(super) token: Option<Arc<Verified>>,
    pub(super) certificate: Option<&'a Certificate>,
    pub(super) principal: Option<Principal>,
    /// What a media URL was signed for.
    pub(super) signed: Option<Signed>,
    /// Nothing was shown, and none is needed of them.
    pub(super) developer: Option<&'a config::Developer>,
    pub(super) ticket: Option<Ticket>,
    /// The ticket is all that was shown; who it is follows from it.
    pub(super) by_ticket: bool,
}

impl Admission {
    pub(super) async fn identify(
        &self,
        asked: Request<'_>,
        shown: &Shown<'_>,
    ) -> Result<Entered<'_>, Denied> {
        let mut entered = Entered::default();
        if let Some(developer) = &self.developer
            && developer.asks(asked, shown)?
        {
            entered.developer = Some(&developer.who);
            return Ok(entered);
        }
        match &asked.route.enter {
            Enter::Any(ways) => {
                // A credential that is shown must be good even where none is needed: who sends a
                // wrong one is better told than let in as somebody else.
                let token = shown.bearer.as_ref().filter(|secret| jwt::is_token(secret));
                let issuers = issuers(ways);
                let by_ticket = ways.contains(&Way::Ticket);
                if let (Some(ticket), true) = (&shown.ticket, by_ticket) {
                    self.enter_by_ticket(asked, ticket, &mut entered)?;
                    return Ok(entered);
                }
                if let (Some(token), false) = (token, issuers.is_empty()) {
                    let verified = self.tokens.verify(token, &issuers, asked.now.wall);
                    entered.token = Some(verified.await?);
                    return Ok(entered);
                }
                // A token beside a principal is the platform's own and no key of ours.
                let bearer = shown.bearer.as_ref();
                let bearer = bearer.filter(|b| shown.principal.is_none() || !jwt::is_token(b));
                if let Some(secret) = shown.key.as_ref().or(bearer) {
                    if ways.contains(&Way::Key) {
                        entered.key =
                            Some(self.keys.find(secret, &asked.route.name, asked.now.wall)?);
                        return Ok(entered);
                    }
                    if !issuers.is_empty() {
                        return Err(Denied::invalid_token(NO_TOKEN));
                    }
                    if by_ticket {
                        let flaw = Flaw::invalid("the credential is no ticket of this edge");
                        return Err(self.count_flaw(asked.route, flaw));
                    }
                }
                // Where a key or a token is shown, the client itself says who it is.
                if shown.certificate.is_some() {
                    entered.certificate = self.listed(asked, shown)?;
                } else if let Some(principal) = &shown.principal {
                    entered.principal = Some(principal.judge(&self.tenants)?);
                } else if !ways.contains(&Way::Anyone) {
                    if by_ticket {
                        self.count_flaw(asked.route, Flaw::missing());
                    }
                    return Err(missing(ways, "or"));
                }
            }
            Enter::All(ways) => self.all(asked, shown, ways, &mut entered).await?,
        }
        Ok(entered)
    }

    /// Whether all of these ways are met.
    async fn all<'a>(
        &'a self,
        asked: Request<'_>,
        shown: &Shown<'_>,
        ways: &[Way],
        entered: &mut Entered<'a>,
    ) -> Result<(), Denied> {
        let (tokens, keys) = if shown.bearer.as_ref().is_some_and(jwt::is_token) {
            (shown.bearer.as_ref(), shown.key.as_ref())
        } else {
            (None, shown.key.as_ref().or(shown.bearer.as_ref()))
        };
        if ways.is_empty() {
            return Err(missing(ways, "and"));
        }
        if ways.contains(&Way::EasyAuth) {
            let no_principal = Denied::new(Reason::Unauthenticated, NO_PRINCIPAL);
            let principal = shown.principal.as_ref().ok_or(no_principal)?;
            entered.principal = Some(principal.judge(&self.tenants)?);
        }
        if ways.contains(&Way::Certificate) {
            entered.certificate = Some(self.listed(asked, shown)?.ok_or_else(uncertified)?);
        }
        if ways.contains(&Way::Key) {
            let key = keys.ok_or(missing(ways, "and"))?;
            entered.key = Some(self.keys.find(key, &asked.route.name, asked.now.wall)?);
        }
        if ways.contains(&Way::Call) {
            let no_call = Denied::new(Reason::Forbidden, "no calls are streamed here");
            let (call, signer) = shown
                .call
                .as_ref()
                .zip(self.signer.as_ref())
                .ok_or(no_call)?;
            entered.signed = Some(call.verify(signer, asked.now.wall)?);
        }
        if ways.contains(&Way::Ticket) {
            let ticket = shown.ticket.as_ref().ok_or(Flaw::missing());
            let ticket = ticket.map_err(|flaw| self.count_flaw(asked.route, flaw))?;
            if ways.len() == 1 {
                return self.enter_by_ticket(asked, ticket, entered);
            }
            entered.ticket = Some(self.ticket(asked, ticket)?);
        }
        let issuers = issuers(ways);
        if !issuers.is_empty() {
            let bare = shown.bearer.is_some() && !ways.contains(&Way::Key);
            let token = tokens.ok_or(match bare {
                true => Denied::invalid_token(NO_TOKEN),
                false => missing(ways, "and"),
            })?;
            let verified = self.tokens.verify(token, &issuers, asked.now.wall);
            entered.token = Some(verified.await?);
        }
        Ok(())
    }

    /// A ticket whose signature and times are good.
    fn ticket(&self, asked: Request<'_>, ticket: &Secret) -> Result<Ticket, Denied> {
        let flaw = Flaw::invalid("no tickets are taken here");
        let verified = match &self.tickets {
            Some(tickets) => tickets.verify(ticket, asked.now.wall),
            None => Err(flaw),
        };
        verified.map_err(|flaw| self.count_flaw(asked.route, flaw))
    }

    /// Whoever the ticket is for. What the edge had admitted them by must still be in the settings, and
    /// counts as if it were shown.
    fn enter_by_ticket<'a>(
        &'a self,
        asked: Request<'_>,
        ticket: &Secret,
        entered: &mut Entered<'a>,
    ) -> Result<(), Denied> {
        let (ticket, route) = (self.ticket(asked, ticket)?, &asked.route.name);
        let gone = || Denied::invalid_token("whom the ticket is for is not admitted any more");
        match &ticket.claims.caller {
            Some(Caller::Key { name }) => {
                entered.key = Some(self.keys.named(name, route, asked.now.wall)?)
            }
            Some(Caller::Certificate { name }) => {
                entered.certificate = Some(self.certificates.named(name, route)?);
            }
            Some(Caller::EasyAuth { tenant, name }) => {
                if !self.tenants.is_empty() && !self.tenants.contains(tenant) {
                    return Err(gone());
                }
                entered.principal = Some(Principal {
                    tenant: tenant.clone(),
                    name: name.clone(),
                });
            }
            Some(Caller::Token { issuer, .. }) if !self.tokens.know(issuer) => return Err(gone()),
            Some(Caller::Token { .. }) | None => {}
        }
        entered.ticket = Some(ticket);
        entered.by_ticket = true;
        Ok(())
    }

    /// The Bot Connector is documented to be answered 403 where its token is not good. Without any it
    /// is 401 as for others.
    pub(super) fn as_the_connector_is_told(&self, denied: Denied, route: &Route) -> Denied {
        let of_bot = |way: &Way| match way {
            Way::Issuer(name) => self.tokens.are_for_bot(name),
            Way::Key | Way::Certificate | Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => {
                false
            }
        };
        let wrong = denied.reason == Reason::Unauthenticated && denied.challenge.is_some();
        if !(wrong && route.enter.ways().iter().any(of_bot)) {
            return denied;
        }
        Denied {
            status: Some(StatusCode::FORBIDDEN),
            ..denied
        }
    }

    /// The certificate that is shown, if one is, as the settings list it.
    fn listed(
        &self,
        asked: Request<'_>,
        shown: &Shown<'_>,
    ) -> Result<Option<&Certificate>, Denied> {
        let find = |certificate| self.certificates.find(certificate, &asked.route.name);
        shown.certificate.map(find).transpose()
    }
}

impl Entered<'_> {
    pub(super) fn subject(&self) -> Subject {
        if let Some(developer) = self.developer {
            return Subject::Developer {
                tenant: developer.tenant.clone(),
                user: developer.user.clone(),
            };
        }
        if let (Some(ticket), true) = (&self.ticket, self.by_ticket) {
            return ticket.subject();
        }
        if let (Some(token), Some(signed)) = (&self.token, &self.signed) {
            return Subject::Call {
                issuer: token.issuer.clone(),
                call: signed.call.clone(),
            };
        }
        let named = (&self.token, &self.principal, self.key, self.certificate);
        match named {
            (Some(token), ..) => Subject::Token {
                issuer: token.issuer.clone(),
                tenant: token.tenant.clone(),
                name: token.subject.clone(),
            },
            (None, Some(principal), ..) => Subject::EasyAuth {
                tenant: principal.tenant.clone(),
                name: principal.name.clone(),
            },
            (None, None, Some(key), _) => Subject::Key(key.name.clone()),
            (None, None, None, Some(listed)) => Subject::Certificate(listed.name.clone()),
            (None, None, None, None) => Subject::Anyone,
        }
    }

    /// The person of Entra who asks, if it is one: the tenant, and who it is there.
    pub(super) fn person(&self) -> Option<(EntraId, EntraId)> {
        if let Some(developer) = self.developer {
            return Some((developer.tenant.clone(), developer.user.clone()));
        }
        if let (Some(ticket), true, None) = (&self.ticket, self.by_ticket, &self.principal) {
            return ticket.person();
        }
        let (tenant, name) = match (&self.token, &self.principal) {
            (Some(token), _) if token.is_persons => (token.tenant.as_deref()?, &token.subject),
            (None, Some(principal)) => (principal.tenant.as_str(), &principal.name),
            (Some(_), _) | (None, None) => return None,
        };
        EntraId::new(tenant).zip(EntraId::new(name))
    }

    /// When what was shown ends, and the session with it. A ticket ends by itself within seconds, which
    /// is the end of entering only.
    pub(super) fn ends(&self) -> Ends {
        let token = self.token.as_ref().map(|token| token.expires);
        let key = self.key.and_then(|key| key.expires);
        let ticket = self.ticket.as_ref().and_then(Ticket::session_ends);
        let named_by_key = self.token.is_none() && self.principal.is_none();
        let (of_subject, others) = match (self.by_ticket, named_by_key) {
            (true, _) => (ticket, [token, key]),
            (false, true) => (key, [token, ticket]),
            (false, false) => (token, [key, ticket]),
        };
        Ends {
            of_subject,
            of_others: others.into_iter().flatten().min(),
        }
    }

    /// Who it is by another credential than the ticket. ACS is nobody of whom a ticket could be.
    pub(super) fn beside(&self) -> Option<Subject> {
        let other = !self.by_ticket && self.signed.is_none();
        other.then(|| self.subject())
    }

    /// The tenant that a token, a principal or a ticket names.
    pub(super) fn tenant(&self) -> Option<Digest> {
        let subject = self.subject();
        let tenant = subject.tenant().filter(|tenant| !tenant.is_empty())?;
        Some(Digest::of(&format!("tenant\0{tenant}")))
    }

    pub(super) fn identity(&self) -> Option<Digest> {
        // All tokens of ACS are one identity: what is to be told apart is calls.
        if let Some(signed) = &self.signed {
            return Some(Digest::of(&format!("call\0{}", signed.call)));
        }
        let token = self.token.as_ref().map(|token| token.identity());
        let principal = || self.principal.as_ref().map(Principal::identity);
        let certificate = || self.certificate.map(certificate::identity);
        let key = || self.key.map(|key| key.digest);
        let ticket = || self.ticket.as_ref().filter(|_| self.by_ticket)?.identity();
        token
            .or_else(principal)
            .or_else(key)
            .or_else(certificate)
            .or_else(ticket)
    }
}

fn issuers(ways: &[Way]) -> Vec<&Label> {
    ways.iter()
        .filter_map(|way| match way {
            Way::Issuer(name) => Some(name),
            Way::Key | Way::Certificate | Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => {
                None
            }
        })
        .collect()
}

/// What none of was shown; `joined` is how the route wants them: "or", "and".
fn missing(ways: &[Way], joined: &str) -> Denied {
    let hop = ways.contains(&Way::EasyAuth);
    let certificate = ways.contains(&Way::Certificate);
    let ticket = ways.contains(&Way::Ticket);
    let detail = match (ways.contains(&Way::Key), issuers(ways).is_empty(), joined) {
        (false, true, "or") if ticket && ways.len() == 1 => {
            "a ticket is needed, in a place that this route accepts"
        }
        (_, _, "or") if (hop || certificate || ticket) && ways.len() > 1 => {
            "a credential is needed, and none that this route admits was shown"
        }
        (true, false, "and") => "a key and a token are needed, in places that this route accepts",
        (true, false, _) => "a key or a token is needed, in a place that this route accepts",
        (false, false, _) => "a token is needed, in a place that this route accepts",
        (false, true, _) if hop => NO_PRINCIPAL,
        (false, true, _) if certificate => NO_CERTIFICATE,
        (_, true, _) => "a key is needed, in a place that this route accepts",
    };
    Denied::new(Reason::Unauthenticated, detail)
}

const NO_TOKEN: &str = "the credential is not a token";
fn uncertified() -> Denied {
    Denied::new(Reason::Unauthenticated, NO_CERTIFICATE)
}

const NO_CERTIFICATE: &str =
    "a client certificate is needed in the TLS handshake; that of a hop in front does not count";
const NO_PRINCIPAL: &str = "a principal is needed that a hop in front has signed in";
