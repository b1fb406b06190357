//! What does not reach the application: it sees nothing of any of it.

use std::time::Duration;

use serde_json::{Value, json};
use tonegate::sim::issuer::behaviour::Behaviour;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};

use super::world::*;
use crate::gateway::app::{Answer, send};
use crate::harness::{KEY, within};

/// It is refused so, and told to nobody else.
fn is(bot: &Bot, what: &str, answer: &Answer, status: u16, reason: &str) {
    let told = (answer.status, answer.reason());
    assert_eq!(told, (status, reason.to_owned()), "{what}");
    assert_eq!(bot.app.seen().len(), 0, "{what}");
    assert_eq!(bot.desk.asked(), 0, "{what}");
}

#[tokio::test]
async fn c01_without_a_token_it_is_401_whoever_the_headers_name() {
    let bot = Bot::usual().await;
    let body = bot.message().to_string();
    for header in [
        "".to_owned(),
        "Authorization: Basic dTpw\r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        format!("x-tonegate-user-id: {USER}\r\nx-tonegate-tenant-id: {TENANT}\r\n"),
        "x-ms-client-principal: e30=\r\n".to_owned(),
    ] {
        let answer = bot.send(&format!("{header}{JSON}"), body.as_bytes()).await;
        is(&bot, &header, &answer, 401, "unauthenticated");
    }
    let headers = format!("api-key: {KEY}\r\n{JSON}");
    let answer = bot.send(&headers, body.as_bytes()).await;
    is(
        &bot,
        "a key of another route",
        &answer,
        403,
        "unauthenticated",
    );
    // A token sits in the header and nowhere else.
    let line = format!("POST /api/messages?token={}", bot.token());
    let answer = send(&bot.world, &line, JSON, body.as_bytes()).await;
    is(&bot, "the query", &answer, 401, "unauthenticated");
}

#[tokio::test]
async fn c02_a_token_that_is_not_good_is_403() {
    let bot = Bot::usual().await;
    let public = bot.issuer.connector_pem().into_bytes();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let good = bot.mint();
    let by = |algorithm: Algorithm| Mint {
        algorithm,
        ..good.clone()
    };
    let of_key = |key: KeyChoice| Mint {
        key,
        ..good.clone()
    };
    let mut tokens: Vec<(&str, String)> = [
        ("alg none", by(Algorithm::None)),
        (
            "HS256 with the public key",
            by(Algorithm::Hs256 { secret: public }),
        ),
        ("PS256", by(Algorithm::Ps256)),
        (
            "a key that nobody publishes",
            of_key(KeyChoice::Unpublished),
        ),
        ("Entra's key", of_key(KeyChoice::Signing)),
        ("another audience", good.clone().with("aud", OTHER_TENANT)),
        (
            "a list of audiences",
            good.clone().with("aud", json!([APP])),
        ),
        (
            "another issuer",
            good.clone().with("iss", "https://api.botframework.us"),
        ),
        ("expired by 310 s", good.clone().with("exp", now - 310)),
        ("good in 310 s", good.clone().with("nbf", now + 310)),
        ("no service", good.clone().without("serviceurl")),
        ("Entra's own", Mint::entra_v1(TENANT, APP)),
    ]
    .map(|(what, mint)| (what, bot.issuer.mint(&mint)))
    .into();
    tokens.extend([("garbage", "a.b.c".to_owned()), ("a word", "x".to_owned())]);
    for (what, token) in &tokens {
        let answer = bot.post_with(token, &bot.message()).await;
        is(&bot, what, &answer, 403, "unauthenticated");
        assert!(!answer.head.contains(token.as_str()), "{what}");
    }
    // Seconds from being refused.
    for mint in [
        good.clone().with("exp", now - 290),
        good.clone().with("nbf", now + 290),
    ] {
        let token = bot.issuer.mint(&mint);
        assert_eq!(bot.post_with(&token, &bot.message()).await.status, 200);
    }
}

