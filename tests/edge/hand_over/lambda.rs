//! The function of the recipe for Amazon Connect, unmodified and run by Node, hands calls over; what
//! becomes of them a receiver hears that checks signatures with the reference library.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tonegate::sim::acs::line::Keying;

use super::world::{AUDIENCE, CONTACT, Centre, SECRET, SIX};
use crate::call_control::webhook::Webhook;
use crate::harness::{PATIENCE, within};
use crate::phone::world::ANI;
use crate::program::{ends_well, root, tool};

const CONTEXT: &str = "{\"account\":\"A-17\",\"language\":\"en\"}";

/// Runs a script with this as its standard input; what it printed.
async fn node(script: &str, more: &[&str], input: &str, variables: &[(&str, &str)]) -> String {
    let mut run = Command::new(tool("bin/node"));
    run.arg(root().join(script)).args(more);
    run.envs(variables.iter().copied());
    let file =
        std::env::temp_dir().join(format!("tonegate-{}", tonegate::ids::SessionId::random()));
    std::fs::write(&file, input).unwrap();
    run.stdin(std::fs::File::open(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    ends_well(&mut run, PATIENCE).await
}

/// A private key, whose public half the issuer publishes as the recipe says.
async fn key(centre: &Centre, kind: &str) -> String {
    let pem = node("tests/sdk/connect.mjs", &["key", kind], "", &[]).await;
    let jwks = node("deploy/hand-off/lambda.mjs", &["jwks"], &pem, &[]).await;
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    let [jwk] = jwks["keys"].as_array().unwrap().as_slice() else {
        panic!("{jwks}");
    };
    assert!(jwk["d"].is_null(), "a private key is not published");
    centre.phone.provider.publish(jwk.clone());
    pem
}

/// A function, its environment, and the extension that brings it its key.
struct Function<'a> {
    centre: &'a Centre,
    extension: Webhook,
    pem: String,
}

impl Function<'_> {
    /// What a flow finds in `$.External`.
    async fn is_invoked(&self, contact: &str, more: &[(&str, &str)]) -> Value {
        let secret = json!({"ARN": "arn", "SecretString": self.pem}).to_string();
        self.extension.next(200, vec![], &secret);
        let world = &self.centre.phone.world;
        let edge = format!("https://localhost:{}/sessions", world.port);
        let (port, issuer) = (
            self.extension.port.to_string(),
            self.centre.phone.provider.base(),
        );
        let roots = world.folder.join("ca.pem");
        let mut variables = vec![
            ("EDGE", edge.as_str()),
            ("ISSUER", &issuer),
            ("AUDIENCE", AUDIENCE),
            ("KEY_SECRET", "edge/hand-off key"),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", &port),
            ("AWS_SESSION_TOKEN", "the-function's-own"),
            ("NODE_EXTRA_CA_CERTS", roots.to_str().unwrap()),
        ];
        variables.extend(more);
        let invoked = ["invoke", contact, ANI];
        let told = node("tests/sdk/connect.mjs", &invoked, CONTEXT, &variables).await;
        serde_json::from_str(told.lines().last().unwrap()).unwrap()
    }
}

/// The reference library, listening.
struct Receiver {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Receiver {
    async fn start(secret: &str) -> Receiver {
        let mut process = Command::new(tool("bin/node"))
            .arg(root().join("tests/sdk/webhooks.mjs"))
            .arg(secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = within("a port", lines.next_line()).await.unwrap().unwrap();
        Receiver {
            port: port.parse().unwrap(),
            lines,
            _process: process,
        }
    }

    async fn hears(&mut self) -> Value {
        let line = within("a letter", self.lines.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    fn setting(&self, secret: &str) -> String {
        let port = self.port;
        format!(
            "webhook = {{ url = \"http://127.0.0.1:{port}/\", secret = \"{secret}\", attempts = 1 }}"
        )
    }
}

#[tokio::test]
async fn a09_a10_the_recipes_function_hands_a_call_over_and_the_reference_library_hears_of_it() {
    let mut receiver = Receiver::start(SECRET).await;
    let centre = Centre::with(SIX, &receiver.setting(SECRET)).await;
    let function = Function {
        centre: &centre,
        extension: Webhook::open().await,
        pem: key(&centre, "ec").await,
    };
    let external = function.is_invoked(CONTACT, &[]).await;
    let dial = external["dial"]
        .as_str()
        .unwrap_or_else(|| panic!("{external}"));
    assert!(
        dial.len() <= 50 && dial.starts_with(",,,") && dial.ends_with('#'),
        "{dial}"
    );
    assert_eq!(external["session"], CONTACT);
    let asked = function.extension.letters().remove(0);
    assert_eq!(
        asked.target,
        "/secretsmanager/get?secretId=edge%2Fhand-off+key"
    );
    let shown = asked.header("x-aws-parameters-secrets-token");
    assert_eq!(shown, "the-function's-own");
    // A flow that runs its block once more is told the same.
    assert_eq!(function.is_invoked(CONTACT, &[]).await, external);
    // The transfer sends it as DTMF.
    let call = centre.arrives("c1").await;
    call.dials(dial, &Keying::tones());
    let opened = receiver.hears().await["verified"].clone();
    assert_eq!(
        (&opened["type"], &opened["session"]),
        (&json!("session.opened"), &json!(CONTACT))
    );
    call.hand.hang_up();
    call.ended().await;
    let ended = receiver.hears().await["verified"].clone();
    assert_eq!(
        (&ended["type"], &ended["call"]),
        (&json!("session.ended"), &json!("c1"))
    );
    let context = centre.phone.world.edge().store();
    let contact = tonegate::ids::ContactId::new(CONTACT).unwrap();
    let known = context.handed(&contact).await.unwrap().unwrap();
    assert_eq!(known.context.as_deref(), Some(CONTEXT));
}

#[tokio::test]
async fn a09_the_function_signs_with_rsa_too_and_says_what_is_wrong() {
    // One secret signs, another one is what the receiver knows.
    let other = SECRET.replace("MfKQ", "MfKR");
    let mut receiver = Receiver::start(&other).await;
    let centre = Centre::with("flow = \"sip\", digits = 6", &receiver.setting(SECRET)).await;
    let function = Function {
        centre: &centre,
        extension: Webhook::open().await,
        pem: key(&centre, "rsa").await,
    };
    // The ContactId goes through the trunk in a header; nothing is dialled.
    let external = function.is_invoked(CONTACT, &[("FLOW", "sip")]).await;
    assert!(
        external["dial"].is_null() && external["error"].is_null(),
        "{external}"
    );
    for (name, value, says) in [
        ("TTL", "2h", "400: ttl"),
        ("AUDIENCE", "api://other", "401: "),
        ("EDGE", "https://localhost:1/sessions", "cannot be reached"),
    ] {
        let refused = function.is_invoked("another", &[(name, value)]).await;
        let error = refused["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{refused}"));
        assert!(
            error.contains(says) && !error.contains(&ANI[1..]),
            "{error}"
        );
    }
    // An alias, so that this call can be dialled.
    let asked = json!({"flow": "sip", "sip_id": "482913"});
    assert_eq!(centre.asks("PUT", "alias", Some(&asked)).await.status, 201);
    let call = centre.arrives("c1").await;
    call.dials("482913", &Keying::messages());
    let heard = receiver.hears().await;
    assert!(
        heard["verified"].is_null() && heard["refused"].is_string(),
        "{heard}"
    );
    centre.webhooks("failed", 1).await;
    call.hand.hang_up();
    call.ended().await;
}
