//! B19: the four things that a proxy in nginx cannot do, as the old proxy's guide lists them.

use serde_json::json;
use tonegate::sim::issuer::mint::Mint;

use crate::harness::{KEY, UPSTREAM_KEY, Wish, text};
use crate::tokens::{Issued, TENANT, VOICE_LIVE};

/// A route that shows Voice Live the caller's own token, else the key.
async fn passing(route: &str) -> Issued {
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        upstream_takes_any: true,
        route: route.to_owned(),
        ..Wish::default()
    };
    Issued::with(wish, VOICE_LIVE, "").await
}

fn token(issued: &Issued) -> String {
    let mint = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    issued.provider.mint(&mint)
}

#[tokio::test]
async fn b19_1_a_token_in_the_query_goes_upstream_in_a_header() {
    let issued = passing("").await;
    let token = token(&issued);
    let target = format!("/ws?mode=standard&model=sim-echo&token={token}");
    let mut caller = issued.world.ask(&target, &[]).await.unwrap();
    caller.send(text("in")).await;
    assert_eq!(caller.next().await, Some(text("in")));
    let seen = issued
        .world
        .upstream_saw(|seen| seen.received.text > 0)
        .await;
    let bearer = format!("Bearer {token}");
    assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [&bearer]);
    assert_eq!(seen.header("api-key").count(), 0);
    assert_eq!(
        seen.target,
        "/voice-live/realtime?api-version=2026-07-15&model=sim-echo"
    );
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
}

#[tokio::test]
async fn b19_2_the_url_of_an_agent_is_built_for_each_request() {
    let agents = "agents = [\"asst_1\", \"helper\"]\nprojects = [\"support\", \"sales\"]";
    let issued = passing(agents).await;
    let token = token(&issued);
    let base = "/voice-live/realtime?api-version=2026-07-15";
    for (query, upstream) in [
        ("mode=agent", "agent-id=asst_1&agent-project-name=support"),
        (
            "mode=agent&agentId=asst_1&projectName=sales",
            "agent-id=asst_1&agent-project-name=sales",
        ),
        (
            "agent-name=helper&agent-project-name=sales",
            "agent-name=helper&agent-project-name=sales",
        ),
    ] {
        let target = format!("/ws?{query}&token={token}");
        let caller = issued.world.ask(&target, &[]).await;
        let caller = caller.unwrap_or_else(|refused| panic!("{query}: {}", refused.body));
        let seen = issued
            .world
            .upstream_saw(|seen| seen.target.contains("agent"))
            .await;
        assert_eq!(seen.target, format!("{base}&{upstream}"));
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        drop(caller);
        issued.world.settles().await;
    }
    let dialled = issued.world.upstream_total();
    for (query, status) in [
        ("mode=agent&agentId=other", 403),
        ("agentName=helper&projectName=other", 403),
        ("agentName=helper%26model%3Dx", 400),
        ("agentName=helper&agentName=asst_1", 400),
    ] {
        let target = format!("/ws?{query}&token={token}");
        assert_eq!(
            issued.world.refused(&target, &[]).await.status,
            status,
            "{query}"
        );
    }
    // Agents take tokens, never a key.
    let refused = issued
        .world
        .refused("/ws?mode=agent", &[("api-key", KEY)])
        .await;
    refused.is(401, "unauthenticated");
    assert!(
        refused
            .body
            .contains("Agent mode requires token parameter (MSAL)")
    );
    assert_eq!(issued.world.upstream_total(), dialled);
}

#[tokio::test]
async fn b19_3_keys_and_tokens_mix_on_one_route_and_each_goes_upstream_as_what_it_is() {
    let issued = passing("").await;
    let token = token(&issued);
    let bearer = format!("Bearer {token}");
    for _ in 0..2 {
        for (headers, name, value) in [
            (("api-key", KEY), "api-key", UPSTREAM_KEY),
            (
                ("Authorization", bearer.as_str()),
                "authorization",
                bearer.as_str(),
            ),
        ] {
            let target = "/ws?model=sim-echo";
            let mut caller = issued.world.ask(target, &[headers]).await.unwrap();
            let seen = issued
                .world
                .upstream_saw(|seen| seen.scenario.is_some())
                .await;
            assert_eq!(seen.header(name).collect::<Vec<_>>(), [value]);
            let credentials = ["api-key", "authorization"].map(|name| seen.header(name).count());
            assert_eq!(credentials.iter().sum::<usize>(), 1);
            // The caller's own key goes nowhere.
            assert!(seen.headers.iter().all(|(_, value)| !value.contains(KEY)));
            caller.close(1000, "").await;
            caller.closed().await;
        }
    }
}

#[tokio::test]
async fn b19_4_a_token_is_verified_before_anything_is_dialled_and_its_keys_are_kept_fresh() {
    let issued = passing("").await;
    let mut expired = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    expired.claims["exp"] = json!(1);
    let other = Mint::entra_v2(
        &issued.provider.base(),
        TENANT,
        "https://management.azure.com",
    );
    for mint in [expired, other] {
        let target = format!("/ws?model=sim-echo&token={}", issued.provider.mint(&mint));
        let refused = issued.world.refused(&target, &[]).await;
        refused.is(401, "unauthenticated");
    }
    assert_eq!(issued.world.upstream_total(), 0);
    let target = format!("/ws?model=sim-echo&token={}", token(&issued));
    assert!(issued.world.ask(&target, &[]).await.is_ok());
    issued.provider.rotate();
    let target = format!("/ws?model=sim-echo&token={}", token(&issued));
    assert!(issued.world.ask(&target, &[]).await.is_ok());
}

