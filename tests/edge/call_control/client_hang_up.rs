//! What the edge ends is hung up: once, by its connection, and never in the way of anything.

use std::time::{Duration, SystemTime};

use tonegate::ids::{CallId, SessionId};
use tonegate::label::Label;
use tonegate::secret::Digest;
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Dial, Options};
use tonegate::store::{Enter, Entered, Needs};

use super::client_service::{ACCESS_KEY, Reply, Service};
use crate::heard::trap;
use crate::phone::world::{ANI, CONNECTION, Line, Phone, Ringing, id, signed};

const OTHER: &str = "08002580-0000-0000-0000-00000000000b";

/// An edge that controls the calls of this endpoint.
async fn phone(port: u16, gate: &str, route: &str, acs: &str) -> Phone {
    Phone::with(Line {
        gate: gate.to_owned(),
        route: route.to_owned(),
        more: format!(
            "[acs]\nendpoint = \"http://127.0.0.1:{port}\"\nkey = \"{ACCESS_KEY}\"\n{acs}\n"
        ),
        ..Line::default()
    })
    .await
}

const GATE: &str = "flow = \"pstn\", digits = 3, deadline = \"20s\", attempts = 1";

fn terminated(connection: &str) -> String {
    format!("POST /calling/callConnections/{connection}:terminate?api-version=2026-03-12")
}

async fn rings(phone: &Phone, dial: &Dial) -> Ringing {
    phone.rings(dial, Options::default()).await
}

/// A call that dials a wrong code and is closed.
async fn is_rejected(phone: &Phone, call: &str) {
    let call = rings(phone, &phone.dial(&signed(call))).await;
    call.dials("824", &Keying::both());
    call.closed(4403, "code_wrong").await;
}

async fn hung_up(phone: &Phone, result: &str, count: u64) {
    let series = format!(
        "tonegate_call_automation_operations_total{{operation=\"hang_up\",result=\"{result}\"}} \
         {count}"
    );
    phone.world.metrics_say(&series).await;
}

#[tokio::test]
async fn a05_a_call_that_the_gate_rejects_is_hung_up_once() {
    let service = Service::usual().await;
    let phone = phone(service.port, GATE, "", "").await;
    phone.stores(ANI, "823").await;
    is_rejected(&phone, "c1").await;
    hung_up(&phone, "ok", 1).await;
    phone.world.settles().await;
    assert_eq!(service.lines(), [terminated(CONNECTION)]);
    assert_eq!(phone.world.upstream_total(), 0);
}

#[tokio::test]
async fn a05_a_gate_that_expires_hangs_up_and_a_call_that_is_gone_is_done() {
    let service = Service::usual().await;
    let gate = "flow = \"pstn\", digits = 3, deadline = \"500ms\"";
    let phone = phone(service.port, gate, "", "").await;
    service.then([Reply::status(404)]);
    let call = rings(&phone, &phone.dial(&signed("c1"))).await;
    call.closed(4408, "gate_expired").await;
    hung_up(&phone, "ok", 1).await;
    assert_eq!(service.lines(), [terminated(CONNECTION)]);
}

#[tokio::test]
async fn a05_what_the_upstream_or_a_bound_ends_is_hung_up() {
    let service = Service::usual().await;
    let phone = Phone::with(Line {
        gate: "flow = \"open\"".to_owned(),
        more: format!(
            "[acs]\nendpoint = \"http://127.0.0.1:{}\"\nkey = \"{ACCESS_KEY}\"\n",
            service.port
        ),
        route: "limits = { session = \"1s\" }".to_owned(),
        ..Line::default()
    })
    .await;
    let call = rings(&phone, &phone.dial(&signed("c1"))).await;
    call.closed(4450, "max_duration").await;
    hung_up(&phone, "ok", 1).await;
    assert_eq!(service.lines(), [terminated(CONNECTION)]);
}

#[tokio::test]
async fn a05_b16_a_call_whose_session_panics_is_hung_up_wherever_that_happens() {
    // When its gate has opened, outside its relay; and when its end is told.
    for (line, digits, ended) in [
        ("gate opened", "823", ("edge", "internal")),
        ("session ended", "824", ("client", "code_wrong")),
    ] {
        let service = Service::usual().await;
        let phone = phone(service.port, GATE, "", "").await;
        phone.stores(ANI, "823").await;
        let call = format!("panics-{}", &line[..4]);
        trap(line, ("call", &call), 1);
        let call = rings(&phone, &phone.dial(&signed(&call))).await;
        call.dials(digits, &Keying::both());
        hung_up(&phone, "ok", 1).await;
        let panics = "tonegate_panics_total{where=\"session\"} 1";
        phone.world.metrics_say(panics).await;
        phone.world.settles().await;
        assert_eq!(service.lines(), [terminated(CONNECTION)], "{line}");
        phone.ended(ended.0, ended.1, 1).await;
    }
}

