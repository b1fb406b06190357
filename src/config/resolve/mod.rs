//! From what was written to what is needed: defaults filled in, files read, everything judged.

mod acs;
mod admin;
mod assertion;
mod audit;
mod bot;
mod calls;
mod certificate;
mod cloud;
mod connector;
mod credential;
pub(super) mod developer;
mod enter;
mod federated;
mod gate;
mod gateway;
mod graph;
mod hop;
mod identity;
mod inward;
mod issuer;
mod limits;
mod network;
mod origin;
mod pacing;
mod page;
mod phone;
mod pii;
mod reach;
mod relay;
mod roles;
mod route;
mod server;
mod session_api;
mod sessions;
mod store;
mod telemetry;
mod template;
mod ticket;
mod ticket_key;
mod upstream;
mod web;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::env::Environment;
use super::file::{File, Unusable};
use super::sources::Sources;
use super::{ApiKey, Boot, Limits, Live, Roots, Route, Settings};
use crate::ids::{EntraId, is_guid};
use crate::label::Label;
use crate::secret::Digest;

/// More sockets than any machine has descriptors for.
const CONNECTIONS_MAX: usize = 1_000_000;

/// Judges a whole file; all problems are told at once.
pub(super) fn resolve(
    file: File,
    variables: &Environment,
    sources: &mut Sources,
) -> Result<Settings, Unusable> {
    let mut problems = Problems::default();
    let hops = hop::hops(&file, &mut problems);
    let [admin_token, scrape_token] = admin::tokens(&file.server, &mut problems);
    let keys = keys(&file, &mut problems);
    let certificates = certificate::certificates(&file, &mut problems);
    let issuers = issuer::issuers(&file, &mut problems);
    let tickets = ticket::tickets(&file, &mut problems);
    let calls = calls::calls(&file, &mut problems);
    let acs = acs::acs(&file, variables, &mut problems);
    let assertion = assertion::assertion(&file, &mut problems);
    let graph = graph::graph(&file, variables, &mut problems);
    let roles = roles::roles(&file, &mut problems);
    let pii_detectors = pii::detectors(&file, variables, &mut problems);
    let bot = bot::bot(&file, variables, &mut problems);
    let upstreams = upstream::upstreams(&file, variables, &mut problems);
    let known = route::Known {
        file: &file,
        hops: hops.as_ref(),
        keys: &keys,
        issuers: &issuers,
        upstreams: &upstreams,
    };
    let routes = route::routes(&file, &known, &mut problems);
    key_routes(&keys, &routes, &mut problems);
    certificate::routes(&certificates, &routes, &mut problems);
    ticket::desks(&routes, &mut problems);
    page::pages(&routes, &mut problems);
    let limits = limits(&file, &mut problems);
    let (identity, server_certificates) = identity::identities(&file, &mut problems);
    let boot = boot(&file, variables, &mut problems);
    sources.add(std::mem::take(&mut problems.1));
    match (boot, problems.0.is_empty()) {
        (Some(boot), true) => Ok(Settings {
            boot,
            live: Live {
                admin_token,
                scrape_token,
                identity,
                server_certificates,
                limits,
                hops,
                keys,
                certificates,
                issuers,
                tickets,
                calls,
                acs,
                assertion,
                graph,
                roles,
                pii_detectors,
                bot,
                developer: None,
                upstreams,
                routes,
            },
            notices: Vec::new(),
        }),
        _ => Err(Unusable::Problems(problems.0)),
    }
}

/// What is wrong, and the files that were read to find that out.
#[derive(Default)]
struct Problems(Vec<String>, Sources);

impl Problems {
    fn add(&mut self, at: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.0.push(format!("{at}: {what}"));
    }

    fn label(&mut self, at: &str, name: &str) -> Option<Label> {
        let label = Label::new(name);
        if label.is_none() {
            self.add(
                at,
                format!("{name:?} must be 1 to 64 characters of a-z A-Z 0-9 . _ -"),
            );
        }
        label
    }

