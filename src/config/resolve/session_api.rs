//! What routes have of their own by which another cloud hands calls over.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::route::{At, Known};
use super::upstream::port;
use crate::config::bot::is_loopback;
use crate::config::file;
use crate::config::{
    CODE_DIGITS, IssuerKind, Roots, Route, RouteKind, SessionApi, Way, Webhook, WebhookSecret,
};
use crate::label::Label;

/// A token that is made for one request is used within seconds.
const TOKEN_LIFE: Duration = Duration::from_secs(300);
/// A call that is handed over comes within seconds, and rings for 30 of them at the most.
const TTL: Duration = Duration::from_secs(300);
const TTL_MAX: Duration = Duration::from_secs(3600);
/// Where no gate says how long codes are.
const DIGITS: u8 = 6;
/// 2.25 s of Amazon Connect's 750 ms: its digits go out as soon as the call is answered, and the media
/// socket comes after that.
const COMMAS: u8 = 3;
const COMMAS_MAX: u8 = 20;
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 5;
const ATTEMPTS_MAX: u32 = 10;

/// A route of session keys; what is wrong with it is told.
pub(super) fn session_api(at: &mut At<'_>) -> Option<RouteKind> {
    let written = at.written;
    let ttl_max = written.ttl_max.unwrap_or(TTL_MAX);
    let ttl = written.ttl.unwrap_or(TTL.min(ttl_max));
    let token_life = written.token_life.unwrap_or(TOKEN_LIFE);
    for (key, duration) in [("ttl_max", ttl_max), ("token_life", token_life)] {
        if !super::is_bound(duration) {
            at.add(key, super::BOUND);
        }
    }
    if ttl < Duration::from_secs(1) || ttl > ttl_max {
        at.add("ttl", "must be at least 1s and at most ttl_max");
    }
    let digits = written.digits.unwrap_or(DIGITS);
    if !CODE_DIGITS.contains(&digits) {
        at.add("digits", "must be 3 to 24");
    }
    let commas = written.commas.unwrap_or(COMMAS);
    if commas > COMMAS_MAX {
        at.add("commas", "must be at most 20");
    }
    let webhook = match &written.webhook {
        Some(written) => Some(webhook(at, written)?),
        None => None,
    };
    Some(RouteKind::SessionApi(Arc::new(SessionApi {
        single_use: written.single_use.unwrap_or(true),
        token_life,
        ttl,
        ttl_max,
        digits,
        commas,
        webhook,
    })))
}

fn webhook(at: &mut At<'_>, written: &file::Webhook) -> Option<Webhook> {
    let url = url(at, written.url.as_deref());
    let secret = written.secret.as_deref().and_then(WebhookSecret::new);
    if secret.is_none() {
        at.add(
            "webhook.secret",
            "must be whsec_ and 24 to 64 bytes in base64, such as what \
             `echo whsec_$(openssl rand -base64 32)` prints",
        );
    }
    let timeout = written.timeout.unwrap_or(TIMEOUT);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        at.add("webhook.timeout", "must be more than 0 and at most 30s");
    }
    let attempts = written.attempts.unwrap_or(ATTEMPTS);
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        at.add("webhook.attempts", "must be at least 1 and at most 10");
    }
    let (secure, host, port, target) = url?;
    let roots = match (secure, written.roots.as_deref()) {
        (true, None | Some("system")) => Some(Roots::System),
        (true, Some(path)) => {
            let bytes = at.file("webhook.roots", Path::new(path))?;
            let Ok(pem) = String::from_utf8(bytes) else {
                at.add("webhook.roots", "must be certificates in PEM form");
                return None;
            };
            Some(Roots::Pem(pem))
        }
        (false, None) => None,
        (false, Some(_)) => {
            at.add("webhook.roots", "has a use with https:// only");
            None
        }
    };
    Some(Webhook {
        host,
        port,
        target,
        roots,
        secret: secret?,
        timeout,
        attempts,
    })
}

