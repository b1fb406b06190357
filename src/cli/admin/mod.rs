//! Verbs that ask a running edge, through its admin listener.

mod client;
mod look;
mod sessions;
mod table;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use http::{StatusCode, Uri};
use serde_json::Value;

pub(super) use self::client::{Client, succeeded};
pub(super) use self::look::{DrainFlags, Plain, drain, reload, settings, status, upstreams};
pub(super) use self::sessions::{Verb as Sessions, run as sessions};

use crate::config::{self, Environment, Roots, Settings};
use crate::secret::Secret;
use crate::upstream::Host;

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
    /// Roots that the listener's certificate is verified against, PEM. Not said: with --config it must be the
    /// certificate of the settings, else those of the system
    #[arg(long, value_name = "FILE")]
    admin_roots: Option<PathBuf>,
    /// Print the edge's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Edge {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let roots = self.admin_roots.as_deref().map(roots).transpose()?;
        let token = self.token()?;
        let host = match self.config[..] {
            [] => {
                let (name, port, tls) = self.place()?;
                let here =
                    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
                ensure!(
                    tls || here || token.is_none(),
                    "the admin token goes in plain text to this machine only: --admin must be https://, or \
                     asked from there"
                );
                if tls {
                    Host::new(&name, port, Some(&roots.unwrap_or(Roots::System)))?
                } else {
                    in_plain_text(&name, port, roots.as_ref())?
                }
            }
            _ => {
                let settings = Settings::read_in(&self.config, &Environment::process())?;
                own(&settings, roots.as_ref())?
            }
        };
        Client::new(host, token)
    }

    /// Host and port, and whether it speaks TLS.
    fn place(&self) -> anyhow::Result<(String, u16, bool)> {
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

/// The admin listener of an edge with these settings, on this machine. Where it speaks TLS it must show what
/// leads to these roots, or else the certificate of the settings.
pub(super) fn own(settings: &Settings, roots: Option<&Roots>) -> anyhow::Result<Host> {
    let admin = within_reach(settings.boot.admin);
    ensure!(
        admin.port() != 0,
        "server.admin has port 0: nobody knows where that is"
    );
    let identity = settings.live.identity.as_ref();
    let identity = identity.filter(|_| settings.admin_speaks_tls());
    Ok(match (identity, roots) {
        (None, roots) => in_plain_text(&admin.ip().to_string(), admin.port(), roots)?,
        (Some(identity), None) => Host::own(admin, &identity.chain_pem)?,
        // Whoever signs certificates signs them for names.
        (Some(_), Some(roots)) if admin.ip().is_loopback() => {
            Host::new("localhost", admin.port(), Some(roots))?
        }
        (Some(_), Some(roots)) => Host::new(&admin.ip().to_string(), admin.port(), Some(roots))?,
    })
}

/// An edge that is asked without TLS. Whoever names roots expects that a certificate is verified.
pub(super) fn in_plain_text(name: &str, port: u16, roots: Option<&Roots>) -> anyhow::Result<Host> {
    ensure!(
        roots.is_none(),
        "--admin-roots verify a certificate, and this edge is asked in plain text: its admin listener must speak \
         TLS, and --admin be https://NAME:PORT"
    );
    Ok(Host::new(name, port, None)?)
}

/// Where an address to listen at is reached from this machine.
pub(super) fn within_reach(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listens.port())
}

/// Roots from a file.
pub(super) fn roots(path: &Path) -> anyhow::Result<Roots> {
    Ok(Roots::Pem(read(path)?))
}

fn read(path: &Path) -> anyhow::Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_listens_everywhere_is_asked_on_loopback() {
        let reach = |at: &str| within_reach(at.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(reach("[::]:9464"), "[::1]:9464");
        assert_eq!(reach("10.1.2.3:9464"), "10.1.2.3:9464");
    }
}
