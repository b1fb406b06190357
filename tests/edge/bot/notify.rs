//! Messages of the bot's own accord: to whom it has met and who wants them, for programs of one's own.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::ids::EntraId;
use tonegate::sim::connector::Trouble;
use tonegate::sim::stream::Stream;
use tonegate::store::{About, Note};

use super::world::*;
use crate::child::Child;
use crate::gateway::app::{Answer, send};
use crate::harness::{KEY, within};
use crate::phone::redis::Redis;

/// What nobody but the person and the application may read.
const CANARY: &str = "canary of the message";

/// A route for programs on this machine.
pub const ROUTE: &str = "[[routes]]\nname = \"notify\"\npaths = [\"/notify\"]\nkind = \"notify\"\n\
                         admit = [\"key\"]\nallow = [\"127.0.0.1/32\"]\n";

pub async fn notifies(more: Bots) -> Bot {
    Bot::with(Bots {
        more: ROUTE.to_owned(),
        ..more
    })
    .await
}

pub async fn usual() -> Bot {
    notifies(Bots::default()).await
}

/// Asks for a message.
pub async fn notify(bot: &Bot, body: &Value) -> Answer {
    let headers = format!("api-key: {KEY}\r\n{JSON}");
    let body = body.to_string();
    send(&bot.world, "POST /notify", &headers, body.as_bytes()).await
}

/// To the usual person.
pub fn text(text: &str) -> Value {
    json!({ "tenant": TENANT, "person": USER, "text": text })
}

pub fn says(bot: &Bot, text: &str) -> Value {
    bot.with_other("/text", json!(text))
}

impl Bot {
    /// The person has been met, and that is kept.
    pub async fn is_met(&self) {
        assert_eq!(self.post(&self.message()).await.status, 200);
        self.noted("reference", 1).await;
    }

    pub async fn noted(&self, note: &str, count: u64) {
        let line = format!("tonegate_bot_notes_total{{note=\"{note}\",result=\"ok\"}} {count}");
        self.world.metrics_say(&line).await;
    }
}

fn told(answer: &Answer) -> (u16, String, Value) {
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["status"], answer.status);
    let kind = answer.header("content-type");
    assert_eq!(kind.as_deref(), Some("application/problem+json"));
    (answer.status, answer.reason(), document["why"].clone())
}

fn id(text: &str) -> EntraId {
    EntraId::new(text).unwrap()
}