#[tokio::test]
async fn c05_without_keys_it_is_503_and_may_come_again() {
    let away = |provider: &tonegate::sim::issuer::provider::Provider| {
        provider.set(Behaviour::Status(503));
    };
    let bot = Bot::prepared(Bots::default(), away).await;
    let answer = bot.post(&bot.message()).await;
    is(&bot, "no keys", &answer, 503, "keys_unavailable");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn c01_what_is_no_activity_by_its_head_is_refused_by_name() {
    let route = "limits = { client_message = \"1000B\" }".to_owned();
    let bot = Bot::with(Bots {
        route,
        ..Bots::default()
    })
    .await;
    let body = bot.message().to_string();
    let key = format!("Authorization: Bearer {}\r\n", bot.token());
    let chunked = format!("{key}{JSON}Transfer-Encoding: chunked\r\n");
    let announced = format!("{key}{JSON}Content-Length: 1001\r\n");
    let zipped = format!("{key}{JSON}Content-Encoding: gzip\r\n");
    let twice = format!("{key}{JSON}{JSON}");
    let text = format!("{key}Content-Type: text/plain\r\n");
    let good = format!("{key}{JSON}");
    let path = "/api/messages";
    for (line, headers, body, status) in [
        (format!("GET {path}"), &good, "", 405),
        (format!("PUT {path}"), &good, body.as_str(), 405),
        (format!("OPTIONS {path}"), &good, "", 405),
        (format!("POST {path}"), &good, "", 411),
        (format!("POST {path}"), &chunked, "", 411),
        (format!("POST {path}"), &announced, "", 413),
        (format!("POST {path}"), &text, body.as_str(), 415),
        (format!("POST {path}"), &key, body.as_str(), 415),
        (format!("POST {path}"), &zipped, body.as_str(), 415),
        (format!("POST {path}"), &twice, body.as_str(), 415),
        (format!("POST {path}/"), &good, body.as_str(), 404),
        ("POST /api/Messages".to_owned(), &good, body.as_str(), 404),
    ] {
        let answer = send(&bot.world, &line, headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{line} {headers}");
        if status == 405 {
            assert_eq!(answer.header("allow").as_deref(), Some("POST"));
        }
    }
    let origin = format!("{good}Origin: https://app.example.com\r\n");
    let answer = bot.send(&origin, body.as_bytes()).await;
    is(&bot, "a page", &answer, 403, "forbidden");
}

#[tokio::test]
async fn c14_a_body_that_can_be_read_in_two_ways_is_400() {
    let bot = Bot::usual().await;
    let body = bot.message().to_string();
    let other = "00000000-0000-4000-8000-00000000dead";
    let inserted = |text: &str| body.replacen('{', &format!("{{{text},"), 1);
    let from = format!("\"from\":{{\"id\":\"29:2\",\"aadObjectId\":\"{other}\"}}");
    for (what, body) in [
        ("twice", inserted(&from)),
        ("in another case", inserted(&from.replace("from", "From"))),
        ("escaped", inserted(&from.replace("from", "fr\\u006fm"))),
        (
            "as Python has it",
            inserted(&from.replace("from", "from_property")),
        ),
        (
            "an id twice",
            body.replace(
                "\"aadObjectId\"",
                &format!("\"aad_object_id\":\"{other}\",\"aadObjectId\""),
            ),
        ),
        ("no JSON", format!("{body}}}")),
        ("a list", format!("[{body}]")),
        ("nothing", "{}".to_owned()),
        ("a tenant that is none", body.replace(TENANT, "common")),
        ("deep", inserted(&format!("\"x\":{}", "[".repeat(200)))),
    ] {
        let headers = format!("Authorization: Bearer {}\r\n{JSON}", bot.token());
        let answer = bot.send(&headers, body.as_bytes()).await;
        is(&bot, what, &answer, 400, "bad_request");
        let said = String::from_utf8(answer.body).unwrap();
        assert!(!said.contains(other), "{said}");
    }
}

#[tokio::test]
async fn c03_an_activity_is_of_the_service_that_the_token_says_and_the_list_has() {
    let bot = Bot::usual().await;
    let service = bot.service();
    let (host, port) = service
        .strip_prefix("https://")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(authority, _)| authority.split_once(':'))
        .unwrap();
    // The token says one thing, the activity another.
    for other in [
        service.trim_end_matches('/').to_owned(),
        service.replace("/amer/", "/emea/"),
        service.to_uppercase(),
        "https://smba.trafficmanager.net/amer/".to_owned(),
    ] {
        let body = bot.with_other("/serviceUrl", json!(other));
        let answer = bot.post(&body).await;
        is(&bot, &other, &answer, 403, "forbidden");
    }
    // Both say the same, and it is nobody's who may speak for people.
    for other in [
        format!("https://{host}.evil.example:{port}/amer/"),
        format!("https://{host}:{port}@evil.example/amer/"),
        format!("https://evil-{host}:{port}/amer/"),
        format!("https://{host}/amer/"),
        format!("http://{host}:{port}/amer/"),
        format!("https://{host}.:{port}/amer/"),
        format!("https://127.0.0.1:{port}/amer/"),
        "https://169.254.169.254/metadata/".to_owned(),
    ] {
        let token = bot.issuer.mint(&Mint::connector(APP, &other));
        let body = bot.with_other("/serviceUrl", json!(other));
        let answer = bot.post_with(&token, &body).await;
        is(&bot, &other, &answer, 403, "forbidden");
    }
    // Both spellings of the claim, and they differ.
    let both = bot.mint().with("serviceUrl", "https://evil.example/");
    let answer = bot.post_with(&bot.issuer.mint(&both), &bot.message()).await;
    is(&bot, "two claims", &answer, 403, "unauthenticated");
}

#[tokio::test]
async fn c04_a_key_signs_for_the_channels_that_it_is_endorsed_for() {
    let bot = Bot::prepared(Bots::default(), |provider| {
        provider.dress_connector_key(json!({ "endorsements": ["skype", "webchat"] }));
    })
    .await;
    let answer = bot.post(&bot.message()).await;
    is(&bot, "endorsed for others", &answer, 403, "forbidden");

    let bare = json!({ "endorsements": null });
    let strict = "require_endorsements = true".to_owned();
    for (issuer, status) in [(String::new(), 200), (strict, 403)] {
        let wish = Bots {
            issuer,
            ..Bots::default()
        };
        let bot = Bot::prepared(wish, |provider| provider.dress_connector_key(bare.clone())).await;
        assert_eq!(bot.post(&bot.message()).await.status, status);
    }
}

#[tokio::test]
async fn c06_what_does_not_say_one_tenant_and_one_person_is_403() {
    let bot = Bot::usual().await;
    let mut nowhere = bot.with_other("/conversation/tenantId", Value::Null);
    nowhere["channelData"] = Value::Null;
    let mut invoke = bot.with_other("/from/aadObjectId", Value::Null);
    invoke["type"] = json!("invoke");
    for (what, body) in [
        (
            "two tenants",
            bot.with_other("/conversation/tenantId", json!(OTHER_TENANT)),
        ),
        (
            "two tenants",
            bot.with_other("/channelData/tenant/id", json!(OTHER_TENANT)),
        ),
        ("no tenant", nowhere),
        ("nobody", bot.with_other("/from/aadObjectId", Value::Null)),
        ("nobody at all", bot.with_other("/from", Value::Null)),
        ("nobody presses", invoke),
    ] {
        let answer = bot.post(&body).await;
        is(&bot, what, &answer, 403, "forbidden");
    }
    let denied = "tonegate_requests_total{route=\"bot\",result=\"forbidden\"}";
    assert_eq!(bot.world.count(denied), 6);
}

#[tokio::test]
async fn c06_somebody_of_another_tenant_is_told_so_in_the_conversation_and_nobody_else_is() {
    let bot = Bot::usual().await;
    let answer = bot.post(&bot.of_outsider()).await;
    // The connector has nothing to bring again.
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    within("the refusal", async {
        while bot.desk.taken().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let taken = bot.desk.taken();
    assert_eq!(taken[0].conversation, CONVERSATION);
    assert_eq!(taken[0].answers.as_deref(), Some("1700000000000"));
    assert_eq!(taken[0].body["text"], REFUSAL);
    assert_eq!(taken[0].body["recipient"]["id"], "29:1abc");
    let series = "tonegate_requests_total{route=\"bot\",result=\"forbidden\"}";
    assert_eq!(bot.world.count(series), 1);
    let line = "tonegate_bot_messages_total{operation=\"reply\",result=\"ok\"} 1";
    bot.world.metrics_say(line).await;
    // Nobody said anything there, so nobody is answered.
    let mut update = bot.of_outsider();
    update["type"] = json!("conversationUpdate");
    assert_eq!(bot.post(&update).await.status, 200);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    bot.was_sound();
    assert_eq!((bot.desk.asked(), bot.app.seen().len()), (1, 1));
}

#[tokio::test]
async fn c06_without_words_for_it_there_is_silence() {
    let mut bot = Bot::usual().await;
    bot.begins_anew(&format!("refusal = \"{REFUSAL}\"\n"), "");
    assert_eq!(bot.post(&bot.of_outsider()).await.status, 200);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    assert_eq!((bot.desk.asked(), bot.app.seen().len()), (0, 1));
}
