//! Every status of the endpoints that Event Grid and ACS post to, provoked at both: what is checked
//! before what, and what each failure is told as.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::sim::call_automation::grid::APPLICATION;
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::manner::Trouble;
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::issuer::behaviour::Behaviour;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::stream::Stream;

use super::control::{AUDIENCE, Control, EVENTS, PSTN, Wish, post};
use super::refused::{CALLBACK, JSON, validation};
use crate::harness::{Refused, read_answer, within};
use crate::tokens::TENANT;

/// What is posted to, and what would be taken there.
struct Endpoint {
    route: &'static str,
    target: &'static str,
    allow: &'static str,
    /// A header line; each is another one.
    credential: String,
    body: String,
}

fn endpoints(control: &Control) -> [Endpoint; 2] {
    let provider = &control.phone.provider;
    let grid = Mint::entra_v2(&provider.base(), TENANT, AUDIENCE)
        .with("azp", APPLICATION)
        .without("scp");
    let connected = json!([{
        "id": "1", "source": "s", "specversion": "1.0", "time": "2026-05-04T10:00:00Z",
        "type": "Microsoft.Communication.CallConnected", "data": {"callConnectionId": "0800"},
    }]);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    [
        Endpoint {
            route: "events",
            target: EVENTS,
            allow: "POST, OPTIONS",
            credential: bearer(&provider.mint(&grid)),
            body: validation(),
        },
        Endpoint {
            route: "callbacks",
            target: CALLBACK,
            allow: "POST",
            credential: bearer(&control.phone.token()),
            body: connected.to_string(),
        },
    ]
}

impl Endpoint {
    fn request(&self) -> Vec<u8> {
        let headers = format!("{}{JSON}", self.credential);
        post(self.target, &headers, &self.body)
    }

    /// It is taken.
    async fn takes(&self, control: &Control) {
        let answer = control.asks(&self.request()).await;
        assert_eq!(answer.status, 200, "{}: {}", self.route, answer.body);
    }

    /// A request without the end of its body, and the end. It is admitted: its body is waited for.
    async fn begins(&self, control: &Control) -> (Stream, Vec<u8>) {
        let headers = format!("{}{JSON}Expect: 100-continue\r\n", self.credential);
        let request = post(self.target, &headers, &self.body);
        let (first, rest) = request.split_at(request.len() - 5);
        let mut io = control.phone.world.connect().await;
        io.write_all(first).await.unwrap();
        io.flush().await.unwrap();
        let mut goes_on = *b"HTTP/1.1 100 Continue\r\n\r\n";
        within("leave to go on", io.read_exact(&mut goes_on))
            .await
            .unwrap();
        assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        (io, rest.to_vec())
    }
}

async fn usual() -> Control {
    Control::with(PSTN).await
}

/// An edge whose two routes have these limits, or lines.
async fn with(route_limits: &str, lines: &str, limits: &str) -> Control {
    Control::wish(Wish {
        gate: PSTN,
        route_limits,
        events: lines,
        callbacks: lines,
        limits,
        ..Wish::default()
    })
    .await
}