    /// Names that must fit the grammar of labels; those that do.
    fn labels(&mut self, at: &str, names: &[String]) -> Vec<Label> {
        names
            .iter()
            .filter_map(|name| self.label(at, name))
            .collect()
    }

    /// Ids of Entra tenants, lower case; those that are ids.
    fn tenants(&mut self, at: &str, written: &[String]) -> Vec<String> {
        for tenant in written.iter().filter(|tenant| !is_guid(tenant)) {
            let what = format!("{tenant:?} must be a GUID, as Entra shows the tenant's id");
            self.add(at, what);
        }
        let ids = written.iter().filter(|tenant| is_guid(tenant));
        ids.map(|tenant| tenant.to_ascii_lowercase()).collect()
    }

    fn entra_id(&mut self, at: &str, text: &str) -> Option<EntraId> {
        let id = EntraId::new(text);
        if id.is_none() {
            self.add(at, "must be a GUID, as Entra shows the id");
        }
        id
    }

    fn date(&mut self, at: &str, written: Option<&str>) -> Option<SystemTime> {
        let date = humantime::parse_rfc3339(written?);
        let what = "must be a date and a time in UTC, such as \"2026-12-31T00:00:00Z\"";
        date.map_err(|_| self.add(at, what)).ok()
    }

    fn roots(&mut self, at: &str, written: Option<&str>) -> Option<Roots> {
        match written {
            None | Some("system") => Some(Roots::System),
            Some(path) => self
                .read(&format!("{at}.roots"), Path::new(path))
                .map(Roots::Pem),
        }
    }

    fn read(&mut self, at: &str, path: &Path) -> Option<String> {
        let read = self.1.read_text(path);
        self.readable(at, read)
    }

    fn bytes(&mut self, at: &str, path: &Path) -> Option<Vec<u8>> {
        let read = self.1.read(path);
        self.readable(at, read)
    }

    fn readable<T>(&mut self, at: &str, read: std::io::Result<T>) -> Option<T> {
        // The name of the file is not told: where somebody wrote a secret instead, it is one.
        read.map_err(|error| {
            let what = format!(
                "the file cannot be read ({error}); paths are relative to the file of the \
                     settings, in variables to the working directory"
            );
            self.add(at, what);
        })
        .ok()
    }
}

fn boot(file: &File, variables: &Environment, problems: &mut Problems) -> Option<Boot> {
    let server = &file.server;
    let store = store::store(&file.store, variables, problems);
    let audit = audit::audit(file, problems);
    let log_pii = pii::log(file, problems);
    let telemetry = telemetry::telemetry(file, problems);
    let ending = server::ending(file, store.as_ref(), problems);
    let Some(listen) = server.listen else {
        problems.add("server.listen", "missing; for example \"0.0.0.0:8443\"");
        return None;
    };
    let admin = admin::address(server, listen, problems);
    Some(Boot {
        listen,
        admin,
        workers: server::workers(file, problems),
        batch: server::batch(file, problems),
        drain_delay: ending.delay,
        grace: ending.grace,
        handover: ending.handover,
        store: store?,
        audit,
        log_pii,
        telemetry,
    })
}

const BOUND: &str = "must be more than 0 and at most 24 hours";

fn is_bound(duration: Duration) -> bool {
    !duration.is_zero() && duration <= Duration::from_secs(24 * 3600)
}

