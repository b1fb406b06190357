//! What reaches the application, and how its answers come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use tonegate::sim::issuer::mint::Mint;

use super::world::*;
use crate::gateway::app::{App, INVOKED, Seen, send};

/// What the edge says of a request, verified as an application would; `None`: no published key.
fn verified(jwks: &Value, seen: &Seen) -> Option<Value> {
    let token = seen.header("x-tonegate-assertion").unwrap();
    let keys: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
    let header = decode_header(token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap())?;
    let mut rules = Validation::new(header.alg);
    rules.leeway = 0;
    rules.validate_nbf = true;
    rules.set_audience(&[AUDIENCE_OF_APP]);
    rules.set_issuer(&[EDGE]);
    rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    let key = DecodingKey::from_jwk(key).unwrap();
    Some(decode::<Value>(token, &key, &rules).unwrap().claims)
}

#[tokio::test]
async fn c01_an_activity_goes_on_as_it_came_with_the_edges_word_on_who_speaks() {
    let bot = Bot::usual().await;
    // As no serialiser would write it.
    let body = bot
        .message()
        .to_string()
        .replacen("\"text\"", " \n\t\"t\\u0065xt\"", 1);
    let spoofed = "00000000-0000-4000-8000-00000000dead";
    let headers = format!(
        "Authorization: bearer {}\r\n{JSON}Accept: application/json\r\n\
         x-tonegate-assertion: a.b.c\r\nx-tonegate-user-id: {spoofed}\r\n\
         X-Tonegate-Tenant-Id: {spoofed}\r\nx-tonegate-subject: {spoofed}\r\n\
         x-tonegate-roles: manager\r\nx-ms-client-principal: {spoofed}\r\n\
         x-ms-client-principal-id: {spoofed}\r\nx-ms-token-aad-id-token: {spoofed}\r\n\
         X-Forwarded-For: 203.0.113.9\r\nForwarded: for={spoofed}\r\nCookie: a={spoofed}\r\n\
         x-ms-conversation-id: {CONVERSATION}\r\n",
        bot.token()
    );
    let line = format!("POST /api/messages?engineer_id={spoofed}");
    let answer = crate::gateway::app::send(&bot.world, &line, &headers, body.as_bytes()).await;
    assert_eq!((answer.status, answer.whole), (200, true));
    let seen = bot.app.only();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/app/api/messages")
    );
    assert_eq!(seen.body, body.as_bytes());
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("accept", "application/json"),
        ("x-tonegate-user-id", USER),
        ("x-tonegate-tenant-id", TENANT),
        ("x-tonegate-route", "bot"),
        ("x-tonegate-way", "connector"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    for gone in [
        "authorization",
        "cookie",
        "forwarded",
        "x-tonegate-roles",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-ms-token-aad-id-token",
        "x-ms-conversation-id",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert!(!format!("{:?} {}", seen.headers, seen.target).contains(spoofed));

    let claims = verified(&bot.jwks().await, &seen).unwrap();
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    for (name, value) in [
        ("oid", USER),
        ("tid", TENANT),
        ("route", "bot"),
        ("conversation", CONVERSATION),
        ("channel", "msteams"),
        ("bsh", &BASE64_URL_SAFE_NO_PAD.encode(digest)),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    // The credential names nobody but the connector.
    let subject = claims["sub"].as_str().unwrap();
    assert!(subject.starts_with("connector:"), "{subject}");
    bot.was_sound();
    assert_eq!(bot.desk.asked(), 0);
}

#[tokio::test]
async fn c25_a_route_for_all_paths_does_not_name_the_keys() {
    let bot = Bot::with(Bots {
        more:
            "[[routes]]\nname = \"rest\"\npaths = [\"/*\"]\nkind = \"http\"\nadmit = [\"anyone\"]\n\
               upstreams = [\"app\"]\n"
                .to_owned(),
        ..Bots::default()
    })
    .await;
    assert!(bot.jwks().await["keys"][0]["kid"].is_string());
    let jwks = "/.well-known/jwks.json";
    let head = send(&bot.world, &format!("HEAD {jwks}"), "", b"").await;
    let kind = head.header("content-type");
    assert_eq!(kind.as_deref(), Some("application/jwk-set+json"));
    assert_eq!(bot.app.seen().len(), 0);
    assert_eq!(send(&bot.world, "GET /other", "", b"").await.status, 200);
    assert_eq!(bot.app.seen().len(), 1);
}

#[tokio::test]
async fn c01_an_invoke_gets_its_answer_at_once_and_with_its_status() {
    let bot = Bot::usual().await;
    let mut invoke = bot.message();
    invoke["type"] = json!("invoke");
    invoke["name"] = json!("task/submit");
    bot.app.plays("/invoke");
    let answer = bot.post(&invoke).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, INVOKED));
    let kind = answer.header("content-type");
    assert_eq!(kind.as_deref(), Some("application/json"));
    for (path, status) in [
        ("/status/501", 501),
        ("/status/412", 412),
        ("/status/202", 202),
    ] {
        bot.app.plays(path);
        assert_eq!(bot.post(&invoke).await.status, status);
    }
}

