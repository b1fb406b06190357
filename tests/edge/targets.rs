//! Any WebSocket server as target: relay routes before OpenAI, Azure OpenAI and an orchestrator.

use tonegate::config::Settings;
use tonegate::sim::voice_live::Service;

use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, text};
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// A relay route; `UPSTREAM` is the simulator, which plays `service`.
fn wish(service: Service, upstream: &str, route: &str) -> Wish {
    Wish {
        service,
        more: format!(
            "[upstreams.target]\nkind = \"relay\"\nroots = \"ca.pem\"\n{upstream}\n\
             [[routes]]\nname = \"target\"\nkind = \"relay\"\npaths = [\"/v1/realtime\"]\n\
             admit = [\"key\"]\naccept = [\"header\", \"query\", \"subprotocol\"]\n\
             upstreams = [\"target\"]\n{route}\n"
        ),
        ..Wish::default()
    }
}

fn openai() -> Wish {
    wish(
        Service::OpenAi,
        &format!(
            "url = \"UPSTREAM/v1/realtime\"\n\
             credential = {{ key = \"{UPSTREAM_KEY}\", header = \"authorization\" }}"
        ),
        "models = [\"gpt-realtime\", \"sim-echo\"]\n\
         parameters = { intent = [\"transcription\"], call_id = [] }",
    )
}

#[tokio::test]
async fn b21_openai_is_asked_with_validated_values_and_our_key() {
    let world = World::with(openai()).await;
    let bearer = format!("Bearer {KEY}");
    let offered = format!("realtime, openai-insecure-api-key.{KEY}");
    let cases = [
        ("", ("api-key", KEY), "?model=gpt-realtime"),
        (
            "?model=sim-echo",
            ("Authorization", bearer.as_str()),
            "?model=sim-echo",
        ),
        (
            "?model=gpt-realtime&intent=transcription&call_id=rtc_1&api-version=1&evil=1",
            ("Sec-WebSocket-Protocol", offered.as_str()),
            "?model=gpt-realtime&intent=transcription&call_id=rtc_1",
        ),
    ];
    for (query, shown, expected) in cases {
        let headers = [
            shown,
            ("OpenAI-Beta", "realtime=v1"),
            ("x-tonegate-subject", "root"),
            ("x-ms-client-principal", "e30="),
            ("Cookie", "a=b"),
        ];
        let target = format!("/v1/realtime{query}");
        let caller = world.ask(&target, &headers).await.unwrap();
        let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
        assert_eq!(seen.target, format!("/v1/realtime{expected}"));
        let own = format!("Bearer {UPSTREAM_KEY}");
        assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [own]);
        // Nothing of the client's own headers, not even the subprotocol that it was given.
        let mut names: Vec<_> = seen
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.sort_unstable();
        let usual = [
            "authorization",
            "connection",
            "host",
            "sec-websocket-key",
            "sec-websocket-version",
            "traceparent",
            "upgrade",
            "user-agent",
        ];
        assert_eq!(names, usual);
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        let chosen = caller.head.one("sec-websocket-protocol");
        assert_eq!(
            chosen,
            (shown.0 == "Sec-WebSocket-Protocol").then_some("realtime")
        );
        drop(caller);
        world.settles().await;
    }
    let dropped = world.count("tonegate_dropped_parameters_total{route=\"target\"}");
    assert_eq!(dropped, 2);
}

#[tokio::test]
async fn b21_what_a_relay_route_does_not_name_goes_nowhere() {
    let world = World::with(openai()).await;
    for (query, status) in [
        ("model=gpt-5", 403),
        ("deployment=gpt-5", 403),
        ("model=gpt%26call_id%3Devil", 400),
        ("model=gpt-realtime&model=gpt-realtime", 400),
        ("model=gpt-realtime&deployment=gpt-realtime", 400),
        ("intent=other", 403),
        ("intent=transcription&intent=transcription", 400),
        ("call_id=a%26model%3Devil", 400),
        ("call_id=", 400),
        ("transport=webrtc", 403),
    ] {
        let target = format!("/v1/realtime?{query}");
        let refused = world.refused(&target, &[("api-key", KEY)]).await;
        assert_eq!(refused.status, status, "{query}: {}", refused.body);
    }
    let refused = world.refused("/v1/realtime?intent=other", &[]).await;
    refused.is(401, "unauthenticated");
    assert_eq!(world.upstream_total(), 0);
}

