//! What routes have of their own that show people a page.

use std::sync::Arc;

use super::Problems;
use super::route::At;
use crate::config::{Enter, Page, Place, Route, RouteKind, Way};
use crate::label::Label;

/// Such a route; what is wrong with it is told.
pub(super) fn page(at: &mut At<'_>) -> RouteKind {
    let names = at.written.opens.clone().unwrap_or_default();
    if names.is_empty() {
        let what = "missing; list the routes that the page uses: those to talk on, and one of kind \
                    \"sessions\"";
        at.add("opens", what);
    }
    let opens = at.labels("opens", &names);
    RouteKind::Page(Arc::new(Page { opens }))
}

/// A browser that opens a page shows what it shows by itself, and nothing that a script would add.
pub(super) fn check(at: &mut At<'_>, route: &Route) {
    for place in &route.accept {
        if matches!(place, Place::Query | Place::Subprotocol) {
            let what = format!(
                "{:?} is no place for what opens a page: it would stay in the history of the browser. \
                 Admit \"easyauth\", \"certificate\", a \"cookie\", or \"anyone\": the page has no \
                 secrets, and asks for what its routes want",
                place.word()
            );
            at.add("accept", what);
        }
    }
}

/// Whether pages can use the routes that they name.
pub(super) fn pages(routes: &[Route], problems: &mut Problems) {
    for route in routes {
        let RouteKind::Page(page) = &route.kind else {
            continue;
        };
        for name in &page.opens {
            let what = match routes.iter().find(|other| other.name == *name) {
                None => format!("there is no route {name}"),
                Some(other) => match unusable(other) {
                    Some(why) => format!("the route {name} {why}"),
                    None => continue,
                },
            };
            problems.add(format!("routes.{}.opens", route.name), what);
        }
        let told = |name: &Label| {
            let found = routes.iter().find(|other| other.name == *name);
            found.is_some_and(|other| matches!(other.kind, RouteKind::Sessions(_)))
        };
        if page.opens.iter().filter(|name| told(name)).count() > 1 {
            let what = "names two routes of kind \"sessions\"; the page shows one list";
            problems.add(format!("routes.{}.opens", route.name), what);
        }
    }
}

