//! Where each document of an issuer is, and what its metadata say.
//!
//! Owns the addresses of Entra's two versions, of a plain OpenID provider, of the issuer of Azure
//! Communication Services and of the Bot Connector. Refuses to know keys and connections.

use super::connector;
use serde_json::{Value, json};

/// The one issuer of Azure Communication Services' tokens.
pub(super) const ACS_ISSUER: &str = "https://acscallautomation.communication.azure.com";

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document<'a> {
    /// Metadata of one issuer.
    Metadata(Issuer<'a>),
    /// The public keys. All issuers but the Bot Connector share them, as Entra's tenants do.
    Keys,
    /// Those of the Bot Connector.
    ConnectorKeys,
}

/// Whose metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuer<'a> {
    /// A tenant's tokens of the second version.
    EntraV2(&'a str),
    /// A tenant's tokens of the first version.
    EntraV1(&'a str),
    /// The provider itself.
    Plain,
    /// Azure Communication Services.
    Acs,
    /// The Bot Connector.
    Connector,
}

impl<'a> Document<'a> {
    /// What is at this path, if anything is.
    pub(super) fn at(path: &'a str) -> Option<Self> {
        match path {
            "/.well-known/openid-configuration" => return Some(Self::Metadata(Issuer::Plain)),
            // Not the standard's name, yet what Microsoft documents.
            "/calling/.well-known/acsopenidconfiguration" => {
                return Some(Self::Metadata(Issuer::Acs));
            }
            "/keys" | "/calling/keys" => return Some(Self::Keys),
            connector::METADATA => return Some(Self::Metadata(Issuer::Connector)),
            connector::KEYS => return Some(Self::ConnectorKeys),
            _ => {}
        }
        let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
        if !is_guid(tenant) && !is_shared(tenant) {
            return None;
        }
        match rest {
            "v2.0/.well-known/openid-configuration" => {
                Some(Self::Metadata(Issuer::EntraV2(tenant)))
            }
            ".well-known/openid-configuration" => Some(Self::Metadata(Issuer::EntraV1(tenant))),
            "discovery/v2.0/keys" | "discovery/keys" => Some(Self::Keys),
            _ => None,
        }
    }
}

impl Issuer<'_> {
    /// The metadata (OpenID Connect Discovery, section 3). None of the other endpoints in it is
    /// there: nobody who only verifies tokens has anything to ask of them.
    pub(super) fn metadata(self, base: &str) -> Value {
        let (issuer, root, keys) = match self {
            Self::EntraV2(tenant) => (
                format!("{base}/{}/v2.0", named(tenant)),
                format!("{base}/{tenant}/oauth2/v2.0"),
                format!("{base}/{tenant}/discovery/v2.0/keys"),
            ),
            Self::EntraV1(tenant) => (
                format!("https://sts.windows.net/{}/", named(tenant)),
                format!("{base}/{tenant}/oauth2"),
                format!("{base}/{tenant}/discovery/keys"),
            ),
            Self::Plain => (base.to_owned(), base.to_owned(), format!("{base}/keys")),
            Self::Connector => return connector::metadata(base),
            Self::Acs => {
                return json!({
                    "issuer": ACS_ISSUER,
                    "jwks_uri": format!("{base}/calling/keys"),
                    "id_token_signing_alg_values_supported": ["RS256"],
                });
            }
        };
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{root}/authorize"),
            "token_endpoint": format!("{root}/token"),
            "jwks_uri": keys,
            "response_types_supported": ["code", "id_token", "code id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }
}

/// Five groups of hexadecimal digits, as tenants, users and applications are written.
#[must_use]
pub fn is_guid(text: &str) -> bool {
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    lengths.eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| digits(group))
}

/// Whether these are metadata for the tokens of many tenants.
fn is_shared(tenant: &str) -> bool {
    ["common", "organizations"].contains(&tenant)
}

/// How the tenant stands in an issuer: literally as this placeholder where there are many.
fn named(tenant: &str) -> &str {
    if is_shared(tenant) {
        "{tenantid}"
    } else {
        tenant
    }
}
