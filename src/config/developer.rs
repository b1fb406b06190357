//! `tonegate serve --insecure-dev`: whom the edge takes for a developer who shows no credential.

use std::str::FromStr;

use crate::ids::EntraId;

/// The developer of an app or a bot, by name: the tenant and the id in Entra that the app is told.
///
/// No file and no variable holds one: only the command line does ([`Settings::for_developer`]).
///
/// [`Settings::for_developer`]: super::Settings::for_developer
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Developer {
    pub tenant: EntraId,
    pub user: EntraId,
}

impl Developer {
    /// Who it is if nobody is named, in the form of the flag. Entra gives no such ids.
    pub const USUAL: &str =
        "00000000-0000-4000-8000-00000000de01/00000000-0000-4000-8000-00000000de02";
}

impl FromStr for Developer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Developer, &'static str> {
        let ids = text.split_once('/');
        let ids = ids.and_then(|(tenant, user)| EntraId::new(tenant).zip(EntraId::new(user)));
        let (tenant, user) = ids.ok_or("must be TENANT/PERSON, two GUIDs as Entra shows them")?;
        Ok(Developer { tenant, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c27_a_developer_is_two_ids() {
        let usual: Developer = Developer::USUAL.parse().unwrap();
        assert_ne!(usual.tenant, usual.user);
        let id = usual.user.as_str();
        for wrong in ["", "/", "me", id, &format!("{id}/"), &format!("{id}/{id}/")] {
            assert!(wrong.parse::<Developer>().is_err(), "{wrong}");
        }
    }
}
