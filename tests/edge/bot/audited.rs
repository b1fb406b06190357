//! Each activity and each message has one record, which says who spoke and nothing of what was said.

use std::fs;

use serde_json::{Value, json};
use tonegate::app::Edge;
use tonegate::config::Settings;

use super::notify::{self, says, text};
use super::world::*;
use crate::audited::{AUDIT, come};
use crate::gateway::app::send;

const CANARY: &str = "canary of the message";

#[tokio::test]
async fn c16_c06_who_spoke_to_the_bot_is_recorded_once_and_never_what() {
    let mut bot = notify::usual().await;
    let file = bot.world.folder.join("edge.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings + AUDIT).unwrap();
    let edge = Edge::start(&Settings::read(&[file]).unwrap()).unwrap();
    bot.world.port = edge.public().port();
    bot.world.edge = Some(edge);

    let said = says(&bot, CANARY);
    assert_eq!(bot.post(&said).await.status, 200);
    assert_eq!(bot.post(&bot.of_outsider()).await.status, 200);
    let forged = bot.with_other("/serviceUrl", json!("https://a.example/"));
    assert_eq!(bot.post(&forged).await.status, 403);
    let nobody = send(&bot.world, "POST /api/messages", JSON, b"{}").await;
    assert_eq!(nobody.status, 401);
    bot.noted("reference", 1).await;
    assert_eq!(notify::notify(&bot, &text(CANARY)).await.status, 200);
    let wish = says(&bot, "stop notifications");
    assert_eq!(bot.post(&wish).await.status, 200);
    assert_eq!(notify::notify(&bot, &text(CANARY)).await.status, 409);

    let records = come(&bot.world.folder, 7).await;
    let of = |record: &Value| {
        let field = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
        let (decision, rule) = (field("decision"), field("rule"));
        let status = record["status"].as_u64().unwrap();
        (
            field("route"),
            decision,
            rule,
            status,
            field("tenant"),
            field("user"),
        )
    };
    let found: Vec<_> = records.iter().map(of).collect();
    let line = |route: &str, decision: &str, rule: &str, status, tenant: &str, user: &str| {
        let [route, decision, rule] = [route, decision, rule].map(str::to_owned);
        (
            route,
            decision,
            rule,
            status,
            tenant.to_owned(),
            user.to_owned(),
        )
    };
    let expected = [
        line("bot", "allow", "connector", 200, TENANT, USER),
        line("bot", "deny", "forbidden", 200, OTHER_TENANT, USER),
        // Whom it names nobody has vouched for.
        line("bot", "deny", "forbidden", 403, "-", "-"),
        line("bot", "deny", "unauthenticated", 401, "-", "-"),
        line("notify", "allow", "key", 200, "-", "-"),
        line("bot", "allow", "connector", 200, TENANT, USER),
        line("notify", "deny", "opted_out", 409, "-", "-"),
    ];
    assert_eq!(found, expected);
    assert_eq!(records[4]["who"], "tester");
    let all = fs::read_to_string(bot.world.folder.join("audit.jsonl")).unwrap();
    for secret in [CANARY, "stop notifications", "29:1abc", CONVERSATION] {
        assert!(!all.contains(secret), "{secret}");
    }
}
