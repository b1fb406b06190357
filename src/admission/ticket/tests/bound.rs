//! What a ticket is bound to, and what the route asks for, through the whole admission.

use super::*;

pub(super) struct Door {
    pub(super) admission: Admission,
    pub(super) live: Live,
    metrics: Arc<Metrics>,
}

impl Door {
    pub(super) fn of(keys: &str, browser: &str, more: &str) -> Door {
        let live = live(keys, browser, more);
        let metrics = Arc::new(Metrics::new());
        Door {
            admission: Admission::new(&live, &metrics).unwrap(),
            live,
            metrics,
        }
    }

    pub(super) fn route(&self, name: &str) -> &Route {
        let mut routes = self.live.routes.iter();
        routes.find(|route| route.name.as_str() == name).unwrap()
    }

    pub(super) fn ask_at(
        &self,
        route: &str,
        target: &str,
        headers: &[(&str, &str)],
        now: u64,
    ) -> Result<Grant, Denied> {
        let mut request = http::Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let asked = Request {
            route: self.route(route),
            head: &head,
            peer: "203.0.113.9".parse().unwrap(),
            by_hop: false,
            certificate: None,
            now: Now {
                wall: at(now),
                ..Now::read()
            },
        };
        let mut told = Told::nobody();
        let decision = std::pin::pin!(self.admission.decide(asked, &mut told));
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        match std::future::Future::poll(decision, cx) {
            std::task::Poll::Ready(decided) => decided,
            std::task::Poll::Pending => panic!("waits for something"),
        }
    }

    pub(super) fn ask(&self, target: &str, headers: &[(&str, &str)]) -> Result<Grant, Denied> {
        self.ask_at("browser", target, headers, NOW)
    }

