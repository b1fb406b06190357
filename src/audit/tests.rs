use super::*;
use crate::config::{AuditFile, AuditSync};
use crate::error::{Reason, Side};
use crate::ids::{CallId, EntraId, ForeignId, SessionId};
use crate::label::Label;
use crate::metrics::Metrics;
use crate::trace::Trace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A folder of one test, and the audit that is kept in it.
struct Kept {
    folder: PathBuf,
    size: u64,
    keep: u32,
    chain: bool,
}

impl Kept {
    fn new() -> Kept {
        let folder = std::env::temp_dir().join(format!("tonegate-audit-{}", SessionId::random()));
        fs::create_dir(&folder).unwrap();
        Kept {
            folder,
            size: 1 << 30,
            keep: 10,
            chain: true,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    fn settings(&self) -> config::Audit {
        config::Audit {
            to: AuditTo::File(AuditFile {
                path: self.path(),
                size: self.size,
                keep: self.keep,
            }),
            sync: AuditSync::Second,
            chain: self.chain,
            queue: 8192,
        }
    }

    fn open(&self) -> Result<Audit, Unusable> {
        Audit::open(Some(&self.settings()), &Arc::new(Metrics::new()))
    }

    /// Opens it, has so many records written, and closes it.
    fn records(&self, count: usize) {
        let audit = self.open().unwrap();
        record(&audit, count);
        assert!(audit.flush());
        drop(audit);
        // The thread gives up its lock when it ends.
        until("the lock", || {
            fs::File::open(self.path()).unwrap().try_lock().is_ok()
        });
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// All files of it.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.folder).unwrap();
        files.map(|entry| entry.unwrap().path()).collect()
    }

    fn verify(&self) -> Result<Verified, Broken> {
        verify(&self.files(), &[], false)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Nobody makes room for what waits, and not only because a thread is late.
fn stays_full(audit: &Audit) -> bool {
    (0..20).all(|_| {
        let full = !audit.takes();
        if full {
            std::thread::sleep(Duration::from_millis(10));
        }
        full
    })
}

fn record(audit: &Audit, count: usize) {
    // A writer that fails at the first of them must not refuse a place to the next.
    let places: Vec<_> = (0..count).map(|_| audit.reserve().unwrap()).collect();
    for place in places {
        place.record(denied);
    }
}

fn client() -> Client {
    Client {
        ip: "192.0.2.7".parse().unwrap(),
        port: Some(4711),
    }
}

fn asked() -> Asked {
    Asked {
        event: Event::Upgrade,
        route: Label::new("phone").unwrap(),
        method: method(&http::Method::GET),
        path: "/acs/media/{call}".to_owned(),
        client: client(),
        request: SessionId::random(),
        trace: Some(Trace::begin(false).id),
    }
}

/// Somebody of whom everything is known.
fn known() -> Known {
    let issuer = Label::new("users").unwrap();
    let who = Who::new(Credential::Token, "users:t/u", Rule::Issuer(issuer));
    Known {
        who: Some(who.of_tenant("t", "0000000A-1111-4222-8333-0123456789AB")),
        call: Some(Call {
            call: CallId::new("7f0c").unwrap(),
            connection: ForeignId::new("0800-1"),
            correlation: ForeignId::new("998a-2"),
        }),
        message: None,
    }
}

fn denied() -> Entry {
    let verdict = Verdict::Denied {
        reason: Reason::Unauthenticated,
        detail: "the token has expired",
        status: Some(401),
    };
    Entry::decided(&asked(), &Known::default(), verdict)
}

/// Of a message that somebody had the bot send.
fn message() -> Entry {
    let asked = Asked {
        event: Event::Request,
        ..asked()
    };
    let user = EntraId::new("0000000b-1111-4222-8333-0123456789ab").unwrap();
    let message = Message {
        tenant: user.clone(),
        user,
        outcome: Some("ok"),
    };
    let known = Known {
        message: Some(message),
        ..known()
    };
    let allowed = Verdict::Allowed {
        status: 200,
        session: None,
    };
    Entry::decided(&asked, &known, allowed)
}

/// One record of each kind.
fn of_each() -> [Entry; 8] {
    let session = Session {
        session: SessionId::random(),
        route: Label::new("phone").unwrap(),
        known: known(),
        client: client(),
        trace: Some(Trace::begin(false).id),
    };
    let closed = Closed {
        reason: Reason::HungUp,
        by: Side::Client,
        duration: Duration::from_millis(1234),
        bytes: Some([11, 22]),
    };
    let allowed = Verdict::Allowed {
        status: 101,
        session: Some(session.session),
    };
    [
        Entry::decided(&asked(), &known(), allowed),
        denied(),
        Entry::gate(&session, None),
        Entry::gate(&session, Some(Reason::CodeWrong)),
        Entry::closed(&session, closed),
        Entry::closed(
            &session,
            Closed {
                bytes: None,
                ..closed
            },
        ),
        Entry::repaired(17, &line::hex(&line::NOTHING)),
        message(),
    ]
}

fn parse(entry: &Entry) -> Value {
    let line = line::line(1, Some(&line::NOTHING), &entry.rest);
    let text = String::from_utf8(line).unwrap();
    assert!(!text.contains('\n'), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn b13_the_schema_is_closed_and_every_field_of_it_is_written() {
    let names: Vec<&str> = FIELDS.iter().map(|(name, _, _)| *name).collect();
    let mut seen = BTreeSet::new();
    for entry in of_each() {
        let line = parse(&entry);
        let text = String::from_utf8(line::line(1, Some(&line::NOTHING), &entry.rest)).unwrap();
        let mut at = 0;
        let mut fields = Vec::new();
        for (name, value) in line.as_object().unwrap() {
            let field = FIELDS.iter().find(|(field, _, _)| field == name);
            let (_, events, _) = field.unwrap_or_else(|| panic!("{name} is not in the schema"));
            let event = line["event"].as_str().unwrap();
            let here = events.starts_with("all") || events.contains(&format!("`{event}`"));
            let with = events.starts_with("with") || *events == "denied";
            assert!(here || with, "{name} in {event}");
            let number = ["seq", "status", "torn_bytes"].contains(&name.as_str())
                || name.ends_with("_ms")
                || name.ends_with("_bytes");
            assert_eq!(value.is_u64(), number, "{name}: {value}");
            assert_eq!(value.is_string(), !number, "{name}: {value}");
            fields.push(names.iter().position(|known| known == name).unwrap());
            seen.insert(name.clone());
        }
        // In the order of the table, each once.
        fields.sort_unstable();
        for field in fields {
            let key = format!("\"{}\":", names[field]);
            let found = text[at..]
                .find(&key)
                .unwrap_or_else(|| panic!("{key} in {text}"));
            at += found;
            assert_eq!(text.matches(&key).count(), 1, "{text}");
        }
        if entry.event != Event::Repaired {
            for name in ["route", "client", "seq", "prev", "time"] {
                assert!(!line[name].is_null(), "{name} in {line}");
            }
        }
    }
    assert_eq!(seen.len(), FIELDS.len(), "{seen:?}");
}

#[test]
fn b13_records_say_what_was_decided() {
    let [allowed, denied, opened, wrong, closed, cut, ..] = of_each().map(|entry| parse(&entry));
    assert_eq!(allowed["decision"], "allow");
    assert_eq!(allowed["rule"], "users");
    assert_eq!(
        (allowed["status"].as_u64(), &allowed["what"]),
        (Some(101), &Value::from("GET /acs/media/{call}"))
    );
    assert_eq!(allowed["user"], "0000000a-1111-4222-8333-0123456789ab");
    assert_eq!(
        (&denied["decision"], &denied["rule"]),
        (&"deny".into(), &"unauthenticated".into())
    );
    assert_eq!(denied["detail"], "the token has expired");
    assert!(
        denied["who"].is_null() && denied["session"].is_null(),
        "{denied}"
    );
    assert_eq!(
        (&opened["decision"], &opened["rule"]),
        (&"allow".into(), &"code".into())
    );
    assert_eq!(
        (&wrong["decision"], &wrong["rule"]),
        (&"deny".into(), &"code_wrong".into())
    );
    assert_eq!(closed["duration_ms"], 1234);
    assert_eq!(
        (&closed["up_bytes"], &closed["down_bytes"]),
        (&11.into(), &22.into())
    );
    assert!(cut["up_bytes"].is_null(), "{cut}");
    assert!(closed["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        method(&http::Method::from_bytes(b"GE\x54X").unwrap()),
        "OTHER"
    );
}

#[test]
fn b13_no_name_ends_a_line_or_begins_a_field() {
    let name = "a\"},\n{\"seq\":9,\"who\":\"\u{1b}[31m\u{2028}\\";
    let who = Who::new(Credential::EasyAuth, name, Rule::Way("easyauth"));
    let known = Known {
        who: Some(who.of_tenant(name, name)),
        ..Known::default()
    };
    let allowed = Verdict::Allowed {
        status: 200,
        session: None,
    };
    let line = parse(&Entry::decided(&asked(), &known, allowed));
    assert_eq!(
        (&line["who"], &line["tenant"]),
        (&name.into(), &name.into())
    );
    assert!(line["user"].is_null());
    let long = Who::new(Credential::Token, "é".repeat(5000), Rule::Way("x"));
    let known = Known {
        who: Some(long),
        ..Known::default()
    };
    let line = parse(&Entry::decided(&asked(), &known, allowed));
    assert!(line["who"].as_str().unwrap().len() <= 600);
}

#[test]
fn c16_records_go_on_over_restart_and_rotation_and_none_is_lost() {
    let mut kept = Kept::new();
    kept.size = 64 << 10;
    kept.keep = 100;
    for count in [1, 600, 0, 1000, 399] {
        kept.records(count);
    }
    let verified = kept.verify().unwrap();
    assert_eq!((verified.records, verified.seq), (2000, (1, 2000)));
    assert_eq!(
        (verified.unchained, verified.repaired, verified.torn),
        (0, 0, false)
    );
    let files = kept.files();
    assert!(files.len() > 3, "{files:?}");
    for file in &files {
        let about = fs::metadata(file).unwrap();
        assert!(about.len() <= 64 << 10, "{file:?}");
        assert_eq!(about.permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    // The one that was noted is there, and not another one.
    let noted = Noted::parse(&format!("2000:{}", verified.last)).unwrap();
    assert!(verify(&files, &[noted], false).is_ok());
    for other in [Noted { seq: 2001, ..noted }, Noted { seq: 1999, ..noted }] {
        assert!(verify(&files, &[other], false).is_err());
    }
}

#[test]
fn c16_no_more_files_are_kept_than_were_asked_for() {
    let mut kept = Kept::new();
    kept.size = 2_000;
    kept.keep = 3;
    for _ in 0..20 {
        kept.records(10);
    }
    let mut names: Vec<_> = kept.files();
    names.sort();
    let path = kept.path();
    let numbered = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    assert_eq!(names, [path.clone(), numbered(1), numbered(2), numbered(3)]);
    let verified = kept.verify().unwrap();
    assert_eq!(verified.seq.1, 200);
    assert!(verified.records < 200, "nothing was given up");
    assert_eq!(verified.records, 201 - verified.seq.0);
}

/// The lines of a trail of so many records.
fn lines(kept: &Kept, count: usize) -> Vec<String> {
    kept.records(count);
    let text = String::from_utf8(kept.read()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn judge(kept: &Kept, lines: &[String]) -> Result<Verified, Broken> {
    fs::write(kept.path(), lines.join("\n") + "\n").unwrap();
    kept.verify()
}

#[test]
fn b13_no_line_can_be_changed_taken_out_put_in_or_moved() {
    let kept = Kept::new();
    let good = lines(&kept, 6);
    assert_eq!(judge(&kept, &good).unwrap().records, 6);
    let mut tried = 0;
    let mut bad = |what: &str, lines: Vec<String>| {
        let told = judge(&kept, &lines).expect_err(what);
        assert!(!told.what.is_empty());
        tried += 1;
    };
    for at in 0..good.len() - 1 {
        let with = |line: String| {
            let mut lines = good.clone();
            lines[at] = line;
            lines
        };
        bad("changed", with(good[at].replace("192.0.2.7", "192.0.2.8")));
        bad("allowed", with(good[at].replace("\"deny\"", "\"allow\"")));
        bad("spaced", with(good[at].replace(",\"", ", \"")));
        bad(
            "without prev",
            with(good[at].replacen("\"prev\"", "\"rest\"", 1)),
        );
        bad("no record", with("{}".to_owned()));
        let mut lines = good.clone();
        lines.insert(at + 1, good[at].clone());
        bad("twice", lines);
        let mut lines = good.clone();
        lines.swap(at, at + 1);
        bad("moved", lines);
        if at > 0 {
            let mut lines = good.clone();
            lines.remove(at);
            bad("taken out", lines);
        }
    }
    bad(
        "zeros before",
        good[1..]
            .iter()
            .map(|l| l.replacen("\"seq\":2", "\"seq\":1", 1))
            .collect(),
    );
    assert_eq!(tried, 40);
    // What stands at either end shows only against what was noted.
    assert_eq!(judge(&kept, &good[1..]).unwrap().seq, (2, 6));
    assert_eq!(judge(&kept, &good[..5]).unwrap().seq, (1, 5));
    let last = Noted {
        seq: 6,
        digest: line::digest(good[5].as_bytes()),
    };
    let told = verify(&kept.files(), &[last], false).unwrap_err();
    assert!(told.what.contains("noted"), "{told}");
}

#[test]
fn b13_a_chain_that_was_never_on_proves_nothing_and_one_may_begin_later() {
    let mut kept = Kept::new();
    kept.chain = false;
    kept.records(3);
    let told = kept.verify().unwrap_err();
    assert!(told.what.contains("chain = true"), "{told}");
    kept.chain = true;
    kept.records(2);
    let verified = kept.verify().unwrap();
    assert_eq!((verified.records, verified.unchained), (5, 3));
    // Switched off again, it has an end, which is told.
    kept.chain = false;
    kept.records(1);
    assert!(kept.verify().unwrap_err().what.contains("chain ends"));
}

#[test]
fn b13_records_may_begin_anew_only_where_that_is_said() {
    let kept = Kept::new();
    let first = lines(&kept, 3);
    fs::remove_file(kept.path()).unwrap();
    let second = lines(&kept, 2);
    let both = [first, second].concat();
    assert!(judge(&kept, &both).is_err());
    let verified = verify(&kept.files(), &[], true).unwrap();
    assert_eq!((verified.records, verified.seq), (5, (1, 2)));
}

#[test]
fn c16_a_line_that_a_crash_has_torn_is_closed_off_wherever_it_was_cut() {
    let kept = Kept::new();
    let whole = lines(&kept, 3);
    let bytes = kept.read();
    let keep = whole[0].len() + 1;
    let mut repaired = 0;
    for end in (keep..=bytes.len())
        .rev()
        .step_by(7)
        .chain([keep + 1, bytes.len() - 1])
    {
        fs::write(kept.path(), &bytes[..end]).unwrap();
        kept.records(2);
        let verified = kept
            .verify()
            .unwrap_or_else(|told| panic!("cut at {end}: {told}"));
        repaired += verified.repaired;
        let text = String::from_utf8(kept.read()).unwrap();
        let told = text
            .lines()
            .filter(|line| line.contains("\"repaired\""))
            .count();
        assert_eq!(told as u64, verified.repaired);
        let cut = bytes[..end]
            .split(|&byte| byte == b'\n')
            .next_back()
            .unwrap();
        let torn = !cut.is_empty() && serde_json::from_slice::<Value>(cut).is_err();
        assert_eq!(verified.repaired == 1, torn, "cut at {end}");
    }
    assert!(repaired > 50, "{repaired}");
    // Zeros, as a machine that lost its power may leave them, and a second crash in the repair.
    fs::write(kept.path(), [&bytes[..], &[0; 5000], b"\n{\"se"].concat()).unwrap();
    kept.records(1);
    let verified = kept.verify().unwrap();
    assert_eq!((verified.records, verified.repaired), (5, 1));
    // What a repair does not tell of is no tear.
    let text = String::from_utf8(kept.read()).unwrap_or_default();
    let forged = text.replacen("\n{\"se\n", "\n{\"seq\n", 1);
    assert_ne!(forged, text);
    fs::write(kept.path(), forged).unwrap();
    assert!(kept.verify().is_err());
}

#[test]
fn c16_the_first_line_may_be_torn_and_the_file_behind_a_rotation_missing() {
    let kept = Kept::new();
    fs::write(kept.path(), b"{\"seq\":1,\"ti").unwrap();
    kept.records(1);
    assert_eq!(kept.verify().unwrap().repaired, 1);
    let before = format!("{}.1", kept.path().display());
    fs::rename(kept.path(), before).unwrap();
    kept.records(1);
    assert_eq!(kept.verify().unwrap().seq, (1, 3));
}

#[test]
fn c16_what_is_no_audit_is_not_appended_to() {
    let kept = Kept::new();
    for text in ["[server]\nlisten = 1\n", "{\"a\":1}\n", "x", "\n"] {
        fs::write(kept.path(), text).unwrap();
        assert!(matches!(kept.open(), Err(Unusable::Foreign)), "{text}");
        assert!(matches!(
            check(Some(&kept.settings())),
            Err(Unusable::Foreign)
        ));
        assert_eq!(kept.read(), text.as_bytes());
    }
    fs::remove_file(kept.path()).unwrap();
    assert!(check(Some(&kept.settings())).is_ok());
    assert!(!kept.path().exists(), "a check has made a file");
    let audit = kept.open().unwrap();
    assert!(matches!(kept.open(), Err(Unusable::Taken)));
    drop(audit);
    let mut nowhere = kept.settings();
    nowhere.to = AuditTo::File(AuditFile {
        path: kept.folder.join("no/such/folder"),
        size: 1 << 20,
        keep: 1,
    });
    let metrics = Arc::new(Metrics::new());
    assert!(matches!(
        Audit::open(Some(&nowhere), &metrics),
        Err(Unusable::File(_))
    ));
    assert!(matches!(check(Some(&nowhere)), Err(Unusable::NoFile)));
}

#[test]
fn without_an_audit_everything_may_be_decided_and_nothing_is_said() {
    let audit = Audit::open(None, &Arc::new(Metrics::new())).unwrap();
    assert!(!audit.is_on() && audit.takes() && audit.flush());
    audit.reserve().unwrap().record(|| panic!("nobody listens"));
}

/// An audit that goes through a pipe, and the pipe's other end.
fn piped(queue: usize, metrics: &metrics::Shared) -> (Audit, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let stream = fs::File::from(std::os::fd::OwnedFd::from(writer));
    (through(Sink::Stream(stream), queue, metrics), reader)
}

fn through(sink: Sink, queue: usize, metrics: &metrics::Shared) -> Audit {
    let settings = config::Audit {
        to: AuditTo::Stdout,
        sync: AuditSync::Batch,
        chain: true,
        queue,
    };
    Audit::into(sink, None, &settings, metrics).unwrap()
}

fn count(metrics: &Metrics, series: &str) -> u64 {
    let page = metrics.render();
    let value = page.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

#[test]
fn c16_a_reader_that_is_slow_refuses_new_work_and_loses_no_record() {
    let metrics = Arc::new(Metrics::new());
    let (audit, mut reader) = piped(100, &metrics);
    let mut taken = 0;
    let early = audit.reserve().unwrap();
    // A pipe holds 64 KiB, and a batch is under way.
    while !stays_full(&audit) {
        if let Ok(place) = audit.reserve() {
            place.record(denied);
            taken += 1;
        }
        assert!(taken < 10_000, "nobody reads");
    }
    assert!(!audit.takes());
    assert!(taken >= 100, "{taken}");
    // Who had a place before keeps it, whatever the queue holds.
    early.record(denied);
    assert!(matches!(audit.reserve(), Err(Full)));
    let refused = count(&metrics, "tonegate_audit_refused_total");
    assert!(refused >= 1, "{refused}");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    until("room", || audit.takes());
    audit.reserve().unwrap().record(denied);
    drop(audit);
    let text = read.join().unwrap();
    assert_eq!(text.lines().count(), taken + 2);
    let kept = Kept::new();
    fs::write(kept.path(), &text).unwrap();
    assert_eq!(kept.verify().unwrap().records, taken as u64 + 2);
    let series = r#"tonegate_audit_records_total{event="upgrade",decision="deny"}"#;
    assert_eq!(count(&metrics, series), taken as u64 + 2);
    assert_eq!(count(&metrics, "tonegate_audit_errors_total"), 0);
}

#[test]
fn c16_places_that_are_given_up_are_no_records() {
    let metrics = Arc::new(Metrics::new());
    let (audit, mut reader) = piped(16, &metrics);
    for _ in 0..100 {
        drop(audit.reserve().unwrap());
    }
    record(&audit, 1);
    assert!(audit.flush());
    drop(audit);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn c16_a_full_disk_refuses_until_there_is_room_and_loses_no_record() {
    let metrics = Arc::new(Metrics::new());
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let audit = through(Sink::Stream(full), 8192, &metrics);
    assert!(audit.takes());
    record(&audit, 3);
    until("the error", || !audit.takes());
    assert!(matches!(audit.reserve(), Err(Full)));
    assert!(count(&metrics, "tonegate_audit_errors_total") >= 1);
    assert_eq!(count(&metrics, "tonegate_audit_records_total"), 0);
    assert!(!audit.flush());
    // A reader that has gone is no better.
    let (audit, reader) = piped(100, &metrics);
    drop(reader);
    record(&audit, 1);
    until("the error", || !audit.takes());
}

#[test]
fn c16_a_rotation_that_fails_refuses_and_is_done_when_it_can_be() {
    let mut kept = Kept::new();
    kept.size = 3_000;
    kept.keep = 2;
    let metrics = Arc::new(Metrics::new());
    let audit = Audit::open(Some(&kept.settings()), &metrics).unwrap();
    // Where the file before is to be there is something else.
    let obstacle = PathBuf::from(format!("{}.1", kept.path().display()));
    fs::create_dir_all(obstacle.join("x")).unwrap();
    let second = format!("{}.2", kept.path().display());
    fs::create_dir_all(Path::new(&second).join("x")).unwrap();
    let mut recorded = 0;
    let end = Instant::now() + Duration::from_secs(20);
    while audit.takes() {
        record_if(&audit, &mut recorded);
        assert!(Instant::now() < end);
        // What waits is written at once afterwards, and must fit the files that are kept.
        audit.flush();
    }
    assert!(count(&metrics, "tonegate_audit_errors_total") >= 1);
    assert!(fs::metadata(kept.path()).unwrap().len() <= 3_000);
    fs::remove_dir_all(obstacle).unwrap();
    fs::remove_dir_all(second).unwrap();
    until("recovery", || audit.takes());
    record_if(&audit, &mut recorded);
    assert!(audit.flush());
    assert_eq!(kept.verify().unwrap().records, recorded);
}

fn record_if(audit: &Audit, recorded: &mut u64) {
    if let Ok(place) = audit.reserve() {
        place.record(denied);
        *recorded += 1;
    }
}

#[test]
fn c16_half_a_write_is_gone_on_with_and_not_begun_again() {
    let metrics = Arc::new(Metrics::new());
    let (mut reader, writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let stream = fs::File::from(std::os::fd::OwnedFd::from(writer));
    let audit = through(Sink::Stream(stream), 8192, &metrics);
    record(&audit, 1000);
    // The pipe takes part of a batch and then none of it, which is no failure.
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(audit.flush()));
        let (mut text, mut piece) = (Vec::new(), [0; 1000]);
        while text.iter().filter(|&&byte| byte == b'\n').count() < 1000 {
            let count = reader.read(&mut piece).unwrap();
            text.write_all(&piece[..count]).unwrap();
        }
        let kept = Kept::new();
        fs::write(kept.path(), text).unwrap();
        assert_eq!(kept.verify().unwrap().records, 1000);
    });
    assert_eq!(count(&metrics, "tonegate_audit_errors_total"), 0);
}
