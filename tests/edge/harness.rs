//! A world for one test: certificates, a simulated upstream, an edge before it, callers.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tokio_util::sync::CancellationToken;
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings};
use tonegate::ids::SessionId;
use tonegate::secret::Digest;
use tonegate::sim::certificate::{Authority, Identity};
use tonegate::sim::frame::{self, Decoder, Frame, Sender};
use tonegate::sim::head;
use tonegate::sim::stream::{self, Stream};
use tonegate::sim::voice_live::connection::Connection;
use tonegate::sim::voice_live::record::Record;
use tonegate::sim::voice_live::{Options, Service, VoiceLive};

use crate::telemetry::labels::strange;

/// Nothing that a test waits for takes this long; it only turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The key that the edge admits, and the one that the upstream wants.
pub const KEY: &str = "the-callers-key-7Qx";
pub const UPSTREAM_KEY: &str = "the-edges-own-key-9Zw";

/// Models that the test route allows: the real ones and every part the simulator plays.
pub const MODELS: &[&str] = &[
    "gpt-realtime",
    "gpt-4o",
    "sim-echo",
    "sim-sink",
    "sim-ping",
    "sim-large",
    "sim-flood",
    "sim-slow",
    "sim-stall",
    "sim-garbage-opcode",
    "sim-garbage-masked",
    "sim-garbage-rsv",
    "sim-garbage-length",
    "sim-early",
    "sim-before",
    "sim-close-1000",
    "sim-close-4001",
    "sim-close-raw-1005",
    "sim-close-raw-1006",
    "sim-close-raw-1015",
    "sim-close-raw-999",
    "sim-close-raw-5000",
    "sim-reset",
    "sim-eof",
    "sim-hang",
    "sim-drip",
    "sim-bad-accept",
    "sim-endless-head",
    "sim-extension",
    "sim-refuse-200",
    "sim-refuse-302",
    "sim-refuse-401",
    "sim-refuse-403",
    "sim-refuse-404",
    "sim-refuse-429",
    "sim-refuse-500",
    "sim-refuse-503",
];

/// What a test wants to be different from the usual world.
pub struct Wish {
    /// Lines of `[limits]`.
    pub limits: String,
    /// Lines of `[server]`. Unless a test says otherwise, an edge that is told to end does so at once.
    pub server: String,
    /// Lines added to the upstream.
    pub upstream: String,
    /// Lines added to the key.
    pub key: String,
    /// `accept` of the route.
    pub accept: String,
    /// `admit` of the route.
    pub admit: String,
    /// Lines added to the route.
    pub route: String,
    /// `origins` of the route.
    pub origins: String,
    /// TLS towards the client and towards the upstream.
    pub tls: bool,
    pub workers: usize,
    /// More tables at the end of the settings; `UPSTREAM` is where the upstream is.
    pub more: String,
    /// Upstreams that the route tries first, by name; `more` defines them.
    pub upstreams_first: Vec<&'static str>,
    /// The upstream answers in plain text although the edge dials it with TLS.
    pub upstream_plain: bool,
    /// `credential` of the upstream.
    pub credential: String,
    /// The upstream takes any one credential, not only its key.
    pub upstream_takes_any: bool,
    /// The upstream takes this token and nothing else.
    pub upstream_token: Option<String>,
    /// Which service the upstream is.
    pub service: Service,
    /// Bytes of appended audio that the upstream keeps of each connection.
    pub keep_audio: usize,
    /// How many connections the upstream takes in any such time.
    pub quota: Option<(usize, Duration)>,
    /// Variables that the edge sees, instead of those of the process.
    pub variables: Option<Vec<(&'static str, String)>>,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            limits: String::new(),
            server: "grace = \"0s\"".to_owned(),
            upstream: String::new(),
            key: String::new(),
            accept: "\"header\", \"query\"".to_owned(),
            admit: "\"key\"".to_owned(),
            route: String::new(),
            origins: "\"https://app.example.com\"".to_owned(),
            tls: true,
            workers: 2,
            more: String::new(),
            upstreams_first: Vec::new(),
            upstream_plain: false,
            credential: format!("{{ key = \"{UPSTREAM_KEY}\" }}"),
            upstream_takes_any: false,
            upstream_token: None,
            service: Service::VoiceLive,
            keep_audio: 0,
            quota: None,
            variables: None,
        }
    }
}

/// Everything that runs for one test. Dropping it ends all of it.
pub struct World {
    pub edge: Option<Edge>,
    pub authority: Authority,
    pub folder: PathBuf,
    pub port: u16,
    pub record: Arc<Record>,
    /// Where the upstream listens.
    pub upstream: SocketAddr,
    pub settings: String,
    tls: bool,
    stop: CancellationToken,
}

