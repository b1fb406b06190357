//! `[issuers]` of kind `bot`: the Bot Connector of a cloud, and Entra where a bot has a tenant of its
//! own.

use std::sync::Arc;
use std::time::Duration;

use super::Problems;
use super::cloud::Cloud;
use super::issuer::https;
use crate::config::file;
use crate::config::{Connector, IssuerKind, ServiceHosts};
use crate::ids::{EntraId, is_guid};

/// What the documentation of the connector allows two clocks, and the most that is taken.
pub(super) const LEEWAY: Duration = Duration::from_secs(300);

/// Microsoft's own tenants, in whose name emulators and skills ask. Whoever they speak for, it is
/// nobody of Teams.
const EMULATORS: [&str; 4] = [
    "d6d49420-f39b-4df7-a1dc-d59a935871db",
    "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
    "69e9b82d-4842-4902-8d1e-abc5b98a55e8",
    "cab8a31a-1906-4287-a0d8-4eef66b95f6e",
];

/// The connector, and Entra if there are applications whose tokens are taken.
pub(super) fn kinds(at: &str, written: &file::Issuer, problems: &mut Problems) -> Vec<IssuerKind> {
    let cloud = Cloud::of(at, written.cloud.as_deref(), problems);
    unused(at, written, problems);
    if let Some(audience) = written.audience.iter().find(|id| !is_guid(id)) {
        let what = format!("{audience:?} must be a GUID, the bot's application id");
        problems.add(format!("{at}.audience"), what);
    }
    let issuer = written.issuer.as_deref().unwrap_or(cloud.issuer);
    let known = written.metadata.is_some() || written.jwks.is_some();
    if issuer.is_empty() || (issuer != cloud.issuer && !known) {
        let what = "another issuer than the cloud's needs metadata, where its keys are";
        problems.add(format!("{at}.issuer"), what);
    }
    let connector = Arc::new(Connector {
        tenants: tenants(at, written, problems),
        require_endorsements: written.require_endorsements.unwrap_or(false),
        require_service_url: written.require_service_url.unwrap_or(true),
        services: services(at, written, cloud, problems),
    });
    let mut kinds = vec![IssuerKind::Bot {
        issuer: issuer.to_owned(),
        connector: connector.clone(),
    }];
    let authority = written.authority.as_deref().unwrap_or(cloud.authority);
    let authority = https(&format!("{at}.authority"), authority, problems);
    if let (false, Some(authority)) = (written.clients.is_empty(), authority) {
        let authority = authority.trim_end_matches('/').to_owned();
        kinds.push(IssuerKind::BotTenant {
            authority,
            connector,
        });
    }
    kinds
}

/// What only an issuer of kind `bot` has a use for.
pub(super) fn only(at: &str, written: &file::Issuer, problems: &mut Problems) {
    for (key, is_written) in [
        ("cloud", written.cloud.is_some()),
        (
            "require_endorsements",
            written.require_endorsements.is_some(),
        ),
        ("require_service_url", written.require_service_url.is_some()),
        ("service_urls", written.service_urls.is_some()),
    ] {
        if is_written {
            problems.add(format!("{at}.{key}"), "has a use with kind = \"bot\" only");
        }
    }
}

/// Tokens of the connector have neither scopes nor roles, and what else Entra's have says nothing
/// about activities.
fn unused(at: &str, written: &file::Issuer, problems: &mut Problems) {
    for (key, wanted) in [("scopes", &written.scopes), ("roles", &written.roles)] {
        if !wanted.is_empty() {
            let what = "has no use with kind = \"bot\": the connector's tokens have none";
            problems.add(format!("{at}.{key}"), what);
        }
    }
    if !written.clients.is_empty() {
        return;
    }
    let of_entra = "has a use with clients only: the connector's own tokens";
    if written.authority.is_some() {
        problems.add(
            format!("{at}.authority"),
            format!("{of_entra} are not Entra's"),
        );
    }
    if written.require_service_url == Some(false) {
        problems.add(
            format!("{at}.require_service_url"),
            format!("{of_entra} always say it"),
        );
    }
}

fn tenants(at: &str, written: &file::Issuer, problems: &mut Problems) -> Vec<EntraId> {
    let at = format!("{at}.tenants");
    let tenants = problems.tenants(&at, &written.tenants);
    if written.tenants.is_empty() {
        let what = "missing; the connector speaks for the people of all tenants, so list those that \
                    may talk to the bot";
        problems.add(&at, what);
    }
    for tenant in tenants.iter().filter(|id| EMULATORS.contains(&id.as_str())) {
        let what = format!("{tenant:?} is Microsoft's own, of emulators and skills");
        problems.add(&at, what);
    }
    tenants.iter().filter_map(|id| EntraId::new(id)).collect()
}

