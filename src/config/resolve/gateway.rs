//! What routes have of their own that lead to private applications.

use std::sync::Arc;

use http::Method;

use super::inward;
use super::pii;
use super::route::{At, Known};
use crate::config::{BotRoute, Dtmf, Http, IssuerKind, Place, Refuse, Route, RouteKind, Way};

/// What applications are asked with, where nothing else is said.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// What people write who want to hear nothing, or something again, where nothing else is said.
const QUIET: &str = "stop notifications";
const SPEAK: &str = "start notifications";
const WORDS_MAX: usize = 16;
const WORD_MAX: usize = 100;

/// A route to a private application; what is wrong with it is told.
pub(super) fn http(at: &mut At<'_>, known: &Known<'_>) -> RouteKind {
    let written = at.written;
    let mut methods = Vec::new();
    for name in written.methods.iter().flatten() {
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if METHODS.contains(&method) => methods.push(method),
            Ok(_) | Err(_) => {
                let known: Vec<_> = METHODS.iter().map(Method::as_str).collect();
                let what = format!("{name:?} must be one of {}", known.join(", "));
                at.add("methods", what);
            }
        }
    }
    if written.methods.as_ref().is_some_and(Vec::is_empty) {
        at.add("methods", "must not be empty; leave it out for all");
    }
    if written.methods.is_none() {
        methods = METHODS.to_vec();
    }
    if written.web_socket == Some(true) && !methods.contains(&Method::GET) {
        at.add(
            "web_socket",
            "needs \"GET\" in methods: that is how one is asked for",
        );
    }
    let rewrite = inward::rewrite(at);
    let names = inward::names(at, &rewrite);
    if names.is_some() && written.scope != Some(true) {
        at.add(
            "about",
            "needs scope = true: it is compared with whom the caller may see",
        );
    }
    RouteKind::Http(Arc::new(Http {
        methods,
        names,
        rewrite,
        pii: pii::of_route(at, known),
        web_socket: written.web_socket.unwrap_or(false),
        scope: written.scope.unwrap_or(false),
        assert: written.assert.clone(),
    }))
}

/// A route of a bot; what is wrong with it is told.
pub(super) fn bot(at: &mut At<'_>, known: &Known<'_>) -> RouteKind {
    let written = at.written;
    RouteKind::Bot(Arc::new(BotRoute {
        pass: inward::pass(at),
        pii: pii::of_route(at, known),
        assert: written.assert.clone(),
        scope: written.scope.unwrap_or(false),
        refusal: written.refusal.clone(),
        quiet: words(at, ("quiet", QUIET), written.quiet.as_deref(), known),
        speak: words(at, ("speak", SPEAK), written.speak.as_deref(), known),
    }))
}

/// What people write about messages that they did not ask for, in lower case. Where there is no
/// `[bot]`, none are sent.
fn words(
    at: &mut At<'_>,
    (key, usual): (&str, &str),
    written: Option<&[String]>,
    known: &Known<'_>,
) -> Vec<String> {
    let of_bot = known.file.bot.is_some();
    let Some(written) = written else {
        return of_bot.then(|| usual.to_owned()).into_iter().collect();
    };
    if !of_bot && !written.is_empty() {
        at.add(key, "needs [bot], without which nobody is written to");
    }
    if written.len() > WORDS_MAX {
        at.add(key, format!("must be {WORDS_MAX} at the most"));
    }
    let fits = |text: &str| {
        let long = text.is_empty() || text.chars().count() > WORD_MAX;
        !long
            && !text
                .chars()
                .any(|c| c.is_control() || matches!(c, '<' | '>'))
    };
    let mut words = Vec::new();
    for text in written {
        if !fits(text.trim()) {
            let what = format!("{text:?} must have 1 to {WORD_MAX} characters, and no < or >");
            at.add(key, what);
        }
        words.push(text.trim().to_lowercase());
    }
    words
}

