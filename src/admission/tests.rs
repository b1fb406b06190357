//! The checks without tokens: those are in `jwt`, and through real sockets in `tests/edge`.

use super::*;
use crate::config::{
    self, ApiKey, Dtmf, Enter, Place, Rate, Refuse, RouteLimits, RouteTickets, Way,
};
use crate::error::Reason;
use crate::secret::Digest;
use crate::upstream::Ask;
use std::time::Duration;

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn admission() -> Admission {
    let key = |name, secret, models: &[&str], sessions| ApiKey {
        name: label(name),
        digest: Digest::of(secret),
        routes: Vec::new(),
        models: models.iter().map(|m| label(m)).collect(),
        agents: Vec::new(),
        sessions,
        upgrades: None,
        expires: None,
        minutes: None,
    };
    with_keys(vec![
        key("kiosk", "k-1", &[], Some(2)),
        key("small", "k-2", &["gpt-4o"], None),
        ApiKey {
            routes: vec![label("elsewhere")],
            ..key("other", "k-3", &[], None)
        },
        ApiKey {
            upgrades: Some(Rate {
                count: 2,
                per: Duration::from_secs(60),
            }),
            ..key("slow", "k-4", &[], None)
        },
    ])
}

fn with_keys(keys: Vec<ApiKey>) -> Admission {
    let live = Live {
        identity: None,
        server_certificates: Vec::new(),
        limits: config::Limits::default(),
        hops: None,
        keys,
        certificates: Vec::new(),
        issuers: Vec::new(),
        tickets: None,
        calls: None,
        acs: None,
        assertion: None,
        graph: None,
        roles: None,
        pii_detectors: Vec::new(),
        bot: None,
        developer: None,
        admin_token: None,
        scrape_token: None,
        upstreams: Vec::new(),
        routes: Vec::new(),
    };
    Admission::new(&live, &Arc::new(metrics::Metrics::new())).unwrap()
}

fn route(ways: &[Way], accept: &[Place]) -> Route {
    Route {
        name: label("browser"),
        kind: RouteKind::VoiceLive,
        paths: vec!["/ws".to_owned()],
        enter: Enter::Any(ways.to_vec()),
        accept: accept.to_vec(),
        cookie: "tonegate".to_owned(),
        origins: vec!["https://app.example.com".to_owned()],
        without_origin: true,
        allow: Vec::new(),
        deny: Vec::new(),
        limits: RouteLimits::default(),
        models: vec![label("gpt-realtime"), label("gpt-4o")],
        lock_models: true,
        dial_early: false,
        dtmf: Dtmf::Off,
        agents: Vec::new(),
        projects: Vec::new(),
        own_token: false,
        agent_first: false,
        pass: Vec::new(),
        identities: Vec::new(),
        resources: Vec::new(),
        api_versions: Vec::new(),
        web_rtc: false,
        parameters: Vec::new(),
        subprotocols: vec!["realtime".to_owned()],
        refuse: Refuse::Status,
        tickets: RouteTickets::default(),
        upstreams: vec![label("voice")],
    }
}

/// Decides at a time of the test's choice; nothing here waits for anything.
fn decide_at(
    admission: &Admission,
    route: &Route,
    target: &str,
    headers: &[(&str, &str)],
    now: Now,
) -> Result<Grant, Denied> {
    let mut request = http::Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let asked = Request {
        route,
        head: &head,
        peer: "203.0.113.9".parse().unwrap(),
        by_hop: false,
        certificate: None,
        now,
    };
    let mut told = Told::nobody();
    let decision = std::pin::pin!(admission.decide(asked, &mut told));
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    match decision.poll(cx) {
        std::task::Poll::Ready(decided) => decided,
        std::task::Poll::Pending => panic!("waits for something"),
    }
}

