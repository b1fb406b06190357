//! `[issuers]`: who may sign tokens, where the keys are, what a token must say.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::{Problems, cloud, connector};
use crate::config::file::{self, File};
use crate::config::{Issuer, IssuerKind, KeySource};

/// The public cloud of Microsoft Entra ID.
const ENTRA: &str = "https://login.microsoftonline.com";
/// Azure Communication Services, which has one issuer, and its metadata by a name of its own
/// ("Secure Call Automation webhooks and WebSockets", Microsoft).
const ACS: &str = "https://acscallautomation.communication.azure.com";
const ACS_METADATA: &str = "calling/.well-known/acsopenidconfiguration";
/// The usual tolerance between two clocks.
const LEEWAY: Duration = Duration::from_secs(60);
/// More than this would only keep expired tokens alive.
const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// Event Grid's own application in the public cloud ("Secure WebHook
/// delivery with Microsoft Entra ID", Microsoft).
const EVENT_GRID: &str = "4962773b-9cdb-44cf-a8bf-237846a00ab7";
/// Ways of `admit` and `require` that an issuer's name would hide.
const RESERVED: [&str; 6] = ["key", "certificate", "anyone", "ticket", "easyauth", "call"];

pub(super) fn issuers(file: &File, problems: &mut Problems) -> Vec<Issuer> {
    let mut issuers = Vec::new();
    for (name, written) in &file.issuers {
        let at = format!("issuers.{name}");
        let Some(label) = problems.label(&at, name) else {
            continue;
        };
        if RESERVED.contains(&name.as_str()) {
            problems.add(&at, "this name means something else in admit and require");
        }
        if written.audience.is_empty() || written.audience.iter().any(String::is_empty) {
            problems.add(
                format!("{at}.audience"),
                "missing; list whom tokens must be for, such as [\"api://media-edge\"]",
            );
        }
        let leeway = written.leeway.unwrap_or(match written.kind.as_deref() {
            Some("bot") => connector::LEEWAY,
            _ => LEEWAY,
        });
        if leeway > LEEWAY_MAX {
            problems.add(format!("{at}.leeway"), "must be at most 5m");
        }
        let kinds = match written.kind.as_deref() {
            Some("bot") => connector::kinds(&at, written, problems),
            _ => {
                connector::only(&at, written, problems);
                Vec::from_iter(kind(&at, written, problems))
            }
        };
        let algorithms = algorithms(&at, written, problems);
        let Some(roots) = problems.roots(&at, written.roots.as_deref()) else {
            continue;
        };
        for kind in kinds {
            let Some(keys) = key_source(&at, written, &kind, problems) else {
                continue;
            };
            issuers.push(Issuer {
                name: label.clone(),
                audience: written.audience.clone(),
                algorithms: algorithms.clone(),
                keys,
                roots: roots.clone(),
                scopes: written.scopes.clone(),
                roles: written.roles.clone(),
                clients: clients(written, &kind),
                kind,
                leeway,
            });
        }
    }
    issuers
}

fn kind(at: &str, written: &file::Issuer, problems: &mut Problems) -> Option<IssuerKind> {
    match written.kind.as_deref() {
        Some(word @ ("entra" | "event-grid")) => {
            if written.issuer.is_some() {
                problems.add(
                    format!("{at}.issuer"),
                    "follows from tenants and authority with kind = \"entra\" and \"event-grid\"",
                );
            }
            let authority = written.authority.as_deref().unwrap_or(ENTRA);
            let authority = authority.trim_end_matches('/').to_owned();
            let authority = https(&format!("{at}.authority"), &authority, problems)?;
            let tenants = problems.tenants(&format!("{at}.tenants"), &written.tenants);
            if written.tenants.is_empty() {
                problems.add(
                    format!("{at}.tenants"),
                    "missing; Entra signs the tokens of all tenants with the same keys, so list \
                     those that may enter",
                );
            }
            Some(match word {
                "entra" => IssuerKind::Entra { authority, tenants },
                _ => IssuerKind::EventGrid { authority, tenants },
            })
        }
        Some("oidc") => {
            if !written.tenants.is_empty() || written.authority.is_some() {
                problems.add(at, "tenants and authority belong to kind = \"entra\"");
            }
            let Some(issuer) = &written.issuer else {
                problems.add(
                    format!("{at}.issuer"),
                    "missing; what tokens say in iss, to the letter",
                );
                return None;
            };
            Some(IssuerKind::Oidc {
                issuer: issuer.clone(),
            })
        }
        Some("acs") => Some(acs(at, written, problems)),
        _ => {
            problems.add(
                format!("{at}.kind"),
                "must be \"entra\", \"oidc\", \"acs\", \"event-grid\" or \"bot\"",
            );
            None
        }
    }
}

