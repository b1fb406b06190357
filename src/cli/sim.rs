//! `tonegate sim`: simulated peers for tests and load tests, on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::serve::signalled;
use crate::sim::certificate::Identity;
use crate::sim::voice_live::{Options, VoiceLive};

#[derive(Subcommand)]
pub(super) enum Peer {
    /// A strict Azure Voice Live that repeats what the caller says
    VoiceLive(VoiceLiveFlags),
}

#[derive(Args)]
pub(super) struct VoiceLiveFlags {
    /// Address to listen on; loopback only
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Certificate chain, PEM; without it the simulator speaks plain text
    #[arg(long, requires = "key", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, requires = "certificate", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Key that clients must send in the api-key header; without it any credential does
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
}

pub(super) fn run(peer: Peer) -> anyhow::Result<()> {
    let Peer::VoiceLive(flags) = peer;
    ensure!(
        flags.listen.ip().is_loopback(),
        "a simulator listens on loopback only"
    );
    let identity = match (&flags.certificate, &flags.key) {
        (Some(chain), Some(key)) => Some(Identity {
            chain_pem: read(chain)?,
            key_pem: read(key)?,
        }),
        (None, None) => None,
        _ => bail!("--certificate and --key belong together"),
    };
    let options = Options {
        listen: flags.listen,
        identity,
        api_key: flags.api_key,
        ..Options::loopback()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(voice_live(options))
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Serves until a signal; one JSON line per connection when it ends.
async fn voice_live(options: Options) -> anyhow::Result<()> {
    let server = VoiceLive::bind(options).await?;
    let address = server.address().to_string();
    println!("{}", json!({"event": "listening", "address": address}));
    let mut ended = server.record().subscribe();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    let mut signal = std::pin::pin!(signalled());
    loop {
        tokio::select! {
            _ = &mut signal => break,
            connection = ended.recv() => match connection {
                Ok(connection) => println!("{}", connection.summary()),
                Err(RecvError::Lagged(missed)) => {
                    println!("{}", json!({"event": "lagged", "missed": missed}));
                }
                Err(RecvError::Closed) => break,
            },
        }
    }
    stop.cancel();
    serving.await?;
    Ok(())
}
