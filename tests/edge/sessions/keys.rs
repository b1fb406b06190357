//! Keys that end, and the sessions that they opened.

use super::lease::comes;
use super::world::{Office, date, now};
use crate::harness::{KEY, Wish};

#[tokio::test]
async fn s41_a_session_ends_with_the_key_it_was_opened_with_which_opens_no_other() {
    // The world has to be there by then.
    let ends = now() + 6;
    let office = Office::with(
        super::world::BY_DIRECTORY,
        Wish {
            key: format!("expires = \"{}\"", date(ends)),
            ..Wish::default()
        },
    )
    .await;
    let mut session = office.opens_with(&format!("api-key: {KEY}\r\n")).await;
    session.ends(4440, "lease_expired").await;
    assert!((ends..ends + 3).contains(&now()));
    let closed = office
        .world()
        .upstream_saw(|seen| seen.close_received.is_some());
    assert_eq!(closed.await.close_received.unwrap().0, Some(4440));
    comes(ends).await;
    let headers = [("api-key", KEY)];
    let refused = office.world().refused("/ws?model=sim-echo", &headers).await;
    refused.is(401, "unauthenticated");
    assert!(refused.body.contains("the key has ended"));
    office.world().settles().await;
}

#[tokio::test]
async fn s41_a_key_that_ended_long_ago_opens_nothing() {
    let office = Office::with(
        super::world::BY_DIRECTORY,
        Wish {
            key: "expires = \"2020-01-01T00:00:00Z\"".to_owned(),
            ..Wish::default()
        },
    )
    .await;
    for place in ["api-key", "authorization"] {
        let shown = match place {
            "api-key" => KEY.to_owned(),
            _ => format!("Bearer {KEY}"),
        };
        let headers = [(place, shown.as_str())];
        let refused = office.world().refused("/ws?model=sim-echo", &headers).await;
        refused.is(401, "unauthenticated");
    }
    assert_eq!(office.world().upstream_total(), 0);
}
