//! `[bot]`: the bot's registration, its credential, and the services that its messages may go to.

use super::Problems;
use super::cloud::Cloud;
use super::credential;
use super::federated::Application;
use super::graph::bounds;
use crate::config::bot::is_loopback;
use crate::config::env::Environment;
use crate::config::file::{self, File};
use crate::config::{Bot, IdentitySource, ManagedIdentity, Roots, ServiceOrigin};
use crate::ids::EntraId;
use crate::label::Label;
use crate::secret::Secret;
use std::time::Duration;

const SERVICES_MAX: usize = 32;
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Somebody who was not heard for so long has forgotten the bot.
const KEEP_MAX: Duration = Duration::from_secs(400 * 24 * 3600);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Teams gives up on a bot that is silent for 15 s.
const TOTAL: Duration = Duration::from_secs(10);

/// `None`: the edge is no bot, or something is wrong with it, which has been told.
pub(super) fn bot(file: &File, variables: &Environment, problems: &mut Problems) -> Option<Bot> {
    let written = file.bot.as_ref()?;
    let app_id = match &written.app_id {
        Some(id) => problems.entra_id("bot.app_id", id),
        None => {
            problems.add("bot.app_id", "missing; the id of the bot's registration");
            None
        }
    };
    let tenant = written.tenant.as_ref();
    let tenant = tenant.map(|id| problems.entra_id("bot.tenant", id));
    let roots = problems.roots("bot", written.roots.as_deref());
    let cloud = Cloud::of("bot", written.cloud.as_deref(), problems);
    let services = services(written, cloud, problems);
    let keep = written.keep.unwrap_or(KEEP);
    if keep > KEEP_MAX || !keep.is_zero() && keep < Duration::from_secs(60) {
        problems.add("bot.keep", "must be 1m to 400d, or 0s to keep nothing");
    }
    let timeout = written.timeout.unwrap_or(TIMEOUT);
    let total = written.total.unwrap_or(TOTAL);
    bounds("bot", timeout, total, problems);
    let app = App {
        id: app_id?,
        tenant: match tenant {
            Some(known) => Some(known?),
            None => None,
        },
        roots: roots?,
        cloud,
    };
    let identity = identity(written, &app, variables, problems);
    Some(Bot {
        identity: identity?,
        app_id: app.id,
        tenant: app.tenant,
        services,
        keep,
        roots: app.roots,
        timeout,
        total,
    })
}

struct App {
    id: EntraId,
    tenant: Option<EntraId>,
    roots: Roots,
    cloud: &'static Cloud,
}

impl App {
    /// The tenant that is asked for its tokens.
    fn asked_in(&self) -> Option<Label> {
        let any = self.cloud.any_tenant;
        Label::new(self.tenant.as_ref().map_or(any, EntraId::as_str))
    }
}

fn authority(written: &file::Bot, app: &App, problems: &mut Problems) -> Option<String> {
    let authority = written.authority.as_deref();
    problems.authority("bot.authority", authority.unwrap_or(app.cloud.authority))
}

