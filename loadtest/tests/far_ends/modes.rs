//! Each mode, its thresholds and its exit codes, through the bare forwarder.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::program::{Ran, Served, free, load, ran};
use crate::tampering::{Harm, middle};

/// A mode through the forwarder, TLS on both sides, its cost watched.
fn through(floor: &Served, echo: std::net::SocketAddr, words: &str) -> Ran {
    let (address, pid) = (floor.address, floor.pid());
    ran(&mut load(&format!(
        "{words} --address {address} --ca {{ca.pem}} --pid {pid} --echo {echo} --certificate {{leaf.pem}} --key {{leaf.key}}"
    )))
}

fn floor() -> (Served, std::net::SocketAddr) {
    let echo = free();
    (Served::floor(echo, true, true), echo)
}

#[test]
fn a_call_is_measured_and_judged() {
    let (floor, echo) = floor();
    let sound = through(
        &floor,
        echo,
        "call --connections 5 --seconds 1 --allow-late",
    );
    sound.is_sound();
    let line = &sound.line;
    let relayed = line["relayed"].as_u64().expect("a count");
    // 5 calls, 50 messages a second each, there and back.
    assert!((300..=600).contains(&relayed), "{line}");
    let left = line["lateness_us"]["count"].as_u64().expect("a count");
    assert!((240..=300).contains(&left), "{line}");
    assert!(
        line["cpu_us_per_message"].as_f64().expect("a figure") > 1.0,
        "{line}"
    );
    let call = "call --connections 2 --seconds 1 --allow-late";
    let slow = through(&floor, echo, &format!("{call} --max-p99-us 1"));
    slow.failed_for("--max-p99-us 1");
    let dear = through(
        &floor,
        echo,
        &format!("{call} --max-cpu-us-per-message 0.001"),
    );
    dear.failed_for("--max-cpu-us-per-message 0.001");
}

#[test]
fn a_flood_comes_back_whole_in_every_size() {
    let (floor, echo) = floor();
    for shape in [
        "--size 1024 --batch 16 --window 2",
        "--size 65536 --batch 1 --window 2",
        // More than the sockets on the way hold: whoever only sent would wait for ever.
        "--size 1048576 --batch 16 --window 2",
    ] {
        let words = format!("flood --connections 2 --seconds 1 {shape}");
        let sound = through(&floor, echo, &words);
        sound.is_sound();
        assert!(
            sound.line["batch_us"]["count"].as_u64() > Some(0),
            "{}",
            sound.line
        );
    }
    let slow = through(
        &floor,
        echo,
        "flood --connections 2 --seconds 1 --max-p99-us 1",
    );
    slow.failed_for("--max-p99-us 1");
}

#[test]
fn connections_are_made_resumed_and_judged() {
    let (floor, echo) = floor();
    let full = through(&floor, echo, "connect --connections 4 --seconds 1");
    full.is_sound();
    assert_eq!(full.line["resumed"], 0, "{}", full.line);
    let again = through(&floor, echo, "connect --connections 4 --seconds 1 --resume");
    again.is_sound();
    assert_eq!(again.line["resumed"], again.line["made"]);
    let paced = "connect --connections 8 --seconds 1 --rate 20 --allow-late";
    let dear = through(
        &floor,
        echo,
        &format!("{paced} --max-cpu-ms-per-connection 0.0001"),
    );
    dear.failed_for("--max-cpu-ms-per-connection 0.0001");
    assert_eq!(dear.line["made"], 20, "{}", dear.line);
    let slow = through(&floor, echo, &format!("{paced} --max-p99-us 1"));
    slow.failed_for("--max-p99-us 1");
}

#[test]
fn sessions_that_were_not_resumed_fail_the_run_that_asked_for_it() {
    let words = format!(
        "connect --resume --address {} --ca {{ca.pem}} --connections 2 --seconds 1",
        crate::forgetful::server()
    );
    let told = ran(&mut load(&words));
    told.failed_for("TLS sessions were resumed");
    assert_eq!(told.line["resumed"], 0);
    assert!(told.line["made"].as_u64() > Some(0), "{}", told.line);
}

#[test]
fn silence_is_weighed_before_and_after_a_burst_and_after_all_closed() {
    let (floor, echo) = floor();
    let words = "idle --connections 50 --seconds 1 --burst 16384 --max-kib-per-pair 0.001";
    let told = through(&floor, echo, words);
    told.failed_for("--max-kib-per-pair 0.001");
    let figure = |name: &str| told.line[name].as_f64().unwrap_or(f64::NAN);
    assert!(
        figure("resident_kib_per_pair_before_burst") > 4.0,
        "{}",
        told.line
    );
    let (held, kept) = (
        figure("resident_kib_per_pair"),
        figure("resident_kib_kept_per_pair"),
    );
    assert!(
        held >= figure("resident_kib_per_pair_before_burst"),
        "{}",
        told.line
    );
    assert!(
        (kept / held - figure("resident_kept_share")).abs() < 1e-6,
        "{}",
        told.line
    );
    assert_eq!(told.line["sent"], 50);
}

