//! Beside the Node relay that the edge replaces: every row of what was measured of the old one.

use std::fs;
use std::time::Duration;

use tonegate::sim::certificate::Authority;

use crate::harness::folder;
use crate::program::{ends_well, python, root, tool};

#[tokio::test]
async fn b30_the_edge_does_what_the_node_relay_does_not() {
    // The script looks for them itself; without them the test is to say what is missing.
    tool("bin/node");
    tool("node-relay/node_modules/ws");
    let folder = folder();
    let authority = Authority::new("test authority");
    let own = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("edge.pem"), &own.chain_pem).unwrap();
    fs::write(folder.join("edge.key"), &own.key_pem).unwrap();
    let mut run = python();
    run.arg(root().join("loadtest/compare/node/beside.py"))
        .args(["--reduced", "--tonegate", env!("CARGO_BIN_EXE_tonegate")])
        .arg("--certificates")
        .arg(&folder);
    let table = ends_well(&mut run, Duration::from_secs(180)).await;
    assert!(table.matches("\n| ").count() > 20, "{table}");
    fs::remove_dir_all(&folder).unwrap();
}
