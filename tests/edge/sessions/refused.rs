//! What is refused where sessions are told of, and how browsers ask.

use super::world::{ALL, BY_DIRECTORY, ENGINEER, MANAGER, MINE, Office, TEAM, said};
use crate::audited::{AUDIT, come, records};
use crate::harness::{KEY, Wish};
use crate::phone::redis::{Redis, eventually, is_up};
use crate::tokens::TENANT;

#[tokio::test]
async fn c15_without_a_credential_nobody_is_told_of_anything() {
    let office = Office::usual().await;
    let session = office.opens(ENGINEER, 60).await;
    let user = office.token(ENGINEER, 60);
    for (credential, path, status) in [
        ("", MINE, 401),
        ("api-key: wrong\r\n", MINE, 401),
        ("", TEAM, 401),
        // Tokens and the other key are not for whoever runs the edge.
        (&user, ALL, 401),
    ] {
        let id = &session.id;
        for line in [
            format!("GET {path}"),
            format!("GET {path}/{id}"),
            format!("DELETE {path}/{id}"),
            format!("POST {path}/{id}/refresh"),
        ] {
            let answer = office.asks(credential, &line).await;
            assert_eq!(answer.status, status, "{line}");
            let body = String::from_utf8(answer.body).unwrap();
            assert!(!body.contains(id), "{body}");
        }
    }
}

#[tokio::test]
async fn c15_requests_in_another_form_are_refused_by_name() {
    let office = Office::usual().await;
    let session = office.opens(ENGINEER, 60).await;
    let (user, id) = (office.token(ENGINEER, 60), session.id.as_str());
    let with_body = format!("{user}Content-Length: 2\r\n");
    for (credential, line, status) in [
        (&user, format!("POST {MINE}"), 405),
        (&user, format!("PUT {MINE}/{id}"), 405),
        (&user, format!("POST {MINE}/{id}"), 405),
        (&user, format!("GET {MINE}/{id}/refresh"), 405),
        (&user, format!("DELETE {MINE}/{id}/refresh"), 405),
        (&user, format!("DELETE {MINE}"), 405),
        (&user, format!("GET {MINE}/nobody"), 404),
        (
            &user,
            format!(
                "GET {MINE}/{}",
                id.to_ascii_uppercase().replace(char::is_numeric, "F")
            ),
            404,
        ),
        (&user, format!("GET {MINE}/refresh"), 404),
        (&user, format!("POST {MINE}/{id}/again"), 404),
        (&user, format!("POST {MINE}/{id}/refresh/refresh"), 404),
        (&user, format!("POST {MINE}/a.b/refresh"), 404),
        (&with_body, format!("POST {MINE}/{id}/refresh"), 400),
    ] {
        let answer = office.asks(credential, &line).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
    }
    let allow = office
        .asks(&user, &format!("PUT {MINE}/{id}/refresh"))
        .await;
    assert_eq!(allow.header("allow").as_deref(), Some("POST, OPTIONS"));
    let allow = office.asks(&user, &format!("PUT {TEAM}/{id}")).await;
    assert_eq!(allow.header("allow").as_deref(), Some("GET, DELETE"));
}

#[tokio::test]
async fn c15_a_page_asks_for_its_own_and_no_other_page_does() {
    let office = Office::usual().await;
    let session = office.opens(ENGINEER, 60).await;
    let user = office.token(ENGINEER, 60);
    let page = "Origin: https://app.example.com\r\n";
    let asks = format!("{page}Access-Control-Request-Method: POST\r\n");
    for (path, allowed) in [
        (MINE.to_owned(), "GET"),
        (format!("{MINE}/{}", session.id), "GET, DELETE"),
        (format!("{MINE}/{}/refresh", session.id), "POST"),
    ] {
        let leave = office.asks(&asks, &format!("OPTIONS {path}")).await;
        assert_eq!(leave.status, 204, "{leave:?}");
        let allow = leave.header("access-control-allow-methods");
        assert_eq!(allow.as_deref(), Some(allowed));
        let origin = leave.header("access-control-allow-origin");
        assert_eq!(origin.as_deref(), Some("https://app.example.com"));
    }
    let answer = office
        .asks(&format!("{page}{user}"), &format!("GET {MINE}"))
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("access-control-allow-origin").is_some());
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let other = "Origin: https://evil.example.com\r\n";
    let answer = office
        .asks(&format!("{other}{user}"), &format!("GET {MINE}"))
        .await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn c20_where_nobody_can_say_who_reports_to_whom_nobody_is_told_anything() {
    let office = Office::usual().await;
    let mut session = office.opens(ENGINEER, 60).await;
    let id = session.id.clone();
    let manager = office.token(MANAGER, 60);
    let team = [
        format!("GET {TEAM}"),
        format!("GET {TEAM}/{id}"),
        format!("DELETE {TEAM}/{id}"),
    ];
    let path = |person: &str| format!("/people/{TENANT}/{person}");
    // The one who asks cannot be looked up, then the one who is meant.
    for person in [MANAGER, ENGINEER] {
        let said = r#"{"id": "eng-001"}"#;
        office.directory.says(&path(person), 500, "");
        for line in &team {
            let answer = office.asks(&manager, line).await;
            assert!(answer.status >= 500, "{line}: {answer:?}");
        }
        let said = match person {
            MANAGER => r#"{"id": "mgr-001", "reports": ["eng-001"]}"#,
            _ => said,
        };
        office.directory.says(&path(person), 200, said);
    }
    // Whom nobody knows sees nobody, and is seen by nobody else.
    office.directory.says(&path(MANAGER), 404, "");
    for line in &team {
        assert_eq!(office.asks(&manager, line).await.status, 403, "{line}");
    }
    session.lives().await;
    // What is one's own needs nobody's word.
    let own = office.lists(&office.token(ENGINEER, 60), MINE).await;
    assert_eq!(own, [id]);
}

