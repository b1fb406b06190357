//! `tonegate healthy`: asks a running edge how it is, for images that have no other program to ask
//! with.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

/// Longer than an edge takes that is well, shorter than who asks waits.
const WAIT: Duration = Duration::from_secs(2);
/// More than what an edge says of how it is.
const ANSWER_MAX: u64 = 16 * 1024;

#[derive(Args)]
pub(super) struct Flags {
    /// Where its admin listener is
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    #[arg(conflicts_with = "config")]
    admin: SocketAddr,
    #[command(flatten)]
    settings: super::Config,
    /// Ask whether it takes new sessions, too; an edge that is drained does not, and is well
    #[arg(long)]
    ready: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let admin = match flags.settings.config[..] {
        [] => flags.admin,
        _ => flags.settings.read()?.boot.admin,
    };
    ensure!(
        admin.port() != 0,
        "server.admin has port 0: nobody knows where that is"
    );
    let path = if flags.ready { "/readyz" } else { "/healthz" };
    let told = ask(within_reach(admin), path)
        .with_context(|| format!("cannot ask the edge at {admin}"))?;
    let (status, word) = judge(&told)?;
    ensure!(status == 200, "the edge at {admin} says {status}: {word}");
    println!("{word}");
    Ok(())
}

/// Where an address to listen at is reached from this machine.
fn within_reach(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listens.port())
}

/// The whole answer to one GET, head and body.
fn ask(admin: SocketAddr, path: &str) -> anyhow::Result<String> {
    let until = Instant::now() + WAIT;
    let mut io = TcpStream::connect_timeout(&admin, WAIT)?;
    io.set_write_timeout(Some(WAIT))?;
    write!(
        io,
        "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
    )?;
    let mut told = Vec::new();
    let mut piece = [0; 1024];
    loop {
        // What drips must not keep the asker longer than what is silent.
        let left = until.saturating_duration_since(Instant::now());
        ensure!(
            !left.is_zero(),
            "it does not answer in {} s",
            WAIT.as_secs()
        );
        io.set_read_timeout(Some(left))?;
        let read = io.read(&mut piece)?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&told).into_owned());
        }
        told.extend_from_slice(&piece[..read]);
        ensure!(told.len() as u64 <= ANSWER_MAX, "its answer has no end");
    }
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
    fn an_edge_that_listens_everywhere_is_asked_on_loopback() {
        let reach = |at: &str| within_reach(at.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(reach("[::]:9464"), "[::1]:9464");
        assert_eq!(reach("10.1.2.3:9464"), "10.1.2.3:9464");
    }
}
