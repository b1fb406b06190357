//! Microsoft's clients and the simulated Call Automation service: what serves them serves ours.

use std::process::Stdio;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonegate::sim::acs::Pace;
use tonegate::sim::call_automation::credential::{AUDIENCE, Entra, Shown};
use tonegate::sim::call_automation::desk::{Desk, Fate};
use tonegate::sim::call_automation::grid::delivery::{Credential, Handshake, Subscription};
use tonegate::sim::call_automation::grid::{APPLICATION, Caller, Schema};
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::call_automation::{CallAutomation, Options};
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::issuer::{self, Issuer};

use super::webhook::Webhook;
use crate::acs_sdk::sdk_reads_events;
use crate::harness::{PATIENCE, folder, within};
use crate::program::{root, tells, tool};
use crate::tokens::TENANT;

/// The access key of the resource: base64.
pub const ACCESS_KEY: &str = "dGhlIGFjY2VzcyBrZXkgb2YgYSBzaW11bGF0ZWQgcmVzb3VyY2U=";

/// A service that runs while this lives, and where its calls' media and callbacks go.
pub struct Service {
    pub desk: Arc<Desk>,
    pub hook: Webhook,
    media: String,
    upgrades: mpsc::UnboundedReceiver<HeaderMap>,
    stop: CancellationToken,
    roots: std::path::PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.roots);
    }
}

impl Service {
    pub async fn open(tls: bool) -> Service {
        let authority = Authority::new("test authority");
        let roots = folder();
        std::fs::write(roots.join("ca.pem"), authority.pem()).unwrap();
        let issuer = Issuer::bind(issuer::Options::loopback()).await.unwrap();
        let provider = issuer.provider();
        let stop = CancellationToken::new();
        tokio::spawn(issuer.serve(stop.clone()));
        let mut options = Options::loopback(provider.clone(), ACCESS_KEY);
        options.caller.pace = Pace::AtOnce;
        options.trust.issuer = Some(Entra {
            provider,
            tenant: TENANT.to_owned(),
        });
        if tls {
            options.identity = Some(authority.issue(&["localhost"]).unwrap());
        }
        let service = CallAutomation::bind(options).await.unwrap();
        let desk = service.desk();
        tokio::spawn(service.serve(stop.clone()));
        let (media, upgrades) = sink(&stop).await;
        Service {
            desk,
            hook: Webhook::open().await,
            media,
            upgrades,
            stop,
            roots,
        }
    }

    /// The SDK for Python, with a key or with a token.
    fn sdk(&self, token: Option<&str>) -> Python {
        let mut command = Command::new(tool("callautomation-py/bin/python"));
        command
            .arg(root().join("tests/sdk/callautomation.py"))
            .args(["--endpoint", &self.desk.endpoint()])
            .args(["--callback", &self.hook.url("/acs/callbacks/ours")])
            .args(["--media", &self.media]);
        match token {
            Some(token) => command.args(["--token", token]),
            None => command.args(["--key", ACCESS_KEY]),
        };
        let mut child = command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("REQUESTS_CA_BUNDLE", self.roots.join("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Python {
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    /// The kinds of events that came by callback so far, and the events.
    fn events(&self) -> Vec<Value> {
        let arrays = self.hook.letters().into_iter().map(|letter| letter.json());
        arrays
            .flat_map(|array| array.as_array().unwrap().clone())
            .collect()
    }
}

/// Where media streams are accepted, and the heads of their upgrades.
async fn sink(stop: &CancellationToken) -> (String, mpsc::UnboundedReceiver<HeaderMap>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/acs/media/ours?s=1", listener.local_addr().unwrap());
    let (heads, upgrades) = mpsc::unbounded_channel();
    let accepting = async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let heads = heads.clone();
            tokio::spawn(async move {
                #[allow(
                    clippy::result_large_err,
                    reason = "the library wants a callback of this type"
                )]
                let look = |request: &Request, response: Response| {
                    assert_eq!(request.uri(), "/acs/media/ours?s=1");
                    heads.send(request.headers().clone()).unwrap();
                    Ok(response)
                };
                let mut socket = accept_hdr_async(tcp, look).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            });
        }
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
    (url, upgrades)
}