impl World {
    pub async fn usual() -> World {
        World::with(Wish::default()).await
    }

    /// A world whose route looks at no message: each frame goes on at once, whole or not.
    pub async fn unlocked() -> World {
        World::with(Wish {
            route: "lock_models = false".to_owned(),
            ..Wish::default()
        })
        .await
    }

    /// Starts a simulator and an edge before it.
    pub async fn with(wish: Wish) -> World {
        let authority = Authority::new("test authority");
        let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
        World::with_upstream_identity(wish, authority, identity).await
    }

    /// The same with a certificate of the test's choice on the upstream.
    pub async fn with_upstream_identity(
        wish: Wish,
        authority: Authority,
        identity: Identity,
    ) -> World {
        let server = VoiceLive::bind(Options {
            identity: (wish.tls && !wish.upstream_plain).then_some(identity),
            api_key: (!wish.upstream_takes_any && wish.upstream_token.is_none())
                .then(|| UPSTREAM_KEY.to_owned()),
            bearer: wish.upstream_token.clone(),
            service: wish.service,
            keep_audio: wish.keep_audio,
            quota: wish.quota,
            ..Options::loopback()
        })
        .await
        .unwrap();
        let (address, record) = (server.address(), server.record());
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(stop.clone()));
        let folder = folder();
        let own = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
        fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        fs::write(folder.join("edge.pem"), &own.chain_pem).unwrap();
        fs::write(folder.join("edge.key"), &own.key_pem).unwrap();
        let settings = settings(&wish, address.port());
        fs::write(folder.join("edge.toml"), &settings).unwrap();
        let variables = match &wish.variables {
            None => Environment::process(),
            Some(some) => Environment::of(some.iter().map(|(name, value)| (*name, value.as_str()))),
        };
        let read = Settings::read_in(&[folder.join("edge.toml")], &variables).unwrap();
        let edge = Edge::start(&read).unwrap();
        World {
            port: edge.public().port(),
            edge: Some(edge),
            authority,
            folder,
            record,
            upstream: address,
            settings,
            tls: wish.tls,
            stop,
        }
    }

    /// Callers come without TLS from now on, to an edge that a test puts in the place of this one.
    pub fn speak_plainly(&mut self) {
        self.tls = false;
    }

    pub fn edge(&self) -> &Edge {
        self.edge.as_ref().unwrap()
    }

    /// A caller with the right key and this model, connected.
    pub async fn call(&self, model: &str) -> Caller {
        match self.try_call(model).await {
            Ok(caller) => caller,
            Err(refused) => panic!("refused with {}: {}", refused.status, refused.body),
        }
    }

    pub async fn try_call(&self, model: &str) -> Result<Caller, Refused> {
        self.ask(&format!("/ws?model={model}"), &[("api-key", KEY)])
            .await
    }

    /// A well-formed upgrade request for `target` with these headers on top.
    pub async fn ask(&self, target: &str, headers: &[(&str, &str)]) -> Result<Caller, Refused> {
        self.send_request(request(target, headers).as_bytes()).await
    }

    /// Asks and must be refused.
    pub async fn refused(&self, target: &str, headers: &[(&str, &str)]) -> Refused {
        self.refused_bytes(request(target, headers).as_bytes())
            .await
    }

    /// Sends any bytes as the request and must be refused.
    pub async fn refused_bytes(&self, bytes: &[u8]) -> Refused {
        match self.send_request(bytes).await {
            Ok(_) => panic!("admitted: {}", String::from_utf8_lossy(bytes)),
            Err(refused) => refused,
        }
    }

    /// Any bytes as the request.
    pub async fn send_request(&self, bytes: &[u8]) -> Result<Caller, Refused> {
        let mut io = self.connect().await;
        io.write_all(bytes).await.unwrap();
        io.flush().await.unwrap();
        read_answer(io).await
    }

    /// A bare connection to the edge: TCP, and TLS where the world has it.
    pub async fn connect(&self) -> Stream {
        self.over(self.tcp("127.0.0.1").await).await
    }

    /// A TCP connection to the edge from an address of loopback.
    pub async fn tcp(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((from.parse::<Ipv4Addr>().unwrap(), 0).into())
            .unwrap();
        let edge = (Ipv4Addr::LOCALHOST, self.port).into();
        let tcp = socket.connect(edge).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// TLS over it where the world has it.
    pub async fn over(&self, tcp: TcpStream) -> Stream {
        if !self.tls {
            return Stream::Plain(tcp);
        }
        let connector = stream::connector(&self.authority.pem()).unwrap();
        let name = "localhost".to_owned().try_into().unwrap();
        let tls = connector.connect(name, tcp).await.unwrap();
        Stream::Tls(Box::new(TlsStream::from(tls)))
    }

    /// The latest connection of the upstream, as soon as `holds` is true of it.
    pub async fn upstream_saw(&self, holds: impl Fn(&Connection) -> bool) -> Connection {
        let last = || self.record.last().filter(|seen| holds(seen));
        within("the upstream", self.record.until(|_| last().is_some())).await;
        last().unwrap()
    }

    /// Connections that the upstream ever got.
    pub fn upstream_total(&self) -> u64 {
        self.record.totals().total
    }

    /// Waits until a line of the metrics page appears.
    pub async fn metrics_say(&self, line: &str) {
        within(line, async {
            while !self.edge().metrics_page().lines().any(|l| l == line) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// The value of a series of the metrics page; 0 if it is not there.
    pub fn count(&self, series: &str) -> u64 {
        let page = self.edge().metrics_page();
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Ends the upstream; when this returns nothing listens there.
    pub async fn stop_upstream(&self) {
        self.stop.cancel();
        within("the upstream's end", async {
            while TcpStream::connect(self.upstream).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Waits until every session, permit and upstream connection has been given back.
    pub async fn settles(&self) {
        self.metrics_say("tonegate_sessions{route=\"browser\"} 0")
            .await;
        self.metrics_say("tonegate_connections 0").await;
        assert_eq!(self.edge().sessions(), 0);
        within(
            "upstream connections",
            self.record.until(|record| record.totals().open == 0),
        )
        .await;
    }

    /// A new, good caller is served byte for byte, whatever came before.
    pub async fn still_serves(&self) {
        let mut caller = self.call("sim-echo").await;
        caller.send(text("still here")).await;
        assert_eq!(caller.next().await, Some(text("still here")));
        caller.close(1000, "").await;
        assert_eq!(caller.closed().await, (Some(1000), String::new()));
    }
}

/// All that has a name in the settings, as they write it.
fn names(settings: &Settings) -> String {
    let live = &settings.live;
    let routes = live.routes.iter().map(|route| &route.name);
    let upstreams = live.upstreams.iter().map(|upstream| &upstream.name);
    let issuers = live.issuers.iter().map(|issuer| &issuer.name);
    let all = routes.chain(upstreams).chain(issuers);
    all.map(|name| format!("\"{name}\"\n")).collect()
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        let edge = self.edge.take();
        if let Some(edge) = edge.as_ref().filter(|_| !std::thread::panicking()) {
            // A test may have written others than it began with.
            let file = fs::read_to_string(self.folder.join("edge.toml")).unwrap_or_default();
            let named = file + &self.settings + &names(&edge.settings());
            let strange = strange(&edge.metrics_page(), &named);
            assert!(
                strange.is_empty(),
                "labels that are in no list: {strange:?}"
            );
        }
        drop(edge);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder of this test's own.
pub fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tonegate-test-{}", SessionId::random()));
    fs::create_dir(&folder).unwrap();
    folder
}

fn settings(wish: &Wish, upstream_port: u16) -> String {
    let quoted: Vec<_> = MODELS.iter().map(|model| format!("\"{model}\"")).collect();
    let first: String = wish
        .upstreams_first
        .iter()
        .map(|name| format!("\"{name}\", "))
        .collect();
    let (tls, scheme) = if wish.tls {
        (
            "tls = { certificate = \"edge.pem\", key = \"edge.key\" }",
            "wss",
        )
    } else {
        ("", "ws")
    };
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = {}\n{tls}\n{}\n\
         [limits]\n{}\n\
         [[keys]]\nname = \"tester\"\nsha256 = \"{}\"\n{}\n\
         [upstreams.voice]\nkind = \"voice-live\"\nurl = \"{scheme}://localhost:{upstream_port}\"\n\
         credential = {}\nroots = \"ca.pem\"\n{}\n\
         [[routes]]\nname = \"browser\"\npaths = [\"/ws\", \"/voice-live/realtime\"]\n\
         kind = \"voice-live\"\nadmit = [{}]\naccept = [{}]\nmodels = [{}]\n\
         upstreams = [{first}\"voice\"]\norigins = [{}]\n{}\n{}\n",
        wish.workers,
        wish.server,
        wish.limits,
        Digest::of(KEY).to_hex(),
        wish.key,
        wish.credential,
        wish.upstream,
        wish.admit,
        wish.accept,
        quoted.join(", "),
        wish.origins,
        wish.route,
        wish.more
            .replace("UPSTREAM", &format!("{scheme}://localhost:{upstream_port}")),
    )
}

/// A well-formed upgrade request.
pub fn request(target: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// An answer other than 101.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Refused {
    /// The `reason` of the problem document.
    pub fn reason(&self) -> String {
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(document["status"], self.status);
        document["reason"].as_str().unwrap().to_owned()
    }

    /// The value of a header that stands once.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = head::parse(self.head.as_bytes()).unwrap();
        head.one(name).map(str::to_owned)
    }

    /// It is a refusal in full form: this status, a problem document with this reason, and a
    /// connection that ends (which [`read_answer`] has seen).
    pub fn is(&self, status: u16, reason: &str) {
        assert_eq!((self.status, self.reason().as_str()), (status, reason));
        let kind = self.header("content-type");
        assert_eq!(kind.as_deref(), Some("application/problem+json"));
        assert_eq!(self.header("connection").as_deref(), Some("close"));
        let length = self.body.len().to_string();
        assert_eq!(self.header("content-length"), Some(length));
        let later = matches!(
            reason,
            "busy"
                | "rate_limited"
                | "keys_unavailable"
                | "store_unavailable"
                | "draining"
                | "upstream_busy"
        );
        assert_eq!(self.header("retry-after").is_some(), later, "Retry-After");
    }
}

/// Reads an answer: a caller if it is a 101, else the refusal with its whole body.
pub async fn read_answer(mut io: Stream) -> Result<Caller, Refused> {
    let mut buffer = BytesMut::new();
    let bytes = within("an answer", head::read(&mut io, &mut buffer))
        .await
        .unwrap();
    let head = head::parse(&bytes).unwrap();
    if head.start.starts_with("HTTP/1.1 101 ") {
        // aiohttp and k6 refuse anything else.
        let connection = head.one("connection").map(str::to_ascii_lowercase);
        assert_eq!(connection.as_deref(), Some("upgrade"));
        return Ok(Caller {
            io,
            decoder: Decoder::new(Sender::Server, buffer),
            head,
            mask: [0x11, 0x22, 0x33, 0x44],
        });
    }
    let mut body = buffer.to_vec();
    within("the end of a refusal", io.read_to_end(&mut body))
        .await
        .unwrap();
    Err(Refused {
        status: head.start[9..12].parse().unwrap(),
        head: String::from_utf8(bytes.to_vec()).unwrap(),
        body: String::from_utf8(body).unwrap(),
    })
}

/// A client that speaks frame by frame.
pub struct Caller {
    pub io: Stream,
    decoder: Decoder,
    pub head: head::Head,
    mask: [u8; 4],
}

impl Caller {
    /// Sends one frame, masked.
    pub async fn send(&mut self, frame: Frame) {
        let bytes = self.encode(&frame);
        self.send_raw(&bytes).await;
    }

    /// A frame's bytes as this caller would send them.
    pub fn encode(&self, frame: &Frame) -> BytesMut {
        let mut bytes = BytesMut::new();
        frame.encode(Some(self.mask), &mut bytes);
        bytes
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        within("sending", async {
            self.io.write_all(bytes).await?;
            // A TLS stream may keep what the socket did not take at once.
            self.io.flush().await
        })
        .await
        .unwrap();
    }

    /// The next frame; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", self.read_frame()).await
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.io.read_buf(self.decoder.buffer()).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn close(&mut self, code: u16, reason: &str) {
        self.send(Frame::close(code, reason)).await;
    }

    /// Reads on until the close frame and then the end; its code and reason.
    pub async fn closed(&mut self) -> (Option<u16>, String) {
        let close = loop {
            match self.next().await {
                Some(frame) if frame.opcode == frame::CLOSE => break frame.close_parts(),
                Some(_) => {}
                None => return (None, "no close frame".to_owned()),
            }
        };
        assert_eq!(
            self.next().await,
            None,
            "something came after a close frame"
        );
        // As any client does; else the edge would wait for it.
        let _ = self.io.shutdown().await;
        close
    }
}

/// The line of the metrics page that tells of one session that ended so.
pub fn ended(by: &str, reason: &str) -> String {
    format!("tonegate_sessions_ended_total{{route=\"browser\",by=\"{by}\",reason=\"{reason}\"}} 1")
}

pub fn text(payload: &str) -> Frame {
    Frame::whole(frame::TEXT, payload.to_owned())
}

pub fn binary(payload: impl Into<bytes::Bytes>) -> Frame {
    Frame::whole(frame::BINARY, payload)
}

/// Fails the test if `work` takes longer than anything should.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits until `value` has not changed for a while; what it is then.
pub async fn steady<T: PartialEq>(what: &str, value: impl Fn() -> T) -> T {
    within(what, async {
        let mut last = value();
        let mut same = 0;
        while same < 10 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let now = value();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    })
    .await
}