/// What a middle does, seen by a call in plain text.
fn harmed(harm: Harm) -> Ran {
    let echo = Served::start(&mut load("echo --plain"));
    let address = middle(echo.address, harm);
    ran(&mut load(&format!(
        "call --plain --address {address} --connections 2 --seconds 1 --allow-late"
    )))
}

#[test]
fn a_changed_byte_fails_the_run() {
    let told = harmed(Harm::Turns);
    told.failed_for("2 messages came back changed");
    assert_eq!(
        (&told.line["changed"], &told.line["lost"]),
        (&2.into(), &0.into())
    );
}

#[test]
fn a_call_that_ends_early_fails_the_run() {
    let told = harmed(Harm::Cuts);
    assert_eq!(
        (told.code, &told.line["broken"]),
        (Some(1), &2.into()),
        "{}",
        told.line
    );
    assert!(told.line["lost"].as_u64() > Some(0), "{}", told.line);
    assert!(told.failed().contains("--max-lost 0"), "{}", told.failed());
    assert!(
        told.failed().contains("2 connections broke"),
        "{}",
        told.failed()
    );
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// Stops a process for a third of a second once the run has begun to measure.
fn stops(pid: u32) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(1600));
        signal(pid, "-STOP");
        thread::sleep(Duration::from_millis(330));
        signal(pid, "-CONT");
    })
}

#[test]
fn a_middle_that_stalls_shows_in_every_message_that_it_delays() {
    let (floor, echo) = floor();
    let stall = stops(floor.pid());
    let told = through(
        &floor,
        echo,
        "call --connections 4 --seconds 2 --allow-late",
    );
    stall.join().expect("a stall");
    told.is_sound();
    // Of two seconds a sixth was silence: counted from when they were due, that is p90.
    assert!(
        told.line["round_trip_us"]["p90"].as_u64() > Some(100_000),
        "{}",
        told.line
    );
}

#[test]
fn callers_that_are_late_themselves_say_so() {
    let (floor, echo) = floor();
    let words = format!(
        "call --connections 4 --seconds 2 --address {} --ca {{ca.pem}} --echo {echo} --certificate {{leaf.pem}} --key {{leaf.key}}",
        floor.address
    );
    let child = load(&words)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("a program");
    let stall = stops(child.id());
    let output = child.wait_with_output().expect("an end");
    stall.join().expect("a stall");
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line["messages_late"].as_u64() > Some(20), "{line}");
    assert!(
        line["failed"][0]
            .as_str()
            .is_some_and(|text| text.contains("--max-late-per-mille 10")),
        "{line}"
    );
}

#[test]
fn what_makes_no_sense_ends_with_2() {
    let to = "--address 127.0.0.1:1";
    for (words, hint) in [
        ("call".to_owned(), "--address"),
        (format!("call {to}"), "--ca"),
        (
            format!("call {to} --plain --max-cpu-us-per-message 5"),
            "--pid",
        ),
        (format!("idle {to} --plain --max-kib-per-pair 5"), "--pid"),
        (format!("flood {to} --plain --size 1"), "--size"),
        (
            format!("flood {to} --plain --size 1048576 --batch 256"),
            "--window",
        ),
        (format!("connect {to} --plain --resume"), "--resume"),
        (
            format!("call {to} --plain --echo 127.0.0.1:0"),
            "--echo-plain",
        ),
        ("call --plain --address 192.0.2.1:80".to_owned(), "loopback"),
        (
            "echo --plain --echo-listen 0.0.0.0:0".to_owned(),
            "loopback",
        ),
        (format!("call {to} --plain --json --table"), "--table"),
    ] {
        let told = ran(&mut load(&words));
        assert_eq!(told.code, Some(2), "{words}: {}", told.complaint);
        assert!(told.complaint.contains(hint), "{words}: {}", told.complaint);
    }
}

#[test]
fn what_cannot_be_done_ends_with_1() {
    let nobody = free();
    let told = ran(&mut load(&format!("call --plain --address {nobody}")));
    assert_eq!(
        (told.code, &told.line),
        (Some(1), &serde_json::Value::Null),
        "{}",
        told.complaint
    );
    // A process that is not there costs nothing: no threshold may pass for that.
    let echo = Served::start(&mut load("echo --plain"));
    let told = ran(&mut load(&format!(
        "call --plain --address {} --connections 1 --seconds 1 --pid 4194305 --max-cpu-us-per-message 5",
        echo.address
    )));
    assert_eq!(told.code, Some(1));
    assert!(
        told.complaint.contains("process 4194305"),
        "{}",
        told.complaint
    );
}

#[test]
fn people_get_a_table() {
    let echo = Served::start(&mut load("echo --plain"));
    let words = format!(
        "connect --plain --address {} --connections 1 --seconds 1 --table",
        echo.address
    );
    let output = load(&words).output().expect("a program");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("connect: ok\n"), "{text}");
    assert!(
        text.contains("connections a second") && text.contains("p99.9"),
        "{text}"
    );
    assert!(!text.contains('{'), "{text}");
}
