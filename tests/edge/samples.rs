//! Every sample of the settings is served: what it is for is asked of it, and what it is against.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tonegate::admission::media_url::{Signed, Signer};
use tonegate::app::Edge;
use tonegate::config::{Calls, Environment, KnownBy, Settings, Spend};
use tonegate::ids::{CallId, PhoneNumber};
use tonegate::secret::{Digest, Secret};
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::record::Ending;
use tonegate::sim::acs::{Call, Dial, Options, guid};
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::voice_live::Service;

use crate::binary::run;
use crate::bot::world::{self as bot, JSON, key};
use crate::connector::{SERVICE, USER, message};
use crate::gateway::app::{App, send};
use crate::harness::{KEY, UPSTREAM_KEY, Wish, within};
use crate::program::tool;
use crate::tokens::{Issued, TENANT, VOICE_LIVE};

/// What a client shows.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    Key,
    Token,
    /// A call's secret and the token of ACS, and then a code.
    Call,
    /// The token of the Bot Connector, and then a person's own, to an application.
    Word,
}

/// Files, what is asked and shown, and what the upstream is asked then.
struct Sample {
    files: &'static [&'static str],
    target: &'static str,
    shows: Shows,
    upstream: &'static str,
    service: Service,
}

const VOICE: &str = "/voice-live/realtime?api-version=2026-07-15&model=gpt-realtime";
/// The immutable id of the samples' resource of ACS.
const RESOURCE: &str = "22222222-3333-4444-5555-666666666666";
const CALL_SECRET: &str = "what signs the media URLs of the samples";
const STANDARD: &str = "/ws?mode=standard&model=gpt-realtime";

