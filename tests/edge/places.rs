//! Where a credential may sit, and what the `101` says of it: nothing.

use tonegate::secret::Digest;

use crate::harness::{KEY, Wish, World, text};

type Headers<'a> = &'a [(&'a str, &'a str)];
const TARGET: &str = "/ws?model=sim-echo";

async fn accepting(accept: &str, route: &str) -> World {
    World::with(Wish {
        accept: accept.to_owned(),
        route: route.to_owned(),
        ..Wish::default()
    })
    .await
}

#[tokio::test]
async fn b05_a_browser_brings_its_key_in_a_subprotocol_and_gets_it_back_from_nobody() {
    let world = accepting("\"subprotocol\"", "").await;
    for offer in [
        format!("realtime, openai-insecure-api-key.{KEY}"),
        format!("openai-insecure-api-key.{KEY}, realtime"),
        format!("realtime, authorization.bearer.{KEY}, openai-beta.realtime-v1"),
        format!("bearer.{KEY}, realtime"),
    ] {
        let headers: Headers<'_> = &[("Sec-WebSocket-Protocol", &offer)];
        let mut caller = world.ask(TARGET, headers).await.unwrap();
        let chosen: Vec<_> = caller.head.all("sec-websocket-protocol").collect();
        assert_eq!(chosen, ["realtime"], "{offer}");
        assert!(
            caller
                .head
                .headers
                .iter()
                .all(|(_, value)| !value.contains(KEY))
        );
        caller.send(text("in")).await;
        assert_eq!(caller.next().await, Some(text("in")));
        let seen = world.upstream_saw(|seen| seen.received.text > 0).await;
        assert_eq!(seen.header("sec-websocket-protocol").count(), 0);
        assert!(seen.headers.iter().all(|(_, value)| !value.contains(KEY)));
        caller.close(1000, "").await;
        caller.closed().await;
    }
    world.settles().await;
}

#[tokio::test]
async fn s11_an_offer_without_anything_spoken_here_is_refused_and_nothing_is_echoed() {
    let world = accepting("\"subprotocol\", \"header\"", "").await;
    for offer in [
        format!("bearer.{KEY}"),
        format!("openai-insecure-api-key.{KEY}"),
        "graphql-ws".to_owned(),
        "REALTIME".to_owned(),
        "realtime, realtime".to_owned(),
        "realtime,, v2".to_owned(),
    ] {
        let headers: Headers<'_> = &[("api-key", KEY), ("Sec-WebSocket-Protocol", &offer)];
        let refused = world.refused(TARGET, headers).await;
        refused.is(400, "bad_request");
        assert!(!refused.head.contains(KEY) && !refused.body.contains(KEY));
    }
    assert_eq!(world.upstream_total(), 0);
    world.still_serves().await;
}

#[tokio::test]
async fn b05_a_cookie_enters_from_a_known_page_only() {
    let route = "cookie = \"session\"\nwithout_origin = false";
    let world = accepting("\"cookie\"", route).await;
    let cookie = format!("theme=dark; session={KEY}");
    let page = ("Origin", "https://app.example.com");
    let caller = world.ask(TARGET, &[("Cookie", &cookie), page]).await;
    drop(caller.unwrap());
    let cases: &[(Headers<'_>, u16)] = &[
        (&[("Cookie", &cookie)], 403),
        (&[("Cookie", &cookie), ("Origin", "null")], 403),
        (
            &[("Cookie", &cookie), ("Origin", "https://evil.example")],
            403,
        ),
        (&[page], 401),
        (&[("Cookie", "session="), page], 401),
        (&[("Cookie", &cookie), ("Cookie", &cookie), page], 400),
        (&[("api-key", KEY), page], 401),
    ];
    for (headers, status) in cases {
        let refused = world.refused(TARGET, headers).await;
        assert_eq!(refused.status, *status, "{headers:?}");
    }
    assert_eq!(world.upstream_total(), 1);
}

#[tokio::test]
async fn b04_a_key_opens_its_own_routes_only() {
    let world = World::with(Wish {
        key: "routes = [\"browser\"]".to_owned(),
        more: format!(
            "[[keys]]\nname = \"other\"\nsha256 = \"{}\"\nroutes = [\"second\"]\n\
             [[routes]]\nname = \"second\"\npaths = [\"/second\"]\nkind = \"voice-live\"\n\
             admit = [\"key\"]\nmodels = [\"sim-echo\"]\nupstreams = [\"voice\"]\n",
            Digest::of("other-key").to_hex()
        ),
        ..Wish::default()
    })
    .await;
    for (path, key, enters) in [
        ("/ws", KEY, true),
        ("/second", KEY, false),
        ("/ws", "other-key", false),
        ("/second", "other-key", true),
    ] {
        let target = format!("{path}?model=sim-echo");
        match world.ask(&target, &[("api-key", key)]).await {
            Ok(_) => assert!(enters, "{path} {key}"),
            Err(refused) => {
                assert!(!enters, "{path} {key}");
                refused.is(403, "forbidden");
            }
        }
    }
    assert_eq!(world.upstream_total(), 2);
}

#[tokio::test]
async fn a_key_that_names_no_route_or_one_that_is_not_there_does_not_start() {
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[[keys]]\nname = \"k\"\nsha256 = \"\"\n\
                routes = [\"nowhere\"]\n";
    let error = tonegate::config::Settings::read_text("edge.toml", text).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("keys.k.sha256"), "{error}");
    let text = text.replace("\"\"\n", &format!("\"{}\"\n", Digest::of("k").to_hex()));
    let error = tonegate::config::Settings::read_text("edge.toml", &text).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("there is no route nowhere"), "{error}");
}
