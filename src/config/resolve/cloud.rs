//! The clouds that have a Bot Connector.

use super::Problems;

/// A cloud's connector ("Authentication with the Bot Connector API", Microsoft), its Entra, and where
/// its Teams is ("Proactive messages", Microsoft).
pub(super) struct Cloud {
    word: &'static str,
    pub(super) issuer: &'static str,
    metadata: &'static str,
    pub(super) authority: &'static str,
    /// Whom tokens of bots whose registration is of no single tenant are asked of ("Configure bots for
    /// US Government customers", "Configure a bot in Azure operated by 21Vianet", and the SDKs).
    pub(super) any_tenant: &'static str,
    /// What tokens for the connector are asked for.
    pub(super) scope: &'static str,
    pub(super) services: &'static [&'static str],
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        word: "public",
        issuer: "https://api.botframework.com",
        metadata: "https://login.botframework.com/v1/.well-known/openidconfiguration",
        authority: "https://login.microsoftonline.com",
        any_tenant: "botframework.com",
        scope: "https://api.botframework.com/.default",
        services: &[
            "smba.trafficmanager.net",
            "smba.infra.gcc.teams.microsoft.com",
        ],
    },
    Cloud {
        word: "us-gov",
        issuer: "https://api.botframework.us",
        metadata: "https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
        authority: "https://login.microsoftonline.us",
        any_tenant: "MicrosoftServices.onmicrosoft.us",
        scope: "https://api.botframework.us/.default",
        services: &[
            "smba.infra.gov.teams.microsoft.us",
            "smba.infra.dod.teams.microsoft.us",
        ],
    },
    // Its documentation says nothing of where its Teams is.
    Cloud {
        word: "china",
        issuer: "https://api.botframework.azure.cn",
        metadata: "https://login.botframework.azure.cn/v1/.well-known/openidconfiguration",
        authority: "https://login.partner.microsoftonline.cn",
        any_tenant: "microsoftservices.partner.onmschina.cn",
        scope: "https://api.botframework.azure.cn/.default",
        services: &[],
    },
];

impl Cloud {
    /// The one of this name; the public one if none is named.
    pub(super) fn of(at: &str, word: Option<&str>, problems: &mut Problems) -> &'static Cloud {
        let [public, ..] = &CLOUDS;
        let Some(word) = word else {
            return public;
        };
        let known = CLOUDS.iter().find(|cloud| cloud.word == word);
        known.unwrap_or_else(|| {
            let what = format!("{word:?} must be \"public\", \"us-gov\" or \"china\"");
            problems.add(format!("{at}.cloud"), what);
            public
        })
    }
}

/// Where an issuer that is a cloud's own has its metadata.
pub(super) fn metadata(issuer: &str) -> Option<&'static str> {
    let cloud = CLOUDS.iter().find(|cloud| cloud.issuer == issuer);
    cloud.map(|cloud| cloud.metadata)
}
