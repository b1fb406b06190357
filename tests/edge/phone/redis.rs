//! Calls whose session keys another program writes into a real Redis: one server, one over TLS with
//! the rights of the README, one behind a sentinel, a cluster of three.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings};
use tonegate::ids::{CallId, PhoneNumber, SessionId};
use tonegate::sim::acs::line::Keying;
use tonegate::sim::acs::{Dial, Options, Pace};
use tonegate::sim::certificate::Authority;
use tonegate::sim::stream::Stream;
use tonegate::store::Facts;

use super::server::{Cluster, Server, Shared, Watched, acl_line};
use super::world::{Line, Phone, Ringing, id};
use crate::harness::{Refused, read_answer, within};
use tonegate::admission::media_url::Signed;

/// What the README's line gives the edge's user for a password, in tests.
pub const PASSWORD: &str = "s3cret-of-the-test";

/// A Redis, as an edge finds it and as another program does.
pub enum Redis {
    Single(Arc<Server>),
    Tls(Arc<(Authority, Server)>),
    Watched(Arc<Watched>),
    Cluster(Arc<Cluster>),
}

static SINGLE: Shared<Server> = Shared::new();
static TLS: Shared<(Authority, Server)> = Shared::new();
static WATCHED: Shared<Watched> = Shared::new();
static CLUSTER: Shared<Cluster> = Shared::new();

impl Redis {
    pub fn single() -> Redis {
        Redis::Single(SINGLE.get(|| Server::plain(&[])))
    }

    /// A server that no other test asks, for tests that hurt it or look at all that is in it.
    pub fn own() -> Redis {
        Redis::Single(Arc::new(Server::plain(&[])))
    }

    pub fn tls() -> Redis {
        Redis::Tls(TLS.get(|| {
            let authority = Authority::new("Redis");
            let server = Server::tls(&authority, &acl_line());
            (authority, server)
        }))
    }

    pub fn watched() -> Redis {
        Redis::Watched(WATCHED.get(Watched::start))
    }

    pub fn cluster() -> Redis {
        Redis::Cluster(CLUSTER.get(Cluster::start))
    }

    /// Lines of `[store]`.
    pub fn lines(&self) -> String {
        match self {
            Redis::Single(server) => format!("url = \"redis://127.0.0.1:{}\"", server.port),
            Redis::Tls(both) => {
                let (server, roots) = (&both.1, both.1.roots().unwrap().display());
                format!(
                    "url = \"rediss://localhost:{}\"\nroots = \"{roots}\"\n\
                     username = \"tonegate\"\npassword = \"{PASSWORD}\"",
                    server.port
                )
            }
            Redis::Watched(watched) => format!(
                "url = \"redis-sentinel://127.0.0.1:{}?sentinelServiceName=main\"",
                watched.sentinel.port
            ),
            Redis::Cluster(cluster) => {
                format!(
                    "url = \"redis-cluster://127.0.0.1:{}\"",
                    cluster.nodes[1].port
                )
            }
        }
    }

    /// The server that another program talks to; in a cluster it is told which one to ask.
    pub fn server(&self) -> &Server {
        match self {
            Redis::Single(server) => server,
            Redis::Tls(both) => &both.1,
            Redis::Watched(watched) => &watched.primary,
            Redis::Cluster(cluster) => &cluster.nodes[0],
        }
    }

    /// What redis-cli prints for a command.
    pub fn tell(&self, command: &[&str]) -> String {
        self.server().tell(command)
    }

    pub fn has(&self, key: &str) -> bool {
        self.tell(&["EXISTS", key]) == "1"
    }

    /// All servers on which keys are.
    fn holders(&self) -> Vec<&Server> {
        match self {
            Redis::Cluster(cluster) => cluster.nodes.iter().collect(),
            Redis::Single(_) | Redis::Tls(_) | Redis::Watched(_) => vec![self.server()],
        }
    }

