//! Microsoft's own verifiers as oracles: botframework-connector and microsoft-agents-hosting-core,
//! with the same keys, tokens and bodies as ours. What each of the three makes of each case is written
//! down; ours lets nobody in whom the Agents SDK does not.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use tonegate::sim::issuer::mint::{Algorithm, KeyChoice, Mint};

use super::*;
use crate::program::{root, tool};

/// Two interpreters' worth of imports, and a hundred tokens.
const ORACLES: Duration = Duration::from_secs(60);

/// What somebody makes of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Refused,
    /// Who speaks.
    Heard(Option<String>),
}

/// A request, and what is expected of botframework-connector, of the Agents SDK and of ours: `+` it is
/// let in, `-` it is not.
struct Case {
    what: &'static str,
    header: Option<String>,
    body: String,
    ours: Verdict,
    expected: [char; 3],
}

struct Cases<'a> {
    bot: &'a Bot,
    /// When it all happens, to the SDKs; in seconds since 1970.
    now: u64,
    all: Vec<Case>,
}

impl Cases<'_> {
    /// Ours judges at once: an expiry is seconds away.
    async fn add(
        &mut self,
        what: &'static str,
        expected: &str,
        header: Option<String>,
        body: String,
    ) {
        let ours = match self.bot.hears(header.as_deref(), &body).await {
            Ok(caller) => Verdict::Heard(caller.user().map(|id| id.as_str().to_owned())),
            Err(_) => Verdict::Refused,
        };
        let expected: Vec<char> = expected.chars().collect();
        self.all.push(Case {
            what,
            header,
            body,
            ours,
            expected: expected.try_into().unwrap(),
        });
    }

    /// A token with the usual message.
    async fn token(&mut self, what: &'static str, expected: &str, mint: &Mint) {
        let header = format!("Bearer {}", self.bot.provider.mint(mint));
        self.add(what, expected, Some(header), message().to_string())
            .await;
    }

    /// The usual token, of the service that the body names, with a body.
    async fn body(&mut self, what: &'static str, expected: &str, body: &Value) {
        let mint = Mint::connector(APP, body["serviceUrl"].as_str().unwrap());
        let header = format!("Bearer {}", self.bot.provider.mint(&mint));
        self.add(what, expected, Some(header), body.to_string())
            .await;
    }

    /// The same with a body that no [`Value`] can hold.
    async fn text(&mut self, what: &'static str, expected: &str, body: String) {
        let header = format!("Bearer {}", self.bot.provider.mint(&self.bot.mint()));
        self.add(what, expected, Some(header), body).await;
    }
}

/// The table of PROTOCOLS 7.1: what tokens of the connector say.
async fn claims(cases: &mut Cases<'_>) {
    let now = cases.now;
    let emea = json!("https://smba.trafficmanager.net/emea/");
    let upper = json!("https://smba.trafficmanager.net/AMER/");
    let us_gov = json!("https://api.botframework.us");
    let rows = [
        ("valid", "+++", "exp", json!(now + 3600)),
        ("expired by 295 s", "+++", "exp", json!(now - 295)),
        ("valid in 295 s", "+++", "nbf", json!(now + 295)),
        ("expired by 310 s", "---", "exp", json!(now - 310)),
        ("valid in 310 s", "---", "nbf", json!(now + 310)),
        ("another aud", "---", "aud", json!(TENANT)),
        ("aud in upper case", "-+-", "aud", json!(APP.to_uppercase())),
        ("aud as a list", "---", "aud", json!([APP])),
        ("another service", "-+-", "serviceurl", emea.clone()),
        ("the service in upper case", "-+-", "serviceurl", upper),
        ("no service", "-+-", "serviceurl", Value::Null),
        ("two services", "++-", "serviceUrl", emea),
        ("another iss", "---", "iss", us_gov),
    ];
    for (what, expected, name, value) in rows {
        let mint = cases.bot.mint().with(name, value);
        cases.token(what, expected, &mint).await;
    }
    // The spelling of the documentation, which tokens do not have.
    let other = cases.bot.mint().without("serviceurl");
    let other = other.with("serviceUrl", SERVICE);
    cases.token("serviceUrl", "-++", &other).await;
}