/// A request with everything wrong, mended step by step: each step shows the next thing that is
/// checked, in the order of the README.
#[tokio::test]
async fn a36_what_is_wrong_is_told_in_the_order_of_the_readme() {
    let control = usual().await;
    for endpoint in endpoints(&control) {
        let mut request = Request {
            method: "PUT",
            target: "/acs/callbacks/no.id",
            length: "Content-Length: 9999999\r\nContent-Length: 9999999\r\n".to_owned(),
            kind: "Content-Type: text/plain\r\n".to_owned(),
            origin: "Origin: https://page.example\r\n".to_owned(),
            credential: "Authorization: Bearer no.good.token\r\n".to_owned(),
            body: "{".to_owned(),
        };
        let shows = async |request: &Request, status: u16, reason: &str| {
            let refused = control.asks(&request.bytes()).await;
            assert_eq!(
                refused.status, status,
                "{}: {}",
                endpoint.route, refused.body
            );
            refused.is(status, reason);
            refused
        };
        shows(&request, 400, "bad_request").await;
        request.length = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n".to_owned();
        shows(&request, 400, "bad_request").await;
        request.length = "Transfer-Encoding: chunked\r\n".to_owned();
        shows(&request, 404, "not_found").await;
        request.target = endpoint.target;
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "post"] {
            request.method = method;
            let refused = control.asks(&request.bytes()).await;
            let allow = refused.header("allow");
            assert_eq!(
                (refused.status, allow.as_deref()),
                (405, Some(endpoint.allow))
            );
        }
        request.method = "POST";
        shows(&request, 411, "bad_request").await;
        request.length = String::new();
        shows(&request, 411, "bad_request").await;
        request.length = "Content-Length: 65537\r\n".to_owned();
        shows(&request, 413, "too_large").await;
        request.length = format!("Content-Length: {}\r\n", request.body.len());
        shows(&request, 415, "bad_request").await;
        request.kind = format!("{JSON}{JSON}");
        shows(&request, 415, "bad_request").await;
        request.kind = format!("{JSON}Content-Encoding: gzip\r\n");
        shows(&request, 415, "bad_request").await;
        request.kind = JSON.to_owned();
        shows(&request, 403, "forbidden").await;
        request.origin = String::new();
        shows(&request, 401, "unauthenticated").await;
        request.credential = String::new();
        shows(&request, 401, "unauthenticated").await;
        request.credential = endpoint.credential.clone();
        shows(&request, 400, "bad_request").await;
        request.body = endpoint.body.clone();
        request.length = format!("Content-Length: {}\r\n", request.body.len());
        assert_eq!(control.asks(&request.bytes()).await.status, 200);
    }
    assert_eq!(control.answers(), 0);
}

struct Request {
    method: &'static str,
    target: &'static str,
    length: String,
    kind: String,
    origin: String,
    credential: String,
    body: String,
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        let Request {
            method,
            target,
            length,
            kind,
            origin,
            credential,
            body,
        } = self;
        format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{origin}{credential}{kind}{length}\r\n{body}"
        )
        .into_bytes()
    }
}

#[tokio::test]
async fn a36_who_posts_from_elsewhere_is_403_before_anything_else_is_asked() {
    let control = with(
        "upgrades_per_address = \"1/h\"",
        "deny = [\"127.0.0.0/8\"]",
        "",
    )
    .await;
    for endpoint in endpoints(&control) {
        for _ in 0..2 {
            control.asks(&endpoint.request()).await.is(403, "forbidden");
        }
    }
    let options = format!(
        "OPTIONS {EVENTS} HTTP/1.1\r\nHost: localhost\r\nWebHook-Request-Origin: \
         eventgrid.azure.net\r\n\r\n"
    );
    control.asks(options.as_bytes()).await.is(403, "forbidden");
}

#[tokio::test]
async fn a36_who_posts_too_often_is_429_by_address_and_by_route() {
    for limit in ["upgrades_per_address", "upgrades"] {
        let control = with(&format!("{limit} = \"2/h\""), "", "").await;
        for endpoint in endpoints(&control) {
            for _ in 0..2 {
                endpoint.takes(&control).await;
            }
            let refused = control.asks(&endpoint.request()).await;
            refused.is(429, "rate_limited");
            let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=1800).contains(&seconds), "{seconds}");
        }
        let series = format!("tonegate_limit_hits_total{{limit=\"{limit}\"}} 2");
        control.phone.world.metrics_say(&series).await;
    }
}

#[tokio::test]
async fn a04_a06_keys_out_of_reach_are_503_at_both() {
    let control = usual().await;
    control.phone.provider.set_keys(Behaviour::Status(500));
    for endpoint in endpoints(&control) {
        let refused = control.asks(&endpoint.request()).await;
        refused.is(503, "keys_unavailable");
    }
}

