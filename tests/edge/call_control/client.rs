//! The client of Call Automation, before a service that is strict, slow, away or wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonegate::config::{Environment, Settings};
use tonegate::ids::{CallId, ForeignId, PhoneNumber, is_guid};
use tonegate::metrics::Metrics;
use tonegate::secret::Secret;
use tonegate::sim::certificate::Authority;
use tonegate::sim::platform::{Desk, Options, Platform};
use tonegate::upstream::call_automation::{
    Answer, CallAutomation, Connected, Create, Failure, Kind, Participant,
};

use super::client_service::{ACCESS_KEY, CANARY, Reply, Service, Trust};
use crate::harness::{folder, within};

const MEDIA: &str = "wss://edge.example.org/acs/media/7f0c?s=secret-of-the-call";

/// A client with its counters.
struct Client {
    calls: CallAutomation,
    metrics: Arc<Metrics>,
}

impl Client {
    fn of(service: &Service, lines: &str) -> Client {
        let endpoint = format!("http://127.0.0.1:{}", service.port);
        let lines = format!("key = \"{ACCESS_KEY}\"\n{lines}");
        Client::with(&endpoint, &lines, &Environment::of([("X", "x")]))
    }

    fn with(endpoint: &str, lines: &str, variables: &Environment) -> Client {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[acs]\nendpoint = \"{endpoint}\"\n{lines}\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"my-resource\"\n\
             credential = {{ key = \"k\" }}\n[[routes]]\nname = \"r\"\npaths = [\"/ws\"]\n\
             kind = \"voice-live\"\nadmit = [\"anyone\"]\nmodels = [\"m\"]\n\
             upstreams = [\"voice\"]\n"
        );
        let own = folder();
        let file = own.join("edge.toml");
        std::fs::write(&file, text).unwrap();
        let settings = Settings::read_in(&[file], variables);
        std::fs::remove_dir_all(own).unwrap();
        let metrics = Arc::new(Metrics::new());
        let acs = settings.unwrap().live.acs.unwrap();
        Client {
            calls: CallAutomation::new(acs, metrics.clone()).unwrap(),
            metrics,
        }
    }

    async fn answer(&self) -> Result<Connected, Failure> {
        let call = CallId::new("7f0c").unwrap();
        let media_url = Secret::new(MEDIA.to_owned());
        let answer = Answer {
            context: "context",
            call: &call,
            media_url: &media_url,
            callback_url: "https://edge.example.org/acs/callbacks/7f0c",
            streaming: self.calls.streaming(),
        };
        assert!(!format!("{answer:?}").contains("secret-of-the-call"));
        within("an answer", self.calls.answer(&answer)).await
    }

    async fn hang_up(&self) -> Result<(), Failure> {
        let connection = ForeignId::new("0800-ab").unwrap();
        within("an end", self.calls.hang_up(&connection)).await
    }

    /// It was not done, for this reason, and that was counted; nothing that the service said is
    /// told.
    fn failed<T: std::fmt::Debug>(&self, operation: &str, said: Result<T, Failure>, kind: Kind) {
        let failure = said.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(!format!("{failure:?}").contains(CANARY));
        self.counted(operation, kind.word());
    }

    fn counted(&self, operation: &str, result: &str) {
        let line = format!(
            "tonegate_call_automation_operations_total{{operation=\"{operation}\",\
             result=\"{result}\"}} 1"
        );
        let page = self.metrics.render();
        assert!(page.lines().any(|l| l == line), "{line}");
    }
}

#[tokio::test]
async fn a05_every_operation_is_what_the_interface_takes() {
    let service = Service::usual().await;
    let client = Client::of(&service, "");
    let connected = client.answer().await.unwrap();
    assert_eq!(connected.connection.as_str(), "0800-ab");
    assert_eq!(connected.server_call.as_deref(), Some("aHR0cHM6"));
    assert_eq!(connected.correlation.unwrap().as_str(), "3c2f");
    let call = CallId::new("7f0c").unwrap();
    let number = PhoneNumber::new("+15551234567").unwrap();
    let media_url = Secret::new(MEDIA.to_owned());
    let source = PhoneNumber::new("+15550001111").unwrap();
    let create = Create {
        target: &number,
        source: &source,
        call: &call,
        media_url: &media_url,
        callback_url: "https://edge.example.org/acs/callbacks/7f0c",
        streaming: client.calls.streaming(),
    };
    let created = within("a call", client.calls.create(&create))
        .await
        .unwrap();
    let id = &created.connection;
    let whose = Participant::Phone(&number);
    within("media", client.calls.start_media(id, &call))
        .await
        .unwrap();
    within("no media", client.calls.stop_media(id, &call))
        .await
        .unwrap();
    within("tones", client.calls.start_dtmf(id, &call, &whose))
        .await
        .unwrap();
    within("no tones", client.calls.stop_dtmf(id, &call, &whose))
        .await
        .unwrap();
    client.hang_up().await.unwrap();
    let of_call = "POST /calling/callConnections/0800-ab:";
    let version = "?api-version=2026-03-12";
    let lines = [
        format!("POST /calling/callConnections:answer{version}"),
        format!("POST /calling/callConnections{version}"),
        format!("{of_call}startMediaStreaming{version}"),
        format!("{of_call}stopMediaStreaming{version}"),
        format!("{of_call}startContinuousDtmfRecognition{version}"),
        format!("{of_call}stopContinuousDtmfRecognition{version}"),
        format!("{of_call}terminate{version}"),
    ];
    assert_eq!(service.lines(), lines);
    let ids: Vec<_> = service
        .heard()
        .iter()
        .filter(|heard| heard.headers.contains_key("repeatability-request-id"))
        .map(|heard| heard.header("repeatability-request-id").to_owned())
        .collect();
    // Answer, create, hang up: each its own.
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| is_guid(id)) && ids[0] != ids[1] && ids[1] != ids[2]);
    for operation in ["answer", "create", "start_media", "stop_dtmf", "hang_up"] {
        client.counted(operation, "ok");
    }
}

