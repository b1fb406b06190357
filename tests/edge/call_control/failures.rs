//! What goes wrong between a telephone that rings and its agent, one test for each. Others are told
//! beside what they are about: events that come twice or may come again (`events`), callbacks in
//! disorder and keys that only they tell of (`callbacks`), two edges (`replicas`).

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tonegate::sim::acs::Dial;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::record::Ending;
use tonegate::sim::call_automation::connection::Phase;
use tonegate::sim::call_automation::desk::Fate;
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::manner::{Manner, Outcome, Trouble};
use tonegate::sim::call_automation::record::Event;
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::stream::Stream;

use super::control::{Control, EVENTS, PSTN, Wish, post};
use super::refused::JSON;
use crate::harness::{KEY, read_answer, within};
use crate::phone::server::Server;
use crate::phone::world::{ANI, Phone};

/// Calls that ACS was asked to end, in order.
fn hung_up(control: &Control) -> Vec<String> {
    let record = control.desk.record();
    let asked = record.asked(Operation::Terminate);
    asked
        .map(|asked| asked.connection.clone().unwrap())
        .collect()
}

/// The call is over for ACS, which has told the edge so.
async fn is_over(control: &Control, line: &Line) {
    let over = |event: &Event| *event == Event::Ended(line.id().to_owned());
    let desk = &control.desk;
    within(
        "the call's end",
        desk.until(|record| record.events().any(over)),
    )
    .await;
    assert_eq!(line.phase(), Phase::Gone);
    let record = desk.record();
    let told = record.posted("CallDisconnected").last().unwrap();
    assert_eq!(
        (told.connection.as_str(), told.status),
        (line.id(), Some(200))
    );
}

/// Nothing of what came before is in the way of a caller who knows the code.
async fn still_answers(control: &Control) {
    control.phone.stores(ANI, "823").await;
    let before = control.phone.world.upstream_total();
    let line = control.answered().await;
    within("the media", line.streams()).await;
    line.press("823", &Keying::both()).await.unwrap();
    control.opened(before + 1).await;
    within("hanging up", line.hang_up()).await;
}

#[tokio::test]
async fn a03_an_event_older_than_a_telephone_rings_is_answered_by_nobody() {
    let control = Control::with(PSTN).await;
    for (age, answers, late) in [(20, 1, 0), (32, 1, 1)] {
        let mut event = control
            .desk
            .incoming(&Caller::default())
            .event(Schema::EventGrid);
        let then = SystemTime::now() - Duration::from_secs(age);
        event["eventTime"] = json!(humantime::format_rfc3339(then).to_string());
        assert_eq!(control.delivers(Schema::EventGrid, &[event]).await, 200);
        assert_eq!(control.answers(), answers, "{age}");
        if late > 0 {
            control.event_dropped("events", "late", late).await;
        }
    }
}

#[tokio::test]
async fn a05_a_caller_who_gave_up_before_the_answer_is_not_asked_for_again() {
    let control = Control::with(PSTN).await;
    let rings = control.desk.incoming(&Caller::default());
    let event = [rings.event(Schema::CloudEvents)];
    rings.give_up();
    for _ in 0..2 {
        assert_eq!(control.delivers(Schema::CloudEvents, &event).await, 200);
    }
    control.event_dropped("events", "not_answered", 1).await;
    control.event_dropped("events", "duplicate", 1).await;
    assert_eq!(rings.fate(), Some(Fate::GivenUp));
    assert!(control.desk.lines().is_empty());
    still_answers(&control).await;
}

#[tokio::test]
async fn a05_an_answer_that_fails_afterwards_is_told_and_harms_no_other_call() {
    let control = Control::with(PSTN).await;
    control.desk.set(Manner {
        answering: Outcome::Fails(500, 8500),
        ..Manner::default()
    });
    let line = control.answered().await;
    let failed = "tonegate_events_total{route=\"callbacks\",event=\"answer_failed\"} 1";
    control.phone.world.metrics_say(failed).await;
    let told = |event: &Event| *event == Event::Ended(line.id().to_owned());
    within(
        "the end",
        control.desk.until(|record| record.events().any(told)),
    )
    .await;
    let record = control.desk.record();
    let statuses: Vec<_> = record
        .posted("AnswerFailed")
        .map(|one| one.status)
        .collect();
    assert_eq!(statuses, [Some(200)]);
    assert_eq!(control.phone.world.edge().sessions(), 0);
    control.desk.set(Manner::default());
    still_answers(&control).await;
    assert_eq!(hung_up(&control), Vec::<String>::new());
}