/// How they are signed and shown.
async fn signatures(cases: &mut Cases<'_>) {
    let good = cases.bot.mint();
    let unknown = Mint {
        header: json!({"kid": "unknown"}),
        ..good.clone()
    };
    cases.token("an unknown kid", "---", &unknown).await;
    let foreign = by(KeyChoice::Signing, good.clone());
    cases.token("by a key of Entra", "---", &foreign).await;
    let secret = cases.bot.provider.connector_pem().into_bytes();
    for (what, algorithm) in [
        ("none", Algorithm::None),
        ("HS256 with the public key", Algorithm::Hs256 { secret }),
        ("RS384", Algorithm::Rs384),
        ("PS256", Algorithm::Ps256),
    ] {
        let mint = Mint {
            algorithm,
            ..good.clone()
        };
        cases.token(what, "---", &mint).await;
    }
    let token = cases.bot.provider.mint(&good);
    for (what, expected, header) in [
        // The scheme is in any case (RFC 9110, section 11.1).
        ("bearer", "-++", Some(format!("bearer {token}"))),
        ("no scheme", "---", Some(token)),
        ("no token", "---", None),
    ] {
        let body = message().to_string();
        cases.add(what, expected, header, body).await;
    }
}

/// Tokens of Entra for a bot of one tenant.
async fn entras(cases: &mut Cases<'_>) {
    let emulator = "d6d49420-f39b-4df7-a1dc-d59a935871db";
    let of = |tenant: &str| {
        let issuer = format!("https://sts.windows.net/{tenant}/");
        of_entra().with("tid", tenant).with("iss", issuer)
    };
    let without = of_entra().without("serviceurl");
    let foreign = by(KeyChoice::Connector, of_entra());
    for (what, expected, mint) in [
        ("Entra's", "-++", of_entra()),
        ("without a service", "-+-", without),
        ("another application", "-+-", of_entra().with("appid", APP)),
        ("another tid", "---", of_entra().with("tid", OTHER_TENANT)),
        ("of another tenant", "-+-", of(OTHER_TENANT)),
        ("by the connector's key", "---", foreign),
        ("an emulator's", "++-", of(emulator).with("appid", APP)),
    ] {
        cases.token(what, expected, &mint).await;
    }
}

