//! Requests that come again, and requests that go wrong.

use super::super::manner::Trouble;
use super::super::request::Operation;
use super::{ANSWER, Asking, Stage, date};

const ID: &str = "ab567f6e-07cd-4081-a0aa-581622bd7ef4";

fn repeatable(stage: &Stage) -> Asking {
    Asking::new("POST", ANSWER, &stage.answer())
        .with("Repeatability-Request-ID", ID)
        .with("Repeatability-First-Sent", &date(0))
}

#[tokio::test]
async fn a05_a_repeated_request_gets_the_first_answer_and_has_one_effect() {
    let stage = Stage::open().await;
    let asking = repeatable(&stage);
    // The first answer is lost on the way.
    stage
        .desk
        .trouble(Some(Operation::Answer), Trouble::Lost, 1);
    assert!(stage.ask(&asking).await.is_err());
    let first = stage.told(&asking).await;
    assert_eq!(first.0, 200);
    assert_eq!(stage.told(&asking).await, first);
    let lines = stage.desk.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(first.1["callConnectionId"], lines[0].id());
    let record = stage.desk.record();
    let asked = record.asked(Operation::Answer);
    let seen: Vec<_> = asked.map(|asked| (asked.status, asked.repeated)).collect();
    assert_eq!(seen, [(0, false), (200, true), (200, true)]);
    // The id of one request is not another's.
    assert_eq!(stage.told(&repeatable(&stage)).await.0, 412);
    assert_eq!(stage.desk.lines().len(), 1);
}

#[tokio::test]
async fn a05_the_two_headers_go_together_and_have_one_form() {
    let stage = Stage::open().await;
    let plain = || Asking::new("POST", ANSWER, &stage.answer());
    let (id, first) = ("Repeatability-Request-ID", "Repeatability-First-Sent");
    let now = date(0);
    let cases = [
        plain().with(id, ID),
        plain().with(first, &now),
        plain().with(id, "7").with(first, &now),
        plain().with(id, ID).with(first, "2026-11-26T04:31:18Z"),
        plain().with(id, ID).with(id, ID).with(first, &now),
    ];
    for asking in &cases {
        assert_eq!(stage.told(asking).await.0, 400);
    }
    assert_eq!(stage.desk.record().violations().len(), 5);
    assert!(stage.desk.lines().is_empty());
}

#[tokio::test]
async fn a05_troubles_are_as_many_as_were_wanted_and_have_no_effect() {
    let stage = Stage::open().await;
    let asking = repeatable(&stage);
    let desk = &stage.desk;
    desk.trouble(Some(Operation::HangUp), Trouble::Status(403), 1);
    desk.trouble(None, Trouble::Later(429, 7), 1);
    desk.trouble(Some(Operation::Answer), Trouble::Status(500), 2);
    let reply = stage.ask(&asking).await.unwrap();
    assert_eq!(
        (reply.status, reply.head.one("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(stage.told(&asking).await.0, 500);
    assert_eq!(stage.told(&asking).await.0, 500);
    assert!(desk.lines().is_empty());
    assert_eq!(stage.told(&asking).await.0, 200);
    assert_eq!(desk.lines().len(), 1);
    // The one that waited for another operation.
    let target = format!(
        "/calling/callConnections/{}?api-version=2024-04-15",
        desk.lines()[0].id()
    );
    let hang_up = Asking::new("DELETE", &target, &serde_json::Value::Null);
    assert_eq!(stage.told(&hang_up).await.0, 403);
    assert_eq!(stage.told(&hang_up).await.0, 204);
}
