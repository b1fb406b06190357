//! The page for people: who gets it, what comes with it, and people before it in a real browser.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::binary::tonegate;
use crate::harness::{KEY, Refused, Wish, World, within};
use crate::program::{root, tells, tool};

/// A route of the kind, beside the usual one.
fn page(admit: &str) -> Wish {
    Wish {
        accept: "\"header\", \"subprotocol\"".to_owned(),
        more: format!(
            "[[routes]]\nname = \"page\"\npaths = [\"/page\", \"/\"]\nkind = \"page\"\n{admit}\nopens = [\"browser\"]\n"
        ),
        ..Wish::default()
    }
}

async fn ask(world: &World, head: &str) -> Refused {
    let request = format!("{head}\r\nHost: localhost\r\n\r\n");
    world.refused_bytes(request.as_bytes()).await
}

#[tokio::test]
async fn there_is_no_page_where_no_route_has_one() {
    let world = World::usual().await;
    for path in ["/page", "/page/main", "/page/edge"] {
        ask(&world, &format!("GET {path} HTTP/1.1"))
            .await
            .is(404, "not_found");
    }
}

#[tokio::test]
async fn the_page_is_admitted_like_any_route() {
    let world = World::with(page(
        "admit = [\"key\"]\naccept = [\"cookie\"]\ncookie = \"pass\"",
    ))
    .await;
    // Nobody gets a part of it who may not have the whole, whether or not there is that part.
    for path in ["/page", "/", "/page/main", "/page/edge", "/page/nothing"] {
        for more in ["", "\r\nCookie: pass=wrong", "\r\nCookie: other=1"] {
            let head = format!("GET {path} HTTP/1.1{more}");
            ask(&world, &head).await.is(401, "unauthenticated");
        }
        let status = if path == "/page/nothing" { 404 } else { 200 };
        let head = format!("GET {path} HTTP/1.1\r\nCookie: pass={KEY}");
        assert_eq!(ask(&world, &head).await.status, status, "{path}");
    }
    // A key in the address opens nothing.
    let head = format!("GET /page?api-key={KEY} HTTP/1.1");
    ask(&world, &head).await.is(401, "unauthenticated");
    // Another page's script gets nothing, whatever it shows.
    let head = format!("GET /page HTTP/1.1\r\nOrigin: https://evil.example\r\nCookie: pass={KEY}");
    ask(&world, &head).await.is(403, "forbidden");
    let head = format!("GET /page HTTP/1.1\r\nOrigin: https://localhost\r\nCookie: pass={KEY}");
    assert_eq!(ask(&world, &head).await.status, 200, "its own script");
    world
        .metrics_say("tonegate_requests_total{route=\"page\",result=\"forbidden\"} 1")
        .await;
}

#[tokio::test]
async fn each_part_of_the_page_comes_with_its_type_a_policy_and_a_tag() {
    let world = World::with(page("admit = [\"anyone\"]")).await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                  connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                  require-trusted-types-for 'script'";
    let script = "text/javascript; charset=utf-8";
    let mut tags = BTreeSet::new();
    let parts = [
        ("/page", "text/html; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
        ("/page/style", "text/css; charset=utf-8"),
        ("/page/icon", "image/svg+xml"),
        ("/page/edge", "application/json"),
        ("/page/main", script),
        ("/page/speaker", script),
    ];
    for (path, kind) in parts {
        let got = ask(&world, &format!("GET {path} HTTP/1.1")).await;
        assert_eq!(got.status, 200, "{path}");
        for (name, value) in [
            ("content-type", kind),
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "private, no-cache"),
        ] {
            assert_eq!(got.header(name).as_deref(), Some(value), "{path}: {name}");
        }
        assert_eq!(
            got.header("content-length"),
            Some(got.body.len().to_string())
        );
        assert_eq!(got.header("access-control-allow-origin"), None);
        let tag = got.header("etag").unwrap();
        let head = format!("HEAD {path} HTTP/1.1");
        let asked = ask(&world, &head).await;
        assert_eq!((asked.status, asked.body.as_str()), (200, ""));
        assert_eq!(asked.header("content-length"), got.header("content-length"));
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
            let head = format!("GET {path} HTTP/1.1\r\nIf-None-Match: {known}");
            let same = ask(&world, &head).await;
            assert_eq!((same.status, same.body.as_str()), (304, ""), "{known}");
            assert_eq!(same.header("etag").as_ref(), Some(&tag));
        }
        let head = format!("GET {path} HTTP/1.1\r\nIf-None-Match: \"other\"");
        assert_eq!(ask(&world, &head).await.status, 200);
        assert!(tags.insert(tag), "{path} has the tag of another part");
    }
    // It lies at two paths, and each document names the parts below its own.
    for (path, part) in [("/page", "src=\"/page/main\""), ("/", "src=\"/main\"")] {
        let got = ask(&world, &format!("GET {path} HTTP/1.1")).await;
        assert!(got.body.contains(part), "{path}");
    }
    let head = "POST /page HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 0";
    let refused = ask(&world, head).await;
    assert_eq!(
        (refused.status, refused.header("allow").as_deref()),
        (405, Some("GET, HEAD"))
    );
    for path in ["/page/nothing", "/page/page", "/nothing"] {
        ask(&world, &format!("GET {path} HTTP/1.1"))
            .await
            .is(404, "not_found");
    }
}

