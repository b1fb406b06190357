//! Real Redis servers on loopback: started by a test, ended by their process ids.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tonegate::ids::SessionId;
use tonegate::sim::certificate::Authority;

/// Longer than anything that goes right takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `done` says so; the clock is asked only whether to give up.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// The user that the README tells operators to make.
pub(crate) fn acl_line() -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let line = readme
        .lines()
        .find(|line| line.starts_with("user tonegate "));
    line.unwrap().replace(">PASSWORD", ">s3cret-of-the-test")
}

/// One process with a folder of its own.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    tls: Option<PathBuf>,
    login: Vec<String>,
    child: Mutex<Child>,
}

impl Server {
    pub(crate) fn plain(more: &[&str]) -> Server {
        let port = free_port();
        let mut arguments = vec!["--port".to_owned(), port.to_string()];
        arguments.extend(more.iter().map(|text| (*text).to_owned()));
        Server::start(port, arguments, None, vec![], new_folder())
    }

    /// TLS only, and nobody enters but by the line of the README (and, for the test, an operator).
    pub(crate) fn tls(authority: &Authority, acl: &str) -> Server {
        let port = free_port();
        let folder = new_folder();
        let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let chain = write("chain.pem", &identity.chain_pem);
        let key = write("key.pem", &identity.key_pem);
        let roots = write("roots.pem", &authority.pem());
        let users = format!("user default off\nuser operator on >operator ~* &* +@all\n{acl}\n");
        let users = write("users.acl", &users);
        let port_text = port.to_string();
        let arguments = [
            "--port",
            "0",
            "--tls-port",
            &port_text,
            "--tls-cert-file",
            &chain,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &roots,
            "--tls-auth-clients",
            "no",
            "--aclfile",
            &users,
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let login = ["--user", "operator", "--pass", "operator"];
        let login = login.map(str::to_owned).to_vec();
        Server::start(port, arguments, Some(PathBuf::from(roots)), login, folder)
    }

    /// A sentinel that watches `primary` under the name `main`.
    pub(crate) fn sentinel(primary: &Server) -> Server {
        let folder = new_folder();
        let port = free_port();
        let text = format!(
            "port {port}\ndir {}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
            folder.display(),
            primary.port
        );
        let file = folder.join("sentinel.conf");
        fs::write(&file, text).unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        Server::start(port, arguments, None, vec![], folder)
    }

    fn start(
        port: u16,
        arguments: Vec<String>,
        tls: Option<PathBuf>,
        login: Vec<String>,
        folder: PathBuf,
    ) -> Server {
        let child = Mutex::new(spawn(&folder, &arguments));
        let server = Server {
            port,
            folder,
            arguments,
            tls,
            login,
            child,
        };
        server.until_it_answers();
        server
    }

    /// The file of the authority that its certificate is from.
    #[allow(dead_code, reason = "whole edges are told a file")]
    pub(crate) fn roots(&self) -> Option<&Path> {
        self.tls.as_deref()
    }

    fn until_it_answers(&self) {
        until("a server's answer", || {
            self.try_tell(&["PING"]) == Some("PONG".to_owned())
        });
    }

    /// What redis-cli prints for a command: another program's view of what is there.
    pub(crate) fn tell(&self, command: &[&str]) -> String {
        self.try_tell(command).unwrap()
    }

    fn try_tell(&self, command: &[&str]) -> Option<String> {
        let mut cli = Command::new("redis-cli");
        cli.args(["-c", "-p", &self.port.to_string()])
            .args(&self.login);
        if let Some(roots) = &self.tls {
            cli.args(["--no-auth-warning", "--tls", "--cacert"])
                .arg(roots);
        }
        let output = cli.args(command).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        output.status.success().then_some(text)
    }

    /// Hears what clients send from now on, as another program does.
    pub(crate) fn listen(&self) -> Monitor<'_> {
        let mut child = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "MONITOR"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "OK");
        Monitor {
            server: self,
            child,
            lines,
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts it again at the same place, with nothing in it.
    pub(crate) fn restart(&self) {
        *self.child.lock().unwrap() = spawn(&self.folder, &self.arguments);
        self.until_it_answers();
    }
}

/// What goes on at a server.
pub(crate) struct Monitor<'a> {
    server: &'a Server,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Monitor<'_> {
    /// What clients sent since, without what scripts did.
    pub(crate) fn end(mut self) -> Vec<String> {
        let end = SessionId::random().to_string();
        self.server.tell(&["ECHO", &end]);
        let lines = self.lines.by_ref().map(Result::unwrap);
        let heard = lines.take_while(|line| !line.contains(&end));
        let heard = heard.filter(|line| !line.contains(" lua] ")).collect();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        heard
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn new_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tonegate-store-{}", SessionId::random()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn spawn(folder: &Path, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(arguments)
        .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed by `make tools`")
}

/// Three nodes with all slots between them.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        let nodes: Vec<Server> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                Server::plain(&["--cluster-enabled", "yes", "--cluster-port", &bus])
            })
            .collect();
        for (i, (node, slots)) in nodes.iter().zip(SLOTS).enumerate() {
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
        }
        let first = &nodes[0];
        for node in &nodes[1..] {
            let bus = node.arguments.last().unwrap();
            first.tell(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]);
        }
        for node in &nodes {
            until("a cluster", || {
                let info = node.tell(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            });
        }
        Cluster { nodes }
    }
}

