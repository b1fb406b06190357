//! `tonegate demo`: the whole thing on loopback, with nothing else installed.
//!
//! Starts a simulated Voice Live and the edge before it, both with certificates of a throw-away
//! authority, holds one real conversation through the edge and makes two phone calls, as a
//! self-check. What it shows is what happened: each step passes or the demo fails.

mod phone;
mod stage;
mod steps;
mod text;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use self::stage::Stage;
use super::serve::signalled;
use crate::config::{self, Environment};
use crate::log::{self, Log};

#[derive(Args)]
pub(super) struct Flags {
    /// End after the self-check instead of staying up
    #[arg(long)]
    once: bool,
    /// Print each step as a JSON line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    // The steps tell the story; log lines of single sessions would only interrupt it.
    let filter = config::log_filter(&Environment::process());
    let filter = log::filter(Some(filter.as_deref().unwrap_or("warn")));
    let log = filter
        .and_then(|filter| Log::start(filter, None))
        .map_err(anyhow::Error::msg)?;
    let mut show = Show::new(flags.json, "demo");
    let stage = Stage::set(&mut show)?;
    let passed = stage.block_on(steps::all(&stage, &mut show));
    show.verdict(passed);
    if passed && !flags.once {
        if !flags.json {
            print!("{}", stage.what_next());
            std::io::stdout().flush()?;
        }
        stage.block_on(signalled())?;
    }
    stage.strike();
    log.flush();
    if !passed {
        bail!("the self-check failed");
    }
    Ok(())
}

/// Prints the timeline.
pub(super) struct Show {
    json: bool,
    began: Instant,
}

impl Show {
    pub(super) fn new(json: bool, verb: &str) -> Show {
        if !json {
            println!("tonegate {} {verb}\n", env!("CARGO_PKG_VERSION"));
        }
        Show {
            json,
            began: Instant::now(),
        }
    }

    /// One step that passed: when it was done, counted from the start.
    pub(super) fn passed(&self, step: &str, at: Instant, detail: &str) {
        self.step(step, true, at.duration_since(self.began), detail);
    }

    /// One step that failed now.
    pub(super) fn failed(&self, step: &str, detail: &str) {
        self.step(step, false, self.began.elapsed(), detail);
    }

    pub(super) fn step(&self, step: &str, ok: bool, at: Duration, detail: &str) {
        let ms = (at.as_secs_f64() * 1e4).round() / 10.0;
        if self.json {
            let line = json!({"step": step, "ok": ok, "at_ms": ms, "detail": detail});
            println!("{line}");
        } else {
            let mark = if ok { "ok  " } else { "FAIL" };
            println!("{ms:>9.1} ms  {mark}  {step:<13} {detail}");
        }
    }

    pub(super) fn verdict(&self, passed: bool) {
        if self.json {
            println!("{}", json!({"step": "verdict", "ok": passed}));
        } else if passed {
            println!("\nEvery step passed.");
        }
    }
}
