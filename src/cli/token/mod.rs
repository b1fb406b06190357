//! `tonegate token`: tokens for tests, from a simulated issuer; signed media URLs; tickets; and any token
//! or ticket, verified.

mod issuer;
mod media_url;
mod ticket;

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Map, json};

use crate::app;
use crate::config::{self, Settings};
use crate::secret::Secret;

const MINT: &str = "\
tonegate token mint --issuer <URL> --tenant <GUID> --audience <AUDIENCE> [OPTIONS]
       tonegate token mint --call <ID> --config <FILE> [OPTIONS]
       tonegate token mint ticket --config <FILE> [OPTIONS]";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Have a simulated issuer make a token, and print it; or, with --call, sign the media URL of a
    /// call with the secret of the settings; or, with ticket, sign a ticket with a key of the settings
    #[command(
        override_usage = MINT,
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true
    )]
    Mint(Box<MintFlags>),
    /// Verify a token as the edge would, and tell what it says
    Check(CheckFlags),
}

#[derive(Subcommand)]
enum What {
    /// Sign a ticket with a key of the settings
    Ticket(ticket::Flags),
}

#[derive(Args)]
pub(super) struct MintFlags {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten, next_help_heading = "Token of a simulated issuer")]
    token: issuer::Flags,
    #[command(flatten, next_help_heading = "Media URL of a call")]
    media_url: media_url::Flags,
    /// How long it lives; if not said a token 10m, a media URL as long as a session may
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Options")]
    expires: Option<Duration>,
    /// Print it as JSON: of a media URL `url`, else `token`
    #[arg(long, help_heading = "Options")]
    json: bool,
}

#[derive(Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    settings: super::Config,
    /// Issuer of the settings that it should be of
    #[arg(long, value_name = "NAME", required_unless_present = "ticket")]
    issuer: Option<String>,
    /// It should be a ticket; whether it was used before is not asked
    #[arg(long, conflicts_with = "issuer")]
    ticket: bool,
    /// Print what it says as JSON
    #[arg(long)]
    json: bool,
    /// The token, or - to read it from standard input
    #[arg(value_name = "TOKEN")]
    token: String,
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Mint(flags) => {
            let made = mint(flags)?;
            if flags.json {
                let name = match flags.media_url.call() {
                    Some(_) => "url",
                    None => "token",
                };
                println!("{}", json!({ name: made }));
            } else {
                println!("{made}");
            }
            Ok(())
        }
        Verb::Check(flags) => check(flags),
    }
}

fn mint(flags: &MintFlags) -> anyhow::Result<String> {
    if let Some(What::Ticket(flags)) = &flags.what {
        return flags.sign();
    }
    match flags.media_url.call() {
        Some(call) => flags.media_url.sign(call, flags.expires),
        None => flags.token.mint(flags.expires),
    }
}

fn check(flags: &CheckFlags) -> anyhow::Result<()> {
    let settings = flags.settings.read()?;
    if flags.ticket {
        return check_ticket(&settings, &flags.token()?, flags.json);
    }
    let issuers = &settings.live.issuers;
    let named = |issuer: &&config::Issuer| Some(issuer.name.as_str()) == flags.issuer.as_deref();
    let Some(issuer) = issuers.iter().find(named) else {
        let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        let wanted = flags.issuer.as_deref().unwrap_or_default();
        ensure!(
            !names.is_empty(),
            "there is no issuer {wanted:?}: the settings have no [issuers]"
        );
        bail!(
            "there is no issuer {wanted:?}; there are: {}",
            names.join(", ")
        );
    };
    let token = flags.token()?;
    match app::examine(&settings, &issuer.name, &token)? {
        Ok(examined) if flags.json => {
            println!(
                "{}",
                json!({
                    "subject": examined.subject.to_string(),
                    "ends": time(examined.expires),
                    "for_upstream": examined.for_voice_live,
                })
            );
            Ok(())
        }
        Ok(examined) => {
            println!("subject   {}", examined.subject);
            tell_end(examined.expires);
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

fn check_ticket(settings: &Settings, ticket: &Secret, json: bool) -> anyhow::Result<()> {
    match app::examine_ticket(settings, ticket)? {
        Ok(examined) if json => {
            let bound = examined.bound.iter();
            let bound = bound.map(|(name, to)| ((*name).to_owned(), json!(to)));
            println!(
                "{}",
                json!({
                    "subject": examined.subject.to_string(),
                    "ends": time(examined.ends),
                    "bound": bound.collect::<Map<_, _>>(),
                })
            );
            Ok(())
        }
        Ok(examined) => {
            println!("subject   {}", examined.subject);
            tell_end(examined.ends);
            let bound = examined.bound.iter();
            let bound: Vec<String> = bound.map(|(name, to)| format!("{name} {to:?}")).collect();
            let bound = match bound.as_slice() {
                [] => "nothing".to_owned(),
                bound => bound.join(", "),
            };
            println!("bound to  {bound}");
            Ok(())
        }
        Err(denied) => bail!("{}: {}", denied.reason, denied.detail),
    }
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn tell_end(at: SystemTime) {
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    let left = Duration::from_secs(left.as_secs());
    println!(
        "ends in   {} (leeway included)",
        humantime::format_duration(left)
    );
}

impl CheckFlags {
    /// What is to be checked.
    fn token(&self) -> anyhow::Result<Secret> {
        let mut token = self.token.clone();
        if token == "-" {
            token = std::io::read_to_string(std::io::stdin())
                .context("cannot read the token from standard input")?;
        }
        Ok(Secret::new(token.trim().to_owned()))
    }
}