#[tokio::test]
async fn b16_an_upstream_that_refuses_the_callers_token_is_told_as_such() {
    let issued = passing("").await;
    let token = token(&issued);
    for (model, status) in [("sim-refuse-401", 401), ("sim-refuse-403", 403)] {
        let target = format!("/ws?model={model}&token={token}");
        let refused = issued.world.refused(&target, &[]).await;
        refused.is(status, "upstream_unauthorized");
        // With a key it is the edge's own credential, and none of the client's business.
        let target = format!("/ws?model={model}");
        let refused = issued.world.refused(&target, &[("api-key", KEY)]).await;
        refused.is(502, "upstream_unauthorized");
    }
}

#[tokio::test]
async fn b04_b11_a_key_that_is_required_beside_the_token_narrows_the_agents() {
    let wish = Wish {
        admit: "]\nrequire = [\"key\", \"users\"".to_owned(),
        accept: "\"header\", \"query\"".to_owned(),
        credential: "{ caller = true }".to_owned(),
        upstream_takes_any: true,
        key: "agents = [\"helper\"]".to_owned(),
        route: "agents = [\"asst_1\", \"helper\"]\nprojects = [\"support\"]".to_owned(),
        ..Wish::default()
    };
    let issued = Issued::with(wish, VOICE_LIVE, "").await;
    let bearer = format!("Bearer {}", token(&issued));
    let headers = [("api-key", KEY), ("Authorization", bearer.as_str())];
    for (query, enters) in [
        ("mode=agent", true),
        ("mode=agent&agentName=helper", true),
        ("mode=agent&agentId=asst_1", false),
    ] {
        let target = format!("/ws?{query}");
        match issued.world.ask(&target, &headers).await {
            Ok(_) => assert!(enters, "{query}"),
            Err(refused) => {
                assert!(!enters, "{query}: {}", refused.body);
                refused.is(403, "forbidden");
            }
        }
    }
    let seen = issued
        .world
        .upstream_saw(|seen| seen.target.contains("agent"))
        .await;
    assert!(
        seen.target
            .ends_with("&agent-name=helper&agent-project-name=support")
    );
}

#[tokio::test]
async fn b09_only_a_token_for_voice_live_is_passed_on() {
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        upstream_takes_any: true,
        ..Wish::default()
    };
    // One issuer for three audiences: ours, and both of Voice Live's.
    let audiences = [
        ("api://media-edge", false),
        ("https://cognitiveservices.azure.com", true),
        ("https://ai.azure.com", true),
    ];
    let listed = audiences.map(|(audience, _)| audience).join("\", \"");
    let issued = Issued::with(wish, &listed, "").await;
    for (audience, passed_on) in audiences {
        let mint = Mint::entra_v2(&issued.provider.base(), TENANT, audience);
        let bearer = format!("Bearer {}", issued.provider.mint(&mint));
        let headers = [("Authorization", bearer.as_str())];
        let caller = issued.world.ask("/ws?model=sim-echo", &headers).await;
        let caller = caller.unwrap();
        let seen = issued
            .world
            .upstream_saw(|seen| seen.scenario.is_some())
            .await;
        let shown = ["authorization", "api-key"].map(|name| seen.header(name).count());
        let expected = if passed_on { [1, 0] } else { [0, 1] };
        assert_eq!(shown, expected, "{audience}");
        drop(caller);
        issued.world.settles().await;
    }
}

#[tokio::test]
async fn b16_whom_the_upstream_turned_away_is_not_let_in_with_our_key() {
    let wish = Wish {
        credential: "{ caller = true }".to_owned(),
        admit: "\"users\"".to_owned(),
        accept: "\"query\"".to_owned(),
        upstream_takes_any: true,
        ..Wish::default()
    };
    let mut issued = Issued::with(wish, VOICE_LIVE, "").await;
    // The same world once more, with a second upstream that has a key of ours.
    let spare = format!(
        "[upstreams.spare]\nkind = \"voice-live\"\nurl = \"wss://localhost:{}\"\n\
         credential = {{ key = \"spare\" }}\nroots = \"ca.pem\"\n",
        issued.world.upstream.port()
    );
    let one = "upstreams = [\"voice\"]";
    let two = "upstreams = [\"voice\", \"spare\"]";
    assert!(issued.world.settings.contains(one));
    let settings = issued.world.settings.replace(one, two) + &spare;
    let file = issued.world.folder.join("two.toml");
    std::fs::write(&file, settings).unwrap();
    let read = tonegate::config::Settings::read(&[file]).unwrap();
    let edge = tonegate::app::Edge::start(&read).unwrap();
    let token = token(&issued);
    let world = &mut issued.world;
    let _first = world.edge.replace(edge);
    world.port = world.edge().public().port();
    let target = format!("/ws?model=sim-refuse-401&token={token}");
    let dialled = world.upstream_total();
    let refused = world.refused(&target, &[]).await;
    refused.is(401, "upstream_unauthorized");
    assert_eq!(world.upstream_total(), dialled + 1, "another was asked");
    // Any other failure is tried elsewhere.
    let target = format!("/ws?model=sim-refuse-500&token={token}");
    world.refused(&target, &[]).await;
    assert_eq!(world.upstream_total(), dialled + 3);
}
