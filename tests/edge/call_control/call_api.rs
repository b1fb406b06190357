//! Whoever asks for calls: what is refused with which status, who is who, which pages may ask.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonegate::secret::Digest;
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::manner::{Manner, Outcome};
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::issuer::mint::Mint;

use super::control::{Control, Wish, told};
use crate::easyauth::{OID, OTHER, PRINCIPAL, principal};
use crate::harness::{KEY, Refused, read_answer, within};
use crate::hops::{HOP, STRANGER};
use crate::tokens::{AUDIENCE, TENANT};

pub const CALLS: &str = "/api/call";
/// Of somebody else.
pub const OTHER_KEY: &str = "another-callers-key-3Pm";
pub const TO: &str = "+15557654321";
pub const PAGE: &str = "https://app.example.com";
const JSON: &str = "Content-Type: application/json\r\n";

/// A world where calls may be made by key, by token and by EasyAuth.
pub async fn api(setup: Wish<'_>, limits: &str) -> Control {
    let more = format!(
        "[hops]\nnetworks = [\"{HOP}\"]\nspeak = \"http\"\ntenants = [\"{TENANT}\"]\n\
         [[keys]]\nname = \"other\"\nsha256 = \"{}\"\n\
         [issuers.users]\nkind = \"entra\"\nauthority = \"ISSUER\"\ntenants = [\"{TENANT}\"]\n\
         audience = [\"{AUDIENCE}\"]\nroots = \"ca.pem\"\n\
         [[routes]]\nname = \"calls\"\npaths = [\"{CALLS}\"]\nkind = \"call-api\"\n\
         admit = [\"key\", \"users\", \"easyauth\"]\nsource = \"+15550001111\"\n\
         destinations = [\"+1555\", \"+4930\"]\norigins = [\"{PAGE}\"]\n\
         limits = {{ client_message = \"4KiB\", {limits} }}\n{}",
        Digest::of(OTHER_KEY).to_hex(),
        setup.more,
    );
    Control::wish(Wish {
        more: &more,
        ..setup
    })
    .await
}

pub const OPEN: Wish<'_> = Wish {
    gate: "flow = \"open\"",
    route: "",
    store: "",
    acs: "",
    two: false,
    process: false,
    limits: "",
    events: "",
    callbacks: "",
    route_limits: "",
    more: "",
};
/// More than any test makes.
pub const MANY: &str = "calls_per_identity = \"1000/s\"";

pub fn by_key(key: &str) -> String {
    format!("api-key: {key}\r\n")
}

/// A request, with a body or without.
pub fn request(method: &str, target: &str, headers: &str, body: Option<&str>) -> Vec<u8> {
    let (length, body) = match body {
        Some(body) => (format!("Content-Length: {}\r\n", body.len()), body),
        None => (String::new(), ""),
    };
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}")
        .into_bytes()
}

/// A call to the usual number is asked for.
pub async fn post(control: &Control, headers: &str) -> Refused {
    let body = json!({ "to": TO }).to_string();
    let headers = format!("{headers}{JSON}");
    let bytes = request("POST", CALLS, &headers, Some(&body));
    control.asks(&bytes).await
}

pub async fn ask(control: &Control, method: &str, call: &str, headers: &str) -> Refused {
    let target = format!("{CALLS}/{call}");
    control.asks(&request(method, &target, headers, None)).await
}

pub fn json_of(answer: &Refused) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// A call is made by key; its id, and how ACS has it.
pub async fn made(control: &Control) -> (String, Line) {
    let count = control.desk.lines().len();
    let answer = post(control, &by_key(KEY)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let told = json_of(&answer);
    let call = told["call"].as_str().unwrap().to_owned();
    let line = within("the call", control.desk.nth_line(count + 1)).await;
    let url = format!("{CALLS}/{call}");
    assert_eq!(answer.header("location").as_deref(), Some(url.as_str()));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let whole = json!({
        "call": call, "status": "calling", "status_url": url, "connection": line.id(),
    });
    assert_eq!(told, whole);
    (call, line)
}

/// Whom it calls does not take it up.
pub fn rings(control: &Control) {
    control.desk.set(Manner {
        calling: Outcome::Rings,
        ..Manner::default()
    });
}

pub fn creates(control: &Control) -> usize {
    control.desk.record().asked(Operation::Create).count()
}

/// The word of a refusal with this status, as far as requests are concerned.
fn reason(status: u16) -> &'static str {
    match status {
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not_found",
        413 => "too_large",
        _ => "bad_request",
    }
}