#[tokio::test]
async fn c22_nobody_but_programs_of_ones_own_has_anybody_written_to() {
    let bot = usual().await;
    bot.is_met().await;
    let body = text("hello").to_string();
    let good = format!("api-key: {KEY}\r\n{JSON}");
    let bearer = format!("Authorization: Bearer {}\r\n{JSON}", bot.token());
    for (line, headers, status) in [
        ("POST /notify", JSON.to_owned(), 401),
        ("POST /notify", format!("api-key: wrong\r\n{JSON}"), 401),
        // The connector's own token opens the bot's route and nothing else.
        ("POST /notify", bearer, 401),
        (
            "POST /notify",
            format!("{good}Origin: https://app.example.com\r\n"),
            403,
        ),
        ("PUT /notify", good.clone(), 405),
        (
            "POST /notify",
            format!("api-key: {KEY}\r\nContent-Type: text/plain\r\n"),
            415,
        ),
        ("POST /notify/", good.clone(), 404),
    ] {
        let answer = send(&bot.world, line, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{line} {headers}");
    }
    let mut io = bot.world.over(bot.world.tcp("127.0.0.2").await).await;
    let request = format!(
        "POST /notify HTTP/1.1\r\nHost: x\r\n{good}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let answer = within("an answer", crate::gateway::app::read(&mut io, false)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(bot.desk.asked(), 0);
}

#[tokio::test]
async fn c24_what_can_be_meant_in_two_ways_is_sent_to_nobody() {
    let bot = usual().await;
    bot.is_met().await;
    let body = text("hello").to_string();
    let other = "00000000-0000-4000-8000-00000000dead";
    let headers = format!("api-key: {KEY}\r\n{JSON}");
    for body in [
        body.replacen('{', &format!("{{\"person\":\"{other}\","), 1),
        body.replacen('{', &format!("{{\"Person\":\"{other}\","), 1),
        body.replacen('{', "{\"text\":\"other\",", 1),
        body.replacen('{', "{\"activity\":{},", 1),
        body.replace(
            "\"text\":\"hello\"",
            "\"activity\":{\"text\":\"a\",\"text\":\"b\"}",
        ),
        body.replace("\"text\":\"hello\"", "\"activity\":{\"type\":\"typing\"}"),
        body.replace(USER, "sarah@contoso.com"),
        body.replace("hello", ""),
        "[]".to_owned(),
    ] {
        let answer = send(&bot.world, "POST /notify", &headers, body.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (400, "bad_request"),
            "{body}"
        );
    }
    let long = text(&"a".repeat(130 * 1024));
    assert_eq!(notify(&bot, &long).await.status, 413);
    assert_eq!(bot.desk.asked(), 0);
}

#[tokio::test]
async fn c22_c24_whom_the_bot_has_not_met_it_does_not_write_to() {
    let bot = usual().await;
    assert_eq!(
        told(&notify(&bot, &text("hello")).await),
        (404, "no_reference".to_owned(), Value::Null)
    );
    bot.is_met().await;
    // The same id in another tenant, another id in the same.
    let mut elsewhere = text("hello");
    elsewhere["tenant"] = json!(OTHER_TENANT);
    let mut another = text("hello");
    another["person"] = json!("00000000-0000-4000-8000-00000000dead");
    for body in [elsewhere, another] {
        assert_eq!(notify(&bot, &body).await.status, 404);
    }
    assert_eq!(bot.desk.asked(), 0);
    assert_eq!(notify(&bot, &text("hello")).await.status, 200);
}

#[tokio::test]
async fn c22_c24_a_message_goes_to_the_person_in_the_conversation_that_they_had() {
    let bot = usual().await;
    bot.is_met().await;
    let answer = notify(&bot, &text("Case 7 is late.")).await;
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &said["id"]), (200, &json!("1:1")));
    // Whoever asks chooses what is said, and neither who says it nor where.
    let forged = json!({
        "tenant": TENANT, "person": USER.to_uppercase(),
        "activity": {
            "type": "message", "text": "b", "attachments": [{"contentType": "x", "content": {}}],
            "from": {"id": "28:another"}, "recipient": {"id": "29:another"},
            "conversation": {"id": "another"}, "serviceUrl": "https://evil.example/",
            "channelId": "another", "replyToId": "another",
        },
    });
    assert_eq!(notify(&bot, &forged).await.status, 200);
    let taken = bot.desk.taken();
    assert_eq!(taken.len(), 2);
    for message in &taken {
        assert_eq!(message.conversation, CONVERSATION);
        assert_eq!(message.answers, None);
        assert_eq!(
            message.body["recipient"],
            json!({"id": "29:1abc", "aadObjectId": USER})
        );
        assert_eq!(message.body["from"], json!({ "id": format!("28:{APP}") }));
        assert_eq!(message.body["channelId"], "msteams");
    }
    assert_eq!(taken[0].body["text"], "Case 7 is late.");
    assert_eq!(taken[0].body["textFormat"], "plain");
    assert_eq!(taken[1].body["attachments"][0]["contentType"], "x");
    bot.was_sound();
    let line = "tonegate_bot_messages_total{operation=\"send\",result=\"ok\"} 2";
    bot.world.metrics_say(line).await;
    let line = "tonegate_requests_total{route=\"notify\",result=\"admitted\"} 2";
    bot.world.metrics_say(line).await;
}

#[tokio::test]
async fn c22_a_person_is_met_by_what_they_do_with_the_bot_alone() {
    let bot = usual().await;
    let kind = |kind: &str| bot.with_other("/type", json!(kind));
    let personal = "/conversation/conversationType";
    let mut farewell = kind("installationUpdate");
    farewell["action"] = json!("remove");
    let mut upgrade = farewell.clone();
    upgrade["action"] = json!("remove-upgrade");
    let mut by_itself = kind("conversationUpdate");
    by_itself["from"] = json!({"id": format!("28:{APP}"), "aadObjectId": USER});
    let mut nobody = kind("conversationUpdate");
    nobody["from"] = json!({"id": "29:1abc"});
    let mut met = 0;
    for (what, body, is_met) in [
        (
            "a group",
            bot.with_other(personal, json!("groupChat")),
            false,
        ),
        (
            "a channel",
            bot.with_other(personal, json!("channel")),
            false,
        ),
        ("who knows", bot.with_other(personal, Value::Null), false),
        ("a reaction", kind("messageReaction"), false),
        ("the bot", by_itself, false),
        ("nobody", nobody, false),
        ("a farewell", farewell, false),
        ("a message", bot.message(), true),
        ("an invoke", kind("invoke"), true),
        ("a conversation", kind("conversationUpdate"), true),
        ("an installation", kind("installationUpdate"), true),
        ("another version", upgrade, true),
    ] {
        let about = About {
            note: Note::Reference,
            tenant: &id(TENANT),
            person: &id(USER),
        };
        let store = bot.world.edge().store();
        store.drop_note(about).await.unwrap();
        assert_eq!(bot.post(&body).await.status, 200, "{what}");
        if is_met {
            met += 1;
            bot.noted("reference", met).await;
        }
        let kept = store.note(about).await.unwrap();
        assert_eq!(kept.is_some(), is_met, "{what}");
    }
    // All of them reached the application, and the bot forgets those who removed it.
    assert_eq!(bot.app.seen().len(), 12);
    let mut farewell = kind("installationUpdate");
    farewell["action"] = json!("remove");
    assert_eq!(bot.post(&farewell).await.status, 200);
    bot.noted("farewell", 2).await;
    assert_eq!(notify(&bot, &text("hello")).await.status, 404);
}

