//! The verbs as processes: what they print, and what their exit codes say.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::world::{run, shown, tonegate};
use crate::child::Child;
use crate::harness::{World, text, within};

fn admin(world: &World) -> String {
    format!("http://{}", world.edge().admin())
}

/// A verb, at the listener of that address.
async fn verb(url: &str, words: &[&str]) -> (i32, String, String) {
    run(&mut tonegate(&[words, &["--admin", url]].concat())).await
}

/// What is looked at is told to people, and to scripts.
async fn looks(url: &str, id: &str) {
    let (code, out, err) = verb(url, &["sessions", "list"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("ID ") && lines[1].starts_with(id),
        "{out}"
    );
    assert!(!out.contains('\u{1b}'), "no colour");
    let (code, out, _) = verb(url, &["sessions", "list", "--json", "--state", "running"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["sessions"][0]["id"]), (0, &json!(id)));
    let (code, out, _) = verb(url, &["sessions", "show", id]).await;
    assert!(code == 0 && out.contains("upstream    voice"), "{out}");
    for (words, has) in [
        (&["status"][..], "ready       yes"),
        (&["upstreams"], "voice"),
        (&["settings"], "listen    127.0.0.1:0"),
    ] {
        let (code, out, err) = verb(url, words).await;
        assert!(code == 0 && out.contains(has), "{words:?} {out} {err}");
        let (code, out, _) = verb(url, &[words, &["--json"]].concat()).await;
        assert!(code == 0 && serde_json::from_str::<Value>(&out).unwrap().is_object());
    }
}

/// What did not work has a code of its own, and says why; this session has been ended.
async fn fails(url: &str, id: &str) {
    let unknown = "0123456789abcdef01234567";
    for (words, code, says) in [
        (&["sessions", "end", id][..], 1, "revoked, by the edge"),
        (
            &["sessions", "show", unknown],
            3,
            "another edge may have it",
        ),
        (
            &["sessions", "tail", unknown],
            3,
            "another edge may have it",
        ),
        (&["sessions", "end", unknown], 3, "another edge may have it"),
        (&["sessions", "show", "x"], 2, "24 hexadecimal digits"),
        (&["sessions", "list", "--reason", "odd"], 1, "reason:"),
        (&["drain", "--grace", "25h"], 1, "grace:"),
        (
            &["revoke", "--lift", "--key", "nobody"],
            3,
            "nothing of that name",
        ),
    ] {
        let (told, out, err) = verb(url, words).await;
        assert_eq!((told, out.as_str()), (code, ""), "{words:?} {err}");
        assert!(err.contains(says), "{words:?} {err}");
    }
}

#[tokio::test]
async fn c18_verbs_tell_people_and_scripts_the_same_and_end_with_a_code_that_says_why() {
    let world = World::usual().await;
    let url = admin(&world);
    let (mut caller, id) = shown(&world, "sim-echo").await;
    looks(&url, &id).await;
    let mut tail = tonegate(&["sessions", "tail", &id, "--json", "--admin", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = async || -> Option<Value> {
        let line = within("a line of the tail", lines.next_line()).await;
        Some(serde_json::from_str(&line.unwrap()?).unwrap())
    };
    assert_eq!(next().await.unwrap()["event"], "begin");
    // It looks on by now.
    caller.send(text("{\"type\":\"response.create\"}")).await;
    caller.next().await.unwrap();
    assert_eq!(next().await.unwrap()["type"], "response.create");
    let (code, out, err) = verb(&url, &["sessions", "end", &id]).await;
    assert_eq!(
        (code, out.as_str()),
        (0, format!("ending  {id} as revoked\n").as_str()),
        "{err}"
    );
    assert_eq!(caller.closed().await, (Some(4441), "revoked".to_owned()));
    let mut last = Value::Null;
    while let Some(told) = next().await {
        last = told;
    }
    assert_eq!(
        (&last["event"], &last["reason"]),
        (&json!("ended"), &json!("revoked"))
    );
    let status = within("the end of the tail", tail.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    world.settles().await;
    fails(&url, &id).await;
}

#[tokio::test]
async fn c18_an_edge_that_is_not_there_or_not_ready_has_a_code_of_its_own() {
    // A port that nobody listens on: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let (code, out, err) = run(&mut tonegate(&["status", "--admin", &url])).await;
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    assert_eq!(err.lines().count(), 1);
    assert!(err.contains("is the edge running"), "{err}");
    for bad in [
        "ftp://127.0.0.1:1",
        "http://127.0.0.1",
        "http://127.0.0.1:1/x",
    ] {
        let (code, _, err) = run(&mut tonegate(&["status", "--admin", bad])).await;
        assert!(code != 0 && err.contains("--admin"), "{bad} {err}");
    }
    let world = World::usual().await;
    let url = admin(&world);
    let caller = world.call("sim-echo").await;
    let (code, out, err) = run(&mut tonegate(&[
        "drain", "--grace", "1h", "--json", "--admin", &url,
    ]))
    .await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["sessions"], 1);
    let (code, out, err) = run(&mut tonegate(&["status", "--json", "--admin", &url])).await;
    assert_eq!(
        (code, err.as_str()),
        (5, "tonegate: the edge is not ready: draining\n")
    );
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap()["stage"],
        "draining"
    );
    drop(caller);
}

#[tokio::test]
async fn c18_the_settings_say_where_the_listener_is() {
    let world = World::usual().await;
    let place = format!("admin = \"{}\"", world.edge().admin());
    let file = world.folder.join("operator.toml");
    let settings = world.settings.replace("admin = \"127.0.0.1:0\"", &place);
    std::fs::write(&file, settings).unwrap();
    let (code, out, err) = run(tonegate(&["status", "--config"]).arg(&file)).await;
    assert_eq!(code, 0, "{out} {err}");
}

#[tokio::test]
async fn a39_c18_settings_are_read_anew_for_an_operator_who_is_told_what_came_of_it() {
    let mut world = World::usual().await;
    // Settings that come from no file of the edge's own.
    let url = admin(&world);
    let (code, out, err) = run(&mut tonegate(&["reload", "--admin", &url])).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("no files"), "{err}");
    let child = Child::start(&mut world, "true");
    let url = format!("http://{}", child.admin());
    let (code, out, err) = run(&mut tonegate(&["reload", "--admin", &url])).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "unchanged  generation 1\n"),
        "{err}"
    );
    let file = world.folder.join("edge.toml");
    let more = world
        .settings
        .replace("name = \"tester\"", "name = \"tested\"");
    std::fs::write(&file, more).unwrap();
    // The edge may have seen by itself that the file is another one.
    let (code, out, err) = run(&mut tonegate(&["reload", "--json", "--admin", &url])).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["generation"], 2);
    std::fs::write(&file, "[server]\nlisten = 7").unwrap();
    let (code, out, err) = run(&mut tonegate(&["reload", "--admin", &url])).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("listen"), "{err}");
    let (_, out, _) = run(&mut tonegate(&["status", "--json", "--admin", &url])).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["generation"], 2);
    let (_, out, _) = run(&mut tonegate(&["settings", "--admin", &url])).await;
    assert!(out.contains("tested") && !out.contains("tester"), "{out}");
}

