//! What an application is told of who asks: the edge's signed word, and headers for those who take
//! the network's.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admission::Grant;
use crate::admission::bot::BotCaller;
use crate::bot::rewrite::Values;
use crate::bot::roles::{Roles, Standing};
use crate::config::Route;
use crate::error::Reason;
use crate::ids::EntraId;
use crate::listener::doors::Doors;
use crate::listener::refusal::Refusal;
use crate::upstream::assertion::Claims;

const ASSERTION: HeaderName = HeaderName::from_static("x-tonegate-assertion");
const TENANT: HeaderName = HeaderName::from_static("x-tonegate-tenant-id");
const USER: HeaderName = HeaderName::from_static("x-tonegate-user-id");

/// Who asks, as far as it is known.
pub(super) struct Whom<'a> {
    subject: String,
    tenant: Option<EntraId>,
    user: Option<EntraId>,
    conversation: Option<&'a str>,
    channel: Option<&'a str>,
    /// Whom they may see, where the application is told.
    standing: Option<Standing>,
}

impl<'a> Whom<'a> {
    /// Whom the credential names.
    pub(super) fn of(grant: &'a Grant) -> Whom<'a> {
        let person = grant.person();
        Whom {
            subject: grant.subject().to_string(),
            tenant: person.map(|(tenant, _)| tenant.clone()),
            user: person.map(|(_, user)| user.clone()),
            conversation: None,
            channel: None,
            standing: None,
        }
    }

    /// Whom the connector speaks for.
    pub(super) fn of_activity(grant: &Grant, caller: &'a BotCaller) -> Whom<'a> {
        let reference = caller.reference();
        Whom {
            subject: grant.subject().to_string(),
            tenant: Some(caller.tenant().clone()),
            user: caller.user().cloned(),
            conversation: Some(&reference.conversation),
            channel: Some(&reference.channel),
            standing: None,
        }
    }

    /// Finds out whom they may see. Whoever is nobody sees nobody.
    pub(super) async fn find_scope(&mut self, doors: &Doors) -> Result<(), Refusal> {
        let nobody = |detail| Refusal::new(Reason::Forbidden, detail);
        let (Some(tenant), Some(user)) = (&self.tenant, &self.user) else {
            return Err(nobody("the credential is no person's of Entra"));
        };
        let roles = doors.roles.as_ref();
        let roles = roles.ok_or(nobody("nobody knows whom this person may see"))?;
        self.standing = Some(roles.standing(tenant, user).await?);
        Ok(())
    }

    /// What fields that say who asks are to say.
    pub(super) fn values(&self) -> Values<'_> {
        let standing = self.standing.as_ref();
        Values {
            user: self.user.as_ref().map(EntraId::as_str),
            tenant: self.tenant.as_ref().map(EntraId::as_str),
            mapped: standing.map(|standing| standing.id.as_str()),
        }
    }

    pub(super) fn may_see(&self, id: &str) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| standing.may_see(id))
    }

    /// Writes it; clients' headers of these names are never among those that go on.
    pub(super) fn tell(
        &self,
        doors: &Doors,
        (route, audience): (&Route, Option<&str>),
        body: Option<&[u8]>,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        for (name, id) in [(TENANT, &self.tenant), (USER, &self.user)] {
            let value = id.as_ref().map(|id| HeaderValue::try_from(id.as_str()));
            if let Some(Ok(value)) = value {
                headers.insert(name, value);
            }
        }
        let (Some(audience), Some(assertions)) = (audience, &doors.assertions) else {
            return Ok(());
        };
        let role = self.standing.as_ref().map(|standing| standing.role.word());
        let person = self.standing.as_ref().map(|standing| standing.id.as_str());
        let by_entra = doors.roles.as_ref().is_some_and(Roles::is_by_entra);
        let claims = Claims {
            audience,
            route: &route.name,
            subject: &self.subject,
            oid: self.user.as_ref(),
            tenant: self.tenant.as_ref(),
            roles: role.as_slice(),
            person: person.filter(|_| !by_entra),
            scope: self.standing.as_ref().map(|standing| &standing.sees),
            conversation: self.conversation,
            channel: self.channel,
            body: body.filter(|body| !body.is_empty()),
        };
        let unsigned = |_| Refusal::new(Reason::Internal, "what the edge says cannot be signed");
        let assertion = assertions
            .sign(&claims, SystemTime::now())
            .map_err(unsigned)?;
        let value = HeaderValue::try_from(assertion.expose());
        let mut value = value.map_err(|_| {
            Refusal::new(
                Reason::Internal,
                "what the edge says cannot stand in a header",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(ASSERTION, value);
        Ok(())
    }
}