/// Requests that are none, made of a good one, each with its status.
fn wrong(good: &str, length: &str) -> Vec<(String, u16)> {
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let origin = |origin: &str| with("api-key", &format!("Origin: {origin}\r\napi-key"));
    let coded = format!("{JSON}Content-Encoding: gzip\r\n");
    vec![
        (with(CALLS, "/api/calls"), 404),
        (with(CALLS, "/api/call/"), 404),
        (with(CALLS, "/api/call/a.b"), 404),
        (with("POST", "GET"), 405),
        (with("POST", "PUT"), 405),
        (with("POST", "DELETE"), 405),
        (with(length, ""), 411),
        (with(length, "Transfer-Encoding: chunked\r\n"), 411),
        (with(length, &length.repeat(2)), 400),
        (with(length, "Content-Length: 4097\r\n"), 413),
        (with(JSON, ""), 415),
        (with("application/json", "text/plain"), 415),
        (
            with("application/json", "application/cloudevents+json"),
            415,
        ),
        (with(JSON, &coded), 415),
        (with("api-key", "x-key"), 401),
        (with(KEY, "wrong"), 401),
        (origin("https://evil.example"), 403),
        (origin("null"), 403),
    ]
}

#[tokio::test]
async fn a14_s04_what_is_wrong_with_a_request_has_its_status_and_calls_nobody() {
    let control = api(OPEN, MANY).await;
    let headers = format!("{}{JSON}", by_key(KEY));
    let body = json!({ "to": TO }).to_string();
    let good = String::from_utf8(request("POST", CALLS, &headers, Some(&body))).unwrap();
    let length = format!("Content-Length: {}\r\n", body.len());
    for (request, status) in wrong(&good, &length) {
        let refused = control.asks(request.as_bytes()).await;
        assert_eq!(refused.status, status, "{request}");
        refused.is(status, reason(status));
        let allowed = (status == 405).then(|| "POST, OPTIONS".to_owned());
        assert_eq!(refused.header("allow"), allowed, "{request}");
        assert!(!refused.body.contains("555"), "{}", refused.body);
    }
    for (method, status) in [("PUT", 405), ("POST", 405), ("GET", 404), ("DELETE", 404)] {
        let refused = ask(&control, method, "7f0c", &by_key(KEY)).await;
        refused.is(status, reason(status));
        let allowed = (status == 405).then(|| "GET, DELETE, OPTIONS".to_owned());
        assert_eq!(refused.header("allow"), allowed, "{method}");
    }
    // A body where none is taken.
    let item = format!("{CALLS}/7f0c");
    let more = request("GET", &item, &headers, Some(&body));
    control.asks(&more).await.is(400, "bad_request");
    assert_eq!(creates(&control), 0);
    assert_eq!(control.desk.record().violations(), []);
}

#[tokio::test]
async fn a14_a_body_is_judged_member_by_member_and_then_the_number() {
    let control = api(OPEN, MANY).await;
    let headers = format!("{}{JSON}", by_key(KEY));
    for (body, status, said) in [
        ("", 400, "JSON object"),
        ("[]", 400, "JSON object"),
        ("{\"to\": ", 400, "JSON object"),
        ("{}", 400, "to is missing"),
        ("{\"to\": null}", 400, "to must be"),
        ("{\"to\": 15557654321}", 400, "to must be"),
        ("{\"to\": \"15557654321\"}", 400, "to must be"),
        ("{\"to\": \"+1 555 765 4321\"}", 400, "to must be"),
        ("{\"to\": \"+0155576543\"}", 400, "to must be"),
        ("{\"to\": \"4:+15557654321\"}", 400, "to must be"),
        (
            "{\"to\": \"+15557654321\", \"to\": \"+15557654321\"}",
            400,
            "to stands twice",
        ),
        (
            "{\"to\": \"+15557654321\", \"from\": \"+15550001111\"}",
            400,
            "not known",
        ),
        ("{\"to\": \"+15667654321\"}", 403, "not allowed"),
        ("{\"to\": \"+49891234567\"}", 403, "not allowed"),
        ("{\"to\": \"+1900555765432\"}", 403, "not allowed"),
    ] {
        let refused = control
            .asks(&request("POST", CALLS, &headers, Some(body)))
            .await;
        refused.is(status, reason(status));
        assert!(refused.body.contains(said), "{body}: {}", refused.body);
        assert!(!refused.body.contains("765"), "{}", refused.body);
    }
    assert_eq!(creates(&control), 0);
    // Who may not ask learns nothing of what may be asked.
    let stranger = request("POST", CALLS, JSON, Some("{\"to\": \"+15667654321\"}"));
    control.asks(&stranger).await.is(401, "unauthenticated");
    let usual = "tonegate_requests_total{route=\"calls\",result=\"forbidden\"} 3";
    control.phone.world.metrics_say(usual).await;
}

