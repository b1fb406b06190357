//! How many decisions a second does the session store make, and what is pipelining worth in that?
//!
//! One edge with 1 and with 64 callers at a time, beside the client that takes one command at a time
//! over one connection: is the call there, what is known of it, the token spent, the call taken over and
//! kept, each awaited.

mod works;

use std::hint::black_box;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tonegate::config::{self, Engine, Layout, Login, Redis};
use tonegate::ids::{CallId, ForeignId, PhoneNumber, SessionId};
use tonegate::label::Label;
use tonegate::metrics::Metrics;
use tonegate::secret::Digest;
use tonegate::store::{Enter, Entered, Facts, Needs, Store};

const CALLERS: [usize; 2] = [1, 64];

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// `None` where there is no Redis to start.
    fn start() -> Option<Server> {
        let port = TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        Some(Server { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One call, entered over and over with fresh tokens: known, not yet opened, taken over each time.
struct Caller {
    call: CallId,
    connection: ForeignId,
    route: Label,
    number: u64,
}

impl Caller {
    async fn known(store: &Store) -> Caller {
        let id = SessionId::random().to_string();
        let caller = Caller {
            call: CallId::new(&id).expect("it fits"),
            connection: ForeignId::new(&id).expect("it fits"),
            route: Label::new("phone").expect("it fits"),
            number: 0,
        };
        let facts = Facts {
            ani: PhoneNumber::new("+15551234567"),
            connection: Some(caller.connection.clone()),
            ..Facts::default()
        };
        let noted = store.note_call(&caller.call, &facts).await;
        noted.expect("the store is up");
        caller
    }

    async fn decide(&mut self, store: &Store) -> Entered {
        self.number += 1;
        let enter = Enter {
            call: &self.call,
            owner: SessionId::random(),
            token: Digest::of(&format!("{}:{}", self.call, self.number)),
            // So that what was spent does not pile up.
            token_expires: SystemTime::now() + Duration::from_secs(1),
            connection: Some(&self.connection),
            correlation: None,
            route: &self.route,
            signed: None,
            binding: None,
            makes: false,
            needs: Needs::Dialled,
        };
        store.enter(&enter).await.expect("the store is up")
    }
}

/// The client that awaits each command.
struct Plain(TcpStream);

impl Plain {
    async fn command(&mut self, parts: &[&str]) {
        let mut text = format!("*{}\r\n", parts.len());
        for part in parts {
            text.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        self.0
            .write_all(text.as_bytes())
            .await
            .expect("it is there");
        let mut answer = [0; 512];
        let read = self.0.read(&mut answer).await.expect("it answers");
        assert!(read > 0 && answer[0] != b'-', "the server refused");
    }

    async fn decide(&mut self, number: u64) {
        let spent = format!("plain:spent:{number}");
        self.command(&["EXISTS", "plain:call"]).await;
        self.command(&["HMGET", "plain:call", "ani", "connection"])
            .await;
        self.command(&["SET", &spent, "1", "EX", "1", "NX"]).await;
        self.command(&["HSET", "plain:call", "owner", &spent]).await;
        self.command(&["EXPIRE", "plain:call", "3600"]).await;
    }
}

fn bench(criterion: &mut Criterion) {
    let Some(server) = Server::start() else {
        println!("store: there is no redis-server, so nothing is measured");
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let settings = config::Store {
        engine: Engine::Redis(Box::new(Redis {
            layout: Layout::Single,
            servers: vec![("127.0.0.1".to_owned(), server.port)],
            database: 0,
            roots: None,
            login: Login::Nothing,
            timeout: Duration::from_secs(5),
        })),
        ..config::Store::default()
    };
    ours(criterion, &runtime, &settings);
    let mut group = criterion.benchmark_group("store: one command at a time");
    group.throughput(Throughput::Elements(1));
    group.bench_function("1 connection", |bencher| {
        bencher.iter_custom(|times| {
            runtime.block_on(async {
                let socket = TcpStream::connect(("127.0.0.1", server.port)).await;
                let socket = socket.expect("it is there");
                socket.set_nodelay(true).expect("it is a socket");
                let mut plain = Plain(socket);
                let begun = Instant::now();
                for number in 0..times {
                    plain.decide(number).await;
                }
                begun.elapsed()
            })
        });
    });
    group.finish();
}

fn ours(criterion: &mut Criterion, runtime: &Runtime, settings: &config::Store) {
    let store = Store::new(settings, Arc::new(Metrics::new())).expect("it can be set up");
    let store = Arc::new(store);
    let runs = Arc::clone(&store);
    let task = runtime.spawn(async move { runs.run().await });
    while !store.is_up() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut group = criterion.benchmark_group("store: an edge");
    group.throughput(Throughput::Elements(1));
    for callers in CALLERS {
        group.bench_function(format!("{callers} callers"), |bencher| {
            bencher.iter_custom(|times| runtime.block_on(decide(&store, callers, times)));
        });
    }
    group.finish();
    task.abort();
}

/// `times` decisions, shared out among so many callers.
async fn decide(store: &Arc<Store>, callers: usize, times: u64) -> Duration {
    let mut ready = Vec::new();
    for _ in 0..callers {
        ready.push(Caller::known(store).await);
    }
    let callers = u64::try_from(callers).expect("they are few");
    let each = times.div_ceil(callers);
    let begun = Instant::now();
    let tasks: Vec<_> = ready
        .into_iter()
        .map(|mut caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for _ in 0..each {
                    black_box(caller.decide(&store).await);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no caller fails");
    }
    // What was done beyond `times` for the sake of equal shares is not counted.
    begun
        .elapsed()
        .mul_f64(times as f64 / (each * callers) as f64)
}

criterion_group! { name = benches; config = works::brief(); targets = bench }
criterion_main!(benches);
