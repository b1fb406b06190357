//! The Autobahn cases, through the edge and without it: a sample, or with `make soak` all of them.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tonegate::sim::certificate::Authority;

use crate::harness::{KEY, Wish, World, folder, within};
use crate::program::{python, root, tells, tool};

/// The strict echo with a certificate of `authority`, and its port.
async fn echo(authority: &Authority) -> (Child, u16) {
    let own = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    let folder = folder();
    let (chain, key) = (folder.join("echo.pem"), folder.join("echo.key"));
    std::fs::write(&chain, &own.chain_pem).unwrap();
    std::fs::write(&key, &own.key_pem).unwrap();
    tool("node-relay/node_modules/ws");
    let mut child = Command::new(tool("bin/node"))
        .arg(root().join("tests/autobahn/echo.mjs"))
        .args([&chain, &key])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within("the echo", lines.next_line()).await.unwrap();
    let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    (child, line["port"].as_u64().unwrap().try_into().unwrap())
}

#[tokio::test]
async fn b30_the_autobahn_cases_end_as_they_do_without_the_edge() {
    let authority = Authority::new("test authority");
    let (_echo, port) = echo(&authority).await;
    let wish = Wish {
        // The cases send more than voice does, and binary, and whatever pleases them.
        route: "lock_models = false\nlimits = { client_message = \"16MiB\" }".to_owned(),
        upstreams_first: vec!["echo"],
        more: format!(
            "[upstreams.echo]\nkind = \"voice-live\"\nurl = \"wss://localhost:{port}\"\n\
             credential = {{ key = \"the-echo-looks-at-none\" }}\nroots = \"ca.pem\"\n"
        ),
        ..Wish::default()
    };
    let identity = authority.issue(&["localhost"]).unwrap();
    let world = World::with_upstream_identity(wish, authority, identity).await;
    tool("kosoku/bin/kosoku");
    let mut run = python();
    run.arg(root().join("tests/autobahn/run.py"))
        .arg("--roots")
        .arg(world.folder.join("ca.pem"))
        .args(["--echo", &port.to_string()])
        .args(["--edge", &world.port.to_string()])
        .args(["--target", "/ws?model=sim-echo", "--key", KEY]);
    let whole = std::env::var_os("TONEGATE_SOAK").is_some();
    if !whole {
        run.arg("--sample");
    }
    let told = tells(&mut run, Duration::from_secs(600)).await;
    println!("{told}");
    let cases = told["cases"].as_u64().unwrap();
    assert!(if whole { cases == 301 } else { cases > 50 }, "{told}");
    // All of them went through the edge.
    let admitted = "tonegate_requests_total{route=\"browser\",result=\"admitted\"}";
    assert_eq!(world.count(admitted), cases);
    assert_eq!(world.upstream_total(), 0, "the simulator was not asked");
}
