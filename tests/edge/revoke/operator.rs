//! What an operator says to the admin listener, in bytes and by `tonegate revoke`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::world::{is_closed, is_served, post, send};
use crate::harness::{World, within};
use crate::metrics::get;
use crate::program::{ends_well, tells};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a35_one_edge_without_redis_takes_back_and_tells_what_it_took() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let caller = world.call("sim-echo").await;
    let since = Instant::now();
    let (answer, told) = post(admin, "/revoke", &json!({"key": "tester", "for": "2h"})).await;
    assert_eq!(answer, 200, "{told}");
    assert_eq!(
        (&told["kind"], &told["name"]),
        (&json!("key"), &json!("tester"))
    );
    assert_eq!(
        (&told["ended_here"], &told["written"]),
        (&json!(1), &json!(true))
    );
    is_closed(caller, since).await;
    let until = humantime::parse_rfc3339(told["until"].as_str().unwrap()).unwrap();
    let left = until.duration_since(std::time::SystemTime::now()).unwrap();
    assert!((7100..=7200).contains(&left.as_secs()), "{left:?}");
    world
        .try_call("sim-echo")
        .await
        .err()
        .unwrap()
        .is(403, "revoked");
    let (status, list) = get(admin, "/revocations").await.unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let wanted = json!([{"kind": "key", "name": "tester", "until": told["until"]}]);
    assert_eq!((status, &list["revocations"]), (200, &wanted));
    let (answer, _) = post(admin, "/lift", &json!({"key": "tester"})).await;
    assert_eq!(answer, 200);
    world.still_serves().await;
}

#[tokio::test]
async fn a35_s37_a_mistake_of_an_operator_is_told_by_its_field_and_takes_nothing_back() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let mut caller = world.call("sim-echo").await;
    for (order, named) in [
        (json!({}), "one of session"),
        (json!({"sbuject": "users:a"}), "sbuject"),
        (json!({"key": "tester", "tenant": "t"}), "tenant, key"),
        (json!({"key": "te ster"}), "key:"),
        (json!({"session": "7f0c"}), "session:"),
        (json!({"key": "tester", "for": "0s"}), "for:"),
        (json!({"key": "tester", "for": "soon"}), "for:"),
    ] {
        let (status, told) = post(admin, "/revoke", &order).await;
        let detail = told["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(named), "{order} {told}");
    }
    let good = json!({"key": "tester"}).to_string();
    let json = "application/json";
    // What a page in a browser can send without leave.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        assert_eq!(send(admin, "POST", "/revoke", kind, &good).await.0, 415);
    }
    let large = format!("{{\"subject\": \"{}\"}}", "x".repeat(8000));
    for (method, path, body, status) in [
        ("GET", "/revoke", good.as_str(), 405),
        ("GET", "/lift", good.as_str(), 405),
        ("POST", "/revocations", good.as_str(), 405),
        ("POST", "/metrics", good.as_str(), 405),
        ("POST", "/revoke", large.as_str(), 413),
        ("POST", "/revoke", "{", 400),
        (
            "POST",
            "/lift",
            &json!({"key": "tester", "for": "1h"}).to_string(),
            400,
        ),
        ("POST", "/lift", good.as_str(), 404),
    ] {
        let (told, body) = send(admin, method, path, json, body).await;
        assert_eq!(told, status, "{method} {path} {body}");
    }
    is_served(&mut caller).await;
    let (_, list) = get(admin, "/revocations").await.unwrap();
    assert_eq!(list, "{\"revocations\":[]}\n");
    // Clients have no such paths.
    let request = format!(
        "POST /revoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: {json}\r\nContent-Length: {}\r\n\r\n{good}",
        good.len()
    );
    assert_eq!(world.refused_bytes(request.as_bytes()).await.status, 404);
    is_served(&mut caller).await;
}

fn tonegate(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonegate"));
    let admin = format!("http://{}", world.edge().admin());
    command.args(["revoke", "--admin", &admin]).args(arguments);
    command
}

/// What a command that fails says, and its code.
async fn fails(command: &mut Command) -> (i32, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.unwrap().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn a35_the_command_revokes_lists_and_lifts() {
    let world = World::usual().await;
    let caller = world.call("sim-echo").await;
    let since = Instant::now();
    let key = ["--key", "tester"];
    let told = tells(
        &mut tonegate(&world, &[&key[..], &["--for", "1h", "--json"]].concat()),
        PATIENCE,
    )
    .await;
    assert_eq!(
        (&told["kind"], &told["ended_here"]),
        (&json!("key"), &json!(1))
    );
    is_closed(caller, since).await;
    assert_eq!(world.try_call("sim-echo").await.err().unwrap().status, 403);
    let subject = ["--subject", "users:t/anna"];
    let told = ends_well(&mut tonegate(&world, &subject), PATIENCE).await;
    assert!(
        told.starts_with("revoked  subject users:t/anna until 2"),
        "{told}"
    );
    let list = ends_well(&mut tonegate(&world, &["--list"]), PATIENCE).await;
    let lines: Vec<&str> = list.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].ends_with("  tester") && lines[1].ends_with("  users:t/anna"),
        "{list}"
    );
    ends_well(
        &mut tonegate(&world, &["--lift", "--key", "tester"]),
        PATIENCE,
    )
    .await;
    world.still_serves().await;
    let (code, text) = fails(&mut tonegate(&world, &["--lift", "--key", "tester"])).await;
    assert!(code == 3 && text.contains("nothing of that name"), "{text}");
    let (code, text) = fails(&mut tonegate(&world, &["--session", "7f0c"])).await;
    assert!(code == 1 && text.contains("session: must be 24"), "{text}");
    for wrong in [
        &[][..],
        &["--key", "a", "--tenant", "b"],
        &["--list", "--for", "1h"],
    ] {
        assert_eq!(fails(&mut tonegate(&world, wrong)).await.0, 2, "{wrong:?}");
    }
    let mut nowhere = Command::new(env!("CARGO_BIN_EXE_tonegate"));
    nowhere.args(["revoke", "--admin", "http://127.0.0.1:1", "--key", "a"]);
    let (code, text) = fails(&mut nowhere).await;
    assert!(code == 4 && text.contains("is the edge running"), "{text}");
}

/// A page whose name leads to this machine is of the same origin as the admin listener, to its browser.
#[tokio::test]
async fn a35_s37_no_page_of_a_browser_takes_back_or_lifts_or_looks() {
    let world = World::usual().await;
    let admin = world.edge().admin();
    let asks = async |line: &str, headers: &str| {
        let body = r#"{"key": "tester"}"#;
        let request = format!(
            "{line} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let mut io = TcpStream::connect(admin).await.unwrap();
        io.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = io.read_to_string(&mut answer);
        within("the admin's answer", read).await.unwrap();
        answer[9..12].parse::<u16>().unwrap()
    };
    let port = admin.port();
    let lines = ["POST /revoke", "POST /lift", "GET /revocations"];
    for line in lines {
        for headers in [
            format!("Host: evil.example:{port}\r\n"),
            format!("Host: localhost.evil.example:{port}\r\n"),
            format!("Host: 192.0.2.7:{port}\r\n"),
            format!("Host: 0.0.0.0:{port}\r\n"),
            format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"),
            format!("Host: 127.0.0.1:{port}\r\nOrigin: null\r\n"),
        ] {
            assert_eq!(asks(line, &headers).await, 403, "{line} {headers}");
        }
    }
    world.still_serves().await;
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        for line in lines {
            let headers = format!("Host: {host}:{port}\r\n");
            assert_eq!(asks(line, &headers).await, 200, "{line} {host}");
        }
    }
}