#[tokio::test]
async fn the_page_is_told_of_the_routes_that_it_opens_and_of_no_secret() {
    let world = World::with(page("admit = [\"anyone\"]")).await;
    let told = ask(&world, "GET /page/edge HTTP/1.1").await.body;
    let told: Value = serde_json::from_str(&told).unwrap();
    let [route] = told["routes"].as_array().unwrap().as_slice() else {
        panic!("one route is opened: {told}");
    };
    assert_eq!(route["path"], "/ws");
    assert_eq!(route["kind"], "voice-live");
    assert_eq!(route["key"], json!(["subprotocol"]));
    assert_eq!(route["subprotocols"], json!(["realtime"]));
    assert_eq!(told["sessions"], Value::Null);
    let wrong = told["endings"].as_array().unwrap();
    let wrong = wrong
        .iter()
        .find(|row| row["word"] == "code_wrong")
        .unwrap();
    assert_eq!(wrong["close"], 4403);
}

/// The demo, while somebody looks at its page.
struct Demo {
    child: Child,
    page: String,
    key: String,
    roots: PathBuf,
}

impl Demo {
    async fn start() -> Demo {
        let mut child = tonegate()
            .arg("demo")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = String::new();
        while !told.contains("model=\"gpt-realtime\")") {
            let line = within("a line", lines.next_line()).await.unwrap();
            told.push_str(&line.expect("the demo ended"));
            told.push('\n');
        }
        // Nobody reads what comes after that, of which there is none.
        let line = told
            .lines()
            .find(|line| line.contains("/page#key="))
            .unwrap();
        let (page, key) = line.trim().split_once("#key=").unwrap();
        let roots = told
            .lines()
            .find_map(|line| line.trim().strip_prefix("proceed, or have it trust "));
        let roots = roots
            .unwrap()
            .trim_end_matches(". The key stays in the page.");
        Demo {
            child,
            page: page.to_owned(),
            key: key.to_owned(),
            roots: PathBuf::from(roots),
        }
    }

    async fn end(mut self) {
        let id = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(id, Signal::INT).unwrap();
        let status = within("the end", self.child.wait()).await.unwrap();
        assert!(status.success());
    }
}

/// Whether the timeline has these lines, in this order.
fn told(part: &Value, expected: &[(&str, &str)]) {
    let lines = part["lines"].as_array().unwrap();
    let mut lines = lines.iter();
    for (side, what) in expected {
        let found = lines.any(|line| line[0] == *side && line[1].as_str().unwrap().contains(what));
        assert!(found, "no line {side:?} {what:?}: {part}");
    }
}

/// No part went wrong, and a browser has nothing to complain of.
fn all_went_well(seen: &Value) {
    let parts = seen.as_object().unwrap();
    assert_eq!(parts.len(), 9, "{seen}");
    for (name, part) in parts {
        assert_eq!(part["error"], Value::Null, "{name}");
        // Refusals are what these are about; of all else a browser has nothing to complain of.
        let complaints = part["complaints"].as_array().unwrap();
        let policy = |complaint: &&Value| complaint.as_str().unwrap().contains("Policy");
        assert!(
            !complaints.iter().any(|complaint| policy(&complaint)),
            "{name}: {part}"
        );
        assert!(complaints.is_empty() || name == "refused", "{name}: {part}");
    }
}

