//! Issuers, as `tonegate check` prints them.

use std::fmt::Write as _;

use humantime::format_duration;

use crate::config::{Connector, Issuer, IssuerKind, KeySource};
use crate::ids::EntraId;

pub(super) fn issuers(issuers: &[Issuer], out: &mut String) -> std::fmt::Result {
    for issuer in issuers {
        let who = match &issuer.kind {
            IssuerKind::Entra { tenants, .. } => format!("Entra tenants {}", tenants.join(", ")),
            IssuerKind::Oidc { issuer } => issuer.clone(),
            IssuerKind::Acs { issuer } => format!("calls of {issuer}"),
            IssuerKind::EventGrid { tenants, .. } => {
                format!("Event Grid, Entra tenants {}", tenants.join(", "))
            }
            IssuerKind::Bot { issuer, .. } => format!("bot, connector {issuer}"),
            IssuerKind::BotTenant { .. } => "bot, Entra".to_owned(),
        };
        let keys = match &issuer.keys {
            KeySource::Metadata(url) | KeySource::Jwks(url) => url,
        };
        let algorithms: Vec<_> = issuer
            .algorithms
            .iter()
            .map(|algorithm| format!("{algorithm:?}"))
            .collect();
        writeln!(
            out,
            "issuer    {}: {who}, for {}, {}, keys from {keys}, leeway {}",
            issuer.name,
            issuer.audience.join(" or "),
            algorithms.join(" or "),
            format_duration(issuer.leeway),
        )?;
        let wanted = [
            ("scopes", &issuer.scopes),
            ("roles", &issuer.roles),
            ("clients", &issuer.clients),
        ];
        if let IssuerKind::Bot { connector, .. } | IssuerKind::BotTenant { connector, .. } =
            &issuer.kind
        {
            self::connector(connector, out)?;
        }
        for (name, wanted) in wanted.into_iter().filter(|(_, wanted)| !wanted.is_empty()) {
            writeln!(out, "          {name} {}", wanted.join(" or "))?;
        }
    }
    Ok(())
}

fn connector(connector: &Connector, out: &mut String) -> std::fmt::Result {
    let tenants: Vec<_> = connector.tenants.iter().map(EntraId::as_str).collect();
    writeln!(
        out,
        "          people of {}, services {}, endorsements {}, service URL in tokens {}",
        tenants.join(" or "),
        connector.services.words().join(" or "),
        match connector.require_endorsements {
            true => "required",
            false => "of keys that have some",
        },
        match connector.require_service_url {
            true => "required",
            false => "of the connector",
        },
    )
}