/// Whom tokens may have been given to: Event Grid itself, unless the settings name another cloud's.
/// The connector's own tokens name nobody.
fn clients(written: &file::Issuer, kind: &IssuerKind) -> Vec<String> {
    match kind {
        IssuerKind::EventGrid { .. } if written.clients.is_empty() => vec![EVENT_GRID.to_owned()],
        IssuerKind::Bot { .. } => Vec::new(),
        IssuerKind::Entra { .. }
        | IssuerKind::Oidc { .. }
        | IssuerKind::Acs { .. }
        | IssuerKind::EventGrid { .. }
        | IssuerKind::BotTenant { .. } => written.clients.clone(),
    }
}

/// Tokens of ACS say who signed them and whose resource they are for, and no more is known of them:
/// whatever else were asked for would keep every call out.
fn acs(at: &str, written: &file::Issuer, problems: &mut Problems) -> IssuerKind {
    if !written.tenants.is_empty() || written.authority.is_some() {
        problems.add(at, "tenants and authority belong to kind = \"entra\"");
    }
    for (key, wanted) in [
        ("scopes", &written.scopes),
        ("roles", &written.roles),
        ("clients", &written.clients),
    ] {
        if !wanted.is_empty() {
            let what = "has no use with kind = \"acs\": its tokens have none";
            problems.add(format!("{at}.{key}"), what);
        }
    }
    if written.audience.iter().any(|name| name.starts_with('/')) {
        problems.add(
            format!("{at}.audience"),
            "must be the resource's immutable id, not its path",
        );
    }
    let issuer = written.issuer.as_deref().unwrap_or(ACS);
    if issuer.is_empty() {
        problems.add(format!("{at}.issuer"), "must not be empty");
    }
    IssuerKind::Acs {
        issuer: issuer.to_owned(),
    }
}

fn key_source(
    at: &str,
    written: &file::Issuer,
    kind: &IssuerKind,
    problems: &mut Problems,
) -> Option<KeySource> {
    // What is written is the connector's: Entra's keys are where Entra has them.
    let (metadata, jwks) = match kind {
        IssuerKind::BotTenant { .. } => (&None, &None),
        IssuerKind::Entra { .. }
        | IssuerKind::Oidc { .. }
        | IssuerKind::Acs { .. }
        | IssuerKind::EventGrid { .. }
        | IssuerKind::Bot { .. } => (&written.metadata, &written.jwks),
    };
    match (metadata, jwks) {
        (Some(url), None) => {
            https(&format!("{at}.metadata"), url, problems).map(KeySource::Metadata)
        }
        (None, Some(url)) => https(&format!("{at}.jwks"), url, problems).map(KeySource::Jwks),
        (Some(_), Some(_)) => {
            problems.add(at, "metadata and jwks exclude each other");
            None
        }
        (None, None) => {
            const USUAL: &str = ".well-known/openid-configuration";
            let of_entra = |authority: &str, tenant: Option<&str>| {
                let tenant = tenant.unwrap_or("organizations");
                format!("{authority}/{tenant}/v2.0/{USUAL}")
            };
            let url = match kind {
                // Several tenants: any of them has the same keys, and this one names no tenant.
                IssuerKind::Entra { authority, tenants }
                | IssuerKind::EventGrid { authority, tenants } => match tenants.as_slice() {
                    [tenant] => of_entra(authority, Some(tenant)),
                    _ => of_entra(authority, None),
                },
                IssuerKind::BotTenant {
                    authority,
                    connector,
                } => match connector.tenants.as_slice() {
                    [tenant] => of_entra(authority, Some(tenant.as_str())),
                    _ => of_entra(authority, None),
                },
                // That it is missing for others has been told.
                IssuerKind::Bot { issuer, .. } => cloud::metadata(issuer)?.to_owned(),
                IssuerKind::Oidc { issuer } => {
                    format!("{}/{USUAL}", issuer.trim_end_matches('/'))
                }
                IssuerKind::Acs { issuer } => {
                    format!("{}/{ACS_METADATA}", issuer.trim_end_matches('/'))
                }
            };
            https(&format!("{at}.issuer"), &url, problems).map(KeySource::Metadata)
        }
    }
}

/// Keys that anybody on the way could exchange are worth nothing.
pub(super) fn https(at: &str, url: &str, problems: &mut Problems) -> Option<String> {
    let parsed: Option<http::Uri> = url.parse().ok();
    let fits = parsed.is_some_and(|uri| {
        uri.scheme_str() == Some("https") && uri.host().is_some() && !url.contains('@')
    });
    if !fits {
        problems.add(at, "must be an https:// URL without a user or a password");
    }
    fits.then(|| url.to_owned())
}

fn algorithms(at: &str, written: &file::Issuer, problems: &mut Problems) -> Vec<Algorithm> {
    let Some(names) = &written.algorithms else {
        return vec![Algorithm::RS256];
    };
    let at = format!("{at}.algorithms");
    if names.is_empty() {
        problems.add(&at, "must not be empty; leave it out for [\"RS256\"]");
    }
    let mut algorithms = Vec::new();
    for name in names {
        match name.parse() {
            Ok(Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) | Err(_) => problems.add(
                &at,
                format!("{name:?} must be RS256 to RS512, PS256 to PS512, ES256, ES384 or EdDSA"),
            ),
            Ok(algorithm) => algorithms.push(algorithm),
        }
    }
    algorithms
}