/// A registration that trusts a managed identity: `client_id` names the identity.
fn trusted(
    written: &file::Bot,
    scope: &str,
    app: &App,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<ManagedIdentity> {
    let authority = authority(written, app, problems);
    let asked = file::Credential {
        managed_identity: true,
        client_id: written.client_id.clone(),
        scope: Some(scope.to_owned()),
        roots: written.roots.clone(),
        ..file::Credential::default()
    };
    let own = credential::identity("bot", &asked, variables, problems)?;
    Some(own.exchanged(Application {
        authority: authority?,
        tenant: app.asked_in()?,
        client_id: Label::new(app.id.as_str())?,
        roots: app.roots.clone(),
    }))
}

fn identity(
    written: &file::Bot,
    app: &App,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<ManagedIdentity> {
    let ways = [
        written.secret.is_some(),
        written.secret_file.is_some(),
        written.managed_identity,
    ];
    if ways.into_iter().filter(|is| *is).count() != 1 {
        let what =
            "set one of secret = \"${NAME}\", secret_file = \"…\" and managed_identity = true";
        problems.add("bot", what);
        return None;
    }
    let scope = written.scope.as_deref().unwrap_or(app.cloud.scope);
    let federated = written.managed_identity && written.federated;
    for (key, is_written, may) in [
        ("bot.federated", written.federated, federated),
        ("bot.client_id", written.client_id.is_some(), federated),
        (
            "bot.authority",
            written.authority.is_some(),
            federated || !written.managed_identity,
        ),
    ] {
        if is_written && !may {
            let of = match key {
                "bot.federated" => "managed_identity = true",
                "bot.client_id" => "federated = true",
                _ => "a secret, or with federated = true,",
            };
            problems.add(key, format!("has a use with {of} only"));
        }
    }
    if federated {
        return trusted(written, scope, app, variables, problems);
    }
    if written.managed_identity {
        return platform(written, scope, app, variables, problems);
    }
    let authority = authority(written, app, problems);
    let scope = problems.scope("bot.scope", scope);
    let text = match (&written.secret, &written.secret_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => problems.read("bot.secret_file", path)?,
        (None, None) => return None,
    };
    let secret = Secret::new(text.trim().to_owned());
    if secret.expose().is_empty() {
        problems.add("bot", "the secret is empty");
        return None;
    }
    let tenant = app.asked_in();
    let client_id = Label::new(app.id.as_str())?;
    Some(ManagedIdentity {
        source: IdentitySource::Application {
            authority: authority?,
            tenant: tenant?,
            client_id: client_id.clone(),
            secret,
            roots: app.roots.clone(),
        },
        client_id: Some(client_id),
        scope: scope?,
    })
}

/// A managed identity is a bot under its own client id; a service account, under the id of the
/// registration that trusts it, in the registration's tenant.
fn platform(
    written: &file::Bot,
    scope: &str,
    app: &App,
    variables: &Environment,
    problems: &mut Problems,
) -> Option<ManagedIdentity> {
    let asked = file::Credential {
        managed_identity: true,
        client_id: Some(app.id.as_str().to_owned()),
        scope: Some(scope.to_owned()),
        roots: written.roots.clone(),
        ..file::Credential::default()
    };
    let mut identity = credential::identity("bot", &asked, variables, problems)?;
    if let (IdentitySource::Workload { tenant, .. }, Some(own)) =
        (&mut identity.source, &app.tenant)
    {
        *tenant = Label::new(own.as_str())?;
    }
    Some(identity)
}

fn services(written: &file::Bot, cloud: &Cloud, problems: &mut Problems) -> Vec<ServiceOrigin> {
    let usual = || {
        let hosts = cloud.services.iter();
        hosts.map(|host| format!("https://{host}")).collect()
    };
    let urls: Vec<String> = written.service_urls.clone().unwrap_or_else(usual);
    if urls.is_empty() || urls.len() > SERVICES_MAX {
        problems.add("bot.service_urls", "must name 1 to 32 places");
    }
    let mut services = Vec::new();
    for (i, url) in urls.iter().enumerate() {
        let at = format!("bot.service_urls.{i}");
        match ServiceOrigin::of(url) {
            Some((origin, path)) if path.is_empty() => {
                if !origin.secure && !is_loopback(&origin.host) {
                    problems.add(at, "is plain text and not loopback; use https://");
                }
                services.push(origin);
            }
            Some(_) | None => problems.add(at, "must be https://host[:port], without a path"),
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(lines: &[&str]) -> Result<Bot, Vec<String>> {
        let imds = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1");
        resolve_in(lines, &Environment::of([imds]))
    }

    fn resolve_in(lines: &[&str], variables: &Environment) -> Result<Bot, Vec<String>> {
        let text = format!("[bot]\n{}\n", lines.join("\n"));
        let file = file::read_text("edge.toml", &text, variables)
            .map_err(|error| vec![error.to_string()])?;
        let mut problems = Problems::default();
        match (bot(&file, variables, &mut problems), problems.0.is_empty()) {
            (Some(bot), true) => Ok(bot),
            (_, _) => Err(problems.0),
        }
    }

    const APP: &str = "app_id = \"99999999-8888-7777-6666-55555555555A\"";
    const TENANT: &str = "tenant = \"11111111-2222-3333-4444-555555555555\"";
    const SECRET: &str = "secret = \"CANARY\"";
    const IDENTITY: &str = "managed_identity = true";
    const FEDERATED: &str = "federated = true";

    #[test]
    fn c22_a_secret_is_exchanged_in_the_tenant_or_where_bots_of_any_tenant_are() {
        const OWN: &str = "11111111-2222-3333-4444-555555555555";
        const PUBLIC: [&str; 2] = [
            "https://login.microsoftonline.com",
            "https://api.botframework.com/.default",
        ];
        const GOVERNMENT: [&str; 2] = [
            "https://login.microsoftonline.us",
            "https://api.botframework.us/.default",
        ];
        const CHINA: [&str; 2] = [
            "https://login.partner.microsoftonline.cn",
            "https://api.botframework.azure.cn/.default",
        ];
        let us = "cloud = \"us-gov\"";
        let china = "cloud = \"china\"\nservice_urls = [\"https://smba.example.cn\"]";
        for (cloud, more, tenant, [login, scope]) in [
            ("", TENANT, OWN, PUBLIC),
            ("", "", "botframework.com", PUBLIC),
            ("cloud = \"public\"", "", "botframework.com", PUBLIC),
            (us, TENANT, OWN, GOVERNMENT),
            (us, "", "MicrosoftServices.onmicrosoft.us", GOVERNMENT),
            (china, TENANT, OWN, CHINA),
            (china, "", "microsoftservices.partner.onmschina.cn", CHINA),
        ] {
            let bot = resolve(&[APP, SECRET, cloud, more]).unwrap();
            assert_eq!(bot.app_id.as_str(), "99999999-8888-7777-6666-55555555555a");
            assert_eq!(bot.identity.scope, scope);
            assert!(!format!("{bot:?}").contains("CANARY"));
            let IdentitySource::Application {
                authority,
                tenant: asked,
                client_id,
                secret,
                ..
            } = bot.identity.source
            else {
                panic!("a secret was meant");
            };
            assert_eq!(authority, login);
            assert_eq!(asked.as_str(), tenant);
            assert_eq!(client_id.as_str(), bot.app_id.as_str());
            assert_eq!(secret.expose(), "CANARY");
        }
    }

    #[test]
    fn c09_a_platform_vouches_for_the_bot_under_its_own_id() {
        let bot = resolve(&[APP, IDENTITY]).unwrap();
        assert!(matches!(bot.identity.source, IdentitySource::Imds { .. }));
        let id = bot.identity.client_id.unwrap();
        assert_eq!(id.as_str(), bot.app_id.as_str());
        let workload = Environment::of([
            ("AZURE_FEDERATED_TOKEN_FILE", "token"),
            ("AZURE_TENANT_ID", "another"),
            ("AZURE_CLIENT_ID", "another"),
        ]);
        let bot = resolve_in(&[APP, TENANT, IDENTITY], &workload).unwrap();
        let IdentitySource::Workload {
            tenant, client_id, ..
        } = bot.identity.source
        else {
            panic!("workload identity was meant");
        };
        assert_eq!(tenant.as_str(), bot.tenant.unwrap().as_str());
        assert_eq!(client_id.as_str(), bot.app_id.as_str());
    }

    #[test]
    fn c09_a_registration_trusts_a_managed_identity_in_whatever_cloud() {
        let public = "https://login.microsoftonline.com";
        let government = "cloud = \"us-gov\"";
        let china = "authority = \"https://login.partner.microsoftonline.cn\"";
        for (more, authority, exchange) in [
            ("", public, "api://AzureADTokenExchange/.default"),
            (
                government,
                "https://login.microsoftonline.us",
                "api://AzureADTokenExchangeUSGov/.default",
            ),
            (
                china,
                "https://login.partner.microsoftonline.cn",
                "api://AzureADTokenExchangeChina/.default",
            ),
        ] {
            let id = "client_id = \"77777777-8888-7777-6666-555555555555\"";
            let bot = resolve(&[APP, TENANT, IDENTITY, FEDERATED, id, more]).unwrap();
            let IdentitySource::Federated {
                own,
                authority: asked,
                tenant,
                client_id,
                ..
            } = bot.identity.source
            else {
                panic!("a federated identity was meant");
            };
            assert_eq!((asked.as_str(), own.scope.as_str()), (authority, exchange));
            assert_eq!(tenant.as_str(), bot.tenant.unwrap().as_str());
            assert_eq!(client_id.as_str(), bot.app_id.as_str());
            let own_id = own.client_id.unwrap();
            assert_eq!(own_id.as_str(), "77777777-8888-7777-6666-555555555555");
            assert!(matches!(own.source, IdentitySource::Imds { .. }));
        }
        let bot = resolve(&[APP, IDENTITY, FEDERATED]).unwrap();
        let IdentitySource::Federated { tenant, own, .. } = bot.identity.source else {
            panic!("a federated identity was meant");
        };
        assert_eq!((tenant.as_str(), own.client_id), ("botframework.com", None));
    }

    #[test]
    fn c03_messages_go_to_teams_or_where_it_is_written_out() {
        let bot = resolve(&[APP, SECRET]).unwrap();
        for url in [
            "https://smba.trafficmanager.net/emea/",
            "https://smba.infra.gcc.teams.microsoft.com/teams",
            "https://SMBA.trafficmanager.net:443/teams",
        ] {
            assert!(bot.serves(url), "{url}");
        }
        // A token of one cloud is shown to no other.
        let government = resolve(&[APP, SECRET, "cloud = \"us-gov\""]).unwrap();
        for host in ["gov", "dod"] {
            let url = format!("https://smba.infra.{host}.teams.microsoft.us/teams");
            assert!(government.serves(&url) && !bot.serves(&url), "{url}");
        }
        assert!(!government.serves("https://smba.trafficmanager.net/emea/"));
        for url in [
            "http://smba.trafficmanager.net/emea/",
            "https://smba.trafficmanager.net.evil.example/",
            "https://evil-smba.trafficmanager.net/",
            "https://smba.trafficmanager.net:8443/",
            "https://trafficmanager.net/",
            "https://169.254.169.254/",
        ] {
            assert!(!bot.serves(url), "{url}");
        }
        let services = "service_urls = [\"http://127.0.0.1:8080\", \"https://b.example/\"]";
        let bot = resolve(&[APP, SECRET, services]).unwrap();
        assert!(bot.serves("http://127.0.0.1:8080/amer/"));
        assert!(!bot.serves("https://smba.trafficmanager.net/"));
    }

    #[test]
    fn c22_every_mistake_is_told_and_no_secret_is() {
        for (lines, place) in [
            (vec![SECRET], "bot.app_id"),
            (vec![SECRET, "app_id = \"x\""], "bot.app_id"),
            (vec![APP], "bot: set one"),
            (vec![APP, SECRET, IDENTITY], "bot: set one"),
            (vec![APP, "secret = \" \""], "bot: the secret is empty"),
            (vec![APP, "secret_file = \"CANARY\""], "bot.secret_file"),
            (vec![APP, SECRET, "tenant = \"common\""], "bot.tenant"),
            (
                vec![APP, SECRET, "authority = \"http://a\""],
                "bot.authority",
            ),
            (
                vec![APP, SECRET, "authority = \"https://a/b\""],
                "bot.authority",
            ),
            (
                vec![APP, IDENTITY, "authority = \"https://a\""],
                "bot.authority",
            ),
            (vec![APP, SECRET, FEDERATED], "bot.federated"),
            (vec![APP, IDENTITY, "client_id = \"x\""], "bot.client_id"),
            (
                vec![APP, IDENTITY, FEDERATED, "client_id = \"x\""],
                "bot.client_id",
            ),
            (
                vec![APP, IDENTITY, FEDERATED, "authority = \"http://a\""],
                "bot.authority",
            ),
            (vec![APP, SECRET, "scope = \"x\""], "bot.scope"),
            (vec![APP, IDENTITY, "scope = \"x\""], "bot.scope"),
            (vec![APP, SECRET, "service_urls = []"], "bot.service_urls"),
            (vec![APP, SECRET, "cloud = \"moon\""], "bot.cloud"),
            (vec![APP, SECRET, "cloud = \"china\""], "bot.service_urls"),
            (
                vec![APP, SECRET, "service_urls = [\"http://b.example\"]"],
                "bot.service_urls.0",
            ),
            (
                vec![APP, SECRET, "service_urls = [\"https://b/teams\"]"],
                "bot.service_urls.0",
            ),
            (
                vec![APP, SECRET, "service_urls = [\"*.example\"]"],
                "bot.service_urls.0",
            ),
            (vec![APP, SECRET, "keep = \"59s\""], "bot.keep"),
            (vec![APP, SECRET, "keep = \"401d\""], "bot.keep"),
            (vec![APP, SECRET, "roots = \"/no/such\""], "bot.roots"),
            (vec![APP, SECRET, "timeout = \"0s\""], "bot.timeout"),
            (vec![APP, SECRET, "total = \"61s\""], "bot.total"),
        ] {
            let problems = resolve(&lines).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(place), "{lines:?}: {problems:?}");
            assert!(!problems[0].contains("CANARY"), "{problems:?}");
        }
    }
}
