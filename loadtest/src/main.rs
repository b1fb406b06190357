//! `tonegate-load`: the far ends of a measurement. `echo` is the upstream, `drive` the callers, `gate`
//! the callers of telephones, `certificates` the trust between them. Everything stays on loopback
//! and ends by itself.

mod certificates;
mod drive;
mod echo;
mod forward;
mod frame;
mod gate;
mod process;
mod report;
mod server;
mod socket;
mod tls;
mod voice;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::server::{Part, Server};

/// What can go wrong ends the run with a sentence; nobody handles it by kind.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(version, about)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A WebSocket server that sends every frame back, whatever path or credential it came with
    Echo(EchoFlags),
    /// Callers that check every byte that comes back
    #[command(subcommand)]
    Drive(drive::Mode),
    /// Telephone calls: each is let in as ACS' are, dials a code, waits for the agent and talks
    Gate(gate::Flags),
    /// Accepts, dials and forwards bytes, with TLS on both sides and without HTTP: the floor that a
    /// proxy is compared with
    Forward(forward::Flags),
    /// Writes ca.pem, leaf.pem and leaf.key for localhost, valid for the tests only
    Certificates {
        #[arg(long)]
        directory: PathBuf,
    },
}

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
        Ok(runtime) => runtime.block_on(run(command.verb)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tonegate-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `Ok(false)`: the run took place, and bytes were lost or changed.
async fn run(verb: Verb) -> Result<bool> {
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
        Verb::Drive(mode) => drive::run(mode).await,
        Verb::Gate(flags) => gate::run(flags).await,
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