#[tokio::test]
async fn a05_a_service_that_is_away_is_counted_and_nothing_waits_for_it() {
    let service = Service::usual().await;
    let acs = "timeout = \"4s\"\ntotal = \"4s\"";
    let phone = phone(service.port, GATE, "", acs).await;
    phone.stores(ANI, "823").await;
    service.then([Reply::Hang]);
    is_rejected(&phone, "c1").await;
    service.hears(1).await;
    // The session is over for everybody else while its call is still being hung up.
    phone.ended("client", "code_wrong", 1).await;
    phone.world.settles().await;
    phone
        .world
        .metrics_say("tonegate_sessions{route=\"phone\"} 0")
        .await;
    phone.world.metrics_say("tonegate_connections 0").await;
    let page = phone.world.edge().metrics_page();
    assert!(!page.contains("operation=\"hang_up\""), "already over");
    hung_up(&phone, "timeout", 1).await;
    assert_eq!(service.lines().len(), 1);
}

/// None of these is hung up: the service hears of the call after them only.
#[tokio::test]
async fn a05_what_acs_ended_or_another_socket_took_over_is_not_hung_up() {
    let service = Service::usual().await;
    let phone = phone(service.port, GATE, "", "").await;
    phone.stores(ANI, "823").await;
    let other = |call: &str| Dial {
        connection_id: Some(OTHER.to_owned()),
        ..phone.dial(&signed(call))
    };
    // The caller hangs up while the gate is shut.
    let call = rings(&phone, &other("c1")).await;
    call.hand.hang_up();
    call.ended().await;
    phone.ended("client", "client_closed", 1).await;
    // Another socket of the call takes over, and then the caller hangs up.
    let first = rings(&phone, &other("c2")).await;
    let second = rings(&phone, &other("c2")).await;
    first.closed(4409, "superseded").await;
    phone.ended("edge", "superseded", 1).await;
    // And while the agent speaks.
    second.dials("823", &Keying::both());
    phone
        .upstream_got(
            Duration::from_millis(100),
            tonegate::audio::SampleRate::Hz24000,
        )
        .await;
    second.hand.hang_up();
    second.ended().await;
    phone.ended("client", "client_closed", 2).await;
    is_rejected(&phone, "c3").await;
    hung_up(&phone, "ok", 1).await;
    assert_eq!(service.lines(), [terminated(CONNECTION)]);
}

#[tokio::test]
async fn a05_a_route_may_leave_its_calls_alone() {
    let service = Service::usual().await;
    let phone = phone(service.port, GATE, "hang_up = false", "").await;
    phone.stores(ANI, "823").await;
    is_rejected(&phone, "c1").await;
    phone.ended("client", "code_wrong", 1).await;
    phone.world.settles().await;
    assert_eq!(service.lines(), Vec::<String>::new());
}

/// Another replica has the call, and this one has not been told so yet when its gate expires.
#[tokio::test]
async fn a25_a_call_that_another_replica_took_over_is_not_hung_up() {
    let service = Service::usual().await;
    let gate = "flow = \"pstn\", digits = 3, deadline = \"500ms\"";
    let phone = phone(service.port, gate, "", "").await;
    let dial = Dial {
        connection_id: Some(OTHER.to_owned()),
        ..phone.dial(&signed("c1"))
    };
    let call = rings(&phone, &dial).await;
    let taken = Enter {
        call: &CallId::new("c1").unwrap(),
        owner: SessionId::random(),
        token: Digest::of("a token that the other replica saw"),
        token_expires: SystemTime::now() + Duration::from_secs(60),
        connection: Some(&id(OTHER)),
        correlation: None,
        route: &Label::new("phone").unwrap(),
        signed: None,
        binding: None,
        makes: false,
        needs: Needs::Dialled,
    };
    let entered = phone.world.edge().store().enter(&taken).await.unwrap();
    assert!(matches!(entered, Entered::Pending(_)), "{entered:?}");
    call.closed(4408, "gate_expired").await;
    phone.gates("expired", 1).await;
    expires(&phone, "c2").await;
    hung_up(&phone, "ok", 1).await;
    assert_eq!(service.lines(), [terminated(CONNECTION)]);
}

/// A call whose gate expires.
async fn expires(phone: &Phone, call: &str) {
    let call = rings(phone, &phone.dial(&signed(call))).await;
    call.closed(4408, "gate_expired").await;
}
