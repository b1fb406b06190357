//! A real browser: a page in a headless Chromium opens `new WebSocket(proxyUrl)` with the URLs of the
//! old proxy's guide, over TLS with a private authority, and talks as its client library does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::voice_live::connection::Connection;

use crate::harness::{KEY, UPSTREAM_KEY, Wish, World};
use crate::program::{root, tells, tool};
use crate::tokens::{Issued, TENANT, VOICE_LIVE};

/// Serves page.html under two names, which are two origins. Ends with the test's runtime.
struct Site {
    port: u16,
}

impl Site {
    async fn open() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = fs::read_to_string(root().join("tests/sdk/browser/page.html")).unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{page}",
            page.len()
        );
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                // A browser opens sockets that it may use later: none waits for another.
                tokio::spawn(async move {
                    let mut request = vec![0; 8192];
                    if socket.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let _ = socket.write_all(answer.as_bytes()).await;
                        let _ = socket.shutdown().await;
                    }
                });
            }
        });
        Site { port }
    }

    /// The origin that the edge knows.
    fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The same page from an origin that it does not know.
    fn foreign(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A wish for a route that this page alone may enter.
    fn wish(&self, route: &str) -> Wish {
        Wish {
            origins: format!("\"{}\"", self.origin()),
            route: format!("without_origin = false\n{route}"),
            ..Wish::default()
        }
    }
}

/// Runs tasks, a page each, in one browser that trusts `roots`; what the pages returned.
async fn browse(roots: &Path, tasks: &[Value]) -> Vec<Value> {
    let mut run = Command::new(tool("bin/node"));
    run.arg(root().join("tests/sdk/browser/drive.mjs"))
        .arg("--roots")
        .arg(roots)
        .arg(serde_json::to_string(tasks).unwrap());
    let told = tells(&mut run, Duration::from_secs(90)).await;
    let results = told["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), tasks.len());
    results
}

/// A task of the page that the edge knows.
fn task(site: &Site, name: &str, url: &str) -> Value {
    json!({ "page": site.origin(), "do": name, "url": url })
}

/// The page and the upstream agree on what was said and answered, and nobody broke a rule.
fn conversed(told: &Value, seen: &Connection) {
    assert_eq!(told["errors"], json!([]), "{told}");
    let (heard, spoken) = (&told["bytes"], told["spoken"].as_u64().unwrap());
    assert!(heard.as_u64().unwrap() * 10 >= spoken * 8, "{told}");
    assert_eq!(told["received_sha256"], told["expected_sha256"], "{told}");
    assert_eq!(told["received_sha256"], seen.replied.sha256.as_str());
    let close = json!({ "code": 1000, "reason": "done", "clean": true });
    assert_eq!(told["closed"], close);
    assert_eq!(seen.close_received, Some((Some(1000), "done".to_owned())));
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
}

#[tokio::test]
async fn b01_b07_b10_a_page_talks_in_standard_and_avatar_mode_with_the_edges_key() {
    let site = Site::open().await;
    // As the guide has it: the page shows nothing, and the proxy has the key.
    let world = World::with(Wish {
        admit: "\"anyone\"".to_owned(),
        ..site.wish("")
    })
    .await;
    let url = |query: &str| format!("wss://localhost:{}/ws?{query}", world.port);
    let tasks = [
        task(&site, "converse", &url("mode=standard&model=gpt-realtime")),
        task(&site, "avatar", &url("mode=avatar&model=sim-echo")),
    ];
    let told = browse(&world.folder.join("ca.pem"), &tasks).await;
    world.settles().await;
    let seen = world.record.connections();
    assert_eq!(seen.len(), 2);
    conversed(&told[0], &seen[0]);
    for seen in &seen {
        assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    }
    assert_eq!(told[1]["same"], true, "{}", told[1]);
    assert!(told[1]["length"].as_u64().unwrap() > 64 * 1024);
}

#[tokio::test]
async fn b06_b07_b09_b11_a_page_talks_with_its_users_token() {
    let site = Site::open().await;
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        upstream_takes_any: true,
        ..site.wish("agents = [\"asst_1\"]\nprojects = [\"support\"]")
    };
    let issued = Issued::with(wish, VOICE_LIVE, "").await;
    let world = &issued.world;
    let mint = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    let token = issued.provider.mint(&mint);
    let url = |query: &str| format!("wss://localhost:{}/ws?{query}", world.port);
    let standard = "mode=standard&model=gpt-realtime";
    let mut vad = task(
        &site,
        "converse",
        &url(&format!("{standard}&token={token}")),
    );
    vad["vad"] = json!(true);
    let agent = format!("mode=agent&agentId=asst_1&projectName=support&token={token}");
    let mut protocol = task(&site, "converse", &url(standard));
    protocol["protocols"] = json!(["realtime", format!("authorization.bearer.{token}")]);
    let tasks = [vad, task(&site, "converse", &url(&agent)), protocol];
    let told = browse(&world.folder.join("ca.pem"), &tasks).await;
    world.settles().await;
    let seen = world.record.connections();
    let targets = [
        "model=gpt-realtime",
        "agent-id=asst_1&agent-project-name=support",
        "model=gpt-realtime",
    ];
    assert_eq!(seen.len(), targets.len());
    for ((told, seen), target) in told.iter().zip(&seen).zip(targets) {
        conversed(told, seen);
        let base = "/voice-live/realtime?api-version=2026-07-15";
        assert_eq!(seen.target, format!("{base}&{target}"));
        let bearer = format!("Bearer {token}");
        assert_eq!(seen.header("authorization").collect::<Vec<_>>(), [&bearer]);
        assert_eq!(seen.header("api-key").count(), 0);
    }
    let agreed: Vec<_> = told.iter().map(|told| &told["protocol"]).collect();
    assert_eq!(agreed, ["", "", "realtime"]);
}