#[tokio::test]
async fn b04_a_relays_models_are_locked_in_messages_too() {
    let world = World::with(openai()).await;
    let mut caller = world
        .ask("/v1/realtime?model=sim-echo", &[("api-key", KEY)])
        .await
        .unwrap();
    let fine = r#"{"type":"session.update","session":{"type":"realtime","model":"gpt-realtime"}}"#;
    caller.send(text(fine)).await;
    assert_eq!(caller.next().await, Some(text(fine)));
    caller
        .send(text(&fine.replace("gpt-realtime", "gpt-5")))
        .await;
    let (code, reason) = caller.closed().await;
    assert_eq!((code, reason.as_str()), (Some(1008), "forbidden"));
}

#[tokio::test]
async fn azure_openai_names_deployments_and_versions() {
    let upstream = format!(
        "url = \"UPSTREAM/openai/realtime\"\nmodel_parameter = \"deployment\"\n\
         api_version = \"2025-04-01-preview\"\ncredential = {{ key = \"{UPSTREAM_KEY}\" }}"
    );
    let route = "models = [\"gpt-realtime\"]\napi_versions = [\"2025-10-01\"]";
    let world = World::with(wish(Service::AzureOpenAi, &upstream, route)).await;
    for (query, expected) in [
        ("", "api-version=2025-04-01-preview"),
        (
            "?deployment=gpt-realtime&api-version=2025-10-01",
            "api-version=2025-10-01",
        ),
    ] {
        let target = format!("/v1/realtime{query}");
        let caller = world.ask(&target, &[("api-key", KEY)]).await.unwrap();
        let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
        let expected = format!("/openai/realtime?{expected}&deployment=gpt-realtime");
        assert_eq!(seen.target, expected);
        assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        drop(caller);
        world.settles().await;
    }
    let target = "/v1/realtime?api-version=2024-01-01";
    let refused = world.refused(target, &[("api-key", KEY)]).await;
    refused.is(403, "forbidden");
}

/// An orchestrator asks for no credential, has a query and a subprotocol of its own, and is told
/// who calls.
#[tokio::test]
async fn b13_an_orchestrator_is_told_who_calls_and_nobody_else_can_say_it() {
    let mut wish = wish(
        Service::OpenAi,
        "url = \"UPSTREAM/v1/realtime?intent=voice\"\ncredential = { none = true }\n\
         subprotocol = \"realtime\"\nidentity_headers = true\nheaders = { X-Fleet = \"a b\" }",
        "require = [\"users\", \"key\"]\nmodels = [\"sim-echo\"]",
    );
    wish.more = wish.more.replace("admit = [\"key\"]\n", "");
    wish.upstream_takes_any = true;
    let issued = Issued::with(wish, AUDIENCE, "").await;
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let headers = [
        ("Authorization", bearer.as_str()),
        ("api-key", KEY),
        ("x-tonegate-subject", "root"),
        ("x-tonegate-tenant", "root"),
        ("X-Fleet", "mine"),
    ];
    let caller = issued.world.ask("/v1/realtime", &headers).await.unwrap();
    let seen = issued
        .world
        .upstream_saw(|seen| seen.scenario.is_some())
        .await;
    assert_eq!(seen.target, "/v1/realtime?intent=voice&model=sim-echo");
    let one = |name: &str| {
        let values: Vec<_> = seen
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .collect();
        assert_eq!(values.len(), 1, "{name}");
        values[0].1.clone()
    };
    assert_eq!(one("x-fleet"), "a b");
    assert_eq!(one("x-tonegate-route"), "target");
    assert_eq!(one("x-tonegate-way"), "users");
    assert_eq!(one("x-tonegate-tenant"), TENANT);
    assert_eq!(one("sec-websocket-protocol"), "realtime");
    let subject = one("x-tonegate-subject");
    assert!(!subject.is_empty() && subject != "root", "{subject}");
    assert_eq!(one("x-tonegate-session").len(), 24);
    for credential in ["authorization", "api-key"] {
        assert_eq!(seen.header(credential).count(), 0, "{credential}");
    }
    drop(caller);
    issued.world.settles().await;
}

