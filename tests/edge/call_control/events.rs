//! From a telephone that rings to the agent, and what is not answered.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tonegate::ids::{CallId, PhoneNumber};
use tonegate::sim::acs::line::Keying;
use tonegate::sim::call_automation::connection::Phase;
use tonegate::sim::call_automation::grid::delivery::{Credential, Handshake};
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::manner::{Begins, First, Manner, Outcome, Trouble};
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::issuer::behaviour::Behaviour;

use super::control::{Control, PSTN, told};
use super::through::signed;
use crate::harness::{KEY, within};
use crate::phone::server::Server;
use crate::phone::world::{ANI, Phone, id};

const BOTH: [Schema; 2] = [Schema::EventGrid, Schema::CloudEvents];

#[tokio::test]
async fn a03_a08_a_telephone_rings_and_the_agent_hears_who_knows_the_code() {
    let control = Control::with(PSTN).await;
    for (number, schema) in BOTH.into_iter().enumerate() {
        control.phone.stores(ANI, "823").await;
        let at = control.subscription(schema, control.ports[0]);
        let (_, attempts) = control.desk.ring(&at, &Caller::default()).await;
        assert_eq!(attempts, [Some(200)], "{schema:?}");
        let line = within("the call", control.desk.nth_line(number + 1)).await;
        within("the media", line.streams()).await;
        line.press("823", &Keying::both()).await.unwrap();
        let count = number as u64 + 1;
        control.opened(count).await;
        within("hanging up", line.hang_up()).await;
        control.phone.gates("authorised", count).await;
    }
    assert_eq!(control.desk.record().violations(), []);
    // What ACS was told is as it was asked for, and the call's own.
    let record = control.desk.record();
    let asked = record.asked(Operation::Answer).next().unwrap();
    let call = asked.body["operationContext"].as_str().unwrap();
    assert_eq!(call.len(), 32);
    let callback = asked.body["callbackUri"].as_str().unwrap();
    assert!(
        callback.ends_with(&format!("/acs/callbacks/{call}")),
        "{callback}"
    );
    let media = &asked.body["mediaStreamingOptions"];
    let url = media["transportUrl"].as_str().unwrap();
    assert!(url.contains(&format!("/acs/media/{call}?s=")), "{url}");
    assert_eq!(media["enableDtmfTones"], true);
}

#[tokio::test]
async fn a03_the_socket_may_come_before_the_answer_and_the_callback_before_the_socket() {
    let control = Control::with(PSTN).await;
    for (number, first) in [First::Socket, First::Callback].into_iter().enumerate() {
        control.phone.stores(ANI, "823").await;
        control.desk.set(Manner {
            begins: Begins::Before(Duration::from_secs(5)),
            first,
            ..Manner::default()
        });
        let line = control.answered().await;
        within("the media", line.streams()).await;
        line.press("823", &Keying::both()).await.unwrap();
        control.opened(number as u64 + 1).await;
        within("hanging up", line.hang_up()).await;
    }
    assert_eq!(control.desk.record().violations(), []);
}

#[tokio::test]
async fn a03_an_event_that_comes_again_has_one_effect() {
    let control = Control::with(PSTN).await;
    let rings = control.desk.incoming(&Caller::default());
    let event = rings.event(Schema::EventGrid);
    let twice = [event.clone(), event.clone()];
    assert_eq!(control.delivers(Schema::EventGrid, &twice).await, 200);
    assert_eq!(control.delivers(Schema::EventGrid, &[event]).await, 200);
    assert_eq!(control.answers(), 1);
    control.event_dropped("events", "duplicate", 2).await;
}

