//! `tonegate-load`: the far ends of a measurement. `call`, `flood`, `connect` and `idle` are the
//! callers, `gate` those that use telephones; `echo` is the upstream, `forward` the least that could
//! stand in the middle, `certificates` the trust between them. Everything stays on loopback.

mod certificates;
mod drive;
mod echo;
mod forward;
mod frame;
mod gate;
mod orchestrator;
mod process;
mod report;
mod server;
mod socket;
mod texts;
mod tls;
mod voice;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::server::{Part, Server};

/// What can go wrong ends the run with a sentence; nobody handles it by kind.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Callers and echoes that measure a WebSocket proxy on this machine, and check every byte
///
/// Ends with 0 if all went well, with 1 if bytes were lost or changed, a threshold was passed or the run
/// could not be made, with 2 if it was asked for what makes no sense. What failed is in the result and
/// on stderr.
#[derive(Parser)]
#[command(version, about)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    format: report::Format,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Mode(drive::Mode),
    /// Telephone calls: each is let in as ACS' are, dials a code, waits for the agent and talks
    Gate(gate::Flags),
    /// A WebSocket server that sends every frame back, whatever path or credential it came with
    Echo(EchoFlags),
    /// Accepts, dials and forwards bytes, with TLS on both sides and without HTTP: the floor that a
    /// proxy is compared with
    Forward(forward::Flags),
    /// Writes ca.pem, leaf.pem and leaf.key for localhost, valid for the tests only
    Certificates {
        #[arg(long)]
        directory: PathBuf,
    },
    /// The modes by their name of the comparison's scripts, which judge lateness themselves
    #[command(subcommand, hide = true)]
    Drive(drive::Mode),
}

/// Something was asked for that makes no sense, beyond what the flags alone can tell.
#[derive(Debug)]
pub struct Usage(String);

impl Usage {
    pub fn error(text: impl Into<String>) -> Box<dyn std::error::Error + Send + Sync> {
        Box::new(Usage(text.into()))
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What clap ends with, too.
const USAGE: u8 = 2;

/// Where the strict echo listens and who it says it is.
#[derive(clap::Args, Clone)]
pub struct EchoFlags {
    #[arg(long = "echo-listen", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long, required_unless_present = "plain")]
    certificate: Option<PathBuf>,
    #[arg(long, required_unless_present = "plain")]
    key: Option<PathBuf>,
    /// No TLS
    #[arg(long)]
    plain: bool,
}

fn main() -> ExitCode {
    let command = Command::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(command.verb, command.format)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tonegate-load: {error}");
            if error.is::<Usage>() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// `Ok(false)`: the run took place, and failed.
async fn run(verb: Verb, format: report::Format) -> Result<bool> {
    match verb {
        Verb::Echo(flags) => {
            let leaf = flags.certificate.as_deref().zip(flags.key.as_deref());
            let leaf = leaf.filter(|_| !flags.plain);
            let server = Server::bind(flags.listen, leaf, Part::Echo).await?;
            announce(server.address()?);
            server.serve().await;
            Ok(true)
        }
        Verb::Forward(flags) => forward::run(&flags).map(|()| true),
        Verb::Mode(mode) => drive::run(mode, format).await,
        Verb::Drive(mode) => drive::run(mode.late_or_not(), format).await,
        Verb::Gate(flags) => gate::run(flags, format).await,
        Verb::Certificates { directory } => certificates::write(&directory).map(|()| true),
    }
}

/// Says where a server listens, for whoever let it choose a port.
fn announce(address: SocketAddr) {
    println!(
        "{}",
        serde_json::json!({"event": "listening", "address": address.to_string()})
    );
}

/// All of this is for one machine: whatever is listened on or called is of its loopback.
fn loopback(addresses: &[SocketAddr]) -> Result<()> {
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) => Err(Usage::error(format!(
            "load goes to loopback addresses only, not to {address}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_all_verbs_fit_together() {
        use clap::CommandFactory as _;
        Command::command().debug_assert();
    }

    #[test]
    fn nothing_leaves_the_machine() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(loopback(&[address("127.0.0.1:1"), address("[::1]:1")]).is_ok());
        for wrong in ["192.0.2.1:443", "0.0.0.0:443", "[::]:443"] {
            let error = loopback(&[address("127.0.0.1:1"), address(wrong)]).expect_err(wrong);
            assert!(error.is::<Usage>(), "{error}");
        }
    }
}
