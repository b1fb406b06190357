//! What every outgoing peer needs: an authority for its certificate, an issuer whose tokens it takes,
//! a platform that gives them to the edge, and settings.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tonegate::config::{Environment, Settings};
use tonegate::metrics::Metrics;
use tonegate::sim::certificate::{Authority, Identity};
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{self, Issuer};
use tonegate::sim::platform::{Asked, Desk, Options, Platform};
use tonegate::upstream::identity::Identity as Own;

use crate::harness::{folder, within};

/// What only simulated peers say; nothing of ours repeats it.
pub const CANARY: &str = "canary";

/// One edge's surroundings.
pub struct Peers {
    pub authority: Authority,
    pub provider: Arc<Provider>,
    pub platform: Arc<Desk>,
    /// How the edge reaches the platform.
    pub port: u16,
    pub folder: PathBuf,
    pub stop: CancellationToken,
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Peers {
    /// A platform that gives tokens for `resource`, by IMDS or, over TLS, as Entra.
    pub async fn new(resource: &str, tls: bool, more: impl FnOnce(&mut Options)) -> Peers {
        let authority = Authority::new("test authority");
        let provider = PROVIDER.get_or_init(provider).await.clone();
        let stop = CancellationToken::new();
        let mut options = Options {
            identity: tls.then(|| localhost(&authority)),
            resource: resource.to_owned(),
            signer: Some(provider.clone()),
            ..Options::loopback()
        };
        more(&mut options);
        let platform = Platform::bind(options).await.unwrap();
        let (desk, port) = (platform.desk(), platform.address().port());
        tokio::spawn(platform.serve(stop.clone()));
        let folder = folder();
        fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        Peers {
            authority,
            provider,
            platform: desk,
            port,
            folder,
            stop,
        }
    }

    pub fn identity(&self) -> Identity {
        localhost(&self.authority)
    }

    /// Settings with these tables, read from a file beside `ca.pem`.
    pub fn settings(&self, tables: &str, variables: &[(&str, &str)]) -> Settings {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{tables}\n\
             [upstreams.voice]\nkind = \"voice-live\"\nresource = \"my-resource\"\n\
             credential = {{ key = \"k\" }}\n[[routes]]\nname = \"r\"\npaths = [\"/ws\"]\n\
             kind = \"voice-live\"\nadmit = [\"anyone\"]\nmodels = [\"m\"]\n\
             upstreams = [\"voice\"]\n"
        );
        let file = self.folder.join("edge.toml");
        fs::write(&file, text).unwrap();
        let imds = format!("http://127.0.0.1:{}", self.port);
        let mut all = vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())];
        all.extend(variables);
        Settings::read_in(&[file], &Environment::of(all)).unwrap()
    }

    /// Fetches tokens for as long as the peers live.
    pub fn run(&self, identity: Arc<Own>) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(identity.run()).await });
    }

    /// What the platform gave, as soon as it fits.
    pub async fn given(&self, holds: impl Fn(&Asked) -> bool) -> Asked {
        within("the platform", async {
            while !holds(&self.platform.asked()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.platform.asked()
    }
}

/// Its keys take a while to make.
async fn provider() -> Arc<Provider> {
    let issuer = Issuer::bind(issuer::Options::loopback()).await;
    issuer.unwrap().provider()
}

static PROVIDER: OnceCell<Arc<Provider>> = OnceCell::const_new();

fn localhost(authority: &Authority) -> Identity {
    authority.issue(&["localhost", "127.0.0.1"]).unwrap()
}

/// Whether a line stands on the page of metrics.
pub fn counted(metrics: &Metrics, line: &str) {
    let page = metrics.render();
    assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
}

/// A place where nobody should come.
pub struct Trap {
    listener: TcpListener,
    pub port: u16,
}

impl Trap {
    pub async fn new() -> Trap {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Trap { listener, port }
    }

    /// Nobody came: whoever had would wait in the backlog.
    pub async fn is_untouched(&self) {
        let came = tokio::time::timeout(Duration::from_millis(50), self.listener.accept()).await;
        assert!(came.is_err(), "somebody came");
    }
}
