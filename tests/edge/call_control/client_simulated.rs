//! The client before the simulated Call Automation, which takes nothing that Microsoft's
//! specification does not know, and whose calls stream their media to the edge.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonegate::config::Settings;
use tonegate::ids::{CallId, PhoneNumber};
use tonegate::metrics::Metrics;
use tonegate::secret::Secret;
use tonegate::sim::call_automation::connection::Phase;
use tonegate::sim::call_automation::desk::Desk;
use tonegate::sim::call_automation::manner::{First, Manner, Trouble};
use tonegate::sim::call_automation::record::Event;
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::call_automation::{self, Options};
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::provider::Provider;
use tonegate::upstream::call_automation::Connected;
use tonegate::upstream::call_automation::{CallAutomation, Create, Failure, Participant};

use super::client_service::ACCESS_KEY;
use crate::harness::within;
use crate::phone::world::{ANI, Line, Phone, signed};

/// A resource of ACS, an edge that controls its calls, and the client that whoever makes them has.
struct Resource {
    phone: Phone,
    desk: Arc<Desk>,
    client: CallAutomation,
    stop: CancellationToken,
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn simulated(
    provider: &Arc<Provider>,
    authority: &Authority,
    stop: CancellationToken,
) -> Arc<Desk> {
    let service = call_automation::CallAutomation::bind(Options {
        identity: Some(authority.issue(&["localhost"]).unwrap()),
        roots_pem: Some(authority.pem()),
        ..Options::loopback(Arc::clone(provider), ACCESS_KEY)
    })
    .await
    .unwrap();
    let desk = service.desk();
    tokio::spawn(service.serve(stop));
    // The media stream comes first: nobody takes callbacks here.
    desk.set(Manner {
        first: First::Socket,
        ..Manner::default()
    });
    desk
}

impl Resource {
    async fn with(gate: &str) -> Resource {
        let stop = CancellationToken::new();
        let mut bound = None;
        let line = Line {
            gate: gate.to_owned(),
            ..Line::default()
        };
        let phone = Phone::beside(line, async |provider, authority| {
            let desk = simulated(provider, authority, stop.clone()).await;
            let tables = acs(&desk, "ca.pem");
            bound = Some(desk);
            tables
        })
        .await;
        let desk = bound.unwrap();
        let client = client(&desk, &phone);
        Resource {
            phone,
            desk,
            client,
            stop,
        }
    }

    /// Calls the usual number; media goes to the edge.
    async fn calls(&self, call: &str) -> Result<Connected, Failure> {
        let media_url = Secret::new(self.phone.url(&signed(call)));
        let callback = format!("https://localhost:{}/nobody", self.phone.world.port);
        let create = Create {
            target: &PhoneNumber::new(ANI).unwrap(),
            source: &PhoneNumber::new("+15550001111").unwrap(),
            call: &CallId::new(call).unwrap(),
            media_url: &media_url,
            callback_url: &callback,
            streaming: self.client.streaming(),
        };
        within("a call", self.client.create(&create)).await
    }

    async fn until_gone(&self) {
        let gone = self.desk.until(|record| {
            record
                .events()
                .any(|event| matches!(event, Event::Ended(_)))
        });
        within("the call's end", gone).await;
    }

    fn asked(&self, operation: Operation) -> Vec<(u16, bool)> {
        let record = self.desk.record();
        assert_eq!(record.violations(), []);
        let asked = record.asked(operation);
        asked.map(|asked| (asked.status, asked.repeated)).collect()
    }
}

fn acs(desk: &Desk, roots: &str) -> String {
    format!(
        "\n[acs]\nendpoint = \"{}\"\nkey = \"{ACCESS_KEY}\"\nroots = \"{roots}\"\n",
        desk.endpoint()
    )
}

/// A client beside the edge, as the edge's own is not for tests to call.
fn client(desk: &Desk, phone: &Phone) -> CallAutomation {
    let own = crate::harness::folder();
    let ca = own.join("ca.pem");
    std::fs::write(&ca, phone.world.authority.pem()).unwrap();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{}[upstreams.voice]\nkind = \"voice-live\"\n\
         resource = \"my-resource\"\ncredential = {{ key = \"k\" }}\n[[routes]]\nname = \"r\"\n\
         paths = [\"/ws\"]\nkind = \"voice-live\"\nadmit = [\"anyone\"]\nmodels = [\"m\"]\n\
         upstreams = [\"voice\"]\n",
        acs(desk, &ca.display().to_string())
    );
    let settings = Settings::read_text("edge.toml", &text).unwrap();
    std::fs::remove_dir_all(own).unwrap();
    CallAutomation::new(settings.live.acs.unwrap(), Arc::new(Metrics::new())).unwrap()
}

