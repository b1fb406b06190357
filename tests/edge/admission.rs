//! Who may enter, and that nobody else costs anything.

use tonegate::secret::Digest;

use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, request, text};

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Asks and is refused: the whole form of a refusal, and one more in its counter.
async fn refuses(world: &World, target: &str, headers: Headers<'_>, status: u16, reason: &str) {
    let series = format!("tonegate_requests_total{{route=\"browser\",result=\"{reason}\"}}");
    let before = world.count(&series);
    let refused = world.refused(target, headers).await;
    assert_eq!(
        refused.status, status,
        "{target} {headers:?}: {}",
        refused.body
    );
    refused.is(status, reason);
    assert!(!refused.body.contains(KEY) && !refused.head.contains(KEY));
    assert_eq!(world.count(&series), before + 1, "{series}");
}

/// Nothing has been dialled so far, and a good caller is served. The upstream accepts in order, so
/// an earlier connection would have been counted.
async fn nobody_entered(world: &World) {
    world.still_serves().await;
    assert_eq!(
        world.upstream_total(),
        1,
        "a refused request was dialled for"
    );
    world.settles().await;
}

#[tokio::test]
async fn b04_a_key_enters_by_header_by_query_and_by_both() {
    let world = World::usual().await;
    let bearer = format!("Bearer {KEY}");
    let in_query = format!("/ws?model=sim-echo&api-key={KEY}");
    let cases: &[(&str, Headers<'_>)] = &[
        ("/ws?model=sim-echo", &[("api-key", KEY)]),
        ("/ws?model=sim-echo", &[("Api-Key", KEY)]),
        ("/ws?model=sim-echo", &[("Authorization", &bearer)]),
        (&in_query, &[]),
        // Microsoft's SDK for Node says it twice.
        (&in_query, &[("api-key", KEY)]),
        (
            "/voice-live/realtime?api-version=2025-10-01&model=sim-echo",
            &[("api-key", KEY)],
        ),
    ];
    for (target, headers) in cases {
        let mut caller = match world.ask(target, headers).await {
            Ok(caller) => caller,
            Err(refused) => panic!("{target} {headers:?}: {}", refused.body),
        };
        caller.send(text("in")).await;
        assert_eq!(caller.next().await, Some(text("in")));
        caller.close(1000, "").await;
        caller.closed().await;
    }
    let admitted = "tonegate_requests_total{route=\"browser\",result=\"admitted\"}";
    assert_eq!(world.count(admitted), cases.len() as u64);
    world.settles().await;
}

#[tokio::test]
async fn s12_what_is_not_the_key_stays_outside() {
    let world = World::usual().await;
    let (digest, upper) = (Digest::of(KEY).to_hex(), KEY.to_uppercase());
    let (shorter, longer) = (&KEY[..KEY.len() - 1], format!("{KEY}x"));
    let wrong = [
        shorter,
        &longer,
        &KEY[1..],
        &upper,
        &digest,
        UPSTREAM_KEY,
        "x",
        "",
        "*",
    ];
    for key in wrong {
        let target = format!("/ws?model=sim-echo&api-key={key}");
        let bearer = format!("Bearer {key}");
        let plain = "/ws?model=sim-echo";
        refuses(&world, plain, &[("api-key", key)], 401, "unauthenticated").await;
        refuses(
            &world,
            plain,
            &[("authorization", &bearer)],
            401,
            "unauthenticated",
        )
        .await;
        refuses(&world, &target, &[], 401, "unauthenticated").await;
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s11_the_key_in_a_wrong_place_is_no_key() {
    let world = World::usual().await;
    let (basic, cookie) = (format!("Basic {KEY}"), format!("api-key={KEY}"));
    let (bare, protocol) = (KEY.to_owned(), format!("realtime, {KEY}"));
    let capital = format!("/ws?model=sim-echo&Api-Key={KEY}");
    let blank = format!("/ws?model=sim-echo&api-key=%20{KEY}");
    let cases: &[(&str, Headers<'_>)] = &[
        ("/ws?model=sim-echo", &[]),
        ("/ws?model=sim-echo", &[("x-api-key", KEY)]),
        ("/ws?model=sim-echo", &[("api_key", KEY)]),
        ("/ws?model=sim-echo", &[("ocp-apim-subscription-key", KEY)]),
        ("/ws?model=sim-echo", &[("authorization", &basic)]),
        ("/ws?model=sim-echo", &[("authorization", &bare)]),
        ("/ws?model=sim-echo", &[("cookie", &cookie)]),
        (
            "/ws?model=sim-echo",
            &[("sec-websocket-protocol", &protocol)],
        ),
        (&capital, &[]),
        (&blank, &[]),
    ];
    for (target, headers) in cases {
        refuses(&world, target, headers, 401, "unauthenticated").await;
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn s11_a_key_counts_only_where_the_route_accepts_it() {
    for (accept, header_enters) in [("\"header\"", true), ("\"query\"", false)] {
        let world = World::with(Wish {
            accept: accept.to_owned(),
            ..Wish::default()
        })
        .await;
        let in_query = format!("/ws?model=sim-echo&api-key={KEY}");
        let by_header = ("/ws?model=sim-echo", [("api-key", KEY)].to_vec());
        let by_query = (in_query.as_str(), Vec::new());
        let (good, bad) = if header_enters {
            (by_header, by_query)
        } else {
            (by_query, by_header)
        };
        refuses(&world, bad.0, &bad.1, 401, "unauthenticated").await;
        let mut caller = world.ask(good.0, &good.1).await.ok().unwrap();
        caller.send(text("in")).await;
        assert_eq!(caller.next().await, Some(text("in")));
        assert_eq!(world.upstream_total(), 1);
    }
}

#[tokio::test]
async fn s11_an_ambiguous_credential_is_refused() {
    let world = World::usual().await;
    let bearer = format!("Bearer {KEY}");
    let twice = format!("/ws?model=sim-echo&api-key={KEY}&api-key={KEY}");
    let encoded = format!("/ws?model=sim-echo&api-key={KEY}&api%2Dkey={KEY}");
    let once = format!("/ws?model=sim-echo&api-key={KEY}");
    let cases: &[(&str, Headers<'_>)] = &[
        ("/ws?model=sim-echo", &[("api-key", KEY), ("api-key", KEY)]),
        (
            "/ws?model=sim-echo",
            &[("api-key", KEY), ("API-KEY", "other")],
        ),
        (
            "/ws?model=sim-echo",
            &[("authorization", &bearer), ("authorization", &bearer)],
        ),
        (
            "/ws?model=sim-echo",
            &[("api-key", KEY), ("authorization", "Bearer other")],
        ),
        (
            "/ws?model=sim-echo",
            &[("api-key", "other"), ("authorization", &bearer)],
        ),
        ("/ws?model=sim-echo", &[("api-key", "schlüssel")]),
        ("/ws?model=sim-echo&api-key=other", &[("api-key", KEY)]),
        (&once, &[("api-key", "other")]),
        (&once, &[("api-key", "")]),
        (&twice, &[]),
        (&encoded, &[]),
    ];
    for (target, headers) in cases {
        refuses(&world, target, headers, 400, "bad_request").await;
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn b04_a_key_opens_the_models_of_its_list_only() {
    let world = World::with(Wish {
        key: "models = [\"sim-echo\", \"gpt-4o\"]".to_owned(),
        more: format!(
            "[[keys]]\nname = \"other\"\nsha256 = \"{}\"\nmodels = [\"sim-sink\"]\n",
            Digest::of("other-key").to_hex()
        ),
        ..Wish::default()
    })
    .await;
    let cases = [
        ("sim-sink", KEY),
        ("gpt-realtime", KEY),
        ("SIM-ECHO", KEY),
        ("gpt-5", KEY),
        ("sim-echo", "other-key"),
        ("gpt-4o", "other-key"),
    ];
    for (model, key) in cases {
        let target = format!("/ws?model={model}");
        refuses(&world, &target, &[("api-key", key)], 403, "forbidden").await;
    }
    nobody_entered(&world).await;
    // Without a wish it is the first model of the route that the key may have.
    for (key, model) in [(KEY, "gpt-4o"), ("other-key", "sim-sink")] {
        let mut caller = world.ask("/ws", &[("api-key", key)]).await.ok().unwrap();
        let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
        assert_eq!(seen.query[1], ("model".to_owned(), model.to_owned()));
        caller.close(1000, "").await;
        caller.closed().await;
    }
    world.settles().await;
}

#[tokio::test]
async fn s13_a_model_cannot_carry_anything_but_a_name() {
    let world = World::usual().await;
    let long = format!("/ws?model={}", "m".repeat(65));
    let targets = [
        "/ws?model=gpt%26agent-id%3Devil",
        "/ws?model=gpt-realtime%26api-key%3Devil",
        "/ws?model=gpt-realtime%23x",
        "/ws?model=gpt-realtime%0d%0aX-Evil:%201",
        "/ws?model=gpt-realtime%00",
        "/ws?model=gpt-realtime%20",
        "/ws?model=gpt-realtime+",
        "/ws?model=..%2F..%2Fopenai",
        "/ws?model=%ff",
        "/ws?model=%2565cho",
        "/ws?model=",
        "/ws?model",
        "/ws?model=gpt-realtime&model=gpt-realtime",
        "/ws?model=gpt-realtime&model=gpt-4o",
        "/ws?model=gpt-realtime&mod%65l=gpt-4o",
        &long,
    ];
    for target in targets {
        refuses(&world, target, &[("api-key", KEY)], 400, "bad_request").await;
    }
    nobody_entered(&world).await;
}

#[tokio::test]
async fn b04_a_key_has_its_sessions_and_gets_them_back() {
    let world = World::with(Wish {
        key: "limits = { sessions = 2 }".to_owned(),
        ..Wish::default()
    })
    .await;
    // What fails upstream gives its session back at once.
    for _ in 0..3 {
        world
            .refused("/ws?model=sim-refuse-500", &[("api-key", KEY)])
            .await
            .is(502, "upstream_refused");
    }
    let mut first = world.call("sim-echo").await;
    let mut second = world.call("sim-echo").await;
    let dialled = world.upstream_total();
    for _ in 0..3 {
        refuses(
            &world,
            "/ws?model=sim-echo",
            &[("api-key", KEY)],
            503,
            "busy",
        )
        .await;
    }
    assert_eq!(world.upstream_total(), dialled);
    for caller in [&mut first, &mut second] {
        caller.send(text("not disturbed")).await;
        assert_eq!(caller.next().await, Some(text("not disturbed")));
        caller.close(1000, "").await;
        caller.closed().await;
    }
    drop((first, second));
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn s01_a_second_request_behind_a_refused_one_is_not_served() {
    let world = World::usual().await;
    let good = request("/ws?model=sim-echo", &[("api-key", KEY)]);
    let firsts = [
        request("/ws?model=sim-echo", &[]),
        request("/nowhere", &[("api-key", KEY)]),
        good.replace("Version: 13", "Version: 777"),
        good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        good.replace("Upgrade: websocket", "Upgrade: h2c"),
        good.replace("GET ", "POST "),
        request(
            "/ws?model=sim-echo",
            &[("api-key", KEY), ("Content-Length", "0")],
        ),
    ];
    for first in &firsts {
        let refused = world
            .refused_bytes(format!("{first}{good}").as_bytes())
            .await;
        // Exactly one answer: anything behind it would break the problem document.
        let reason = refused.reason();
        refused.is(refused.status, &reason);
    }
    nobody_entered(&world).await;
}