#[tokio::test]
async fn a05_what_may_pass_is_asked_again_as_the_same_request() {
    for first in [408, 429, 500, 502, 503, 504].map(Reply::status) {
        let service = Service::usual().await;
        service.then([first, Reply::Cut]);
        let client = Client::of(&service, "");
        client.answer().await.unwrap();
        let heard = service.heard();
        assert_eq!(heard.len(), 3);
        for name in ["repeatability-request-id", "repeatability-first-sent"] {
            let values = heard.iter().map(|heard| heard.header(name));
            assert!(values.clone().all(|value| value == heard[0].header(name)));
            assert_eq!(values.count(), 3);
        }
        assert!(heard.iter().all(|other| other.body == heard[0].body));
        client.counted("answer", "ok");
    }
}

#[tokio::test]
async fn a05_attempts_are_bounded_and_what_stays_is_not_asked_again() {
    let service = Service::usual().await;
    let client = Client::of(&service, "");
    service.then([Reply::status(503), Reply::status(503), Reply::status(500)]);
    client.failed("answer", client.answer().await, Kind::Failed);
    assert_eq!(service.lines().len(), 3);
    for (status, kind) in [
        (400, Kind::Refused),
        (401, Kind::Unauthorized),
        (403, Kind::Unauthorized),
        (404, Kind::NotFound),
        (409, Kind::Refused),
        (501, Kind::Refused),
    ] {
        let service = Service::usual().await;
        let client = Client::of(&service, "");
        service.then([Reply::status(status)]);
        client.failed("answer", client.answer().await, kind);
        assert_eq!(service.lines().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a05_redirects_are_not_followed() {
    let (service, other) = (Service::usual().await, Service::usual().await);
    let client = Client::of(&service, "");
    let to = format!("http://127.0.0.1:{}/", other.port);
    service.then([Reply::Say(307, Some(("location", to)), String::new())]);
    client.failed("answer", client.answer().await, Kind::Refused);
    assert_eq!((service.lines().len(), other.lines().len()), (1, 0));
}

#[tokio::test]
async fn a05_a_busy_service_says_when_it_wants_to_be_asked_again() {
    let service = Service::usual().await;
    let client = Client::of(&service, "");
    service.then([Reply::later(429, "1")]);
    let begun = Instant::now();
    client.answer().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(service.lines().len(), 2);
    // Later than the operation may last: nobody waits for that.
    let service = Service::usual().await;
    let client = Client::of(&service, "");
    service.then([Reply::later(429, "3600")]);
    client.failed("answer", client.answer().await, Kind::Busy);
    assert_eq!(service.lines().len(), 1);
    let service = Service::usual().await;
    let client = Client::of(&service, "");
    service.then([Reply::later(503, "Thu, 26 Nov 2099 04:30:00 GMT")]);
    client.failed("answer", client.answer().await, Kind::Busy);
    assert_eq!(service.lines().len(), 1);
}

#[tokio::test]
async fn a05_a_call_that_is_gone_is_hung_up_already() {
    for gone in [
        Reply::status(404),
        Reply::code(400, "8528"),
        Reply::code(409, "8522"),
    ] {
        let service = Service::usual().await;
        let client = Client::of(&service, "");
        service.then([gone]);
        client.hang_up().await.unwrap();
        assert_eq!(service.lines().len(), 1);
        client.counted("hang_up", "ok");
    }
    // Whether that one has ended is not said; and a key that is refused says nothing of calls.
    for (other, kind) in [
        (Reply::code(400, "8501"), Kind::Refused),
        (Reply::code(403, "8522"), Kind::Unauthorized),
    ] {
        let service = Service::usual().await;
        let client = Client::of(&service, "");
        service.then([other]);
        client.failed("hang_up", client.hang_up().await, kind);
    }
}

#[tokio::test]
async fn a05_an_answer_that_cannot_be_read_is_a_failure() {
    for body in [
        String::new(),
        "{}".to_owned(),
        r#"{"callConnectionId":"a/b"}"#.to_owned(),
        format!(
            r#"{{"callConnectionId":"a","pad":"{}"}}"#,
            "x".repeat(64 * 1024)
        ),
    ] {
        let service = Service::usual().await;
        let client = Client::of(&service, "");
        service.then([Reply::Say(200, None, body)]);
        let failure = client.answer().await.unwrap_err();
        assert_eq!(failure.kind, Kind::Malformed);
        // It may have been answered: once is enough.
        assert_eq!(service.lines().len(), 1);
    }
}

#[tokio::test]
async fn a05_a_service_that_is_away_or_silent_holds_nobody_longer_than_it_may() {
    let service = Service::usual().await;
    let client = Client::of(&service, "timeout = \"100ms\"\ntotal = \"3s\"");
    service.then([Reply::Hang, Reply::Hang, Reply::Hang]);
    client.failed("hang_up", client.hang_up().await, Kind::Timeout);
    assert_eq!(service.lines().len(), 3);
    // The whole time ends it, too.
    let service = Service::usual().await;
    let client = Client::of(
        &service,
        "timeout = \"300ms\"\ntotal = \"300ms\"\nattempts = 10",
    );
    service.then([Reply::Hang]);
    client.failed("hang_up", client.hang_up().await, Kind::Timeout);
    assert_eq!(service.lines().len(), 1);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let lines = format!("key = \"{ACCESS_KEY}\"");
    let client = Client::with(&endpoint, &lines, &Environment::of([("X", "x")]));
    client.failed("hang_up", client.hang_up().await, Kind::Unreachable);
}

#[tokio::test]
async fn a05_the_certificate_is_verified_before_anything_is_said() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let own = folder();
    let ca = own.join("ca.pem");
    std::fs::write(&ca, ours.pem()).unwrap();
    let none = Environment::of([("X", "x")]);
    let lines = format!(
        "key = \"{ACCESS_KEY}\"\nroots = \"{}\"\nattempts = 1",
        ca.display()
    );
    let good = ours.issue(&["localhost"]).unwrap();
    let service = Service::with(Trust::Key, Some(&good)).await;
    let endpoint = format!("https://localhost:{}", service.port);
    let client = Client::with(&endpoint, &lines, &none);
    client.answer().await.unwrap();
    let foreign = theirs.issue(&["localhost"]).unwrap();
    for bad in [foreign, ours.issue_expired(&["localhost"]).unwrap()] {
        let service = Service::with(Trust::Key, Some(&bad)).await;
        let endpoint = format!("https://localhost:{}", service.port);
        let client = Client::with(&endpoint, &lines, &none);
        client.failed("answer", client.answer().await, Kind::Unreachable);
        assert_eq!(service.lines(), Vec::<String>::new());
    }
    std::fs::remove_dir_all(own).unwrap();
}

#[tokio::test]
async fn a05_a_token_of_the_platform_is_shown_and_replaced_once() {
    let platform = Platform::bind(Options {
        resource: "https://communication.azure.com/".to_owned(),
        ..Options::loopback()
    })
    .await
    .unwrap();
    let (desk, address) = (platform.desk(), platform.address());
    let stop = CancellationToken::new();
    tokio::spawn(platform.serve(stop.clone()));
    let imds = format!("http://{address}");
    let variables = Environment::of([("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())]);
    let first = Service::with(Trust::Token, None).await;
    let endpoint = format!("http://127.0.0.1:{}", first.port);
    let client = Client::with(&endpoint, "managed_identity = true", &variables);
    let identity = client.calls.identity().unwrap();
    let fetching = tokio::spawn(async move { identity.run().await });
    client.answer().await.unwrap();
    assert_eq!(desk.asked().given, ["imds"]);
    assert!(
        desk.asked().refused.is_empty(),
        "{:?}",
        desk.asked().refused
    );
    // One that is refused is replaced, and the next, so soon, is not.
    first.then([Reply::status(401)]);
    client.answer().await.unwrap();
    first.then([Reply::status(401)]);
    client.failed("answer", client.answer().await, Kind::Unauthorized);
    assert_eq!(desk.asked().given.len(), 2);
    let heard = first.heard();
    let shown: Vec<_> = heard
        .iter()
        .map(|heard| heard.header("authorization"))
        .collect();
    let bearer = [1, 1, 2, 2].map(|number| format!("Bearer {}", Desk::token(number)));
    assert_eq!(shown, bearer);
    fetching.abort();
    stop.cancel();
}
