//! `tonegate sim`: simulated peers for tests and load tests, on loopback.

mod acs;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::serve::signalled;
use crate::sim::certificate::Identity;
use crate::sim::issuer::{self, Issuer};
use crate::sim::voice_live::{self, VoiceLive};

#[derive(Subcommand)]
pub(super) enum Peer {
    /// A strict Azure Voice Live that repeats what the caller says
    ///
    /// A `model` that begins with `sim-` picks another part: sim-echo, sim-sink, sim-slow,
    /// sim-stall, sim-flood, sim-large, sim-early, sim-reset, sim-hang, sim-close-CODE,
    /// sim-refuse-STATUS, sim-garbage-opcode and more.
    VoiceLive(VoiceLiveFlags),
    /// A token issuer that looks like Entra, like a plain OpenID provider and like that of ACS
    Issuer(Place),
    /// Azure Communication Services: answers and makes calls when asked, and rings an edge
    ///
    /// It answers REST requests of Call Automation, dials the media streams and posts the
    /// callbacks. Its tokens are signed by an issuer of its own, which it tells the address of.
    Acs(Box<acs::AcsFlags>),
}

#[derive(Args)]
pub(super) struct VoiceLiveFlags {
    #[command(flatten)]
    place: Place,
    /// Key that clients must send in the api-key header; without it any credential does
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Play another realtime service: its paths, parameters, credential and events
    #[arg(long, value_enum, default_value = "voice-live", value_name = "SERVICE")]
    service: Service,
    /// Answer audio that comes faster than twice its declared rate with an error event
    #[arg(long)]
    strict_pacing: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Service {
    VoiceLive,
    /// /v1/realtime
    Openai,
    /// /openai/v1/realtime, /openai/realtime
    AzureOpenai,
}

impl From<Service> for voice_live::Service {
    fn from(service: Service) -> voice_live::Service {
        match service {
            Service::VoiceLive => voice_live::Service::VoiceLive,
            Service::Openai => voice_live::Service::OpenAi,
            Service::AzureOpenai => voice_live::Service::AzureOpenAi,
        }
    }
}

/// Where a simulator listens, and as whom.
#[derive(Args)]
pub(super) struct Place {
    /// Address to listen on; loopback only
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Certificate chain, PEM; without it the simulator speaks plain text
    #[arg(long, requires = "key", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, requires = "certificate", value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Place {
    fn read(&self) -> anyhow::Result<(SocketAddr, Option<Identity>)> {
        ensure!(
            self.listen.ip().is_loopback(),
            "a simulator listens on loopback only"
        );
        let identity = match (&self.certificate, &self.key) {
            (Some(chain), Some(key)) => Some(Identity {
                chain_pem: read(chain)?,
                key_pem: read(key)?,
            }),
            (None, None) => None,
            _ => bail!("--certificate and --key belong together"),
        };
        Ok((self.listen, identity))
    }
}

pub(super) fn run(peer: Peer) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match peer {
        Peer::VoiceLive(flags) => {
            let (listen, identity) = flags.place.read()?;
            runtime.block_on(voice_live(voice_live::Options {
                listen,
                identity,
                service: flags.service.into(),
                api_key: flags.api_key,
                strict_pacing: flags.strict_pacing,
                ..voice_live::Options::loopback()
            }))
        }
        Peer::Issuer(place) => {
            let (listen, identity) = place.read()?;
            runtime.block_on(issuer(issuer::Options { listen, identity }))
        }
        Peer::Acs(flags) => runtime.block_on(acs::run(*flags)),
    }
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Serves until a signal; one JSON line per connection when it ends.
async fn voice_live(options: voice_live::Options) -> anyhow::Result<()> {
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

/// Serves until a signal. `base` is what `tonegate token mint` takes as the issuer.
async fn issuer(options: issuer::Options) -> anyhow::Result<()> {
    let server = Issuer::bind(options).await?;
    let address = server.address().to_string();
    let base = server.provider().base();
    println!(
        "{}",
        json!({"event": "listening", "address": address, "base": base})
    );
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    signalled().await?;
    stop.cancel();
    serving.await?;
    Ok(())
}
