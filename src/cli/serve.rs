//! `tonegate serve`: the edge itself, until SIGINT or SIGTERM.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::Edge;
use crate::config::{self, Settings};
use crate::log::Log;

pub(super) fn run(paths: &[PathBuf]) -> anyhow::Result<()> {
    let settings = Settings::read(paths)?;
    let log = Log::start(config::log_filter().as_deref()).map_err(|error| anyhow!(error))?;
    allow_descriptors(&settings);
    let result = Edge::start(&settings).map_err(anyhow::Error::from);
    let result = result.and_then(|edge| {
        let name = wait_for_signal()?;
        tracing::info!(signal = name, "signal received");
        edge.stop();
        Ok(())
    });
    log.flush();
    result
}

/// Blocks until the process is asked to end; which signal did.
fn wait_for_signal() -> anyhow::Result<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime for signals cannot start")?;
    runtime.block_on(signalled())
}

/// Resolves when the process is asked to end; which signal did.
pub(super) async fn signalled() -> anyhow::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// Raises the soft limit of open files to the hard one, and warns if that is still too few.
fn allow_descriptors(settings: &Settings) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it cannot be raised, what there is is compared below.
    let _ = setrlimit(Resource::Nofile, limit);
    let limits = &settings.live.limits;
    // A socket to each client, one upstream per session, listeners and files.
    let needed = (limits.connections + limits.sessions + 100) as u64;
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