fn services(
    at: &str,
    written: &file::Issuer,
    cloud: &Cloud,
    problems: &mut Problems,
) -> ServiceHosts {
    let at = format!("{at}.service_urls");
    let usual = || cloud.services.iter().map(|&host| host.to_owned()).collect();
    let hosts = written.service_urls.clone().unwrap_or_else(usual);
    if hosts.is_empty() {
        let what = "missing; list the hosts that send activities and take answers, such as \
                    [\"smba.trafficmanager.net\"]";
        problems.add(&at, what);
    }
    ServiceHosts::new(&hosts).unwrap_or_else(|host| {
        let what = format!(
            "{host:?} must be a host in lower case, or one after \"*.\", with a port or none"
        );
        problems.add(&at, what);
        ServiceHosts::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Issuer, KeySource, Settings};

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [issuers.connector]
        kind = "bot"
        audience = ["33333333-2222-3333-4444-555555555555"]
        tenants = ["11111111-2222-3333-4444-555555555555"]
        [upstreams.voice]
        kind = "voice-live"
        resource = "my-resource"
        credential = { key = "upstream-secret" }
        [[routes]]
        name = "browser"
        paths = ["/ws"]
        kind = "voice-live"
        admit = ["key"]
        models = ["gpt-realtime"]
        upstreams = ["voice"]
    "#;
    const TENANTS: &str = "tenants = [\"11111111-2222-3333-4444-555555555555\"]";

    fn read(from: &str, to: &str) -> Result<Settings, String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    fn issuers(more: &str) -> Vec<Issuer> {
        let read = read(TENANTS, &format!("{TENANTS}\n{more}"));
        read.unwrap().live.issuers
    }

    fn metadata(issuer: &Issuer) -> &str {
        match &issuer.keys {
            KeySource::Metadata(url) => url,
            KeySource::Jwks(_) => panic!("keys without metadata"),
        }
    }

    #[test]
    fn c02_a_cloud_is_an_issuer_with_its_own_metadata_and_services() {
        let named = |more: &str| {
            let issuers = issuers(more);
            let [issuer] = issuers.as_slice() else {
                panic!("one issuer");
            };
            let IssuerKind::Bot {
                issuer: name,
                connector,
            } = &issuer.kind
            else {
                panic!("another kind");
            };
            assert_eq!(issuer.leeway, Duration::from_secs(300));
            let services = connector.services.words().join(" ");
            (name.clone(), metadata(issuer).to_owned(), services)
        };
        let words = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let public = words(
            "https://api.botframework.com",
            "https://login.botframework.com/v1/.well-known/openidconfiguration",
            "smba.trafficmanager.net smba.infra.gcc.teams.microsoft.com",
        );
        assert_eq!(named(""), public);
        assert_eq!(named("cloud = \"public\""), public);
        assert_eq!(
            named("cloud = \"us-gov\""),
            words(
                "https://api.botframework.us",
                "https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
                "smba.infra.gov.teams.microsoft.us smba.infra.dod.teams.microsoft.us",
            )
        );
        assert_eq!(
            named("cloud = \"china\"\nservice_urls = [\"smba.example.cn\"]"),
            words(
                "https://api.botframework.azure.cn",
                "https://login.botframework.azure.cn/v1/.well-known/openidconfiguration",
                "smba.example.cn",
            )
        );
        let own = "issuer = \"https://a.example\"\nmetadata = \"https://b.example/m\"\n\
                   service_urls = [\"*.a.example\", \"localhost:9443\"]";
        assert_eq!(
            named(own),
            words(
                "https://a.example",
                "https://b.example/m",
                "*.a.example localhost:9443"
            )
        );
    }

    #[test]
    fn c02_entra_signs_only_for_applications_that_are_named_and_with_its_own_keys() {
        let clients = "clients = [\"sender\"]\nmetadata = \"https://b.example/m\"";
        let both = issuers(clients);
        let [connector, entra] = both.as_slice() else {
            panic!("two sources of keys");
        };
        assert_eq!(connector.name, entra.name);
        assert!(connector.clients.is_empty() && entra.clients == ["sender"]);
        assert_eq!(metadata(connector), "https://b.example/m");
        let usual = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555\
                     /v2.0/.well-known/openid-configuration";
        assert_eq!(metadata(entra), usual);
        let IssuerKind::BotTenant {
            authority,
            connector,
        } = &entra.kind
        else {
            panic!("another kind");
        };
        assert_eq!(authority, "https://login.microsoftonline.com");
        assert!(connector.require_service_url && !connector.require_endorsements);
        for (cloud, host) in [
            ("us-gov", "https://login.microsoftonline.us/"),
            ("china", "https://login.partner.microsoftonline.cn/"),
        ] {
            let more =
                format!("cloud = \"{cloud}\"\nservice_urls = [\"a.example\"]\nclients = [\"s\"]");
            assert!(metadata(&issuers(&more)[1]).starts_with(host));
        }
        let more = "clients = [\"s\"]\nrequire_service_url = false\nrequire_endorsements = true\n\
                    authority = \"https://localhost:9443/\"";
        let issuers = issuers(more);
        let IssuerKind::BotTenant {
            authority,
            connector,
        } = &issuers[1].kind
        else {
            panic!("another kind");
        };
        assert_eq!(authority, "https://localhost:9443");
        assert!(!connector.require_service_url && connector.require_endorsements);
        let told = Settings::read_text(
            "edge.toml",
            &GOOD.replace(TENANTS, &format!("{TENANTS}\n{more}")),
        );
        let told = told.unwrap().describe();
        assert_eq!(
            told.matches("issuer    connector: bot, ").count(),
            2,
            "{told}"
        );
        assert!(told.contains("endorsements required, service URL in tokens of the connector"));
    }

    /// A text of [`GOOD`], what stands there instead, and the key that the message names.
    const MISTAKES: &[(&str, &str, &str)] = &[
        (
            "33333333-2222-3333-4444-555555555555",
            "api://bot",
            "issuers.connector.audience",
        ),
        ("audience = [", "#", "issuers.connector.audience"),
        (TENANTS, "", "issuers.connector.tenants"),
        (
            TENANTS,
            "tenants = [\"common\"]",
            "issuers.connector.tenants",
        ),
        (
            TENANTS,
            "tenants = [\"D6D49420-f39b-4df7-a1dc-d59a935871db\"]",
            "issuers.connector.tenants",
        ),
        (
            TENANTS,
            "tenants = [\"11111111-2222-3333-4444-555555555555\", \
             \"cab8a31a-1906-4287-a0d8-4eef66b95f6e\"]",
            "issuers.connector.tenants",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\ncloud = \"germany\"",
            "issuers.connector.cloud",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\ncloud = \"china\"",
            "issuers.connector.service_urls",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nservice_urls = []",
            "issuers.connector.service_urls",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nservice_urls = [\"https://smba.trafficmanager.net\"]",
            "issuers.connector.service_urls",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nservice_urls = [\"*\"]",
            "issuers.connector.service_urls",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nissuer = \"https://a.example\"",
            "issuers.connector.issuer",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nissuer = \"\"\nmetadata = \"https://a.example\"",
            "issuers.connector.issuer",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nmetadata = \"http://a.example\"",
            "issuers.connector.metadata",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nleeway = \"301s\"",
            "issuers.connector.leeway",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nscopes = [\"x\"]",
            "issuers.connector.scopes",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nroles = [\"x\"]",
            "issuers.connector.roles",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nauthority = \"https://a.example\"",
            "issuers.connector.authority",
        ),
        (
            "kind = \"bot\"",
            "kind = \"bot\"\nrequire_service_url = false",
            "issuers.connector.require_service_url",
        ),
        (
            "kind = \"bot\"",
            "kind = \"entra\"\ncloud = \"public\"",
            "issuers.connector.cloud",
        ),
        (
            "kind = \"bot\"",
            "kind = \"entra\"\nservice_urls = [\"a.example\"]",
            "issuers.connector.service_urls",
        ),
        (
            "kind = \"bot\"",
            "kind = \"entra\"\nrequire_endorsements = false",
            "issuers.connector.require_endorsements",
        ),
        (
            "kind = \"bot\"",
            "kind = \"entra\"\nrequire_service_url = true",
            "issuers.connector.require_service_url",
        ),
        // It opens nothing but a bot's route.
        (
            "admit = [\"key\"]",
            "admit = [\"connector\"]",
            "routes.browser.admit",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\", \"connector\"]",
            "routes.browser.admit",
        ),
        (
            "admit = [\"key\"]",
            "require = [\"connector\"]",
            "routes.browser.require",
        ),
    ];

    #[test]
    fn c02_what_would_let_others_in_or_nobody_is_told_at_once() {
        for (from, to, at) in MISTAKES {
            let told = read(from, to).map(drop).unwrap_err();
            assert!(told.contains(&format!("{at}: ")), "{to}: {told}");
        }
    }
}
