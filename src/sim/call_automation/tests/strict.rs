//! What is refused, and that it has no effect.

use super::super::record::Violation;
use super::{ANSWER, Asking, Stage, date};
use crate::sim::call_automation::grid::Caller;
use serde_json::{Value, json};

#[tokio::test]
async fn a05_a_signature_covers_method_target_date_host_and_body() {
    let stage = Stage::open().await;
    let body = stage.answer();
    let good = Asking::new("POST", ANSWER, &body);
    let other_port = Some("localhost:1".to_owned());
    let without_port = Some("localhost".to_owned());
    let spoiled = [
        Asking {
            key: "b3RoZXI=",
            ..good.clone()
        },
        Asking {
            host: other_port,
            ..good.clone()
        },
        Asking {
            host: without_port,
            ..good.clone()
        },
        Asking {
            date: Some(date(-301)),
            ..good.clone()
        },
        Asking {
            date: Some(date(310)),
            ..good.clone()
        },
        Asking {
            date: Some("now".to_owned()),
            ..good.clone()
        },
        Asking {
            hashed: Some("{}".to_owned()),
            ..good.clone()
        },
        good.clone().with("Authorization", "Bearer x"),
        good.clone().with("x-ms-date", &date(0)),
    ];
    for asking in &spoiled {
        let (status, body) = stage.told(asking).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("Denied")));
    }
    let violations = stage.desk.record().violations();
    assert_eq!(violations.len(), spoiled.len());
    let all = violations
        .iter()
        .all(|one| matches!(one, Violation::Credential(_)));
    assert!(all, "{violations:?}");
    assert!(stage.desk.lines().is_empty());
    let (status, body) = stage.told(&good).await;
    assert_eq!(
        (status, &body["callConnectionState"]),
        (200, &json!("connecting"))
    );
    assert_eq!(stage.desk.lines().len(), 1);
}

#[tokio::test]
async fn a05_versions_paths_methods_and_members_are_the_specifications() {
    let stage = Stage::open().await;
    let body = stage.answer();
    let mut more = body.clone();
    more["callbackUrl"] = json!("https://edge.example.org/c");
    let answer = "/calling/callConnections:answer";
    let id = "/calling/callConnections/none";
    let version = "?api-version=2026-03-12";
    let cases = [
        ("POST", answer.to_owned(), &body, 400),
        (
            "POST",
            format!("{answer}?api-version=2026-03-13"),
            &body,
            400,
        ),
        (
            "POST",
            format!("{answer}{version}&api-version=2026-03-12"),
            &body,
            400,
        ),
        ("POST", format!("{answer}{version}&x=1"), &body, 400),
        ("POST", format!("{answer}{version}"), &more, 400),
        ("POST", format!("{answer}{version}"), &json!([]), 400),
        ("GET", format!("{answer}{version}"), &Value::Null, 405),
        (
            "POST",
            format!("/calling/callConnection{version}"),
            &body,
            404,
        ),
        ("POST", format!("{id}:startMedia{version}"), &json!({}), 404),
        ("GET", format!("{id}{version}"), &Value::Null, 404),
        ("DELETE", format!("{id}{version}"), &Value::Null, 404),
        (
            "POST",
            format!("{id}:terminate{version}"),
            &Value::Null,
            404,
        ),
        (
            "POST",
            format!("{id}:stopMediaStreaming{version}"),
            &json!({}),
            404,
        ),
    ];
    for (method, target, body, expected) in &cases {
        let (status, body) = stage.told(&Asking::new(method, target, body)).await;
        assert_eq!(status, *expected, "{method} {target}");
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    assert_eq!(stage.desk.record().violations().len(), cases.len());
    assert!(stage.desk.lines().is_empty());
}

#[tokio::test]
async fn a05_a_call_is_answered_once_and_not_after_the_caller_hung_up() {
    let stage = Stage::open().await;
    let asking = Asking::new("POST", ANSWER, &stage.answer());
    assert_eq!(stage.told(&asking).await.0, 200);
    assert_eq!(stage.told(&asking).await.0, 400);
    let rings = stage.desk.incoming(&Caller::default());
    rings.give_up();
    let body = json!({"incomingCallContext": rings.context, "callbackUri": "https://a.example/c"});
    let (status, body) = stage.told(&Asking::new("POST", ANSWER, &body)).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("8522")));
    assert_eq!(stage.desk.lines().len(), 1);
}
