//! The simulated issuer and the verb that orders from it, as programs.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::harness::{World, within};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

fn tonegate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonegate"));
    command.args(args).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn a_token_is_made_over_tls_and_printed_alone() {
    let world = World::usual().await;
    let file = |name: &str| Path::to_str(&world.folder.join(name)).unwrap().to_owned();
    let (chain, key, roots) = (file("edge.pem"), file("edge.key"), file("ca.pem"));
    let mut issuer = tonegate(&["sim", "issuer", "--certificate", &chain, "--key", &key])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(issuer.stdout.take().unwrap()).lines();
    let line = within("the issuer", lines.next_line()).await.unwrap();
    let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
    assert_eq!(line["event"], "listening");
    let port = line["address"].as_str().unwrap().rsplit(':').next();
    let base = format!("https://localhost:{}", port.unwrap());
    assert_eq!(line["base"], base);
    let mut order = vec!["token", "mint", "--issuer", &base, "--tenant", TENANT];
    order.extend(["--audience", "api://media-edge", "--roots", &roots]);
    let minted = within("the token", tonegate(&order).output())
        .await
        .unwrap();
    assert!(minted.status.success());
    let out = String::from_utf8(minted.stdout).unwrap();
    let parts: Vec<&str> = out.trim_end().split('.').collect();
    assert_eq!((parts.len(), out.lines().count()), (3, 1), "{out}");
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], format!("{base}/{TENANT}/v2.0"));
    order.truncate(order.len() - 2);
    let refused = within("a refusal", tonegate(&order).output())
        .await
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(refused.stdout, b"");
    let id = Pid::from_raw(issuer.id().unwrap().cast_signed()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let status = within("the end", issuer.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn the_issuer_listens_on_loopback_only() {
    let args = ["sim", "issuer", "--listen", "0.0.0.0:0"];
    let refused = within("a refusal", tonegate(&args).output()).await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("loopback")
    );
}
