//! A whole run with calls: every decision that was counted has its record, and no record has a digit, a
//! number, a secret or a token of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tonegate::app::Edge;
use tonegate::audit::verify;
use tonegate::config::Settings;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Dial, Options};
use tonegate::sim::call_automation::grid::{Caller, Schema};

use super::{AUDIT, come};
use crate::call_control::control::{Control, EVENTS, post, told, tone};
use crate::harness::{KEY, UPSTREAM_KEY, World, steady, text, within};
use crate::phone::world::{ANI, CONNECTION, CORRELATION, Line, Phone, Ringing, SECRET, signed};

/// Digits that stand in no time, id or digest by chance.
const CODE: &str = "91827364";
const WRONG: &str = "56473829";
const GATE: &str = "flow = \"pstn\", digits = 8, attempts = 1, deadline = \"2500ms\"";

/// Decisions that an edge has counted.
fn decided(page: &str) -> u64 {
    let counted = |start: &str, but: &str| -> u64 {
        page.lines()
            .filter(|line| line.starts_with(start) && !line.contains(but))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    counted("tonegate_requests_total{", "route=\"none\"")
        + counted("tonegate_gates_total{", "result=\"left\"")
        + counted("tonegate_sessions_ended_total{", "\0")
}

fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    let of = records.iter().filter(|record| record["event"] == event);
    of.collect()
}

/// Nothing of what was dialled, said, shown or signed is in the audit.
fn tells_nothing(folder: &Path, secrets: &[String]) {
    let all = fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    assert!(all.len() > 1000);
    let fixed = [
        &ANI[1..],
        CODE,
        WRONG,
        KEY,
        UPSTREAM_KEY,
        SECRET,
        "?s=",
        "pstn:",
        "canary",
    ];
    for secret in fixed.into_iter().chain(secrets.iter().map(String::as_str)) {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    for part in [CODE, WRONG]
        .iter()
        .flat_map(|code| [&code[..6], &code[2..]])
    {
        assert!(!all.contains(part), "{part} in {all}");
    }
}

/// A call of this name is let in; what it shows is added to `secrets`.
async fn rings(phone: &Phone, name: &str, secrets: &mut Vec<String>) -> Ringing {
    let dial = phone.dial(&signed(name));
    secrets.extend(dial.token.clone());
    let (_, secret) = dial.url.split_once("?s=").unwrap();
    secrets.push(secret.to_owned());
    phone.rings(&dial, Options::default()).await
}

async fn hangs_up(call: Ringing) {
    call.hand.hang_up();
    call.ended().await;
}

/// Calls that end in every way that a gate has, each under a name that says which.
async fn calls(phone: &Phone, secrets: &mut Vec<String>) {
    phone.stores(ANI, CODE).await;
    let right = rings(phone, "right", secrets).await;
    right.dials(CODE, &Keying::both());
    phone.gates("authorised", 1).await;
    hangs_up(right).await;
    let wrong = rings(phone, "wrong", secrets).await;
    wrong.dials(WRONG, &Keying::both());
    wrong.closed(4403, "code_wrong").await;
    let silent = rings(phone, "silent", secrets).await;
    silent.closed(4408, "gate_expired").await;
    hangs_up(rings(phone, "left", secrets).await).await;
}

#[tokio::test]
async fn c16_b13_a12_the_gate_of_a_call_has_one_record_and_no_digit() {
    let phone = Phone::with(Line {
        gate: GATE.to_owned(),
        more: AUDIT.to_owned(),
        ..Line::default()
    })
    .await;
    let (folder, mut secrets) = (phone.world.folder.clone(), Vec::new());
    calls(&phone, &mut secrets).await;
    let all = come(&folder, 4 + 3 + 4).await;
    assert_eq!(decided(&phone.world.edge().metrics_page()), 11);
    for (call, decision, rule) in [
        ("right", "allow", "code"),
        ("wrong", "deny", "code_wrong"),
        ("silent", "deny", "gate_expired"),
    ] {
        let about = all.iter().filter(|record| record["call"] == call);
        let about: Vec<_> = about.collect();
        let events = about.iter().map(|record| record["event"].as_str().unwrap());
        let events: Vec<_> = events.collect();
        assert_eq!(events, ["upgrade", "gate", "close"], "{call}");
        let verdict = (&about[1]["decision"], &about[1]["rule"]);
        assert_eq!(verdict, (&decision.into(), &rule.into()));
        assert_eq!(about[0]["what"], "GET /acs/media/{call}");
        for record in about {
            assert_eq!(record["who"], format!("phone:{call}"));
            assert_eq!(record["credential"], "call");
            assert_eq!(record["connection"], CONNECTION);
            assert_eq!(record["correlation"], CORRELATION);
            assert_eq!(record["session"].as_str().unwrap().len(), 24);
        }
    }
    assert_eq!(of(&all, "gate").len(), 3, "who leaves is not decided on");
    tells_nothing(&folder, &secrets);
}

#[tokio::test]
async fn c16_s28_a_call_that_is_refused_is_named_only_where_it_was_proved() {
    let phone = Phone::with(Line {
        gate: GATE.to_owned(),
        more: AUDIT.to_owned(),
        ..Line::default()
    })
    .await;
    let folder = phone.world.folder.clone();
    let dial = phone.dial(&signed("again"));
    let first = phone.rings(&dial, Options::default()).await;
    let refused = phone.refused(&dial).await;
    assert_eq!(refused, (401, "unauthenticated".to_owned()));
    hangs_up(first).await;
    let stranger = Dial {
        token: None,
        ..phone.dial(&signed("15557654321"))
    };
    assert_eq!(phone.refused(&stranger).await.0, 401);
    let all = come(&folder, 4).await;
    let of_rule = |record: &&Value| record["rule"] == "unauthenticated";
    let denied: Vec<_> = all.iter().filter(of_rule).collect();
    let [spent, nobody] = denied[..] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (&spent["who"], &spent["call"]),
        (&"phone:again".into(), &"again".into())
    );
    assert!(
        nobody["who"].is_null() && nobody["call"].is_null(),
        "{nobody}"
    );
    let all = fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    assert!(!all.contains("15557654321"), "{all}");
}

