//! What ACS calls back with reaches the call.

use serde_json::json;
use tonegate::ids::{CallId, PhoneNumber};
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::record::Ending;
use tonegate::sim::call_automation::manner::{Delivery, Manner};
use tonegate::sim::call_automation::record::Record;
use tonegate::sim::call_automation::request::Operation;
use tonegate::store::Facts;

use super::control::{BY_CALLBACK, Control, PSTN, told, tone};
use crate::harness::within;
use crate::phone::server::Server;
use crate::phone::world::{ANI, id};

#[tokio::test]
async fn a06_keys_that_only_callbacks_tell_of_open_the_gate() {
    let control = Control::with(BY_CALLBACK).await;
    control.desk.set(Manner {
        delivery: Delivery {
            twice: true,
            reversed: true,
            ..Delivery::default()
        },
        ..Manner::default()
    });
    control.phone.stores(ANI, "823").await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    // The edge asks for tones when the call is connected.
    within("the edge's ear", line.listens()).await;
    line.tones("823").await.unwrap();
    control.opened(1).await;
    let digits = "tonegate_gate_digits_total{route=\"phone\",feed=\"callback\"} 3";
    within("hanging up", line.hang_up()).await;
    control.phone.world.metrics_say(digits).await;
    let record = control.desk.record();
    assert_eq!(record.violations(), []);
    // The call was said to be connected twice, and its tones are asked for once.
    assert_eq!(record.posted("CallConnected").count(), 2);
    assert_eq!(record.asked(Operation::StartDtmf).count(), 1);
}

#[tokio::test]
async fn a06_keys_out_of_order_are_heard_in_theirs_and_those_of_another_connection_are_not() {
    let control = Control::with(BY_CALLBACK).await;
    control.phone.stores(ANI, "823").await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    let mut foreign = tone(&line, 1, "nine");
    foreign["data"]["callConnectionId"] = json!("0800-another");
    let third = json!([foreign, tone(&line, 3, "three")]);
    assert_eq!(line.callback(&third).await, Some(200));
    control
        .event_dropped("callbacks", "other_connection", 1)
        .await;
    for (place, word) in [(2, "two"), (1, "eight"), (1, "seven")] {
        let one = json!([tone(&line, place, word)]);
        assert_eq!(line.callback(&one).await, Some(200));
    }
    control.opened(1).await;
    within("hanging up", line.hang_up()).await;
}

/// The first callback may be faster than the answer: then it says which connection the call is, and
/// no other one speaks for it.
#[tokio::test]
async fn a06_the_first_callback_says_the_connection_where_nobody_has_said_it() {
    let control = Control::with(BY_CALLBACK).await;
    let known = Facts {
        ani: PhoneNumber::new(ANI),
        ..Facts::default()
    };
    control.phone.notes("c1", &known).await;
    let said = async |connection: &str, tone: u32| {
        let event = json!([{
            "id": "1", "source": "s", "specversion": "1.0",
            "type": "Microsoft.Communication.ContinuousDtmfRecognitionToneReceived",
            "data": {"callConnectionId": connection, "sequenceId": tone, "tone": "one"},
        }]);
        let token = control.phone.token();
        let headers =
            format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let request = super::control::post("/acs/callbacks/c1", &headers, &event.to_string());
        assert_eq!(control.asks(&request).await.status, 200);
    };
    said("0800-first", 1).await;
    said("0800-second", 2).await;
    control
        .event_dropped("callbacks", "other_connection", 1)
        .await;
    let call = CallId::new("c1").unwrap();
    let known = control.phone.world.edge().store().known(&call).await;
    let connection = known.unwrap().unwrap().facts.connection;
    assert_eq!(connection, Some(id("0800-first")));
}

/// Keys of a call have an end, and one that cannot be read is counted.
#[tokio::test]
async fn a06_more_keys_than_are_kept_and_keys_that_are_none_are_counted() {
    let control = Control::with(BY_CALLBACK).await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    let many: Vec<_> = (1..=129).map(|at| tone(&line, at, "one")).collect();
    assert_eq!(line.callback(&json!(many)).await, Some(200));
    control.event_dropped("callbacks", "full", 1).await;
    let hit = "tonegate_limit_hits_total{limit=\"tones\"} 1";
    control.phone.world.metrics_say(hit).await;
    let none = json!([tone(&line, 0, "one"), tone(&line, 1, "eleven")]);
    assert_eq!(line.callback(&none).await, Some(200));
    control.event_dropped("callbacks", "unreadable", 2).await;
    within("hanging up", line.hang_up()).await;
}