#[tokio::test]
async fn s31_a_store_that_is_away_tells_of_nothing_and_ends_nothing() {
    let redis = Redis::own();
    let wish = Wish {
        more: format!("[store]\n{}\ntimeout = \"500ms\"\n", redis.lines()),
        ..Wish::default()
    };
    let office = Office::with(BY_DIRECTORY, wish).await;
    is_up(office.world().edge()).await;
    let mut session = office.opens(ENGINEER, 60).await;
    redis.server().kill();
    let id = session.id.clone();
    let user = office.token(ENGINEER, 60);
    let lines = || {
        [
            format!("GET {MINE}"),
            format!("GET {MINE}/{id}"),
            format!("DELETE {MINE}/{id}"),
            format!("POST {MINE}/{id}/refresh"),
        ]
    };
    for line in lines() {
        let answer = office.asks(&user, &line).await;
        let told = (answer.status, answer.reason());
        assert_eq!(told, (503, "store_unavailable".to_owned()), "{line}");
        assert!(answer.header("retry-after").is_some());
    }
    session.lives().await;
    // It comes back empty, and is told again.
    redis.server().restart();
    let again = async || office.asks(&user, &format!("GET {MINE}")).await.status == 200;
    eventually("the store", again).await;
    let name = format!("running:{{{id}}}");
    eventually("what runs", async || redis.has(&name)).await;
    session.lives().await;
}

#[tokio::test]
async fn c16_who_asked_for_which_session_is_recorded() {
    let wish = Wish {
        more: AUDIT.to_owned(),
        ..Wish::default()
    };
    let office = Office::with(BY_DIRECTORY, wish).await;
    let folder = office.world().folder.clone();
    let mut session = office.opens(ENGINEER, 60).await;
    let before = records(&folder).len();
    let (id, user) = (session.id.clone(), office.token(ENGINEER, 60));
    office.asks(&user, &format!("GET {MINE}")).await;
    office.asks(&user, &format!("GET {MINE}/{id}")).await;
    office
        .asks(&user, &format!("POST {MINE}/{id}/refresh"))
        .await;
    office
        .asks(
            &format!("api-key: {KEY}\r\n"),
            &format!("DELETE {MINE}/{id}"),
        )
        .await;
    office.asks(&user, &format!("DELETE {MINE}/{id}")).await;
    session.ends(4441, "revoked").await;
    office.world().settles().await;
    let told = come(&folder, before.max(1) + 6).await;
    let asked: Vec<(String, String, String)> = told
        .iter()
        .skip(1)
        .filter(|record| record["event"] == "request")
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            (text("what"), text("decision"), text("session"))
        })
        .collect();
    let row = |what: &str, decision: &str, session: &str| {
        (what.to_owned(), decision.to_owned(), session.to_owned())
    };
    assert_eq!(
        asked,
        [
            row("GET /mine", "allow", ""),
            row("GET /mine/{id}", "allow", &id),
            row("POST /mine/{id}/refresh", "allow", &id),
            row("DELETE /mine/{id}", "deny", ""),
            row("DELETE /mine/{id}", "allow", &id),
        ]
    );
}

#[tokio::test]
async fn c13_what_is_told_of_a_session() {
    let office = Office::usual().await;
    let session = office.opens(ENGINEER, 60).await;
    let user = office.token(ENGINEER, 60);
    let told = said(
        &office
            .asks(&user, &format!("GET {MINE}/{}", session.id))
            .await,
    );
    let names: Vec<&str> = told
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let all = [
        "lease", "longest", "own", "person", "route", "session", "started", "subject", "tenant",
    ];
    assert_eq!(names, all);
    let subject = format!("users:{TENANT}/{ENGINEER}");
    assert_eq!(told["subject"], subject.as_str());
    assert_eq!(told["own"], true);
    let listed = said(&office.asks(&user, &format!("GET {MINE}")).await);
    assert_eq!(listed["sessions"][0], told);
    assert_eq!(listed["more"], false);
}
