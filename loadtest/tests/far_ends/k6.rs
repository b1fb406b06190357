//! The k6 script of numbered messages, with k6 itself: that it passes, and that each threshold fails it.
//! The one with telephone calls is tried in the edge's own tests.

use std::process::Command;

use crate::edge::{Edge, KEY, root};
use crate::program::{Served, file, load};

/// What k6 ends with when a threshold is crossed.
const CROSSED: i32 = 99;

fn k6(edge: &Edge, key: &str, more: &[&str]) -> (Option<i32>, String) {
    let k6 = root().join(".tools/bin/k6");
    assert!(k6.exists(), "no k6: make tools");
    let url = format!("URL=wss://localhost:{}", edge.address.port());
    let output = Command::new(k6)
        .args([
            "run",
            "--quiet",
            "--no-usage-report",
            "-e",
            &url,
            "-e",
            &format!("KEY={key}"),
        ])
        .args(["-e", "VUS=3", "-e", "SECONDS=1"])
        .args(more.iter().flat_map(|name| ["-e", name]))
        .arg(root().join("loadtest/k6/voice.js"))
        .env("SSL_CERT_FILE", file("ca.pem"))
        .output()
        .expect("a program");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code(), told)
}

#[test]
fn k6_passes_and_every_threshold_of_it_can_fail() {
    let edge = Edge::start();
    let echo = edge.echo;
    let words = format!("echo --echo-listen {echo} --certificate {{leaf.pem}} --key {{leaf.key}}");
    let _echo = Served::start(&mut load(&words));
    // The machine of the tests is busy.
    let patient = ["ROUND_TRIP_MS=10000", "LATE_MS=10000", "CONNECT_MS=10000"];
    let (code, told) = k6(&edge, KEY, &patient);
    assert_eq!(code, Some(0), "{told}");
    // Nothing is quicker than at once.
    for name in ["ROUND_TRIP_MS", "LATE_MS", "CONNECT_MS"] {
        let strict = format!("{name}=0");
        let rest = patient.iter().filter(|wide| !wide.starts_with(name));
        let flags: Vec<&str> = rest.copied().chain([strict.as_str()]).collect();
        let (code, told) = k6(&edge, KEY, &flags);
        assert_eq!(code, Some(CROSSED), "{name}: {told}");
    }
    let (code, told) = k6(&edge, "another key", &patient);
    assert_eq!(code, Some(CROSSED), "{told}");
    assert!(told.contains("voice_refused"), "{told}");
}
