//! `tonegate token`: tokens for tests, from a simulated issuer; signed media URLs; and any token,
//! verified.

mod issuer;
mod media_url;

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::app;
use crate::secret::Secret;

const MINT: &str = "\
tonegate token mint --issuer <URL> --tenant <GUID> --audience <AUDIENCE> [OPTIONS]
       tonegate token mint --call <ID> --config <FILE> [OPTIONS]";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Have a simulated issuer make a token, and print it; or, with --call, sign the media URL of a
    /// call with the secret of the settings
    #[command(override_usage = MINT)]
    Mint(Box<MintFlags>),
    /// Verify a token as the edge would, and tell what it says
    Check(CheckFlags),
}

#[derive(Args)]
pub(super) struct MintFlags {
    #[command(flatten, next_help_heading = "Token of a simulated issuer")]
    token: issuer::Flags,
    #[command(flatten, next_help_heading = "Media URL of a call")]
    media_url: media_url::Flags,
    /// How long it lives; if not said a token 10m, a media URL as long as a session may
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Options")]
    expires: Option<Duration>,
}

#[derive(Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    settings: super::Config,
    /// Issuer of the settings that it should be of
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// The token, or - to read it from standard input
    #[arg(value_name = "TOKEN")]
    token: String,
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Mint(flags) => {
            println!("{}", mint(flags)?);
            Ok(())
        }
        Verb::Check(flags) => check(flags),
    }
}

fn mint(flags: &MintFlags) -> anyhow::Result<String> {
    match flags.media_url.call() {
        Some(call) => flags.media_url.sign(call, flags.expires),
        None => flags.token.mint(flags.expires),
    }
}

fn check(flags: &CheckFlags) -> anyhow::Result<()> {
    let settings = flags.settings.read()?;
    let issuers = &settings.live.issuers;
    let Some(issuer) = issuers.iter().find(|i| i.name.as_str() == flags.issuer) else {
        let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        bail!(
            "there is no issuer {:?}; there are: {}",
            flags.issuer,
            names.join(", ")
        );
    };
    let mut token = flags.token.clone();
    if token == "-" {
        token = std::io::read_to_string(std::io::stdin())
            .context("cannot read the token from standard input")?;
    }
    let token = Secret::new(token.trim().to_owned());
    match app::examine(&settings, &issuer.name, &token)? {
        Ok(examined) => {
            println!("subject   {}", examined.subject);
            let left = examined.expires.duration_since(SystemTime::now());
            let left = Duration::from_secs(left.unwrap_or_default().as_secs());
            println!(
                "ends in   {} (leeway included)",
                humantime::format_duration(left)
            );
            let passed_on = if examined.for_voice_live {
                "may be shown to Voice Live"
            } else {
                "is not for Voice Live"
            };
            println!("upstream  {passed_on}");
            Ok(())
        }
        Err(denied) => bail!("{}: {}", denied.reason, denied.detail),
    }
}