#[tokio::test]
async fn a03_a08_what_cannot_be_answered_is_taken_and_dropped() {
    let control = Control::with(PSTN).await;
    let event = |caller: &Caller, change: &dyn Fn(&mut Value)| {
        let mut event = control.desk.incoming(caller).event(Schema::CloudEvents);
        change(&mut event);
        event
    };
    let usual = Caller::default();
    let before = |seconds| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        json!(humantime::format_rfc3339(then).to_string())
    };
    let withheld = Caller {
        from: None,
        ..Caller::default()
    };
    let cases = [
        ("late", event(&usual, &|event| event["time"] = before(40))),
        ("late", event(&usual, &|event| event["time"] = Value::Null)),
        ("withheld", event(&withheld, &|_| {})),
        (
            "unreadable",
            event(&usual, &|event| {
                event["data"]["incomingCallContext"] = Value::Null
            }),
        ),
        (
            "not_answered",
            event(&usual, &|event| {
                event["data"]["incomingCallContext"] = json!("of-no-call");
            }),
        ),
    ];
    for (why, event) in &cases {
        let status = control
            .delivers(Schema::CloudEvents, std::slice::from_ref(event))
            .await;
        assert_eq!(status, 200, "{why}");
    }
    for (why, count) in [
        ("late", 2),
        ("withheld", 1),
        ("unreadable", 1),
        ("not_answered", 1),
    ] {
        control.event_dropped("events", why, count).await;
    }
    assert!(control.desk.lines().is_empty());
}

#[tokio::test]
async fn a08_a_flow_that_needs_no_number_answers_who_withholds_it() {
    let control = Control::with("flow = \"open\"").await;
    let at = control.subscription(Schema::EventGrid, control.ports[0]);
    let withheld = Caller {
        from: None,
        ..Caller::default()
    };
    let (_, attempts) = control.desk.ring(&at, &withheld).await;
    assert_eq!(attempts, [Some(200)]);
    let line = within("the call", control.desk.nth_line(1)).await;
    within("the media", line.streams()).await;
    within("hanging up", line.hang_up()).await;
}

#[tokio::test]
async fn a13_the_id_of_a_sip_header_opens_its_call() {
    let control = Control::with("flow = \"sip-header\", consume = true").await;
    let caller = |headers: &[(&str, &str)]| Caller {
        sip_headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Caller::default()
    };
    let at = control.subscription(Schema::EventGrid, control.ports[0]);
    let (_, attempts) = control.desk.ring(&at, &caller(&[])).await;
    assert_eq!(attempts, [Some(200)]);
    control.event_dropped("events", "no_sip_id", 1).await;
    let store = control.phone.world.edge().store();
    let key = store.keys().sip(&crate::phone::world::id("abc-xyz-123"));
    store.put_key(&key, Duration::from_secs(60)).await.unwrap();
    let sip = [("X-MS-Custom-Session", "abc-xyz-123")];
    let (_, attempts) = control.desk.ring(&at, &caller(&sip)).await;
    assert_eq!(attempts, [Some(200)]);
    // Also where the record is not asked.
    let record = control.desk.record();
    let asked = record.asked(Operation::Answer).next().unwrap();
    let url = &asked.body["mediaStreamingOptions"]["transportUrl"];
    assert_eq!(signed(url.as_str().unwrap())["sip"], "abc-xyz-123");
    let line = within("the call", control.desk.nth_line(1)).await;
    within("the media", line.streams()).await;
    within("hanging up", line.hang_up()).await;
}

#[tokio::test]
async fn a05_a_failure_that_may_pass_is_brought_again_and_another_is_not() {
    let control = Control::with(PSTN).await;
    let rings = control.desk.incoming(&Caller::default());
    let event = [rings.event(Schema::EventGrid)];
    let answer = Some(Operation::Answer);
    // After a 503 Event Grid would wait until nobody is there any more.
    for status in [500, 503, 429, 401] {
        control.desk.trouble(answer, Trouble::Status(status), 1);
        assert_eq!(
            control.delivers(Schema::EventGrid, &event).await,
            502,
            "{status}"
        );
    }
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 200);
    let line = within("the call", control.desk.nth_line(1)).await;
    assert_ne!(line.phase(), Phase::Gone);
    let other = [control
        .desk
        .incoming(&Caller::default())
        .event(Schema::EventGrid)];
    control.desk.trouble(answer, Trouble::Status(404), 1);
    assert_eq!(control.delivers(Schema::EventGrid, &other).await, 200);
    assert_eq!(control.delivers(Schema::EventGrid, &other).await, 200);
    control.event_dropped("events", "not_answered", 1).await;
    control.event_dropped("events", "duplicate", 1).await;
}

