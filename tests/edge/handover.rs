//! A new process takes the place of one that serves, under load: nobody is refused, nobody is cut, and
//! the old one ends with its last session.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tonegate::audit;

use crate::child::Child;
use crate::harness::{Caller, KEY, Wish, World, text, within};
use crate::phone::server::Server;
use crate::revoke::ready;
use crate::tickets::ask_at;

const ECHO: &str = "/ws?model=sim-echo";
const AUDIT: &str = "\n[audit]\nto = \"file\"\npath = \"audit.jsonl\"\nchain = true\n";
const SHOWN: [(&str, &str); 1] = [("api-key", KEY)];

/// Sessions at one frame a second, at full rate, and who come and go all the time.
fn load() -> [usize; 3] {
    match std::env::var_os("TONEGATE_SOAK") {
        Some(_) => [1000, 100, 8],
        None => [24, 3, 3],
    }
}

/// Settings on disk, and no process.
struct Place {
    world: World,
    _redis: Server,
}

impl Place {
    async fn new(more: &str) -> Place {
        let redis = Server::plain(&[]);
        let store = format!("[store]\nurl = \"redis://127.0.0.1:{}\"\n", redis.port);
        let wish = Wish {
            server: "grace = \"5m\"\nhandover = \"handover.sock\"".to_owned(),
            limits: "unadmitted_per_address = 2000\nsessions = 2000\nconnections = 4000".to_owned(),
            more: format!("{store}{more}"),
            tls: false,
            ..Wish::default()
        };
        let mut world = World::with(wish).await;
        let own = world.edge.take().unwrap();
        tokio::task::spawn_blocking(move || own.stop())
            .await
            .unwrap();
        assert!(!world.folder.join("handover.sock").exists());
        Place {
            world,
            _redis: redis,
        }
    }

    fn socket(&self) -> PathBuf {
        self.world.folder.join("handover.sock")
    }

    async fn start(&mut self) -> Child {
        let child = Child::start(&mut self.world, "export TONEGATE_LOG=tonegate=debug");
        ready(child.admin()).await;
        child
    }

    /// The next process has other settings.
    fn set(&self, old: &str, new: &str) {
        let file = self.world.folder.join("edge.toml");
        let settings = fs::read_to_string(&file).unwrap();
        assert!(settings.contains(old), "{old} is not in {settings}");
        fs::write(&file, settings.replace(old, new)).unwrap();
    }

    /// A process that must not get anywhere: what it says.
    async fn fails(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tonegate"));
        command
            .args(["serve", "--config"])
            .arg(self.world.folder.join("edge.toml"))
            .kill_on_drop(true);
        let ended = within("the end", command.output()).await.unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{error}");
        error
    }
}

fn says(line: &Value, message: &str) -> bool {
    line["message"] == message
}

async fn speaks(caller: &mut Caller) {
    caller.send(text("here")).await;
    assert_eq!(caller.next().await, Some(text("here")));
}

async fn leaves(mut caller: Caller) {
    caller.close(1000, "").await;
    assert_eq!(caller.closed().await, (Some(1000), String::new()));
}

/// What clients have done.
#[derive(Default)]
struct Seen {
    entered: AtomicU64,
    spoken: AtomicU64,
    come: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    async fn enters(&self, port: u16) -> Caller {
        let caller = ask_at(port, ECHO, &SHOWN).await;
        let caller = caller.unwrap_or_else(|refused| panic!("refused: {refused:?}"));
        self.entered.fetch_add(1, Ordering::SeqCst);
        caller
    }

    /// Talks until it is told to stop, a frame each time.
    async fn talks(self: Arc<Seen>, port: u16, pause: Duration) {
        let mut caller = self.enters(port).await;
        while !self.stop.load(Ordering::SeqCst) {
            speaks(&mut caller).await;
            self.spoken.fetch_add(1, Ordering::SeqCst);
            // In small parts: whoever is told to stop does so soon.
            let mut left = pause;
            while !left.is_zero() && !self.stop.load(Ordering::SeqCst) {
                let part = left.min(Duration::from_millis(100));
                tokio::time::sleep(part).await;
                left -= part;
            }
        }
        leaves(caller).await;
    }

