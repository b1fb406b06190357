//! What settings must be for `tonegate serve --insecure-dev`: nobody but this machine can ask, and
//! nothing that somebody without a credential asks for leaves it, or shows anybody a credential of the
//! edge's own.

use super::Problems;
use crate::config::bot::is_loopback;
use crate::config::{Developer, Engine, RolesBy, Settings, Unusable, Upstream};

/// Opens `http` and `bot` routes to the developer, if the settings are those of a developer's machine.
pub(in crate::config) fn developer(
    mut settings: Settings,
    developer: Developer,
) -> Result<Settings, Unusable> {
    let mut problems = Problems::default();
    doors(&settings, &mut problems);
    behind(&settings, &mut problems);
    if !problems.0.is_empty() {
        let told = problems.0.into_iter();
        let told = told.map(|problem| format!("with --insecure-dev {problem}"));
        return Err(Unusable::Problems(told.collect()));
    }
    settings.live.developer = Some(developer);
    Ok(settings)
}

/// Who can ask.
fn doors(settings: &Settings, problems: &mut Problems) {
    for (at, address) in [
        ("server.listen", settings.boot.listen),
        ("server.admin", settings.boot.admin),
    ] {
        if !address.ip().is_loopback() {
            problems.add(at, format!("{address} must be a loopback address"));
        }
    }
    if settings.live.hops.is_some() {
        problems.add(
            "hops",
            "must not be: a proxy in front brings other machines' requests",
        );
    }
}

/// Whom the edge asks on behalf of somebody who has shown nothing.
fn behind(settings: &Settings, problems: &mut Problems) {
    let live = &settings.live;
    let open = live
        .routes
        .iter()
        .filter(|route| route.kind.is_for_developers());
    let names: Vec<_> = open.flat_map(|route| &route.upstreams).collect();
    if names.is_empty() {
        let what = "must have one of kind \"http\" or \"bot\": no other is opened to a developer";
        problems.add("routes", what);
    }
    for upstream in live
        .upstreams
        .iter()
        .filter(|known| names.contains(&&known.name))
    {
        let at = format!("upstreams.{}", upstream.name);
        if !is_loopback(&upstream.host) {
            problems.add(&at, "must be on loopback");
        }
        if shows(upstream) {
            let what = "must not be shown a key, a managed identity or a certificate of the edge's \
                        own: use credential = { none = true }";
            problems.add(&at, what);
        }
    }
    let graph = live
        .graph
        .iter()
        .map(|graph| ("graph.base", graph.host.as_str()));
    let directory = live.roles.iter().filter_map(|roles| match &roles.by {
        RolesBy::Directory(directory) => Some(("roles.url", directory.host.as_str())),
        RolesBy::Graph | RolesBy::Store => None,
    });
    let services = live.bot.iter().flat_map(|bot| &bot.services);
    let services = services.map(|service| ("bot.service_urls", service.host.as_str()));
    let store = match &settings.boot.store.engine {
        Engine::Redis(redis) => redis.servers.as_slice(),
        Engine::Memory => &[],
    };
    let store = store.iter().map(|(host, _)| ("store", host.as_str()));
    let detectors = live.pii_detectors.iter();
    let detectors = detectors.map(|detector| ("pii_detectors", detector.host.as_str()));
    let others = graph.chain(directory).chain(services).chain(detectors);
    for (at, host) in others.chain(store) {
        if !is_loopback(host) {
            problems.add(at, format!("{host} must be on loopback"));
        }
    }
}

