//! `tonegate revoke`: takes back what somebody entered by, or lets them in again.

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::admin::{Edge, succeeded};

#[derive(Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(super) struct Flags {
    #[command(flatten)]
    edge: Edge,
    /// One session, by its id in the log; the token that opened it is refused, too
    #[arg(long, group = "what", value_name = "ID")]
    session: Option<String>,
    /// Somebody, as logs show them: ISSUER:TENANT/NAME, ISSUER:NAME, easyauth:TENANT/NAME
    #[arg(long, group = "what", value_name = "SUBJECT")]
    subject: Option<String>,
    /// Everybody of a tenant
    #[arg(long, group = "what", value_name = "ID")]
    tenant: Option<String>,
    /// An API key, by its name in the settings
    #[arg(long, group = "what", value_name = "NAME")]
    key: Option<String>,
    /// A client certificate, by its name in the settings
    #[arg(long, group = "what", value_name = "NAME")]
    certificate: Option<String>,
    /// A phone call
    #[arg(long, group = "what", value_name = "ID")]
    call: Option<String>,
    /// One token: the SHA-256 of what stands before its last dot, in hexadecimal digits
    #[arg(long, group = "what", value_name = "DIGEST")]
    credential: Option<String>,
    /// Change nothing, and print what is taken back
    #[arg(long, group = "what")]
    list: bool,
    /// For how long; default: 24h
    #[arg(long = "for", value_name = "DURATION", conflicts_with_all = ["lift", "list"])]
    lasts: Option<String>,
    /// Let in again who was shut out
    #[arg(long, conflicts_with = "list")]
    lift: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let client = flags.edge.client()?;
    let answer = match (flags.list, flags.lift) {
        (true, _) => client.get("/revocations"),
        (false, true) => client.ask(&Method::POST, "/lift", Some(&order(flags))),
        (false, false) => client.ask(&Method::POST, "/revoke", Some(&order(flags))),
    }?;
    // What this edge knows and others do not is told, too.
    if flags.edge.json {
        println!("{}", answer.told);
    }
    let told = succeeded(answer, StatusCode::OK)?;
    if flags.edge.json {
        return Ok(());
    }
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("").to_owned();
    if flags.list {
        let all = told["revocations"].as_array();
        for one in all.into_iter().flatten() {
            let text = |name| text(one, name);
            println!(
                "{:<11}  until {}  {}",
                text("kind"),
                text("until"),
                text("name")
            );
        }
        return Ok(());
    }
    let (kind, name, until) = (
        text(&told, "kind"),
        text(&told, "name"),
        text(&told, "until"),
    );
    if flags.lift {
        println!("lifted  {kind} {name}");
    } else {
        let ended = &told["ended_here"];
        println!("revoked  {kind} {name} until {until}; sessions of this edge that end: {ended}");
    }
    Ok(())
}

/// The body: what is named, and for how long.
fn order(flags: &Flags) -> Value {
    let named = [
        ("session", &flags.session),
        ("subject", &flags.subject),
        ("tenant", &flags.tenant),
        ("key", &flags.key),
        ("certificate", &flags.certificate),
        ("call", &flags.call),
        ("credential", &flags.credential),
        ("for", &flags.lasts),
    ];
    let named = named.into_iter();
    let named = named.filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
    Value::Object(named.collect::<Map<_, _>>())
}
