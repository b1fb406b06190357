//! What the demo runs: a folder with certificates and settings, the simulators, the edge.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::Show;
use super::phone::Exchange;
use super::text::{RESOURCE, Text};
use crate::admission::media_url::Signer;
use crate::app::Edge;
use crate::cli::key::random_key;
use crate::config::Settings;
use crate::ids::{PhoneNumber, SessionId};
use crate::secret::{Digest, Secret};
use crate::sim::certificate::{Authority, Identity};
use crate::sim::issuer::provider::Provider;
use crate::sim::issuer::{self, Issuer};
use crate::sim::telephone::{self, Telephone};
use crate::sim::voice_live::record::Record;
use crate::sim::voice_live::{Options, VoiceLive};

/// Whom all certificates are for.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
/// Who calls.
pub(super) const CALLER: &str = "+15551234567";
/// No code of the demo begins with 0.
pub(super) const WRONG_CODE: &str = "000000";
/// How long the code stays good: longer than anybody tries a demo.
const CODE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Everything that runs, and what a client needs to know of it.
pub(super) struct Stage {
    runtime: Runtime,
    edge: Option<Edge>,
    folder: PathBuf,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    /// The key that the edge admits.
    pub key: String,
    pub roots_pem: String,
    /// What the simulator saw.
    pub record: Arc<Record>,
    /// What calls are made with.
    pub exchange: Exchange,
    /// What the caller dials: it is stored, and lies in a file of the folder.
    pub code: Secret,
    stop: CancellationToken,
}

impl Stage {
    /// Makes the certificates, writes the settings, starts the simulators and then the edge.
    pub(super) fn set(show: &mut Show) -> anyhow::Result<Stage> {
        // For the simulators and the clients, which run while something is waited for here.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let folder = std::env::temp_dir().join(format!("tonegate-demo-{}", SessionId::random()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let authority = Authority::new("tonegate demo authority");
        let stop = CancellationToken::new();
        let peers = Peers::start(&runtime, &authority, &stop)?;
        let upstream = peers.upstream;
        let detail = format!("a simulated Voice Live listens on {upstream}");
        show.passed("upstream", Instant::now(), &detail);
        let (key, code) = (random_key()?, random_code()?);
        write_files(&folder, &authority, &authority.issue(&NAMES)?)?;
        write(&folder.join("code"), code.expose())?;
        let telephones = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let telephone_key = random_key()?;
        let mut text = Text {
            // The page's origin has the port in it, and is in the settings.
            listen: free_port()?,
            admin: "127.0.0.1:0".to_owned(),
            key: Digest::of(&key),
            telephone_port: telephones.local_addr()?.port(),
            telephone_key: telephone_key.clone(),
            upstream_port: upstream.port(),
            upstream_key: peers.upstream_key,
            issuer: peers.issuer.base(),
            call_secret: random_key()?,
        };
        let file = folder.join("edge.toml");
        write(&file, &text.to_string())?;
        let settings = Settings::read(std::slice::from_ref(&file))?;
        let edge = Edge::start(&settings)?;
        let (public, admin) = (edge.public(), edge.admin());
        // Whoever reads them later, a person or another verb, sees where it listens.
        text.admin = admin.to_string();
        write(&file, &text.to_string())?;
        let detail = format!("listens on {public}, admin on {admin}");
        show.passed("edge", Instant::now(), &detail);
        let signer = settings.live.calls.as_ref().and_then(Signer::new);
        let exchange = Exchange {
            port: public.port(),
            roots_pem: authority.pem(),
            issuer: peers.issuer,
            signer: Arc::new(signer.context("the settings have no secret of calls")?),
        };
        let telephone = telephone(telephone_key, &code, exchange.clone());
        runtime.spawn(telephone::serve(telephones, telephone, stop.clone()));
        let stage = Stage {
            public,
            admin,
            edge: Some(edge),
            runtime,
            folder,
            key,
            roots_pem: authority.pem(),
            record: peers.record,
            exchange,
            code,
            stop,
        };
        stage.block_on(stage.store_code())?;
        Ok(stage)
    }

    /// What another cloud does with a plain `SET` where the store is Redis.
    async fn store_code(&self) -> anyhow::Result<()> {
        let store = self.edge.as_ref().context("the edge runs")?.store();
        let caller = PhoneNumber::new(CALLER).context("the caller has a number")?;
        let key = store.keys().pstn(&caller, self.code.expose());
        let key = key.context("a code makes a key")?;
        store.put_key(&key, CODE_LIFE).await?;
        Ok(())
    }

    pub(super) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// The page of metrics, straight from the edge.
    pub(super) fn metrics_page(&self) -> String {
        self.edge
            .as_ref()
            .map(Edge::metrics_page)
            .unwrap_or_default()
    }

    pub(super) fn sessions(&self) -> usize {
        self.edge.as_ref().map_or(0, Edge::sessions)
    }

    /// Where people look.
    pub(super) fn page(&self) -> String {
        format!("https://localhost:{}/page", self.public.port())
    }