/// The SDK, step by step.
struct Python {
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Python {
    async fn told(&mut self, step: Value) -> Value {
        let line = format!("{step}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        let told = within("the SDK", self.lines.next_line()).await.unwrap();
        serde_json::from_str(&told.expect("the SDK ended")).unwrap()
    }

    /// What a step that must succeed returned.
    async fn does(&mut self, step: Value) -> Value {
        let told = self.told(step.clone()).await;
        assert!(told.get("ok").is_some(), "{step}: {told}");
        told["ok"].clone()
    }
}

/// The claims of a token, unverified.
fn claims(bearer: &str) -> Value {
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// Waits until so many callbacks with an event of this type were taken or refused.
async fn posted(desk: &Desk, kind: &str, count: usize) {
    within(kind, desk.until(|r| r.posted(kind).count() == count)).await;
}

/// The SDK answers a call, listens, stops and starts its media and hangs up; its id.
async fn answers(sdk: &mut Python, service: &mut Service) -> String {
    let desk = service.desk.clone();
    let rings = desk.incoming(&Caller::default());
    let answered = sdk.does(json!(["answer", rings.context, true])).await;
    assert_eq!(answered["server_call"], rings.server_call.as_str());
    assert_eq!(answered["correlation"], rings.correlation.as_str());
    assert_eq!(answered["state"], "connecting");
    assert_eq!(rings.fate(), Some(Fate::Answered));
    let id = answered["id"].as_str().unwrap().to_owned();
    let line = desk.line(&id).unwrap();
    let head = within("a media stream", service.upgrades.recv())
        .await
        .unwrap();
    assert_eq!(head["x-ms-call-connection-id"], id.as_str());
    assert_eq!(head["x-ms-call-correlation-id"], rings.correlation.as_str());
    let media = claims(head["authorization"].to_str().unwrap());
    assert_eq!(
        media["exp"].as_i64().unwrap() - media["iat"].as_i64().unwrap(),
        86_400
    );
    within("the media stream", line.streams()).await;
    let got = sdk.does(json!(["connected", id])).await;
    assert_eq!(got["targets"], json!(["4:+15551234567"]));
    assert_eq!(got["streaming"], "active");
    // Nobody listens yet.
    line.tones("9").await.unwrap();
    sdk.does(json!(["start_dtmf", id, "+15551234567"])).await;
    line.tones("82,#*A").await.unwrap();
    sdk.does(json!(["stop_dtmf", id, "+15551234567"])).await;
    line.tones("9").await.unwrap();
    sdk.does(json!(["stop_media", id])).await;
    posted(&desk, "MediaStreamingStopped", 1).await;
    sdk.does(json!(["start_media", id])).await;
    posted(&desk, "MediaStreamingStarted", 2).await;
    sdk.does(json!(["hang_up", id])).await;
    posted(&desk, "CallDisconnected", 1).await;
    let gone = json!({"status": 404, "code": "8522"});
    assert_eq!(sdk.told(json!(["get", id])).await, gone);
    assert_eq!(sdk.told(json!(["hang_up", id])).await, gone);
    id
}

/// A whole call that rings, and one that is made, by the SDK; all that the service told is read by
/// the SDK's own parser.
async fn drives(mut service: Service, token: Option<String>) {
    let mut sdk = service.sdk(token.as_deref());
    let desk = service.desk.clone();
    let id = answers(&mut sdk, &mut service).await;
    let made = sdk
        .does(json!(["create", "+15557654321", "+15550001111"]))
        .await;
    let other = made["id"].as_str().unwrap().to_owned();
    sdk.does(json!(["connected", other])).await;
    sdk.does(json!(["terminate", other])).await;
    posted(&desk, "CallDisconnected", 2).await;

    let rejected = desk.incoming(&Caller::default());
    sdk.does(json!(["reject", rejected.context])).await;
    assert_eq!(rejected.fate(), Some(Fate::Rejected));
    let redirected = desk.incoming(&Caller::default());
    let step = json!(["redirect", redirected.context, "+15550002222"]);
    sdk.does(step).await;
    assert_eq!(redirected.fate(), Some(Fate::Redirected));
    let shown = if token.is_some() {
        Shown::Token
    } else {
        Shown::Key
    };
    let record = desk.record();
    let operations = [
        (Operation::Answer, 200),
        (Operation::Create, 201),
        (Operation::StartDtmf, 200),
        (Operation::StopDtmf, 200),
        (Operation::StopMedia, 202),
        (Operation::StartMedia, 202),
        (Operation::HangUp, 204),
        (Operation::Terminate, 204),
        (Operation::Reject, 204),
        (Operation::Redirect, 204),
    ];
    for (operation, status) in operations {
        let asked: Vec<_> = record.asked(operation).collect();
        assert_eq!(asked.len(), 1, "{operation:?}");
        assert_eq!((asked[0].status, asked[0].shown), (status, shown));
        assert!(!asked[0].repeated);
    }
    // Both are the questions after a call that is gone.
    assert_eq!(record.violations().len(), 2, "{:?}", record.violations());
    parsed(&service, &id, &other).await;
}

/// The callbacks of [`drives`], as the SDK's parser reads them.
async fn parsed(service: &Service, id: &str, other: &str) {
    let mut ids = std::collections::BTreeSet::new();
    for letter in service.hook.letters() {
        let claims = claims(letter.header("authorization"));
        let times = ["exp", "iat"].map(|name| claims[name].as_i64().unwrap());
        assert_eq!(times[0] - times[1], 300);
        assert!(ids.insert(claims["jti"].to_string()), "a token went twice");
    }
    let events = service.events();
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let read = sdk_reads_events(&lines).await;
    let of = |id: &str| -> Vec<&str> {
        let own = read.iter().filter(|event| event["callConnectionId"] == id);
        own.map(|event| event["kind"].as_str().unwrap()).collect()
    };
    let tone = "ContinuousDtmfRecognitionToneReceived";
    let call = [
        vec!["CallConnected", "MediaStreamingStarted"],
        vec![tone; 5],
        vec!["MediaStreamingStopped", "MediaStreamingStarted"],
        vec!["MediaStreamingStopped", "CallDisconnected"],
    ];
    assert_eq!(of(id), call.concat());
    assert_eq!(of(other).first(), Some(&"CallConnected"));
    assert_eq!(of(other).last(), Some(&"CallDisconnected"));
    let tones: Vec<_> = read.iter().filter(|event| event["kind"] == tone).collect();
    let words: Vec<_> = tones.iter().map(|event| &event["tone"]).collect();
    assert_eq!(words, ["eight", "two", "pound", "asterisk", "a"]);
    let numbers: Vec<_> = tones.iter().map(|event| &event["sequenceId"]).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    for event in &read {
        assert!(event["serverCallId"].is_string() && event["correlationId"].is_string());
        if event["kind"] == "MediaStreamingStarted" {
            let update = &event["mediaStreamingUpdate"];
            assert_eq!(update["mediaStreamingStatus"], "mediaStreamingStarted");
            assert_eq!(update["mediaStreamingStatusDetails"], "subscriptionStarted");
        }
    }
    let started: Vec<_> = read
        .iter()
        .filter(|e| e["kind"] == "MediaStreamingStarted")
        .collect();
    assert_eq!(started[0]["operationContext"], "ours");
    assert_eq!(started[1]["operationContext"], "again");
}

#[tokio::test]
async fn a05_the_official_sdk_drives_the_simulated_service_with_a_key() {
    drives(Service::open(false).await, None).await;
}

#[tokio::test]
async fn a05_the_official_sdk_drives_the_simulated_service_with_a_token_over_tls() {
    let service = Service::open(true).await;
    let mint = Mint::entra_v1(TENANT, AUDIENCE);
    let token = service.desk.provider().mint(&mint);
    drives(service, Some(token)).await;
}

#[tokio::test]
async fn a05_the_simulated_service_takes_no_other_key_and_no_other_token() {
    let service = Service::open(true).await;
    let desk = service.desk.clone();
    let provider = desk.provider();
    let rings = desk.incoming(&Caller::default());
    let good = || Mint::entra_v1(TENANT, AUDIENCE);
    let tokens = [
        Mint::entra_v1(TENANT, "https://ai.azure.com"),
        good().with("exp", 1_700_000_000),
        good().with(
            "iss",
            "https://sts.windows.net/99999999-2222-3333-4444-555555555555/",
        ),
        Mint {
            key: tonegate::sim::issuer::mint::KeyChoice::Unpublished,
            ..good()
        },
        Mint {
            algorithm: tonegate::sim::issuer::mint::Algorithm::None,
            ..good()
        },
    ];
    for mint in &tokens {
        let mut sdk = service.sdk(Some(&provider.mint(mint)));
        let told = sdk.told(json!(["answer", rings.context, true])).await;
        assert_eq!(told["status"], 401, "{told}");
    }
    assert_eq!(desk.record().violations().len(), tokens.len());
    assert_eq!(rings.fate(), Some(Fate::Rings));
    assert!(desk.lines().is_empty());
}

#[tokio::test]
async fn a03_event_grids_publisher_writes_the_same_bodies_as_the_simulated_ring() {
    let service = Service::open(false).await;
    let hook = &service.hook;
    for (schema, name) in [
        (Schema::EventGrid, "event-grid"),
        (Schema::CloudEvents, "cloud-events"),
    ] {
        let before = hook.letters().len();
        let credential = Credential::Entra {
            tenant: TENANT.to_owned(),
            audience: "api://edge".to_owned(),
            with: Vec::new(),
        };
        let mut at = Subscription::new(&hook.url("/events/calls"), schema, credential);
        at.batch = true;
        let caller = Caller {
            sip_headers: vec![("User-to-User".to_owned(), "abc".to_owned())],
            ..Caller::default()
        };
        let (rings, attempts) = service.desk.ring(&at, &caller).await;
        assert_eq!(attempts, [Some(200)]);
        assert_eq!(rings.fate(), Some(Fate::Rings));
        let letter = hook.came(before + 1).await[before].clone();
        assert_eq!(letter.header("aeg-event-type"), "Notification");
        assert_eq!(letter.header("aeg-delivery-count"), "0");
        assert_eq!(claims(letter.header("authorization"))["azp"], APPLICATION);
        let ours = letter.json();
        let mut publisher = Command::new(tool("callautomation-py/bin/python"));
        publisher
            .arg(root().join("tests/sdk/eventgrid.py"))
            .args(["--url", &hook.url("/events/calls"), "--schema", name])
            .args(["--events", &ours.to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let told = tells(&mut publisher, PATIENCE).await;
        assert_eq!(
            told["types"],
            json!(["Microsoft.Communication.IncomingCall"])
        );
        let theirs = hook.came(before + 2).await[before + 1].clone();
        assert_eq!(theirs.header("content-type"), letter.header("content-type"));
        let mut expected = ours;
        // Event Grid adds this to what is published.
        expected[0]
            .as_object_mut()
            .unwrap()
            .remove("metadataVersion");
        let mut theirs = theirs.json();
        same_time(&mut expected[0], &mut theirs[0]);
        assert_eq!(theirs, expected);
    }
}

/// The SDK writes milliseconds as microseconds; the moment must be the same.
fn same_time(one: &mut Value, other: &mut Value) {
    for name in ["time", "eventTime"] {
        if let (Some(one), Some(other)) = (one.get_mut(name), other.get_mut(name)) {
            let moment = |value: &Value| humantime::parse_rfc3339(value.as_str().unwrap()).unwrap();
            assert_eq!(moment(one), moment(other));
            *one = other.clone();
        }
    }
}

#[tokio::test]
async fn a04_the_simulated_event_grid_shakes_hands_and_tries_again() {
    let service = Service::open(false).await;
    let (hook, desk) = (&service.hook, &service.desk);
    let url = hook.url("/events/calls?code=s");
    let own = Subscription {
        hurry: 1000,
        ..Subscription::new(&url, Schema::EventGrid, Credential::None)
    };
    let clouds = Subscription {
        schema: Schema::CloudEvents,
        credential: Credential::Header("x-secret".to_owned(), "s".to_owned()),
        ..own.clone()
    };
    // A webhook that says nothing, or the wrong thing, has not agreed.
    assert_eq!(desk.handshake(&own).await, Handshake::Refused(200));
    assert_eq!(desk.handshake(&clouds).await, Handshake::Refused(200));
    let allowed = vec![("WebHook-Allowed-Origin", "eventgrid.azure.net".to_owned())];
    hook.next(200, allowed, "");
    assert_eq!(desk.handshake(&clouds).await, Handshake::Valid);
    let letters = hook.letters();
    assert_eq!(
        letters[0].header("aeg-event-type"),
        "SubscriptionValidation"
    );
    assert_eq!(letters[0].target, "/events/calls?code=s");
    assert_eq!(letters[2].method, "OPTIONS");
    // The second attempt counts on, and the event is the same.
    hook.next(503, Vec::new(), "");
    let (_, attempts) = desk.ring(&clouds, &Caller::default()).await;
    assert_eq!(attempts, [Some(503), Some(200)]);
    let tried = hook.letters()[3..].to_vec();
    assert_eq!(tried.len(), 2);
    assert_eq!(tried[0].body, tried[1].body);
    assert_eq!(tried[1].header("aeg-delivery-count"), "1");
    assert_eq!(tried[1].header("x-secret"), "s");
    let kind = "application/cloudevents+json; charset=utf-8";
    assert_eq!(tried[1].header("content-type"), kind);
    // Without hurry, five minutes after a 401 are past the event's life.
    hook.next(401, Vec::new(), "");
    let patient = Subscription { hurry: 1, ..own };
    let (_, attempts) = desk.ring(&patient, &Caller::default()).await;
    assert_eq!(attempts, [Some(401)]);
}
