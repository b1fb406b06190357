//! `tonegate serve`: the edge itself, until SIGINT or SIGTERM, and then until everybody has gone. SIGHUP has
//! the settings read anew.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{Edge, Read, Source};
use crate::bot::pii::Filter;
use crate::config::pii::{Pii, PiiKind};
use crate::config::supervisor::{self, News};
use crate::config::{Developer, Settings};
use crate::drain::{Drain, Stage};
use crate::listener::inherit::{Sockets, Unfit};
use crate::listener::reload::Reload;
use crate::log::{self, Log, Scrub};

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: super::Config,
    /// INSECURE, for developers: whoever on this machine asks an http or bot route without a
    /// credential is taken for this person of Entra (made-up ids if none is named). Refused unless
    /// both listeners, the applications, the store and the bot's services are on loopback. No
    /// setting and no variable does this
    #[arg(long, value_name = "TENANT/PERSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = Developer::USUAL)]
    insecure_dev: Option<Developer>,
}

/// What a shell tells of a process that a signal has killed.
const KILLED: i32 = 128 + 15;
/// From the end of the grace period to the end of the process: what is spread over some seconds, and
/// what is waited for then.
const END: Duration = Duration::from_secs(15);

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    // Before anything else opens a descriptor: those that a supervisor gives are known by their numbers.
    let given = supervisor::sockets().map_err(Unfit::Supervisor)?;
    let given = Sockets::of_supervisor(given)?;
    let filter = Arc::default();
    let read = reader(flags, &filter);
    let (settings, source) = Source::open(read).map_err(|error| anyhow!(error))?;
    let scrub = scrub(&settings.boot.log_pii);
    let filter = filter.get().and_then(Option::as_deref);
    let filter = log::filter(filter).map_err(anyhow::Error::msg)?;
    let log = Log::start(filter, scrub).map_err(|error| anyhow!(error))?;
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    allow_descriptors(&settings);
    let result = serve(&settings, given, source);
    log.flush();
    result
}

/// What takes personal data out of the log's lines; `None`: they are written as they are.
fn scrub(kinds: &[PiiKind]) -> Option<Scrub> {
    if kinds.is_empty() {
        return None;
    }
    let filter = Filter::new(&Pii {
        kinds: kinds.to_vec(),
        ..Pii::default()
    });
    Some(Box::new(move |line| filter.line(line)))
}

/// Serves until the process is asked to end, and everybody has gone.
fn serve(settings: &Settings, given: Sockets, source: Source) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime for signals cannot start")?;
    // Heard from before anybody can connect: a signal must never cut a session short.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let hang_up = runtime.block_on(async { signal(SignalKind::hangup()) })?;
    let edge = Edge::start_with(settings, given, Some(source))?;
    supervisor::tell(News::Ready);
    let is_whole = runtime.block_on(async {
        tokio::select! {
            () = edge.ended() => true,
            () = edge.broken() => false,
            () = heed(&mut signals, edge.drain()) => unreachable!("it waits for ever"),
            () = reloads(hang_up, edge.reload()) => unreachable!("it waits for ever"),
            () = tell_of_the_end(settings, edge.drain()) => unreachable!("it waits for ever"),
            () = tell_that_all_is_well(&edge) => unreachable!("it waits for ever"),
        }
    });
    if is_whole {
        edge.close();
        return Ok(());
    }
    tracing::error!("the edge is broken; the process ends");
    edge.stop();
    Err(anyhow!(
        "something without which there is no edge has panicked again and again"
    ))
}

/// Reads the settings from where the command line says, again and again. What is logged, `filter`, is
/// what it was at first.
fn reader(flags: &Flags, filter: &Arc<OnceLock<Option<String>>>) -> Read {
    let (from, developer) = (flags.settings.clone(), flags.insecure_dev.clone());
    let filter = filter.clone();
    Box::new(move |sources| {
        let read = from.read_all(sources);
        let (settings, now) = read.map_err(|error| format!("{error:#}"))?;
        if *filter.get_or_init(|| now.clone()) != now {
            return Err("TONEGATE_LOG cannot change while the process lives".to_owned());
        }
        let Some(developer) = &developer else {
            return Ok(settings);
        };
        let settings = settings.for_developer(developer.clone());
        settings.map_err(|error| error.to_string())
    })
}

/// Has the settings read anew at each SIGHUP. Signals that come while they are read are one.
async fn reloads(mut hang_up: Signal, reload: Reload) {
    while hang_up.recv().await.is_some() {
        supervisor::tell(News::Reloading);
        // What came of it is logged and counted.
        let _ = reload.now().await;
        supervisor::tell(News::Ready);
    }
    // No signal of this process can be heard any more.
    std::future::pending().await
}

/// The first signal has the edge drain, the next one end at once, and one more kills it.
async fn heed(signals: &mut Signals, drain: &Drain) {
    loop {
        let signal = signals.next().await;
        let sessions_have = drain.left().unwrap_or_default().as_secs_f64();
        match (drain.stage(), drain.is_hurried()) {
            (Stage::Serving, _) => {
                tracing::info!(signal, "signal received: no new sessions");
                drain.begin(None);
            }
            (_, false) => {
                tracing::warn!(
                    signal,
                    sessions_have,
                    "signal received again: ending at once"
                );
                drain.end();
            }
            (_, true) => {
                tracing::error!(signal, "signal received once more: killed");
                std::process::exit(KILLED);
            }
        }
    }
}

/// A supervisor waits as long as the settings say, whatever it usually does.
async fn tell_of_the_end(settings: &Settings, drain: &Drain) {
    drain.begun().await;
    let left = drain.left().unwrap_or(settings.boot.grace);
    supervisor::tell(News::Stopping(left + END));
    supervisor::tell(News::Status("no new sessions; those that run go on"));
    drain.ending().await;
    supervisor::tell(News::Status("sessions are being ended"));
    std::future::pending().await
}

/// At the end threads have ended that would have shown it.
async fn tell_that_all_is_well(edge: &Edge) {
    let Some(within) = supervisor::watchdog() else {
        return std::future::pending().await;
    };
    let well = || supervisor::tell(News::Well);
    tokio::select! {
        () = edge.beats().watch(within / 2, well) => {}
        () = edge.drain().ending() => well(),
    }
    std::future::pending().await
}

/// The signals that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Which of them came.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Resolves when the process is asked to end; which signal did.
pub(super) async fn signalled() -> anyhow::Result<&'static str> {
    Ok(Signals::listen()?.next().await)
}

/// A socket to each client, one upstream per session, listeners and files.
pub(super) fn descriptors_needed(settings: &Settings) -> u64 {
    let limits = &settings.live.limits;
    (limits.connections + limits.sessions + 100) as u64
}

/// Raises the soft limit of open files to the hard one, and warns if that is still too few.
fn allow_descriptors(settings: &Settings) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it cannot be raised, what there is is compared below.
    let _ = setrlimit(Resource::Nofile, limit);
    let needed = descriptors_needed(settings);
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        tracing::warn!(
            allowed,
            needed,
            "the limits of [limits] need more open files than the process may have"
        );
    }
}
