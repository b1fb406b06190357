//! What has no form is found elsewhere, or nothing goes on.

use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonegate::sim::certificate::Authority;
use tonegate::sim::pii::{Desk, Detector, Options, Trouble};

use super::app::{Answer, App, ask, before, read};
use crate::binary::Served;
use crate::harness::{KEY, World, folder, request, text};

const SECRET: &str = "key-of-the-detector";
pub const NAMES: [&str; 3] = ["Jo Doe", "Ærøskøbing 🙂", "Sarah"];
const JSON: &str = "Content-Type: application/json\r\n";
const BODY: &[u8] = br#"{"n":1.50,"message":"I am Jo Doe","of":"Jo Doe"}"#;

/// A service, and the table that names it.
pub async fn service(kind: &str, lines: &str) -> (Arc<Desk>, DropGuard, String) {
    let authority = Authority::new("authority of the detector");
    let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    let azure = kind == "azure-language";
    let service = Detector::bind(Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        identity: azure.then_some(identity),
        key: SECRET.to_owned(),
        tokens: None,
        names: NAMES.map(str::to_owned).to_vec(),
    });
    let service = service.await.unwrap();
    let (desk, stop) = (service.desk(), CancellationToken::new());
    tokio::spawn(service.serve(stop.clone()));
    let roots = folder().join("detector.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let more = match azure {
        true => format!(
            "key = \"{SECRET}\"\nroots = {:?}\n",
            roots.to_str().unwrap()
        ),
        false => String::new(),
    };
    let table = format!(
        "[pii_detectors.names]\nkind = \"{kind}\"\nurl = \"{}\"\n{more}{lines}\n",
        desk.base()
    );
    (desk, stop.drop_guard(), table)
}

struct Guarded {
    world: World,
    app: Arc<App>,
    desk: Arc<Desk>,
    _stop: DropGuard,
}

impl Guarded {
    async fn with(kind: &str, lines: &str, route: &str) -> Guarded {
        let (desk, stop, table) = service(kind, lines).await;
        let (app, address) = App::start(None).await;
        let pii = "pii = { fields = [\"message\"], detector = \"names\" }";
        let world = before(address, &format!("{pii}\n{route}\n{table}"), "").await;
        Guarded {
            world,
            app,
            desk,
            _stop: stop,
        }
    }

    async fn says(&self, body: &[u8]) -> Answer {
        ask(&self.world, "POST /api/chat", JSON, body).await
    }

    /// The body as the application saw it.
    fn heard(&self) -> String {
        String::from_utf8(self.app.only().body.to_vec()).unwrap()
    }

    fn results(&self, result: &str) -> u64 {
        let series =
            format!("tonegate_pii_detections_total{{detector=\"names\",result=\"{result}\"}}");
        self.world.count(&series)
    }
}

#[tokio::test]
async fn c21_a_detector_finds_what_has_no_form_in_what_the_first_layer_left() {
    for kind in ["azure-language", "presidio"] {
        let guarded = Guarded::with(kind, "", "").await;
        let body = "{\"n\":1.50,\"message\":[\"I am Jo Doe\\u002c jo@example.com\",\"\", \
                    \"\u{1f642} of \\u00c6røskøbing \\ud83d\\ude42!\"],\"of\":\"Jo Doe\"}";
        let answer = guarded.says(body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{kind}");
        let left = "{\"n\":1.50,\"message\":[\"I am [pii]\\u002c [email]\",\"\", \
                    \"\u{1f642} of [pii]!\"],\"of\":\"Jo Doe\"}";
        assert_eq!(guarded.heard(), left, "{kind}");
        let seen = guarded.app.only();
        let length = left.len().to_string();
        assert_eq!(seen.header("content-length"), Some(length.as_str()));
        let mut asked = guarded.desk.asked().concat();
        // Presidio is asked about each of them by itself.
        asked.sort();
        let expected = ["I am Jo Doe, [email]", "\u{1f642} of Ærøskøbing \u{1f642}!"];
        assert_eq!(asked, expected, "{kind}");
        assert_eq!(guarded.desk.violations(), [""; 0], "{kind}");
        assert_eq!(guarded.results("ok"), 1);
    }
}

#[tokio::test]
async fn c21_many_texts_are_asked_about_in_as_many_questions_as_they_need() {
    let guarded = Guarded::with("azure-language", "", "").await;
    let texts: Vec<String> = (0..12).map(|i| format!("{i} Jo Doe {i}")).collect();
    let body = json!({ "message": texts }).to_string();
    assert_eq!(guarded.says(body.as_bytes()).await.status, 200);
    let left: Vec<String> = (0..12).map(|i| format!("{i} [pii] {i}")).collect();
    assert_eq!(guarded.heard(), json!({ "message": left }).to_string());
    let mut sizes: Vec<usize> = guarded.desk.asked().iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 5, 5]);
    // One of several that fails is all of them.
    guarded.desk.then([Trouble::Status(500)]);
    assert_eq!(guarded.says(body.as_bytes()).await.status, 502);
    assert_eq!(guarded.app.seen().len(), 1);
    assert_eq!(guarded.desk.violations(), [""; 0]);
}

