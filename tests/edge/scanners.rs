//! Scanners of TLS and slow attacks as others run them: sslyze, testssl.sh, slowhttptest (installed by
//! `tests/tools/install.sh`).

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::harness::{Caller, PATIENCE, Wish, World, text};

/// A scanner takes longer than anything else here, on a machine that has other things to do.
const SCAN: Duration = Duration::from_secs(180);

fn tool(path: &str) -> Command {
    let mut command = match path.strip_prefix(".tools/") {
        Some(_) => Command::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)),
        None => Command::new(path),
    };
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

async fn done(mut command: Command) -> String {
    let output = tokio::time::timeout(SCAN, command.output())
        .await
        .expect("the scanner ends")
        .expect("the scanner is installed: tests/tools/install.sh");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{told}{:?}",
        String::from_utf8_lossy(&output.stderr)
    );
    told
}

/// Names of the suites that a version was agreed on with.
fn suites<'a>(scan: &'a Value, version: &str) -> Vec<&'a str> {
    let accepted = &scan[version]["result"]["accepted_cipher_suites"];
    let accepted = accepted
        .as_array()
        .unwrap_or_else(|| panic!("{version}: {}", scan[version]));
    let name = |of: &'a Value| of["cipher_suite"]["name"].as_str().unwrap();
    accepted.iter().map(name).collect()
}

#[tokio::test]
async fn s26_g16_sslyze_finds_nothing_but_that_it_does_not_know_the_tests_authority() {
    let world = World::usual().await;
    let report = world.folder.join("sslyze.json");
    let mut command = tool(".tools/sslyze/bin/sslyze");
    command.arg(format!("--json_out={}", report.display()));
    command.args(SSLYZE.split(' '));
    command
        .arg("--certinfo_ca_file")
        .arg(world.folder.join("ca.pem"));
    command.arg(format!("localhost:{}", world.port));
    done(command).await;
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let server = &report["server_scan_results"][0];
    assert_eq!(server["scan_status"], "COMPLETED", "{server}");
    let scan = &server["scan_result"];
    for (name, part) in scan.as_object().unwrap() {
        let status = part["status"].as_str().unwrap();
        let is_looked_at = ["COMPLETED", "NOT_SCHEDULED"].contains(&status);
        assert!(is_looked_at, "{name}: {part}");
    }
    has_good_suites(scan);
    has_no_known_flaw(scan);
    is_trusted_by_its_own_authority(&scan["certificate_info"]["result"]);
    world.still_serves().await;
}

const SSLYZE: &str = "--sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --reneg --early_data \
    --heartbleed --openssl_ccs --robot --compression --fallback --elliptic_curves --resum --ems --certinfo";

/// 1.2 and 1.3 with forward secrecy and suites that authenticate what they encrypt.
fn has_good_suites(scan: &Value) {
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        let accepted = suites(scan, &format!("{version}_cipher_suites"));
        assert!(accepted.is_empty(), "{version}");
    }
    let is_aead = |name: &&str| {
        let aeads = ["_GCM_", "_CHACHA20_POLY1305_"];
        aeads.iter().any(|aead| name.contains(aead))
    };
    let older = suites(scan, "tls_1_2_cipher_suites");
    let newer = suites(scan, "tls_1_3_cipher_suites");
    assert_eq!((older.len(), newer.len()), (3, 3), "{older:?} {newer:?}");
    assert!(
        older.iter().all(|name| name.contains("_ECDHE_")),
        "{older:?}"
    );
    assert!(
        older.iter().chain(&newer).all(is_aead),
        "{older:?} {newer:?}"
    );
    let curves = &scan["elliptic_curves"]["result"]["supported_curves"];
    let curves = curves.as_array().unwrap().iter();
    let curves: Vec<_> = curves
        .map(|curve| curve["name"].as_str().unwrap())
        .collect();
    assert_eq!(curves, ["X25519", "secp256r1", "secp384r1"]);
}

fn has_no_known_flaw(scan: &Value) {
    let renegotiation = "session_renegotiation";
    for (part, field, wanted) in [
        ("tls_compression", "supports_compression", false),
        ("tls_1_3_early_data", "supports_early_data", false),
        (
            "openssl_ccs_injection",
            "is_vulnerable_to_ccs_injection",
            false,
        ),
        ("tls_fallback_scsv", "supports_fallback_scsv", true),
        ("heartbleed", "is_vulnerable_to_heartbleed", false),
        (renegotiation, "supports_secure_renegotiation", true),
        (
            renegotiation,
            "is_vulnerable_to_client_renegotiation_dos",
            false,
        ),
        ("tls_extended_master_secret", "supports_ems_extension", true),
    ] {
        assert_eq!(scan[part]["result"][field], wanted, "{part}");
    }
    let robot = &scan["robot"]["result"]["robot_result"];
    assert_eq!(robot, "NOT_VULNERABLE_RSA_NOT_SUPPORTED");
}

