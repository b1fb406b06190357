//! The program under a supervisor such as systemd: what it tells it, and the sockets that it is given.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::child::Child;
use crate::harness::{Wish, World, within};

/// What the program has told next.
async fn next(socket: &UnixDatagram) -> String {
    within("a word to the supervisor", async {
        let mut word = [0; 512];
        loop {
            match socket.recv(&mut word) {
                Ok(length) => return String::from_utf8(word[..length].to_vec()).unwrap(),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

fn listens(folder: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(folder.join("notify.sock")).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[tokio::test]
async fn b18_a_supervisor_hears_that_it_serves_that_it_is_well_and_for_how_long_it_ends() {
    let wish = Wish {
        server: "grace = \"5m\"".to_owned(),
        tls: false,
        ..Wish::default()
    };
    let mut world = World::with(wish).await;
    let told = listens(&world.folder);
    let shell = format!(
        "export NOTIFY_SOCKET={}/notify.sock WATCHDOG_USEC=1000000",
        world.folder.display()
    );
    let mut child = Child::start(&mut world, &shell);
    assert_eq!(next(&told).await, "READY=1\n");
    assert_eq!(next(&told).await, "WATCHDOG=1\n");
    let mut caller = world.call("sim-echo").await;
    child.terminate();
    let stopping = loop {
        let word = next(&told).await;
        if word != "WATCHDOG=1\n" {
            break word;
        }
    };
    let (stopping, longer) = stopping.split_once('\n').unwrap();
    assert_eq!(stopping, "STOPPING=1");
    let longer = longer.trim().strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap();
    let longer: u64 = longer.parse().unwrap();
    assert!((300_000_000..330_000_000).contains(&longer), "{longer}");
    assert!(next(&told).await.starts_with("STATUS="));
    // The sessions that run are served by threads that must make progress.
    assert_eq!(next(&told).await, "WATCHDOG=1\n");
    caller.close(1000, "").await;
    caller.closed().await;
    assert_eq!(child.exits().await, 0);
}

/// Opens sockets as a supervisor does, and becomes the program. `$0` is the program, `$1` its settings.
fn given(names: &str, addresses: &str) -> String {
    format!(
        "exec python3 -c '
import os, socket, sys
socks = []
for address in \"{addresses}\".split():
    host, port = address.rsplit(\":\", 1)
    sock = socket.socket()
    sock.bind((host, int(port)))
    sock.listen(64)
    socks.append(os.dup(sock.fileno()))
high = [os.dup2(fd, 50 + i) for i, fd in enumerate(socks)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.closerange(3 + len(high), 100)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=\"{names}\")
os.execv(sys.argv[1], [sys.argv[1], \"serve\", \"--config\", sys.argv[2]])
' \"$0\" \"$1\""
    )
}

#[tokio::test]
async fn b18_sockets_of_a_supervisor_are_what_it_listens_on() {
    let wish = Wish {
        tls: false,
        workers: 3,
        ..Wish::default()
    };
    let mut world = World::with(wish).await;
    let shell = given("admin:public", "127.0.0.1:0 127.0.0.1:0");
    let mut child = Child::start(&mut world, &shell);
    // Every worker accepts from the one queue.
    let mut callers = Vec::new();
    for _ in 0..12 {
        callers.push(world.call("sim-echo").await);
    }
    assert_eq!(child.asks_admin("/readyz").await.unwrap().0, 200);
    child
        .metrics_say("tonegate_sessions{route=\"browser\"} 12")
        .await;
    child.terminate();
    assert_eq!(child.exits().await, 0);
}

#[tokio::test]
async fn b18_sockets_that_are_not_what_the_settings_say_start_nothing() {
    let wish = Wish {
        tls: false,
        ..Wish::default()
    };
    let world = World::with(wish).await;
    for (names, addresses, told) in [
        ("public", "0.0.0.0:0", "and the settings say 127.0.0.1:0"),
        ("admin", "0.0.0.0:0", "server.admin listens on 0.0.0.0"),
        ("tonegate.socket", "127.0.0.1:0", "FileDescriptorName="),
        ("public:public", "127.0.0.1:0", "the supervisor"),
    ] {
        let mut command = tokio::process::Command::new("sh");
        command
            .args([
                "-c",
                &given(names, addresses),
                env!("CARGO_BIN_EXE_tonegate"),
            ])
            .arg(world.folder.join("edge.toml"))
            .kill_on_drop(true);
        let ended = within("the end", command.output()).await.unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{error}");
        assert!(error.contains(told), "{told}: {error}");
    }
}
