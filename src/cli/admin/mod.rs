//! Verbs that ask a running edge, through its admin listener.

mod client;
mod look;
mod sessions;
mod table;

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use http::{StatusCode, Uri};
use serde_json::Value;

pub(super) use self::client::{Client, succeeded};
pub(super) use self::look::{DrainFlags, Plain, drain, reload, settings, status, upstreams};
pub(super) use self::sessions::{Verb as Sessions, run as sessions};

use crate::config::{self, Environment, Roots, Settings};
use crate::secret::Secret;

/// Where the admin listener is if nobody says.
const USUAL: &str = "http://127.0.0.1:9464";

/// Which edge is asked, and how its answer is printed.
#[derive(Args)]
pub(super) struct Edge {
    /// Where the admin listener of the edge is; as the settings say with --config, else
    /// http://127.0.0.1:9464
    #[arg(long, value_name = "URL")]
    admin: Option<Uri>,
    /// Settings file that says where it is; may be given several times, later files win
    #[arg(long, short, value_name = "FILE", conflicts_with = "admin")]
    config: Vec<PathBuf>,
    /// File with the admin token, if the listener asks for one; without it the variable
    /// TONEGATE_ADMIN_TOKEN
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Roots that the listener's certificate is verified against, PEM; those of the system if not said
    #[arg(long, value_name = "FILE")]
    admin_roots: Option<PathBuf>,
    /// Print the edge's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Edge {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let (host, port, tls) = self.place()?;
        let roots = match (&self.admin_roots, tls) {
            (_, false) => None,
            (None, true) => Some(Roots::System),
            (Some(path), true) => Some(Roots::Pem(read(path)?)),
        };
        Client::new(&host, port, roots.as_ref(), self.token()?)
    }

    /// Host and port, and whether it speaks TLS.
    fn place(&self) -> anyhow::Result<(String, u16, bool)> {
        if !self.config.is_empty() {
            let settings = Settings::read_in(&self.config, &Environment::process())?;
            let admin = settings.boot.admin;
            let ip = admin.ip();
            // What listens everywhere listens here.
            let host = if ip.is_unspecified() {
                "localhost".to_owned()
            } else {
                ip.to_string()
            };
            return Ok((host, admin.port(), settings.admin_speaks_tls()));
        }
        let uri = match &self.admin {
            Some(uri) => uri.clone(),
            None => USUAL.parse()?,
        };
        let scheme = uri.scheme_str();
        let is_base = matches!(uri.path(), "" | "/") && uri.query().is_none();
        ensure!(
            matches!(scheme, Some("http" | "https")) && is_base,
            "--admin must be like {USUAL}"
        );
        let host = uri.host().context("--admin names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().context("--admin names no port")?;
        Ok((host.to_owned(), port, scheme == Some("https")))
    }

    fn token(&self) -> anyhow::Result<Option<Secret>> {
        let text = match &self.admin_token_file {
            Some(path) => Some(read(path)?),
            None => config::admin_token(&Environment::process()),
        };
        Ok(text.map(|text| Secret::new(text.trim().to_owned())))
    }
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Asks for a page that must be there.
fn get(edge: &Edge, path: &str) -> anyhow::Result<Value> {
    let answer = edge.client()?.get(path)?;
    succeeded(answer, StatusCode::OK)
}

/// Prints; that nobody reads any more is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
