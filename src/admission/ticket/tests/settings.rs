//! Settings of tickets that must not start.

use super::*;

fn problems(text: &str) -> String {
    match Settings::read_text("edge.toml", text) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

/// Settings with this table of tickets and these lines of the route and behind it.
fn settings(tickets: &str, browser: &str, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{tickets}\n\
         [[keys]]\nname = \"kiosk\"\n\
         sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
         [issuers.users]\nkind = \"oidc\"\nissuer = \"https://i.example\"\naudience = [\"api://x\"]\n\
         jwks = \"https://i.example/keys\"\n\
         [upstreams.voice]\nkind = \"voice-live\"\nresource = \"my-resource\"\ncredential = {{ key = \"k\" }}\n\
         [[routes]]\nname = \"browser\"\nkind = \"voice-live\"\npaths = [\"/ws\"]\nmodels = [\"m\"]\n\
         upstreams = [\"voice\"]\n{browser}\n{more}\n"
    )
}

const GOOD: &str = "[tickets]\naudience = \"aud\"\n[[tickets.keys]]\nid = \"one\"\n\
     algorithm = \"HS256\"\nsecret = \"a secret of tickets, and it is long enough\"\n";
const ADMIT: &str = "admit = [\"ticket\"]";
const DESK: &str = "[[routes]]\nname = \"desk\"\nkind = \"tickets\"\npaths = [\"/tickets\"]\n\
     admit = [\"key\"]\nopens = [\"browser\"]\n";

#[test]
fn a32_weak_secrets_and_keys_of_the_wrong_kind_do_not_start() {
    assert_eq!(problems(&settings(GOOD, ADMIT, "")), "");
    for (from, to, told) in [
        (
            "a secret of tickets, and it is long enough",
            "short",
            "tickets.keys.one.secret: must be at least 32",
        ),
        (
            "a secret of tickets, and it is long enough",
            &"x".repeat(31),
            "at least 32",
        ),
        (
            "a secret of tickets, and it is long enough",
            &"x".repeat(64),
            "random bytes",
        ),
        ("\"HS256\"", "\"HS384\"", "tickets.keys.one.algorithm"),
        ("\"HS256\"", "\"none\"", "tickets.keys.one.algorithm"),
        // A public key would be a secret that everybody has.
        ("\"HS256\"", "\"RS256\"", "a secret is for HS256"),
        (
            "\"HS256\"",
            "\"HS256\"\npublic_key = \"x.pem\"",
            "one of secret",
        ),
        ("\"aud\"", "\"\"", "tickets.audience: missing"),
        (
            "\"aud\"",
            "\"api://x\"",
            "tickets.audience: is that of tokens",
        ),
        (
            "\"aud\"",
            "\"tonegate:media-url\"",
            "tickets.audience: is that of tokens",
        ),
        ("\"aud\"", "\"aud\"\nmax_age = \"6m\"", "tickets.max_age"),
        ("\"aud\"", "\"aud\"\nmax_age = \"0s\"", "tickets.max_age"),
        ("\"one\"", "\"o ne\"", "tickets.keys.o ne"),
        ("algorithm = \"HS256\"", "", "tickets.keys.one.algorithm"),
        ("\"HS256\"", "\"HS256\"\nunknown = 1", "unknown"),
    ] {
        let text = settings(&GOOD.replacen(from, to, 1), ADMIT, "");
        let found = problems(&text);
        assert!(found.contains(told), "{from} {to}: {found}");
        assert!(!found.contains("a secret of tickets"), "{found}");
    }
    let key = GOOD.split_once("[[tickets.keys]]").unwrap().1;
    let again = |changed: String| format!("{GOOD}[[tickets.keys]]{changed}");
    let same_id = again(key.replace("a secret", "the secret"));
    assert!(problems(&settings(&same_id, ADMIT, "")).contains("taken by another key"));
    let same_key = again(key.replace("one", "two"));
    assert!(problems(&settings(&same_key, ADMIT, "")).contains("same key as another one"));
    let keys: String = (0..5)
        .map(|i| {
            format!(
                "[[tickets.keys]]{}",
                key.replace("one", &format!("k{i}"))
                    .replace("a secret", &format!("{i} secret"))
            )
        })
        .collect();
    let five = format!("[tickets]\naudience = \"aud\"\n{keys}");
    assert!(problems(&settings(&five, ADMIT, "")).contains("tickets.keys: must be 1 to 4"));
    let none = "[tickets]\naudience = \"aud\"\n";
    assert!(problems(&settings(none, ADMIT, "")).contains("tickets.keys: must be 1 to 4"));
}

