//! `tonegate revoke`: takes back what somebody entered by, or lets them in again.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than an edge waits for its store.
const WAIT: Duration = Duration::from_secs(30);
/// More than a list of all that can be in force.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

#[derive(Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(super) struct Flags {
    /// Where the admin listener of one of the edges is
    #[arg(long, default_value = "http://127.0.0.1:9464", value_name = "URL")]
    admin: Uri,
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
    /// Print the edge's answer as one JSON line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = runtime.block_on(async { timeout(WAIT, ask(flags)).await });
    let (status, told) = asked.context("the edge does not answer")??;
    if flags.json {
        println!("{told}");
    } else if flags.list {
        let all = told["revocations"].as_array();
        for one in all.into_iter().flatten() {
            let text = |name: &str| one[name].as_str().unwrap_or("");
            println!(
                "{:<11}  until {}  {}",
                text("kind"),
                text("until"),
                text("name")
            );
        }
    }
    let text = |name: &str| told[name].as_str().unwrap_or("");
    if status != StatusCode::OK {
        bail!("{} ({status})", text("detail"));
    }
    match (flags.json || flags.list, flags.lift) {
        (true, _) => {}
        (false, true) => println!("lifted  {} {}", text("kind"), text("name")),
        (false, false) => println!(
            "revoked  {} {} until {}; sessions of this edge that end: {}",
            text("kind"),
            text("name"),
            text("until"),
            told["ended_here"]
        ),
    }
    Ok(())
}

async fn ask(flags: &Flags) -> anyhow::Result<(StatusCode, Value)> {
    let uri = &flags.admin;
    ensure!(
        uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/"),
        "--admin must be like http://127.0.0.1:9464"
    );
    let host = uri.host().context("--admin names no host")?;
    let port = uri.port_u16().context("--admin names no port")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((bare, port)).await;
    let socket = socket.with_context(|| format!("cannot connect to {host}:{port}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let (method, path) = match (flags.list, flags.lift) {
        (true, _) => (Method::GET, "/revocations"),
        (false, true) => (Method::POST, "/lift"),
        (false, false) => (Method::POST, "/revoke"),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(order(flags).to_string())))?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer was cut: {error}"))?;
        let told = serde_json::from_slice(&body.to_bytes());
        anyhow::Ok((head.status, told.context("this is no edge's answer")?))
    };
    // The connection ends with its only sender, and whatever ends it before that ends the answer.
    let (answer, _) = tokio::join!(answer, connection);
    answer
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