#[tokio::test]
async fn c21_what_the_detector_cannot_say_goes_no_further() {
    let guarded = Guarded::with("azure-language", "total = \"1s\"", "").await;
    for (trouble, status, reason, result) in [
        (Trouble::Status(500), 502, "upstream_refused", "failed"),
        (Trouble::Status(400), 502, "upstream_refused", "refused"),
        (
            Trouble::Status(401),
            502,
            "upstream_unauthorized",
            "unauthorized",
        ),
        (Trouble::Status(429), 503, "upstream_busy", "busy"),
        (Trouble::Status(504), 504, "upstream_timeout", "timeout"),
        (
            Trouble::Redirect(guarded.desk.base().to_owned()),
            502,
            "upstream_refused",
            "refused",
        ),
        (Trouble::Lost, 502, "upstream_unreachable", "unreachable"),
        (
            Trouble::Text("{}".to_owned()),
            502,
            "upstream_refused",
            "malformed",
        ),
        (Trouble::Shifted(1000), 502, "upstream_refused", "malformed"),
        (
            Trouble::Shifted(usize::MAX / 2),
            502,
            "upstream_refused",
            "malformed",
        ),
        (Trouble::Short, 502, "upstream_refused", "malformed"),
        (Trouble::Unseen, 502, "upstream_refused", "refused"),
        (Trouble::Huge, 502, "upstream_refused", "malformed"),
        (Trouble::Held, 504, "upstream_timeout", "timeout"),
    ] {
        let before = guarded.results(result);
        guarded.desk.then([trouble.clone()]);
        let answer = guarded.says(BODY).await;
        let told = (answer.status, answer.reason());
        assert_eq!(told, (status, reason.to_owned()), "{trouble:?}");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            !body.contains("canary") && !body.contains("Jo Doe"),
            "{body}"
        );
        assert_eq!(guarded.results(result), before + 1, "{trouble:?}");
    }
    assert_eq!(guarded.app.seen().len(), 0);
    // None of that lasts.
    assert_eq!(guarded.says(BODY).await.status, 200);
    assert!(guarded.heard().contains("I am [pii]"));
}

#[tokio::test]
async fn c21_a_detector_that_is_away_or_is_not_who_it_should_be_lets_nothing_through() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let away = format!("url = \"https://localhost:{port}\"");
    // Another authority's certificate; another key.
    for (from, to, told) in [
        ("url = ", away.as_str(), (502, "upstream_unreachable")),
        (
            "roots = ",
            "roots = \"system\"",
            (502, "upstream_unreachable"),
        ),
        (
            "key = ",
            "key = \"another\"",
            (502, "upstream_unauthorized"),
        ),
    ] {
        let (desk, _stop, table) = service("azure-language", "").await;
        let lines = table.lines();
        let lines: Vec<_> = lines
            .map(|l| if l.starts_with(from) { to } else { l })
            .collect();
        let (app, address) = App::start(None).await;
        let route = format!("pii = {{ detector = \"names\" }}\n{}", lines.join("\n"));
        let world = before(address, &route, "").await;
        let answer = ask(&world, "POST /api/chat", JSON, BODY).await;
        assert_eq!((answer.status, answer.reason().as_str()), told, "{to}");
        assert_eq!((app.seen().len(), desk.asked().len()), (0, 0), "{to}");
    }
}