    /// Lines to copy and paste.
    pub(super) fn what_next(&self) -> String {
        let folder = self.folder.display();
        let (port, admin, key) = (self.public.port(), self.admin, &self.key);
        // `cargo run` puts no program on the path.
        let tonegate = std::env::current_exe();
        let tonegate =
            tonegate.map_or_else(|_| "tonegate".into(), |path| path.display().to_string());
        let page = self.page();
        let issuer = self.exchange.issuer.base();
        // Each call is another one, which `date` names; a verdict holds for a while after its call.
        let call = |name: &str, digits: &str| {
            format!(
                "{tonegate} call --digits {digits} --roots {folder}/ca.pem \\\n                  \
                 --issuer {issuer} --audience {RESOURCE} \\\n                  \
                 --url \"$({tonegate} token mint --config {folder}/edge.toml \\\n                  \
                 --call {name}-$(date +%s) --ani {CALLER})\""
            )
        };
        let right = call("right", &format!("\"$(cat {folder}/code)\" --barge-in"));
        let wrong = call("wrong", WRONG_CODE);
        format!(
            "\nIt stays up until Ctrl-C. Open the page first:\n\n  \
             {page}#key={key}\n\n  \
             A browser warns of the certificate, which is the demo's own: choose Advanced and\n  \
             proceed, or have it trust {folder}/ca.pem. The key stays in the page.\n\n\
             To try next:\n\n  \
             the settings    {tonegate} check --config {folder}/edge.toml\n  \
             each check      {tonegate} explain --config {folder}/edge.toml /ws -H 'api-key: {key}'\n  \
             the metrics     curl http://{admin}/metrics\n  \
             a phone call    {right}\n  \
             a wrong code    {wrong}\n  \
             a refusal       curl -i --http1.1 --cacert {folder}/ca.pem -H 'Connection: Upgrade' \\\n                  \
             -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \\\n                  \
             -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' https://localhost:{port}/ws\n  \
             a client        pip install azure-ai-voicelive aiohttp, then, with\n                  \
             SSL_CERT_FILE={folder}/ca.pem set, in Python:\n                  \
             connect(endpoint=\"https://localhost:{port}\",\n                          \
             credential=AzureKeyCredential(\"{key}\"), model=\"gpt-realtime\")\n\n"
        )
    }

    /// Ends the edge, then the simulators, and removes the folder.
    pub(super) fn strike(mut self) {
        if let Some(edge) = self.edge.take() {
            edge.stop();
        }
        self.stop.cancel();
        // What cannot be removed now is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
        self.runtime.shutdown_background();
    }
}

/// What people call with, on the page.
fn telephone(key: String, code: &Secret, calls: Exchange) -> Arc<Telephone> {
    Arc::new(Telephone {
        key,
        caller: CALLER.to_owned(),
        code: code.expose().to_owned(),
        dial: Box::new(move |call| {
            let calls = calls.clone();
            Box::pin(async move { calls.dial(&call, CALLER).await })
        }),
    })
}

/// An address on loopback that nobody listens at.
fn free_port() -> anyhow::Result<String> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(free.local_addr()?.to_string())
}

/// Six digits. They do not begin with 0, as the wrong code does.
fn random_code() -> anyhow::Result<Secret> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("the system has no randomness"))?;
    // Of so many numbers the remainder favours none.
    let code = 100_000 + u64::from_le_bytes(bytes) % 900_000;
    Ok(Secret::new(code.to_string()))
}

/// The simulated peers of the edge.
struct Peers {
    upstream: SocketAddr,
    upstream_key: String,
    record: Arc<Record>,
    issuer: Arc<Provider>,
}

impl Peers {
    fn start(
        runtime: &Runtime,
        authority: &Authority,
        stop: &CancellationToken,
    ) -> anyhow::Result<Peers> {
        let upstream_key = random_key()?;
        let server = runtime.block_on(VoiceLive::bind(Options {
            identity: Some(authority.issue(&NAMES)?),
            api_key: Some(upstream_key.clone()),
            // The demo speaks in real time, and would be told if it did not.
            strict_pacing: true,
            ..Options::loopback()
        }))?;
        let (upstream, record) = (server.address(), server.record());
        runtime.spawn(server.serve(stop.clone()));
        let server = runtime.block_on(Issuer::bind(issuer::Options {
            identity: Some(authority.issue(&NAMES)?),
            ..issuer::Options::loopback()
        }))?;
        let issuer = server.provider();
        runtime.spawn(server.serve(stop.clone()));
        Ok(Peers {
            upstream,
            upstream_key,
            record,
            issuer,
        })
    }
}

fn write_files(folder: &Path, authority: &Authority, edge: &Identity) -> anyhow::Result<()> {
    write(&folder.join("ca.pem"), &authority.pem())?;
    write(&folder.join("edge.pem"), &edge.chain_pem)?;
    write(&folder.join("edge.key"), &edge.key_pem)
}

/// Writes a file that only its owner can read, in a folder that is ours alone.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