/// The call is answered, and the edge is not told so: the event comes again, and what was answered
/// goes on all the same.
#[tokio::test]
async fn a05_a_call_whose_answer_was_lost_goes_on_under_its_first_name() {
    let control = Control::with(PSTN).await;
    control.phone.stores(ANI, "823").await;
    control
        .desk
        .trouble(Some(Operation::Answer), Trouble::Lost, 1);
    let rings = control.desk.incoming(&Caller::default());
    let event = [rings.event(Schema::EventGrid)];
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 502);
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 200);
    control.event_dropped("events", "not_answered", 1).await;
    let lines = control.desk.lines();
    let [line] = &lines[..] else {
        panic!("{} calls", lines.len());
    };
    within("the media", line.streams()).await;
    line.press("823", &Keying::both()).await.unwrap();
    control.opened(1).await;
    within("hanging up", line.hang_up()).await;
}

/// A request of Event Grid's that has the call answered, and takes long enough to be left alone.
async fn is_being_answered(control: &Control) -> (Stream, Line) {
    control.desk.set(Manner {
        answering: Outcome::Rings,
        slow: Duration::from_millis(800),
        ..Manner::default()
    });
    let rings = control.desk.incoming(&Caller::default());
    let body = json!([rings.event(Schema::EventGrid)]).to_string();
    let headers = format!("api-key: {KEY}\r\n{JSON}");
    let mut io = control.phone.world.connect().await;
    io.write_all(&post(EVENTS, &headers, &body)).await.unwrap();
    io.flush().await.unwrap();
    (io, within("the call", control.desk.nth_line(1)).await)
}

/// What the record of a call in Redis says of its connection.
fn connection(redis: &Server, line: &Line) -> String {
    let call = line.callback_url().rsplit_once('/').unwrap().1;
    redis.tell(&["HGET", &format!("call:{{{call}}}"), "connection"])
}

#[tokio::test]
async fn a05_a_call_is_answered_to_the_end_for_an_event_grid_that_has_gone() {
    let redis = Server::plain(&[]);
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let control = Control::of(PSTN, &store, false).await;
    let up = |phone: &Phone| phone.world.edge().store().is_up();
    control.phone.eventually("the store", up).await;
    let (io, line) = is_being_answered(&control).await;
    drop(io);
    let noted = |_: &Phone| connection(&redis, &line) == line.id();
    control.phone.eventually("the record", noted).await;
}

#[tokio::test]
async fn a05_a_call_is_answered_to_the_end_by_an_edge_that_stops() {
    let redis = Server::plain(&[]);
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let mut control = Control::of(PSTN, &store, false).await;
    let up = |phone: &Phone| phone.world.edge().store().is_up();
    control.phone.eventually("the store", up).await;
    let (io, line) = is_being_answered(&control).await;
    let edge = control.phone.world.edge.take().unwrap();
    let stopping = tokio::task::spawn_blocking(move || edge.stop());
    let refused = read_answer(io).await.err().unwrap();
    refused.is(503, "draining");
    within("the stop", stopping).await.unwrap();
    assert_eq!(connection(&redis, &line), line.id());
}