/// Activities that come with a good token. Nobody but the edge looks at them.
async fn activities(cases: &mut Cases<'_>) {
    let with = |pointer: &str, value: Value| {
        let mut body = message();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (what, url) in [
        (
            "a host that looks alike",
            "https://smba.trafficmanager.net.evil.example/amer/",
        ),
        (
            "a user in the URL",
            "https://smba.trafficmanager.net@evil.example/",
        ),
        (
            "a host in upper case",
            "https://SMBA.trafficmanager.net/amer/",
        ),
        ("a trailing dot", "https://smba.trafficmanager.net./amer/"),
        ("plain text", "http://smba.trafficmanager.net/amer/"),
    ] {
        let body = with("/serviceUrl", json!(url));
        cases.body(what, "++-", &body).await;
    }
    let mut elsewhere = with("/conversation/tenantId", json!(OTHER_TENANT));
    elsewhere["channelData"]["tenant"]["id"] = json!(OTHER_TENANT);
    let mut update = with("/from", json!({"id": "29:1abc"}));
    update["type"] = json!("conversationUpdate");
    let two = with("/conversation/tenantId", json!(OTHER_TENANT));
    let nobody = with("/from", json!({"id": "29:1abc"}));
    let one_word = with("/channelData", Value::Null);
    let webchat = with("/channelId", json!("webchat"));
    let nowhere = with("/channelId", json!("nowhere"));
    for (what, expected, body) in [
        ("two tenants", "++-", two),
        ("another tenant", "++-", elsewhere),
        ("one word on the tenant", "+++", one_word),
        ("nobody of Entra", "++-", nobody),
        ("an update by nobody of Entra", "+++", update),
        ("webchat", "+++", webchat),
        ("a channel that no key is endorsed for", "-+-", nowhere),
    ] {
        cases.body(what, expected, &body).await;
    }
    // Whoever comes later is who speaks, to the app behind us.
    let good = message().to_string();
    let other = json!({"id": "29:2", "aadObjectId": OTHER_TENANT});
    let twice = format!("{},\"from\":{other}}}", &good[..good.len() - 1]);
    cases.text("two who speak", "++-", twice).await;
    let snake = good.replacen("aadObjectId", "aad_object_id", 1);
    cases.text("another spelling", "++-", snake).await;
}

/// What both SDKs make of the cases.
async fn asked(bot: &Bot, now: u64, cases: &[Case]) -> Vec<[Verdict; 2]> {
    let (base, ca) = (bot.provider.base(), bot.folder.join("ca.pem"));
    let places = [
        ("--metadata", "/v1/.well-known/openidconfiguration"),
        ("--keys", "/v1/.well-known/keys"),
        (
            "--entra-metadata",
            "/common/v2.0/.well-known/openid-configuration",
        ),
        ("--entra-keys", "/common/discovery/v2.0/keys"),
    ];
    let mut command = Command::new(tool("connector-py/bin/python"));
    command
        .arg(root().join("tests/sdk/connector.py"))
        .args(["--app", APP, "--tenant", TENANT, "--now", &now.to_string()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("REQUESTS_CA_BUNDLE", &ca)
        .env("SSL_CERT_FILE", &ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (flag, path) in places {
        command.args([flag, &format!("{base}{path}")]);
    }
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = cases
        .iter()
        .map(|case| {
            let request = json!({"authorization": case.header, "activity": case.body});
            format!("{request}\n")
        })
        .collect();
    let fed = async move { input.write_all(lines.as_bytes()).await.unwrap() };
    let both = async { tokio::join!(fed, child.wait_with_output()) };
    let ((), output) = timeout(ORACLES, both)
        .await
        .expect("the SDKs take too long");
    let output = output.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let told = String::from_utf8(output.stdout).unwrap();
    let verdict = |told: &Value| match told.get("error") {
        Some(_) => Verdict::Refused,
        None => Verdict::Heard(told["user"].as_str().map(str::to_owned)),
    };
    let verdicts: Vec<[Verdict; 2]> = told
        .lines()
        .map(|line| {
            let both: Value = serde_json::from_str(line).unwrap();
            [verdict(&both[0]), verdict(&both[1])]
        })
        .collect();
    assert_eq!(verdicts.len(), cases.len(), "{complaint}");
    verdicts
}

#[tokio::test]
async fn c02_c03_c04_microsofts_verifiers_let_in_whom_the_table_says_and_ours_nobody_else() {
    // All keys are published from the start: ours would look for new ones three times, then later.
    let mut tokens = Vec::new();
    let more = of_tenant();
    let bot = Bot::prepared(&more, |provider| {
        for endorsements in [json!(["skype", "webchat"]), Value::Null] {
            provider.dress_connector_key(json!({ "endorsements": endorsements }));
            tokens.push(provider.mint(&Mint::connector(APP, SERVICE)));
            provider.rotate_connector();
        }
    });
    let bot = bot.await;
    let mut cases = Cases {
        bot: &bot,
        now: now(),
        all: Vec::new(),
    };
    claims(&mut cases).await;
    signatures(&mut cases).await;
    entras(&mut cases).await;
    activities(&mut cases).await;
    let what = [
        ("a key that is endorsed for others", "-+-"),
        ("a key that is not endorsed", "+++"),
    ];
    for ((what, expected), token) in what.into_iter().zip(tokens) {
        let body = message().to_string();
        cases
            .add(what, expected, Some(format!("Bearer {token}")), body)
            .await;
    }
    let (now, cases) = (cases.now, cases.all);
    let oracles = asked(&bot, now, &cases).await;
    let mut wrong = Vec::new();
    for (case, [botframework, agents]) in cases.iter().zip(oracles) {
        let all = [botframework, agents, case.ours.clone()];
        let found = all.each_ref().map(|verdict| {
            if *verdict == Verdict::Refused {
                '-'
            } else {
                '+'
            }
        });
        if found != case.expected {
            wrong.push(format!("{}: {found:?}, not {:?}", case.what, case.expected));
        }
        assert!(found[2] == '-' || found[1] == '+', "{}", case.what);
        // Whoever lets somebody in, as ours does, reads the same name.
        if let ours @ Verdict::Heard(_) = &all[2] {
            for other in all[..2].iter().filter(|other| **other != Verdict::Refused) {
                if other != ours {
                    wrong.push(format!("{}: {other:?}, ours {ours:?}", case.what));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.len() > 40, "{}", cases.len());
}