/// Who may have the bot write to people: programs of one's own, never the public.
pub(super) fn notify(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    if known.file.bot.is_none() {
        at.add(
            "kind",
            "\"notify\" needs [bot], which says whose messages they are",
        );
    }
    let ways = route.enter.ways();
    let fits = |way: &Way| match way {
        Way::Key | Way::Certificate => true,
        Way::Issuer(name) => {
            let issuer = known.issuers.iter().find(|issuer| issuer.name == *name);
            // What is wrong with it has been told.
            issuer.is_none_or(|issuer| match issuer.kind {
                IssuerKind::Entra { .. } | IssuerKind::Oidc { .. } => true,
                IssuerKind::Acs { .. }
                | IssuerKind::EventGrid { .. }
                | IssuerKind::Bot { .. }
                | IssuerKind::BotTenant { .. } => false,
            })
        }
        Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => false,
    };
    if !ways.iter().all(fits) {
        at.add(
            "admit",
            "must name \"key\", \"certificate\" or issuers whose tokens name programs: whoever \
             enters here writes to people",
        );
    }
    // A token is as far away from here as its issuer.
    let own = |way: &Way| matches!(way, Way::Key | Way::Certificate);
    if route.allow.is_empty() && !ways.iter().all(own) {
        at.add(
            "allow",
            "missing; list the networks that may ask, or admit \"key\" or \"certificate\" only",
        );
    }
}

/// What has no use, and who may enter.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let written = at.written;
    let (http, bot) = (route.kind.http(), route.kind.bot());
    let of_http: &[(&str, bool)] = &[
        ("methods", written.methods.is_some()),
        ("web_socket", written.web_socket.is_some()),
        ("identity", !written.identity.is_empty()),
        ("about", written.about.is_some()),
    ];
    let of_bot: &[(&str, bool)] = &[
        ("refusal", written.refusal.is_some()),
        ("quiet", written.quiet.is_some()),
        ("speak", written.speak.is_some()),
    ];
    let of_both: &[(&str, bool)] = &[
        ("pii", written.pii.is_some()),
        ("pass_headers", !written.pass_headers.is_empty()),
        ("scope", written.scope.is_some()),
        ("assert", written.assert.is_some()),
    ];
    for (keys, fits, kinds) in [
        (of_http, http.is_some(), "\"http\""),
        (of_bot, bot.is_some(), "\"bot\""),
        (
            of_both,
            http.is_some() || bot.is_some(),
            "\"http\" or \"bot\"",
        ),
    ] {
        for (key, _) in keys.iter().filter(|(_, is_written)| *is_written && !fits) {
            at.add(key, format!("has a use with kind = {kinds} only"));
        }
    }
    if http.is_none() && bot.is_none() {
        return;
    }
    let audience = written.assert.as_deref();
    if audience.is_some_and(|audience| !(1..=256).contains(&audience.len())) {
        let what = "must be whom the assertion is for, such as \"api://my-app\"";
        at.add("assert", what);
    }
    if audience.is_some() && known.file.assertion.is_none() {
        at.add("assert", "needs [assertion], which says with what to sign");
    }
    if written.scope == Some(true) && known.file.roles.is_none() {
        at.add("scope", "needs [roles], which says whom somebody may see");
    }
    if written.refusal.is_some() && known.file.bot.is_none() {
        at.add(
            "refusal",
            "needs [bot], which says how conversations are answered",
        );
    }
    if let Some(word) = bot.and_then(|bot| bot.quiet.iter().find(|word| bot.speak.contains(word))) {
        at.add("speak", format!("{word:?} stands in quiet, too"));
    }
    issuers(at, route, known);
    useless(at, route);
}

/// Tokens of an application's callers name people; those of a bot are the connector's.
fn issuers(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let of_bot = route.kind.bot().is_some();
    let ways = route.enter.ways();
    let signs_for_bots = |way: &Way| {
        let Way::Issuer(name) = way else { return None };
        let issuer = known.issuers.iter().find(|issuer| issuer.name == *name)?;
        Some(match issuer.kind {
            IssuerKind::Bot { .. } | IssuerKind::BotTenant { .. } => true,
            IssuerKind::Entra { .. }
            | IssuerKind::Oidc { .. }
            | IssuerKind::Acs { .. }
            | IssuerKind::EventGrid { .. } => false,
        })
    };
    // What is wrong with an issuer that is unknown has been told.
    let fits = |way: &Way| match way {
        Way::Issuer(_) => signs_for_bots(way) != Some(false),
        Way::Key | Way::Certificate | Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => {
            false
        }
    };
    if of_bot && !ways.iter().all(fits) {
        at.add(
            "admit",
            "must name an issuer of kind \"bot\": nobody else may say who speaks to the bot",
        );
    }
}