#[tokio::test]
async fn c22_a_bot_that_keeps_nothing_meets_nobody_and_still_hears_who_wants_quiet() {
    let silent = notifies(Bots {
        bot: "keep = \"0s\"".to_owned(),
        ..Bots::default()
    })
    .await;
    assert_eq!(silent.post(&silent.message()).await.status, 200);
    assert_eq!(
        silent
            .post(&says(&silent, "stop notifications"))
            .await
            .status,
        200
    );
    silent.noted("quiet", 1).await;
    assert_eq!(
        silent
            .world
            .count("tonegate_bot_notes_total{note=\"reference\",result=\"ok\"}"),
        0
    );
}

#[tokio::test]
async fn c23_whoever_wants_no_messages_gets_none_until_they_want_them_again() {
    let bot = usual().await;
    bot.is_met().await;
    for (at, words) in [
        "stop notifications",
        "<at>Guardian</at> STOP Notifications\u{a0}\n",
    ]
    .into_iter()
    .enumerate()
    {
        // It is in force when the application has answered, and the application has heard of it.
        assert_eq!(bot.post(&says(&bot, words)).await.status, 200);
        assert_eq!(
            told(&notify(&bot, &text("hello")).await),
            (409, "opted_out".to_owned(), Value::Null)
        );
        let heard: Value = serde_json::from_slice(&bot.app.seen().last().unwrap().body).unwrap();
        assert_eq!(heard["text"], words);
        // What they write otherwise changes nothing.
        for other in [
            "hello",
            "please start notifications",
            "start notifications!",
        ] {
            assert_eq!(bot.post(&says(&bot, other)).await.status, 200);
            assert_eq!(notify(&bot, &text("hello")).await.status, 409);
        }
        // Nor do the words of somebody else.
        let mut another = says(&bot, "start notifications");
        another["from"]["aadObjectId"] = json!("00000000-0000-4000-8000-00000000dead");
        assert_eq!(bot.post(&another).await.status, 200);
        assert_eq!(notify(&bot, &text("hello")).await.status, 409);
        assert_eq!(bot.desk.asked(), at as u64);
        assert_eq!(
            bot.post(&says(&bot, "start notifications")).await.status,
            200
        );
        assert_eq!(notify(&bot, &text("hello")).await.status, 200);
    }
    // A button is no word.
    let mut invoke = says(&bot, "stop notifications");
    invoke["type"] = json!("invoke");
    assert_eq!(bot.post(&invoke).await.status, 200);
    assert_eq!(notify(&bot, &text("hello")).await.status, 200);
}

#[tokio::test]
async fn c23_a_route_has_its_own_words_or_none() {
    let bot = notifies(Bots {
        route: "quiet = [\"Ruhe\"]\nspeak = []".to_owned(),
        ..Bots::default()
    })
    .await;
    bot.is_met().await;
    assert_eq!(
        bot.post(&says(&bot, "stop notifications")).await.status,
        200
    );
    assert_eq!(notify(&bot, &text("hello")).await.status, 200);
    assert_eq!(bot.post(&says(&bot, "RUHE")).await.status, 200);
    assert_eq!(
        bot.post(&says(&bot, "start notifications")).await.status,
        200
    );
    assert_eq!(notify(&bot, &text("hello")).await.status, 409);
}

