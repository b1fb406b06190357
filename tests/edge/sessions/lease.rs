//! A session lasts as long as what was shown for it, and longer for whoever shows something new.

use std::time::Duration;

use serde_json::json;

use super::world::{COLLEAGUE, ENGINEER, MINE, Office, date, now, said};
use crate::gateway::app::Answer;
use crate::harness::{KEY, Wish, within};

/// What a refresh says: the status, its state, and until when.
fn refreshed(answer: &Answer) -> (u16, String, String) {
    let told = said(answer);
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (answer.status, text("state"), text("lease"))
}

/// Waits for a time to come.
pub(super) async fn comes(seconds: u64) {
    within("a time to come", async {
        while now() < seconds {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn s41_b14_b20_a_session_that_shows_a_new_token_lasts_as_long_as_that() {
    let office = Office::usual().await;
    let first = now() + 3;
    let mut session = office.opens(ENGINEER, 3).await;
    let second = now() + 7;
    let line = format!("POST {MINE}/{}/refresh", session.id);
    let answer = office.asks(&office.token(ENGINEER, 7), &line).await;
    let (status, state, lease) = refreshed(&answer);
    assert_eq!((status, state.as_str()), (200, "refreshed"));
    assert!([date(second), date(second + 1)].contains(&lease), "{lease}");
    comes(first + 2).await;
    session.lives().await;
    // Then it ends, upstream too.
    session.ends(4440, "lease_expired").await;
    assert!(now() >= second, "too early");
    let closed = office
        .world()
        .upstream_saw(|seen| seen.close_received.is_some());
    assert_eq!(closed.await.close_received.unwrap().0, Some(4440));
    let answer = office.asks(&office.token(ENGINEER, 60), &line).await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (404, "not_found")
    );
    office.world().settles().await;
}

#[tokio::test]
async fn s41_b20_what_ends_no_later_changes_nothing_and_says_until_when() {
    let office = Office::usual().await;
    let credential = office.token(ENGINEER, 60);
    let session = office.opens_with(&credential).await;
    let shown = office
        .asks(&credential, &format!("GET {MINE}/{}", session.id))
        .await;
    let lease = said(&shown)["lease"].as_str().unwrap().to_owned();
    let line = format!("POST {MINE}/{}/refresh", session.id);
    // The token that it was opened with, and one that ends earlier.
    for credential in [&credential, &office.token(ENGINEER, 30)] {
        let told = refreshed(&office.asks(credential, &line).await);
        assert_eq!(told, (200, "unchanged".to_owned(), lease.clone()));
    }
    let told = refreshed(&office.asks(&office.token(ENGINEER, 90), &line).await);
    assert!(told.1 == "refreshed" && told.2 > lease, "{told:?}");
    // Now the first one ends earlier.
    let again = refreshed(&office.asks(&credential, &line).await);
    assert_eq!(again, (200, "unchanged".to_owned(), told.2));
}

#[tokio::test]
async fn s41_b20_nobody_else_puts_off_the_end_or_learns_that_there_is_one() {
    let office = Office::usual().await;
    let ends = now() + 4;
    let mut session = office.opens(ENGINEER, 4).await;
    let of = |id: &str| format!("POST {MINE}/{id}/refresh");
    let nowhere = office
        .asks(&office.token(COLLEAGUE, 60), &of(&"0".repeat(24)))
        .await;
    assert_eq!(nowhere.status, 404);
    for credential in [
        office.token(COLLEAGUE, 60),
        office.token(super::world::MANAGER, 60),
        format!("api-key: {KEY}\r\n"),
    ] {
        // On a route where the manager sees it, too: to see is not to be.
        for path in [MINE, super::world::TEAM] {
            let line = format!("POST {path}/{}/refresh", session.id);
            let answer = office.asks(&credential, &line).await;
            assert_eq!(
                (answer.status, &answer.body),
                (404, &nowhere.body),
                "{path}"
            );
        }
    }
    let bad = office
        .asks("Authorization: Bearer a.b.c\r\n", &of(&session.id))
        .await;
    assert_eq!(bad.status, 401);
    assert_eq!(office.asks("", &of(&session.id)).await.status, 401);
    session.ends(4440, "lease_expired").await;
    assert!((ends..ends + 3).contains(&now()));
}

/// The other credential of a route that wants two ends when it ends.
#[tokio::test]
async fn s41_a_refresh_shows_one_credential_and_puts_off_that_one_only() {
    let ends = now() + 8;
    let both = "[[routes]]\nname = \"both\"\npaths = [\"/both\"]\nkind = \"voice-live\"\n\
                require = [\"users\", \"key\"]\nmodels = [\"sim-echo\"]\nupstreams = [\"voice\"]\n";
    let office = Office::with(
        super::world::BY_DIRECTORY,
        Wish {
            key: format!(
                "routes = [\"both\", \"browser\", \"mine\"]\nexpires = \"{}\"",
                date(ends)
            ),
            more: both.to_owned(),
            ..Wish::default()
        },
    )
    .await;
    let bearer = office.token(ENGINEER, 3);
    let bearer = bearer.trim_end().split_once(": ").unwrap();
    let headers = [bearer, ("api-key", KEY)];
    let mut caller = office.world().ask("/both", &headers).await.unwrap();
    let id = caller.head.one("x-tonegate-session").unwrap().to_owned();
    let line = format!("POST {MINE}/{id}/refresh");
    let told = refreshed(&office.asks(&office.token(ENGINEER, 60), &line).await);
    assert_eq!(told, (200, "refreshed".to_owned(), date(ends)));
    let told = refreshed(&office.asks(&office.token(ENGINEER, 90), &line).await);
    assert_eq!(told, (200, "unchanged".to_owned(), date(ends)));
    let closed = (Some(4440), "lease_expired".to_owned());
    assert_eq!(caller.closed().await, closed);
    assert!((ends..ends + 3).contains(&now()));
}

/// Whatever is shown, a session has its longest duration.
#[tokio::test]
async fn s41_no_refresh_makes_a_session_longer_than_the_longest() {
    let office = Office::with(
        super::world::BY_DIRECTORY,
        Wish {
            limits: "session = \"4s\"".to_owned(),
            ..Wish::default()
        },
    )
    .await;
    let begun = now();
    let mut session = office.opens(ENGINEER, 2).await;
    let line = format!("POST {MINE}/{}/refresh", session.id);
    let answer = office.asks(&office.token(ENGINEER, 3600), &line).await;
    assert_eq!(answer.status, 200);
    let longest = said(&answer)["longest"].as_str().unwrap().to_owned();
    assert!(
        (begun + 4..=begun + 6).any(|at| date(at) == longest),
        "{longest}"
    );
    session.ends(4450, "max_duration").await;
    assert_eq!(said(&answer)["session"], json!(session.id));
}