fn is_trusted_by_its_own_authority(certificate: &Value) {
    let deployments = certificate["certificate_deployments"].as_array().unwrap();
    assert_eq!(deployments.len(), 1);
    let deployed = &deployments[0];
    assert_eq!(deployed["received_chain_has_valid_order"], true);
    // The one finding that there may be: whom the world trusts does not know the test's authority.
    for validated in deployed["path_validation_results"].as_array().unwrap() {
        let by = validated["trust_store"]["name"].as_str().unwrap();
        let is_trusted = validated["was_validation_successful"].as_bool().unwrap();
        assert_eq!(is_trusted, by.contains("Supplied"), "{by}");
    }
}

/// In full only: it takes half a minute.
#[tokio::test]
async fn s26_g16_testssl_finds_nothing_in_protocols_suites_and_known_attacks() {
    if !crate::soak::is_on() {
        return;
    }
    let world = World::usual().await;
    let report = world.folder.join("testssl.json");
    let mut command = tool("testssl");
    command.args([
        "--quiet",
        "--color",
        "0",
        "--warnings",
        "batch",
        "-p",
        "-P",
        "-U",
    ]);
    command
        .arg("--jsonfile")
        .arg(&report)
        .arg(format!("localhost:{}", world.port));
    // Its status counts what it could not look at, too.
    let ended = tokio::time::timeout(2 * SCAN, command.output()).await;
    ended.expect("it ends").expect("testssl is installed");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let findings = report.as_array().unwrap();
    assert!(findings.len() > 20, "{report}");
    let is_finding = |of: &&Value| !["OK", "INFO"].contains(&of["severity"].as_str().unwrap());
    // Who has no hardware for AES chooses ChaCha20: all that is on offer is good, so the client chooses.
    // And what testssl.sh itself lacks is no finding.
    let is_known = |of: &&Value| of["id"] == "cipher_order" || of["id"] == "engine_problem";
    let left: Vec<_> = findings
        .iter()
        .filter(is_finding)
        .filter(|of| !is_known(of))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    world.still_serves().await;
}

/// Forty connections at once, each in the way that the flag says.
fn attack(world: &World, how: &str) -> Child {
    let mut command = tool("slowhttptest");
    command.args([
        "-c", "40", "-r", "40", "-i", "1", "-l", "10", "-p", "3", how,
    ]);
    command
        .arg("-u")
        .arg(format!("https://127.0.0.1:{}/ws", world.port));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
        .spawn()
        .expect("slowhttptest is installed: tests/tools/install.sh")
}

async fn goes_on(neighbour: &mut Caller) {
    for round in 0..20 {
        let said = text(&format!("round {round}"));
        neighbour.send(said.clone()).await;
        assert_eq!(neighbour.next().await, Some(said));
    }
}

/// Slow heads, slow bodies, and slow readers.
#[tokio::test]
async fn s06_s19_slowhttptest_is_outlived_and_nobody_else_notices() {
    let world = World::with(Wish {
        limits: "handshake = \"2s\"\nunadmitted_per_address = 400".to_owned(),
        ..Wish::default()
    })
    .await;
    let mut neighbour = world.call("sim-echo").await;
    let open = || world.count("tonegate_connections ");
    for how in ["-H", "-B", "-X"] {
        let before = world.count("tonegate_connections_total ");
        let mut attacking = attack(&world, how);
        let begun = tokio::time::Instant::now();
        // All of them are there, and the deadline has passed for all of them.
        while world.count("tonegate_connections_total ") < before + 40 {
            goes_on(&mut neighbour).await;
            assert!(begun.elapsed() < PATIENCE, "{how} opens no connections");
        }
        while open() > 1 {
            goes_on(&mut neighbour).await;
            assert!(begun.elapsed() < PATIENCE, "{how}: {} are open", open());
        }
        world.still_serves().await;
        attacking.kill().await.unwrap();
    }
    neighbour.close(1000, "").await;
    neighbour.closed().await;
    world.settles().await;
}