#[tokio::test]
async fn a_subprotocol_that_the_target_does_not_choose_is_no_101() {
    let upstream = format!(
        "url = \"UPSTREAM/voice-live/realtime?api-version=2026-07-15\"\nsubprotocol = \"realtime\"\n\
         credential = {{ key = \"{UPSTREAM_KEY}\" }}"
    );
    let wish = wish(Service::VoiceLive, &upstream, "models = [\"sim-echo\"]");
    let world = World::with(wish).await;
    let refused = world.refused("/v1/realtime", &[("api-key", KEY)]).await;
    refused.is(502, "upstream_refused");
    assert_eq!(world.upstream_total(), 1);
}

/// A URL may have a query and no path.
#[tokio::test]
async fn a_target_without_a_path_is_asked_for_its_root() {
    let upstream = "url = \"UPSTREAM?x=1\"\ncredential = { none = true }";
    let wish = Wish {
        upstream_takes_any: true,
        ..wish(Service::OpenAi, upstream, "models = [\"sim-echo\"]")
    };
    let world = World::with(wish).await;
    // The simulator has nothing there, which is seen only if it was asked.
    let refused = world.refused("/v1/realtime", &[("api-key", KEY)]).await;
    refused.is(502, "upstream_refused");
    let seen = world.upstream_saw(|_| true).await;
    assert_eq!(seen.target, "/?x=1&model=sim-echo");
}

/// Voice Live gets a caller's token only if it is for Voice Live; whoever names a target of his own
/// knows whose tokens that takes.
#[tokio::test]
async fn b15_a_relay_passes_the_callers_own_token_on_where_it_is_told_to() {
    let mut wish = wish(
        Service::OpenAi,
        "url = \"UPSTREAM/v1/realtime\"\ncredential = { caller = true }",
        "admit = [\"users\"]\nmodels = [\"sim-echo\"]",
    );
    wish.more = wish.more.replacen("admit = [\"key\"]\n", "", 1);
    wish.upstream_takes_any = true;
    let issued = Issued::with(wish, AUDIENCE, "").await;
    let bearer = format!("Bearer {}", issued.token(|_| {}));
    let shown = [("Authorization", bearer.as_str())];
    let caller = issued.world.ask("/v1/realtime", &shown).await.unwrap();
    let seen = issued
        .world
        .upstream_saw(|seen| seen.scenario.is_some())
        .await;
    assert_eq!(
        seen.header("authorization").collect::<Vec<_>>(),
        [bearer.as_str()]
    );
    drop(caller);
}

const GOOD: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\
        [upstreams.target]\nkind = \"relay\"\nurl = \"wss://a.example/v1?x=1\"\n\
        credential = { none = true }\n\
        [upstreams.voice]\nkind = \"voice-live\"\nresource = \"res\"\ncredential = { key = \"k\" }\n\
        [[routes]]\nname = \"r\"\nkind = \"relay\"\npaths = [\"/r\"]\nadmit = [\"anyone\"]\n\
        upstreams = [\"target\"]\n";

const URL: &str = "url = \"wss://a.example/v1?x=1\"";
const UPSTREAMS: &str = "upstreams = [\"target\"]";
const NONE: &str = "credential = { none = true }";

