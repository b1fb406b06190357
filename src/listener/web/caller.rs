//! Who asks for sessions, and whose they may see.

use crate::admission::Grant;
use crate::bot::roles::{Roles, Standing};
use crate::config::See;
use crate::error::Reason;
use crate::ids::EntraId;
use crate::listener::doors::Doors;
use crate::listener::refusal::Refusal;
use crate::secret::Digest;
use crate::store::Running;

/// Who asks, and whom they may see.
pub(super) struct Caller<'a> {
    pub(super) digest: Digest,
    pub(super) person: Option<&'a (EntraId, EntraId)>,
    pub(super) see: See,
    /// Where the route lets people see their team.
    pub(super) standing: Option<(&'a Roles, Standing)>,
}

impl<'a> Caller<'a> {
    /// Before it was asked whom they may see beside themselves.
    pub(super) fn unasked(see: See, grant: &'a Grant) -> Caller<'a> {
        Caller {
            digest: grant.subject().digest(),
            person: grant.person(),
            see,
            standing: None,
        }
    }

    /// Finds out whom they may see. A key sees its own, whatever its route lets people see.
    pub(super) async fn of(
        doors: &'a Doors,
        see: See,
        grant: &'a Grant,
    ) -> Result<Caller<'a>, Refusal> {
        let mut caller = Caller::unasked(see, grant);
        if let (See::Team, Some((tenant, person))) = (see, caller.person) {
            let nobody = "nobody knows whom this person may see";
            let nobody = Refusal::new(Reason::Forbidden, nobody);
            let roles = doors.roles.as_ref().ok_or(nobody)?;
            caller.standing = Some((roles, roles.standing(tenant, person).await?));
        }
        Ok(caller)
    }

    /// Whether it is this subject's digest.
    pub(super) fn is(&self, subject: &Digest) -> bool {
        self.digest.is(subject)
    }

    pub(super) fn sees_all(&self) -> bool {
        self.see == See::All
    }

    pub(super) fn owns(&self, session: &Running) -> bool {
        let of_person = self.person.is_some() && session.person.as_ref() == self.person;
        session.digest.is(&self.digest) || of_person
    }

    pub(super) async fn may_see(&self, session: &Running) -> Result<bool, Refusal> {
        if self.owns(session) || self.see == See::All {
            return Ok(true);
        }
        let Some((tenant, person)) = &session.person else {
            return Ok(false);
        };
        let ours = self.person.is_some_and(|(ours, _)| ours == tenant);
        match &self.standing {
            Some((roles, standing)) if ours => reports(roles, standing, tenant, person).await,
            Some(_) | None => Ok(false),
        }
    }
}

/// Whether somebody of the same tenant is among those whom the caller may see.
async fn reports(
    roles: &Roles,
    standing: &Standing,
    tenant: &EntraId,
    person: &EntraId,
) -> Result<bool, Refusal> {
    if roles.is_by_entra() {
        return Ok(standing.may_see(person.as_str()));
    }
    match roles.standing(tenant, person).await {
        Ok(theirs) => Ok(standing.may_see(&theirs.id)),
        // Whom nobody knows reports to nobody.
        Err(refused) if refused.reason == Reason::Forbidden => Ok(false),
        Err(refused) => Err(refused.into()),
    }
}
