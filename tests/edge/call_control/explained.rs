//! `tonegate explain` on what Event Grid and ACS post: the status that the edge gives, and why.

use std::fs;

use serde_json::{Value, json};

use super::call_api::{CALLS, MANY, OPEN, PAGE, api, request};
use super::control::{Control, EVENTS, PSTN, post};
use super::refused::{CALLBACK, JSON, validation};
use crate::binary::run;
use crate::harness::KEY;

/// What the command finds of this head: exit code, names of the checks that passed, the one that did
/// not with its text, standard error.
async fn explained(control: &Control, head: &str) -> (i32, Vec<String>, Option<Value>, String) {
    let folder = &control.phone.world.folder;
    let file = folder.join("request.http");
    fs::write(&file, head).unwrap();
    let path = |path: &std::path::Path| path.display().to_string();
    let (config, file) = (path(&folder.join("edge.toml")), path(&file));
    let (code, out, err) =
        run(&["explain", "--config", &config, "--request", &file, "--json"]).await;
    let findings = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (passed, failed): (Vec<_>, Vec<_>) = findings.partition(|one| one["passed"] == true);
    let name = |one: &Value| one["check"].as_str().unwrap().to_owned();
    assert!(failed.len() <= 1, "{out}");
    assert!(!out.contains(KEY) && !out.contains("eyJ"), "a secret");
    (
        code,
        passed.iter().map(name).collect(),
        failed.first().cloned(),
        err,
    )
}

const ENTRY: [&str; 8] = [
    "network",
    "rate",
    "origin",
    "query",
    "credential",
    "identity",
    "ask",
    "limits",
];

#[tokio::test]
async fn a36_explain_passes_what_the_edge_takes() {
    let control = Control::with(PSTN).await;
    let keyed = format!("api-key: {KEY}\r\n{JSON}");
    let bearer = format!("Authorization: Bearer {}\r\n{JSON}", control.phone.token());
    let leave = format!(
        "OPTIONS {EVENTS} HTTP/1.1\r\nHost: localhost\r\n\
         WebHook-Request-Origin: eventgrid.azure.net\r\n\r\n"
    );
    let read = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    for (request, checks) in [
        (read(post(EVENTS, &keyed, &validation())), &ENTRY[..]),
        (read(post(CALLBACK, &bearer, &validation())), &ENTRY),
        (leave, &["leave"]),
    ] {
        assert_eq!(control.asks(request.as_bytes()).await.status, 200);
        let head = request.split_inclusive("\r\n\r\n").next().unwrap();
        let (code, passed, failed, err) = explained(&control, head).await;
        assert_eq!((code, failed, err.as_str()), (0, None, ""));
        let before = ["head", "client", "route", "request"];
        assert_eq!(passed, [&before, checks].concat());
    }
}

#[tokio::test]
async fn a36_explain_ends_at_the_check_that_refuses_with_the_status_that_the_edge_gives() {
    let control = Control::with(PSTN).await;
    let read = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let keyed = format!("api-key: {KEY}\r\n{JSON}");
    let event = read(post(EVENTS, &keyed, &validation()));
    let bearer = format!("Authorization: Bearer {}\r\n{JSON}", control.phone.token());
    let callback = read(post(CALLBACK, &bearer, &validation()));
    let length = format!("Content-Length: {}\r\n", validation().len());
    let options =
        |more: &str| format!("OPTIONS {EVENTS} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let mut cases = Vec::new();
    for good in [&event, &callback] {
        let with = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            good.replacen(from, to, 1)
        };
        cases.extend([
            (with(&length, &length.repeat(2)), "head", 400),
            (with("POST /", "POST /x/"), "route", 404),
            (with("POST", "PUT"), "request", 405),
            (with(&length, ""), "request", 411),
            (with(&length, "Content-Length: 65537\r\n"), "request", 413),
            (with(JSON, "Content-Type: text/plain\r\n"), "request", 415),
            (
                with(JSON, &format!("{JSON}Origin: https://x.example\r\n")),
                "origin",
                403,
            ),
        ]);
    }
    cases.extend([
        (event.replace(KEY, "wrong"), "identity", 401),
        (callback.replace("Bearer ey", "Bearer eY"), "identity", 401),
        (options(""), "leave", 400),
        (
            options("WebHook-Request-Origin: x.example\r\n"),
            "leave",
            403,
        ),
    ]);
    for (request, check, status) in &cases {
        assert_eq!(
            control.asks(request.as_bytes()).await.status,
            *status,
            "{check}"
        );
        let head = request.split_inclusive("\r\n\r\n").next().unwrap();
        let (code, _, failed, err) = explained(&control, head).await;
        assert_eq!(code, 1, "{check} {status}");
        assert_eq!(failed.map(|one| one["check"].clone()), Some(json!(check)));
        assert!(err.contains(&format!("status {status}")), "{check}: {err}");
    }
}

#[tokio::test]
async fn a36_explain_tells_a_page_what_the_edge_tells_it() {
    let control = api(OPEN, MANY).await;
    let wants = "Access-Control-Request-Method: POST\r\n";
    let page = format!("Origin: {PAGE}\r\n");
    let item = format!("{CALLS}/7f0c");
    for (target, headers, status) in [
        (CALLS, format!("{page}{wants}"), 204),
        (&item, format!("{page}{wants}"), 204),
        (CALLS, page.clone(), 400),
        (CALLS, format!("Origin: https://x.example\r\n{wants}"), 403),
    ] {
        let options = request("OPTIONS", target, &headers, None);
        assert_eq!(control.asks(&options).await.status, status, "{headers}");
        let head = String::from_utf8(options).unwrap();
        let (code, passed, failed, err) = explained(&control, &head).await;
        if status == 204 {
            assert_eq!((code, failed, err.as_str()), (0, None, ""));
            assert_eq!(passed.last().unwrap(), "leave");
        } else {
            assert_eq!(code, 1, "{headers}");
            assert_eq!(failed.map(|one| one["check"].clone()), Some(json!("leave")));
            assert!(err.contains(&format!("status {status}")), "{err}");
        }
    }
}
