//! `tonegate serve --insecure-dev`: a developer's own machine, and never anything else.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tonegate::app::Edge;
use tonegate::config::{Developer, Settings};

use super::notify;
use super::world::*;
use crate::audited::{AUDIT, come};
use crate::binary::{Served, run};
use crate::gateway::app::{self, Answer};
use crate::harness::{KEY, World, within};

const DEV_TENANT: &str = "00000000-0000-4000-8000-00000000de01";
const DEV_USER: &str = "00000000-0000-4000-8000-00000000de02";
const HERE: &str = "Host: localhost:8443\r\n";

/// An application for people, beside the bot's route, that is told who asks.
const API: &str = "[[routes]]\nname = \"api\"\npaths = [\"/api/*\"]\nkind = \"http\"\n\
                   admit = [\"key\"]\nassert = \"api://private-app\"\nupstreams = [\"app\"]\n\
                   web_socket = true\n";

/// The usual bot and an application, on a developer's machine.
async fn relaxed() -> Bot {
    let mut bot = Bot::with(Bots {
        more: format!("{API}{}", notify::ROUTE),
        ..Bots::default()
    })
    .await;
    let file = bot.world.folder.join("edge.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings + AUDIT).unwrap();
    let settings = Settings::read(&[file]).unwrap();
    let settings = settings.for_developer(Developer::USUAL.parse().unwrap());
    let edge = Edge::start(&settings.unwrap()).unwrap();
    bot.world.port = edge.public().port();
    bot.world.edge = Some(edge);
    bot
}

/// Sends a request as it is written, but for its length.
async fn send(world: &World, line: &str, headers: &str, body: &[u8]) -> Answer {
    let length = match body {
        [] => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let mut io = world.connect().await;
    let head = format!("{line} HTTP/1.1\r\n{headers}{length}\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    io.write_all(body).await.unwrap();
    io.flush().await.unwrap();
    within("an answer", app::read(&mut io, false)).await
}

fn is_marked(answer: &Answer) -> bool {
    answer.header("x-tonegate-insecure-dev").as_deref() == Some("1")
}

/// The bot and the application, with the settings that everybody has.
async fn usual() -> Bot {
    Bot::with(Bots {
        more: API.to_owned(),
        ..Bots::default()
    })
    .await
}

#[tokio::test]
async fn c27_what_others_can_reach_is_refused() {
    let bot = usual().await;
    let file = bot.world.folder.join("edge.toml");
    let good = fs::read_to_string(&file).unwrap();
    let path = file.to_str().unwrap();
    let own = "service_urls = [\"https://";
    for (from, to, told) in [
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"0.0.0.0:0\"",
            "server.listen: 0.0.0.0:0",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"[::]:0\"",
            "server.listen: [::]:0",
        ),
        (
            "admin = \"127.0.0.1:0\"",
            "admin = \"0.0.0.0:0\"",
            "server.admin",
        ),
        (
            "[bot]",
            "[hops]\nspeak = \"http\"\nnetworks = [\"127.0.0.1/32\"]\n[bot]",
            "hops",
        ),
        (
            own,
            "service_urls = [\"https://smba.trafficmanager.net\", \"https://",
            "bot.service_urls",
        ),
        ("{ none = true }", "{ key = \"CANARY\" }", "upstreams.app"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let (code, out, error) = run(&["serve", "--config", path, "--insecure-dev"]).await;
        assert_eq!((code, out.as_str()), (1, ""), "{to}: {error}");
        assert!(
            error.contains(told) && !error.contains("CANARY"),
            "{to}: {error}"
        );
    }
}

#[tokio::test]
async fn c27_no_other_verb_and_no_variable_asks_for_it() {
    let bot = usual().await;
    let file = bot.world.folder.join("edge.toml");
    let path = file.to_str().unwrap();
    for wrong in [
        "--insecure-dev=",
        "--insecure-dev=me",
        "--insecure-dev=true",
    ] {
        let (code, _, error) = run(&["serve", "--config", path, wrong]).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("TENANT/PERSON"), "{error}");
    }
    for verb in ["check", "demo", "explain"] {
        let (code, ..) = run(&[verb, "--config", path, "--insecure-dev"]).await;
        assert_eq!(code, 2, "{verb}");
    }
    let served = Served::start_with(&bot.world, "info", |command| {
        for name in [
            "INSECURE_DEV",
            "TONEGATE_INSECURE_DEV",
            "TONEGATE_SERVE_INSECURE_DEV",
        ] {
            command.env(name, "1");
        }
    })
    .await;
    assert!(
        served
            .metrics_page()
            .await
            .contains("\ntonegate_insecure_dev 0\n")
    );
    let mut world = bot.world;
    world.port = served.port();
    let answer = send(&world, "GET /api/cases", HERE, b"").await;
    assert_eq!((answer.status, is_marked(&answer)), (401, false));
    assert_eq!(bot.app.seen().len(), 0);
    let (_, log) = served.end(Signal::TERM).await;
    assert!(!log.contains("INSECURE"), "{log}");
}

#[tokio::test]
async fn c27_the_flag_is_loud() {
    let bot = usual().await;
    let flag = format!("--insecure-dev={TENANT}/{USER}");
    let flagged = |command: &mut tokio::process::Command| {
        command.arg(flag);
    };
    let mut served = Served::start_with(&bot.world, "info", flagged).await;
    let loud = |line: &Value| line["message"].as_str().is_some_and(is_warning);
    let line = served.ever(loud).await;
    assert_eq!(line["level"], "WARN");
    assert!(
        served
            .metrics_page()
            .await
            .contains("\ntonegate_insecure_dev 1\n")
    );
    let mut world = bot.world;
    world.port = served.port();
    let answer = send(&world, "GET /api/cases", HERE, b"").await;
    assert_eq!((answer.status, is_marked(&answer)), (200, true));
    let seen = bot.app.only();
    for (name, value) in [
        ("x-tonegate-way", "insecure-dev"),
        ("x-tonegate-user-id", USER),
        ("x-tonegate-tenant-id", TENANT),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    // Whatever is answered says so: a path that is none, a head that is none.
    for line in ["GET /nowhere", "GET\u{b} /"] {
        assert!(is_marked(&send(&world, line, HERE, b"").await), "{line:?}");
    }
    served.end(Signal::TERM).await;
}

fn is_warning(text: &str) -> bool {
    text.starts_with("INSECURE: --insecure-dev")
}

#[tokio::test]
async fn c27_a_developer_needs_no_credential_and_nobody_else_gains_by_it() {
    let bot = relaxed().await;
    let world = &bot.world;
    let good = send(world, "GET /api/cases", HERE, b"").await;
    assert_eq!((good.status, is_marked(&good)), (200, true));
    let seen = bot.app.only();
    assert_eq!(seen.header("x-tonegate-user-id"), Some(DEV_USER));
    // Signed with a key that nobody has published, and that is in no file.
    let shown = bot.jwks().await;
    let kid = shown["keys"][0]["kid"].as_str().unwrap();
    let token = seen.header("x-tonegate-assertion").unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.kid.as_deref(), Some(kid));
    let of_settings = Settings::read(&[world.folder.join("edge.toml")]).unwrap();
    let of_settings = of_settings.live.assertion.unwrap();
    let of_settings = tonegate::upstream::assertion::Assertions::new(of_settings).unwrap();
    assert!(
        !String::from_utf8(of_settings.jwks().to_vec())
            .unwrap()
            .contains(kid)
    );

    // A credential counts for what it is.
    for (headers, status) in [
        (format!("{HERE}api-key: {KEY}\r\n"), 200),
        (format!("{HERE}api-key: wrong\r\n"), 401),
        (format!("{HERE}Authorization: Bearer a.b.c\r\n"), 401),
        (format!("{HERE}Authorization: Basic abc\r\n"), 401),
        // Whoever asks for others, or from a page.
        ("Host: rebound.example\r\n".to_owned(), 401),
        (format!("{HERE}X-Forwarded-For: 203.0.113.9\r\n"), 401),
        (format!("{HERE}Sec-Fetch-Site: cross-site\r\n"), 401),
        (format!("{HERE}Origin: https://evil.example\r\n"), 403),
    ] {
        let answer = send(world, "GET /api/cases", &headers, b"").await;
        assert_eq!(
            (answer.status, is_marked(&answer)),
            (status, true),
            "{headers}"
        );
    }
    assert_eq!(bot.app.seen().len(), 2);
    assert_eq!(
        bot.app.seen()[1].header("x-tonegate-subject"),
        Some("tester")
    );
    // Routes that lead to Azure, or have the bot write to people, are what they were.
    let upgrade = format!(
        "{HERE}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let voice = send(world, "GET /ws?model=sim-echo", &upgrade, b"").await;
    assert_eq!((voice.status, is_marked(&voice)), (401, true));
    let notice = notify::text("hello").to_string();
    let headers = format!("{HERE}{JSON}");
    let sent = send(world, "POST /notify", &headers, notice.as_bytes()).await;
    assert_eq!(sent.status, 401);
    assert_eq!(bot.desk.asked(), 0);

    let records = come(&world.folder, 11).await;
    let first = &records[0];
    for (field, value) in [
        ("decision", "allow"),
        ("rule", "insecure-dev"),
        ("credential", "insecure-dev"),
        ("tenant", DEV_TENANT),
        ("user", DEV_USER),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    let by_rule = |rule: &str| records.iter().filter(|r| r["rule"] == rule).count();
    assert_eq!((by_rule("insecure-dev"), by_rule("key")), (1, 1));
}

#[tokio::test]
async fn c27_activities_of_a_local_channel_come_unsigned_and_those_of_teams_do_not() {
    let bot = relaxed().await;
    let post = async |activity: &Value| {
        let headers = format!("{HERE}{JSON}");
        let body = activity.to_string();
        send(&bot.world, "POST /api/messages", &headers, body.as_bytes()).await
    };
    // As the emulator has it: of no tenant and nobody of Entra.
    let emulated = json!({
        "type": "message", "id": "1", "channelId": "emulator", "text": "hello",
        "serviceUrl": "http://localhost:53214", "from": {"id": "user"},
        "conversation": {"id": "abc|livechat"}, "recipient": {"id": "bot"},
    });
    assert_eq!(post(&emulated).await.status, 200);
    assert_eq!(bot.app.only().header("x-tonegate-user-id"), Some(DEV_USER));
    // As the playground has it: of somebody.
    assert_eq!(post(&bot.message()).await.status, 200);
    assert_eq!(bot.app.seen()[1].header("x-tonegate-user-id"), Some(USER));
    // Whoever says that they are another machine's needs a token.
    for service in [
        "https://smba.trafficmanager.net/amer/",
        "http://192.0.2.7/",
        "http://localhost.evil.example/",
        "http://localhost@evil.example/",
    ] {
        let mut remote = emulated.clone();
        remote["serviceUrl"] = json!(service);
        assert_eq!(post(&remote).await.status, 403, "{service}");
    }
    // People of tenants that are not listed are turned away as ever.
    assert_eq!(post(&bot.of_outsider()).await.status, 200);
    assert_eq!(bot.app.seen().len(), 2);
    // A token that is shown must be good.
    assert_eq!(bot.post_with("a.b.c", &bot.message()).await.status, 403);
    assert_eq!(bot.post(&bot.message()).await.status, 200);
    assert_eq!(bot.app.seen().len(), 3);
}