    /// Each key that begins so, and in how many milliseconds it ends.
    pub fn ends(&self, prefix: &str) -> Vec<(String, i64)> {
        let mut ends = Vec::new();
        for server in self.holders() {
            for key in server.tell(&["KEYS", &format!("{prefix}*")]).lines() {
                if key.is_empty() {
                    continue;
                }
                let left = server.tell(&["PTTL", key]).parse().unwrap();
                ends.push((key.to_owned(), left));
            }
        }
        ends
    }
}

/// A caller and a call that no other test has.
#[derive(Clone)]
pub struct Caller {
    pub ani: String,
    pub signed: Signed,
    pub connection: String,
    pub sip: String,
}

impl Caller {
    pub fn new() -> Caller {
        let hex = SessionId::random().to_string();
        let digit = |c: char| char::from_digit(c.to_digit(16).unwrap() % 10, 10).unwrap();
        let digits: String = hex.chars().take(13).map(digit).collect();
        Caller::of(&format!("+1{digits}"))
    }

    /// Another call of this number.
    pub fn of(ani: &str) -> Caller {
        let call = SessionId::random().to_string();
        let (connection, sip) = (format!("conn-{call}"), format!("sip-{call}"));
        Caller {
            ani: ani.to_owned(),
            signed: Signed {
                ani: PhoneNumber::new(ani),
                sip: Some(id(&sip)),
                ..Signed::of(CallId::new(&call).unwrap())
            },
            connection,
            sip,
        }
    }

    pub fn call(&self) -> &str {
        self.signed.call.as_str()
    }

    /// The name of the key that opens the gate for this code, as the README has it.
    pub fn pstn(&self, code: &str) -> String {
        format!("pstn:{}:{code}", self.ani)
    }

    pub fn live(&self) -> String {
        format!("live:{{{}}}", self.call())
    }

    pub fn tries(&self) -> String {
        format!("tries:{{{}}}", self.call())
    }
}

/// Another edge with the settings of this world: nothing is shared but the store, the issuer and the
/// upstream.
pub fn another(phone: &Phone) -> Edge {
    let file = phone.world.folder.join("edge.toml");
    let read = Settings::read_in(&[file], &Environment::process()).unwrap();
    Edge::start(&read).unwrap()
}

/// An edge with a route for each flow, before this Redis.
pub async fn phone(redis: &Redis, line: Line) -> Phone {
    let routes: String = [("api", "api"), ("sip", "sip-header")]
        .map(|(name, flow)| {
            format!(
                "[[routes]]\nname = \"{name}\"\npaths = [\"/{name}/{{call}}\"]\n\
                 kind = \"acs-media\"\nrequire = [\"phone\", \"call\"]\n\
                 gate = {{ flow = \"{flow}\", consume = true }}\nmodels = [\"gpt-realtime\"]\n\
                 upstreams = [\"voice\"]\n"
            )
        })
        .concat();
    let phone = Phone::with(Line {
        store: format!("{}\n{}", redis.lines(), line.store),
        more: format!("{}\n{routes}", line.more),
        ..line
    })
    .await;
    is_up(phone.world.edge()).await;
    phone
}

/// Settings of the store for tests that do not try its patience.
pub fn patient() -> Line {
    Line {
        store: "timeout = \"1500ms\"".to_owned(),
        ..Line::default()
    }
}

/// Waits until this is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub async fn is_up(edge: &Edge) {
    let read = "\ntonegate_revocations_age_seconds ";
    eventually("the store's connection", async || {
        edge.store().is_up() && edge.metrics_page().contains(read)
    })
    .await;
}

