//! The verbs of the command line, one file each.
//!
//! Results go to standard output, log lines and mistakes to standard error. Exit codes are those of
//! [`EXITS`].

mod admin;
mod audit;
mod call;
mod check;
mod demo;
mod doctor;
mod dtmf;
mod exit;
mod explain;
mod healthy;
mod key;
mod reference;
mod revoke;
mod serve;
mod sim;
mod token;
mod tone;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, Parser, Subcommand};

use crate::config::{self, Environment, Settings, Sources};
use crate::log;
use crate::panics;

/// One binary in front of Azure voice: TLS, admission, and a WebSocket relay that forwards media
/// as the bytes it came in.
#[derive(Parser)]
#[command(name = "tonegate", version, about, arg_required_else_help = true, after_help = exit::Exit::HELP)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start everything on loopback, hold a conversation and make phone calls through the edge, show
    /// how
    Demo(demo::Flags),
    /// Run the edge
    Serve(serve::Flags),
    /// Judge the settings and print what would run, secrets masked
    Check(check::Flags),
    /// Try everything that an edge with these settings would need, from this machine: names, TLS,
    /// clock, token issuers, Redis, Voice Live (one connection each), and its own public address
    Doctor(Box<doctor::Flags>),
    /// Ask an edge on this machine whether it is well, at its default admin address or that of these
    /// settings
    Healthy(healthy::Flags),
    /// Tell what would become of a request: each check, and what would be asked upstream; keys of
    /// token issuers are fetched for it, nothing else is dialled
    Explain(explain::Flags),
    /// Make an API key for a client, with the lines for the settings
    Key(key::Flags),
    /// Call the edge as ACS does when a phone call's media stream starts, and tell what happened
    Call(Box<call::Flags>),
    /// Find the DTMF keys that were pressed in recordings
    Dtmf(dtmf::Flags),
    /// Make a recording of DTMF keys
    Tone(tone::Flags),
    /// Run a simulated peer
    #[command(subcommand)]
    Sim(sim::Peer),
    /// Verify a token as the edge would, or make one for tests
    #[command(subcommand)]
    Token(token::Verb),
    /// Take back what somebody entered by, at all edges that share a store, or let them in again
    Revoke(Box<revoke::Flags>),
    /// Tell how a running edge stands; that it is not ready is exit code 5
    Status(admin::Plain),
    /// Look at the sessions of a running edge, or end one
    #[command(subcommand)]
    Sessions(admin::Sessions),
    /// Tell what came of dialling the upstreams of a running edge
    Upstreams(admin::Plain),
    /// Print the settings that a running edge goes by, secrets masked
    Settings(admin::Plain),
    /// Have a running edge take no new sessions, and end when those that run have had their time
    Drain(admin::DrainFlags),
    /// Have a running edge read its settings again
    Reload(admin::Plain),
    /// Look at what was decided
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Print a reference as Markdown
    #[command(subcommand)]
    Reference(reference::Subject),
}

/// What the exit codes say.
const EXITS: [(u8, &str); 8] = [
    (0, "done; of `serve`: it was asked to end, and has"),
    (1, "it did not work, and standard error says why"),
    (2, "the command line is wrong"),
    (3, "no such session or name"),
    (4, "the edge's admin listener cannot be reached"),
    (5, "the edge is not ready"),
    (6, "the edge does not allow it: it wants its admin token"),
    (143, "of `serve`: a third signal ended it"),
];

/// Where the settings are.
#[derive(Args, Clone)]
struct Config {
    /// Settings file; may be given several times, later files win. Without one the settings come
    /// from variables, by the names of the old Node proxy
    #[arg(long, short, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// A file of NAME=value lines; variables of the process go before them. With --config they only
    /// stand in for ${NAME}
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

impl Config {
    fn variables(&self, sources: &mut Sources) -> anyhow::Result<Environment> {
        let Some(path) = &self.env_file else {
            return Ok(Environment::process());
        };
        let name = path.display();
        let text = sources
            .read_text(path)
            .with_context(|| format!("cannot read {name}"))?;
        Environment::with_file(&text).map_err(|problem| anyhow!("{name}: {problem}"))
    }

    /// The settings, and what is logged with them: whoever only checks them is told of a filter
    /// that cannot be used, too. Notes which files were read, whatever comes of it.
    fn read_all(&self, sources: &mut Sources) -> anyhow::Result<(Settings, Option<String>)> {
        let variables = self.variables(sources)?;
        let settings = if self.config.is_empty() {
            Settings::of_variables_noting(&variables, sources)
                .context("without --config the settings come from variables")?
        } else {
            Settings::read_noting(&self.config, &variables, sources)?
        };
        let filter = config::log_filter(&variables);
        log::filter(filter.as_deref()).map_err(anyhow::Error::msg)?;
        Ok((settings, filter))
    }

    fn read(&self) -> anyhow::Result<Settings> {
        Ok(self.read_all(&mut Sources::default())?.0)
    }
}

/// Parses the command line and runs its verb.
pub fn run() -> ExitCode {
    panics::log_places();
    let result = match Line::parse().verb {
        Verb::Demo(flags) => demo::run(&flags),
        Verb::Serve(flags) => serve::run(&flags),
        Verb::Check(flags) => check::run(&flags),
        Verb::Doctor(flags) => doctor::run(&flags),
        Verb::Explain(flags) => explain::run(&flags),
        Verb::Healthy(flags) => healthy::run(&flags),
        Verb::Key(flags) => key::run(&flags),
        Verb::Call(flags) => call::run(&flags),
        Verb::Dtmf(flags) => dtmf::run(&flags),
        Verb::Tone(flags) => tone::run(&flags),
        Verb::Sim(peer) => sim::run(peer),
        Verb::Token(verb) => token::run(&verb),
        Verb::Revoke(flags) => revoke::run(&flags),
        Verb::Status(flags) => admin::status(&flags),
        Verb::Sessions(verb) => admin::sessions(&verb),
        Verb::Upstreams(flags) => admin::upstreams(&flags),
        Verb::Settings(flags) => admin::settings(&flags),
        Verb::Drain(flags) => admin::drain(&flags),
        Verb::Reload(flags) => admin::reload(&flags),
        Verb::Audit(verb) => audit::run(&verb),
        Verb::Reference(subject) => reference::run(&subject),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tonegate: {error:#}");
            let exit = error.downcast_ref::<exit::Exit>();
            exit.map_or(ExitCode::FAILURE, |exit| ExitCode::from(exit.code()))
        }
    }
}
