//! `tonegate explain`: what would become of a request.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use crate::app;
use crate::listener::explain::Refused;

#[derive(Args)]
pub(super) struct Flags {
    #[command(flatten)]
    settings: super::Config,
    /// Path and query of an upgrade request, such as '/ws?model=gpt-realtime'
    #[arg(required_unless_present = "request", value_name = "TARGET")]
    target: Option<String>,
    /// A header of that request; may be given several times
    #[arg(
        long,
        short = 'H',
        value_name = "NAME: VALUE",
        conflicts_with = "request"
    )]
    header: Vec<String>,
    /// A whole request head instead, with the activity behind it if it is for a bot, from a file or, with -, from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    request: Option<PathBuf>,
    /// Where it would come from: the client's address, or that of a hop in the settings
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    peer: IpAddr,
    /// Print each finding as a JSON line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let settings = flags.settings.read()?;
    let head = match (&flags.request, &flags.target) {
        (Some(path), _) => read(path)?,
        (None, Some(target)) => upgrade(target, &flags.header),
        (None, None) => bail!("give a target or --request"),
    };
    let explained = app::explain(&settings, &head, flags.peer)?;
    for finding in &explained.findings {
        let (check, passed, text) = (finding.check, finding.passed, &finding.text);
        if flags.json {
            println!(
                "{}",
                json!({"check": check, "passed": passed, "text": text})
            );
        } else {
            let sign = if passed { "ok" } else { "NO" };
            println!("{sign}  {check:<10}  {text}");
        }
    }
    match explained.outcome {
        Ok(upstreams) => {
            for upstream in upstreams {
                if flags.json {
                    println!("{}", json!({"upstream": upstream}));
                } else {
                    println!("->  {upstream}");
                }
            }
            Ok(())
        }
        Err(Refused::Status(status)) => bail!("refused with status {status}"),
        Err(Refused::Close(code)) => bail!("refused with an error message and close code {code}"),
    }
}

/// A head with line ends as people type them is taken, too; one with CR LF somewhere is taken as it
/// is, and so is a body.
fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the request from standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    let mut head = match text.split_once("\n\n") {
        _ if text.contains('\r') => text,
        Some((head, body)) => format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n")),
        None => text.replace('\n', "\r\n"),
    };
    while !head.contains("\r\n\r\n") {
        head.push_str("\r\n");
    }
    Ok(head.into_bytes())
}

fn upgrade(target: &str, headers: &[String]) -> Vec<u8> {
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}
