//! Requests that are none of Event Grid's or of ACS', each with the status that serves best.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tonegate::sim::issuer::mint::Mint;

use super::control::{AUDIENCE, Control, EVENTS, PSTN, post};
use crate::harness::{KEY, read_answer};
use crate::phone::world::RESOURCE;
use crate::tokens::{OTHER_TENANT, TENANT};

pub const JSON: &str = "Content-Type: application/json\r\n";
pub const CALLBACK: &str = "/acs/callbacks/7f0c";

pub fn validation() -> String {
    json!([{
        "id": "1", "topic": "t", "subject": "", "eventTime": "2026-05-04T10:00:00Z",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6", "validationUrl": "https://x"},
        "dataVersion": "2", "metadataVersion": "1",
    }])
    .to_string()
}

#[tokio::test]
async fn a03_s04_what_is_wrong_with_a_request_has_its_status_before_anything_is_read() {
    let control = Control::with(PSTN).await;
    let keyed = format!("api-key: {KEY}\r\n{JSON}");
    let event = validation();
    let good = String::from_utf8(post(EVENTS, &keyed, &event)).unwrap();
    let answer = control.asks(good.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "{\"validationResponse\":\"512d38b6\"}");
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    let length = format!("Content-Length: {}\r\n", event.len());
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (request, status, reason) in [
        (with("POST", "GET"), 405, "bad_request"),
        (with("POST", "PUT"), 405, "bad_request"),
        (with("POST", "OPTIONS"), 400, "bad_request"),
        (with(EVENTS, "/events/others"), 404, "not_found"),
        (with(&length, ""), 411, "bad_request"),
        (
            with(&length, "Transfer-Encoding: chunked\r\n"),
            411,
            "bad_request",
        ),
        (
            with(&length, &format!("{length}Transfer-Encoding: chunked\r\n")),
            400,
            "bad_request",
        ),
        (
            with(&length, &format!("{length}{length}")),
            400,
            "bad_request",
        ),
        (with(&length, "Content-Length: 65537\r\n"), 413, "too_large"),
        (with(JSON, ""), 415, "bad_request"),
        (
            with(JSON, "Content-Type: text/plain\r\n"),
            415,
            "bad_request",
        ),
        (
            with(JSON, &format!("{JSON}Content-Encoding: gzip\r\n")),
            415,
            "bad_request",
        ),
        (with(KEY, "wrong"), 401, "unauthenticated"),
        (with("api-key", "x-key"), 401, "unauthenticated"),
        (
            with("api-key", "Origin: https://x\r\napi-key"),
            403,
            "forbidden",
        ),
        (with("validationCode", "validationcode"), 400, "bad_request"),
        (with("\"id\"", "\"no\""), 400, "bad_request"),
        (with("[{", "{{"), 400, "bad_request"),
    ] {
        let refused = control.asks(request.as_bytes()).await;
        refused.is(status, reason);
        if status == 405 {
            assert_eq!(refused.header("allow").as_deref(), Some("POST, OPTIONS"));
        }
    }
    // A body where none is taken.
    let elsewhere = control.asks(&post("/ws", &keyed, &event)).await;
    elsewhere.is(405, "bad_request");
    assert_eq!(elsewhere.header("allow").as_deref(), Some("GET"));
    // Nothing behind the body is another request.
    let smuggled = format!("{good}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = control.asks(smuggled.as_bytes()).await;
    assert_eq!((answer.status, answer.body.contains("ok")), (200, false));
    assert_eq!(control.answers(), 0);
}

#[tokio::test]
async fn a03_a_body_in_pieces_is_whole_and_one_that_is_cut_is_none() {
    let control = Control::with(PSTN).await;
    let event = validation();
    let headers = format!("api-key: {KEY}\r\n{JSON}");
    let request = post(EVENTS, &headers, &event);
    let mut io = control.phone.world.connect().await;
    for piece in request.chunks(40) {
        io.write_all(piece).await.unwrap();
        io.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_answer(io).await.err().unwrap().status, 200);
    // A client that goes in the middle of it, and then another one.
    let mut io = control.phone.world.connect().await;
    io.write_all(&request[..request.len() - 9]).await.unwrap();
    io.flush().await.unwrap();
    drop(io);
    control
        .phone
        .world
        .metrics_say("tonegate_connections 0")
        .await;
    assert_eq!(control.asks(&request).await.status, 200);
}

#[tokio::test]
async fn a04_tokens_that_are_not_event_grids_are_refused() {
    let control = Control::with(PSTN).await;
    let base = control.phone.provider.base();
    let application = tonegate::sim::call_automation::grid::APPLICATION;
    let good = || {
        Mint::entra_v2(&base, TENANT, AUDIENCE)
            .with("azp", application)
            .without("scp")
    };
    let mint = |mint: &Mint| control.phone.provider.mint(mint);
    let cases = [
        (mint(&good()), 200),
        (
            mint(&good().with("roles", json!([tonegate::sim::call_automation::grid::ROLE]))),
            200,
        ),
        (mint(&good().with("roles", json!(["Other"]))), 403),
        (
            mint(&good().with("azp", "00000000-0000-4000-8000-00000000000c")),
            403,
        ),
        (mint(&good().without("azp")), 403),
        (mint(&good().with("aud", "api://other")), 401),
        (mint(&good().with("tid", OTHER_TENANT)), 401),
        (mint(&good().with("exp", 1_700_000_000)), 401),
        // Of ACS, which is another issuer and opens callbacks.
        (control.phone.token(), 401),
        ("not.a.token".to_owned(), 401),
        ("wrong".to_owned(), 401),
    ];
    for (number, (token, status)) in cases.iter().enumerate() {
        let headers = format!("Authorization: Bearer {token}\r\n{JSON}");
        let answer = control.asks(&post(EVENTS, &headers, &validation())).await;
        assert_eq!(answer.status, *status, "case {number}: {}", answer.body);
        assert!(!answer.body.contains("512d38b6") || *status == 200);
    }
}

#[tokio::test]
async fn a04_leave_to_post_is_given_to_listed_origins_only() {
    let control = Control::with(PSTN).await;
    let options = |headers: &str| {
        format!("OPTIONS {EVENTS} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
    };
    let origin = "WebHook-Request-Origin: eventgrid.azure.net\r\n";
    let answer = control.asks(&options(origin)).await;
    assert_eq!(answer.status, 200);
    let allowed = answer.header("webhook-allowed-origin");
    assert_eq!(allowed.as_deref(), Some("eventgrid.azure.net"));
    control
        .asks(&options("WebHook-Request-Origin: evil.example\r\n"))
        .await
        .is(403, "forbidden");
    control.asks(&options("")).await.is(400, "bad_request");
    let callback = format!("OPTIONS {CALLBACK} HTTP/1.1\r\nHost: localhost\r\n{origin}\r\n");
    let refused = control.asks(callback.as_bytes()).await;
    refused.is(405, "bad_request");
    assert_eq!(refused.header("allow").as_deref(), Some("POST"));
}

#[tokio::test]
async fn a06_callbacks_that_are_not_of_acs_are_refused() {
    let control = Control::with(PSTN).await;
    let event = json!([{
        "id": "1", "source": "s", "specversion": "1.0", "time": "2026-05-04T10:00:00Z",
        "type": "Microsoft.Communication.CallConnected", "data": {"callConnectionId": "0800"},
    }])
    .to_string();
    let provider = &control.phone.provider;
    let mint = |mint: &Mint| format!("Authorization: Bearer {}\r\n", provider.mint(mint));
    let acs = || Mint::acs(RESOURCE);
    let good = mint(&acs());
    for (number, (target, credential, body, status)) in [
        (CALLBACK, good.clone(), event.clone(), 200),
        (CALLBACK, String::new(), event.clone(), 401),
        (CALLBACK, format!("api-key: {KEY}\r\n"), event.clone(), 401),
        (
            CALLBACK,
            mint(&acs().with("aud", "other")),
            event.clone(),
            401,
        ),
        (
            CALLBACK,
            mint(&acs().with("iss", "https://x.example")),
            event.clone(),
            401,
        ),
        (
            CALLBACK,
            mint(&acs().with("exp", 1_700_000_000)),
            event.clone(),
            401,
        ),
        (
            CALLBACK,
            mint(&Mint::entra_v2(&provider.base(), TENANT, AUDIENCE)),
            event.clone(),
            401,
        ),
        (CALLBACK, good.clone(), "{}".to_owned(), 400),
        (CALLBACK, good.clone(), "[]".to_owned(), 400),
        (CALLBACK, good.clone(), event.replace("1.0", "0.3"), 400),
        ("/acs/callbacks/a.b", good.clone(), event.clone(), 404),
        ("/acs/callbacks/", good.clone(), event.clone(), 404),
    ]
    .into_iter()
    .enumerate()
    {
        let headers = format!("{credential}{JSON}");
        let answer = control.asks(&post(target, &headers, &body)).await;
        assert_eq!(answer.status, status, "case {number}: {}", answer.body);
    }
    let get = format!("GET {CALLBACK} HTTP/1.1\r\nHost: localhost\r\n{good}\r\n");
    control.asks(get.as_bytes()).await.is(405, "bad_request");
}
