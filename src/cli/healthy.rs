//! `tonegate healthy`: asks a running edge how it is, for images that have no other program to ask
//! with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use http::Uri;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::admin;
use crate::config::Roots;
use crate::upstream::{Host, Stream};

/// Longer than an edge takes that is well, shorter than who asks waits.
const WAIT: Duration = Duration::from_secs(2);
/// More than what an edge says of how it is.
const ANSWER_MAX: u64 = 16 * 1024;

#[derive(Args)]
pub(super) struct Flags {
    /// Where its admin listener is: an address, or where it speaks TLS https://NAME:PORT
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    #[arg(conflicts_with = "config")]
    admin: Place,
    #[command(flatten)]
    settings: super::Config,
    /// Roots that the listener's certificate is verified against, PEM. Not said: with --config it must be the
    /// certificate of the settings, else those of the system
    #[arg(long, value_name = "FILE")]
    admin_roots: Option<PathBuf>,
    /// Ask whether it takes new sessions, too; an edge that is drained does not, and is well
    #[arg(long)]
    ready: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let host = flags.host()?;
    let admin = host.authority().to_str()?;
    let path = if flags.ready { "/readyz" } else { "/healthz" };
    let told = ask(&host, path).with_context(|| format!("cannot ask the edge at {admin}"))?;
    let (status, word) = judge(&told)?;
    ensure!(status == 200, "the edge at {admin} says {status}: {word}");
    println!("{word}");
    Ok(())
}

/// Where `--admin` says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In plain text.
    Address(SocketAddr),
    /// With TLS, by the name of a certificate.
    Named(String, u16),
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Place, &'static str> {
        if let Ok(address) = text.parse() {
            return Ok(Place::Address(address));
        }
        let wrong = "must be like 127.0.0.1:9464 or https://edge.example.com:9464";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let is_base = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let is_secure = uri.scheme_str() == Some("https") && !text.contains('@');
        let (Some(host), Some(port), true) = (uri.host(), uri.port_u16(), is_base && is_secure)
        else {
            return Err(wrong);
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Place::Named(host.to_owned(), port))
    }
}

impl Flags {
    fn host(&self) -> anyhow::Result<Host> {
        let roots = self.admin_roots.as_deref().map(admin::roots).transpose()?;
        if !self.settings.config.is_empty() {
            return admin::own(&self.settings.read()?, roots.as_ref());
        }
        match &self.admin {
            Place::Address(address) => {
                admin::in_plain_text(&address.ip().to_string(), address.port(), roots.as_ref())
            }
            Place::Named(name, port) => {
                let roots = roots.unwrap_or(Roots::System);
                Ok(Host::new(name, *port, Some(&roots))?)
            }
        }
    }
}

/// The whole answer to one GET, head and body.
fn ask(host: &Host, path: &str) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // What drips must not keep the asker longer than what is silent.
    let told = runtime.block_on(async { timeout(WAIT, answer(host, path)).await });
    // A look-up that hangs is not waited for.
    runtime.shutdown_background();
    told.map_err(|_| anyhow!("it does not answer in {} s", WAIT.as_secs()))?
}

async fn answer(host: &Host, path: &str) -> anyhow::Result<String> {
    let connected = host.connect(Instant::now() + WAIT).await;
    let at = host.authority().to_str()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    match connected.map_err(|failure| anyhow!(failure.detail))? {
        Stream::Plain(io) => exchange(io, &request).await,
        Stream::Tls(io) => exchange(io, &request).await,
    }
}

async fn exchange<S>(mut io: S, request: &str) -> anyhow::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let mut told = Vec::new();
    let read = (&mut io).take(ANSWER_MAX + 1).read_to_end(&mut told).await;
    ensure!(told.len() as u64 <= ANSWER_MAX, "its answer has no end");
    read?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

/// Status and first line of the body.
fn judge(told: &str) -> anyhow::Result<(u16, &str)> {
    let head = told.split_once("\r\n\r\n");
    let status = told
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let (Some((_, body)), Some(status)) = (head, status) else {
        bail!("what answers is no edge");
    };
    let word = body.lines().next().unwrap_or("").trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_- ".contains(c);
    ensure!(word.chars().all(plain), "what answers is no edge");
    Ok((status, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_word_or_none() {
        let told = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ndraining\n";
        assert_eq!(judge(told).unwrap(), (503, "draining"));
        for wrong in [
            "",
            "HTTP/1.1 200 OK",
            "HTTP/1.0 200 OK\r\n\r\nok",
            "SSH-2.0-x\r\n\r\nok",
            "HTTP/1.1 200 OK\r\n\r\n\u{1b}[2Jok",
        ] {
            assert!(judge(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_place_of_an_edge_is_an_address_or_a_name_for_tls() {
        let place = |text: &str| text.parse::<Place>();
        let address = "127.0.0.1:9464";
        assert_eq!(
            place(address).unwrap(),
            Place::Address(address.parse().unwrap())
        );
        let named = Place::Named("edge.example.com".to_owned(), 9464);
        assert_eq!(place("https://edge.example.com:9464").unwrap(), named);
        for wrong in [
            "edge.example.com:9464",
            "http://edge.example.com:9464",
            "https://edge.example.com",
            "https://u@edge.example.com:9464",
            "https://edge.example.com:9464/readyz",
            "9464",
            "",
        ] {
            assert!(place(wrong).is_err(), "{wrong:?}");
        }
    }
}
