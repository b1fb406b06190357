//! `federated`: an application of Entra's that trusts the edge's managed identity (workload identity
//! federation), maybe in another tenant.

use super::Problems;
use super::credential::AUTHORITY;
use crate::config::file;
use crate::config::{IdentitySource, ManagedIdentity, Roots};
use crate::label::Label;

/// Who is asked for a token of the application, and where.
pub(super) struct Application {
    pub(super) authority: String,
    /// A tenant, or the domain that stands for those of any.
    pub(super) tenant: Label,
    pub(super) client_id: Label,
    pub(super) roots: Roots,
}

/// Whom the token is for that the managed identity shows Entra: each cloud has one of its own
/// ("Configure an application to trust a managed identity", Microsoft).
fn exchange(authority: &str) -> &'static str {
    match authority {
        "https://login.microsoftonline.us" => "api://AzureADTokenExchangeUSGov/.default",
        "https://login.partner.microsoftonline.cn" => "api://AzureADTokenExchangeChina/.default",
        _ => "api://AzureADTokenExchange/.default",
    }
}

/// What the settings say of the application, if it is that.
pub(super) fn application(
    at: &str,
    written: &file::Federated,
    roots: Roots,
    problems: &mut Problems,
) -> Option<Application> {
    let at = format!("{at}.federated");
    let mut id = |key: &str, id: &Option<String>| {
        let at = format!("{at}.{key}");
        match id {
            Some(id) => problems.entra_id(&at, id),
            None => {
                problems.add(
                    at,
                    "missing; a GUID of the application that trusts the identity",
                );
                None
            }
        }
    };
    let tenant = id("tenant", &written.tenant);
    let client_id = id("client_id", &written.client_id);
    let authority = written.authority.as_deref().unwrap_or(AUTHORITY);
    let authority = problems.authority(&format!("{at}.authority"), authority);
    Some(Application {
        authority: authority?,
        tenant: Label::new(tenant?.as_str())?,
        client_id: Label::new(client_id?.as_str())?,
        roots,
    })
}

impl ManagedIdentity {
    /// A token of the application instead of the identity's own.
    pub(super) fn exchanged(self, application: Application) -> ManagedIdentity {
        let own = ManagedIdentity {
            scope: exchange(&application.authority).to_owned(),
            ..self
        };
        ManagedIdentity {
            client_id: Some(application.client_id.clone()),
            scope: self.scope,
            source: IdentitySource::Federated {
                own: Box::new(own),
                authority: application.authority,
                tenant: application.tenant,
                client_id: application.client_id,
                roots: application.roots,
            },
        }
    }
}