/// Tokens of the issuer, changed.
fn token(control: &Control, change: impl FnOnce(Mint) -> Mint) -> String {
    let provider = &control.phone.provider;
    let mint = change(Mint::entra_v2(&provider.base(), TENANT, AUDIENCE));
    format!("Authorization: Bearer {}\r\n", provider.mint(&mint))
}

/// What a hop says whom the platform signed in.
async fn by_hop(control: &Control, method: &str, target: &str, oid: &str) -> Refused {
    let headers = format!("{PRINCIPAL}: {}\r\n{JSON}", principal(oid));
    let body = json!({ "to": TO }).to_string();
    let body = (method == "POST").then_some(body.as_str());
    let bytes = request(method, target, &headers, body);
    control.asks_from(HOP, &bytes).await
}

#[tokio::test]
async fn a31_nobody_has_calls_made_who_is_not_known_and_a_spoofed_principal_is_nobody() {
    let control = api(OPEN, MANY).await;
    rings(&control);
    let (call, _) = made(&control).await;
    let good = principal(OID);
    let spoofed = format!("{PRINCIPAL}: {good}\r\nX-Forwarded-For: {HOP}\r\n");
    let other = token(&control, |mint| mint.with("aud", "api://other"));
    let old = token(&control, |mint| mint.with("exp", 1_700_000_000));
    let of_acs = format!("Authorization: Bearer {}\r\n", control.phone.token());
    for headers in [String::new(), spoofed.clone(), other, old, of_acs] {
        post(&control, &headers).await.is(401, "unauthenticated");
        for method in ["GET", "DELETE"] {
            let refused = ask(&control, method, &call, &headers).await;
            refused.is(401, "unauthenticated");
        }
    }
    assert_eq!(creates(&control), 1);
    // Beside a key it is not looked at.
    let by_principal = by_hop(&control, "POST", CALLS, OID).await;
    let own = json_of(&by_principal)["call"].as_str().unwrap().to_owned();
    let both = format!("{spoofed}{}", by_key(KEY));
    let answer = ask(&control, "GET", &own, &both).await;
    answer.is(404, "not_found");
    assert_eq!(ask(&control, "GET", &call, &both).await.status, 200);
    assert_ne!(HOP, STRANGER);
}

#[tokio::test]
async fn a26_a_call_is_there_for_whoever_had_it_made_and_for_nobody_else() {
    let control = api(OPEN, MANY).await;
    rings(&control);
    let token = token(&control, |mint| mint);
    let mut calls = Vec::new();
    for answer in [
        by_hop(&control, "POST", CALLS, OID).await,
        by_hop(&control, "POST", CALLS, OTHER).await,
        post(&control, &token).await,
        post(&control, &by_key(KEY)).await,
    ] {
        assert_eq!(answer.status, 201, "{}", answer.body);
        calls.push(json_of(&answer)["call"].as_str().unwrap().to_owned());
    }
    let unknown = ask(&control, "GET", "7f0c", &by_key(KEY)).await;
    for (number, call) in calls.iter().enumerate() {
        let target = format!("{CALLS}/{call}");
        for method in ["GET", "DELETE"] {
            let another = if number == 0 { OTHER } else { OID };
            for other in [
                by_hop(&control, method, &target, another).await,
                ask(&control, method, call, &by_key(OTHER_KEY)).await,
            ] {
                other.is(404, "not_found");
                assert_eq!(other.body, unknown.body);
            }
        }
        let statuses = [
            by_hop(&control, "GET", &target, OID).await,
            by_hop(&control, "GET", &target, OTHER).await,
            ask(&control, "GET", call, &token).await,
            ask(&control, "GET", call, &by_key(KEY)).await,
        ]
        .map(|answer| answer.status);
        let mut own = [404; 4];
        own[number] = 200;
        assert_eq!(statuses, own);
    }
    // Nobody's call was ended by somebody else.
    assert_eq!(control.desk.record().asked(Operation::Terminate).count(), 0);
}