    /// Comes and goes until it is told to stop.
    async fn comes(self: Arc<Seen>, port: u16) {
        while !self.stop.load(Ordering::SeqCst) {
            let mut caller = self.enters(port).await;
            speaks(&mut caller).await;
            leaves(caller).await;
            self.come.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until so many have entered.
    async fn are(&self, many: u64) {
        within("everybody", async {
            while self.entered.load(Ordering::SeqCst) < many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until this has grown by so much.
    async fn grows(&self, count: &AtomicU64, by: u64) {
        let before = count.load(Ordering::SeqCst);
        within("clients that go on", async {
            while count.load(Ordering::SeqCst) < before + by {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// Clients that talk and clients that come, at a port.
fn clients(port: u16) -> (Arc<Seen>, Arc<Seen>, Vec<JoinHandle<()>>) {
    let [slow, fast, coming] = load();
    let (talking, going) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let second = Duration::from_secs(1);
    let mut all = Vec::new();
    for _ in 0..slow {
        all.push(tokio::spawn(talking.clone().talks(port, second)));
    }
    for _ in 0..fast {
        all.push(tokio::spawn(talking.clone().talks(port, Duration::ZERO)));
    }
    for _ in 0..coming {
        all.push(tokio::spawn(going.clone().comes(port)));
    }
    (talking, going, all)
}

/// What a process tells at the address in this line: another one has taken its place.
async fn has_handed_over(admin: &Value) {
    let admin = admin["address"].as_str().unwrap().parse().unwrap();
    let (_, page) = crate::metrics::get(admin, "/metrics").await.unwrap();
    assert!(page.contains("tonegate_draining 1"), "{page}");
    assert!(
        page.contains("tonegate_handovers_total{outcome=\"done\"} 1"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b18_s38_three_processes_follow_each_other_under_load_and_nobody_is_refused_or_cut() {
    let mut place = Place::new(AUDIT).await;
    // Left by a process that was killed.
    drop(UnixListener::bind(place.socket()).unwrap());
    let mut first = place.start().await;
    let port = place.world.port;
    let mode = fs::metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (talking, going, all) = clients(port);
    let [slow, fast, coming] = load();
    let talkers = (slow + fast) as u64;
    talking.are(talkers).await;
    going.grows(&going.come, 5).await;

    // The new one has more workers than the old one.
    place.set("workers = 2", "workers = 3");
    let mut second = place.start().await;
    assert_eq!(place.world.port, port);
    assert_eq!(second.admin(), first.admin());
    let handed = |line: &Value| says(line, "handed over: another process accepts from now on");
    first
        .until("the handover", |first| first.logged(handed) == 1)
        .await;
    let accepted = second.count("tonegate_connections_total").await;
    // Some were accepted before that was asked, and come to their end only now.
    going.grows(&going.come, 10 + coming as u64).await;
    assert!(second.count("tonegate_connections_total").await >= accepted + 10);
    // Who was there before talks on, with the old one, which tells its operator at another address.
    talking.grows(&talking.spoken, talkers).await;
    let of_first = |line: &Value| line["role"] == "admin";
    first
        .until("another address", |first| first.logged(of_first) == 1)
        .await;
    has_handed_over(&first.lines(of_first)[0]).await;

    // And the third one has fewer, so that it accepts from several queues on one thread.
    place.set("workers = 3", "workers = 1");
    let mut third = place.start().await;
    second
        .until("the handover", |second| second.logged(handed) == 1)
        .await;
    going.grows(&going.come, 10 + coming as u64).await;
    assert!(third.count("tonegate_connections_total").await >= 10);
    going.stop.store(true, Ordering::SeqCst);
    // Nobody is left there.
    assert_eq!(second.exits().await, 0);
    talking.grows(&talking.spoken, talkers).await;
    talking.stop.store(true, Ordering::SeqCst);
    for client in all {
        within("a client's end", client).await.unwrap();
    }
    assert_eq!(first.exits().await, 0);
    for ended in [&first, &second] {
        assert_eq!(ended.lines(|line| says(line, "stopped"))[0]["cut"], 0);
        assert_eq!(ended.lines(|line| says(line, "ending"))[0]["sessions"], 0);
    }
    let alone = |line: &Value| says(line, "the process that ran before has ended");
    third
        .until("the end of the other", |third| third.logged(alone) == 1)
        .await;
    // One more, whose records are written by who is alone again.
    leaves(going.enters(port).await).await;
    third.terminate();
    assert_eq!(third.exits().await, 0);
    assert!(!place.socket().exists());

    // All three have written one chain: each session has its two records.
    let file = place.world.folder.join("audit.jsonl");
    let verified = audit::verify(std::slice::from_ref(&file), &[], false).unwrap();
    let entered = [&talking, &going].map(|seen| seen.entered.load(Ordering::SeqCst));
    assert_eq!(verified.records, 2 * (entered[0] + entered[1]));
    assert_eq!((verified.repaired, verified.torn), (0, false));
}

#[tokio::test]
async fn b18_a_successor_that_does_not_come_to_serve_leaves_everything_as_it_was() {
    let mut place = Place::new(AUDIT).await;
    let mut living = place.start().await;
    let mut caller = place.world.call("sim-echo").await;
    // It has asked for the sockets when it finds that they are not what its settings say.
    let listen = "listen = \"127.0.0.1:0\"";
    place.set(listen, "listen = \"127.0.0.1:1\"");
    let error = place.fails().await;
    let told = format!(
        "server.listen listens on 127.0.0.1:{}, and the settings say 127.0.0.1:1",
        place.world.port
    );
    assert!(error.contains(&told), "{error}");
    let failed = "tonegate_handovers_total{outcome=\"failed\"}";
    living.metrics_say(&format!("{failed} 1")).await;
    // Or that it cannot record anything.
    place.set("listen = \"127.0.0.1:1\"", listen);
    place.set("path = \"audit.jsonl\"", "path = \"nowhere/audit.jsonl\"");
    let error = place.fails().await;
    assert!(error.contains("audit.path"), "{error}");
    living.metrics_say(&format!("{failed} 2")).await;
    assert_eq!(living.asks_admin("/readyz").await.unwrap().0, 200);
    speaks(&mut caller).await;
    leaves(place.world.call("sim-echo").await).await;
    // Without the setting it is as ever: the port is taken, and so is the audit's file.
    place.set("path = \"nowhere/audit.jsonl\"", "path = \"audit.jsonl\"");
    place.set("handover = \"handover.sock\"", "");
    let error = place.fails().await;
    assert!(
        error.contains("another process writes this file"),
        "{error}"
    );
    leaves(caller).await;
    living.terminate();
    assert_eq!(living.exits().await, 0);
    let file = place.world.folder.join("audit.jsonl");
    let verified = audit::verify(&[file], &[], false).unwrap();
    assert_eq!(verified.records, 4);
}

#[tokio::test]
async fn b18_nobody_else_gets_the_sockets() {
    const PYTHON: &str = "/usr/bin/python3";
    if !rustix::process::geteuid().is_root() || !std::path::Path::new(PYTHON).exists() {
        eprintln!("SKIPPED: only root can become another user, who needs a Python of the system");
        return;
    }
    let mut place = Place::new("").await;
    let living = place.start().await;
    let ask = "import socket, sys
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
    sock.sendall(b\"tonegate handover 1\\n\")
    print(\"heard\", sock.recv(100))
except PermissionError:
    print(\"may not\")
except ConnectionError:
    print(\"heard\", b\"\")
";
    let ask = async || {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args([PYTHON, "-c", ask])
            .arg(place.socket());
        crate::program::ends_well(&mut command, Duration::from_secs(20)).await
    };
    assert_eq!(ask().await.trim(), "may not");
    // Not even if the file lets them.
    fs::set_permissions(place.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(ask().await.trim(), "heard b''");
    living
        .metrics_say("tonegate_handovers_total{outcome=\"stranger\"} 1")
        .await;
    assert_eq!(living.asks_admin("/readyz").await.unwrap().0, 200);
}