#[tokio::test]
async fn a04_both_handshakes_are_answered() {
    let control = Control::with(PSTN).await;
    for schema in BOTH {
        let at = control.subscription(schema, control.ports[0]);
        let shaken = control.desk.handshake(&at).await;
        assert!(matches!(shaken, Handshake::Valid), "{schema:?}: {shaken:?}");
    }
}

#[tokio::test]
async fn a04_a_secret_in_a_header_or_in_the_query_will_do_and_a_wrong_one_not() {
    let control = Control::with(PSTN).await;
    let header = |secret: &str| Credential::Header("api-key".to_owned(), secret.to_owned());
    let url = format!("https://localhost:{}/events/calls", control.ports[0]);
    for (url, credential, status) in [
        (url.clone(), header(KEY), 200),
        (format!("{url}?api-key={KEY}"), Credential::None, 200),
        (url.clone(), header("wrong"), 401),
        (format!("{url}?api-key=wrong"), Credential::None, 401),
        (url.clone(), Credential::None, 401),
    ] {
        let mut at = control.subscription(Schema::EventGrid, control.ports[0]);
        (at.url, at.credential) = (url, credential);
        let (_, attempts) = control.desk.ring(&at, &Caller::default()).await;
        assert_eq!(attempts, [Some(status)]);
    }
    assert_eq!(control.answers(), 2);
}

#[tokio::test]
async fn a04_keys_out_of_reach_are_503_and_never_401() {
    let control = Control::with(PSTN).await;
    control.phone.provider.set_keys(Behaviour::Status(500));
    let event = [control
        .desk
        .incoming(&Caller::default())
        .event(Schema::EventGrid)];
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 503);
    control.phone.provider.set_keys(Behaviour::Normal);
    assert_eq!(control.answers(), 0);
}

/// The connection of an answered call is the one that the answer named, whoever posts first.
#[tokio::test]
async fn a05_the_answer_says_the_connection_before_anybody_else_can() {
    let control = Control::with(PSTN).await;
    control.desk.set(Manner {
        answering: Outcome::Rings,
        ..Manner::default()
    });
    let line = control.answered().await;
    let mut foreign = told(&line, "CallDisconnected", json!({}));
    foreign["data"]["callConnectionId"] = json!("0800-another");
    assert_eq!(line.callback(&json!([foreign])).await, Some(200));
    control
        .event_dropped("callbacks", "other_connection", 1)
        .await;
    let call = line.callback_url().rsplit_once('/').unwrap().1;
    let call = CallId::new(call).unwrap();
    let known = control.phone.world.edge().store().known(&call).await;
    let facts = known.unwrap().unwrap().facts;
    assert_eq!(facts.connection, Some(id(line.id())));
    assert_eq!(facts.correlation, Some(id(line.correlation())));
    assert_eq!(facts.ani, PhoneNumber::new(ANI));
}

/// Nobody may answer an event that might be taken by another edge, too.
#[tokio::test]
async fn a03_a19_an_event_that_cannot_be_taken_is_503_and_one_that_cannot_be_noted_is_given_back() {
    let redis = Server::plain(&[]);
    let rights = |may: &str| assert_eq!(redis.tell(&["ACL", "SETUSER", "default", may]), "OK");
    let store = format!("url = \"redis://127.0.0.1:{}\"", redis.port);
    let control = Control::of(PSTN, &store, false).await;
    let up = |phone: &Phone| phone.world.edge().store().is_up();
    control.phone.eventually("the store", up).await;
    let event = [control
        .desk
        .incoming(&Caller::default())
        .event(Schema::EventGrid)];
    for (not, again) in [("-set", "+set"), ("-hset", "+hset")] {
        rights(not);
        assert_eq!(
            control.delivers(Schema::EventGrid, &event).await,
            503,
            "{not}"
        );
        assert_eq!(control.answers(), 0);
        rights(again);
    }
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 200);
    assert_eq!(control.answers(), 1);
    within("the call", control.desk.nth_line(1)).await;
}

#[tokio::test]
async fn a19_a_store_out_of_reach_is_503() {
    let control = Control::of(PSTN, "url = \"redis://127.0.0.1:1\"", false).await;
    let event = [control
        .desk
        .incoming(&Caller::default())
        .event(Schema::EventGrid)];
    assert_eq!(control.delivers(Schema::EventGrid, &event).await, 503);
    assert_eq!(control.answers(), 0);
}
