//! An edge with a bot: the connector's issuer, the connector itself, a platform that gives the bot's
//! own tokens, and the private application behind it all.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tonegate::app::Edge;
use tonegate::config::Settings;
use tonegate::sim::connector::{AUDIENCE, Connector, Desk, Options};
use tonegate::sim::issuer::mint::Mint;
use tonegate::sim::issuer::provider::Provider;
use tonegate::sim::issuer::{self, Issuer};
use tonegate::sim::platform;

use super::peers::Peers;
use crate::gateway::app::{Answer, App, send};
use crate::harness::{Wish, World};

pub const APP: &str = "99999999-8888-7777-6666-555555555555";
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const OTHER_TENANT: &str = "77777777-2222-3333-4444-555555555555";
pub const USER: &str = "0000000a-1111-4222-8333-0123456789ab";
pub const CONVERSATION: &str = "a:1xyz";
/// Whom the edge's word is for, and whose it is.
pub const AUDIENCE_OF_APP: &str = "api://private-app";
pub const EDGE: &str = "https://edge.example.com";
pub const REFUSAL: &str = "This bot is for the people of Contoso.";
pub const SECRET: &str = "secret~of/the&bot=+";

/// What a test wants to be different.
#[derive(Default)]
pub struct Bots {
    /// Lines of `[issuers.connector]`, of `[bot]`, of the upstream and of the bot's route.
    pub issuer: String,
    pub bot: String,
    pub upstream: String,
    pub route: String,
    /// More tables.
    pub more: String,
    /// Where the application is, if it is not the test's own, and below which path: `/app` usually.
    pub app: Option<SocketAddr>,
    pub base: Option<String>,
    /// What the application is shown: nothing usually.
    pub credential: Option<String>,
    /// `[store]` lines; memory if there are none.
    pub store: String,
}

/// Everything that runs for one test.
pub struct Bot {
    pub world: World,
    pub app: Arc<App>,
    /// Signs as the connector.
    pub issuer: Arc<Provider>,
    /// What the bot wrote.
    pub desk: Arc<Desk>,
    pub peers: Peers,
}

impl Bot {
    pub async fn usual() -> Bot {
        Bot::with(Bots::default()).await
    }

    pub async fn with(wish: Bots) -> Bot {
        Bot::prepared(wish, |_| ()).await
    }

