//! What routes have of their own on which sessions that run are told of.

use super::route::{At, Known};
use crate::config::{IssuerKind, Route, RouteKind, See, Way};

/// Such a route; what is wrong with it is told.
pub(super) fn sessions(at: &mut At<'_>) -> RouteKind {
    let see = match at.written.see.as_deref() {
        None | Some("own") => See::Own,
        Some("team") => See::Team,
        Some("all") => See::All,
        Some(other) => {
            let what = format!("{other:?} must be \"own\", \"team\" or \"all\"");
            at.add("see", what);
            See::Own
        }
    };
    RouteKind::Sessions(see)
}

/// Who may see sessions, and what has no use.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let RouteKind::Sessions(see) = route.kind else {
        if at.written.see.is_some() {
            at.add("see", "has a use with kind = \"sessions\" only");
        }
        return;
    };
    let ways = route.enter.ways();
    let of_people = |way: &Way| match way {
        Way::Issuer(name) => {
            let issuer = known.issuers.iter().find(|issuer| issuer.name == *name);
            // What is wrong with one that is unknown has been told.
            issuer.is_none_or(|issuer| match issuer.kind {
                IssuerKind::Oidc { .. } | IssuerKind::Entra { .. } => true,
                IssuerKind::Acs { .. }
                | IssuerKind::EventGrid { .. }
                | IssuerKind::Bot { .. }
                | IssuerKind::BotTenant { .. } => false,
            })
        }
        Way::Key | Way::Certificate | Way::EasyAuth => true,
        Way::Call | Way::Ticket | Way::Anyone => false,
    };
    if !ways.iter().all(of_people) {
        at.add(
            "admit",
            "must name issuers of kind \"entra\" or \"oidc\", \"key\", \"certificate\" or \
             \"easyauth\": others have no sessions of their own",
        );
    }
    if see == See::Team && known.file.roles.is_none() {
        at.add(
            "see",
            "\"team\" needs [roles], which says whom somebody may see",
        );
    }
    let operators = |way: &Way| matches!(way, Way::Key | Way::Certificate);
    if see == See::All && !ways.iter().all(operators) {
        at.add(
            "see",
            "\"all\" is for whoever runs the edge: admit must name \"key\" or \"certificate\" and \
             nothing else",
        );
    }
    if see == See::All {
        check_operators(at, ways, known);
    }
}