/// A text of [`GOOD`], what stands there instead, and what the message names.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        URL,
        "url = \"wss://a.example:99999/\"",
        "upstreams.target.url",
    ),
    (
        URL,
        "url = \"wss://a.example/?API-version=1\"\napi_version = \"2\"",
        "routes.r.api_versions",
    ),
    (
        NONE,
        "credential = { none = true }\nmodel_parameter = \"api-version\"",
        "model_parameter",
    ),
    (
        NONE,
        "credential = { none = true }\nmodel_parameter = \"token\"",
        "model_parameter",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nparameters = { mode = [] }",
        "routes.r.parameters",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nparameters = { conversationId = [] }",
        "routes.r.parameters",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nparameters = { client_secret = [] }",
        "routes.r.parameters",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"targt\"]",
        "did you mean \"target\"?",
    ),
    (
        "admit = [\"anyone\"]",
        "admit = [\"key\"]\n[[keys]]\nname = \"k\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\nmodels = [\"m\"]\n[[routes]]\nname = \"s\"\nkind = \"relay\"\npaths = [\"/s\"]\nadmit = [\"key\"]",
        "routes.s.models",
    ),
    (
        "credential = { key = \"k\" }",
        "credential = { managed_identity = true, client_id = \"x\" }",
        "credential.client_id",
    ),
    (
        "credential = { key = \"k\" }",
        "credential = { managed_identity = true, header = \"api-key\" }",
        "credential.header",
    ),
    (
        URL,
        "url = \"wss://a.example/?api-key=s\"",
        "upstreams.target.url",
    ),
    (
        URL,
        "url = \"wss://u:p@a.example/\"",
        "upstreams.target.url",
    ),
    (URL, "url = \"https://a.example/\"", "upstreams.target.url"),
    (URL, "url = \"ws://a.example/\"", "upstreams.target.url"),
    (NONE, "", "upstreams.target.credential"),
    (
        NONE,
        "credential = { none = true, caller = true }",
        "upstreams.target.credential",
    ),
    (
        NONE,
        "credential = { none = true, scope = \"x/.default\" }",
        "credential.scope",
    ),
    (
        NONE,
        "credential = { key = \"k\", header = \"x\" }",
        "credential.header",
    ),
    (
        NONE,
        "credential = { managed_identity = true, scope = \"x\" }",
        "credential.scope",
    ),
    (
        NONE,
        "credential = { none = true }\nheaders = { Authorization = \"x\" }",
        "headers.Authorization",
    ),
    (
        NONE,
        "credential = { none = true }\nheaders = { x-tonegate-a = \"x\" }",
        "headers.x-tonegate-a",
    ),
    (
        NONE,
        "credential = { none = true }\nheaders = { a = \"x\\ny\" }",
        "headers.a",
    ),
    (
        NONE,
        "credential = { none = true }\nweb_rtc_api_version = \"1\"",
        "web_rtc_api_version",
    ),
    (
        NONE,
        "credential = { none = true }\nsubprotocol = \"a b\"",
        "subprotocol",
    ),
    (UPSTREAMS, "upstreams = [\"voice\"]", "routes.r.upstreams"),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nagents = [\"a\"]",
        "routes.r.agents",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nlock_models = true",
        "routes.r.lock_models",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nparameters = { token = [] }",
        "routes.r.parameters",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nparameters = { x = [] }",
        "fixed in the url",
    ),
    (
        UPSTREAMS,
        "upstreams = [\"target\"]\nparameters = { model = [] }",
        "routes.r.parameters",
    ),
    (
        "kind = \"relay\"\npaths",
        "kind = \"http\"\npaths",
        "routes.r.upstreams",
    ),
    (
        "kind = \"voice-live\"",
        "kind = \"voice-live\"\nidentity_headers = true",
        "upstreams.voice.identity_headers",
    ),
    (
        "credential = { key = \"k\" }",
        "credential = { none = true }",
        "upstreams.voice.credential",
    ),
];

#[test]
fn what_has_no_effect_or_hides_a_secret_is_no_setting() {
    let problems = |text: &str| match Settings::read_text("edge.toml", text) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(problems(GOOD), "");
    for (from, to, named) in MISTAKES {
        assert!(GOOD.contains(from), "{from}");
        let text = problems(&GOOD.replacen(from, to, 1));
        assert!(text.contains(named), "{from} -> {to} gave: {text}");
    }
}