/// What it shows as it opens, and what of it the keyboard reaches.
fn opens_well(seen: &Value, page: &str) {
    let opens = &seen["opens"];
    assert_eq!(opens["address"], page, "the key stays in the address");
    assert_eq!(opens["stored"], "[{},{},\"\"]", "something is stored");
    assert_eq!(opens["secure"], true);
    assert_eq!(
        opens["cards"],
        json!(["Talk", "Phone", "Timeline", "Time to an answer", "Sessions"])
    );
    for lack in [&opens["nameless"], &opens["faint"], &seen["talks"]["faint"]] {
        assert_eq!(*lack, json!([]), "{seen}");
    }
    let tabs: Vec<&str> = seen["tabs"]["seen"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for place in [
        "key-forget",
        "talk-start",
        "phone-dial",
        "5",
        "timeline-log",
        "transcript",
    ] {
        assert!(
            tabs.contains(&place),
            "the keyboard does not reach {place}: {tabs:?}"
        );
    }
}

/// Who talks from the page, and who may not.
fn talks(seen: &Value) {
    let answer = [
        ("You", "Connects to /talk"),
        ("Edge", "Answered the upgrade"),
        ("Agent", "The session is set up"),
        ("You", "The first words"),
        ("Agent", "The answer begins"),
        ("You", "Hangs up"),
    ];
    for part in ["talks", "speaks"] {
        told(&seen[part], &answer);
        // Clocks of two machines, were it not one: they agree to some milliseconds.
        told(&seen[part], &[("Edge", "The first audio to the caller")]);
        assert_eq!(seen[part]["note"], "", "{part}");
    }
    assert!(
        seen["talks"]["plot"]
            .as_str()
            .unwrap()
            .contains("the last after")
    );
    assert!(
        seen["denied"]["note"]
            .as_str()
            .unwrap()
            .contains("not allowed")
    );
}

/// Calls from the page, with a wrong code and with the right one.
fn dials(seen: &Value) {
    let wrong = [
        ("You", "ACS dials"),
        ("Edge", "Admitted the call"),
        ("Edge", "gate is pending"),
        ("You", "6 keys pressed"),
        ("Edge", "Heard 6 keys"),
        ("Edge", "The gate rejected"),
        ("You", "Ended the session: code_wrong"),
    ];
    told(&seen["mistypes"], &wrong);
    told(&seen["mistypes"], &[("Edge", "4403 code_wrong")]);
    let right = [
        ("Edge", "gate is pending"),
        ("Edge", "Heard 6 keys"),
        ("Edge", "The gate opened"),
        ("You", "The caller has spoken"),
        ("Agent", "The answer begins"),
        ("You", "Hangs up"),
    ];
    told(&seen["calls"], &right);
    assert_eq!(seen["calls"]["told"], json!([]), "the code came back");
    assert!(
        seen["calls"]["wide"].as_u64().unwrap() <= 320,
        "{}",
        seen["calls"]
    );
}

/// What has ended stands in the list.
fn lists(seen: &Value) {
    let rows: Vec<&str> = seen["lists"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for (route, ending) in [
        ("phone", "code_wrong, by the client"),
        ("phone", "client_closed, by the client"),
        ("talk", "client_closed, by the client"),
    ] {
        let is = |row: &&str| row.contains(&format!("\t{route}\t")) && row.contains(ending);
        assert!(rows.iter().any(is), "{route} {ending}: {rows:?}");
    }
}

#[tokio::test]
async fn people_talk_dial_and_look_at_the_page_in_a_real_browser() {
    let demo = Demo::start().await;
    let mut run = Command::new(tool("bin/node"));
    run.arg(root().join("tests/sdk/browser/people.mjs"))
        .arg("--roots")
        .arg(&demo.roots)
        .args(["--page", &demo.page, "--key", &demo.key]);
    let seen = tells(&mut run, Duration::from_secs(100)).await;
    let page = demo.page.clone();
    demo.end().await;
    all_went_well(&seen);
    opens_well(&seen, &page);
    talks(&seen);
    dials(&seen);
    lists(&seen);
    assert!(
        seen["refused"]["note"]
            .as_str()
            .unwrap()
            .contains("unauthenticated")
    );
}
