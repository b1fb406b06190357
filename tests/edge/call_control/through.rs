//! One call through every hop, by the names that each gives it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tonegate::audio::SampleRate;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::call_automation::connection::Phase;
use tonegate::sim::call_automation::desk::Fate;
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::record::{Asked, Event};
use tonegate::sim::call_automation::request::Operation;

use super::control::{Control, PSTN, Wish};
use crate::child::Child;
use crate::harness::within;
use crate::phone::server::Server;
use crate::phone::world::{ANI, find, speech};

const RATE: SampleRate = SampleRate::Hz24000;

/// What a call is called.
struct Names {
    call: String,
    connection: String,
    correlation: String,
}

/// The line of the log that says this of the call, as soon as it is there.
async fn logged(child: &Child, message: &str, call: &str) -> Value {
    let is = |line: &Value| line["message"] == message && line["call"] == call;
    child.until(message, |child| child.logged(is) > 0).await;
    let lines = child.lines(is);
    assert_eq!(lines.len(), 1, "{message}");
    lines[0].clone()
}

/// The claims of what the media URL was signed for.
pub fn signed(url: &str) -> Value {
    let token = url.split_once("?s=").unwrap().1;
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// What stands in the call's record in Redis.
fn record(redis: &Server, call: &str) -> Value {
    let text = redis.tell(&["HGETALL", &format!("call:{{{call}}}")]);
    let lines: Vec<&str> = text.lines().collect();
    let (pairs, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty(), "{text}");
    let pairs = pairs
        .iter()
        .map(|[name, value]| ((*name).to_owned(), json!(value)));
    Value::Object(pairs.collect())
}

/// What Call Automation was asked for; the call's own id, of ours.
fn asked(asked: &Asked, context: &str, ports: [u16; 2]) -> String {
    let call = asked.body["operationContext"].as_str().unwrap().to_owned();
    assert_eq!(asked.body["incomingCallContext"], context);
    let callback = format!("https://localhost:{}/acs/callbacks/{call}", ports[1]);
    assert_eq!(asked.body["callbackUri"], callback);
    let url = asked.body["mediaStreamingOptions"]["transportUrl"]
        .as_str()
        .unwrap();
    let media = format!("wss://localhost:{}/acs/media/{call}?s=", ports[0]);
    assert!(url.starts_with(&media), "{url}");
    let claims = signed(url);
    assert_eq!(
        (&claims["call"], &claims["route"], &claims["ani"]),
        (&json!(call), &json!("phone"), &json!(ANI))
    );
    call
}

/// The telephone rings, and is answered.
async fn answered(control: &Control) -> (Line, Names) {
    let at = control.subscription(Schema::CloudEvents, control.ports[0]);
    let (rings, attempts) = control.desk.ring(&at, &Caller::default()).await;
    assert_eq!(
        (attempts, rings.fate()),
        (vec![Some(200)], Some(Fate::Answered))
    );
    let record = control.desk.record();
    let answers: Vec<_> = record.asked(Operation::Answer).collect();
    let [answer] = &answers[..] else {
        panic!("{answers:?}");
    };
    let line = within("the call", control.desk.nth_line(1)).await;
    let names = Names {
        call: asked(answer, &rings.context, control.ports),
        connection: line.id().to_owned(),
        correlation: rings.correlation.clone(),
    };
    assert_eq!(line.correlation(), names.correlation);
    (line, names)
}

/// The gate is shut: who carries the call, in the log and in the store.
async fn pending(child: &Child, redis: &Server, names: &Names) -> Value {
    let answered = logged(child, "call answered", &names.call).await;
    let started = logged(child, "session started", &names.call).await;
    for line in [&answered, &started] {
        assert_eq!(
            (&line["connection"], &line["correlation"]),
            (&json!(names.connection), &json!(names.correlation)),
            "{line}"
        );
    }
    let known = record(redis, &names.call);
    for (name, value) in [
        ("ani", json!(ANI)),
        ("connection", json!(names.connection)),
        ("correlation", json!(names.correlation)),
        ("route", json!("phone")),
        ("owner", started["session"].clone()),
        ("opened", json!("0")),
    ] {
        assert_eq!(known[name], value, "{name}");
    }
    assert_eq!(started["gate"], "pending");
    started["session"].clone()
}

/// Each hop knows the call by the same names: the event, the answer, the media socket, the record
/// in the store, the gate, the callbacks, the end.
#[tokio::test]
async fn a03_a05_a06_a12_a34_a_call_goes_through_every_hop_by_its_own_names() {
    let redis = Server::plain(&[]);
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let control = Control::wish(Wish {
        gate: PSTN,
        store: &store,
        process: true,
        ..Wish::default()
    })
    .await;
    let child = control.process.as_ref().unwrap();
    child.metrics_say("tonegate_store_up 1").await;
    // As another cloud stores it.
    let key = format!("pstn:{ANI}:823");
    redis.tell(&["SET", &key, "1", "EX", "3600"]);
    let (line, names) = answered(&control).await;
    within("the media", line.streams()).await;
    let session = pending(child, &redis, &names).await;
    assert_eq!(control.phone.world.upstream_total(), 0);
    // The caller dials the code, and talks to the agent.
    line.press("823", &Keying::both()).await.unwrap();
    let opened = logged(child, "gate opened", &names.call).await;
    assert_eq!(opened["session"], session);
    assert_eq!(redis.tell(&["EXISTS", &key]), "0", "the key is used up");
    let live = format!("live:{{{}}}", names.call);
    assert_eq!(redis.tell(&["GET", &live]), session.as_str().unwrap());
    speaks(&control, &line).await;
    // The caller hangs up.
    within("hanging up", line.hang_up()).await;
    assert_eq!(line.phase(), Phase::Gone);
    let ended = logged(child, "session ended", &names.call).await;
    assert_eq!(
        (&ended["session"], &ended["gate"], &ended["upstream"]),
        (&session, &json!("authorised"), &json!("voice"))
    );
    logged(child, "call over", &names.call).await;
    assert_eq!(record(&redis, &names.call)["ended"], "1");
    let left = redis.tell(&["EXISTS", &live]);
    assert_eq!(left, "0", "no verdict outlives its call");
    child
        .metrics_say("tonegate_sessions{route=\"phone\"} 0")
        .await;
    told(&control, &names);
}

/// What the caller says is heard by the agent, whose answer is heard by the caller.
async fn speaks(control: &Control, line: &Line) {
    let hand = line.hand().unwrap();
    let voice = speech(0.6, RATE);
    hand.say(Talker::Caller, &voice).unwrap();
    hand.pause(Talker::Caller, Duration::from_millis(700))
        .unwrap();
    // The agent answers a turn with the turn.
    let answered = |samples: &[i16]| find(&voice, samples).is_some();
    within(
        "the agent's voice",
        hand.until(|record| answered(&record.received)),
    )
    .await;
    let seen = control.phone.world.record.last().unwrap();
    assert!(
        answered(&control.phone.audio(&seen)),
        "the agent heard the caller"
    );
    assert_eq!(control.phone.world.upstream_total(), 1);
}

/// What the simulated ACS did and was told, all of it.
fn told(control: &Control, names: &Names) {
    let record = control.desk.record();
    assert_eq!(record.violations(), []);
    let mut callbacks: Vec<&str> = Vec::new();
    for event in record.events() {
        match event {
            Event::Posted(posted) => {
                assert_eq!(
                    (posted.connection.as_str(), posted.status),
                    (&*names.connection, Some(200))
                );
                callbacks.extend(&posted.kinds);
            }
            Event::MediaAccepted(id)
            | Event::MediaEnded(id)
            | Event::Began(id)
            | Event::Ended(id) => {
                assert_eq!(*id, names.connection);
            }
            Event::Asked(asked) => assert_eq!(asked.operation, Operation::Answer),
            Event::Rang(status) => assert_eq!(*status, Some(200)),
            Event::Wrong(..) | Event::MediaRefused(..) => panic!("{event:?}"),
        }
    }
    let life = [
        "CallConnected",
        "MediaStreamingStarted",
        "MediaStreamingStopped",
        "CallDisconnected",
    ];
    assert_eq!(callbacks, life);
}