#[tokio::test]
async fn c21_more_texts_or_longer_ones_than_are_asked_about_are_refused() {
    let guarded = Guarded::with("azure-language", "", "").await;
    let long = "ä".repeat(5121);
    for message in [json!(vec!["x"; 51]), json!(long)] {
        let answer = guarded
            .says(json!({ "message": message }).to_string().as_bytes())
            .await;
        let told = (answer.status, answer.reason());
        assert_eq!(told, (413, "too_large".to_owned()));
    }
    assert_eq!(
        (guarded.app.seen().len(), guarded.desk.asked().len()),
        (0, 0)
    );
    assert_eq!(guarded.results("too_large"), 2);
    let hits = "tonegate_limit_hits_total{limit=\"pii_texts\"}";
    assert_eq!(guarded.world.count(hits), 2);
    for message in [json!(vec!["x"; 50]), json!(long[2..])] {
        let answer = guarded
            .says(json!({ "message": message }).to_string().as_bytes())
            .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(guarded.desk.violations(), [""; 0]);
}

#[tokio::test]
async fn c21_a_detector_is_asked_as_much_at_once_as_the_settings_say_and_no_more() {
    let guarded = Guarded::with("presidio", "at_once = 1", "").await;
    guarded.desk.then([Trouble::Held]);
    let held = guarded.says(BODY);
    let meanwhile = async {
        guarded.desk.next().await;
        let answer = guarded.says(BODY).await;
        let told = (answer.status, answer.reason());
        assert_eq!(told, (503, "upstream_busy".to_owned()));
        assert_eq!(guarded.app.seen().len(), 0);
        guarded.desk.release();
    };
    let (answer, ()) = tokio::join!(held, meanwhile);
    assert_eq!(answer.status, 200);
    assert!(guarded.heard().contains("I am [pii]"));
    let hits = "tonegate_limit_hits_total{limit=\"pii_detector\"}";
    assert_eq!(guarded.world.count(hits), 1);
    assert_eq!((guarded.results("busy"), guarded.results("ok")), (1, 1));
    // What was held is free again, and one text after another is asked about.
    assert_eq!(
        guarded.says(br#"{"message":["a","b","c"]}"#).await.status,
        200
    );
    assert_eq!(guarded.desk.asked().len(), 4);
}

/// Never frames, and never what the application says.
#[tokio::test]
async fn c21_answers_and_web_sockets_are_not_looked_into() {
    let guarded = Guarded::with("azure-language", "", "web_socket = true").await;
    guarded
        .app
        .says("/app/api/people", 200, "Jo Doe, jo@example.com");
    let answer = ask(&guarded.world, "GET /api/people", "", b"").await;
    assert_eq!(answer.body, b"Jo Doe, jo@example.com");
    let asked = request("/api/live", &[("api-key", KEY)]);
    let mut caller = guarded.world.send_request(asked.as_bytes()).await.unwrap();
    let frame = text("{\"message\":\"Jo Doe, jo@example.com\"}");
    caller.send(frame.clone()).await;
    assert_eq!(caller.next().await, Some(frame));
    caller.close(1000, "").await;
    caller.closed().await;
    assert_eq!(guarded.desk.asked().len(), 0);
}

#[tokio::test]
async fn c21_nothing_of_the_texts_or_of_the_answer_is_logged() {
    let guarded = Guarded::with("azure-language", "", "").await;
    let mut served = Served::start(&guarded.world, "trace").await;
    for trouble in [Trouble::Status(500), Trouble::Shifted(1000), Trouble::Lost] {
        guarded.desk.then([trouble]);
        let head = format!(
            "POST /api/chat HTTP/1.1\r\nHost: edge.example.com\r\napi-key: {KEY}\r\n{JSON}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            BODY.len()
        );
        let mut io = served.send(&guarded.world, head.as_bytes()).await;
        io.write_all(BODY).await.unwrap();
        io.flush().await.unwrap();
        assert_eq!(read(&mut io, false).await.status, 502);
    }
    let line = served
        .until(|line| line["message"] == "what is personal is not known")
        .await;
    assert_eq!(
        (&line["detector"], &line["result"]),
        (&json!("names"), &json!("failed"))
    );
    assert_eq!(line["status"], 500);
    let (code, printed) = served.end(Signal::TERM).await;
    assert_eq!(code, 0);
    for word in ["Jo Doe", "I am", "canary", SECRET] {
        assert!(!printed.contains(word), "{word} in {printed}");
    }
}
