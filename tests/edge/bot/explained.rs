//! `tonegate explain` on a bot's routes: the same checks, the activity's among them, and nobody is asked.

use std::fs;

use serde_json::{Value, json};

use super::notify::{self, text};
use super::world::*;
use crate::binary::run;
use crate::harness::KEY;

/// What is told of a request: the exit code, the checks that passed, the last line, and the error.
async fn explained(bot: &Bot, request: &str) -> (i32, Vec<String>, String, String) {
    let file = bot.world.folder.join("request.http");
    fs::write(&file, request).unwrap();
    let file = file.display().to_string();
    let config = bot.world.folder.join("edge.toml").display().to_string();
    let (code, out, err) = run(&["explain", "--config", &config, "--request", &file]).await;
    let passed = out.lines().filter_map(|line| line.strip_prefix("ok"));
    let passed = passed.filter_map(|line| line.split_whitespace().next());
    let last = out.lines().last().unwrap_or_default().to_owned();
    (code, passed.map(str::to_owned).collect(), last, err)
}

fn request(path: &str, header: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\nHost: localhost\n{header}\nContent-Type: application/json\n\
         Content-Length: {}\n\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn c01_explain_tells_what_becomes_of_an_activity_and_asks_nobody() {
    let bot = notify::usual().await;
    let bearer = format!("Authorization: Bearer {}", bot.token());
    let path = "/api/messages";
    let all = [
        "head",
        "client",
        "route",
        "request",
        "network",
        "rate",
        "origin",
        "query",
        "credential",
        "identity",
        "ask",
        "limits",
        "activity",
    ];
    let good = request(path, &bearer, &bot.message());
    let (code, passed, last, err) = explained(&bot, &good).await;
    assert_eq!((code, err.as_str()), (0, ""), "{last}");
    assert_eq!(passed, all);
    assert!(last.starts_with("->  app: http://127.0.0.1:"), "{last}");
    assert!(last.contains("/app/api/messages with "), "{last}");
    // A head alone can be told, too.
    let head = good.split("\n\n").next().unwrap();
    let (code, passed, ..) = explained(&bot, head).await;
    assert_eq!((code, passed.len()), (0, all.len()));

    let other = "00000000-0000-4000-8000-00000000dead";
    for (request, check, status) in [
        (good.replace("POST", "GET"), "request", 405),
        (
            good.replace("application/json", "text/plain"),
            "request",
            415,
        ),
        (good.replace(&bearer, "X: y"), "identity", 401),
        (
            good.replace(&bearer, "Authorization: Bearer a.b.c"),
            "identity",
            403,
        ),
        (good.replace(USER, "x"), "activity", 400),
        (
            request(
                path,
                &bearer,
                &bot.with_other("/serviceUrl", json!("https://a.example/")),
            ),
            "activity",
            403,
        ),
        (request(path, &bearer, &bot.of_outsider()), "activity", 200),
    ] {
        let (code, _, last, err) = explained(&bot, &request).await;
        assert_eq!(code, 1, "{request}");
        assert!(last.starts_with(&format!("NO  {check}")), "{last}");
        assert!(err.contains(&format!("status {status}")), "{err}");
        assert!(!last.contains(other));
    }
    let key = format!("api-key: {KEY}");
    let (code, passed, last, _) = explained(&bot, &request("/notify", &key, &text("hello"))).await;
    assert_eq!((code, passed.len()), (0, all.len() - 1), "{last}");
    assert_eq!((bot.app.seen().len(), bot.desk.asked()), (0, 0));
}