fn decide(
    admission: &Admission,
    route: &Route,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Grant, Denied> {
    decide_at(admission, route, target, headers, Now::read())
}

const BOTH: [Place; 2] = [Place::Header, Place::Query];

#[test]
fn what_must_not_enter_does_not() {
    let admission = admission();
    let route = route(&[Way::Key], &BOTH);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Reason);
    let cases: &[Case<'_>] = &[
        ("/ws", &[], Reason::Unauthenticated),
        ("/ws", &[("api-key", "wrong")], Reason::Unauthenticated),
        ("/ws", &[("api-key", "k-1 ")], Reason::Unauthenticated),
        ("/ws", &[("api-key", "K-1")], Reason::Unauthenticated),
        ("/ws", &[("api-key", "")], Reason::Unauthenticated),
        ("/ws?api-key=", &[], Reason::Unauthenticated),
        ("/ws?api-key=k", &[], Reason::Unauthenticated),
        ("/ws?token=k", &[], Reason::Unauthenticated),
        ("/ws", &[("x-api-key", "k-1")], Reason::Unauthenticated),
        (
            "/ws",
            &[("authorization", "Basic k-1")],
            Reason::Unauthenticated,
        ),
        (
            "/ws",
            &[("api-key", "k-1"), ("api-key", "k-1")],
            Reason::BadRequest,
        ),
        (
            "/ws",
            &[("api-key", "k-1"), ("api-key", "x")],
            Reason::BadRequest,
        ),
        ("/ws?api-key=k-1&api-key=k-1", &[], Reason::BadRequest),
        ("/ws?api-key=k-2", &[("api-key", "k-1")], Reason::BadRequest),
        (
            "/ws",
            &[("api-key", "k-1"), ("authorization", "Bearer k-2")],
            Reason::BadRequest,
        ),
        (
            "/ws?model=a&model=a",
            &[("api-key", "k-1")],
            Reason::BadRequest,
        ),
        ("/ws?model=", &[("api-key", "k-1")], Reason::BadRequest),
        (
            "/ws?model=gpt-4o%26agent-id%3Devil",
            &[("api-key", "k-1")],
            Reason::BadRequest,
        ),
        (
            "/ws?model=gpt-4o%0d%0a",
            &[("api-key", "k-1")],
            Reason::BadRequest,
        ),
        ("/ws?model=gpt-5", &[("api-key", "k-1")], Reason::Forbidden),
        (
            "/ws?model=gpt-realtime",
            &[("api-key", "k-2")],
            Reason::Forbidden,
        ),
        ("/ws?model=GPT-4o", &[("api-key", "k-2")], Reason::Forbidden),
    ];
    for (target, headers, reason) in cases {
        let denied = decide(&admission, &route, target, headers).unwrap_err();
        assert_eq!(denied.reason, *reason, "{target} {headers:?}");
    }
}

#[test]
fn s41_a_key_opens_until_it_ends_and_not_a_moment_longer() {
    let end = SystemTime::now() + Duration::from_secs(3600);
    let admission = with_keys(vec![ApiKey {
        name: label("kiosk"),
        digest: Digest::of("k-1"),
        routes: Vec::new(),
        models: Vec::new(),
        agents: Vec::new(),
        sessions: None,
        upgrades: None,
        minutes: None,
        expires: Some(end),
    }]);
    let route = route(&[Way::Key], &BOTH);
    let at = |wall| {
        let now = Now {
            wall,
            ..Now::read()
        };
        decide_at(&admission, &route, "/ws", &[("api-key", "k-1")], now)
    };
    let moment = Duration::from_millis(1);
    for wall in [SystemTime::UNIX_EPOCH, end - moment] {
        let grant = at(wall).unwrap();
        assert_eq!(grant.ends().first(), Some(end));
        assert_eq!(grant.ends().of_others, None);
    }
    for wall in [end, end + moment, end + Duration::from_secs(3600)] {
        assert_eq!(at(wall).unwrap_err().reason, Reason::Unauthenticated);
    }
}

#[test]
fn a_key_counts_only_in_the_places_of_the_route() {
    let admission = admission();
    let header = route(&[Way::Key], &[Place::Header]);
    let query = route(&[Way::Key], &[Place::Query]);
    let in_header: &[(&str, &str)] = &[("api-key", "k-1")];
    assert!(decide(&admission, &header, "/ws", in_header).is_ok());
    assert!(decide(&admission, &query, "/ws?api-key=k-1", &[]).is_ok());
    assert!(decide(&admission, &header, "/ws?api-key=k-1", &[]).is_err());
    assert!(decide(&admission, &query, "/ws", in_header).is_err());
    let bearer: &[(&str, &str)] = &[("authorization", "bearer k-1")];
    assert!(decide(&admission, &header, "/ws", bearer).is_ok());
    // The Node SDK sends the same key twice, in the header and in the query.
    let both = route(&[Way::Key], &BOTH);
    let grant = decide(&admission, &both, "/ws?api-key=k-1", in_header).unwrap();
    assert_eq!(grant.subject(), &Subject::Key(label("kiosk")));
}

