//! Who posts to a bot: tokens of the Bot Connector and the activities that come with them, judged as
//! the edge judges them, with keys from a simulated issuer over TLS.

mod oracles;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonegate::admission::bot::{BotCaller, Unbound};
use tonegate::admission::{Admission, Denied, Now, Request, Told};
use tonegate::config::{Enter, Route, RouteKind, Settings, Way};
use tonegate::error::Reason;
use tonegate::ids::SessionId;
use tonegate::label::Label;
use tonegate::metrics::Metrics;
use tonegate::sim::certificate::Authority;
use tonegate::sim::issuer::mint::{KeyChoice, Mint};
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{Issuer, Options};
use tonegate::wire::activity::{self, Wrong};

pub const APP: &str = "3a3a3a3a-2222-3333-4444-555555555555";
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";
pub const USER: &str = "00000000-0000-4000-8000-000000000001";
/// The application whose tokens of Entra the bot takes.
pub const SENDER: &str = "77777777-2222-3333-4444-555555555555";
pub const SERVICE: &str = "https://smba.trafficmanager.net/amer/";

/// An admission with one bot, and the issuer whose tokens it takes.
pub struct Bot {
    pub provider: Arc<Provider>,
    /// Holds the issuer's authority, as `ca.pem`.
    pub folder: PathBuf,
    admission: Admission,
    route: Route,
    stop: CancellationToken,
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Why nobody speaks.
#[derive(Debug)]
pub enum Refused {
    /// The token, with the head of the request.
    Token(Denied),
    Body(Wrong),
    Bound(Unbound),
}

impl Refused {
    /// The status that the connector is told, if it is told one of ours.
    pub fn status(&self) -> Option<u16> {
        let denied = match self {
            Refused::Token(denied) | Refused::Bound(Unbound::Denied(denied)) => denied,
            Refused::Body(_) => return Some(400),
            Refused::Bound(Unbound::OtherTenant(_)) => return None,
        };
        let status = denied.status.map(|status| status.as_u16());
        status.or(denied.reason.row().status)
    }

    pub fn token(&self) -> Denied {
        match self {
            Refused::Token(denied) => *denied,
            Refused::Body(_) | Refused::Bound(_) => panic!("the token was good: {self:?}"),
        }
    }
}

impl Bot {
    /// `more` are lines of the issuer's table; `ISSUER` in them is where the issuer is.
    pub async fn with(more: &str) -> Bot {
        Bot::prepared(more, |_| ()).await
    }

    /// The same with an issuer that was prepared before anybody asked it.
    pub async fn prepared(more: &str, prepare: impl FnOnce(&Provider)) -> Bot {
        let authority = Authority::new("connector");
        let issuer = Issuer::bind(Options {
            identity: Some(authority.issue(&["localhost"]).unwrap()),
            ..Options::loopback()
        });
        let issuer = issuer.await.unwrap();
        let provider = issuer.provider();
        prepare(&provider);
        let stop = CancellationToken::new();
        tokio::spawn(issuer.serve(stop.clone()));
        let folder = std::env::temp_dir().join(format!("tonegate-bot-{}", SessionId::random()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        let base = provider.base();
        let more = more.replace("ISSUER", &base);
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [issuers.connector]\nkind = \"bot\"\naudience = [\"{APP}\"]\ntenants = [\"{TENANT}\"]\n\
             metadata = \"{base}/v1/.well-known/openidconfiguration\"\nroots = \"{}\"\n{more}\n\
             [upstreams.app]\nkind = \"relay\"\nurl = \"wss://app.example/\"\n\
             credential = {{ none = true }}\n\
             [[routes]]\nname = \"bot\"\npaths = [\"/api/messages\"]\nkind = \"relay\"\n\
             admit = [\"anyone\"]\nupstreams = [\"app\"]\n",
            folder.join("ca.pem").display(),
        );
        let live = Settings::read_text("edge.toml", &text).unwrap().live;
        let admission = Admission::new(&live, &Arc::new(Metrics::new())).unwrap();
        for keys in admission.issuer_keys() {
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(keys.run()).await });
        }
        // A route whose requests the edge reads to their end, as it does a bot's.
        let route = Route {
            kind: RouteKind::AcsCallback,
            enter: Enter::Any(vec![Way::Issuer(Label::new("connector").unwrap())]),
            ..live.routes[0].clone()
        };
        Bot {
            provider,
            folder,
            admission,
            route,
            stop,
        }
    }