/// The value of a series of an edge's metrics page; 0 if it is not there.
pub fn count(edge: &Edge, series: &str) -> u64 {
    let page = edge.metrics_page();
    let value = page.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

/// How many gates of the route of codes ended so.
pub fn gates(edge: &Edge, result: &str) -> u64 {
    let series = format!("tonegate_gates_total{{route=\"phone\",result=\"{result}\"}}");
    count(edge, &series)
}

/// A call that says what it has to say at once, and then nothing.
pub fn at_once() -> Options {
    Options {
        pace: Pace::AtOnce,
        ..Options::default()
    }
}

/// A call in real time, whose audio is this caller's.
pub fn speaking(caller: &Caller) -> Options {
    Options {
        ani: caller.ani.clone(),
        ..Options::default()
    }
}

/// Whom ACS dials for this caller, at the route of codes, with a token of its own.
pub fn dial(phone: &Phone, port: u16, caller: &Caller) -> Dial {
    let dial = phone.dial(&caller.signed);
    let (own, other) = (format!(":{}/", phone.world.port), format!(":{port}/"));
    Dial {
        url: dial.url.replace(&own, &other),
        connection_id: Some(caller.connection.clone()),
        ..dial
    }
}

/// The same at another route.
pub fn dial_route(phone: &Phone, route: &str, caller: &Caller) -> Dial {
    let dial = dial(phone, phone.world.port, caller);
    Dial {
        url: dial.url.replace("/acs/media/", &format!("/{route}/")),
        ..dial
    }
}

/// Calls and has the `101`.
pub async fn rings(phone: &Phone, port: u16, caller: &Caller) -> Ringing {
    phone.rings(&dial(phone, port, caller), at_once()).await
}

pub fn press(call: &Ringing, keys: &str) {
    call.hand.press(keys, &Keying::messages()).unwrap();
}

/// Calls and dials at once.
pub async fn dials(phone: &Phone, caller: &Caller, keys: &str) -> Ringing {
    let call = rings(phone, phone.world.port, caller).await;
    press(&call, keys);
    call
}

/// Waits until so many calls were let through, which is when their upstreams are dialled.
pub async fn opens(phone: &Phone, wanted: u64) {
    let total = || phone.world.upstream_total();
    eventually("an open gate", async || total() >= wanted).await;
    assert_eq!(total(), wanted);
}

/// What a probe answers, at the public listener and at the operator's.
pub async fn probes(phone: &Phone, path: &str) -> [(u16, String); 2] {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let public = phone.world.refused_bytes(request.as_bytes()).await;
    let admin = TcpStream::connect(phone.world.edge().admin())
        .await
        .unwrap();
    let admin = ask(Stream::Plain(admin), &request).await;
    [public, admin].map(|refused| (refused.status, refused.body.trim_end().to_owned()))
}

async fn ask(mut io: Stream, request: &str) -> Refused {
    use tokio::io::AsyncWriteExt as _;
    io.write_all(request.as_bytes()).await.unwrap();
    match read_answer(io).await {
        Ok(_) => panic!("a 101"),
        Err(refused) => refused,
    }
}

/// Each flow, with its key and without. Keys are written as any other program writes them.
async fn three_flows(redis: Redis) {
    let phone = phone(&redis, patient()).await;
    dialled(&redis, &phone).await;
    let mut authorised = 1;
    for (route, key, command) in [
        (
            "api",
            "acs:call_connection_id:",
            ["SET", "1", "EX", "3600"].as_slice(),
        ),
        ("sip", "sip:", &["HSET", "tenant", "blue"]),
    ] {
        let caller = Caller::new();
        let key = match route {
            "api" => format!("{key}{}", caller.connection),
            _ => format!("{key}{}", caller.sip),
        };
        let dial = dial_route(&phone, route, &caller);
        assert_eq!(phone.refused(&dial).await, (403, "forbidden".to_owned()));
        assert_eq!(phone.world.upstream_total(), authorised);
        let mut written = command.to_vec();
        written.insert(1, &key);
        redis.tell(&written);
        // The refusal has spent nothing: the token is the same.
        let call = phone.rings(&dial, at_once()).await;
        authorised += 1;
        assert_eq!(phone.world.upstream_total(), authorised);
        assert!(!redis.has(&key), "{route}: not consumed");
        assert_eq!(redis.tell(&["TYPE", &caller.live()]), "string");
        call.hand.hang_up();
        assert_eq!(call.ended().await.violations, []);
    }
    let gates = r#"tonegate_gates_total{route="phone",result="authorised"} 1"#;
    phone.world.metrics_say(gates).await;
}

async fn dialled(redis: &Redis, phone: &Phone) {
    let caller = Caller::new();
    let wrong = dials(phone, &caller, "823824825").await;
    wrong.closed(4403, "code_wrong").await;
    assert_eq!(phone.world.upstream_total(), 0);
    let caller = Caller::new();
    let key = caller.pstn("823");
    redis.tell(&["SET", &key, "1", "EX", "3600"]);
    let call = dials(phone, &caller, "823").await;
    opens(phone, 1).await;
    assert!(!redis.has(&key), "not consumed");
    phone.world.upstream_saw(|_| true).await;
    assert_eq!(redis.tell(&["HLEN", &caller.tries()]), "1");
    call.hand.hang_up();
    assert_eq!(call.ended().await.violations, []);
}

#[tokio::test]
async fn a12_a13_a14_the_three_flows_on_one_redis() {
    three_flows(Redis::single()).await;
}

#[tokio::test]
async fn a17_the_three_flows_over_tls_as_the_readmes_user() {
    three_flows(Redis::tls()).await;
}

#[tokio::test]
async fn a17_the_three_flows_behind_a_sentinel() {
    three_flows(Redis::watched()).await;
}

#[tokio::test]
async fn a17_the_three_flows_in_a_cluster() {
    three_flows(Redis::cluster()).await;
}

/// In real time, with the tones in the audio, as a person dials.
#[tokio::test]
async fn a12_a_person_dials_the_code_that_another_cloud_stored_and_the_agent_hears_the_rest() {
    let redis = Redis::single();
    let phone = phone(&redis, patient()).await;
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "3600"]);
    let dial = dial(&phone, phone.world.port, &caller);
    let call = phone.rings(&dial, speaking(&caller)).await;
    call.hand.press("823", &Keying::both()).unwrap();
    opens(&phone, 1).await;
    let heard = |seen: &tonegate::sim::voice_live::connection::Connection| seen.appended.bytes > 0;
    phone.world.upstream_saw(heard).await;
    call.hand.hang_up();
    assert_eq!(call.ended().await.violations, []);
    assert!(!redis.has(&caller.pstn("823")));
}

