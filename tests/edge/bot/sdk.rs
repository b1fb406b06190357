//! Bots that are built with Microsoft's own SDKs, as the private application behind the edge: what
//! people write reaches them, they verify by themselves who it is, and their answers reach the
//! connector.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::world::*;
use crate::gateway::app::{Answer, read};
use crate::harness::within;
use crate::phone::server::free_port;
use crate::program::{root, tool};

/// An interpreter's worth of imports, while others build.
const STARTS: Duration = Duration::from_secs(60);

/// A bot as a program, before an edge.
struct Behind {
    bot: Bot,
    /// Where the program listens, which nobody but the edge should know.
    at: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    _program: Child,
}

impl Behind {
    async fn start(sdk: &str, checks: bool) -> Behind {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let caller = "credential = { caller = true }".to_owned();
        let bot = Bot::with(Bots {
            app: Some(at),
            credential: checks.then_some(caller),
            base: Some(String::new()),
            ..Bots::default()
        })
        .await;
        let roots = bot.peers.folder.join("both.pem");
        let both = [&bot.peers.folder, &bot.world.folder]
            .map(|folder| fs::read_to_string(folder.join("ca.pem")).unwrap());
        fs::write(&roots, both.concat()).unwrap();
        let mut command = Command::new(tool("connector-py/bin/python"));
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("REQUESTS_CA_BUNDLE", &roots)
            .env("SSL_CERT_FILE", &roots)
            .arg(root().join("tests/sdk/bot.py"))
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let issuer = bot.issuer.base();
        for (flag, value) in [
            ("--sdk", sdk.to_owned()),
            ("--app", APP.to_owned()),
            ("--tenant", TENANT.to_owned()),
            ("--secret", SECRET.to_owned()),
            (
                "--authority",
                format!("https://localhost:{}", bot.peers.port),
            ),
            ("--edge", format!("https://localhost:{}", bot.world.port)),
            ("--issuer", EDGE.to_owned()),
            ("--audience", AUDIENCE_OF_APP.to_owned()),
            ("--keys", format!("{issuer}/v1/.well-known/keys")),
            (
                "--metadata",
                format!("{issuer}/v1/.well-known/openidconfiguration"),
            ),
            ("--port", at.port().to_string()),
        ] {
            command.arg(flag).arg(value);
        }
        if checks {
            command.arg("--checks");
        }
        let mut program = command.spawn().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let first = timeout(STARTS, lines.next_line()).await;
        let first = first.expect("the bot took too long to start").unwrap();
        let first: Value = serde_json::from_str(&first.expect("the bot ended")).unwrap();
        assert_eq!(first["listens"], at.port());
        Behind {
            bot,
            at,
            lines,
            _program: program,
        }
    }

    /// What the bot heard next.
    async fn heard(&mut self) -> Value {
        let line = within("the bot", self.lines.next_line()).await.unwrap();
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    /// Past the edge.
    async fn past(&self, headers: &str, body: &[u8]) -> Answer {
        let mut io = TcpStream::connect(self.at).await.unwrap();
        let length = body.len();
        let head = format!(
            "POST /api/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{JSON}\
             Content-Length: {length}\r\n\r\n"
        );
        io.write_all(head.as_bytes()).await.unwrap();
        io.write_all(body).await.unwrap();
        within("an answer", read(&mut io, false)).await
    }

    /// People and bot talk to each other.
    async fn converses(&mut self, token: bool) -> Value {
        let hello = self.bot.message();
        let answer = self.bot.post(&hello).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        let heard = self.heard().await;
        assert_eq!(
            (&heard["heard"], &heard["user"]),
            (&json!("message"), &json!(USER))
        );
        assert_eq!(heard["claims"]["tid"], TENANT);
        assert_eq!(heard["claims"]["conversation"], CONVERSATION);
        assert_eq!(heard["token"], token);
        let mut second = self.bot.with_other("/text", json!("And \u{e9}\u{1f600}?"));
        second["id"] = json!("1700000000001");
        let answer = self.bot.post(&second).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        self.heard().await;
        let taken = self.bot.desk.taken();
        let said: Vec<_> = taken
            .iter()
            .map(|message| {
                assert_eq!(message.conversation, CONVERSATION);
                assert_eq!(message.body["recipient"]["id"], "29:1abc");
                (
                    message.answers.as_deref().unwrap(),
                    message.body["text"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("1700000000000", "you said: hello"),
            ("1700000000001", "you said: And \u{e9}\u{1f600}?"),
        ];
        assert_eq!(said, expected);
        // A button waits for its answer.
        let mut invoke = self.bot.message();
        invoke["type"] = json!("invoke");
        invoke["name"] = json!("task/submit");
        let answer = self.bot.post(&invoke).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let done: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(done["value"], json!({ "done": "task/submit" }));
        self.heard().await;
        // Nobody else's people reach it.
        assert_eq!(self.bot.post(&self.bot.of_outsider()).await.status, 200);
        let update = self.bot.with_other("/type", json!("conversationUpdate"));
        let answer = self.bot.post(&update).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        assert_eq!(self.heard().await["heard"], "conversationUpdate");
        assert_eq!(self.bot.desk.violations(), [""; 0]);
        assert_eq!(self.bot.peers.platform.asked().refused, [""; 0]);
        heard
    }

    /// Whoever comes past the edge is not heard, whatever they have seen go by.
    async fn takes_nobody_elses_word(&self, heard: &Value) {
        let word = heard["assertion"].as_str().unwrap();
        let body = self.bot.message().to_string();
        let shown = format!("x-tonegate-assertion: {word}\r\n");
        let token = format!("Authorization: Bearer {}\r\n", self.bot.token());
        let names = format!("x-tonegate-user-id: {USER}\r\nx-tonegate-tenant-id: {TENANT}\r\n");
        let other = body.replace("hello", "transfer all");
        for (headers, body) in [
            (String::new(), &body),
            (format!("{names}{token}"), &body),
            (format!("x-tonegate-assertion: a.b.c\r\n{token}"), &body),
            (format!("{shown}{token}"), &other),
        ] {
            let answer = self.past(&headers, body.as_bytes()).await;
            assert_eq!(answer.status, 401, "{headers}");
        }
    }
}

#[tokio::test]
async fn c01_c25_a_bot_of_the_agents_sdk_behind_the_edge_converses_and_verifies_who_speaks() {
    let mut behind = Behind::start("agents", false).await;
    let heard = behind.converses(false).await;
    behind.takes_nobody_elses_word(&heard).await;
}

#[tokio::test]
async fn c25_bots_of_both_sdks_verify_the_connectors_token_once_more_behind_the_edge() {
    for sdk in ["agents", "botbuilder"] {
        let mut behind = Behind::start(sdk, true).await;
        let heard = behind.converses(true).await;
        behind.takes_nobody_elses_word(&heard).await;
        // The edge's word alone is not enough for it.
        let word = heard["assertion"].as_str().unwrap();
        let body = behind.bot.message().to_string();
        let shown = format!("x-tonegate-assertion: {word}\r\n");
        let forged = behind.bot.mint().with("aud", OTHER_TENANT);
        let forged = behind.bot.issuer.mint(&forged);
        let written = behind.bot.desk.asked();
        for token in [String::new(), format!("Authorization: Bearer {forged}\r\n")] {
            let answer = behind
                .past(&format!("{shown}{token}"), body.as_bytes())
                .await;
            // The older SDK falls over a token that is not there, which is a refusal, too.
            assert!(matches!(answer.status, 401 | 500), "{sdk} {token}");
        }
        assert_eq!(behind.bot.desk.asked(), written, "{sdk}");
    }
}