#[tokio::test]
async fn c18_what_verbs_print_scripts_can_read() {
    let world = World::usual().await;
    let file = world.folder.join("edge.toml");
    let json = async |command: &mut tokio::process::Command| -> (i32, Value) {
        let (code, out, err) = run(command).await;
        (
            code,
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {err}")),
        )
    };
    let (code, told) = json(tonegate(&["check", "--json", "--config"]).arg(&file)).await;
    assert_eq!((code, &told["ok"]), (0, &json!(true)));
    assert!(told["settings"].as_array().unwrap().len() > 5);
    let wrong = world.folder.join("wrong.toml");
    std::fs::write(&wrong, world.settings.replace("admin = ", "amdin = ")).unwrap();
    let (code, told) = json(tonegate(&["check", "--json", "--config"]).arg(&wrong)).await;
    assert_eq!((code, &told["ok"]), (1, &json!(false)));
    assert!(told["error"].as_str().unwrap().contains("amdin"), "{told}");
    let (code, told) = json(&mut tonegate(&["key", "operator", "--json"])).await;
    let key = told["key"].as_str().unwrap();
    let digest = tonegate::secret::Digest::of(key).to_hex();
    assert_eq!(
        (code, &told["name"], &told["sha256"]),
        (0, &json!("operator"), &json!(digest))
    );
}