#[test]
fn the_model_is_the_clients_choice_or_the_first_allowed() {
    let admission = admission();
    let route = route(&[Way::Key], &BOTH);
    let model = |target: &str, key: &str| {
        let grant = decide(&admission, &route, target, &[("api-key", key)]);
        grant.unwrap().ask().to_string()
    };
    assert_eq!(model("/ws", "k-1"), "gpt-realtime");
    assert_eq!(model("/ws?model=gpt-4o", "k-1"), "gpt-4o");
    assert_eq!(model("/ws", "k-2"), "gpt-4o");
    let target = "/ws?x=1&model=gpt%2D4o&y=2&x=3";
    let grant = decide(&admission, &route, target, &[("api-key", "k-1")]).unwrap();
    assert_eq!(
        (grant.ask(), grant.dropped_parameters()),
        (&Ask::model(label("gpt-4o")), 3)
    );
}

#[test]
fn anyone_enters_only_where_it_is_written() {
    let admission = admission();
    let open = route(&[Way::Anyone], &[Place::Header]);
    assert_eq!(
        decide(&admission, &open, "/ws", &[]).unwrap().subject(),
        &Subject::Anyone
    );
    let either = route(&[Way::Key, Way::Anyone], &[Place::Header]);
    assert!(decide(&admission, &either, "/ws", &[]).is_ok());
    assert!(decide(&admission, &either, "/ws", &[("api-key", "wrong")]).is_err());
}

#[test]
fn sessions_of_a_key_are_limited_and_come_back() {
    let admission = admission();
    let route = route(&[Way::Key], &BOTH);
    let enter = || decide(&admission, &route, "/ws", &[("api-key", "k-1")]);
    let first = enter().unwrap();
    let _second = enter().unwrap();
    assert_eq!(enter().unwrap_err().reason, Reason::Busy);
    drop(first);
    assert!(enter().is_ok());
}

#[test]
fn b04_a_key_opens_its_own_routes_and_at_its_own_rate() {
    let admission = admission();
    let route = route(&[Way::Key], &BOTH);
    let denied = decide(&admission, &route, "/ws", &[("api-key", "k-3")]).unwrap_err();
    assert_eq!(denied.reason, Reason::Forbidden);
    let start = Now::read();
    let at = |seconds| Now {
        steady: start.steady + Duration::from_secs(seconds),
        ..start
    };
    let enter = |now| decide_at(&admission, &route, "/ws", &[("api-key", "k-4")], now);
    assert!(enter(at(0)).is_ok() && enter(at(0)).is_ok());
    let denied = enter(at(10)).unwrap_err();
    assert_eq!(denied.reason, Reason::RateLimited);
    assert_eq!(denied.retry_after, Some(Duration::from_secs(20)));
    assert!(enter(at(30)).is_ok());
}

#[test]
fn b23_limits_of_address_route_and_identity() {
    let limit = |set: fn(&mut RouteLimits)| {
        let mut route = route(&[Way::Key], &BOTH);
        set(&mut route.limits);
        let admission = admission();
        let first = decide(&admission, &route, "/ws", &[("api-key", "k-2")]).unwrap();
        let second = decide(&admission, &route, "/ws", &[("api-key", "k-2")]);
        let reason = second.unwrap_err().reason;
        drop(first);
        let third = decide(&admission, &route, "/ws", &[("api-key", "k-2")]);
        (reason, third.is_ok())
    };
    const ONE: Option<Rate> = Some(Rate {
        count: 1,
        per: Duration::from_secs(60),
    });
    let slots: [fn(&mut RouteLimits); 3] = [
        |limits| limits.sessions = Some(1),
        |limits| limits.sessions_per_address = Some(1),
        |limits| limits.sessions_per_identity = Some(1),
    ];
    for set in slots {
        assert_eq!(limit(set), (Reason::Busy, true));
    }
    let rates: [fn(&mut RouteLimits); 3] = [
        |limits| limits.upgrades = ONE,
        |limits| limits.upgrades_per_address = ONE,
        |limits| limits.upgrades_per_identity = ONE,
    ];
    for set in rates {
        assert_eq!(limit(set), (Reason::RateLimited, false));
    }
}