const SLOTS: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];

/// A sentinel, what it watches, and a replica of that.
pub(crate) struct Watched {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
    pub(crate) sentinel: Server,
}

impl Watched {
    pub(crate) fn start() -> Watched {
        let primary = Server::plain(&[]);
        let of = primary.port.to_string();
        let replica = Server::plain(&["--replicaof", &format!("127.0.0.1 {of}")]);
        let sentinel = Server::sentinel(&primary);
        until("a replica", || {
            let known = sentinel.tell(&["SENTINEL", "REPLICAS", "main"]);
            known.contains(&replica.port.to_string()) && is_linked(&replica)
        });
        Watched {
            primary,
            replica,
            sentinel,
        }
    }
}

fn is_linked(replica: &Server) -> bool {
    let said = replica.tell(&["INFO", "replication"]);
    said.contains("master_link_status:up")
}

/// What is ended together.
pub(crate) trait Servers {
    fn servers(&self) -> Vec<&Server>;
}

impl Servers for Server {
    fn servers(&self) -> Vec<&Server> {
        vec![self]
    }
}

impl Servers for (Authority, Server) {
    fn servers(&self) -> Vec<&Server> {
        vec![&self.1]
    }
}

impl Servers for Watched {
    fn servers(&self) -> Vec<&Server> {
        vec![&self.sentinel, &self.replica, &self.primary]
    }
}

impl Servers for Cluster {
    fn servers(&self) -> Vec<&Server> {
        self.nodes.iter().collect()
    }
}

/// One for all tests of the process, which ends with it. Nothing in a static is dropped, so what
/// ends the servers is a shell that waits for the end of its input, which no other process can write.
pub(crate) struct Shared<T>(OnceLock<(Arc<T>, Child)>);

impl<T: Servers> Shared<T> {
    pub(crate) const fn new() -> Shared<T> {
        Shared(OnceLock::new())
    }

    pub(crate) fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let (shared, _) = self.0.get_or_init(|| {
            let started = start();
            let keeper = keeper(&started.servers());
            (Arc::new(started), keeper)
        });
        Arc::clone(shared)
    }
}

fn keeper(servers: &[&Server]) -> Child {
    let mut keeper = Command::new("sh");
    keeper.args(["-c", r#"read -r _; kill -9 $0; rm -rf "$@""#]);
    let ids = servers.iter().map(|server| {
        let child = server.child.lock().unwrap();
        child.id().to_string()
    });
    keeper.arg(ids.collect::<Vec<_>>().join(" "));
    keeper.args(servers.iter().map(|server| &server.folder));
    keeper.stdin(Stdio::piped()).stdout(Stdio::null());
    keeper.stderr(Stdio::null()).spawn().unwrap()
}