#[tokio::test]
async fn b28_a_page_learns_why_it_was_refused_and_a_foreign_one_does_not_get_in() {
    let site = Site::open().await;
    let wish = Wish {
        credential: format!("{{ caller = true, key = \"{UPSTREAM_KEY}\" }}"),
        upstream_takes_any: true,
        ..site.wish("refuse = \"close\"\nagents = [\"asst_1\"]\nprojects = [\"support\"]")
    };
    let issued = Issued::with(wish, VOICE_LIVE, "").await;
    let world = &issued.world;
    let mint = Mint::entra_v2(&issued.provider.base(), TENANT, VOICE_LIVE);
    let token = issued.provider.mint(&mint);
    let address = format!("wss://localhost:{}", world.port);
    let good = format!("{address}/ws?model=gpt-realtime&token={token}");
    let told_why = [
        (
            format!("{address}/ws?model=gpt-realtime"),
            "a key or a token is needed",
        ),
        (
            format!("{address}/ws?mode=agent&token={KEY}"),
            "Agent mode requires token parameter (MSAL)",
        ),
        (format!("{good}-"), "signature"),
        (good.replace("gpt-realtime", "gpt-5"), "model"),
    ];
    let mut tasks: Vec<_> = told_why
        .iter()
        .map(|(url, _)| task(&site, "knock", url))
        .collect();
    let mut foreign = task(&site, "knock", &good);
    foreign["page"] = json!(site.foreign());
    // No route, no frames: all that a page sees of a status is that there was no upgrade.
    tasks.extend([foreign, task(&site, "knock", &format!("{address}/nowhere"))]);
    let told = browse(&world.folder.join("ca.pem"), &tasks).await;
    for (told, (url, why)) in told.iter().zip(&told_why) {
        let error = told["errors"][0].as_str().unwrap();
        assert!(error.contains(why), "{url}: {told}");
        assert_eq!(told["closed"]["code"], 1008, "{url}: {told}");
    }
    let [.., foreign, nowhere] = &told[..] else {
        unreachable!("six were asked for");
    };
    assert_eq!(foreign["origin"], site.foreign());
    let close = json!({ "code": 1008, "reason": "forbidden", "clean": true });
    assert_eq!(foreign["closed"], close);
    assert_eq!(nowhere["opened"], false);
    assert_eq!(nowhere["closed"]["code"], 1006);
    // A browser that does not trust the edge's authority does not even ask.
    let stranger = Authority::new("another authority");
    let roots = world.folder.join("other.pem");
    fs::write(&roots, stranger.pem()).unwrap();
    let told = browse(&roots, &[task(&site, "knock", &good)]).await;
    assert_eq!(
        (&told[0]["opened"], &told[0]["closed"]["code"]),
        (&json!(false), &json!(1006))
    );
    assert_eq!(world.upstream_total(), 0, "a refused page was dialled for");
}