/// B29: the four example apps of the old proxy's guide, and more.
const SAMPLES: [Sample; 12] = [
    Sample {
        files: &["config/voice-key.toml"],
        target: STANDARD,
        shows: Shows::Key,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/voice-token.toml"],
        target: STANDARD,
        shows: Shows::Token,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/avatar.toml"],
        target: "/ws?mode=avatar&model=gpt-realtime",
        shows: Shows::Key,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/agent.toml"],
        target: "/ws?mode=agent&conversationId=conv_1",
        shows: Shows::Token,
        upstream: "/voice-live/realtime?api-version=2026-07-15&agent-id=asst_1&\
                   agent-project-name=support&conversation-id=conv_1",
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/openai.toml"],
        target: "/v1/realtime?model=gpt-realtime&intent=transcription",
        shows: Shows::Key,
        upstream: "/v1/realtime?model=gpt-realtime&intent=transcription",
        service: Service::OpenAi,
    },
    Sample {
        files: &["config/phone.toml"],
        target: "/acs/media/7f0c",
        shows: Shows::Call,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/bot.toml"],
        target: "/api/messages",
        shows: Shows::Word,
        upstream: "/api/messages",
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/every-setting.toml"],
        target: STANDARD,
        shows: Shows::Token,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/layers/base.toml", "config/layers/dev.toml"],
        target: STANDARD,
        shows: Shows::Key,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/layers/base.toml", "config/layers/staging.toml"],
        target: STANDARD,
        shows: Shows::Key,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["config/layers/base.toml", "config/layers/prod.toml"],
        target: STANDARD,
        shows: Shows::Key,
        upstream: VOICE,
        service: Service::VoiceLive,
    },
    Sample {
        files: &["deploy/tonegate.toml"],
        target: "/voice-proxy?model=gpt-realtime",
        shows: Shows::Key,
        upstream: "/voice-live/realtime?api-version=2025-10-01&model=gpt-realtime",
        service: Service::VoiceLive,
    },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The samples that lie in a folder.
fn lying_in(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(root().join(folder)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let samples = names.filter(|name| name.ends_with(".toml"));
    samples.map(|name| format!("{folder}/{name}")).collect()
}

#[test]
fn b29_no_sample_lies_about_that_is_not_served() {
    let served = SAMPLES.iter().flat_map(|sample| sample.files);
    let served: BTreeSet<String> = served.map(|file| (*file).to_owned()).collect();
    let mut there = lying_in("config");
    there.extend(lying_in("config/layers"));
    there.extend(lying_in("deploy"));
    assert!(there.len() >= 10);
    assert_eq!(served, there);
}

/// A copy of a sample with this world's peers and secrets in the place of the real ones.
fn adapt(issued: &Issued, app: SocketAddr, file: &str, path: &str) -> PathBuf {
    let world = &issued.world;
    let peer = format!(
        "url = \"wss://localhost:{}{path}\"\nroots = \"ca.pem\"",
        world.upstream.port()
    );
    let (mut text, mut table) = (String::new(), String::new());
    for line in fs::read_to_string(root().join(file)).unwrap().lines() {
        if line.starts_with('[') {
            table = line.to_owned();
        }
        let key = line.split('=').next().unwrap().trim();
        let (uncommented, _) = line.split_once('#').unwrap_or((line, ""));
        match key {
            "url" if table == "[upstreams.app]" => {
                text.push_str(&format!("url = \"http://{app}\""))
            }
            "resource" | "url" if table.starts_with("[upstreams.") => text.push_str(&peer),
            "roots" if !line.starts_with('#') => {}
            "sha256" => text.push_str(&format!("sha256 = \"{}\"", Digest::of(KEY).to_hex())),
            "tenants" if table == "[issuers.connector]" => text.push_str(&format!(
                "{line}\nmetadata = \"{}/v1/.well-known/openidconfiguration\"\nroots = \"ca.pem\"",
                issued.provider.base()
            )),
            "tenants" if line.contains(TENANT) => text.push_str(&format!(
                "{line}\nauthority = \"{}\"\nroots = \"ca.pem\"",
                issued.provider.base()
            )),
            "kind" if uncommented.contains("\"acs\"") => text.push_str(&format!(
                "{line}\nmetadata = \"{}/calling/.well-known/acsopenidconfiguration\"\n\
                 roots = \"ca.pem\"",
                issued.provider.base()
            )),
            "listen" => {
                let port = uncommented
                    .rsplit(':')
                    .next()
                    .unwrap()
                    .trim()
                    .trim_end_matches('"');
                text.push_str(&line.replace("0.0.0.0", "127.0.0.1").replace(port, "0"));
            }
            "admin" => text.push_str("admin = \"127.0.0.1:0\""),
            "tls" => text.push_str("tls = { certificate = \"edge.pem\", key = \"edge.key\" }"),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    let copy = world.folder.join(file.replace('/', "-"));
    fs::write(&copy, text).unwrap();
    copy
}

async fn serve(sample: &Sample) -> (Issued, Arc<App>) {
    let wish = Wish {
        upstream_takes_any: true,
        service: sample.service,
        ..Wish::default()
    };
    let mut issued = Issued::with(wish, VOICE_LIVE, "").await;
    let path = match sample.service {
        Service::VoiceLive => "",
        Service::OpenAi | Service::AzureOpenAi => "/v1/realtime",
    };
    let (app, address) = App::start(None).await;
    fs::write(issued.world.folder.join("assertion.pem"), key()).unwrap();
    let files = sample.files.iter();
    let files = files.map(|file| adapt(&issued, address, file, path));
    let files: Vec<PathBuf> = files.collect();
    let variables = Environment::of([
        ("AZURE_SPEECH_KEY", UPSTREAM_KEY),
        ("AZURE_SPEECH_KEY_SPARE", UPSTREAM_KEY),
        ("OPENAI_API_KEY", UPSTREAM_KEY),
        ("CALL_SECRET", CALL_SECRET),
        (
            "ACS_KEY",
            "c2VjcmV0IGFjY2VzcyBrZXkgb2YgYSB0ZXN0IHJlc291cmNl",
        ),
        ("BOT_SECRET", "secret-of-the-bot"),
        ("LANGUAGE_KEY", "secret-of-the-detector"),
        ("TICKET_SECRET", "what signs the tickets of the samples"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1"),
        ("TLS_FOLDER", "/etc/tls"),
    ]);
    let mut settings = Settings::read_in(&files, &variables)
        .unwrap_or_else(|error| panic!("{:?}: {error}", sample.files));
    settings.boot.admin = "127.0.0.1:0".parse().unwrap();
    let edge = Edge::start(&settings).unwrap();
    issued.world.port = edge.public().port();
    if settings.live.identity.is_none() {
        issued.world.speak_plainly();
    }
    issued.world.edge = Some(edge);
    (issued, app)
}

#[tokio::test]
async fn b29_b25_every_sample_serves_what_it_is_for_and_nobody_else() {
    for sample in &SAMPLES {
        let files = sample.files;
        let (issued, app) = serve(sample).await;
        let world = &issued.world;
        let nobody = world.ask(sample.target, &[]).await;
        match nobody {
            // A bot's route is none for WebSockets.
            Err(refused) if sample.shows == Shows::Word => {
                assert_eq!(refused.status, 405, "{files:?}")
            }
            Err(refused) => assert_eq!(refused.status, 401, "{files:?}"),
            Ok(mut caller) => assert_eq!(caller.closed().await.0, Some(1008), "{files:?}"),
        }
        assert_eq!(world.upstream_total(), 0, "{files:?}");
        let mint = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
        let token = issued.provider.mint(&mint);
        let (shown, name, value) = match sample.shows {
            Shows::Key if sample.service == Service::OpenAi => {
                (KEY, "authorization", format!("Bearer {UPSTREAM_KEY}"))
            }
            Shows::Key => (KEY, "api-key", UPSTREAM_KEY.to_owned()),
            Shows::Token => (token.as_str(), "authorization", format!("Bearer {token}")),
            Shows::Call => {
                a_call(sample, &issued).await;
                continue;
            }
            Shows::Word => {
                words(sample, &issued, &app).await;
                continue;
            }
        };
        // As the old clients show it, and the SDK of OpenAI.
        let (target, headers) = match sample.service {
            Service::VoiceLive => (format!("{}&token={shown}", sample.target), Vec::new()),
            Service::OpenAi | Service::AzureOpenAi => {
                let bearer = format!("Bearer {shown}");
                (sample.target.to_owned(), vec![("Authorization", bearer)])
            }
        };
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let caller = world.ask(&target, &headers).await;
        let caller = caller.unwrap_or_else(|refused| panic!("{files:?}: {}", refused.body));
        let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
        assert_eq!(seen.target, sample.upstream, "{files:?}");
        assert_eq!(seen.header(name).collect::<Vec<_>>(), [value], "{files:?}");
        assert!(
            seen.violations.is_empty(),
            "{files:?}: {:?}",
            seen.violations
        );
        drop(caller);
    }
}

/// The caller dials the code that was stored, and the agent hears what is said behind it.
async fn a_call(sample: &Sample, issued: &Issued) {
    let (files, world) = (sample.files, &issued.world);
    let (ani, code) = (PhoneNumber::new("+15551234567").unwrap(), "823123");
    let store = world.edge().store();
    let key = store.keys().pstn(&ani, code).unwrap();
    let hour = Duration::from_secs(3600);
    store.put_key(&key, hour).await.unwrap();
    let signer = Signer::new(&Calls {
        secrets: vec![Secret::new(CALL_SECRET.to_owned())],
        known_by: KnownBy::Url,
        spend: Spend::Token,
        resume: Duration::ZERO,
    });
    let signed = Signed {
        ani: Some(ani),
        ..Signed::of(CallId::new("7f0c").unwrap())
    };
    let token = signer.unwrap().token(&signed, SystemTime::now(), hour);
    let base = format!("ws://localhost:{}{}", world.port, sample.target);
    let dial = Dial {
        url: format!("{base}?s={}", token.unwrap().expose()),
        token: Some(issued.provider.mint(&Mint::acs(RESOURCE))),
        connection_id: Some(guid()),
        correlation_id: Some(guid()),
        ..Dial::default()
    };
    let call = within("the 101", Call::dial(&dial, Options::default())).await;
    let call = call.unwrap_or_else(|error| panic!("{files:?}: {error}"));
    let hand = call.hand();
    let running = tokio::spawn(call.run());
    hand.press(code, &Keying::both()).unwrap();
    let heard = world.upstream_saw(|seen| seen.appended.bytes > 0);
    let seen = heard.await;
    assert_eq!(seen.target, sample.upstream, "{files:?}");
    assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
    assert_eq!(seen.violations, [], "{files:?}");
    assert!(seen.errors.is_empty(), "{files:?}: {:?}", seen.errors);
    hand.hang_up();
    let record = within("the end", running).await.unwrap();
    assert_eq!((record.keys(), record.violations.len()), (code.len(), 0));
    assert_eq!(record.ending, Some(Ending::HungUp), "{files:?}");
}

/// C01, C14: the application hears who speaks from the edge alone, in Teams and on a page, and nobody is
/// written to who never spoke to the bot.
async fn words(sample: &Sample, issued: &Issued, app: &App) {
    let (files, world) = (sample.files, &issued.world);
    let chat = json!({"question": "mine?", "engineer_id": "somebody else"});
    let note = json!({"tenant": TENANT, "person": USER, "text": "late"});
    let mut activity = message();
    activity["recipient"]["id"] = json!(format!("28:{}", bot::APP));
    let connector = Mint::connector(bot::APP, SERVICE);
    let connector = issued.provider.mint(&connector);
    let mint = Mint::entra_v2(&issued.provider.base(), TENANT, "api://my-app");
    let person = issued.provider.mint(&mint.with("oid", USER));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n{JSON}");
    for (line, shown, body, status) in [
        ("POST /notify", JSON.to_owned(), &note, 401),
        ("POST /notify", bearer(&person), &note, 401),
        (
            "POST /notify",
            format!("api-key: {KEY}\r\n{JSON}"),
            &note,
            404,
        ),
        ("POST /api/messages", JSON.to_owned(), &activity, 401),
        ("POST /api/messages", bearer(&person), &activity, 403),
        ("POST /api/chat", JSON.to_owned(), &chat, 401),
        ("POST /api/chat", bearer(&connector), &chat, 401),
    ] {
        let answer = send(world, line, &shown, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, status, "{files:?}: {line}");
    }
    assert!(app.seen().is_empty(), "{files:?}");
    for (line, token, body) in [
        ("POST /api/messages", &connector, &activity),
        ("POST /api/chat", &person, &chat),
    ] {
        let answer = send(world, line, &bearer(token), body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{files:?}: {line}");
        let seen = app.seen().pop().unwrap();
        assert!(line.ends_with(&seen.target), "{files:?}: {}", seen.target);
        assert_eq!(seen.header("x-tonegate-user-id"), Some(USER), "{line}");
        assert!(seen.header("x-tonegate-assertion").is_some(), "{line}");
    }
    let said: Vec<Value> = app
        .seen()
        .iter()
        .map(|seen| serde_json::from_slice(&seen.body).unwrap())
        .collect();
    let own = json!({"question": "mine?", "engineer_id": USER});
    assert_eq!(said, [activity, own], "{files:?}");
}

#[tokio::test]
async fn the_schema_knows_every_setting_and_its_mistakes() {
    let (code, schema, err) = run(&["check", "--schema"]).await;
    assert_eq!(code, 0, "{err}");
    let files: BTreeSet<&str> = SAMPLES.iter().flat_map(|s| s.files).copied().collect();
    let mut check = Command::new(tool("voicelive-py/bin/python"))
        .arg(root().join("tests/sdk/schema.py"))
        .args(files.iter().map(|file| root().join(file)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = check.stdin.take().unwrap();
    stdin.write_all(schema.as_bytes()).await.unwrap();
    drop(stdin);
    let checked = within("the schema", check.wait_with_output())
        .await
        .unwrap();
    let err = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{err}");
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(told["fit"], files.len(), "{told}");
    assert_eq!(told["mistakes"], 16, "{told}");
}