/// Whether it is with TLS, host, port, path and query.
fn url(at: &mut At<'_>, text: Option<&str>) -> Option<(bool, String, u16, String)> {
    let read = |text: &str| {
        let uri: http::Uri = text.parse().ok()?;
        let secure = uri.scheme_str()? == "https";
        if !secure && uri.scheme_str()? != "http" || text.contains(['@', '#']) {
            return None;
        }
        let authority = uri.authority()?;
        let host = authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let usual = if secure { 443 } else { 80 };
        let port = port(authority, usual).filter(|_| !host.is_empty())?;
        let target = uri.path_and_query()?.as_str().to_owned();
        Some((secure, host.to_owned(), port, target))
    };
    let url = text.and_then(read);
    match &url {
        None => at.add("webhook.url", "must be https://host[:port]/path"),
        Some((secure, host, ..)) if !secure && !is_loopback(host) => at.add(
            "webhook.url",
            "is plain text and not loopback; use https://",
        ),
        Some(_) => {}
    }
    url
}

/// Who may write sessions, and what has no use.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let written = at.written;
    let RouteKind::SessionApi(_) = &route.kind else {
        for (key, is_written) in [
            ("single_use", written.single_use.is_some()),
            ("token_life", written.token_life.is_some()),
            ("ttl", written.ttl.is_some()),
            ("ttl_max", written.ttl_max.is_some()),
            ("digits", written.digits.is_some()),
            ("commas", written.commas.is_some()),
            ("webhook", written.webhook.is_some()),
        ] {
            if is_written {
                at.add(key, "has a use with kind = \"session-api\" only");
            }
        }
        return;
    };
    let issuer = |name: &Label| known.issuers.iter().find(|issuer| issuer.name == *name);
    let fits = |way: &Way| match way {
        Way::Issuer(name) => issuer(name).is_none_or(|issuer| match &issuer.kind {
            IssuerKind::Oidc { .. } | IssuerKind::Entra { .. } => true,
            IssuerKind::Acs { .. }
            | IssuerKind::EventGrid { .. }
            | IssuerKind::Bot { .. }
            | IssuerKind::BotTenant { .. } => false,
        }),
        Way::Key | Way::Certificate => true,
        Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => false,
    };
    let ways = route.enter.ways();
    if !ways.iter().all(fits) {
        at.add(
            "admit",
            "must name issuers of kind \"oidc\" or \"entra\", \"key\" or \"certificate\": whoever \
             writes here lets calls through",
        );
    }
    let tokens = ways.iter().any(|way| matches!(way, Way::Issuer(_)));
    for (key, is_written) in [
        ("single_use", written.single_use.is_some()),
        ("token_life", written.token_life.is_some()),
    ] {
        if is_written && !tokens {
            at.add(key, "has a use where tokens enter only");
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
        name = "sbc"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [hops]
        networks = ["10.0.0.1"]
        speak = "http"
        [issuers.aws]
        kind = "oidc"
        issuer = "https://contact-centre.example.com"
        audience = ["api://edge"]
        algorithms = ["ES256"]
        jwks = "https://contact-centre.example.com/jwks.json"
        [issuers.phone]
        kind = "acs"
        audience = ["55555555-2222-3333-4444-555555555555"]
        [[routes]]
        name = "sessions"
        paths = ["/sessions"]
        kind = "session-api"
        admit = ["aws", "key"]
        #more
    "#;
    const HOOK: &str = "webhook = { url = \"https://h.example/x?y=z\", \
                        secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\" }";

    fn read(changes: &[(&str, &str)]) -> Result<Settings, String> {
        let mut text = GOOD.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    fn api(settings: &Settings) -> Arc<SessionApi> {
        let RouteKind::SessionApi(api) = &settings.live.routes[0].kind else {
            panic!("another kind");
        };
        api.clone()
    }

    #[test]
    fn a10_a_path_and_an_issuer_are_enough() {
        let api = api(&read(&[]).unwrap());
        assert!(api.single_use && api.webhook.is_none());
        let seconds = Duration::from_secs;
        let times = (api.token_life, api.ttl, api.ttl_max);
        assert_eq!(times, (seconds(300), seconds(300), seconds(3600)));
        assert_eq!((api.digits, api.commas), (6, 3));
        let short = read(&[("#more", "ttl_max = \"1m\"")]).unwrap();
        assert_eq!(self::api(&short).ttl, seconds(60));
    }

    #[test]
    fn a10_a_receiver_of_webhooks_is_read_and_its_secret_not_told() {
        let settings = read(&[("#more", HOOK)]).unwrap();
        let told = settings.describe();
        assert!(
            told.contains("https://h.example:443/x?*** is told"),
            "{told}"
        );
        let debug = format!("{settings:?}");
        for secret in ["MfKQ", "y=z"] {
            assert!(
                !told.contains(secret) && !debug.contains(secret),
                "{secret}"
            );
        }
        let api = api(&settings);
        let hook = api.webhook.as_ref().unwrap();
        assert_eq!((hook.host.as_str(), hook.port), ("h.example", 443));
        assert_eq!(hook.target, "/x?y=z");
        assert_eq!((hook.timeout, hook.attempts), (TIMEOUT, ATTEMPTS));
        assert!(matches!(hook.roots, Some(Roots::System)));
        let near = HOOK.replace("https://h.example", "http://127.0.0.1:8080");
        let near = read(&[("#more", &near)]).unwrap();
        let hook = self::api(&near).webhook.clone().unwrap();
        assert!(hook.roots.is_none() && hook.port == 8080);
    }

    /// What is written instead, and where that is told.
    const WRONG: [(&str, &str, &str); 17] = [
        ("\"aws\", \"key\"", "\"easyauth\"", "admit"),
        ("\"aws\", \"key\"", "\"anyone\"", "admit"),
        ("\"aws\", \"key\"", "\"phone\"", "admit"),
        ("#more", "ttl = \"2h\"", "ttl"),
        ("#more", "ttl = \"0s\"", "ttl"),
        ("#more", "ttl_max = \"25h\"", "ttl_max"),
        ("#more", "token_life = \"0s\"", "token_life"),
        ("#more", "digits = 2", "digits"),
        ("#more", "digits = 25", "digits"),
        ("#more", "commas = 21", "commas"),
        ("#more", "webhook = {}", "webhook.url"),
        ("#more", "models = [\"m\"]", "models"),
        ("#more", "media = \"phone\"", "media"),
        ("#more", "gate = { flow = \"open\" }", "gate"),
        ("#more", "limits = { sessions = 1 }", "limits.sessions"),
        (
            "\"aws\", \"key\"]",
            "\"key\"]\nsingle_use = true",
            "single_use",
        ),
        (
            "\"aws\", \"key\"]",
            "\"key\"]\ntoken_life = \"1m\"",
            "token_life",
        ),
    ];

    #[test]
    fn a10_every_mistake_is_told_and_no_secret_is() {
        let hook = [
            (
                "https://h.example/x?y=z",
                "http://h.example/",
                "webhook.url",
            ),
            (
                "https://h.example/x?y=z",
                "https://u@h.example/",
                "webhook.url",
            ),
            ("https://h.example/x?y=z", "ftp://h.example/", "webhook.url"),
            ("whsec_", "", "webhook.secret"),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "whsec_CANARY",
                "webhook.secret",
            ),
            ("secret", "timeout = \"31s\", secret", "webhook.timeout"),
            ("secret", "attempts = 0, secret", "webhook.attempts"),
            ("secret", "attempts = 11, secret", "webhook.attempts"),
            ("secret", "roots = \"/no/such\", secret", "webhook.roots"),
        ];
        let hooks = hook.map(|(from, to, at)| ("#more", HOOK.replacen(from, to, 1), at));
        let wrong = WRONG.map(|(from, to, at)| (from, to.to_owned(), at));
        for (from, to, at) in wrong.into_iter().chain(hooks) {
            let told = read(&[(from, &to)]).map(drop).unwrap_err();
            assert!(
                told.contains(&format!("routes.sessions.{at}: ")),
                "{to}: {told}"
            );
            assert!(!told.contains("CANARY") && !told.contains("MfKQ"), "{told}");
        }
        let elsewhere = ("kind = \"session-api\"", "kind = \"relay\"\ndigits = 6");
        let told = read(&[elsewhere]).map(drop).unwrap_err();
        assert!(told.contains("routes.sessions.digits: "), "{told}");
    }
}
