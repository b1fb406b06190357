//! Calls that were made: from the order to the agent and the end, what binds them to whoever had them
//! made, and what becomes of those that come to nothing.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tonegate::audio::SampleRate;
use tonegate::sim::acs::line::{Keying, Talker};
use tonegate::sim::acs::record::Ending;
use tonegate::sim::acs::{Call, Dial, Options};
use tonegate::sim::call_automation::connection::Phase;
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::manner::{Begins, First, Manner, Outcome, Trouble};
use tonegate::sim::call_automation::record::Event;
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::client::Error;

use super::call_api::{
    CALLS, MANY, OPEN, TO, api, ask, by_key, creates, json_of, made, post, request, rings,
};
use super::control::{Control, Wish, told};
use crate::harness::{KEY, within};
use crate::phone::server::Server;
use crate::phone::world::speech;

const API: Wish<'_> = Wish {
    gate: "flow = \"api\"",
    ..OPEN
};

/// What whoever had it made is told, as soon as this is its status.
async fn becomes(control: &Control, call: &str, status: &str) -> Value {
    within(status, async {
        loop {
            let answer = ask(control, "GET", call, &by_key(KEY)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let told = json_of(&answer);
            if told["status"] == status {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn counted(control: &Control, result: &str, count: u64) {
    let line = format!("tonegate_calls_made_total{{route=\"calls\",result=\"{result}\"}} {count}");
    control.phone.world.metrics_say(&line).await;
}

/// Waits until ACS was asked to end a call.
async fn hung_up(control: &Control, line: &Line) {
    let ended = |event: &Event| matches!(event, Event::Ended(id) if id == line.id());
    let over = control.desk.until(|record| record.events().any(ended));
    within("the end of the call", over).await;
    assert_eq!(line.phase(), Phase::Gone);
    let record = control.desk.record();
    let asked = record.asked(Operation::Terminate).next_back().unwrap();
    assert_eq!(asked.connection.as_deref(), Some(line.id()));
}

#[tokio::test]
async fn a14_a_call_is_made_heard_by_the_agent_and_ended_by_who_had_it_made() {
    let runs = [OPEN, API].map(async |setup| {
        let control = api(setup, MANY).await;
        let (call, line) = made(&control).await;
        let hand = within("the media", line.streams()).await;
        let told = becomes(&control, &call, "connected").await;
        let members: Vec<&String> = told.as_object().unwrap().keys().collect();
        assert_eq!(members, ["call", "connection", "created", "status"]);
        assert_eq!(told["connection"], line.id());
        let created = told["created"].as_str().unwrap();
        humantime::parse_rfc3339(created).unwrap();
        // The agent hears what is said, and answers it.
        let said = speech(0.6, SampleRate::Hz24000);
        hand.say(Talker::Caller, &said).unwrap();
        hand.pause(Talker::Caller, Duration::from_secs(1)).unwrap();
        within(
            "the agent",
            hand.until(|record| !record.received.is_empty()),
        )
        .await;
        let ended = ask(&control, "DELETE", &call, &by_key(KEY)).await;
        assert_eq!((ended.status, ended.body.as_str()), (204, ""));
        let media = within("the end", line.media_ended()).await;
        let closed = Ending::Closed {
            code: Some(1000),
            reason: "hung_up".to_owned(),
        };
        assert_eq!(media.ending, Some(closed));
        control.phone.ended("client", "hung_up", 1).await;
        hung_up(&control, &line).await;
        let told = becomes(&control, &call, "ended").await;
        assert_eq!(told["ended"]["code"], 200, "{told}");
        // Once more is done already, and nothing else is asked of ACS.
        let again = ask(&control, "DELETE", &call, &by_key(KEY)).await;
        assert_eq!(again.status, 204);
        let record = control.desk.record();
        assert_eq!(record.asked(Operation::Terminate).count(), 1);
        assert_eq!(record.violations(), []);
        // ACS was told what it is to be told, and its media gets in no more.
        let asked = record.asked(Operation::Create).next().unwrap();
        assert_eq!(asked.body["operationContext"], call);
        assert_eq!(asked.body["sourceCallerIdNumber"]["value"], "+15550001111");
        assert_eq!(asked.body["targets"][0]["phoneNumber"]["value"], TO);
        within("another socket", line.redial()).await;
        let refused = Event::MediaRefused(line.id().to_owned(), Some(403));
        assert!(control.desk.record().events().any(|e| *e == refused));
        counted(&control, "ok", 1).await;
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a14_whom_it_calls_may_have_to_dial_a_code() {
    let gate =
        "flow = \"pstn\", digits = 3, deadline = \"15s\", feeds = [\"messages\", \"callbacks\"]";
    let control = api(Wish { gate, ..OPEN }, MANY).await;
    control.phone.stores(TO, "823").await;
    let (_, line) = made(&control).await;
    within("the media", line.streams()).await;
    // Tones are asked for of whoever was called.
    within("the edge's ear", line.listens()).await;
    assert_eq!(control.phone.world.upstream_total(), 0);
    line.press("823", &Keying::both()).await.unwrap();
    control.opened(1).await;
    within("hanging up", line.hang_up()).await;
}

#[tokio::test]
async fn a14_how_a_call_ended_is_told() {
    let control = api(OPEN, MANY).await;
    control.desk.set(Manner {
        calling: Outcome::Fails(486, 5486),
        ..Manner::default()
    });
    let (busy, _) = made(&control).await;
    let told = becomes(&control, &busy, "ended").await;
    assert_eq!(told["ended"], json!({"code": 486, "sub_code": 5486}));
    rings(&control);
    let (call, line) = made(&control).await;
    assert_eq!(becomes(&control, &call, "calling").await.get("ended"), None);
    let ended = ask(&control, "DELETE", &call, &by_key(KEY)).await;
    assert_eq!(ended.status, 204);
    hung_up(&control, &line).await;
    within("the code", async {
        while becomes(&control, &call, "ended").await["ended"]["code"] != 487 {}
    })
    .await;
    control.desk.set(Manner::default());
    let (call, line) = made(&control).await;
    within("the media", line.streams()).await;
    within("hanging up", line.hang_up()).await;
    let told = becomes(&control, &call, "ended").await;
    assert_eq!(told["ended"]["code"], 200);
}

/// How ACS is told to stream a call's media.
fn media_url(control: &Control, nth: usize) -> String {
    let record = control.desk.record();
    let asked = record.asked(Operation::Create).nth(nth).unwrap();
    let url = &asked.body["mediaStreamingOptions"]["transportUrl"];
    url.as_str().unwrap().to_owned()
}

/// A socket with a good token of ACS; why it is refused.
async fn refused(control: &Control, url: &str, connection: Option<&str>) -> (u16, String) {
    let dial = Dial {
        url: url.to_owned(),
        roots_pem: Some(control.phone.world.authority.pem()),
        token: Some(control.phone.token()),
        connection_id: connection.map(str::to_owned),
        ..Dial::default()
    };
    match within("an answer", Call::dial(&dial, Options::default())).await {
        Ok(_) => panic!("let in"),
        Err(Error::Refused(refused)) => {
            let text = String::from_utf8(refused.body.to_vec()).unwrap();
            (refused.status, text)
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a26_media_of_one_call_by_the_connection_of_another_is_refused_before_and_after() {
    for setup in [OPEN, API] {
        let control = api(setup, MANY).await;
        rings(&control);
        let (_, y) = made(&control).await;
        // ACS has made call X, and has not said so yet.
        control.desk.set(Manner {
            calling: Outcome::Rings,
            slow: Duration::from_millis(2600),
            ..Manner::default()
        });
        let key = by_key(KEY);
        let (attacks, answer) = tokio::join!(
            async {
                let x = within("call X", control.desk.nth_line(2)).await;
                let began =
                    |e: &Event| matches!(e, Event::Asked(asked) if asked.connection.is_none());
                let asked = control
                    .desk
                    .until(|r| r.events().filter(|e| began(e)).count() > 1);
                within("the order", asked).await;
                let url = media_url(&control, 1);
                (refused(&control, &url, Some(y.id())).await, x, url)
            },
            post(&control, &key),
        );
        let ((status, body), x, url) = attacks;
        assert_eq!(status, 403);
        assert!(body.contains("the call is not known"), "{body}");
        assert_eq!(answer.status, 201, "{}", answer.body);
        for connection in [Some(y.id()), Some("0800-nobody")] {
            let (status, body) = refused(&control, &url, connection).await;
            assert_eq!(status, 403);
            assert!(body.contains("otherwise"), "{body}");
        }
        // The header is what the flow's key is named by; without one nothing is known of the call.
        let (status, _) = refused(&control, &url, None).await;
        assert!([400, 403].contains(&status), "{status}");
        // Y's URL with X's connection, and a URL that says nothing of who had it made.
        let of_y = media_url(&control, 0);
        assert_eq!(refused(&control, &of_y, Some(x.id())).await.0, 403);
        let call = json_of(&answer)["call"].as_str().unwrap().to_owned();
        let bare = control.phone.url(&crate::phone::world::signed(&call));
        assert_eq!(refused(&control, &bare, Some(x.id())).await.0, 403);
        assert_eq!(control.phone.world.upstream_total(), 0);
        assert_eq!(control.phone.world.edge().sessions(), 0);
    }
}

#[tokio::test]
async fn a26_acs_may_dial_and_call_back_before_it_has_answered() {
    for (first, setup) in [(First::Socket, OPEN), (First::Callback, API)] {
        let control = api(setup, MANY).await;
        control.desk.set(Manner {
            begins: Begins::Before(Duration::from_millis(500)),
            first,
            ..Manner::default()
        });
        let (call, line) = made(&control).await;
        within("the media", line.streams()).await;
        becomes(&control, &call, "connected").await;
        control.opened(1).await;
        let record = control.desk.record();
        let refused = |event: &Event| matches!(event, Event::MediaRefused(..));
        assert!(!record.events().any(refused));
        within("hanging up", line.hang_up()).await;
    }
}

#[tokio::test]
async fn a26_a_key_that_another_cloud_wrote_still_opens_a_call_that_rang() {
    let control = api(API, MANY).await;
    rings(&control);
    let (_, ours) = made(&control).await;
    control.desk.set(Manner::default());
    let at = control.subscription(Schema::EventGrid, control.ports[0]);
    let (_, attempts) = control.desk.ring(&at, &Caller::default()).await;
    assert_eq!(attempts, [Some(200)]);
    let line = within("the call", control.desk.nth_line(2)).await;
    let without = |event: &Event| matches!(event, Event::MediaRefused(_, Some(403)));
    let seen = control.desk.until(|record| record.events().any(without));
    within("the refusal", seen).await;
    let store = control.phone.world.edge().store();
    let key = |line: &Line| store.keys().api(&crate::phone::world::id(line.id()));
    let hour = Duration::from_secs(3600);
    store.put_key(&key(&line), hour).await.unwrap();
    within("another socket", line.redial()).await;
    within("the media", line.streams()).await;
    control.opened(1).await;
    within("hanging up", line.hang_up()).await;
    assert_ne!(line.id(), ours.id());
}

#[tokio::test]
async fn a14_what_acs_does_not_do_has_its_status_and_no_media_gets_in() {
    let control = api(OPEN, MANY).await;
    for (number, (status, answered, reason)) in [
        (400, 502, "upstream_refused"),
        (401, 502, "upstream_unauthorized"),
        (404, 502, "upstream_refused"),
        (429, 503, "upstream_busy"),
        (500, 502, "upstream_refused"),
        (503, 503, "upstream_busy"),
        (504, 504, "upstream_timeout"),
    ]
    .into_iter()
    .enumerate()
    {
        let trouble = Trouble::Status(status);
        control.desk.trouble(Some(Operation::Create), trouble, 1);
        let answer = post(&control, &by_key(KEY)).await;
        answer.is(answered, reason);
        assert!(!answer.body.contains(TO));
        let url = media_url(&control, number);
        let (status, _) = refused(&control, &url, Some("0800-nobody")).await;
        assert_eq!(status, 403);
        let call = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
        let told = ask(&control, "GET", call, &by_key(KEY)).await;
        told.is(404, "not_found");
    }
    assert!(control.desk.lines().is_empty());
    for (result, count) in [("upstream_refused", 3), ("upstream_busy", 2)] {
        counted(&control, result, count).await;
    }
}

#[tokio::test]
async fn a14_a_call_that_acs_made_without_saying_so_is_hung_up_by_its_first_callback() {
    let control = api(OPEN, MANY).await;
    let create = Some(Operation::Create);
    control.desk.trouble(create, Trouble::Lost, 1);
    let answer = post(&control, &by_key(KEY)).await;
    answer.is(502, "upstream_unreachable");
    let line = within("the call", control.desk.nth_line(1)).await;
    hung_up(&control, &line).await;
    // Its media did not get in meanwhile.
    let accepted = |event: &Event| matches!(event, Event::MediaAccepted(_));
    assert!(!control.desk.record().events().any(accepted));
    // An answer that comes too late is none either.
    let acs = "timeout = \"300ms\"\ntotal = \"300ms\"";
    let control = api(Wish { acs, ..OPEN }, MANY).await;
    control.desk.set(Manner {
        slow: Duration::from_millis(700),
        ..Manner::default()
    });
    let answer = post(&control, &by_key(KEY)).await;
    answer.is(504, "upstream_timeout");
    control.desk.set(Manner::default());
    let line = within("the call", control.desk.nth_line(1)).await;
    hung_up(&control, &line).await;
}

#[tokio::test]
async fn a14_a_store_that_is_away_has_nobody_called_or_the_call_hung_up() {
    let redis = Server::plain(&[]);
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let store = store.as_str();
    let control = api(Wish { store, ..OPEN }, MANY).await;
    let up = |control: &Control| control.phone.world.edge().store().is_up();
    let is_up = async || {
        control
            .phone
            .eventually("the store", |_| up(&control))
            .await
    };
    is_up().await;
    rings(&control);
    let (call, _) = made(&control).await;
    // Away while ACS makes it.
    let held = Trouble::Held(Duration::from_millis(700));
    control.desk.trouble(Some(Operation::Create), held, 1);
    let key = by_key(KEY);
    let (answer, ()) = tokio::join!(post(&control, &key), async {
        let made = "tonegate_store_operations_total{operation=\"make_call\",result=\"ok\"} 2";
        control.phone.world.metrics_say(made).await;
        redis.kill();
    });
    answer.is(503, "store_unavailable");
    let line = within("the call", control.desk.nth_line(2)).await;
    hung_up(&control, &line).await;
    // Away before.
    let answer = post(&control, &by_key(KEY)).await;
    answer.is(503, "store_unavailable");
    assert_eq!(creates(&control), 2);
    for method in ["GET", "DELETE"] {
        let answer = ask(&control, method, &call, &by_key(KEY)).await;
        answer.is(503, "store_unavailable");
    }
    counted(&control, "store_unavailable", 2).await;
}

#[tokio::test]
async fn a14_a_call_that_nobody_is_told_of_is_taken_back() {
    let control = api(OPEN, MANY).await;
    let slow = Manner {
        calling: Outcome::Rings,
        slow: Duration::from_millis(400),
        ..Manner::default()
    };
    control.desk.set(slow.clone());
    let headers = format!("{}Content-Type: application/json\r\n", by_key(KEY));
    let body = json!({ "to": TO }).to_string();
    let order = request("POST", CALLS, &headers, Some(&body));
    let mut io = control.phone.world.connect().await;
    io.write_all(&order).await.unwrap();
    io.flush().await.unwrap();
    let line = within("the call", control.desk.nth_line(1)).await;
    drop(io);
    hung_up(&control, &line).await;
    counted(&control, "untold", 1).await;
    // An edge that is told to stop says that it did nothing, and has done nothing.
    let mut control = control;
    let edge = control.phone.world.edge.take().unwrap();
    let (answer, line) = tokio::join!(control.asks(&order), async {
        let line = within("the call", control.desk.nth_line(2)).await;
        tokio::task::spawn_blocking(move || edge.stop())
            .await
            .unwrap();
        line
    });
    answer.is(503, "draining");
    hung_up(&control, &line).await;
}

#[tokio::test]
async fn a14_a_call_that_a_lost_attempt_made_is_hung_up_though_the_next_was_refused() {
    let acs = "attempts = 2";
    let control = api(Wish { acs, ..OPEN }, MANY).await;
    let create = Some(Operation::Create);
    control.desk.trouble(create, Trouble::Lost, 1);
    control.desk.trouble(create, Trouble::Status(400), 1);
    let answer = post(&control, &by_key(KEY)).await;
    answer.is(502, "upstream_refused");
    assert_eq!(creates(&control), 2);
    let line = within("the call", control.desk.nth_line(1)).await;
    hung_up(&control, &line).await;
}

/// Its connection is noted by then, and whoever had it made will not ask for its end.
#[tokio::test]
async fn a14_a_call_whose_taking_back_failed_is_hung_up_by_its_callbacks() {
    let control = api(OPEN, MANY).await;
    control.desk.set(Manner {
        slow: Duration::from_millis(400),
        begins: Begins::After(Duration::from_millis(500)),
        ..Manner::default()
    });
    let terminate = Some(Operation::Terminate);
    control.desk.trouble(terminate, Trouble::Status(500), 1);
    let headers = format!("{}Content-Type: application/json\r\n", by_key(KEY));
    let body = json!({ "to": TO }).to_string();
    let order = request("POST", CALLS, &headers, Some(&body));
    let mut io = control.phone.world.connect().await;
    io.write_all(&order).await.unwrap();
    io.flush().await.unwrap();
    let line = within("the call", control.desk.nth_line(1)).await;
    drop(io);
    counted(&control, "untold", 1).await;
    hung_up(&control, &line).await;
    let record = control.desk.record();
    let accepted = |event: &Event| matches!(event, Event::MediaAccepted(_));
    assert!(!record.events().any(accepted));
    assert!(record.asked(Operation::Terminate).count() > 1);
}

#[tokio::test]
async fn a14_a_hang_up_that_fails_is_told_and_may_be_tried_again() {
    let control = api(OPEN, MANY).await;
    let (call, line) = made(&control).await;
    within("the media", line.streams()).await;
    let terminate = Some(Operation::Terminate);
    control.desk.trouble(terminate, Trouble::Status(500), 1);
    let failed = ask(&control, "DELETE", &call, &by_key(KEY)).await;
    failed.is(502, "upstream_refused");
    becomes(&control, &call, "connected").await;
    let ended = ask(&control, "DELETE", &call, &by_key(KEY)).await;
    assert_eq!(ended.status, 204);
    hung_up(&control, &line).await;
    becomes(&control, &call, "ended").await;
}

#[tokio::test]
async fn a14_a26_made_on_one_edge_media_on_another_and_ended_on_either() {
    let redis = Server::plain(&[]);
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let setup = Wish {
        store: &store,
        two: true,
        ..API
    };
    let mut control = api(setup, MANY).await;
    let [first, second] = control.ports;
    let both_up = |control: &Control| {
        let other = control.second.as_ref().unwrap();
        control.phone.world.edge().store().is_up() && other.store().is_up()
    };
    control
        .phone
        .eventually("the stores", |_| both_up(&control))
        .await;
    // Orders go to the second edge, media comes to the first.
    control.phone.world.port = second;
    let (call, line) = made(&control).await;
    within("the media", line.streams()).await;
    assert_eq!(control.phone.world.edge().sessions(), 1);
    assert_eq!(control.second.as_ref().unwrap().sessions(), 0);
    control.opened(1).await;
    becomes(&control, &call, "connected").await;
    control.phone.world.port = first;
    becomes(&control, &call, "connected").await;
    control.phone.world.port = second;
    let ended = ask(&control, "DELETE", &call, &by_key(KEY)).await;
    assert_eq!(ended.status, 204);
    hung_up(&control, &line).await;
    within("the end", line.media_ended()).await;
    control.phone.world.port = first;
    becomes(&control, &call, "ended").await;
    let over = json!([told(&line, "CallConnected", json!({}))]);
    assert_eq!(line.callback(&over).await, Some(200));
    // What comes late changes nothing, and the record says whose it is, not who.
    becomes(&control, &call, "ended").await;
    let key = redis.tell(&["GET", &format!("acs:call_connection_id:{}", line.id())]);
    let binding = redis.tell(&["HGET", &format!("call:{{{call}}}"), "binding"]);
    assert_eq!(key.trim(), format!("tonegate:call:{}", binding.trim()));
    assert!(
        !redis
            .tell(&["HGETALL", &format!("call:{{{call}}}")])
            .contains("tester")
    );
}

#[tokio::test]
async fn s36_the_log_tells_which_call_was_made_and_not_to_whom() {
    let mut control = api(OPEN, MANY).await;
    drop(control.phone.world.edge.take());
    let child = control.phone.child();
    let (call, line) = made(&control).await;
    within("the media", line.streams()).await;
    let refused = request(
        "POST",
        CALLS,
        &format!("{}Content-Type: application/json\r\n", by_key(KEY)),
        Some("{\"to\": \"+4989765432\"}"),
    );
    control.asks(&refused).await.is(403, "forbidden");
    let trouble = Trouble::Status(400);
    control.desk.trouble(Some(Operation::Create), trouble, 1);
    post(&control, &by_key(KEY))
        .await
        .is(502, "upstream_refused");
    let ended = ask(&control, "DELETE", &call, &by_key(KEY)).await;
    assert_eq!(ended.status, 204);
    hung_up(&control, &line).await;
    let is_made = |logged: &Value| {
        let said =
            ["route", "subject", "call", "connection", "correlation"].map(|name| &logged[name]);
        let wanted = ["calls", "tester", &call, line.id(), line.correlation()];
        logged["message"] == "call made" && logged["level"] == "INFO" && said == wanted
    };
    within("the log", async {
        while child.logged(is_made) == 0
            || child.logged(|logged| logged["message"] == "call over") == 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(child.logged(is_made), 1);
    for number in [TO, "7654321", "9765432"] {
        assert_eq!(child.logged(|l| l.to_string().contains(number)), 0);
    }
}