    /// The same with an issuer that was prepared before anybody asked it.
    pub async fn prepared(wish: Bots, prepare: impl FnOnce(&Provider)) -> Bot {
        let secret = |of: &mut platform::Options| of.secret = Some(SECRET.to_owned());
        let peers = Peers::new(AUDIENCE, true, secret).await;
        let issuer = Issuer::bind(issuer::Options {
            identity: Some(peers.identity()),
            ..issuer::Options::loopback()
        });
        let issuer = issuer.await.unwrap();
        let provider = issuer.provider();
        prepare(&provider);
        tokio::spawn(issuer.serve(peers.stop.clone()));
        let connector = Connector::bind(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: Some(peers.identity()),
            provider: peers.provider.clone(),
            tenant: TENANT.to_owned(),
            app_id: APP.to_owned(),
            prefix: "/amer".to_owned(),
        });
        let connector = connector.await.unwrap();
        let desk = connector.desk();
        tokio::spawn(connector.serve(peers.stop.clone()));
        desk.open(CONVERSATION);
        let (app, own) = App::start(None).await;
        fs::write(peers.folder.join("first.pem"), key()).unwrap();
        let more = tables(&wish, &peers, &provider, &desk, wish.app.unwrap_or(own));
        let world = World::with(Wish {
            more,
            ..Wish::default()
        });
        Bot {
            world: world.await,
            app,
            issuer: provider,
            desk,
            peers,
        }
    }

    /// The edge ends, and another one begins with these settings changed.
    pub fn begins_anew(&mut self, from: &str, to: &str) {
        let path = self.world.folder.join("edge.toml");
        let settings = fs::read_to_string(&path).unwrap();
        assert!(settings.contains(from), "{from}");
        fs::write(&path, settings.replace(from, to)).unwrap();
        let edge = Edge::start(&Settings::read(&[path]).unwrap()).unwrap();
        self.world.port = edge.public().port();
        self.world.edge = Some(edge);
    }

    /// Another edge beside the first, with these settings changed.
    pub fn beside(&self, from: &str, to: &str) -> Edge {
        let settings = fs::read_to_string(self.world.folder.join("edge.toml")).unwrap();
        assert!(settings.contains(from), "{from}");
        let path = self.world.folder.join("beside.toml");
        fs::write(&path, settings.replace(from, to)).unwrap();
        Edge::start(&Settings::read(&[path]).unwrap()).unwrap()
    }

    pub fn service(&self) -> String {
        self.desk.service_url()
    }

    /// A good token of the connector.
    pub fn mint(&self) -> Mint {
        Mint::connector(APP, &self.service())
    }

    pub fn token(&self) -> String {
        self.issuer.mint(&self.mint())
    }

    /// What Teams posts (PROTOCOLS 7.2).
    pub fn message(&self) -> Value {
        json!({
            "type": "message", "id": "1700000000000", "timestamp": "2026-05-04T10:00:00.0Z",
            "channelId": "msteams", "serviceUrl": self.service(),
            "from": {"id": "29:1abc", "name": "Sarah", "aadObjectId": USER},
            "conversation": {
                "id": CONVERSATION, "conversationType": "personal", "tenantId": TENANT,
            },
            "recipient": {"id": format!("28:{APP}"), "name": "bot"},
            "channelData": {"tenant": {"id": TENANT}}, "locale": "en-US", "text": "hello",
        })
    }

    /// The message with something else in one place.
    pub fn with_other(&self, pointer: &str, value: Value) -> Value {
        let mut message = self.message();
        *message.pointer_mut(pointer).unwrap() = value;
        message
    }

    /// Of somebody of another tenant.
    pub fn of_outsider(&self) -> Value {
        let mut message = self.with_other("/conversation/tenantId", json!(OTHER_TENANT));
        message["channelData"]["tenant"]["id"] = json!(OTHER_TENANT);
        message
    }

    /// Posts a body with a good token.
    pub async fn post(&self, body: &Value) -> Answer {
        self.post_with(&self.token(), body).await
    }

    pub async fn post_with(&self, token: &str, body: &Value) -> Answer {
        let headers = format!("Authorization: Bearer {token}\r\n{JSON}");
        self.send(&headers, body.to_string().as_bytes()).await
    }

    /// Posts as it is written.
    pub async fn send(&self, headers: &str, body: &[u8]) -> Answer {
        send(&self.world, "POST /api/messages", headers, body).await
    }

    /// The keys that the edge publishes.
    pub async fn jwks(&self) -> Value {
        let answer = send(&self.world, "GET /.well-known/jwks.json", "", b"").await;
        let kind = answer.header("content-type");
        assert_eq!(kind.as_deref(), Some("application/jwk-set+json"));
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Nobody was asked for anything that the simulated services do not know.
    pub fn was_sound(&self) {
        assert_eq!(self.desk.violations(), [""; 0]);
        assert_eq!(self.peers.platform.asked().refused, [""; 0]);
    }
}

pub const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

/// A private key, as the settings name it.
pub fn key() -> String {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    pair.serialize_pem()
}

fn tables(wish: &Bots, peers: &Peers, issuer: &Provider, desk: &Desk, app: SocketAddr) -> String {
    let folder = peers.folder.display();
    let host = desk.base().split_once("//").unwrap().1.to_owned();
    let (base, platform) = (issuer.base(), peers.port);
    let Bots {
        issuer: of_issuer,
        bot,
        upstream,
        route,
        more,
        store,
        ..
    } = wish;
    let path = wish.base.as_deref().unwrap_or("/app");
    let nothing = "credential = { none = true }";
    let credential = wish.credential.as_deref().unwrap_or(nothing);
    let store = match store.as_str() {
        "" => String::new(),
        lines => format!("[store]\n{lines}\n"),
    };
    format!(
        "{store}\
         [issuers.connector]\nkind = \"bot\"\naudience = [\"{APP}\"]\ntenants = [\"{TENANT}\"]\n\
         metadata = \"{base}/v1/.well-known/openidconfiguration\"\nroots = \"{folder}/ca.pem\"\n\
         service_urls = [\"{host}\"]\n{of_issuer}\n\
         [assertion]\nkeys = [\"{folder}/first.pem\"]\nissuer = \"{EDGE}\"\n\
         [bot]\napp_id = \"{APP}\"\ntenant = \"{TENANT}\"\nsecret = \"{SECRET}\"\n\
         authority = \"https://localhost:{platform}\"\nroots = \"{folder}/ca.pem\"\n\
         service_urls = [\"https://{host}\"]\n{bot}\n\
         [upstreams.app]\nkind = \"http\"\nurl = \"http://{app}{path}\"\n\
         {credential}\nidentity_headers = true\n{upstream}\n\
         [[routes]]\nname = \"bot\"\npaths = [\"/api/messages\"]\nkind = \"bot\"\n\
         admit = [\"connector\"]\nassert = \"{AUDIENCE_OF_APP}\"\nrefusal = \"{REFUSAL}\"\n\
         upstreams = [\"app\"]\n{route}\n{more}\n"
    )
}