/// Why a page cannot use a route.
fn unusable(route: &Route) -> Option<&'static str> {
    let ways = route.enter.ways();
    let secret = |way: &Way| matches!(way, Way::Key | Way::Issuer(_));
    // What the page itself cannot show: it has no tickets, and no calls.
    let shown = |way: &Way| match way {
        Way::Key | Way::Issuer(_) | Way::Certificate | Way::EasyAuth | Way::Anyone => true,
        Way::Ticket | Way::Call => false,
    };
    let (enough, needs_secret) = match &route.enter {
        Enter::Any(ways) => (ways.iter().any(shown), ways.iter().all(secret)),
        Enter::All(ways) => (ways.iter().all(shown), ways.iter().any(secret)),
    };
    if !enough && !ways.is_empty() {
        return Some("wants a ticket or a call, which the page has not");
    }
    match &route.kind {
        RouteKind::Sessions(_) => {
            let header = route.accept.contains(&Place::Header);
            (needs_secret && !header).then_some("must accept \"header\", where the page puts a key")
        }
        RouteKind::VoiceLive | RouteKind::Relay => {
            let place = |place: &Place| matches!(place, Place::Query | Place::Subprotocol);
            if needs_secret && !route.accept.iter().any(place) {
                return Some(
                    "must accept \"subprotocol\" or \"query\": a page has no other place for a key \
                     when it opens a WebSocket",
                );
            }
            let none = route.origins.is_empty();
            none.then_some(
                "lets no page in: its origins must list the one that the page comes from",
            )
        }
        RouteKind::AcsMedia(_)
        | RouteKind::EventGrid(_)
        | RouteKind::AcsCallback
        | RouteKind::CallApi(_)
        | RouteKind::Http(_)
        | RouteKind::Bot(_)
        | RouteKind::SessionApi(_)
        | RouteKind::Notify
        | RouteKind::Tickets(_)
        | RouteKind::Page(_) => Some(
            "is of a kind that pages do not use: \"voice-live\", \"relay\" and \"sessions\" are",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{RouteKind, Settings};

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [upstreams.voice]
        kind = "voice-live"
        url = "wss://localhost:9443"
        credential = { key = "k" }
        [[routes]]
        name = "talk"
        paths = ["/talk"]
        kind = "voice-live"
        admit = ["key"]
        accept = ["subprotocol"]
        origins = ["https://edge.example.com"]
        models = ["gpt-realtime"]
        upstreams = ["voice"]
        [[routes]]
        name = "running"
        paths = ["/running"]
        kind = "sessions"
        admit = ["key"]
        [[routes]]
        name = "page"
        paths = ["/page"]
        kind = "page"
        admit = ["anyone"]
        opens = ["talk", "running"]
    "#;

    #[test]
    fn a_page_names_the_routes_that_it_uses() {
        let settings = Settings::read_text("edge.toml", GOOD).unwrap();
        let page = settings.live.routes.last().unwrap();
        let RouteKind::Page(page) = &page.kind else {
            panic!("{page:?}");
        };
        let opens: Vec<_> = page.opens.iter().map(|name| name.as_str()).collect();
        assert_eq!(opens, ["talk", "running"]);
        let shown = settings.describe();
        assert!(
            shown.contains("a page for people, opens talk, running"),
            "{shown}"
        );
    }

    /// What is changed to what, where the mistake is told, and what of it.
    const BAD: [(&str, &str, &str, &str); 11] = [
        (
            "opens = [\"talk\", \"running\"]",
            "",
            "page.opens",
            "missing",
        ),
        (
            "opens = [\"talk\", ",
            "opens = [\"talc\", ",
            "page.opens",
            "no route talc",
        ),
        (
            "opens = [\"talk\", ",
            "opens = [\"page\", ",
            "page.opens",
            "kind that pages do not use",
        ),
        (
            "accept = [\"subprotocol\"]",
            "",
            "page.opens",
            "no other place for a key",
        ),
        (
            "origins = [\"https://edge.example.com\"]",
            "",
            "page.opens",
            "its origins",
        ),
        (
            "admit = [\"anyone\"]",
            "admit = [\"key\"]\naccept = [\"query\"]",
            "page.accept",
            "history",
        ),
        (
            "admit = [\"anyone\"]",
            "admit = [\"key\"]\naccept = [\"subprotocol\"]",
            "page.accept",
            "history",
        ),
        (
            "admit = [\"anyone\"]",
            "",
            "page.admit",
            "no admission decision",
        ),
        (
            "kind = \"page\"",
            "kind = \"page\"\nmodels = [\"gpt-5\"]",
            "page.models",
            "no use",
        ),
        (
            "kind = \"page\"",
            "kind = \"page\"\nlife = \"10s\"",
            "page.life",
            "tickets",
        ),
        (
            "kind = \"sessions\"",
            "kind = \"sessions\"\nopens = [\"talk\"]",
            "running.opens",
            "page",
        ),
    ];

    #[test]
    fn a_page_that_could_show_nothing_is_refused_by_name() {
        for (good, bad, at, what) in BAD {
            assert!(GOOD.contains(good), "{good}");
            let error = Settings::read_text("edge.toml", &GOOD.replacen(good, bad, 1));
            let error = error.unwrap_err().to_string();
            let told = error
                .lines()
                .any(|line| line.contains(&format!("routes.{at}")) && line.contains(what));
            assert!(told, "{bad}: {error}");
        }
        // A cookie is shown when a page is opened, by a browser that tells no origin then.
        let cookie = "admit = [\"key\"]\naccept = [\"cookie\"]\ncookie = \"session\"";
        Settings::read_text(
            "edge.toml",
            &GOOD.replacen("admit = [\"anyone\"]", cookie, 1),
        )
        .unwrap();
    }
}