/// A world with calls whose edge has an audit.
async fn world() -> Control {
    let mut control = Control::with(GATE).await;
    let folder = control.phone.world.folder.clone();
    let before = control.phone.world.edge.take().unwrap();
    let stopped = tokio::task::spawn_blocking(|| before.stop());
    within("the end of the first edge", stopped).await.unwrap();
    let file = folder.join("first.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings + AUDIT).unwrap();
    let edge = Edge::start(&Settings::read(&[file]).unwrap()).unwrap();
    control.phone.world.edge = Some(edge);
    control
}

/// Sessions of browsers, and what is refused to some.
async fn browsers(world: &World) {
    world.still_serves().await;
    let mut caller = world.call("sim-echo").await;
    caller.send(text("canary of a text")).await;
    caller.next().await.unwrap();
    caller.close(1000, "canary").await;
    caller.closed().await;
    for (target, key) in [("/ws?model=sim-echo", "canary"), ("/ws?model=canary", KEY)] {
        world.refused(target, &[("api-key", key)]).await;
    }
    world.refused("/canary/nowhere", &[]).await;
}

/// A telephone whose caller knows the code, and one whose caller does not.
async fn telephones(control: &Control) {
    control.phone.stores(ANI, CODE).await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    line.press(CODE, &Keying::both()).await.unwrap();
    control.opened(3).await;
    let over = json!([told(&line, "CallDisconnected", json!({}))]);
    assert_eq!(line.callback(&over).await, Some(200));
    within("the end", line.media_ended()).await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    line.press(WRONG, &Keying::both()).await.unwrap();
    within("the end", line.media_ended()).await;
}

/// What nobody may post, what is no event, who asks whether to post, and a key of no call that is
/// known; a token that was shown.
async fn posts(control: &Control) -> String {
    let asks = async |request: &[u8]| control.asks(request).await.status;
    let headers = "Content-Type: application/json\r\n";
    for body in [format!("[{{\"n\": \"{ANI}\"}}]"), "canary".to_owned()] {
        assert_eq!(asks(&post(EVENTS, headers, &body)).await, 401);
    }
    let keyed = format!("{headers}api-key: {KEY}\r\n");
    assert_eq!(asks(&post(EVENTS, &keyed, "canary")).await, 400);
    let preflight = format!(
        "OPTIONS {EVENTS} HTTP/1.1\r\nHost: localhost\r\n\
         WebHook-Request-Origin: eventgrid.azure.net\r\n\r\n"
    );
    assert_eq!(asks(preflight.as_bytes()).await, 200);
    let token = control.phone.token();
    let acs = format!("{headers}Authorization: Bearer {token}\r\n");
    let line = &control.desk.lines()[0];
    let key = json!([tone(line, 1, "one")]).to_string();
    assert_eq!(asks(&post("/acs/callbacks/nobody", &acs, &key)).await, 200);
    let mut late = control
        .desk
        .incoming(&Caller::default())
        .event(Schema::EventGrid);
    late["eventTime"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(control.delivers(Schema::EventGrid, &[late]).await, 200);
    token
}

#[tokio::test]
async fn c16_c18_a_whole_run_has_as_many_records_as_decisions_and_tells_no_secret_of_it() {
    let control = world().await;
    let folder = control.phone.world.folder.clone();
    browsers(&control.phone.world).await;
    telephones(&control).await;
    let token = posts(&control).await;
    let all = settled(&control, &folder).await;
    tells_nothing(&folder, &[token]);
    let requests = of(&all, "request");
    let with = |field: &str, value: &str| {
        let with = requests.iter().filter(|record| record[field] == value);
        with.count()
    };
    assert_eq!(with("rule", "preflight"), 1);
    assert_eq!(with("rule", "bad_request"), 1);
    assert_eq!(with("rule", "unauthenticated"), 2);
    assert_eq!(with("call", "nobody"), 1);
    assert!(with("rule", "grid") >= 3, "{requests:?}");
    assert!(with("rule", "phone") >= 3, "{requests:?}");
    assert!(requests.iter().all(|record| record["session"].is_null()));
    let ids = all.iter().filter_map(|record| record["request"].as_str());
    let ids: Vec<_> = ids.collect();
    let once: BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), once.len(), "a request has two records");
}

/// The records, when nothing is under way any more: as many as decisions were counted, in an unbroken
/// chain.
async fn settled(control: &Control, folder: &Path) -> Vec<Value> {
    let world = &control.phone.world;
    let page = || world.edge().metrics_page();
    let decided = steady("decisions", || decided(&page())).await;
    world.metrics_say("tonegate_connections 0").await;
    assert!(decided > 20, "{decided}");
    let all = come(folder, usize::try_from(decided).unwrap()).await;
    let page = page();
    let written = page.lines().filter_map(|line| {
        let series = line.strip_prefix("tonegate_audit_records_total{")?;
        series.rsplit_once(' ')?.1.parse::<u64>().ok()
    });
    assert_eq!(written.sum::<u64>(), decided, "{page}");
    let verified = verify(&[folder.join("audit.jsonl")], &[], false).unwrap();
    assert_eq!(verified.records, decided);
    all
}