#[tokio::test]
async fn a14_one_identity_has_so_many_calls_made_and_looks_at_them_as_often_as_it_likes() {
    let control = api(OPEN, "calls_per_identity = \"2/h\"").await;
    rings(&control);
    // What is refused before counts nothing.
    let headers = format!("{}{JSON}", by_key(KEY));
    for body in ["{}", "{\"to\": \"+4989123\"}"] {
        let bytes = request("POST", CALLS, &headers, Some(body));
        assert!([400, 403].contains(&control.asks(&bytes).await.status));
    }
    let (call, _) = made(&control).await;
    made(&control).await;
    let refused = post(&control, &by_key(KEY)).await;
    refused.is(429, "rate_limited");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    for _ in 0..3 {
        assert_eq!(ask(&control, "GET", &call, &by_key(KEY)).await.status, 200);
    }
    assert_eq!(
        ask(&control, "DELETE", &call, &by_key(KEY)).await.status,
        204
    );
    assert_eq!(post(&control, &by_key(OTHER_KEY)).await.status, 201);
    assert_eq!(creates(&control), 3);
    let hits = "tonegate_limit_hits_total{limit=\"calls_per_identity\"} 1";
    control.phone.world.metrics_say(hits).await;
}

/// The headers of an answer that are about pages.
fn of_pages(answer: &Refused) -> [Option<String>; 4] {
    [
        "vary",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "access-control-allow-credentials",
    ]
    .map(|name| answer.header(name))
}

#[tokio::test]
async fn s07_a_page_is_told_that_it_may_ask_before_it_shows_who_it_is() {
    let more = "[[routes]]\nname = \"keyed\"\npaths = [\"/keyed\"]\nkind = \"call-api\"\n\
                admit = [\"key\"]\nsource = \"+15550001111\"\ndestinations = [\"+\"]\n\
                origins = [\"https://app.example.com\"]\n\
                [[routes]]\nname = \"no-pages\"\npaths = [\"/none\"]\nkind = \"call-api\"\n\
                admit = [\"key\"]\nsource = \"+15550001111\"\ndestinations = [\"+\"]\n";
    let control = api(Wish { more, ..OPEN }, MANY).await;
    let preflight = async |target: &str, origin: &str, wants: &str| {
        let headers = format!("{origin}{wants}");
        control
            .asks(&request("OPTIONS", target, &headers, None))
            .await
    };
    let page = format!("Origin: {PAGE}\r\n");
    let wants = "Access-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: authorization,content-type\r\n";
    let item = format!("{CALLS}/7f0c");
    for (target, methods, credentials) in [
        (CALLS, "POST", Some("true")),
        (&item, "GET, DELETE", Some("true")),
        ("/keyed", "POST", None),
    ] {
        let answer = preflight(target, &page, wants).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        let told = |name: &str| answer.header(name);
        let methods = Some(methods.to_owned());
        assert_eq!(told("access-control-allow-methods"), methods);
        let headers = told("access-control-allow-headers");
        assert_eq!(
            headers.as_deref(),
            Some("authorization, content-type, api-key")
        );
        assert_eq!(told("access-control-max-age").as_deref(), Some("600"));
        let [vary, origin, _, may] = of_pages(&answer);
        assert_eq!(
            (vary.as_deref(), origin.as_deref()),
            (Some("Origin"), Some(PAGE))
        );
        assert_eq!(may.as_deref(), credentials, "{target}");
    }
    let foreign = "Origin: https://evil.example\r\n";
    for (target, origin, wants, status) in [
        (CALLS, foreign, wants, 403),
        (CALLS, "Origin: null\r\n", wants, 403),
        (CALLS, "Origin: https://app.example.com:443\r\n", wants, 403),
        (CALLS, "", wants, 400),
        (CALLS, page.as_str(), "", 400),
        ("/none", page.as_str(), wants, 405),
    ] {
        let answer = preflight(target, origin, wants).await;
        assert_eq!(answer.status, status, "{origin}{wants}");
        let told = answer.header("access-control-allow-methods");
        assert_eq!(told, None);
        let [vary, allowed, ..] = of_pages(&answer);
        let listed = origin == page && target != "/none";
        assert_eq!(allowed.is_some(), listed);
        assert_eq!(vary.is_some(), target != "/none");
    }
    let twice = preflight(CALLS, &format!("{page}{page}"), wants).await;
    assert_eq!((twice.status, of_pages(&twice)[1].clone()), (403, None));
}