#[tokio::test]
async fn a06_a_gate_that_does_not_hear_callbacks_is_not_opened_by_them() {
    let control = Control::with(PSTN).await;
    control.phone.stores(ANI, "823").await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    let words = [(1, "eight"), (2, "two"), (3, "three")];
    let keys: Vec<_> = words.map(|(place, word)| tone(&line, place, word)).into();
    assert_eq!(line.callback(&json!(keys)).await, Some(200));
    // Those before a wrong code would make it another one.
    line.press("824", &Keying::both()).await.unwrap();
    let asked = |operation: &str| {
        let labels = format!("{{operation=\"{operation}\",result=\"ok\"}}");
        let series = format!("tonegate_store_operations_total{labels}");
        control.phone.world.count(&series)
    };
    control
        .phone
        .eventually("a try", |_| asked("try_code") == 1)
        .await;
    within("hanging up", line.hang_up()).await;
    control.phone.gates("left", 1).await;
    assert_eq!((asked("add_tones"), asked("tones")), (1, 0));
    assert_eq!(control.phone.world.upstream_total(), 0);
}

/// The store answers, but not to all: its own rights say to what. What could not be kept is not said
/// to have been, and what comes again counts once.
#[tokio::test]
async fn a06_a19_what_the_store_could_not_take_is_503_and_may_come_again() {
    let redis = Server::plain(&[]);
    let rights = |may: &str| assert_eq!(redis.tell(&["ACL", "SETUSER", "default", may]), "OK");
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let control = Control::of(BY_CALLBACK, &store, false).await;
    let edge = control.phone.world.edge();
    let up = |_: &_| edge.store().is_up();
    control.phone.eventually("the store", up).await;
    control.phone.stores(ANI, "823").await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    within("the edge's ear", line.listens()).await;
    // All that comes by itself has come.
    let begun = |record: &Record| record.posted("MediaStreamingStarted").count() == 1;
    within("callbacks", control.desk.until(begun)).await;
    let first = json!([tone(&line, 1, "eight"), tone(&line, 2, "two")]);
    let last = json!([tone(&line, 3, "three")]);
    let over = json!([told(&line, "CallDisconnected", json!({}))]);
    // Nothing of the call can be read.
    rights("-hmget");
    assert_eq!(line.callback(&first).await, Some(503));
    rights("+hmget");
    // It can, and nothing can be written.
    rights("-hset");
    assert_eq!(line.callback(&first).await, Some(503));
    rights("+hset");
    for _ in 0..2 {
        assert_eq!(line.callback(&first).await, Some(200));
    }
    assert_eq!(line.callback(&last).await, Some(200));
    control.opened(1).await;
    let refused = "tonegate_requests_total{route=\"callbacks\",result=\"store_unavailable\"}";
    assert_eq!(control.phone.world.count(refused), 2);
    // The session that is here ends all the same; the others are told when it comes again.
    rights("-hset");
    assert_eq!(line.callback(&over).await, Some(503));
    control.phone.ended("client", "hung_up", 1).await;
    let record = format!(
        "call:{{{}}}",
        line.callback_url().rsplit_once('/').unwrap().1
    );
    let ended = || redis.tell(&["HGET", &record, "ended"]);
    assert_eq!(ended(), "");
    rights("+hset");
    assert_eq!(line.callback(&over).await, Some(200));
    assert_eq!(ended(), "1");
}

#[tokio::test]
async fn a06_a_call_that_is_over_ends_its_session_pending_or_not() {
    for gate in [PSTN, "flow = \"open\""] {
        let control = Control::with(gate).await;
        let line = control.answered().await;
        within("the media", line.streams()).await;
        let over = json!([told(&line, "CallDisconnected", json!({}))]);
        assert_eq!(line.callback(&over).await, Some(200));
        let media = within("the end", line.media_ended()).await;
        let closed = Ending::Closed {
            code: Some(1000),
            reason: "hung_up".to_owned(),
        };
        assert_eq!(media.ending, Some(closed));
        control.phone.ended("client", "hung_up", 1).await;
        // Nobody begins another session for it.
        within("another socket", line.redial()).await;
        control.phone.ended("client", "hung_up", 1).await;
        let refused = "tonegate_requests_total{route=\"phone\",result=\"forbidden\"} 1";
        control.phone.world.metrics_say(refused).await;
    }
}

#[tokio::test]
async fn a06_media_that_failed_and_calls_that_nobody_knows_are_counted() {
    let control = Control::with(PSTN).await;
    let line = control.answered().await;
    within("the media", line.streams()).await;
    let update = json!({"mediaStreamingUpdate": {
        "contentType": "Audio", "mediaStreamingStatus": "mediaStreamingFailed",
        "mediaStreamingStatusDetails": "authenticationFailure",
    }});
    let failed = json!([told(&line, "MediaStreamingFailed", update)]);
    assert_eq!(line.callback(&failed).await, Some(200));
    let counted =
        "tonegate_media_failures_total{route=\"callbacks\",detail=\"authentication_failure\"} 1";
    control.phone.world.metrics_say(counted).await;
    let token = control.phone.token();
    let body = json!([tone(&line, 1, "one")]).to_string();
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    let request = super::control::post("/acs/callbacks/nobody", &headers, &body);
    assert_eq!(control.asks(&request).await.status, 200);
    control.event_dropped("callbacks", "unknown_call", 1).await;
    // A token of ACS is not spent by a callback.
    assert_eq!(control.asks(&request).await.status, 200);
    within("hanging up", line.hang_up()).await;
}