/// What would have no effect, or another one than meant.
fn useless(at: &mut At<'_>, route: &Route) {
    let written = at.written;
    let web_socket = route.kind.http().is_some_and(|http| http.web_socket);
    let bot = route.kind.bot().is_some();
    let places = route.accept.iter().all(|place| *place == Place::Header);
    for (key, is_useless) in [
        ("models", !route.models.is_empty()),
        ("lock_models", written.lock_models.is_some()),
        ("agents", !route.agents.is_empty()),
        ("projects", !route.projects.is_empty()),
        ("default", written.default.is_some()),
        ("pass", !route.pass.is_empty()),
        ("identities", !route.identities.is_empty()),
        ("resources", !route.resources.is_empty()),
        ("api_versions", !route.api_versions.is_empty()),
        ("parameters", !route.parameters.is_empty()),
        ("web_rtc", route.web_rtc),
        ("dtmf", route.dtmf != Dtmf::Off),
        ("dial_early", route.dial_early && !web_socket),
        ("refuse", route.refuse == Refuse::Close && !web_socket),
        (
            "subprotocols",
            written.subprotocols.is_some() && !web_socket,
        ),
        ("accept", bot && !places),
        ("origins", bot && !route.origins.is_empty()),
        ("cookie", bot && written.cookie.is_some()),
    ] {
        if is_useless {
            let kind = route.kind.word();
            at.add(key, format!("has no use with kind = {kind:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

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
        [issuers.users]
        kind = "entra"
        tenants = ["11111111-2222-3333-4444-555555555555"]
        audience = ["api://notify"]
        [bot]
        app_id = "33333333-2222-3333-4444-555555555555"
        secret = "secret-of-the-bot"
        [upstreams.app]
        kind = "http"
        url = "http://127.0.0.1:8080"
        credential = { none = true }
        [[routes]]
        name = "bot"
        paths = ["/api/messages"]
        kind = "bot"
        admit = ["connector"]
        upstreams = ["app"]
        [[routes]]
        name = "notify"
        paths = ["/notify"]
        kind = "notify"
        admit = ["key"]
    "#;
    const BOT: &str = "[bot]\n        app_id = \"33333333-2222-3333-4444-555555555555\"\n        \
                       secret = \"secret-of-the-bot\"";
    const ROUTE: &str = "admit = [\"connector\"]";
    const NOTIFY: &str = "admit = [\"key\"]";

    fn read(from: &str, to: &str) -> Result<Settings, String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    fn of_bot(settings: &Settings) -> BotRoute {
        let bot = settings.live.routes[0].kind.bot();
        BotRoute::clone(bot.unwrap())
    }

    #[test]
    fn c23_people_can_always_say_that_they_want_no_messages_where_there_are_some() {
        let usual = of_bot(&read(ROUTE, ROUTE).unwrap());
        assert_eq!(usual.quiet, ["stop notifications"]);
        assert_eq!(usual.speak, ["start notifications"]);
        let words = "quiet = [\" Stop it \", \"RUHE\"]\nspeak = []";
        let own = of_bot(&read(ROUTE, &format!("{ROUTE}\n{words}")).unwrap());
        assert_eq!(own.quiet, ["stop it", "ruhe"]);
        assert!(own.speak.is_empty());
        let told = read(ROUTE, &format!("{ROUTE}\n{words}"))
            .unwrap()
            .describe();
        assert!(
            told.contains("quiet [\"stop it\", \"ruhe\"], speak none"),
            "{told}"
        );
        assert!(told.contains("keeps references for 30days"), "{told}");
        // Without a bot of its own the edge writes to nobody.
        let silent = GOOD
            .split("[[routes]]\n        name = \"notify\"")
            .next()
            .unwrap();
        let silent = Settings::read_text("edge.toml", &silent.replace(BOT, "")).unwrap();
        assert!(of_bot(&silent).quiet.is_empty());
    }

    #[test]
    fn c22_whoever_has_people_written_to_is_near_or_has_a_key() {
        let near = "allow = [\"10.0.0.0/8\"]";
        for admit in [
            "admit = [\"key\"]".to_owned(),
            format!("admit = [\"users\", \"key\"]\n{near}"),
            format!("require = [\"users\", \"key\"]\n{near}"),
        ] {
            assert!(read(NOTIFY, &admit).is_ok(), "{admit}");
        }
    }

    /// A text of [`GOOD`], what stands there instead, and the key that the message names.
    const MISTAKES: &[(&str, &str, &str)] = &[
        (BOT, "", "routes.notify.kind"),
        (
            NOTIFY,
            "admit = [\"anyone\"]\nallow = [\"10.0.0.0/8\"]",
            "routes.notify.admit",
        ),
        (
            NOTIFY,
            "admit = [\"connector\"]\nallow = [\"10.0.0.0/8\"]",
            "routes.notify.admit",
        ),
        (NOTIFY, "admit = [\"users\"]", "routes.notify.allow"),
        (
            NOTIFY,
            "admit = [\"users\", \"key\"]",
            "routes.notify.allow",
        ),
        (
            NOTIFY,
            "admit = [\"key\"]\norigins = [\"https://a.example\"]",
            "routes.notify.origins",
        ),
        (
            NOTIFY,
            "admit = [\"key\"]\naccept = [\"query\"]",
            "routes.notify.accept",
        ),
        (
            NOTIFY,
            "admit = [\"key\"]\nupstreams = [\"app\"]",
            "routes.notify.upstreams",
        ),
        (
            NOTIFY,
            "admit = [\"key\"]\nquiet = [\"a\"]",
            "routes.notify.quiet",
        ),
        (
            NOTIFY,
            "admit = [\"key\"]\nspeak = [\"a\"]",
            "routes.notify.speak",
        ),
        (
            NOTIFY,
            "admit = [\"key\"]\nassert = \"a\"",
            "routes.notify.assert",
        ),
        (ROUTE, "admit = [\"key\"]", "routes.bot.admit"),
        (ROUTE, "admit = [\"users\"]", "routes.bot.admit"),
        (
            ROUTE,
            "admit = [\"connector\"]\nassert = \"api://a\"",
            "routes.bot.assert",
        ),
        (
            ROUTE,
            "admit = [\"connector\"]\nquiet = [\"\"]",
            "routes.bot.quiet",
        ),
        (
            ROUTE,
            "admit = [\"connector\"]\nquiet = [\"a <at>\"]",
            "routes.bot.quiet",
        ),
        (
            ROUTE,
            "admit = [\"connector\"]\nspeak = [\"Stop Notifications\"]",
            "routes.bot.speak",
        ),
        (
            ROUTE,
            "admit = [\"connector\"]\nmethods = [\"POST\"]",
            "routes.bot.methods",
        ),
        (
            ROUTE,
            "admit = [\"connector\"]\norigins = [\"https://a.example\"]",
            "routes.bot.origins",
        ),
        (
            ROUTE,
            "admit = [\"connector\"]\npass_headers = [\"X-Tonegate-User-Id\"]",
            "routes.bot.pass_headers",
        ),
    ];

    #[test]
    fn c25_no_route_has_the_path_of_the_keys() {
        const PATH: &str = "paths = [\"/api/messages\"]";
        const KEYS: &str = "paths = [\"/.well-known/jwks.json\"]";
        assert!(read(PATH, KEYS).is_ok());
        let signs = "[assertion]\nkeys = [\"Cargo.toml\"]\nissuer = \"https://edge.example.com\"\n\
                     [bot]";
        assert!(read("[bot]", signs).is_ok());
        let text = GOOD.replace("[bot]", signs).replace(PATH, KEYS);
        let told = Settings::read_text("edge.toml", &text)
            .map(drop)
            .unwrap_err();
        let told = told.to_string();
        assert!(
            told.contains("routes.bot.paths: /.well-known/jwks.json has the keys"),
            "{told}"
        );
    }

    #[test]
    fn c22_c23_what_would_be_without_effect_or_open_is_told() {
        for (from, to, at) in MISTAKES {
            let told = read(from, to).map(drop).unwrap_err();
            assert!(told.contains(&format!("{at}: ")), "{to}: {told}");
        }
        let without = GOOD.replace(BOT, "");
        for (more, at) in [
            ("quiet = [\"a\"]", "routes.bot.quiet"),
            ("refusal = \"a\"", "routes.bot.refusal"),
        ] {
            let text = without.replace(ROUTE, &format!("{ROUTE}\n{more}"));
            let told = Settings::read_text("edge.toml", &text)
                .map(drop)
                .unwrap_err();
            assert!(
                told.to_string().contains(&format!("{at}: ")),
                "{more}: {told}"
            );
        }
    }
}