/// A key that opens every route opens one that was added for somebody else, too. Whoever is to see and
/// end the sessions of all is named by the routes of their key.
fn check_operators(at: &mut At<'_>, ways: &[Way], known: &Known<'_>) {
    let keys = known.keys.iter().filter(|_| ways.contains(&Way::Key));
    let keys = keys.map(|key| ("key", key.name.as_str(), key.routes.is_empty()));
    let listed = known.file.certificates.iter();
    let listed = listed.filter(|_| ways.contains(&Way::Certificate));
    let listed = listed.map(|listed| {
        (
            "certificate",
            listed.name.as_str(),
            listed.routes.is_empty(),
        )
    });
    for (kind, name, opens_all) in keys.chain(listed) {
        if opens_all {
            let what = format!(
                "\"all\" gives the {kind} {name:?} the sessions of everybody, for it names no routes \
                 and opens each: say in its `routes` what it is for"
            );
            at.add("see", what);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{RouteKind, See, Settings};

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [[keys]]
        name = "operator"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [roles]
        by = "store"
        [issuers.users]
        kind = "entra"
        tenants = ["11111111-2222-3333-4444-555555555555"]
        audience = ["api://media-edge"]
        [issuers.phone]
        kind = "acs"
        audience = ["55555555-2222-3333-4444-555555555555"]
        [[routes]]
        name = "mine"
        paths = ["/sessions"]
        kind = "sessions"
        admit = ["users", "key"]
        origins = ["https://app.example.com"]
    "#;

    fn problems(text: &str) -> String {
        match Settings::read_text("edge.toml", text) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    fn see(text: &str) -> See {
        let settings = Settings::read_text("edge.toml", text).unwrap();
        let RouteKind::Sessions(see) = settings.live.routes[0].kind else {
            panic!("it is another kind");
        };
        assert!(
            settings
                .describe()
                .contains(&format!("sees {}", see.word()))
        );
        see
    }

    #[test]
    fn c13_whose_sessions_are_seen_is_said() {
        assert_eq!(see(GOOD), See::Own);
        let with = |see: &str| GOOD.replace("origins", &format!("see = \"{see}\"\norigins"));
        assert_eq!(see(&with("own")), See::Own);
        assert_eq!(see(&with("team")), See::Team);
        assert_eq!(see(&operators("routes = [\"mine\"]")), See::All);
    }

    /// A route for whoever runs the edge, whose key has these lines.
    fn operators(lines: &str) -> String {
        GOOD.replace("origins", "see = \"all\"\norigins")
            .replace("[\"users\", \"key\"]", "[\"key\"]")
            .replace(
                "name = \"operator\"",
                &format!("name = \"operator\"\n{lines}"),
            )
    }

    #[test]
    fn c13_a_key_or_a_certificate_that_opens_every_route_is_not_that_of_an_operator() {
        let told = problems(&operators(""));
        let named = "routes.mine.see: \"all\" gives the key \"operator\" the sessions of everybody";
        assert!(told.contains(named), "{told}");
        // Beside one that says what it is for, too.
        let text = operators("").replace(
            "[roles]",
            "[[keys]]\nname = \"kiosk\"\nroutes = [\"mine\"]\nsha256 = \"DIGEST\"\n[roles]",
        );
        let told = problems(&text.replace("DIGEST", &"0".repeat(64)));
        assert!(
            told.contains(named) && !told.contains("\"kiosk\""),
            "{told}"
        );
        let certificate = "[[certificates]]\nname = \"lambda\"\ndns = \"lambda.example.com\"\n";
        let certificate = format!("{certificate}[roles]");
        let text = operators("routes = [\"mine\"]").replace("[roles]", &certificate);
        // Any file: what is in it is looked at when the edge starts.
        let tls = "tls = { certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_roots = \"Cargo.toml\" }";
        let text = text.replace("[[keys]]", &format!("{tls}\n[[keys]]"));
        let named = "gives the certificate \"lambda\" the sessions of everybody";
        // It opens nothing here, where none is admitted.
        assert!(!problems(&text).contains(named));
        let told = problems(&text.replace("[\"key\"]", "[\"certificate\"]"));
        assert!(
            told.contains(named) && !told.contains("\"operator\""),
            "{told}"
        );
    }

    #[test]
    fn c13_every_mistake_names_its_key() {
        let with = |see: &str| GOOD.replace("origins", &format!("see = \"{see}\"\norigins"));
        for (text, named) in [
            (with("everybody"), "routes.mine.see: \"everybody\" must be"),
            (with("all"), "routes.mine.see: \"all\" is for whoever runs"),
            (
                with("team").replace("[roles]\n        by = \"store\"", ""),
                "routes.mine.see: \"team\" needs [roles]",
            ),
            (
                GOOD.replace("\"users\", \"key\"", "\"phone\""),
                "routes.mine.admit",
            ),
            (
                GOOD.replace("\"users\", \"key\"", "\"anyone\""),
                "routes.mine.admit",
            ),
            (
                GOOD.replace("origins", "upstreams = [\"v\"]\norigins"),
                "routes.mine.upstreams",
            ),
            (
                GOOD.replace("origins", "models = [\"m\"]\norigins"),
                "routes.mine.models",
            ),
            (
                GOOD.replace("\"sessions\"\n", "\"notify\"\n        see = \"own\"\n"),
                "routes.mine.see: has a use with kind = \"sessions\" only",
            ),
        ] {
            let told = problems(&text);
            assert!(told.contains(named), "{named}: {told}");
        }
    }
}