fn limits(file: &File, problems: &mut Problems) -> Limits {
    let set = &file.limits;
    let usual = Limits::default();
    let limits = Limits {
        connections: set.connections.unwrap_or(usual.connections),
        unadmitted: set.unadmitted.unwrap_or(usual.unadmitted),
        unadmitted_per_address: set
            .unadmitted_per_address
            .unwrap_or(usual.unadmitted_per_address),
        sessions: set.sessions.unwrap_or(usual.sessions),
        client_message: set.client_message.map_or(usual.client_message, |b| b.0),
        upstream_message: set.upstream_message.map_or(usual.upstream_message, |b| b.0),
        handshake: set.handshake.unwrap_or(usual.handshake),
        ping: set.ping.unwrap_or(usual.ping),
        idle: set.idle.unwrap_or(usual.idle),
        session: set.session.unwrap_or(usual.session),
        ..limits::limits(file, problems)
    };
    if limits.sessions == 0 || limits.connections <= limits.sessions {
        problems.add(
            "limits",
            "sessions must be at least 1 and connections greater than sessions, so that probes \
             and refusals still get through when all sessions are taken",
        );
    }
    if limits.connections.max(limits.unadmitted) > CONNECTIONS_MAX {
        problems.add(
            "limits",
            "connections and unadmitted must be at most 1000000",
        );
    }
    if limits.unadmitted == 0 || limits.unadmitted_per_address == 0 {
        problems.add(
            "limits",
            "unadmitted and unadmitted_per_address must be at least 1, or nobody can ask",
        );
    }
    let durations = [
        ("limits.handshake", limits.handshake),
        ("limits.ping", limits.ping),
        ("limits.idle", limits.idle),
        ("limits.session", limits.session),
    ];
    for (at, duration) in durations {
        if !is_bound(duration) {
            problems.add(at, BOUND);
        }
    }
    if limits.client_message == 0 || limits.upstream_message == 0 {
        problems.add("limits", "message sizes must not be 0");
    }
    limits
}

fn keys(file: &File, problems: &mut Problems) -> Vec<ApiKey> {
    let mut keys: Vec<ApiKey> = Vec::new();
    // Looked up, not searched for: there may be thousands.
    let (mut names, mut digests) = (HashSet::new(), HashSet::new());
    for key in &file.keys {
        let at = format!("keys.{}", key.name);
        let Some(name) = problems.label(&at, &key.name) else {
            continue;
        };
        let Some(digest) = key.sha256.as_deref().and_then(Digest::from_hex) else {
            problems.add(
                format!("{at}.sha256"),
                "must be 64 hexadecimal digits; `tonegate key NAME` makes a key with its digest",
            );
            continue;
        };
        if digest.is(&Digest::of("")) {
            problems.add(
                format!("{at}.sha256"),
                "is the digest of nothing: whatever made it had no key",
            );
        }
        if !names.insert(name.clone()) {
            problems.add(&at, "this name is taken by another key");
        }
        if !digests.insert(digest) {
            problems.add(&at, "this digest is that of another key");
        }
        keys.push(ApiKey {
            name,
            digest,
            routes: problems.labels(&format!("{at}.routes"), &key.routes),
            models: problems.labels(&format!("{at}.models"), &key.models),
            agents: problems.labels(&format!("{at}.agents"), &key.agents),
            sessions: key.limits.sessions,
            upgrades: key.limits.upgrades,
            expires: problems.date(&format!("{at}.expires"), key.expires.as_deref()),
            minutes: key.limits.minutes,
        });
    }
    keys
}