#[tokio::test]
async fn a06_a20_a_caller_who_hangs_up_while_the_gate_is_shut_leaves_nothing_behind() {
    let control = Control::with(PSTN).await;
    control.phone.stores(ANI, "823").await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    line.press("82", &Keying::both()).await.unwrap();
    let heard = "tonegate_gate_digits_total{route=\"phone\",feed=\"message\"} 2";
    let hand = line.hand().unwrap();
    within("two keys", hand.until(|record| record.keys() == 2)).await;
    // The rest of the second key, and what tells of it.
    let sent = hand.look(|record| record.messages_sent);
    control.phone.heard(sent + 20).await;
    within("hanging up", line.hang_up()).await;
    control.phone.gates("left", 1).await;
    control.phone.world.metrics_say(heard).await;
    control.phone.ended("client", "client_closed", 1).await;
    is_over(&control, &line).await;
    assert_eq!(control.phone.world.upstream_total(), 0);
    // Nobody comes back for it, and nobody hangs up once more.
    within("another socket", line.redial()).await;
    let refused = "tonegate_requests_total{route=\"phone\",result=\"forbidden\"} 1";
    control.phone.world.metrics_say(refused).await;
    assert_eq!(hung_up(&control), Vec::<String>::new());
    // Half a code is none: its key is still there.
    let line = control.answered().await;
    within("the media", line.streams()).await;
    line.press("823", &Keying::both()).await.unwrap();
    control.opened(1).await;
    within("hanging up", line.hang_up()).await;
    assert_eq!(control.desk.record().violations(), []);
}

/// A call that the gate ends is ended at ACS, too: once, by its connection.
async fn is_hung_up(gate: &str, keys: &str, (code, reason): (u16, &str)) {
    let control = Control::with(gate).await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    line.press(keys, &Keying::both()).await.unwrap();
    let media = within("the end", line.media_ended()).await;
    let closed = Ending::Closed {
        code: Some(code),
        reason: reason.to_owned(),
    };
    assert_eq!(media.ending, Some(closed));
    is_over(&control, &line).await;
    assert_eq!(hung_up(&control), [line.id()]);
    assert_eq!(control.phone.world.upstream_total(), 0);
    assert_eq!(control.desk.record().violations(), []);
}

#[tokio::test]
async fn a05_a_call_that_the_gate_rejects_is_hung_up_at_acs() {
    let gate = "flow = \"pstn\", digits = 3, attempts = 1, deadline = \"15s\"";
    is_hung_up(gate, "824", (4403, "code_wrong")).await;
}

#[tokio::test]
async fn a05_a_call_whose_gate_expires_is_hung_up_at_acs() {
    let gate = "flow = \"pstn\", digits = 3, deadline = \"700ms\"";
    is_hung_up(gate, "8", (4408, "gate_expired")).await;
}

/// The URL that ACS was told opens the route that the call was answered for and no other, also
/// before the record knows of any.
#[tokio::test]
async fn a43_the_media_url_of_an_answered_call_is_for_its_own_route() {
    let other = "[[routes]]\nname = \"other\"\npaths = [\"/acs/other/{call}\"]\n\
                 kind = \"acs-media\"\nrequire = [\"phone\", \"call\"]\n\
                 gate = { flow = \"open\" }\nmodels = [\"gpt-realtime\"]\nupstreams = [\"voice\"]\n";
    let control = Control::wish(Wish {
        gate: PSTN,
        more: other,
        ..Wish::default()
    })
    .await;
    control.desk.set(Manner {
        answering: Outcome::Rings,
        ..Manner::default()
    });
    let line = control.answered().await;
    let record = control.desk.record();
    let asked = record.asked(Operation::Answer).next().unwrap();
    let url = asked.body["mediaStreamingOptions"]["transportUrl"]
        .as_str()
        .unwrap();
    let dial = |url: String| Dial {
        url,
        roots_pem: Some(control.phone.world.authority.pem()),
        token: Some(control.phone.token()),
        connection_id: Some(line.id().to_owned()),
        correlation_id: Some(line.correlation().to_owned()),
        more: Vec::new(),
    };
    let elsewhere = dial(url.replace("/acs/media/", "/acs/other/"));
    assert_eq!(
        control.phone.refused(&elsewhere).await,
        (403, "forbidden".to_owned())
    );
    let call = control
        .phone
        .rings(
            &dial(url.to_owned()),
            tonegate::sim::acs::Options::default(),
        )
        .await;
    call.hand.hang_up();
    call.ended().await;
    control.phone.gates("left", 1).await;
    assert_eq!(control.phone.world.upstream_total(), 0);
}