/// Another edge writes down what signalling said, sooner or a little later than the socket comes.
#[tokio::test]
async fn a02_a_call_is_known_by_the_record_in_redis_also_if_that_comes_after_the_socket() {
    let redis = Redis::single();
    let line = Line {
        known_by: "record",
        ..patient()
    };
    let phone = phone(&redis, line).await;
    let edge = phone.world.edge();
    let caller = Caller::new();
    let dial = dial(&phone, phone.world.port, &caller);
    assert_eq!(phone.refused(&dial).await, (403, "forbidden".to_owned()));
    let asked = r#"tonegate_store_operations_total{operation="enter",result="ok"}"#;
    let before = count(edge, asked);
    let facts = Facts {
        ani: PhoneNumber::new(&caller.ani),
        ..Facts::default()
    };
    let noted = async {
        eventually("a question", async || count(edge, asked) > before).await;
        phone.notes(caller.call(), &facts).await;
    };
    // The number is the record's.
    redis.tell(&["SET", &caller.pstn("823"), "1", "EX", "60"]);
    let (call, ()) = tokio::join!(phone.rings(&dial, at_once()), noted);
    assert_eq!(phone.world.upstream_total(), 0);
    press(&call, "823");
    opens(&phone, 1).await;
}

/// One attempt a call, so that a wrong code is told at once.
fn once(store: &str) -> Line {
    Line {
        gate: "flow = \"pstn\", digits = 3, attempts = 1, attempts_per_ani = \"100/h\"".to_owned(),
        store: format!("timeout = \"1500ms\"\n{store}"),
        ..Line::default()
    }
}