/// Tables of tickets, lines of the route, routes behind it, and what is wrong with them.
const ROUTES: [[&str; 4]; 12] = [
    ["", ADMIT, "", "there is no [tickets]"],
    [
        "",
        "admit = [\"key\"]\ntickets = \"observe\"",
        "",
        "routes.browser.tickets: needs [tickets]",
    ],
    [
        GOOD,
        "admit = [\"ticket\"]\ntickets = \"observe\"",
        "",
        "observes nothing",
    ],
    [
        GOOD,
        "admit = [\"key\"]\ntickets = \"enforce\"",
        "",
        "must be \"off\" or \"observe\"",
    ],
    [
        GOOD,
        "admit = [\"key\"]\nticket_claims = [\"route\"]",
        "",
        "no tickets are taken",
    ],
    [
        GOOD,
        "admit = [\"ticket\"]\nticket_claims = [\"jti\"]",
        "",
        "ticket_claims: \"jti\"",
    ],
    [
        GOOD,
        "admit = [\"ticket\"]\nticket_claims = [\"sub\", \"sub\"]",
        "",
        "stands twice",
    ],
    [
        GOOD,
        "admit = [\"ticket\"]\nticket_claims = [\"call\"]",
        "",
        "\"acs-media\" only",
    ],
    [
        GOOD,
        "admit = [\"ticket\"]\nlife = \"5s\"",
        "",
        "kind = \"tickets\" only",
    ],
    [
        GOOD,
        "admit = [\"ticket\"]\nopens = [\"browser\"]",
        "",
        "kind = \"tickets\" or kind = \"page\" only",
    ],
    [GOOD, ADMIT, DESK, "own = true"],
    [
        GOOD,
        "admit = [\"key\"]",
        DESK,
        "the route browser takes no tickets",
    ],
];

#[test]
fn a32_routes_take_tickets_where_sessions_begin_only() {
    for [tickets, browser, more, told] in ROUTES {
        let found = problems(&settings(tickets, browser, more));
        assert!(found.contains(told), "{browser} {more}: {found}");
    }
    let own = GOOD.replace("\"HS256\"", "\"HS256\"\nown = true");
    assert_eq!(problems(&settings(&own, ADMIT, DESK)), "");
    for (from, to, told) in [
        (
            "[\"browser\"]",
            "[\"elsewhere\"]",
            "there is no route elsewhere",
        ),
        ("[\"browser\"]", "[]", "routes.desk.opens: missing"),
        ("opens = [\"browser\"]", "", "routes.desk.opens: missing"),
        ("[\"key\"]", "[\"ticket\"]", "routes.desk.admit"),
        ("[\"key\"]", "[\"anyone\"]", "routes.desk.admit"),
        ("admit", "life = \"61s\"\nadmit", "routes.desk.life"),
        ("admit", "life = \"0s\"\nadmit", "routes.desk.life"),
        (
            "admit",
            "upstreams = [\"voice\"]\nadmit",
            "routes.desk.upstreams",
        ),
        ("admit", "accept = [\"query\"]\nadmit", "routes.desk.accept"),
    ] {
        let found = problems(&settings(&own, ADMIT, &DESK.replacen(from, to, 1)));
        assert!(found.contains(told), "{from} {to}: {found}");
    }
}