#[test]
fn a_slot_that_was_taken_before_another_was_missing_comes_back() {
    let admission = admission();
    let mut route = route(&[Way::Key], &BOTH);
    route.limits.sessions = Some(1);
    let enter = |key| decide(&admission, &route, "/ws", &[("api-key", key)]);
    let held = enter("k-2").unwrap();
    // The key has two slots; each of these takes one and finds the route full.
    for _ in 0..5 {
        assert_eq!(enter("k-1").unwrap_err().reason, Reason::Busy);
    }
    drop(held);
    assert!(enter("k-1").is_ok());
}

#[test]
fn b23_the_address_is_counted_before_the_credential_is_looked_at() {
    let admission = admission();
    let mut route = route(&[Way::Key], &BOTH);
    route.limits.upgrades_per_address = Some(Rate {
        count: 3,
        per: Duration::from_secs(60),
    });
    let reasons: Vec<Reason> = (0..5)
        .map(|_| {
            decide(&admission, &route, "/ws", &[("api-key", "guess")])
                .unwrap_err()
                .reason
        })
        .collect();
    assert_eq!(reasons[..3], [Reason::Unauthenticated; 3]);
    assert_eq!(reasons[3..], [Reason::RateLimited; 2]);
}

#[test]
fn cookies_and_subprotocols_carry_credentials_where_the_route_says() {
    let admission = admission();
    let cookie = route(&[Way::Key], &[Place::Cookie]);
    let protocol = route(&[Way::Key], &[Place::Subprotocol]);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let name = "sec-websocket-protocol";
    let good: [(&Route, Headers<'_>); 6] = [
        (&cookie, &[("cookie", "a=b; tonegate=k-1; c=d")]),
        (&cookie, &[("cookie", "a=b"), ("cookie", "tonegate=k-1")]),
        (
            &protocol,
            &[(name, "realtime, openai-insecure-api-key.k-1")],
        ),
        (&protocol, &[(name, "bearer.k-1, realtime")]),
        (&protocol, &[(name, "authorization.bearer.k-1")]),
        (&protocol, &[(name, "realtime"), (name, "bearer.k-1")]),
    ];
    for (route, headers) in good {
        let grant = decide(&admission, route, "/ws", headers).unwrap();
        assert_eq!(
            grant.subject(),
            &Subject::Key(label("kiosk")),
            "{headers:?}"
        );
    }
    let bad: [(&Route, Headers<'_>, Reason); 9] = [
        (
            &cookie,
            &[("cookie", "Tonegate=k-1")],
            Reason::Unauthenticated,
        ),
        (
            &cookie,
            &[("cookie", "xtonegate=k-1")],
            Reason::Unauthenticated,
        ),
        (
            &cookie,
            &[("cookie", "tonegate=k-1; tonegate=k-1")],
            Reason::BadRequest,
        ),
        (&cookie, &[(name, "bearer.k-1")], Reason::Unauthenticated),
        (&cookie, &[("api-key", "k-1")], Reason::Unauthenticated),
        (
            &protocol,
            &[("cookie", "tonegate=k-1")],
            Reason::Unauthenticated,
        ),
        (&protocol, &[(name, "Bearer.k-1")], Reason::Unauthenticated),
        (
            &protocol,
            &[(name, "bearer.k-1, bearer.k-2")],
            Reason::BadRequest,
        ),
        (
            &protocol,
            &[(name, "bearer.k-1,,realtime")],
            Reason::BadRequest,
        ),
    ];
    for (route, headers, reason) in bad {
        let denied = decide(&admission, route, "/ws", headers).unwrap_err();
        assert_eq!(denied.reason, reason, "{headers:?}");
    }
}

#[test]
fn one_subprotocol_is_answered_and_never_one_with_a_credential() {
    let choose = |offer: &[&'static str]| {
        let mut headers = http::HeaderMap::new();
        for line in offer {
            let line = http::HeaderValue::from_static(line);
            headers.append("sec-websocket-protocol", line);
        }
        let spoken = ["realtime", "bearer.x", "v2"].map(str::to_owned);
        subprotocol(&headers, &spoken)
            .map(|name| name.map(|name| name.to_str().unwrap().to_owned()))
            .map_err(|denied| denied.reason)
    };
    let some = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(choose(&[]), Ok(None));
    assert_eq!(choose(&["realtime"]), some("realtime"));
    assert_eq!(choose(&["other, v2, realtime"]), some("v2"));
    assert_eq!(choose(&["bearer.x, realtime"]), some("realtime"));
    assert_eq!(choose(&["bearer.x"]), Err(Reason::BadRequest));
    assert_eq!(choose(&["other"]), Err(Reason::BadRequest));
    assert_eq!(choose(&["Realtime"]), Err(Reason::BadRequest));
    assert_eq!(choose(&["realtime, realtime"]), Err(Reason::BadRequest));
    assert_eq!(choose(&["realtime;x"]), Err(Reason::BadRequest));
}

#[test]
fn b06_b11_modes_and_the_words_of_the_old_proxy() {
    let admission = admission();
    let mut route = route(&[Way::Key], &BOTH);
    let refused = |route: &Route, query: &str| {
        let target = format!("/ws?{query}");
        decide(&admission, route, &target, &[("api-key", "k-1")]).map(|grant| grant.ask().clone())
    };
    let model = Ok(Ask::model(label("gpt-realtime")));
    assert_eq!(refused(&route, "mode=standard"), model);
    assert_eq!(refused(&route, "mode=avatar"), model);
    let reason = |result: Result<Ask, Denied>| result.unwrap_err().reason;
    let denied = refused(&route, "mode=agent").unwrap_err();
    let words = "Agent mode requires agentId and projectName";
    assert_eq!((denied.reason, denied.detail), (Reason::BadRequest, words));
    assert_eq!(
        reason(refused(&route, "mode=agent&agentId=a")),
        Reason::Forbidden
    );
    assert_eq!(reason(refused(&route, "mode=other")), Reason::BadRequest);
    // A route without agents has no use for their names.
    assert_eq!(refused(&route, "agentId=a&projectName=p"), model);
    // To the old clients that show nothing, in the old words; to others in ours.
    let bare = |route: &Route, query: &str| {
        let target = format!("/ws?{query}");
        decide(&admission, route, &target, &[]).unwrap_err().detail
    };
    let old = "Standard mode requires token parameter: a key of this edge";
    assert_eq!(bare(&route, "mode=standard"), old);
    assert_eq!(bare(&route, "mode=agent"), words);
    assert!(bare(&route, "").starts_with("a key is needed"));
    route.agents = vec![label("asst_1"), label("helper")];
    route.projects = vec![label("p")];
    let denied = refused(&route, "mode=agent").unwrap_err();
    let words = "Agent mode requires token parameter (MSAL)";
    assert_eq!(
        (denied.reason, denied.detail),
        (Reason::Unauthenticated, words)
    );
    assert_eq!(bare(&route, "mode=agent"), words);
    assert_eq!(
        reason(refused(&route, "agentName=helper")),
        Reason::Unauthenticated
    );
    assert_eq!(refused(&route, "mode=standard&agentId=asst_1"), model);
    for twice in [
        "agentId=a&agent-id=a",
        "agentId=a&agentName=a",
        "mode=agent&mode=agent",
    ] {
        assert_eq!(
            reason(refused(&route, twice)),
            Reason::BadRequest,
            "{twice}"
        );
    }
}

#[test]
fn explain_hears_every_check_up_to_the_one_that_refuses() {
    let admission = admission();
    let route = route(&[Way::Key], &BOTH);
    let hear = |key: &str| {
        let request = http::Request::builder().uri("/ws").header("api-key", key);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let asked = Request {
            route: &route,
            head: &head,
            peer: "203.0.113.9".parse().unwrap(),
            by_hop: false,
            certificate: None,
            now: Now::read(),
        };
        let mut told = Told::somebody();
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        {
            let decision = std::pin::pin!(admission.decide(asked, &mut told));
            assert!(decision.poll(cx).is_ready());
        }
        told.findings()
    };
    let checks = |findings: &[Finding]| findings.iter().map(|f| f.check).collect::<Vec<_>>();
    let all = hear("k-1");
    let order = [
        "network",
        "rate",
        "origin",
        "query",
        "credential",
        "identity",
        "ask",
        "limits",
    ];
    assert_eq!(checks(&all), order);
    assert!(
        all.iter()
            .all(|finding| finding.passed && !finding.text.contains("k-1"))
    );
    let some = hear("wrong-secret");
    assert_eq!(checks(&some), order[..6]);
    assert!(!some[5].passed && some[..5].iter().all(|finding| finding.passed));
    assert!(
        some.iter()
            .all(|finding| !finding.text.contains("wrong-secret"))
    );
}