fn shows(upstream: &Upstream) -> bool {
    let credential = &upstream.credential;
    credential.key.is_some() || credential.identity.is_some() || upstream.client.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        # server
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [upstreams.app]
        kind = "http"
        url = "http://127.0.0.1:3978/"
        credential = { none = true }
        [upstreams.voice]
        kind = "voice-live"
        resource = "my-resource"
        credential = { key = "CANARY" }
        [[routes]]
        name = "browser"
        paths = ["/ws"]
        kind = "voice-live"
        admit = ["key"]
        models = ["gpt-realtime"]
        upstreams = ["voice"]
        [[routes]]
        name = "api"
        paths = ["/api/*"]
        kind = "http"
        admit = ["key"]
        upstreams = ["app"]
    "#;

    fn read(from: &str, to: &str) -> Result<Settings, String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let settings = Settings::read_text("edge.toml", &text);
        let settings = settings.map_err(|error| error.to_string())?;
        assert_eq!(settings.live.developer, None);
        let developer = Developer::USUAL.parse().unwrap();
        let relaxed = settings.for_developer(developer);
        relaxed.map_err(|error| error.to_string())
    }

    #[test]
    fn c27_a_machine_of_a_developers_is_taken() {
        for (from, to) in [
            ("127.0.0.1:0", "[::1]:0"),
            ("http://127.0.0.1:3978/", "http://localhost:3978/"),
            ("# server", "[store]\nurl = \"redis://127.0.0.1:6379\""),
        ] {
            let settings = read(from, to).unwrap();
            assert!(settings.live.developer.is_some());
        }
    }

    #[test]
    fn c27_whatever_leads_to_or_from_another_machine_is_refused_by_name() {
        let hops = "[hops]\nnetworks = [\"127.0.0.1/32\"]\nspeak = \"http\"\n";
        let bot = "[bot]\napp_id = \"99999999-8888-7777-6666-555555555555\"\nsecret = \"CANARY\"\n";
        let graph = "[graph]\nmanaged_identity = true\n[roles]\nby = \"graph\"\n";
        let roles = "[roles]\nby = \"http\"\nurl = \"https://hr.example/{tenant}/{person}\"\n";
        let redis = "[store]\nurl = \"rediss://cache.example:6380\"\n";
        let detector =
            "[pii_detectors.names]\nkind = \"presidio\"\nurl = \"https://pii.example\"\n";
        for (from, to, told) in [
            (
                "listen = \"127.0.0.1:0\"",
                "listen = \"0.0.0.0:8443\"\nplain_text = true",
                "server.listen: 0.0.0.0:8443 must be a loopback address",
            ),
            (
                "listen = \"127.0.0.1:0\"",
                "listen = \"192.0.2.7:8443\"\nplain_text = true",
                "server.listen: 192.0.2.7:8443 must be a loopback address",
            ),
            ("# server", hops, "hops: must not be"),
            (
                "# server",
                bot,
                "bot.service_urls: smba.trafficmanager.net must",
            ),
            ("# server", graph, "graph.base: graph.microsoft.com must"),
            ("# server", roles, "roles.url: hr.example must"),
            ("# server", redis, "store: cache.example must"),
            (
                "# server",
                detector,
                "pii_detectors: pii.example must be on loopback",
            ),
            (
                "http://127.0.0.1:3978/",
                "https://app.example/",
                "upstreams.app: must be on loopback",
            ),
            (
                "none = true",
                "key = \"CANARY\"",
                "upstreams.app: must not be shown",
            ),
            (
                "none = true",
                "managed_identity = true",
                "upstreams.app: must not be shown",
            ),
            (
                "kind = \"http\"\n        admit",
                "kind = \"relay\"\n        admit",
                "kind",
            ),
        ] {
            let problem = read(from, to).unwrap_err();
            assert!(problem.contains(told), "{to}: {problem}");
            assert!(!problem.contains("CANARY"), "{problem}");
        }
        let (before, _) = GOOD.rsplit_once("[[routes]]").unwrap();
        let settings = Settings::read_text("edge.toml", before).unwrap();
        let none = settings.for_developer(Developer::USUAL.parse().unwrap());
        let none = none.unwrap_err().to_string();
        assert!(
            none.contains("with --insecure-dev routes: must have one"),
            "{none}"
        );
    }

    /// There is no other way than the flag of the command line.
    #[test]
    fn c27_no_file_can_ask_for_it() {
        for key in ["insecure_dev", "insecure-dev", "developer"] {
            for (from, to) in [
                ("\n        [server]", format!("\n{key} = true\n[server]")),
                ("# server", format!("{key} = true")),
                ("# server", format!("[{key}]\n")),
                (
                    "admit = [\"key\"]",
                    format!("admit = [\"key\"]\n{key} = true"),
                ),
            ] {
                let text = GOOD.replacen(from, &to, 1);
                assert_ne!(text, GOOD);
                assert!(Settings::read_text("edge.toml", &text).is_err(), "{to}");
            }
            let text = GOOD.replace("admit = [\"key\"]", &format!("admit = [\"{key}\"]"));
            assert!(Settings::read_text("edge.toml", &text).is_err(), "{key}");
        }
    }
}