#[tokio::test]
async fn a15_a_key_opens_the_gate_whatever_its_value() {
    for redis in [Redis::single(), Redis::cluster()] {
        let phone = phone(&redis, once("")).await;
        let values: [&[&str]; 6] = [
            &["SET", "", ""],
            &["HSET", "", "f", "x"],
            &["RPUSH", "", "x"],
            &["SADD", "", "x"],
            &["ZADD", "", "1", "x"],
            &["XADD", "", "*", "f", "x"],
        ];
        let mut opened = 0;
        for value in values {
            let caller = Caller::new();
            let key = caller.pstn("823");
            let mut command = value.to_vec();
            command[1] = &key;
            redis.tell(&command);
            redis.tell(&["EXPIRE", &key, "60"]);
            let _call = dials(&phone, &caller, "823").await;
            opened += 1;
            opens(&phone, opened).await;
            assert!(!redis.has(&key), "{}", value[0]);
        }
    }
}

#[tokio::test]
async fn a27_a_key_without_an_end_or_past_it_opens_nothing() {
    for redis in [Redis::single(), Redis::cluster()] {
        let phone = phone(&redis, once("require_ttl = true")).await;
        let (endless, ended, good) = (Caller::new(), Caller::new(), Caller::new());
        redis.tell(&["SET", &endless.pstn("823"), "1"]);
        let api = format!("acs:call_connection_id:{}", endless.connection);
        redis.tell(&["SET", &api, "1"]);
        redis.tell(&["SET", &ended.pstn("823"), "1", "PX", "20"]);
        redis.tell(&["SET", &good.pstn("823"), "1", "EX", "60"]);
        eventually("the key's end", async || !redis.has(&ended.pstn("823"))).await;
        for caller in [&endless, &ended] {
            let call = dials(&phone, caller, "823").await;
            call.closed(4403, "code_wrong").await;
        }
        let again = Caller {
            signed: Caller::new().signed,
            ..endless.clone()
        };
        let asked = phone.refused(&dial_route(&phone, "api", &again)).await;
        assert_eq!(asked, (403, "forbidden".to_owned()));
        // It is not the edge that ends what others keep for ever.
        assert!(redis.has(&endless.pstn("823")) && redis.has(&api));
        assert_eq!(phone.world.upstream_total(), 0);
        let _call = dials(&phone, &good, "823").await;
        opens(&phone, 1).await;
    }
}

/// Without the option a key that its writer gave no end is as good as any.
#[tokio::test]
async fn a27_a_key_without_an_end_opens_unless_it_is_refused() {
    let redis = Redis::single();
    let phone = phone(&redis, once("")).await;
    let caller = Caller::new();
    redis.tell(&["SET", &caller.pstn("823"), "1"]);
    let _call = dials(&phone, &caller, "823").await;
    opens(&phone, 1).await;
}

#[tokio::test]
async fn a16_keys_have_the_prefix_and_the_hash_that_the_readme_says() {
    let redis = Redis::single();
    let prefix = format!("env-{}:", SessionId::random());
    let hmac = "0123456789abcdef0123456789abcdef";
    let store = format!("prefix = \"{prefix}\"\nhmac = \"{hmac}\"");
    let phone = phone(&redis, once(&store)).await;
    // What the README's command prints for the README's caller.
    let hashed = "67818b0d6b3821eb9230cbc62586dc40f8e63110f4e97173781185b99aa12c18";
    let name = format!("{prefix}{hashed}");
    let caller = || Caller::of("+15551234567");
    // Legible, it is no key; nor is the hash without its prefix.
    for other in [format!("{prefix}pstn:+15551234567:823"), hashed.to_owned()] {
        redis.tell(&["SET", &other, "1", "EX", "60"]);
    }
    let call = dials(&phone, &caller(), "823").await;
    call.closed(4403, "code_wrong").await;
    redis.tell(&["SET", &name, "1", "EX", "3600"]);
    let _call = dials(&phone, &caller(), "823").await;
    opens(&phone, 1).await;
    assert!(!redis.has(&name));
}
