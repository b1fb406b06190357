//! `tonegate serve`: the edge itself, until SIGINT or SIGTERM.

use anyhow::{Context as _, anyhow};
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::Edge;
use crate::bot::pii::Filter;
use crate::config::pii::{Pii, PiiKind};
use crate::config::{Developer, Settings};
use crate::log::{Log, Scrub};

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

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let (mut settings, filter) = flags.settings.read_all()?;
    if let Some(developer) = &flags.insecure_dev {
        settings = settings.for_developer(developer.clone())?;
    }
    let scrub = scrub(&settings.boot.log_pii);
    let log = Log::start(filter, scrub).map_err(|error| anyhow!(error))?;
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    allow_descriptors(&settings);
    let result = serve(&settings);
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

/// Serves until the process is asked to end.
fn serve(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime for signals cannot start")?;
    // Heard from before anybody can connect: a signal must never cut a session short.
    let signals = runtime.block_on(async { Signals::listen() })?;
    let edge = Edge::start(settings)?;
    let name = runtime.block_on(signals.any());
    tracing::info!(signal = name, "signal received");
    edge.stop();
    Ok(())
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
    async fn any(mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Resolves when the process is asked to end; which signal did.
pub(super) async fn signalled() -> anyhow::Result<&'static str> {
    Ok(Signals::listen()?.any().await)
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