#[tokio::test]
async fn a05_what_is_asked_is_what_the_specification_knows() {
    let resource = Resource::with("flow = \"open\"").await;
    let connected = resource.calls("c1").await.unwrap();
    let line = within("a call", resource.desk.nth_line(1)).await;
    assert_eq!(connected.connection.as_str(), line.id());
    assert_eq!(connected.server_call.as_deref(), Some(line.server_call()));
    assert_eq!(connected.correlation.unwrap().as_str(), line.correlation());
    // The media arrives, and at the agent.
    within("media", line.streams()).await;
    let (id, call) = (&connected.connection, CallId::new("c1").unwrap());
    let number = PhoneNumber::new(ANI).unwrap();
    let whose = Participant::Phone(&number);
    let client = &resource.client;
    within(
        "the call",
        resource
            .desk
            .until(|record| record.posted("CallConnected").count() > 0),
    )
    .await;
    within("tones", client.start_dtmf(id, &call, &whose))
        .await
        .unwrap();
    within("no tones", client.stop_dtmf(id, &call, &whose))
        .await
        .unwrap();
    within("no media", client.stop_media(id, &call))
        .await
        .unwrap();
    within("the stream's end", line.media_ended()).await;
    within("media", client.start_media(id, &call))
        .await
        .unwrap();
    within("an end", client.hang_up(id)).await.unwrap();
    resource.until_gone().await;
    assert_eq!(line.phase(), Phase::Gone);
    // Once more: it is done already.
    within("an end", client.hang_up(id)).await.unwrap();
    let record = resource.desk.record();
    let wrong = record
        .events()
        .filter(|event| matches!(event, Event::Wrong(..)));
    // A call that is no longer there: that alone.
    assert_eq!(wrong.count(), 1, "{:?}", record.violations());
}

#[tokio::test]
async fn a05_an_answer_that_is_lost_makes_no_second_call() {
    let resource = Resource::with("flow = \"open\"").await;
    let create = Some(Operation::Create);
    resource.desk.trouble(create, Trouble::Lost, 1);
    resource.desk.trouble(create, Trouble::Later(429, 1), 1);
    let connected = resource.calls("c1").await.unwrap();
    assert_eq!(resource.desk.lines().len(), 1);
    assert_eq!(resource.desk.lines()[0].id(), connected.connection.as_str());
    let asked = resource.asked(Operation::Create);
    assert_eq!(asked.last(), Some(&(201, true)), "{asked:?}");
}

#[tokio::test]
async fn a05_a_gate_that_rejects_ends_the_call_itself_whatever_it_takes() {
    let gate = "flow = \"pstn\", digits = 3, deadline = \"5s\", attempts = 1";
    let resource = Resource::with(gate).await;
    resource.phone.stores(ANI, "823").await;
    resource
        .desk
        .trouble(Some(Operation::Terminate), Trouble::Status(503), 1);
    resource.calls("c1").await.unwrap();
    let line = within("a call", resource.desk.nth_line(1)).await;
    within("media", line.streams()).await;
    let keying = tonegate::sim::acs::line::Keying::both();
    line.press("824", &keying).await.unwrap();
    resource.until_gone().await;
    assert_eq!(line.phase(), Phase::Gone);
    resource.phone.gates("rejected", 1).await;
    let asked = resource.asked(Operation::Terminate);
    assert_eq!(asked, [(503, false), (204, false)]);
    let series = "tonegate_call_automation_operations_total{operation=\"hang_up\",result=\"ok\"} 1";
    resource.phone.world.metrics_say(series).await;
    assert_eq!(resource.phone.world.upstream_total(), 0);
}
