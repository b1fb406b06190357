//! Where records go, when that fails: new work is refused, running sessions go on, no record is lost.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tonegate::audit;

use super::{AUDIT, come, records};
use crate::binary::run;
use crate::child::Child;
use crate::harness::{Caller, KEY, Wish, World, request, text, within};

/// A world in plain text, which costs less, and an edge with this audit as a process.
async fn world(audit: &str) -> World {
    let mut world = World::with(Wish {
        tls: false,
        ..Wish::default()
    })
    .await;
    // It has no audit, and another one will have its settings.
    drop(world.edge.take());
    fs::write(
        world.folder.join("edge.toml"),
        world.settings.clone() + audit,
    )
    .unwrap();
    world
}

/// Asks with a wrong key: 401, or 503 as soon as it cannot be recorded.
async fn ask(world: &World) -> u16 {
    let asked = request("/ws?model=sim-echo", &[("api-key", "wrong")]);
    world.refused_bytes(asked.as_bytes()).await.status
}

async fn speaks(caller: &mut Caller) {
    caller.send(text("go on")).await;
    assert_eq!(caller.next().await, Some(text("go on")));
}

/// Nobody makes room for what waits.
async fn stays_full(child: &Child) -> bool {
    for _ in 0..10 {
        if child.asks_admin("/readyz").await.unwrap().0 == 200 {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// The edge takes nothing new, says so, and does no harm to this session.
async fn refuses(world: &World, child: &Child, caller: &mut Caller) {
    let (status, told) = child.asks_admin("/readyz").await.unwrap();
    assert_eq!((status, told.as_str()), (503, "audit\n"));
    assert_eq!(child.asks_admin("/healthz").await.unwrap().0, 200);
    let totals = world.upstream_total();
    let refused = world.try_call("sim-echo").await.err().unwrap();
    refused.is(503, "busy");
    assert_eq!(world.upstream_total(), totals, "something was done first");
    assert!(
        child
            .count("tonegate_limit_hits_total{limit=\"audit\"}")
            .await
            >= 1
    );
    assert!(child.count("tonegate_audit_refused_total").await >= 1);
    speaks(caller).await;
}

/// Decisions that the edge has counted, but for those that it could not record.
async fn decided(child: &Child) -> u64 {
    let page = child.metrics_page().await;
    let counted = |start: &str| -> u64 {
        let lines = page.lines().filter(|line| line.starts_with(start));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    counted("tonegate_requests_total{route=\"browser\"") + counted("tonegate_sessions_ended_total{")
        - counted("tonegate_audit_refused_total")
}

#[tokio::test]
async fn c16_a_blocked_sink_refuses_new_work_and_harms_no_running_session() {
    let mut world = world("\n[audit]\nto = \"stdout\"\nqueue = 16\nchain = true\n").await;
    let fifo = world.folder.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    // Open for both, so that nobody waits for the other end, and for nothing to be read yet.
    let sink = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let child = Child::start(&mut world, &format!("exec >'{}'", fifo.display()));
    let mut caller = world.call("sim-echo").await;
    let mut leaving = world.call("sim-echo").await;
    let mut asked = 0;
    // What a pipe holds, a batch, and the queue. A thread that is late makes room once more.
    while !stays_full(&child).await {
        asked += u64::from(ask(&world).await == 401);
        assert!(asked < 2000, "nobody reads, and nobody waits");
    }
    refuses(&world, &child, &mut caller).await;
    // It ends, and its record waits with the others.
    leaving.close(1000, "").await;
    leaving.closed().await;
    let ended =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",reason=\"client_closed\"} 1";
    child.metrics_say(ended).await;
    let expected = decided(&child).await;
    assert_eq!(expected, asked + 3);
    let reader = sink.try_clone().unwrap();
    let lines = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(reader).lines().take(expected as usize);
        lines.collect::<Result<Vec<_>, _>>().unwrap()
    });
    let lines = within("all records", lines).await.unwrap();
    child.metrics_say("tonegate_audit_errors_total 0").await;
    let closed = |line: &&String| line.contains("\"event\":\"close\"");
    assert_eq!(lines.iter().filter(closed).count(), 1);
    let file = world.folder.join("read");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    assert_eq!(
        audit::verify(&[file], &[], false).unwrap().records,
        expected
    );
    // It has room again.
    assert_eq!(ask(&world).await, 401);
    speaks(&mut caller).await;
    assert_eq!(child.asks_admin("/readyz").await.unwrap().0, 200);
    drop(sink);
}

#[tokio::test]
async fn c16_a_disk_without_room_refuses_until_there_is_some_and_no_record_is_lost() {
    let mut world = world(AUDIT).await;
    // A file that may grow to some KiB: a write goes as far as it can, and fails from there on.
    let small = "trap '' XFSZ; ulimit -S -f 8; export TONEGATE_LOG=tonegate=info";
    let child = Child::start(&mut world, small);
    let mut caller = world.call("sim-echo").await;
    let mut asked = 0;
    while ask(&world).await == 401 {
        asked += 1;
        assert!(asked < 500, "it has room without end");
    }
    refuses(&world, &child, &mut caller).await;
    child
        .until("the error in the log", |child| {
            let told = |line: &Value| line["message"] == "audit records cannot be written";
            child.logged(told) == 1
        })
        .await;
    assert!(child.count("tonegate_audit_errors_total").await >= 1);
    let before = fs::read(world.folder.join("audit.jsonl")).unwrap();
    assert_ne!(before.last(), Some(&b'\n'), "no record was cut");
    caller.close(1000, "").await;
    caller.closed().await;
    let ended =
        "tonegate_sessions_ended_total{route=\"browser\",by=\"client\",reason=\"client_closed\"} 1";
    child.metrics_say(ended).await;
    let expected = decided(&child).await;
    let room = Rlimit {
        current: None,
        maximum: None,
    };
    prlimit(Some(child.id()), Resource::Fsize, room).unwrap();
    come(&world.folder, usize::try_from(expected).unwrap()).await;
    let after = fs::read(world.folder.join("audit.jsonl")).unwrap();
    assert!(after.starts_with(&before), "something was written over");
    within("recovery", async {
        while child.asks_admin("/readyz").await.unwrap().0 != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.still_serves().await;
    let verified = verify(&world.folder).await;
    assert!(
        verified.contains("ok\n") && !verified.contains("note"),
        "{verified}"
    );
}

async fn verify(folder: &Path) -> String {
    let file = folder.join("audit.jsonl");
    let (code, out, told) = run(&["audit", "verify", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{told}");
    out
}

#[tokio::test]
async fn b13_a_file_that_is_not_there_is_told_by_its_name_and_has_no_line() {
    let (code, out, told) = run(&["audit", "verify", "no-such-audit.jsonl"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(told.contains("no-such-audit.jsonl: No such file"), "{told}");
    assert!(!told.contains(":0"), "{told}");
}

#[tokio::test]
async fn b13_a_process_that_was_killed_goes_on_behind_what_it_left_and_every_change_shows() {
    let mut world = world(AUDIT).await;
    let child = Child::start(&mut world, "true");
    for _ in 0..5 {
        assert_eq!(ask(&world).await, 401);
    }
    come(&world.folder, 5).await;
    kill_process(child.id(), Signal::KILL).unwrap();
    drop(child);
    // As if it had been killed in a write.
    let file = world.folder.join("audit.jsonl");
    let mut half = OpenOptions::new().append(true).open(&file).unwrap();
    half.write_all(b"{\"seq\":6,\"prev\":\"00").unwrap();
    let child = Child::start(&mut world, "true");
    assert_eq!(ask(&world).await, 401);
    within("the record", async {
        while fs::read_to_string(&file).unwrap().lines().count() < 8 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Nobody else may write there meanwhile.
    let other = world.folder.join("other.toml");
    fs::write(&other, world.settings.clone() + AUDIT).unwrap();
    let (code, _, told) = run(&["serve", "--config", other.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    assert!(told.contains("audit.path: another process"), "{told}");
    child.terminate();
    child
        .until("the last word", |child| {
            child.logged(|line| line["message"] == "audit written" && line["seq"] == 7) == 1
        })
        .await;
    let out = verify(&world.folder).await;
    let repaired = records_behind(&file);
    let told = (&repaired["torn_bytes"], &repaired["seq"]);
    assert_eq!(told, (&19.into(), &6.into()));
    assert!(
        out.contains("records   7 (1 to 7)") && out.contains("1 repairs"),
        "{out}"
    );
    let noted = out
        .lines()
        .find_map(|line| line.strip_prefix("last      "))
        .unwrap();
    let changed: PathBuf = world.folder.join("changed");
    let text = fs::read_to_string(&file).unwrap();
    let judge = async |text: String, noted: &str| {
        fs::write(&changed, text).unwrap();
        let (code, _, told) = run(&[
            "audit",
            "verify",
            changed.to_str().unwrap(),
            "--noted",
            noted,
        ])
        .await;
        (code, told)
    };
    assert_eq!(judge(text.clone(), noted).await.0, 0);
    let (code, told) = judge(text.replacen("\"deny\"", "\"allow\"", 1), noted).await;
    assert_eq!(code, 1);
    assert!(told.contains("changed:2: "), "{told}");
    let (last, _) = text.trim_end().rsplit_once('\n').unwrap();
    let (code, told) = judge(format!("{last}\n"), noted).await;
    assert_eq!(code, 1);
    assert!(told.contains("noted"), "{told}");
    assert_eq!(judge(text, "x:y").await.0, 1);
}

/// The record behind the line that was torn.
fn records_behind(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(text.lines().nth(6).unwrap()).unwrap()
}

/// With `KEY` a caller enters, so that the records of a session are in the file as well.
#[tokio::test]
async fn c16_without_an_audit_nothing_is_kept_and_nothing_is_counted() {
    let mut world = world("").await;
    let child = Child::start(&mut world, "true");
    world
        .ask("/ws?model=sim-echo", &[("api-key", KEY)])
        .await
        .unwrap();
    assert_eq!(ask(&world).await, 401);
    assert_eq!(records(&world.folder), Vec::<Value>::new());
    assert!(
        !child
            .metrics_page()
            .await
            .contains("tonegate_audit_records_total{")
    );
    assert_eq!(child.asks_admin("/readyz").await.unwrap().0, 200);
}