/// What the connector may do to a message: the trouble, and the status, the reason and the word
/// that the caller is told.
fn troubles() -> Vec<(Trouble, u16, &'static str, &'static str)> {
    let code = |code| Trouble::Code(403, code);
    vec![
        (
            code("MessageWritesBlocked"),
            410,
            "blocked",
            "writes_blocked",
        ),
        (
            code("ConversationBlockedByUser"),
            410,
            "blocked",
            "blocked_by_user",
        ),
        (
            code("ForbiddenOperationException"),
            410,
            "blocked",
            "not_installed",
        ),
        (
            code("BotNotInConversationRoster"),
            410,
            "blocked",
            "not_in_roster",
        ),
        (
            code("BotDisabledByAdmin"),
            410,
            "blocked",
            "disabled_by_admin",
        ),
        (
            code("NotEnoughPermissions"),
            410,
            "blocked",
            "not_permitted",
        ),
        (code("SomethingNew"), 410, "blocked", "forbidden"),
        (
            code("InvalidBotApiHost"),
            502,
            "upstream_refused",
            "wrong_host",
        ),
        (
            Trouble::Code(404, "ConversationNotFound"),
            404,
            "no_reference",
            "not_found",
        ),
        (
            Trouble::Code(413, "MessageSizeTooBig"),
            413,
            "too_large",
            "too_large",
        ),
        (Trouble::Status(400), 502, "upstream_refused", "refused"),
        (Trouble::Status(500), 502, "upstream_refused", "failed"),
        (Trouble::Lost, 502, "upstream_unreachable", "lost"),
        (
            Trouble::Held(Duration::from_secs(5)),
            504,
            "upstream_timeout",
            "timeout",
        ),
        (Trouble::Later(429, 3600), 429, "upstream_busy", "throttled"),
    ]
}

#[tokio::test]
async fn c24_what_the_connector_says_is_told_in_one_word_each() {
    let bot = notifies(Bots {
        bot: "timeout = \"700ms\"".to_owned(),
        ..Bots::default()
    })
    .await;
    bot.is_met().await;
    for (trouble, status, reason, why) in troubles() {
        bot.desk.then([trouble.clone()]);
        let asked = bot.desk.asked();
        let answer = notify(&bot, &text("hello")).await;
        let expected = (status, reason.to_owned(), json!(why));
        assert_eq!(told(&answer), expected, "{trouble:?}");
        let later = (status == 429).then(|| "3600".to_owned());
        assert_eq!(answer.header("retry-after"), later, "{trouble:?}");
        assert_eq!(bot.desk.asked(), asked + 1, "{trouble:?}");
    }
    bot.desk.then(vec![Trouble::Status(412); 3]);
    let answer = notify(&bot, &text("hello")).await;
    let busy = (
        503,
        "upstream_busy".to_owned(),
        json!("precondition_failed"),
    );
    assert_eq!(told(&answer), busy);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(notify(&bot, &text("hello")).await.status, 200);
}

#[tokio::test]
async fn c22_c24_a_reference_that_is_not_theirs_or_of_a_service_off_the_list_leads_nowhere() {
    let bot = usual().await;
    let (tenant, person) = (id(TENANT), id(USER));
    let about = About {
        note: Note::Reference,
        tenant: &tenant,
        person: &person,
    };
    let written = |service: &str, person: &str| {
        json!({
            "serviceUrl": service, "channelId": "msteams", "conversation": CONVERSATION,
            "bot": format!("28:{APP}"), "user": "29:1abc", "aadObjectId": person,
            "tenantId": TENANT,
        })
        .to_string()
    };
    let another = "00000000-0000-4000-8000-00000000dead";
    for (kept, why) in [
        (
            written("https://smba.trafficmanager.net/amer/", USER),
            "unlisted",
        ),
        (written("https://evil.example/", USER), "unlisted"),
        (written(&bot.service(), another), "malformed"),
        (
            written(&bot.service(), USER).replace(TENANT, OTHER_TENANT),
            "malformed",
        ),
        ("{}".to_owned(), "malformed"),
        ("\u{0}".to_owned(), "malformed"),
    ] {
        let store = bot.world.edge().store();
        let hour = Duration::from_secs(3600);
        store.put_note(about, &kept, hour).await.unwrap();
        let expected = (404, "no_reference".to_owned(), json!(why));
        assert_eq!(
            told(&notify(&bot, &text("hello")).await),
            expected,
            "{kept}"
        );
    }
    assert_eq!(bot.desk.asked(), 0);
    // The next word of theirs mends it.
    bot.is_met().await;
    assert_eq!(notify(&bot, &text("hello")).await.status, 200);
}