    pub async fn usual() -> Bot {
        Bot::with("").await
    }

    /// A good token of the connector.
    pub fn mint(&self) -> Mint {
        Mint::connector(APP, SERVICE)
    }

    /// A good token, changed.
    pub fn token(&self, change: impl FnOnce(&mut Mint)) -> String {
        let mut mint = self.mint();
        change(&mut mint);
        self.provider.mint(&mint)
    }

    /// What becomes of a request with this `Authorization` and body.
    pub async fn hears(&self, header: Option<&str>, body: &str) -> Result<BotCaller, Refused> {
        let mut request = http::Request::post("/api/messages");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let asked = Request {
            route: &self.route,
            head: &head,
            peer: "203.0.113.9".parse().unwrap(),
            by_hop: false,
            certificate: None,
            now: Now::read(),
        };
        let grant = self.admission.decide(asked, &mut Told::nobody()).await;
        let grant = grant.map_err(Refused::Token)?;
        let activity = activity::read(body.as_bytes()).map_err(Refused::Body)?;
        grant.bind(&activity).map_err(Refused::Bound)
    }

    /// The same of a token and the usual message.
    pub async fn takes(&self, token: &str) -> Result<BotCaller, Refused> {
        self.hears(Some(&format!("Bearer {token}")), &message().to_string())
            .await
    }

    pub async fn enters(&self, what: &str, token: &str) {
        let caller = self.takes(token).await;
        let caller = caller.unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
        assert_eq!(caller.user().unwrap().as_str(), USER);
        assert_eq!(caller.tenant().as_str(), TENANT);
    }

    /// An invalid token is 403, and said to be unauthenticated all the same.
    pub async fn is_refused(&self, what: &str, token: &str) {
        let refused = self.takes(token).await;
        let refused = refused.err().unwrap_or_else(|| panic!("{what} was let in"));
        assert_eq!(refused.status(), Some(403), "{what}: {refused:?}");
        assert_eq!(refused.token().reason, Reason::Unauthenticated, "{what}");
    }
}

/// Lines of a bot that takes tokens of Entra, too: of its tenant, for [`SENDER`].
pub fn of_tenant() -> String {
    format!("clients = [\"{SENDER}\"]\nauthority = \"ISSUER\"\n")
}

/// What Teams posts (PROTOCOLS 7.2).
pub fn message() -> Value {
    json!({
        "type": "message", "id": "1700000000000", "timestamp": "2026-05-04T10:00:00.0Z",
        "channelId": "msteams", "serviceUrl": SERVICE,
        "from": {"id": "29:1abc", "name": "Sarah", "aadObjectId": USER},
        "conversation": {"id": "a:1xyz", "conversationType": "personal", "tenantId": TENANT},
        "recipient": {"id": format!("28:{APP}"), "name": "bot"},
        "channelData": {"tenant": {"id": TENANT}}, "text": "hello",
    })
}

/// A good token of Entra for the bot: version 1.0, of its tenant, for the application that is named.
pub fn of_entra() -> Mint {
    Mint::entra_v1(TENANT, APP)
        .with("appid", SENDER)
        .without("scp")
        .with("serviceurl", SERVICE)
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The same token by the connector's key, or by Entra's.
pub fn by(key: KeyChoice, mint: Mint) -> Mint {
    Mint { key, ..mint }
}
