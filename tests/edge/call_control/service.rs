//! How the simulated service's calls go, in every order that an edge must bear.

use serde_json::{Value, json};
use tonegate::sim::call_automation::connection::Phase;
use tonegate::sim::call_automation::grid::Caller;
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::manner::{Begins, Delivery, First, Manner, Outcome};
use tonegate::sim::call_automation::record::Event;

use super::sdk::Service;
use crate::acs_sdk::sdk_reads_events;
use crate::harness::{PATIENCE, within};

/// Types of the events that came so far, without what all begin with.
fn kinds(service: &Service) -> Vec<String> {
    let kind = |event: &Value| {
        let kind = event["type"].as_str().unwrap();
        kind.strip_prefix("Microsoft.Communication.")
            .unwrap()
            .to_owned()
    };
    service.events().iter().map(kind).collect()
}

/// The same as Microsoft's parser reads them, which reads all else of them, too.
async fn read(events: &[Value]) -> Vec<String> {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let read = sdk_reads_events(&lines).await;
    for (event, read) in events.iter().zip(&read) {
        for (name, value) in event["data"].as_object().unwrap() {
            assert_eq!(read[name], *value, "{name} of {event}");
        }
    }
    let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
    read.iter().map(kind).collect()
}

/// The SDK answers a call.
async fn answered(service: &Service) -> Line {
    let rings = service.desk.incoming(&Caller::default());
    let mut sdk = service.sdk(None);
    let told = sdk.does(json!(["answer", rings.context, true])).await;
    service.desk.line(told["id"].as_str().unwrap()).unwrap()
}

async fn seen(service: &Service, kind: &str) {
    let desk = &service.desk;
    within(kind, desk.until(|r| r.posted(kind).count() > 0)).await;
}

#[tokio::test]
async fn a05_the_socket_comes_before_the_answer_and_before_the_callback() {
    let service = Service::open(false).await;
    service.desk.set(Manner {
        begins: Begins::Before(PATIENCE),
        first: First::Socket,
        ..Manner::default()
    });
    answered(&service).await;
    seen(&service, "MediaStreamingStarted").await;
    let record = service.desk.record();
    let at = |holds: &dyn Fn(&Event) -> bool| record.events().position(holds).unwrap();
    let media = at(&|event| matches!(event, Event::MediaAccepted(_)));
    let callback = at(&|event| matches!(event, Event::Posted(_)));
    assert!(
        media < callback,
        "{record:?}",
        record = record.events().collect::<Vec<_>>()
    );
    assert_eq!(kinds(&service), ["CallConnected", "MediaStreamingStarted"]);
}

#[tokio::test]
async fn a06_callbacks_go_twice_and_in_disorder_when_they_are_to() {
    let service = Service::open(false).await;
    service.desk.set(Manner {
        first: First::Socket,
        delivery: Delivery {
            twice: true,
            reversed: true,
            ..Delivery::default()
        },
        ..Manner::default()
    });
    let line = answered(&service).await;
    service.hook.came(4).await;
    let (started, connected) = ("MediaStreamingStarted", "CallConnected");
    assert_eq!(kinds(&service), [started, started, connected, connected]);
    let events = service.events();
    assert_eq!(events[0], events[1]);
    line.hang_up().await;
    let ends = ["CallDisconnected", "MediaStreamingStopped"];
    assert_eq!(kinds(&service)[4..], [ends[0], ends[0], ends[1], ends[1]]);
    assert_eq!(line.phase(), Phase::Gone);
    // The first end counts.
    line.hang_up().await;
    assert_eq!(service.hook.letters().len(), 8);
}

#[tokio::test]
async fn a05_an_answer_may_fail_afterwards() {
    let service = Service::open(false).await;
    service.desk.set(Manner {
        answering: Outcome::Fails(500, 8500),
        ..Manner::default()
    });
    let line = answered(&service).await;
    seen(&service, "AnswerFailed").await;
    assert_eq!(kinds(&service), ["AnswerFailed"]);
    assert_eq!(read(&service.events()).await, ["AnswerFailed"]);
    let data = &service.events()[0]["data"];
    assert_eq!(data["resultInformation"]["code"], 500);
    assert_eq!(line.phase(), Phase::Gone);
    assert!(line.hand().is_none());
}

#[tokio::test]
async fn a05_a_call_that_nobody_takes_up_fails_when_it_is_hung_up() {
    let service = Service::open(false).await;
    service.desk.set(Manner {
        calling: Outcome::Rings,
        ..Manner::default()
    });
    let mut sdk = service.sdk(None);
    let made = sdk
        .does(json!(["create", "+15557654321", "+15550001111"]))
        .await;
    sdk.does(json!(["hang_up", made["id"]])).await;
    seen(&service, "CreateCallFailed").await;
    assert_eq!(kinds(&service), ["CreateCallFailed"]);
    assert_eq!(read(&service.events()).await, ["CreateCallFailed"]);
}

#[tokio::test]
async fn a05_a_refused_media_stream_is_told_and_the_call_goes_on() {
    let mut service = Service::open(false).await;
    service.media = service.hook.url("/acs/media/ours").replace("http:", "ws:");
    // To the first callback, then to the upgrade.
    service.hook.next(200, Vec::new(), "");
    service.hook.next(401, Vec::new(), "");
    let line = answered(&service).await;
    seen(&service, "MediaStreamingFailed").await;
    let letters = service.hook.letters();
    let failed = letters[2].json()[0]["data"].clone();
    let details = &failed["mediaStreamingUpdate"]["mediaStreamingStatusDetails"];
    assert_eq!(details, "authenticationFailure");
    let events = letters[2].json();
    let kinds = read(events.as_array().unwrap()).await;
    assert_eq!(kinds, ["MediaStreamingFailed"]);
    assert_eq!(line.phase(), Phase::Connected);
}
