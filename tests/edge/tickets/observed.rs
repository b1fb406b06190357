//! Tickets that are only observed: everybody enters as before, and what would have become of them is
//! counted.

use super::*;
use crate::harness::KEY;
use crate::phone::server::Server;

fn observing() -> Wish {
    Wish {
        admit: "\"key\"".to_owned(),
        route: "tickets = \"observe\"\nticket_claims = [\"route\"]".to_owned(),
        ..wish()
    }
}

#[tokio::test]
async fn a43_an_observed_route_counts_what_it_would_refuse_and_refuses_nobody() {
    let world = World::with(observing()).await;
    let key = ("api-key", KEY);
    let good = with("route", "browser");
    let mut late = claims();
    late["iat"] = (now() - 60).into();
    late["exp"] = (now() - 30).into();
    let cases = [
        (TARGET.to_owned(), "missing"),
        (target(&good), "ok"),
        // It was spent by that, or a stolen one would be told of as good.
        (target(&good), "spent"),
        (target(&ticket()), "unbound"),
        (target(&with("route", "other")), "wrong_route"),
        (target(&sign("one", NEXT, &claims())), "invalid"),
        (target("garbage"), "invalid"),
        (target(&sign("one", SECRET, &late)), "expired"),
        (format!("{}&ticket=garbage", target(&ticket())), "invalid"),
    ];
    for (target, result) in &cases {
        let before = counted(&world, result);
        speaks(world.ask(target, &[key]).await.unwrap()).await;
        assert_eq!(counted(&world, result), before + 1, "{result} {target}");
    }
    let names = [
        "ok",
        "missing",
        "spent",
        "unbound",
        "wrong_route",
        "invalid",
        "expired",
    ];
    let total: u64 = names.iter().map(|name| counted(&world, name)).sum();
    assert_eq!(total, cases.len() as u64);
    // Beside a key in another place of the same kind.
    let ticket = with("route", "browser");
    let offer = format!("realtime, bearer.{KEY}, authorization.bearer.{ticket}");
    let caller = world
        .ask(TARGET, &[("Sec-WebSocket-Protocol", &offer)])
        .await;
    speaks(caller.unwrap()).await;
    assert_eq!(counted(&world, "ok"), 2);
    // A ticket alone is no way in here, and who has none is refused as ever.
    world
        .refused(&target(&with("route", "browser")), &[])
        .await
        .is(401, "unauthenticated");
    world
        .refused(TARGET, &[("api-key", "wrong")])
        .await
        .is(401, "unauthenticated");
    assert_eq!(counted(&world, "missing"), 1);
    world.settles().await;
}

#[tokio::test]
async fn a43_a_store_that_is_away_keeps_nobody_out_who_is_observed() {
    let redis = Server::plain(&[]);
    let world = World::with(Wish {
        more: format!(
            "{}[store]\nurl = \"redis://127.0.0.1:{}\"\n",
            tables(),
            redis.port
        ),
        ..observing()
    })
    .await;
    let key = [("api-key", KEY)];
    crate::phone::redis::is_up(world.edge()).await;
    redis.signal("-STOP");
    speaks(
        world
            .ask(&target(&with("route", "browser")), &key)
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(counted(&world, "unavailable"), 1);
    redis.signal("-CONT");
}

#[tokio::test]
async fn a43_to_enforce_is_to_ask_for_both() {
    let world = World::with(Wish {
        more: format!(
            "[[routes]]\nname = \"both\"\npaths = [\"/both\"]\nkind = \"voice-live\"\n\
             require = [\"key\", \"ticket\"]\naccept = [\"header\", \"query\"]\n\
             models = [\"sim-echo\"]\nupstreams = [\"voice\"]\n{}",
            tables()
        ),
        ..wish()
    })
    .await;
    let key = [("api-key", KEY)];
    let target = |ticket: &str| format!("/both?model=sim-echo&ticket={ticket}");
    world
        .refused("/both?model=sim-echo", &key)
        .await
        .is(401, "unauthenticated");
    world
        .refused(&target(&ticket()), &[])
        .await
        .is(401, "unauthenticated");
    world
        .refused(&target(&with("sub", "somebody")), &key)
        .await
        .is(403, "forbidden");
    for ticket in [ticket(), with("sub", "tester")] {
        speaks(world.ask(&target(&ticket), &key).await.unwrap()).await;
        world
            .refused(&target(&ticket), &key)
            .await
            .is(401, "unauthenticated");
    }
}
