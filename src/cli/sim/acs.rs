//! `tonegate sim acs`: a Call Automation service for people without a subscription.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::serve::signalled;
use super::{Place, read};
use crate::sim::acs::line::Keying;
use crate::sim::call_automation::desk::Desk;
use crate::sim::call_automation::grid::delivery::{Credential, Handshake, Subscription};
use crate::sim::call_automation::grid::{Caller, Schema};
use crate::sim::call_automation::{CallAutomation, Options};
use crate::sim::issuer::{self, Issuer};

#[derive(Args)]
pub(in crate::cli) struct AcsFlags {
    #[command(flatten)]
    place: Place,
    /// The resource's access key, base64: what `[acs] key` of the edge holds
    #[arg(long, value_name = "KEY")]
    access_key: String,
    /// The resource's immutable id: the audience of its tokens
    #[arg(
        long,
        default_value = "22222222-3333-4444-5555-666666666666",
        value_name = "ID"
    )]
    resource: String,
    /// Roots that the edge is verified against, PEM
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// The webhook at which a call rings once, after a handshake
    #[arg(long, value_name = "URL")]
    ring: Option<String>,
    /// How events are written
    #[arg(long, value_enum, default_value = "event-grid", value_name = "SCHEMA")]
    schema: Written,
    /// A secret header of each event: NAME=VALUE
    #[arg(long, value_name = "HEADER", conflicts_with_all = ["tenant", "audience"])]
    secret: Option<String>,
    /// Tenant of the token of each event
    #[arg(long, requires = "audience", value_name = "ID")]
    tenant: Option<String>,
    /// Audience of the token of each event
    #[arg(long, requires = "tenant", value_name = "NAME")]
    audience: Option<String>,
    /// The caller's number, E.164; `withheld` for none
    #[arg(long, default_value = "+15551234567", value_name = "NUMBER")]
    from: String,
    /// The number that is dialled
    #[arg(long, default_value = "+15550001111", value_name = "NUMBER")]
    to: String,
    /// Keys that the caller presses when the media stream stands; a `,` is a pause
    #[arg(long, value_name = "KEYS")]
    press: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Written {
    EventGrid,
    CloudEvents,
}

/// Serves until a signal; one JSON line for each thing that happens.
pub(super) async fn run(flags: AcsFlags) -> anyhow::Result<()> {
    let (listen, identity) = flags.place.read()?;
    let roots = flags.roots.as_ref().map(read).transpose()?;
    let signer = Issuer::bind(issuer::Options {
        identity: identity.clone(),
        ..issuer::Options::loopback()
    })
    .await?;
    let provider = signer.provider();
    let service = CallAutomation::bind(Options {
        listen,
        identity,
        resource: flags.resource.clone(),
        roots_pem: roots,
        ..Options::loopback(Arc::clone(&provider), &flags.access_key)
    })
    .await?;
    let desk = service.desk();
    println!(
        "{}",
        json!({
            "event": "listening",
            "address": service.address().to_string(),
            "endpoint": desk.endpoint(),
            "metadata": format!("{}/calling/.well-known/acsopenidconfiguration", provider.base()),
            "issuer": provider.base(),
        })
    );
    let stop = CancellationToken::new();
    let serving = tokio::spawn(service.serve(stop.clone()));
    let signing = tokio::spawn(signer.serve(stop.clone()));
    let ended = tokio::select! {
        ended = signalled() => ended.map(drop),
        never = tell(&desk) => match never {},
        failed = ring(&flags, &desk) => failed,
    };
    stop.cancel();
    serving.await?;
    signing.await?;
    ended
}

/// Prints what happens, as it happens.
async fn tell(desk: &Arc<Desk>) -> std::convert::Infallible {
    let mut told = 0;
    loop {
        desk.until(|record| record.total() > told).await;
        let record = desk.record();
        told = told.max(record.left_out);
        while let Some(event) = record.nth(told) {
            println!("{}", event.line());
            told += 1;
        }
    }
}

/// Rings once, and lets the caller press its keys. Ends only where it cannot.
async fn ring(flags: &AcsFlags, desk: &Arc<Desk>) -> anyhow::Result<()> {
    let Some(url) = &flags.ring else {
        return std::future::pending().await;
    };
    let credential = match (&flags.secret, &flags.tenant, &flags.audience) {
        (Some(secret), _, _) => {
            let (name, value) = secret.split_once('=').context("--secret is NAME=VALUE")?;
            Credential::Header(name.to_owned(), value.to_owned())
        }
        (None, Some(tenant), Some(audience)) => Credential::Entra {
            tenant: tenant.clone(),
            audience: audience.clone(),
            with: Vec::new(),
        },
        (None, _, _) => Credential::None,
    };
    let schema = match flags.schema {
        Written::EventGrid => Schema::EventGrid,
        Written::CloudEvents => Schema::CloudEvents,
    };
    let at = Subscription::new(url, schema, credential);
    match desk.handshake(&at).await {
        Handshake::Valid => {}
        Handshake::Refused(status) => bail!("the webhook did not agree: HTTP status {status}"),
        Handshake::Unreached => bail!("the webhook was not reached"),
    }
    let caller = Caller {
        from: (flags.from != "withheld").then(|| flags.from.clone()),
        to: flags.to.clone(),
        ..Caller::default()
    };
    let (_, attempts) = desk.ring(&at, &caller).await;
    if !matches!(attempts.last(), Some(Some(200..=204))) {
        bail!("the webhook did not take the event");
    }
    if let Some(keys) = &flags.press {
        let line = desk.nth_line(1).await;
        line.streams().await;
        line.press(keys, &Keying::both()).await?;
    }
    std::future::pending().await
}