#[tokio::test]
async fn a19_a_store_out_of_reach_is_503_at_both() {
    let control = Control::of(PSTN, "url = \"redis://127.0.0.1:1\"", false).await;
    let [mut events, callbacks] = endpoints(&control);
    // What was taken back is not known, either.
    let refused = control.asks(&events.request()).await;
    refused.is(503, "store_unavailable");
    let rings = control.desk.incoming(&Caller::default());
    events.body = json!([rings.event(Schema::EventGrid)]).to_string();
    for endpoint in [&events, &callbacks] {
        let refused = control.asks(&endpoint.request()).await;
        assert_eq!(
            (refused.status, &*refused.reason()),
            (503, "store_unavailable")
        );
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(control.answers(), 0);
}

#[tokio::test]
async fn a36_more_bodies_than_are_worked_on_at_a_time_are_503() {
    let control = usual().await;
    let both = endpoints(&control);
    let mut held = Vec::new();
    for at in 0..64 {
        held.push(both[at % 2].begins(&control).await);
    }
    for endpoint in &both {
        control.asks(&endpoint.request()).await.is(503, "busy");
    }
    let hit = "tonegate_limit_hits_total{limit=\"bodies\"} 2";
    control.phone.world.metrics_say(hit).await;
    // Each of them is whole in the end, and gives its place up.
    let ends = held.into_iter().map(async |(mut io, rest)| {
        io.write_all(&rest).await.unwrap();
        io.flush().await.unwrap();
        answered(io).await.status
    });
    let statuses = futures_util::future::join_all(ends).await;
    assert_eq!(statuses, [200; 64]);
    for endpoint in &both {
        endpoint.takes(&control).await;
    }
}

async fn answered(io: Stream) -> Refused {
    read_answer(io).await.err().unwrap()
}

#[tokio::test]
async fn a36_a_body_that_does_not_come_is_408() {
    let control = with("", "", "handshake = \"2s\"").await;
    let waits = endpoints(&control).map(async |endpoint| {
        let (io, _) = endpoint.begins(&control).await;
        answered(io).await.is(408, "bad_request");
        endpoint.takes(&control).await;
    });
    futures_util::future::join_all(waits).await;
}

#[tokio::test]
async fn a36_who_is_in_the_middle_when_the_edge_stops_is_503() {
    let mut control = usual().await;
    let mut waiting = Vec::new();
    for endpoint in endpoints(&control) {
        waiting.push(endpoint.begins(&control).await.0);
    }
    drop(control.phone.world.edge.take());
    for io in waiting {
        answered(io).await.is(503, "draining");
    }
}

#[tokio::test]
async fn a03_a_call_that_rings_while_all_sessions_are_in_use_is_503_and_is_not_taken() {
    let control = with("", "", "sessions = 1").await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    let rings = control.desk.incoming(&Caller::default());
    let event = [rings.event(Schema::EventGrid)];
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 503);
    let hit = "tonegate_limit_hits_total{limit=\"sessions\"} 1";
    control.phone.world.metrics_say(hit).await;
    // Callbacks of calls that there are and handshakes are taken all the same.
    for endpoint in endpoints(&control) {
        endpoint.takes(&control).await;
    }
    within("hanging up", line.hang_up()).await;
    control
        .phone
        .world
        .metrics_say("tonegate_sessions{route=\"phone\"} 0")
        .await;
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 200);
    assert_eq!(control.answers(), 2);
}

#[tokio::test]
async fn a05_call_automation_that_is_late_or_away_is_504_and_502() {
    let control = Control::wish(Wish {
        gate: PSTN,
        acs: "timeout = \"1s\"\ntotal = \"1s\"",
        ..Wish::default()
    })
    .await;
    let rings = control.desk.incoming(&Caller::default());
    let event = [rings.event(Schema::EventGrid)];
    let answer = Some(Operation::Answer);
    let late = Trouble::Held(std::time::Duration::from_secs(20));
    for (trouble, status) in [
        (late, 504),
        (Trouble::Status(504), 504),
        (Trouble::Status(403), 502),
    ] {
        control.desk.trouble(answer, trouble, 1);
        assert_eq!(control.delivers(Schema::EventGrid, &event).await, status);
    }
}
