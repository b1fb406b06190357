//! The process: its threads, how it ends, and who takes its place.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::Problems;
use crate::config::file::File;
use crate::config::{Engine, Store};

/// Until the sessions that are left are ended. With what is usual after that it fits into the 10 seconds
/// that `docker stop` waits before it kills, and well into the 30 of Kubernetes and Azure Container Apps.
const GRACE: Duration = Duration::from_secs(5);
const GRACE_MAX: Duration = Duration::from_secs(24 * 3600);
/// A frame of audio is 20 ms: what is added to its way is to be little beside that, also twice.
const BATCH_MAX: Duration = Duration::from_millis(2);
/// A socket's path must fit into the kernel's address of it, with what a new one is named until it
/// has its name.
const SOCKET_PATH_MAX: usize = 90;

/// How long a drain takes, and where another process asks for the listening sockets.
pub(super) struct Ending {
    pub(super) delay: Duration,
    pub(super) grace: Duration,
    pub(super) handover: Option<PathBuf>,
}

pub(super) fn ending(file: &File, store: Option<&Store>, problems: &mut Problems) -> Ending {
    let grace = file.server.grace.unwrap_or(GRACE);
    let delay = file.server.drain_delay.unwrap_or(Duration::ZERO);
    if grace > GRACE_MAX {
        problems.add("server.grace", "must be at most 24 hours");
    }
    if delay > grace {
        let what = format!(
            "must not exceed server.grace, which is {}: sessions are ended then",
            humantime::format_duration(grace)
        );
        problems.add("server.drain_delay", what);
    }
    Ending {
        delay,
        grace,
        handover: handover(file, store, problems),
    }
}

pub(super) fn workers(file: &File, problems: &mut Problems) -> usize {
    match file.server.workers.unwrap_or(0) {
        0 => processors(),
        workers @ 1..=1024 => workers,
        _ => {
            problems.add("server.workers", "must not exceed 1024");
            1
        }
    }
}

pub(super) fn batch(file: &File, problems: &mut Problems) -> Duration {
    let batch = file.server.batch.unwrap_or_default();
    if batch > BATCH_MAX {
        problems.add(
            "server.batch",
            "must be at most 2ms: each frame may wait for it",
        );
    }
    batch
}

/// As many as this process had when it was asked first: what a container is given meanwhile needs a
/// restart, and must not be taken for a change of the settings.
fn processors() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn handover(file: &File, store: Option<&Store>, problems: &mut Problems) -> Option<PathBuf> {
    let path = file.server.handover.clone()?;
    if store.is_some_and(|store| matches!(store.engine, Engine::Memory)) {
        problems.add(
            "server.handover",
            "needs a store that both processes share: with [store] url = \"memory:\" the new one \
             would know of no revocation, no ticket that was spent and no call of the old one",
        );
    }
    let length = path.as_os_str().len();
    if path.file_name().is_none() || length > SOCKET_PATH_MAX {
        let what = format!("must be the path of a socket, of at most {SOCKET_PATH_MAX} bytes");
        problems.add("server.handover", what);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use crate::config::Settings;
    use std::time::Duration;

    fn read_text(text: &str) -> Result<Settings, String> {
        let upstream = "[upstreams.voice]\nkind = \"voice-live\"\nresource = \"resource\"\n\
                        credential = { key = \"k\" }\n[[routes]]\nname = \"open\"\nkind = \"voice-live\"\n\
                        paths = [\"/ws\"]\nadmit = [\"anyone\"]\nmodels = [\"m\"]\nupstreams = [\"voice\"]\n";
        let read = Settings::read_text("edge.toml", &format!("{text}\n{upstream}"));
        read.map_err(|error| error.to_string())
    }

    const REDIS: &str = "[store]\nurl = \"redis://127.0.0.1:1\"\n";

    fn problem(lines: &str, more: &str) -> String {
        let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{lines}\n{more}");
        read_text(&text).unwrap_err()
    }

    #[test]
    fn b18_how_the_edge_ends_is_judged() {
        for (lines, more, told) in [
            (
                "grace = \"25h\"",
                "",
                "server.grace: must be at most 24 hours",
            ),
            (
                "drain_delay = \"6s\"",
                "",
                "server.drain_delay: must not exceed server.grace, which is 5s",
            ),
            (
                "handover = \"/run/t.sock\"",
                "",
                "server.handover: needs a store that both processes share",
            ),
            (
                "handover = \"/\"",
                REDIS,
                "server.handover: must be the path",
            ),
        ] {
            let error = problem(lines, more);
            assert!(error.contains(told), "{told}: {error}");
        }
        let long = format!("handover = \"/{}\"", "x".repeat(90));
        assert!(problem(&long, REDIS).contains("at most 90 bytes"));
    }

    #[test]
    fn how_long_frames_may_gather_is_bounded_and_not_at_all_unless_it_is_said() {
        let read = |lines: &str| {
            let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{lines}");
            read_text(&text).unwrap().boot.batch
        };
        assert_eq!(read(""), Duration::ZERO);
        assert_eq!(read("batch = \"2ms\""), Duration::from_millis(2));
        assert_eq!(read("batch = \"250us\""), Duration::from_micros(250));
        let error = problem("batch = \"2001us\"", "");
        assert!(
            error.contains("server.batch: must be at most 2ms"),
            "{error}"
        );
        assert!(problem("batch = \"often\"", "").contains("batch"));
    }

    #[test]
    fn b18_what_is_not_said_of_the_end_has_a_default() {
        let read = |lines: &str| {
            let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n{lines}\n{REDIS}");
            read_text(&text).unwrap().boot
        };
        let usual = read("");
        assert_eq!(usual.grace, Duration::from_secs(5));
        assert_eq!(usual.drain_delay, Duration::ZERO);
        assert_eq!(usual.handover, None);
        let set = read("grace = \"10m\"\ndrain_delay = \"5s\"\nhandover = \"/run/t/h.sock\"");
        assert_eq!(set.grace, Duration::from_secs(600));
        assert_eq!(set.drain_delay, Duration::from_secs(5));
        assert_eq!(set.handover, Some("/run/t/h.sock".into()));
    }
}
