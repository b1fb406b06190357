//! Where a ticket may sit, and what it is bound to.

use serde_json::json;

use super::*;
use crate::harness::KEY;

const COOKIE: &str = "[[routes]]\nname = \"page\"\npaths = [\"/page\"]\nkind = \"voice-live\"\n\
     admit = [\"ticket\"]\naccept = [\"cookie\"]\norigins = [\"https://app.example.com\"]\n\
     without_origin = false\nmodels = [\"sim-echo\"]\nupstreams = [\"voice\"]\n";

#[tokio::test]
async fn a32_s11_a_ticket_opens_one_session_from_every_place_and_goes_nowhere() {
    let world = World::with(Wish {
        more: format!("{COOKIE}{}", tables()),
        ..wish()
    })
    .await;
    let mut tried = 0;
    for place in 0..8 {
        let ticket = ticket();
        let bearer = format!("Bearer {ticket}");
        let carrier = |name: &str| format!("realtime, {name}.{ticket}");
        let offers = ["authorization.bearer", "bearer", "openai-insecure-api-key"].map(carrier);
        let offer = |i: usize| vec![("Sec-WebSocket-Protocol", offers[i].as_str())];
        let cookie = format!("tonegate={ticket}");
        let (target, headers) = match place {
            0 => (TARGET.to_owned(), vec![("Authorization", bearer.as_str())]),
            1 => (target(&ticket), Vec::new()),
            2 => (format!("{TARGET}&token={ticket}"), Vec::new()),
            3 => (
                format!("{TARGET}&authorization=Bearer+{ticket}"),
                Vec::new(),
            ),
            4 => (TARGET.to_owned(), offer(0)),
            5 => (TARGET.to_owned(), offer(1)),
            6 => (TARGET.to_owned(), offer(2)),
            _ => (
                "/page?model=sim-echo".to_owned(),
                vec![("Cookie", cookie.as_str()), ("Origin", PAGE)],
            ),
        };
        let mut caller = world
            .ask(&target, &headers)
            .await
            .unwrap_or_else(|refused| {
                panic!("{place}: {}", refused.body);
            });
        let said = caller.head.headers.iter();
        assert!(!said.into_iter().any(|(_, value)| value.contains(&ticket)));
        caller.send(text("in")).await;
        assert_eq!(caller.next().await, Some(text("in")));
        let seen = world.upstream_saw(|seen| seen.received.text > 0).await;
        assert!(!seen.target.contains(&ticket), "{}", seen.target);
        assert!(
            !seen
                .headers
                .iter()
                .any(|(_, value)| value.contains(&ticket))
        );
        caller.close(1000, "").await;
        caller.closed().await;
        // Once, wherever it stands the next time.
        for target in [target.as_str(), &super::target(&ticket)] {
            let refused = world.refused(target, &headers).await;
            assert!(
                matches!(refused.status, 400 | 401),
                "{place}: {}",
                refused.status
            );
            assert!(!refused.head.contains(&ticket) && !refused.body.contains(&ticket));
        }
        tried += 1;
    }
    assert_eq!(tried, 8);
    assert_eq!(counted(&world, "ok"), 7);
    assert_eq!(world.upstream_total(), 8);
    world.settles().await;
    world.still_serves().await;
}

#[tokio::test]
async fn a32_s09_a_ticket_for_something_else_is_refused_before_anything_is_dialled() {
    let world = World::with(wish()).await;
    let page = ("Origin", PAGE);
    let mut late = claims();
    late["iat"] = json!(now() - 60);
    late["exp"] = json!(now() - 30);
    let cases = [
        (with("origin", PAGE), 403, "wrong_origin"),
        (with("route", "phone"), 403, "wrong_route"),
        (with("model", "gpt-4o"), 403, "wrong_model"),
        (with("call", "c-1"), 403, "wrong_call"),
        (sign("one", SECRET, &late), 401, "expired"),
        (with("exp", now() + 600), 401, "invalid"),
        (sign("one", NEXT, &claims()), 401, "invalid"),
        (sign("other", SECRET, &claims()), 401, "invalid"),
        (with("aud", json!([AUDIENCE])), 401, "invalid"),
        (
            with("caller", json!({"way": "key", "name": "tester"})),
            401,
            "invalid",
        ),
    ];
    for (ticket, status, result) in &cases {
        let before = counted(&world, result);
        let refused = world.refused(&target(ticket), &[]).await;
        assert_eq!(refused.status, *status, "{result}: {}", refused.body);
        if refused.status == 401 {
            let challenge = refused.header("www-authenticate").unwrap();
            assert!(challenge.contains("invalid_token"), "{challenge}");
        }
        assert_eq!(counted(&world, result), before + 1, "{result}");
    }
    assert_eq!(world.upstream_total(), 0);
    // What is refused is not spent: from its own page the first one opens.
    speaks(world.ask(&target(&cases[0].0), &[page]).await.unwrap()).await;
    // And a key beside a ticket is one credential too many.
    let refused = world.refused(&target(&ticket()), &[("api-key", KEY)]).await;
    refused.is(400, "bad_request");
    world.still_serves().await;
}

#[tokio::test]
async fn a32_two_keys_are_good_while_they_are_changed_and_the_person_stays_the_same() {
    let world = World::with(Wish {
        route: "limits = { sessions_per_identity = 1 }".to_owned(),
        ..wish()
    })
    .await;
    let of = |kid: &str, secret: &str| {
        let mut claims = claims();
        claims["sub"] = json!("u-1");
        target(&sign(kid, secret, &claims))
    };
    let mut first = world.ask(&of("one", SECRET), &[]).await.unwrap();
    // The same person by the next key has no second session.
    world.refused(&of("next", NEXT), &[]).await.is(503, "busy");
    first.close(1000, "").await;
    first.closed().await;
    world.settles().await;
    speaks(world.ask(&of("next", NEXT), &[]).await.unwrap()).await;
    // When it is changed the old one opens nothing.
    let old = format!(
        "[[tickets.keys]]\nid = \"one\"\nissuer = \"backend\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n"
    );
    let world = World::with(Wish {
        more: tables().replace(&old, ""),
        ..wish()
    })
    .await;
    world
        .refused(&of("one", SECRET), &[])
        .await
        .is(401, "unauthenticated");
    speaks(world.ask(&of("next", NEXT), &[]).await.unwrap()).await;
}

#[tokio::test]
async fn a32_a_session_ends_as_its_ticket_says_and_not_with_the_ticket() {
    let world = World::with(wish()).await;
    let ends = with("session_exp", now() + 2);
    let mut caller = world.ask(&target(&ends), &[]).await.unwrap();
    assert_eq!(caller.closed().await.0, Some(4440));
    // The ticket of another one ends while its session goes on.
    let mut short = claims();
    short["exp"] = json!(now() + 1);
    let mut caller = world
        .ask(&target(&sign("one", SECRET, &short)), &[])
        .await
        .unwrap();
    let mut second = world
        .ask(&target(&with("session_exp", now() + 3)), &[])
        .await
        .unwrap();
    assert_eq!(second.closed().await.0, Some(4440));
    caller.send(text("still")).await;
    assert_eq!(caller.next().await, Some(text("still")));
    caller.close(1000, "").await;
    caller.closed().await;
}