#[tokio::test]
async fn c01_what_nobody_said_passes_without_a_person() {
    let bot = Bot::usual().await;
    let jwks = bot.jwks().await;
    for (at, kind) in [
        "conversationUpdate",
        "installationUpdate",
        "messageReaction",
    ]
    .into_iter()
    .enumerate()
    {
        let mut update = bot.with_other("/from", json!({ "id": "29:1abc" }));
        update["type"] = json!(kind);
        assert_eq!(bot.post(&update).await.status, 200, "{kind}");
        let seen = &bot.app.seen()[at];
        assert_eq!(seen.header("x-tonegate-user-id"), None);
        assert_eq!(seen.header("x-tonegate-tenant-id"), Some(TENANT));
        let claims = verified(&jwks, seen).unwrap();
        assert_eq!(
            (&claims["oid"], &claims["tid"]),
            (&Value::Null, &json!(TENANT))
        );
    }
}

#[tokio::test]
async fn c01_an_application_that_is_slow_or_gone_is_asked_once() {
    let second = App::start(None).await;
    let tables = format!(
        "[upstreams.second]\nkind = \"http\"\nurl = \"http://{}/app\"\ncredential = {{ none = true }}\n",
        second.1
    );
    let mut bot = Bot::with(Bots {
        upstream: "total = \"700ms\"\nconnect = \"500ms\"".to_owned(),
        more: tables,
        ..Bots::default()
    })
    .await;
    bot.begins_anew("upstreams = [\"app\"]", "upstreams = [\"app\", \"second\"]");
    bot.app.plays("/hang");
    let answer = bot.post(&bot.message()).await;
    let told = (answer.status, answer.reason());
    assert_eq!(told, (504, "upstream_timeout".to_owned()));
    bot.app.plays("/status/500");
    assert_eq!(bot.post(&bot.message()).await.status, 500);
    assert_eq!((bot.app.seen().len(), second.0.seen().len()), (2, 0));
    // One that was not reached has not heard it.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = closed.local_addr().unwrap();
    drop(closed);
    let (from, to) = (gone_from(&bot), format!("http://{gone}/app"));
    bot.begins_anew(&from, &to);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    assert_eq!((bot.app.seen().len(), second.0.seen().len()), (2, 1));
    bot.begins_anew(", \"second\"]", "]");
    let answer = bot.post(&bot.message()).await;
    let told = (answer.status, answer.reason());
    assert_eq!(told, (502, "upstream_unreachable".to_owned()));
}

/// Where the application is, as the settings say.
fn gone_from(bot: &Bot) -> String {
    let of_app = bot.world.settings.split("[upstreams.app]").nth(1).unwrap();
    of_app.split('"').nth(3).unwrap().to_owned()
}

#[tokio::test]
async fn c05_the_connector_changes_its_key_under_load_and_nobody_is_refused() {
    let bot = Arc::new(Bot::usual().await);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    let before = bot.issuer.counts().keys;
    let sent = Arc::new(AtomicUsize::new(0));
    let caller = |number: usize| {
        let (bot, sent) = (bot.clone(), sent.clone());
        async move {
            let kept = bot.token();
            for turn in 0..6 {
                if sent.fetch_add(1, Ordering::Relaxed) == 24 {
                    bot.issuer.rotate_connector();
                }
                // Every second one was signed before.
                let token = match turn % 2 {
                    0 => bot.token(),
                    _ => kept.clone(),
                };
                let answer = bot.post_with(&token, &bot.message()).await;
                assert_eq!(answer.status, 200, "{number} {turn}");
            }
        }
    };
    join_all((0..8).map(caller)).await;
    // One, and one for those who came while it was under way and may have missed the new key.
    let fetched = bot.issuer.counts().keys - before;
    assert!((1..=2).contains(&fetched), "{fetched}");
    assert_eq!(bot.app.seen().len(), 49);
}

