//! Each activity and each message has one record, which says who spoke and nothing of what was said.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::app::Edge;
use tonegate::audit::verify;
use tonegate::config::Settings;
use tonegate::sim::connector::Trouble;

use super::notify::{self, says, text};
use super::world::*;
use crate::audited::{AUDIT, come};
use crate::gateway::app::send;
use crate::harness::{KEY, within};

const CANARY: &str = "canary-of-the-message";

/// The usual bot, with an audit.
async fn recorded() -> Bot {
    recorded_with("").await
}

/// The same with more tables.
async fn recorded_with(more: &str) -> Bot {
    let more = format!("{}{more}", notify::ROUTE);
    let mut bot = Bot::with(Bots {
        more,
        ..Bots::default()
    })
    .await;
    let file = bot.world.folder.join("edge.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings + AUDIT).unwrap();
    let edge = Edge::start(&Settings::read(&[file]).unwrap()).unwrap();
    bot.world.port = edge.public().port();
    bot.world.edge = Some(edge);
    bot
}

/// Tenant, person and outcome of a record.
fn message(record: &Value) -> [Option<&str>; 3] {
    ["to_tenant", "to_user", "outcome"].map(|name| record[name].as_str())
}

#[tokio::test]
async fn c16_c24_whom_a_message_was_for_is_recorded_whatever_becomes_of_it() {
    let bot = recorded().await;
    let stranger = "0000000f-1111-4222-8333-0123456789ab";
    let to = |person: &str, what: &str| json!({ "tenant": TENANT, "person": person, "text": what });
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    bot.noted("reference", 1).await;
    bot.desk
        .then([Trouble::Nested("ConversationBlockedByUser")]);
    assert_eq!(notify::notify(&bot, &text(CANARY)).await.status, 410);
    let unmet = notify::notify(&bot, &to(stranger, CANARY)).await;
    assert_eq!(unmet.status, 404);
    // What is no address is not recorded as one.
    let nobody = notify::notify(&bot, &to(CANARY, "hello")).await;
    assert_eq!(nobody.status, 400);
    // Whoever is not let in names nobody.
    let body = text(CANARY).to_string();
    let unknown = send(&bot.world, "POST /notify", JSON, body.as_bytes()).await;
    assert_eq!(unknown.status, 401);
    // Whoever leaves has had somebody written to all the same.
    bot.desk.then([Trouble::Held(Duration::from_millis(300))]);
    drop(notify::begun(&bot).await);

    let records = come(&bot.world.folder, 6).await;
    let found: Vec<_> = records[1..]
        .iter()
        .map(|record| (record["status"].as_u64().unwrap(), message(record)))
        .collect();
    let of = |person, outcome| [Some(TENANT), Some(person), Some(outcome)];
    let expected = [
        (410, of(USER, "blocked_by_user")),
        (404, of(stranger, "no_reference")),
        (400, [None; 3]),
        (401, [None; 3]),
        (200, of(USER, "ok")),
    ];
    assert_eq!(found, expected);
    assert_eq!(records[5]["decision"], "allow");
    let all = fs::read_to_string(bot.world.folder.join("audit.jsonl")).unwrap();
    assert!(!all.contains(CANARY), "{all}");
}

#[tokio::test]
async fn c16_c06_who_spoke_to_the_bot_is_recorded_once_and_never_what() {
    let bot = recorded().await;

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
    // Whoever had a message sent, and for whom; what became of it.
    for (at, outcome) in [(4, "ok"), (6, "opted_out")] {
        let record = &records[at];
        assert_eq!(
            message(record),
            [TENANT, USER, outcome].map(Some),
            "{record}"
        );
    }
    for at in [0, 1, 2, 3, 5] {
        assert!(records[at]["to_user"].is_null(), "{}", records[at]);
    }
    let all = fs::read_to_string(bot.world.folder.join("audit.jsonl")).unwrap();
    for secret in [CANARY, "stop notifications", "29:1abc", CONVERSATION] {
        assert!(!all.contains(secret), "{secret}");
    }
}

/// An application for people, and sockets to it.
const API: &str = "[[routes]]\nname = \"api\"\npaths = [\"/api/*\"]\nkind = \"http\"\n\
                   admit = [\"key\"]\nupstreams = [\"app\"]\nweb_socket = true\n\
                   identity = { engineer_id = \"strip\" }\n";

const NUMBER: &str = "15551234567";

/// Activities and messages: how many there were.
async fn converses(bot: &Bot) -> usize {
    let mut sent = 0;
    // Activities: of somebody, of nobody, of another tenant, forged, without a token and with a bad one.
    let said = says(bot, &format!("{CANARY} {NUMBER}"));
    let mut update = bot.with_other("/from", json!({ "id": "29:1abc" }));
    update["type"] = json!("conversationUpdate");
    let forged = bot.with_other("/serviceUrl", json!("https://a.example/"));
    for (activity, status) in [
        (&said, 200),
        (&update, 200),
        (&bot.of_outsider(), 200),
        (&forged, 403),
        (&json!({ "text": CANARY }), 400),
    ] {
        assert_eq!(bot.post(activity).await.status, status, "{activity}");
        sent += 1;
    }
    assert_eq!(bot.post_with(CANARY, &said).await.status, 403);
    let nobody = send(&bot.world, "POST /api/messages", JSON, b"{}").await;
    assert_eq!(nobody.status, 401);
    bot.noted("reference", 1).await;
    // The one of another tenant is told so meanwhile.
    within("what outsiders are told", async {
        while bot.desk.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // Messages of the bot's own accord.
    bot.desk.then([Trouble::Status(403)]);
    assert_eq!(notify::notify(bot, &text(CANARY)).await.status, 410);
    assert_eq!(notify::notify(bot, &text(CANARY)).await.status, 200);
    sent + 4
}

/// Requests to the application, and a socket: how many records there are to be.
async fn works(bot: &Bot) -> usize {
    let keyed = format!("api-key: {KEY}\r\n");
    let mut sent = 0;
    bot.app.says("/app/api/broken", 500, CANARY);
    // Requests to the application: taken, refused, and answered with its own mistake.
    let target = format!("/api/cases?case={CANARY}&number={NUMBER}&engineer_id={CANARY}");
    for (line, headers, body, status) in [
        (format!("GET {target}"), keyed.as_str(), "", 200),
        (format!("GET {target}"), "", "", 401),
        (format!("GET {target}"), "api-key: wrong\r\n", "", 401),
        ("GET /api/broken".to_owned(), keyed.as_str(), "", 500),
        ("GET /api/%2e%2e/admin".to_owned(), keyed.as_str(), "", 400),
        ("TRACE /api/cases".to_owned(), keyed.as_str(), "", 405),
        (
            "POST /api/cases".to_owned(),
            keyed.as_str(),
            "{\"a\":1",
            415,
        ),
    ] {
        let answer = send(&bot.world, &line, headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{line}");
        sent += 1;
    }
    // A socket is an upgrade and a close.
    let mut io = bot.world.connect().await;
    let upgrade = format!(
        "GET /api/live/{CANARY} HTTP/1.1\r\nHost: x\r\n{keyed}Connection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    io.write_all(upgrade.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut head = [0; 12];
    within("an answer", io.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    drop(io);
    sent + 2
}

#[tokio::test]
async fn c16_a_whole_run_of_the_gateway_has_one_record_for_each_decision_and_tells_nothing_of_it() {
    let bot = recorded_with(API).await;
    let sent = converses(&bot).await + works(&bot).await;
    let records = come(&bot.world.folder, sent).await;
    let ids: BTreeSet<_> = records
        .iter()
        .filter(|record| record["event"] != "close")
        .map(|record| record["request"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), sent - 1, "a request has two records");
    let count = |field: &str, value: &str| {
        let with = records.iter().filter(|record| record[field] == value);
        with.count()
    };
    for (field, value, expected) in [
        ("event", "request", sent - 2),
        ("event", "upgrade", 1),
        ("event", "close", 1),
        ("route", "bot", 7),
        ("route", "notify", 2),
        ("route", "api", 9),
        ("decision", "allow", 6),
        ("decision", "deny", 11),
    ] {
        assert_eq!(count(field, value), expected, "{field} {value}");
    }
    let file = bot.world.folder.join("audit.jsonl");
    let verified = verify(std::slice::from_ref(&file), &[], false).unwrap();
    assert_eq!(verified.records, sent as u64);
    let all = fs::read_to_string(file).unwrap();
    let token = bot.token();
    let header = token.split('.').next().unwrap();
    for secret in [
        CANARY,
        "canary",
        NUMBER,
        KEY,
        SECRET,
        header,
        "29:1abc",
        "Sarah",
        CONVERSATION,
        "1700000000000",
        "engineer_id",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}
