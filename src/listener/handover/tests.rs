//! Both ends over real sockets, in one process.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::audit::Audit;
use crate::drain::{Drain, Pace};
use crate::ids::SessionId;
use crate::listener::inherit::Sockets;
use crate::metrics::{self, Metrics};

const PATIENCE: Duration = Duration::from_secs(20);

/// A process that may be asked, and what is seen of it.
struct Living {
    path: PathBuf,
    drain: Drain,
    metrics: metrics::Shared,
    own: Vec<std::net::SocketAddr>,
}

fn path() -> PathBuf {
    std::env::temp_dir().join(format!("tonegate-{}.sock", SessionId::random()))
}

fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

impl Living {
    fn start() -> (Living, Offer) {
        let path = path();
        let public = vec![bound(), bound(), bound()];
        let admin = bound();
        let own = public.iter().chain([&admin]);
        let own = own.map(|socket| socket.local_addr().unwrap()).collect();
        let grace = Duration::from_secs(60);
        let drain = Drain::new(Pace {
            delay: Duration::ZERO,
            grace,
        });
        let metrics: metrics::Shared = Arc::new(Metrics::new());
        let offer = Offer {
            place: Place::take(&path).unwrap(),
            sockets: Sockets {
                public,
                admin: Some(admin),
            },
            drain: drain.clone(),
            audit: Audit::off(),
            metrics: metrics.clone(),
        };
        let living = Living {
            path,
            drain,
            metrics,
            own,
        };
        (living, offer)
    }

    fn counted(&self, outcome: &str) -> bool {
        let line = format!("tonegate_handovers_total{{outcome=\"{outcome}\"}} 1");
        self.metrics.render().lines().any(|l| l == line)
    }

    async fn counts(&self, outcome: &str) {
        let counted = async {
            while !self.counted(outcome) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, counted).await.expect(outcome);
    }
}

async fn asked(path: &Path) -> Result<Option<(Predecessor, Sockets)>, Failed> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || ask(&path))
        .await
        .unwrap()
}

/// Runs `test` beside a process that may be asked.
async fn beside<T>(offer: Offer, test: impl Future<Output = T>) -> T {
    tokio::select! {
        done = test => done,
        () = offer.serve() => panic!("it gives no more"),
    }
}

#[tokio::test]
async fn b18_the_sockets_are_the_same_and_nothing_changes_before_the_new_one_is_ready() {
    let (living, offer) = Living::start();
    let mode = fs::metadata(&living.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    beside(offer, async {
        let (mut predecessor, sockets) = asked(&living.path).await.unwrap().unwrap();
        let all = sockets.public.iter().chain(&sockets.admin);
        let all: Vec<_> = all.map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(all, living.own);
        assert!(!living.drain.has_begun());
        assert!(living.path.exists());
        // Whoever asks meanwhile hears why not.
        let second = asked(&living.path).await.err().unwrap();
        assert!(matches!(second, Failed::Busy), "{second}");
        living.counts("busy").await;
        let relieved =
            tokio::task::spawn_blocking(move || predecessor.relieve().map(|()| predecessor));
        let predecessor = relieved.await.unwrap().unwrap();
        assert!(living.drain.has_begun() && !living.drain.is_ending());
        living.drain.leaving().await;
        assert!(!living.path.exists());
        living.counts("done").await;
        // The connection tells that it lives.
        let gone = timeout(Duration::from_millis(50), predecessor.gone()).await;
        assert!(gone.is_err());
    })
    .await;
}

#[tokio::test]
async fn b18_a_new_process_that_dies_before_it_is_ready_has_changed_nothing() {
    let (living, offer) = Living::start();
    beside(offer, async {
        let (predecessor, sockets) = asked(&living.path).await.unwrap().unwrap();
        drop((predecessor, sockets));
        living.counts("failed").await;
        assert!(!living.drain.has_begun());
        // The next one is served.
        let (mut predecessor, _) = asked(&living.path).await.unwrap().unwrap();
        let relieved = tokio::task::spawn_blocking(move || predecessor.relieve());
        relieved.await.unwrap().unwrap();
        assert!(living.drain.has_begun());
    })
    .await;
}

#[tokio::test]
async fn b18_whoever_speaks_otherwise_gets_no_socket() {
    let (living, offer) = Living::start();
    beside(offer, async {
        for said in ["tonegate handover 2\n", "GET / HTTP/1.1\r\n\r\n......", ""] {
            let path = living.path.clone();
            let heard = tokio::task::spawn_blocking(move || {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.write_all(said.as_bytes()).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap_or_default();
                heard
            });
            assert_eq!(heard.await.unwrap(), b"", "{said}");
        }
        assert!(!living.drain.has_begun());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn b18_a_new_process_that_says_nothing_is_not_waited_for() {
    let (living, offer) = Living::start();
    beside(offer, async {
        // Spoken here, on this thread: time goes on only while everybody waits.
        let mut stream = tokio::net::UnixStream::connect(&living.path).await.unwrap();
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let hello = format!("{HELLO}\n");
        stream.write_all(hello.as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, format!("{SOCKETS} 4\n++++{LATE}\n"));
        let waited = start.elapsed();
        assert!(
            (READY_WAIT..READY_WAIT + WORD_WAIT).contains(&waited),
            "{waited:?}"
        );
        assert!(!living.drain.has_begun());
        living.counts("failed").await;
    })
    .await;
}

#[test]
fn b18_where_nobody_lives_nobody_is_asked_and_what_is_no_socket_stays() {
    let path = path();
    assert!(ask(&path).unwrap().is_none());
    // Left by a process that was killed.
    drop(UnixListener::bind(&path).unwrap());
    assert!(ask(&path).unwrap().is_none());
    let place = Place::take(&path).unwrap();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    // What another one has put there is not taken away with this one.
    let other = Place::take(&path).unwrap();
    drop(place);
    assert!(path.exists());
    drop(other);
    assert!(!path.exists());
    fs::write(&path, "not to be lost").unwrap();
    assert!(matches!(ask(&path), Err(Failed::NoSocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "not to be lost");
    fs::remove_file(&path).unwrap();
}

/// Plays a process that lives, and is none of ours.
fn says(words: &'static [u8]) -> Failed {
    let path = path();
    let listener = UnixListener::bind(&path).unwrap();
    let plays = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = [0; HELLO.len() + 1];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(words).unwrap();
    });
    let failed = ask(&path).err().unwrap();
    plays.join().unwrap();
    fs::remove_file(&path).unwrap();
    failed
}

#[test]
fn b18_what_the_other_process_says_is_judged() {
    for words in [
        &b"socks 2\n"[..],
        b"sockets two\n",
        b"sockets 1\n",
        b"sockets 1026\n",
        // No socket comes with them.
        b"sockets 2\n++",
        b"\xff\n",
        &[b'x'; WORD_MAX + 1],
    ] {
        let failed = says(words);
        assert!(matches!(failed, Failed::Foreign), "{words:?}: {failed}");
    }
    let failed = says(b"no audit\n");
    assert!(
        matches!(&failed, Failed::Refused(why) if why == "audit"),
        "{failed}"
    );
    for words in [&b""[..], b"sockets 2"] {
        let Failed::Io(error) = says(words) else {
            panic!("{words:?}");
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