#[tokio::test]
async fn c05_a_storm_of_unknown_keys_costs_three_fetches_and_no_message() {
    let bot = Bot::usual().await;
    let good = bot.token();
    assert_eq!(bot.post_with(&good, &bot.message()).await.status, 200);
    let before = bot.issuer.counts().keys;
    let tokens: Vec<String> = (0..48)
        .map(|number| {
            let header = json!({ "kid": format!("made-up-{number}") });
            bot.issuer.mint(&Mint {
                header,
                ..bot.mint()
            })
        })
        .collect();
    let message = bot.message();
    for some in tokens.chunks(12) {
        let answers = join_all(some.iter().map(|token| bot.post_with(token, &message))).await;
        for answer in answers {
            assert!(matches!(answer.status, 403 | 503), "{}", answer.head);
        }
        assert_eq!(bot.post_with(&good, &message).await.status, 200);
    }
    assert!(bot.issuer.counts().keys <= before + 3);
    assert_eq!(bot.app.seen().len(), 5);
}

#[tokio::test]
async fn c25_the_edge_changes_its_own_key_and_applications_verify_all_the_while() {
    let mut bot = Bot::usual().await;
    let folder = bot.peers.folder.display().to_string();
    std::fs::write(bot.peers.folder.join("second.pem"), key()).unwrap();
    let [one, two] = ["first", "second"].map(|name| format!("\"{folder}/{name}.pem\""));
    let mut jwks = vec![bot.jwks().await];
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    bot.begins_anew(
        &format!("keys = [{one}]"),
        &format!("keys = [{two}, {one}]"),
    );
    jwks.push(bot.jwks().await);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    bot.begins_anew(
        &format!("keys = [{two}, {one}]"),
        &format!("keys = [{two}]"),
    );
    jwks.push(bot.jwks().await);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    let seen = bot.app.seen();
    // By the request, and by the set that an application has kept.
    for (request, expected) in [
        [true, true, false],
        [false, true, true],
        [false, true, true],
    ]
    .into_iter()
    .enumerate()
    {
        for (set, expected) in expected.into_iter().enumerate() {
            let found = verified(&jwks[set], &seen[request]).is_some();
            assert_eq!(found, expected, "request {request}, set {set}");
        }
    }
}

/// Two edges in the middle of a change of key, each with both, and an application that fetches the keys
/// of whichever it comes to when it meets a name that it does not know.
#[tokio::test]
async fn c25_while_edges_change_their_key_under_load_applications_verify_every_request() {
    let mut bot = Bot::usual().await;
    let folder = bot.peers.folder.display().to_string();
    std::fs::write(bot.peers.folder.join("second.pem"), key()).unwrap();
    let [one, two] = ["first", "second"].map(|name| format!("\"{folder}/{name}.pem\""));
    let stages = [
        format!("keys = [{one}]"),
        format!("keys = [{one}, {two}]"),
        format!("keys = [{two}, {one}]"),
        format!("keys = [{two}]"),
    ];
    let mut kept: Option<Value> = None;
    let (mut seen, mut fetched) = (0, 0);
    for pair in stages.windows(2) {
        let [from, to] = pair else {
            unreachable!("windows of two");
        };
        let other = bot.beside(from, to);
        let message = bot.message().to_string();
        let posts = (0..24).map(|number| {
            let port = if number % 2 == 0 {
                bot.world.port
            } else {
                other.public().port()
            };
            post_at(&bot, port, &message)
        });
        assert_eq!(join_all(posts).await, [200; 24]);
        let requests = bot.app.seen().split_off(seen);
        seen += requests.len();
        for (number, request) in requests.iter().enumerate() {
            let knows = |set: &Value| verified(set, request).is_some();
            if !kept.as_ref().is_some_and(knows) {
                // Of either edge, and not of the one that signed.
                let port = if number % 3 == 0 {
                    bot.world.port
                } else {
                    other.public().port()
                };
                kept = Some(jwks_at(&bot, port).await);
                fetched += 1;
            }
            assert!(
                kept.as_ref().is_some_and(knows),
                "{number} from {from} to {to}"
            );
        }
        drop(other);
        bot.begins_anew(from, to);
    }
    assert_eq!(seen, 72);
    // For the first key, and for the second.
    assert_eq!(fetched, 2);
}

async fn ask_at(bot: &Bot, port: u16, request: &str) -> crate::gateway::app::Answer {
    let roots = bot.world.authority.pem();
    let mut io = crate::binary::send(port, &roots, request.as_bytes()).await;
    let answer = crate::gateway::app::read(&mut io, false);
    crate::harness::within("an answer", answer).await
}

async fn post_at(bot: &Bot, port: u16, body: &str) -> u16 {
    let (token, length) = (bot.token(), body.len());
    let request = format!(
        "POST /api/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{JSON}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    ask_at(bot, port, &request).await.status
}

async fn jwks_at(bot: &Bot, port: u16) -> Value {
    let request = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n";
    serde_json::from_slice(&ask_at(bot, port, request).await.body).unwrap()
}
