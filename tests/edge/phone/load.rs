//! The k6 script with calls that dial: small counts, and that it fails when it should.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use super::world::{Phone, signed};
use crate::harness::PATIENCE;
use crate::program::{ends_well, root, tool};

fn k6(phone: &Phone, calls: &[Value], more: &[&str]) -> Command {
    let file = phone.world.folder.join("calls.json");
    std::fs::write(&file, Value::from(calls).to_string()).unwrap();
    let mut run = Command::new(tool("bin/k6"));
    run.args(["run", "--quiet", "--no-usage-report", "-e"])
        .arg(format!("CALLS={}", Path::display(&file)))
        .args(["-e", "SECONDS=1"])
        .args(more)
        .arg(root().join("loadtest/k6/acs-call.js"))
        .env("SSL_CERT_FILE", phone.world.folder.join("ca.pem"));
    run
}

/// A call of a caller of its own; the key of `stored` is in the store.
async fn call(phone: &Phone, number: u32, stored: &str, dials: &str) -> Value {
    let ani = format!("+1555123456{number}");
    phone.stores(&ani, stored).await;
    let signed = tonegate::admission::media_url::Signed {
        ani: tonegate::ids::PhoneNumber::new(&ani),
        ..signed(&format!("k6-{number}"))
    };
    json!({"url": phone.url(&signed), "token": phone.token(), "ani": ani, "code": dials})
}

#[tokio::test]
async fn k6_makes_calls_that_dial_and_every_one_gets_its_agent() {
    let phone = Phone::usual().await;
    let mut calls = Vec::new();
    for number in 0..3 {
        calls.push(call(&phone, number, "823", "823").await);
    }
    let mut wrong = call(&phone, 9, "823", "824825826").await;
    wrong["ends"] = json!(4403);
    calls.push(wrong);
    ends_well(&mut k6(&phone, &calls, &[]), PATIENCE).await;
    for (result, count) in [("authorised", 3), ("rejected", 1)] {
        let line = format!("tonegate_gates_total{{route=\"phone\",result=\"{result}\"}}");
        assert_eq!(phone.world.count(&line), count, "{result}");
    }
    assert_eq!(phone.world.upstream_total(), 3);
    phone.world.settles().await;
}

#[tokio::test]
async fn k6_fails_when_a_call_is_refused_or_closed() {
    let phone = Phone::usual().await;
    let refused =
        json!({"url": phone.url(&signed("c1")), "token": "none", "ani": "+1", "code": "823"});
    let closed = call(&phone, 1, "823", "824825826").await;
    for calls in [refused, closed] {
        let ran = k6(&phone, &[calls], &["-e", "BY=tones"])
            .kill_on_drop(true)
            .output();
        let ran = tokio::time::timeout(PATIENCE, ran).await.unwrap().unwrap();
        // What k6 ends with when a threshold is crossed.
        assert_eq!(ran.status.code(), Some(99), "{ran:?}");
    }
}