#[tokio::test]
async fn c22_c23_while_the_store_is_away_people_are_heard_and_what_they_want_is_kept() {
    let redis = Redis::own();
    let bot = notifies(Bots {
        store: format!("{}\ntimeout = \"500ms\"", redis.lines()),
        ..Bots::default()
    })
    .await;
    crate::phone::redis::is_up(bot.world.edge()).await;
    redis.server().signal("-STOP");
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    assert_eq!(
        bot.post(&says(&bot, "stop notifications")).await.status,
        200
    );
    let answer = notify(&bot, &text("hello")).await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (503, "store_unavailable")
    );
    assert_eq!(bot.app.seen().len(), 2);
    redis.server().signal("-CONT");
    bot.noted("reference", 2).await;
    bot.noted("quiet", 1).await;
    let reference = format!("reference:{TENANT}:{USER}");
    let left: i64 = redis.tell(&["PTTL", &reference]).parse().unwrap();
    let month = 30 * 24 * 3_600_000;
    assert!((month - 600_000..=month).contains(&left), "{left}");
    let quiet = format!("quiet:{TENANT}:{USER}");
    let left: i64 = redis.tell(&["PTTL", &quiet]).parse().unwrap();
    assert!(left > 365 * 24 * 3_600_000, "{left}");
    within("the store", async {
        while notify(&bot, &text("hello")).await.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(notify(&bot, &text("hello")).await.status, 409);
    // Whatever another program left there in its place, it is a word.
    redis.tell(&["DEL", &quiet]);
    redis.tell(&["SADD", &quiet, "x"]);
    assert_eq!(notify(&bot, &text("hello")).await.status, 409);
    assert_eq!(bot.desk.asked(), 0);
}

#[tokio::test]
async fn c16_c24_who_had_whom_written_to_is_logged_and_what_was_said_is_not() {
    let mut bot = usual().await;
    let child = Child::start(&mut bot.world, "export TONEGATE_LOG=tonegate=trace");
    let said = says(&bot, CANARY);
    assert_eq!(bot.post(&said).await.status, 200);
    let line = "tonegate_bot_notes_total{note=\"reference\",result=\"ok\"} 1";
    child.metrics_say(line).await;
    assert_eq!(notify(&bot, &text(CANARY)).await.status, 200);
    let card = json!({"tenant": TENANT, "person": USER, "activity": {"text": CANARY}});
    assert_eq!(notify(&bot, &card).await.status, 200);
    bot.desk.then([Trouble::Status(500)]);
    assert_eq!(notify(&bot, &text(CANARY)).await.status, 502);
    let of = |result: &'static str| {
        move |line: &Value| {
            line["message"] == "somebody was written to"
                && line["subject"] == "tester"
                && line["person"] == USER
                && line["tenant"] == TENANT
                && line["route"] == "notify"
                && line["result"] == result
        }
    };
    child
        .until("three lines", |child| {
            (child.logged(of("ok")), child.logged(of("failed"))) == (2, 1)
        })
        .await;
    for secret in [CANARY, KEY, "29:1abc", CONVERSATION] {
        let tells = |line: &Value| line.to_string().contains(secret);
        assert_eq!(child.logged(tells), 0, "{secret}");
    }
}

/// Asks for a message and does not wait; returns when the connector has it.
pub async fn begun(bot: &Bot) -> Stream {
    let (asked, body) = (bot.desk.asked(), text("hello").to_string());
    let mut io = bot.world.connect().await;
    let request = format!(
        "POST /notify HTTP/1.1\r\nHost: x\r\napi-key: {KEY}\r\n{JSON}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    within("the connector", async {
        while bot.desk.asked() == asked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    io
}

#[tokio::test]
async fn c24_nobody_is_told_that_a_message_on_its_way_was_not_sent() {
    let mut bot = usual().await;
    bot.is_met().await;
    bot.desk.then([Trouble::Held(Duration::from_millis(300))]);
    let mut io = begun(&bot).await;
    let edge = bot.world.edge.take().unwrap();
    let stopping = tokio::task::spawn_blocking(move || edge.stop());
    let mut answer = Vec::new();
    let _ = within("the end", io.read_to_end(&mut answer)).await;
    stopping.await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    // Where the edge cannot wait for the end, it says nothing.
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 200 "),
        "{answer}"
    );
    assert_eq!(bot.desk.taken().len(), 1);
}

#[tokio::test]
async fn c16_c24_what_became_of_a_message_is_logged_though_nobody_waits_for_it() {
    let mut bot = usual().await;
    let child = Child::start(&mut bot.world, "true");
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    let line = "tonegate_bot_notes_total{note=\"reference\",result=\"ok\"} 1";
    child.metrics_say(line).await;
    bot.desk.then([Trouble::Held(Duration::from_millis(500))]);
    drop(begun(&bot).await);
    let written =
        |line: &Value| line["message"] == "somebody was written to" && line["result"] == "ok";
    child
        .until("a line", |child| child.logged(written) == 1)
        .await;
}
