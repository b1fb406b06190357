//! A world in which telephones ring by themselves: Call Automation and Event Grid, simulated, and
//! edges that answer.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::ids::SessionId;
use tonegate::sim::call_automation::desk::Desk;
use tonegate::sim::call_automation::grid::delivery::{Credential, Subscription};
use tonegate::sim::call_automation::grid::{Caller, Schema};
use tonegate::sim::call_automation::line::Line;
use tonegate::sim::call_automation::request::Operation;
use tonegate::sim::call_automation::{CallAutomation, Options};

use crate::child::Child;
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

/// What a test wants to be different from the usual.
#[derive(Default)]
pub struct Wish<'a> {
    /// What stands in `gate = { … }`, and lines of the route of calls.
    pub gate: &'a str,
    pub route: &'a str,
    /// Lines of `[store]`.
    pub store: &'a str,
    /// Callbacks go to a second edge.
    pub two: bool,
    /// The edge is a process, whose log can be read.
    pub process: bool,
    /// Lines of `[limits]`, and of `[acs]`.
    pub limits: &'a str,
    pub acs: &'a str,
    /// Lines of the routes of events and of callbacks, and more `limits` of both.
    pub events: &'a str,
    pub callbacks: &'a str,
    pub route_limits: &'a str,
    /// More tables; `ISSUER` is where tokens are from.
    pub more: &'a str,
}

pub struct Control {
    pub phone: Phone,
    pub desk: Arc<Desk>,
    /// The edge of `phone`, and where callbacks go, which is the same but for a second edge.
    pub ports: [u16; 2],
    pub second: Option<Edge>,
    /// The edge, where it is a process: `phone` has none then.
    pub process: Option<Child>,
    stop: CancellationToken,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A port below those that the system gives to sockets which want any: until the edge has it nobody
/// else takes it.
fn free_port() -> u16 {
    loop {
        let random = SessionId::random().to_string();
        let port = 20_000 + u16::from_str_radix(&random[..4], 16).unwrap() % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Control {
    /// One edge with its own store, whose gate is this.
    pub async fn with(gate: &str) -> Control {
        Control::of(gate, "", false).await
    }

    /// One edge or two, with this store.
    pub async fn of(gate: &str, store: &str, two: bool) -> Control {
        Control::wish(Wish {
            gate,
            store,
            two,
            ..Wish::default()
        })
        .await
    }

    pub async fn wish(wish: Wish<'_>) -> Control {
        let line = world::Line {
            gate: wish.gate.to_owned(),
            route: wish.route.to_owned(),
            known_by: "record",
            limits: wish.limits.to_owned(),
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
        let ports = [first, if wish.two { free_port() } else { first }];
        let more = settings(&wish, &phone.provider.base(), &desk.endpoint(), ports);
        let write = |name: &str, port: u16| {
            let listen = format!("listen = \"127.0.0.1:{port}\"");
            let text = phone
                .world
                .settings
                .replacen("listen = \"127.0.0.1:0\"", &listen, 1);
            let text = text.replacen("[store]\n", &format!("[store]\n{}\n", wish.store), 1);
            let path = phone.world.folder.join(name);
            fs::write(&path, text + &more).unwrap();
            // A child of a test finds what was written last: the first edge's.
            fs::copy(&path, phone.world.folder.join("edge.toml")).unwrap();
            path
        };
        let start = |name, port| {
            let path = write(name, port);
            Edge::start(&Settings::read(&[path]).unwrap()).unwrap()
        };
        let second = wish.two.then(|| start("second.toml", ports[1]));
        let mut process = None;
        phone.world.port = ports[0];
        if wish.process {
            write("first.toml", ports[0]);
            let shell = "export TONEGATE_LOG=tonegate=debug";
            process = Some(Child::start(&mut phone.world, shell));
        } else {
            phone.world.edge = Some(start("first.toml", ports[0]));
        }
        Control {
            phone,
            desk,
            ports,
            second,
            process,
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

fn settings(wish: &Wish<'_>, issuer: &str, endpoint: &str, [media, callbacks]: [u16; 2]) -> String {
    let mut limits = vec!["client_message = \"64KiB\""];
    limits.extend(Some(wish.route_limits).filter(|more| !more.is_empty()));
    let limits = format!("limits = {{ {} }}", limits.join(", "));
    let attempts = match wish.acs.contains("attempts") {
        true => "",
        false => "attempts = 1\n",
    };
    format!(
        "\n[acs]\nendpoint = \"{endpoint}\"\nkey = \"{ACCESS_KEY}\"\n{attempts}\
         callbacks = \"https://localhost:{callbacks}\"\nmedia = \"wss://localhost:{media}\"\n{}\n\
         [issuers.grid]\nkind = \"event-grid\"\nauthority = \"{issuer}\"\n\
         tenants = [\"{TENANT}\"]\naudience = [\"{AUDIENCE}\"]\nroots = \"ca.pem\"\n\
         [[routes]]\nname = \"events\"\npaths = [\"{EVENTS}\"]\nkind = \"event-grid\"\n\
         admit = [\"grid\", \"key\"]\naccept = [\"header\", \"query\"]\nmedia = \"phone\"\n\
         sip_header = \"X-MS-Custom-session\"\n{limits}\n{}\n\
         [[routes]]\nname = \"callbacks\"\npaths = [\"/acs/callbacks/{{call}}\"]\n\
         kind = \"acs-callback\"\nadmit = [\"phone\"]\n{limits}\n{}\n{}\n",
        wish.acs,
        wish.events,
        wish.callbacks,
        wish.more.replace("ISSUER", issuer)
    )
}
