//! A world in which telephones ring by themselves: Call Automation and Event Grid, simulated, and
//! edges that answer.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::sim::call_automation::desk::Desk;
use tonegate::sim::call_automation::grid::delivery::{Credential, Subscription};
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::call_automation::{CallAutomation, Options};

use crate::harness::{Refused, read_answer, within};
use crate::phone::world::{self, Phone};
use crate::tokens::TENANT;

/// Whom the tokens of Event Grid are for.
pub const AUDIENCE: &str = "api://edge-events";
pub const EVENTS: &str = "/events/calls";
const ACCESS_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

pub const PSTN: &str = "flow = \"pstn\", digits = 3, deadline = \"15s\"";
pub const BY_CALLBACK: &str =
    "flow = \"pstn\", digits = 3, deadline = \"15s\", feeds = [\"callbacks\"]";

pub struct Control {
    pub phone: Phone,
    pub desk: Arc<Desk>,
    /// The edge of `phone`, and where callbacks go, which is the same but for a second edge.
    pub ports: [u16; 2],
    pub second: Option<Edge>,
    stop: CancellationToken,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// What a test wants of its edges.
#[derive(Clone, Copy, Default)]
pub struct Setup<'a> {
    pub gate: &'a str,
    /// Lines of the route of calls, of `[store]` and of `[acs]`.
    pub route: &'a str,
    pub store: &'a str,
    pub acs: &'a str,
    /// Two edges, the second of which callbacks go to.
    pub two: bool,
    /// More tables; `ISSUER` is where tokens are from.
    pub more: &'a str,
}

impl Control {
    /// One edge with its own store, whose gate is this.
    pub async fn with(gate: &str) -> Control {
        Control::of(gate, "", false).await
    }

    /// One edge or two, with this store.
    pub async fn of(gate: &str, store: &str, two: bool) -> Control {
        Control::set_up(Setup {
            gate,
            store,
            two,
            ..Setup::default()
        })
        .await
    }

    pub async fn set_up(setup: Setup<'_>) -> Control {
        let (store, two) = (setup.store, setup.two);
        let line = world::Line {
            gate: setup.gate.to_owned(),
            route: setup.route.to_owned(),
            known_by: "record",
            ..world::Line::default()
        };
        let mut phone = Phone::with(line).await;
        let service = CallAutomation::bind(Options {
            roots_pem: Some(phone.world.authority.pem()),
            ..Options::loopback(phone.provider.clone(), ACCESS_KEY)
        })
        .await
        .unwrap();
        let (desk, stop) = (service.desk(), CancellationToken::new());
        tokio::spawn(service.serve(stop.clone()));
        // What ACS is told begins with where the edges are, so that must be known before they are.
        drop(phone.world.edge.take());
        let first = free_port();
        let ports = [first, if two { free_port() } else { first }];
        let issuer = phone.provider.base();
        let more = settings(&issuer, &desk.endpoint(), ports);
        let more = more.replacen("[acs]\n", &format!("[acs]\n{}\n", setup.acs), 1)
            + &setup.more.replace("ISSUER", &issuer);
        let start = |port: u16| {
            let listen = format!("listen = \"127.0.0.1:{port}\"");
            let text = phone
                .world
                .settings
                .replacen("listen = \"127.0.0.1:0\"", &listen, 1);
            let text = text.replacen("[store]\n", &format!("[store]\n{store}\n"), 1);
            let path = phone.world.folder.join(format!("edge-{port}.toml"));
            fs::write(&path, text + &more).unwrap();
            // A child of a test finds what was written last: the first edge's.
            fs::copy(&path, phone.world.folder.join("edge.toml")).unwrap();
            Edge::start(&Settings::read(&[path]).unwrap()).unwrap()
        };
        let second = two.then(|| start(ports[1]));
        let edge = start(ports[0]);
        phone.world.port = ports[0];
        phone.world.edge = Some(edge);
        Control {
            phone,
            desk,
            ports,
            second,
            stop,
        }
    }