/// A key that names a route which is not there was meant to open something.
fn key_routes(keys: &[ApiKey], routes: &[Route], problems: &mut Problems) {
    for key in keys {
        let opens = |route: &&Route| key.routes.is_empty() || key.routes.contains(&route.name);
        for (list, names, of) in [
            (
                "models",
                &key.models,
                (|route| &route.models) as fn(&Route) -> &Vec<Label>,
            ),
            ("agents", &key.agents, |route| &route.agents),
        ] {
            for name in names {
                if !routes
                    .iter()
                    .filter(opens)
                    .any(|route| of(route).contains(name))
                {
                    let what = format!("no route that the key opens has {name}");
                    problems.add(format!("keys.{}.{list}", key.name), what);
                }
            }
        }
        for name in &key.routes {
            if !routes.iter().any(|route| route.name == *name) {
                problems.add(
                    format!("keys.{}.routes", key.name),
                    format!("there is no route {name}"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dtmf;
    use crate::config::Place;

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
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

    /// A text of [`GOOD`], what stands there instead, and the key that the message names.
    const MISTAKES: &[(&str, &str, &str)] = &[
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"0.0.0.0:1\"",
            "server.tls",
        ),
        (
            "[server]",
            "[server]\nadmin = \"0.0.0.0:1\"",
            "server.admin",
        ),
        ("[server]", "[server]\nworkers = 9999", "server.workers"),
        ("[server]", "[limits]\nsessions = 0\n[server]", "limits"),
        (
            "[server]",
            "[limits]\nconnections = 9223372036854775807\n[server]",
            "limits",
        ),
        (
            "[server]",
            "[limits]\nunadmitted_per_address = 0\n[server]",
            "limits",
        ),
        (
            "[server]",
            "[limits]\nping = \"0s\"\n[server]",
            "limits.ping",
        ),
        (
            "[server]",
            "[hops]\nnetworks = [\"10.0.0.0/8\"]\n[server]",
            "hops.speak",
        ),
        (
            "[server]",
            "[hops]\nnetworks = [\"10.0.0.1/8\"]\nspeak = \"http\"\n[server]",
            "hops.networks",
        ),
        (
            "[server]",
            "[hops]\nnetworks = [\"::/0\"]\nspeak = \"http\"\n[server]",
            "hops.networks",
        ),
        (
            "[server]",
            "[hops]\nspeak = \"proxy\"\n[server]",
            "hops.speak",
        ),
        (
            "[server]",
            "[hops]\nnetworks = [\"10.0.0.1\"]\nspeak = \"both\"\n[server]",
            "hops.speak",
        ),
        (
            "[server]",
            "[hops]\nnetworks = [\"10.0.0.1\"]\nspeak = \"http\"\ntenants = [\"x\"]\n[server]",
            "hops.tenants",
        ),
        (
            "[server]",
            "[hops]\nnetworks = [\"10.0.0.1\"]\nspeak = \"proxy\"\n\
             tenants = [\"11111111-2222-3333-4444-555555555555\"]\n[server]",
            "hops.tenants",
        ),
        (
            "[server]",
            "[hops]\ntenants = [\"11111111-2222-3333-4444-555555555555\"]\n[server]",
            "hops.tenants",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"easyauth\"]",
            "routes.browser.admit",
        ),
        ("ba7816bf", "zz", "keys.kiosk.sha256"),
        (
            "name = \"kiosk\"",
            "name = \"kiosk\"\nexpires = \"2026-12-31\"",
            "keys.kiosk.expires",
        ),
        (
            "name = \"kiosk\"",
            "name = \"kiosk\"\nexpires = \"2026-12-31T00:00:00+01:00\"",
            "keys.kiosk.expires",
        ),
        ("\"kiosk\"", "\"ki osk\"", "keys.ki osk"),
        ("admit = [\"key\"]", "", "routes.browser.admit"),
        (
            "admit = [\"key\"]",
            "admit = [\"nobody\"]",
            "routes.browser.admit",
        ),
        ("upstreams = [\"voice\"]", "", "routes.browser.upstreams"),
        (
            "upstreams = [\"voice\"]",
            "upstreams = [\"x\"]",
            "routes.browser.upstreams",
        ),
        ("models = [\"gpt-realtime\"]", "", "routes.browser.models"),
        (
            "models = [\"gpt-realtime\"]",
            "models = [\"a&b\"]",
            "routes.browser.models",
        ),
        (
            "paths = [\"/ws\"]",
            "paths = [\"ws\"]",
            "routes.browser.paths",
        ),
        (
            "paths = [\"/ws\"]",
            "paths = [\"/readyz\"]",
            "routes.browser.paths",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\norigins = [\"https://a.example/page\"]",
            "routes.browser.origins",
        ),
        (
            "resource = \"my-resource\"",
            "resource = \"a.evil\"",
            "upstreams.voice.resource",
        ),
        (
            "resource = \"my-resource\"",
            "url = \"ws://10.0.0.1\"",
            "upstreams.voice.url",
        ),
        (
            "resource = \"my-resource\"",
            "url = \"wss://u@h\"",
            "upstreams.voice.url",
        ),
        (
            "resource = \"my-resource\"",
            "url = \"wss://h/p\"",
            "upstreams.voice.url",
        ),
        (
            "admit = [\"key\"]",
            "admit = [\"key\"]\ndtmf = \"listen\"",
            "routes.browser.dtmf",
        ),
        ("resource = \"my-resource\"", "", "upstreams.voice"),
        (
            "{ key = \"upstream-secret\" }",
            "{}",
            "upstreams.voice.credential",
        ),
    ];

    fn problems(text: &str) -> String {
        match Settings::read_text("edge.toml", text) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_whole_file_gets_its_defaults() {
        let settings = Settings::read_text("edge.toml", GOOD).unwrap();
        assert_eq!(settings.boot.admin.port(), 9464);
        assert_eq!(settings.live.limits, Limits::default());
        let upstream = &settings.live.upstreams[0];
        assert_eq!(upstream.host, "my-resource.services.ai.azure.com");
        assert_eq!((upstream.port, upstream.roots.is_some()), (443, true));
        let route = &settings.live.routes[0];
        assert_eq!(route.accept, [Place::Header]);
        assert_eq!(route.dtmf, Dtmf::Off);
        assert!(settings.describe().contains(", dtmf off,"));
        let observed = GOOD.replace("admit =", "dtmf = \"observe\"\nadmit =");
        let settings = Settings::read_text("edge.toml", &observed).unwrap();
        assert_eq!(settings.live.routes[0].dtmf, Dtmf::Observe);
        assert!(settings.describe().contains(", dtmf observe,"));
        assert!(!settings.describe().contains("dials early"));
        let early = GOOD.replace("admit =", "dial_early = true\nadmit =");
        let early = Settings::read_text("edge.toml", &early).unwrap();
        assert!(early.describe().contains("refuses by status, dials early"));
    }

    #[test]
    fn every_mistake_names_its_key() {
        assert_eq!(problems(GOOD), "");
        for (from, to, named) in MISTAKES {
            assert!(GOOD.contains(from), "{from}");
            let text = problems(&GOOD.replace(from, to));
            assert!(text.contains(named), "{from} -> {to} gave: {text}");
        }
    }

    #[test]
    fn two_keys_share_neither_name_nor_digest() {
        let kiosk = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let with = |name: &str, digest: &str| {
            let key =
                format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n[upstreams.voice]");
            problems(&GOOD.replace("[upstreams.voice]", &key))
        };
        let other = kiosk.replace("ba78", "ba79");
        assert_eq!(with("other", &other), "");
        let same_name = with("kiosk", &other);
        assert!(
            same_name.contains("keys.kiosk: this name is taken"),
            "{same_name}"
        );
        let same_digest = with("other", kiosk);
        assert!(
            same_digest.contains("keys.other: this digest is that"),
            "{same_digest}"
        );
    }

    #[test]
    fn a31_easyauth_needs_hops_that_speak_http() {
        let text = GOOD.replace("[\"key\"]", "[\"easyauth\"]");
        let with = |hops: &str| problems(&text.replace("[server]", &format!("{hops}\n[server]")));
        let listed = "[hops]\nnetworks = [\"10.0.0.0/8\"]\nspeak = ";
        assert_eq!(with(&format!("{listed}\"http\"")), "");
        for hops in [
            "",
            "[hops]\nspeak = \"http\"",
            &format!("{listed}\"proxy\""),
        ] {
            let told = with(hops);
            assert!(
                told.contains("routes.browser.admit") && told.contains("easyauth"),
                "{hops} gave: {told}"
            );
        }
        // An issuer by that name would make two things of one word.
        let issuer = "[issuers.easyauth]\nkind = \"oidc\"\nissuer = \"https://a.example\"\n\
                      audience = [\"a\"]";
        let told = with(&format!("{listed}\"http\"\n{issuer}"));
        assert!(told.contains("issuers.easyauth"), "{told}");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = problems(&GOOD.replace("paths = [\"/ws\"]", "").replace("admit", "#"));
        assert!(text.contains("2 problems"), "{text}");
    }

    #[test]
    fn no_message_and_no_description_holds_a_secret() {
        let settings = Settings::read_text("edge.toml", GOOD).unwrap();
        for text in [settings.describe(), format!("{settings:?}")] {
            assert!(!text.contains("upstream-secret"), "{text}");
            assert!(!text.contains("ba7816bf8f01"), "{text}");
        }
    }
}
