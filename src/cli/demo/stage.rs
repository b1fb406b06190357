//! What the demo runs: a folder with certificates and settings, the simulator, the edge.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::Show;
use crate::app::Edge;
use crate::cli::key::random_key;
use crate::config::Settings;
use crate::ids::SessionId;
use crate::secret::Digest;
use crate::sim::certificate::{Authority, Identity};
use crate::sim::voice_live::record::Record;
use crate::sim::voice_live::{Options, VoiceLive};

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
    stop: CancellationToken,
}

impl Stage {
    /// Makes the certificates, writes the settings, starts the simulator and then the edge.
    pub(super) fn set(show: &mut Show) -> anyhow::Result<Stage> {
        // For the simulator and the client, which run while something is waited for here.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let folder = std::env::temp_dir().join(format!("tonegate-demo-{}", SessionId::random()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let authority = Authority::new("tonegate demo authority");
        let names = ["localhost", "127.0.0.1"];
        let upstream_key = random_key()?;
        let server = runtime.block_on(VoiceLive::bind(Options {
            identity: Some(authority.issue(&names)?),
            api_key: Some(upstream_key.clone()),
            // The demo speaks in real time, and would be told if it did not.
            strict_pacing: true,
            ..Options::loopback()
        }))?;
        let (upstream, record) = (server.address(), server.record());
        let stop = CancellationToken::new();
        runtime.spawn(server.serve(stop.clone()));
        show.passed(
            "upstream",
            Instant::now(),
            &format!("a simulated Voice Live listens on {upstream}"),
        );
        let key = random_key()?;
        write_files(&folder, &authority, &authority.issue(&names)?)?;
        let settings = settings(&Digest::of(&key), upstream.port(), &upstream_key);
        write(&folder.join("edge.toml"), &settings)?;
        let settings = Settings::read(&[folder.join("edge.toml")])?;
        let edge = Edge::start(&settings)?;
        show.passed(
            "edge",
            Instant::now(),
            &format!("listens on {}, admin on {}", edge.public(), edge.admin()),
        );
        Ok(Stage {
            public: edge.public(),
            admin: edge.admin(),
            edge: Some(edge),
            runtime,
            folder,
            key,
            roots_pem: authority.pem(),
            record,
            stop,
        })
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

    /// Lines to copy and paste.
    pub(super) fn what_next(&self) -> String {
        let folder = self.folder.display();
        let (port, admin, key) = (self.public.port(), self.admin, &self.key);
        // `cargo run` puts no program on the path.
        let tonegate = std::env::current_exe();
        let tonegate =
            tonegate.map_or_else(|_| "tonegate".into(), |path| path.display().to_string());
        format!(
            "\nIt stays up until Ctrl-C. To try next:\n\n  \
             the settings    {tonegate} check --config {folder}/edge.toml\n  \
             each check      {tonegate} explain --config {folder}/edge.toml /ws -H 'api-key: {key}'\n  \
             the metrics     curl http://{admin}/metrics\n  \
             a refusal       curl -i --http1.1 --cacert {folder}/ca.pem -H 'Connection: Upgrade' \\\n                  \
             -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \\\n                  \
             -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' https://localhost:{port}/ws\n  \
             a client        pip install azure-ai-voicelive aiohttp, then, with\n                  \
             SSL_CERT_FILE={folder}/ca.pem set, in Python:\n                  \
             connect(endpoint=\"https://localhost:{port}\",\n                          \
             credential=AzureKeyCredential(\"{key}\"), model=\"gpt-realtime\")\n\n"
        )
    }

    /// Ends the edge, then the simulator, and removes the folder.
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

fn settings(key: &Digest, upstream_port: u16, upstream_key: &str) -> String {
    format!(
        r#"# Written by `tonegate demo`; gone when it ends.
[server]
listen  = "127.0.0.1:0"
admin   = "127.0.0.1:0"
tls     = {{ certificate = "edge.pem", key = "edge.key" }}

[[keys]]
name   = "demo"
sha256 = "{}"
limits = {{ sessions = 20 }}

[upstreams.voice]
kind       = "voice-live"
url        = "wss://localhost:{upstream_port}"
credential = {{ key = "{upstream_key}" }}
roots      = "ca.pem"

[[routes]]
name   = "browser"
paths  = ["/ws", "/voice-live/realtime"]
kind   = "voice-live"
admit  = ["key"]
accept = ["header", "query"]
models = ["gpt-realtime"]
dtmf   = "observe"
upstreams = ["voice"]
"#,
        key.to_hex()
    )
}

fn write_files(folder: &Path, authority: &Authority, edge: &Identity) -> anyhow::Result<()> {
    write(&folder.join("ca.pem"), &authority.pem())?;
    write(&folder.join("edge.pem"), &edge.chain_pem)?;
    write(&folder.join("edge.key"), &edge.key_pem)
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