#[tokio::test]
async fn s07_every_answer_says_which_page_it_is_for() {
    let control = api(OPEN, "calls_per_identity = \"1/h\"").await;
    rings(&control);
    let page = format!("Origin: {PAGE}\r\n");
    let key = by_key(KEY);
    let body = json!({ "to": TO }).to_string();
    let keyed = format!("{key}{JSON}");
    let cases = [
        ("POST", keyed.clone(), Some(body.as_str()), 201),
        ("POST", keyed.clone(), Some(body.as_str()), 429),
        ("POST", keyed.clone(), Some("{}"), 400),
        ("POST", keyed.clone(), Some("{\"to\": \"+4989123\"}"), 403),
        ("POST", JSON.to_owned(), Some(body.as_str()), 401),
        ("POST", key.clone(), Some(body.as_str()), 415),
        ("POST", keyed.clone(), None, 411),
        ("PUT", keyed.clone(), Some(body.as_str()), 405),
    ];
    for (method, headers, body, status) in cases {
        let asked = format!("{page}{headers}");
        let answer = control.asks(&request(method, CALLS, &asked, body)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        let told = ["Origin", PAGE, "location, retry-after", "true"];
        let told = told.map(|text| Some(text.to_owned()));
        assert_eq!(of_pages(&answer), told, "{status}");
        // Without a page nothing is said but that it would matter.
        let answer = control.asks(&request(method, CALLS, &headers, body)).await;
        let vary = Some("Origin".to_owned());
        assert_eq!(of_pages(&answer), [vary, None, None, None]);
        let foreign = format!("Origin: https://evil.example\r\n{headers}");
        let answer = control.asks(&request(method, CALLS, &foreign, body)).await;
        let vary = Some("Origin".to_owned());
        assert_eq!(of_pages(&answer), [vary, None, None, None]);
        assert!(answer.status == 403 || [405, 411, 415].contains(&answer.status));
    }
    assert_eq!(creates(&control), 1);
    let asked = format!("{page}{key}");
    let answer = ask(&control, "GET", "7f0c", &asked).await;
    assert_eq!(of_pages(&answer)[1].as_deref(), Some(PAGE));
    answer.is(404, "not_found");
}

/// Whoever has calls made holds up others like them, and not what ACS tells of calls.
#[tokio::test]
async fn a36_slow_bodies_of_those_who_ask_leave_room_for_callbacks() {
    let control = api(OPEN, MANY).await;
    rings(&control);
    let (_, line) = made(&control).await;
    let body = json!({ "to": TO }).to_string();
    let headers = format!("{}{JSON}Expect: 100-continue\r\n", by_key(KEY));
    let order = request("POST", CALLS, &headers, Some(&body));
    let (begin, rest) = order.split_at(order.len() - 5);
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut io = control.phone.world.connect().await;
        io.write_all(begin).await.unwrap();
        io.flush().await.unwrap();
        let mut goes_on = *b"HTTP/1.1 100 Continue\r\n\r\n";
        let read = within("leave to go on", io.read_exact(&mut goes_on)).await;
        read.unwrap();
        held.push(io);
    }
    post(&control, &by_key(KEY)).await.is(503, "busy");
    let event = json!([told(&line, "CallConnected", json!({}))]);
    assert_eq!(line.callback(&event).await, Some(200));
    let hit = "tonegate_limit_hits_total{limit=\"bodies\"} 1";
    control.phone.world.metrics_say(hit).await;
    let mut last = held.pop().unwrap();
    drop(held);
    last.write_all(rest).await.unwrap();
    last.flush().await.unwrap();
    assert_eq!(read_answer(last).await.err().unwrap().status, 201);
}