    /// With this ticket in the query.
    fn with(
        &self,
        claims: &Value,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Grant, Denied> {
        let and = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{and}ticket={}", signed(claims).expose());
        self.ask(&target, headers)
    }

    pub(super) fn counted(&self, result: &str) -> u64 {
        let series = format!("tonegate_tickets_total{{route=\"browser\",result=\"{result}\"}} ");
        let page = self.metrics.render();
        let line = page.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

fn status(decided: Result<Grant, Denied>) -> u16 {
    decided.map_or_else(|denied| denied.reason.row().status.unwrap(), |_| 101)
}

const FROM: (&str, &str) = ("Origin", PAGE);

/// A claim, its value, the target, the origin of the request, and the status; `-` is nothing.
const CASES: &str = "\
origin https://app.example.com /ws https://app.example.com 101
origin https://app.example.com /ws https://b.example.com 403
origin https://app.example.com /ws - 403
origin https://app.example.com/ /ws https://app.example.com 403
origin https://APP.example.com /ws https://app.example.com 403
origin https://app.example.co /ws https://app.example.com 403
origin null /ws https://app.example.com 403
origin - /ws https://app.example.com 403
origin - /ws - 403
route browser /ws - 101
route Browser /ws - 403
route browser2 /ws - 403
route /ws /ws - 403
route - /ws - 403
model gpt-4o /ws?model=gpt-4o - 101
model gpt-4o /ws - 101
model gpt-4o /ws?model=gpt-realtime - 403
model gpt-4o /ws?agent-name=guide - 403
model GPT-4o /ws?model=gpt-4o - 403
model not-on-the-list /ws - 403
model a/b /ws - 401
agent clerk /ws - 101
agent clerk /ws?agent-name=clerk - 101
agent clerk /ws?agent-name=guide - 403
agent clerk /ws?model=gpt-4o - 403
agent clerk /ws?mode=standard - 403
call c-1 /ws - 403
call - /ws - 403
";

#[test]
fn a32_what_a_ticket_is_bound_to_is_compared_to_the_letter() {
    let door = Door::of(ONE, TICKETS, "");
    let mut tried = 0;
    for case in CASES.lines() {
        let [name, value, target, origin, status] = case.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let value = if value == "-" { "" } else { value };
        let headers: Vec<_> = [("Origin", origin)].into();
        let headers = if origin == "-" { &[][..] } else { &headers };
        let got = self::status(door.with(&with(name, json!(value)), target, headers));
        assert_eq!(got.to_string(), status, "{case}");
        tried += 1;
    }
    assert_eq!(tried, 28);
    assert_eq!(door.counted("wrong_origin"), 8);
    assert_eq!(door.counted("wrong_route"), 4);
    assert_eq!(door.counted("wrong_model"), 6);
    assert_eq!(door.counted("wrong_call"), 2);
    assert_eq!(door.counted("invalid"), 1);
}

#[test]
fn a32_a_ticket_says_what_is_asked_where_the_client_does_not_and_locks_it() {
    let door = Door::of(ONE, TICKETS, "");
    let grant = door
        .with(&with("model", json!("gpt-4o")), "/ws", &[])
        .unwrap();
    assert!(
        format!("{}", grant.ask()).contains("gpt-4o"),
        "{}",
        grant.ask()
    );
    let locked: Vec<String> = grant
        .locked()
        .unwrap()
        .iter()
        .map(|m| m.to_string())
        .collect();
    assert_eq!(locked, ["gpt-4o"]);
    let grant = door
        .with(&with("agent", json!("clerk")), "/ws", &[])
        .unwrap();
    assert!(
        format!("{}", grant.ask()).contains("clerk"),
        "{}",
        grant.ask()
    );
    // Bound to nothing it is as any other way in.
    let grant = door.with(&claims(), "/ws", &[]).unwrap();
    assert_eq!(grant.locked().unwrap().len(), 3);
    assert_eq!(grant.ends().first(), None);
    let grant = door.with(&with("session_exp", json!(NOW + 900)), "/ws", &[]);
    assert_eq!(grant.unwrap().ends().first(), Some(at(NOW + 900)));
}

#[test]
fn a32_what_the_route_asks_for_must_be_in_the_ticket() {
    for (name, value) in [
        ("origin", json!(PAGE)),
        ("route", json!("browser")),
        ("model", json!("gpt-4o")),
        ("sub", json!("u-1")),
    ] {
        let wants = format!("{TICKETS}\nticket_claims = [\"{name}\"]");
        let door = Door::of(ONE, &wants, "");
        assert_eq!(status(door.with(&claims(), "/ws", &[FROM])), 403, "{name}");
        assert_eq!(door.counted("unbound"), 1);
        assert_eq!(
            status(door.with(&with(name, value), "/ws", &[FROM])),
            101,
            "{name}"
        );
    }
}

#[test]
fn a32_s11_a_ticket_and_another_credential_are_ambiguous_unless_both_are_asked_for() {
    let door = Door::of(ONE, TICKETS, "");
    assert_eq!(
        status(door.with(&claims(), "/ws", &[("api-key", "k-1")])),
        400
    );
    assert_eq!(status(door.with(&claims(), "/ws?api-key=k-1", &[])), 400);
    let other = signed(&with("jti", json!("j-2")));
    let bearer = format!("Bearer {}", other.expose());
    assert_eq!(
        status(door.with(&claims(), "/ws", &[("Authorization", &bearer)])),
        400
    );
    // The same one in two places is one.
    let bearer = format!("Bearer {}", signed(&claims()).expose());
    assert_eq!(
        status(door.with(&claims(), "/ws", &[("Authorization", &bearer)])),
        101
    );
    assert_eq!(status(door.ask("/ws", &[("Authorization", &bearer)])), 101);
    assert_eq!(status(door.ask("/ws", &[("api-key", "k-1")])), 101);
    let both = "require = [\"key\", \"ticket\"]\naccept = [\"header\", \"query\"]";
    let door = Door::of(ONE, both, "");
    assert_eq!(
        status(door.with(&claims(), "/ws", &[("api-key", "k-1")])),
        101
    );
    assert_eq!(
        status(door.with(&claims(), "/ws", &[("api-key", "wrong")])),
        401
    );
    assert_eq!(status(door.with(&claims(), "/ws", &[])), 401);
    assert_eq!(status(door.ask("/ws", &[("api-key", "k-1")])), 401);
    assert_eq!(door.counted("missing"), 1);
    // Whose the ticket is must be whose the key is.
    let theirs = |name: &str| with("sub", json!(name));
    let key = [("api-key", "k-1")];
    assert_eq!(status(door.with(&theirs("kiosk"), "/ws", &key)), 101);
    assert_eq!(status(door.with(&theirs("somebody"), "/ws", &key)), 403);
    let mut of_tenant = theirs("kiosk");
    of_tenant["tid"] = json!("t");
    assert_eq!(status(door.with(&of_tenant, "/ws", &key)), 403);
    assert_eq!(door.counted("wrong_subject"), 2);
}

#[test]
fn a32_a_ticket_in_a_place_that_is_off_is_none() {
    let door = Door::of(ONE, "admit = [\"ticket\"]\naccept = [\"header\"]", "");
    assert_eq!(status(door.with(&claims(), "/ws", &[])), 401);
    assert_eq!(door.counted("missing"), 1);
    // Nor does a token, or whatever else, become one.
    let other = signed(&with("aud", json!("api://edge")));
    for bearer in [other.expose(), "k-1"] {
        let bearer = format!("Bearer {bearer}");
        assert_eq!(status(door.ask("/ws", &[("Authorization", &bearer)])), 401);
    }
    assert_eq!(door.counted("invalid"), 2);
    // On a route that takes none it is a token of nobody.
    let door = Door::of(
        ONE,
        "admit = [\"key\"]\naccept = [\"header\", \"query\"]",
        "",
    );
    assert_eq!(status(door.with(&claims(), "/ws", &[])), 401);
    assert_eq!(
        status(door.with(&claims(), "/ws", &[("api-key", "k-1")])),
        101
    );
}

#[test]
fn a32_a_subject_is_the_signers_word_and_the_same_with_its_next_key() {
    let theirs = |key: &str| format!("{key}issuer = \"backend\"\n");
    let door = Door::of(&format!("{}{}", theirs(ONE), theirs(TWO)), TICKETS, "");
    let mut claims = with("sub", json!("u-1"));
    claims["tid"] = json!("t-1");
    let one = door.with(&claims, "/ws", &[]).unwrap();
    assert_eq!(one.subject().to_string(), "ticket:backend:t-1/u-1");
    let two = signed_with(OTHER, &json!({"alg": "HS256", "kid": "two"}), &claims);
    let two = door
        .ask(&format!("/ws?ticket={}", two.expose()), &[])
        .unwrap();
    assert!(one.subject().digest().is(&two.subject().digest()));
    let nobody = door.with(&self::claims(), "/ws", &[]).unwrap();
    assert_eq!(nobody.subject().to_string(), "ticket:backend");
}

#[test]
fn a32_limits_count_whom_tickets_name() {
    let limits = format!("{TICKETS}\nlimits = {{ sessions_per_identity = 1 }}");
    let door = Door::of(ONE, &limits, "");
    let of = |name: &str| door.with(&with("sub", json!(name)), "/ws", &[]);
    let first = of("u-1").unwrap();
    assert_eq!(of("u-1").unwrap_err().reason, Reason::Busy);
    let _other = of("u-2").unwrap();
    drop(first);
    of("u-1").unwrap();
}

#[test]
fn a43_who_is_observed_is_let_in_whatever_the_ticket_says() {
    let observe = "admit = [\"key\"]\naccept = [\"header\", \"query\", \"subprotocol\"]\n\
                   tickets = \"observe\"\nticket_claims = [\"route\"]";
    let door = Door::of(ONE, observe, "");
    let key = ("api-key", "k-1");
    let good = || {
        let mut claims = with("route", json!("browser"));
        claims["origin"] = json!(PAGE);
        claims
    };
    let cases = [
        (claims(), vec![key], "unbound"),
        (good(), vec![key], "wrong_origin"),
        (with("route", json!("other")), vec![key], "wrong_route"),
        (with("aud", json!("x")), vec![key], "invalid"),
    ];
    for (claims, headers, result) in cases {
        let before = door.counted(result);
        let grant = door.with(&claims, "/ws", &headers).unwrap();
        assert_eq!(grant.subject().to_string(), "kiosk");
        assert!(grant.ticket().is_none(), "{result}");
        assert_eq!(door.counted(result), before + 1, "{result}");
    }
    assert!(door.ask("/ws", &[key]).unwrap().ticket().is_none());
    assert_eq!(door.counted("missing"), 1);
    let old = door.with(&with("iat", json!(NOW - 60)), "/ws", &[key]);
    assert!(old.is_ok());
    // Two that differ are one mistake more, and no refusal.
    let two = [signed(&good()), signed(&with("jti", json!("j-2")))];
    let [one, other] = two.each_ref().map(|ticket| ticket.expose());
    let twice = format!("/ws?ticket={one}&ticket={other}");
    assert!(door.ask(&twice, &[key, FROM]).unwrap().ticket().is_none());
    // A good one is to be spent, and does not choose what is asked.
    let mut model = good();
    model["model"] = json!("gpt-4o");
    let grant = door.with(&model, "/ws", &[key, FROM]).unwrap();
    assert!(grant.ticket().is_some_and(|ticket| ticket.observed));
    assert!(!format!("{}", grant.ask()).contains("gpt-4o"));
    let wrong = door
        .with(&model, "/ws?model=gpt-realtime", &[key, FROM])
        .unwrap();
    assert!(wrong.ticket().is_none());
    assert_eq!(door.counted("wrong_model"), 1);
    // Who may not enter is not let in by a ticket, nor counted.
    let before = door.counted("missing");
    assert_eq!(status(door.with(&good(), "/ws", &[FROM])), 401);
    assert_eq!(status(door.ask("/ws", &[("api-key", "wrong")])), 401);
    assert_eq!(door.counted("missing"), before);
}
