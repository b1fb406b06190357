//! Where an issuer's keys are: its provider document (OpenID Connect Discovery 1.0), then the keys.

use serde_json::Value;

use super::set::KeySet;
use crate::config::{Issuer, IssuerKind, KeySource, Roots};
use crate::ids::EntraId;
use crate::upstream::Unusable;
use crate::upstream::fetch::{self, Document};

/// Where to fetch from, and what to expect.
pub(super) struct Source {
    first: Document,
    /// Whether `first` is a provider document and not the keys.
    is_metadata: bool,
    issuer: Issuer,
}

/// Why there are no keys. Nothing in it comes from a server.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("{0}")]
    Fetch(#[from] fetch::Failed),
    #[error("the provider document is not JSON with a jwks_uri")]
    Metadata,
    #[error("the provider document is that of another issuer")]
    Issuer,
    #[error("the place of the keys is no https URL that can be used")]
    Place,
    #[error("there is no key for signatures among them")]
    NoKeys,
}

impl Failed {
    pub(super) const LATE: Failed = Failed::Fetch(fetch::Failed::Late);
}

impl Source {
    pub(super) fn new(issuer: &Issuer) -> Result<Source, Unusable> {
        let (url, is_metadata) = match &issuer.keys {
            KeySource::Metadata(url) => (url, true),
            KeySource::Jwks(url) => (url, false),
        };
        let first = document(url, &issuer.roots).map_err(|error| match error {
            Some(unusable) => unusable,
            None => Unusable::Host(url.clone()),
        })?;
        Ok(Source {
            first,
            is_metadata,
            issuer: issuer.clone(),
        })
    }

    pub(super) async fn fetch(&self) -> Result<KeySet, Failed> {
        let mut bytes = self.first.fetch().await?;
        if self.is_metadata {
            let metadata: Value = serde_json::from_slice(&bytes).map_err(|_| Failed::Metadata)?;
            let named = metadata["issuer"].as_str().ok_or(Failed::Metadata)?;
            if !self.is_ours(named) {
                return Err(Failed::Issuer);
            }
            let place = metadata["jwks_uri"].as_str().ok_or(Failed::Metadata)?;
            let keys = document(place, &self.issuer.roots).map_err(|_| Failed::Place)?;
            bytes = keys.fetch().await?;
        }
        let set = KeySet::parse(&bytes, &self.issuer.algorithms).ok_or(Failed::NoKeys)?;
        Ok(set)
    }

    /// Whether a provider document is that of our issuer. Entra writes a placeholder where several
    /// tenants share one document.
    fn is_ours(&self, named: &str) -> bool {
        match &self.issuer.kind {
            IssuerKind::Oidc { issuer }
            | IssuerKind::Acs { issuer }
            | IssuerKind::Bot { issuer, .. } => named == issuer,
            IssuerKind::Entra { authority, tenants }
            | IssuerKind::EventGrid { authority, tenants } => {
                let tenants = tenants.iter().map(String::as_str);
                is_entras(named, authority, tenants)
            }
            IssuerKind::BotTenant {
                authority,
                connector,
            } => {
                let tenants = connector.tenants.iter().map(EntraId::as_str);
                is_entras(named, authority, tenants)
            }
        }
    }
}

fn is_entras<'a>(named: &str, authority: &str, mut tenants: impl Iterator<Item = &'a str>) -> bool {
    let of = |tenant: &str| {
        named == format!("{authority}/{tenant}/v2.0")
            || named == format!("https://sts.windows.net/{tenant}/")
    };
    of("{tenantid}") || tenants.any(of)
}

fn document(url: &str, roots: &Roots) -> Result<Document, Option<Unusable>> {
    match Document::new(url, roots) {
        None => Err(None),
        Some(Err(unusable)) => Err(Some(unusable)),
        Some(Ok(document)) => Ok(document),
    }
}