    /// Event Grid's subscription at the edge on this port.
    pub fn subscription(&self, schema: Schema, port: u16) -> Subscription {
        let url = format!("https://localhost:{port}{EVENTS}");
        let entra = Credential::Entra {
            tenant: TENANT.to_owned(),
            audience: AUDIENCE.to_owned(),
            with: Vec::new(),
        };
        let mut at = Subscription::new(&url, schema, entra);
        at.attempts = 1;
        at
    }

    /// The usual caller's call rings and is answered.
    pub async fn answered(&self) -> Line {
        let at = self.subscription(Schema::EventGrid, self.ports[0]);
        let count = self.desk.lines().len();
        let (_, attempts) = self.desk.ring(&at, &Caller::default()).await;
        assert_eq!(attempts, [Some(200)]);
        within("the call", self.desk.nth_line(count + 1)).await
    }

    /// Events are delivered once; the status.
    pub async fn delivers(&self, schema: Schema, events: &[Value]) -> u16 {
        let at = self.subscription(schema, self.ports[0]);
        within("an answer", self.desk.deliver_once(&at, events, 0))
            .await
            .unwrap()
    }

    /// So many gates have opened: the agent is there.
    pub async fn opened(&self, count: u64) {
        self.phone
            .eventually("the agent", |phone| phone.world.upstream_total() == count)
            .await;
    }

    /// How often an answer was asked for.
    pub fn answers(&self) -> usize {
        self.desk.record().asked(Operation::Answer).count()
    }

    pub async fn event_dropped(&self, route: &str, why: &str, count: u64) {
        let series =
            format!("tonegate_events_dropped_total{{route=\"{route}\",why=\"{why}\"}} {count}");
        self.phone.world.metrics_say(&series).await;
    }

    /// Any bytes as the request; the answer, which is none to an upgrade.
    pub async fn asks(&self, request: &[u8]) -> Refused {
        self.asks_from("127.0.0.1", request).await
    }

    /// The same from another address of loopback.
    pub async fn asks_from(&self, address: &str, request: &[u8]) -> Refused {
        use tokio::io::AsyncWriteExt as _;
        let world = &self.phone.world;
        let mut io = world.over(world.tcp(address).await).await;
        io.write_all(request).await.unwrap();
        io.flush().await.unwrap();
        read_answer(io).await.err().unwrap()
    }
}

/// An event of a call, for [`Line::callback`].
pub fn told(line: &Line, kind: &str, more: Value) -> Value {
    let mut data = json!({
        "callConnectionId": line.id(), "serverCallId": line.server_call(),
        "correlationId": line.correlation(),
    });
    data.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({
        "id": tonegate::sim::acs::guid(), "source": "calling/callConnections", "specversion": "1.0",
        "type": format!("Microsoft.Communication.{kind}"), "time": "2026-05-04T10:00:00Z", "data": data,
    })
}

pub fn tone(line: &Line, sequence: u32, word: &str) -> Value {
    let more = json!({"sequenceId": sequence, "tone": word});
    told(line, "ContinuousDtmfRecognitionToneReceived", more)
}

pub fn post(target: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The gate has been listening for as long as it takes to have heard anything that is there.
pub const A_WHILE: Duration = Duration::from_millis(700);

fn settings(issuer: &str, endpoint: &str, [media, callbacks]: [u16; 2]) -> String {
    format!(
        "\n[acs]\nendpoint = \"{endpoint}\"\nkey = \"{ACCESS_KEY}\"\nattempts = 1\n\
         callbacks = \"https://localhost:{callbacks}\"\nmedia = \"wss://localhost:{media}\"\n\
         [issuers.grid]\nkind = \"event-grid\"\nauthority = \"{issuer}\"\n\
         tenants = [\"{TENANT}\"]\naudience = [\"{AUDIENCE}\"]\nroots = \"ca.pem\"\n\
         [[routes]]\nname = \"events\"\npaths = [\"{EVENTS}\"]\nkind = \"event-grid\"\n\
         admit = [\"grid\", \"key\"]\naccept = [\"header\", \"query\"]\n\
         sip_header = \"X-MS-Custom-session\"\nlimits = {{ client_message = \"64KiB\" }}\n\
         [[routes]]\nname = \"callbacks\"\npaths = [\"/acs/callbacks/{{call}}\"]\n\
         kind = \"acs-callback\"\nadmit = [\"phone\"]\n"
    )
}
